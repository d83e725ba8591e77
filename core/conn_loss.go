package core

import (
	"time"

	"github.com/pquic-go/pquic/core/congestion"
	"github.com/pquic-go/pquic/core/mono"
	"github.com/pquic-go/pquic/core/recovery"
	"github.com/pquic-go/pquic/core/wire"
	"github.com/pquic-go/pquic/protoops"
)

// What made loss detection run.
type lossTrigger uint8

const (
	lossByAck lossTrigger = iota
	lossByTimer
)

// detectLoss declares packets lost by the packet and time thresholds.
// https://www.rfc-editor.org/rfc/rfc9002#section-6.1
func (c *Conn) detectLoss(s *numberSpace, p *Path, why lossTrigger, priorInFlight uint64) {
	if !s.sent.HasAcked {
		return
	}
	params := recovery.LossParams{
		PacketThreshold: c.packetThreshold(PathArg{p}).Count,
		TimeThreshold:   c.lossDelay(PathArg{p}).Duration,
	}
	lost := s.sent.DetectLost(c.now, params, c.endpoint.scratch.lost[:0])
	c.endpoint.scratch.lost = lost[:0]
	if len(lost) == 0 {
		return
	}
	if why == lossByAck {
		c.v.FastRetransmits++
		c.fastRetransmit(PathArg{p})
	} else {
		c.v.LossTimeouts++
		c.lossTimeout(PathArg{p})
	}
	c.declareLost(s, p, lost, why, priorInFlight)
}

// fastRetransmit tells that an acknowledgment showed that packets are lost. Event "fast_retransmit".
func (c *Conn) fastRetransmit(a PathArg) {
	if c.ops.fastRetransmit.Attached() {
		c.ops.fastRetransmit.Run(a)
	}
}

var opFastRetransmit = protoops.Define(protoops.Key{Name: "fast_retransmit", Param: protoops.NoParam},
	protoops.Doc{
		Summary: "An acknowledgment showed that packets are lost",
		Fires:   "per ACK frame that does",
		Section: "https://www.rfc-editor.org/rfc/rfc9002#section-6.1.1",
	},
	func(c *Conn) *protoops.Slot[PathArg, protoops.None] { return &c.ops.fastRetransmit },
	nil)

// lossTimeout tells that the time threshold declared packets lost. Event "loss_timeout".
func (c *Conn) lossTimeout(a PathArg) {
	if c.ops.lossTimeout.Attached() {
		c.ops.lossTimeout.Run(a)
	}
}

var opLossTimeout = protoops.Define(protoops.Key{Name: "loss_timeout", Param: protoops.NoParam},
	protoops.Doc{
		Summary: "The time threshold declared packets lost",
		Fires:   "per expiry of the loss timer",
		Section: "https://www.rfc-editor.org/rfc/rfc9002#section-6.1.2",
	},
	func(c *Conn) *protoops.Slot[PathArg, protoops.None] { return &c.ops.lossTimeout },
	nil)

// packetThreshold chooses how many later packets have to be acknowledged before a packet is lost. Operation "packet_threshold".
func (c *Conn) packetThreshold(a PathArg) Count {
	if c.ops.packetThreshold.Attached() {
		return c.ops.packetThreshold.Run(a)
	}
	return c.packetThresholdNative(a)
}

var opPacketThreshold = protoops.Define(protoops.Key{Name: "packet_threshold", Param: protoops.NoParam},
	protoops.Doc{
		Summary: "Chooses how many later packets have to be acknowledged before a packet is lost",
		Fires:   "per loss detection",
		Native:  "the path's packet_threshold, 3",
		Section: "https://www.rfc-editor.org/rfc/rfc9002#section-6.1.1",
	},
	func(c *Conn) *protoops.Slot[PathArg, Count] { return &c.ops.packetThreshold },
	(*Conn).packetThresholdNative)

func (c *Conn) packetThresholdNative(a PathArg) Count { return Count{a.Path.PacketThreshold} }

