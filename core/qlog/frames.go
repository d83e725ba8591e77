package qlog

import (
	"math"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/pquic-go/pquic/core/wire"
)

// What a peer puts into one packet does not grow the log without bounds.
const (
	maxFrames = 256 // frames logged per packet
	maxRanges = 256 // ranges logged per ACK frame
	maxText   = 512 // bytes of a reason phrase, or of an unknown parameter
)

// The DATAGRAM frame is a plugin's, but the drafts have a form for it.
// https://www.rfc-editor.org/rfc/rfc9221#section-4
const (
	datagram           wire.FrameType = 0x30
	datagramWithLength wire.FrameType = 0x31
)

type frameDecoder struct {
	name  string
	parse func(b []byte) int
}

// RegisterFrame makes the trace log frames of type typ, which package wire does
// not know, as name. parse is given the rest of a packet that starts with such a
// frame, type included, and returns the frame's length in bytes, or 0 if it is
// malformed. It must not keep the slice. Registering a type again replaces the
// decoder; a nil parse removes it.
func (t *Trace) RegisterFrame(typ wire.FrameType, name string, parse func(b []byte) int) {
	if t == nil {
		return
	}
	if parse == nil {
		delete(t.frames, typ)
		return
	}
	if t.frames == nil {
		t.frames = make(map[wire.FrameType]frameDecoder)
	}
	t.frames[typ] = frameDecoder{name, parse}
}

// packetFrames writes the frames of a packet's payload.
func (t *Trace) packetFrames(b []byte, ackDelayExponent uint8) {
	e := &t.enc
	e.array("frames")
	for range maxFrames {
		if len(b) == 0 {
			break
		}
		b = b[t.frame(b, ackDelayExponent):]
	}
	e.endArray()
	if len(b) != 0 {
		e.uint("omitted_length", uint64(len(b)))
	}
}

// frame writes the frame at the start of b, which is not empty, and returns its
// length. What cannot be parsed is an unknown frame up to the end of the packet.
func (t *Trace) frame(b []byte, ackDelayExponent uint8) int {
	e := &t.enc
	e.object("")
	defer e.endObject()

	typ, n := wire.NextFrameType(b)
	if n == 0 {
		if typ == wire.NoFrameType {
			typ = wire.FrameType(b[0])
		}
		return e.unknownFrame(typ, b)
	}
	start := len(e.b)
	n = e.nativeFrame(t.dialect, typ, b, ackDelayExponent)
	if n == 0 {
		n = t.pluginFrame(typ, b)
	}
	if n == 0 {
		e.b = e.b[:start]
		n = e.unknownFrame(typ, b)
	}
	return n
}

// pluginFrame writes a frame by its registered decoder, a DATAGRAM frame also
// without one. It returns 0 if there is none or the frame is malformed.
func (t *Trace) pluginFrame(typ wire.FrameType, b []byte) int {
	e := &t.enc
	if d, ok := t.frames[typ]; ok && !isNative(typ) {
		n := d.parse(b)
		if n <= 0 || n > len(b) {
			return 0
		}
		e.string("frame_type", d.name)
		e.raw(n, -1)
		return n
	}
	switch typ {
	case datagram:
		e.frameType("datagram")
		e.raw(len(b)-1, len(b)-1)
		return len(b)
	case datagramWithLength:
		length, n := wire.ParseVarint(b[1:])
		if n == 0 || length > uint64(len(b)-1-n) {
			return 0
		}
		e.frameType("datagram")
		e.raw(int(length), int(length))
		return 1 + n + int(length)
	}
	return 0
}

func isNative(typ wire.FrameType) bool { return wire.FactsOf(typ).Known() }

func (e *encoder) frameType(name string) {
	e.b = append(e.b, `"frame_type":"`...)
	e.b = append(e.b, name...)
	e.b = append(e.b, '"', ',')
}

func (e *encoder) unknownFrame(typ wire.FrameType, b []byte) int {
	e.frameType("unknown")
	e.uint("frame_type_bytes", uint64(typ))
	e.raw(len(b), -1)
	return len(b)
}

