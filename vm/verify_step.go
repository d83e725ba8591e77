package vm

import (
	"fmt"
	"math"
)

// How lowering treats an instruction.
const (
	factPlain   = iota
	factNothing // the verifier alone keeps track: no operation
	factRaw     // an access that needs no check
	factField   // a load from or store to a view: fact.slot or the register's handle, fact.off
	factHost    // a store that Env.StoreField performs: fact.field
	factHandle  // the load of a handle field: fact.slot, fact.nullable
	factZeroR0  // an exit without a result
	factAlways  // a conditional jump always taken
	factNever   // or never
)

// fact is what the verifier found out about an instruction of a program that passed.
type fact struct {
	mode     uint8
	live     bool
	nullable bool
	absolute bool  // factRaw: off is the address
	slot     uint8 // static view slot, 0 if the register's handle counts
	off      int32 // displacement for factRaw and factField
	field    int32 // kind<<16 | field
}

// analysis is the abstract interpretation of one function.
type analysis struct {
	v     *verifier
	f     *function
	final bool // the last pass: record facts and report errors
	sure  bool // states are settled: arguments of calls count
	spare fact

	visits     []int  // by block: how often its state was merged into
	dirty      []bool // by block: its state changed since it was last run
	thresholds []uint64
	current    absState // of the block being run
	other      absState // of its second edge
	covering   absState // scratch of covered
}

func (a *analysis) fact(slot int) *fact {
	if !a.final {
		return &a.spare
	}
	return &a.v.facts[slot]
}

func (a *analysis) err(slot int, format string, args ...any) error {
	if !a.final {
		return errNotYet
	}
	return a.v.errAt(a.f, slot, format, args...)
}

// what describes the register for messages.
func (a *analysis) what(r uint8, v *value) string {
	if v.t == handle || v.t == dead {
		return fmt.Sprintf("r%d points to struct %s", r, a.v.env.Kinds[v.kind].Name)
	}
	return fmt.Sprintf("r%d", r)
}

// integer reports an error unless v, the value of register r, is an integer.
func (a *analysis) integer(slot int, r uint8, v *value) error {
	switch v.t {
	case scalar:
		return nil
	case unknown:
		return a.err(slot, "r%d is read but was not written on every way here", r)
	case conflict:
		return a.err(slot, "r%d holds one type on one way here and another on another; it must be one on all", r)
	case dead:
		return a.err(slot, "%s, which a host function called before may have freed; get the pointer again", a.what(r, v))
	}
	return a.err(slot, "%s; an integer is needed here, and a typed pointer must not become one", a.what(r, v))
}

// define makes v the value of register r, with a symbol of its own if it has none.
func (a *analysis) define(s *absState, slot int, r uint8, v value) {
	if v.sym == 0 && (v.t == scalar && v.umin != v.umax || v.t == handle && v.nullable) {
		sym := a.f.symOf(slot)
		s.kill(sym)
		v.sym, v.dlo, v.dhi, v.shl, v.w32 = sym, 0, 0, shlNone, false
	}
	if v.w32 {
		s.tighten(&v)
	}
	s.regs[r] = v
}

// tighten narrows v by what is known of registers with the same symbol.
func (s *absState) tighten(v *value) {
	for r := range s.regs {
		if h := &s.regs[r]; h.t == scalar && h.sym == v.sym {
			_ = v.narrowBy(h)
		}
	}
}

// kill removes a symbol that is about to get a new meaning.
func (s *absState) kill(sym uint32) {
	for r := range s.regs {
		if s.regs[r].sym == sym {
			s.regs[r].dropSym()
		}
		if s.regs[r].capSym == sym {
			s.regs[r].dropCap()
		}
	}
	for c := range s.cells {
		if s.cells[c].sym == sym {
			s.cells[c].dropSym()
		}
		if s.cells[c].capSym == sym {
			s.cells[c].dropCap()
		}
	}
}

// step is the transfer function of every instruction that ends no block.
func (a *analysis) step(s *absState, slot int) error {
	i := a.v.object.Code[slot]
	switch i.Class() {
	case ClassALU, ClassALU64:
		return a.alu(s, slot, i)
	case ClassLD:
		s.regs[i.Dst] = constant(imm64(i, a.v.object.Code[slot+1]))
		return nil
	case ClassLDX:
		return a.load(s, slot, i)
	case ClassST:
		c := constant(uint64(int64(i.Imm)))
		return a.store(s, slot, i, &c)
	case ClassSTX:
		if i.Mode() == ModeATOMIC {
			return a.atomic(s, slot, i)
		}
		v := s.regs[i.Src]
		if v.t != handle {
			if err := a.integer(slot, i.Src, &v); err != nil {
				return err
			}
		}
		if i.Src == R10 {
			s.escaped = true
		}
		return a.store(s, slot, i, &v)
	}
	if i.Op == OpCall {
		if i.Src == CallLocal {
			return a.callLocal(s, slot, i)
		}
		return a.callHost(s, slot, i)
	}
	return nil
}