// lossDelay chooses how much later a packet has to be acknowledged before an earlier one is lost. Operation "loss_delay".
func (c *Conn) lossDelay(a PathArg) Span {
	if c.ops.lossDelay.Attached() {
		return c.ops.lossDelay.Run(a)
	}
	return c.lossDelayNative(a)
}

var opLossDelay = protoops.Define(protoops.Key{Name: "loss_delay", Param: protoops.NoParam},
	protoops.Doc{
		Summary: "Chooses how much later a packet has to be acknowledged before an earlier one is lost",
		Fires:   "per loss detection",
		Native:  "9/8 of the larger of smoothed and latest RTT, at least 1 ms",
		Section: "https://www.rfc-editor.org/rfc/rfc9002#section-6.1.2",
	},
	func(c *Conn) *protoops.Slot[PathArg, Span] { return &c.ops.lossDelay },
	(*Conn).lossDelayNative)

func (c *Conn) lossDelayNative(a PathArg) Span { return Span{a.Path.RTT.LossDelay()} }

// declareLost settles lost packets and tells the congestion controller.
func (c *Conn) declareLost(s *numberSpace, p *Path, lost []uint64, why lossTrigger, priorInFlight uint64) {
	l := congestion.Loss{Now: c.now, NextPN: s.sent.Next(), PriorInFlight: priorInFlight}
	if len(lost) > 1 {
		d := p.RTT.PersistentCongestionDuration(p.MaxAckDelay)
		if s.sent.PersistentCongestion(lost, p.RTT.FirstSampleTime, d) {
			l.Persistent = c.persistentCongestion(PersistentArg{Path: p, Packets: uint64(len(lost))}).Yes
		}
	}
	for _, pn := range lost {
		sent := s.sent.Get(pn)
		if sent == nil || sent.State != recovery.Outstanding {
			continue
		}
		if sent.Flags&(recovery.InFlight|recovery.MTUProbe) == recovery.InFlight && p.measures(sent) {
			l.Bytes += uint64(sent.Size)
			l.Packets++
			l.LargestLost, l.LargestLostSent = pn, sent.SentTime
			l.TxInFlight, l.LostAtSend, l.SentAppLimited = sent.TxInFlight, sent.PacketView.LostBytes, sent.AppLimited != 0
		}
		c.losePacket(s, p, sent, why)
	}
	if l.Packets > 0 {
		c.congestionLost(p, &l)
	}
}

// losePacket settles one lost packet.
func (c *Conn) losePacket(s *numberSpace, p *Path, sent *SentPacket, why lossTrigger) {
	s.sent.Settle(sent, recovery.Lost)
	c.v.PacketsLost++
	p.PacketsLost++
	p.BytesLost += uint64(sent.Size)
	s.v.Retransmits++
	s.v.LastLossTime = c.now
	if sent.Flags&recovery.InFlight != 0 && p.measures(sent) {
		p.Congestion.BytesInFlight -= min(uint64(sent.Size), p.Congestion.BytesInFlight)
		p.sampler.OnLost(&p.Congestion, &sent.PacketView)
	}
	c.packetLost(PacketArg{Path: p, Packet: sent, Level: uint64(sent.Level)})
	if c.log != nil {
		c.log.OnPath(p.ID).PacketLost(c.now, encryptionLevel(sent.Level).packetType(), sent.Number, lossNames[why])
	}
	if p.measures(sent) {
		if sent.Flags&recovery.MTUProbe != 0 {
			c.mtuProbeLost(p, sent)
		}
		p.mtu.lost(c, p, sent)
		p.ecn.lost(c, p, sent)
	}
	d := &sent.Data
	if d.count > 0 {
		c.frameFate(p, s, sent, &d.first, false)
		for i := range d.rest {
			c.frameFate(p, s, sent, &d.rest[i], false)
		}
		// The records stay: the packet may be acknowledged after all.
	}
}

var lossNames = [...]string{"reordering_threshold", "time_threshold"}

// packetLost tells that a packet was declared lost. Event "packet_lost".
func (c *Conn) packetLost(a PacketArg) {
	if c.ops.packetLost.Attached() {
		c.ops.packetLost.Run(a)
	}
}

