package congestion

import (
	"slices"
	"testing"
	"time"
)

// Most of these tests are the example cases of the draft, each named by its
// section.
// https://datatracker.ietf.org/doc/html/draft-ietf-ccwg-bbr#section-10

// roomy is a 10 Mbps link of 15 ms one way whose queue never overflows under
// BBR.
var roomy = path{rate: 10e6, delay: 15 * ms, queue: 400}

func newBBR(t *testing.T, p path) (*flow, *bbr) {
	t.Helper()
	f := newFlow(t, "bbr", p)
	return f, f.cc.(*bbr)
}

// until runs in small steps until the state is reached, for at most d.
func (f *flow) until(state uint32, d time.Duration) {
	f.t.Helper()
	for end := f.now.Add(d); f.v.State != state; {
		if f.now >= end {
			f.t.Fatalf("%s not reached within %v: %v", StateName("bbr", state), d, f)
		}
		f.run(ms)
	}
}

// wantBW expects the bandwidth estimate within the given share of the link's.
func (f *flow) wantBW(what string, tolerance float64) {
	f.t.Helper()
	got, want := float64(f.cc.(*bbr).maxBW)*8, float64(f.path.rate)
	if got < want*(1-tolerance) || got > want*(1+tolerance) {
		f.t.Errorf("%s: max_bw is %.2f Mbps on a link of %.2f Mbps", what, got/1e6, want/1e6)
	}
}

func TestBBRFillsLink(t *testing.T) {
	f, _ := newBBR(t, dsl)
	f.run(5 * time.Second)
	f.wantUtilization("steady state", 0.95, 30*time.Second)
	if f.meanDelay() > 8*ms {
		t.Errorf("mean queue %v, want a third of the base RTT at most", f.meanDelay())
	}
}

func TestBBRRandomLoss(t *testing.T) {
	for _, p := range []path{
		{rate: 10e6, delay: 15 * ms, queue: 25, loss: 0.02},
		{rate: 100e6, delay: 10 * ms, queue: 208, loss: 0.02},
	} {
		f, _ := newBBR(t, p)
		f.run(5 * time.Second)
		f.wantUtilization("2 % random loss", 0.95, 20*time.Second)
	}
}

// Section 10.1, and 10.3 for the way on.
func TestBBRLeavesStartupOnPlateau(t *testing.T) {
	f, b := newBBR(t, roomy)
	f.until(bbrDrain, time.Second)
	f.wantBW("after Startup", 0.02)
	if !b.fullBWReached || !b.fullBWNow || b.fullBWCount != bbrFullBWRounds {
		t.Errorf("full pipe: reached %v now %v after %d rounds", b.fullBWReached, b.fullBWNow, b.fullBWCount)
	}
	if b.pacingGain != bbrDrainPacingGain {
		t.Errorf("pacing gain in Drain is %d %%", b.pacingGain)
	}
	inFlight := f.v.BytesInFlight
	for f.v.State == bbrDrain {
		inFlight = f.v.BytesInFlight
		f.run(ms)
	}
	if bdp := b.inflight(&f.v, 100); inFlight > bdp+4*testMSS {
		t.Errorf("Drain ends with %d bytes in flight, BDP %d", inFlight, bdp)
	}
	if got := f.states; !slices.Equal(got[:2], []uint32{bbrStartup, bbrDrain}) || !inProbeBW(got[2]) {
		t.Errorf("states %v", got)
	}
	if f.drops != 0 {
		t.Errorf("%d packets lost in Startup", f.drops)
	}
}

// Section 10.2. Loss ends Startup even while the application is the limit.
func TestBBRLeavesStartupOnLoss(t *testing.T) {
	f, b := newBBR(t, path{rate: 100e6, delay: 20 * ms, queue: 400, loss: 0.15})
	f.feed(40, 10*ms, 2*time.Second)
	if !b.fullBWReached || b.inflightLongterm == bbrInfinite {
		t.Errorf("still in %s at 15 %% loss: %v", StateName("bbr", f.v.State), f)
	}
}

// Section 10.4.
func TestBBRLeavesDrainInTime(t *testing.T) {
	f, b := newBBR(t, roomy)
	f.until(bbrDrain, time.Second)
	f.path.rate = f.path.rate / 10
	start := b.roundCount
	f.until(bbrProbeDown, 5*time.Second)
	if rounds := b.roundCount - start; rounds > bbrDrainRounds+1 {
		t.Errorf("Drain took %d rounds", rounds)
	}
}

