//go:build linux && !nojit

package vm

import (
	"encoding/binary"
	"errors"
	"math/bits"
)

// The encoder knows the instructions the compiler emits and no others. Operand order follows the manual: destination
// first.
//
// Arm Architecture Reference Manual for A-profile architecture, chapter C6.

// A gpr is a general-purpose register by its number; 31 is the zero register (the encoder never names SP).
type gpr uint8

const (
	x0 gpr = iota
	x1
	x2
	x3
	x4
	x5
	x6
	x7
	x8
	x9
	x10
	x11
	x12
	x13
	x14
	x15
	x16
	x17
	_ // the platform's
	x19
	x20
	x21
	x22
	x23
	x24
	x25
	xzr gpr = 31
)

// A condCode is a condition code.
type condCode uint8

const (
	condEQ condCode = 0x0
	condNE condCode = 0x1
	condHS condCode = 0x2 // unsigned >=
	condLO condCode = 0x3 // unsigned <
	condHI condCode = 0x8
	condLS condCode = 0x9
	condGE condCode = 0xa
	condLT condCode = 0xb
	condGT condCode = 0xc
	condLE condCode = 0xd
)

// Operations on three registers, 32-bit form.
const (
	opADD  uint32 = 0x0b000000
	opSUB  uint32 = 0x4b000000
	opSUBS uint32 = 0x6b000000
	opAND  uint32 = 0x0a000000
	opANDS uint32 = 0x6a000000
	opORR  uint32 = 0x2a000000
	opEOR  uint32 = 0x4a000000
	opUDIV uint32 = 0x1ac00800
	opSDIV uint32 = 0x1ac00c00
	opLSLV uint32 = 0x1ac02000
	opLSRV uint32 = 0x1ac02400
	opASRV uint32 = 0x1ac02800
	opMUL  uint32 = 0x1b007c00 // madd with the zero register
)

// Bits that turn a register form into the immediate form.
const (
	immArithmetic uint32 = 0x1a000000 // xor: add, sub, subs
	immLogical    uint32 = 0x18000000 // xor: and, ands, orr, eor
)

const wideBit = 1 << 31

// An asmLabel is a position in the code that may be bound after it is used.
type asmLabel int32

// An asmFixup is a displacement to be filled in when its label is bound.
type asmFixup struct {
	at   int
	to   asmLabel
	kind uint8
}

// Kinds of displacements.
const (
	fixB26 = iota // b
	fixB19        // b.cond
	fixADR
)

var errBranchRange = errors.New("vm: the program is too large for the branches of the processor")

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

func (a *assembler) bound() asmLabel {
	l := a.newLabel()
	a.bind(l)
	return l
}

// link fills in the displacements; every label used has to be bound.
func (a *assembler) link() error {
	for _, f := range a.fixups {
		d := a.labels[f.to] - f.at
		w := binary.LittleEndian.Uint32(a.code[f.at:])
		switch f.kind {
		case fixB26:
			if d < -1<<27 || d >= 1<<27 {
				return errBranchRange
			}
			w |= uint32(d>>2) & (1<<26 - 1)
		case fixB19:
			if d < -1<<20 || d >= 1<<20 {
				return errBranchRange
			}
			w |= uint32(d>>2) & (1<<19 - 1) << 5
		case fixADR:
			if d < -1<<20 || d >= 1<<20 {
				return errBranchRange
			}
			w |= uint32(d)&3<<29 | uint32(d>>2)&(1<<19-1)<<5
		}
		binary.LittleEndian.PutUint32(a.code[f.at:], w)
	}
	a.fixups = a.fixups[:0]
	return nil
}

func (a *assembler) word(w uint32) { a.code = binary.LittleEndian.AppendUint32(a.code, w) }

func sf(wide bool) uint32 {
	if wide {
		return wideBit
	}
	return 0
}

// rrr emits op d, n, m.
func (a *assembler) rrr(wide bool, op uint32, d, n, m gpr) {
	a.word(op | sf(wide) | uint32(m)<<16 | uint32(n)<<5 | uint32(d))
}

