//go:build linux && !nojit

package vm

import "math/bits"

// inst compiles one instruction.
func (c *jitCompiler) inst(k int32, in *Inst) {
	op := &irOps[in.Op]
	d := gpr(in.Dst)
	zext := false // the upper half of the result is zero
	switch op.kind {
	case kindTrap:
		c.storeWord(4, offFaultInst, uint32(k))
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
		c.rrr(op.wide, opMUL, d, d, c.operand(op, in))
		zext = !op.wide
	case kindDiv:
		c.div(op, in)
		zext = !op.wide
	case kindShift:
		c.shift(op, in)
		zext = !op.wide || op.imm && op.code == ALURsh && in.Imm&63 >= 32
	case kindNeg:
		c.rrr(op.wide, opSUB, d, xzr, d)
		zext = !op.wide
	case kindMovSX:
		c.bitfield(op.wide, true, d, gpr(in.Src), 0, 8*uint32(op.size)-1)
		zext = !op.wide
	case kindZext:
		c.bitfield(false, false, d, d, 0, 8*uint32(op.size)-1)
		zext = true
	case kindSwap:
		c.swap(op.size, d)
		zext = op.size < 8
	case kindLoad:
		c.access(loadKind(op), op.size, d, c.address(k, op, in.Src, in.Off))
		zext = !op.signed && op.size < 8
	case kindStore:
		c.access(accessStore, op.size, c.stored(op.imm, in), c.address(k, op, in.Dst, in.Off))
		return
	case kindAtomic:
		c.atomic(k, op, in)
		return
	case kindJump:
		c.jmp(asmLabel(in.Target))
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
		c.access(loadKind(op), op.size, d, c.near(c.viewOf(in, in.Src), op.size, in.Off))
		zext = !op.signed && op.size < 8
	case kindStoreField:
		v := c.stored(in.Flags&FlagImm != 0, in)
		c.access(accessStore, op.size, v, c.near(c.viewOf(in, in.Dst), op.size, in.Off))
		return
	case kindLoadHandle:
		c.load(tempReg, viewAt(in.Target))
		c.movImm(d, uint64(in.Target))
		c.arithImm(true, opSUBS, xzr, tempReg, 0)
		c.csel(condNE, d, d, xzr)
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

// fuse compiles instruction k together with the next one, if they are a pair that has a shorter form and nothing leads
// in between.
func (c *jitCompiler) fuse(k int32) bool {
	if k+1 >= c.fn.end || c.an.isTarget[k+1] != 0 || c.ir[k+1].Cost != 0 {
		return false
	}
	a, b := &c.ir[k], &c.ir[k+1]
	if a.Dst != b.Dst {
		return false
	}
	d := gpr(a.Dst)
	switch {
	case a.Op == IRLsh64I && (b.Op == IRRsh64I || b.Op == IRArsh64I) && a.Imm == 32 && b.Imm == 32:
		c.bitfield(true, b.Op == IRArsh64I, d, d, 0, 31)
		c.wrote(a.Dst, b.Op == IRRsh64I)
	case a.Op == IRMov64 && b.Op == IRAdd64I:
		c.addImm(d, gpr(a.Src), b.Imm)
		c.wrote(a.Dst, false)
	case a.Op == IRMov64 && b.Op == IRAdd64 && b.Src != a.Dst:
		c.rrr(true, opADD, d, gpr(a.Src), gpr(b.Src))
		c.wrote(a.Dst, false)
	default:
		return false
	}
	return true
}

// move compiles a move and reports whether the result's upper half is zero.
func (c *jitCompiler) move(op *irOp, in *Inst) bool {
	d := gpr(in.Dst)
	switch {
	case op.imm && op.wide:
		c.movImm(d, uint64(in.Imm))
		return in.Imm == int64(uint32(in.Imm))
	case op.imm:
		c.movImm(d, uint64(uint32(in.Imm)))
		return true
	case op.wide:
		if in.Dst != in.Src {
			c.mov(true, d, gpr(in.Src))
		}
		return c.upperZero(in.Src)
	default:
		if in.Dst != in.Src || !c.upperZero(in.Src) {
			c.mov(false, d, gpr(in.Src))
		}
		return true
	}
}

// operand returns a register with the second operand: Src or the constant.
func (c *jitCompiler) operand(op *irOp, in *Inst) gpr {
	if !op.imm {
		return gpr(in.Src)
	}
	v := uint64(in.Imm)
	if !op.wide {
		v = uint64(uint32(v))
	}
	if v == 0 {
		return xzr
	}
	c.movImm(tempReg, v)
	return tempReg
}

// addImm emits d = n + v.
func (c *jitCompiler) addImm(d, n gpr, v int64) {
	switch {
	case v >= 0 && c.arithImm(true, opADD, d, n, uint64(v)):
	case v < 0 && c.arithImm(true, opSUB, d, n, -uint64(v)):
	case v > 0 && v < 1<<24:
		c.arithImm(true, opADD, d, n, uint64(v)&^0xfff)
		c.arithImm(true, opADD, d, d, uint64(v)&0xfff)
	case v < 0 && v > -1<<24:
		c.arithImm(true, opSUB, d, n, -uint64(v)&^0xfff)
		c.arithImm(true, opSUB, d, d, -uint64(v)&0xfff)
	default:
		c.movImm(tempReg, uint64(v))
		c.rrr(true, opADD, d, n, tempReg)
	}
}

// alu compiles add, sub, or, and, xor. It reports whether it noted the change of the register itself.
func (c *jitCompiler) alu(op *irOp, in *Inst) bool {
	d := gpr(in.Dst)
	code, logical := opADD, true
	switch op.code {
	case ALUAdd, ALUSub:
		logical = false
		if op.code == ALUSub {
			code = opSUB
		}
	case ALUOr:
		code = opORR
	case ALUAnd:
		code = opAND
	case ALUXor:
		code = opEOR
	}
	if op.imm && !logical {
		by := in.Imm
		if op.code == ALUSub {
			by = -by
		}
		return c.addConstant(op.wide, in.Dst, by)
	}
	if op.imm && c.logicalImm(op.wide, code, d, d, uint64(in.Imm)) {
		return false
	}
	c.rrr(op.wide, code, d, d, c.operand(op, in))
	return false
}

// addConstant adds to a register. It reports whether it noted the change.
func (c *jitCompiler) addConstant(wide bool, r uint8, by int64) bool {
	d := gpr(r)
	if wide {
		c.addImm(d, d, by)
		c.known.zext &^= 1 << r
		c.known.ranges.moved(r, by)
		return true
	}
	v := int64(int32(by))
	if v >= 0 && c.arithImm(false, opADD, d, d, uint64(v)) || v < 0 && c.arithImm(false, opSUB, d, d, uint64(-v)) {
		return false
	}
	c.movImm(tempReg, uint64(uint32(by)))
	c.rrr(false, opADD, d, d, tempReg)
	return false
}

// div compiles divisions and remainders. The processor's quotient is 0 for a divisor of 0 and the smallest integer for
// that divided by -1, which is what RFC 9669 wants; and so are the remainders that follow.
func (c *jitCompiler) div(op *irOp, in *Inst) {
	d := gpr(in.Dst)
	v := uint64(in.Imm)
	if !op.wide {
		v = uint64(uint32(v))
	}
	if op.imm && !op.signed && v != 0 && v&(v-1) == 0 {
		n := uint32(bits.TrailingZeros64(v))
		switch {
		case op.code == ALUDiv:
			c.shrImm(op.wide, false, d, d, n)
		case n == 0:
			c.clear(d)
		default:
			c.bitfield(op.wide, false, d, d, 0, n-1)
		}
		return
	}
	by := c.operand(op, in)
	code := opUDIV
	if op.signed {
		code = opSDIV
	}
	if op.code == ALUDiv {
		c.rrr(op.wide, code, d, d, by)
		return
	}
	c.rrr(op.wide, code, addrReg, d, by)
	c.msub(op.wide, d, addrReg, by, d)
}

func (c *jitCompiler) shift(op *irOp, in *Inst) {
	d := gpr(in.Dst)
	if op.imm {
		n := uint32(in.Imm) & (width(op.wide) - 1)
		if op.code == ALULsh {
			c.lslImm(op.wide, d, d, n)
		} else {
			c.shrImm(op.wide, op.code == ALUArsh, d, d, n)
		}
		return
	}
	code := opLSLV
	switch op.code {
	case ALURsh:
		code = opLSRV
	case ALUArsh:
		code = opASRV
	}
	c.rrr(op.wide, code, d, d, gpr(in.Src))
}

func (c *jitCompiler) swap(size uint8, d gpr) {
	switch size {
	case 2:
		c.rev16(d)
		c.bitfield(false, false, d, d, 0, 15)
	case 4:
		c.rev32(d)
	default:
		c.rev64(d)
	}
}

var branchConds = [16]condCode{
	JmpEQ >> 4: condEQ, JmpNE >> 4: condNE, JmpSET >> 4: condNE,
	JmpGT >> 4: condHI, JmpGE >> 4: condHS, JmpLT >> 4: condLO, JmpLE >> 4: condLS,
	JmpSGT >> 4: condGT, JmpSGE >> 4: condGE, JmpSLT >> 4: condLT, JmpSLE >> 4: condLE,
}

func (c *jitCompiler) branch(op *irOp, in *Inst) {
	d, to := gpr(in.Dst), asmLabel(in.Target)
	v := uint64(in.Imm)
	if !op.wide {
		v = uint64(uint32(v))
	}
	switch {
	case op.imm && v == 0 && op.code == JmpEQ:
		c.cbz(op.wide, d, to)
		return
	case op.imm && v == 0 && op.code == JmpNE:
		c.cbnz(op.wide, d, to)
		return
	case op.code == JmpSET:
		if !op.imm || !c.logicalImm(op.wide, opANDS, xzr, d, v) {
			c.rrr(op.wide, opANDS, xzr, d, c.operand(op, in))
		}
	case !op.imm || !c.arithImm(op.wide, opSUBS, xzr, d, v):
		c.compare(op.wide, d, c.operand(op, in))
	}
	c.jcc(branchConds[op.code>>4], to)
}

func loadKind(op *irOp) uint32 {
	if op.signed {
		return accessLoadSigned
	}
	return accessLoad
}

// stored returns a register with what a store writes: Src or the constant.
func (c *jitCompiler) stored(imm bool, in *Inst) gpr {
	switch {
	case !imm:
		return gpr(in.Src)
	case in.Imm == 0:
		return xzr
	}
	c.movImm(tempReg, uint64(in.Imm))
	return tempReg
}

// address emits what makes size bytes at arena address base+off accessible and returns the operand. A check leaves the
// address minus the start of the valid range in the address register, which the exit on failure expects. The temporary
// register may hold a value to store and is left alone.
func (c *jitCompiler) address(k int32, op *irOp, base uint8, off int32) memOperand {
	store := op.kind == kindStore
	switch {
	case op.raw && base == RegNone:
		return c.near(arenaReg, op.size, off)
	case op.raw && base == RegFrame:
		return c.near(frameHostReg, op.size, off)
	case op.raw, c.known.ranges.covers(base, off, op.size, store):
		if off == 0 {
			return memAtIndex(arenaReg, gpr(base))
		}
		c.rrr(true, opADD, addrReg, arenaReg, gpr(base))
		return c.near(addrReg, op.size, off)
	}
	m := c.checked(k, base, off, op.size, store)
	c.known.ranges.add(base, off, op.size, store)
	return m
}

// near returns the operand base+off, by way of the address register if the displacement has no encoding.
func (c *jitCompiler) near(base gpr, size uint8, off int32) memOperand {
	if encodable(size, off) {
		return memAt(base, off)
	}
	c.addAddress(base, int64(off))
	return memAt(addrReg, 0)
}

// addAddress sets the address register to base + v without the temporary register.
func (c *jitCompiler) addAddress(base gpr, v int64) {
	switch {
	case v > -1<<24 && v < 1<<24:
		c.addImm(addrReg, base, v)
	case base == addrReg:
		c.movImm(limitReg, uint64(v))
		c.rrr(true, opADD, addrReg, addrReg, limitReg)
	default:
		c.movImm(addrReg, uint64(v))
		c.rrr(true, opADD, addrReg, base, addrReg)
	}
}

// checked emits the check of an access of size bytes at arena address base+off.
func (c *jitCompiler) checked(k int32, base uint8, off int32, size uint8, store bool) memOperand {
	start, limit, exit, from := int64(NullGuard), offLoadMax, c.exits.load, loadReg
	if store {
		start, limit, exit, from = int64(c.rwStart), offStoreMax, c.exits.storeFault, storeReg
	}
	c.addAddress(gpr(base), int64(off)-start)
	c.load(limitReg, stateAt(limit+8*sizeIndex(size)))
	c.compare(true, addrReg, limitReg)
	c.check(condHI, k, exit)
	return memAtIndex(from, addrReg)
}

// atomic compiles the atomic operations. An arena has one user at a time, so plain loads and stores will do.
func (c *jitCompiler) atomic(k int32, op *irOp, in *Inst) {
	m := c.checked(k, in.Dst, in.Off, in.Size, true)
	if in.Size > 1 {
		c.logicalImm(true, opANDS, xzr, addrReg, uint64(in.Size)-1) // the range starts on a page
		c.check(condNE, k, c.exits.align)
	}
	s, wide := gpr(in.Src), in.Size == 8
	c.access(accessLoad, in.Size, tempReg, m)
	switch op.code {
	case AtomicAdd:
		c.rrr(wide, opADD, limitReg, tempReg, s)
	case AtomicOr:
		c.rrr(wide, opORR, limitReg, tempReg, s)
	case AtomicAnd:
		c.rrr(wide, opAND, limitReg, tempReg, s)
	case AtomicXor:
		c.rrr(wide, opEOR, limitReg, tempReg, s)
	case AtomicXchg:
		c.mov(true, limitReg, s)
	case AtomicCmpXchg:
		// What was there is stored again if the comparison fails.
		c.compare(wide, tempReg, x0)
		c.csel(condEQ, limitReg, s, tempReg)
	}
	c.access(accessStore, in.Size, limitReg, m)
	if w := in.written(); w != RegNone {
		c.mov(true, gpr(w), tempReg)
		c.wrote(w, !wide)
	}
}

// viewOf returns a register with the address of the view that a field access goes to: of the handle in register r, or
// of a static slot.
func (c *jitCompiler) viewOf(in *Inst, r uint8) gpr {
	if in.Flags&FlagStatic == 0 {
		c.word(0x8b000c00 | uint32(r)<<16 | uint32(stateReg)<<5 | uint32(addrReg)) // add addr, state, r, lsl #3
		c.load(addrReg, memAt(addrReg, offViews))
		return addrReg
	}
	slot := int8(in.Target)
	for i, m := range cacheRegs[:c.caches] {
		if c.known.cache[i] == slot {
			return m
		}
	}
	if c.caches == 0 {
		c.load(addrReg, viewAt(in.Target))
		return addrReg
	}
	i := int(c.known.next) % c.caches
	c.known.next++
	c.load(cacheRegs[i], viewAt(in.Target))
	c.known.cache[i] = slot
	return cacheRegs[i]
}
