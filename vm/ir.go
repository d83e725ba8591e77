package vm

// An IROp is an operation of the lowered code. Names end in the width where there is one (64: whole register,
// 32: low half, upper half zeroed) and in I when the second operand is Imm instead of the register Src.
type IROp uint8

// Pseudo registers of the lowered code, beside r0 to r10.
const (
	RegFrame = 10 // r10, the top of the function's stack frame: an arena address
	RegNone  = 11 // as a base: the constant 0
)

// Flags of an Inst.
const (
	FlagFetch  = 1 << iota // atomic: the old value goes to Src (r0 for compare-and-exchange)
	FlagImm                // field store: the value is Imm, not the register Src
	FlagStatic             // field access: the view is slot Target, not the handle in a register
)

// An Inst is one instruction of the lowered code, which every engine runs. It is immutable after Compile.
type Inst struct {
	Op       IROp
	Dst, Src uint8
	Size     uint8 // bytes of a memory or field access: 1, 2, 4 or 8
	Off      int32 // displacement of a memory or field access
	Imm      int64
	Target   int32  // index of the jump's or call's target in Module.code; a static view slot
	Cost     uint32 // not 0 on the first instruction of a basic block: the RFC 9669 instructions in it, charged on entry
	Slot     int32  // the instruction's slot in Object.Code, for faults
	Flags    uint8
}