var opPacketLost = protoops.Define(protoops.Key{Name: "packet_lost", Param: protoops.NoParam},
	protoops.Doc{
		Summary: "A packet was declared lost",
		Fires:   "per packet, before its frames are queued again",
		Section: "https://www.rfc-editor.org/rfc/rfc9002#section-6.1",
	},
	func(c *Conn) *protoops.Slot[PacketArg, protoops.None] { return &c.ops.packetLost },
	nil)

// PersistentArg is the argument of operation "persistent_congestion".
type PersistentArg struct {
	Path    *Path  `op:"path" doc:"the path"`
	Packets uint64 `op:"packets" doc:"packets lost in this detection"`
}

// persistentCongestion decides whether a long total loss resets the congestion window. Operation "persistent_congestion".
func (c *Conn) persistentCongestion(a PersistentArg) Decision {
	if c.ops.persistentCongestion.Attached() {
		return c.ops.persistentCongestion.Run(a)
	}
	return c.persistentCongestionNative(a)
}

var opPersistentCongestion = protoops.Define(protoops.Key{Name: "persistent_congestion", Param: protoops.NoParam},
	protoops.Doc{
		Summary: "Decides whether a long total loss resets the congestion window",
		Fires:   "when lost packets span the persistent congestion duration",
		Native:  "yes",
		Section: "https://www.rfc-editor.org/rfc/rfc9002#section-7.6",
	},
	func(c *Conn) *protoops.Slot[PersistentArg, Decision] { return &c.ops.persistentCongestion },
	(*Conn).persistentCongestionNative)

func (c *Conn) persistentCongestionNative(PersistentArg) Decision { return Decision{true} }

// congestionLost hands a congestion signal to the controller.
func (c *Conn) congestionLost(p *Path, l *congestion.Loss) {
	l.RTT = p.RTT
	c.endpoint.scratch.ccLoss = *l
	c.congestionOnLoss(CongestionLossArg{Path: p, Bytes: l.Bytes, Packets: uint64(l.Packets), LargestLost: l.LargestLost, LargestLostSent: l.LargestLostSent, Persistent: l.Persistent, ECN: l.ECN})
	c.updatePacer(p)
}

// CongestionLossArg is the argument of operation "congestion_on_loss".
type CongestionLossArg struct {
	Path            *Path     `op:"path" doc:"the path"`
	Bytes           uint64    `op:"bytes" unit:"bytes" doc:"lost bytes that were in flight"`
	Packets         uint64    `op:"packets" doc:"lost packets"`
	LargestLost     uint64    `op:"largest_lost" doc:"largest lost packet"`
	LargestLostSent mono.Time `op:"largest_lost_sent" unit:"ns" doc:"when it was sent"`
	Persistent      bool      `op:"persistent" doc:"persistent congestion"`
	ECN             bool      `op:"ecn" doc:"congestion was marked, nothing was lost"`
}

// congestionOnLoss lets the congestion controller react to losses or ECN marks. Operation "congestion_on_loss".
func (c *Conn) congestionOnLoss(a CongestionLossArg) protoops.None {
	if c.ops.congestionOnLoss.Attached() {
		return c.ops.congestionOnLoss.Run(a)
	}
	return c.congestionOnLossNative(a)
}

var opCongestionOnLoss = protoops.Define(protoops.Key{Name: "congestion_on_loss", Param: protoops.NoParam},
	protoops.Doc{
		Summary: "Lets the congestion controller react to losses or ECN marks",
		Fires:   "once per detection batch",
		Native:  "the path's controller",
		Section: "https://www.rfc-editor.org/rfc/rfc9002#section-7.3.2",
	},
	func(c *Conn) *protoops.Slot[CongestionLossArg, protoops.None] { return &c.ops.congestionOnLoss },
	(*Conn).congestionOnLossNative)

func (c *Conn) congestionOnLossNative(a CongestionLossArg) protoops.None {
	a.Path.cc.OnLoss(&a.Path.Congestion, &c.endpoint.scratch.ccLoss)
	return protoops.None{}
}

