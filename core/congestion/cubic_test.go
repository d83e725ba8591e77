package congestion

import (
	"math"
	"testing"
	"time"

	"github.com/pquic-go/pquic/core/recovery"
)

// dsl is a 10 Mbps link of 15 ms one way with room for 25 packets.
var dsl = path{rate: 10e6, delay: 15 * time.Millisecond, queue: 25}

// TestCubicWindowVectors holds the window function to values computed from the
// equations of RFC 9438, Section 4.2, in segments and seconds.
func TestCubicWindowVectors(t *testing.T) {
	type point struct{ t, w float64 }
	for _, test := range []struct {
		name       string
		wMax, cwnd float64
		k          float64
		points     []point
	}{
		{"after a reduction from 100", 100, 70, 4.217163, []point{
			{0, 70}, {1, 86.680764}, {2, 95.640336}, {4.217163, 100}, {6, 102.266703}, {8.434327, 130.000007}, {10, 177.353999},
		}},
		{"after a reduction from 1000", 1000, 700, 9.085603, []point{
			{0, 700}, {5, 972.720998}, {9.085603, 1000}, {15, 1082.754462},
		}},
		{"after slow start without loss", 0, 50, 0, []point{
			{0, 50}, {1, 50.4}, {2, 53.2}, {5, 100}, {10, 450},
		}},
		{"beyond the plateau already", 40, 50, 0, []point{{0, 50}, {1, 50.4}}},
	} {
		c := cubicCurve{wMax: test.wMax * testMSS}
		c.start(test.cwnd*testMSS, testMSS)
		if math.Abs(c.k-test.k) > 1e-5 {
			t.Errorf("%s: K = %.6f, want %.6f", test.name, c.k, test.k)
		}
		for _, p := range test.points {
			if got := c.at(p.t) / testMSS; math.Abs(got-p.w) > 1e-5 {
				t.Errorf("%s: W(%v) = %.6f, want %.6f", test.name, p.t, got, p.w)
			}
		}
	}
}

func TestCubicTargetBounds(t *testing.T) {
	c := cubicCurve{wMax: 100 * testMSS}
	c.start(70*testMSS, testMSS)
	for _, test := range []struct{ t, cwnd, want float64 }{
		{0, 80, 80},    // the curve is below the window
		{2, 70, 95.64}, // between
		{20, 90, 135},  // the curve has run away
	} {
		if got := c.target(test.t, test.cwnd*testMSS) / testMSS; math.Abs(got-test.want) > 1e-2 {
			t.Errorf("target(%v, %v) = %.3f, want %.3f", test.t, test.cwnd, got, test.want)
		}
	}
}

func TestCubicRenoFriendlyRegion(t *testing.T) {
	// One window acknowledged per round: alpha segments per round below the
	// window of the newest reduction, one segment from there on.
	// https://www.rfc-editor.org/rfc/rfc9438#section-4.3
	c := cubicCurve{wMax: 20 * testMSS}
	c.start(14*testMSS, testMSS)
	const cwnd, prior = 14 * testMSS, 20 * testMSS
	if got, want := c.estimate(cwnd, cwnd, prior)/testMSS, 14+3*0.3/1.7; math.Abs(got-want) > 1e-9 {
		t.Errorf("W_est after a round = %v, want %v", got, want)
	}
	c.wEst = prior
	if got := c.estimate(cwnd, cwnd, prior) / testMSS; math.Abs(got-21) > 1e-9 {
		t.Errorf("W_est beyond the prior window = %v, want 21", got)
	}
}

func TestCubicFastConvergence(t *testing.T) {
	c := cubicCurve{wMax: 100}
	c.reduce(120)
	if c.wMax != 120 {
		t.Errorf("W_max = %v after a reduction above it, want the window", c.wMax)
	}
	c.reduce(90)
	if math.Abs(c.wMax-90*0.85) > 1e-9 {
		t.Errorf("W_max = %v after a reduction below it, want (1+beta)/2 of the window", c.wMax)
	}
}

// TestCubicFollowsCurve compares the window a long path reaches with the curve.
func TestCubicFollowsCurve(t *testing.T) {
	x := newScript(t, "cubic")
	for range 7 {
		x.round()
	}
	x.want("window before loss", x.v.CongestionWindow, 1280*testMSS)
	x.lose()
	x.now = x.now.Add(2 * x.rtt)
	x.ack(0)
	curve := cubicCurve{wMax: 1280 * testMSS}
	curve.start(896*testMSS, testMSS)
	x.ack(testMSS)
	start := x.now
	for x.now.Sub(start) < 12*time.Second {
		x.round()
		elapsed := x.now.Sub(start).Seconds()
		lo, hi := curve.at(elapsed-x.rtt.Seconds()), curve.at(elapsed+x.rtt.Seconds())
		if w := float64(x.v.CongestionWindow); w < lo*0.995 || w > hi*1.005 {
			t.Fatalf("window %.1f after %.1f s, want %.1f to %.1f", w/testMSS, elapsed, lo/testMSS, hi/testMSS)
		}
	}
}

