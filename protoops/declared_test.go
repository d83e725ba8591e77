package protoops

import "testing"

var (
	keyHelper = Plain("org.pquic.helper")
	keySend   = Plain("send_datagram")
)

func (s *script) extern(k Key, args []uint64, b ...[]byte) ([]uint64, error) {
	return CallExtern(&s.table, s.testConn, k, args, b...)
}

func (s *script) declared(k Key, args []uint64, b ...[]byte) ([]uint64, error) {
	return RunDeclared(&s.table, s.testConn, k, args, b...)
}

func TestExtern(t *testing.T) {
	s := newScript(t)
	_, err := s.extern(keySend, nil)
	wantErr(t, "before the plugin", err, ErrUnknownOp)
	a := s.attach("p",
		at(Extern, keySend, func(c *Call) error {
			want(t, "anchor", c.Anchor(), Extern)
			want(t, "key", c.Key(), keySend)
			want(t, "subject", c.Subject(), any(s.testConn))
			want(t, "words", c.NumArgs(), 2)
			want(t, "bytes", string(c.ArgBytes(1)), "two")
			wantErr(t, "result beyond the last", c.SetResult(maxWords, 1), ErrIndex)
			wantErr(t, "no handles in results", c.SetResultHandle(0, nil), ErrIndex)
			wantErr(t, "no bytes in results", c.SetResultBytes(0, nil), ErrIndex)
			wantErr(t, "write", c.Write8(&s.state.Level, 1), nil)
			want(t, "no struct", ArgsOf[rttSample](c), nil)
			return c.SetResult(2, c.Arg(0)*c.Arg(1))
		}),
		at(Replace, keyIsNeeded, func(c *Call) error {
			_, err := s.declared(keySend, nil)
			wantErr(t, "from a pluglet", err, ErrExternOnly)
			return c.SetResult(0, 1)
		}))
	s.attach("observer",
		at(Pre, keySend, func(c *Call) error { want(t, "Pre sees words", c.Arg(1), 7); return nil }),
		at(Post, keySend, func(c *Call) error { want(t, "Post sees results", c.Result(2), 42); s.note("post"); return nil }))
	r, err := s.extern(keySend, []uint64{6, 7}, []byte("one"), []byte("two"))
	wantErr(t, "call", err, nil)
	want(t, "results", len(r), 3)
	want(t, "skipped result", r[0], 0)
	want(t, "result", r[2], 42)
	s.wantLog("observed", "post")
	s.isNeeded()
	_, err = s.extern(keySend, make([]uint64, maxWords+1))
	wantErr(t, "too many words", err, ErrTooMany)
	s.detach(a)
	_, err = s.extern(keySend, nil)
	wantErr(t, "after the plugin, though an observer stays", err, ErrUnknownOp)
	want(t, "faults", len(s.faults), 0)
}

func TestDeclared(t *testing.T) {
	s := newScript(t)
	path := &testPath{3}
	double := declare(keyHelper, func(c *Call) error {
		s.note("helper")
		if c.NumArgs() == 0 {
			want(t, "handle", c.ArgHandle(0), any(path))
			return nil
		}
		return c.SetResult(0, 2*c.Arg(0))
	})
	// A plugin may observe what it declares, whatever the order of its bindings.
	a := s.attach("a", at(Pre, keyHelper, s.noting("pre a")), double)
	b := s.attach("b", at(Post, keyHelper, s.noting("post b")),
		at(Replace, keyUpdateRTT, func(c *Call) error {
			r, err := s.declared(keyHelper, []uint64{c.Arg(2) + 4})
			if err != nil {
				return err
			}
			if _, err = RunDeclaredWith(&s.table, s.testConn, keyHelper, Input{Handles: []any{path}}); err != nil {
				return err
			}
			return c.SetResult(0, r[0])
		}))
	want(t, "answer through b", s.updateRTT(sample).Smoothed, 8)
	s.wantLog("chain", "pre a", "helper", "post b", "pre a", "helper", "post b")
	r, err := s.extern(keyHelper, []uint64{1})
	wantErr(t, "the application may call it", err, nil)
	want(t, "result", r[0], 2)
	s.log = s.log[:0]

	// The declarer leaves and comes back; b's observer waits for it.
	s.detach(a)
	_, err = s.declared(keyHelper, []uint64{1})
	wantErr(t, "without its plugin", err, ErrUnknownOp)
	a = s.attach("a2", double)
	_, err = s.declared(keyHelper, []uint64{1})
	wantErr(t, "with it again", err, nil)
	s.wantLog("b still observes", "helper", "post b")
	s.detach(b)
	s.detach(a)
	s.wantClean("all detached")
}

