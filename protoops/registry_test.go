package protoops

import (
	"fmt"
	"strings"
	"testing"
)

func TestOps(t *testing.T) {
	var names []string
	for _, op := range testRegistry.Ops() {
		name := op.Key.String()
		if op.Family {
			name += "/*"
		}
		if op.Event {
			name += "!"
		}
		names = append(names, name)
	}
	want(t, "sorted", strings.Join(names, " "), "is_needed parse_frame/* parse_frame/0x1 pick_path stream_opened! update_rtt")

	want(t, "an operation's own description", testOps()[0].Info().Key, keyUpdateRTT)
	info, ok := testRegistry.Lookup(keyUpdateRTT)
	want(t, "known", ok, true)
	want(t, "doc", info.Doc.Summary, "folds a sample in")
	want(t, "number of arguments", len(info.Args), 3)
	want(t, "argument", info.Args[0], Param{Name: "latest_rtt", Kind: "i64", Unit: "ns", Doc: "the sample",
		Type: "time.Duration", Size: 8, Max: 1<<63 - 1})
	want(t, "unit of a Duration", info.Args[1].Unit, "ns")
	want(t, "result", info.Results[2], Param{Name: "shift", Kind: "i8", Type: "int8", Offset: 12, Size: 1, Min: ^uint64(127), Max: 127})

	info, ok = testRegistry.Lookup(keyParseNew)
	want(t, "a family answers for its parameters", ok && info.Family, true)
	want(t, "key", info.Key, keyParseNew)
	want(t, "nested result", info.Results[0].Name, "frame_handle")
	_, ok = testRegistry.Lookup(Plain("parse_frame"))
	want(t, "a family is no plain operation", ok, false)
	_, ok = testRegistry.Lookup(Plain("none"))
	want(t, "unknown", ok, false)
}

func TestKindsOfParams(t *testing.T) {
	info, _ := testRegistry.Lookup(keyPickPath)
	var got []string
	for _, p := range append(info.Args, info.Results...) {
		got = append(got, p.Name+":"+p.Kind)
	}
	want(t, "kinds", strings.Join(got, " "),
		"paths:ref packet:bytes token:bytes any:handle now:i64 path:handle room:bytes token:bytes ranges:ref any:handle ok:bool")
	want(t, "type", info.Results[0].Type, "*protoops.testPath")
}

type inner struct {
	X uint8
	Y int16 `op:"why"`
}

type nested struct {
	inner
	Named  inner
	Inline inner `op:""`
	Hidden uint8 `op:"-"`
	Opaque strings.Builder
}

func TestLayoutNested(t *testing.T) {
	// The embedded and the inlined struct clash, which is refused…
	_, err := layoutOf(typeOf[nested]())
	if err == nil || !strings.Contains(err.Error(), `"x"`) && !strings.Contains(err.Error(), `"why"`) {
		t.Errorf("error %v does not name the clash", err)
	}
	// … and without the clash each has its place.
	type flat struct {
		Named  inner
		Inline inner `op:""`
		Hidden uint8 `op:"-"`
		Opaque strings.Builder
	}
	l, err := layoutOf(typeOf[flat]())
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, it := range l.items {
		got = append(got, fmt.Sprintf("%s:%s@%d", it.Name, it.kind, it.off))
	}
	want(t, "layout", strings.Join(got, " "), "named_x:u8@0 named_why:i16@2 x:u8@4 why:i16@6 opaque:ref@16")
}

