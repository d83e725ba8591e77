package congestion

import (
	"testing"
	"time"
)

const ms = time.Millisecond

// A hystartTest feeds rounds of RTT samples.
type hystartTest struct {
	t    *testing.T
	h    hystart
	next uint64
	done bool
}

// round takes n ACK frames whose RTT is rtt, the last ending the round, and
// returns the bytes of growth out of n*1000.
func (x *hystartTest) round(n int, rtt time.Duration) (growth uint64) {
	end := x.next + uint64(n)
	x.h.windowEnd = end // what was sent when the round before ended
	for range n {
		g, done := x.h.onAck(&Ack{Bytes: 1000, LargestAcked: x.next, NextPN: end, LatestRTT: rtt, HasRTT: true})
		growth += g
		x.done = x.done || done
		x.next++
	}
	return growth
}

func (x *hystartTest) wantCSS(what string, want bool) {
	x.t.Helper()
	if x.h.inCSS() != want {
		x.t.Errorf("%s: in conservative slow start is %v, want %v", what, x.h.inCSS(), want)
	}
}

func TestHyStartThreshold(t *testing.T) {
	for _, test := range []struct {
		name      string
		base, now time.Duration
		want      bool
	}{
		{"rise of an eighth", 80 * ms, 90 * ms, true},
		{"rise of less than an eighth", 80 * ms, 90*ms - 1, false},
		{"at least 4 ms", 8 * ms, 12 * ms, true},
		{"less than 4 ms", 8 * ms, 12*ms - 1, false},
		{"16 ms suffice", 400 * ms, 416 * ms, true},
		{"less than 16 ms of 400", 400 * ms, 416*ms - 1, false},
		{"forty times the RTT, but microseconds", 50 * time.Microsecond, 2 * ms, false},
	} {
		x := hystartTest{t: t}
		x.round(16, test.base)
		x.round(16, test.base)
		x.round(8, test.now)
		x.wantCSS(test.name, test.want)
	}
}

func TestHyStartNeedsEightSamples(t *testing.T) {
	x := hystartTest{t: t}
	x.round(16, 50*ms)
	x.round(16, 50*ms)
	x.round(7, 200*ms)
	x.round(7, 200*ms)
	x.wantCSS("seven samples a round", false)
}

func TestHyStartOneFastSampleVetoes(t *testing.T) {
	x := hystartTest{t: t}
	x.round(16, 50*ms)
	x.round(16, 50*ms)
	end := x.next + 100
	for i := range 100 {
		rtt := 200 * ms
		if i%8 == 3 {
			rtt = 50 * ms
		}
		x.h.onAck(&Ack{Bytes: 1000, LargestAcked: x.next, NextPN: end, LatestRTT: rtt, HasRTT: true})
		x.next++
	}
	x.wantCSS("jitter", false)
}

func TestHyStartLeavesAfterFiveRounds(t *testing.T) {
	x := hystartTest{t: t}
	x.round(16, 50*ms)
	if got := x.round(16, 50*ms); got != 16000 {
		t.Errorf("slow start grows by %d of 16000 bytes", got)
	}
	x.round(16, 80*ms)
	x.wantCSS("queue seen", true)
	for round := 2; round <= hystartRounds; round++ {
		if x.done {
			t.Fatalf("slow start over before round %d", round)
		}
		if got := x.round(16, 80*ms); got != 4000 {
			t.Errorf("conservative slow start grows by %d of 16000 bytes, want a quarter", got)
		}
	}
	if !x.done {
		t.Error("slow start not over after five rounds, the first partial one included")
	}
}

func TestHyStartResumes(t *testing.T) {
	x := hystartTest{t: t}
	x.round(16, 50*ms)
	x.round(16, 50*ms)
	x.round(16, 80*ms)
	x.round(16, 80*ms)
	x.wantCSS("queue seen", true)
	x.round(16, 60*ms)
	x.wantCSS("RTT below the baseline", false)
	if got := x.round(16, 60*ms); got != 16000 || x.done {
		t.Errorf("slow start grows by %d of 16000 bytes, done %v", got, x.done)
	}
}

// TestHyStartSparesLoss compares the packets that the first slow start costs.
func TestHyStartSparesLoss(t *testing.T) {
	for _, p := range []path{
		dsl,
		{rate: 100e6, delay: 10 * ms, queue: 208},
		{rate: 100e6, delay: 50 * ms, queue: 1040, ackEach: 10},
	} {
		drops := map[string]int{}
		for _, name := range []string{"newreno", "cubic"} {
			f := newFlow(t, name, p)
			f.run(40 * p.delay)
			drops[name] = f.drops
			f.wantUtilization(name, 0.95, 100*p.delay)
		}
		t.Logf("drops: %v", drops)
		if drops["cubic"] > drops["newreno"]/2 {
			t.Errorf("slow start costs %d packets with HyStart++, %d without", drops["cubic"], drops["newreno"])
		}
	}
	f := newFlow(t, "cubic", path{rate: 10e6, delay: 15 * ms, queue: 1000})
	f.run(3 * time.Second)
	if f.drops != 0 || f.v.Ssthresh == Infinite || f.v.CongestionEvents != 0 {
		t.Errorf("a deep queue is not noticed before it overflows: %v", f)
	}
}