func TestDeclaredFault(t *testing.T) {
	s := newScript(t)
	s.attach("a", declare(keyHelper, func(c *Call) error {
		wantErr(t, "write", c.Write64(&s.state.Window, 5), nil)
		wantErr(t, "result", c.SetResult(0, 5), nil)
		return errBoom
	}))
	reason := errBoom
	s.attach("b",
		at(Post, keyHelper, func(c *Call) error { want(t, "no results", c.NumResults(), 0); return nil }),
		at(Replace, keyIsNeeded, func(c *Call) error {
			r, err := s.declared(keyHelper, nil)
			wantErr(t, "the caller learns of it", err, reason)
			want(t, "results", len(r), 0)
			return c.SetResult(0, 0)
		}))
	want(t, "b goes on", s.isNeeded(), false)
	want(t, "undone", s.state.Window, 1000)
	s.wantFault("the body", "a", Replace, keyHelper, errBoom)
	reason = ErrUnknownOp
	want(t, "still b", s.isNeeded(), false)
}

func TestDeclaredRecursion(t *testing.T) {
	s := newScript(t)
	s.attach("a",
		declare(keyHelper, func(c *Call) error {
			s.isNeeded()
			return nil
		}),
		at(Pre, keyIsNeeded, func(c *Call) error {
			_, err := s.declared(keyHelper, nil)
			wantErr(t, "re-entered", err, ErrLoop)
			return nil
		}))
	_, err := s.extern(keyHelper, nil)
	wantErr(t, "the plugin failed below it", err, ErrFailed)
	s.wantFault("recursion", "a", Pre, keyIsNeeded, ErrLoop)
}

// What an observer runs may only observe, however deep.
func TestDeclaredReadOnly(t *testing.T) {
	s := newScript(t)
	deeper := Plain("deeper")
	write := func(c *Call) error {
		want(t, "ReadOnly", c.ReadOnly(), true)
		wantErr(t, "write", c.Write64(&s.state.Window, 1), ErrReadOnly)
		return c.SetResult(0, 7)
	}
	s.attach("p",
		declare(deeper, write),
		declare(keyHelper, func(c *Call) error {
			if !c.ReadOnly() {
				return c.Write64(&s.state.Window, 2)
			}
			r, err := s.declared(deeper, nil)
			if err != nil || r[0] != 7 {
				t.Errorf("deeper: %v, %v", r, err)
			}
			return write(c)
		}),
		at(Pre, keyIsNeeded, func(c *Call) error {
			_, err := s.declared(keyHelper, nil)
			return err
		}))
	s.isNeeded()
	want(t, "window", s.state.Window, 1000)
	want(t, "faults", len(s.faults), 0)
	_, err := s.extern(keyHelper, nil)
	wantErr(t, "run by the application it may write", err, nil)
	want(t, "window", s.state.Window, 2)
}

func TestDeclaredForgets(t *testing.T) {
	s := newScript(t)
	s.attach("p", declare(keyHelper, quiet))
	if _, err := RunDeclaredWith(&s.table, s.testConn, keyHelper, Input{Handles: []any{s}, Bytes: [][]byte{{1}}}); err != nil {
		t.Fatal(err)
	}
	d := s.table.declared[keyHelper]
	if d.handles[:1][0] != nil || d.bytes[:1][0] != nil {
		t.Error("the operation keeps handles or bytes of the last call")
	}
}

func TestDeclaredWrongRead(t *testing.T) {
	for name, f := range map[string]func(*Call){
		"word":   func(c *Call) { c.Arg(0) },
		"result": func(c *Call) { c.Result(0) },
		"handle": func(c *Call) { c.ArgHandle(0) },
		"bytes":  func(c *Call) { c.ArgBytes(0) },
		"native": func(c *Call) { c.Native() },
	} {
		t.Run(name, func(t *testing.T) {
			s := newScript(t)
			s.attach("p", declare(keyHelper, func(c *Call) error { f(c); return nil }))
			if _, err := s.extern(keyHelper, nil); err == nil {
				t.Error("no error")
			}
			s.wantClean("after the fault")
		})
	}
}
