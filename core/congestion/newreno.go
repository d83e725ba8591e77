package congestion

import "github.com/pquic-go/pquic/core/mono"

// newReno halves the window on congestion and grows it by one datagram per
// round trip.
// https://www.rfc-editor.org/rfc/rfc9002#appendix-B
type newReno struct {
	initial uint64 // window in packets
	acked   uint64 // bytes acknowledged since the window last grew by a datagram
	undo    undo
}

func (*newReno) Name() string { return "newreno" }

func (c *newReno) Init(v *View, now mono.Time) {
	c.acked = 0
	c.undo = undo{}
	v.reset(c.initial)
	c.describe(v)
}

func (c *newReno) OnSent(v *View, now mono.Time, bytes uint64, pn uint64) {}

func (c *newReno) OnAck(v *View, a *Ack) {
	if !v.acknowledge(a) {
		c.describe(v)
		return
	}
	if v.CongestionWindow < v.Ssthresh {
		v.CongestionWindow = v.clampWindow(v.CongestionWindow + a.Bytes)
	} else {
		// "congestion_window += max_datagram_size * acked_packet.sent_bytes
		// / congestion_window", without losing the remainder.
		// https://www.rfc-editor.org/rfc/rfc9002#appendix-B.5
		c.acked += a.Bytes
		if c.acked >= v.CongestionWindow {
			c.acked -= v.CongestionWindow
			v.CongestionWindow = v.clampWindow(v.CongestionWindow + v.MaxDatagramSize)
		}
	}
	c.describe(v)
}

func (c *newReno) OnLoss(v *View, l *Loss) {
	v.ECNCEBytes += l.CEBytes
	if v.isNewEvent(l) {
		c.undo.save(v, l)
		c.acked = 0
		v.enterRecovery(l)
		// "ssthresh = congestion_window * kLossReductionFactor", which is 1/2.
		// https://www.rfc-editor.org/rfc/rfc9002#appendix-B.6
		v.CongestionWindow = v.clampWindow(v.CongestionWindow / 2)
		v.Ssthresh = v.CongestionWindow
	}
	if l.Persistent {
		v.collapse()
		c.undo = undo{}
	}
	c.describe(v)
}

func (c *newReno) OnSpuriousLoss(v *View, now mono.Time) {
	c.undo.restore(v)
	c.describe(v)
}

func (c *newReno) OnDiscarded(v *View, bytes uint64) {}

func (c *newReno) OnMaxDatagramSize(v *View, now mono.Time) { v.resize(c.initial) }

func (c *newReno) OnIdleRestart(v *View, now mono.Time) {}

// describe keeps the part of the View that says what NewReno is doing.
func (c *newReno) describe(v *View) {
	v.InSlowStart = flag(v.CongestionWindow < v.Ssthresh)
	switch {
	case v.InRecovery != 0:
		v.State = lossBasedRecovery
	case v.InSlowStart == 0:
		v.State = lossBasedAvoidance
	default:
		v.State = lossBasedSlowStart
	}
}
