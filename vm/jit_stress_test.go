//go:build linux && (amd64 || arm64) && !nojit

package vm

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"runtime/pprof"
	"runtime/trace"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
)

// What host functions do to the goroutine while compiled code waits for them.
const (
	stressGrow   = iota // grow the stack, so that it moves
	stressAlloc         // make garbage
	stressYield         // let others run, on another thread perhaps
	stressNested        // run a program of the same instance
	stressLock          // wait for a mutex
	stressBlock         // wait for another goroutine
	stressKinds
)

// stressSpins is how often the loops of the stress programs go round: more than one slice of fuel.
const stressSpins = 40_000

var (
	stressGarbage atomic.Pointer[[]byte]
	stressMutex   sync.Mutex
)

// growStack uses some stack for each level.
//
//go:noinline
func growStack(n int) byte {
	var b [512]byte
	b[n&511] = byte(n)
	if n == 0 {
		return b[0]
	}
	return growStack(n-1) + b[5]
}

func stressWork(m *Machine, a *[5]uint64) (uint64, error) {
	switch a[0] % stressKinds {
	case stressGrow:
		growStack(200)
	case stressAlloc:
		b := make([]byte, 2000)
		stressGarbage.Store(&b)
	case stressYield:
		runtime.Gosched()
	case stressNested:
		if m.Depth() == MaxNesting {
			break
		}
		if got, err := m.Instance().Run(m.User().(*Prog), &Call{Args: [5]uint64{100}, User: m.User()}); err != nil || got != sumTo(100) {
			return 0, fmt.Errorf("nested: %d, %w", got, err)
		}
	case stressLock:
		stressMutex.Lock()
		growStack(3)
		stressMutex.Unlock()
	case stressBlock:
		done := make(chan struct{})
		go close(done)
		<-done
	}
	return a[0] + 1, nil
}

func sumTo(n uint64) uint64 { return n * (n + 1) / 2 }

// stressObject has a program per section: "spin" adds up r1 numbers, "memory" does so in memory, "calls" calls work
// with each number up to r1, "outside" loads from nowhere, "forever" loops.
func stressObject() *Object {
	o := Raw("stress", nil)
	o.Imports = []Import{{Name: "work"}}
	o.Functions, o.Programs = nil, nil
	add := func(section string, code ...Instruction) {
		start := len(o.Code)
		o.Code = append(o.Code, code...)
		o.Programs = append(o.Programs, Program{Section: section, Name: section, Function: len(o.Functions)})
		o.Functions = append(o.Functions, Function{Name: section, Section: section, Start: start, End: len(o.Code)})
	}
	mov := func(dst, src uint8) Instruction { return Instruction{Op: OpMov64Reg, Dst: dst, Src: src} }
	movi := func(dst uint8, v int32) Instruction { return Instruction{Op: OpMov64Imm, Dst: dst, Imm: v} }
	addi := func(dst uint8, v int32) Instruction { return Instruction{Op: OpAdd64Imm, Dst: dst, Imm: v} }
	add64 := func(dst, src uint8) Instruction {
		return Instruction{Op: ClassALU64 | ALUAdd | SrcX, Dst: dst, Src: src}
	}
	jne0 := func(r uint8, off int16) Instruction {
		return Instruction{Op: ClassJMP | JmpNE | SrcK, Dst: r, Off: off}
	}
	exit := Instruction{Op: OpExit}
	add("spin", movi(0, 0), add64(0, 1), addi(1, -1), jne0(1, -3), exit)
	add("memory",
		movi(0, 0), Instruction{Op: ClassSTX | ModeMEM | SizeDW, Dst: R10, Src: 0, Off: -8}, mov(2, R10), addi(2, -8),
		Instruction{Op: ClassLDX | ModeMEM | SizeDW, Dst: 0, Src: 2}, add64(0, 1),
		Instruction{Op: ClassSTX | ModeMEM | SizeDW, Dst: 2, Src: 0}, addi(1, -1), jne0(1, -5), exit)
	add("calls",
		mov(R6, 1), movi(R6+1, 0), mov(1, R6), Instruction{Op: OpCall, Src: CallHelper}, add64(R6+1, 0), addi(R6, -1), jne0(R6, -5),
		mov(0, R6+1), exit)
	add("outside", Instruction{Op: ClassLDX | ModeMEM | SizeDW, Dst: 0, Src: 1}, exit)
	add("forever", addi(1, 1), jne0(1, -2), movi(0, 0), exit)
	return o
}

