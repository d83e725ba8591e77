package core

import (
	"github.com/pquic-go/pquic/core/recovery"
	"github.com/pquic-go/pquic/core/wire"
	"github.com/pquic-go/pquic/protoops"
)

// A PacketBuilder is the packet being written: header, then frames appended to
// b until room runs out. It is written speculatively and dropped when nothing
// came of it, so that "is there anything to send" and "send it" are the same
// code. A connection has one.
type PacketBuilder struct {
	BuilderView

	conn  *Conn
	path  *Path
	route *route
	space *numberSpace
	level encryptionLevel

	buf     []byte // the datagram's buffer; its length is the datagram's limit
	begin   int    // where this packet starts
	pnOff   int
	pnLen   int
	payload int    // where the first frame starts
	b       []byte // buf up to the end of what is written
	reserve int    // bytes held back for plugins in this packet
	held    []heldRoom
	booked  bool // reserve includes the standing bookings
	marked  bool // mark is decided
	mark    ECN

	records    []frameRecord
	ackFor     *numberSpace // what the writer of an ACK frame reports on
	stream     *Stream      // what the writer of a stream's frame writes about
	cookie     uint64
	eliciting  bool
	controlled bool // has a frame that counts towards bytes in flight
	hasAck     bool
	padding    bool
	retransmit bool
	crypto     bool
	mtuProbe   bool
	pathProbe  bool
	blocked    bool // congestion window or pacer closed: only uncontrolled frames
	full       bool // something had to wait for the next packet
	closed     bool // the last frame has no length and reaches to the end
}

// start begins a packet at offset at of buf and reports whether it fits.
func (b *PacketBuilder) start(buf []byte, at int, p *Path, rt *route, l encryptionLevel) bool {
	c := b.conn
	records := b.records[:0]
	*b = PacketBuilder{conn: c, path: p, route: rt, space: c.space(l, p), level: l, buf: buf, begin: at, records: records, held: b.held[:0]}
	largest, have := b.space.sent.LargestAcked, b.space.sent.HasAcked
	b.pnLen = wire.PacketNumberLen(b.space.sent.Next(), largest, have)
	n := int(min(c.packetNumberLength(SpaceArg{Path: p, Space: uint64(b.space.id)}).Count, 4))
	b.pnLen = max(n, b.pnLen)
	dst := c.destConnID(p, rt)
	w := buf[:at]
	if l == level1RTT {
		if at+1+dst.Len()+b.pnLen+4+overhead > len(buf) {
			return false
		}
		w = wire.AppendShortHeader(w, dst, c.spinBit(p), c.v.KeyPhase != 0, b.pnLen)
		w = b.grease(w)
	} else {
		var token []byte
		if l == levelInitial && !c.IsServer() {
			token = c.handshake.token
		}
		if at+wire.LongHeaderLen(l.packetType(), dst, c.handshake.localSrc, len(token))+b.pnLen+4+overhead > len(buf) {
			return false
		}
		v := wire.Version(c.v.Version)
		if l == levelEarly {
			v = wire.Version(c.v.OriginalVersion)
		}
		w = wire.AppendLongHeader(w, l.packetType(), v, dst, c.handshake.localSrc, token, b.pnLen)
		w = b.grease(w)
	}
	b.pnOff = len(w)
	w = wire.AppendPacketNumber(w, b.space.sent.Next(), b.pnLen)
	b.payload = len(w)
	b.b = w
	b.BuilderView = BuilderView{Number: b.space.sent.Next(), PathID: p.ID, Limit: uint32(len(buf)), Offset: uint32(at),
		HeaderLength: uint32(len(w) - at), Overhead: overhead, Level: uint32(l)}
	return true
}

// packetNumberLength chooses how many bytes encode the packet number, 1 to 4. Operation "packet_number_length".
func (c *Conn) packetNumberLength(a SpaceArg) Count {
	if c.ops.packetNumberLength.Attached() {
		return c.ops.packetNumberLength.Run(a)
	}
	return c.packetNumberLengthNative(a)
}

