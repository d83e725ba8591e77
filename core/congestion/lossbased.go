package congestion

// This file holds what NewReno and CUBIC share: windows, recovery periods,
// persistent congestion and the undoing of reductions.

// Values of View.State under NewReno and CUBIC.
const (
	lossBasedSlowStart uint32 = iota
	lossBasedConservativeSlowStart
	lossBasedAvoidance
	lossBasedRecovery
)

// reset puts a fresh path in slow start.
func (v *View) reset(initialPackets uint64) {
	v.CongestionWindow = v.clampWindow(initialPackets * v.MaxDatagramSize)
	v.Ssthresh = Infinite
	v.PacingRate, v.SendQuantum = 0, 0
	v.RecoveryStart = 0
	v.InSlowStart, v.InRecovery, v.Underutilized = 1, 0, 0
}

// resize follows a change of MaxDatagramSize: a window in which nothing was
// learnt yet is recomputed, others keep their bytes.
//
// "If the maximum datagram size changes during the connection, the initial
// congestion window SHOULD be recalculated with the new size."
// https://www.rfc-editor.org/rfc/rfc9002#section-7.2
func (v *View) resize(initialPackets uint64) {
	if v.DeliveredBytes == 0 && v.CongestionEvents == 0 {
		v.CongestionWindow = initialPackets * v.MaxDatagramSize
	}
	v.CongestionWindow = v.clampWindow(v.CongestionWindow)
}

// acknowledge ends the recovery period if a packet sent in it was acknowledged,
// and reports whether the window may grow.
func (v *View) acknowledge(a *Ack) (grow bool) {
	v.Underutilized = flag(a.Underutilized)
	// "A recovery period ends and the sender enters congestion avoidance when a
	// packet sent during the recovery period is acknowledged."
	// https://www.rfc-editor.org/rfc/rfc9002#section-7.3.2
	if v.InRecovery != 0 {
		if a.LargestSentTime <= v.RecoveryStart {
			return false
		}
		v.InRecovery = 0
	}
	// "When bytes in flight is smaller than the congestion window and sending
	// is not pacing limited, the congestion window is underutilized."
	// https://www.rfc-editor.org/rfc/rfc9002#section-7.8
	return !a.Underutilized && a.Bytes > 0
}

// isNewEvent reports whether a congestion signal starts a new recovery period:
// one about packets sent before the newest reduction tells nothing new.
// https://www.rfc-editor.org/rfc/rfc9002#section-7.3.2
func (v *View) isNewEvent(l *Loss) bool {
	return v.RecoveryStart.IsZero() || l.LargestLostSent > v.RecoveryStart
}

// enterRecovery starts a recovery period. The caller reduces the window.
func (v *View) enterRecovery(l *Loss) {
	v.CongestionEvents++
	v.RecoveryStart = l.Now
	v.InRecovery = 1
	v.InSlowStart = 0
}

// collapse answers persistent congestion.
//
// "When persistent congestion is declared, the sender's congestion window MUST
// be reduced to the minimum congestion window (kMinimumWindow)"
// https://www.rfc-editor.org/rfc/rfc9002#section-7.6.2
func (v *View) collapse() {
	v.CongestionWindow = MinWindowPackets * v.MaxDatagramSize
	v.RecoveryStart = 0
	v.InRecovery = 0
	v.InSlowStart = flag(v.CongestionWindow < v.Ssthresh)
}

// undo remembers the window before the newest reduction, in case all the losses
// that caused it turn out to have been reordering.
// https://www.rfc-editor.org/rfc/rfc9438#section-4.9
type undo struct {
	window, ssthresh uint64
	lost, spurious   uint64 // LostBytes and SpuriousBytes before the event
	armed            bool
}

// save is called before a reduction. CE marks are never spurious.
func (u *undo) save(v *View, l *Loss) {
	*u = undo{
		window:   v.CongestionWindow,
		ssthresh: v.Ssthresh,
		lost:     v.LostBytes - l.Bytes,
		spurious: v.SpuriousBytes,
		armed:    !l.ECN,
	}
}

// disproved reports whether nothing lost since the event began is really
// missing.
func (u *undo) disproved(v *View) bool {
	return u.armed && v.SpuriousBytes-u.spurious >= v.LostBytes-u.lost
}

// restore undoes the reduction if the event is disproved, and reports whether
// it did.
func (u *undo) restore(v *View) bool {
	if !u.disproved(v) {
		return false
	}
	u.armed = false
	if v.CongestionWindow >= u.window {
		return false // it took so long that the window has grown back
	}
	v.SpuriousEvents++
	v.CongestionWindow = u.window
	v.Ssthresh = u.ssthresh
	v.InRecovery = 0
	v.InSlowStart = flag(v.CongestionWindow < v.Ssthresh)
	return true
}
