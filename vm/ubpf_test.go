//go:build ubpf && linux && (amd64 || arm64) && !nojit

package vm

import (
	"math/rand/v2"
	"testing"
)

// The library agrees with the interpreter on random lowered code, bit by bit.
func TestUBPFAgrees(t *testing.T) {
	programs := 300
	if testing.Short() {
		programs = 50
	}
	seen := make(map[FaultKind]int)
	for seed := range uint64(programs) {
		code, entries := generate(rand.New(rand.NewPCG(seed, 2)))
		m := &Module{code: code, layout: layout{rwStart: genRWStart}}
		for _, jit := range []bool{false, true} {
			e, err := newUBPF(m, entries, jit)
			if err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			for _, entry := range entries {
				want := execute(code, interp{code}, entry, seed, 5000)
				got := execute(code, e, entry, seed, 5000)
				seen[want.kind]++
				if d := want.differs(got); d != "" {
					for i := range code {
						t.Logf("%d: %+v", i, code[i])
					}
					t.Fatalf("seed %d, compiled %v, entry %d: interpreter and ubpf differ:\n%s", seed, jit, entry, d)
				}
			}
			e.close()
		}
	}
	t.Logf("outcomes: %v", seen)
}

// The programs written in C run compiled by the library, too.
func TestUBPFCompiled(t *testing.T) {
	p := newCProgram(t, "calls", "ubpf-jit")
	if got, err := p.run(t, "test/calls"); err != nil || got != 0x95f1a619b2d7efbe {
		t.Errorf("%#x, %v", got, err)
	}
	p = newCProgram(t, "ack_direct", "ubpf-jit")
	if got, err := p.run(t, "test/ack_direct"); err != nil || got != 120024 {
		t.Errorf("%#x, %v", got, err)
	}
}