var opPacketNumberLength = protoops.Define(protoops.Key{Name: "packet_number_length", Param: protoops.NoParam},
	protoops.Doc{
		Summary: "Chooses how many bytes encode the packet number, 1 to 4",
		Fires:   "per packet; fewer than necessary is raised",
		Native:  "the fewest that the peer can decode",
		Section: "https://www.rfc-editor.org/rfc/rfc9000#section-17.1",
	},
	func(c *Conn) *protoops.Slot[SpaceArg, Count] { return &c.ops.packetNumberLength },
	(*Conn).packetNumberLengthNative)

func (c *Conn) packetNumberLengthNative(a SpaceArg) Count {
	return Count{uint64(c.endpoint.scratch.out.pnLen)}
}

// grease clears the fixed bit of some packets if the peer allows it.
//
// "An endpoint … SHOULD set the QUIC Bit to an unpredictable value".
// https://www.rfc-editor.org/rfc/rfc9287#section-3.1
func (b *PacketBuilder) grease(w []byte) []byte {
	c := b.conn
	if c.v.RemoteParams.GreaseQUICBit != 0 && !c.config.DisableGrease && c.peerParams != nil && b.space.sent.Next()*0x9e3779b97f4a7c15>>63 != 0 {
		w[b.begin] &^= wire.FixedBit
	}
	return w
}

// spinBit returns the latency spin bit to send on p.
func (c *Conn) spinBit(p *Path) bool {
	return c.spin(PathArg{p}).Yes
}

// spin chooses the latency spin bit. Operation "spin_bit".
func (c *Conn) spin(a PathArg) Decision {
	if c.ops.spin.Attached() {
		return c.ops.spin.Run(a)
	}
	return c.spinNative(a)
}

var opSpin = protoops.Define(protoops.Key{Name: "spin_bit", Param: protoops.NoParam},
	protoops.Doc{
		Summary: "Chooses the latency spin bit",
		Fires:   "per 1-RTT packet",
		Native:  "a client inverts the bit it last saw, a server reflects it; random where disabled",
		Section: "https://www.rfc-editor.org/rfc/rfc9000#section-17.4",
	},
	func(c *Conn) *protoops.Slot[PathArg, Decision] { return &c.ops.spin },
	(*Conn).spinNative)

func (c *Conn) spinNative(a PathArg) Decision {
	if c.v.SpinEnabled == 0 {
		// "It is RECOMMENDED that endpoints set the spin bit to a random value
		// either chosen independently for each packet or chosen independently
		// for each connection ID."
		// https://www.rfc-editor.org/rfc/rfc9000#section-17.4
		dst := c.destConnID(a.Path, a.Path.route)
		return Decision{dst.Len() > 0 && dst.At(0)&1 != 0}
	}
	return Decision{c.v.Spin != 0}
}

// Path returns the path the packet will take.
func (b *PacketBuilder) Path() *Path { return b.path }

// Room returns how many bytes of frames still fit.
func (b *PacketBuilder) Room() int { return b.room() }

func (b *PacketBuilder) room() int {
	return len(b.buf) - overhead - len(b.b) - b.reserve
}

// Payload returns the frames written so far; it aliases the packet.
func (b *PacketBuilder) Payload() []byte { return b.b[b.payload:] }

// record notes a frame for its fate; its facts make the packet's.
func (b *PacketBuilder) record(r frameRecord) {
	b.records = append(b.records, r)
	b.eliciting, b.controlled = true, true
}

func (b *PacketBuilder) empty() bool { return len(b.b) == b.payload }

// padTo makes the datagram at least n bytes long once sealed.
func (b *PacketBuilder) padTo(n int) {
	n = min(n, len(b.buf))
	if k := n - overhead - len(b.b); k > 0 {
		b.b = wire.AppendPadding(b.b, k)
		b.padding = true
	}
}

