package capture

import "errors"

var errFrame = errors.New("capture: a frame ends early")

// A reader takes apart bytes; after running out it fails and returns zeros.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) bytes(n uint64) []byte {
	if n > uint64(len(r.b)) {
		r.bad, r.b = true, nil
		return nil
	}
	out := r.b[:n]
	r.b = r.b[n:]
	return out
}

func (r *reader) uint(n uint64) (v uint64) {
	for _, b := range r.bytes(n) {
		v = v<<8 | uint64(b)
	}
	return v
}

func (r *reader) varint() uint64 {
	if len(r.b) == 0 {
		r.bad = true
		return 0
	}
	n := uint64(1) << (r.b[0] >> 6)
	return r.uint(n) & (1<<(8*n-2) - 1)
}

func (r *reader) skipVarints(n int) {
	for range n {
		r.varint()
	}
}

// A frame is a frame's type and what the tests ask about.
type frame struct {
	kind   uint64
	offset uint64 // CRYPTO
	data   []byte // CRYPTO, PATH_CHALLENGE, PATH_RESPONSE, the ID of NEW_CONNECTION_ID
	code   uint64 // CONNECTION_CLOSE
}

// The frame types that a test may ask for.
const (
	FramePadding          = 0x00
	FrameAck              = 0x02
	FrameAckECN           = 0x03
	FrameCrypto           = 0x06
	FrameNewToken         = 0x07
	FrameNewConnectionID  = 0x18
	FramePathChallenge    = 0x1a
	FramePathResponse     = 0x1b
	FrameConnectionClose  = 0x1c
	FrameApplicationClose = 0x1d
	FrameHandshakeDone    = 0x1e
)

// parseFrames calls f for each frame of a payload. It stops at a type that it does not know.
// https://www.rfc-editor.org/rfc/rfc9000#section-19
func parseFrames(payload []byte, f func(frame)) error {
	r := &reader{b: payload}
	for len(r.b) > 0 && !r.bad {
		fr := frame{kind: r.varint()}
		if fr.kind >= 0x08 && fr.kind <= 0x0f {
			skipStream(r, fr.kind)
		} else if !parseFrame(r, &fr) {
			return nil
		}
		if r.bad {
			return errFrame
		}
		f(fr)
	}
	return nil
}

func skipStream(r *reader, kind uint64) {
	r.varint()
	if kind&4 != 0 {
		r.varint()
	}
	if kind&2 != 0 {
		r.bytes(r.varint())
		return
	}
	r.bytes(uint64(len(r.b)))
}

// varints is how many variable-length integers make up a frame, by type.
var varints = map[uint64]int{
	0x00: 0, 0x01: 0, 0x04: 3, 0x05: 2, 0x10: 1, 0x11: 2, 0x12: 1, 0x13: 1, 0x14: 1, 0x15: 2, 0x16: 1, 0x17: 1,
	0x19: 1, FrameHandshakeDone: 0,
	0x1f: 0, // IMMEDIATE_ACK
	0x24: 4, // RESET_STREAM_AT
	0xaf: 4, // ACK_FREQUENCY
}

// parseFrame reads a frame behind its type; it returns false if it does not know it.
func parseFrame(r *reader, f *frame) bool {
	switch f.kind {
	case FrameAck, FrameAckECN:
		r.skipVarints(2)
		ranges := r.varint()
		for i := uint64(0); i < 2*ranges+1 && !r.bad; i++ {
			r.varint()
		}
		if f.kind == FrameAckECN {
			r.skipVarints(3)
		}
	case FrameCrypto:
		f.offset = r.varint()
		f.data = r.bytes(r.varint())
	case FrameNewToken:
		r.bytes(r.varint())
	case FrameNewConnectionID:
		r.skipVarints(2)
		f.data = r.bytes(r.uint(1))
		r.bytes(16)
	case FramePathChallenge, FramePathResponse:
		f.data = r.bytes(8)
	case FrameConnectionClose, FrameApplicationClose:
		f.code = r.varint()
		if f.kind == FrameConnectionClose {
			r.varint()
		}
		r.bytes(r.varint())
	case 0x30:
		r.bytes(uint64(len(r.b)))
	case 0x31:
		r.bytes(r.varint())
	default:
		n, ok := varints[f.kind]
		r.skipVarints(n)
		return ok
	}
	return true
}
