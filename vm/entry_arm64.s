//go:build linux && !nojit

#include "textflag.h"

// func enterCode(biased unsafe.Pointer, pc uintptr)
//
// Runs compiled code on the goroutine's stack. The code does not touch SP, R18, R28 (g), R29 and R30 and uses no stack,
// so a signal that arrives meanwhile finds the frame of this function. All other registers are the caller's to save in
// ABI0. The frame makes the assembler save and restore R29 and R30.
TEXT ·enterCode(SB), NOSPLIT, $16-16
	MOVD biased+0(FP), R11
	MOVD pc+8(FP), R17
	CALL (R17)
	RET

// func cleanLine(p uintptr)
//
// Writes a line of the data cache back to where instruction fetches see it.
TEXT ·cleanLine(SB), NOSPLIT, $0-8
	MOVD p+0(FP), R0
	WORD $0xd50b7b20 // dc cvau, x0
	RET

// func invalidateLine(p uintptr)
//
// Drops a line of the instruction cache.
TEXT ·invalidateLine(SB), NOSPLIT, $0-8
	MOVD p+0(FP), R0
	WORD $0xd50b7520 // ic ivau, x0
	RET

// func dataBarrier()
TEXT ·dataBarrier(SB), NOSPLIT, $0-0
	DSB $0xb // inner shareable domain
	RET

// func instructionBarrier()
TEXT ·instructionBarrier(SB), NOSPLIT, $0-0
	ISB $0xf
	RET

// func cacheType() uint64
TEXT ·cacheType(SB), NOSPLIT, $0-8
	WORD $0xd53b0020 // mrs x0, ctr_el0
	MOVD R0, ret+0(FP)
	RET
