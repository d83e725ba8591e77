//go:build linux && !nojit

package vm

import "math/bits"

// inst compiles one instruction.
func (c *jitCompiler) inst(k int32, in *Inst) {
	op := &irOps[in.Op]
	zext := false // the upper half of the result is zero
	switch op.kind {
	case kindTrap:
		c.storeImm32(false, stateAt(offFaultInst), k)
		c.jmp(c.exits.trap)
		return
	case kindFall:
		return
	case kindMov:
		zext = c.move(op, in)
	case kindALU:
		if c.alu(op, in) {
			return
		}
		zext = !op.wide || op.imm && op.code == ALUAnd && in.Imm == int64(uint32(in.Imm))
	case kindMul:
		c.mul(op, in)
		zext = !op.wide
	case kindDiv:
		c.div(op, in)
		zext = !op.wide
	case kindShift:
		c.shift(op, in)
		zext = !op.wide || op.imm && op.code == ALURsh && in.Imm&63 >= 32
	case kindNeg:
		c.rx(op.wide, opUnary, extNeg, c.reg[in.Dst])
		zext = !op.wide
	case kindMovSX:
		c.extend(op.wide, true, op.size, c.reg[in.Dst], c.source(in.Src))
		zext = !op.wide
	case kindZext:
		if op.size == 2 || !c.upperZero(in.Dst) {
			c.extend(false, false, op.size, c.reg[in.Dst], c.reg[in.Dst])
		}
		zext = true
	case kindSwap:
		c.swap(op.size, c.reg[in.Dst])
		zext = op.size < 8
	case kindLoad:
		c.loadArena(k, op, in)
		zext = !op.signed && op.size < 8
	case kindStore:
		c.storeArena(k, op, in)
		return
	case kindAtomic:
		c.atomic(k, op, in)
		return
	case kindBranch:
		c.branch(op, in)
		return
	case kindCall:
		c.callLocal(in)
		return
	case kindExit:
		c.exit()
		return
	case kindHost:
		c.callHost(k)
		return
	case kindStoreHost:
		c.suspend(k, c.exits.store)
		return
	case kindLoadField:
		c.extendLoad(op, c.reg[in.Dst], memAt(c.viewOf(in, in.Src), in.Off))
		zext = !op.signed && op.size < 8
	case kindStoreField:
		c.storeField(op, in)
		return
	case kindLoadHandle:
		c.loadHandle(in)
		zext = true
	}
	c.wrote(in.Dst, zext)
}

// wrote notes that an instruction changed a register.
func (c *jitCompiler) wrote(r uint8, zext bool) {
	c.known.zext &^= 1 << r
	if zext {
		c.known.zext |= 1 << r
	}
	c.known.ranges.wrote(r)
}

func (c *jitCompiler) upperZero(r uint8) bool { return c.known.zext>>r&1 != 0 }

// source returns the machine register that holds r, which is the scratch register if r is r10 in memory.
func (c *jitCompiler) source(r uint8) gpr {
	if c.reg[r] != noReg {
		return c.reg[r]
	}
	if c.known.scratch != holdsFrame {
		c.load(scratchReg, regAt(RegFrame))
		c.known.scratch = holdsFrame
	}
	return scratchReg
}

// useScratch returns the scratch register for other use.
func (c *jitCompiler) useScratch() gpr {
	c.known.scratch = holdsNothing
	return scratchReg
}

