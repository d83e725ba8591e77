package core

import (
	"errors"

	"github.com/pquic-go/pquic/core/stream"
	"github.com/pquic-go/pquic/core/wire"
	"github.com/pquic-go/pquic/protoops"
)

// Four operations exist per frame type: parse_frame, process_frame,
// write_frame and notify_frame. The first two carry the parsed frame, so their
// slots are typed by it; the others do not. The eight types of STREAM frames
// share the parameter 0x08. Frame types the engine does not know live in the
// plugin slots.

// nativeFrames bounds the dense index of the frame types the engine knows:
// 0x00 to 0x1f and two beyond.
const nativeFrames = 0x22

// frameIndex returns the dense index of a frame type.
func frameIndex(t wire.FrameType) (int, bool) {
	switch {
	case t >= wire.Stream && t <= wire.StreamMax:
		return int(wire.Stream), true
	case t < 0x20:
		return int(t), wire.FactsOf(t).Known()
	case t == wire.ResetStreamAt:
		return 0x20, true
	case t == wire.AckFrequency:
		return 0x21, true
	}
	return 0, false
}

type (
	// FrameBytes is the argument of parse_frame.
	FrameBytes struct {
		Bytes []byte `op:"bytes" doc:"the rest of the packet, from the frame's type on"`
		Level uint64 `op:"level" doc:"encryption level of the packet"`
	}

	// Parsed is the result of parse_frame.
	Parsed[F any] struct {
		Length uint64 `op:"length" unit:"bytes" doc:"bytes the frame takes, 0 malformed"`
		frame  F
	}

	// Received is the argument of process_frame.
	Received[F any] struct {
		Path   *Path           `op:"path" doc:"path the packet arrived on"`
		Packet *ReceivedPacket `op:"packet" doc:"the packet being processed"`
		frame  F
	}

	// Outcome is the result of process_frame.
	Outcome struct {
		Code uint64 `op:"error_code" doc:"transport error that closes the connection, 0 none"`
		err  *TransportError
	}

	// Written is the result of write_frame.
	Written struct {
		Frames uint64 `op:"frames" doc:"frames written"`
	}

	// WriteArg is the argument of write_frame.
	WriteArg struct {
		Builder *PacketBuilder `op:"builder" doc:"the packet being built"`
		Path    *Path          `op:"path" doc:"the path it will take"`
		Type    uint64         `op:"type" doc:"frame type"`
		Cookie  uint64         `op:"cookie" doc:"what the reservation of a plugin's frame said"`
		Room    uint64         `op:"room" unit:"bytes" doc:"bytes the frame may take"`
	}

	// FrameFate is the argument of notify_frame.
	FrameFate struct {
		Path   *Path       `op:"path" doc:"path the packet was sent on"`
		Packet *SentPacket `op:"packet" doc:"the packet, nil if the frame was never sent"`
		Type   uint64      `op:"type" doc:"frame type"`
		Cookie uint64      `op:"cookie" doc:"stream offset or sequence number; what the reservation said of a plugin's frame"`
		Length uint64      `op:"length" unit:"bytes" doc:"bytes of the range"`
		Fate   uint64      `op:"fate" doc:"0 lost, 1 acknowledged, 2 not sent"`
	}
)

// Fates of a frame, FrameFate.Fate.
const (
	FateLost uint64 = iota
	FateAcked
	FateUnsent
)

// Frame returns the parsed frame; a Go pluglet replacing parse_frame sets it.
func (p *Parsed[F]) Frame() *F { return &p.frame }

// Frame returns the frame to process.
func (r *Received[F]) Frame() *F { return &r.frame }

// frameOps are the typed operations of one frame type.
type frameOps[F any] struct {
	parse   protoops.Slot[FrameBytes, Parsed[F]]
	process protoops.Slot[Received[F], Outcome]
}

