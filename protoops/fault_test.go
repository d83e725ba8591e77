package protoops

import (
	"errors"
	"strings"
	"testing"
)

// Whatever way a pluglet fails and wherever it is attached, its writes are
// undone, native answers, its plugin is detached and others stay.
func TestFault(t *testing.T) {
	fails := []struct {
		name string
		want error
		run  func(s *script, c *Call) error
	}{
		{"error", errBoom, func(*script, *Call) error { return errBoom }},
		{"panic with an error", errBoom, func(*script, *Call) error { panic(errBoom) }},
		{"recursion", ErrLoop, func(s *script, c *Call) error { s.updateRTT(sample); return nil }},
		{"recursion through another operation", ErrLoop, func(s *script, c *Call) error {
			s.onPost = func() { s.updateRTT(sample) }
			s.pickPath(pickArgs{})
			return nil
		}},
		{"wrong index", ErrIndex, func(s *script, c *Call) error { c.Arg(99); return nil }},
	}
	for _, f := range fails {
		for _, anchor := range []Anchor{Replace, Pre, Post} {
			t.Run(f.name+" at "+anchor.String(), func(t *testing.T) {
				s := newScript(t)
				k := keyUpdateRTT
				s.attach("other", at(Pre, k, s.noting("pre other")), at(Post, k, s.noting("post other")))
				a := s.attach("bad",
					at(anchor, k, func(c *Call) error {
						s.note("bad")
						if anchor == Replace {
							wantErr(t, "SetResult", c.SetResult(0, 666), nil)
							wantErr(t, "Write64", c.Write64(&s.state.Window, 666), nil)
							wantErr(t, "Write8", c.Write8(&s.state.Level, 6), nil)
						}
						return f.run(s, c)
					}),
					at(Post, keyPickPath, func(c *Call) error {
						if s.onPost != nil {
							s.onPost()
						}
						return nil
					}),
					at(Post, k, s.noting("post bad")))
				if got := s.updateRTT(sample); got.Smoothed != sample.Latest-sample.AckDelay+1 {
					t.Errorf("answer %v is not native's", got)
				}
				want(t, "window", s.state.Window, 1000)
				want(t, "level", s.state.Level, 0)
				s.wantFaultOf(f.want, "bad")
				want(t, "attached", a.Attached(), false)
				if a.Fault() == nil {
					t.Error("the attachment does not know its fault")
				}
				log := strings.Join(s.log, ", ")
				for _, w := range []string{"pre other", "native update_rtt", "post other", "fault bad"} {
					if !strings.Contains(log, w) {
						t.Errorf("log %q lacks %q", log, w)
					}
				}
				if anchor != Post && strings.Contains(log, "post bad") {
					t.Errorf("log %q: another pluglet of the failed plugin ran", log)
				}
				s.log = s.log[:0]
				s.updateRTT(sample)
				s.wantLog("next call", "pre other", "native update_rtt", "post other")
			})
		}
	}
}

func TestFaultText(t *testing.T) {
	s := newScript(t)
	s.attachPlugin(&Plugin{Name: "org.pquic.bad", Owned: true, Bindings: []Binding{at(Pre, keyParseNew, func(*Call) error { panic("oops") })}})
	s.parseFrame(0x42, nil)
	e := s.faults[0]
	want(t, "owned", e.Owned, true)
	want(t, "text", e.Error(), `protoops: plugin "org.pquic.bad" at pre/parse_frame/0x42: panic: oops`)
	var p *PanicError
	if !errors.As(e, &p) || !strings.Contains(string(p.Stack), "fault_test.go") {
		t.Errorf("%v is not a PanicError with the pluglet's stack", e.Err)
	}
}

func TestBadReturnValue(t *testing.T) {
	s := newScript(t)
	s.attach("bad", at(Replace, keyUpdateRTT, func(c *Call) error {
		ResultOf[rttEstimate](c).Smoothed = -1
		return c.Write64(&s.state.Window, 5)
	}))
	want(t, "native's answer", s.updateRTT(sample).Var, 3)
	s.wantFault("a result below its range", "bad", Replace, keyUpdateRTT, ErrRange)
	want(t, "window", s.state.Window, 1000)
}

