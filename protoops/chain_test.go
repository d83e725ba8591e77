package protoops

import (
	"bytes"
	"testing"
	"unsafe"
)

func (s *script) noting(what string) func(*Call) error {
	return func(*Call) error { s.note(what); return nil }
}

func TestOrder(t *testing.T) {
	s := newScript(t)
	a := s.attach("a", at(Post, keyUpdateRTT, s.noting("post a")), at(Pre, keyUpdateRTT, s.noting("pre a")))
	b := s.attach("b", at(Pre, keyUpdateRTT, s.noting("pre b")), at(Post, keyUpdateRTT, s.noting("post b")))
	s.updateRTT(sample)
	s.wantLog("observers around native, in the order they were attached",
		"pre a", "pre b", "native update_rtt", "post a", "post b")

	r := s.attach("r", at(Replace, keyUpdateRTT, func(c *Call) error { s.note("replace"); return c.SetResult(0, 1) }))
	s.updateRTT(sample)
	s.wantLog("replace instead of native", "pre a", "pre b", "replace", "post a", "post b")

	s.detach(a)
	s.updateRTT(sample)
	s.wantLog("a is gone", "pre b", "replace", "post b")
	s.detach(r)
	s.updateRTT(sample)
	s.wantLog("native is back", "pre b", "native update_rtt", "post b")
	s.detach(b)
	s.updateRTT(sample)
	s.wantLog("nothing attached", "native update_rtt")
	s.wantClean("all detached")
}

func TestScalars(t *testing.T) {
	s := newScript(t)
	s.attach("p",
		at(Pre, keyUpdateRTT, func(c *Call) error {
			want(t, "Pre reads latest_rtt", c.Arg(0), uint64(sample.Latest))
			want(t, "Pre reads space", c.Arg(2), 2)
			want(t, "number of arguments, without the hidden one", c.NumArgs(), 3)
			want(t, "number of results", c.NumResults(), 3)
			want(t, "results under Pre", c.Result(0), 0)
			return nil
		}),
		at(Replace, keyUpdateRTT, func(c *Call) error {
			want(t, "key", c.Key(), keyUpdateRTT)
			want(t, "anchor", c.Anchor(), Replace)
			want(t, "read-only", c.ReadOnly(), false)
			want(t, "subject", c.Subject(), any(s.testConn))
			minus := -5
			wantErr(t, "set smoothed", c.SetResult(0, 77), nil)
			wantErr(t, "set a signed one", c.SetResult(2, uint64(minus)), nil)
			wantErr(t, "above the width", c.SetResult(1, 1<<32), ErrRange)
			wantErr(t, "above the signed width", c.SetResult(2, 128), ErrRange)
			wantErr(t, "below the range", c.SetResult(0, 0), ErrRange)
			wantErr(t, "no such result", c.SetResult(3, 0), ErrIndex)
			wantErr(t, "negative index", c.SetResult(-1, 0), ErrIndex)
			wantErr(t, "a scalar is no handle", c.SetResultHandle(0, nil), ErrType)
			wantErr(t, "a scalar is no bytes", c.SetResultBytes(0, nil), ErrType)
			want(t, "reading back", int64(c.Result(2)), -5)
			return nil
		}),
		at(Post, keyUpdateRTT, func(c *Call) error {
			want(t, "Post reads the result", c.Result(0), 77)
			want(t, "Post reads a signed result", int64(c.Result(2)), -5)
			return nil
		}),
	)
	in := sample
	in.Space, in.hidden = 2, &testPath{}
	want(t, "the engine's answer", s.updateRTT(in), rttEstimate{Smoothed: 77, Shift: -5})
	want(t, "faults", len(s.faults), 0)
}

func TestNonStruct(t *testing.T) {
	s := newScript(t)
	s.attach("p", at(Replace, keyIsNeeded, func(c *Call) error {
		want(t, "None has no arguments", c.NumArgs(), 0)
		wantErr(t, "a bool is 0 or 1", c.SetResult(0, 2), ErrRange)
		return c.SetResult(0, 0)
	}))
	want(t, "a plain bool result", s.isNeeded(), false)
}

