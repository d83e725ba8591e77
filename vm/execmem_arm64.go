//go:build linux && !nojit

package vm

import (
	"encoding/binary"
	"unsafe"
)

// fillTraps fills what follows the code on its last page with BRK #0.
func fillTraps(b []byte) {
	for ; len(b) >= 4; b = b[4:] {
		binary.LittleEndian.PutUint32(b, 0xd4200000)
	}
}

//go:noescape
func cleanLine(p uintptr)

//go:noescape
func invalidateLine(p uintptr)

func dataBarrier()
func instructionBarrier()
func cacheType() uint64

// syncInstructionCache makes n bytes of new code at p visible to instruction fetches on all processors: the data cache
// is cleaned to the point of unification, then the instruction cache invalidated, each line by line. A processor that
// enters the code later synchronises its pipeline on the way: entry follows from a return from the kernel or from an
// acquire of what the compiling goroutine published, and the code was never fetched before from these addresses.
//
// Arm Architecture Reference Manual for A-profile architecture, B2.7.4.
func syncInstructionCache(p unsafe.Pointer, n uintptr) {
	ctr := cacheType()
	dline := uintptr(4) << (ctr >> 16 & 15)
	iline := uintptr(4) << (ctr & 15)
	start, end := uintptr(p), uintptr(p)+n
	for a := start &^ (dline - 1); a < end; a += dline {
		cleanLine(a)
	}
	dataBarrier()
	for a := start &^ (iline - 1); a < end; a += iline {
		invalidateLine(a)
	}
	dataBarrier()
	instructionBarrier()
}
