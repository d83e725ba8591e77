package coretest

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/pquic-go/pquic/core/mono"
)

// Epoch is when every simulation starts.
var Epoch = mono.FromTime(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))

// DefaultSeed is the seed of simulations that choose none: PQUIC_SEED, or 1.
func DefaultSeed() uint64 { return envUint("PQUIC_SEED", 1) }

func envUint(name string, d uint64) uint64 {
	if s := os.Getenv(name); s != "" {
		v, err := strconv.ParseUint(s, 0, 64)
		if err != nil {
			panic(fmt.Sprintf("%s=%q is not a number", name, s))
		}
		return v
	}
	return d
}

// A Sim is a network of hosts on virtual time. It belongs to one goroutine.
type Sim struct {
	TB   testing.TB
	Seed uint64
	Rand *rand.Rand // of the network; hosts have their own

	now    mono.Time
	events eventHeap
	order  uint64
	hosts  []*Host
	links  []*Link
	owner  map[netip.Addr]*Interface // interfaces by own and translated address
	trace  bool
	prints uint64 // running hash of everything that was sent, see Fingerprint
	still  int    // events in a row without the clock moving
	steps  uint64
}

// New returns an empty simulation. seed 0 means DefaultSeed.
func New(tb testing.TB, seed uint64) *Sim {
	if seed == 0 {
		seed = DefaultSeed()
	}
	s := &Sim{TB: tb, Seed: seed, now: Epoch, owner: make(map[netip.Addr]*Interface)}
	s.Rand = s.NewRand(0)
	s.trace = os.Getenv("PQUIC_TRACE") != ""
	return s
}

// NewRand returns a random sequence of the simulation's seed. Different streams
// are independent, so one part's use of chance does not disturb another's.
func (s *Sim) NewRand(stream uint64) *rand.Rand {
	return rand.New(rand.NewPCG(s.Seed*0x9e3779b97f4a7c15+1, stream))
}

// Now returns the virtual time.
func (s *Sim) Now() mono.Time { return s.now }

// Elapsed returns the virtual time since the start.
func (s *Sim) Elapsed() time.Duration { return s.now.Sub(Epoch) }

// At runs f when d has passed since the start, or at once if it has.
func (s *Sim) At(d time.Duration, f func()) { s.at(Epoch.Add(d), f) }

// After runs f once d has passed from now.
func (s *Sim) After(d time.Duration, f func()) { s.at(s.now.Add(d), f) }

// Every runs f each time d has passed, for as long as it returns true.
func (s *Sim) Every(d time.Duration, f func() bool) {
	s.After(d, func() {
		if f() {
			s.Every(d, f)
		}
	})
}

func (s *Sim) at(t mono.Time, f func()) {
	s.order++
	s.events.push(event{at: max(t, s.now), order: s.order, f: f})
}

// Jump moves the clock forward with nothing happening meanwhile, as when a
// machine sleeps: all timers are overdue afterwards, datagrams on their way
// arrive late.
func (s *Sim) Jump(d time.Duration) { s.now = s.now.Add(d) }

// maxStill bounds the steps at one instant: more means that something keeps
// asking to be called again now.
const maxStill = 20_000

// Step handles the next instant at which anything happens, and reports whether
// there was one.
func (s *Sim) Step() bool {
	next := s.events.first()
	for _, h := range s.hosts {
		next = min(next, h.due())
	}
	if next == mono.Never {
		return false
	}
	if next > s.now {
		s.now, s.still = next, 0
	} else if s.still++; s.still > maxStill {
		s.Fatalf("time stands still: %d steps at %v", s.still, s.Elapsed())
	}
	s.steps++
	for s.events.first() <= s.now {
		s.events.pop().f()
	}
	for _, h := range s.hosts {
		h.run()
	}
	return true
}

