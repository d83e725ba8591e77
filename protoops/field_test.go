package protoops

import (
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"
	"unsafe"
)

func typeOf[T any]() reflect.Type { return reflect.TypeFor[T]() }

type innerView struct {
	Latest time.Duration `op:"latest_rtt" doc:"latest sample"`
	Count  uint32        `rights:"r"`
	Adjust int8          `range:"-3:3"`
}

type embeddedView struct{ Epoch uint16 }

type outerView struct {
	embeddedView
	ID      uint64
	RTT     innerView    `rights:"rw"`
	Plain   innerView    `op:""`
	Pair    [2]innerView `op:"pair" rights:"rw"`
	ConnID  [20]byte     `doc:"raw bytes"`
	Marks   [3]uint16    `rights:"rw" range:"1:9"`
	Hidden  uint64       `op:"-"`
	private uint32
	Pad     uint32
}

func TestFieldsOf(t *testing.T) {
	s := FieldsOf[outerView]("path")
	var got []string
	for i, f := range s.Fields() {
		rights := "r"
		if f.Writable {
			rights = "rw"
		}
		got = append(got, fmt.Sprintf("%s:%s:%d:%s", f.Name, f.Kind, f.Size, rights))
		want(t, "object", f.Object, "path")
		id, ok := s.ID(f.Name)
		want(t, "id of "+f.Name, ok && id == FieldID(i), true)
	}
	want(t, "fields", strings.Join(got, " "), "epoch:u16:2:r id:u64:8:r "+
		"rtt_latest_rtt:i64:8:rw rtt_count:u32:4:r rtt_adjust:i8:1:rw "+
		"latest_rtt:i64:8:r count:u32:4:r adjust:i8:1:r "+
		"pair_0_latest_rtt:i64:8:rw pair_0_count:u32:4:r pair_0_adjust:i8:1:rw "+
		"pair_1_latest_rtt:i64:8:rw pair_1_count:u32:4:r pair_1_adjust:i8:1:rw "+
		"conn_id:bytes:20:r marks_0:u16:2:rw marks_1:u16:2:rw marks_2:u16:2:rw pad:u32:4:r")
	want(t, "object", s.Object(), "path")
	want(t, "size", s.Size(), unsafe.Sizeof(outerView{}))

	// Every offset is the compiler's.
	var v outerView
	for name, p := range map[string]unsafe.Pointer{
		"epoch": unsafe.Pointer(&v.Epoch), "id": unsafe.Pointer(&v.ID), "rtt_adjust": unsafe.Pointer(&v.RTT.Adjust),
		"latest_rtt": unsafe.Pointer(&v.Plain.Latest), "pair_1_count": unsafe.Pointer(&v.Pair[1].Count),
		"conn_id": unsafe.Pointer(&v.ConnID), "marks_2": unsafe.Pointer(&v.Marks[2]), "pad": unsafe.Pointer(&v.Pad),
	} {
		id, _ := s.ID(name)
		want(t, "offset of "+name, s.Fields()[id].Offset, uintptr(p)-uintptr(unsafe.Pointer(&v)))
	}
	f := s.Fields()[2]
	want(t, "unit of a Duration", f.Unit, "ns")
	want(t, "doc", f.Doc, "latest sample")
	adjust, _ := s.ID("adjust")
	want(t, "least, signed", int64(s.Fields()[adjust].Min), -3)
	_, ok := s.ID("hidden")
	want(t, "hidden", ok, false)
	v.private = v.Pad
}

func TestFieldLimits(t *testing.T) {
	for _, tc := range []struct {
		k      Kind
		lo, hi uint64
	}{
		{Bool, 0, 1}, {U8, 0, 255}, {U16, 0, 65535}, {U32, 0, math.MaxUint32}, {U64, 0, math.MaxUint64},
		{I8, ^uint64(127), 127}, {I16, ^uint64(32767), 32767}, {I32, ^uint64(math.MaxInt32), math.MaxInt32}, {I64, 1 << 63, math.MaxInt64},
	} {
		lo, hi := tc.k.limits()
		want(t, "least "+tc.k.String(), lo, tc.lo)
		want(t, "scalar", tc.k.Scalar(), true)
		want(t, "greatest "+tc.k.String(), hi, tc.hi)
	}
}

func TestKindSize(t *testing.T) {
	for k, size := range map[Kind]uint8{Bool: 1, U16: 2, I32: 4, I64: 8, Bytes: 0, Handle: 0, Ref: 0} {
		want(t, k.String(), k.Size(), size)
	}
	want(t, "Bytes is a scalar", Bytes.Scalar(), false)
	var v int16 = -2
	want(t, "sign extension", int64(load(unsafe.Pointer(&v), I16)), -2)
}

func TestFieldGetSet(t *testing.T) {
	s := newScript(t)
	v := &s.state
	id := func(name string) FieldID {
		f, ok := testFields.ID(name)
		if !ok {
			t.Fatal("no field", name)
		}
		return f
	}
	s.attach("p", at(Replace, keyIsNeeded, func(c *Call) error {
		minus := -10
		for _, w := range []struct {
			field string
			value uint64
			err   error
		}{
			{"window", 100, nil}, {"window", 99, ErrRange}, {"window", 1000001, ErrRange},
			{"smoothed_rtt", 5, ErrNotWritable},
			{"bias", uint64(minus), nil}, {"bias", uint64(minus - 1), ErrRange}, {"bias", 11, ErrRange},
			{"flag", 1, nil}, {"flag", 2, ErrRange}, {"level", 255, nil}, {"level", 256, ErrRange},
			{"port", 65535, nil}, {"port", 1 << 40, ErrRange},
		} {
			wantErr(t, fmt.Sprint("set ", w.field, " to ", int64(w.value)), testFields.Set(c, v, id(w.field), w.value), w.err)
			if w.err == nil {
				want(t, w.field, testFields.Get(v, id(w.field)), w.value)
			}
		}
		return c.SetResult(0, 1)
	}))
	s.isNeeded()
	want(t, "state", *v, testState{Window: 100, RTT: 80, Bias: -10, Flag: true, Level: 255, Port: 65535})
	want(t, "faults", len(s.faults), 0)

	before := *v
	s.attach("q", at(Replace, keyPickPath, func(c *Call) error {
		for _, f := range []string{"window", "bias", "flag", "level", "port"} {
			value := uint64(0)
			if f == "window" {
				value = 500
			}
			wantErr(t, f, testFields.Set(c, v, id(f), value), nil)
		}
		return errBoom
	}))
	s.pickPath(pickArgs{})
	want(t, "all kinds undone", *v, before)
}

