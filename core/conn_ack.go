package core

import (
	"time"

	"github.com/pquic-go/pquic/core/mono"
	"github.com/pquic-go/pquic/core/recovery"
	"github.com/pquic-go/pquic/core/wire"
	"github.com/pquic-go/pquic/protoops"
)

// PNRange is a range of packet numbers, both ends included.
type PNRange = wire.PNRange

// AckArg is the argument of operation "process_ack".
type AckArg struct {
	Path     *Path         `op:"path" doc:"the path whose packets are acknowledged"`
	Largest  uint64        `op:"largest" doc:"Largest Acknowledged"`
	AckDelay time.Duration `op:"ack_delay" unit:"ns" doc:"ACK Delay"`
	ECN      bool          `op:"ecn" doc:"the frame carries ECN counts"`
	ECT0     uint64        `op:"ect0" doc:"ECT(0) count"`
	ECT1     uint64        `op:"ect1" doc:"ECT(1) count"`
	CE       uint64        `op:"ce" doc:"CE count"`

	space  *numberSpace
	ranges wire.AckRanges
	list   []PNRange
}

// processAckFrame handles an ACK frame of the packet's own space.
// https://www.rfc-editor.org/rfc/rfc9000#section-19.3
func (c *Conn) processAckFrame(in *ReceivedPacket, f wire.AckFrame) *TransportError {
	if in.level == level1RTT || in.level == levelEarly {
		p := c.pathZero()
		if p == nil {
			return nil // a plain ACK speaks of path 0, which is closed
		}
		return c.ackFrame(&p.space, &f).error(wire.Ack)
	}
	return c.ackFrame(c.space(in.level, in.path), &f).error(wire.Ack)
}

func (c *Conn) ackFrame(s *numberSpace, f *wire.AckFrame) Outcome {
	delay := time.Duration(0)
	if s.id != initialSpace { // "MAY ignore the acknowledgment delay for Initial packets"
		delay = f.Delay(c.v.RemoteParams.AckDelayExponent)
	}
	return c.processAck(AckArg{Path: s.path, Largest: f.Largest, AckDelay: delay, ECN: f.ECN, ECT0: f.ECT0, ECT1: f.ECT1, CE: f.CE, space: s, ranges: f.Ranges()})
}

// ProcessAckFrame handles an acknowledgment of path p's packets whose body is
// that of an ACK frame, such as PATH_ACK.
func (c *Conn) ProcessAckFrame(p *Path, f *wire.AckFrame) error {
	if err := c.ackFrame(&p.space, f).error(0); err != nil {
		return err
	}
	return nil
}

// ProcessAck is ProcessAckFrame for an acknowledgment of any other form. ranges
// are descending; ecn may be nil.
func (c *Conn) ProcessAck(p *Path, ranges []PNRange, delay time.Duration, ecn *wire.ECNCounts) error {
	if len(ranges) == 0 {
		return violation(FrameEncodingError, 0, "acknowledgment without ranges")
	}
	a := AckArg{Path: p, Largest: ranges[0].Hi, AckDelay: delay, space: &p.space, list: ranges}
	if ecn != nil {
		a.ECN, a.ECT0, a.ECT1, a.CE = true, ecn.ECT0, ecn.ECT1, ecn.CE
	}
	if err := c.processAck(a).error(0); err != nil {
		return err
	}
	return nil
}

// processAck acts on an acknowledgment of a path's packets. Operation "process_ack".
func (c *Conn) processAck(a AckArg) Outcome {
	if c.ops.processAck.Attached() {
		return c.ops.processAck.Run(a)
	}
	return c.processAckNative(a)
}

var opProcessAck = protoops.Define(protoops.Key{Name: "process_ack", Param: protoops.NoParam},
	protoops.Doc{
		Summary: "Acts on an acknowledgment of a path's packets",
		Fires:   "per ACK frame",
		Native:  "settles packets, updates round-trip time and congestion, detects losses",
		Section: "https://www.rfc-editor.org/rfc/rfc9002#appendix-A.7",
	},
	func(c *Conn) *protoops.Slot[AckArg, Outcome] { return &c.ops.processAck },
	(*Conn).processAckNative)

