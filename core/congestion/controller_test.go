package congestion

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pquic-go/pquic/core/mono"
	"github.com/pquic-go/pquic/core/recovery"
)

func TestNew(t *testing.T) {
	if !slices.IsSorted(Names()) {
		t.Errorf("Names() = %v, not sorted", Names())
	}
	for _, name := range []string{"bbr", "cubic", "newreno"} {
		c, err := New(name, 32)
		if err != nil {
			t.Fatal(err)
		}
		if c.Name() != name {
			t.Errorf("New(%q).Name() = %q", name, c.Name())
		}
		v := View{MaxDatagramSize: 1000}
		c.Init(&v, testStart)
		if v.CongestionWindow != 32_000 {
			t.Errorf("%s starts with a window of %d, want 32 datagrams", name, v.CongestionWindow)
		}
		if v.InSlowStart != 1 {
			t.Errorf("%s does not start in slow start", name)
		}
	}
	_, err := New("vegas", 0)
	if err == nil {
		t.Fatal("New accepts an unknown name")
	}
	for _, name := range append(Names(), "vegas") {
		if !strings.Contains(err.Error(), name) {
			t.Errorf("error %q does not name %s", err, name)
		}
	}
}

func TestDefaultWindows(t *testing.T) {
	for _, name := range Names() {
		x := newScript(t, name)
		x.cc, _ = New(name, 0)
		x.cc.Init(&x.v, x.now)
		x.want("initial window", x.v.CongestionWindow, 32*testMSS)
		x.v.MaxDatagramSize = 1400
		x.cc.OnMaxDatagramSize(&x.v, x.now)
		x.want("initial window after the datagram size changed", x.v.CongestionWindow, 32*1400)
	}
}

func TestStateName(t *testing.T) {
	for _, test := range []struct {
		name  string
		state uint32
		want  string
	}{
		{"newreno", lossBasedRecovery, "recovery"},
		{"cubic", lossBasedConservativeSlowStart, "conservative_slow_start"},
		{"cubic", 17, ""},
		{"bbr", bbrStartup, "startup"},
		{"bbr", bbrProbeRTT, "probe_rtt"},
		{"bbr", 7, ""},
	} {
		if got := StateName(test.name, test.state); got != test.want {
			t.Errorf("StateName(%q, %d) = %q, want %q", test.name, test.state, got, test.want)
		}
	}
}

func TestPacingRateFor(t *testing.T) {
	v := View{CongestionWindow: 100_000, MaxDatagramSize: 1200}
	if got := v.PacingRateFor(100 * time.Millisecond); got != 1_100_000 {
		t.Errorf("rate in congestion avoidance %d, want 1.1 windows per round trip", got)
	}
	v.InSlowStart = 1
	if got := v.PacingRateFor(100 * time.Millisecond); got != 2_000_000 {
		t.Errorf("rate in slow start %d, want 2 windows per round trip", got)
	}
	v.PacingRate = 77
	if got := v.PacingRateFor(100 * time.Millisecond); got != 77 {
		t.Errorf("rate %d, want the controller's own", got)
	}
	v.PacingRate = 0
	if got := v.PacingRateFor(0); got != 0 {
		t.Errorf("rate without an RTT %d, want unlimited", got)
	}
}

func TestBurstFor(t *testing.T) {
	v := View{MaxDatagramSize: 1200}
	if got := v.BurstFor(1_000_000); got != 12_000 {
		t.Errorf("burst %d, want ten datagrams", got)
	}
	if got := v.BurstFor(1_250_000_000); got != 1_250_000 {
		t.Errorf("burst at 10 Gbps %d, want a millisecond's worth", got)
	}
	v.SendQuantum = 2400
	if got := v.BurstFor(1_000_000); got != 2400 {
		t.Errorf("burst %d, want the send quantum", got)
	}
}

// A script drives one controller by hand.
type script struct {
	t    *testing.T
	cc   Controller
	v    View
	now  mono.Time
	rtt  time.Duration
	next uint64
}

func newScript(t *testing.T, name string) *script {
	t.Helper()
	cc, err := New(name, 10)
	if err != nil {
		t.Fatal(err)
	}
	x := &script{t: t, cc: cc, now: testStart, rtt: 100 * time.Millisecond}
	x.v.MaxDatagramSize = testMSS
	cc.Init(&x.v, x.now)
	return x
}