// Sections 10.5 and 10.8: a whole cycle.
func TestBBRProbesBandwidthInCycles(t *testing.T) {
	f, b := newBBR(t, roomy)
	f.until(bbrProbeCruise, time.Second)
	f.until(bbrProbeUp, 4*time.Second)
	if b.pacingGain != bbrUpPacingGain || b.cwndGain != bbrUpCwndGain {
		t.Errorf("gains in ProbeBW_UP: %d %% and %d %%", b.pacingGain, b.cwndGain)
	}
	f.until(bbrProbeDown, time.Second)
	if !b.fullBWNow || f.drops != 0 {
		t.Errorf("ProbeBW_UP ended without a plateau: %v", f)
	}
	if b.pacingGain != bbrDownPacingGain {
		t.Errorf("pacing gain in ProbeBW_DOWN: %d %%", b.pacingGain)
	}
	f.until(bbrProbeCruise, time.Second)
	if f.v.BytesInFlight > b.inflight(&f.v, 100)+2*testMSS {
		t.Errorf("%d bytes in flight in ProbeBW_CRUISE, BDP %d", f.v.BytesInFlight, b.inflight(&f.v, 100))
	}
	got := f.states[len(f.states)-5:]
	want := []uint32{bbrProbeCruise, bbrProbeRefill, bbrProbeUp, bbrProbeDown, bbrProbeCruise}
	if !slices.Equal(got, want) {
		t.Errorf("states %v, want %v", got, want)
	}
}

// Section 10.6.
func TestBBRLeavesProbeUpOnLossWhenAppLimited(t *testing.T) {
	f, b := newBBR(t, roomy)
	f.until(bbrProbeUp, 10*time.Second)
	longterm := b.inflightLongterm
	f.path.loss = 0.3
	f.feed(3, 10*ms, 400*ms)
	if f.v.State == bbrProbeUp {
		t.Errorf("still in ProbeBW_UP at 30 %% loss: %v", f)
	}
	if b.inflightLongterm > longterm {
		t.Errorf("inflight_longterm rose from %d to %d", longterm, b.inflightLongterm)
	}
}

// Section 10.7.
func TestBBRStaysInStartupWhileAppLimited(t *testing.T) {
	f, b := newBBR(t, path{rate: 100e6, delay: 15 * ms, queue: 400})
	f.feed(2, 10*ms, 4*time.Second)
	if f.v.State != bbrStartup || b.fullBWReached {
		t.Errorf("left Startup although the application was the limit: %v", f)
	}
	f.supply = 1 << 63
	f.run(2 * time.Second)
	f.wantUtilization("once there is enough to send", 0.93, 5*time.Second)
}

// Section 10.9.
func TestBBRLeavesProbeDownInTime(t *testing.T) {
	f, b := newBBR(t, path{rate: 10e6, delay: 150 * ms, queue: 400})
	f.until(bbrProbeUp, 10*time.Second)
	f.until(bbrProbeDown, 10*time.Second)
	f.path.rate = f.path.rate * 8 / 10
	start := f.now
	for f.v.State == bbrProbeDown || f.v.State == bbrProbeCruise {
		f.run(ms)
		if f.now.Sub(start) > bbrMinProbeWait+bbrProbeWaitSpread+time.Second {
			t.Fatalf("no probe after %v, wait was %v", f.now.Sub(start), b.bwProbeWait)
		}
	}
}

// Section 10.10.
func TestBBRProbesRTT(t *testing.T) {
	f, b := newBBR(t, roomy)
	f.until(bbrProbeRTT, 6*time.Second)
	if since := f.now.Sub(b.probeRTTMinStamp); since > bbrProbeRTTInterval+100*ms {
		t.Errorf("ProbeRTT comes %v after the newest minimum", since)
	}
	if b.cwndGain != bbrProbeRTTCwndGain {
		t.Errorf("window gain in ProbeRTT is %d %%", b.cwndGain)
	}
	if f.v.SamplesLimited != 1 {
		t.Error("rate samples of ProbeRTT would count")
	}
	start := f.now
	for f.v.State == bbrProbeRTT {
		f.run(ms)
	}
	if d := f.now.Sub(start); d < bbrProbeRTTDuration || d > bbrProbeRTTDuration+200*ms {
		t.Errorf("ProbeRTT lasted %v", d)
	}
	if f.v.State != bbrProbeCruise {
		t.Errorf("ProbeRTT ended in %s", StateName("bbr", f.v.State))
	}
	f.wantBW("after ProbeRTT", 0.03)
	f.run(500 * ms)
	f.wantUtilization("after ProbeRTT", 0.95, 3*time.Second)
}

