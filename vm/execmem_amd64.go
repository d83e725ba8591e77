//go:build linux && !nojit

package vm

import "unsafe"

// fillTraps fills what follows the code on its last page with INT3.
func fillTraps(b []byte) {
	for i := range b {
		b[i] = 0xcc
	}
}

// syncInstructionCache has nothing to do: the processor keeps its caches coherent.
func syncInstructionCache(unsafe.Pointer, uintptr) {}