// ack acknowledges bytes sent one round trip ago.
func (x *script) ack(bytes uint64, change ...func(*Ack)) {
	a := Ack{
		Now: x.now, LargestSentTime: x.now.Add(-x.rtt), Bytes: bytes, PriorInFlight: x.v.CongestionWindow,
		RTT:       recovery.RTT{SmoothedRTT: x.rtt, LatestRTT: x.rtt, MinRTT: x.rtt, RTTVar: x.rtt / 8, Samples: 1},
		LatestRTT: x.rtt, HasRTT: true,
	}
	a.LargestAcked = x.next
	x.next++
	a.NextPN = x.next + x.v.CongestionWindow/testMSS
	for _, c := range change {
		c(&a)
	}
	x.v.DeliveredBytes += bytes
	x.cc.OnAck(&x.v, &a)
}

// round acknowledges one whole window within one round trip.
func (x *script) round(change ...func(*Ack)) {
	window := x.v.CongestionWindow
	n := max(window/(2*testMSS), 1)
	for range n {
		x.now = x.now.Add(x.rtt / time.Duration(n))
		x.ack(window/n, change...)
	}
}

// lose declares one packet lost that was sent one round trip ago.
func (x *script) lose(change ...func(*Loss)) {
	l := Loss{Now: x.now, Bytes: testMSS, Packets: 1, LargestLostSent: x.now.Add(-x.rtt), PriorInFlight: x.v.CongestionWindow}
	l.TxInFlight = x.v.CongestionWindow
	l.LostAtSend = x.v.LostBytes
	for _, c := range change {
		c(&l)
	}
	x.v.LostBytes += l.Bytes
	x.cc.OnLoss(&x.v, &l)
}

// late acknowledges a packet declared lost before.
func (x *script) late() {
	x.v.SpuriousBytes += testMSS
	x.cc.OnSpuriousLoss(&x.v, x.now)
}

func (x *script) want(what string, got, want uint64) {
	x.t.Helper()
	if got != want {
		x.t.Errorf("%s: %s is %d, want %d", x.cc.Name(), what, got, want)
	}
}

func underutilized(a *Ack) { a.Underutilized = true }
func persistent(l *Loss)   { l.Persistent = true }
func marked(l *Loss)       { l.ECN, l.Bytes, l.Packets, l.CEBytes = true, 0, 0, 2*testMSS }
func sentAgo(d time.Duration) func(*Loss) {
	return func(l *Loss) { l.LargestLostSent = l.Now.Add(-d) }
}

// TestLossBasedCommon holds NewReno and CUBIC to what RFC 9002, Section 7 says
// of any window-based controller. Keep is the share of the window, in percent,
// that survives congestion.
func TestLossBasedCommon(t *testing.T) {
	for name, keep := range map[string]uint64{"newreno": 50, "cubic": 70} {
		t.Run(name, func(t *testing.T) {
			x := newScript(t, name)
			x.round()
			x.want("window after a round of slow start", x.v.CongestionWindow, 20*testMSS)
			x.round(underutilized)
			x.want("window after a round that did not use it", x.v.CongestionWindow, 20*testMSS)
			x.want("Underutilized", uint64(x.v.Underutilized), 1)
			x.round()
			x.want("window", x.v.CongestionWindow, 40*testMSS)

			x.lose()
			reduced := 40 * testMSS * keep / 100
			x.want("window after loss", x.v.CongestionWindow, reduced)
			x.want("ssthresh after loss", x.v.Ssthresh, reduced)
			x.want("InRecovery", uint64(x.v.InRecovery), 1)
			x.want("InSlowStart", uint64(x.v.InSlowStart), 0)
			x.lose()
			x.want("window after another loss of that flight", x.v.CongestionWindow, reduced)
			x.now = x.now.Add(x.rtt / 2)
			x.ack(testMSS)
			x.want("window in recovery", x.v.CongestionWindow, reduced)
			x.now = x.now.Add(x.rtt)
			x.lose(sentAgo(x.rtt))
			x.want("window after a loss in a later flight", x.v.CongestionWindow, reduced*keep/100)
			x.want("congestion events", x.v.CongestionEvents, 2)

			x.now = x.now.Add(2 * x.rtt)
			x.round()
			before := x.v.CongestionWindow
			x.lose(marked)
			x.want("window after CE marks", x.v.CongestionWindow, before*keep/100)
			x.want("bytes acknowledged with CE marks", x.v.ECNCEBytes, 2*testMSS)

			x.now = x.now.Add(2 * x.rtt)
			x.lose(persistent)
			x.want("window after persistent congestion", x.v.CongestionWindow, 2*testMSS)
			x.want("InSlowStart after persistent congestion", uint64(x.v.InSlowStart), 1)
			for range 20 {
				x.now = x.now.Add(2 * x.rtt)
				x.lose()
			}
			x.want("window after many losses", x.v.CongestionWindow, 2*testMSS)
		})
	}
}