// Section 10.11.
func TestBBRSkipsProbeRTTAfterIdling(t *testing.T) {
	f, _ := newBBR(t, roomy)
	f.until(bbrProbeCruise, time.Second)
	f.supply = 0
	f.run(6 * time.Second)
	f.states = nil
	f.supply = 1 << 63
	f.run(2 * time.Second)
	if slices.Contains(f.states, bbrProbeRTT) {
		t.Error("ProbeRTT although the path had just been idle")
	}
	f.wantUtilization("after idling", 0.93, 2*time.Second)
}

// Sections 10.12 and 10.13.
func TestBBRAggregation(t *testing.T) {
	f, b := newBBR(t, path{rate: 50e6, delay: 10 * ms, queue: 1000, aggr: 15 * ms})
	f.run(2 * time.Second)
	if b.extraAcked == 0 {
		t.Error("extra_acked is 0 although ACK frames come in bursts")
	}
	f.wantUtilization("ACK frames every 15 ms", 0.95, 10*time.Second)
}

// Section 10.14.
func TestBBRSubPacketBDP(t *testing.T) {
	f, _ := newBBR(t, path{rate: 100e3, delay: 5 * ms, queue: 20})
	f.run(20 * time.Second)
	if f.v.CongestionWindow < bbrMinPipePackets*testMSS {
		t.Errorf("window %d below four packets", f.v.CongestionWindow)
	}
	f.wantUtilization("BDP of a tenth of a packet", 0.95, 60*time.Second)
}

// Section 10.15.
func TestBBRFindsMoreBandwidth(t *testing.T) {
	f, _ := newBBR(t, path{rate: 10e6, delay: 15 * ms, queue: 250})
	f.run(4 * time.Second)
	f.path.rate = 100e6
	f.run(6 * time.Second)
	f.wantUtilization("after ten times the rate", 0.9, 5*time.Second)
}

// Section 10.16.
func TestBBRAdaptsToLessBandwidth(t *testing.T) {
	f, _ := newBBR(t, path{rate: 100e6, delay: 15 * ms, queue: 250})
	f.run(4 * time.Second)
	f.path.rate = 10e6
	f.run(12 * time.Second)
	f.wantBW("two cycles after a tenth of the rate", 0.05)
	f.wantUtilization("after a tenth of the rate", 0.95, 5*time.Second)
	if f.meanDelay() > 60*ms {
		t.Errorf("mean queue %v", f.meanDelay())
	}
}

// Section 10.17.
func TestBBRPolicer(t *testing.T) {
	p := path{rate: 100e6, delay: 15 * ms, queue: 400}
	p.policer = &policer{rate: 20e6 / 8, burst: 100 * testMSS, last: testStart}
	f, _ := newBBR(t, p)
	f.run(10 * time.Second)
	drops := f.drops
	got := f.measure(20*time.Second) / 20e6
	lost := float64(f.drops-drops) * testMSS * 8 / 20 / 20e6
	t.Logf("%.1f %% of the policed rate, %.1f %% dropped", got*100, lost*100)
	if got < 0.8 || lost > 0.1 {
		t.Errorf("%.1f %% of the policed rate used, %.1f %% dropped", got*100, lost*100)
	}
}

// Section 10.18.
func TestBBRUndoesSpuriousLoss(t *testing.T) {
	f, b := newBBR(t, roomy)
	f.until(bbrProbeUp, 10*time.Second)
	bw := b.maxBW
	f.path.reorder, f.path.late = 0.2, 8*ms
	f.run(100 * ms)
	f.path.reorder = 0
	f.run(100 * ms)
	if f.v.SpuriousEvents == 0 {
		t.Errorf("no spurious loss was recognised: %v", f)
	}
	if b.bwShortterm < bw*9/10 || b.inflightLongterm < f.v.CongestionWindow {
		t.Errorf("the model remembers losses that were none: bw_shortterm %d of %d, inflight_longterm %d", b.bwShortterm, bw, b.inflightLongterm)
	}
}

