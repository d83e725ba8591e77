package vm

import (
	"errors"
	"math"
)

// compare decides or refines a comparison of a with b for one outcome: it narrows both to what makes "a op b" equal
// taken and reports whether that is possible at all.
func compare(op uint8, narrow bool, a, b *value, taken bool) bool {
	if !taken {
		op = negated(op)
	}
	if op == JmpSET || op == opClear {
		return compareBits(op, narrow, a, b)
	}
	if !narrow {
		return refine(op, a, b)
	}
	if signedCompare(op) {
		return refineSigned32(op, a, b)
	}
	if a.fits32() && b.fits32() {
		return refine(op, a, b)
	}
	x, y := a.low32(), b.low32()
	ok := refine(op, &x, &y)
	keepLow(a, &x)
	keepLow(b, &y)
	return ok
}

// keepLow notes what a comparison of low halves showed of v.
func keepLow(v, low *value) {
	if v.fits32() {
		v.umin, v.umax = max(v.umin, low.umin), min(v.umax, low.umax)
		v.settle()
	} else {
		v.setLow(low.umin, low.umax)
	}
}

// opClear is the negation of JmpSET.
const opClear = 0xf0

func negated(op uint8) uint8 {
	switch op {
	case JmpEQ:
		return JmpNE
	case JmpNE:
		return JmpEQ
	case JmpGT:
		return JmpLE
	case JmpGE:
		return JmpLT
	case JmpLT:
		return JmpGE
	case JmpLE:
		return JmpGT
	case JmpSGT:
		return JmpSLE
	case JmpSGE:
		return JmpSLT
	case JmpSLT:
		return JmpSGE
	case JmpSLE:
		return JmpSGT
	}
	return opClear
}

func signedCompare(op uint8) bool {
	return op == JmpSGT || op == JmpSGE || op == JmpSLT || op == JmpSLE
}

func compareBits(op uint8, narrow bool, a, b *value) bool {
	x, y := *a, *b
	if narrow {
		x, y = a.low32(), b.low32()
	}
	if op == JmpSET {
		if x.isConst() && y.isConst() {
			return x.umin&y.umin != 0
		}
		if x.umax == 0 || y.umax == 0 {
			return false
		}
		if !narrow || a.fits32() {
			a.umin = max(a.umin, 1)
			a.settle()
		}
		return !a.empty()
	}
	return !(x.isConst() && y.isConst() && x.umin&y.umin != 0)
}

// refine narrows both sides to a op b in 64 bits.
func refine(op uint8, a, b *value) bool {
	switch op {
	case JmpEQ:
		a.umin, a.umax = max(a.umin, b.umin), min(a.umax, b.umax)
		a.smin, a.smax = max(a.smin, b.smin), min(a.smax, b.smax)
		b.umin, b.umax, b.smin, b.smax = a.umin, a.umax, a.smin, a.smax
	case JmpNE:
		if a.isConst() && b.isConst() && a.umin == b.umin {
			return false
		}
		exclude(a, b)
		exclude(b, a)
	case JmpGT:
		return refine(JmpLT, b, a)
	case JmpGE:
		return refine(JmpLE, b, a)
	case JmpLT:
		if b.umax == 0 || a.umin == math.MaxUint64 {
			return false
		}
		a.umax = min(a.umax, b.umax-1)
		b.umin = max(b.umin, a.umin+1)
	case JmpLE:
		a.umax = min(a.umax, b.umax)
		b.umin = max(b.umin, a.umin)
	case JmpSGT:
		return refine(JmpSLT, b, a)
	case JmpSGE:
		return refine(JmpSLE, b, a)
	case JmpSLT:
		if b.smax == math.MinInt64 || a.smin == math.MaxInt64 {
			return false
		}
		a.smax = min(a.smax, b.smax-1)
		b.smin = max(b.smin, a.smin+1)
	case JmpSLE:
		a.smax = min(a.smax, b.smax)
		b.smin = max(b.smin, a.smin)
	}
	a.settle()
	b.settle()
	return !a.empty() && !b.empty()
}

