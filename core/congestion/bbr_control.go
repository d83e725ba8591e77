package congestion

// This file turns BBR's model into the pacing rate, the send quantum and the
// congestion window.
// https://datatracker.ietf.org/doc/html/draft-ietf-ccwg-bbr#section-5.6

import "time"

func (b *bbr) initPacingRate(v *View, rtt time.Duration) {
	nominal := mulDiv(b.initial*v.MaxDatagramSize, uint64(time.Second), uint64(max(rtt, time.Microsecond)))
	v.PacingRate = max(percent(nominal, bbrStartupPacingGain), 1)
	b.setSendQuantum(v)
}

// setPacingRateWithGain never slows down before the pipe was full once: what was
// measured until then may be the application.
func (b *bbr) setPacingRateWithGain(v *View, gain uint64) {
	rate := mulDiv(b.bw, gain*(100-bbrPacingMargin), 100*100)
	if rate > 0 && (b.fullBWReached || rate > v.PacingRate) {
		v.PacingRate = rate
	}
}

func (b *bbr) setPacingRate(v *View) { b.setPacingRateWithGain(v, b.pacingGain) }

func (b *bbr) setSendQuantum(v *View) {
	v.SendQuantum = max(min(v.PacingRate/1000, bbrMaxQuantum), 2*v.MaxDatagramSize)
}

// bdpOf is gain per cent of what a path of rate bw holds.
func (b *bbr) bdpOf(v *View, bw, gain uint64) uint64 {
	if b.minRTT == 0 {
		return b.initial * v.MaxDatagramSize
	}
	return min(percent(mulDiv(bw, uint64(b.minRTT), uint64(time.Second)), gain), maxWindow)
}

func (b *bbr) bdpMultiple(v *View, gain uint64) uint64 { return b.bdpOf(v, b.bw, gain) }

func (b *bbr) minPipeCwnd(v *View) uint64 { return bbrMinPipePackets * v.MaxDatagramSize }

// quantize leaves room for the quanta on their way through both hosts.
func (b *bbr) quantize(v *View, inflight uint64) uint64 {
	inflight = max(inflight, v.SendQuantum, b.minPipeCwnd(v))
	if v.State == bbrProbeUp {
		inflight += 2 * v.MaxDatagramSize
	}
	return inflight
}

func (b *bbr) inflight(v *View, gain uint64) uint64 {
	return b.quantize(v, b.bdpMultiple(v, gain))
}

// targetInflight is what is wanted in flight: the estimated BDP, unless
// congestion cut the window below it.
func (b *bbr) targetInflight(v *View) uint64 {
	return min(b.bdpMultiple(v, 100), v.CongestionWindow)
}

// inflightWithHeadroom leaves some of what the path holds to others.
func (b *bbr) inflightWithHeadroom(v *View) uint64 {
	if b.inflightLongterm == bbrInfinite {
		return bbrInfinite
	}
	headroom := max(v.MaxDatagramSize, percent(b.inflightLongterm, bbrHeadroom))
	if b.inflightLongterm <= headroom {
		return b.minPipeCwnd(v)
	}
	return max(b.inflightLongterm-headroom, b.minPipeCwnd(v))
}

func (b *bbr) probeRTTCwnd(v *View) uint64 {
	return max(b.bdpMultiple(v, bbrProbeRTTCwndGain), b.minPipeCwnd(v))
}

// setCwnd grows the window by no more than was acknowledged, and cuts it to the
// model at once.
// https://datatracker.ietf.org/doc/html/draft-ietf-ccwg-bbr#section-5.6.4.6
func (b *bbr) setCwnd(v *View, a *Ack) {
	maxInflight := b.quantize(v, b.bdpMultiple(v, b.cwndGain)+b.extraAcked)
	cwnd := v.CongestionWindow
	if b.fullBWReached {
		cwnd = min(cwnd+a.Rate.NewlyAcked, maxInflight)
	} else if cwnd < maxInflight || v.DeliveredBytes < b.initial*v.MaxDatagramSize {
		cwnd += a.Rate.NewlyAcked
	}
	cwnd = max(cwnd, b.minPipeCwnd(v))
	if v.State == bbrProbeRTT {
		cwnd = min(cwnd, b.probeRTTCwnd(v))
	}
	v.CongestionWindow = v.clampWindow(b.boundCwndForModel(v, cwnd))
}

func (b *bbr) boundCwndForModel(v *View, cwnd uint64) uint64 {
	limit := uint64(bbrInfinite)
	switch v.State {
	case bbrProbeDown, bbrProbeRefill, bbrProbeUp:
		limit = b.inflightLongterm
	case bbrProbeCruise, bbrProbeRTT:
		limit = b.inflightWithHeadroom(v)
	}
	limit = max(min(limit, b.inflightShortterm), b.minPipeCwnd(v))
	return min(cwnd, limit)
}

// saveCwnd remembers the newest window that neither recovery nor ProbeRTT cut.
func (b *bbr) saveCwnd(v *View) {
	if v.InRecovery == 0 && v.State != bbrProbeRTT {
		b.priorCwnd = v.CongestionWindow
	} else {
		b.priorCwnd = max(b.priorCwnd, v.CongestionWindow)
	}
}

func (b *bbr) restoreCwnd(v *View) {
	v.CongestionWindow = max(v.CongestionWindow, b.priorCwnd)
}
