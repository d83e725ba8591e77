package protoops

import (
	"errors"
	"testing"
	"time"
)

// Two plugins that want the same thing: the error names the operation and both.
func TestCollisions(t *testing.T) {
	helper := Plain("org.pquic.helper")
	for _, tc := range []struct {
		name        string
		have, wants Binding
		err         error
		mentions    string
	}{
		{"replace", at(Replace, keyUpdateRTT, quiet), at(Replace, keyUpdateRTT, quiet), ErrReplaced, "replace/update_rtt"},
		{"replace with a parameter", at(Replace, keyParseNew, quiet), at(Replace, keyParseNew, quiet), ErrReplaced, "replace/parse_frame/0x42"},
		{"declare", declare(helper, quiet), declare(helper, quiet), ErrDeclared, "replace/org.pquic.helper"},
		{"extern", at(Extern, helper, quiet), at(Extern, helper, quiet), ErrDeclared, "extern/org.pquic.helper"},
		{"declare and extern", at(Extern, helper, quiet), declare(helper, quiet), ErrDeclared, "replace/org.pquic.helper"},
		{"replace a declared one", declare(helper, quiet), at(Replace, helper, quiet), ErrReplaced, "replace/org.pquic.helper"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := newScript(t)
			first := s.attach("org.first", tc.have)
			second := &Plugin{Name: "org.second", Bindings: []Binding{at(Pre, keyUpdateRTT, s.noting("second")), tc.wants}}
			s.refused(tc.err, second, `"org.first"`, `"org.second"`, tc.mentions)
			s.updateRTT(sample)
			s.wantLogWithout("second")
			s.detach(first)
			if tc.have.Declares && !tc.wants.Declares && tc.wants.Anchor == Replace {
				s.refused(ErrUnknownOp, second)
				return
			}
			s.attachPlugin(second)
		})
	}
}

func (s *script) wantLogWithout(entry string) {
	s.t.Helper()
	for _, l := range s.log {
		if l == entry {
			s.t.Errorf("log %v holds %q", s.log, entry)
		}
	}
	s.log = s.log[:0]
}

// A plugin with one binding that is refused leaves nothing behind, wherever in
// its list that binding stands.
func TestAttachTransactional(t *testing.T) {
	helper := Plain("helper")
	for _, tc := range []struct {
		name string
		bad  Binding
		err  error
	}{
		{"unknown operation", at(Pre, Plain("no_such_op"), quiet), ErrUnknownOp},
		{"unknown parameter", at(Pre, Key{"update_rtt", 4}, quiet), ErrUnknownOp},
		{"family without parameter", at(Pre, Plain("parse_frame"), quiet), ErrUnknownOp},
		{"replaced twice by itself", at(Replace, keyUpdateRTT, quiet), ErrReplaced},
		{"declared twice by itself", declare(helper, quiet), ErrDeclared},
		{"replaces what it declares", at(Replace, helper, quiet), ErrReplaced},
		{"declares an engine's operation", declare(keyIsNeeded, quiet), ErrDeclared},
		{"declares into an engine's family", declare(Key{"parse_frame", 7}, quiet), ErrDeclared},
		{"extern of an engine's operation", at(Extern, keyIsNeeded, quiet), ErrDeclared},
		{"no pluglet", Binding{Key: keyIsNeeded}, ErrNoPluglet},
		{"no name", at(Pre, Plain(""), quiet), ErrName},
		{"bad name", declare(Plain("Bad Name"), quiet), ErrName},
		{"bad anchor", at(9, keyIsNeeded, quiet), ErrAnchor},
		{"declares an observer", Binding{Key: Plain("x"), Anchor: Post, Pluglet: PlugletFunc(quiet), Declares: true}, ErrAnchor},
	} {
		good := []Binding{at(Pre, keyPickPath, quiet), at(Replace, keyUpdateRTT, quiet), at(Pre, keyParseNew, quiet),
			declare(helper, quiet), at(Post, helper, quiet)}
		t.Run(tc.name, func(t *testing.T) {
			for i := range len(good) + 1 {
				bindings := append(append(append([]Binding(nil), good[:i]...), tc.bad), good[i:]...)
				s := newScript(t)
				s.refused(tc.err, &Plugin{Name: "p", Bindings: bindings}, `"p"`)
				s.wantClean("after the refusal")
			}
		})
	}
}