// padForSampling makes sure there are enough bytes for the header protection
// sample: "at least 4 bytes longer than" the packet number.
// https://www.rfc-editor.org/rfc/rfc9001#section-5.4.2
func (b *PacketBuilder) padForSampling() {
	if k := 4 - b.pnLen - (len(b.b) - b.payload); k > 0 {
		b.b = wire.AppendPadding(b.b, k)
		b.padding = true
	}
}

func (b *PacketBuilder) flags() uint32 {
	var f uint32
	if b.eliciting {
		f |= recovery.AckEliciting
	}
	// "Packets are considered in flight when they are ack-eliciting or contain a
	// PADDING frame".
	// https://www.rfc-editor.org/rfc/rfc9002#section-2
	if b.controlled || b.padding {
		f |= recovery.InFlight
	} else if b.eliciting {
		f |= recovery.NotCongestionControlled
	}
	if b.hasAck && !b.eliciting {
		f |= recovery.PureAck
	}
	if b.crypto {
		f |= recovery.Crypto
	}
	if b.mtuProbe {
		f |= recovery.MTUProbe
	}
	if b.pathProbe {
		f |= recovery.PathProbe
	}
	return f
}

// ecn is the ECN codepoint of the packet. Probes of an address go unmarked: a
// path that drops marked packets must not look like one that leads nowhere. So
// do packets that elicit no acknowledgment: one who only acknowledges would never
// learn that his marks are what gets his packets dropped.
func (b *PacketBuilder) ecn() ECN {
	switch {
	case b.marked:
		return b.mark
	case b.pathProbe || !b.eliciting:
		return NotECT
	}
	return b.path.ecn.mark
}

// markAs decides the codepoint beforehand: packets that leave in one datagram, or
// in one run of datagrams, have the same.
func (b *PacketBuilder) markAs(mark ECN) { b.marked, b.mark = true, mark }

// A frameWriter writes one frame of its type; room was checked.
type frameWriter struct {
	typ   wire.FrameType
	name  string
	write func(*Conn, *PacketBuilder)
}

// frameWriters are the native bodies of write_frame.
var frameWriters = []frameWriter{
	{wire.Ping, "PING", writePing},
	{wire.Ack, "ACK", writeAckFrame},
	{wire.ResetStream, "RESET_STREAM", writeResetStream},
	{wire.StopSending, "STOP_SENDING", writeStopSending},
	{wire.Crypto, "CRYPTO", writeCryptoFrame},
	{wire.Stream, "STREAM", writeStream},
	{wire.NewToken, "NEW_TOKEN", writeNewToken},
	{wire.MaxData, "MAX_DATA", writeMaxData},
	{wire.MaxStreamData, "MAX_STREAM_DATA", writeMaxStreamData},
	{wire.MaxStreamsBidi, "MAX_STREAMS (bidirectional)", writeMaxStreamsBidi},
	{wire.MaxStreamsUni, "MAX_STREAMS (unidirectional)", writeMaxStreamsUni},
	{wire.DataBlocked, "DATA_BLOCKED", writeDataBlocked},
	{wire.StreamDataBlocked, "STREAM_DATA_BLOCKED", writeStreamDataBlocked},
	{wire.StreamsBlockedBidi, "STREAMS_BLOCKED (bidirectional)", writeStreamsBlockedBidi},
	{wire.StreamsBlockedUni, "STREAMS_BLOCKED (unidirectional)", writeStreamsBlockedUni},
	{wire.NewConnectionID, "NEW_CONNECTION_ID", writeNewConnectionID},
	{wire.RetireConnectionID, "RETIRE_CONNECTION_ID", writeRetireConnectionID},
	{wire.PathChallenge, "PATH_CHALLENGE", writePathChallenge},
	{wire.PathResponse, "PATH_RESPONSE", writePathResponse},
	{wire.HandshakeDone, "HANDSHAKE_DONE", writeHandshakeDone},
	{wire.ResetStreamAt, "RESET_STREAM_AT", writeResetStreamAt},
	{wire.AckFrequency, "ACK_FREQUENCY", writeAckFrequency},
	{wire.ImmediateAck, "IMMEDIATE_ACK", writeImmediateAck},
}