// frameSlots holds the slots of all frame types.
type frameSlots struct {
	padding           frameOps[wire.PaddingFrame]
	ping              frameOps[wire.PingFrame]
	ack               frameOps[wire.AckFrame]
	resetStream       frameOps[wire.ResetStreamFrame]
	stopSending       frameOps[wire.StopSendingFrame]
	crypto            frameOps[wire.CryptoFrame]
	newToken          frameOps[wire.NewTokenFrame]
	stream            frameOps[wire.StreamFrame]
	maxData           frameOps[wire.MaxDataFrame]
	maxStreamData     frameOps[wire.MaxStreamDataFrame]
	maxStreams        frameOps[wire.MaxStreamsFrame]
	maxStreamsUni     frameOps[wire.MaxStreamsFrame]
	dataBlocked       frameOps[wire.DataBlockedFrame]
	streamDataBlocked frameOps[wire.StreamDataBlockedFrame]
	streamsBlocked    frameOps[wire.StreamsBlockedFrame]
	streamsBlockedUni frameOps[wire.StreamsBlockedFrame]
	newConnectionID   frameOps[wire.NewConnectionIDFrame]
	retireConnID      frameOps[wire.RetireConnectionIDFrame]
	pathChallenge     frameOps[wire.PathChallengeFrame]
	pathResponse      frameOps[wire.PathResponseFrame]
	connectionClose   frameOps[wire.ConnectionCloseFrame]
	applicationClose  frameOps[wire.ConnectionCloseFrame]
	handshakeDone     frameOps[wire.HandshakeDoneFrame]
	resetStreamAt     frameOps[wire.ResetStreamAtFrame]
	ackFrequency      frameOps[wire.AckFrequencyFrame]
	immediateAck      frameOps[wire.ImmediateAckFrame]

	write  [nativeFrames]protoops.Slot[WriteArg, Written]
	notify [nativeFrames]protoops.Slot[FrameFate, protoops.None]

	plugin struct {
		parse   protoops.Dynamic[FrameBytes, Parsed[PluginFrame]]
		process protoops.Dynamic[Received[PluginFrame], Outcome]
		write   protoops.Dynamic[WriteArg, Written]
		notify  protoops.Dynamic[FrameFate, protoops.None]
	}
}

// A PluginFrame is a frame of a type the engine does not know.
type PluginFrame struct {
	Type  wire.FrameType
	Bytes []byte // the whole frame, type included; aliases the packet
}

// process runs both operations of one frame at the start of b.
func process[F any](c *Conn, ops *frameOps[F], in *ReceivedPacket, t wire.FrameType, b []byte,
	parse func([]byte) (F, int), handle func(*Conn, *ReceivedPacket, F) *TransportError) (int, *TransportError) {
	var f F
	var n int
	if ops.parse.Attached() {
		r := ops.parse.Run(FrameBytes{Bytes: b, Level: uint64(in.level)})
		f, n = r.frame, int(min(r.Length, uint64(len(b))))
	} else {
		f, n = parse(b)
	}
	if n == 0 {
		return 0, violation(FrameEncodingError, t, "malformed frame")
	}
	if ops.process.Attached() {
		return n, ops.process.Run(Received[F]{Path: in.path, Packet: in, frame: f}).error(t)
	}
	return n, handle(c, in, f)
}

func (o Outcome) error(t wire.FrameType) *TransportError {
	if o.err != nil {
		return o.err
	}
	if o.Code != 0 {
		return violation(TransportErrorCode(o.Code), t, "refused by a plugin")
	}
	return nil
}

// processFrames handles the frames of an authenticated packet in order.
func (c *Conn) processFrames(in *ReceivedPacket) *TransportError {
	b := in.Payload
	for len(b) > 0 {
		var n int
		var err *TransportError
		switch t := b[0]; {
		case t&^7 == byte(wire.Stream):
			if !wire.FactsOf(wire.Stream).Packets.Has(in.ptype) {
				return violation(ProtocolViolation, wire.Stream, "not allowed in a packet of type %s", in.ptype)
			}
			in.eliciting, in.nonProbing = true, true
			n, err = process(c, &c.ops.frames.stream, in, wire.FrameType(t), b, wire.ParseStream, (*Conn).processStream)
		case t == byte(wire.Ack) || t == byte(wire.AckECN):
			if !wire.FactsOf(wire.Ack).Packets.Has(in.ptype) {
				return violation(ProtocolViolation, wire.Ack, "not allowed in a packet of type %s", in.ptype)
			}
			in.nonProbing = true
			n, err = process(c, &c.ops.frames.ack, in, wire.FrameType(t), b, wire.ParseAck, (*Conn).processAckFrame)
		default:
			n, err = c.processFrame(in, b)
		}
		if err != nil {
			return err
		}
		b = b[n:]
		if c.v.State >= StateClosing {
			return nil
		}
	}
	return nil
}