func TestAttachErrorFields(t *testing.T) {
	s := newScript(t)
	_, err := testRegistry.Attach(s.testConn, &Plugin{Name: "p", Bindings: []Binding{at(Post, Plain("x"), quiet)}})
	var e *AttachError
	if !errors.As(err, &e) {
		t.Fatalf("%T is not an *AttachError", err)
	}
	want(t, "error", *e, AttachError{Plugin: "p", Key: Plain("x"), Anchor: Post, Err: ErrUnknownOp})
	want(t, "text", e.Error(), `protoops: plugin "p" at post/x: no such operation`)
}

func TestAttachTwice(t *testing.T) {
	s := newScript(t)
	a := s.attach("p", at(Pre, keyUpdateRTT, quiet))
	s.refused(ErrAttached, &Plugin{Name: "p"}, `"p"`)
	s.refused(ErrName, &Plugin{})
	s.detach(a)
	s.detach(a)
	s.detach(nil)
	b := s.attach("p")
	testRegistry.Detach(newScript(t).testConn, b)
	want(t, "detached from another connection", b.Attached(), true)
	s.detach(b)
	s.wantClean("all detached")
}

func TestAttachments(t *testing.T) {
	s := newScript(t)
	a, b := s.attach("a"), s.attach("b")
	got := s.table.Attachments()
	want(t, "how many", len(got), 2)
	want(t, "first", got[0], a)
	want(t, "second", got[1].Plugin().Name, "b")
	s.detach(a)
	want(t, "after a detach", s.table.Attachments()[0], b)
}

func TestAttachWhileRunning(t *testing.T) {
	s := newScript(t)
	s.attach("p", at(Pre, keyUpdateRTT, func(*Call) error {
		s.refused(ErrRunning, &Plugin{Name: "q", Bindings: []Binding{at(Pre, keyIsNeeded, quiet)}}, `"q"`)
		return nil
	}))
	s.updateRTT(sample)
	want(t, "faults", len(s.faults), 0)
}

func TestDetachWhileRunning(t *testing.T) {
	s := newScript(t)
	var self *Attachment
	detached := 0
	self = s.attachPlugin(&Plugin{Name: "p",
		Bindings: []Binding{
			at(Pre, keyIsNeeded, func(*Call) error { s.detach(self); s.detach(self); s.note("pre"); return nil }),
			at(Post, keyIsNeeded, s.noting("post")),
			at(Post, keyUpdateRTT, s.noting("post update_rtt")),
		},
		Detached: func(a *Attachment) {
			detached++
			want(t, "who", a, self)
			want(t, "attached", a.Attached(), false)
			want(t, "running", s.table.Running(), false)
		}})
	outer := s.attach("outer", at(Pre, keyUpdateRTT, func(*Call) error {
		s.isNeeded()
		want(t, "deferred to the end of the outermost chain", self.Attached(), true)
		return nil
	}))
	s.updateRTT(sample)
	s.wantLog("all of it ran to the end", "pre", "native is_needed", "post", "native update_rtt", "post update_rtt")
	want(t, "attached", self.Attached(), false)
	want(t, "told once", detached, 1)
	s.detach(outer)
	s.wantClean("all detached")
}

func TestDetachedAfterFault(t *testing.T) {
	s := newScript(t)
	s.attachPlugin(&Plugin{Name: "p", Bindings: []Binding{at(Pre, keyIsNeeded, boom)},
		Detached: func(a *Attachment) { s.note("detached"); wantErr(t, "reason", a.Fault(), errBoom) }})
	s.isNeeded()
	s.wantLog("order", "native is_needed", "detached", "fault p")
}