func (c *Conn) processAckNative(a AckArg) Outcome {
	s, p := a.space, a.Path
	if s == nil {
		s = &p.space
	}
	if a.Largest >= s.sent.Next() {
		return outcome(violation(ProtocolViolation, wire.Ack, "packet %d was never sent", a.Largest))
	}
	ack := &c.endpoint.scratch.ack
	*ack = ackEvent{}
	ack.priorInFlight = p.Congestion.BytesInFlight
	if a.list != nil {
		for _, r := range a.list {
			if te := c.ackRange(s, p, r.Lo, r.Hi); te != nil {
				return outcome(te)
			}
		}
	} else {
		for a.ranges.Next() {
			if te := c.ackRange(s, p, a.ranges.Lo, a.ranges.Hi); te != nil {
				return outcome(te)
			}
			if a.ranges.Lo <= s.sent.First() {
				break // nothing below is remembered
			}
		}
	}
	if !ack.any {
		return Outcome{}
	}
	now := c.now
	c.v.LastProgressTime = now
	s.v.LargestAckedTime = now
	s.v.LargestAcked = s.sent.LargestAcked
	c.handshakeProgress(s)
	if ack.largest == a.Largest && ack.eliciting && ack.largestSent >= c.resumed && (s.id != appSpace || ack.largest >= p.since) {
		c.sampleRTT(p, s, ack, a.AckDelay)
	}
	if a.ECN || p.ecn.active() {
		c.processECN(s, p, ack, &a)
	}
	if ack.spuriousBytes > 0 {
		c.congestionOnSpurious(PathArg{p})
	}
	c.detectLoss(s, p, lossByAck, ack.priorInFlight)
	if ack.bytes > 0 || ack.eliciting {
		c.congestionAcked(s, p, ack)
	}
	// "a sender SHOULD … reset … pto_count … when an acknowledgment is received
	// … unless … the client is unsure if the server has validated its address".
	// https://www.rfc-editor.org/rfc/rfc9002#section-6.2.1
	if c.peerCompletedAddressValidation() {
		p.PTOCount = 0
		if p.State == PathSuspended {
			c.setPathState(p, PathActive)
		}
	}
	s.sent.ForgetLostBefore(now.Add(-3 * p.RTT.PTO(p.MaxAckDelay)))
	s.v.OldestNumber = s.sent.First()
	if c.log != nil {
		c.log.MetricsUpdated(now, p.ID, &p.RTT, &p.Congestion, p.PTOCount)
	}
	return Outcome{}
}

func outcome(te *TransportError) Outcome { return Outcome{Code: uint64(te.Code), err: te} }

// ackEvent gathers what one ACK frame newly acknowledged.
type ackEvent struct {
	any           bool
	eliciting     bool // an ack-eliciting packet sent since the last migration
	largest       uint64
	largestSent   mono.Time
	bytes         uint64 // were in flight
	priorInFlight uint64
	spuriousBytes uint64
	ect0          uint64 // packets newly acknowledged that were sent with ECT(0)
	ect0Here      bool   // of them, some since the last migration
	hasRTT        bool
	latest        time.Duration
}

// ackRange settles the packets of one range.
func (c *Conn) ackRange(s *numberSpace, p *Path, lo, hi uint64) *TransportError {
	c.processAckRange(AckRangeArg{Path: p, Lo: lo, Hi: hi})
	for pn, ok := s.sent.NextUnacked(lo, hi); ok; pn, ok = s.sent.NextUnacked(pn+1, hi) {
		sent := s.sent.Get(pn)
		if sent.State == recovery.Skipped {
			return violation(ProtocolViolation, wire.Ack, "packet %d was never sent", pn)
		}
		c.ackPacket(s, p, sent)
	}
	return nil
}

// processAckRange tells that a range of an ACK frame is about to be handled. Event "process_ack_range".
func (c *Conn) processAckRange(a AckRangeArg) {
	if c.ops.processAckRange.Attached() {
		c.ops.processAckRange.Run(a)
	}
}

var opProcessAckRange = protoops.Define(protoops.Key{Name: "process_ack_range", Param: protoops.NoParam},
	protoops.Doc{
		Summary: "A range of an ACK frame is about to be handled",
		Fires:   "per range",
		Section: "https://www.rfc-editor.org/rfc/rfc9000#section-19.3.1",
	},
	func(c *Conn) *protoops.Slot[AckRangeArg, protoops.None] { return &c.ops.processAckRange },
	nil)