// msub emits d = x - n*m.
func (a *assembler) msub(wide bool, d, n, m, x gpr) {
	a.rrr(wide, 0x1b008000|uint32(x)<<10, d, n, m)
}

func (a *assembler) mov(wide bool, d, s gpr) { a.rrr(wide, opORR, d, xzr, s) }

func (a *assembler) compare(wide bool, n, m gpr) { a.rrr(wide, opSUBS, xzr, n, m) }

// movImm loads a constant, all 64 bits of it.
func (a *assembler) movImm(d gpr, v uint64) {
	zeros, ones := 0, 0
	for i := 0; i < 64; i += 16 {
		switch uint16(v >> i) {
		case 0:
			zeros++
		case 0xffff:
			ones++
		}
	}
	op, skip, flip := uint32(0xd2800000), uint16(0), uint16(0) // movz
	if ones > zeros {
		op, skip, flip = 0x92800000, 0xffff, 0xffff // movn
	}
	first := true
	for i := range uint32(4) {
		h := uint16(v >> (16 * i))
		if h == skip && !(i == 3 && first) {
			continue
		}
		if h == skip {
			i = 0 // all four are
		}
		a.word(op | i<<21 | uint32(h^flip)<<5 | uint32(d))
		op, flip, first = 0xf2800000, 0, false // movk
	}
}

// arithImm emits add, sub or subs with a constant of 12 bits, shifted left by 12 or not, and reports whether v is one.
func (a *assembler) arithImm(wide bool, op uint32, d, n gpr, v uint64) bool {
	op = op ^ immArithmetic | sf(wide) | uint32(n)<<5 | uint32(d)
	switch {
	case v < 1<<12:
		a.word(op | uint32(v)<<10)
	case v < 1<<24 && v&0xfff == 0:
		a.word(op | 1<<22 | uint32(v>>12)<<10)
	default:
		return false
	}
	return true
}

// logicalImm emits and, ands, orr or eor with a constant, and reports whether v has an encoding.
func (a *assembler) logicalImm(wide bool, op uint32, d, n gpr, v uint64) bool {
	enc, ok := bitmask(wide, v)
	if ok {
		a.word(op ^ immLogical | sf(wide) | enc<<10 | uint32(n)<<5 | uint32(d))
	}
	return ok
}

// bitmask returns the fields N, immr and imms of a logical immediate: a run of ones, rotated within an element of 2 to
// 64 bits that is repeated.
func bitmask(wide bool, v uint64) (uint32, bool) {
	if !wide {
		v = v&(1<<32-1) | v<<32
	}
	if v == 0 || v == ^uint64(0) {
		return 0, false
	}
	size := 64
	for size > 2 {
		half := size / 2
		mask := uint64(1)<<half - 1
		if v&mask != v>>half&mask {
			break
		}
		size = half
	}
	mask := ^uint64(0) >> (64 - size)
	e := v & mask
	ones := bits.OnesCount64(e)
	// Rotate the element right until the run of ones starts at bit 0.
	for r := range size {
		rot := (e<<r | e>>(size-r)) & mask
		if size == 64 {
			rot = bits.RotateLeft64(e, r)
		}
		if rot == uint64(1)<<ones-1 {
			n := uint32(0)
			if size == 64 {
				n = 1
			}
			imms := uint32(-2*size)&0x3f | uint32(ones-1)
			return n<<12 | uint32(r)<<6 | imms, true
		}
	}
	return 0, false
}

// bitfield emits ubfm or sbfm.
func (a *assembler) bitfield(wide, signed bool, d, n gpr, immr, imms uint32) {
	op := uint32(0x53000000)
	if signed {
		op = 0x13000000
	}
	if wide {
		op |= wideBit | 1<<22
	}
	a.word(op | immr<<16 | imms<<10 | uint32(n)<<5 | uint32(d))
}

func width(wide bool) uint32 {
	if wide {
		return 64
	}
	return 32
}

