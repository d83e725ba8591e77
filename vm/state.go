package vm

import "unsafe"

// Limits of the machine.
const (
	MaxCallDepth = 8   // functions active at once in one program, the entry included
	MaxNesting   = 4   // programs active at once in one instance, through host functions
	FrameSize    = 512 // bytes of stack per function

	pageSize  = 4096
	stackSize = MaxCallDepth * FrameSize
)

// state is what an engine works on while it runs one program. There is one per nesting level of a machine. It is Go
// memory, so the views keep what they point at alive; compiled code reaches its fields by fixed offsets (jit_state.go).
type state struct {
	regs [16]uint64 // r0 to r10; [11] stays 0 (RegNone); the rest makes indexing free of checks
	fuel int64      // what the call may still spend; below 0 is a FaultFuel

	arena      unsafe.Pointer // host address of arena address 0
	loadLimit  uint64         // arenaEnd - NullGuard: a load is valid iff addr-NullGuard <= loadLimit-size
	storeLimit uint64         // arenaEnd - rwStart: a store is valid iff addr-rwStart <= storeLimit-size
	rwStart    uint64
	depth      int32 // active functions besides the entry

	jit jitState // owned by the compiled engine

	// views[s] is the host object that handle s names, nil if there is none. Written by Go code only.
	// Slot 0 is the null handle; its view is a page of zeros.
	views [NumSlots]unsafe.Pointer

	frames [MaxCallDepth]savedFrame

	// What stopped the program: set by the engine (or by Machine.host) before it returns a fault.
	faultKind FaultKind
	faultInst int32  // index in Module.code
	faultAddr uint64 // arena address of a bad access
}

// savedFrame is what a call keeps of its caller, outside the arena.
type savedFrame struct {
	ret            uint64 // engine-specific return position
	r6, r7, r8, r9 uint64
}

// A FaultKind says why a program was stopped.
type FaultKind uint8

// Fault kinds.
const (
	NoFault          FaultKind = iota
	FaultLoad                  // a load outside the arena
	FaultStore                 // a store outside the writable part of the arena
	FaultAlign                 // an atomic operation at an unaligned address
	FaultFuel                  // more instructions than the call or the connection may spend
	FaultHost                  // a host function or a host's field refused
	FaultArgument              // an argument of a host function outside what it allows
	FaultUnreachable           // code the verifier proved unreachable: a bug of this package
)

var faultNames = [...]string{"none", "load outside memory", "store outside memory", "unaligned atomic", "out of fuel",
	"refused by the host", "bad argument", "unreachable code"}

// String names the kind in words.
func (k FaultKind) String() string {
	if int(k) < len(faultNames) {
		return faultNames[k]
	}
	return "unknown fault"
}
