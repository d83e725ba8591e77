package core

import (
	"time"

	"github.com/pquic-go/pquic/core/mono"
	"github.com/pquic-go/pquic/core/wire"
	"github.com/pquic-go/pquic/protoops"
)

// Our own acknowledgments: whether one is due, and the frame.

// writeAck puts an acknowledgment into the packet if one is owed, or, on the
// occasion of a packet being sent anyway, if anything is unacknowledged.
func (c *Conn) writeAck(b *PacketBuilder) {
	s := b.space
	if s.received.Empty() || b.level == levelEarly {
		return
	}
	if s.v.AckNow == 0 && s.v.AckElicitingPending == 0 {
		return
	}
	if s.v.AckNow == 0 && !c.ackOccasion(b) {
		return
	}
	c.writeAckOf(WriteAckArg{Builder: b, Path: s.path, Space: uint64(s.id)})
}

// writeOtherAcks puts the acknowledgments that other paths owe into the packet,
// if a plugin knows how to.
func (c *Conn) writeOtherAcks(b *PacketBuilder) {
	if len(c.paths) == 1 || b.level != level1RTT || !c.ops.writeAckOf.Replaced() {
		return
	}
	for _, p := range c.paths {
		v := p.space.v
		if p == b.path || p.space.received.Empty() || v.AckNow == 0 && (v.AckElicitingPending == 0 || !c.ackOccasion(b)) {
			continue
		}
		c.writeAckOf(WriteAckArg{Builder: b, Path: p, Space: uint64(appSpace)})
	}
}

// WriteAckArg is the argument of operation "write_ack".
type WriteAckArg struct {
	Builder *PacketBuilder `op:"builder" doc:"the packet being built"`
	Path    *Path          `op:"path" doc:"the path whose packets are to be acknowledged"`
	Space   uint64         `op:"space" doc:"0 Initial, 1 Handshake, 2 Application Data"`
}

// writeAckOf writes the acknowledgment a path owes. Operation "write_ack".
func (c *Conn) writeAckOf(a WriteAckArg) protoops.None {
	if c.ops.writeAckOf.Attached() {
		return c.ops.writeAckOf.Run(a)
	}
	return c.writeAckOfNative(a)
}

var opWriteAckOf = protoops.Define(protoops.Key{Name: "write_ack", Param: protoops.NoParam},
	protoops.Doc{
		Summary: "Writes the acknowledgment a path owes",
		Fires:   "per packet, for the path it takes and, if replaced, for each other path that owes one",
		Native:  "an ACK frame, which speaks of path 0; nothing for other paths",
		Section: "https://www.rfc-editor.org/rfc/rfc9000#section-13.2",
	},
	func(c *Conn) *protoops.Slot[WriteAckArg, protoops.None] { return &c.ops.writeAckOf },
	(*Conn).writeAckOfNative)

func (c *Conn) writeAckOfNative(a WriteAckArg) protoops.None {
	b := a.Builder
	if b.level == level1RTT && a.Path.ID != 0 {
		return protoops.None{}
	}
	b.ackFor = c.spaceOf(a.Path, a.Space)
	c.writeFrame(b, wire.Ack, 0)
	return protoops.None{}
}

// ackOccasion reports whether something else goes into this packet anyway, so
// that the acknowledgment rides along.
func (c *Conn) ackOccasion(b *PacketBuilder) bool {
	return b.begin > 0 || !b.blocked && (c.spaceDataPending(b.space) || b.space.v.PTOProbes > 0)
}

func (c *Conn) spaceDataPending(s *numberSpace) bool {
	if c.crypto[s.id].pending() {
		return true
	}
	return s.id == appSpace && (c.streams.sched.Len() > 0 || c.pend != 0 || c.streams.ctlHead != nil || c.plug.waiting > 0)
}

func writeAckFrame(c *Conn, b *PacketBuilder) {
	s := b.ackFor
	if s == nil {
		s = b.space
	}
	room := b.room()
	if room < 32 {
		b.full = true
		return
	}
	delay := uint64(0)
	exp := uint64(0)
	if s.id != initialSpace {
		exp = uint64(c.config.AckDelayExponent)
		if d := c.now.Sub(s.v.LargestReceivedTime); d > 0 {
			delay = uint64(d/time.Microsecond) >> exp
		}
	}
	typ := wire.Ack
	ecn := wire.ECNCounts{ECT0: s.v.ECT0Received, ECT1: s.v.ECT1Received, CE: s.v.CEReceived}
	if ecn != (wire.ECNCounts{}) {
		// "Even if an endpoint does not set an ECT field in packets it sends,
		// the endpoint MUST provide feedback about ECN markings it receives".
		// https://www.rfc-editor.org/rfc/rfc9000#section-13.4.1
		typ = wire.AckECN
	}
	ranges := s.received.Ranges()
	if n := c.ackRangesLimit(SpaceArg{Path: s.path, Space: uint64(s.id)}).Count; n > 0 && n < uint64(len(ranges)) {
		ranges = ranges[:n]
	}
	// An ACK frame never takes more than half a packet from data.
	most := room
	if b.level == level1RTT {
		most = min(room, max(64, len(b.buf)/2))
	}
	b.b = wire.AppendAck(b.b, typ, ranges, delay, ecn, most)
	b.records = append(b.records, frameRecord{typ: wire.Ack, off: b.acknowledged(s)})
}