func (a *assembler) lslImm(wide bool, d, n gpr, by uint32) {
	w := width(wide)
	a.bitfield(wide, false, d, n, -by&(w-1), w-1-by)
}

// shrImm shifts right, arithmetically if signed.
func (a *assembler) shrImm(wide, signed bool, d, n gpr, by uint32) {
	a.bitfield(wide, signed, d, n, by, width(wide)-1)
}

func (a *assembler) rev16(d gpr) { a.word(0x5ac00400 | uint32(d)<<5 | uint32(d)) }
func (a *assembler) rev32(d gpr) { a.word(0x5ac00800 | uint32(d)<<5 | uint32(d)) }
func (a *assembler) rev64(d gpr) { a.word(0xdac00c00 | uint32(d)<<5 | uint32(d)) }

// csel emits d = n if the condition holds, else m.
func (a *assembler) csel(c condCode, d, n, m gpr) {
	a.rrr(true, 0x1a800000|uint32(c)<<12, d, n, m)
}

// A memOperand is [base + index] or, with index xzr, [base + disp].
type memOperand struct {
	base, index gpr
	disp        int32
}

func memAt(base gpr, disp int32) memOperand { return memOperand{base, xzr, disp} }

func memAtIndex(base, index gpr) memOperand { return memOperand{base, index, 0} }

// Kinds of memory access.
const (
	accessStore      = 0
	accessLoad       = 1
	accessLoadSigned = 2 // to 64 bits
)

func sizeLog(size uint8) uint32 { return uint32(bits.TrailingZeros8(size)) }

// access loads or stores size bytes. The displacement must be one that encodable accepts.
func (a *assembler) access(kind uint32, size uint8, t gpr, m memOperand) {
	op := sizeLog(size)<<30 | kind<<22 | uint32(m.base)<<5 | uint32(t)
	switch {
	case m.index != xzr:
		a.word(op | 0x38206800 | uint32(m.index)<<16)
	case m.disp >= 0 && m.disp%int32(size) == 0 && m.disp/int32(size) < 1<<12:
		a.word(op | 0x39000000 | uint32(m.disp/int32(size))<<10)
	default:
		a.word(op | 0x38000000 | uint32(m.disp)&0x1ff<<12)
	}
}

// encodable reports whether an access of size bytes can have the displacement.
func encodable(size uint8, disp int32) bool {
	return disp >= -256 && disp < 256 || disp >= 0 && disp%int32(size) == 0 && disp/int32(size) < 1<<12
}

func (a *assembler) load(t gpr, m memOperand)  { a.access(accessLoad, 8, t, m) }
func (a *assembler) store(m memOperand, t gpr) { a.access(accessStore, 8, t, m) }

func (a *assembler) ret()        { a.word(0xd65f03c0) }
func (a *assembler) br(n gpr)    { a.word(0xd61f0000 | uint32(n)<<5) }
func (a *assembler) trap()       { a.word(0xd4200000) }
func (a *assembler) noop()       { a.word(0xd503201f) }
func (a *assembler) clear(d gpr) { a.mov(true, d, xzr) }

func (a *assembler) fix(kind uint8, to asmLabel, w uint32) {
	a.fixups = append(a.fixups, asmFixup{a.pos(), to, kind})
	a.word(w)
}

func (a *assembler) jmp(to asmLabel)             { a.fix(fixB26, to, 0x14000000) }
func (a *assembler) jcc(c condCode, to asmLabel) { a.fix(fixB19, to, 0x54000000|uint32(c)) }
func (a *assembler) adr(d gpr, to asmLabel)      { a.fix(fixADR, to, 0x10000000|uint32(d)) }

// cbz and cbnz branch on a register being zero or not.
func (a *assembler) cbz(wide bool, t gpr, to asmLabel) {
	a.fix(fixB19, to, 0x34000000|sf(wide)|uint32(t))
}
func (a *assembler) cbnz(wide bool, t gpr, to asmLabel) {
	a.fix(fixB19, to, 0x35000000|sf(wide)|uint32(t))
}
