package vm

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"unsafe"
)

// Objects of the host in these tests.
type testPath struct {
	rtt  uint64
	mss  uint32
	pto  uint32
	skew int32
	_    uint32
}

type testSample struct{ ignored, latest uint64 }

type testContext struct {
	pad  [24]byte
	n    uint32
	_    uint32
	pad2 [8]byte
	id   [20]byte
	_    uint32
	buf  uint64
}

type testStaged struct{ out uint64 }

// handleHost is what host functions find in Machine.User.
type handleHost struct {
	paths [64]testPath
}

var (
	errSmall  = errors.New("mss too small")
	errNoPath = errors.New("no such path")
)

func handlesEnv() *Env {
	const path = "t_path"
	pathAt := func(m *Machine, a *[5]uint64) (uint64, error) {
		h := m.User().(*handleHost)
		switch {
		case a[0] < 3:
			return m.NewHandle(1, unsafe.Pointer(&h.paths[a[0]]))
		case a[0] >= 100 && a[0] < 163:
			return m.NewHandle(1, unsafe.Pointer(&h.paths[a[0]-100]))
		}
		return 0, nil
	}
	nothing := func(*Machine, *[5]uint64) (uint64, error) { return 77, nil }
	return &Env{
		Context: func(string) (ContextSpec, error) {
			return ContextSpec{Kind: "t_ctx", Effects: AllEffects &^ (1 << Reserve)}, nil
		},
		Kinds: []Kind{
			{Name: "t_ctx", Size: uint32(unsafe.Sizeof(testContext{})), Fields: []Field{
				{Name: "path", Offset: 0, Size: 8, Type: HandleField, Of: path, Slot: 2},
				{Name: "other", Offset: 8, Size: 8, Type: HandleField, Of: path, Slot: 3, Nullable: true},
				{Name: "latest", Offset: 16, Size: 8, View: 4, ViewOffset: 8},
				{Name: "n", Offset: 24, Size: 4},
				{Name: "out", Offset: 32, Size: 8, View: 5, Access: AccessDirect},
				{Name: "id", Offset: 40, Type: BytesField, Length: 20},
				{Name: "buf", Offset: 64, Size: 8, Type: AddressField},
			}},
			{Name: path, Size: uint32(unsafe.Sizeof(testPath{})), Fields: []Field{
				{Name: "rtt", Offset: 0, Size: 8},
				{Name: "mss", Offset: 8, Size: 4, Access: AccessHost},
				{Name: "pto", Offset: 12, Size: 4},
				{Name: "skew", Offset: 16, Size: 4, Signed: true, Access: AccessHost},
			}},
			{Name: "t_stream", Size: 8, Stable: true, Fields: []Field{{Name: "id", Offset: 0, Size: 8}}},
		},
		Funcs: []HostFunc{
			{Name: "identity", Params: []Param{{}}, Result: Result{Type: ScalarResult},
				Fn: func(_ *Machine, a *[5]uint64) (uint64, error) { return a[0], nil }},
			{Name: "path_at", Params: []Param{{}}, Result: Result{Type: HandleResult, Of: path, Nullable: true}, Fn: pathAt},
			{Name: "path_rtt", Params: []Param{{Type: HandleParam, Of: path}}, Result: Result{Type: ScalarResult},
				Fn: func(m *Machine, a *[5]uint64) (uint64, error) { return (*testPath)(m.View(a[0])).rtt, nil }},
			{Name: "close", MayFree: true, Effect: Mutate, Fn: nothing},
			{Name: "fill", Params: []Param{{Type: MemWriteParam}, {Type: LenParam, MaxLen: 256}}, Result: Result{Type: ScalarResult},
				Effect: OwnHeap, Fn: func(m *Machine, a *[5]uint64) (uint64, error) {
					b := m.Writable(a[0], a[1])
					for i := range b {
						b[i] = 0x5a
					}
					return uint64(len(b)), nil
				}},
			{Name: "print", Params: []Param{{Type: CStringParam, MaxLen: 16}}, Result: Result{Type: ScalarResult}, Effect: Sink, Fn: nothing},
			{Name: "burn", Params: []Param{{}}, Result: Result{Type: ScalarResult},
				Fn: func(m *Machine, a *[5]uint64) (uint64, error) { return 0, m.Charge(a[0]) }},
			{Name: "stream_at", Params: []Param{{}}, Result: Result{Type: HandleResult, Of: "t_stream", Nullable: true},
				Fn: func(m *Machine, _ *[5]uint64) (uint64, error) {
					id := uint64(999)
					return m.NewHandle(2, unsafe.Pointer(&id))
				}},
			{Name: "void", Fn: nothing},
			{Name: "reserve", Effect: Reserve, Result: Result{Type: ScalarResult}, Fn: nothing},
			{Name: "lie", Result: Result{Type: HandleResult, Of: path, Nullable: true}, Fn: func(*Machine, *[5]uint64) (uint64, error) { return 63, nil }},
			{Name: "range", Params: []Param{{Min: 1, Max: 10}}, Result: Result{Type: ScalarResult}, Fn: nothing},
			{Name: "optional", Params: []Param{{Type: NullableHandleParam, Of: path}}, Result: Result{Type: ScalarResult}, Fn: nothing},
		},
		StoreField: func(m *Machine, kind int, slot uint8, field int, v uint64) error {
			p := (*testPath)(m.View(uint64(slot)))
			switch {
			case kind != 1 || p == nil:
				return errNoPath
			case field == 1 && v < 1000:
				return errSmall
			case field == 1:
				p.mss = uint32(v)
			case field == 3:
				if int64(v) != int64(int32(v)) {
					return fmt.Errorf("%d is not sign-extended", v)
				}
				p.skew = int32(v)
			}
			return nil
		},
	}
}

