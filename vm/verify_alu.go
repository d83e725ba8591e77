package vm

import "math"

// alu is the transfer function of an arithmetic instruction.
func (a *analysis) alu(s *absState, slot int, i Instruction) error {
	wide := i.Class() == ClassALU64
	op := i.Code()
	if op == ALUMov {
		return a.mov(s, slot, i, wide)
	}
	d := &s.regs[i.Dst]
	b := constant(uint64(int64(i.Imm)))
	if op == ALUEnd || op == ALUNeg {
		b = constant(0)
	} else if i.Source() == SrcX {
		b = s.regs[i.Src]
		if err := a.integer(slot, i.Src, &b); err != nil {
			return err
		}
	}
	if d.t == handle {
		return a.handleArith(s, slot, i, &b)
	}
	if err := a.integer(slot, i.Dst, d); err != nil {
		return err
	}
	var r value
	switch {
	case op == ALUEnd:
		r = byteSwap(d, i)
	case op == ALUNeg && wide:
		zero := constant(0)
		r = subValues(&zero, d)
	case op == ALUNeg:
		zero, low := constant(0), d.low32()
		r = subValues(&zero, &low)
		r = r.low32()
	case i.Source() == SrcX && i.Src == i.Dst && (op == ALUXor || op == ALUSub):
		r = constant(0)
	case wide:
		r = arith(op, i.Off == 1, d, &b, 64)
	default:
		r = arith32(op, i.Off == 1, d, &b)
	}
	a.define(s, slot, i.Dst, r)
	return nil
}

// handleArith adds a constant to a typed pointer: only the verifier notes it, the handle stays as it is.
func (a *analysis) handleArith(s *absState, slot int, i Instruction, b *value) error {
	d := &s.regs[i.Dst]
	c := b.smin
	if op := i.Code(); i.Class() != ClassALU64 || op != ALUAdd && op != ALUSub || !b.isConst() {
		return a.err(slot, "%s: a typed pointer allows adding a constant only", a.what(i.Dst, d))
	} else if op == ALUSub {
		c = -c
	}
	if c < -MaxKindSize || c > MaxKindSize || int64(d.off)+c < -MaxKindSize || int64(d.off)+c > MaxKindSize {
		return a.err(slot, "%s: adding %d leads outside the struct", a.what(i.Dst, d), c)
	}
	d.off += int32(c)
	a.fact(slot).mode = factNothing
	return nil
}

func (a *analysis) mov(s *absState, slot int, i Instruction, wide bool) error {
	if i.Source() == SrcK {
		if wide {
			s.regs[i.Dst] = constant(uint64(int64(i.Imm)))
		} else {
			s.regs[i.Dst] = constant(uint64(uint32(i.Imm)))
		}
		return nil
	}
	v := s.regs[i.Src]
	if i.Src == R10 {
		s.escaped = true
	}
	if wide && i.Off == 0 && v.t == handle {
		s.regs[i.Dst] = v
		return nil
	}
	if err := a.integer(slot, i.Src, &v); err != nil {
		return err
	}
	if i.Off != 0 {
		v = signExtend(&v, uint(i.Off))
	}
	if !wide {
		v = v.low32()
	}
	a.define(s, slot, i.Dst, v)
	return nil
}

// signExtend takes the low width bits of v as a signed number.
func signExtend(v *value, width uint) value {
	lo, hi := int64(-1)<<(width-1), int64(1)<<(width-1)-1
	if v.smin >= lo && v.smax <= hi {
		return *v
	}
	if v.umax <= math.MaxUint64>>(64-width) && v.umin > uint64(hi) {
		return signedRange(int64(v.umin)+2*lo, int64(v.umax)+2*lo)
	}
	if width == 32 {
		l, h := v.signed32()
		return signedRange(l, h)
	}
	return signedRange(lo, hi)
}

func byteSwap(v *value, i Instruction) value {
	limit := uint64(math.MaxUint64) >> (64 - uint(i.Imm))
	if i.Class() == ClassALU && i.Source() == EndLE && v.umax <= limit {
		return *v
	}
	return scalarRange(0, limit)
}

// arith is the abstract operation on 64-bit numbers; width is that of the shift count.
func arith(op uint8, signed bool, a, b *value, width uint64) value {
	switch op {
	case ALUAdd:
		return addValues(a, b)
	case ALUSub:
		return subValues(a, b)
	case ALUMul:
		return mulValues(a, b)
	case ALUDiv:
		if signed {
			return sdivValues(a, b)
		}
		return divValues(a, b)
	case ALUMod:
		if signed {
			return smodValues(a, b)
		}
		return modValues(a, b)
	case ALUOr:
		return orValues(a, b)
	case ALUAnd:
		return andValues(a, b)
	case ALUXor:
		return xorValues(a, b)
	case ALULsh:
		return lshValues(a, b, width)
	case ALURsh:
		return rshValues(a, b, width)
	case ALUArsh:
		return arshValues(a, b, width)
	}
	return anyScalar()
}

// arith32 is the abstract operation on low halves, with the upper half zeroed.
func arith32(op uint8, signed bool, a, b *value) value {
	x, y := a.low32(), b.low32()
	if signed || op == ALUArsh {
		lo, hi := a.signed32()
		x = signedRange(lo, hi)
		if signed {
			lo, hi = b.signed32()
			y = signedRange(lo, hi)
		}
	}
	if op == ALUAdd && b.isConst() {
		// A small negative constant: a decrement, not the addition of nearly 2^32.
		y = constant(uint64(int64(int32(uint32(b.umin)))))
	}
	r := arith(op, signed, &x, &y, 32)
	return r.low32()
}
