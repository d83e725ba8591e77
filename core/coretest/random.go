package coretest

import (
	"crypto/tls"
	"math"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/pquic-go/pquic/core"
	"github.com/pquic-go/pquic/core/congestion"
	"github.com/pquic-go/pquic/core/stream"
	"github.com/pquic-go/pquic/core/token"
	"github.com/pquic-go/pquic/core/wire"
)

// RunRandom runs the scenario that seed draws: a few small transfers under
// random configurations over a random network in which random things happen.
// All of them have to arrive, and everything Finish checks has to hold. It
// returns the run's fingerprint.
func RunRandom(tb testing.TB, seed uint64) uint64 {
	tb.Helper()
	d := dice{rand.New(rand.NewPCG(seed, 0x5ce7a110))}
	w := NewWorld(tb, d.scenario(seed))
	d.events(w)
	audit := true
	w.Every(250*time.Millisecond, func() bool { w.Audit(); return audit })
	for range 1 + d.among(3) {
		a := w.Dial()
		d.slow(a)
		a.Request(d.requests()...)
		if d.once(3) {
			// Not at once, and not all at once.
			w.After(d.duration(time.Millisecond, 5*time.Second), func() {
				if !a.Ended {
					a.Request(d.requests()...)
				}
			})
		}
		if d.once(3) {
			continue // the next one runs beside it
		}
		w.Wait(time.Hour)
		w.Sleep(d.duration(time.Millisecond, time.Second))
		if d.once(3) {
			a.Close()
		}
	}
	w.Wait(time.Hour)
	audit = false
	w.Finish()
	return w.Fingerprint()
}

// dice draws the parts of a scenario.
type dice struct{ *rand.Rand }

func (d dice) among(n int) int { return d.IntN(n) }

// once is true once in n times.
func (d dice) once(n int) bool { return d.IntN(n) == 0 }

// between draws from lo to hi, all orders of magnitude alike.
func (d dice) between(lo, hi float64) float64 {
	return lo * math.Pow(hi/lo, d.Float64())
}

func (d dice) duration(lo, hi time.Duration) time.Duration {
	return time.Duration(d.between(float64(lo), float64(hi)))
}

func pick[T any](d dice, a ...T) T { return a[d.IntN(len(a))] }

func (d dice) scenario(seed uint64) Scenario {
	sc := Scenario{Seed: seed, Up: d.conditions()}
	sc.Down = sc.Up
	if d.once(2) {
		sc.Down = d.conditions()
	}
	sc.IPv6 = d.once(4)
	sc.NAT = !sc.IPv6 && d.once(3)
	sc.ClientCert = d.once(8)
	if d.once(4) {
		sc.CertPadding = int(d.between(100, 12_000))
	}
	client, server := d.config(), d.config()
	sessions, tokens := d.once(2), d.once(2)
	cache, store := tls.NewLRUClientSessionCache(4), &tokenList{}
	alive := d.duration(300*time.Millisecond, 10*time.Second)
	sc.Client = func(c *core.Config) {
		client(c)
		if sc.NAT {
			// A client that only waits would not be found again.
			c.KeepAlive = alive
		}
		if sessions {
			c.TLS.ClientSessionCache = cache
		}
		if tokens {
			c.Tokens = store
		}
	}
	sc.Server = server
	retry := pick(d, 0, 0, 1, 2)
	length := pick(d, 0, 0, 4, 5, 8, 12, 17, 20)
	n := 0
	fill := rand.New(rand.NewPCG(seed, 0x707e45))
	ring, _ := token.NewKeyring(token.Config{
		Keys:          []token.Key{{1}},
		RetryLifetime: time.Hour, // outages must not outlast it
		Random: func(b []byte) {
			for i := range b {
				b[i] = byte(fill.Uint32())
			}
		},
	})
	sc.Endpoint = func(c *core.EndpointConfig) {
		c.Layout.Length, c.Tokens = length, ring
		if retry > 0 {
			c.Retry = func(AddrPort) bool { n++; return n%retry == 0 }
		}
	}
	return sc
}