// nativeFrame writes a frame that package wire parses. It returns 0 if it does
// not, having written nothing or something to be discarded.
func (e *encoder) nativeFrame(d Dialect, typ wire.FrameType, b []byte, ackDelayExponent uint8) int {
	if typ.IsStream() {
		return e.streamFrame(d, b)
	}
	switch typ {
	case wire.Padding:
		f, n := wire.ParsePadding(b)
		e.frameType("padding")
		e.raw(f.Length, f.Length)
		return n
	case wire.Ping:
		e.frameType("ping")
		return 1
	case wire.Ack, wire.AckECN:
		return e.ackFrame(b, ackDelayExponent)
	case wire.Crypto:
		return e.cryptoFrame(d, b)
	case wire.NewToken:
		f, n := wire.ParseNewToken(b)
		e.frameType("new_token")
		e.object("token")
		e.string("type", "resumption")
		e.raw(len(f.Token), -1)
		e.endObject()
		return n
	case wire.ConnectionClose, wire.ApplicationClose:
		return e.connectionCloseFrame(b)
	case wire.HandshakeDone:
		e.frameType("handshake_done")
		return 1
	case wire.ImmediateAck:
		e.frameType("immediate_ack")
		return 1
	case wire.AckFrequency:
		return e.ackFrequencyFrame(b)
	case wire.NewConnectionID, wire.RetireConnectionID, wire.PathChallenge, wire.PathResponse:
		return e.pathFrame(typ, b)
	case wire.ResetStream, wire.ResetStreamAt, wire.StopSending:
		return e.abortFrame(typ, b)
	}
	return e.flowControlFrame(typ, b)
}

func (e *encoder) streamFrame(d Dialect, b []byte) int {
	f, n := wire.ParseStream(b)
	e.frameType("stream")
	e.uint("stream_id", f.ID)
	e.uint("offset", f.Offset)
	if f.Fin {
		e.bool("fin", true)
	}
	e.dataLength(d, len(f.Data))
	return n
}

func (e *encoder) cryptoFrame(d Dialect, b []byte) int {
	f, n := wire.ParseCrypto(b)
	e.frameType("crypto")
	e.uint("offset", f.Offset)
	e.dataLength(d, len(f.Data))
	return n
}

// dataLength writes the length of a frame's data.
//
// "The length field of the Crypto frame MUST be logged in the qlog raw.length
// field."
// https://datatracker.ietf.org/doc/html/draft-ietf-quic-qlog-quic-events-13#section-8.13.7
func (e *encoder) dataLength(d Dialect, n int) {
	if d == Qvis {
		e.uint("length", uint64(n))
	}
	e.raw(n, n)
}

func (e *encoder) ackFrame(b []byte, exponent uint8) int {
	f, n := wire.ParseAck(b)
	if n == 0 {
		return 0
	}
	e.frameType("ack")
	e.milliseconds("ack_delay", ackDelay(f.DelayRaw, exponent))
	e.array("acked_ranges")
	it := f.Ranges()
	written := uint64(0)
	for ; written < maxRanges && it.Next(); written++ {
		e.array("")
		e.uintValue(it.Lo)
		if it.Hi != it.Lo {
			e.uintValue(it.Hi)
		}
		e.endArray()
	}
	e.endArray()
	if omitted := f.RangeCount + 1 - written; omitted != 0 {
		e.uint("ranges_omitted", omitted)
	}
	if f.ECN {
		e.uint("ect1", f.ECT1)
		e.uint("ect0", f.ECT0)
		e.uint("ce", f.CE)
	}
	return n
}

// ackDelay scales an ACK Delay field to time, saturating.
// https://www.rfc-editor.org/rfc/rfc9000#section-19.3
func ackDelay(raw uint64, exponent uint8) time.Duration {
	const most = math.MaxInt64 / uint64(time.Microsecond)
	if raw > most>>exponent {
		return math.MaxInt64
	}
	return time.Duration(raw<<exponent) * time.Microsecond
}

