package core

import (
	"net/netip"

	"github.com/pquic-go/pquic/core/mono"
	"github.com/pquic-go/pquic/core/recovery"
	"github.com/pquic-go/pquic/core/wire"
	"github.com/pquic-go/pquic/protoops"
)

// A Transmit describes datagrams the engine has written into the caller's
// buffer: one, or a run of equal size (the last may be shorter) that a single
// segmentation-offload send can take.
type Transmit struct {
	Len           int // bytes written
	SegmentSize   int // size of every datagram but the last
	Local, Remote netip.AddrPort
	IfIndex       uint32
	ECN           ECN
	Conn          *Conn // nil for an answer that belongs to no connection
	Path          uint64
	DontFragment  bool
}

// overhead is the AEAD's expansion, the same for all suites.
const overhead = 16

// transmit writes the connection's next datagrams into buf, at most segments
// of them, and reports false if there is nothing to send now.
func (c *Conn) transmit(now mono.Time, buf []byte, segments int) (Transmit, bool) {
	c.begin(now)
	if c.v.State >= StateClosing {
		return c.transmitClose(now, buf)
	}
	for _, p := range c.paths {
		p.ecn.update(c, p)
	}
	if t, ok := c.transmitProbe(now, buf); ok {
		return t, true
	}
	if c.keys[levelInitial].seal != nil || c.keys[levelHandshake].seal != nil {
		if t, ok := c.transmitHandshake(now, buf); ok {
			return t, true
		}
	}
	l := level1RTT
	if c.keys[level1RTT].seal == nil {
		if c.keys[levelEarly].seal == nil {
			return Transmit{}, false
		}
		l = levelEarly
	} else if c.v.HandshakeComplete == 0 && !c.IsServer() {
		return Transmit{}, false // the client's 1-RTT packets wait for its Finished
	}
	return c.transmitData(now, buf, segments, l)
}

// transmitData writes a run of 1-RTT (or 0-RTT) datagrams on one path.
func (c *Conn) transmitData(now mono.Time, buf []byte, segments int, l encryptionLevel) (Transmit, bool) {
	if len(c.paths) == 1 {
		if p := c.sendingPath(l); p != nil {
			return c.transmitPath(now, buf, segments, p, l)
		}
		return Transmit{}, false
	}
	// A probe has to take its own path, whichever the scheduler would choose.
	for _, p := range c.paths {
		if p.usable() && (p.Space.PTOProbes > 0 || p.needPing) {
			if t, ok := c.transmitPath(now, buf, segments, p, l); ok {
				return t, true
			}
		}
	}
	chosen := c.sendingPath(l)
	if chosen != nil && chosen.usable() {
		if t, ok := c.transmitPath(now, buf, segments, chosen, l); ok {
			return t, true
		}
	}
	// What only one path may carry must not wait for its turn with the data.
	for _, p := range c.paths {
		if p != chosen && p.usable() && (p.Space.AckNow != 0 || len(p.copies) > 0 || c.reservedFor(p)) {
			if t, ok := c.transmitPath(now, buf, segments, p, l); ok {
				return t, true
			}
		}
	}
	return Transmit{}, false
}

// transmitPath writes a run of datagrams on p.
func (c *Conn) transmitPath(now mono.Time, buf []byte, segments int, p *Path, l encryptionLevel) (Transmit, bool) {
	rt := p.route
	size := min(int(p.MTU), len(buf))
	if c.handshakeOngoing() {
		size = min(size, int(c.config.InitialUDPPayload))
	}
	n, sealed := 0, 0
	for sealed < segments && n+size <= len(buf) {
		credit := rt.amplificationCredit()
		if credit < uint64(size) {
			if credit < minUDPPayload/2 {
				break
			}
			size = int(credit)
		}
		k := c.buildDatagram(now, buf[n:n+size:n+size], p, l)
		if k == 0 {
			break
		}
		rt.sent += uint64(k)
		n += k
		sealed++
		if k < size {
			break
		}
	}
	if n == 0 {
		return Transmit{}, false
	}
	t := c.transmitOn(p, rt, n, size)
	return t, true
}

