package congestion

import (
	"time"

	"github.com/pquic-go/pquic/core/mono"
)

// Values of View.State under BBR.
const (
	bbrStartup uint32 = iota
	bbrDrain
	bbrProbeDown
	bbrProbeCruise
	bbrProbeRefill
	bbrProbeUp
	bbrProbeRTT
)

// Phases of the acknowledgments that answer a bandwidth probe: ack_phase.
const (
	bbrAcksInit uint8 = iota
	bbrAcksRefilling
	bbrAcksStarting
	bbrAcksFeedback
	bbrAcksStopping
)

// Constants of the draft; gains and shares in percent.
// https://datatracker.ietf.org/doc/html/draft-ietf-ccwg-bbr#section-2
const (
	bbrStartupPacingGain  = 277
	bbrDrainPacingGain    = 50
	bbrDownPacingGain     = 90
	bbrUpPacingGain       = 125
	bbrDefaultCwndGain    = 200
	bbrUpCwndGain         = 225
	bbrProbeRTTCwndGain   = 50
	bbrPacingMargin       = 1
	bbrLossThresh         = 2
	bbrBeta               = 70
	bbrHeadroom           = 15
	bbrFullBWGrowth       = 125
	bbrMinPipePackets     = 4
	bbrStartupFullLossCnt = 6
	bbrFullBWRounds       = 3
	bbrDrainRounds        = 3
	bbrRenoRounds         = 63
	bbrMinRTTFilterLen    = 10 * time.Second
	bbrProbeRTTInterval   = 5 * time.Second
	bbrProbeRTTDuration   = 200 * time.Millisecond
	bbrMinProbeWait       = 2 * time.Second
	bbrProbeWaitSpread    = time.Second
	bbrMaxQuantum         = 64 << 10
	bbrInfinite           = maxWindow // of a volume or rate that is not bounded
)

// bbr is BBR version 3. It keeps a model of the path — how fast it delivers and
// how long the empty round trip takes — and paces at the rate that fills it
// without a queue, probing for more bandwidth and for a shorter round trip in
// turns.
// https://datatracker.ietf.org/doc/html/draft-ietf-ccwg-bbr
//
// The names are the draft's. Two things differ from its pseudocode:
//
//   - Losses are judged per detection batch, not per packet: the batch stands
//     for the draft's "packet", which may be an offload burst anyway.
//   - A loss rate is above LossThresh only if it is significantly so, and
//     one that is not does not lower the short-term model either, so that
//     random loss of up to 2 % hardly costs throughput; see isLossTooHigh.
type bbr struct {
	initial uint64 // window in packets
	rng     prng

	// Gains in force, in percent.
	pacingGain, cwndGain uint64

	bbrRounds
	bbrBandwidth
	bbrLossSignals
	bbrProbe
	bbrMinRTT
	bbrAggregation
	bbrUndo
}

// bbrRounds counts packet-timed round trips.
type bbrRounds struct {
	roundCount         uint64
	nextRoundDelivered uint64
	drainStartRound    uint64
	roundStart         bool
	cwndLimited        bool // in the current round
	priorCwndLimited   bool // in the one before
}

// bbrBandwidth is the model of the path's data rate, in bytes per second.
type bbrBandwidth struct {
	bw            uint64    // what to send at: the lesser of maxBW and bwShortterm
	maxBW         uint64    // of the two newest probing cycles
	maxBWFilter   [2]uint64 // of the previous and the current cycle
	bwShortterm   uint64
	fullBW        uint64 // baseline that growth is judged by
	fullBWCount   int    // rounds without much growth
	fullBWNow     bool   // the pipe is full since probing began
	fullBWReached bool   // it was full at least once
}

// bbrLossSignals is the model of how much may be in flight, in bytes, and the
// signals of the current round that it is made from.
type bbrLossSignals struct {
	inflightShortterm  uint64
	inflightLongterm   uint64
	bwLatest           uint64
	inflightLatest     uint64
	lossRoundDelivered uint64
	lossRoundStart     bool
	lossInRound        bool
	markedInRound      bool // by CE
	lossEventsInRound  int
	lostInRound        uint64 // bytes, for the loss rate of the round
	ackedInRound       uint64
	recoveryRound      uint64 // roundCount when the recovery period began
}

// bbrProbe schedules and follows bandwidth probes.
type bbrProbe struct {
	cycleStamp             mono.Time
	bwProbeWait            time.Duration
	roundsSinceProbeUp     uint64
	bwProbeUpRounds        uint
	bwProbeUpAcked         uint64
	probeUpAckedPerInc     uint64
	ackPhase               uint8
	isBWProbeSample        bool
	prevProbeTooHigh       bool
	prevProbePrecautionary bool
}

// bbrMinRTT is the model of the path's round trip, and the schedule of
// ProbeRTT.
type bbrMinRTT struct {
	minRTT            time.Duration // 0 if unknown
	minRTTStamp       mono.Time
	probeRTTMinDelay  time.Duration // 0 if unknown
	probeRTTMinStamp  mono.Time
	probeRTTDoneStamp mono.Time
	probeRTTExpired   bool
	probeRTTRoundDone bool
	idleRestart       bool
	seenRTT           bool
}

