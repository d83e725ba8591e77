package vm

import (
	"fmt"
	"io"
	"sort"
	"strconv"
	"strings"
)

// The notation is that of llvm-objdump and of the tables of RFC 9669, with
// decimal numbers: rN is a 64-bit register, wN its low half, "s" before an
// operator or a size makes it signed.

var aluOperators = map[uint8]string{
	ALUAdd: "+=", ALUSub: "-=", ALUMul: "*=", ALUDiv: "/=", ALUOr: "|=", ALUAnd: "&=",
	ALULsh: "<<=", ALURsh: ">>=", ALUMod: "%=", ALUXor: "^=", ALUMov: "=", ALUArsh: "s>>=",
}

var jumpOperators = map[uint8]string{
	JmpEQ: "==", JmpGT: ">", JmpGE: ">=", JmpSET: "&", JmpNE: "!=", JmpSGT: "s>",
	JmpSGE: "s>=", JmpLT: "<", JmpLE: "<=", JmpSLT: "s<", JmpSLE: "s<=",
}

var atomicOperators = map[int32]struct{ sign, name string }{
	AtomicAdd: {"+=", "add"}, AtomicOr: {"|=", "or"}, AtomicAnd: {"&=", "and"}, AtomicXor: {"^=", "xor"},
}

// String returns the instruction without knowledge of what surrounds it: jumps
// and calls show distances, and the first half of a 64-bit immediate load shows
// that half.
func (i Instruction) String() string {
	switch i.Class() {
	case ClassALU, ClassALU64:
		return i.aluString()
	case ClassJMP, ClassJMP32:
		return i.jumpString(fmt.Sprintf("%+d", i.JumpOffset()))
	case ClassLDX, ClassST, ClassSTX:
		return i.memoryString()
	}
	if i.IsLoadImm64() {
		return fmt.Sprintf("r%d = %#x ll", i.Dst, uint32(i.Imm))
	}
	return i.unknown()
}

func (i Instruction) unknown() string {
	return fmt.Sprintf("(opcode %#02x dst %d src %d off %d imm %d)", i.Op, i.Dst, i.Src, i.Off, i.Imm)
}

// register names a register of the width that the class works with.
func (i Instruction) register(n uint8) string {
	if c := i.Class(); c == ClassALU || c == ClassJMP32 {
		return "w" + strconv.Itoa(int(n))
	}
	return "r" + strconv.Itoa(int(n))
}

// operand is the second operand of an arithmetic instruction or a jump.
func (i Instruction) operand() string {
	if i.Source() == SrcX {
		return i.register(i.Src)
	}
	return strconv.Itoa(int(i.Imm))
}

func (i Instruction) aluString() string {
	dst := i.register(i.Dst)
	operator, ok := aluOperators[i.Code()]
	switch {
	case i.Code() == ALUNeg:
		return dst + " = -" + dst
	case i.Code() == ALUEnd:
		order := "le"
		if i.Class() == ClassALU64 {
			order = "bswap"
		} else if i.Source() == EndBE {
			order = "be"
		}
		return fmt.Sprintf("r%d = %s%d r%d", i.Dst, order, i.Imm, i.Dst)
	case !ok:
		return i.unknown()
	case i.Code() == ALUMov && i.Off != 0 && i.Source() == SrcX:
		return fmt.Sprintf("%s = (s%d)%s", dst, i.Off, i.register(i.Src))
	case (i.Code() == ALUDiv || i.Code() == ALUMod) && i.Off == 1:
		operator = "s" + operator
	}
	return dst + " " + operator + " " + i.operand()
}

// jumpString writes a jump that leads to target, a call or exit.
func (i Instruction) jumpString(target string) string {
	operator, ok := jumpOperators[i.Code()]
	switch {
	case i.Op == OpExit:
		return "exit"
	case i.Op == OpCall && i.Src == CallLocal:
		return fmt.Sprintf("call %+d", i.Imm)
	case i.Op == OpCall && i.Src == CallHelper:
		return fmt.Sprintf("call #%d", i.Imm)
	case i.Op == OpCallX:
		return "callx r" + strconv.Itoa(int(i.Dst))
	case i.Op == OpJA || i.Op == OpJA32:
		return "goto " + target
	case !ok:
		return i.unknown()
	}
	return fmt.Sprintf("if %s %s %s goto %s", i.register(i.Dst), operator, i.operand(), target)
}

func (i Instruction) memoryString() string {
	place := func(sign string, base uint8) string {
		operator, off := "+", int(i.Off)
		if off < 0 {
			operator, off = "-", -off
		}
		return fmt.Sprintf("(%s%d *)(r%d %s %d)", sign, 8*int(i.Size()), base, operator, off)
	}
	switch {
	case i.Class() == ClassLDX && i.Mode() == ModeMEM:
		return fmt.Sprintf("r%d = *%s", i.Dst, place("u", i.Src))
	case i.Class() == ClassLDX && i.Mode() == ModeMEMSX:
		return fmt.Sprintf("r%d = *%s", i.Dst, place("s", i.Src))
	case i.Class() == ClassST && i.Mode() == ModeMEM:
		return fmt.Sprintf("*%s = %d", place("u", i.Dst), i.Imm)
	case i.Class() == ClassSTX && i.Mode() == ModeMEM:
		return fmt.Sprintf("*%s = r%d", place("u", i.Dst), i.Src)
	case i.Class() != ClassSTX || i.Mode() != ModeATOMIC:
		return i.unknown()
	case i.Imm == AtomicXchg:
		return fmt.Sprintf("r%d = xchg(%s, r%d)", i.Src, place("u", i.Dst), i.Src)
	case i.Imm == AtomicCmpXchg:
		return fmt.Sprintf("r0 = cmpxchg(%s, r0, r%d)", place("u", i.Dst), i.Src)
	}
	operator, ok := atomicOperators[i.Imm&^AtomicFetch]
	if !ok {
		return i.unknown()
	}
	if i.Imm&AtomicFetch != 0 {
		return fmt.Sprintf("r%d = atomic_fetch_%s(%s, r%d)", i.Src, operator.name, place("u", i.Dst), i.Src)
	}
	return fmt.Sprintf("lock *%s %s r%d", place("u", i.Dst), operator.sign, i.Src)
}