// transmitOn fills in the addresses of datagrams on a route.
func (c *Conn) transmitOn(p *Path, rt *route, n, size int) Transmit {
	rt.lastUsed = c.now
	datagrams := uint64((n + size - 1) / size)
	c.v.DatagramsSent += datagrams
	c.v.BytesSent += uint64(n)
	p.BytesSent += uint64(n)
	t := Transmit{Len: n, SegmentSize: min(size, n), Local: rt.local, Remote: rt.remote, IfIndex: rt.ifIndex, ECN: p.ecn.mark, Conn: c, Path: p.ID, DontFragment: true}
	c.sendingDatagrams(SendEvent{Path: p, Datagrams: datagrams, Bytes: uint64(n)})
	return t
}

// SendEvent tells of datagrams handed to the network.
type SendEvent struct {
	Path      *Path  `op:"path" doc:"the path"`
	Datagrams uint64 `op:"datagrams" doc:"how many"`
	Bytes     uint64 `op:"bytes" unit:"bytes" doc:"UDP payload bytes in all"`
}

// sendingDatagrams tells that datagrams are about to be handed to the network. Event "sending_datagrams".
func (c *Conn) sendingDatagrams(a SendEvent) {
	if c.ops.sendingDatagrams.Attached() {
		c.ops.sendingDatagrams.Run(a)
	}
}

var opSendingDatagrams = protoops.Define(protoops.Key{Name: "sending_datagrams", Param: protoops.NoParam},
	protoops.Doc{
		Summary: "Datagrams are about to be handed to the network",
		Fires:   "once per run of datagrams",
	},
	func(c *Conn) *protoops.Slot[SendEvent, protoops.None] { return &c.ops.sendingDatagrams },
	nil)

// sendingPath chooses the path of the next datagrams; nil if nothing may go.
func (c *Conn) sendingPath(l encryptionLevel) *Path {
	if len(c.paths) == 1 && !c.ops.selectPath.Attached() {
		return c.path0
	}
	return c.selectPath(SelectPathArg{Level: uint64(l)}).Path
}

// SelectPathArg is the argument of operation "select_path".
type SelectPathArg struct {
	Level uint64 `op:"level" doc:"encryption level of the packets"`
}

// selectPath chooses the path of the next datagrams. Operation "select_path".
func (c *Conn) selectPath(a SelectPathArg) PathResult {
	if c.ops.selectPath.Attached() {
		return c.ops.selectPath.Run(a)
	}
	return c.selectPathNative(a)
}

var opSelectPath = protoops.Define(protoops.Key{Name: "select_path", Param: protoops.NoParam},
	protoops.Doc{
		Summary: "Chooses the path of the next datagrams",
		Fires:   "once per run of datagrams when there is more than one path",
		Native:  "the first active path whose congestion window and pacer let a datagram go",
	},
	func(c *Conn) *protoops.Slot[SelectPathArg, PathResult] { return &c.ops.selectPath },
	(*Conn).selectPathNative)

func (c *Conn) selectPathNative(SelectPathArg) PathResult {
	for _, p := range c.paths {
		if p.State == PathActive && p.usable() && c.mayCarryData(p) {
			return PathResult{p}
		}
	}
	return PathResult{c.path0}
}

// mayCarryData reports whether window and pacer let a datagram go now.
func (c *Conn) mayCarryData(p *Path) bool {
	return p.Congestion.BytesInFlight+p.MTU <= c.congestionWindow(PathArg{p}).Bytes && c.pacingOpen(p)
}

// buildDatagram writes one datagram with one packet and returns its length.
func (c *Conn) buildDatagram(now mono.Time, buf []byte, p *Path, l encryptionLevel) int {
	b := c.builder()
	if !b.start(buf, 0, p, p.route, l) {
		return 0
	}
	if len(c.plug.rooms) > 0 {
		c.holdRooms(b)
	}
	c.scheduleFrames(BuilderArg{Builder: b, Path: p})
	if b.empty() {
		c.packetAborted(BuilderArg{Builder: b, Path: p})
		return 0
	}
	return c.finishPacket(now, b)
}

// packetAborted tells that a packet was started and given up because there was nothing to send in it. Event "packet_aborted".
func (c *Conn) packetAborted(a BuilderArg) {
	if c.ops.packetAborted.Attached() {
		c.ops.packetAborted.Run(a)
	}
}

var opPacketAborted = protoops.Define(protoops.Key{Name: "packet_aborted", Param: protoops.NoParam},
	protoops.Doc{
		Summary: "A packet was started and given up because there was nothing to send in it",
		Fires:   "when an attempt to send ends",
	},
	func(c *Conn) *protoops.Slot[BuilderArg, protoops.None] { return &c.ops.packetAborted },
	nil)

