package vm

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// boundsEnv is what testdata/bounds/bounds.c expects of its host.
func boundsEnv() *Env {
	answer := func(*Machine, *[5]uint64) (uint64, error) { return 0, nil }
	mem := []Param{{Type: MemReadParam}, {Type: LenParam}}
	return &Env{
		Context: func(string) (ContextSpec, error) { return ContextSpec{Scalars: 2, Effects: AllEffects}, nil },
		Funcs: []HostFunc{
			{Name: "b_len", Result: Result{Type: ScalarResult}, Fn: answer},
			{Name: "b_small", Result: Result{Type: ScalarResult, Max: 100}, Fn: answer},
			{Name: "b_alloc", Params: []Param{{}}, Result: Result{Type: AddressResult}, Effect: OwnHeap, Fn: answer},
			{Name: "b_scan", Params: mem, Result: Result{Type: ScalarResult}, Fn: answer},
			{Name: "b_fill", Params: []Param{{Type: MemWriteParam}, {Type: LenParam}}, Result: Result{Type: ScalarResult}, Fn: answer},
		},
	}
}

// TestLoopBounds holds the verifier to what the sections of the object promise: "proved/…" or "metered/…"; "hard/…" may be either.
func TestLoopBounds(t *testing.T) {
	files, err := filepath.Glob("testdata/bounds/*.o")
	if err != nil || len(files) == 0 {
		t.Fatal("no objects", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			elf, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			env := boundsEnv()
			o, err := Load(filepath.Base(file), elf, env)
			if err != nil {
				t.Fatal(err)
			}
			m, err := Compile(o, env, Options{Engine: "interp"})
			if err != nil {
				t.Fatal(err)
			}
			defer m.Release()
			for _, v := range m.Report() {
				t.Logf("%s: %s", v.Section, v)
				if strings.HasPrefix(v.Section, "hard/") {
					continue
				}
				if want := strings.HasPrefix(v.Section, "proved/"); v.Proved != want {
					t.Errorf("%s: %s", v.Section, v)
				}
			}
		})
	}
}