// congestionWindow answers how many bytes may be in flight on a path. Operation "congestion_window".
func (c *Conn) congestionWindow(a PathArg) Size {
	if c.ops.congestionWindow.Attached() {
		return c.ops.congestionWindow.Run(a)
	}
	return c.congestionWindowNative(a)
}

var opCongestionWindow = protoops.Define(protoops.Key{Name: "congestion_window", Param: protoops.NoParam},
	protoops.Doc{
		Summary: "Answers how many bytes may be in flight on a path",
		Fires:   "before each datagram",
		Native:  "the controller's window",
		Section: "https://www.rfc-editor.org/rfc/rfc9002#section-7",
	},
	func(c *Conn) *protoops.Slot[PathArg, Size] { return &c.ops.congestionWindow },
	(*Conn).congestionWindowNative)

func (c *Conn) congestionWindowNative(a PathArg) Size {
	return Size{a.Path.Congestion.CongestionWindow}
}

// updatePacer sets the pacer to the controller's rate.
func (c *Conn) updatePacer(p *Path) {
	if c.config.DisablePacing {
		return
	}
	r := c.pacingRate(PathArg{p})
	p.Pacer.Set(c.now, r.Rate, r.Burst)
}

// PacingRate is the result of operation "pacing_rate".
type PacingRate struct {
	Rate  uint64 `op:"rate" unit:"bytes/s" doc:"sending rate, 0 unlimited"`
	Burst uint64 `op:"burst" unit:"bytes" doc:"most bytes that may leave at once"`
}

// pacingRate chooses how fast packets leave. Operation "pacing_rate".
func (c *Conn) pacingRate(a PathArg) PacingRate {
	if c.ops.pacingRate.Attached() {
		return c.ops.pacingRate.Run(a)
	}
	return c.pacingRateNative(a)
}

var opPacingRate = protoops.Define(protoops.Key{Name: "pacing_rate", Param: protoops.NoParam},
	protoops.Doc{
		Summary: "Chooses how fast packets leave",
		Fires:   "after every reaction of the congestion controller",
		Native:  "the controller's rate, or the window spread over the round-trip time with some headroom",
		Section: "https://www.rfc-editor.org/rfc/rfc9002#section-7.7",
	},
	func(c *Conn) *protoops.Slot[PathArg, PacingRate] { return &c.ops.pacingRate },
	(*Conn).pacingRateNative)

func (c *Conn) pacingRateNative(a PathArg) PacingRate {
	v := &a.Path.Congestion
	if a.Path.RTT.Samples == 0 {
		return PacingRate{}
	}
	rate := v.PacingRateFor(a.Path.RTT.SmoothedRTT)
	return PacingRate{Rate: rate, Burst: v.BurstFor(rate)}
}

// pacingOpen reports whether the pacer lets a datagram go now.
func (c *Conn) pacingOpen(p *Path) bool {
	if c.config.DisablePacing && !c.ops.pacingDeadline.Attached() {
		return true
	}
	t := c.pacingDeadline(PacingArg{Path: p, Bytes: p.MTU}).Time
	if t <= c.now {
		c.timers[timerPacing] = 0
		return true
	}
	c.timers[timerPacing] = mono.Earliest(c.timers[timerPacing], t)
	return false
}

// PacingArg is the argument of operation "pacing_deadline".
type PacingArg struct {
	Path  *Path  `op:"path" doc:"the path"`
	Bytes uint64 `op:"bytes" unit:"bytes" doc:"size of the datagram to send"`
}

// pacingDeadline chooses when the next datagram may leave. Operation "pacing_deadline".
func (c *Conn) pacingDeadline(a PacingArg) Deadline {
	if c.ops.pacingDeadline.Attached() {
		return c.ops.pacingDeadline.Run(a)
	}
	return c.pacingDeadlineNative(a)
}

var opPacingDeadline = protoops.Define(protoops.Key{Name: "pacing_deadline", Param: protoops.NoParam},
	protoops.Doc{
		Summary: "Chooses when the next datagram may leave",
		Fires:   "before each datagram",
		Native:  "the pacer's token bucket",
		Section: "https://www.rfc-editor.org/rfc/rfc9002#section-7.7",
	},
	func(c *Conn) *protoops.Slot[PacingArg, Deadline] { return &c.ops.pacingDeadline },
	(*Conn).pacingDeadlineNative)