// scheduleFrames writes the frames of a packet. Operation "schedule_frames".
func (c *Conn) scheduleFrames(a BuilderArg) protoops.None {
	if c.ops.scheduleFrames.Attached() {
		return c.ops.scheduleFrames.Run(a)
	}
	return c.scheduleFramesNative(a)
}

var opScheduleFrames = protoops.Define(protoops.Key{Name: "schedule_frames", Param: protoops.NoParam},
	protoops.Doc{
		Summary: "Writes the frames of a packet",
		Fires:   "once per packet",
		Native:  "acknowledgment, handshake data, control frames, plugins' reserved frames, stream data, as room and congestion allow",
		Section: "https://www.rfc-editor.org/rfc/rfc9000#section-13.1",
	},
	func(c *Conn) *protoops.Slot[BuilderArg, protoops.None] { return &c.ops.scheduleFrames },
	(*Conn).scheduleFramesNative)

// scheduleFramesNative is the coarse operation: its steps are operations of
// their own.
func (c *Conn) scheduleFramesNative(a BuilderArg) protoops.None {
	b, p := a.Builder, a.Path
	probe := b.space.v.PTOProbes > 0
	blocked := !probe && !c.mayCarryData(p)
	b.blocked = blocked
	c.writeAck(b)
	c.writeOtherAcks(b)
	if blocked {
		c.writeUncontrolled(b)
		return protoops.None{}
	}
	if probe && b.space == &p.space && c.otherPath(p) {
		// The path may be dead: its data is for the others, see lossTimerFired.
		c.writePing(b)
		return protoops.None{}
	}
	at := len(b.b)
	if id := b.space.id; c.crypto[id].pending() && b.level != levelEarly {
		c.writeCrypto(b, c.crypto[id])
	}
	if b.level == level1RTT || b.level == levelEarly {
		c.writeControl(b)
		c.writeReserved(b, false)
		c.writeStreamControl(b)
		c.writeCopies(b)
		if b.level == level1RTT || c.v.EarlyDataState == 1 {
			c.writeStreams(b)
		}
		c.writePluginStreams(b)
		c.writeReserved(b, true)
	}
	if b.space.id == appSpace && len(b.b) == at && !b.full {
		c.noteUnderutilized(p)
	}
	if probe && !b.eliciting || p.needPing && b.level == level1RTT && !b.eliciting {
		c.writePing(b)
	}
	if b.eliciting {
		p.needPing = false
	}
	return protoops.None{}
}

// handshakeOngoing reports whether keys of the handshake still exist.
func (c *Conn) handshakeOngoing() bool { return c.v.HandshakeConfirmed == 0 }

// transmitHandshake writes one datagram that may coalesce Initial, Handshake
// and 1-RTT packets.
// https://www.rfc-editor.org/rfc/rfc9000#section-12.2
func (c *Conn) transmitHandshake(now mono.Time, buf []byte) (Transmit, bool) {
	p, rt := c.path0, c.path0.route
	size := min(int(c.config.InitialUDPPayload), len(buf))
	credit := rt.amplificationCredit()
	if credit < uint64(size) {
		if credit < minUDPPayload {
			// What is left would not even carry a padded Initial: waiting for the
			// client costs less than a datagram it must discard.
			return Transmit{}, false
		}
		size = int(credit)
	}
	buf = buf[:size:size]
	b := c.builder()
	n := 0
	needPad, initial := false, false
	for _, l := range [...]encryptionLevel{levelInitial, levelHandshake, level1RTT} {
		if c.keys[l].seal == nil || l == level1RTT && (c.v.HandshakeComplete == 0 && !c.IsServer() || n == 0) {
			continue
		}
		last := l == level1RTT || !c.moreToCoalesce(l)
		if !b.start(buf, n, p, rt, l) {
			continue
		}
		if !c.coalescePackets(CoalesceArg{Builder: b, Bytes: uint64(n)}).Yes {
			break
		}
		c.scheduleFrames(BuilderArg{Builder: b, Path: p})
		if b.empty() && !(needPad && last) {
			continue
		}
		if b.empty() && n == 0 {
			continue
		}
		if l == levelInitial {
			initial = true
			// "A client MUST expand the payload of all UDP datagrams carrying
			// Initial packets to at least … 1200 bytes"; "a server MUST expand
			// the payload of all UDP datagrams carrying ack-eliciting Initial
			// packets".
			// https://www.rfc-editor.org/rfc/rfc9000#section-14.1
			needPad = !c.IsServer() || b.eliciting
		}
		if needPad && last {
			b.padTo(minUDPPayload)
		}
		if b.empty() {
			continue
		}
		n += c.finishPacket(now, b)
		if last && needPad {
			break
		}
	}
	if n == 0 {
		return Transmit{}, false
	}
	if needPad && n < minUDPPayload {
		// The packets after the Initial had nothing to say after all: zeros
		// after the last packet are no packet, receivers drop them.
		clear(buf[n:minUDPPayload])
		n = minUDPPayload
	}
	rt.sent += uint64(n)
	if initial && !c.IsServer() && c.hs.sent.Next() > 0 {
		// "a client MUST discard Initial keys when it first sends a Handshake
		// packet".
		// https://www.rfc-editor.org/rfc/rfc9001#section-4.9.1
		c.discardInitial()
	} else if !c.IsServer() && c.hs.sent.Next() > 0 {
		c.discardInitial()
	}
	return c.transmitOn(p, rt, n, n), true
}

