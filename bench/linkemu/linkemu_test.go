package linkemu

import (
	"math"
	"slices"
	"strings"
	"testing"
	"time"
)

const ms = time.Millisecond

func TestShaperRateAndDelay(t *testing.T) {
	s := NewShaper(Shape{Rate: 8e6, Delay: 10 * ms, Queue: 10000}, 1)
	// 8 Mbps are 1 byte in 1 µs.
	for i, want := range []time.Duration{11 * ms, 12 * ms, 13 * ms} {
		if f := s.Admit(0, 1000); f.Cause != Delivered || f.At != want {
			t.Errorf("packet %d: %v at %v, want it at %v", i, f.Cause, f.At, want)
		}
	}
	if got := s.Backlog(1500 * time.Microsecond); got != 2000 {
		t.Errorf("queue after 1.5 ms: %d bytes, want 2000", got)
	}
	if f := s.Admit(100*ms, 1000); f.At != 111*ms {
		t.Errorf("on an idle link: at %v, want 111ms", f.At)
	}
}

func TestShaperBurst(t *testing.T) {
	s := NewShaper(Shape{Rate: 8e6, Burst: 3000, Queue: 1 << 20}, 1)
	for i, want := range []time.Duration{0, 0, 0, 1 * ms, 2 * ms} {
		if f := s.Admit(0, 1000); f.At != want {
			t.Errorf("packet %d: at %v, want %v", i, f.At, want)
		}
	}
}

func TestShaperQueueLimits(t *testing.T) {
	for _, c := range []struct {
		name string
		s    Shape
		want int // packets of 1000 bytes taken at once
	}{
		{"bytes", Shape{Rate: 1e6, Queue: 4999}, 4},
		{"packets", Shape{Rate: 1e6, QueuePackets: 25}, 25},
		{"default", Shape{Rate: 1e6}, 65},
		{"default of a fast link", Shape{Rate: 80e6}, 1000},
		{"unlimited", Shape{Delay: time.Hour}, 2000},
	} {
		sh, taken := NewShaper(c.s, 1), 0
		for range 2000 {
			if sh.Admit(0, 1000).Cause == Delivered {
				taken++
			}
		}
		if taken != c.want {
			t.Errorf("%s: took %d packets, want %d", c.name, taken, c.want)
		}
	}
}

func TestShaperKeepsOrder(t *testing.T) {
	s := NewShaper(Shape{Delay: 10 * ms, Jitter: 5 * ms}, 1)
	var last time.Duration
	for i := range 1000 {
		if i == 500 {
			s.SetShape(Shape{Delay: ms})
		}
		f := s.Admit(time.Duration(i)*time.Microsecond, 100)
		if f.At < last {
			t.Fatalf("packet %d arrives at %v, before the one sent earlier (%v)", i, f.At, last)
		}
		last = f.At
	}
	s.SetShape(Shape{Delay: ms, Reorder: 1, ReorderDelay: 3 * ms})
	if f := s.Admit(time.Second, 100); !f.HeldBack || f.At != time.Second+4*ms {
		t.Errorf("held back packet: %+v, want it 4 ms later", f)
	}
}

func TestShaperLoss(t *testing.T) {
	const n = 200000
	run := func(sh Shape) (lost float64, bursts float64, longest int) {
		s, runs, length := NewShaper(sh, 7), 0, 0
		var dropped int
		for range n {
			if s.Admit(0, 100).Cause == Delivered {
				length = 0
				continue
			}
			if length == 0 {
				runs++
			}
			length++
			dropped++
			longest = max(longest, length)
		}
		return float64(dropped) / n, float64(dropped) / float64(runs), longest
	}
	near := func(name string, got, want, tolerance float64) {
		t.Helper()
		if math.Abs(got-want) > tolerance {
			t.Errorf("%s: %.4f, want %.4f", name, got, want)
		}
	}
	lost, burst, _ := run(Shape{Loss: 0.02})
	near("random loss", lost, 0.02, 0.002)
	near("its mean run", burst, 1/0.98, 0.02)
	lost, burst, _ = run(Shape{LossBurst: BurstLoss(0.05, 4)})
	near("burst loss", lost, 0.05, 0.005)
	near("its mean run", burst, 4, 0.3)
	if _, _, longest := run(Shape{Loss: 0.5, MaxLossRun: 3}); longest != 3 {
		t.Errorf("longest run of losses %d, want 3", longest)
	}
}