func TestHandlesAndBytes(t *testing.T) {
	s := newScript(t)
	p1, p2 := &testPath{1}, &testPath{2}
	room := []byte("room")
	s.attach("p",
		at(Replace, keyPickPath, func(c *Call) error {
			paths := *c.ArgHandle(0).(*[]*testPath)
			want(t, "paths by reference", paths[1], p2)
			want(t, "packet", string(c.ArgBytes(1)), "packet")
			want(t, "bytes are cut at their length", cap(c.ArgBytes(1)), 6)
			want(t, "array", string(c.ArgBytes(2)), "tokn")
			want(t, "interface", c.ArgHandle(3), any(p1))
			wantErr(t, "path", c.SetResultHandle(0, paths[1]), nil)
			wantErr(t, "wrong pointer", c.SetResultHandle(0, s.testConn), ErrType)
			wantErr(t, "bytes", c.SetResultBytes(1, room), nil)
			wantErr(t, "array", c.SetResultBytes(2, []byte("four")), nil)
			wantErr(t, "array of another length", c.SetResultBytes(2, []byte("three")), ErrRange)
			wantErr(t, "reference, by pointer", c.SetResultHandle(3, &[]uint64{7}), nil)
			wantErr(t, "reference to another type", c.SetResultHandle(3, &[]uint32{7}), ErrType)
			wantErr(t, "interface", c.SetResultHandle(4, 5), nil)
			wantErr(t, "a handle is no scalar", c.SetResult(0, 1), ErrType)
			wantErr(t, "no such handle", c.SetResultHandle(9, nil), ErrIndex)
			return c.SetResult(5, 1)
		}),
		at(Post, keyPickPath, func(c *Call) error {
			want(t, "path", c.ResultHandle(0), any(p2))
			want(t, "bytes", string(c.ResultBytes(1)), "room")
			want(t, "array", string(c.ResultBytes(2)), "four")
			want(t, "reference", (*c.ResultHandle(3).(*[]uint64))[0], 7)
			want(t, "interface", c.ResultHandle(4), any(5))
			*c.ResultHandle(3).(*[]uint64) = nil
			return nil
		}),
	)
	r := s.pickPath(pickArgs{Paths: []*testPath{p1, p2}, Packet: append([]byte("packet"), "tail"...)[:6],
		Token: [4]byte([]byte("tokn")), Any: p1})
	want(t, "path", r.Path, p2)
	want(t, "bytes", &r.Room[0], &room[0])
	want(t, "token", string(r.Token[:]), "four")
	want(t, "what Post put aside", len(r.Ranges), 1)
	want(t, "any", r.Any, any(5))
	want(t, "ok", r.OK, true)
	want(t, "faults", len(s.faults), 0)
}

func TestNilHandle(t *testing.T) {
	s := newScript(t)
	s.attach("p", at(Replace, keyPickPath, func(c *Call) error {
		c.Native()
		want(t, "nil interface", c.ArgHandle(3), nil)
		want(t, "native answered", c.Result(5), 1)
		return c.SetResultHandle(0, nil)
	}))
	want(t, "no path", s.pickPath(pickArgs{Paths: []*testPath{{}}}).Path, nil)
	want(t, "faults", len(s.faults), 0)
}

func TestWrongRead(t *testing.T) {
	for name, f := range map[string]func(*Call){
		"scalar beyond the last": func(c *Call) { c.Arg(5) },
		"negative":               func(c *Call) { c.Arg(-1) },
		"result beyond the last": func(c *Call) { c.Result(6) },
		"scalar from bytes":      func(c *Call) { c.Arg(1) },
		"handle from a scalar":   func(c *Call) { c.ArgHandle(4) },
		"bytes from a scalar":    func(c *Call) { c.ArgBytes(4) },
		"result handle":          func(c *Call) { c.ResultHandle(1) },
		"result bytes":           func(c *Call) { c.ResultBytes(0) },
	} {
		t.Run(name, func(t *testing.T) {
			s := newScript(t)
			s.attach("p", at(Post, keyPickPath, func(c *Call) error { f(c); return nil }))
			s.pickPath(pickArgs{})
			if len(s.faults) != 1 {
				t.Fatalf("faults %v, want one", s.faults)
			}
			s.wantClean("after the fault")
		})
	}
}

func TestTyped(t *testing.T) {
	s := newScript(t)
	scribble := func(c *Call) error {
		want(t, "fresh arguments", ArgsOf[rttSample](c).Latest, sample.Latest)
		ArgsOf[rttSample](c).Latest = 1
		ResultOf[rttEstimate](c).Smoothed += 1000
		if ArgsOf[openedEvent](c) != nil || ResultOf[rttSample](c) != nil {
			t.Error("a struct of another type is not refused")
		}
		return nil
	}
	s.attach("p",
		at(Pre, keyUpdateRTT, scribble),
		at(Pre, keyUpdateRTT, scribble),
		at(Replace, keyUpdateRTT, func(c *Call) error {
			want(t, "Replace sees the caller's arguments", *ArgsOf[rttSample](c), sample)
			ResultOf[rttEstimate](c).Smoothed = 9
			return nil
		}),
		at(Post, keyUpdateRTT, scribble),
		at(Post, keyUpdateRTT, func(c *Call) error {
			want(t, "Post sees the result as it is", ResultOf[rttEstimate](c).Smoothed, 9)
			return nil
		}),
	)
	want(t, "observers change nothing", s.updateRTT(sample), rttEstimate{Smoothed: 9})
}