func TestStats(t *testing.T) {
	s := newScript(t)
	now := int64(0)
	s.table.Clock = func() int64 { return now }
	a := s.attach("p",
		at(Pre, keyIsNeeded, func(*Call) error { now += 10; return nil }),
		at(Post, keyIsNeeded, func(*Call) error { now += 3; return nil }))
	for range 2*sampleEvery + 1 {
		s.isNeeded()
	}
	st := a.Stats()
	want(t, "pre", st[0], PlugletStats{keyIsNeeded, Pre, 2*sampleEvery + 1, 3, 30})
	want(t, "post", st[1], PlugletStats{keyIsNeeded, Post, 2*sampleEvery + 1, 3, 9 * time.Nanosecond})
	s.table.Clock = nil
	s.detach(a)
	want(t, "after the detach", a.Stats()[0].Calls, 2*sampleEvery+1)

	b := s.attach("q", at(Pre, keyIsNeeded, quiet))
	s.isNeeded()
	want(t, "without a clock", b.Stats()[0], PlugletStats{keyIsNeeded, Pre, 1, 0, 0})
}

// One connection's plugins are nobody else's.
func TestPerConnection(t *testing.T) {
	a, b := newScript(t), newScript(t)
	p := &Plugin{Name: "p", Bindings: []Binding{at(Pre, keyIsNeeded, func(c *Call) error {
		c.Subject().(*testConn).note("pre")
		return nil
	})}}
	a.attachPlugin(p)
	b.isNeeded()
	b.wantLog("b has nothing attached", "native is_needed")
	b.attachPlugin(p)
	a.isNeeded()
	b.isNeeded()
	a.wantLog("a", "pre", "native is_needed")
	b.wantLog("b", "pre", "native is_needed")
}

// The engine may attach from inside a native body, whoever observes or replaces
// it: what is attached to the operation itself starts with its next call.
func TestAttachFromNativeBody(t *testing.T) {
	for _, outer := range []Binding{
		at(Pre, keyPickPath, quiet), at(Post, keyPickPath, quiet),
		at(Replace, keyPickPath, func(c *Call) error { c.Native(); return nil }),
	} {
		t.Run(outer.Anchor.String(), func(t *testing.T) {
			s := newScript(t)
			s.attach("outer", outer)
			var a *Attachment
			s.onPick = func() {
				if a != nil {
					return
				}
				want(t, "nobody calls", s.table.Caller(), "")
				p := &Plugin{Name: "late", Bindings: []Binding{
					at(Pre, keyPickPath, s.noting("pre")), at(Post, keyPickPath, s.noting("post")),
					at(Pre, keyIsNeeded, func(*Call) error { want(t, "caller", s.table.Caller(), "late"); s.note("elsewhere"); return nil }),
				}}
				wantErr(t, "admitted", testRegistry.Admit(s.testConn, p), nil)
				a = s.attachPlugin(p)
				wantErr(t, "not twice", testRegistry.Admit(s.testConn, p), ErrAttached)
				s.isNeeded()
			}
			s.pickPath(pickArgs{})
			s.wantLog("other operations at once, this one not yet", "elsewhere", "native is_needed")
			s.pickPath(pickArgs{})
			s.wantLog("the next call", "pre", "post")
			s.detach(a)
			s.pickPath(pickArgs{})
			s.wantLog("detached")
			want(t, "faults", len(s.faults), 0)
		})
	}
}

// A plugin attached and failing within the same call leaves nothing behind.
func TestAttachFromNativeBodyAndFail(t *testing.T) {
	s := newScript(t)
	outer := s.attach("outer", at(Pre, keyPickPath, quiet))
	s.onPick = func() {
		s.onPick = nil
		s.attach("late", at(Post, keyPickPath, s.noting("post")), at(Pre, keyIsNeeded, boom))
		s.isNeeded()
	}
	s.pickPath(pickArgs{})
	s.wantFault("in the call that attached it", "late", Pre, keyIsNeeded, errBoom)
	s.log = s.log[:0]
	s.pickPath(pickArgs{})
	s.wantLog("nothing of it runs")
	s.detach(outer)
	s.wantClean("afterwards")
}