// InstructionText returns the instruction at slot as a listing shows it: calls
// with names, jumps with distances, and what an operand means if it is known.
// A slot that does not exist yields an empty string.
func (o *Object) InstructionText(slot int) string {
	if slot < 0 || slot >= len(o.Code) {
		return ""
	}
	text, note := o.instruction(slot, fmt.Sprintf("%+d", o.Code[slot].JumpOffset()))
	if note != "" {
		text += "  ; " + note
	}
	return text
}

// instruction returns an instruction and a note on its operands. target names
// where it jumps, if it does.
func (o *Object) instruction(slot int, target string) (text, note string) {
	ins := o.Code[slot]
	switch {
	case ins.IsLoadImm64() && slot+1 < len(o.Code):
		v := imm64(ins, o.Code[slot+1])
		text, note = fmt.Sprintf("r%d = %#x ll", ins.Dst, v), o.addressNote(v)
	case ins.Op == OpCall && ins.Src == CallHelper && ins.Imm >= 0 && int(ins.Imm) < len(o.Imports):
		text = "call " + o.Imports[ins.Imm].Name
	case ins.Op == OpCall && ins.Src == CallLocal:
		text = ins.String()
		if f := o.FunctionAt(slot + 1 + int(ins.Imm)); f >= 0 {
			text = "call " + o.Functions[f].Name
		}
	case ins.IsJump():
		text = ins.jumpString(target)
	default:
		text = ins.String()
	}
	i := sort.Search(len(o.Fields), func(i int) bool { return o.Fields[i].Slot >= slot })
	if i < len(o.Fields) && o.Fields[i].Slot == slot {
		f := &o.Fields[i]
		note = f.Kind
		if f.Field != "" {
			note += "." + f.Field
		}
		if f.Form != coreByteOffset.String() {
			note = f.Form + "(" + note + ")"
		}
	}
	return text, note
}

// addressNote names the variable at an arena address, or quotes the string.
func (o *Object) addressNote(v uint64) string {
	if v < uint64(NullGuard) || v >= uint64(o.End) {
		return ""
	}
	i := sort.Search(len(o.byAddr), func(i int) bool { return uint64(o.Globals[o.byAddr[i]].Addr) > v })
	if i > 0 {
		name := o.byAddr[i-1]
		g := o.Globals[name]
		switch off := v - uint64(g.Addr); {
		case off == 0:
			return "&" + name
		case off < uint64(g.Size):
			return fmt.Sprintf("&%s + %d", name, off)
		}
	}
	if off := v - NullGuard; off < uint64(len(o.ROData)) {
		if s, ok := tableString(o.ROData, uint32(off), 60); ok && s != "" && printable(strings.TrimRight(s, "\n")) {
			return strconv.Quote(s)
		}
	}
	return ""
}

// Disassemble writes function f as text: labels for the places that jumps lead
// to, names for calls, and, if withSource is set and the object has line info,
// each line of C above the code that came from it. The error is w's.
func (o *Object) Disassemble(w io.Writer, f int, withSource bool) error {
	fn := &o.Functions[f]
	labels := o.labels(fn)
	p := &printer{w: w}
	p.printf("%s:  section %q", fn.Name, fn.Section)
	if fn.Prototype != "" {
		p.printf("  %s", fn.Prototype)
	}
	p.printf("\n")
	last := Line{Slot: -1}
	for slot := fn.Start; slot < fn.End && p.err == nil; {
		if line, ok := o.LineAt(slot); withSource && ok && (line.Line != last.Line || line.File != last.File) {
			last = line
			p.printf("; %s:%d  %s\n", line.File, line.Line, line.Text)
		}
		if name := labels[slot]; name != "" {
			p.printf("%s:\n", name)
		}
		ins := o.Code[slot]
		target := labels[slot+1+ins.JumpOffset()]
		if target == "" {
			target = fmt.Sprintf("%+d", ins.JumpOffset())
		}
		text, note := o.instruction(slot, target)
		if note != "" {
			text = fmt.Sprintf("%-40s ; %s", text, note)
		}
		p.printf("%6d: %s\n", slot-fn.Start, text)
		slot += ins.Slots()
	}
	return p.err
}

// labels names the instructions of a function that jumps lead to, in order. A
// jump that leads elsewhere has no label and shows its distance.
func (o *Object) labels(fn *Function) map[int]string {
	targets := make(map[int]bool)
	for slot := fn.Start; slot < fn.End; slot += o.Code[slot].Slots() {
		if ins := o.Code[slot]; ins.IsJump() {
			targets[slot+1+ins.JumpOffset()] = true
		}
	}
	labels := make(map[int]string)
	for slot := fn.Start; slot < fn.End; slot += o.Code[slot].Slots() {
		if targets[slot] {
			labels[slot] = "L" + strconv.Itoa(len(labels)+1)
		}
	}
	return labels
}

// A printer keeps the first error of a writer.
type printer struct {
	w   io.Writer
	err error
}

func (p *printer) printf(format string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.w, format, args...)
	}
}