func (c *Conn) pacingDeadlineNative(a PacingArg) Deadline {
	p := a.Path
	if c.config.DisablePacing || p.Pacer.Rate == 0 || p.Pacer.Budget(c.now) >= a.Bytes {
		return Deadline{}
	}
	return Deadline{p.Pacer.NextTime(c.now, a.Bytes)}
}

// noteUnderutilized tells the rate sampler that the application, not the
// window, is the limit.
func (c *Conn) noteUnderutilized(p *Path) {
	if p.Congestion.BytesInFlight+p.MTU < p.Congestion.CongestionWindow {
		p.sampler.OnAppLimited(&p.Congestion)
	}
}

// ptoPeriod is the probe timeout of a space, without backoff.
func (c *Conn) ptoPeriod(p *Path, s *numberSpace) time.Duration {
	return c.ptoDuration(SpaceArg{Path: p, Space: uint64(s.id)}).Duration
}

// ptoDuration chooses the probe timeout before backoff. Operation "pto_period".
func (c *Conn) ptoDuration(a SpaceArg) Span {
	if c.ops.ptoDuration.Attached() {
		return c.ops.ptoDuration.Run(a)
	}
	return c.ptoDurationNative(a)
}

var opPtoDuration = protoops.Define(protoops.Key{Name: "pto_period", Param: protoops.NoParam},
	protoops.Doc{
		Summary: "Chooses the probe timeout before backoff",
		Fires:   "when the loss timer is armed",
		Native:  "smoothed_rtt + max(4 × rttvar, 1 ms) + max_ack_delay",
		Section: "https://www.rfc-editor.org/rfc/rfc9002#section-6.2.1",
	},
	func(c *Conn) *protoops.Slot[SpaceArg, Span] { return &c.ops.ptoDuration },
	(*Conn).ptoDurationNative)

func (c *Conn) ptoDurationNative(a SpaceArg) Span {
	d := time.Duration(0)
	if spaceID(a.Space) == appSpace {
		d = a.Path.MaxAckDelay
	}
	return Span{a.Path.RTT.PTO(d)}
}

// lossDeadline returns when the path's loss timer fires: the time threshold if
// one is armed, else the probe timeout.
// https://www.rfc-editor.org/rfc/rfc9002#appendix-A.8
func (c *Conn) lossDeadline(p *Path) mono.Time {
	if t, _ := c.earliestLoss(p); t != 0 {
		return t
	}
	t, _ := c.ptoDeadline(p)
	return t
}

func (c *Conn) earliestLoss(p *Path) (t mono.Time, s *numberSpace) {
	if lt := p.space.sent.LossTime; lt != 0 {
		t, s = lt, &p.space
	}
	if p == c.path0 && c.v.HandshakeConfirmed == 0 {
		for _, x := range [...]*numberSpace{c.initial, c.hs} {
			if lt := x.sent.LossTime; lt != 0 && (t == 0 || lt < t) {
				t, s = lt, x
			}
		}
	}
	return t, s
}

