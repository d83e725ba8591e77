package vm

import (
	"encoding/binary"
	"fmt"
)

// An Instruction is one 8-byte slot of a program. A 64-bit immediate load
// (IsLoadImm64) takes two: the second has only Imm set, to the high half.
//
// https://www.rfc-editor.org/rfc/rfc9669#section-3
type Instruction struct {
	Op  uint8
	Dst uint8 // 0..15 as encoded; the verifier refuses more than 10
	Src uint8 // 0..15 as encoded
	Off int16
	Imm int32
}

// slotSize is the length of an encoded slot in bytes.
const slotSize = 8

// The class is in the three low bits of the opcode.
//
// https://www.rfc-editor.org/rfc/rfc9669#section-3.1
const (
	ClassLD    = 0x00 // 64-bit immediates and legacy packet access
	ClassLDX   = 0x01 // load into a register
	ClassST    = 0x02 // store an immediate
	ClassSTX   = 0x03 // store a register, atomic operations
	ClassALU   = 0x04 // 32-bit arithmetic
	ClassJMP   = 0x05 // jumps that compare 64 bits, calls, exit
	ClassJMP32 = 0x06 // jumps that compare 32 bits
	ClassALU64 = 0x07 // 64-bit arithmetic
)

// The source bit of arithmetic and jump opcodes.
const (
	SrcK = 0x00 // the immediate
	SrcX = 0x08 // the source register
)

// Arithmetic operations: the four high bits of the opcode.
//
// https://www.rfc-editor.org/rfc/rfc9669#section-4.1
const (
	ALUAdd  = 0x00
	ALUSub  = 0x10
	ALUMul  = 0x20
	ALUDiv  = 0x30 // Off 1: signed
	ALUOr   = 0x40
	ALUAnd  = 0x50
	ALULsh  = 0x60
	ALURsh  = 0x70
	ALUNeg  = 0x80
	ALUMod  = 0x90 // Off 1: signed
	ALUXor  = 0xa0
	ALUMov  = 0xb0 // Off 8, 16, 32: sign-extending
	ALUArsh = 0xc0
	ALUEnd  = 0xd0 // byte swap; Imm is the width, 16, 32 or 64
)

// Byte swaps: the source bit chooses the target order in ClassALU; in
// ClassALU64 it is reserved and the swap unconditional.
//
// https://www.rfc-editor.org/rfc/rfc9669#section-4.2
const (
	EndLE = 0x00
	EndBE = 0x08
)

// Jumps: the four high bits of the opcode. JmpJA in ClassJMP takes its offset
// from Off, in ClassJMP32 from Imm; JmpCall and JmpExit exist in ClassJMP only.
//
// https://www.rfc-editor.org/rfc/rfc9669#section-4.3
const (
	JmpJA   = 0x00
	JmpEQ   = 0x10
	JmpGT   = 0x20
	JmpGE   = 0x30
	JmpSET  = 0x40
	JmpNE   = 0x50
	JmpSGT  = 0x60
	JmpSGE  = 0x70
	JmpCall = 0x80
	JmpExit = 0x90
	JmpLT   = 0xa0
	JmpLE   = 0xb0
	JmpSLT  = 0xc0
	JmpSLE  = 0xd0
)

// The source register field of a call says what is called. In an Object,
// CallHelper's Imm is an index into Object.Imports and CallLocal's Imm the
// distance in slots from the next instruction to the callee's first.
//
// https://www.rfc-editor.org/rfc/rfc9669#section-4.3.1
const (
	CallHelper = 0 // a host function
	CallLocal  = 1 // another function of the program
	CallBTF    = 2 // a host function by BTF ID; in files, never in an Object
)

// Sizes of loads and stores: two bits of the opcode.
//
// https://www.rfc-editor.org/rfc/rfc9669#section-5
const (
	SizeW  = 0x00 // 4 bytes
	SizeH  = 0x08 // 2 bytes
	SizeB  = 0x10 // 1 byte
	SizeDW = 0x18 // 8 bytes
)

// Modes of loads and stores: the three high bits of the opcode.
const (
	ModeIMM    = 0x00 // 64-bit immediate, with ClassLD and SizeDW
	ModeABS    = 0x20 // legacy packet access, absolute
	ModeIND    = 0x40 // legacy packet access, indirect
	ModeMEM    = 0x60
	ModeMEMSX  = 0x80 // sign-extending load
	ModeATOMIC = 0xc0
)

// Atomic operations: the immediate of a ModeATOMIC instruction.
//
// https://www.rfc-editor.org/rfc/rfc9669#section-5.3
const (
	AtomicAdd     = 0x00
	AtomicOr      = 0x40
	AtomicAnd     = 0x50
	AtomicXor     = 0xa0
	AtomicFetch   = 0x01 // modifier: the old value goes into the source register
	AtomicXchg    = 0xe0 | AtomicFetch
	AtomicCmpXchg = 0xf0 | AtomicFetch
)

// Registers with a role of their own.
//
// https://www.rfc-editor.org/rfc/rfc9669#section-2.2
const (
	R0           = 0 // return values
	R1           = 1 // first of five arguments
	R2           = 2
	R3           = 3
	R4           = 4
	R5           = 5 // last argument
	R6           = 6 // first of four registers that calls preserve
	R7           = 7
	R8           = 8
	R9           = 9  // last of them
	R10          = 10 // frame pointer, read-only
	numRegisters = 11
)

