//go:build linux && (amd64 || arm64) && !nojit

package vm

import "unsafe"

// jitSlice is how much fuel compiled code gets at a time. Generated code has no point where the garbage collector or
// the scheduler could stop it, so it comes back after as many instructions, some 30 microseconds.
const jitSlice = 100_000

// jitEngine runs compiled code. It is immutable and serves all instances of a module.
type jitEngine struct {
	memory     *execMemory
	base       uintptr
	resumeCall uintptr
	resumeAll  uintptr
	entry      []uint32 // per index in Module.code
	code       []Inst
}

// enterCode runs compiled code at pc with the state at biased minus stateBias.
//
//go:noescape
func enterCode(biased unsafe.Pointer, pc uintptr)

func init() {
	otherEngines["jit"] = func(m *Module, entries []int32) (engine, error) {
		e, err := compileJIT(m, entries)
		if err != nil {
			return nil, err
		}
		return e, nil
	}
}

// compileJIT returns an engine for a lowered module whose programs start at entries. The error says why there is none,
// if the system refuses executable memory.
func compileJIT(m *Module, entries []int32) (*jitEngine, error) {
	if err := jitAvailable(); err != nil {
		return nil, err
	}
	u := unit{ir: m.code, entries: entries, rwStart: m.layout.rwStart}
	for i := range m.programs {
		p := &m.programs[i]
		u.args = append(u.args, p.first-R1+p.scalars)
	}
	for _, h := range m.hosts {
		n := 0
		if h != nil { // the host lacks a weak import
			n = len(h.Params)
		}
		u.params = append(u.params, uint8(n))
	}
	c, err := compileCode(&u, compileOptions{})
	if err != nil {
		return nil, err
	}
	return newJITEngine(m.code, c)
}

// newJITEngine maps compiled code.
func newJITEngine(ir []Inst, c *compiled) (*jitEngine, error) {
	mem, err := newExecMemory(c.code)
	if err != nil {
		return nil, err
	}
	base := mem.base()
	return &jitEngine{
		memory:     mem,
		base:       base,
		resumeCall: base + uintptr(c.resumeCall),
		resumeAll:  base + uintptr(c.resumeAll),
		entry:      c.entry,
		code:       ir,
	}, nil
}

func (e *jitEngine) close() { e.memory.free() }

// run is engine.run. Compiled code comes back here for everything that is Go's to do.
func (e *jitEngine) run(m *Machine, s *state, entry int32) bool {
	j := &s.jit
	if j.loadMax[0] != s.loadLimit-1 {
		s.setLimits()
	}
	j.refuel(s.fuel)
	j.frame = 0
	biased := unsafe.Add(unsafe.Pointer(s), stateBias)
	pc := e.base + uintptr(e.entry[entry])
	for {
		enterCode(biased, pc)
		s.fuel = j.fuel + j.reserve
		switch j.exit {
		case jitDone:
			return true
		case jitCall:
			if !m.host(&e.code[s.faultInst]) {
				return false
			}
			pc = e.resumeCall
		case jitStore:
			if !m.host(&e.code[s.faultInst]) {
				return false
			}
			pc = e.resumeAll
		case jitFuel:
			if s.fuel < 0 {
				s.faultKind, s.faultAddr = FaultFuel, 0
				return false
			}
			safepoint()
			pc = e.resumeAll
		default:
			return false
		}
		j.refuel(s.fuel)
	}
}

// refuel gives compiled code its next slice of what the call may spend. It must not start below 0: its comparison is
// unsigned.
func (j *jitState) refuel(fuel int64) {
	j.fuel = max(min(fuel, jitSlice), 0)
	j.reserve = fuel - j.fuel
}

// safepoint lets the scheduler and the garbage collector in if they wait: its frame is large enough for a prologue
// that looks whether the goroutine is to stop.
//
//go:noinline
func safepoint() {
	var frame [256]byte
	touch(&frame)
}

//go:noinline
func touch(frame *[256]byte) { frame[0] = 1 }