func TestCubicTimeStandsStillWhileUnderutilized(t *testing.T) {
	x := newScript(t, "cubic")
	for range 5 {
		x.round()
	}
	x.lose()
	x.now = x.now.Add(2 * x.rtt)
	x.round()
	window := x.v.CongestionWindow
	for range 600 {
		x.round(underutilized)
	}
	x.want("window after a minute of underuse", x.v.CongestionWindow, window)
	x.now = x.now.Add(time.Hour)
	x.cc.OnIdleRestart(&x.v, x.now)
	x.round()
	if x.v.CongestionWindow > window+window/10 {
		t.Errorf("window jumps from %d to %d packets in the first round after a pause", window/testMSS, x.v.CongestionWindow/testMSS)
	}
}

func TestCubicUndoRestoresCurve(t *testing.T) {
	x := newScript(t, "cubic")
	for range 5 {
		x.round()
	}
	x.lose()
	x.now = x.now.Add(2 * x.rtt)
	for range 20 {
		x.round()
	}
	before, window := x.cc.(*cubic).epoch, x.v.CongestionWindow
	x.lose()
	x.now = x.now.Add(x.rtt)
	x.late()
	x.want("window", x.v.CongestionWindow, window)
	if after := x.cc.(*cubic).epoch; after != before {
		t.Errorf("curve after undo %+v, want %+v", after, before)
	}
}

// A loss leaves what the path holds without a queue, within bounds.
func TestCubicBackoff(t *testing.T) {
	const ms = time.Millisecond
	for _, test := range []struct {
		name                  string
		least, smoothed, last time.Duration
		ecn                   bool
		want                  float64
	}{
		{"no queue", 100 * ms, 100 * ms, 100 * ms, false, 0.85},
		{"a short queue", 80 * ms, 90 * ms, 100 * ms, false, 0.8},
		{"the smoothed RTT remembers a queue", 80 * ms, 100 * ms, 85 * ms, false, 0.8},
		{"a queue of half of the path", 100 * ms, 140 * ms, 150 * ms, false, 0.7},
		{"a mark", 100 * ms, 100 * ms, 100 * ms, true, 0.7},
		{"no sample yet", 0, 333 * ms, 0, false, 0.7},
	} {
		x := newScript(t, "cubic")
		x.round()
		window := float64(x.v.CongestionWindow)
		x.cc.OnLoss(&x.v, &Loss{Now: x.now, LargestLostSent: x.now, Bytes: testMSS, Packets: 1, ECN: test.ecn,
			RTT: recovery.RTT{MinRTT: test.least, SmoothedRTT: test.smoothed, LatestRTT: test.last}})
		if got := float64(x.v.CongestionWindow) / window; math.Abs(got-test.want) > 1e-3 {
			t.Errorf("%s: a loss leaves %.3f of the window, want %.3f", test.name, got, test.want)
		}
	}
}

func TestLossBasedFillsLink(t *testing.T) {
	for _, name := range []string{"newreno", "cubic"} {
		t.Run(name, func(t *testing.T) {
			f := newFlow(t, name, dsl)
			f.run(5 * time.Second)
			f.wantUtilization("steady state", 0.95, 30*time.Second)
		})
	}
}

// TestFastShortPath is a loopback: microseconds of round trip, jitter of twice
// as much, receivers that acknowledge every tenth packet.
func TestFastShortPath(t *testing.T) {
	for _, name := range Names() {
		for _, p := range []path{
			{rate: 10e9, delay: 20 * time.Microsecond, queue: 200},
			{rate: 10e9, delay: 20 * time.Microsecond, queue: 200, jitter: 100 * time.Microsecond, ackEach: 10},
		} {
			f := newFlow(t, name, p)
			f.run(50 * time.Millisecond)
			f.wantUtilization(name, 0.95, 50*time.Millisecond)
		}
	}
}

func TestReorderingIsUndone(t *testing.T) {
	for _, name := range Names() {
		p := dsl
		p.queue, p.reorder, p.late = 1000, 0.01, 8*time.Millisecond
		f := newFlow(t, name, p)
		f.run(time.Second)
		f.wantUtilization(name, 0.95, 10*time.Second)
		if f.drops == 0 && f.v.SpuriousEvents*10 < f.v.CongestionEvents*9 {
			t.Errorf("%s: only %d of %d events were undone, although nothing was lost", name, f.v.SpuriousEvents, f.v.CongestionEvents)
		}
	}
}
