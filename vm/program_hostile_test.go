package vm

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"unsafe"
)

// guarded is the host's memory of one call: the objects that a program may see
// with bytes around them that it may not.
type guarded struct {
	before [256]byte
	ctx    hostCtx
	middle [256]byte
	path   hostPath
	after  [256]byte
}

func newGuarded(buf uint32) *guarded {
	g := new(guarded)
	for i := range g.before {
		g.before[i], g.middle[i], g.after[i] = 0xa1, 0xa2, 0xa3
	}
	g.ctx = hostCtx{len: 10, buf: uint64(buf), c: 0x0123456789abcdef, b: -7, a: 5, acked: 2400, ackDelay: 1500, maxAckDelay: 25000}
	g.path = hostPath{
		narrow: 77, mss: 1200, cwnd: 120000, inflight: 90000, ssthresh: 100000,
		minrtt: 29000, latest: 31000, srtt: 30000, rttvar: 4000, padding: 9, ptoCount: 3,
	}
	return g
}

// violated says what a program changed that it must not; empty if nothing.
func (g *guarded) violated() string {
	want := newGuarded(uint32(g.ctx.buf))
	// Fields that programs may write.
	want.path = hostPath{
		narrow: g.path.narrow, mss: want.path.mss, cwnd: g.path.cwnd, inflight: g.path.inflight, ssthresh: g.path.ssthresh,
		minrtt: g.path.minrtt, latest: want.path.latest, srtt: g.path.srtt, rttvar: g.path.rttvar, padding: 9, ptoCount: g.path.ptoCount,
	}
	if *g != *want {
		return fmt.Sprintf("host memory is\n%+v\nand not\n%+v", *g, *want)
	}
	return ""
}

// An ending is all that a run leaves behind.
type ending struct {
	result uint64
	fault  Fault
	path   hostPath
	stats  Stats
	arena  []byte
}