// Run steps until cond holds, limit of virtual time has passed or nothing is
// left to happen, and reports whether cond holds.
func (s *Sim) Run(limit time.Duration, cond func() bool) bool {
	end := s.now.Add(limit)
	for !cond() {
		next := s.events.first()
		for _, h := range s.hosts {
			next = min(next, h.due())
		}
		if next > end {
			s.now = end
			return cond()
		}
		if !s.Step() {
			return cond()
		}
	}
	return true
}

// Sleep lets d of virtual time pass.
func (s *Sim) Sleep(d time.Duration) {
	end := s.now.Add(d)
	s.Run(d, func() bool { return false })
	s.now = max(s.now, end)
}

// Until runs until cond holds and fails the test if limit of virtual time
// passes before.
func (s *Sim) Until(what string, limit time.Duration, cond func() bool) {
	s.TB.Helper()
	if !s.Run(limit, cond) {
		s.Fatalf("%s: did not happen within %v of virtual time", what, limit)
	}
}

// Fatalf fails the test with the seed and the command that repeats the run.
func (s *Sim) Fatalf(format string, a ...any) {
	s.TB.Helper()
	s.Dump()
	s.TB.Fatalf("%s\n\tat %v of virtual time, seed %d; repeat with:\n\tPQUIC_SEED=%d PQUIC_SCENARIOS=1 go test -run '^%s$'",
		fmt.Sprintf(format, a...), s.Elapsed(), s.Seed, s.Seed, testName(s.TB))
}

func testName(tb testing.TB) string {
	name := tb.Name()
	out := make([]byte, 0, len(name)+4)
	for i := range len(name) {
		if name[i] == '/' {
			out = append(out, "$/^"...)
			continue
		}
		out = append(out, name[i])
	}
	return string(out)
}

// Dump writes the state of all hosts and links to the test's log.
func (s *Sim) Dump() {
	s.TB.Helper()
	for _, l := range s.links {
		s.TB.Logf("link %s: %s", l.Name, nonzero(l.Stats))
	}
	for _, h := range s.hosts {
		h.dump()
	}
}

// Fingerprint is a hash of every datagram's time, addresses, size and fate:
// equal for runs that went the same way.
func (s *Sim) Fingerprint() uint64 { return s.prints }

func (s *Sim) note(what byte, p *Packet) {
	mix := func(v uint64) {
		z := (s.prints ^ v) * 0x9e3779b97f4a7c15
		s.prints = z ^ z>>29
	}
	mix(uint64(s.now))
	mix(uint64(len(p.Payload))<<16 | uint64(p.ECN)<<8 | uint64(what))
	mix(uint64(p.From.Port())<<16 | uint64(p.To.Port()))
	if s.trace {
		s.TB.Logf("%12v %c %v > %v %4d ecn=%d %02x", s.Elapsed(), what, p.From, p.To, len(p.Payload), p.ECN, p.Payload[:min(len(p.Payload), 1)])
	}
}

// An event is something that happens at a time.
type event struct {
	at    mono.Time
	order uint64
	f     func()
}

// eventHeap is a binary heap by time, then by order of creation.
type eventHeap []event

func (h eventHeap) first() mono.Time {
	if len(h) == 0 {
		return mono.Never
	}
	return h[0].at
}

func (h eventHeap) less(i, j int) bool {
	return h[i].at < h[j].at || h[i].at == h[j].at && h[i].order < h[j].order
}

func (h *eventHeap) push(e event) {
	*h = append(*h, e)
	a := *h
	for i := len(a) - 1; i > 0; {
		p := (i - 1) / 2
		if !a.less(i, p) {
			return
		}
		a[i], a[p] = a[p], a[i]
		i = p
	}
}

func (h *eventHeap) pop() event {
	a := *h
	e := a[0]
	last := len(a) - 1
	a[0] = a[last]
	a[last] = event{}
	a = a[:last]
	*h = a
	for i := 0; ; {
		c := 2*i + 1
		if c >= len(a) {
			return e
		}
		if c+1 < len(a) && a.less(c+1, c) {
			c++
		}
		if !a.less(c, i) {
			return e
		}
		a[i], a[c] = a[c], a[i]
		i = c
	}
}
