package congestion

// This file holds BBR's model of the path: what each acknowledgment and each
// loss says about its rate, its round trip and how much it can hold.
// https://datatracker.ietf.org/doc/html/draft-ietf-ccwg-bbr#section-5.5

import (
	"time"

	"github.com/pquic-go/pquic/core/mono"
)

func (b *bbr) startRound(v *View) { b.nextRoundDelivered = v.DeliveredBytes }

// updateRound notices that a packet sent after the round began is acknowledged.
func (b *bbr) updateRound(v *View, a *Ack) {
	b.roundStart = a.Rate.PriorDelivered >= b.nextRoundDelivered
	if !b.roundStart {
		return
	}
	b.startRound(v)
	b.roundCount++
	b.roundsSinceProbeUp++
	b.priorCwndLimited, b.cwndLimited = b.cwndLimited, false
	b.extraAckedRounds[b.roundCount%uint64(len(b.extraAckedRounds))] = 0
}

// isCwndLimited reports whether the window was used in full within the last
// round trip.
func (b *bbr) isCwndLimited() bool { return b.cwndLimited || b.priorCwndLimited }

// updateMaxBW takes in a rate sample. One taken while the application was the
// limit counts only if it raises the maximum.
func (b *bbr) updateMaxBW(v *View, a *Ack) {
	b.updateRound(v, a)
	if a.Rate.DeliveryRate == 0 || a.Rate.AppLimited != 0 && a.Rate.DeliveryRate < b.maxBW {
		return
	}
	b.maxBWFilter[1] = max(b.maxBWFilter[1], a.Rate.DeliveryRate)
	b.maxBW = max(b.maxBWFilter[0], b.maxBWFilter[1])
}

// advanceMaxBWFilter begins the next cycle of the filter, which spans two. A
// cycle without any sample is no reason to forget.
func (b *bbr) advanceMaxBWFilter() {
	if b.maxBWFilter[1] == 0 {
		return
	}
	b.maxBWFilter[0], b.maxBWFilter[1] = b.maxBWFilter[1], 0
	b.maxBW = b.maxBWFilter[0]
}

func (b *bbr) updateLatestDeliverySignals(v *View, a *Ack) {
	b.lossRoundStart = false
	b.bwLatest = max(b.bwLatest, a.Rate.DeliveryRate)
	b.inflightLatest = max(b.inflightLatest, a.Rate.Delivered)
	b.ackedInRound += a.Rate.NewlyAcked
	if a.Rate.PriorDelivered >= b.lossRoundDelivered {
		b.lossRoundDelivered = v.DeliveredBytes
		b.lossRoundStart = true
	}
}

func (b *bbr) advanceLatestDeliverySignals(a *Ack) {
	if b.lossRoundStart {
		b.bwLatest = a.Rate.DeliveryRate
		b.inflightLatest = a.Rate.Delivered
	}
}

func (b *bbr) resetCongestionSignals() {
	b.lossInRound, b.markedInRound = false, false
	b.bwLatest, b.inflightLatest = 0, 0
	b.lostInRound, b.ackedInRound = 0, 0
}

// updateCongestionSignals adapts the short-term model once per round.
func (b *bbr) updateCongestionSignals(v *View, a *Ack) {
	b.updateMaxBW(v, a)
	if !b.lossRoundStart {
		return
	}
	if !isProbingBW(v.State) && b.lossInRound && (b.markedInRound || v.isLossTooHigh(b.lostInRound, b.ackedInRound+b.lostInRound)) {
		b.adaptLowerBounds(v)
	}
	b.lossInRound, b.markedInRound = false, false
	b.lostInRound, b.ackedInRound = 0, 0
}