func (c *Conn) ptoDeadline(p *Path) (t mono.Time, space *numberSpace) {
	if p.route.amplificationCredit() < minUDPPayload {
		// "If no additional data can be sent, the server's PTO timer MUST NOT be
		// armed until datagrams have been received from the client".
		// https://www.rfc-editor.org/rfc/rfc9002#section-6.2.2.1
		return 0, nil
	}
	inFlight := 0
	consider := func(s *numberSpace) {
		if s.v.Discarded != 0 || s.sent.AckElicitingInFlight == 0 && !(s.id != appSpace && c.crypto[s.id].pending() && !s.sent.LastAckEliciting.IsZero()) {
			// Handshake data that is lost and waits for a window full of 1-RTT
			// packets, whose own timer may not run yet, needs the timer too.
			return
		}
		inFlight++
		if s.id == appSpace && p == c.path0 && c.v.HandshakeConfirmed == 0 {
			// "An endpoint MUST NOT set its PTO timer for the Application Data
			// packet number space until the handshake is confirmed."
			// https://www.rfc-editor.org/rfc/rfc9002#section-6.2.1
			return
		}
		d := recovery.Backoff(c.ptoPeriod(p, s), uint32(min(p.PTOCount, 30)))
		if x := max(s.sent.LastAckEliciting, p.probed).Add(d); t == 0 || x < t {
			t, space = x, s
		}
	}
	if p == c.path0 && c.v.HandshakeConfirmed == 0 {
		consider(c.initial)
		consider(c.hs)
	}
	consider(&p.space)
	if t == 0 && !c.peerCompletedAddressValidation() && p == c.path0 {
		// The client keeps a probe timer running while the server may be
		// stopped by its anti-amplification limit.
		// https://www.rfc-editor.org/rfc/rfc9002#section-6.2.2.1
		s := c.initial
		if c.keys[levelHandshake].seal != nil {
			s = c.hs
		}
		last := max(p.probed, c.initial.sent.LastAckEliciting, c.hs.sent.LastAckEliciting, c.v.LastReceivedTime, c.v.StartTime)
		return last.Add(recovery.Backoff(c.ptoPeriod(p, s), uint32(min(p.PTOCount, 30)))), s
	}
	return t, space
}

// lossTimerFired handles the path's loss timer.
// https://www.rfc-editor.org/rfc/rfc9002#appendix-A.9
func (c *Conn) lossTimerFired(p *Path) {
	if t, s := c.earliestLoss(p); t != 0 {
		if t <= c.now {
			c.detectLoss(s, p, lossByTimer, p.Congestion.BytesInFlight)
		}
		return
	}
	t, s := c.ptoDeadline(p)
	if t == 0 || t > c.now || s == nil {
		return
	}
	c.v.PTOs++
	p.PTOCount++
	// The next timeout is measured from here until the probes leave, or one
	// noticed late would count as several.
	p.probed = c.now
	s.v.LastLossTime = c.now
	c.ptoFired(SpaceArg{Path: p, Space: uint64(s.id)})
	if c.log != nil {
		c.log.LossTimerUpdated(c.now, "expired", "pto", s.id.String(), 0)
	}
	n := uint32(c.ptoProbes(SpaceArg{Path: p, Space: uint64(s.id)}).Count)
	s.v.PTOProbes = max(n, 1)
	if c.otherPath(p) && s == &p.space {
		// Other paths need not wait until this one answers.
		c.requeueOldest(p, s, s.sent.Len())
	} else {
		c.requeueOldest(p, s, int(n))
	}
	c.probeOther(p, s)
	p.mtu.ptoFired(c, p)
}

// probeOther lets the other handshake space send too when the probe timeout of
// one fires. What it has to send may be what the peer waits for: without the
// server's Initial no Handshake packet can be read, and these fill the
// congestion window.
//
// "In addition to sending data in the packet number space for which the timer
// expired, the sender SHOULD send ack-eliciting packets from other packet number
// spaces with in-flight data, coalescing packets if possible."
// https://www.rfc-editor.org/rfc/rfc9002#section-6.2.4
func (c *Conn) probeOther(p *Path, fired *numberSpace) {
	if fired.id == appSpace {
		return
	}
	o, l := c.initial, levelInitial
	if fired == c.initial {
		o, l = c.hs, levelHandshake
	}
	if c.keys[l].seal == nil || o.sent.AckElicitingInFlight == 0 && !c.crypto[o.id].pending() {
		return
	}
	o.v.PTOProbes = max(o.v.PTOProbes, 1)
	c.requeueOldest(p, o, 1)
}

// ptoFired tells that the probe timeout expired. Event "pto_fired".
func (c *Conn) ptoFired(a SpaceArg) {
	if c.ops.ptoFired.Attached() {
		c.ops.ptoFired.Run(a)
	}
}

var opPtoFired = protoops.Define(protoops.Key{Name: "pto_fired", Param: protoops.NoParam},
	protoops.Doc{
		Summary: "The probe timeout expired",
		Fires:   "per expiry, before probes are sent",
		Section: "https://www.rfc-editor.org/rfc/rfc9002#section-6.2",
	},
	func(c *Conn) *protoops.Slot[SpaceArg, protoops.None] { return &c.ops.ptoFired },
	nil)

