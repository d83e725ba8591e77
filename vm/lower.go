package vm

// lowering translates the functions that programs reach into one run of lowered code.
type lowering struct {
	v       *verifier
	code    []Inst
	entries []int32 // by function: index of its first instruction
	blocks  []int32 // by block of the function at hand
	fix     []int32 // jumps of the function at hand: Target is a block
	calls   []int32 // calls: Target is a function
}

// lower translates everything that the verifier found live.
func (v *verifier) lower() ([]Inst, []int32) {
	l := &lowering{v: v, entries: make([]int32, len(v.funcs))}
	l.code = make([]Inst, 0, len(v.object.Code)+len(v.object.Code)/8)
	for _, k := range v.calls {
		if f := v.funcs[k]; f.entry != nil {
			l.function(f)
		}
	}
	for _, at := range l.calls {
		l.code[at].Target = l.entries[l.code[at].Target]
	}
	return l.code, l.entries
}

func (l *lowering) emit(i Inst) int32 {
	l.code = append(l.code, i)
	return int32(len(l.code) - 1)
}

func (l *lowering) function(f *function) {
	l.entries[f.index] = int32(len(l.code))
	l.blocks = append(l.blocks[:0], make([]int32, len(f.blocks))...)
	l.fix = l.fix[:0]
	for k := range f.blocks {
		b := &f.blocks[k]
		l.blocks[k] = int32(len(l.code))
		if f.in[k] == nil {
			// A target of jumps that are never taken, and what stands after a block that does not end.
			l.emit(Inst{Op: IRTrap, Cost: b.cost, Slot: int32(b.start)})
			continue
		}
		l.block(f, b)
	}
	for _, at := range l.fix {
		l.code[at].Target = l.blocks[l.code[at].Target]
	}
}

func (l *lowering) block(f *function, b *block) {
	code := l.v.object.Code
	first := len(l.code)
	last := f.lastOf(b)
	for s := b.start; s < b.end; s += code[s].Slots() {
		if !l.v.facts[s].live {
			l.emit(Inst{Op: IRTrap, Slot: int32(s)})
			break
		}
		l.instruction(f, s)
	}
	if i := code[last]; !i.IsJump() && i.Op != OpExit {
		l.emit(Inst{Op: IRFall, Slot: int32(last)})
	}
	l.code[first].Cost = b.cost
}

// instruction emits what the instruction at slot becomes; at least one Inst, so that costs have a place.
func (l *lowering) instruction(f *function, slot int) {
	i := l.v.object.Code[slot]
	fact := &l.v.facts[slot]
	out := Inst{Dst: i.Dst, Src: i.Src, Slot: int32(slot), Imm: int64(i.Imm), Off: int32(i.Off)}
	switch i.Class() {
	case ClassALU, ClassALU64:
		out.Off = 0
		if fact.mode == factNothing {
			out.Op = IRFall
		} else {
			out.Op = aluOp(i)
		}
	case ClassLD:
		out.Op, out.Imm, out.Off = IRMov64I, int64(imm64(i, l.v.object.Code[slot+1])), 0
	case ClassLDX:
		l.load(&out, i, fact)
	case ClassST, ClassSTX:
		l.store(&out, i, fact)
	case ClassJMP, ClassJMP32:
		l.jump(f, &out, i, fact)
		return
	}
	l.emit(out)
}

func widthIndex(n uint8) IROp {
	switch n {
	case 1:
		return 0
	case 2:
		return 1
	case 4:
		return 2
	}
	return 3
}

func (l *lowering) load(out *Inst, i Instruction, fact *fact) {
	out.Size = i.Size()
	signed := i.Mode() == ModeMEMSX
	n := widthIndex(out.Size)
	if signed {
		n += 4
	}
	switch fact.mode {
	case factRaw:
		out.Op, out.Off = IRRawLoad8+n, fact.off
		if fact.absolute {
			out.Src = RegNone
		}
	case factField:
		out.Op, out.Off = IRLoadField8+n, fact.off
		if fact.slot != 0 {
			out.Flags, out.Target = FlagStatic, int32(fact.slot)
		}
	case factHandle:
		out.Op, out.Target, out.Off = IRLoadHandle, int32(fact.slot), 0
		if !fact.nullable {
			out.Op, out.Imm, out.Target = IRMov64I, int64(fact.slot), 0
		}
	default:
		out.Op = IRLoad8 + n
	}
}

func (l *lowering) store(out *Inst, i Instruction, fact *fact) {
	out.Size = i.Size()
	n := widthIndex(out.Size)
	if i.Class() == ClassSTX && i.Mode() == ModeATOMIC {
		out.Op = atomicOp(i.Imm)
		if i.Imm&AtomicFetch != 0 {
			out.Flags = FlagFetch
		}
		out.Imm = 0
		return
	}
	imm := i.Class() == ClassST
	switch fact.mode {
	case factRaw:
		out.Op, out.Off = IRRawStore8+n, fact.off
		if imm {
			out.Op = IRRawStore8I + n
		}
		if fact.absolute {
			out.Dst = RegNone
		}
	case factField, factHost:
		out.Op, out.Off = IRStoreField8+n, fact.off
		if fact.mode == factHost {
			out.Op, out.Off = IRStoreFieldHost, fact.field
		}
		if imm {
			out.Flags |= FlagImm
		}
		if fact.slot != 0 {
			out.Flags |= FlagStatic
			out.Target = int32(fact.slot)
		}
	default:
		out.Op = IRStore8 + n
		if imm {
			out.Op = IRStore8I + n
		}
	}
}