// conditions draws one direction of a path.
func (d dice) conditions() Conditions {
	c := Conditions{
		Rate:         d.between(0.4e6, 200e6),
		Delay:        d.duration(100*time.Microsecond, 300*time.Millisecond),
		QueuePackets: int(d.between(6, 400)),
	}
	if d.once(6) {
		c.Rate = 0
	}
	if d.once(4) {
		c.Jitter = d.duration(100*time.Microsecond, c.Delay+time.Millisecond)
	}
	if d.once(3) {
		c.Loss = d.between(0.001, 0.15)
	}
	if d.once(8) {
		c.Burst = Burst{Enter: d.between(0.001, 0.02), Leave: d.between(0.2, 0.7), BadLoss: d.between(0.3, 1)}
	}
	if d.once(4) {
		c.Reorder, c.ReorderDelay = d.between(0.001, 0.5), d.duration(100*time.Microsecond, 100*time.Millisecond)
	}
	if d.once(5) {
		c.Duplicate = d.between(0.001, 0.7)
	}
	if d.once(6) {
		c.Corrupt = d.between(0.001, 0.1)
	}
	if d.once(4) {
		c.MTU, c.TooBig = int(d.between(1280, 1500)), d.once(2)
	}
	if d.once(4) {
		c.ECN = pick(d, ECNTreatment{Bleach: true}, ECNTreatment{Remark: true}, ECNTreatment{MarkAll: true},
			ECNTreatment{DropECT: true}, ECNTreatment{Mark: 0.05}, ECNTreatment{MarkQueue: 5000})
	}
	return c
}

// config draws one side's configuration. Timeouts are long: a bad network must
// delay a transfer, not end it.
func (d dice) config() func(*core.Config) {
	r := d.Uint64()
	return func(c *core.Config) {
		d := dice{rand.New(rand.NewPCG(r, 1))}
		c.HandshakeTimeout, c.MaxIdleTimeout = time.Hour, time.Hour
		c.CongestionControl = pick(d, congestion.Names()...)
		c.StreamScheduler = pick(d, stream.SchedulerNames()...)
		if d.once(3) {
			c.StreamWindow = uint64(d.between(1000, 1e6))
			c.MaxStreamWindow = c.StreamWindow * uint64(1+d.among(8))
		}
		if d.once(3) {
			c.ConnWindow = uint64(d.between(1000, 1e6))
			c.MaxConnWindow = c.ConnWindow * uint64(1+d.among(8))
		}
		if d.once(4) {
			c.SendBuffer = int(d.between(300, 1e6))
		}
		if d.once(3) {
			c.MaxBidiStreams, c.MaxUniStreams = int64(d.between(1, 50)), int64(d.between(1, 50))
		}
		if d.once(6) {
			c.MaxUDPPayload = uint16(d.between(1200, 1500))
		}
		if mtu := pick(d, 0, 0, 1400, 1500, 9000, 65536); mtu > 0 {
			c.InterfaceMTU = func(Addr) int { return mtu }
		}
		c.DisablePathMTUDiscovery = d.once(6)
		if d.once(5) {
			c.InitialWindow = int(d.between(2, 60))
		}
		c.DisablePacing = d.once(6)
		if d.once(4) {
			c.MaxAckDelay = d.duration(time.Millisecond, time.Second)
			c.AckDelayExponent = uint8(1 + d.among(20))
		}
		c.DisableECN, c.DisableSpinBit, c.DisableGrease = d.once(4), d.once(4), d.once(4)
		c.ActiveConnIDLimit = uint64(pick(d, 0, 0, 2, 3, 5))
		c.Allow0RTT = d.once(2)
		if d.once(5) {
			c.KeyUpdateAfter = uint64(d.between(2, 300))
		}
		if d.once(4) {
			c.KeepAlive = d.duration(100*time.Millisecond, 30*time.Second)
		}
		c.Versions = pick(d, nil, nil, []wire.Version{wire.Version2, wire.Version1}, []wire.Version{wire.Version1, wire.Version2})
		c.TLS.SessionTicketsDisabled = d.once(8)
	}
}