// processFrame handles every frame but STREAM and ACK.
func (c *Conn) processFrame(in *ReceivedPacket, b []byte) (int, *TransportError) {
	t, n := wire.NextFrameType(b)
	if n == 0 {
		if t == wire.NoFrameType {
			return 0, violation(FrameEncodingError, 0, "packet ends within a frame type")
		}
		// "An endpoint MAY treat the receipt of a frame type that uses a longer
		// encoding than necessary as a connection error of type
		// PROTOCOL_VIOLATION."
		// https://www.rfc-editor.org/rfc/rfc9000#section-12.4
		return 0, violation(ProtocolViolation, t, "frame type is not minimally encoded")
	}
	facts := wire.FactsOf(t)
	if !facts.Known() {
		return c.processPluginFrame(in, t, b)
	}
	if !facts.Packets.Has(in.ptype) {
		// "An endpoint MUST treat receipt of a frame in a packet type that is not
		// permitted as a connection error of type PROTOCOL_VIOLATION."
		// https://www.rfc-editor.org/rfc/rfc9000#section-12.4
		return 0, violation(ProtocolViolation, t, "not allowed in a packet of type %s", in.ptype)
	}
	if facts.ServerOnly && c.IsServer() {
		return 0, violation(ProtocolViolation, t, "sent by a client")
	}
	in.eliciting = in.eliciting || facts.AckEliciting
	in.nonProbing = in.nonProbing || !facts.Probing
	o := &c.ops.frames
	switch t {
	case wire.Padding:
		return process(c, &o.padding, in, t, b, wire.ParsePadding, (*Conn).processPadding)
	case wire.Ping:
		return process(c, &o.ping, in, t, b, wire.ParsePing, (*Conn).processPing)
	case wire.ResetStream:
		return process(c, &o.resetStream, in, t, b, wire.ParseResetStream, (*Conn).processResetStream)
	case wire.StopSending:
		return process(c, &o.stopSending, in, t, b, wire.ParseStopSending, (*Conn).processStopSending)
	case wire.Crypto:
		return process(c, &o.crypto, in, t, b, wire.ParseCrypto, (*Conn).processCrypto)
	case wire.NewToken:
		return process(c, &o.newToken, in, t, b, wire.ParseNewToken, (*Conn).processNewToken)
	case wire.MaxData:
		return process(c, &o.maxData, in, t, b, wire.ParseMaxData, (*Conn).processMaxData)
	case wire.MaxStreamData:
		return process(c, &o.maxStreamData, in, t, b, wire.ParseMaxStreamData, (*Conn).processMaxStreamData)
	case wire.MaxStreamsBidi:
		return process(c, &o.maxStreams, in, t, b, wire.ParseMaxStreams, (*Conn).processMaxStreams)
	case wire.MaxStreamsUni:
		return process(c, &o.maxStreamsUni, in, t, b, wire.ParseMaxStreams, (*Conn).processMaxStreams)
	case wire.DataBlocked:
		return process(c, &o.dataBlocked, in, t, b, wire.ParseDataBlocked, (*Conn).processDataBlocked)
	case wire.StreamDataBlocked:
		return process(c, &o.streamDataBlocked, in, t, b, wire.ParseStreamDataBlocked, (*Conn).processStreamDataBlocked)
	case wire.StreamsBlockedBidi:
		return process(c, &o.streamsBlocked, in, t, b, wire.ParseStreamsBlocked, (*Conn).processStreamsBlocked)
	case wire.StreamsBlockedUni:
		return process(c, &o.streamsBlockedUni, in, t, b, wire.ParseStreamsBlocked, (*Conn).processStreamsBlocked)
	case wire.NewConnectionID:
		return process(c, &o.newConnectionID, in, t, b, wire.ParseNewConnectionID, (*Conn).processNewConnectionID)
	case wire.RetireConnectionID:
		return process(c, &o.retireConnID, in, t, b, wire.ParseRetireConnectionID, (*Conn).processRetireConnectionID)
	case wire.PathChallenge:
		return process(c, &o.pathChallenge, in, t, b, wire.ParsePathChallenge, (*Conn).processPathChallenge)
	case wire.PathResponse:
		return process(c, &o.pathResponse, in, t, b, wire.ParsePathResponse, (*Conn).processPathResponse)
	case wire.ConnectionClose:
		return process(c, &o.connectionClose, in, t, b, wire.ParseConnectionClose, (*Conn).processConnectionClose)
	case wire.ApplicationClose:
		return process(c, &o.applicationClose, in, t, b, wire.ParseConnectionClose, (*Conn).processConnectionClose)
	case wire.HandshakeDone:
		return process(c, &o.handshakeDone, in, t, b, wire.ParseHandshakeDone, (*Conn).processHandshakeDone)
	case wire.ResetStreamAt:
		return process(c, &o.resetStreamAt, in, t, b, wire.ParseResetStreamAt, (*Conn).processResetStreamAt)
	case wire.AckFrequency:
		return process(c, &o.ackFrequency, in, t, b, wire.ParseAckFrequency, (*Conn).processAckFrequency)
	case wire.ImmediateAck:
		return process(c, &o.immediateAck, in, t, b, wire.ParseImmediateAck, (*Conn).processImmediateAck)
	}
	return 0, violation(InternalError, t, "frame type without a handler")
}

