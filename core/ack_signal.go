package core

import (
	"time"

	"github.com/pquic-go/pquic/core/congestion"
	"github.com/pquic-go/pquic/core/mono"
	"github.com/pquic-go/pquic/protoops"
)

// What an acknowledgment says about the network: round-trip time, delivery rate,
// congestion.

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