// The operations. In the order of the groups; the engines depend on nothing but the names.
//
// Arithmetic is exactly RFC 9669's: division by zero gives 0, modulo by zero leaves the dividend (its low half,
// zero-extended, for 32 bits), the smallest integer divided by -1 is itself with remainder 0, and shift counts are
// taken modulo the width. For 32-bit operations with an immediate, Imm's low 32 bits count.
const (
	// IRTrap faults with FaultUnreachable: code that no input reaches.
	IRTrap IROp = iota
	// IRFall does nothing. It ends a block that runs into the next one; the interpreter charges there.
	IRFall

	IRMov64I // Dst = Imm, any 64-bit constant: also lowered from lddw
	IRMov64
	IRAdd64I
	IRAdd64
	IRSub64I
	IRSub64
	IRMul64I
	IRMul64
	IRDiv64I
	IRDiv64
	IRSDiv64I
	IRSDiv64
	IRMod64I
	IRMod64
	IRSMod64I
	IRSMod64
	IROr64I
	IROr64
	IRAnd64I
	IRAnd64
	IRXor64I
	IRXor64
	IRLsh64I
	IRLsh64
	IRRsh64I
	IRRsh64
	IRArsh64I
	IRArsh64
	IRNeg64

	IRMov32I
	IRMov32
	IRAdd32I
	IRAdd32
	IRSub32I
	IRSub32
	IRMul32I
	IRMul32
	IRDiv32I
	IRDiv32
	IRSDiv32I
	IRSDiv32
	IRMod32I
	IRMod32
	IRSMod32I
	IRSMod32
	IROr32I
	IROr32
	IRAnd32I
	IRAnd32
	IRXor32I
	IRXor32
	IRLsh32I
	IRLsh32
	IRRsh32I
	IRRsh32
	IRArsh32I
	IRArsh32
	IRNeg32

	// Sign-extending moves: from 8, 16 or 32 bits of Src to 64, or from 8 or 16 to 32 (upper half zeroed).
	IRMovSX8to64
	IRMovSX16to64
	IRMovSX32to64
	IRMovSX8to32
	IRMovSX16to32

	// Byte order of Dst, on a little-endian machine: IRZext keeps the low 16 or 32 bits (le16, le32; le64 is
	// lowered to IRFall), IRSwap reverses the low 16, 32 or 64 bits and zeroes the rest (be and bswap).
	IRZext16
	IRZext32
	IRSwap16
	IRSwap32
	IRSwap64

	// Loads of Size bytes at arena address Src + Off (modulo 2^64) into Dst, zero- or sign-extended to 64 bits.
	// Checked: valid iff addr - 4096 <= arenaEnd - 4096 - Size, unsigned; else FaultLoad.
	IRLoad8
	IRLoad16
	IRLoad32
	IRLoad64
	IRLoadS8
	IRLoadS16
	IRLoadS32
	// The same without a check: the verifier proved it. Src is RegNone for an absolute address in Off. With Src
	// RegFrame, Off may be far below the frame: words that no program can address (see layout in memory.go).
	IRRawLoad8
	IRRawLoad16
	IRRawLoad32
	IRRawLoad64
	IRRawLoadS8
	IRRawLoadS16
	IRRawLoadS32

	// Stores of the low Size bytes of Src (or of Imm) at arena address Dst + Off.
	// Checked: valid iff addr - rwStart <= arenaEnd - rwStart - Size, unsigned; else FaultStore.
	IRStore8
	IRStore16
	IRStore32
	IRStore64
	IRStore8I
	IRStore16I
	IRStore32I
	IRStore64I
	// The same without a check; Dst is RegNone for an absolute address in Off, or RegFrame as above.
	IRRawStore8
	IRRawStore16
	IRRawStore32
	IRRawStore64
	IRRawStore8I
	IRRawStore16I
	IRRawStore32I
	IRRawStore64I

	// Atomics of Size 4 or 8 at arena address Dst + Off, always checked as a store is, and for alignment
	// (addr modulo Size, checked second; FaultAlign). With FlagFetch the old value goes to Src, zero-extended.
	// An arena has one user at a time, so plain reads and writes will do.
	IRAtomicAdd
	IRAtomicOr
	IRAtomicAnd
	IRAtomicXor
	IRAtomicXchg    // always fetches
	IRAtomicCmpXchg // compares with r0 (its low half for Size 4); r0 gets the old value, zero-extended

	// Jumps to Target.
	IRJump
	IRJeq64I
	IRJeq64
	IRJne64I
	IRJne64
	IRJgt64I
	IRJgt64
	IRJge64I
	IRJge64
	IRJlt64I
	IRJlt64
	IRJle64I
	IRJle64
	IRJset64I
	IRJset64
	IRJsgt64I
	IRJsgt64
	IRJsge64I
	IRJsge64
	IRJslt64I
	IRJslt64
	IRJsle64I
	IRJsle64
	IRJeq32I
	IRJeq32
	IRJne32I
	IRJne32
	IRJgt32I
	IRJgt32
	IRJge32I
	IRJge32
	IRJlt32I
	IRJlt32
	IRJle32I
	IRJle32
	IRJset32I
	IRJset32
	IRJsgt32I
	IRJsgt32
	IRJsge32I
	IRJsge32
	IRJslt32I
	IRJslt32
	IRJsle32I
	IRJsle32

	// IRCall enters the function at Target: r6 to r9 and the return index are saved outside the arena, r10 falls
	// by FrameSize. Depth is bounded by the verifier. IRExit undoes it, or ends the program with r0.
	IRCall
	IRExit

	// IRHost calls the host function Imm (an index in Object.Imports) and IRStoreFieldHost stores to a host's
	// field. Both are Machine.host(inst): the engine puts r0 to r10 and the fuel into the state, calls it, and
	// takes r0 (IRHost only) and the fuel back. A fault is reported if it returns false.
	IRHost
	// Handle in Dst (or FlagStatic: slot Target); value in Src (or FlagImm: Imm); Off is kind<<16 | field.
	IRStoreFieldHost

	// Field loads of Size bytes at Off in the view named by the handle in Src, or with FlagStatic in the view of
	// slot Target. The verifier proved kind, offset and that it is not null: no check, the view is never nil.
	IRLoadField8
	IRLoadField16
	IRLoadField32
	IRLoadField64
	IRLoadFieldS8
	IRLoadFieldS16
	IRLoadFieldS32
	// Field stores straight into the view: handle in Dst or FlagStatic; value in Src, or Imm with FlagImm.
	IRStoreField8
	IRStoreField16
	IRStoreField32
	IRStoreField64
	// Dst = Target if views[Target] is not nil, else 0.
	IRLoadHandle

	numIROps
)
