package congestion

import "github.com/pquic-go/pquic/core/mono"

// cubic grows the window along a cubic function of the time since the newest
// reduction: fast while far below the window that was too much, slowly around
// it, then fast again. On short paths it grows like Reno, which is faster there.
// https://www.rfc-editor.org/rfc/rfc9438
type cubic struct {
	initial uint64 // window in packets
	hystart hystart
	epoch   cubicEpoch
	undo    undo
	undone  cubicEpoch // the epoch that undo goes back to
	lastAck mono.Time
}

// cubicEpoch is the state that spurious congestion events restore.
type cubicEpoch struct {
	curve cubicCurve
	start mono.Time // of the congestion avoidance stage; 0 before it
	prior float64   // window before the newest reduction: cwnd_prior
	part  float64   // growth below one byte
}

func (*cubic) Name() string { return "cubic" }

func (c *cubic) Init(v *View, now mono.Time) {
	*c = cubic{initial: c.initial}
	v.reset(c.initial)
	v.State = lossBasedSlowStart
}

func (c *cubic) OnSent(v *View, now mono.Time, bytes uint64, pn uint64) {}

func (c *cubic) OnAck(v *View, a *Ack) {
	grow := v.acknowledge(a)
	switch {
	case v.CongestionWindow < v.Ssthresh:
		c.slowStart(v, a, grow)
	case grow:
		c.avoid(v, a)
	case v.InRecovery == 0:
		c.pause(a.Now)
	}
	c.lastAck = a.Now
	c.describe(v)
}

// slowStart doubles the window per round trip, or less than that once HyStart++
// sees a queue. HyStart++ is for the first slow start only: later ones know
// from ssthresh when to stop.
func (c *cubic) slowStart(v *View, a *Ack, grow bool) {
	growth, done := a.Bytes, false
	if v.Ssthresh == Infinite {
		growth, done = c.hystart.onAck(a)
	}
	if grow {
		v.CongestionWindow = v.clampWindow(v.CongestionWindow + growth)
	}
	if done {
		v.Ssthresh = v.CongestionWindow
	}
}

// avoid grows the window in congestion avoidance.
// https://www.rfc-editor.org/rfc/rfc9438#section-4.2
func (c *cubic) avoid(v *View, a *Ack) {
	e := &c.epoch
	cwnd := float64(v.CongestionWindow)
	if e.start.IsZero() {
		e.start = a.Now
		if e.prior == 0 {
			// "In this special case, CUBIC sets cwnd_prior = cwnd": slow start
			// ended without loss.
			// https://www.rfc-editor.org/rfc/rfc9438#section-4.10
			e.prior = cwnd
		}
		e.curve.start(cwnd, float64(v.mss()))
	}
	t := a.Now.Sub(e.start)
	acked := float64(min(a.Bytes, v.CongestionWindow))
	reno := e.curve.estimate(acked, cwnd, e.prior)
	if e.curve.at(t.Seconds()) < reno {
		v.CongestionWindow = max(v.CongestionWindow, v.clampWindow(uint64(reno)))
		return
	}
	target := e.curve.target((t + a.RTT.SmoothedRTT).Seconds(), cwnd)
	e.part += float64((target - cwnd) * acked / cwnd)
	if whole := uint64(e.part); whole > 0 {
		e.part -= float64(whole)
		v.CongestionWindow = v.clampWindow(v.CongestionWindow + whole)
	}
}

// pause keeps time in which the window did not limit sending out of the curve.
//
// "The elapsed time t … MUST NOT include periods during which cwnd has not been
// updated due to application-limited behavior"
// https://www.rfc-editor.org/rfc/rfc9438#section-4.2
func (c *cubic) pause(now mono.Time) {
	if !c.epoch.start.IsZero() && !c.lastAck.IsZero() {
		c.epoch.start = c.epoch.start.Add(now.Sub(c.lastAck))
	}
}

func (c *cubic) OnLoss(v *View, l *Loss) {
	v.ECNCEBytes += l.CEBytes
	if v.isNewEvent(l) {
		c.undo.save(v, l)
		c.undone = c.epoch
		cwnd := float64(v.CongestionWindow)
		c.epoch.curve.reduce(cwnd)
		c.epoch.prior = cwnd
		c.epoch.start, c.epoch.part = 0, 0
		v.enterRecovery(l)
		// "ssthresh = flight_size * beta_cubic": the window stands for the
		// flight, since it does not grow while it is not used.
		// https://www.rfc-editor.org/rfc/rfc9438#section-4.6
		v.CongestionWindow = v.clampWindow(uint64(cwnd * c.backoff(l)))
		v.Ssthresh = v.CongestionWindow
	}
	if l.Persistent {
		// The stage after the slow start to come begins on its plateau.
		// https://www.rfc-editor.org/rfc/rfc9438#section-4.8
		v.collapse()
		c.epoch.curve.wMax = 0
		c.epoch.start = 0
		c.undo = undo{}
	}
	c.describe(v)
}

func (c *cubic) OnSpuriousLoss(v *View, now mono.Time) {
	if c.undo.restore(v) {
		c.epoch = c.undone
	}
	c.describe(v)
}

func (c *cubic) OnDiscarded(v *View, bytes uint64) {}

func (c *cubic) OnMaxDatagramSize(v *View, now mono.Time) { v.resize(c.initial) }

func (c *cubic) OnIdleRestart(v *View, now mono.Time) {
	c.pause(now)
	c.lastAck = now
}

// describe keeps the part of the View that says what CUBIC is doing.
func (c *cubic) describe(v *View) {
	v.InSlowStart = flag(v.CongestionWindow < v.Ssthresh)
	switch {
	case v.InRecovery != 0:
		v.State = lossBasedRecovery
	case v.InSlowStart == 0:
		v.State = lossBasedAvoidance
	case v.Ssthresh == Infinite && c.hystart.inCSS():
		v.State = lossBasedConservativeSlowStart
		v.InSlowStart = 0 // the window does not double
	default:
		v.State = lossBasedSlowStart
	}
}

// backoff is the part of the window that a congestion event leaves.
//
// A reduction has to drain the queue at the bottleneck, and more of it leaves the
// link idle: a window of minimum RTT over current RTT is what the path holds
// without a queue. So 0.7 is for losses from a queue that holds half of what
// the path does; where the RTT tells that there is next to none, as with the
// random losses of a radio link, the window keeps up to 0.85, the factor that
// RFC 8511 found safe for shallow queues. H-TCP's adaptive backoff is the same
// with other bounds. Marks come before a queue builds and get the factor of RFC
// 9438.
// https://www.rfc-editor.org/rfc/rfc9438#section-4.6
// https://www.rfc-editor.org/rfc/rfc8511#section-3.1
// https://datatracker.ietf.org/doc/html/draft-leith-tcp-htcp-06#section-2
func (c *cubic) backoff(l *Loss) float64 {
	rtt := max(l.RTT.LatestRTT, l.RTT.SmoothedRTT)
	if l.ECN || rtt <= 0 || l.RTT.MinRTT <= 0 {
		return cubicBeta
	}
	return min(max(float64(l.RTT.MinRTT)/float64(rtt), cubicBeta), cubicGentleBeta)
}