func (l *lowering) jump(f *function, out *Inst, i Instruction, fact *fact) {
	slot := int(out.Slot)
	out.Off = 0
	switch {
	case i.Op == OpCall && i.Src == CallLocal:
		out.Op, out.Imm, out.Src = IRCall, 0, 0
		out.Target = int32(l.v.object.FunctionAt(slot + 1 + int(i.Imm)))
		l.calls = append(l.calls, l.emit(*out))
		return
	case i.Op == OpCall:
		out.Op = IRHost
		l.emit(*out)
		return
	case i.Op == OpExit:
		if fact.mode == factZeroR0 {
			l.emit(Inst{Op: IRMov64I, Dst: R0, Slot: out.Slot})
		}
		out.Op = IRExit
		l.emit(*out)
		return
	}
	out.Target = f.at[slot+1+i.JumpOffset()-f.start]
	switch {
	case fact.mode == factNever:
		*out = Inst{Op: IRFall, Slot: out.Slot}
		l.emit(*out)
		return
	case i.Code() == JmpJA || fact.mode == factAlways:
		*out = Inst{Op: IRJump, Target: out.Target, Slot: out.Slot}
	default:
		out.Op = jumpOp(i)
		if i.Class() == ClassJMP32 && i.Source() == SrcK {
			out.Imm = int64(uint32(i.Imm))
		}
	}
	l.fix = append(l.fix, l.emit(*out))
}

// aluPairs gives the 64-bit operation with a constant; the one with a register follows it.
var aluPairs = [...]IROp{
	ALUAdd >> 4: IRAdd64I, ALUSub >> 4: IRSub64I, ALUMul >> 4: IRMul64I, ALUDiv >> 4: IRDiv64I, ALUOr >> 4: IROr64I,
	ALUAnd >> 4: IRAnd64I, ALULsh >> 4: IRLsh64I, ALURsh >> 4: IRRsh64I, ALUNeg >> 4: IRNeg64, ALUMod >> 4: IRMod64I,
	ALUXor >> 4: IRXor64I, ALUMov >> 4: IRMov64I, ALUArsh >> 4: IRArsh64I,
}

// narrowBy is how far the 32-bit operations are from the 64-bit ones.
const narrowBy = IRMov32I - IRMov64I

func aluOp(i Instruction) IROp {
	wide := i.Class() == ClassALU64
	switch i.Code() {
	case ALUEnd:
		return endOp(i)
	case ALUNeg:
		if wide {
			return IRNeg64
		}
		return IRNeg32
	case ALUMov:
		if i.Off != 0 {
			return extendOp(i.Off, wide)
		}
	}
	op := aluPairs[i.Code()>>4]
	if i.Off == 1 {
		op += IRSDiv64I - IRDiv64I
	}
	if i.Source() == SrcX {
		op++
	}
	if !wide {
		op += narrowBy
	}
	return op
}

func extendOp(width int16, wide bool) IROp {
	switch {
	case width == 8 && wide:
		return IRMovSX8to64
	case width == 16 && wide:
		return IRMovSX16to64
	case width == 32:
		return IRMovSX32to64
	case width == 8:
		return IRMovSX8to32
	}
	return IRMovSX16to32
}

func endOp(i Instruction) IROp {
	if i.Class() == ClassALU && i.Source() == EndLE {
		switch i.Imm {
		case 16:
			return IRZext16
		case 32:
			return IRZext32
		}
		return IRFall
	}
	switch i.Imm {
	case 16:
		return IRSwap16
	case 32:
		return IRSwap32
	}
	return IRSwap64
}

func atomicOp(imm int32) IROp {
	switch imm {
	case AtomicXchg:
		return IRAtomicXchg
	case AtomicCmpXchg:
		return IRAtomicCmpXchg
	}
	switch imm &^ AtomicFetch {
	case AtomicOr:
		return IRAtomicOr
	case AtomicAnd:
		return IRAtomicAnd
	case AtomicXor:
		return IRAtomicXor
	}
	return IRAtomicAdd
}

var jumpPairs = [...]IROp{
	JmpEQ >> 4: IRJeq64I, JmpGT >> 4: IRJgt64I, JmpGE >> 4: IRJge64I, JmpSET >> 4: IRJset64I, JmpNE >> 4: IRJne64I,
	JmpSGT >> 4: IRJsgt64I, JmpSGE >> 4: IRJsge64I, JmpLT >> 4: IRJlt64I, JmpLE >> 4: IRJle64I, JmpSLT >> 4: IRJslt64I,
	JmpSLE >> 4: IRJsle64I,
}

func jumpOp(i Instruction) IROp {
	op := jumpPairs[i.Code()>>4]
	if i.Source() == SrcX {
		op++
	}
	if i.Class() == ClassJMP32 {
		op += IRJeq32I - IRJeq64I
	}
	return op
}