// bbrAggregation estimates how much more than expected is acknowledged at once.
type bbrAggregation struct {
	extraAcked       uint64
	intervalStart    mono.Time
	delivered        uint64
	extraAckedRounds [10]uint64 // largest excess of each of the newest rounds
}

// bbrUndo is what a loss episode that proves spurious goes back to.
type bbrUndo struct {
	priorCwnd             uint64
	undoState             uint32
	hasUndoState          bool
	undoBWShortterm       uint64
	undoInflightShortterm uint64
	undoInflightLongterm  uint64
	undo                  undo // which losses belong to the episode
}

func (*bbr) Name() string { return "bbr" }

func (b *bbr) Init(v *View, now mono.Time) {
	*b = bbr{initial: b.initial, rng: prng{state: v.Seed}}
	v.reset(b.initial)
	b.minRTTStamp = now
	b.probeRTTMinStamp = now
	b.intervalStart = now
	b.inflightLongterm = bbrInfinite
	b.probeUpAckedPerInc = bbrInfinite
	b.resetShortTermModel()
	b.initPacingRate(v, time.Millisecond)
	b.enterStartup(v)
}

func (b *bbr) OnSent(v *View, now mono.Time, bytes uint64, pn uint64) {
	if v.BytesInFlight+v.MaxDatagramSize > v.CongestionWindow {
		b.cwndLimited = true
	}
}

// OnAck updates the model, then the state machine, then what the path may send.
// https://datatracker.ietf.org/doc/html/draft-ietf-ccwg-bbr#section-5.2.3
func (b *bbr) OnAck(v *View, a *Ack) {
	if a.Rate.HasPacket == 0 {
		return
	}
	v.Underutilized = flag(a.Underutilized)
	b.noteRTT(v, a)
	b.leaveRecovery(v, a)

	b.updateLatestDeliverySignals(v, a)
	b.updateCongestionSignals(v, a)
	b.updateAckAggregation(v, a)
	b.checkFullBWReached(a)
	b.checkStartupDone(v, a)
	b.checkDrainDone(v, a)
	b.updateProbeBWCyclePhase(v, a)
	b.updateMinRTT(a)
	b.checkProbeRTT(v, a)
	b.advanceLatestDeliverySignals(a)
	b.boundBWForModel()

	b.setPacingRate(v)
	b.setSendQuantum(v)
	b.setCwnd(v, a)
	b.describe(v)
}

func (b *bbr) OnLoss(v *View, l *Loss) {
	v.ECNCEBytes += l.CEBytes
	if v.isNewEvent(l) {
		b.saveCwnd(v)
		v.enterRecovery(l)
		b.recoveryRound = b.roundCount
	}
	b.noteLoss(v, l)
	if b.isBWProbeSample {
		b.judgeProbeLoss(v, l)
	}
	if l.Persistent {
		// The draft leaves one packet more than is in flight; the minimum
		// window is QUIC's rule.
		// https://www.rfc-editor.org/rfc/rfc9002#section-7.6.2
		b.saveCwnd(v)
		v.collapse()
		b.undo.armed = false
	}
	b.describe(v)
}

func (b *bbr) OnDiscarded(v *View, bytes uint64) {}

func (b *bbr) OnMaxDatagramSize(v *View, now mono.Time) { v.resize(b.initial) }

// OnIdleRestart paces at exactly the estimated bandwidth, so that the pipe is
// full again after one round trip and no queue has formed.
// https://datatracker.ietf.org/doc/html/draft-ietf-ccwg-bbr#section-5.4.1
func (b *bbr) OnIdleRestart(v *View, now mono.Time) {
	b.idleRestart = true
	b.intervalStart = now
	switch {
	case inProbeBW(v.State):
		b.setPacingRateWithGain(v, 100)
	case v.State == bbrProbeRTT:
		b.checkProbeRTTDone(v, now)
	}
	b.describe(v)
}

// noteRTT starts pacing by the path's own round trip once it is known.
func (b *bbr) noteRTT(v *View, a *Ack) {
	if b.seenRTT || !a.HasRTT {
		return
	}
	b.seenRTT = true
	b.initPacingRate(v, a.LatestRTT)
}

// leaveRecovery ends the recovery period once a packet sent in it is
// acknowledged, and goes back to the window from before it.
// https://datatracker.ietf.org/doc/html/draft-ietf-ccwg-bbr#section-5.6.4.4
func (b *bbr) leaveRecovery(v *View, a *Ack) {
	if v.InRecovery != 0 && a.LargestSentTime > v.RecoveryStart {
		v.InRecovery = 0
		b.restoreCwnd(v)
	}
}

// describe keeps the parts of the View that others read.
func (b *bbr) describe(v *View) {
	v.InSlowStart = flag(v.State == bbrStartup)
	v.SamplesLimited = flag(v.State == bbrProbeRTT)
}

func inProbeBW(state uint32) bool { return state >= bbrProbeDown && state <= bbrProbeUp }

// isProbingBW reports whether the sender is trying to go faster than it was.
func isProbingBW(state uint32) bool {
	return state == bbrStartup || state == bbrProbeRefill || state == bbrProbeUp
}

// percent is n per cent of x.
func percent(x, n uint64) uint64 { return mulDiv(x, n, 100) }