// place is where a memory access of known base leads.
type place struct {
	cell   *cell // the region of the frame that it hits, nil if none or several
	lo, hi int   // frame bytes [lo, hi) that it may touch, if frame
	frame  bool
	exact  bool // the access is to frame byte lo exactly
	missed bool // it cannot touch the frame
}

// locate finds where an access of n bytes at register r plus off leads, for bases that are integers.
func (a *analysis) locate(s *absState, slot int, r uint8, off int16, n uint8, write bool) (place, error) {
	b := &s.regs[r]
	f := a.fact(slot)
	lo, hi := int64(off)+FrameSize, int64(off)+FrameSize
	if b.isFrame() {
		lo, hi = lo+b.dlo, hi+b.dhi
		inside := lo >= 0 && hi+int64(n) <= FrameSize
		if r == R10 && !inside {
			return place{}, a.err(slot, "r10%+d with %d bytes is outside the stack frame, which is r10-%d to r10-1", off, n, FrameSize)
		}
		if inside {
			f.mode, f.off = factRaw, int32(off)
			p := place{frame: true, lo: int(lo), hi: int(hi) + int(n), exact: lo == hi}
			if p.exact {
				if k := a.f.frame.index[lo]; k >= 0 && hi+int64(n) <= int64(a.f.frame.regions[k].hi) {
					p.cell = &s.cells[k]
				}
			}
			return p, nil
		}
		return place{}, nil
	}
	l := &a.v.layout
	if b.umax > math.MaxUint32 {
		if b.isConst() && (int64(off) >= 0 || b.umax < math.MaxUint64-math.MaxInt16) {
			return place{}, a.err(slot, "address %#x is outside memory", b.umin+uint64(int64(off)))
		}
		return place{}, nil
	}
	lo, hi = int64(b.umin)+int64(off), int64(b.umax)+int64(off)+int64(n)
	first := int64(NullGuard)
	if write {
		first = int64(l.rwStart)
	}
	switch {
	case lo >= first && hi <= int64(l.heap):
		f.mode, f.off = factRaw, int32(off)
		if b.isConst() {
			f.absolute, f.off = true, int32(lo)
		}
	case hi <= first || lo >= maxAddress:
		if hi > NullGuard && write && lo < int64(l.rwStart) {
			return place{}, a.err(slot, "the store at address %#x goes to read-only data", lo)
		}
		if b.isConst() {
			return place{}, a.err(slot, "address %#x is outside memory", uint64(lo))
		}
	}
	low := int64(l.stackTop) - privateSize
	return place{missed: hi <= low || lo >= int64(l.stackTop)}, nil
}

// clobber forgets the integers in the parts of the frame that a store to p may have changed.
func (a *analysis) clobber(s *absState, p *place) {
	if a.f.frame.private || p.missed {
		return
	}
	for k := range s.cells {
		r := a.f.frame.regions[k]
		if p.frame && (int(r.lo) >= p.hi || int(r.hi) <= p.lo) {
			continue
		}
		if c := &s.cells[k]; c.init && c.t == scalar {
			c.value = anyScalar()
			c.off, c.size = 0, 0
		} else if p.frame && c.init {
			*c = cell{value: anyScalar(), init: true}
		}
	}
}

// rangeOf returns the value of n bytes loaded from memory, zero- or sign-extended.
func rangeOf(n uint8, signed bool) value {
	switch {
	case n == 8:
		return anyScalar()
	case signed:
		return signedRange(-1<<(8*n-1), 1<<(8*n-1)-1)
	}
	return scalarRange(0, 1<<(8*n)-1)
}

