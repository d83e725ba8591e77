package protoops

import (
	"testing"
	"time"
	"unsafe"
)

// trusted is a pluglet of a host that guards its programs itself.
type trusted func(*Call) error

func (f trusted) Run(c *Call) error { return f(c) }
func (trusted) ReadsOnly() bool     { return true }

func trust(a Anchor, k Key, f func(*Call) error) Binding {
	return Binding{Key: k, Anchor: a, Pluglet: trusted(f)}
}

func TestTrustedPointers(t *testing.T) {
	s := newScript(t)
	info, _ := testRegistry.Lookup(keyUpdateRTT)
	field := func(base unsafe.Pointer, p Param) unsafe.Pointer { return unsafe.Add(base, p.Offset) }
	seen := 0
	look := func(c *Call) error {
		seen++
		want(t, "argument", *(*time.Duration)(field(c.ArgsPointer(), info.Args[0])), sample.Latest)
		smoothed := *(*time.Duration)(field(c.ResultsPointer(), info.Results[0]))
		if c.Anchor() == Pre {
			want(t, "no result under Pre", smoothed, 0)
		} else {
			want(t, "result under Post", smoothed, sample.Latest-sample.AckDelay+1)
		}
		return nil
	}
	s.attach("p", trust(Pre, keyUpdateRTT, look), trust(Post, keyUpdateRTT, look))
	for range 3 {
		s.updateRTT(sample)
	}
	want(t, "calls", seen, 6)
	want(t, "size of the last result", info.Results[2].Size, 1)

	s.attach("q", declare(Plain("helper"), func(c *Call) error {
		want(t, "a declared operation has no struct", c.ArgsPointer() == nil && c.ResultsPointer() == nil, true)
		return nil
	}))
	if _, err := CallExtern(&s.table, s.testConn, Plain("helper"), nil); err != nil {
		t.Error(err)
	}
}

func TestTrustedReplaces(t *testing.T) {
	s := newScript(t)
	s.attach("p", trust(Replace, keyUpdateRTT, func(c *Call) error {
		*(*rttEstimate)(c.ResultsPointer()) = rttEstimate{Smoothed: 7, Var: 1}
		return nil
	}))
	want(t, "answer through the pointer", s.updateRTT(sample), rttEstimate{Smoothed: 7, Var: 1})
	s.attach("panics", trust(Replace, keyIsNeeded, func(*Call) error { panic("boom") }))
	want(t, "a body is guarded whoever vouches for it", s.isNeeded(), true)
	want(t, "fault", len(s.faults), 1)
}

func TestTrustedFault(t *testing.T) {
	s := newScript(t)
	n := 0
	a := s.attach("p",
		trust(Post, keyUpdateRTT, func(*Call) error {
			if n++; n == 5 {
				return errBoom
			}
			return nil
		}),
		trust(Post, keyUpdateRTT, quiet), trust(Pre, keyIsNeeded, quiet))
	b := s.attach("other", trust(Post, keyUpdateRTT, s.noting("other")))
	for range 9 {
		s.updateRTT(sample)
		s.isNeeded()
	}
	s.wantFault("the fifth call", "p", Post, keyUpdateRTT, errBoom)
	want(t, "detached", a.Attached(), false)
	st := a.Stats()
	want(t, "calls of the one that failed", st[0].Calls, 5)
	want(t, "calls of the one behind it", st[1].Calls, 4)
	want(t, "calls elsewhere", st[2].Calls, 4)
	want(t, "the other plugin goes on", b.Stats()[0].Calls, 9)

	s.attach("wrong", trust(Pre, keyUpdateRTT, func(c *Call) error { c.Arg(99); return nil }))
	s.updateRTT(sample)
	s.wantFault("a wrong index", "wrong", Pre, keyUpdateRTT, ErrIndex)
}

// Operations that a trusted observer runs may only observe, and running its own
// operation again fails it.
func TestTrustedNested(t *testing.T) {
	s := newScript(t)
	s.attach("p",
		declare(Plain("helper"), func(c *Call) error {
			want(t, "may only observe", c.ReadOnly(), true)
			wantErr(t, "write", c.Write8(&s.state.Level, 1), ErrReadOnly)
			return nil
		}),
		trust(Pre, keyUpdateRTT, func(c *Call) error {
			_, err := RunDeclared(&s.table, s.testConn, Plain("helper"), nil)
			return err
		}))
	s.updateRTT(sample)
	want(t, "no fault", len(s.faults), 0)
	s.attach("loop", trust(Post, keyUpdateRTT, func(*Call) error { s.updateRTT(sample); return nil }))
	s.updateRTT(sample)
	s.wantFault("recursion", "loop", Post, keyUpdateRTT, ErrLoop)
}

func TestTrustedStats(t *testing.T) {
	s := newScript(t)
	s.log = nil
	now := int64(0)
	s.table.Clock = func() int64 { now += 10; return now }
	a := s.attach("p", trust(Post, keyUpdateRTT, quiet))
	const calls = 3*sampleEvery + 5
	for i := range calls {
		s.updateRTT(sample)
		want(t, "calls", a.Stats()[0].Calls, uint64(i+1))
	}
	want(t, "timed", a.Stats()[0].SampledCalls, 4)
	want(t, "time", a.Stats()[0].SampledTime, 40)
	s.detach(a)
	want(t, "calls, detached", a.Stats()[0].Calls, calls)
}

// A Call kept too long makes nobody else fail.
func TestKeptCall(t *testing.T) {
	s := newScript(t)
	var kept *Call
	s.attach("keeper", at(Pre, keyUpdateRTT, func(c *Call) error { kept = c; return nil }))
	s.attach("honest", trust(Post, keyUpdateRTT, quiet))
	s.updateRTT(sample)
	kept.Arg(99)
	s.updateRTT(sample)
	want(t, "faults", len(s.faults), 0)
}

func TestObserversDoNotAllocate(t *testing.T) {
	s := newScript(t)
	s.log = nil
	s.attach("p", trust(Pre, keyUpdateRTT, quiet), trust(Post, keyUpdateRTT, quiet), at(Post, keyUpdateRTT, func(c *Call) error {
		if c.Arg(0) == 0 || ResultOf[rttEstimate](c).Smoothed == 0 {
			return errBoom
		}
		return nil
	}), trust(Pre, keyOpened, quiet))
	if n := testing.AllocsPerRun(1000, func() {
		s.updateRTT(sample)
		s.streamOpened(1)
	}); n != 0 {
		t.Errorf("%v allocations per call", n)
	}
	want(t, "faults", len(s.faults), 0)
}