// processPluginFrame handles a frame whose type a plugin declared.
func (c *Conn) processPluginFrame(in *ReceivedPacket, t wire.FrameType, b []byte) (int, *TransportError) {
	d, ok := c.plug.frames[t]
	parse := c.ops.frames.plugin.parse.Slot(uint64(t))
	if !ok || parse == nil {
		// "An endpoint MUST treat the receipt of a frame of unknown type as a
		// connection error of type FRAME_ENCODING_ERROR."
		// https://www.rfc-editor.org/rfc/rfc9000#section-12.4
		c.unknownFrame(FrameTypeArg{Type: uint64(t)})
		return 0, violation(FrameEncodingError, t, "unknown frame type")
	}
	if !d.Packets.Has(in.ptype) {
		return 0, violation(ProtocolViolation, t, "not allowed in a packet of type %s", in.ptype)
	}
	in.eliciting = in.eliciting || d.AckEliciting
	in.nonProbing = in.nonProbing || !d.Probing
	r := parse.Run(FrameBytes{Bytes: b, Level: uint64(in.level)})
	if r.Length == 0 || r.Length > uint64(len(b)) {
		return 0, violation(FrameEncodingError, t, "malformed frame")
	}
	if s := c.ops.frames.plugin.process.Slot(uint64(t)); s != nil {
		f := PluginFrame{Type: t, Bytes: b[:r.Length]}
		if err := s.Run(Received[PluginFrame]{Path: in.path, Packet: in, frame: f}).error(t); err != nil {
			return 0, err
		}
	}
	return int(r.Length), nil
}

// FrameTypeArg names a frame type.
type FrameTypeArg struct {
	Type uint64 `op:"type" doc:"frame type"`
}

// unknownFrame tells that a frame of a type no one has declared arrived. Event "unknown_frame".
func (c *Conn) unknownFrame(a FrameTypeArg) {
	if c.ops.unknownFrame.Attached() {
		c.ops.unknownFrame.Run(a)
	}
}