// Compiled code has to survive whatever the runtime does to its goroutine and thread meanwhile: collections, stack
// moves, preemption signals, profilers that walk the stack, tracing.
func TestCompiledCodeUnderStress(t *testing.T) {
	rounds := 300
	if testing.Short() {
		rounds = 40
	}
	env := &Env{
		Context: func(string) (ContextSpec, error) { return ContextSpec{Scalars: 1, Effects: AllEffects}, nil },
		Funcs:   []HostFunc{{Name: "work", Params: []Param{{}}, Result: Result{Type: ScalarResult}, Fn: stressWork}},
	}
	m, err := Compile(stressObject(), env, Options{Engine: "jit", Fuel: 10 * stressSpins})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Release()
	stop := disturb(t)
	defer stop()
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			in, err := m.NewInstance(4096, nil)
			if err != nil {
				t.Error(err)
				return
			}
			defer in.Close()
			r := rand.New(rand.NewPCG(1, uint64(w)))
			for range rounds {
				stressRound(t, m, in, r)
			}
		})
	}
	wg.Wait()
}

// stressRound runs every program once, on the goroutine at hand or a new one with a small stack.
func stressRound(t *testing.T, m *Module, in *Instance, r *rand.Rand) {
	spin, _ := m.Program("spin")
	for _, p := range m.Programs() {
		n, want, kind := uint64(stressSpins), uint64(0), NoFault
		switch p.Section {
		case "spin", "memory":
			want = sumTo(n)
		case "calls":
			n = uint64(1 + r.IntN(40))
			want = sumTo(n) + n
		case "outside":
			n, kind = r.Uint64()|1<<40, FaultLoad
		case "forever":
			kind = FaultFuel
		}
		run := func() {
			got, err := in.Run(p, &Call{Args: [5]uint64{n}, User: spin})
			var f *Fault
			switch {
			case kind == NoFault && (err != nil || got != want):
				t.Errorf("%s: %d, %v; want %d", p.Section, got, err, want)
			case kind != NoFault && (!errors.As(err, &f) || f.Kind != kind):
				t.Errorf("%s: %d, %v; want the fault %q", p.Section, got, err, kind)
			}
		}
		if r.IntN(2) == 0 {
			run()
			continue
		}
		var wg sync.WaitGroup
		wg.Go(run)
		wg.Wait()
	}
}

// disturb starts all that could interfere, and returns what ends it.
func disturb(t *testing.T) (stop func()) {
	var profile, events bytes.Buffer
	runtime.SetBlockProfileRate(1)
	runtime.SetMutexProfileFraction(1)
	profiling := pprof.StartCPUProfile(&profile) == nil // fails if the test run itself is profiled
	tracing := trace.Start(&events) == nil
	var ended atomic.Bool
	var wg sync.WaitGroup
	loop := func(f func()) {
		wg.Go(func() {
			for !ended.Load() {
				f()
				runtime.Gosched()
			}
		})
	}
	stack := make([]byte, 1<<20)
	loop(runtime.GC)
	loop(func() { _ = syscall.Kill(syscall.Getpid(), syscall.SIGURG) })
	loop(func() { _ = syscall.Kill(syscall.Getpid(), syscall.SIGPROF) })
	loop(func() { runtime.Stack(stack, true) })
	return func() {
		ended.Store(true)
		wg.Wait()
		if tracing {
			trace.Stop()
		}
		if profiling {
			pprof.StopCPUProfile()
		}
		runtime.SetBlockProfileRate(0)
		runtime.SetMutexProfileFraction(0)
		for _, name := range []string{"block", "mutex", "goroutine"} {
			if err := pprof.Lookup(name).WriteTo(&profile, 0); err != nil {
				t.Error(err)
			}
		}
	}
}