// ackPacket settles one newly acknowledged packet.
func (c *Conn) ackPacket(s *numberSpace, p *Path, sent *SentPacket) {
	ack := &c.endpoint.scratch.ack
	was := s.sent.Settle(sent, recovery.Acked)
	if !ack.any || sent.Number > ack.largest {
		ack.largest, ack.largestSent = sent.Number, sent.SentTime
	}
	ack.any = true
	measures := p.measures(sent)
	if sent.Flags&recovery.AckEliciting != 0 && measures {
		ack.eliciting = true
	}
	if sent.ECN == uint32(ECT0) {
		ack.ect0++
		ack.ect0Here = ack.ect0Here || measures
	}
	if sent.Flags&recovery.InFlight != 0 && measures {
		p.sampler.OnAcked(&p.Congestion, &sent.PacketView, c.now)
		if was == recovery.Outstanding {
			p.Congestion.BytesInFlight -= min(uint64(sent.Size), p.Congestion.BytesInFlight)
			ack.bytes += uint64(sent.Size)
		}
	}
	p.BytesAcked += uint64(sent.Size)
	switch was {
	case recovery.Lost:
		c.spurious(p, sent)
		if measures {
			ack.spuriousBytes += uint64(sent.Size)
		}
	}
	if sent.Level == uint32(levelEarly) {
		c.v.ZeroRTTAcked++
	}
	c.packetAcked(PacketArg{Path: p, Packet: sent, Level: uint64(sent.Level)})
	if measures {
		if sent.Flags&recovery.MTUProbe != 0 {
			c.mtuProbeAcked(p, sent)
		}
		p.mtu.acked(p, sent)
	}
	d := &sent.Data
	if d.count == 0 {
		return
	}
	if was == recovery.Lost {
		c.settleLate(s, sent)
		return
	}
	c.frameFate(p, s, sent, &d.first, true)
	for i := range d.rest {
		c.frameFate(p, s, sent, &d.rest[i], true)
	}
	d.release()
}

// packetAcked tells that a packet was newly acknowledged. Event "packet_acked".
func (c *Conn) packetAcked(a PacketArg) {
	if c.ops.packetAcked.Attached() {
		c.ops.packetAcked.Run(a)
	}
}

var opPacketAcked = protoops.Define(protoops.Key{Name: "packet_acked", Param: protoops.NoParam},
	protoops.Doc{
		Summary: "A packet was newly acknowledged",
		Fires:   "per packet, before its frames are settled",
		Section: "https://www.rfc-editor.org/rfc/rfc9002#appendix-A.7",
	},
	func(c *Conn) *protoops.Slot[PacketArg, protoops.None] { return &c.ops.packetAcked },
	nil)

// spurious notes an acknowledgment of a packet declared lost.
func (c *Conn) spurious(p *Path, sent *SentPacket) {
	c.v.PacketsSpurious++
	p.PacketsSpurious++
	if d := c.now.Sub(sent.SentTime); d > p.MaxSpuriousRTT {
		p.MaxSpuriousRTT = d
	}
	c.spuriousLoss(PacketArg{Path: p, Packet: sent, Level: uint64(sent.Level)})
}

// spuriousLoss tells that a packet declared lost was acknowledged after all. Event "spurious_loss".
func (c *Conn) spuriousLoss(a PacketArg) {
	if c.ops.spuriousLoss.Attached() {
		c.ops.spuriousLoss.Run(a)
	}
}

var opSpuriousLoss = protoops.Define(protoops.Key{Name: "spurious_loss", Param: protoops.NoParam},
	protoops.Doc{
		Summary: "A packet declared lost was acknowledged after all",
		Fires:   "per packet",
		Section: "https://www.rfc-editor.org/rfc/rfc9002#section-6.1",
	},
	func(c *Conn) *protoops.Slot[PacketArg, protoops.None] { return &c.ops.spuriousLoss },
	nil)

// handshakeProgress reacts to acknowledgments that move the handshake.
func (c *Conn) handshakeProgress(s *numberSpace) {
	if s.id == handshakeSpace && !c.IsServer() && c.path0.PTOCount > 0 {
		c.path0.PTOCount = 0
	}
}

// peerCompletedAddressValidation: https://www.rfc-editor.org/rfc/rfc9002#appendix-A.8
func (c *Conn) peerCompletedAddressValidation() bool {
	return c.IsServer() || c.v.HandshakeConfirmed != 0 || c.hs.sent.HasAcked || c.hs.v.Discarded != 0
}
