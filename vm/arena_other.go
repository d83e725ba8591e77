//go:build !unix

package vm

import "unsafe"

// An arena is memory without Go pointers, zeroed.
type arena struct{ mem unsafe.Pointer }

// newArena returns at least size bytes of zeros, aligned to 8 bytes.
func newArena(size uint32) (arena, error) {
	b := make([]uint64, (size+7)/8)
	return arena{unsafe.Pointer(&b[0])}, nil
}

// free leaves the memory to the garbage collector.
func (a arena) free() {}