// runGuarded runs a program and checks that it did no harm.
func runGuarded(t *testing.T, o *Object, env *Env, engine string, program int) *ending {
	t.Helper()
	m, err := Compile(o, env, Options{Engine: engine, Fuel: 3000, CallBuffer: 256})
	if err != nil {
		var ve *VerifyError
		if !errors.As(err, &ve) {
			t.Fatal(err)
		}
		return nil
	}
	defer m.Release()
	in, err := m.NewInstance(4096, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	addr, _ := in.Buffer()
	g := newGuarded(addr)
	call := Call{Views: []unsafe.Pointer{unsafe.Pointer(&g.ctx), unsafe.Pointer(&g.path)}}
	e := new(ending)
	e.result, err = in.Run(m.Programs()[program], &call)
	var f *Fault
	if errors.As(err, &f) {
		if f.Kind == FaultUnreachable {
			t.Fatalf("%s: %v", engine, err)
		}
		e.fault, e.fault.Err = *f, nil
	} else if err != nil {
		t.Fatal(err)
	}
	if what := g.violated(); what != "" {
		t.Fatalf("%s: %s", engine, what)
	}
	e.path, e.stats = g.path, in.Stats()
	e.arena = bytes.Clone(in.Bytes(NullGuard, uint64(in.end)-NullGuard))
	if !bytes.Equal(e.arena[:len(o.ROData)], o.ROData) {
		t.Fatalf("%s: read-only data changed", engine)
	}
	return e
}

// runEverywhere runs a program on all engines, whose endings must be the same.
// It returns nil if the program is refused.
func runEverywhere(t *testing.T, o *Object, env *Env, engines []string, program int) *ending {
	t.Helper()
	var first *ending
	for n, engine := range engines {
		e := runGuarded(t, o, env, engine, program)
		switch {
		case n == 0:
			first = e
		case e == nil && first == nil:
		case e == nil || first == nil:
			t.Fatalf("%s is accepted for one of %s and %s only", o.Name, engines[0], engine)
		case e.result != first.result || e.fault != first.fault || e.path != first.path || e.stats != first.stats || !bytes.Equal(e.arena, first.arena):
			t.Fatalf("%s, program %s: on %s %#x, %+v, %+v; on %s %#x, %+v, %+v", o.Name, o.Programs[program].Section,
				engines[0], first.result, first.fault, first.stats, engine, e.result, e.fault, e.stats)
		}
	}
	return first
}

// mutate changes some instructions of a program a little.
func mutate(r *rand.Rand, code []Instruction) {
	for range 1 + r.IntN(3) {
		i := &code[r.IntN(len(code))]
		switch r.IntN(8) {
		case 0:
			i.Op ^= 1 << r.IntN(8)
		case 1:
			i.Op = byte(r.Uint32())
		case 2:
			i.Dst = uint8(r.IntN(11))
		case 3:
			i.Src = uint8(r.IntN(11))
		case 4:
			i.Off += int16(r.IntN(17)) - 8
		case 5:
			i.Off = int16(r.Uint32()) >> r.IntN(16)
		case 6:
			i.Imm = int32(r.Uint32()) >> r.IntN(32)
		case 7:
			*i = code[r.IntN(len(code))]
		}
	}
}

// Whatever a program became: it is refused, or it ends alike on all engines,
// within its fuel, and has changed nothing but what it may.
func TestMutatedPrograms(t *testing.T) {
	const rounds = 300
	env := cEnv()
	engines := testEngines(t)
	accepted, faults := 0, 0
	r := rand.New(rand.NewPCG(5, 6))
	for _, name := range testObjects(t) {
		b := readObject(t, name)
		for round := range rounds {
			o, err := Load(name, b, env)
			if err != nil {
				t.Fatal(err)
			}
			if round > 0 {
				mutate(r, o.Code)
			}
			program := r.IntN(len(o.Programs))
			first := runEverywhere(t, o, env, engines, program)
			if first != nil {
				accepted++
				if first.fault.Kind != NoFault {
					faults++
				}
			}
		}
	}
	t.Logf("%d objects with %d mutations each: %d accepted, of them %d faulted", len(testObjects(t)), rounds, accepted, faults)
	if accepted == 0 || faults == 0 {
		t.Error("the mutations show nothing")
	}
}

// FuzzProgram loads, verifies and runs whatever the bytes are.
func FuzzProgram(f *testing.F) {
	for _, name := range testObjects(f) {
		f.Add(readObject(f, name), uint64(1))
	}
	env, engines := cEnv(), testEngines(f)
	f.Fuzz(func(t *testing.T, b []byte, seed uint64) {
		o := loadHostile(t, b, env)
		if o == nil || len(o.Programs) == 0 {
			return
		}
		if seed%2 == 1 {
			mutate(rand.New(rand.NewPCG(seed, 7)), o.Code)
		}
		program := int(seed/2) % len(o.Programs)
		runEverywhere(t, o, env, engines, program)
	})
}

// A function that one call gives what it needs and a later one does not: the first round of the analysis finds no way
// through it, which must not make the later call unreachable.
func TestCalleeRefusedForOneCall(t *testing.T) {
	o := rawFunctions("calls", []Instruction{
		{Op: ClassST | ModeMEM | SizeDW, Dst: R10, Off: -8, Imm: 1},
		{Op: OpMov64Reg, Dst: R1, Src: R10},
		{Op: OpAdd64Imm, Dst: R1, Imm: -8},
		{Op: OpCall, Src: CallLocal, Imm: 2},
		{Op: OpCall, Src: CallLocal, Imm: 1}, // r1 is not set
		{Op: OpExit},
		{Op: ClassLDX | ModeMEM | SizeDW, Dst: R0, Src: R1},
		{Op: OpExit},
	})
	if _, err := Compile(o, testEnv(), Options{}); err == nil {
		t.Error("accepted")
	} else {
		t.Log(err)
	}
}
