//go:build linux && (amd64 || arm64) && !nojit

package vm

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"unsafe"
)

// An outcome is all that a run leaves behind; two engines have to agree on every bit of it.
type outcome struct {
	ok     bool
	result uint64
	fuel   int64
	kind   FaultKind
	inst   int32
	addr   uint64
	host   []uint64 // what host functions saw
	memory []byte
	views  []byte
}

var errEnough = errors.New("enough calls")

// execute runs lowered code from entry in an environment derived from the seed.
func execute(code []Inst, e engine, entry int32, seed uint64, fuel int64) *outcome {
	r := rand.New(rand.NewPCG(seed, 1))
	out := &outcome{memory: make([]byte, genArena+8), views: make([]byte, NumSlots*genViewSize)}
	for _, b := range [][]byte{out.memory[:genArena], out.views} {
		for i := range b {
			b[i] = byte(r.Uint32())
		}
	}
	mod := &Module{code: code, engine: e}
	lv := &level{prog: &Prog{module: mod}}
	s := &lv.state
	see := func(v ...uint64) error {
		if out.host = append(out.host, v...); len(out.host) > 500 {
			return errEnough
		}
		return nil
	}
	answer := func(m *Machine, a *[5]uint64) (uint64, error) {
		binary.LittleEndian.PutUint64(out.memory[genRWStart:], a[0])
		if err := m.Charge(a[0] & 7); err != nil {
			return 0, err
		}
		return ^a[0], see(a[0], a[1], a[2])
	}
	nothing := func(*Machine, *[5]uint64) (uint64, error) { return 1 << 40, see(77) }
	mod.hosts = []*hostFunc{
		{HostFunc: &HostFunc{Fn: answer, Params: make([]Param, genParams), Cost: 3, Result: Result{Type: ScalarResult}}},
		{HostFunc: &HostFunc{Fn: nothing, Result: Result{Type: ScalarResult}}},
	}
	mod.env = &Env{
		Kinds: []Kind{{Fields: make([]Field, genViewSize)}},
		StoreField: func(_ *Machine, kind int, slot uint8, field int, v uint64) error {
			return see(uint64(kind), uint64(slot), uint64(field), v)
		},
	}
	in := &Instance{module: mod, base: unsafe.Pointer(&out.memory[0]), end: genArena}
	m := &in.machine
	m.in, m.lv = in, lv
	lv.next = FirstDynamicSlot
	s.arena, s.fuel = in.base, fuel
	s.loadLimit, s.rwStart, s.storeLimit = genArena-NullGuard, genRWStart, genArena-genRWStart
	for i := range R5 + 1 {
		s.regs[i] = r.Uint64()
	}
	s.regs[RegFrame] = genStackTop
	s.views[0] = unsafe.Pointer(&zeroView)
	for _, v := range genViews {
		s.views[v] = unsafe.Pointer(&out.views[int(v)*genViewSize])
	}
	if out.ok = e.run(m, s, entry); out.ok {
		out.result = s.regs[0]
	} else {
		out.kind, out.inst, out.addr = s.faultKind, s.faultInst, s.faultAddr
	}
	out.fuel = s.fuel
	return out
}

// differs describes the first difference between two outcomes.
func (o *outcome) differs(p *outcome) string {
	text := func(o *outcome) string {
		return fmt.Sprintf("ok %v, result %#x, fuel %d, %v at %d, address %#x, host %x", o.ok, o.result, o.fuel, o.kind, o.inst, o.addr, o.host)
	}
	if a, b := text(o), text(p); a != b {
		return a + "\n" + b
	}
	for i := range o.memory {
		if o.memory[i] != p.memory[i] {
			return fmt.Sprintf("memory at %#x: %#x, %#x", i, o.memory[i], p.memory[i])
		}
	}
	if !bytes.Equal(o.views, p.views) {
		return "views"
	}
	return ""
}

// compileVariants are the ways to compile the same program.
var compileVariants = []compileOptions{{}, {noBMI2: true, frameInMemory: true, noCaches: true}, {frameInMemory: true}, {noCaches: true}}

// compareEngines runs the random program of the seed on the interpreter and in all variants of compiled code.
func compareEngines(t *testing.T, seed uint64, fuel int64, seen map[FaultKind]int) {
	t.Helper()
	code, entries := generate(rand.New(rand.NewPCG(seed, 2)))
	for n, opt := range compileVariants {
		u := &unit{ir: code, entries: entries, args: []uint8{R5, 0}[:len(entries)], params: []uint8{genParams, 0}, rwStart: genRWStart}
		c, err := compileCode(u, opt)
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		e, err := newJITEngine(code, c)
		if err != nil {
			t.Fatal(err)
		}
		for _, entry := range entries {
			want := execute(code, interp{code}, entry, seed, fuel)
			got := execute(code, e, entry, seed, fuel)
			if n == 0 {
				seen[want.kind]++
			}
			if d := want.differs(got); d != "" {
				for i := range code {
					t.Logf("%d: %+v", i, code[i])
				}
				t.Fatalf("seed %d, fuel %d, variant %d, entry %d: interpreter and compiled code differ:\n%s", seed, fuel, n, entry, d)
			}
		}
		e.close()
	}
}

func TestEnginesAgree(t *testing.T) {
	programs := 1500
	if testing.Short() {
		programs = 150
	}
	seen := make(map[FaultKind]int)
	for seed := range uint64(programs) {
		fuel := int64(20_000)
		if seed%64 == 0 {
			fuel = 3 * jitSlice // several slices
		}
		compareEngines(t, seed, fuel, seen)
	}
	t.Logf("outcomes: %v", seen)
	for k := range FaultUnreachable + 1 {
		if k != FaultArgument && seen[k] == 0 {
			t.Errorf("no program ended with %q", k)
		}
	}
}

func FuzzEnginesAgree(f *testing.F) {
	f.Add(uint64(1), uint32(1000))
	f.Add(uint64(1<<63), uint32(2*jitSlice))
	f.Fuzz(func(t *testing.T, seed uint64, fuel uint32) {
		compareEngines(t, seed, int64(fuel%(4*jitSlice)), make(map[FaultKind]int))
	})
}