func TestFieldAny(t *testing.T) {
	var table FieldTable = testFields
	s := newScript(t)
	window, _ := table.ID("window")
	v, err := table.GetAny(&s.state, window)
	wantErr(t, "get", err, nil)
	want(t, "get", v, 1000)
	for _, obj := range []any{nil, s.testConn, testState{}, (*testState)(nil)} {
		_, err = table.GetAny(obj, window)
		wantErr(t, fmt.Sprintf("get from %T", obj), err, ErrType)
	}
	for _, f := range []FieldID{-1, 99} {
		_, err = table.GetAny(&s.state, f)
		wantErr(t, fmt.Sprint("field ", f), err, ErrIndex)
	}
	s.attach("p", at(Replace, keyIsNeeded, func(c *Call) error {
		wantErr(t, "set", table.SetAny(c, s.testConn, window, 5), ErrType)
		return table.SetAny(c, &s.state, window, 500)
	}))
	s.isNeeded()
	want(t, "set", s.state.Window, 500)
}

func TestFieldBytes(t *testing.T) {
	s := FieldsOf[outerView]("path")
	v := outerView{ConnID: [20]byte{1, 2, 19: 3}}
	id, _ := s.ID("conn_id")
	b := s.AppendBytes(nil, &v, id)
	want(t, "bytes", string(b), string(v.ConnID[:]))
	want(t, "as a scalar", s.Get(&v, id), 0)
	epoch, _ := s.ID("epoch")
	want(t, "bytes of a scalar", len(s.AppendBytes(nil, &v, epoch)), 0)
	_, err := s.GetAny(&v, id)
	wantErr(t, "bytes are no scalar", err, ErrIndex)
	wantPanic(t, "nil pointer", func() { s.Get(nil, id) })
	wantPanic(t, "out of range", func() { s.Get(&v, 99) })
}

func TestFieldsOfPanics(t *testing.T) {
	type withPointer struct{ P *int }
	type hiddenPointer struct {
		A uint64
		_ *int
	}
	type deepPointer struct{ A [2]struct{ B []byte } }
	type clash struct {
		Value  uint64
		Value2 uint64 `op:"value"`
	}
	for name, f := range map[string]func(){
		"P is a *int":    func() { FieldsOf[withPointer]("x") },
		"_ is a *int":    func() { FieldsOf[hiddenPointer]("x") },
		"B is a []uint8": func() { FieldsOf[deepPointer]("x") },
		"A is a string":  func() { FieldsOf[struct{ A string }]("x") },
		"A is a map":     func() { FieldsOf[struct{ A map[int]int }]("x") },
		"A is a int,":    func() { FieldsOf[struct{ A int }]("x") },
		"A is a uint,":   func() { FieldsOf[struct{ A uint }]("x") },
		"A is a uintptr": func() { FieldsOf[struct{ A uintptr }]("x") },
		"A is a float64": func() { FieldsOf[struct{ A float64 }]("x") },
		"A is a error":   func() { FieldsOf[struct{ A error }]("x") },
		"not a struct":   func() { FieldsOf[uint64]("x") },
		`invalid name ""`: func() {
			FieldsOf[struct{}]("")
		},
		`two fields named "value"`: func() { FieldsOf[clash]("x") },
		"neither r nor rw": func() {
			FieldsOf[struct {
				A uint8 `rights:"w"`
			}]("x")
		},
		"not min:max": func() {
			FieldsOf[struct {
				A uint8 `range:"5"`
			}]("x")
		},
		"invalid syntax": func() {
			FieldsOf[struct {
				A uint8 `range:"a:"`
			}]("x")
		},
		`range ":b"`: func() {
			FieldsOf[struct {
				A int8 `range:":b"`
			}]("x")
		},
		"does not fit i8": func() {
			FieldsOf[struct {
				A int8 `range:"3:2"`
			}]("x")
		},
		"is not writable": func() {
			FieldsOf[struct {
				A [4]byte `rights:"rw"`
			}]("x")
		},
		"has no range": func() {
			FieldsOf[struct {
				A [4]byte `range:"0:1"`
			}]("x")
		},
		"256 bytes":   func() { FieldsOf[struct{ A [256]byte }]("x") },
		"65 elements": func() { FieldsOf[struct{ A [65]uint32 }]("x") },
		"0 bytes":     func() { FieldsOf[struct{ A [0]byte }]("x") },
		`name "a_0_b c"`: func() {
			FieldsOf[struct {
				A [1]struct {
					B uint8 `op:"b c"`
				}
			}]("x")
		},
		"invalid name \"no good\"": func() {
			FieldsOf[struct {
				A uint8 `op:"no good"`
			}]("x")
		},
	} {
		t.Run(name, func(t *testing.T) { wantPanic(t, name, f) })
	}
}
