//go:build linux && !nojit

package vm

import "encoding/binary"

// The encoder knows the instructions the compiler emits and no others. Operand
// order follows the Intel manual: destination first.
//
// Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2.

// A gpr is a general-purpose register by its hardware number.
type gpr uint8

const (
	rax gpr = iota
	rcx
	rdx
	rbx
	rsp
	rbp
	rsi
	rdi
	r8
	r9
	r10
	r11
	r12
	r13
	r14
	r15
	noReg gpr = 0xff
)

// A memOperand is the operand [base + index*2^scale + disp].
type memOperand struct {
	base, index gpr
	scale       uint8 // 0..3
	disp        int32
}

func memAt(base gpr, disp int32) memOperand { return memOperand{base: base, index: noReg, disp: disp} }

func memAtIndex(base, index gpr, disp int32) memOperand {
	return memOperand{base: base, index: index, disp: disp}
}

// An opcode is the opcode byte with the flags below.
type opcode uint16

const (
	op0F opcode = 1 << 8  // two-byte opcode: 0F goes before it
	op66 opcode = 1 << 9  // operand-size prefix: 16 bits
	op8  opcode = 1 << 10 // a register operand of the r/m field is a byte register
)

// Opcodes whose reg field is a register; the other operand is r/m.
const (
	opAddStore  opcode = 0x01 // add r/m, r
	opOrStore   opcode = 0x09
	opAndStore  opcode = 0x21
	opSubStore  opcode = 0x29
	opXorStore  opcode = 0x31
	opCmpStore  opcode = 0x39
	opSubLoad   opcode = 0x2b // sub r, r/m
	opCmpLoad   opcode = 0x3b // cmp r, r/m
	opTest      opcode = 0x85
	opMovStore  opcode = 0x89 // mov r/m, r
	opMovLoad   opcode = 0x8b // mov r, r/m
	opMovStore8 opcode = 0x88 | op8
	opMovStoreW opcode = 0x89 | op66
	opLea       opcode = 0x8d
	opMovsxd    opcode = 0x63
	opMovzx8    opcode = 0xb6 | op0F | op8
	opMovzx16   opcode = 0xb7 | op0F
	opMovsx8    opcode = 0xbe | op0F | op8
	opMovsx16   opcode = 0xbf | op0F
	opImul      opcode = 0xaf | op0F // imul r, r/m
	opXchg      opcode = 0x87
	opXadd      opcode = 0xc1 | op0F
	opCmpxchg   opcode = 0xb1 | op0F
)

// Opcodes whose reg field extends the opcode (the digit the manual writes /n).
const (
	opShiftCL  opcode = 0xd3
	opShiftImm opcode = 0xc1
	opUnary    opcode = 0xf7
	opIndirect opcode = 0xff
	opMovImm   opcode = 0xc7
	opMovImm8  opcode = 0xc6
	opGroup1   opcode = 0x81 // imm32
	opGroup1b  opcode = 0x83 // imm8, sign-extended
	extRol            = 0
	extRor            = 1
	extShl            = 4
	extShr            = 5
	extSar            = 7
	extTestImm        = 0
	extNeg            = 3
	extMul            = 4
	extDiv            = 6
	extIdiv           = 7
	extJmp            = 4
	extAdd            = 0
	extOr             = 1
	extAnd            = 4
	extSub            = 5
	extXor            = 6
	extCmp            = 7
)

// A condCode is a condition code, the low four bits of Jcc.
type condCode uint8

const (
	condB  condCode = 0x2 // below, unsigned <
	condAE condCode = 0x3
	condE  condCode = 0x4
	condNE condCode = 0x5
	condBE condCode = 0x6
	condA  condCode = 0x7
	condS  condCode = 0x8
	condL  condCode = 0xc
	condGE condCode = 0xd
	condLE condCode = 0xe
	condG  condCode = 0xf
)

// An asmLabel is a position in the code that may be bound after it is used.
type asmLabel int32

// An asmFixup is a 32-bit displacement to be filled in when its label is bound.
type asmFixup struct {
	at int // of the displacement, which is relative to at+4
	to asmLabel
}

// An assembler collects machine code. Its zero value is ready for use.
type assembler struct {
	code   []byte
	labels []int // position per label, -1 while unbound
	fixups []asmFixup
}

func (a *assembler) pos() int { return len(a.code) }

func (a *assembler) newLabel() asmLabel {
	a.labels = append(a.labels, -1)
	return asmLabel(len(a.labels) - 1)
}

func (a *assembler) bind(l asmLabel) { a.labels[l] = len(a.code) }

// link fills in the displacements; every label used has to be bound.
func (a *assembler) link() {
	for _, f := range a.fixups {
		binary.LittleEndian.PutUint32(a.code[f.at:], uint32(a.labels[f.to]-(f.at+4)))
	}
	a.fixups = a.fixups[:0]
}

func (a *assembler) emit(b ...byte) { a.code = append(a.code, b...) }

