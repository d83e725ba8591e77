package wire

import (
	"math"
	"strconv"
)

// A FrameType identifies a kind of frame.
// https://www.rfc-editor.org/rfc/rfc9000#section-12.4
type FrameType uint64

// The frame types this package parses. STREAM takes the eight values from
// Stream to StreamMax, whose lower three bits are flags.
const (
	Padding            FrameType = 0x00
	Ping               FrameType = 0x01
	Ack                FrameType = 0x02
	AckECN             FrameType = 0x03
	ResetStream        FrameType = 0x04
	StopSending        FrameType = 0x05
	Crypto             FrameType = 0x06
	NewToken           FrameType = 0x07
	Stream             FrameType = 0x08
	StreamMax          FrameType = 0x0f
	MaxData            FrameType = 0x10
	MaxStreamData      FrameType = 0x11
	MaxStreamsBidi     FrameType = 0x12
	MaxStreamsUni      FrameType = 0x13
	DataBlocked        FrameType = 0x14
	StreamDataBlocked  FrameType = 0x15
	StreamsBlockedBidi FrameType = 0x16
	StreamsBlockedUni  FrameType = 0x17
	NewConnectionID    FrameType = 0x18
	RetireConnectionID FrameType = 0x19
	PathChallenge      FrameType = 0x1a
	PathResponse       FrameType = 0x1b
	ConnectionClose    FrameType = 0x1c
	ApplicationClose   FrameType = 0x1d // CONNECTION_CLOSE with an application error
	HandshakeDone      FrameType = 0x1e
	ImmediateAck       FrameType = 0x1f // draft-ietf-quic-ack-frequency-14
	ResetStreamAt      FrameType = 0x24 // draft-ietf-quic-reliable-stream-reset-10
	AckFrequency       FrameType = 0xaf // draft-ietf-quic-ack-frequency-14
)

// NoFrameType is what NextFrameType returns when b holds no whole type. No
// frame has it.
const NoFrameType FrameType = math.MaxUint64

// NextFrameType reads the type of the frame at the start of b; n is its length
// in bytes. If n is 0 there is no valid type: t is NoFrameType if b ends before
// the type does, and otherwise a type that was encoded in more bytes than
// necessary.
func NextFrameType(b []byte) (t FrameType, n int) {
	if len(b) > 0 && b[0] < 0x40 {
		return FrameType(b[0]), 1
	}
	return nextLongFrameType(b)
}

func nextLongFrameType(b []byte) (t FrameType, n int) {
	v, n := ParseVarint(b)
	if n == 0 {
		return NoFrameType, 0
	}
	// "a frame type MUST use the shortest possible encoding", "An endpoint MAY
	// treat the receipt of a frame type that uses a longer encoding than
	// necessary as a connection error of type PROTOCOL_VIOLATION."
	// https://www.rfc-editor.org/rfc/rfc9000#section-12.4
	if n != VarintLen(v) {
		return FrameType(v), 0
	}
	return FrameType(v), n
}

// IsStream reports whether t is one of the eight types of STREAM frames.
func (t FrameType) IsStream() bool { return t&^0x07 == Stream }

// String returns the RFC's name of the frame, or the number in hexadecimal.
func (t FrameType) String() string {
	if t.IsStream() {
		return "STREAM"
	}
	switch t {
	case ImmediateAck:
		return "IMMEDIATE_ACK"
	case ResetStreamAt:
		return "RESET_STREAM_AT"
	case AckFrequency:
		return "ACK_FREQUENCY"
	}
	if t < FrameType(len(frameNames)) {
		return frameNames[t]
	}
	return "0x" + strconv.FormatUint(uint64(t), 16)
}

var frameNames = [...]string{
	Padding:            "PADDING",
	Ping:               "PING",
	Ack:                "ACK",
	AckECN:             "ACK_ECN",
	ResetStream:        "RESET_STREAM",
	StopSending:        "STOP_SENDING",
	Crypto:             "CRYPTO",
	NewToken:           "NEW_TOKEN",
	MaxData:            "MAX_DATA",
	MaxStreamData:      "MAX_STREAM_DATA",
	MaxStreamsBidi:     "MAX_STREAMS_BIDI",
	MaxStreamsUni:      "MAX_STREAMS_UNI",
	DataBlocked:        "DATA_BLOCKED",
	StreamDataBlocked:  "STREAM_DATA_BLOCKED",
	StreamsBlockedBidi: "STREAMS_BLOCKED_BIDI",
	StreamsBlockedUni:  "STREAMS_BLOCKED_UNI",
	NewConnectionID:    "NEW_CONNECTION_ID",
	RetireConnectionID: "RETIRE_CONNECTION_ID",
	PathChallenge:      "PATH_CHALLENGE",
	PathResponse:       "PATH_RESPONSE",
	ConnectionClose:    "CONNECTION_CLOSE",
	ApplicationClose:   "APPLICATION_CLOSE",
	HandshakeDone:      "HANDSHAKE_DONE",
}

// isType reports whether b begins with the one-byte type t.
func isType(b []byte, t FrameType) bool { return len(b) > 0 && b[0] == byte(t) }

// A reader walks the varints of a frame. It stays at n == 0 once something is
// missing, so callers check once, at the end.
type reader struct {
	b []byte
	n int // bytes consumed; 0: malformed
}

// afterType returns a reader behind the type t, or a failed one if b begins
// with something else.
func afterType(b []byte, t FrameType) reader {
	if !isType(b, t) {
		return reader{}
	}
	return reader{b: b, n: 1}
}

func (r *reader) varint() uint64 {
	if r.n == 0 {
		return 0
	}
	v, n := ParseVarint(r.b[r.n:])
	if n == 0 {
		r.n = 0
		return 0
	}
	r.n += n
	return v
}

// bytes returns the next n bytes.
func (r *reader) bytes(n uint64) []byte {
	if r.n == 0 || n > uint64(len(r.b)-r.n) {
		r.n = 0
		return nil
	}
	end := r.n + int(n)
	p := r.b[r.n:end:end]
	r.n = end
	return p
}

func (r *reader) fail() { r.n = 0 }