func TestNative(t *testing.T) {
	s := newScript(t)
	s.attach("p",
		at(Replace, keyUpdateRTT, func(c *Call) error {
			ArgsOf[rttSample](c).Latest = 50
			ArgsOf[rttSample](c).AckDelay = 0
			c.Native()
			want(t, "native saw the changed arguments", c.Result(0), 51)
			wantErr(t, "set", c.SetResult(0, 3), nil)
			c.Native()
			want(t, "asking again restores the answer", c.Result(0), 51)
			return c.SetResult(1, 4)
		}),
		at(Post, keyUpdateRTT, func(c *Call) error {
			want(t, "Post sees what the engine asked", c.Arg(0), uint64(sample.Latest))
			return nil
		}))
	want(t, "adjusted answer", s.updateRTT(sample), rttEstimate{Smoothed: 51, Var: 4})
	s.wantLog("native ran once", "native update_rtt")
}

func TestReadOnly(t *testing.T) {
	for _, anchor := range []Anchor{Pre, Post} {
		t.Run(anchor.String(), func(t *testing.T) {
			s := newScript(t)
			window, _ := testFields.ID("window")
			before := s.state
			s.attach("p", at(anchor, keyPickPath, func(c *Call) error {
				want(t, "ReadOnly", c.ReadOnly(), true)
				wantErr(t, "SetResult", c.SetResult(5, 1), ErrReadOnly)
				wantErr(t, "SetResultHandle", c.SetResultHandle(0, nil), ErrReadOnly)
				wantErr(t, "SetResultBytes", c.SetResultBytes(1, nil), ErrReadOnly)
				wantErr(t, "Write8", c.Write8(&s.state.Level, 1), ErrReadOnly)
				wantErr(t, "Write16", c.Write16(&s.state.Port, 1), ErrReadOnly)
				wantErr(t, "Write64", c.Write64(&s.state.Window, 1), ErrReadOnly)
				wantErr(t, "Set", testFields.Set(c, &s.state, window, 500), ErrReadOnly)
				return nil
			}))
			want(t, "answer", s.pickPath(pickArgs{}).OK, false)
			want(t, "state", s.state, before)
			want(t, "a refusal that is handled is no fault", len(s.faults), 0)

			s.attach("q", at(anchor, keyPickPath, func(c *Call) error { c.Native(); return nil }))
			s.pickPath(pickArgs{})
			s.wantFault("Native under an observer", "q", anchor, keyPickPath, ErrReadOnly)
		})
	}
}

func TestEvent(t *testing.T) {
	s := newScript(t)
	s.streamOpened(3)
	s.attach("p",
		at(Pre, keyOpened, func(c *Call) error { s.note("pre"); want(t, "id", c.Arg(0), 4); return nil }),
		at(Replace, keyOpened, func(c *Call) error { c.Native(); s.note("replace"); return nil }),
		at(Post, keyOpened, s.noting("post")))
	s.streamOpened(4)
	s.wantLog("an event has observers and may be replaced", "pre", "replace", "post")
}

func TestFamily(t *testing.T) {
	s := newScript(t)
	_, known := s.parseFrame(0x42, nil)
	want(t, "0x42 is unknown", known, false)
	a := s.attach("a", at(Replace, keyParseNew, func(c *Call) error {
		want(t, "key", c.Key(), keyParseNew)
		if err := c.SetResultHandle(0, "frame "+string(c.ArgBytes(0))); err != nil {
			return err
		}
		return c.SetResult(1, uint64(len(c.ArgBytes(0))))
	}))
	b := s.attach("b", at(Pre, keyParseNew, s.noting("pre 0x42")), at(Pre, Key{"parse_frame", 0x43}, s.noting("pre 0x43")),
		at(Pre, keyParsePing, s.noting("pre ping")))
	r, known := s.parseFrame(0x42, []byte("x"))
	want(t, "0x42 is known", known, true)
	want(t, "its length", r.N, 1)
	want(t, "its handle", r.Frame.Handle, any("frame x"))
	_, n := s.parsePing([]byte{1, 9})
	want(t, "a known parameter has its own slot", n, 2)
	r, known = s.parseFrame(0x43, nil)
	want(t, "an observed parameter has a slot", known, true)
	want(t, "which is not replaced", s.ops.parse.Slot(0x43).Replaced(), false)
	want(t, "and native says it is unknown", r.N, -1)
	s.wantLog("observers", "pre 0x42", "pre ping", "pre 0x43")
	want(t, "parameters", len(s.ops.parse.Params()), 2)
	want(t, "first parameter", s.ops.parse.Params()[0], 0x42)

	s.detach(a)
	r, known = s.parseFrame(0x42, nil)
	want(t, "b still holds the slot", known, true)
	want(t, "native answers", r.N, -1)
	s.detach(b)
	_, known = s.parseFrame(0x42, nil)
	want(t, "the last detach removes the slot", known, false)
	s.wantClean("all detached")
}