// Section 10.20.
func TestBBRReturnsFromProbeRTTToStartup(t *testing.T) {
	f, b := newBBR(t, path{rate: 100e6, delay: 15 * ms, queue: 400})
	f.feed(1, 20*ms, 4900*ms)
	// The RTT rises for good, so that the minimum expires.
	f.path.delay = 20 * ms
	f.feed(1, 20*ms, 2*time.Second)
	i := slices.Index(f.states, bbrProbeRTT)
	if i < 0 {
		t.Fatalf("no ProbeRTT: states %v, %v", f.states, f)
	}
	if b.fullBWReached {
		t.Error("the pipe was never full")
	}
	if f.v.State != bbrStartup {
		t.Errorf("states %v, want a return to Startup", f.states)
	}
}

// Section 10.21.
func TestBBRLossInProbeUpBoundsInflight(t *testing.T) {
	f, b := newBBR(t, path{rate: 10e6, delay: 15 * ms, queue: 10})
	f.until(bbrProbeUp, 10*time.Second)
	f.until(bbrProbeDown, 5*time.Second)
	if b.inflightLongterm == bbrInfinite {
		t.Errorf("a probe into a short queue does not bound what is in flight: %v", f)
	}
	if !b.prevProbeTooHigh {
		t.Error("the probe is not remembered as too high")
	}
	f.run(5 * time.Second)
	drops := f.drops
	f.wantUtilization("short queue", 0.9, 20*time.Second)
	if lost := f.drops - drops; lost > 20*1000/20 {
		t.Errorf("%d packets lost in 20 s", lost)
	}
}

func TestBBRTwoSeedsDiffer(t *testing.T) {
	waits := map[time.Duration]bool{}
	for seed := range uint64(4) {
		b := &bbr{initial: 10}
		v := View{MaxDatagramSize: testMSS, Seed: seed}
		b.Init(&v, testStart)
		b.pickProbeWait()
		if b.bwProbeWait < bbrMinProbeWait || b.bwProbeWait >= bbrMinProbeWait+bbrProbeWaitSpread || b.roundsSinceProbeUp > 1 {
			t.Errorf("wait of %v and %d rounds", b.bwProbeWait, b.roundsSinceProbeUp)
		}
		waits[b.bwProbeWait] = true
	}
	if len(waits) != 4 {
		t.Errorf("only %d different waits from 4 seeds", len(waits))
	}
}

// TestLossSignificance: the draft's 2 %, plus three standard deviations.
func TestLossSignificance(t *testing.T) {
	v := View{MaxDatagramSize: 1000}
	for _, test := range []struct {
		flight, lost uint64 // packets
		want         bool
	}{
		{10, 0, false}, {10, 1, false}, {10, 2, true},
		{31, 2, false}, {31, 3, true},
		{100, 6, false}, {100, 7, true},
		{1000, 33, false}, {1000, 34, true},
		{100_000, 2134, false}, {100_000, 2135, true},
		{0, 0, false}, {0, 5, false},
		{1 << 36, 1 << 36, true},
	} {
		if got := v.isLossTooHigh(test.lost*1000, test.flight*1000); got != test.want {
			t.Errorf("%d of %d packets lost: too high is %v, want %v", test.lost, test.flight, got, test.want)
		}
	}
}

func TestInflightAtLoss(t *testing.T) {
	for _, test := range []struct {
		name           string
		tx, size, lost uint64
		want           uint64
	}{
		// before = 99000, 2 % of it is 1980, of which 0 are lost before: 1980/0.98.
		{"crossed within the batch", 100_000, 1000, 1000, 100_000},
		{"crossed early in a large batch", 100_000, 50_000, 50_000, 50_000 + 1000*100/98},
		{"crossed before the batch", 100_000, 1000, 9000, 99_000},
		{"batch larger than the flight", 1000, 5000, 5000, 0},
	} {
		l := Loss{TxInFlight: test.tx, Bytes: test.size}
		if got := inflightAtLoss(&l, test.lost); got != test.want {
			t.Errorf("%s: %d, want %d", test.name, got, test.want)
		}
	}
}
