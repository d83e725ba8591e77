package hoststack

import (
	"errors"
	"net"

	"golang.org/x/sys/windows"
)

// Socket options of ws2ipdef.h.
const (
	ipDontFragment = 14 // IP_DONTFRAGMENT
	ipv6DontFrag   = 14 // IPV6_DONTFRAG
)

// setDontFragment makes conn send with DF set and reports whether it does.
func setDontFragment(conn *net.UDPConn) bool {
	rc, err := conn.SyscallConn()
	if err != nil {
		return false
	}
	var err4, err6 error
	if rc.Control(func(fd uintptr) {
		err4 = windows.SetsockoptInt(windows.Handle(fd), windows.IPPROTO_IP, ipDontFragment, 1)
		err6 = windows.SetsockoptInt(windows.Handle(fd), windows.IPPROTO_IPV6, ipv6DontFrag, 1)
	}) != nil {
		return false
	}
	return err4 == nil || err6 == nil
}

func isMessageTooLong(err error) bool { return errors.Is(err, windows.WSAEMSGSIZE) }
