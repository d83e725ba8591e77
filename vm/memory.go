package vm

import (
	"errors"
	"unsafe"
)

// The arena of an instance, in the addresses that programs use:
//
//	[0, 4096)             null guard: never valid
//	rodata                read-only, up to rwStart
//	data, bss             from rwStart, a multiple of 4096
//	call buffers          one per nesting level
//	stacks                one per nesting level, eight frames each, level 0 last
//	heap                  up to the end
//
// The highest frame of level 0 shares a page with the start of the heap, so that a small program touches few pages.
// Below address 0 the mapping goes on with the private stacks: for each frame of the stacks above, 512 bytes at a
// fixed distance that no address of a program can name. Spilled handles and the frames of functions that never take
// the address of a local variable live there, so nothing but the verified spills and fills reaches them.
const (
	privateSize = MaxNesting * stackSize
	maxAddress  = 1 << 30 // arenas end below
)

// layout is where a module's arenas have what; constant per module except for the end.
type layout struct {
	rwStart    uint32 // first writable address
	buffers    uint32 // call buffer of level 0
	bufferSize uint32 // bytes of one call buffer
	stackTop   uint32 // r10 of the entry function at level 0; level n has its own stackSize lower each
	heap       uint32 // first address of the heap
}

var errTooLarge = errors.New("vm: the program's data, call buffers and heap exceed the largest arena")

// newLayout computes the layout for an object whose globals end at end.
func newLayout(rwStart, end, bufferSize uint32) (layout, error) {
	if uint64(end)+MaxNesting*(uint64(bufferSize)+16)+privateSize+2*pageSize > maxAddress {
		return layout{}, errTooLarge
	}
	l := layout{rwStart: rwStart, bufferSize: alignUp(bufferSize, 16)}
	l.buffers = alignUp(end, 16)
	low := l.buffers + MaxNesting*l.bufferSize
	// Half a page of frames, half a page of heap.
	l.stackTop = alignUp(low+privateSize+pageSize/2, pageSize) - pageSize/2
	l.heap = l.stackTop
	return l, nil
}

// privateShift is what lies between a frame word and its private twin: private address = address - privateShift.
// The top of level 0's private stack is address 0.
func (l *layout) privateShift() int32 { return int32(l.stackTop) }

func alignUp(n, to uint32) uint32 { return (n + to - 1) &^ (to - 1) }

// Bytes returns the n bytes at arena address addr, or nil if they are not all inside the arena.
func (in *Instance) Bytes(addr, n uint64) []byte {
	if addr < NullGuard || n > uint64(in.end) || addr > uint64(in.end)-n {
		return nil
	}
	return unsafe.Slice((*byte)(unsafe.Add(in.base, addr)), int(n))
}

// Writable is Bytes for writable memory: nil if any of it is read-only.
func (in *Instance) Writable(addr, n uint64) []byte {
	if addr < uint64(in.module.layout.rwStart) {
		return nil
	}
	return in.Bytes(addr, n)
}