func TestFaultAfterNative(t *testing.T) {
	s := newScript(t)
	s.attach("bad", at(Replace, keyUpdateRTT, func(c *Call) error {
		c.Native()
		wantErr(t, "SetResult", c.SetResult(1, 99), nil)
		return errBoom
	}))
	want(t, "native's answer", s.updateRTT(sample).Var, 3)
	s.wantLog("native does not run twice", "native update_rtt", "fault bad")
}

// A fault inside a nested operation is settled only when the outermost chain
// has unwound; until then no pluglet of the plugin starts.
func TestFaultUnwinds(t *testing.T) {
	s := newScript(t)
	a := s.attach("bad",
		at(Replace, keyIsNeeded, boom),
		at(Post, keyUpdateRTT, s.noting("post bad")),
		declare(Plain("help"), quiet))
	s.attach("good", at(Pre, keyUpdateRTT, func(*Call) error {
		want(t, "native answers the nested call", s.isNeeded(), true)
		want(t, "still attached", a.Attached(), true)
		want(t, "not reported", len(s.faults), 0)
		s.isNeeded()
		_, err := RunDeclared(&s.table, s.testConn, Plain("help"), nil)
		wantErr(t, "its declared operation", err, ErrFailed)
		return nil
	}))
	s.updateRTT(sample)
	s.wantLog("unwound", "native is_needed", "native is_needed", "native update_rtt", "fault bad")
	s.wantFault("once", "bad", Replace, keyIsNeeded, errBoom)
	want(t, "calls of the failed pluglet", a.Stats()[0].Calls, 1)
}

func TestTwoFaults(t *testing.T) {
	s := newScript(t)
	s.attach("a", at(Pre, keyUpdateRTT, boom))
	s.attach("b", at(Post, keyUpdateRTT, boom))
	s.updateRTT(sample)
	s.wantLog("both reported after the chain", "native update_rtt", "fault a", "fault b")
	s.wantClean("both detached")
}

// The subject may answer a fault by running operations, attaching and detaching.
func TestFaultHandlerActs(t *testing.T) {
	s := newScript(t)
	other := s.attach("other", at(Post, keyUpdateRTT, s.noting("post other")))
	s.attach("bad", at(Replace, keyUpdateRTT, boom))
	s.onFault = func(*PlugletError) {
		s.updateRTT(sample)
		s.detach(other)
		s.attach("next", at(Replace, keyUpdateRTT, func(c *Call) error { return c.SetResult(0, 5) }))
	}
	s.updateRTT(sample)
	s.wantLog("handler ran the operation", "native update_rtt", "post other", "fault bad", "native update_rtt", "post other")
	want(t, "the handler's plugin answers", s.updateRTT(sample).Smoothed, 5)
}

// The engine recursing by itself is answered by native and is nobody's fault.
func TestEngineRecursion(t *testing.T) {
	s := newScript(t)
	s.attach("p", at(Pre, keyPickPath, quiet), at(Pre, keyUpdateRTT, func(*Call) error { s.pickPath(pickArgs{}); return nil }))
	s.onPick = func() { s.onPick = nil; s.pickPath(pickArgs{}) }
	s.updateRTT(sample)
	want(t, "faults", len(s.faults), 0)
}

// A native body that panics under a nested chain unwinds to the pluglet that
// ran it; the chains in between are usable again.
func TestPanicThroughNested(t *testing.T) {
	s := newScript(t)
	s.attach("observer", at(Pre, keyPickPath, s.noting("pre pick_path")))
	s.attach("bad", at(Replace, keyUpdateRTT, func(c *Call) error { s.pickPath(pickArgs{}); return nil }))
	s.onPick = func() { s.onPick = nil; panic(errBoom) }
	s.updateRTT(sample)
	s.wantFault("panic below it", "bad", Replace, keyUpdateRTT, errBoom)
	want(t, "running", s.table.Running(), false)
	s.log = s.log[:0]
	s.pickPath(pickArgs{})
	s.wantLog("the nested chain runs again", "pre pick_path")
}

