package core

import (
	"time"

	"github.com/pquic-go/pquic/core/congestion"
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

// settleLate settles a packet that was declared lost and has arrived after all.
func (c *Conn) settleLate(s *numberSpace, sent *SentPacket) {
	d := &sent.Data
	if d.count > 0 {
		c.frameArrived(s, &d.first)
		for i := range d.rest {
			c.frameArrived(s, &d.rest[i])
		}
	}
	d.release()
}

// frameArrived settles a frame of a packet that was declared lost and then
// acknowledged. Its owner was told of the loss already; only bytes that may
// still wait to be sent again gain from the news.
func (c *Conn) frameArrived(s *numberSpace, r *frameRecord) {
	switch r.typ {
	case wire.Stream:
		c.streamFate(r, true)
	case wire.Crypto:
		if cs := c.crypto[s.id]; cs != nil {
			cs.send.Acked(r.off, int(r.n), false)
		}
	case pluginStreamRecord:
		c.pluginStreamFate(r, true)
	}
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

// sampleRTT takes a round-trip sample.
// https://www.rfc-editor.org/rfc/rfc9002#section-5.1
func (c *Conn) sampleRTT(p *Path, s *numberSpace, ack *ackEvent, delay time.Duration) {
	if s.id == handshakeSpace && ack.largestSent < c.handshake.helloSent && p.RTT.Samples > 0 {
		// ServerHello was sent again after this packet: the client may have kept
		// the packet until it came, and there are peers whose acknowledgments of
		// Handshake packets tell no delay. As one of two packets of which the
		// acknowledgment may be, it measures nothing.
		return
	}
	ack.hasRTT, ack.latest = true, c.now.Sub(ack.largestSent)
	if c.v.HandshakeConfirmed != 0 {
		// "SHOULD … use the lesser of the acknowledgment delay and the peer's
		// max_ack_delay after the handshake is confirmed".
		// https://www.rfc-editor.org/rfc/rfc9002#section-5.3
		delay = min(delay, p.MaxAckDelay)
	}
	r := &p.RTT
	samples := r.Samples
	e := c.updateRTT(RTTSample{Path: p, Latest: ack.latest, AckDelay: delay})
	if r.Samples != samples {
		return
	}
	// A pluglet has answered instead of the native body: its answer counts, and
	// where it gives none what it has written to the fields.
	r.LatestRTT = ack.latest
	if r.Samples++; r.Samples == 1 {
		r.FirstSampleTime = c.now
	}
	if e.Smoothed > 0 {
		r.SmoothedRTT = e.Smoothed
	}
	if e.Variance > 0 {
		r.RTTVar = e.Variance
	}
	if e.Min > 0 {
		r.MinRTT = e.Min
	}
}

// updateRTT folds one sample into the path's round-trip estimate. Operation "update_rtt".
func (c *Conn) updateRTT(a RTTSample) RTTEstimate {
	if c.ops.updateRTT.Attached() {
		return c.ops.updateRTT.Run(a)
	}
	return c.updateRTTNative(a)
}

var opUpdateRTT = protoops.Define(protoops.Key{Name: "update_rtt", Param: protoops.NoParam},
	protoops.Doc{
		Summary: "Folds one sample into the path's round-trip estimate",
		Fires:   "per ACK frame that newly acknowledges its largest packet, if ack-eliciting",
		Native:  "smoothed_rtt, rttvar and min_rtt of RFC 9002",
		Section: "https://www.rfc-editor.org/rfc/rfc9002#section-5.3",
	},
	func(c *Conn) *protoops.Slot[RTTSample, RTTEstimate] { return &c.ops.updateRTT },
	(*Conn).updateRTTNative)

func (c *Conn) updateRTTNative(s RTTSample) RTTEstimate {
	r := &s.Path.RTT
	r.Update(c.now, s.Latest, s.AckDelay)
	return RTTEstimate{Smoothed: r.SmoothedRTT, Variance: r.RTTVar, Min: r.MinRTT}
}

// congestionAcked hands one acknowledgment to the congestion controller.
func (c *Conn) congestionAcked(s *numberSpace, p *Path, ack *ackEvent) {
	a := &c.endpoint.scratch.ccAck
	*a = congestion.Ack{
		Now: c.now, LargestSentTime: ack.largestSent, Bytes: ack.bytes, PriorInFlight: ack.priorInFlight,
		RTT: p.RTT, LatestRTT: ack.latest, HasRTT: ack.hasRTT, LargestAcked: ack.largest, NextPN: s.sent.Next(),
	}
	a.Rate = c.estimateBandwidth(PathArg{p}).sample
	a.Underutilized = c.isUnderutilized(UtilizationArg{Path: p, PriorInFlight: ack.priorInFlight}).Yes
	c.congestionOnAck(CongestionAckArg{Path: p, Bytes: a.Bytes, PriorInFlight: a.PriorInFlight, LatestRTT: a.LatestRTT, LargestAcked: a.LargestAcked, LargestSentTime: a.LargestSentTime, Underutilized: a.Underutilized, DeliveryRate: a.Rate.DeliveryRate})
	c.updatePacer(p)
}

// BandwidthSample is the result of operation "estimate_bandwidth".
type BandwidthSample struct {
	Rate   uint64 `op:"delivery_rate" unit:"bytes/s" doc:"delivery rate, 0 no valid sample"`
	sample congestion.RateSample
}

// estimateBandwidth measures the path's delivery rate. Operation "estimate_bandwidth".
func (c *Conn) estimateBandwidth(a PathArg) BandwidthSample {
	if c.ops.estimateBandwidth.Attached() {
		return c.ops.estimateBandwidth.Run(a)
	}
	return c.estimateBandwidthNative(a)
}

var opEstimateBandwidth = protoops.Define(protoops.Key{Name: "estimate_bandwidth", Param: protoops.NoParam},
	protoops.Doc{
		Summary: "Measures the path's delivery rate",
		Fires:   "per ACK frame that newly acknowledges packets",
		Native:  "the delivery-rate sample of the BBR draft",
		Section: "https://datatracker.ietf.org/doc/html/draft-ietf-ccwg-bbr#section-4.5.2",
	},
	func(c *Conn) *protoops.Slot[PathArg, BandwidthSample] { return &c.ops.estimateBandwidth },
	(*Conn).estimateBandwidthNative)

func (c *Conn) estimateBandwidthNative(a PathArg) BandwidthSample {
	s := a.Path.sampler.Sample(&a.Path.Congestion, a.Path.RTT.MinRTT)
	if s.Valid != 0 {
		a.Path.BandwidthEstimate = s.DeliveryRate
	}
	return BandwidthSample{Rate: s.DeliveryRate, sample: s}
}

// UtilizationArg is the argument of operation "is_underutilized".
type UtilizationArg struct {
	Path          *Path  `op:"path" doc:"the path"`
	PriorInFlight uint64 `op:"prior_in_flight" unit:"bytes" doc:"bytes in flight before the acknowledgment"`
}

// isUnderutilized decides whether the congestion window was not the limit, so that it must not grow. Operation "is_underutilized".
func (c *Conn) isUnderutilized(a UtilizationArg) Decision {
	if c.ops.isUnderutilized.Attached() {
		return c.ops.isUnderutilized.Run(a)
	}
	return c.isUnderutilizedNative(a)
}

var opIsUnderutilized = protoops.Define(protoops.Key{Name: "is_underutilized", Param: protoops.NoParam},
	protoops.Doc{
		Summary: "Decides whether the congestion window was not the limit, so that it must not grow",
		Fires:   "per ACK frame",
		Native:  "yes if less than half of the window was in flight and the application had nothing more to send",
		Section: "https://www.rfc-editor.org/rfc/rfc9002#section-7.8",
	},
	func(c *Conn) *protoops.Slot[UtilizationArg, Decision] { return &c.ops.isUnderutilized },
	(*Conn).isUnderutilizedNative)

func (c *Conn) isUnderutilizedNative(a UtilizationArg) Decision {
	v := &a.Path.Congestion
	if v.InSlowStart != 0 {
		return Decision{a.PriorInFlight+2*v.MaxDatagramSize < v.CongestionWindow/2}
	}
	return Decision{a.PriorInFlight+3*v.MaxDatagramSize < v.CongestionWindow}
}

// CongestionAckArg is the argument of operation "congestion_on_ack".
type CongestionAckArg struct {
	Path            *Path         `op:"path" doc:"the path"`
	Bytes           uint64        `op:"bytes" unit:"bytes" doc:"newly acknowledged bytes that were in flight"`
	PriorInFlight   uint64        `op:"prior_in_flight" unit:"bytes" doc:"bytes in flight before"`
	LatestRTT       time.Duration `op:"latest_rtt" unit:"ns" doc:"round-trip sample, 0 none"`
	LargestAcked    uint64        `op:"largest_acked" doc:"largest packet newly acknowledged"`
	LargestSentTime mono.Time     `op:"largest_sent_time" unit:"ns" doc:"when it was sent"`
	Underutilized   bool          `op:"underutilized" doc:"the window was not the limit"`
	DeliveryRate    uint64        `op:"delivery_rate" unit:"bytes/s" doc:"delivery-rate sample, 0 none"`
}

// congestionOnAck lets the congestion controller react to an acknowledgment. Operation "congestion_on_ack".
func (c *Conn) congestionOnAck(a CongestionAckArg) protoops.None {
	if c.ops.congestionOnAck.Attached() {
		return c.ops.congestionOnAck.Run(a)
	}
	return c.congestionOnAckNative(a)
}

var opCongestionOnAck = protoops.Define(protoops.Key{Name: "congestion_on_ack", Param: protoops.NoParam},
	protoops.Doc{
		Summary: "Lets the congestion controller react to an acknowledgment",
		Fires:   "per ACK frame that newly acknowledges ack-eliciting packets",
		Native:  "the path's controller",
		Section: "https://www.rfc-editor.org/rfc/rfc9002#section-7.3",
	},
	func(c *Conn) *protoops.Slot[CongestionAckArg, protoops.None] { return &c.ops.congestionOnAck },
	(*Conn).congestionOnAckNative)

func (c *Conn) congestionOnAckNative(a CongestionAckArg) protoops.None {
	a.Path.cc.OnAck(&a.Path.Congestion, &c.endpoint.scratch.ccAck)
	return protoops.None{}
}

// congestionOnSpurious lets the congestion controller undo a reaction to losses that were none. Operation "congestion_on_spurious".
func (c *Conn) congestionOnSpurious(a PathArg) protoops.None {
	if c.ops.congestionOnSpurious.Attached() {
		return c.ops.congestionOnSpurious.Run(a)
	}
	return c.congestionOnSpuriousNative(a)
}

var opCongestionOnSpurious = protoops.Define(protoops.Key{Name: "congestion_on_spurious", Param: protoops.NoParam},
	protoops.Doc{
		Summary: "Lets the congestion controller undo a reaction to losses that were none",
		Fires:   "per ACK frame that acknowledges packets declared lost",
		Native:  "the path's controller",
		Section: "https://www.rfc-editor.org/rfc/rfc9002#section-7.3",
	},
	func(c *Conn) *protoops.Slot[PathArg, protoops.None] { return &c.ops.congestionOnSpurious },
	(*Conn).congestionOnSpuriousNative)

func (c *Conn) congestionOnSpuriousNative(a PathArg) protoops.None {
	a.Path.cc.OnSpuriousLoss(&a.Path.Congestion, c.now)
	return protoops.None{}
}

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

// frameFate tells the owner of a frame that it was acknowledged or lost.
func (c *Conn) frameFate(p *Path, s *numberSpace, sent *SentPacket, r *frameRecord, acked bool) {
	if r.typ == wire.Stream && !c.ops.frames.notify[wire.Stream].Attached() && (acked || !c.ops.isRetransmissionNeeded.Attached()) {
		c.streamFate(r, acked)
		return
	}
	if r.stream != nil && r.stream.plugin != nil {
		c.pluginStreamFate(r, acked)
		return
	}
	i, native := frameIndex(r.typ)
	fate := FateLost
	if acked {
		fate = FateAcked
	}
	if !native {
		if r.fin && acked {
			// An acknowledgment of a plugin's own kind, see AppendAck.
			if q := c.Path(uint64(r.n)); q != nil {
				c.ackOfAck(AckOfAckArg{Path: q, Space: uint64(appSpace), Largest: r.off})
			}
		}
		if slot := c.ops.frames.plugin.notify.Slot(uint64(r.typ)); slot != nil {
			slot.Run(FrameFate{Path: p, Packet: sent, Type: uint64(r.typ), Cookie: r.off, Length: uint64(r.n), Fate: fate})
		}
		return
	}
	if c.ops.frames.notify[i].Attached() {
		c.ops.frames.notify[i].Run(FrameFate{Path: p, Packet: sent, Type: uint64(r.typ), Cookie: r.off, Length: uint64(r.n), Fate: fate})
	}
	if acked {
		c.frameAcked(p, s, r)
	} else {
		c.frameLost(p, s, r)
	}
}

// streamFate settles a range of stream data.
func (c *Conn) streamFate(r *frameRecord, acked bool) {
	s := r.stream
	if s == nil || s.sendDone {
		return
	}
	if !acked {
		s.sendHalf.Lost(r.off, int(r.n), r.fin)
		c.streams.markReady(s)
		return
	}
	released, done := s.sendHalf.Acked(r.off, int(r.n), r.fin)
	if (released || done) && c.handler != nil {
		c.handler.StreamWritable(c, s)
	}
	if done {
		c.streams.maybeClose(s)
	}
}

// frameAcked settles an acknowledged frame other than STREAM.
func (c *Conn) frameAcked(p *Path, s *numberSpace, r *frameRecord) {
	switch r.typ {
	case wire.Stream:
		c.streamFate(r, true)
	case wire.Crypto:
		if cs := c.crypto[s.id]; cs != nil {
			cs.send.Acked(r.off, int(r.n), false)
		}
	case wire.Ack, wire.AckECN:
		if s.id == appSpace {
			p = c.pathZero() // whichever path carried it
		}
		if p != nil {
			c.ackOfAck(AckOfAckArg{Path: p, Space: uint64(s.id), Largest: r.off})
		}
	case wire.ResetStream, wire.ResetStreamAt:
		if st := r.stream; !st.sendDone && st.sendHalf.ResetFrameAcked(r.off) {
			c.streams.maybeClose(st)
		}
	case wire.RetireConnectionID:
		if z := c.pathZero(); z != nil && z.remote.unacked > 0 {
			z.remote.unacked--
		}
	case wire.NewToken:
		c.handshake.newToken = nil
	case wire.HandshakeDone:
		c.v.HandshakeDoneAcked = 1
	case wire.AckFrequency:
		c.ackFrequencyAcked(r.off)
	}
}

// AckOfAckArg is the argument of operation "process_ack_of_ack".
type AckOfAckArg struct {
	Path    *Path  `op:"path" doc:"the path"`
	Space   uint64 `op:"space" doc:"0 Initial, 1 Handshake, 2 Application Data"`
	Largest uint64 `op:"largest" doc:"Largest Acknowledged of our ACK frame the peer has received"`
}

// ackOfAck forgets received packet numbers the peer knows we have acknowledged. Operation "process_ack_of_ack".
func (c *Conn) ackOfAck(a AckOfAckArg) protoops.None {
	if c.ops.ackOfAck.Attached() {
		return c.ops.ackOfAck.Run(a)
	}
	return c.ackOfAckNative(a)
}

var opAckOfAck = protoops.Define(protoops.Key{Name: "process_ack_of_ack", Param: protoops.NoParam},
	protoops.Doc{
		Summary: "Forgets received packet numbers the peer knows we have acknowledged",
		Fires:   "when a packet with our ACK frame is acknowledged",
		Native:  "ranges at or below the frame's Largest Acknowledged are dropped",
		Section: "https://www.rfc-editor.org/rfc/rfc9000#section-13.2.4",
	},
	func(c *Conn) *protoops.Slot[AckOfAckArg, protoops.None] { return &c.ops.ackOfAck },
	(*Conn).ackOfAckNative)

func (c *Conn) ackOfAckNative(a AckOfAckArg) protoops.None {
	s := &a.Path.space
	switch spaceID(a.Space) {
	case initialSpace:
		s = c.initial
	case handshakeSpace:
		s = c.hs
	}
	s.received.ForgetBelow(a.Largest)
	return protoops.None{}
}

// frameLost queues again what a lost packet carried, as far as it still
// matters.
// https://www.rfc-editor.org/rfc/rfc9000#section-13.3
func (c *Conn) frameLost(p *Path, s *numberSpace, r *frameRecord) {
	if !c.isRetransmissionNeeded(LostFrameArg{Path: p, Stream: r.stream, Type: uint64(r.typ), Cookie: r.off, Length: uint64(r.n)}).Yes {
		return
	}
	switch r.typ {
	case wire.Stream:
		c.streamFate(r, false)
	case wire.Crypto:
		if cs := c.crypto[s.id]; cs != nil {
			cs.send.Lost(r.off, int(r.n), false)
		}
	case wire.ResetStream, wire.ResetStreamAt:
		if st := r.stream; !st.sendDone && st.sendHalf.ResetAcked == 0 {
			c.streams.queueControl(st, pendReset)
		}
	case wire.StopSending:
		if st := r.stream; !st.recvDone && st.recvHalf.SizeKnown == 0 {
			c.streams.queueControl(st, pendStop)
		}
	case wire.MaxStreamData:
		if st := r.stream; !st.recvDone && st.recvHalf.SizeKnown == 0 {
			c.streams.queueControl(st, pendMaxStreamData)
		}
	case wire.StreamDataBlocked:
		if st := r.stream; !st.sendDone {
			if limit, blocked := st.sendHalf.Blocked(); blocked && limit == r.off {
				c.streams.queueControl(st, pendStreamBlocked)
			}
		}
	case wire.MaxData:
		c.pend |= pendMaxData
	case wire.MaxStreamsBidi:
		c.pend |= pendMaxStreamsBidi
	case wire.MaxStreamsUni:
		c.pend |= pendMaxStreamsUni
	case wire.DataBlocked:
		if r.off == c.v.MaxDataRemote {
			c.pend |= pendDataBlocked
		}
	case wire.StreamsBlockedBidi:
		if r.off == c.v.MaxStreamsBidiRemote {
			c.pend |= pendStreamsBlockedBidi
		}
	case wire.StreamsBlockedUni:
		if r.off == c.v.MaxStreamsUniRemote {
			c.pend |= pendStreamsBlockedUni
		}
	case wire.HandshakeDone:
		c.pend |= pendHandshakeDone
	case wire.NewToken:
		c.pend |= pendNewToken
	case wire.NewConnectionID:
		z := c.pathZero()
		for i := 0; z != nil && i < len(z.local.ids); i++ {
			if z.local.ids[i].seq == r.off {
				z.local.ids[i].send = true
				c.pend |= pendNewConnID
			}
		}
	case wire.RetireConnectionID:
		if z := c.pathZero(); z != nil {
			z.remote.unacked -= min(z.remote.unacked, 1)
			z.remote.retire = append(z.remote.retire, r.off)
			c.pend |= pendRetireConnID
		}
	case wire.AckFrequency:
		if r.off == c.ackFreq.sentSeq {
			c.pend |= pendAckFrequency
		}
	}
}

// LostFrameArg is the argument of operation "is_retransmission_needed".
type LostFrameArg struct {
	Path   *Path   `op:"path" doc:"path of the lost packet"`
	Stream *Stream `op:"stream" doc:"the stream the frame is about, 0 none"`
	Type   uint64  `op:"type" doc:"frame type"`
	Cookie uint64  `op:"cookie" doc:"stream offset, sequence number or limit"`
	Length uint64  `op:"length" unit:"bytes" doc:"bytes of the range"`
}

// isRetransmissionNeeded decides whether a lost frame's information is sent again. Operation "is_retransmission_needed".
func (c *Conn) isRetransmissionNeeded(a LostFrameArg) Decision {
	if c.ops.isRetransmissionNeeded.Attached() {
		return c.ops.isRetransmissionNeeded.Run(a)
	}
	return c.isRetransmissionNeededNative(a)
}

var opIsRetransmissionNeeded = protoops.Define(protoops.Key{Name: "is_retransmission_needed", Param: protoops.NoParam},
	protoops.Doc{
		Summary: "Decides whether a lost frame's information is sent again",
		Fires:   "per frame of a lost packet, except frames of plugins",
		Native:  "yes; what is outdated meanwhile is left out",
		Section: "https://www.rfc-editor.org/rfc/rfc9000#section-13.3",
	},
	func(c *Conn) *protoops.Slot[LostFrameArg, Decision] { return &c.ops.isRetransmissionNeeded },
	(*Conn).isRetransmissionNeededNative)

func (c *Conn) isRetransmissionNeededNative(LostFrameArg) Decision { return Decision{true} }

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
