//go:build linux && !nojit

#include "textflag.h"

// func enterCode(biased unsafe.Pointer, pc uintptr)
//
// Runs compiled code on the goroutine's stack. The code does not touch SP and BP and uses no stack, so a signal that
// arrives meanwhile finds the frame of this function. All other registers are the caller's to save in ABI0; the wrapper
// that Go code calls restores R14 (g) and X15. The frame makes the assembler save and restore BP.
TEXT ·enterCode(SB), NOSPLIT, $8-16
	MOVQ biased+0(FP), R11
	MOVQ pc+8(FP), CX
	CALL CX
	RET