// Opcodes that are used whole.
const (
	OpLoadImm64 = ClassLD | ModeIMM | SizeDW
	OpCall      = ClassJMP | JmpCall
	OpCallX     = ClassJMP | JmpCall | SrcX
	OpExit      = ClassJMP | JmpExit
	OpJA        = ClassJMP | JmpJA
	OpJA32      = ClassJMP32 | JmpJA
	OpMov64Imm  = ClassALU64 | ALUMov | SrcK
	OpMov64Reg  = ClassALU64 | ALUMov | SrcX
	OpMov32Imm  = ClassALU | ALUMov | SrcK
	OpMov32Reg  = ClassALU | ALUMov | SrcX
	OpAdd64Imm  = ClassALU64 | ALUAdd | SrcK
	OpAtomic32  = ClassSTX | ModeATOMIC | SizeW
	OpAtomic64  = ClassSTX | ModeATOMIC | SizeDW
)

// Class returns the instruction class, one of the Class constants.
func (i Instruction) Class() uint8 { return i.Op & 0x07 }

// Code returns the operation of an arithmetic or jump instruction, one of the
// ALU or Jmp constants.
func (i Instruction) Code() uint8 { return i.Op & 0xf0 }

// Source returns the source bit of an arithmetic or jump instruction, SrcK or
// SrcX.
func (i Instruction) Source() uint8 { return i.Op & 0x08 }

// Mode returns the mode of a load or store, one of the Mode constants.
func (i Instruction) Mode() uint8 { return i.Op & 0xe0 }

// Size returns how many bytes a load or store moves: 1, 2, 4 or 8.
func (i Instruction) Size() uint8 {
	switch i.Op & 0x18 {
	case SizeB:
		return 1
	case SizeH:
		return 2
	case SizeW:
		return 4
	}
	return 8
}

// IsALU reports whether the instruction is an arithmetic one.
func (i Instruction) IsALU() bool { return i.Class() == ClassALU || i.Class() == ClassALU64 }

// IsJump reports whether the instruction may continue elsewhere than at the
// next one within its function: calls and exit are not jumps.
func (i Instruction) IsJump() bool {
	switch i.Class() {
	case ClassJMP:
		return i.Code() != JmpCall && i.Code() != JmpExit
	case ClassJMP32:
		return true
	}
	return false
}

// IsLoadImm64 reports whether the instruction is the first slot of a 64-bit
// immediate load.
func (i Instruction) IsLoadImm64() bool { return i.Op == OpLoadImm64 }

// Slots returns how many slots the instruction takes, 1 or 2.
func (i Instruction) Slots() int {
	if i.IsLoadImm64() {
		return 2
	}
	return 1
}

// JumpOffset returns where a jump leads, in slots counted from the next
// instruction. It is meaningful only if IsJump.
func (i Instruction) JumpOffset() int {
	if i.Op == OpJA32 {
		return int(i.Imm)
	}
	return int(i.Off)
}

// LoadImm64 returns the two slots that load v into register dst.
func LoadImm64(dst uint8, v uint64) [2]Instruction {
	return [2]Instruction{
		{Op: OpLoadImm64, Dst: dst, Imm: int32(uint32(v))},
		{Imm: int32(uint32(v >> 32))},
	}
}

// imm64 returns the value that the two slots of a 64-bit immediate load.
func imm64(lo, hi Instruction) uint64 {
	return uint64(uint32(lo.Imm)) | uint64(uint32(hi.Imm))<<32
}

// DecodeInstruction decodes the slot at the start of b, which must have at
// least 8 bytes.
//
// In the little-endian encoding the destination register is in the low half of
// the second byte. https://www.rfc-editor.org/rfc/rfc9669#section-3.1
func DecodeInstruction(b []byte) Instruction {
	_ = b[7]
	return Instruction{
		Op:  b[0],
		Dst: b[1] & 0x0f,
		Src: b[1] >> 4,
		Off: int16(binary.LittleEndian.Uint16(b[2:])),
		Imm: int32(binary.LittleEndian.Uint32(b[4:])),
	}
}

// DecodeInstructions decodes whole slots. The only error is a length that is
// no multiple of 8.
func DecodeInstructions(b []byte) ([]Instruction, error) {
	if len(b)%slotSize != 0 {
		return nil, fmt.Errorf("vm: %d bytes of code are no whole number of %d-byte instructions", len(b), slotSize)
	}
	code := make([]Instruction, len(b)/slotSize)
	for i := range code {
		code[i] = DecodeInstruction(b[i*slotSize:])
	}
	return code, nil
}

// Append appends the 8-byte encoding of i to b.
func (i Instruction) Append(b []byte) []byte {
	b = append(b, i.Op, i.Dst&0x0f|i.Src<<4)
	b = binary.LittleEndian.AppendUint16(b, uint16(i.Off))
	return binary.LittleEndian.AppendUint32(b, uint32(i.Imm))
}

// EncodeInstructions returns the encoding of code.
func EncodeInstructions(code []Instruction) []byte {
	b := make([]byte, 0, len(code)*slotSize)
	for _, i := range code {
		b = i.Append(b)
	}
	return b
}