var opUnknownFrame = protoops.Define(protoops.Key{Name: "unknown_frame", Param: protoops.NoParam},
	protoops.Doc{
		Summary: "A frame of a type no one has declared arrived",
		Fires:   "just before the connection closes with FRAME_ENCODING_ERROR",
		Section: "https://www.rfc-editor.org/rfc/rfc9000#section-12.4",
	},
	func(c *Conn) *protoops.Slot[FrameTypeArg, protoops.None] { return &c.ops.unknownFrame },
	nil)

// defineFrame declares the typed operations of one frame type.
func defineFrame[F any](t wire.FrameType, name, section string, ops func(*frameSlots) *frameOps[F],
	parse func([]byte) (F, int), handle func(*Conn, *ReceivedPacket, F) *TransportError) []protoops.Op[*Conn] {
	return []protoops.Op[*Conn]{
		protoops.Define(protoops.Key{Name: "parse_frame", Param: uint64(t)},
			protoops.Doc{Summary: "Parses a " + name + " frame", Fires: "per frame, in packet order", Section: section},
			func(c *Conn) *protoops.Slot[FrameBytes, Parsed[F]] { return &ops(&c.ops.frames).parse },
			func(c *Conn, a FrameBytes) Parsed[F] {
				f, n := parse(a.Bytes)
				return Parsed[F]{frame: f, Length: uint64(n)}
			}),
		protoops.Define(protoops.Key{Name: "process_frame", Param: uint64(t)},
			protoops.Doc{Summary: "Acts on a " + name + " frame", Fires: "per frame, once parsed", Section: section},
			func(c *Conn) *protoops.Slot[Received[F], Outcome] { return &ops(&c.ops.frames).process },
			func(c *Conn, a Received[F]) Outcome {
				err := handle(c, a.Packet, a.frame)
				if err != nil {
					return Outcome{Code: uint64(err.Code), err: err}
				}
				return Outcome{}
			}),
	}
}