// CoalesceArg is the argument of operation "coalesce_packets".
type CoalesceArg struct {
	Builder *PacketBuilder `op:"builder" doc:"the packet being started"`
	Bytes   uint64         `op:"bytes" unit:"bytes" doc:"bytes of the packets already in the datagram"`
}

// coalescePackets decides whether another packet joins the datagram. Operation "coalesce_packets".
func (c *Conn) coalescePackets(a CoalesceArg) Decision {
	if c.ops.coalescePackets.Attached() {
		return c.ops.coalescePackets.Run(a)
	}
	return c.coalescePacketsNative(a)
}

var opCoalescePackets = protoops.Define(protoops.Key{Name: "coalesce_packets", Param: protoops.NoParam},
	protoops.Doc{
		Summary: "Decides whether another packet joins the datagram",
		Fires:   "per packet of the handshake",
		Native:  "yes",
		Section: "https://www.rfc-editor.org/rfc/rfc9000#section-12.2",
	},
	func(c *Conn) *protoops.Slot[CoalesceArg, Decision] { return &c.ops.coalescePackets },
	(*Conn).coalescePacketsNative)

func (c *Conn) coalescePacketsNative(CoalesceArg) Decision { return Decision{true} }

// moreToCoalesce reports whether a later level has something to send.
func (c *Conn) moreToCoalesce(l encryptionLevel) bool {
	if l == levelInitial && c.keys[levelHandshake].seal != nil && c.spaceHasWork(c.hs) {
		return true
	}
	return c.keys[level1RTT].seal != nil && (c.IsServer() || c.v.HandshakeComplete != 0) && c.spaceHasWork(&c.path0.space) && c.mayCarryData(c.path0)
}

func (c *Conn) spaceHasWork(s *numberSpace) bool {
	if c.crypto[s.id].pending() || s.v.AckNow != 0 || s.v.AckElicitingPending > 0 || s.v.PTOProbes > 0 {
		return true
	}
	return s.id == appSpace && (c.streams.sched.Len() > 0 || c.pend != 0)
}

// writeControlFrames that need room are written in this order.
func (c *Conn) writeControl(b *PacketBuilder) {
	if c.pend == 0 || b.level == levelEarly {
		return
	}
	for _, w := range controlOrder {
		if c.pend&w.bit == 0 {
			continue
		}
		// A writer sets its bit again while it has more of the kind.
		for c.pend&w.bit != 0 {
			if b.room() < w.room {
				return
			}
			c.pend &^= w.bit
			c.writeFrame(b, w.typ, 0)
		}
	}
}