func TestLossBasedUndo(t *testing.T) {
	for _, name := range []string{"newreno", "cubic"} {
		t.Run(name, func(t *testing.T) {
			x := newScript(t, name)
			x.round()
			x.round()
			x.lose()
			x.lose()
			x.late()
			x.want("events undone while one packet is still missing", x.v.SpuriousEvents, 0)
			x.late()
			x.want("events undone", x.v.SpuriousEvents, 1)
			x.want("window", x.v.CongestionWindow, 40*testMSS)
			x.want("ssthresh", x.v.Ssthresh, Infinite)
			x.want("InSlowStart", uint64(x.v.InSlowStart), 1)

			x.now = x.now.Add(x.rtt)
			x.lose(marked)
			x.late()
			x.want("events undone after CE marks", x.v.SpuriousEvents, 1)

			x.now = x.now.Add(2 * x.rtt)
			x.lose(persistent)
			x.late()
			x.want("events undone after persistent congestion", x.v.SpuriousEvents, 1)
		})
	}
}

func TestNewRenoAvoidance(t *testing.T) {
	x := newScript(t, "newreno")
	x.round()
	x.lose()
	x.now = x.now.Add(2 * x.rtt)
	x.want("window", x.v.CongestionWindow, 10*testMSS)
	for i := range uint64(5) {
		x.round()
		x.want("window after a round of congestion avoidance", x.v.CongestionWindow, (11+i)*testMSS)
	}
}

// TestControllersSurviveAnything feeds every controller random events and holds
// the window to its bounds.
func TestControllersSurviveAnything(t *testing.T) {
	for _, name := range Names() {
		t.Run(name, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(3, 4))
			x := newScript(t, name)
			for range 50_000 {
				x.now = x.now.Add(time.Duration(rng.Int64N(1 << rng.IntN(32))))
				x.rtt = time.Duration(1 + rng.Int64N(1<<rng.IntN(36)))
				switch rng.IntN(12) {
				case 0:
					x.lose(func(l *Loss) {
						l.Bytes = rng.Uint64N(1 << rng.IntN(40))
						l.TxInFlight = rng.Uint64N(1 << rng.IntN(40))
						l.LostAtSend = rng.Uint64N(x.v.LostBytes + 1)
						l.Persistent = rng.IntN(10) == 0
						l.SentAppLimited = rng.IntN(3) == 0
						l.LargestLostSent = x.now.Add(-x.rtt)
					})
				case 1:
					x.lose(marked)
				case 2:
					x.late()
				case 3:
					x.v.MaxDatagramSize = 1200 + rng.Uint64N(60_000)
					x.cc.OnMaxDatagramSize(&x.v, x.now)
				case 4:
					x.cc.OnIdleRestart(&x.v, x.now)
				case 5:
					x.cc.OnDiscarded(&x.v, rng.Uint64N(1<<20))
				case 6:
					x.cc.OnSent(&x.v, x.now, testMSS, x.next)
				default:
					x.v.BytesInFlight = rng.Uint64N(2 * x.v.CongestionWindow)
					x.ack(rng.Uint64N(1<<rng.IntN(40)), func(a *Ack) {
						a.Underutilized = rng.IntN(4) == 0
						a.HasRTT = rng.IntN(4) != 0
						a.Rate = RateSample{
							DeliveryRate: rng.Uint64N(1 << rng.IntN(63)), Delivered: rng.Uint64N(1 << rng.IntN(40)),
							Lost: rng.Uint64N(1 << rng.IntN(40)), PriorDelivered: rng.Uint64N(x.v.DeliveredBytes + 1),
							TxInFlight: rng.Uint64N(1 << rng.IntN(40)), NewlyAcked: a.Bytes, Interval: x.rtt,
							HasPacket: 1, Valid: rng.Uint32N(2), AppLimited: rng.Uint32N(2),
						}
					})
				}
				if w := x.v.CongestionWindow; w < MinWindowPackets*x.v.MaxDatagramSize || w > maxWindow {
					t.Fatalf("window %d with datagrams of %d", w, x.v.MaxDatagramSize)
				}
				if StateName(name, x.v.State) == "" {
					t.Fatalf("state %d has no name", x.v.State)
				}
				if name == "bbr" && x.v.PacingRate == 0 {
					t.Fatal("BBR does not pace")
				}
			}
		})
	}
}

func TestControllersReplay(t *testing.T) {
	for _, name := range Names() {
		var last View
		for i := range 2 {
			p := dsl
			p.loss, p.jitter = 0.005, 3*time.Millisecond
			f := newFlow(t, name, p)
			f.run(10 * time.Second)
			if i > 0 && f.v != last {
				t.Errorf("%s: two runs from one seed differ:\n%+v\n%+v", name, last, f.v)
			}
			last = f.v
		}
	}
}