func (e *encoder) connectionCloseFrame(b []byte) int {
	f, n := wire.ParseConnectionClose(b)
	e.frameType("connection_close")
	if f.Application {
		e.string("error_space", "application")
		e.unknownError(f.ErrorCode)
	} else {
		e.string("error_space", "transport")
		e.transportError("error", f.ErrorCode)
		e.triggerFrameType(f.FrameType)
	}
	reason := f.Reason[:min(len(f.Reason), maxText)]
	switch {
	case len(reason) == 0:
	case utf8.Valid(f.Reason):
		e.key("reason")
		e.b = appendString(e.b, reason)
		e.comma()
	default:
		e.hex("reason_bytes", reason)
	}
	return n
}

func (e *encoder) triggerFrameType(typ wire.FrameType) {
	if typ == 0 { // "unknown", or PADDING
		return
	}
	if name := frameName(typ); name != "" {
		e.string("trigger_frame_type", name)
	} else {
		e.uint("trigger_frame_type", uint64(typ))
	}
}

// unknownError writes an application's error code.
func (e *encoder) unknownError(code uint64) {
	e.string("error", "unknown")
	e.uint("error_code", code)
}

// abortFrame writes the frames that end a stream early.
func (e *encoder) abortFrame(typ wire.FrameType, b []byte) (n int) {
	switch typ {
	case wire.ResetStream:
		var f wire.ResetStreamFrame
		f, n = wire.ParseResetStream(b)
		e.frameType("reset_stream")
		e.uint("stream_id", f.ID)
		e.unknownError(f.ErrorCode)
		e.uint("final_size", f.FinalSize)
	case wire.ResetStreamAt:
		var f wire.ResetStreamAtFrame
		f, n = wire.ParseResetStreamAt(b)
		e.frameType("reset_stream_at")
		e.uint("stream_id", f.ID)
		e.unknownError(f.ErrorCode)
		e.uint("final_size", f.FinalSize)
		e.uint("reliable_size", f.ReliableSize)
	default:
		var f wire.StopSendingFrame
		f, n = wire.ParseStopSending(b)
		e.frameType("stop_sending")
		e.uint("stream_id", f.ID)
		e.unknownError(f.ErrorCode)
	}
	return n
}

// flowControlFrame writes the frames that grant credit or ask for it; it
// returns 0 for all others.
func (e *encoder) flowControlFrame(typ wire.FrameType, b []byte) int {
	switch typ {
	case wire.MaxData:
		f, n := wire.ParseMaxData(b)
		e.frameType("max_data")
		e.uint("maximum", f.Max)
		return n
	case wire.MaxStreamData:
		f, n := wire.ParseMaxStreamData(b)
		e.frameType("max_stream_data")
		e.uint("stream_id", f.ID)
		e.uint("maximum", f.Max)
		return n
	case wire.MaxStreamsBidi, wire.MaxStreamsUni:
		f, n := wire.ParseMaxStreams(b)
		e.frameType("max_streams")
		e.string("stream_type", streamType(f.Uni))
		e.uint("maximum", f.Max)
		return n
	case wire.DataBlocked:
		f, n := wire.ParseDataBlocked(b)
		e.frameType("data_blocked")
		e.uint("limit", f.Limit)
		return n
	case wire.StreamDataBlocked:
		f, n := wire.ParseStreamDataBlocked(b)
		e.frameType("stream_data_blocked")
		e.uint("stream_id", f.ID)
		e.uint("limit", f.Limit)
		return n
	case wire.StreamsBlockedBidi, wire.StreamsBlockedUni:
		f, n := wire.ParseStreamsBlocked(b)
		e.frameType("streams_blocked")
		e.string("stream_type", streamType(f.Uni))
		e.uint("limit", f.Limit)
		return n
	}
	return 0
}

// pathFrame writes the frames of connection IDs and path validation.
func (e *encoder) pathFrame(typ wire.FrameType, b []byte) (n int) {
	switch typ {
	case wire.NewConnectionID:
		var f wire.NewConnectionIDFrame
		f, n = wire.ParseNewConnectionID(b)
		e.frameType("new_connection_id")
		e.uint("sequence_number", f.Sequence)
		e.uint("retire_prior_to", f.RetirePriorTo)
		e.uint("connection_id_length", uint64(f.ConnID.Len()))
		e.connID("connection_id", f.ConnID)
	case wire.RetireConnectionID:
		var f wire.RetireConnectionIDFrame
		f, n = wire.ParseRetireConnectionID(b)
		e.frameType("retire_connection_id")
		e.uint("sequence_number", f.Sequence)
	case wire.PathChallenge:
		var f wire.PathChallengeFrame
		f, n = wire.ParsePathChallenge(b)
		e.frameType("path_challenge")
		e.hex("data", f.Data[:])
	default:
		var f wire.PathResponseFrame
		f, n = wire.ParsePathResponse(b)
		e.frameType("path_response")
		e.hex("data", f.Data[:])
	}
	return n
}

