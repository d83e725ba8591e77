package congestion

// This file holds BBR's state machine.
// https://datatracker.ietf.org/doc/html/draft-ietf-ccwg-bbr#section-5.3

import (
	"time"

	"github.com/pquic-go/pquic/core/mono"
)

func (b *bbr) enterStartup(v *View) {
	v.State = bbrStartup
	b.pacingGain = bbrStartupPacingGain
	b.cwndGain = bbrDefaultCwndGain
}

func (b *bbr) resetFullBW() {
	b.fullBW, b.fullBWCount, b.fullBWNow = 0, 0, false
}

// checkFullBWReached finds that the pipe is full: three rounds in which sending
// faster hardly raised the delivery rate.
func (b *bbr) checkFullBWReached(a *Ack) {
	if b.fullBWNow || !b.roundStart || a.Rate.AppLimited != 0 || a.Rate.Valid == 0 {
		return
	}
	if a.Rate.DeliveryRate >= percent(b.fullBW, bbrFullBWGrowth) {
		b.resetFullBW()
		b.fullBW = a.Rate.DeliveryRate
		return
	}
	b.fullBWCount++
	b.fullBWNow = b.fullBWCount >= bbrFullBWRounds
	if b.fullBWNow {
		b.fullBWReached = true
	}
}

func (b *bbr) checkStartupDone(v *View, a *Ack) {
	b.checkStartupHighLoss(v, a)
	if v.State == bbrStartup && b.fullBWReached {
		v.State = bbrDrain
		b.pacingGain = bbrDrainPacingGain
		b.cwndGain = bbrDefaultCwndGain
		b.drainStartRound = b.roundCount
	}
}

// checkStartupHighLoss ends Startup after a whole round in recovery with more
// than LossThresh lost in at least bbrStartupFullLossCnt places.
// https://datatracker.ietf.org/doc/html/draft-ietf-ccwg-bbr#section-5.3.1.3
func (b *bbr) checkStartupHighLoss(v *View, a *Ack) {
	if !b.lossRoundStart {
		return
	}
	events := b.lossEventsInRound
	b.lossEventsInRound = 0
	if v.State != bbrStartup || b.fullBWReached || v.InRecovery == 0 || b.roundCount <= b.recoveryRound ||
		events < bbrStartupFullLossCnt || !v.isLossTooHigh(a.Rate.Lost, a.Rate.TxInFlight) {
		return
	}
	b.undoState, b.hasUndoState = bbrStartup, true
	b.fullBWReached = true
	b.inflightLongterm = max(b.bdpMultiple(v, 100), b.inflightLatest)
}

func (b *bbr) checkDrainDone(v *View, a *Ack) {
	if v.State == bbrDrain && (v.BytesInFlight <= b.inflight(v, 100) || b.roundCount > b.drainStartRound+bbrDrainRounds) {
		b.startProbeDown(v, a.Now)
	}
}

func (b *bbr) startProbeDown(v *View, now mono.Time) {
	b.resetCongestionSignals()
	b.probeUpAckedPerInc = bbrInfinite
	b.pickProbeWait()
	b.cycleStamp = now
	b.ackPhase = bbrAcksStopping
	b.startRound(v)
	v.State = bbrProbeDown
	b.pacingGain, b.cwndGain = bbrDownPacingGain, bbrDefaultCwndGain
}

func (b *bbr) startProbeCruise(v *View) {
	v.State = bbrProbeCruise
	b.pacingGain, b.cwndGain = 100, bbrDefaultCwndGain
}

func (b *bbr) startProbeRefill(v *View) {
	b.resetShortTermModel()
	b.bwProbeUpRounds = 0
	b.bwProbeUpAcked = 0
	b.prevProbePrecautionary = false
	b.ackPhase = bbrAcksRefilling
	b.startRound(v)
	v.State = bbrProbeRefill
	b.pacingGain, b.cwndGain = 100, bbrDefaultCwndGain
}

func (b *bbr) startProbeUp(v *View, a *Ack) {
	b.ackPhase = bbrAcksStarting
	b.startRound(v)
	b.resetFullBW()
	b.fullBW = a.Rate.DeliveryRate
	v.State = bbrProbeUp
	b.pacingGain, b.cwndGain = bbrUpPacingGain, bbrUpCwndGain
	b.raiseInflightLongtermSlope(v)
}

// updateProbeBWCyclePhase moves through DOWN, CRUISE, REFILL and UP.
// https://datatracker.ietf.org/doc/html/draft-ietf-ccwg-bbr#section-5.3.3.9
func (b *bbr) updateProbeBWCyclePhase(v *View, a *Ack) {
	if !b.fullBWReached || b.adaptLongTermModel(v, a) {
		return
	}
	switch v.State {
	case bbrProbeDown:
		if b.isTimeToProbeBW(v, a.Now) {
			b.startProbeRefill(v)
		} else if b.isTimeToCruise(v) {
			b.startProbeCruise(v)
		}
	case bbrProbeCruise:
		if b.isTimeToProbeBW(v, a.Now) {
			b.startProbeRefill(v)
		}
	case bbrProbeRefill:
		if b.roundStart {
			b.isBWProbeSample = true
			b.startProbeUp(v, a)
		}
	case bbrProbeUp:
		if b.isTimeToGoDown(v, a) {
			b.prevProbeTooHigh = false // no high loss yet
			b.startProbeDown(v, a.Now)
		}
	}
}