func TestScratchForgets(t *testing.T) {
	s := newScript(t)
	s.attach("p", at(Pre, keyPickPath, func(c *Call) error { ArgsOf[pickArgs](c); return nil }))
	s.pickPath(pickArgs{Packet: []byte("secret"), Paths: []*testPath{{}}})
	o := (*operation[pickArgs, pickResult])(unsafe.Pointer(s.ops.pickPath.chain))
	if o.in.Packet != nil || o.seenIn.Packet != nil || o.out.Path != nil {
		t.Error("the chain keeps the packet or path of the last call")
	}
}

func TestNestedDifferent(t *testing.T) {
	s := newScript(t)
	s.attach("p",
		at(Replace, keyUpdateRTT, func(c *Call) error {
			s.note("update_rtt")
			want(t, "depth", s.table.Depth(), 1)
			if s.isNeeded() {
				return c.SetResult(0, c.Arg(1))
			}
			return errBoom
		}),
		at(Pre, keyIsNeeded, func(c *Call) error {
			s.note("pre is_needed")
			want(t, "nested depth", s.table.Depth(), 2)
			return nil
		}))
	want(t, "answer", s.updateRTT(sample).Smoothed, sample.AckDelay)
	s.wantLog("one operation inside another", "update_rtt", "pre is_needed", "native is_needed")
	want(t, "running", s.table.Running(), false)
}

func TestZeroAllocs(t *testing.T) {
	s := newScript(t)
	s.log = nil
	window, _ := testFields.ID("window")
	helper := Plain("helper")
	path := &testPath{}
	s.attach("p",
		at(Pre, keyUpdateRTT, func(c *Call) error { return nil }),
		at(Replace, keyUpdateRTT, func(c *Call) error {
			c.Native()
			if err := c.Write64(&s.state.Window, c.Arg(0)); err != nil {
				return err
			}
			if err := testFields.Set(c, &s.state, window, 4000); err != nil {
				return err
			}
			return c.SetResult(0, c.Arg(0))
		}),
		at(Post, keyUpdateRTT, func(c *Call) error { ResultOf[rttEstimate](c).Var = 1; return nil }),
		at(Replace, keyPickPath, func(c *Call) error {
			if _, ok := c.ArgHandle(0).(*[]*testPath); !ok || len(c.ArgBytes(1)) == 0 {
				return errBoom
			}
			return c.SetResultHandle(0, c.ArgHandle(3))
		}),
		at(Replace, keyParseNew, func(c *Call) error { return c.SetResult(1, uint64(len(c.ArgBytes(0)))) }),
		declare(helper, func(c *Call) error { return c.SetResult(0, c.Arg(0)+uint64(len(c.ArgBytes(0)))) }),
		at(Replace, keyIsNeeded, func(c *Call) error {
			r, err := RunDeclared(&s.table, c.Subject(), helper, []uint64{1}, nil)
			if err != nil {
				return err
			}
			return c.SetResult(0, r[0])
		}),
	)
	ticks := int64(0)
	s.table.Clock = func() int64 { ticks++; return ticks }
	paths := []*testPath{path}
	packet := bytes.Repeat([]byte{1}, 100)
	for name, f := range map[string]func(){
		"all anchors, journal, fields": func() { s.updateRTT(sample) },
		"handles and bytes":            func() { s.pickPath(pickArgs{Paths: paths, Packet: packet, Any: path}) },
		"family":                       func() { s.parseFrame(0x42, packet) },
		"declared from a pluglet":      func() { s.isNeeded() },
		"declared from outside": func() {
			if r, err := CallExtern(&s.table, s.testConn, helper, []uint64{4}, packet); err != nil || r[0] != 104 {
				t.Fatal(r, err)
			}
		},
		"nothing attached": func() { s.parsePing(packet) },
	} {
		if n := testing.AllocsPerRun(2000, f); n != 0 {
			t.Errorf("%s: %v allocations per call, want 0", name, n)
		}
	}
	want(t, "faults", len(s.faults), 0)
}
