package vm

import "fmt"

// function is what the verifier knows of one function of the object.
type function struct {
	index      int
	name       string
	start, end int // slots

	second []bool // slot is the second half of a lddw; index slot-start
	blocks []block
	at     []int32 // block that starts at the slot, or -1; index slot-start
	order  []int32 // reachable blocks in reverse postorder
	loops  []loop  // inner loops before the loops around them
	calls  []int   // functions called, without repetition

	irreducible []int // slots where loops are entered that have other entries too
	height      int   // functions on the deepest chain of calls from here, itself included

	frame frameUse
	entry *absState // join of the states at all calls
	in    []*absState
	out   value // what r0 may be at exit; uninit if nothing is returned
	exits bool
	bound bound

	clamps map[int32][]clamp // by head of a loop

	need    uint64 // view slots that its field accesses rely on
	uses    uses   // what of the host it uses
	mayFree bool   // it or a callee calls a host function that may free
}

// block is a basic block: slots [start, end), entered at start only.
type block struct {
	start, end int
	cost       uint32 // instructions in it
	succ       []int32
	pred       []int32
	rpo        int32 // position in function.order, -1 if unreachable
	idom       int32
	head       bool // a retreating edge leads here
	loop       int32
}

// checkInstruction reports what is wrong with the encoding of the instruction at slot, or "".
// Reserved fields must be zero: https://www.rfc-editor.org/rfc/rfc9669#section-3.1
func checkInstruction(code []Instruction, slot, end int) string {
	i := code[slot]
	if i.Dst > R10 || i.Src > R10 {
		return fmt.Sprintf("register r%d does not exist; there are r0 to r10", max(i.Dst, i.Src))
	}
	switch i.Class() {
	case ClassALU, ClassALU64:
		return checkALU(i)
	case ClassJMP, ClassJMP32:
		return checkJump(i)
	case ClassLD:
		return checkImm64(code, slot, end)
	case ClassLDX:
		if i.Imm != 0 {
			return "the immediate of a load must be 0"
		}
		if i.Dst == R10 {
			return "r10, the frame pointer, is read-only"
		}
		if m := i.Mode(); m != ModeMEM && !(m == ModeMEMSX && i.Size() != 8) {
			return fmt.Sprintf("opcode %#02x does not exist", i.Op)
		}
	case ClassST:
		if i.Mode() != ModeMEM {
			return fmt.Sprintf("opcode %#02x does not exist", i.Op)
		}
		if i.Src != 0 {
			return "the source register of a store of a constant must be 0"
		}
	case ClassSTX:
		return checkStoreReg(i)
	}
	return ""
}

func checkStoreReg(i Instruction) string {
	switch i.Mode() {
	case ModeMEM:
		if i.Imm != 0 {
			return "the immediate of a store must be 0"
		}
		return ""
	case ModeATOMIC:
	default:
		return fmt.Sprintf("opcode %#02x does not exist", i.Op)
	}
	if s := i.Size(); s != 4 && s != 8 {
		return "atomic operations exist for 4 and 8 bytes only"
	}
	switch i.Imm {
	case AtomicAdd, AtomicOr, AtomicAnd, AtomicXor:
	case AtomicAdd | AtomicFetch, AtomicOr | AtomicFetch, AtomicAnd | AtomicFetch, AtomicXor | AtomicFetch, AtomicXchg:
		if i.Src == R10 {
			return "r10, the frame pointer, is read-only"
		}
	case AtomicCmpXchg:
	default:
		return fmt.Sprintf("atomic operation %#x does not exist", i.Imm)
	}
	return ""
}