// adaptLongTermModel follows the answers to a probe and raises the bounds that
// proved safe. It reports whether it changed the state.
func (b *bbr) adaptLongTermModel(v *View, a *Ack) bool {
	if b.ackPhase == bbrAcksStarting && b.roundStart {
		b.ackPhase = bbrAcksFeedback
	}
	if b.ackPhase == bbrAcksStopping && b.roundStart {
		b.isBWProbeSample = false
		b.ackPhase = bbrAcksInit
		if inProbeBW(v.State) && a.Rate.AppLimited == 0 {
			b.advanceMaxBWFilter()
		}
		// The careful probe found no loss: probe in earnest at once.
		if inProbeBW(v.State) && b.prevProbePrecautionary && !b.prevProbeTooHigh {
			b.startProbeRefill(v)
			return true
		}
	}
	if b.inflightLongterm == bbrInfinite || v.isLossTooHigh(a.Rate.Lost, a.Rate.TxInFlight) {
		return false
	}
	b.inflightLongterm = max(b.inflightLongterm, a.Rate.TxInFlight)
	if v.State == bbrProbeUp {
		b.probeInflightLongtermUpward(v, a)
	}
	return false
}

// probeInflightLongtermUpward raises the bound by one datagram for every
// probeUpAckedPerInc bytes acknowledged, a step that halves each round.
func (b *bbr) probeInflightLongtermUpward(v *View, a *Ack) {
	if !b.isCwndLimited() || v.CongestionWindow < b.inflightLongterm {
		return // the bound is not what limits
	}
	b.bwProbeUpAcked += a.Rate.NewlyAcked
	if b.bwProbeUpAcked >= b.probeUpAckedPerInc {
		delta := b.bwProbeUpAcked / b.probeUpAckedPerInc
		b.bwProbeUpAcked -= delta * b.probeUpAckedPerInc
		b.inflightLongterm = min(b.inflightLongterm+delta*v.MaxDatagramSize, bbrInfinite-1)
	}
	if b.roundStart {
		b.raiseInflightLongtermSlope(v)
	}
}

func (b *bbr) raiseInflightLongtermSlope(v *View) {
	growth := uint64(1) << b.bwProbeUpRounds
	b.bwProbeUpRounds = min(b.bwProbeUpRounds+1, 30)
	b.probeUpAckedPerInc = max(v.CongestionWindow/growth, v.MaxDatagramSize)
}

func (b *bbr) isTimeToCruise(v *View) bool {
	return v.BytesInFlight <= b.inflightWithHeadroom(v) && v.BytesInFlight <= b.quantize(v, b.bdpOf(v, b.maxBW, 100))
}

func (b *bbr) isTimeToGoDown(v *View, a *Ack) bool {
	if b.prevProbeTooHigh && v.BytesInFlight >= b.inflightLongterm {
		b.prevProbePrecautionary = true
		return true
	}
	if b.isCwndLimited() && v.CongestionWindow >= b.inflightLongterm {
		// The bound, not the path, limits the bandwidth: no plateau yet.
		b.resetFullBW()
		b.fullBW = a.Rate.DeliveryRate
		return false
	}
	return b.fullBWNow
}

// isTimeToProbeBW reports whether the next probe is due: after two to three
// seconds, or as many rounds as Reno would need to grow by one window, if that
// is sooner.
// https://datatracker.ietf.org/doc/html/draft-ietf-ccwg-bbr#section-5.3.3.8
func (b *bbr) isTimeToProbeBW(v *View, now mono.Time) bool {
	if now > b.cycleStamp.Add(b.bwProbeWait) {
		return true
	}
	rounds := min(b.targetInflight(v)/v.mss(), bbrRenoRounds)
	return b.roundsSinceProbeUp >= rounds
}

func (b *bbr) pickProbeWait() {
	b.roundsSinceProbeUp = b.rng.below(2)
	b.bwProbeWait = bbrMinProbeWait + time.Duration(b.rng.below(uint64(bbrProbeWaitSpread)))
}

// checkProbeRTT enters and leaves ProbeRTT.
// https://datatracker.ietf.org/doc/html/draft-ietf-ccwg-bbr#section-5.3.4.3
func (b *bbr) checkProbeRTT(v *View, a *Ack) {
	if v.State != bbrProbeRTT && b.probeRTTExpired && !b.idleRestart {
		b.saveCwnd(v)
		v.State = bbrProbeRTT
		b.pacingGain = 100
		b.cwndGain = bbrProbeRTTCwndGain
		b.probeRTTDoneStamp = 0
		b.ackPhase = bbrAcksStopping
		b.startRound(v)
	}
	if v.State == bbrProbeRTT {
		b.handleProbeRTT(v, a)
	}
	if a.Rate.Delivered > 0 {
		b.idleRestart = false
	}
}

func (b *bbr) handleProbeRTT(v *View, a *Ack) {
	switch {
	case b.probeRTTDoneStamp.IsZero():
		if v.BytesInFlight <= b.probeRTTCwnd(v) {
			b.probeRTTDoneStamp = a.Now.Add(bbrProbeRTTDuration)
			b.probeRTTRoundDone = false
			b.startRound(v)
		}
	default:
		if b.roundStart {
			b.probeRTTRoundDone = true
		}
		if b.probeRTTRoundDone {
			b.checkProbeRTTDone(v, a.Now)
		}
	}
}

func (b *bbr) checkProbeRTTDone(v *View, now mono.Time) {
	if b.probeRTTDoneStamp.IsZero() || now <= b.probeRTTDoneStamp {
		return
	}
	b.probeRTTMinStamp = now // schedules the next
	b.restoreCwnd(v)
	b.resetShortTermModel()
	if b.fullBWReached {
		b.startProbeDown(v, now)
		b.startProbeCruise(v)
	} else {
		b.enterStartup(v)
	}
}
