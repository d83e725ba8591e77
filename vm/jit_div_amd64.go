//go:build linux && !nojit

package vm

import "math/bits"

// div compiles the divisions and remainders. The processor divides RDX:RAX; what these hold otherwise (r3 and r0) is
// set aside in the state.
func (c *jitCompiler) div(op *irOp, in *Inst) {
	d := c.reg[in.Dst]
	if op.imm {
		if c.divByConstant(op, in, d) {
			return
		}
		v := uint64(in.Imm)
		if !op.wide {
			v = uint64(uint32(v))
		}
		c.movImm(c.useScratch(), v)
		c.divide(op, d)
		return
	}
	if s := c.source(in.Src); s != scratchReg {
		c.rr(op.wide, opMovStore, scratchReg, s)
	}
	c.useScratch()
	c.rr(op.wide, opTest, scratchReg, scratchReg)
	zero := c.skip(condE)
	minusOne := 0
	if op.signed {
		// The smallest integer divided by -1 would trap.
		c.group1(op.wide, extCmp, scratchReg, -1)
		minusOne = c.skip(condE)
	}
	c.divide(op, d)
	end := c.skipAlways()
	if op.signed {
		c.land(minusOne)
		c.divByMinusOne(op, d)
		endMinusOne := c.skipAlways()
		c.land(zero)
		c.divByZero(op, d)
		c.land(endMinusOne)
	} else {
		c.land(zero)
		c.divByZero(op, d)
	}
	c.land(end)
}

// divByZero: a quotient is 0, a remainder the dividend.
func (c *jitCompiler) divByZero(op *irOp, d gpr) {
	switch {
	case op.code == ALUDiv:
		c.zero(d)
	case !op.wide:
		c.mov32(d, d)
	}
}

func (c *jitCompiler) divByMinusOne(op *irOp, d gpr) {
	if op.code == ALUDiv {
		c.rx(op.wide, opUnary, extNeg, d)
	} else {
		c.zero(d)
	}
}

// divide divides d by the scratch register, which is neither 0 nor, if signed, -1.
func (c *jitCompiler) divide(op *irOp, d gpr) {
	saveA := d != rax
	saveD := d != rdx && c.inUse(rdx)
	if saveA {
		c.store(stateAt(offSave), rax)
		c.mov(rax, d)
	}
	if saveD {
		c.store(stateAt(offSave+8), rdx)
	}
	if op.signed {
		c.signExtendA(op.wide)
		c.rx(op.wide, opUnary, extIdiv, scratchReg)
	} else {
		c.zero(rdx)
		c.rx(op.wide, opUnary, extDiv, scratchReg)
	}
	result := rax
	if op.code == ALUMod {
		result = rdx
	}
	if d != result {
		c.mov(d, result)
	}
	if saveD {
		c.load(rdx, stateAt(offSave+8))
	}
	if saveA {
		c.load(rax, stateAt(offSave))
	}
}

// inUse reports whether compiled code keeps something in r.
func (c *jitCompiler) inUse(r gpr) bool {
	if c.reg[RegFrame] == r {
		return true
	}
	for i, m := range registerMap {
		if m == r {
			if c.an.uses[i] > 0 {
				return true
			}
		}
	}
	for _, m := range c.caches {
		if m == r {
			return true
		}
	}
	return false
}

// divByConstant compiles division by a constant that needs no division, and reports whether it did.
func (c *jitCompiler) divByConstant(op *irOp, in *Inst, d gpr) bool {
	v := uint64(in.Imm)
	if !op.wide {
		v = uint64(uint32(v))
	}
	allOnes := op.wide && v == ^uint64(0) || !op.wide && v == 1<<32-1
	switch {
	case v == 0:
		c.divByZero(op, d)
	case op.signed && allOnes:
		c.divByMinusOne(op, d)
	case op.signed:
		return false
	case v&(v-1) == 0 && op.code == ALUDiv:
		c.shiftBy(op.wide, extShr, d, uint8(bits.TrailingZeros64(v)))
	case v&(v-1) == 0 && v-1 <= 1<<31-1:
		c.group1(false, extAnd, d, int32(v-1))
	default:
		return false
	}
	return true
}
