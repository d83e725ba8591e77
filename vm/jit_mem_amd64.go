//go:build linux && !nojit

package vm

// address emits what makes size bytes at arena address base+off accessible and returns the operand. A check leaves the
// address minus the start of the valid range in the scratch register, which the exit on failure expects.
func (c *jitCompiler) address(k int32, op *irOp, base uint8, off int32) memOperand {
	switch {
	case op.raw && base == RegNone:
		return memAt(arenaReg, off)
	case op.raw:
		return memAtIndex(arenaReg, c.source(base), off)
	case c.known.ranges.covers(base, off, op.size, op.kind == kindStore):
		return memAtIndex(arenaReg, c.source(base), off)
	}
	m := c.checked(k, base, off, op.size, op.kind == kindStore)
	c.known.ranges.add(base, off, op.size, op.kind == kindStore)
	return m
}

// checked emits the check of an access of size bytes at arena address base+off.
func (c *jitCompiler) checked(k int32, base uint8, off int32, size uint8, store bool) memOperand {
	start, limit, exit := int32(NullGuard), offLoadMax, c.exits.load
	if store {
		start, limit, exit = c.rwStart, offStoreMax, c.exits.storeFault
	}
	r := c.source(base)
	s := c.useScratch()
	if disp := int64(off) - int64(start); fitsInt32(disp) {
		c.rm(true, opLea, s, memAt(r, int32(disp)))
	} else {
		c.rm(true, opLea, s, memAt(r, off))
		c.group1(true, extSub, s, start)
	}
	c.rm(true, opCmpLoad, s, stateAt(limit+8*sizeIndex(size)))
	c.check(condA, k, exit)
	return memAtIndex(arenaReg, s, start)
}

// extendLoad loads in the way the operation says.
func (c *jitCompiler) extendLoad(op *irOp, d gpr, m memOperand) {
	switch {
	case op.size == 8:
		c.load(d, m)
	case op.size == 4 && op.signed:
		c.rm(true, opMovsxd, d, m)
	case op.size == 4:
		c.rm(false, opMovLoad, d, m)
	case op.size == 2 && op.signed:
		c.rm(true, opMovsx16, d, m)
	case op.size == 2:
		c.rm(false, opMovzx16, d, m)
	case op.signed:
		c.rm(true, opMovsx8, d, m)
	default:
		c.rm(false, opMovzx8, d, m)
	}
}

// storeSized stores the low bytes of s.
func (c *jitCompiler) storeSized(size uint8, m memOperand, s gpr) {
	switch size {
	case 1:
		c.rm(false, opMovStore8, s, m)
	case 2:
		c.rm(false, opMovStoreW, s, m)
	case 4:
		c.rm(false, opMovStore, s, m)
	default:
		c.store(m, s)
	}
}

// storeSizedImm stores the low bytes of a constant.
func (c *jitCompiler) storeSizedImm(size uint8, m memOperand, v int64) {
	switch {
	case size == 1:
		c.storeImm8(m, int8(v))
	case size == 2:
		c.storeImm16(m, int16(v))
	case size == 4 || fitsInt32(v):
		c.storeImm32(size == 8, m, int32(v))
	default:
		c.storeImm32(false, m, int32(v))
		m.disp += 4
		c.storeImm32(false, m, int32(v>>32))
	}
}

func (c *jitCompiler) loadArena(k int32, op *irOp, in *Inst) {
	c.extendLoad(op, c.reg[in.Dst], c.address(k, op, in.Src, in.Off))
}

func (c *jitCompiler) storeArena(k int32, op *irOp, in *Inst) {
	if op.imm {
		c.storeSizedImm(op.size, c.address(k, op, in.Dst, in.Off), in.Imm)
		return
	}
	s, restore := c.value(in.Src, in.Dst)
	c.storeSized(op.size, c.address(k, op, in.Dst, in.Off), s)
	restore()
}