// writerByIndex finds a native writer by the dense index of its type.
var writerByIndex = func() (w [nativeFrames]func(*Conn, *PacketBuilder)) {
	for _, f := range frameWriters {
		i, _ := frameIndex(f.typ)
		w[i] = f.write
	}
	return w
}()

// writeFrame runs operation write_frame of a native type.
func (c *Conn) writeFrame(b *PacketBuilder, t wire.FrameType, cookie uint64) {
	i, _ := frameIndex(t)
	b.cookie = cookie
	if c.ops.frames.write[i].Attached() {
		c.ops.frames.write[i].Run(WriteArg{Builder: b, Path: b.path, Type: uint64(t), Cookie: cookie, Room: uint64(max(b.room(), 0))})
		return
	}
	writerByIndex[i](c, b)
}

// defineWriter declares write_frame and notify_frame of a native type.
func defineWriter(w frameWriter) []protoops.Op[*Conn] {
	i, _ := frameIndex(w.typ)
	write := w.write
	return []protoops.Op[*Conn]{
		protoops.Define(protoops.Key{Name: "write_frame", Param: uint64(w.typ)},
			protoops.Doc{Summary: "Writes a " + w.name + " frame into the packet", Fires: "when one is due and there is room"},
			func(c *Conn) *protoops.Slot[WriteArg, Written] { return &c.ops.frames.write[i] },
			func(c *Conn, a WriteArg) Written {
				n := len(a.Builder.records)
				write(c, a.Builder)
				return Written{uint64(len(a.Builder.records) - n)}
			}),
		protoops.Define(protoops.Key{Name: "notify_frame", Param: uint64(w.typ)},
			protoops.Doc{Summary: "Tells that a " + w.name + " frame was acknowledged or lost", Fires: "when its packet is settled"},
			func(c *Conn) *protoops.Slot[FrameFate, protoops.None] { return &c.ops.frames.notify[i] },
			nil),
	}
}

func writePing(c *Conn, b *PacketBuilder) {
	b.b = wire.AppendPing(b.b)
	b.record(frameRecord{typ: wire.Ping})
}

func (c *Conn) writePing(b *PacketBuilder) {
	if b.room() > 0 {
		c.writeFrame(b, wire.Ping, 0)
	}
}

// writeCrypto writes handshake data of the packet's level.
func (c *Conn) writeCrypto(b *PacketBuilder, s *cryptoStream) {
	for b.room() > 8 && s.pending() {
		before := len(b.b)
		c.writeFrame(b, wire.Crypto, 0)
		if len(b.b) == before {
			return
		}
	}
}

func writeCryptoFrame(c *Conn, b *PacketBuilder) {
	s := c.crypto[b.space.id]
	room := b.room()
	off, n, _, retransmit, ok := s.send.Next(room, wire.MaxVarint)
	if !ok {
		return
	}
	h := wire.CryptoHeaderLen(off, n)
	if h+n > room {
		n = room - h
		if n <= 0 {
			return
		}
	}
	b.b = wire.AppendCryptoHeader(b.b, off, n)
	at := len(b.b)
	b.b = b.b[:at+n]
	s.send.CopyTo(b.b[at:], off)
	s.send.CommitSent(off, n, false)
	b.retransmit = b.retransmit || retransmit
	b.crypto = true
	b.record(frameRecord{typ: wire.Crypto, off: off, n: uint32(n)})
}

func writeNewToken(c *Conn, b *PacketBuilder) {
	if len(c.handshake.newToken) == 0 || b.room() < len(c.handshake.newToken)+9 {
		return
	}
	b.b = wire.AppendNewToken(b.b, wire.NewTokenFrame{Token: c.handshake.newToken})
	b.record(frameRecord{typ: wire.NewToken})
}

