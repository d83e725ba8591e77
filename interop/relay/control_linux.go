package relay

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// controlMessage is a control message that holds an int.
func controlMessage(level, kind int32, value uint8) []byte {
	b := make([]byte, unix.CmsgSpace(4))
	h := (*unix.Cmsghdr)(unsafe.Pointer(&b[0]))
	h.Level, h.Type = level, kind
	h.SetLen(unix.CmsgLen(4))
	*(*int32)(unsafe.Pointer(&b[unix.CmsgLen(0)])) = int32(value)
	return b
}