// adaptLowerBounds slows down to what was delivered over the last round.
// https://datatracker.ietf.org/doc/html/draft-ietf-ccwg-bbr#section-5.5.10.3
func (b *bbr) adaptLowerBounds(v *View) {
	if b.bwShortterm == bbrInfinite {
		b.bwShortterm = b.maxBW
	}
	if b.inflightShortterm == bbrInfinite {
		b.inflightShortterm = v.CongestionWindow
	}
	b.bwShortterm = max(b.bwLatest, percent(b.bwShortterm, bbrBeta))
	b.inflightShortterm = max(b.inflightLatest, percent(b.inflightShortterm, bbrBeta))
}

func (b *bbr) resetShortTermModel() {
	b.bwShortterm = bbrInfinite
	b.inflightShortterm = bbrInfinite
}

func (b *bbr) boundBWForModel() { b.bw = min(b.maxBW, b.bwShortterm) }

// isLossTooHigh reports whether lost bytes out of a flight of so many say that
// more than LossThresh is being lost: they exceed that share by more than three
// standard deviations of what a path that loses exactly LossThresh at random
// would lose. In the draft every excess counts, so that on a path that holds
// fewer than fifty packets each single loss is taken for congestion.
func (v *View) isLossTooHigh(lost, flight uint64) bool {
	lost = min(lost, flight) * 100 / v.mss()
	expected := flight * bbrLossThresh / v.mss()
	if lost <= expected {
		return false
	}
	// Both counts are in hundredths of a packet, as is the excess. The variance
	// of the number of packets lost is close to the number expected.
	excess := lost - expected
	return excess > 1<<31 || excess*excess > 9*100*expected
}

// noteLoss counts a batch of losses, or of CE marks, towards its round.
//
// "the congestion controller response MUST treat any CE marks as congestion."
// https://datatracker.ietf.org/doc/html/draft-ietf-ccwg-bbr#section-3.7
func (b *bbr) noteLoss(v *View, l *Loss) {
	if !b.lossInRound {
		b.lossRoundDelivered = v.DeliveredBytes
		b.saveStateUponLoss(v, l)
	}
	b.lossInRound = true
	b.lossEventsInRound++
	b.lostInRound += l.Bytes
	if l.ECN {
		b.markedInRound = true
		b.undo.armed = false
	}
}

// judgeProbeLoss asks whether the probe under way put too much in flight.
// https://datatracker.ietf.org/doc/html/draft-ietf-ccwg-bbr#section-5.5.10.2
func (b *bbr) judgeProbeLoss(v *View, l *Loss) {
	if l.ECN {
		b.handleInflightTooHigh(v, l.PriorInFlight, false)
		b.startDownAfterLoss(v, l)
		return
	}
	lost := v.LostBytes - l.LostAtSend
	if !v.isLossTooHigh(lost, l.TxInFlight) {
		return
	}
	b.handleInflightTooHigh(v, inflightAtLoss(l, lost), l.SentAppLimited)
	b.startDownAfterLoss(v, l)
}

// inflightAtLoss estimates how much was in flight when losses crossed
// LossThresh, somewhere within the batch. lost includes the batch.
func inflightAtLoss(l *Loss, lost uint64) uint64 {
	size := min(l.Bytes, l.TxInFlight)
	before := l.TxInFlight - size
	lostBefore := lost - min(lost, l.Bytes)
	tolerated := percent(before, bbrLossThresh)
	if tolerated <= lostBefore {
		return before
	}
	prefix := mulDiv(tolerated-lostBefore, 100, 100-bbrLossThresh)
	return before + min(prefix, size)
}

// handleInflightTooHigh bounds what may be in flight for a longer time.
func (b *bbr) handleInflightTooHigh(v *View, inflight uint64, appLimited bool) {
	b.prevProbeTooHigh = true
	b.isBWProbeSample = false // react once per probe
	if !appLimited {
		b.inflightLongterm = max(inflight, percent(b.targetInflight(v), bbrBeta))
	}
}

func (b *bbr) startDownAfterLoss(v *View, l *Loss) {
	if v.State == bbrProbeUp {
		b.undoState, b.hasUndoState = bbrProbeUp, true
		b.startProbeDown(v, l.Now)
	}
}

