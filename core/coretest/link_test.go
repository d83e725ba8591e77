package coretest

import (
	"math"
	"net/netip"
	"testing"
	"time"
)

// send puts n packets of size bytes (IP) on a link, one every gap, and returns
// when each arrived.
func send(t *testing.T, c Conditions, n, size int, gap time.Duration) (*Link, []time.Duration) {
	t.Helper()
	s := New(t, 1)
	l := s.NewLink("l", c)
	to := netip.MustParseAddrPort("192.0.2.1:1")
	var at []time.Duration
	for i := range n {
		s.At(time.Duration(i)*gap, func() {
			p := &Packet{Payload: make([]byte, size-28), To: to}
			l.send(p, func(*Packet) { at = append(at, s.Elapsed()) }, nil)
		})
	}
	for s.Step() {
	}
	return l, at
}

func TestLinkRateAndDelay(t *testing.T) {
	_, at := send(t, Conditions{Rate: Mbps(12), Delay: 20 * time.Millisecond}, 1000, 1500, 0)
	// 1,500 bytes take 1 ms at 12 Mbps.
	for i, d := range at {
		if want := time.Duration(i+1)*time.Millisecond + 20*time.Millisecond; (d - want).Abs() > time.Microsecond {
			t.Fatalf("packet %d arrived after %v, want %v", i, d, want)
		}
	}
}

func TestLinkQueue(t *testing.T) {
	for name, c := range map[string]Conditions{
		"packets": {Rate: Mbps(12), QueuePackets: 25},
		"bytes":   {Rate: Mbps(12), Queue: 26 * 1500},
	} {
		l, at := send(t, c, 100, 1500, 0)
		// One is on the wire, 25 wait.
		if len(at) != 26 || l.Stats.Queue != 74 {
			t.Errorf("%s: %d packets arrived, %d dropped", name, len(at), l.Stats.Queue)
		}
	}
}

func TestLinkLoss(t *testing.T) {
	const n = 20_000
	_, at := send(t, Conditions{Loss: 0.1}, n, 100, time.Millisecond)
	if got := 1 - float64(len(at))/n; math.Abs(got-0.1) > 0.01 {
		t.Errorf("%.3f lost, want 0.1", got)
	}
	l, _ := send(t, Conditions{Burst: Burst{Enter: 0.01, Leave: 0.25, BadLoss: 0.5}}, n, 100, time.Millisecond)
	// The bad state holds for 0.01/(0.01+0.25) of the packets, half are lost.
	if got, want := float64(l.Stats.Lost)/n, 0.5*0.01/0.26; math.Abs(got-want) > 0.005 {
		t.Errorf("%.4f lost in bursts, want %.4f", got, want)
	}
}

func TestLinkMTU(t *testing.T) {
	if _, at := send(t, Conditions{MTU: 1400}, 1, 1400, 0); len(at) != 1 {
		t.Error("a packet of the MTU was dropped")
	}
	if l, at := send(t, Conditions{MTU: 1400}, 1, 1401, 0); len(at) != 0 || l.Stats.TooBig != 1 {
		t.Error("a packet above the MTU passed")
	}
}

func TestContent(t *testing.T) {
	k := content(99)
	all := make([]byte, 1000)
	k.fill(all, 0)
	for off := range 40 {
		b := make([]byte, 100+off)
		k.fill(b, uint64(off))
		if string(b) != string(all[off:off+len(b)]) {
			t.Fatalf("content at offset %d differs", off)
		}
		if i := k.check(b, uint64(off)); i != -1 {
			t.Fatalf("right content refused at %d", i)
		}
		b[off] ^= 1
		if i := k.check(b, uint64(off)); i != off {
			t.Fatalf("change at %d found at %d", off, i)
		}
	}
}