// fuse compiles instruction k together with the next one, if they are a pair that has a shorter form and nothing
// leads in between.
func (c *jitCompiler) fuse(k int32) bool {
	if k+1 >= c.fn.end || c.an.isTarget[k+1] != 0 || c.ir[k+1].Cost != 0 {
		return false
	}
	a, b := &c.ir[k], &c.ir[k+1]
	if a.Dst != b.Dst {
		return false
	}
	d := a.Dst
	switch {
	case a.Op == IRLsh64I && b.Op == IRRsh64I && a.Imm == 32 && b.Imm == 32:
		if !c.upperZero(d) {
			c.mov32(c.reg[d], c.reg[d])
		}
		c.wrote(d, true)
	case a.Op == IRLsh64I && b.Op == IRArsh64I && a.Imm == 32 && b.Imm == 32:
		c.rr(true, opMovsxd, c.reg[d], c.reg[d])
		c.wrote(d, false)
	case a.Op == IRMov64 && b.Op == IRAdd64I && fitsInt32(b.Imm):
		c.rm(true, opLea, c.reg[d], memAt(c.source(a.Src), int32(b.Imm)))
		c.wrote(d, false)
	case a.Op == IRMov64 && b.Op == IRAdd64 && b.Src != d && b.Src != RegFrame:
		c.rm(true, opLea, c.reg[d], memAtIndex(c.source(a.Src), c.reg[b.Src], 0))
		c.wrote(d, false)
	case a.Op == IRMov64I && b.Op == IRAdd64 && b.Src != d && b.Src != RegFrame && fitsInt32(a.Imm):
		c.rm(true, opLea, c.reg[d], memAt(c.reg[b.Src], int32(a.Imm)))
		c.wrote(d, false)
	default:
		return false
	}
	return true
}

// move compiles a move and reports whether the result's upper half is zero.
func (c *jitCompiler) move(op *irOp, in *Inst) bool {
	d := c.reg[in.Dst]
	switch {
	case op.imm && op.wide:
		c.movImm(d, uint64(in.Imm))
		return in.Imm == int64(uint32(in.Imm))
	case op.imm:
		c.movImm(d, uint64(uint32(in.Imm)))
		return true
	case op.wide:
		if in.Dst != in.Src {
			c.mov(d, c.source(in.Src))
		}
		return c.upperZero(in.Src)
	default:
		if in.Dst != in.Src || !c.upperZero(in.Src) {
			c.mov32(d, c.source(in.Src))
		}
		return true
	}
}

// immediate returns the constant as the processor takes it, or false if it has to be put into a register.
func immediate(wide bool, v int64) (int32, bool) {
	if !wide {
		return int32(v), true
	}
	return int32(v), fitsInt32(v)
}

// alu compiles add, sub, or, and, xor. It reports whether it noted the change of the register itself.
func (c *jitCompiler) alu(op *irOp, in *Inst) bool {
	var ext uint8
	var store opcode
	switch op.code {
	case ALUAdd:
		ext, store = extAdd, opAddStore
	case ALUSub:
		ext, store = extSub, opSubStore
	case ALUOr:
		ext, store = extOr, opOrStore
	case ALUAnd:
		ext, store = extAnd, opAndStore
	case ALUXor:
		ext, store = extXor, opXorStore
	}
	d := c.reg[in.Dst]
	if !op.imm {
		c.rr(op.wide, store, d, c.source(in.Src))
		return false
	}
	v, ok := immediate(op.wide, in.Imm)
	if !ok {
		s := c.useScratch()
		c.movImm(s, uint64(in.Imm))
		c.rr(true, store, d, s)
		return false
	}
	if op.code == ALUAnd && v >= 0 {
		c.group1(false, ext, d, v) // the same result, shorter
		return false
	}
	c.group1(op.wide, ext, d, v)
	if !op.wide || op.code != ALUAdd && op.code != ALUSub {
		return false
	}
	by := int64(v)
	if op.code == ALUSub {
		by = -by
	}
	c.known.zext &^= 1 << in.Dst
	c.known.ranges.moved(in.Dst, by)
	return true
}

func (c *jitCompiler) mul(op *irOp, in *Inst) {
	d := c.reg[in.Dst]
	if !op.imm {
		c.rr(op.wide, opImul, c.source(in.Src), d)
		return
	}
	v, ok := immediate(op.wide, in.Imm)
	if !ok {
		s := c.useScratch()
		c.movImm(s, uint64(in.Imm))
		c.rr(true, opImul, s, d)
		return
	}
	if v > 0 && v&(v-1) == 0 {
		c.shiftBy(op.wide, extShl, d, uint8(bits.TrailingZeros32(uint32(v))))
		return
	}
	c.imulImm(op.wide, d, d, v)
}

