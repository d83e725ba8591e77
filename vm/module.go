package vm

import (
	"errors"
	"fmt"
	"sync/atomic"
	"unsafe"
)

// A Module is a verified and lowered object: immutable, shared by any number of instances and goroutines. It holds
// compiled code, which is freed when the last reference is released.
type Module struct {
	object     *Object
	env        *Env
	opt        Options
	layout     layout
	code       []Inst
	hosts      []*hostFunc // by import
	programs   []Prog
	report     []Verdict
	engine     engine
	engineName string
	refs       atomic.Int32
}

// A Prog is one program of a module.
type Prog struct {
	Section string
	Name    string
	module  *Module
	entry   int32  // index in Module.code
	need    uint64 // static view slots that a call must set
	scalars uint8  // arguments taken from Call.Args
	first   uint8  // register of the first of them
	slot    uint8  // handle of the context in r1, 0 if there is none
}

// An engine runs lowered code. run executes from entry until the program ends; it returns true with the result in
// s.regs[0], or false with s.faultKind, s.faultInst and s.faultAddr set. Before it, s.regs, s.fuel, s.views and the
// arena fields are set and s.depth is 0; after it s.fuel is what is left, also after a fault. close frees what the
// engine holds; nothing runs then.
type engine interface {
	run(m *Machine, s *state, entry int32) bool
	close()
}

// Compile verifies an object against an environment and makes it ready to run. The error is a *VerifyError if the
// program was refused; other errors concern the engine asked for. The module starts with one reference.
func Compile(o *Object, env *Env, opt Options) (*Module, error) {
	opt = opt.withDefaults()
	v := &verifier{object: o, env: env, opt: opt}
	if err := checkObject(o); err != nil {
		return nil, err
	}
	l, err := newLayout(alignUp(max(o.DataAddr, o.RODataAddr+uint32(len(o.ROData))), pageSize), o.End, opt.CallBuffer)
	if err != nil || l.heap > opt.MaxArena {
		return nil, v.errObject("the program's data needs more memory than the %d bytes allowed", opt.MaxArena)
	}
	v.layout = l
	if err := v.verify(); err != nil {
		return nil, err
	}
	code, entries := v.lower()
	m := &Module{object: o, env: env, opt: opt, layout: l, code: code, hosts: v.hosts, report: v.verdicts()}
	m.refs.Store(1)
	starts := make([]int32, len(o.Programs))
	for i, p := range o.Programs {
		starts[i] = entries[p.Function]
		spec := &v.specs[i]
		g := Prog{Section: p.Section, Name: p.Name, module: m, entry: starts[i], scalars: spec.Scalars, first: R1}
		if spec.Kind != "" {
			g.slot, g.first = spec.Slot, R1+1
		}
		g.scalars = min(g.scalars, R5+1-g.first)
		for _, f := range v.reach(p.Function) {
			g.need |= f.need
		}
		m.programs = append(m.programs, g)
	}
	if err := m.start(starts); err != nil {
		return nil, err
	}
	return m, nil
}

// checkObject checks what the verifier and the instances index without looking.
func checkObject(o *Object) error {
	bad := func(what string) error {
		return &VerifyError{Object: o.Name, Slot: -1, Msg: "the object is damaged: " + what}
	}
	for _, f := range o.Functions {
		if f.Start < 0 || f.Start >= f.End || f.End > len(o.Code) {
			return bad(fmt.Sprintf("function %q has no code", f.Name))
		}
	}
	for _, p := range o.Programs {
		if p.Function < 0 || p.Function >= len(o.Functions) {
			return bad(fmt.Sprintf("program %q has no function", p.Section))
		}
	}
	switch {
	case o.RODataAddr < NullGuard || o.End > maxAddress:
	case uint64(o.RODataAddr)+uint64(len(o.ROData)) > uint64(o.DataAddr):
	case uint64(o.DataAddr)+uint64(len(o.Data)) > uint64(o.BSSAddr):
	case uint64(o.BSSAddr)+uint64(o.BSSSize) > uint64(o.End):
	default:
		return nil
	}
	return bad("its data sections overlap")
}

// start makes the engine.
func (m *Module) start(entries []int32) error {
	switch m.opt.Engine {
	case "interp":
	case "auto", "jit":
		err := errNoEngine
		if jit, ok := otherEngines["jit"]; ok {
			m.engine, err = jit(m, entries)
		}
		if err == nil {
			m.engineName = "jit"
			return nil
		}
		if m.opt.Engine == "jit" {
			return fmt.Errorf("vm: engine jit: %w", err)
		}
	default:
		e, ok := otherEngines[m.opt.Engine]
		if !ok {
			return fmt.Errorf("vm: this build has no engine %q", m.opt.Engine)
		}
		var err error
		m.engine, err = e(m, entries)
		if err != nil {
			return fmt.Errorf("vm: engine %s: %w", m.opt.Engine, err)
		}
		m.engineName = m.opt.Engine
		return nil
	}
	m.engine, m.engineName = interp{m.code}, "interp"
	return nil
}