func checkALU(i Instruction) string {
	if i.Dst == R10 {
		return "r10, the frame pointer, is read-only"
	}
	op := i.Code()
	if op > ALUEnd {
		return fmt.Sprintf("opcode %#02x does not exist", i.Op)
	}
	if op == ALUEnd {
		if i.Src != 0 || i.Off != 0 {
			return "a byte swap's source register and offset must be 0"
		}
		if i.Class() == ClassALU64 && i.Source() != SrcK {
			return fmt.Sprintf("opcode %#02x does not exist", i.Op)
		}
		if i.Imm != 16 && i.Imm != 32 && i.Imm != 64 {
			return fmt.Sprintf("a byte swap of %d bits does not exist; 16, 32 and 64 do", i.Imm)
		}
		return ""
	}
	if op == ALUNeg {
		if i.Source() != SrcK || i.Src != 0 || i.Off != 0 || i.Imm != 0 {
			return "a negation's source, offset and immediate must be 0"
		}
		return ""
	}
	if i.Source() == SrcK && i.Src != 0 {
		return "the source register of an operation with a constant must be 0"
	}
	if i.Source() == SrcX && i.Imm != 0 {
		return "the immediate of an operation with a register must be 0"
	}
	switch {
	case i.Off == 0:
	case (op == ALUDiv || op == ALUMod) && i.Off == 1:
	case op == ALUMov && i.Source() == SrcX && (i.Off == 8 || i.Off == 16 || i.Off == 32 && i.Class() == ClassALU64):
	default:
		return fmt.Sprintf("the offset of this operation must be 0, not %d", i.Off)
	}
	return ""
}

func checkJump(i Instruction) string {
	switch i.Code() {
	case JmpCall:
		if i.Op == OpCallX {
			return "a call through a register is not supported: function pointers do not exist in pluglets"
		}
		if i.Class() != ClassJMP || i.Source() != SrcK {
			return fmt.Sprintf("opcode %#02x does not exist", i.Op)
		}
		if i.Dst != 0 || i.Off != 0 {
			return "the destination register and offset of a call must be 0"
		}
		if i.Src != CallHelper && i.Src != CallLocal {
			return fmt.Sprintf("calls of kind %d do not exist here; 0 calls a host function, 1 a function of the program", i.Src)
		}
	case JmpExit:
		if i.Op != OpExit {
			return fmt.Sprintf("opcode %#02x does not exist", i.Op)
		}
		if i.Dst != 0 || i.Src != 0 || i.Off != 0 || i.Imm != 0 {
			return "all fields of an exit must be 0"
		}
	case JmpJA:
		if i.Source() != SrcK {
			return fmt.Sprintf("opcode %#02x does not exist", i.Op)
		}
		if i.Dst != 0 || i.Src != 0 || i.Class() == ClassJMP && i.Imm != 0 || i.Class() == ClassJMP32 && i.Off != 0 {
			return "fields of an unconditional jump besides its distance must be 0"
		}
	default:
		if i.Code() > JmpSLE {
			return fmt.Sprintf("opcode %#02x does not exist", i.Op)
		}
		if i.Source() == SrcK && i.Src != 0 {
			return "the source register of a comparison with a constant must be 0"
		}
		if i.Source() == SrcX && i.Imm != 0 {
			return "the immediate of a comparison of registers must be 0"
		}
	}
	return ""
}

func checkImm64(code []Instruction, slot, end int) string {
	i := code[slot]
	if m := i.Mode(); m == ModeABS || m == ModeIND {
		return "legacy packet access instructions are not supported; packet bytes come in buffers"
	}
	if !i.IsLoadImm64() {
		return fmt.Sprintf("opcode %#02x does not exist", i.Op)
	}
	if i.Dst == R10 {
		return "r10, the frame pointer, is read-only"
	}
	if i.Src != 0 || i.Off != 0 {
		return "the source register and offset of a 64-bit constant must be 0; maps do not exist here"
	}
	if slot+1 >= end {
		return "the second half of the 64-bit constant is missing"
	}
	if n := code[slot+1]; n.Op != 0 || n.Dst != 0 || n.Src != 0 || n.Off != 0 {
		return "the second half of the 64-bit constant must hold an immediate only"
	}
	return ""
}