var controlOrder = [...]struct {
	bit  pend
	typ  wire.FrameType
	room int
}{
	{pendHandshakeDone, wire.HandshakeDone, 1},
	{pendRetireConnID, wire.RetireConnectionID, 9},
	{pendNewConnID, wire.NewConnectionID, 1 + 8 + 8 + 1 + 20 + 16},
	{pendMaxData, wire.MaxData, 9},
	{pendMaxStreamsBidi, wire.MaxStreamsBidi, 9},
	{pendMaxStreamsUni, wire.MaxStreamsUni, 9},
	{pendNewToken, wire.NewToken, 200},
	{pendAckFrequency, wire.AckFrequency, 2 + 4*8},
	{pendImmediateAck, wire.ImmediateAck, 1},
	{pendDataBlocked, wire.DataBlocked, 9},
	{pendStreamsBlockedBidi, wire.StreamsBlockedBidi, 9},
	{pendStreamsBlockedUni, wire.StreamsBlockedUni, 9},
	{pendPing, wire.Ping, 1},
}

// writeUncontrolled writes what may go when the congestion window is full:
// plugins' frames that are not congestion-controlled.
func (c *Conn) writeUncontrolled(b *PacketBuilder) {
	c.writeReserved(b, false)
}

// finishPacket completes, seals and records the packet; it returns its length.
func (c *Conn) finishPacket(now mono.Time, b *PacketBuilder) int {
	p, s := b.path, b.space
	if b.booked {
		c.fillRooms(b)
	}
	b.padForSampling()
	if b.level == level1RTT {
		c.payloadBuilt(BuilderArg{Builder: b, Path: p})
	}
	pn := s.sent.Next()
	n := len(b.b) + overhead - b.begin
	if b.level != level1RTT {
		wire.SetLongLength(b.buf, b.pnOff, b.pnLen+len(b.b)-b.payload+overhead)
	}
	pkt := b.buf[b.begin : len(b.b)+overhead]
	if c.log != nil {
		c.log.OnPath(b.path.ID).PacketSent(now, b.level.packetType(), pn, n, uint8(b.ecn()), b.b[b.payload:])
	}
	seal := c.keys[b.level].seal
	seal.Seal(pkt, b.pnOff-b.begin, b.pnLen, uint32(p.ID), pn)

	sent := s.sent.Add()
	sent.PathID = p.ID
	sent.SentTime = now
	sent.Size = uint32(n)
	sent.Flags = b.flags()
	sent.ECN = uint32(b.ecn())
	sent.Data.set(b.records)
	sent.Level, sent.Data.route = uint32(b.level), b.route
	s.v.NextNumber = s.sent.Next()
	c.packetSentBookkeeping(now, b, sent)
	if c.skipPacketNumber(SpaceArg{Path: p, Space: uint64(s.id)}).Yes {
		s.sent.Skip()
	}
	c.packetSealed(PacketArg{Path: p, Packet: sent, Level: uint64(b.level)})
	if b.level == level1RTT {
		c.keyUpdate.sealed(c, b)
	}
	return n
}

// payloadBuilt tells that the payload of a 1-RTT packet is complete and not yet sealed; room may still be left in it. Event "payload_built".
func (c *Conn) payloadBuilt(a BuilderArg) {
	if c.ops.payloadBuilt.Attached() {
		c.ops.payloadBuilt.Run(a)
	}
}

var opPayloadBuilt = protoops.Define(protoops.Key{Name: "payload_built", Param: protoops.NoParam},
	protoops.Doc{
		Summary: "The payload of a 1-RTT packet is complete and not yet sealed; room may still be left in it",
		Fires:   "once per 1-RTT packet",
	},
	func(c *Conn) *protoops.Slot[BuilderArg, protoops.None] { return &c.ops.payloadBuilt },
	nil)

// packetSealed tells that a packet is sealed and recorded. Event "packet_sealed".
func (c *Conn) packetSealed(a PacketArg) {
	if c.ops.packetSealed.Attached() {
		c.ops.packetSealed.Run(a)
	}
}

var opPacketSealed = protoops.Define(protoops.Key{Name: "packet_sealed", Param: protoops.NoParam},
	protoops.Doc{
		Summary: "A packet is sealed and recorded",
		Fires:   "once per packet",
	},
	func(c *Conn) *protoops.Slot[PacketArg, protoops.None] { return &c.ops.packetSealed },
	nil)

// SpaceArg names a packet number space.
type SpaceArg struct {
	Path  *Path  `op:"path" doc:"the path"`
	Space uint64 `op:"space" doc:"0 Initial, 1 Handshake, 2 Application Data"`
}

