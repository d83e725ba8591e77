package core

import (
	"net/netip"

	"github.com/pquic-go/pquic/core/mono"
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

const (
	maxPacketNumber = wire.MaxVarint
	// packetNumberMargin is more than one call of transmit can use up.
	packetNumberMargin = 1 << 20
)

// transmit writes the connection's next datagrams into buf, at most segments
// of them, and reports false if there is nothing to send now.
func (c *Conn) transmit(now mono.Time, buf []byte, segments int) (Transmit, bool) {
	c.begin(now)
	if c.v.State >= StateClosing {
		return c.transmitClose(now, buf)
	}
	for _, p := range c.paths {
		if p.Space.NextNumber > maxPacketNumber-packetNumberMargin {
			// "If the packet number for sending reaches 2^62-1, the sender MUST
			// close the connection without sending a CONNECTION_CLOSE frame or any
			// further packets".
			// https://www.rfc-editor.org/rfc/rfc9000#section-12.3
			c.closeSilently(ErrPacketNumbers)
			return Transmit{}, false
		}
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
	n, sealed, mark := 0, 0, NotECT
	for sealed < segments && n+size <= len(buf) {
		credit := rt.amplificationCredit()
		if credit < uint64(size) {
			if credit < minUDPPayload/2 {
				break
			}
			size = int(credit)
		}
		k := c.buildDatagram(now, buf[n:n+size:n+size], p, l, sealed > 0, mark)
		if k == 0 {
			break
		}
		mark = c.builder().ecn()
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
	t.ECN = mark
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

// buildDatagram writes one datagram with one packet and returns its length. In a
// run that goes on its ECN codepoint is mark.
func (c *Conn) buildDatagram(now mono.Time, buf []byte, p *Path, l encryptionLevel, goesOn bool, mark ECN) int {
	b := c.builder()
	if !b.start(buf, 0, p, p.route, l) {
		return 0
	}
	if goesOn {
		b.markAs(mark)
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