// handleObject is code that may call every function of handlesEnv by its number.
func handleObject(code []Instruction) *Object {
	o := rawFunctions("handles", code)
	o.Imports = nil
	o.ROData, o.DataAddr, o.BSSAddr, o.End = make([]byte, 64), 2*NullGuard, 2*NullGuard, 2*NullGuard
	for _, f := range handlesEnv().Funcs {
		o.Imports = append(o.Imports, Import{Name: f.Name})
	}
	return o
}

// newHandleCall returns a call with all the objects that handlesEnv promises.
func newHandleCall(in *Instance) *Call {
	h := &handleHost{}
	h.paths[0] = testPath{rtt: 111, mss: 1200, pto: 2}
	h.paths[1] = testPath{rtt: 222, mss: 1300}
	addr, b := in.Buffer()
	for i := range 64 {
		b[i] = 8 // no string ends here
	}
	ctx := &testContext{n: 7, buf: uint64(addr)}
	for i := range ctx.id {
		ctx.id[i] = byte(i)
	}
	return &Call{
		Views: []unsafe.Pointer{unsafe.Pointer(ctx), unsafe.Pointer(&h.paths[0]), nil,
			unsafe.Pointer(&testSample{latest: 44}), unsafe.Pointer(&testStaged{})},
		User: h,
	}
}

// TestHandles runs programs that use typed pointers and host functions, rightly and wrongly.
func TestHandles(t *testing.T) {
	for _, engine := range testEngines(t) {
		t.Run(engine, func(t *testing.T) {
			for _, c := range readCases(t, "testdata/handles.txt") {
				t.Run(c.name, func(t *testing.T) { runHandles(t, engine, &c) })
			}
		})
	}
}

func runHandles(t *testing.T, engine string, c *textCase) {
	m, err := Compile(handleObject(c.code), handlesEnv(), Options{Engine: engine})
	if err != nil {
		if want, ok := strings.CutPrefix(c.want, "refused "); !ok || !strings.Contains(err.Error(), want) {
			t.Fatalf("%v; want %s", err, c.want)
		}
		return
	}
	defer m.Release()
	in, err := m.NewInstance(4096, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	p, _ := m.Program("raw")
	r, err := in.Run(p, newHandleCall(in))
	if want, ok := strings.CutPrefix(c.want, "fault "); ok {
		var f *Fault
		if !errors.As(err, &f) || !strings.Contains(err.Error(), want) {
			t.Fatalf("%#x, %v; want %s", r, err, c.want)
		}
		return
	}
	want, werr := strconv.ParseUint(strings.TrimPrefix(c.want, "="), 0, 64)
	if werr != nil || err != nil || r != want {
		t.Fatalf("%#x, %v; want %s", r, err, c.want)
	}
}

// TestMissingView holds hosts to what they promised: a program does not start without the views it relies on.
func TestMissingView(t *testing.T) {
	code, err := assemble("r0 = *(u64 *)(r1 + 16); exit")
	if err != nil {
		t.Fatal(err)
	}
	m, err := Compile(handleObject(code), handlesEnv(), Options{Engine: "interp"})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Release()
	in, err := m.NewInstance(0, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	c := newHandleCall(in)
	p := m.Programs()[0]
	if r, err := in.Run(p, c); err != nil || r != 44 {
		t.Fatal(r, err)
	}
	c.Views[3] = nil
	if _, err := in.Run(p, c); !errors.Is(err, errViews) {
		t.Fatal(err)
	}
	if _, err := in.Run(p, nil); !errors.Is(err, errViews) {
		t.Fatal(err)
	}
}

// TestNesting runs programs from host functions: memory is shared, stacks are not, and fuel is.
func TestNesting(t *testing.T) {
	env := testEnv()
	env.Funcs = append(env.Funcs, HostFunc{Name: "again", Params: []Param{{}}, Result: Result{Type: ScalarResult},
		Fn: func(m *Machine, a *[5]uint64) (uint64, error) {
			return m.Instance().Run(m.Program(), &Call{Args: [5]uint64{a[0]}})
		}})
	code, err := assemble(`
		r6 = r1
		*(u64 *)(r10 - 8) = r1
		r0 = 0
		if r1 == 0 goto out
		r1 += -1
		call #0
		r2 = *(u64 *)(r10 - 8)
		r0 += r2
		r0 += r6
		out:
		exit`)
	if err != nil {
		t.Fatal(err)
	}
	for _, engine := range testEngines(t) {
		o := Raw("nesting", code)
		o.Imports = []Import{{Name: "again"}}
		m, err := Compile(o, env, Options{Engine: engine})
		if err != nil {
			t.Fatal(err)
		}
		budget := int64(10_000)
		in, err := m.NewInstance(0, &budget)
		if err != nil {
			t.Fatal(err)
		}
		p := m.Programs()[0]
		if r, err := in.Run(p, &Call{Args: [5]uint64{3}}); err != nil || r != 12 {
			t.Errorf("%s: %d, %v", engine, r, err)
		}
		if spent := in.Stats().Fuel; budget != 10_000-(3*10+5) || in.Stats().Calls != 4 {
			t.Errorf("%s: budget %d, %d calls, %d fuel in all", engine, budget, in.Stats().Calls, spent)
		}
		if _, err := in.Run(p, &Call{Args: [5]uint64{4}}); !errors.Is(err, errNesting) {
			t.Errorf("%s: %v", engine, err)
		}
		budget = 21
		var f *Fault
		if _, err := in.Run(p, &Call{Args: [5]uint64{3}}); !errors.As(err, &f) || budget < 0 {
			t.Errorf("%s: %v, budget %d", engine, err, budget)
		}
		in.Close()
		m.Release()
	}
}