// skipPacketNumber decides whether the next packet number is left out, to catch a peer that acknowledges packets it never saw. Operation "skip_packet_number".
func (c *Conn) skipPacketNumber(a SpaceArg) Decision {
	if c.ops.skipPacketNumber.Attached() {
		return c.ops.skipPacketNumber.Run(a)
	}
	return c.skipPacketNumberNative(a)
}

var opSkipPacketNumber = protoops.Define(protoops.Key{Name: "skip_packet_number", Param: protoops.NoParam},
	protoops.Doc{
		Summary: "Decides whether the next packet number is left out, to catch a peer that acknowledges packets it never saw",
		Fires:   "per packet",
		Native:  "at growing random intervals",
		Section: "https://www.rfc-editor.org/rfc/rfc9000#section-21.4",
	},
	func(c *Conn) *protoops.Slot[SpaceArg, Decision] { return &c.ops.skipPacketNumber },
	(*Conn).skipPacketNumberNative)

func (c *Conn) skipPacketNumberNative(a SpaceArg) Decision {
	if spaceID(a.Space) != appSpace {
		return Decision{}
	}
	s := &a.Path.space
	next := s.sent.Next()
	if s.skipAt == 0 {
		s.skipAt = next + 64 + uint64(c.endpoint.randomByte())
	}
	if next < s.skipAt {
		return Decision{}
	}
	s.skipAt = next + (64+uint64(c.endpoint.randomByte()))*min(next>>8+1, 64)
	return Decision{true}
}

// packetSentBookkeeping charges a packet to its path.
func (c *Conn) packetSentBookkeeping(now mono.Time, b *PacketBuilder, sent *SentPacket) {
	p, s := b.path, b.space
	c.v.PacketsSent++
	p.PacketsSent++
	if b.level == levelEarly {
		c.v.ZeroRTTSent++
	}
	if b.retransmit {
		c.v.PacketsRetransmitted++
	}
	if b.ecn() == ECT0 {
		s.v.ECT0Sent++
		p.ecn.sentMarked++
	}
	inFlight := sent.Flags&recovery.InFlight != 0
	if inFlight {
		if p.Congestion.BytesInFlight == 0 && !p.LastSentTime.IsZero() && now.Sub(p.LastSentTime) > p.RTT.PTO(0) {
			p.cc.OnIdleRestart(&p.Congestion, now)
		}
		p.sampler.OnSent(&p.Congestion, &sent.PacketView)
	}
	s.sent.Commit(sent)
	if inFlight {
		p.Congestion.BytesInFlight += uint64(sent.Size)
		c.congestionOnSent(SentArg{Path: p, Bytes: uint64(sent.Size), Number: sent.Number})
		if !c.config.DisablePacing {
			p.Pacer.Consume(now, uint64(sent.Size))
		}
	}
	if sent.Flags&recovery.AckEliciting != 0 {
		p.LastSentTime = now
		c.idleSent(now)
		if s.v.PTOProbes > 0 {
			s.v.PTOProbes--
			sent.Flags |= recovery.PTOProbe
		}
	}
}

// SentArg tells of a packet that counts towards bytes in flight.
type SentArg struct {
	Path   *Path  `op:"path" doc:"the path"`
	Bytes  uint64 `op:"bytes" unit:"bytes" doc:"its size"`
	Number uint64 `op:"number" doc:"its packet number"`
}

// congestionOnSent tells the congestion controller of a packet sent in flight. Operation "congestion_on_sent".
func (c *Conn) congestionOnSent(a SentArg) protoops.None {
	if c.ops.congestionOnSent.Attached() {
		return c.ops.congestionOnSent.Run(a)
	}
	return c.congestionOnSentNative(a)
}

var opCongestionOnSent = protoops.Define(protoops.Key{Name: "congestion_on_sent", Param: protoops.NoParam},
	protoops.Doc{
		Summary: "Tells the congestion controller of a packet sent in flight",
		Fires:   "per packet in flight",
		Native:  "the path's controller",
		Section: "https://www.rfc-editor.org/rfc/rfc9002#section-7",
	},
	func(c *Conn) *protoops.Slot[SentArg, protoops.None] { return &c.ops.congestionOnSent },
	(*Conn).congestionOnSentNative)

func (c *Conn) congestionOnSentNative(a SentArg) protoops.None {
	p := a.Path
	p.cc.OnSent(&p.Congestion, c.now, a.Bytes, a.Number)
	return protoops.None{}
}