func TestShaperDrops(t *testing.T) {
	s := NewShaper(Shape{Drop: []uint64{2, 3}}, 1)
	var causes []Cause
	for i := range 5 {
		if i == 4 {
			s.SetShape(Shape{Down: true})
		}
		causes = append(causes, s.Admit(0, 100).Cause)
	}
	if want := []Cause{Delivered, Listed, Listed, Delivered, LinkDown}; !slices.Equal(causes, want) {
		t.Errorf("fates %v, want %v", causes, want)
	}
}

func TestShaperMarks(t *testing.T) {
	s := NewShaper(Shape{Rate: 8e6, MarkQueue: 2000}, 1)
	for i, want := range []bool{false, false, true, true} {
		if f := s.Admit(0, 1000); f.MarkCE != want {
			t.Errorf("packet %d: marked %v, want %v", i, f.MarkCE, want)
		}
	}
}

func TestParseShape(t *testing.T) {
	got, err := ParseShape("rate=10mbit,delay=15ms,queue=25p,loss=2%,loss-run=3,corrupt=0.5,drop=2-4+9,burst=4k,mark-queue=3k,bleach,reorder=1%/5ms")
	if err != nil {
		t.Fatal(err)
	}
	want := Shape{
		Rate: 10e6, Delay: 15 * ms, QueuePackets: 25, Loss: 0.02, MaxLossRun: 3, Corrupt: 0.5, Drop: []uint64{2, 3, 4, 9},
		Burst: 4096, MarkQueue: 3072, BleachECN: true, Reorder: 0.01, ReorderDelay: 5 * ms,
	}
	if !slices.Equal(got.Drop, want.Drop) {
		t.Errorf("drop: %v, want %v", got.Drop, want.Drop)
	}
	got.Drop, want.Drop = nil, nil
	if !equalShape(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	for _, c := range []struct{ text, complaint string }{
		{"speed=3", `unknown "speed"`},
		{"rate=fast", "rate=fast: want BITS/s"},
		{"loss=2", "Loss is 2, want a probability"},
		{"delay=5", "delay=5: want DURATION"},
		{"delay=-5ms", "Delay is -5000000"},
		{"drop=5-1", "drop=5-1: want packet positions"},
		{"burst-loss=2%/0", "burst-loss=2%/0: want"},
		{"loss=NaN", "Loss is NaN"},
	} {
		if _, err := ParseShape(c.text); err == nil || !strings.Contains(err.Error(), c.complaint) {
			t.Errorf("%s: error %v, want one with %q", c.text, err, c.complaint)
		}
	}
}

func equalShape(a, b Shape) bool {
	a.Drop, b.Drop = nil, nil
	return a.Rate == b.Rate && a.Burst == b.Burst && a.Queue == b.Queue && a.QueuePackets == b.QueuePackets &&
		a.Delay == b.Delay && a.Jitter == b.Jitter && a.Reorder == b.Reorder && a.ReorderDelay == b.ReorderDelay &&
		a.Loss == b.Loss && a.LossBurst == b.LossBurst && a.MaxLossRun == b.MaxLossRun && a.Corrupt == b.Corrupt &&
		a.MarkCE == b.MarkCE && a.MarkQueue == b.MarkQueue && a.BleachECN == b.BleachECN && a.Down == b.Down
}

func TestScript(t *testing.T) {
	steps, err := ParseScript(strings.NewReader(`
# 5 s on, 2 s off
5s every 7s both down
7s every 7s both down=off
6s a>b rate=1mbit delay=3ms
1s rebind address
`))
	if err != nil {
		t.Fatal(err)
	}
	var p player
	p.play(time.Second, steps)
	var got []time.Duration
	shape := Shape{Rate: 5}
	for now := time.Duration(0); now < 16*time.Second; {
		at, ok := p.next()
		if !ok {
			t.Fatal("a script that repeats ended")
		}
		now = at
		for s, ok := p.due(now); ok; s, ok = p.due(now) {
			got = append(got, at)
			if s.Set != nil {
				s.Set(&shape)
			} else if s.Rebind != RebindAddress {
				t.Errorf("step %+v, want a rebinding of the address", s)
			}
		}
	}
	sec := time.Second
	if want := []time.Duration{2 * sec, 6 * sec, 7 * sec, 8 * sec, 13 * sec, 15 * sec, 20 * sec}; !slices.Equal(got, want) {
		t.Errorf("steps at %v, want %v", got, want)
	}
	if shape.Rate != 1e6 || shape.Delay != 3*ms || !shape.Down {
		t.Errorf("shape in the end %+v, want 1 Mbps, 3 ms, down", shape)
	}
	for _, c := range []struct{ text, complaint string }{
		{"5s", "line 1"},
		{"x both down", `"x" is not a time`},
		{"1s up down", "want a>b, b>a, both or rebind"},
		{"1s rebind host", "want port or address"},
		{"1s every 0s both down", `"0s" is not an interval`},
		{"1s both speed=3", `unknown "speed"`},
	} {
		if _, err := ParseScript(strings.NewReader(c.text)); err == nil || !strings.Contains(err.Error(), c.complaint) {
			t.Errorf("%s: error %v, want one with %q", c.text, err, c.complaint)
		}
	}
}

func TestConfigCheck(t *testing.T) {
	for _, c := range []struct {
		c         Config
		complaint string
	}{
		{Config{}, "0 links"},
		{Config{Links: []LinkConfig{{A: "x", B: "x"}}}, "joins \"x\" with itself"},
		{Config{Links: []LinkConfig{{MTU: 100}}}, "MTU 100"},
		{Config{Links: []LinkConfig{{AToB: Shape{Loss: 3}}}}, "Loss is 3"},
		{Config{Links: []LinkConfig{{Script: []Step{{Rebind: RebindPort}}}}}, "has no NAT"},
	} {
		if _, err := New(c.c); err == nil || !strings.Contains(err.Error(), c.complaint) {
			t.Errorf("error %v, want one with %q", err, c.complaint)
		}
	}
}

func TestDeliveriesOrder(t *testing.T) {
	var h deliveries
	for _, at := range []time.Duration{5, 3, 3, 9, 1, 3, 7, 5} {
		h.push(delivery{at: at})
	}
	var got []time.Duration
	var seq uint64
	for !h.empty() {
		d := h.pop()
		if len(got) > 0 && got[len(got)-1] == d.at && d.seq < seq {
			t.Errorf("deliveries due at %d left out of order", d.at)
		}
		seq, got = d.seq, append(got, d.at)
	}
	if want := []time.Duration{1, 3, 3, 3, 5, 5, 7, 9}; !slices.Equal(got, want) {
		t.Errorf("order %v, want %v", got, want)
	}
}

func FuzzParsePacket(f *testing.F) {
	f.Add(append(make([]byte, 12), 0x08, 0x00, 0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2, 0, 1, 0, 2, 0, 8, 0, 0))
	f.Add(append(append(make([]byte, 12), 0x86, 0xdd, 0x60, 0, 0, 0, 0, 8, 17, 64), make([]byte, 40)...))
	f.Fuzz(func(t *testing.T, frame []byte) {
		p, ok := parsePacket(frame)
		if !ok {
			return
		}
		p.flip(12345)
		p.setECN(p.ecn() ^ 1)
		if p.isUDP() {
			p.setSource(p.destination())
			p.setDestination(p.source())
		}
	})
}