func (a *assembler) imm32(v int32) {
	a.code = binary.LittleEndian.AppendUint32(a.code, uint32(v))
}

func fitsInt8(v int64) bool  { return v == int64(int8(v)) }
func fitsInt32(v int64) bool { return v == int64(int32(v)) }

// head emits prefixes and opcode. need8 tells that a byte register 4..7 is
// named, which without a REX prefix would be AH, CH, DH or BH.
func (a *assembler) head(w bool, op opcode, r, x, b gpr, need8 bool) {
	if op&op66 != 0 {
		a.code = append(a.code, 0x66)
	}
	rex := byte(r>>3)<<2 | byte(x>>3)<<1 | byte(b>>3)
	if w {
		rex |= 8
	}
	if rex != 0 || need8 {
		a.code = append(a.code, 0x40|rex)
	}
	if op&op0F != 0 {
		a.code = append(a.code, 0x0f)
	}
	a.code = append(a.code, byte(op))
}

// rr emits op with two registers; w selects 64-bit operands.
func (a *assembler) rr(w bool, op opcode, rm, r gpr) {
	a.head(w, op, r, 0, rm, op&op8 != 0 && rm >= 4)
	a.code = append(a.code, 0xc0|byte(r&7)<<3|byte(rm&7))
}

// rx emits op with one register and an opcode extension.
func (a *assembler) rx(w bool, op opcode, ext uint8, rm gpr) {
	a.rr(w, op, rm, gpr(ext))
}

// rm emits op with a register (or opcode extension) and a memory operand.
func (a *assembler) rm(w bool, op opcode, r gpr, m memOperand) {
	x := m.index
	if x == noReg {
		x = 0
	}
	a.head(w, op, r, x, m.base, op == opMovStore8 && r >= 4)
	mod, short := byte(0x80), false
	switch {
	case m.disp == 0 && m.base&7 != rbp:
		mod = 0
	case fitsInt8(int64(m.disp)):
		mod, short = 0x40, true
	}
	if m.index == noReg && m.base&7 != rsp {
		a.code = append(a.code, mod|byte(r&7)<<3|byte(m.base&7))
	} else {
		index := byte(rsp) // none
		if m.index != noReg {
			index = byte(m.index & 7)
		}
		a.code = append(a.code, mod|byte(r&7)<<3|4, m.scale<<6|index<<3|byte(m.base&7))
	}
	switch {
	case short:
		a.code = append(a.code, byte(m.disp))
	case mod != 0:
		a.imm32(m.disp)
	}
}

// mov copies 64 bits; mov32 copies 32 and clears the rest.
func (a *assembler) mov(dst, src gpr)   { a.rr(true, opMovStore, dst, src) }
func (a *assembler) mov32(dst, src gpr) { a.rr(false, opMovStore, dst, src) }

func (a *assembler) load(dst gpr, m memOperand)  { a.rm(true, opMovLoad, dst, m) }
func (a *assembler) store(m memOperand, src gpr) { a.rm(true, opMovStore, src, m) }

// storeImm32 stores a 32-bit constant; with w, sign-extended to 64.
func (a *assembler) storeImm32(w bool, m memOperand, v int32) {
	a.rm(w, opMovImm, 0, m)
	a.imm32(v)
}

func (a *assembler) storeImm16(m memOperand, v int16) {
	a.rm(false, opMovImm|op66, 0, m)
	a.emit(byte(v), byte(v>>8))
}

func (a *assembler) storeImm8(m memOperand, v int8) {
	a.rm(false, opMovImm8, 0, m)
	a.emit(byte(v))
}

// movImm loads a constant by the shortest form that sets all 64 bits.
func (a *assembler) movImm(dst gpr, v uint64) {
	switch {
	case v == 0:
		a.zero(dst)
	case v == uint64(uint32(v)):
		if dst >= 8 {
			a.emit(0x41)
		}
		a.emit(0xb8 | byte(dst&7))
		a.imm32(int32(v))
	case fitsInt32(int64(v)):
		a.rx(true, opMovImm, 0, dst)
		a.imm32(int32(v))
	default:
		a.emit(0x48|byte(dst>>3), 0xb8|byte(dst&7))
		a.code = binary.LittleEndian.AppendUint64(a.code, v)
	}
}

// zero clears a register and, unlike mov, changes the flags.
func (a *assembler) zero(dst gpr) { a.rr(false, opXorStore, dst, dst) }

// group1 emits add, or, and, sub, xor or cmp with a constant.
func (a *assembler) group1(w bool, ext uint8, rm gpr, v int32) {
	if fitsInt8(int64(v)) {
		a.rx(w, opGroup1b, ext, rm)
		a.emit(byte(v))
		return
	}
	a.rx(w, opGroup1, ext, rm)
	a.imm32(v)
}

// group1Mem is group1 on memory.
func (a *assembler) group1Mem(w bool, ext uint8, m memOperand, v int32) {
	if fitsInt8(int64(v)) {
		a.rm(w, opGroup1b, gpr(ext), m)
		a.emit(byte(v))
		return
	}
	a.rm(w, opGroup1, gpr(ext), m)
	a.imm32(v)
}

