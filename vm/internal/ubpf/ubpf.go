//go:build ubpf && linux

package ubpf

/*
#cgo LDFLAGS: -lubpf
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <ubpf.h>

// Block of this package.
struct pq_block {
	uint64_t low, high;
	uintptr_t handle;
};

// Written in Go (export.go): performs an instruction that needs the host.
// Returns 0 after a fault.
extern uint64_t pqUbpfLeave(uintptr_t handle, uint64_t inst);

// ubpf asks about an address without saying which call it is for.
static __thread struct pq_block *pq_current;

static uint64_t pq_leave(uint64_t block, uint64_t inst, uint64_t a, uint64_t b, uint64_t c)
{
	struct pq_block *call = (struct pq_block *)(uintptr_t)block;
	(void)a, (void)b, (void)c;
	uint64_t ok = pqUbpfLeave(call->handle, inst);
	pq_current = call; // programs nest
	return ok;
}

static bool pq_bounds(void *unused, uint64_t addr, uint64_t size)
{
	const struct pq_block *c = pq_current;
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
static int pq_run(struct ubpf_vm *vm, ubpf_jit_fn jit, struct pq_block *c, size_t size)
{
	struct pq_block *outer = pq_current;
	uint64_t result = 0;
	int rc = 0;
	pq_current = c;
	if (jit)
		result = jit(c, size);
	else
		rc = ubpf_exec(vm, c, size, &result);
	pq_current = outer;
	return rc < 0 ? -1 : (int)result;
}
*/
import "C"

import (
	"errors"
	"fmt"
	"runtime/cgo"
	"unsafe"
)

// A Block is what a running program shares with Go: r1 holds its address when
// the program starts. It lives in C's memory. The library's interpreter lets a
// program access its own stack, the block, and what lies between Low and High.
type Block struct {
	Low, High uint64 // host addresses
	handle    C.uintptr_t

	Regs       [10]uint64 // r0 to r9 when the program starts, leaves and ends
	FP         uint64     // r10, an arena address
	Fuel       int64
	Base       uint64 // host address of arena address 0
	LoadLimit  uint64
	StoreLimit uint64
	Entry      uint64 // which program
	FaultKind  uint64
	FaultInst  uint64
	FaultAddr  uint64
	Frames     [8 * 5]uint64 // saved by calls
}

// A Program is code loaded by the library. It may run any number of times at
// once.
type Program struct {
	vm  *C.struct_ubpf_vm
	jit C.ubpf_jit_fn // nil: interpret
}

// Load gives encoded instructions to the library, which checks them, and
// compiles them if asked.
func Load(code []byte, compile bool) (*Program, error) {
	raw := C.CBytes(code)
	defer C.free(raw)
	var message *C.char
	p := &Program{vm: C.pq_load(raw, C.uint32_t(len(code)), &message)}
	if p.vm == nil {
		return nil, failure("load", message)
	}
	if compile {
		if p.jit = C.ubpf_compile(p.vm, &message); p.jit == nil {
			p.Close()
			return nil, failure("compile", message)
		}
	}
	return p, nil
}

func failure(what string, message *C.char) error {
	if message == nil {
		return errors.New(what + " failed")
	}
	defer C.free(unsafe.Pointer(message))
	return fmt.Errorf("%s: %s", what, C.GoString(message))
}

// Close frees the program, which must not run.
func (p *Program) Close() { C.ubpf_destroy(p.vm) }

// Run starts the program with b in r1. It returns r0, or -1 if the library
// stopped the program.
func (p *Program) Run(b *Block) int {
	return int(C.pq_run(p.vm, p.jit, (*C.struct_pq_block)(unsafe.Pointer(b)), C.size_t(unsafe.Sizeof(*b))))
}

// NewBlock returns a block for one run at a time. When the program calls
// function 0 with an instruction's number in r2, leave is called with it; the
// program gets 1 if it returns true, else 0.
func NewBlock(leave func(inst int) bool) *Block {
	b := (*Block)(C.calloc(1, C.size_t(unsafe.Sizeof(Block{}))))
	b.handle = C.uintptr_t(cgo.NewHandle(leave))
	return b
}

// Free frees the block, which no program uses.
func (b *Block) Free() {
	cgo.Handle(b.handle).Delete()
	C.free(unsafe.Pointer(b))
}