// acknowledged notes that the packet acknowledges what s has received, and
// returns the largest number.
func (b *PacketBuilder) acknowledged(s *numberSpace) (largest uint64) {
	b.hasAck = true
	largest, _ = s.received.Largest()
	s.v.LargestAckSent = largest
	s.v.AckElicitingPending, s.v.AckNow, s.v.AckDeadline = 0, 0, 0
	s.v.AcksSent++
	s.v.LastAckTime = b.conn.now
	return largest
}

// ackRangesLimit bounds the ranges of an ACK frame. Operation "ack_ranges_limit".
func (c *Conn) ackRangesLimit(a SpaceArg) Count {
	if c.ops.ackRangesLimit.Attached() {
		return c.ops.ackRangesLimit.Run(a)
	}
	return c.ackRangesLimitNative(a)
}

var opAckRangesLimit = protoops.Define(protoops.Key{Name: "ack_ranges_limit", Param: protoops.NoParam},
	protoops.Doc{
		Summary: "Bounds the ranges of an ACK frame",
		Fires:   "per ACK frame; 0 no bound",
		Native:  "all that are remembered and fit",
		Section: "https://www.rfc-editor.org/rfc/rfc9000#section-13.2.3",
	},
	func(c *Conn) *protoops.Slot[SpaceArg, Count] { return &c.ops.ackRangesLimit },
	(*Conn).ackRangesLimitNative)

func (c *Conn) ackRangesLimitNative(SpaceArg) Count { return Count{0} }

// endBatch decides, once per batch of received datagrams, whether to
// acknowledge now or later.
func (c *Conn) endBatch(now mono.Time) {
	c.begin(now)
	c.touched = false
	c.runInjected()
	if c.v.State < StateClosing {
		c.decideAck(c.initial)
		c.decideAck(c.hs)
		for _, p := range c.paths {
			c.decideAck(&p.space)
		}
	}
	c.finish()
}

func (c *Conn) decideAck(s *numberSpace) {
	if !s.newElicited {
		return
	}
	s.newElicited = false
	if s.v.AckElicitingPending == 0 {
		return
	}
	if s.id != appSpace {
		// "An endpoint MUST acknowledge all ack-eliciting Initial and Handshake
		// packets immediately".
		// https://www.rfc-editor.org/rfc/rfc9000#section-13.2.1
		s.v.AckNow = 1
		return
	}
	if s.v.AckNow == 0 && c.isAckNeeded(PathArg{s.path}).Yes {
		s.v.AckNow = 1
	}
	if s.v.AckNow == 0 && s.v.AckDeadline.IsZero() {
		s.v.AckDeadline = c.now.Add(c.ackDelay(PathArg{s.path}).Duration)
	}
}

// isAckNeeded decides whether to acknowledge at once what has arrived. Operation "is_ack_needed".
func (c *Conn) isAckNeeded(a PathArg) Decision {
	if c.ops.isAckNeeded.Attached() {
		return c.ops.isAckNeeded.Run(a)
	}
	return c.isAckNeededNative(a)
}

var opIsAckNeeded = protoops.Define(protoops.Key{Name: "is_ack_needed", Param: protoops.NoParam},
	protoops.Doc{
		Summary: "Decides whether to acknowledge at once what has arrived",
		Fires:   "once per batch of received datagrams with ack-eliciting packets",
		Native:  "yes from the second ack-eliciting packet on, or as ACK_FREQUENCY says",
		Section: "https://www.rfc-editor.org/rfc/rfc9000#section-13.2.2",
	},
	func(c *Conn) *protoops.Slot[PathArg, Decision] { return &c.ops.isAckNeeded },
	(*Conn).isAckNeededNative)

func (c *Conn) isAckNeededNative(a PathArg) Decision {
	return Decision{a.Path.Space.AckElicitingPending >= a.Path.AckThreshold}
}

// ackDelay chooses how long an acknowledgment is delayed. Operation "update_ack_delay".
func (c *Conn) ackDelay(a PathArg) Span {
	if c.ops.ackDelay.Attached() {
		return c.ops.ackDelay.Run(a)
	}
	return c.ackDelayNative(a)
}

var opAckDelay = protoops.Define(protoops.Key{Name: "update_ack_delay", Param: protoops.NoParam},
	protoops.Doc{
		Summary: "Chooses how long an acknowledgment is delayed",
		Fires:   "when the first ack-eliciting packet after an ACK arrives and no immediate ACK is needed",
		Native:  "max_ack_delay, or as ACK_FREQUENCY says",
		Section: "https://www.rfc-editor.org/rfc/rfc9000#section-13.2.1",
	},
	func(c *Conn) *protoops.Slot[PathArg, Span] { return &c.ops.ackDelay },
	(*Conn).ackDelayNative)

func (c *Conn) ackDelayNative(a PathArg) Span { return Span{a.Path.AckDelay} }