func writeMaxData(c *Conn, b *PacketBuilder) {
	b.b = wire.AppendMaxData(b.b, wire.MaxDataFrame{Max: c.v.MaxDataLocal})
	b.record(frameRecord{typ: wire.MaxData, off: c.v.MaxDataLocal})
}

func writeMaxStreamsBidi(c *Conn, b *PacketBuilder) {
	b.b = wire.AppendMaxStreams(b.b, wire.MaxStreamsFrame{Max: c.v.MaxStreamsBidiLocal})
	b.record(frameRecord{typ: wire.MaxStreamsBidi, off: c.v.MaxStreamsBidiLocal})
}

func writeMaxStreamsUni(c *Conn, b *PacketBuilder) {
	b.b = wire.AppendMaxStreams(b.b, wire.MaxStreamsFrame{Max: c.v.MaxStreamsUniLocal, Uni: true})
	b.record(frameRecord{typ: wire.MaxStreamsUni, off: c.v.MaxStreamsUniLocal})
}

func writeDataBlocked(c *Conn, b *PacketBuilder) {
	b.b = wire.AppendDataBlocked(b.b, wire.DataBlockedFrame{Limit: c.v.MaxDataRemote})
	b.record(frameRecord{typ: wire.DataBlocked, off: c.v.MaxDataRemote})
}

func writeStreamsBlockedBidi(c *Conn, b *PacketBuilder) {
	b.b = wire.AppendStreamsBlocked(b.b, wire.StreamsBlockedFrame{Limit: c.v.MaxStreamsBidiRemote})
	b.record(frameRecord{typ: wire.StreamsBlockedBidi, off: c.v.MaxStreamsBidiRemote})
}

func writeStreamsBlockedUni(c *Conn, b *PacketBuilder) {
	b.b = wire.AppendStreamsBlocked(b.b, wire.StreamsBlockedFrame{Limit: c.v.MaxStreamsUniRemote, Uni: true})
	b.record(frameRecord{typ: wire.StreamsBlockedUni, off: c.v.MaxStreamsUniRemote})
}

func writeHandshakeDone(c *Conn, b *PacketBuilder) {
	c.v.HandshakeDoneSent = 1
	b.b = wire.AppendHandshakeDone(b.b)
	b.record(frameRecord{typ: wire.HandshakeDone})
}

// writeNewConnectionID writes one of the connection IDs that wait; the pending
// bit stays until all are out.
func writeNewConnectionID(c *Conn, b *PacketBuilder) {
	p := c.pathZero()
	if p == nil {
		return
	}
	more := false
	written := false
	for i := range p.local.ids {
		l := &p.local.ids[i]
		if !l.send {
			continue
		}
		if written {
			more = true
			break
		}
		b.b = wire.AppendNewConnectionID(b.b, wire.NewConnectionIDFrame{Sequence: l.seq, ConnID: l.id, ResetToken: c.endpoint.resetToken(l.id)})
		b.record(frameRecord{typ: wire.NewConnectionID, off: l.seq})
		l.send = false
		written = true
	}
	if more {
		c.pend |= pendNewConnID
	}
}

// writeRetireConnectionID writes one of the retirements owed.
func writeRetireConnectionID(c *Conn, b *PacketBuilder) {
	p := c.pathZero()
	if p == nil || len(p.remote.retire) == 0 {
		return
	}
	r := &p.remote
	seq := r.retire[0]
	r.retire = r.retire[1:]
	r.unacked++
	b.b = wire.AppendRetireConnectionID(b.b, wire.RetireConnectionIDFrame{Sequence: seq})
	b.record(frameRecord{typ: wire.RetireConnectionID, off: seq})
	if len(r.retire) > 0 {
		c.pend |= pendRetireConnID
	} else {
		r.retire = nil
	}
}