func (c *jitCompiler) shift(op *irOp, in *Inst) {
	ext := uint8(extShl)
	switch op.code {
	case ALURsh:
		ext = extShr
	case ALUArsh:
		ext = extSar
	}
	d := c.reg[in.Dst]
	if op.imm {
		mask := uint8(31)
		if op.wide {
			mask = 63
		}
		c.shiftBy(op.wide, ext, d, uint8(in.Imm)&mask)
		return
	}
	s := c.source(in.Src)
	if c.bmi2 {
		c.shiftX(op.wide, ext, d, d, s)
		return
	}
	if s != scratchReg {
		c.mov32(c.useScratch(), s)
	}
	c.rx(op.wide, opShiftCL, ext, d)
	if !op.wide {
		c.mov32(d, d) // a count of 0 may leave the upper half alone
	}
}

// shiftBy shifts by a constant below the width.
func (c *jitCompiler) shiftBy(wide bool, ext uint8, d gpr, n uint8) {
	switch {
	case n != 0:
		c.shiftImm(wide, ext, d, n)
	case !wide:
		c.mov32(d, d)
	}
}

// extend moves 1, 2 or 4 bytes of s to d, sign- or zero-extended.
func (c *jitCompiler) extend(wide, signed bool, size uint8, d, s gpr) {
	switch {
	case size == 1 && signed:
		c.rr(wide, opMovsx8, s, d)
	case size == 2 && signed:
		c.rr(wide, opMovsx16, s, d)
	case size == 2:
		c.rr(false, opMovzx16, s, d)
	case signed:
		c.rr(true, opMovsxd, s, d)
	default:
		c.mov32(d, s)
	}
}

func (c *jitCompiler) swap(size uint8, d gpr) {
	switch size {
	case 2:
		c.rol16(d, 8)
		c.rr(false, opMovzx16, d, d)
	case 4:
		c.bswap(false, d)
	default:
		c.bswap(true, d)
	}
}

var branchConds = [16]condCode{
	JmpEQ >> 4: condE, JmpNE >> 4: condNE, JmpSET >> 4: condNE,
	JmpGT >> 4: condA, JmpGE >> 4: condAE, JmpLT >> 4: condB, JmpLE >> 4: condBE,
	JmpSGT >> 4: condG, JmpSGE >> 4: condGE, JmpSLT >> 4: condL, JmpSLE >> 4: condLE,
}

func (c *jitCompiler) branch(op *irOp, in *Inst) {
	d := c.reg[in.Dst]
	if in.Dst == RegFrame {
		d = c.source(RegFrame)
	}
	if op.imm {
		c.compareImm(op, d, in.Imm)
	} else {
		test := opCmpStore
		if op.code == JmpSET {
			test = opTest
		}
		c.rr(op.wide, test, d, c.source(in.Src))
	}
	c.jcc(branchConds[op.code>>4], asmLabel(in.Target))
}

func (c *jitCompiler) compareImm(op *irOp, d gpr, imm int64) {
	v, ok := immediate(op.wide, imm)
	switch {
	case !ok:
		test := opCmpStore
		if op.code == JmpSET {
			test = opTest
		}
		s := c.useScratch()
		c.movImm(s, uint64(imm))
		if d == s {
			c.rm(true, test, s, regAt(RegFrame))
		} else {
			c.rr(true, test, d, s)
		}
	case op.code == JmpSET:
		c.testImm(op.wide && v < 0, d, v)
	case v == 0:
		c.rr(op.wide, opTest, d, d)
	default:
		c.group1(op.wide, extCmp, d, v)
	}
}