// structure checks every instruction of the function and builds its flow graph.
func (v *verifier) structure(f *function) error {
	code := v.object.Code
	n := f.end - f.start
	if n <= 0 {
		return v.errAt(f, f.start, "the function is empty")
	}
	f.second = make([]bool, n)
	f.at = make([]int32, n)
	for s := f.start; s < f.end; s++ {
		f.at[s-f.start] = -1
		if msg := checkInstruction(code, s, f.end); msg != "" {
			return v.errAt(f, s, "%s", msg)
		}
		if code[s].IsLoadImm64() {
			s++
			f.at[s-f.start] = -1
			f.second[s-f.start] = true
		}
	}
	lead, err := v.leaders(f)
	if err != nil {
		return err
	}
	f.split(code, lead)
	f.walk()
	for _, k := range f.order {
		b := &f.blocks[k]
		if b.end >= f.end && fallsThrough(code[f.lastOf(b)]) {
			return v.errAt(f, f.lastOf(b), "control runs off the end of the function; it must end in an exit or a jump")
		}
	}
	if !f.dominators(v.steps(f)) || !f.findLoops() {
		return v.errAt(f, f.start, "the function's flow of control is too complex to verify; split it")
	}
	for i := range f.loops {
		f.loops[i].written = f.writtenIn(code, &f.loops[i])
	}
	return nil
}

// leaders marks the slots where a block starts and checks all jumps and calls.
func (v *verifier) leaders(f *function) ([]bool, error) {
	code := v.object.Code
	lead := make([]bool, f.end-f.start+1)
	lead[0] = true
	for s := f.start; s < f.end; s += code[s].Slots() {
		i := code[s]
		switch {
		case i.IsJump():
			t := s + 1 + i.JumpOffset()
			if t < f.start || t >= f.end {
				return nil, v.errAt(f, s, "the jump leads to instruction %d, outside the function", t-f.start)
			}
			if f.second[t-f.start] {
				return nil, v.errAt(f, s, "the jump leads into the middle of a 64-bit constant at instruction %d", t-f.start-1)
			}
			lead[t-f.start] = true
			lead[s+1-f.start] = true
		case i.Op == OpExit:
			lead[s+1-f.start] = true
		case i.Op == OpCall && i.Src == CallLocal:
			t := s + 1 + int(i.Imm)
			g := v.object.FunctionAt(t)
			if g < 0 || v.object.Functions[g].Start != t {
				return nil, v.errAt(f, s, "the call leads to no function's first instruction")
			}
		}
	}
	return lead, nil
}

// fallsThrough reports whether control may continue at the next instruction.
func fallsThrough(i Instruction) bool {
	return i.Op != OpExit && i.Op != OpJA && i.Op != OpJA32
}

// split makes the blocks and their edges.
func (f *function) split(code []Instruction, lead []bool) {
	for s := f.start; s < f.end; {
		b := block{start: s, rpo: -1, idom: -1, loop: -1}
		f.at[s-f.start] = int32(len(f.blocks))
		for {
			s += code[s].Slots()
			b.cost++
			if s >= f.end || lead[s-f.start] {
				break
			}
		}
		b.end = s
		f.blocks = append(f.blocks, b)
	}
	for k := range f.blocks {
		b := &f.blocks[k]
		last := code[f.lastOf(b)]
		if fallsThrough(last) && b.end < f.end {
			b.succ = append(b.succ, int32(k+1))
		}
		if last.IsJump() {
			t := f.at[b.end+last.JumpOffset()-f.start]
			if len(b.succ) == 0 || b.succ[0] != t {
				b.succ = append(b.succ, t)
			}
		}
	}
}

// lastOf returns the slot of the last instruction of b.
func (f *function) lastOf(b *block) int {
	s := b.end - 1
	if f.second[s-f.start] {
		s--
	}
	return s
}