func TestRegistryPanics(t *testing.T) {
	type conn = *testConn
	type badArgs struct{ S string }
	type badRange struct {
		V uint8 `range:"1:300"`
	}
	type rangedBytes struct {
		B []byte `range:"0:1"`
	}
	slot := func(c conn) *Slot[None, bool] { return &c.ops.isNeeded }
	native := func(conn, None) bool { return true }
	dynamic := func(c conn) *Dynamic[frameBytes, parsed[pluginFrame]] { return &c.ops.parse }
	ok := Define(Plain("a"), Doc{}, slot, native)
	for _, tc := range []struct {
		why string
		ops []Op[conn]
		say string
	}{
		{"duplicate", []Op[conn]{ok, ok}, "defined twice"},
		{"empty name", []Op[conn]{Define(Plain(""), Doc{}, slot, native)}, "invalid name"},
		{"invalid name", []Op[conn]{Define(Plain("No"), Doc{}, slot, native)}, `invalid name "No"`},
		{"no slot", []Op[conn]{Define[conn, None, bool](Plain("a"), Doc{}, nil, native)}, "no slot"},
		{"no native", []Op[conn]{Define(Plain("a"), Doc{}, slot, nil)}, "no native body, but results"},
		{"not defined", []Op[conn]{{}}, "not made by Define"},
		{"forgotten NoParam", []Op[conn]{Define(Key{Name: "a"}, Doc{}, slot, native)}, "a plain operation has NoParam"},
		{"family without slots", []Op[conn]{DefineFamily[conn, None, None]("f", Doc{}, nil, nil)}, "no slots"},
		{"family and plain", []Op[conn]{Define(Plain("f"), Doc{}, slot, native), DefineFamily("f", Doc{}, dynamic, (*testConn).parseUnknown)}, "defined twice"},
		{"two families", []Op[conn]{DefineFamily("f", Doc{}, dynamic, (*testConn).parseUnknown), DefineFamily("f", Doc{}, dynamic, (*testConn).parseUnknown)}, "defined twice"},
		{"a string argument", []Op[conn]{Define(Plain("a"), Doc{}, func(conn) *Slot[badArgs, None] { return nil }, func(conn, badArgs) None { return None{} })}, "arguments"},
		{"a string result", []Op[conn]{Define(Plain("a"), Doc{}, func(conn) *Slot[None, string] { return nil }, func(conn, None) string { return "" })}, "results"},
		{"a range that does not fit", []Op[conn]{Define(Plain("a"), Doc{}, func(conn) *Slot[badRange, None] { return nil }, func(conn, badRange) None { return None{} })}, "does not fit u8"},
		{"a range of bytes", []Op[conn]{Define(Plain("a"), Doc{}, func(conn) *Slot[rangedBytes, None] { return nil }, func(conn, rangedBytes) None { return None{} })}, "has no range"},
	} {
		t.Run(tc.why, func(t *testing.T) {
			wantPanic(t, tc.say, func() { NewRegistry(tc.ops...) })
		})
	}
	wantPanic(t, "two at once", func() {
		defer func() {
			s := fmt.Sprint(recover())
			if strings.Contains(s, "defined twice") && strings.Contains(s, "invalid name") {
				panic("two at once")
			}
		}()
		NewRegistry(ok, ok, Define(Plain(""), Doc{}, slot, native))
	})
	// Parameter 0 is fine beside others.
	NewRegistry(Define(Key{"a", 0}, Doc{}, slot, native), Define(Key{"a", 1}, Doc{}, slot, native))
}

func wantPanic(t *testing.T, say string, f func()) {
	t.Helper()
	defer func() {
		t.Helper()
		if s := fmt.Sprint(recover()); !strings.Contains(s, say) {
			t.Errorf("panic %q does not say %q", s, say)
		}
	}()
	f()
}

func TestCheckSlots(t *testing.T) {
	if err := testRegistry.Check(new(testConn)); err != nil {
		t.Error(err)
	}
	native := func(*testConn, None) bool { return true }
	slot := func(c *testConn) *Slot[None, bool] { return &c.ops.isNeeded }
	r := NewRegistry(Define(Plain("a"), Doc{}, slot, native), Define(Plain("b"), Doc{}, slot, native),
		Define(Plain("c"), Doc{}, func(*testConn) *Slot[None, bool] { return nil }, native),
		DefineFamily("d", Doc{}, func(*testConn) *Dynamic[None, bool] { return nil }, native))
	err := fmt.Sprint(r.Check(new(testConn)))
	for _, say := range []string{`"a" and "b" share a slot`, `"c": slot function returned nil`, `"d": slot function returned nil`} {
		if !strings.Contains(err, say) {
			t.Errorf("error %q does not say %q", err, say)
		}
	}
	for _, k := range []Key{Plain("c"), {"d", 1}} {
		if _, err := r.Attach(new(testConn), &Plugin{Name: "p", Bindings: []Binding{at(Pre, k, quiet)}}); err == nil {
			t.Errorf("attaching to %s, which has no slot, succeeds", k)
		}
	}
}