// otherEngines are those that only some builds have; their files add them.
var otherEngines = map[string]func(m *Module, entries []int32) (engine, error){}

// Engine returns the name of the engine that runs the module: "interp", "jit" or "ubpf".
func (m *Module) Engine() string { return m.engineName }

// Object returns what the module was made from.
func (m *Module) Object() *Object { return m.object }

// Retain adds a reference.
func (m *Module) Retain() { m.refs.Add(1) }

// Release drops a reference. After the last one compiled code is freed: no instance may run then.
func (m *Module) Release() {
	if m.refs.Add(-1) == 0 {
		m.engine.close()
	}
}

// Programs returns the module's programs in the order of the object.
func (m *Module) Programs() []*Prog {
	list := make([]*Prog, len(m.programs))
	for i := range m.programs {
		list[i] = &m.programs[i]
	}
	return list
}

// Program returns the first program of the section.
func (m *Module) Program(section string) (*Prog, bool) {
	for i := range m.programs {
		if m.programs[i].Section == section {
			return &m.programs[i], true
		}
	}
	return nil, false
}

// An Instance is a module's memory for one connection. It belongs to one goroutine at a time.
type Instance struct {
	module  *Module
	base    unsafe.Pointer // host address of arena address 0
	end     uint32         // arena addresses end here
	arena   arena
	machine Machine
	budget  *int64
	stats   Stats
}

// Stats counts what an instance did.
type Stats struct {
	Calls  uint64 // programs run
	Faults uint64 // of them, ended by a fault
	Fuel   uint64 // spent by all
}

var (
	errNoEngine = errors.New("this build does not have it")
	errClosed   = errors.New("vm: the instance is closed")
	errForeign  = errors.New("vm: the program belongs to another module")
	errNesting  = errors.New("vm: programs are nested too deeply")
	errViews    = errors.New("vm: the call lacks a view that the program needs")
)

// NewInstance gives the module memory with a heap of the given size in bytes. budget, if not nil, is fuel that the
// instance shares with others of its connection; calls take from it. The instance holds a reference to the module.
func (m *Module) NewInstance(heap uint32, budget *int64) (*Instance, error) {
	l := &m.layout
	end := uint64(l.heap) + uint64(heap)
	if end > uint64(m.opt.MaxArena) || end > maxAddress {
		return nil, fmt.Errorf("vm: a heap of %d bytes makes the instance larger than the %d bytes allowed", heap, m.opt.MaxArena)
	}
	a, err := newArena(privateSize + alignUp(uint32(end), pageSize))
	if err != nil {
		return nil, fmt.Errorf("vm: memory for an instance: %w", err)
	}
	in := &Instance{module: m, base: unsafe.Add(a.mem, privateSize), end: uint32(end), arena: a, budget: budget}
	in.machine.in = in
	o := m.object
	copy(in.Bytes(uint64(o.RODataAddr), uint64(len(o.ROData))), o.ROData)
	copy(in.Bytes(uint64(o.DataAddr), uint64(len(o.Data))), o.Data)
	m.Retain()
	return in, nil
}

// Close frees the instance's memory. Slices of it must not be used afterwards. Closing twice does nothing. It must
// not be called while a program of the instance runs.
func (in *Instance) Close() {
	if in.base == nil {
		return
	}
	in.base = nil
	in.machine = Machine{}
	in.arena.free()
	in.module.Release()
}

// Module returns the instance's module.
func (in *Instance) Module() *Module { return in.module }

// Stats returns the instance's counters.
func (in *Instance) Stats() Stats { return in.stats }

// Heap returns the arena address of the heap and its size in bytes.
func (in *Instance) Heap() (addr, size uint32) {
	return in.module.layout.heap, in.end - in.module.layout.heap
}

// Buffer returns the call buffer of the program that the next Run will start: its arena address and its bytes.
// Nested programs have buffers of their own.
func (in *Instance) Buffer() (addr uint32, b []byte) {
	l := &in.module.layout
	level := min(in.machine.Depth(), MaxNesting-1)
	addr = l.buffers + uint32(level)*l.bufferSize
	return addr, in.Bytes(uint64(addr), uint64(l.bufferSize))
}