func (a *analysis) load(s *absState, slot int, i Instruction) error {
	b := &s.regs[i.Src]
	n := i.Size()
	signed := i.Mode() == ModeMEMSX
	if b.t == handle {
		return a.loadField(s, slot, i, b)
	}
	if err := a.integer(slot, i.Src, b); err != nil {
		return err
	}
	p, err := a.locate(s, slot, i.Src, i.Off, n, false)
	if err != nil {
		return err
	}
	v := rangeOf(n, signed)
	if c := p.cell; c != nil {
		off := int16(p.lo)
		switch {
		case !c.init && !(s.escaped && !a.f.frame.private):
			return a.err(slot, "the stack at r10%+d is read but was not written on every way here", p.lo-FrameSize)
		case c.init && c.t == conflict:
			return a.err(slot, "the stack at r10%+d holds a typed pointer on some ways here only", p.lo-FrameSize)
		case c.init && (c.t == handle || c.t == dead):
			if i.Src != R10 || c.off != off || n != 8 || signed {
				return a.err(slot, "the stack at r10%+d holds a typed pointer; only all 8 bytes of it can be read back", p.lo-FrameSize)
			}
			a.usePrivate(slot, i.Off)
			s.regs[i.Dst] = c.value
			return nil
		case c.init && c.off == off && c.size == n:
			v = c.value
			if signed {
				v = signExtend(&v, uint(n)*8)
			}
		}
	}
	if a.f.frame.private && i.Src == R10 {
		a.usePrivate(slot, i.Off)
	}
	a.define(s, slot, i.Dst, v)
	return nil
}

// usePrivate makes an access through r10 go to the frame's private twin.
func (a *analysis) usePrivate(slot int, off int16) {
	f := a.fact(slot)
	f.mode, f.off = factRaw, int32(off)-a.v.layout.privateShift()
}

// store handles stores of v, a register or constant.
func (a *analysis) store(s *absState, slot int, i Instruction, v *value) error {
	b := &s.regs[i.Dst]
	n := i.Size()
	if b.t == handle {
		return a.storeField(s, slot, i, b, v)
	}
	if err := a.integer(slot, i.Dst, b); err != nil {
		return err
	}
	if v.t == handle && (i.Dst != R10 || n != 8) {
		return a.err(slot, "%s; such a pointer may be kept in registers and spilled to the stack, not stored elsewhere", a.what(i.Src, v))
	}
	p, err := a.locate(s, slot, i.Dst, i.Off, n, true)
	if err != nil {
		return err
	}
	c := p.cell
	if c == nil {
		a.clobber(s, &p)
		return nil
	}
	if v.t == handle || a.f.frame.private && i.Dst == R10 {
		a.usePrivate(slot, i.Off)
	}
	w := *v
	if w.t == scalar && n < 8 {
		w = truncated(&w, n)
	}
	*c = cell{value: w, init: true, off: int16(p.lo), size: n}
	return nil
}

// truncated is the zero-extended low n bytes of v.
func truncated(v *value, n uint8) value {
	if v.isConst() {
		return constant(v.umin & (math.MaxUint64 >> (64 - 8*n)))
	}
	if n == 4 {
		return v.low32()
	}
	if v.umax < 1<<(8*n) {
		return *v
	}
	return rangeOf(n, false)
}

func (a *analysis) atomic(s *absState, slot int, i Instruction) error {
	b := &s.regs[i.Dst]
	if b.t == handle {
		return a.err(slot, "%s; atomic operations on the host's structs do not exist", a.what(i.Dst, b))
	}
	if err := a.integer(slot, i.Dst, b); err != nil {
		return err
	}
	if err := a.integer(slot, i.Src, &s.regs[i.Src]); err != nil {
		return err
	}
	if i.Imm == AtomicCmpXchg {
		if err := a.integer(slot, R0, &s.regs[R0]); err != nil {
			return err
		}
	}
	p, err := a.locate(s, slot, i.Dst, i.Off, i.Size(), true)
	if err != nil {
		return err
	}
	a.fact(slot).mode = factPlain
	if c := p.cell; c != nil && (c.t == handle || c.t == dead || c.t == conflict) && c.init {
		return a.err(slot, "the stack at r10%+d holds a typed pointer; atomic operations need integers", p.lo-FrameSize)
	}
	a.clobber(s, &p)
	if p.cell != nil && !p.cell.init {
		*p.cell = cell{value: anyScalar(), init: true}
	}
	if i.Src == R10 {
		s.escaped = true
	}
	old := rangeOf(i.Size(), false)
	switch {
	case i.Imm == AtomicCmpXchg:
		a.define(s, slot, R0, old)
	case i.Imm&AtomicFetch != 0:
		a.define(s, slot, i.Src, old)
	}
	return nil
}