// ptoProbes chooses how many probe packets a probe timeout sends. Operation "pto_probes".
func (c *Conn) ptoProbes(a SpaceArg) Count {
	if c.ops.ptoProbes.Attached() {
		return c.ops.ptoProbes.Run(a)
	}
	return c.ptoProbesNative(a)
}

var opPtoProbes = protoops.Define(protoops.Key{Name: "pto_probes", Param: protoops.NoParam},
	protoops.Doc{
		Summary: "Chooses how many probe packets a probe timeout sends",
		Fires:   "per expiry",
		Native:  "2 once something is in flight, else 1",
		Section: "https://www.rfc-editor.org/rfc/rfc9002#section-6.2.4",
	},
	func(c *Conn) *protoops.Slot[SpaceArg, Count] { return &c.ops.ptoProbes },
	(*Conn).ptoProbesNative)

func (c *Conn) ptoProbesNative(a SpaceArg) Count {
	if spaceID(a.Space) == appSpace && a.Path.space.sent.AckElicitingInFlight > 1 || spaceID(a.Space) != appSpace {
		return Count{2}
	}
	return Count{1}
}

// requeueOldest makes the probes carry the oldest data in flight, in case new
// data would not repair the loss.
//
// "When there is no data to send, the sender SHOULD … a PING"; "an endpoint
// SHOULD … retransmit … the oldest".
// https://www.rfc-editor.org/rfc/rfc9002#section-6.2.4
func (c *Conn) requeueOldest(p *Path, s *numberSpace, n int) {
	first, end := s.sent.First(), s.sent.Next()
	if first == end {
		return
	}
	from := s.probeFrom
	if p.PTOCount <= 1 || from < first || from >= end {
		from = first
	}
	// A probe timeout after another one goes on where that stopped, or what was
	// sent third would wait for an acknowledgment of the first two for ever.
	next := c.requeueFrom(p, s, from, end, &n)
	if n > 0 && from > first {
		next = c.requeueFrom(p, s, first, from, &n)
	}
	s.probeFrom = next
}

// requeueFrom does so for packets numbered from up to before end, and returns
// where it stopped.
func (c *Conn) requeueFrom(p *Path, s *numberSpace, from, end uint64, n *int) uint64 {
	for pn, ok := s.sent.NextOutstanding(from, end-1); ok && *n > 0; pn, ok = s.sent.NextOutstanding(pn+1, end-1) {
		from = pn + 1
		sent := s.sent.Get(pn)
		if sent.Flags&recovery.AckEliciting == 0 {
			continue
		}
		*n--
		d := &sent.Data
		if d.count == 0 {
			continue
		}
		c.requeueFrame(p, s, &d.first)
		for i := range d.rest {
			c.requeueFrame(p, s, &d.rest[i])
		}
	}
	return from
}

// requeueFrame asks for another copy of a frame in flight.
func (c *Conn) requeueFrame(p *Path, s *numberSpace, r *frameRecord) {
	switch r.typ {
	case wire.Stream:
		if st := r.stream; st != nil && !st.sendDone {
			st.sendHalf.Requeue(r.off, int(r.n))
			if r.fin && r.n == 0 {
				// There are no bytes to ask another copy of: the end goes again.
				st.sendHalf.Lost(r.off, 0, true)
			}
			c.streams.markReady(st)
		}
	case wire.Crypto:
		if cs := c.crypto[s.id]; cs != nil {
			cs.send.Requeue(r.off, int(r.n))
		}
	case wire.RetireConnectionID, wire.Ack, wire.AckECN, wire.Ping:
		// A second RETIRE_CONNECTION_ID waits for the first one's loss; the
		// others carry nothing that could be missed.
	case pluginStreamRecord:
		r.stream.plugin.send.Requeue(r.off, int(r.n))
	case pluginCreditRecord:
		c.pluginStreamFate(r, false)
	default:
		c.frameLost(p, s, r)
	}
}