func (a *assembler) testImm(w bool, rm gpr, v int32) {
	a.rx(w, opUnary, extTestImm, rm)
	a.imm32(v)
}

// imulImm emits dst = src * v.
func (a *assembler) imulImm(w bool, dst, src gpr, v int32) {
	if fitsInt8(int64(v)) {
		a.rr(w, 0x6b, src, dst)
		a.emit(byte(v))
		return
	}
	a.rr(w, 0x69, src, dst)
	a.imm32(v)
}

func (a *assembler) shiftImm(w bool, ext uint8, rm gpr, n uint8) {
	a.rx(w, opShiftImm, ext, rm)
	a.emit(n)
}

// rol16 rotates the low 16 bits.
func (a *assembler) rol16(rm gpr, n uint8) {
	a.rx(false, opShiftImm|op66, extRol, rm)
	a.emit(n)
}

// shiftX emits BMI2's shlx, shrx or sarx: dst = src shifted by count, which
// the processor takes modulo the operand size; flags are left alone.
func (a *assembler) shiftX(w bool, ext uint8, dst, src, count gpr) {
	var pp byte
	switch ext {
	case extShl:
		pp = 1
	case extShr:
		pp = 3
	case extSar:
		pp = 2
	}
	b2 := byte(0x02) | 0xe0 // map 0F38; R, X, B inverted
	b2 &^= byte(dst>>3)<<7 | byte(src>>3)<<5
	b3 := byte(^count&15)<<3 | pp
	if w {
		b3 |= 0x80
	}
	a.emit(0xc4, b2, b3, 0xf7, 0xc0|byte(dst&7)<<3|byte(src&7))
}

func (a *assembler) bswap(w bool, r gpr) {
	a.head(w, op0F|opcode(0xc8|r&7), 0, 0, r, false)
}

// signExtendA emits cqo or cdq: the sign of the accumulator into (R|E)DX.
func (a *assembler) signExtendA(w bool) {
	if w {
		a.emit(0x48)
	}
	a.emit(0x99)
}

func (a *assembler) ret() { a.emit(0xc3) }

func (a *assembler) jmp(to asmLabel) {
	if p := a.labels[to]; p >= 0 && fitsInt8(int64(p-(a.pos()+2))) {
		a.emit(0xeb, byte(p-(a.pos()+2)))
		return
	}
	a.emit(0xe9)
	a.rel32(to)
}

// jmpTo jumps back to a position.
func (a *assembler) jmpTo(pos int) {
	a.emit(0xe9)
	a.imm32(int32(pos - (a.pos() + 4)))
}

func (a *assembler) jcc(c condCode, to asmLabel) {
	if p := a.labels[to]; p >= 0 && fitsInt8(int64(p-(a.pos()+2))) {
		a.emit(0x70|byte(c), byte(p-(a.pos()+2)))
		return
	}
	a.emit(0x0f, 0x80|byte(c))
	a.rel32(to)
}

// skip emits a short forward jump to be ended with land, at most 127 bytes on.
func (a *assembler) skip(c condCode) int {
	a.emit(0x70|byte(c), 0)
	return a.pos()
}

// skipAlways is skip without condition.
func (a *assembler) skipAlways() int {
	a.emit(0xeb, 0)
	return a.pos()
}

func (a *assembler) land(from int) {
	n := a.pos() - from
	if n > 127 {
		panic("vm: short jump too long")
	}
	a.code[from-1] = byte(n)
}

func (a *assembler) jmpMem(m memOperand) { a.rm(false, opIndirect, extJmp, m) }

// leaLabel loads the address of a label.
func (a *assembler) leaLabel(dst gpr, to asmLabel) {
	a.emit(0x48|byte(dst>>3)<<2, 0x8d, 0x05|byte(dst&7)<<3)
	a.rel32(to)
}

func (a *assembler) rel32(to asmLabel) {
	a.fixups = append(a.fixups, asmFixup{a.pos(), to})
	a.imm32(0)
}

// multi-byte no-operations for alignment, as the manual recommends them.
var nops = [...][]byte{
	{}, {0x90}, {0x66, 0x90}, {0x0f, 0x1f, 0x00}, {0x0f, 0x1f, 0x40, 0x00},
	{0x0f, 0x1f, 0x44, 0x00, 0x00}, {0x66, 0x0f, 0x1f, 0x44, 0x00, 0x00},
	{0x0f, 0x1f, 0x80, 0, 0, 0, 0}, {0x0f, 0x1f, 0x84, 0, 0, 0, 0, 0},
	{0x66, 0x0f, 0x1f, 0x84, 0, 0, 0, 0, 0},
}

// align pads to a multiple of n, a power of two.
func (a *assembler) align(n int) {
	for pad := -a.pos() & (n - 1); pad > 0; {
		k := min(pad, len(nops)-1)
		a.emit(nops[k]...)
		pad -= k
	}
}