// events draws what happens while the transfers run, and how the hosts behave.
func (d dice) events(w *World) {
	for _, h := range w.hosts {
		h.Segments = 1 + d.among(20)
		if d.once(3) {
			h.Batch = d.duration(10*time.Microsecond, 10*time.Millisecond)
		}
		if d.once(3) {
			h.Slack = d.duration(10*time.Microsecond, 10*time.Millisecond)
		}
	}
	if w.NAT != nil {
		every := d.duration(200*time.Millisecond, 30*time.Second)
		n, last := 0, 1+d.among(6)
		w.Every(every, func() bool {
			// "The design of QUIC relies on endpoints retaining a stable address
			// for the duration of the handshake."
			// https://www.rfc-editor.org/rfc/rfc9000#section-9
			for _, a := range w.Client.Apps {
				if !a.Ended && a.Confirmed == 0 {
					return true
				}
			}
			if n++; d.once(2) {
				w.NAT.Rebind()
			} else {
				w.NAT.RebindAddr(netip.AddrFrom4([4]byte{203, 0, 113, byte(10 + n)}))
			}
			return n < last
		})
	}
	for range pick(d, 0, 0, 0, 1, 2) {
		// An outage of one direction or both.
		links := pick(d, []*Link{w.Up}, []*Link{w.Down}, []*Link{w.Up, w.Down})
		at, long := d.duration(time.Millisecond, 10*time.Second), d.duration(time.Millisecond, 10*time.Second)
		w.At(at, func() {
			for _, l := range links {
				l.Down = true
			}
		})
		w.At(at+long, func() {
			for _, l := range links {
				l.Down = false
			}
		})
	}
	if d.once(4) {
		w.At(d.duration(10*time.Millisecond, 10*time.Second), func() {
			l := pick(d, w.Up, w.Down)
			l.MTU, l.TooBig = int(d.between(1280, 1500)), d.once(2)
		})
	}
	if d.once(4) {
		w.At(d.duration(10*time.Millisecond, 10*time.Second), func() { w.Up.Rate, w.Down.Rate = d.between(0.4e6, 50e6), d.between(0.4e6, 50e6) })
	}
	if d.once(4) {
		w.At(d.duration(10*time.Millisecond, 10*time.Second), func() { w.Up.Delay, w.Down.Delay = d.duration(1e5, 3e8), d.duration(1e5, 3e8) })
	}
	if d.once(20) {
		w.At(d.duration(10*time.Millisecond, 10*time.Second), func() { pick(d, w.Client, w.Server).Jumped += d.duration(time.Second, 20*time.Minute) })
	}
	if !w.Scenario.IPv6 && d.once(4) {
		d.migrations(w)
	}
	if d.once(6) {
		w.Every(d.duration(50*time.Millisecond, 5*time.Second), func() bool {
			busy := false
			for _, h := range w.hosts {
				for _, a := range h.Apps {
					if busy = busy || !a.Ended && !a.Done(); !a.Ended && a.Confirmed != 0 && d.once(2) {
						a.Conn.UpdateKeys(h.Now())
					}
				}
			}
			return busy
		})
	}
}

// migrations gives the client a second interface and moves it to and fro.
func (d dice) migrations(w *World) {
	up, down := w.NewLink("up2", d.conditions()), w.NewLink("down2", d.conditions())
	w.Client.AddInterface(ClientAddr2, up, down)
	n := 0
	w.Every(d.duration(100*time.Millisecond, 10*time.Second), func() bool {
		n++
		for i, a := range w.Client.Apps {
			if a.Ended || a.Confirmed == 0 {
				continue
			}
			to := netip.AddrPortFrom(ClientAddr2, uint16(60000+i))
			if a.Conn.LocalAddr().Addr() == ClientAddr2 {
				to = netip.AddrPortFrom(ClientAddr, uint16(51000+i))
			}
			_ = a.Conn.Migrate(w.Client.Now(), to, 0) // refused without a spare connection ID
		}
		if n == 6 {
			up.repair()
			down.repair()
		}
		return n < 6
	})
}

func (d dice) requests() []Request {
	var rs []Request
	n := int(d.between(1, 20))
	for range n {
		r := Request{Up: d.size(n), Down: d.size(n), Full: d.once(3), Uni: d.once(5)}
		if d.once(10) && r.Down > 2000 {
			r.CancelAt = 1 + d.Uint64N(r.Down)
		}
		r.Urgency = uint8(d.among(9))
		rs = append(rs, r)
	}
	return rs
}

// size draws the length of a transfer, n of which make a scenario.
func (d dice) size(n int) uint64 {
	if d.once(8) {
		return 0
	}
	return uint64(d.between(1, 200_000/float64(n)))
}

// slow makes some applications slow readers.
func (d dice) slow(a *App) {
	if d.once(8) {
		a.ReadChunk, a.ReadEvery = int(d.between(100, 20_000)), d.duration(100*time.Microsecond, 20*time.Millisecond)
	}
	if d.once(4) {
		a.MaxParallel = 1 + d.among(5)
	}
}

// tokenList keeps address validation tokens, the newest first.
type tokenList struct{ tokens [][]byte }

func (l *tokenList) Put(_ string, t []byte) { l.tokens = append(l.tokens, t) }

func (l *tokenList) Take(string) []byte {
	n := len(l.tokens)
	if n == 0 {
		return nil
	}
	t := l.tokens[n-1]
	l.tokens = l.tokens[:n-1]
	return t
}

var _ core.TokenStore = (*tokenList)(nil)