func TestJournalNested(t *testing.T) {
	s := newScript(t)
	s.state.Level = 1
	s.attach("inner", at(Replace, keyIsNeeded, func(c *Call) error {
		wantErr(t, "inner", c.Write64(&s.state.Window, 2000), nil)
		wantErr(t, "inner", c.Write8(&s.state.Level, 3), nil)
		return c.SetResult(0, 1)
	}))
	s.attach("outer",
		declare(Plain("help"), func(c *Call) error { return c.Write16(&s.state.Port, 7) }),
		at(Replace, keyUpdateRTT, func(c *Call) error {
			wantErr(t, "outer", c.Write8(&s.state.Level, 2), nil)
			s.isNeeded()
			_, err := RunDeclared(&s.table, s.testConn, Plain("help"), nil)
			wantErr(t, "declared", err, nil)
			wantErr(t, "outer", c.Write64(&s.state.Window, 3000), nil)
			return errBoom
		}))
	s.updateRTT(sample)
	want(t, "what inner wrote before outer did stands again", s.state.Window, 2000)
	want(t, "what inner wrote over outer's value stands", s.state.Level, 3)
	want(t, "what outer wrote through its helper is undone", s.state.Port, 0)
	want(t, "journal", len(s.table.journal), 0)
}

func TestJournalNestedBothFail(t *testing.T) {
	s := newScript(t)
	s.attach("a",
		at(Replace, keyPickPath, func(c *Call) error {
			wantErr(t, "a", c.Write64(&s.state.Window, 2), nil)
			s.updateRTT(sample)
			want(t, "b's fault leaves a's write", s.state.Window, 2)
			return errBoom
		}))
	s.attach("b",
		at(Replace, keyUpdateRTT, func(c *Call) error {
			wantErr(t, "b", c.Write64(&s.state.Window, 3), nil)
			s.isNeeded()
			return errBoom
		}))
	s.attach("c", at(Replace, keyIsNeeded, func(c *Call) error {
		wantErr(t, "c", c.Write64(&s.state.Window, 4), nil)
		return errBoom
	}))
	s.pickPath(pickArgs{})
	want(t, "all undone", s.state.Window, 1000)
	s.wantLog("faults, innermost first", "native is_needed", "native update_rtt", "fault c", "fault b", "fault a")
	s.wantClean("all detached")
}

func TestJournalWidths(t *testing.T) {
	s := newScript(t)
	var u32 uint32 = 9
	before := s.state
	fail := false
	s.attach("p", at(Replace, keyIsNeeded, func(c *Call) error {
		for range 3 {
			wantErr(t, "8", c.Write8(&s.state.Level, 0xff), nil)
			wantErr(t, "16", c.Write16(&s.state.Port, 0xffff), nil)
			wantErr(t, "32", c.Write32(&u32, 0xffffffff), nil)
			wantErr(t, "64", c.Write64(&s.state.Window, 1<<63), nil)
		}
		if fail {
			return errBoom
		}
		return c.SetResult(0, 1)
	}))
	s.isNeeded()
	want(t, "32 bits written", u32, 0xffffffff)
	want(t, "64 bits written", s.state.Window, 1<<63)
	want(t, "journal after success", len(s.table.journal), 0)
	s.state, u32, fail = before, 9, true
	s.isNeeded()
	want(t, "32 bits undone", u32, 9)
	want(t, "the rest undone", s.state, before)
}

func TestJournalFull(t *testing.T) {
	s := newScript(t)
	cells := make([]uint64, maxJournal+1)
	s.attach("p", at(Replace, keyIsNeeded, func(c *Call) error {
		for i := range cells {
			if err := c.Write64(&cells[i], 1); err != nil {
				want(t, "first refused write", i, maxJournal)
				return err
			}
		}
		return nil
	}))
	s.isNeeded()
	s.wantFault("too many writes", "p", Replace, keyIsNeeded, ErrJournalFull)
	for i, v := range cells {
		if v != 0 {
			t.Fatalf("cell %d is not undone", i)
		}
	}
	if cap(s.table.journal) > keepJournal {
		t.Errorf("the journal keeps room for %d writes", cap(s.table.journal))
	}
}

func TestCallOver(t *testing.T) {
	s := newScript(t)
	var kept *Call
	s.attach("p", at(Replace, keyIsNeeded, func(c *Call) error { kept = c; return c.SetResult(0, 1) }))
	s.isNeeded()
	wantErr(t, "write after the pluglet returned", kept.Write64(&s.state.Window, 1), ErrNotRunning)
	kept.Native()
	s.wantLog("Native after the pluglet returned")
	want(t, "window", s.state.Window, 1000)
}