// familyOps declares the operations parametrized by frame type or transport
// parameter.
func familyOps() []protoops.Op[*Conn] {
	const rfc = "https://www.rfc-editor.org/rfc/rfc9000#section-19."
	var all []protoops.Op[*Conn]
	add := func(ops []protoops.Op[*Conn]) { all = append(all, ops...) }
	add(defineFrame(wire.Padding, "PADDING", rfc+"1", func(s *frameSlots) *frameOps[wire.PaddingFrame] { return &s.padding }, wire.ParsePadding, (*Conn).processPadding))
	add(defineFrame(wire.Ping, "PING", rfc+"2", func(s *frameSlots) *frameOps[wire.PingFrame] { return &s.ping }, wire.ParsePing, (*Conn).processPing))
	add(defineFrame(wire.Ack, "ACK", rfc+"3", func(s *frameSlots) *frameOps[wire.AckFrame] { return &s.ack }, wire.ParseAck, (*Conn).processAckFrame))
	add(defineFrame(wire.ResetStream, "RESET_STREAM", rfc+"4", func(s *frameSlots) *frameOps[wire.ResetStreamFrame] { return &s.resetStream }, wire.ParseResetStream, (*Conn).processResetStream))
	add(defineFrame(wire.StopSending, "STOP_SENDING", rfc+"5", func(s *frameSlots) *frameOps[wire.StopSendingFrame] { return &s.stopSending }, wire.ParseStopSending, (*Conn).processStopSending))
	add(defineFrame(wire.Crypto, "CRYPTO", rfc+"6", func(s *frameSlots) *frameOps[wire.CryptoFrame] { return &s.crypto }, wire.ParseCrypto, (*Conn).processCrypto))
	add(defineFrame(wire.NewToken, "NEW_TOKEN", rfc+"7", func(s *frameSlots) *frameOps[wire.NewTokenFrame] { return &s.newToken }, wire.ParseNewToken, (*Conn).processNewToken))
	add(defineFrame(wire.Stream, "STREAM", rfc+"8", func(s *frameSlots) *frameOps[wire.StreamFrame] { return &s.stream }, wire.ParseStream, (*Conn).processStream))
	add(defineFrame(wire.MaxData, "MAX_DATA", rfc+"9", func(s *frameSlots) *frameOps[wire.MaxDataFrame] { return &s.maxData }, wire.ParseMaxData, (*Conn).processMaxData))
	add(defineFrame(wire.MaxStreamData, "MAX_STREAM_DATA", rfc+"10", func(s *frameSlots) *frameOps[wire.MaxStreamDataFrame] { return &s.maxStreamData }, wire.ParseMaxStreamData, (*Conn).processMaxStreamData))
	add(defineFrame(wire.MaxStreamsBidi, "MAX_STREAMS (bidirectional)", rfc+"11", func(s *frameSlots) *frameOps[wire.MaxStreamsFrame] { return &s.maxStreams }, wire.ParseMaxStreams, (*Conn).processMaxStreams))
	add(defineFrame(wire.MaxStreamsUni, "MAX_STREAMS (unidirectional)", rfc+"11", func(s *frameSlots) *frameOps[wire.MaxStreamsFrame] { return &s.maxStreamsUni }, wire.ParseMaxStreams, (*Conn).processMaxStreams))
	add(defineFrame(wire.StreamsBlockedUni, "STREAMS_BLOCKED (unidirectional)", rfc+"14", func(s *frameSlots) *frameOps[wire.StreamsBlockedFrame] { return &s.streamsBlockedUni }, wire.ParseStreamsBlocked, (*Conn).processStreamsBlocked))
	add(defineFrame(wire.ApplicationClose, "CONNECTION_CLOSE (application)", rfc+"19", func(s *frameSlots) *frameOps[wire.ConnectionCloseFrame] { return &s.applicationClose }, wire.ParseConnectionClose, (*Conn).processConnectionClose))
	add(defineFrame(wire.DataBlocked, "DATA_BLOCKED", rfc+"12", func(s *frameSlots) *frameOps[wire.DataBlockedFrame] { return &s.dataBlocked }, wire.ParseDataBlocked, (*Conn).processDataBlocked))
	add(defineFrame(wire.StreamDataBlocked, "STREAM_DATA_BLOCKED", rfc+"13", func(s *frameSlots) *frameOps[wire.StreamDataBlockedFrame] { return &s.streamDataBlocked }, wire.ParseStreamDataBlocked, (*Conn).processStreamDataBlocked))
	add(defineFrame(wire.StreamsBlockedBidi, "STREAMS_BLOCKED (bidirectional)", rfc+"14", func(s *frameSlots) *frameOps[wire.StreamsBlockedFrame] { return &s.streamsBlocked }, wire.ParseStreamsBlocked, (*Conn).processStreamsBlocked))
	add(defineFrame(wire.NewConnectionID, "NEW_CONNECTION_ID", rfc+"15", func(s *frameSlots) *frameOps[wire.NewConnectionIDFrame] { return &s.newConnectionID }, wire.ParseNewConnectionID, (*Conn).processNewConnectionID))
	add(defineFrame(wire.RetireConnectionID, "RETIRE_CONNECTION_ID", rfc+"16", func(s *frameSlots) *frameOps[wire.RetireConnectionIDFrame] { return &s.retireConnID }, wire.ParseRetireConnectionID, (*Conn).processRetireConnectionID))
	add(defineFrame(wire.PathChallenge, "PATH_CHALLENGE", rfc+"17", func(s *frameSlots) *frameOps[wire.PathChallengeFrame] { return &s.pathChallenge }, wire.ParsePathChallenge, (*Conn).processPathChallenge))
	add(defineFrame(wire.PathResponse, "PATH_RESPONSE", rfc+"18", func(s *frameSlots) *frameOps[wire.PathResponseFrame] { return &s.pathResponse }, wire.ParsePathResponse, (*Conn).processPathResponse))
	add(defineFrame(wire.ConnectionClose, "CONNECTION_CLOSE", rfc+"19", func(s *frameSlots) *frameOps[wire.ConnectionCloseFrame] { return &s.connectionClose }, wire.ParseConnectionClose, (*Conn).processConnectionClose))
	add(defineFrame(wire.HandshakeDone, "HANDSHAKE_DONE", rfc+"20", func(s *frameSlots) *frameOps[wire.HandshakeDoneFrame] { return &s.handshakeDone }, wire.ParseHandshakeDone, (*Conn).processHandshakeDone))
	const draft = "https://datatracker.ietf.org/doc/html/draft-ietf-quic-"
	add(defineFrame(wire.ResetStreamAt, "RESET_STREAM_AT", draft+"reliable-stream-reset-10", func(s *frameSlots) *frameOps[wire.ResetStreamAtFrame] { return &s.resetStreamAt }, wire.ParseResetStreamAt, (*Conn).processResetStreamAt))
	add(defineFrame(wire.AckFrequency, "ACK_FREQUENCY", draft+"ack-frequency-14", func(s *frameSlots) *frameOps[wire.AckFrequencyFrame] { return &s.ackFrequency }, wire.ParseAckFrequency, (*Conn).processAckFrequency))
	add(defineFrame(wire.ImmediateAck, "IMMEDIATE_ACK", draft+"ack-frequency-14", func(s *frameSlots) *frameOps[wire.ImmediateAckFrame] { return &s.immediateAck }, wire.ParseImmediateAck, (*Conn).processImmediateAck))
	for _, w := range frameWriters {
		all = append(all, defineWriter(w)...)
	}
	add(pluginFamilies())
	add(paramFamilies())
	return all
}

