package vm

import (
	"errors"
	"slices"
	"testing"
	"unsafe"
)

// TestViewsOfCallBefore: a level keeps what the next call names again, and nothing else of the call before is left.
func TestViewsOfCallBefore(t *testing.T) {
	var objects [FirstDynamicSlot + 1]uint64
	views := func(list ...int) (v []unsafe.Pointer) {
		for _, i := range list {
			if i == 0 {
				v = append(v, nil)
			} else {
				v = append(v, unsafe.Pointer(&objects[i]))
			}
		}
		return v
	}
	var seen []unsafe.Pointer
	var inner *Call
	env := testEnv()
	env.Funcs = append(env.Funcs, HostFunc{Name: "look", Result: Result{Type: ScalarResult},
		Fn: func(m *Machine, _ *[5]uint64) (uint64, error) {
			if c := inner; c != nil {
				inner = nil
				if _, err := m.Instance().Run(m.Program(), c); err != nil {
					return 0, err
				}
				checkViews(t, "inner", seen, c.Views)
			}
			seen = nil
			for s := range uint64(NumSlots) {
				seen = append(seen, m.View(s))
			}
			_, err := m.NewHandle(0, unsafe.Pointer(&objects[0])) // which the next call must not find
			return 0, err
		}})
	code, err := assemble("call #0\nr0 = 0\nexit")
	if err != nil {
		t.Fatal(err)
	}
	for _, engine := range testEngines(t) {
		o := Raw("look", code)
		o.Imports = []Import{{Name: "look"}}
		m, err := Compile(o, env, Options{Engine: engine})
		if err != nil {
			t.Fatal(err)
		}
		in, err := m.NewInstance(0, nil)
		if err != nil {
			t.Fatal(err)
		}
		p := m.Programs()[0]
		run := func(c *Call) {
			t.Helper()
			if _, err := in.Run(p, c); err != nil {
				t.Fatal(err)
			}
			var want []unsafe.Pointer
			if c != nil {
				want = c.Views
			}
			checkViews(t, engine, seen, want)
		}
		for _, v := range [][]unsafe.Pointer{views(1, 2, 3, 4, 5), views(1, 2, 3, 4, 5), views(1, 2), views(3, 0, 2), views(), views(0, 0, 7), nil} {
			run(&Call{Views: v})
		}
		run(nil)
		run(&Call{Views: views(1, 2, 3)})
		if _, err := in.Run(p, &Call{Views: make([]unsafe.Pointer, FirstDynamicSlot)}); !errors.Is(err, errViews) {
			t.Errorf("%s: too many views: %v", engine, err)
		}
		run(&Call{Views: views(4)})
		inner = &Call{Views: views(5)}
		run(&Call{Views: views(1, 2, 3)})
		inner = &Call{Views: views(0, 6, 7)}
		run(&Call{Views: views(2)})
		in.Close()
		m.Release()
	}
}

// checkViews compares what a program saw with the views of its call.
func checkViews(t *testing.T, what string, seen, views []unsafe.Pointer) {
	t.Helper()
	want := make([]unsafe.Pointer, NumSlots)
	copy(want[1:], views)
	if !slices.Equal(seen, want) {
		t.Errorf("%s: views %v, want %v", what, seen, want)
	}
}