func (e *encoder) ackFrequencyFrame(b []byte) int {
	f, n := wire.ParseAckFrequency(b)
	e.frameType("ack_frequency")
	e.uint("sequence_number", f.Sequence)
	e.uint("ack_eliciting_threshold", f.AckElicitingThreshold)
	e.milliseconds("requested_max_ack_delay", ackDelay(f.RequestedMaxAckDelay, 0))
	e.uint("reordering_threshold", f.ReorderingThreshold)
	return n
}

// frameName returns the draft's name of a frame type, or "" if it has none.
func frameName(typ wire.FrameType) string {
	if typ.IsStream() {
		return "stream"
	}
	switch typ {
	case wire.ImmediateAck:
		return "immediate_ack"
	case wire.ResetStreamAt:
		return "reset_stream_at"
	case datagram, datagramWithLength:
		return "datagram"
	case wire.AckFrequency:
		return "ack_frequency"
	}
	if typ < wire.FrameType(len(frameNames)) {
		return frameNames[typ]
	}
	return ""
}

var frameNames = [...]string{
	wire.Padding:            "padding",
	wire.Ping:               "ping",
	wire.Ack:                "ack",
	wire.AckECN:             "ack",
	wire.ResetStream:        "reset_stream",
	wire.StopSending:        "stop_sending",
	wire.Crypto:             "crypto",
	wire.NewToken:           "new_token",
	wire.MaxData:            "max_data",
	wire.MaxStreamData:      "max_stream_data",
	wire.MaxStreamsBidi:     "max_streams",
	wire.MaxStreamsUni:      "max_streams",
	wire.DataBlocked:        "data_blocked",
	wire.StreamDataBlocked:  "stream_data_blocked",
	wire.StreamsBlockedBidi: "streams_blocked",
	wire.StreamsBlockedUni:  "streams_blocked",
	wire.NewConnectionID:    "new_connection_id",
	wire.RetireConnectionID: "retire_connection_id",
	wire.PathChallenge:      "path_challenge",
	wire.PathResponse:       "path_response",
	wire.ConnectionClose:    "connection_close",
	wire.ApplicationClose:   "connection_close",
	wire.HandshakeDone:      "handshake_done",
}

// transportError writes a transport error code by its name.
func (e *encoder) transportError(k string, code uint64) {
	switch {
	case code < uint64(len(transportErrors)):
		e.string(k, transportErrors[code])
	case code>>8 == 1:
		// "all strings from "crypto_error_0x100" to "crypto_error_0x1ff""
		// https://datatracker.ietf.org/doc/html/draft-ietf-quic-qlog-quic-events-13#section-8.13.26
		e.key(k)
		e.b = append(e.b, `"crypto_error_0x`...)
		e.b = strconv.AppendUint(e.b, code, 16)
		e.b = append(e.b, '"', ',')
	default:
		e.string(k, "unknown")
		e.uint("error_code", code)
	}
}

// https://www.rfc-editor.org/rfc/rfc9000#section-20.1
var transportErrors = [...]string{
	0x00: "no_error",
	0x01: "internal_error",
	0x02: "connection_refused",
	0x03: "flow_control_error",
	0x04: "stream_limit_error",
	0x05: "stream_state_error",
	0x06: "final_size_error",
	0x07: "frame_encoding_error",
	0x08: "transport_parameter_error",
	0x09: "connection_id_limit_error",
	0x0a: "protocol_violation",
	0x0b: "invalid_token",
	0x0c: "application_error",
	0x0d: "crypto_buffer_exceeded",
	0x0e: "key_update_error",
	0x0f: "aead_limit_reached",
	0x10: "no_viable_path",
}