func (c *Conn) processPadding(*ReceivedPacket, wire.PaddingFrame) *TransportError         { return nil }
func (c *Conn) processPing(*ReceivedPacket, wire.PingFrame) *TransportError               { return nil }
func (c *Conn) processDataBlocked(*ReceivedPacket, wire.DataBlockedFrame) *TransportError { return nil }
func (c *Conn) processNewConnectionID(in *ReceivedPacket, f wire.NewConnectionIDFrame) *TransportError {
	if p := c.pathZero(); p != nil {
		return c.addRemoteID(p, f)
	}
	return nil
}

func (c *Conn) processRetireConnectionID(in *ReceivedPacket, f wire.RetireConnectionIDFrame) *TransportError {
	if p := c.pathZero(); p != nil {
		return c.retireLocalID(p, f.Sequence, in.dst)
	}
	return nil
}

// processStreamDataBlocked only checks that the stream may exist: our windows
// grow with what the application reads, not with what the peer asks for.
func (c *Conn) processStreamDataBlocked(_ *ReceivedPacket, f wire.StreamDataBlockedFrame) *TransportError {
	_, err := c.streams.forReceiving(f.ID, wire.StreamDataBlocked)
	return err
}

func (c *Conn) processStreamsBlocked(*ReceivedPacket, wire.StreamsBlockedFrame) *TransportError {
	return nil
}

// processNewToken keeps a token for the client's next visit.
// https://www.rfc-editor.org/rfc/rfc9000#section-19.7
func (c *Conn) processNewToken(_ *ReceivedPacket, f wire.NewTokenFrame) *TransportError {
	// "Clients MUST NOT use a session ticket or token from a QUIC version 1
	// connection to initiate a QUIC version 2 connection, and vice versa": one of
	// another version than the next connection begins with is of no use.
	// https://www.rfc-editor.org/rfc/rfc9369#section-5
	if c.config.Tokens != nil && c.Version() == firstVersion(c.config) {
		c.config.Tokens.Put(c.handshake.serverName, append([]byte(nil), f.Token...))
	}
	return nil
}

func (c *Conn) processHandshakeDone(*ReceivedPacket, wire.HandshakeDoneFrame) *TransportError {
	c.confirmHandshake()
	return nil
}

// streamError turns a fault found by package stream into a transport error.
func streamError(err error, t wire.FrameType) *TransportError {
	var e stream.Error
	if errors.As(err, &e) {
		return violation(TransportErrorCode(e.TransportCode()), t, "%v", e)
	}
	return violation(InternalError, t, "%v", err)
}
