package vm

import "unsafe"

// jitState is the compiled engine's part of a state.
type jitState struct {
	fuel    int64 // what is left of the slice; the register that holds it is stored here when Go is entered
	reserve int64 // what the call may spend beyond the slice; Go code only

	// Largest valid value of addr-NullGuard (loads) and addr-rwStart (stores) for accesses of 1, 2, 4 and 8 bytes.
	loadMax  [4]uint64
	storeMax [4]uint64

	exit   jitExit // why compiled code returned; state.faultInst says where
	resume uintptr // where in the code it goes on
	frame  uint64  // byte offset in state.frames of the next free frame
	save   [2]uint64
}

// A jitExit says why compiled code returned to Go.
type jitExit uint32

const (
	jitDone  jitExit = iota // the program ended; its result is in regs[0]
	jitCall                 // IRHost: go on with r0 and r6 to r9
	jitStore                // IRStoreFieldHost: go on with all registers
	jitFuel                 // the slice is used up: go on with all registers, or a fault
	jitFault                // faultKind, faultInst and faultAddr are set
)

// Offsets in state as compiled code uses them: it holds the address of the state plus stateBias, so that the fields
// used most are within a signed byte. The compiler computes them, so no change of the struct can break the code.
const (
	stateBias = 128

	offRegs      = int32(unsafe.Offsetof(state{}.regs)) - stateBias
	offArena     = int32(unsafe.Offsetof(state{}.arena)) - stateBias
	offViews     = int32(unsafe.Offsetof(state{}.views)) - stateBias
	offFrames    = int32(unsafe.Offsetof(state{}.frames)) - stateBias
	offFaultKind = int32(unsafe.Offsetof(state{}.faultKind)) - stateBias
	offFaultInst = int32(unsafe.Offsetof(state{}.faultInst)) - stateBias
	offFaultAddr = int32(unsafe.Offsetof(state{}.faultAddr)) - stateBias
	offJIT       = int32(unsafe.Offsetof(state{}.jit)) - stateBias
	offJITFuel   = offJIT + int32(unsafe.Offsetof(jitState{}.fuel))
	offLoadMax   = offJIT + int32(unsafe.Offsetof(jitState{}.loadMax))
	offStoreMax  = offJIT + int32(unsafe.Offsetof(jitState{}.storeMax))
	offExit      = offJIT + int32(unsafe.Offsetof(jitState{}.exit))
	offResume    = offJIT + int32(unsafe.Offsetof(jitState{}.resume))
	offFrame     = offJIT + int32(unsafe.Offsetof(jitState{}.frame))
	offSave      = offJIT + int32(unsafe.Offsetof(jitState{}.save))

	savedFrameSize = int32(unsafe.Sizeof(savedFrame{}))
	offSavedRet    = offFrames + int32(unsafe.Offsetof(savedFrame{}.ret))
	offSavedR6     = offFrames + int32(unsafe.Offsetof(savedFrame{}.r6))
)

// sizeIndex is the index in loadMax and storeMax for an access of 1, 2, 4 or 8 bytes.
func sizeIndex(size uint8) int32 {
	switch size {
	case 1:
		return 0
	case 2:
		return 1
	case 4:
		return 2
	}
	return 3
}

// setLimits derives the limits that compiled code compares with from those of the arena, which do not change during
// the life of an instance.
func (s *state) setLimits() {
	for i := range s.jit.loadMax {
		n := uint64(1) << i
		s.jit.loadMax[i] = s.loadLimit - n
		s.jit.storeMax[i] = s.storeLimit - n
	}
}