// exclude narrows a by a != b.
func exclude(a, b *value) {
	if !b.isConst() {
		return
	}
	if a.umin == b.umin && a.umin < math.MaxUint64 {
		a.umin++
	}
	if a.umax == b.umin && a.umax > 0 {
		a.umax--
	}
	if a.smin == b.smin && a.smin < math.MaxInt64 {
		a.smin++
	}
	if a.smax == b.smin && a.smax > math.MinInt64 {
		a.smax--
	}
}

// refineSigned32 narrows both sides by a signed comparison of the low halves.
func refineSigned32(op uint8, a, b *value) bool {
	al, ah := a.signed32()
	bl, bh := b.signed32()
	x, y := signedRange(al, ah), signedRange(bl, bh)
	if !refine(op, &x, &y) {
		return false
	}
	intersect32(a, &x)
	intersect32(b, &y)
	return !a.empty() && !b.empty()
}

// intersect32 narrows v, if its upper half is zero, to a low half that is s as a signed number.
func intersect32(v, s *value) {
	if s.smin < 0 && s.smax >= 0 {
		return
	}
	if !v.fits32() {
		v.setLow(uint64(uint32(s.smin)), uint64(uint32(s.smax)))
	} else {
		v.umin = max(v.umin, uint64(uint32(s.smin)))
		v.umax = min(v.umax, uint64(uint32(s.smax)))
		v.settle()
	}
}

// branch hands on both outcomes of a conditional jump, as far as they are possible.
func (a *analysis) branch(k int32, s *absState, slot int, i Instruction, yield func(int32, *absState) error) error {
	f := a.f
	b := &f.blocks[k]
	if err := a.comparable(s, slot, i); err != nil {
		if errors.Is(err, errNotYet) {
			return nil
		}
		return err
	}
	target := f.at[slot+1+i.JumpOffset()-f.start]
	next := int32(-1)
	if b.end < f.end {
		next = f.at[b.end-f.start]
	}
	if target == next {
		return yield(target, s)
	}
	other := &a.other
	other.copyFrom(s)
	jump := a.assume(other, i, true)
	fall := a.assume(s, i, false)
	switch {
	case jump && !fall:
		a.fact(slot).mode = factAlways
	case fall && !jump:
		a.fact(slot).mode = factNever
	}
	if fall && next >= 0 {
		if err := yield(next, s); err != nil {
			return err
		}
	}
	if jump {
		return yield(target, other)
	}
	return nil
}

// comparable checks the operands of a conditional jump.
func (a *analysis) comparable(s *absState, slot int, i Instruction) error {
	x := &s.regs[i.Dst]
	y := constant(uint64(int64(i.Imm)))
	if i.Source() == SrcX {
		y = s.regs[i.Src]
	}
	if x.t != handle && y.t != handle {
		if err := a.integer(slot, i.Dst, x); err != nil {
			return err
		}
		if i.Source() == SrcX {
			if i.Src == R10 || i.Dst == R10 {
				s.escaped = true
			}
			return a.integer(slot, i.Src, &y)
		}
		return nil
	}
	op := i.Code()
	equality := (op == JmpEQ || op == JmpNE) && i.Class() == ClassJMP
	r, h, o := i.Dst, x, &y
	if x.t != handle {
		r, h, o = i.Src, &y, x
	}
	switch {
	case equality && o.isConst() && o.umin == 0 && h.off == 0:
	case equality && o.t == handle && o.kind == h.kind && o.off == h.off:
	default:
		return a.err(slot, "%s; it can be compared for equality with 0 and with pointers of its type only", a.what(r, h))
	}
	return nil
}

