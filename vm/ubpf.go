//go:build ubpf && linux

package vm

import (
	"sync"
	"unsafe"

	"github.com/pquic-go/pquic/vm/internal/ubpf"
)

// The engines "ubpf" and "ubpf-jit" run programs on iovisor's ubpf, a C library, through cgo. They exist to compare
// with, in builds with the tag ubpf.
//
// The lowered code is translated back to eBPF (ubpf_emit.go) that has all checks of arena, fuel and call depth in it,
// so that results, faults and fuel are those of the other engines. On top of that, ubpf's interpreter asks back about
// every access. Its compiler does not, so "ubpf-jit" is for trusted programs.
func init() {
	otherEngines["ubpf"] = func(m *Module, entries []int32) (engine, error) { return newUBPF(m, entries, false) }
	otherEngines["ubpf-jit"] = func(m *Module, entries []int32) (engine, error) { return newUBPF(m, entries, true) }
}

type ubpfEngine struct {
	program *ubpf.Program
	module  *Module
	entries map[int32]uint64 // index of a program's first instruction to its number

	mu   sync.Mutex
	idle []*ubpfCall
}

// A ubpfCall is one running program: what Go and C need of it.
type ubpfCall struct {
	*ubpf.Block
	engine *ubpfEngine
	m      *Machine
	s      *state
}

func newUBPF(m *Module, entries []int32, jit bool) (engine, error) {
	e := &ubpfEngine{module: m, entries: make(map[int32]uint64)}
	var numbered []int32
	for _, at := range entries {
		if _, ok := e.entries[at]; !ok {
			e.entries[at] = uint64(len(numbered))
			numbered = append(numbered, at)
		}
	}
	code, err := emitUBPF(m, numbered)
	if err != nil {
		return nil, err
	}
	if e.program, err = ubpf.Load(EncodeInstructions(code), jit); err != nil {
		return nil, err
	}
	return e, nil
}

// close frees the library's objects; all calls are idle then.
func (e *ubpfEngine) close() {
	for _, c := range e.idle {
		c.Free()
	}
	e.idle = nil
	e.program.Close()
}

func (e *ubpfEngine) get() *ubpfCall {
	e.mu.Lock()
	defer e.mu.Unlock()
	if n := len(e.idle); n > 0 {
		c := e.idle[n-1]
		e.idle = e.idle[:n-1]
		return c
	}
	c := &ubpfCall{engine: e}
	c.Block = ubpf.NewBlock(c.leave)
	return c
}

func (e *ubpfEngine) put(c *ubpfCall) {
	c.m, c.s = nil, nil
	e.mu.Lock()
	e.idle = append(e.idle, c)
	e.mu.Unlock()
}

func (e *ubpfEngine) run(m *Machine, s *state, entry int32) bool {
	c := e.get()
	defer e.put(c)
	c.m, c.s = m, s
	copy(c.Regs[:], s.regs[:])
	c.FP, c.Fuel = s.regs[R10], s.fuel
	c.Base, c.LoadLimit, c.StoreLimit = uint64(uintptr(s.arena)), s.loadLimit, s.storeLimit
	c.Entry = e.entries[entry]
	c.Low, c.High = c.Base-privateSize, c.Base+NullGuard+c.LoadLimit
	switch e.program.Run(c.Block) {
	case ubpfReturned:
		s.regs[R0], s.fuel = c.Regs[R0], c.Fuel
		return true
	case ubpfFaulted:
		return s.fault(FaultKind(c.FaultKind), int(c.FaultInst), c.FaultAddr, c.Fuel)
	case ubpfHostFaulted:
		return false
	}
	// ubpf refused what the checks in the code had let through.
	return s.fault(FaultUnreachable, int(entry), 0, c.Fuel)
}

// leave performs an instruction that needs the host: a call of it or an access to its objects.
func (c *ubpfCall) leave(inst int) bool {
	s := c.s
	i := &c.engine.module.code[inst]
	copy(s.regs[:], c.Regs[:])
	s.regs[R10], s.fuel = c.FP, c.Fuel
	switch i.Op {
	case IRHost, IRStoreFieldHost:
		if !c.m.host(i) {
			return false
		}
		c.Fuel, c.Regs[R0] = s.fuel, s.regs[R0]
	case IRLoadHandle, IRLoadField8, IRLoadField16, IRLoadField32, IRLoadField64, IRLoadFieldS8, IRLoadFieldS16, IRLoadFieldS32:
		c.Regs[i.Dst] = c.loadField(i)
	default:
		c.storeField(i)
	}
	return true
}

// loadField reads from a host's object.
func (c *ubpfCall) loadField(i *Inst) uint64 {
	s := c.s
	if i.Op == IRLoadHandle {
		if s.views[i.Target&(NumSlots-1)] == nil {
			return 0
		}
		return uint64(i.Target)
	}
	view, at := s.view(i, s.regs[i.Src&15]), uint64(i.Off)
	switch i.Op {
	case IRLoadField8:
		return uint64(load[uint8](view, at))
	case IRLoadField16:
		return uint64(load[uint16](view, at))
	case IRLoadField32:
		return uint64(load[uint32](view, at))
	case IRLoadFieldS8:
		return uint64(int64(load[int8](view, at)))
	case IRLoadFieldS16:
		return uint64(int64(load[int16](view, at)))
	case IRLoadFieldS32:
		return uint64(int64(load[int32](view, at)))
	}
	return load[uint64](view, at)
}

// storeField writes to a host's object that the host staged for the program.
func (c *ubpfCall) storeField(i *Inst) {
	s := c.s
	v := s.regs[i.Src&15]
	if i.Flags&FlagImm != 0 {
		v = uint64(i.Imm)
	}
	view, at := s.view(i, s.regs[i.Dst&15]), uint64(i.Off)
	switch i.Op {
	case IRStoreField8:
		store(view, at, uint8(v))
	case IRStoreField16:
		store(view, at, uint16(v))
	case IRStoreField32:
		store(view, at, uint32(v))
	case IRStoreField64:
		store(view, at, v)
	}
}

// Offsets in a block.
const (
	ubpfRegs       = int16(unsafe.Offsetof(ubpf.Block{}.Regs))
	ubpfFP         = int16(unsafe.Offsetof(ubpf.Block{}.FP))
	ubpfFuel       = int16(unsafe.Offsetof(ubpf.Block{}.Fuel))
	ubpfBase       = int16(unsafe.Offsetof(ubpf.Block{}.Base))
	ubpfLoadLimit  = int16(unsafe.Offsetof(ubpf.Block{}.LoadLimit))
	ubpfStoreLimit = int16(unsafe.Offsetof(ubpf.Block{}.StoreLimit))
	ubpfEntry      = int16(unsafe.Offsetof(ubpf.Block{}.Entry))
	ubpfFaultKind  = int16(unsafe.Offsetof(ubpf.Block{}.FaultKind))
	ubpfFaultInst  = int16(unsafe.Offsetof(ubpf.Block{}.FaultInst))
	ubpfFaultAddr  = int16(unsafe.Offsetof(ubpf.Block{}.FaultAddr))
	ubpfFrames     = int32(unsafe.Offsetof(ubpf.Block{}.Frames))
)
