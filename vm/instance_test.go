package vm

import (
	"errors"
	"testing"
)

func storeModule(t *testing.T) *Module {
	t.Helper()
	code, err := assemble("*(u64 *)(r1 + 0) = -1\nr0 = 0\nexit")
	if err != nil {
		t.Fatal(err)
	}
	m, err := Compile(Raw("store", code), testEnv(), Options{Engine: "interp"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Release)
	return m
}

// TestArenaClean checks that nothing of one instance is left for the next: they may belong to different peers.
func TestArenaClean(t *testing.T) {
	m := storeModule(t)
	for range 20 {
		in, err := m.NewInstance(1<<20, nil)
		if err != nil {
			t.Fatal(err)
		}
		heap, size := in.Heap()
		for _, at := range []uint64{uint64(m.layout.rwStart), uint64(m.layout.stackTop) - 8, uint64(heap), uint64(heap+size) - 8} {
			if r, err := in.Run(m.Programs()[0], &Call{Args: [5]uint64{at}}); err != nil || r != 0 {
				t.Fatal(r, err)
			}
		}
		in.Close()
		next, err := m.NewInstance(1<<20, nil)
		if err != nil {
			t.Fatal(err)
		}
		for i, b := range next.Bytes(NullGuard, uint64(heap+size)-NullGuard) {
			if b != 0 {
				t.Fatalf("byte %#x of a new instance is %#x", i+NullGuard, b)
			}
		}
		next.Close()
	}
}

func TestInstanceErrors(t *testing.T) {
	m, other := storeModule(t), storeModule(t)
	in, err := m.NewInstance(0, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := in.Run(other.Programs()[0], nil); !errors.Is(err, errForeign) {
		t.Error(err)
	}
	in.Close()
	in.Close()
	if _, err := in.Run(m.Programs()[0], nil); !errors.Is(err, errClosed) {
		t.Error(err)
	}
	if _, err := m.NewInstance(DefaultMaxArena, nil); err == nil {
		t.Error("an instance larger than allowed")
	}
	if _, err := Compile(Raw("x", []Instruction{{Op: OpExit}}), testEnv(), Options{Engine: "none"}); err == nil {
		t.Error("an engine that does not exist")
	}
}

// TestBudget checks that calls take from the connection's budget and stop when it is used up.
func TestBudget(t *testing.T) {
	m := storeModule(t)
	budget := int64(10)
	in, err := m.NewInstance(0, &budget)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	addr, _ := in.Buffer()
	for want := int64(7); want > 0; want -= 3 {
		if _, err := in.Run(m.Programs()[0], &Call{Args: [5]uint64{uint64(addr)}}); err != nil || budget != want {
			t.Fatal(err, budget)
		}
	}
	var f *Fault
	if _, err := in.Run(m.Programs()[0], &Call{Args: [5]uint64{uint64(addr)}}); !errors.As(err, &f) || f.Kind != FaultFuel || budget != 0 {
		t.Fatal(err, budget)
	}
}