// updateAckAggregation estimates how much more than the path's rate explains is
// acknowledged at once, over one round in Startup and ten afterwards.
// https://datatracker.ietf.org/doc/html/draft-ietf-ccwg-bbr#section-5.5.9
func (b *bbr) updateAckAggregation(v *View, a *Ack) {
	interval := max(a.Now.Sub(b.intervalStart), 0)
	expected := mulDiv(b.bw, uint64(interval), uint64(time.Second))
	if b.delivered <= expected {
		b.delivered = 0
		b.intervalStart = a.Now
		expected = 0
	}
	b.delivered += a.Rate.NewlyAcked
	extra := min(b.delivered-expected, v.CongestionWindow)
	n := uint64(len(b.extraAckedRounds))
	slot := &b.extraAckedRounds[b.roundCount%n]
	*slot = max(*slot, extra)
	switch {
	case !b.fullBWReached:
		b.extraAcked = *slot
	case b.roundStart:
		b.extraAcked = 0
		for _, e := range b.extraAckedRounds {
			b.extraAcked = max(b.extraAcked, e)
		}
	default:
		b.extraAcked = max(b.extraAcked, extra)
	}
}

// updateMinRTT tracks the smallest RTT of ten seconds, and when ProbeRTT is due.
// https://datatracker.ietf.org/doc/html/draft-ietf-ccwg-bbr#section-5.3.4.3
func (b *bbr) updateMinRTT(a *Ack) {
	b.probeRTTExpired = a.Now > b.probeRTTMinStamp.Add(bbrProbeRTTInterval)
	if a.HasRTT && (b.probeRTTMinDelay == 0 || a.LatestRTT < b.probeRTTMinDelay || b.probeRTTExpired) {
		b.probeRTTMinDelay = a.LatestRTT
		b.probeRTTMinStamp = a.Now
	}
	if b.probeRTTMinDelay == 0 {
		return
	}
	expired := a.Now > b.minRTTStamp.Add(bbrMinRTTFilterLen)
	if b.minRTT == 0 || b.probeRTTMinDelay < b.minRTT || expired {
		b.minRTT = b.probeRTTMinDelay
		b.minRTTStamp = b.probeRTTMinStamp
	}
}

// saveStateUponLoss remembers the model as a loss episode starts.
// https://datatracker.ietf.org/doc/html/draft-ietf-ccwg-bbr#section-5.5.11.1
func (b *bbr) saveStateUponLoss(v *View, l *Loss) {
	b.saveCwnd(v)
	b.hasUndoState = false
	b.undoBWShortterm = b.bwShortterm
	b.undoInflightShortterm = b.inflightShortterm
	b.undoInflightLongterm = b.inflightLongterm
	b.undo.save(v, l)
}

// OnSpuriousLoss goes back to the model from before a loss episode in which
// nothing was lost after all.
// https://datatracker.ietf.org/doc/html/draft-ietf-ccwg-bbr#section-5.5.11.2
func (b *bbr) OnSpuriousLoss(v *View, now mono.Time) {
	if !b.undo.disproved(v) {
		return
	}
	b.undo.armed = false
	if v.InRecovery != 0 {
		v.SpuriousEvents++
		v.InRecovery = 0
	}
	b.restoreCwnd(v)
	b.lossInRound = false
	b.resetFullBW()
	b.bwShortterm = max(b.bwShortterm, b.undoBWShortterm)
	b.inflightShortterm = max(b.inflightShortterm, b.undoInflightShortterm)
	b.inflightLongterm = max(b.inflightLongterm, b.undoInflightLongterm)
	switch {
	case !b.hasUndoState:
	case b.undoState == bbrStartup && v.State != bbrStartup:
		b.fullBWReached = false
		if v.State != bbrProbeRTT {
			b.enterStartup(v)
		}
	case b.undoState == bbrProbeUp && v.State != bbrProbeUp && v.State != bbrProbeRTT:
		b.startProbeRefill(v)
	}
	b.hasUndoState = false
	b.describe(v)
}
