package vm

// A program may ask whether a field exists and use it only then:
//
//	if (bpf_core_field_exists(path->foo)) use(path->foo);
//
// Compiled, the question is a constant that a relocation sets and the use a
// branch that depends on it. reachable follows constants far enough to see
// that the branch is never taken.

// A constState is what is known of each register before an instruction.
type constState struct {
	known uint16 // bit set of registers
	value [numRegisters]uint64
}

// meet keeps what holds in both states; it reports whether s changed.
func (s *constState) meet(t *constState) bool {
	old := s.known
	s.known &= t.known
	for r := range s.value {
		if s.value[r] != t.value[r] {
			s.known &^= 1 << r
		}
	}
	return s.known != old
}

func (s *constState) get(r uint8) (uint64, bool) {
	if r >= numRegisters || s.known>>r&1 == 0 {
		return 0, false
	}
	return s.value[r], true
}

func (s *constState) set(r uint8, v uint64, known bool) {
	if r >= numRegisters {
		return
	}
	s.known &^= 1 << r
	if known {
		s.known |= 1 << r
		s.value[r] = v
	}
}

// reachable returns for each slot whether control may get there, when any
// function may be called with any arguments. Each slot is visited again only
// when a register is no longer constant there, so at most 12 times.
func reachable(o *Object) []bool {
	code := o.Code
	reached := make([]bool, len(code))
	states := make([]constState, len(code))
	var work []int
	flow := func(to int, s *constState) {
		if to < 0 || to >= len(code) {
			return
		}
		if !reached[to] {
			reached[to], states[to] = true, *s
			work = append(work, to)
		} else if states[to].meet(s) {
			work = append(work, to)
		}
	}
	for _, f := range o.Functions {
		flow(f.Start, new(constState))
	}
	for len(work) > 0 {
		slot := work[len(work)-1]
		work = work[:len(work)-1]
		s, ins := states[slot], code[slot]
		next := slot + ins.Slots()
		switch {
		case ins.Op == OpExit:
		case ins.Op == OpCall || ins.Op == OpCallX:
			s.known &^= 1<<(R5+1) - 1
			flow(next, &s)
		case ins.Op == OpJA || ins.Op == OpJA32:
			flow(next+ins.JumpOffset(), &s)
		case ins.IsJump():
			taken, known := s.decide(ins)
			if taken || !known {
				flow(next+ins.JumpOffset(), &s)
			}
			if !taken || !known {
				flow(next, &s)
			}
		default:
			s.step(ins, code, slot)
			flow(next, &s)
		}
	}
	return reached
}

// step applies an instruction that is no jump.
func (s *constState) step(ins Instruction, code []Instruction, slot int) {
	switch ins.Class() {
	case ClassALU, ClassALU64:
		v, known := s.alu(ins)
		s.set(ins.Dst, v, known)
	case ClassLD:
		if ins.IsLoadImm64() && slot+1 < len(code) {
			s.set(ins.Dst, imm64(ins, code[slot+1]), true)
		} else {
			s.set(R0, 0, false)
		}
	case ClassLDX:
		s.set(ins.Dst, 0, false)
	case ClassSTX:
		if ins.Mode() == ModeATOMIC {
			s.set(ins.Src, 0, false)
			s.set(R0, 0, false)
		}
	}
}

// alu evaluates the arithmetic that compilers use on truth values.
func (s *constState) alu(ins Instruction) (uint64, bool) {
	a, aKnown := s.get(ins.Dst)
	b, bKnown := uint64(int64(ins.Imm)), true
	if ins.Source() == SrcX {
		b, bKnown = s.get(ins.Src)
	}
	if ins.Off != 0 || !bKnown || !aKnown && ins.Code() != ALUMov {
		return 0, false
	}
	mask := uint64(63)
	if ins.Class() == ClassALU {
		mask, a, b = 31, uint64(uint32(a)), uint64(uint32(b))
	}
	switch ins.Code() {
	case ALUMov:
		a = b
	case ALUAdd:
		a += b
	case ALUSub:
		a -= b
	case ALUAnd:
		a &= b
	case ALUOr:
		a |= b
	case ALUXor:
		a ^= b
	case ALULsh:
		a <<= b & mask
	case ALURsh:
		a >>= b & mask
	default:
		return 0, false
	}
	if ins.Class() == ClassALU {
		a = uint64(uint32(a))
	}
	return a, true
}

// decide evaluates a conditional jump.
func (s *constState) decide(ins Instruction) (taken, known bool) {
	a, aKnown := s.get(ins.Dst)
	b, bKnown := uint64(int64(ins.Imm)), true
	if ins.Source() == SrcX {
		b, bKnown = s.get(ins.Src)
	}
	if !aKnown || !bKnown {
		return false, false
	}
	sa, sb := int64(a), int64(b)
	if ins.Class() == ClassJMP32 {
		a, b, sa, sb = uint64(uint32(a)), uint64(uint32(b)), int64(int32(a)), int64(int32(b))
	}
	switch ins.Code() {
	case JmpEQ:
		return a == b, true
	case JmpNE:
		return a != b, true
	case JmpGT:
		return a > b, true
	case JmpGE:
		return a >= b, true
	case JmpLT:
		return a < b, true
	case JmpLE:
		return a <= b, true
	case JmpSET:
		return a&b != 0, true
	case JmpSGT:
		return sa > sb, true
	case JmpSGE:
		return sa >= sb, true
	case JmpSLT:
		return sa < sb, true
	case JmpSLE:
		return sa <= sb, true
	}
	return false, false
}
