//go:build ubpf && linux

package vm

/*
#cgo LDFLAGS: -lubpf
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <ubpf.h>

// What a running program shares with Go. Programs cannot name it.
struct pq_ubpf {
	uint64_t regs[10];   // r0 to r9 when the program starts, leaves and ends
	uint64_t fp;         // r10, an arena address
	uint64_t fuel;
	uint64_t base;       // host address of arena address 0
	uint64_t load_limit; // of struct state
	uint64_t store_limit;
	uint64_t entry;      // which program
	uint64_t fault_kind;
	uint64_t fault_inst;
	uint64_t fault_addr;
	uint64_t frames[8 * 5];
	uint64_t low, high; // the mapping that holds the arena
	uintptr_t call;     // cgo.Handle of a ubpfCall
};

// Written in Go (ubpf_export.go): performs an instruction that needs the host.
// Returns 0 after a fault.
extern uint64_t pqUbpfLeave(uintptr_t call, uint64_t inst);

// ubpf asks about an address without saying which call it is for.
static __thread struct pq_ubpf *pq_current;

static uint64_t pq_leave(uint64_t ctx, uint64_t inst, uint64_t a, uint64_t b, uint64_t c)
{
	struct pq_ubpf *call = (struct pq_ubpf *)(uintptr_t)ctx;
	(void)a, (void)b, (void)c;
	uint64_t ok = pqUbpfLeave(call->call, inst);
	pq_current = call; // programs nest
	return ok;
}

static bool pq_bounds(void *unused, uint64_t addr, uint64_t size)
{
	const struct pq_ubpf *c = pq_current;
	(void)unused;
	return c && addr >= c->low && addr <= c->high && size <= c->high - addr;
}

static int pq_quiet(FILE *stream, const char *format, ...)
{
	(void)stream, (void)format;
	return 0;
}

static struct ubpf_vm *pq_load(const void *code, uint32_t size, char **message)
{
	struct ubpf_vm *vm = ubpf_create();
	if (!vm)
		return NULL;
	ubpf_set_error_print(vm, pq_quiet);
	if (ubpf_register(vm, 0, "leave", pq_leave) != 0 ||
	    ubpf_register_data_bounds_check(vm, NULL, pq_bounds) != 0 ||
	    ubpf_load(vm, code, size, message) != 0) {
		ubpf_destroy(vm);
		return NULL;
	}
	return vm;
}

// Returns what the program left in r0, or -1 if ubpf itself stopped it.
static int pq_run(struct ubpf_vm *vm, ubpf_jit_fn jit, struct pq_ubpf *c)
{
	struct pq_ubpf *outer = pq_current;
	uint64_t result = 0;
	int rc = 0;
	pq_current = c;
	if (jit)
		result = jit(c, sizeof *c);
	else
		rc = ubpf_exec(vm, c, sizeof *c, &result);
	pq_current = outer;
	return rc < 0 ? -1 : (int)result;
}
*/
import "C"

import (
	"errors"
	"fmt"
	"runtime/cgo"
	"sync"
	"unsafe"
)

// The engines "ubpf" and "ubpf-jit" run programs on iovisor's ubpf, a C library, through cgo. They exist to compare
// with, in builds with the tag ubpf; CGO_CFLAGS and CGO_LDFLAGS say where the library is.
//
// The lowered code is translated back to eBPF (ubpf_emit.go) that has all checks of arena, fuel and call depth in it,
// so that results, faults and fuel are those of the other engines. On top of that, ubpf's interpreter asks
// pq_bounds about every access. Its compiler does not, so "ubpf-jit" is for trusted programs.
func init() {
	otherEngines["ubpf"] = func(m *Module, entries []int32) (engine, error) { return newUBPF(m, entries, false) }
	otherEngines["ubpf-jit"] = func(m *Module, entries []int32) (engine, error) { return newUBPF(m, entries, true) }
}

type ubpfEngine struct {
	vm      *C.struct_ubpf_vm
	jit     C.ubpf_jit_fn // nil: interpret
	module  *Module
	entries map[int32]C.uint64_t // index of a program's first instruction to its number

	mu   sync.Mutex
	idle []*ubpfCall
}

// A ubpfCall is one running program: what Go and C need of it.
type ubpfCall struct {
	c      *C.struct_pq_ubpf
	handle cgo.Handle
	engine *ubpfEngine
	m      *Machine
	s      *state
}

func newUBPF(m *Module, entries []int32, jit bool) (engine, error) {
	e := &ubpfEngine{module: m, entries: make(map[int32]C.uint64_t)}
	for _, at := range entries {
		if _, ok := e.entries[at]; !ok {
			e.entries[at] = C.uint64_t(len(e.entries))
		}
	}
	numbered := make([]int32, len(e.entries))
	for at, n := range e.entries {
		numbered[n] = at
	}
	code, err := emitUBPF(m, numbered)
	if err != nil {
		return nil, err
	}
	raw := C.CBytes(EncodeInstructions(code))
	defer C.free(raw)
	var message *C.char
	e.vm = C.pq_load(raw, C.uint32_t(len(code)*slotSize), &message)
	if e.vm == nil {
		return nil, ubpfError("load", message)
	}
	if jit {
		if e.jit = C.ubpf_compile(e.vm, &message); e.jit == nil {
			C.ubpf_destroy(e.vm)
			return nil, ubpfError("compile", message)
		}
	}
	return e, nil
}