// value returns a register with the value of r for an instruction that needs the scratch register for its address,
// whose base is another one. Only r10 in memory has to be fetched, into a register that restore gives back.
func (c *jitCompiler) value(r, base uint8) (s gpr, restore func()) {
	if c.reg[r] != noReg {
		return c.reg[r], func() {}
	}
	s = rsi
	if base < RegFrame && c.reg[base] == rsi {
		s = rdi
	}
	c.store(stateAt(offSave), s)
	c.load(s, regAt(RegFrame))
	return s, func() { c.load(s, stateAt(offSave)) }
}

// atomic compiles the atomic operations. An arena has one user at a time, so no lock prefix is needed.
func (c *jitCompiler) atomic(k int32, op *irOp, in *Inst) {
	s, restore := c.value(in.Src, in.Dst)
	m := c.checked(k, in.Dst, in.Off, in.Size, true)
	c.testImm(false, scratchReg, int32(in.Size)-1) // the range starts on a page
	c.check(condNE, k, c.exits.align)
	wide := in.Size == 8
	switch op.code {
	case AtomicAdd:
		if in.Flags&FlagFetch != 0 {
			c.rm(wide, opXadd, s, m)
		} else {
			c.rm(wide, opAddStore, s, m)
		}
	case AtomicOr:
		c.fetchOp(wide, opOrStore, in, s, m)
	case AtomicAnd:
		c.fetchOp(wide, opAndStore, in, s, m)
	case AtomicXor:
		c.fetchOp(wide, opXorStore, in, s, m)
	case AtomicXchg:
		c.rm(wide, opXchg, s, m)
	case AtomicCmpXchg:
		c.rm(wide, opCmpxchg, s, m)
		if !wide {
			c.mov32(rax, rax) // untouched if the comparison succeeded
		}
	}
	restore()
	if w := in.written(); w != RegNone {
		c.wrote(w, !wide)
	}
}

// fetchOp applies op to memory and, if asked to, leaves the old value in s.
func (c *jitCompiler) fetchOp(wide bool, op opcode, in *Inst, s gpr, m memOperand) {
	if in.Flags&FlagFetch == 0 {
		c.rm(wide, op, s, m)
		return
	}
	old := rsi
	if s == rsi {
		old = rdi
	}
	c.store(stateAt(offSave+8), old)
	c.rm(wide, opMovLoad, old, m)
	c.rm(wide, op, s, m)
	c.mov(s, old)
	c.load(old, stateAt(offSave+8))
}

// viewOf returns a register with the address of the view that a field access goes to: of the handle in register r, or
// of a static slot.
func (c *jitCompiler) viewOf(in *Inst, r uint8) gpr {
	if in.Flags&FlagStatic == 0 {
		s := c.useScratch()
		c.load(s, memOperand{base: stateReg, index: c.reg[r], scale: 3, disp: offViews})
		return s
	}
	slot := int8(in.Target)
	if c.known.scratch == slot {
		return scratchReg
	}
	for i, m := range c.caches {
		if c.known.cache[i] == slot {
			return m
		}
	}
	if len(c.caches) > 0 {
		i := int(c.known.next) % len(c.caches)
		c.known.next++
		c.load(c.caches[i], viewAt(in.Target))
		c.known.cache[i] = slot
		return c.caches[i]
	}
	c.load(scratchReg, viewAt(in.Target))
	c.known.scratch = slot
	return scratchReg
}

func (c *jitCompiler) storeField(op *irOp, in *Inst) {
	if in.Flags&FlagImm != 0 {
		c.storeSizedImm(op.size, memAt(c.viewOf(in, in.Dst), in.Off), in.Imm)
		return
	}
	s, restore := c.value(in.Src, in.Dst)
	c.storeSized(op.size, memAt(c.viewOf(in, in.Dst), in.Off), s)
	restore()
}

// loadHandle sets Dst to the slot if its view is set, else to the null handle.
func (c *jitCompiler) loadHandle(in *Inst) {
	d := c.reg[in.Dst]
	c.zero(d)
	c.group1Mem(true, extCmp, viewAt(in.Target), 0)
	null := c.skip(condE)
	c.movImm(d, uint64(in.Target))
	c.land(null)
}