// assume narrows s by the outcome of a conditional jump and reports whether that is possible.
func (a *analysis) assume(s *absState, i Instruction, taken bool) bool {
	x := &s.regs[i.Dst]
	y := constant(uint64(int64(i.Imm)))
	if i.Class() == ClassJMP32 {
		y = constant(uint64(uint32(i.Imm)))
	}
	b := &y
	if i.Source() == SrcX {
		b = &s.regs[i.Src]
	}
	if x.t == handle || b.t == handle {
		return s.assumeHandle(i, x, b, taken)
	}
	if i.Source() == SrcX && i.Src == i.Dst {
		return sameOutcome(i.Code(), x, taken)
	}
	if i.Class() == ClassJMP && x.exact() && b.exact() && x.sym == b.sym && (i.Code() == JmpEQ || i.Code() == JmpNE) {
		return (x.dlo == b.dlo) == (taken == (i.Code() == JmpEQ))
	}
	was, other := *x, *b
	if !compare(i.Code(), i.Class() == ClassJMP32, x, b, taken) {
		return false
	}
	if *x != was && !s.spread(x) {
		return false
	}
	return i.Source() != SrcX || *b == other || s.spread(b)
}

// sameOutcome decides a comparison of a register with itself.
func sameOutcome(op uint8, x *value, taken bool) bool {
	switch op {
	case JmpEQ, JmpGE, JmpLE, JmpSGE, JmpSLE:
		return taken
	case JmpSET:
		return !taken || x.umax != 0
	}
	return !taken
}

// spread narrows the values that are tied to v.
func (s *absState) spread(v *value) bool {
	if v.sym == 0 || v.shl != shlNone {
		return true
	}
	base := *v
	for r := range s.regs {
		if o := &s.regs[r]; o.t == scalar && (o.sym == base.sym || o.capSym == base.sym) && !o.narrowBy(&base) {
			return false
		}
	}
	for c := range s.cells {
		if o := &s.cells[c].value; o.t == scalar && (o.sym == base.sym || o.capSym == base.sym) && !o.narrowBy(&base) {
			return false
		}
	}
	return true
}

// narrowBy narrows o by what is known of v, which has the same symbol or is the symbol of o's clamp. It reports false
// if no value is left.
func (o *value) narrowBy(v *value) bool {
	if o.capSym == v.sym && o.cap32 == v.w32 && v.exact32() {
		o.umin, o.umax = max(o.umin, min(v.umin, o.capAt)), min(o.umax, v.umax)
		o.settle()
	}
	if o.sym != v.sym || o.dlo != o.dhi || v.dlo != v.dhi || o.shl != shlNone || v.shl != shlNone {
		return !o.empty()
	}
	d := constant(uint64(o.dlo - v.dlo))
	n := addValues(v, &d)
	if o.w32 || v.w32 {
		if !o.fits32() || !v.fits32() {
			return !o.empty()
		}
		n = n.range32IfWide()
	}
	o.umin, o.umax = max(o.umin, n.umin), min(o.umax, n.umax)
	if !o.w32 && !v.w32 {
		o.smin, o.smax = max(o.smin, n.smin), min(o.smax, n.smax)
	}
	o.settle()
	return !o.empty()
}

// assumeHandle narrows s by a comparison of a handle with 0 or another handle.
func (s *absState) assumeHandle(i Instruction, x, b *value, taken bool) bool {
	h, o := x, b
	if h.t != handle {
		h, o = b, x
	}
	null := taken == (i.Code() == JmpEQ)
	if o.t == handle {
		return true
	}
	if !h.nullable {
		return !null
	}
	sym := h.sym
	become := func(v *value) {
		if null {
			*v = constant(0)
		} else {
			v.nullable = false
		}
	}
	become(h)
	if sym == 0 {
		return true
	}
	for r := range s.regs {
		if v := &s.regs[r]; v.t == handle && v.sym == sym && v.off == 0 {
			become(v)
		}
	}
	for c := range s.cells {
		if v := &s.cells[c].value; v.t == handle && v.sym == sym && !null {
			become(v)
		}
	}
	return true
}