func ubpfError(what string, message *C.char) error {
	if message == nil {
		return errors.New(what + " failed")
	}
	defer C.free(unsafe.Pointer(message))
	return fmt.Errorf("%s: %s", what, C.GoString(message))
}

// close frees the library's objects; calls are idle then.
func (e *ubpfEngine) close() {
	for _, c := range e.idle {
		c.handle.Delete()
		C.free(unsafe.Pointer(c.c))
	}
	e.idle = nil
	C.ubpf_destroy(e.vm)
}

func (e *ubpfEngine) get() *ubpfCall {
	e.mu.Lock()
	defer e.mu.Unlock()
	if n := len(e.idle); n > 0 {
		c := e.idle[n-1]
		e.idle = e.idle[:n-1]
		return c
	}
	c := &ubpfCall{engine: e, c: (*C.struct_pq_ubpf)(C.calloc(1, C.sizeof_struct_pq_ubpf))}
	c.handle = cgo.NewHandle(c)
	c.c.call = C.uintptr_t(c.handle)
	return c
}

func (e *ubpfEngine) put(c *ubpfCall) {
	c.m, c.s = nil, nil
	e.mu.Lock()
	e.idle = append(e.idle, c)
	e.mu.Unlock()
}

func (e *ubpfEngine) run(m *Machine, s *state, entry int32) bool {
	call := e.get()
	defer e.put(call)
	call.m, call.s = m, s
	c := call.c
	for i := range c.regs {
		c.regs[i] = C.uint64_t(s.regs[i])
	}
	c.fp = C.uint64_t(s.regs[R10])
	c.fuel = C.uint64_t(s.fuel)
	c.base = C.uint64_t(uintptr(s.arena))
	c.load_limit = C.uint64_t(s.loadLimit)
	c.store_limit = C.uint64_t(s.storeLimit)
	c.entry = e.entries[entry]
	c.low = c.base - privateSize
	c.high = c.base + NullGuard + c.load_limit
	switch C.pq_run(e.vm, e.jit, c) {
	case ubpfReturned:
		s.regs[R0] = uint64(c.regs[R0])
		s.fuel = int64(c.fuel)
		return true
	case ubpfFaulted:
		return s.fault(FaultKind(c.fault_kind), int(c.fault_inst), uint64(c.fault_addr), int64(c.fuel))
	case ubpfHostFaulted:
		return false
	}
	// ubpf refused what the checks in the code had let through.
	return s.fault(FaultUnreachable, int(entry), 0, int64(c.fuel))
}

// leave performs an instruction that needs the host: a call of it or an access to its objects.
func (call *ubpfCall) leave(inst int) bool {
	s, c := call.s, call.c
	i := &call.engine.module.code[inst]
	for r := range c.regs {
		s.regs[r] = uint64(c.regs[r])
	}
	s.regs[R10] = uint64(c.fp)
	s.fuel = int64(c.fuel)
	switch i.Op {
	case IRHost, IRStoreFieldHost:
		if !call.m.host(i) {
			return false
		}
		c.fuel = C.uint64_t(s.fuel)
		c.regs[R0] = C.uint64_t(s.regs[R0])
	case IRLoadHandle, IRLoadField8, IRLoadField16, IRLoadField32, IRLoadField64, IRLoadFieldS8, IRLoadFieldS16, IRLoadFieldS32:
		c.regs[i.Dst] = C.uint64_t(call.loadField(i))
	default:
		call.storeField(i)
	}
	return true
}

// loadField reads from a host's object.
func (call *ubpfCall) loadField(i *Inst) uint64 {
	s := call.s
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
func (call *ubpfCall) storeField(i *Inst) {
	s := call.s
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

// Offsets in struct pq_ubpf.
const (
	ubpfRegs       = int16(unsafe.Offsetof(C.struct_pq_ubpf{}.regs))
	ubpfFP         = int16(unsafe.Offsetof(C.struct_pq_ubpf{}.fp))
	ubpfFuel       = int16(unsafe.Offsetof(C.struct_pq_ubpf{}.fuel))
	ubpfBase       = int16(unsafe.Offsetof(C.struct_pq_ubpf{}.base))
	ubpfLoadLimit  = int16(unsafe.Offsetof(C.struct_pq_ubpf{}.load_limit))
	ubpfStoreLimit = int16(unsafe.Offsetof(C.struct_pq_ubpf{}.store_limit))
	ubpfEntry      = int16(unsafe.Offsetof(C.struct_pq_ubpf{}.entry))
	ubpfFaultKind  = int16(unsafe.Offsetof(C.struct_pq_ubpf{}.fault_kind))
	ubpfFaultInst  = int16(unsafe.Offsetof(C.struct_pq_ubpf{}.fault_inst))
	ubpfFaultAddr  = int16(unsafe.Offsetof(C.struct_pq_ubpf{}.fault_addr))
	ubpfFrames     = int32(unsafe.Offsetof(C.struct_pq_ubpf{}.frames))
)
