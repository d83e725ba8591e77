package http3

import (
	"strconv"

	"github.com/pquic-go/pquic/core/wire"
)

// A FrameType is the type of an HTTP/3 frame.
type FrameType uint64

// Frame types.
//
// https://www.rfc-editor.org/rfc/rfc9114#section-7.2
// https://www.rfc-editor.org/rfc/rfc9218#section-7.2
const (
	FrameData                  FrameType = 0x00
	FrameHeaders               FrameType = 0x01
	FrameCancelPush            FrameType = 0x03
	FrameSettings              FrameType = 0x04
	FramePushPromise           FrameType = 0x05
	FrameGoAway                FrameType = 0x07
	FrameMaxPushID             FrameType = 0x0d
	FramePriorityUpdateRequest FrameType = 0xf0700
	FramePriorityUpdatePush    FrameType = 0xf0701
)

// String returns the RFC's name of the type, or its number in hexadecimal.
func (t FrameType) String() string {
	switch t {
	case FrameData:
		return "DATA"
	case FrameHeaders:
		return "HEADERS"
	case FrameCancelPush:
		return "CANCEL_PUSH"
	case FrameSettings:
		return "SETTINGS"
	case FramePushPromise:
		return "PUSH_PROMISE"
	case FrameGoAway:
		return "GOAWAY"
	case FrameMaxPushID:
		return "MAX_PUSH_ID"
	case FramePriorityUpdateRequest, FramePriorityUpdatePush:
		return "PRIORITY_UPDATE"
	}
	return "frame type 0x" + strconv.FormatUint(uint64(t), 16)
}

// reservedHTTP2 reports whether t was a frame of HTTP/2 that HTTP/3 lacks.
//
// "These frame types MUST NOT be sent, and their receipt MUST be treated as a
// connection error of type H3_FRAME_UNEXPECTED."
// https://www.rfc-editor.org/rfc/rfc9114#section-7.2.8
func (t FrameType) reservedHTTP2() bool {
	return t == 0x02 || t == 0x06 || t == 0x08 || t == 0x09
}

// known reports whether t is a frame type this package gives a meaning to.
func (t FrameType) known() bool {
	switch t {
	case FrameData, FrameHeaders, FrameCancelPush, FrameSettings, FramePushPromise,
		FrameGoAway, FrameMaxPushID, FramePriorityUpdateRequest, FramePriorityUpdatePush:
		return true
	}
	return false
}

// Unidirectional stream types.
//
// https://www.rfc-editor.org/rfc/rfc9114#section-6.2
// https://www.rfc-editor.org/rfc/rfc9204#section-4.2
const (
	streamControl      = 0x00
	streamPush         = 0x01
	streamQPACKEncoder = 0x02
	streamQPACKDecoder = 0x03
)

// maxFrameHeader is the longest a frame's type and length can be, in bytes.
const maxFrameHeader = 16

// appendFrameHeader appends the type and length of a frame of n payload bytes.
func appendFrameHeader(b []byte, t FrameType, n uint64) []byte {
	return wire.AppendVarint(wire.AppendVarint(b, uint64(t)), n)
}

// frameHeaderLen returns the bytes appendFrameHeader appends.
func frameHeaderLen(t FrameType, n int) int {
	return wire.VarintLen(uint64(t)) + wire.VarintLen(uint64(n))
}

// appendIDFrame appends a frame whose payload is one identifier: GOAWAY,
// MAX_PUSH_ID, CANCEL_PUSH.
func appendIDFrame(b []byte, t FrameType, id uint64) []byte {
	b = appendFrameHeader(b, t, uint64(wire.VarintLen(id)))
	return wire.AppendVarint(b, id)
}

// parseIDFrame reads the payload of such a frame.
//
// "A frame payload that contains additional bytes after the identified fields
// or a frame payload that terminates before the end of the identified fields
// MUST be treated as a connection error of type H3_FRAME_ERROR."
// https://www.rfc-editor.org/rfc/rfc9114#section-7.1
func parseIDFrame(t FrameType, payload []byte) (uint64, error) {
	id, n := wire.ParseVarint(payload)
	if n == 0 || n != len(payload) {
		return 0, connErrorf(CodeFrameError, "%v of %d bytes does not hold exactly one identifier", t, len(payload))
	}
	return id, nil
}

// greased returns the n-th reserved identifier: settings, frame types and
// stream types of this form have no meaning and keep peers honest about
// ignoring what they do not know.
// https://www.rfc-editor.org/rfc/rfc9114#section-7.2.8
func greased(n uint32) uint64 { return 0x1f*uint64(n) + 0x21 }
