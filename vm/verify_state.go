package vm

import (
	"math"
	"slices"
)

// region is a range of the frame that the function accesses through r10 directly: accesses that overlap share one.
// Offsets are from the frame's lower end, 0 to FrameSize.
type region struct{ lo, hi int16 }

// frameUse is how a function uses its stack frame.
type frameUse struct {
	// private: r10 serves as a base only, so no address of the frame exists and the frame can lie outside the
	// program's address space, where no stray store reaches it.
	private bool
	regions []region
	index   [FrameSize]int16 // region at the byte, or -1
}

// cell is what a region holds.
type cell struct {
	value
	init bool  // something was stored
	off  int16 // where the value was stored, and how many bytes of it; size 0 if there is no single value
	size uint8
}

// absState is what is known before an instruction.
type absState struct {
	regs    [numRegisters]value
	cells   []cell
	escaped bool // an address of the frame was taken
}

func (s *absState) clone() *absState {
	c := *s
	c.cells = slices.Clone(s.cells)
	return &c
}

// copyFrom overwrites s, keeping its memory.
func (s *absState) copyFrom(o *absState) {
	s.regs = o.regs
	s.escaped = o.escaped
	s.cells = append(s.cells[:0], o.cells...)
}

// scanFrame finds the regions of the function's frame.
func (f *function) scanFrame(code []Instruction) {
	u := &f.frame
	u.private = true
	var mark [FrameSize]bool   // accessed
	var joined [FrameSize]bool // in one access with the byte before
	for k := range f.order {
		b := &f.blocks[f.order[k]]
		for s := b.start; s < b.end; s += code[s].Slots() {
			i := code[s]
			base := -1
			switch i.Class() {
			case ClassLDX:
				base = int(i.Src)
			case ClassST:
				base = int(i.Dst)
			case ClassSTX:
				base = int(i.Dst)
				if i.Src == R10 || base == R10 && i.Mode() == ModeATOMIC {
					u.private = false
				}
			case ClassALU, ClassALU64, ClassJMP, ClassJMP32:
				if i.Source() == SrcX && i.Src == R10 || i.IsJump() && i.Dst == R10 {
					u.private = false
				}
			}
			lo := int(i.Off) + FrameSize
			n := int(i.Size())
			if base != R10 || lo < 0 || lo+n > FrameSize {
				continue
			}
			for p := lo; p < lo+n; p++ {
				mark[p] = true
				joined[p] = joined[p] || p > lo
			}
		}
	}
	for p := range u.index {
		u.index[p] = -1
		if !mark[p] {
			continue
		}
		if !joined[p] {
			u.regions = append(u.regions, region{int16(p), int16(p)})
		}
		n := len(u.regions) - 1
		u.index[p] = int16(n)
		u.regions[n].hi = int16(p + 1)
	}
}

// joiner merges states at the start of a block.
type joiner struct {
	phi        uint32 // first of the block's symbols: one per register, then one per cell
	phis       uint32 // how many
	head       bool   // of a loop: what changes in it gets the block's symbol at once
	widen      bool
	thresholds []uint64 // ascending
}

// into merges src into dst and reports whether dst changed.
func (j *joiner) into(dst, src *absState) bool {
	changed := false
	var caps [numRegisters]value
	for r := range dst.regs {
		caps[r] = commonCap(dst, src, &dst.regs[r], &src.regs[r])
	}
	for r := range dst.regs {
		d := &dst.regs[r]
		sym, at := d.capSym, d.capAt
		if j.value(d, &src.regs[r], j.phi+uint32(r)) {
			changed = true
		}
		if c := &caps[r]; d.t == scalar {
			d.capSym, d.cap32, d.capAt = c.capSym, c.cap32, c.capAt
			changed = changed || sym != 0 && (d.capSym != sym || d.capAt != at)
		}
	}
	for c := range dst.cells {
		if j.cell(&dst.cells[c], &src.cells[c], j.phi+numRegisters+uint32(c)) {
			changed = true
		}
	}
	if src.escaped && !dst.escaped {
		dst.escaped = true
		changed = true
	}
	return changed
}

// forget clears the block's own symbols from a state that is about to enter it: they mean the values on the last
// entry there.
func (j *joiner) forget(s *absState) {
	for r := range s.regs {
		v := &s.regs[r]
		if v.sym-j.phi < j.phis && v.sym >= j.phi {
			v.dropSym()
		}
		if v.capSym-j.phi < j.phis && v.capSym >= j.phi {
			v.dropCap()
		}
	}
	for c := range s.cells {
		v := &s.cells[c].value
		if v.sym-j.phi < j.phis && v.sym >= j.phi {
			v.dropSym()
		}
		v.dropCap() // relations of spilled values to others are not followed
	}
}

// name gives scalars without a symbol the block's own.
func (j *joiner) name(s *absState) {
	for r := range s.regs {
		j.nameValue(&s.regs[r], uint32(r))
	}
	for c := range s.cells {
		j.nameValue(&s.cells[c].value, numRegisters+uint32(c))
	}
}

func (j *joiner) nameValue(v *value, n uint32) {
	if v.t == scalar && v.sym == 0 && v.umin != v.umax {
		v.sym, v.dlo, v.dhi, v.shl, v.w32 = j.phi+n, 0, 0, shlNone, false
	}
}

func (v *value) dropSym() {
	v.sym, v.dlo, v.dhi, v.shl, v.w32 = 0, 0, 0, shlNone, false
}

func (v *value) dropCap() { v.capSym, v.cap32, v.capAt = 0, false, 0 }

// commonCap finds out whether the values of a register in two states that meet are both the smaller of one number
// and one constant, as after
//
//	if (n > 1500) n = 1500
//
// and returns a value with just that.
func commonCap(dst, src *absState, a, b *value) value {
	if a.t != scalar || b.t != scalar {
		return value{}
	}
	both := func(sym uint32, low bool, at uint64) (value, bool) {
		c := value{capSym: sym, cap32: low, capAt: at}
		return c, sym != 0 && dst.capped(a, &c) && src.capped(b, &c)
	}
	if b.isConst() && a.exact32() {
		if c, ok := both(a.sym, a.w32, b.umin); ok {
			return c
		}
	}
	if a.isConst() && b.exact32() {
		if c, ok := both(b.sym, b.w32, a.umin); ok {
			return c
		}
	}
	if c, ok := both(a.capSym, a.cap32, a.capAt); ok {
		return c
	}
	if c, ok := both(b.capSym, b.cap32, b.capAt); ok {
		return c
	}
	return value{}
}

// capped reports whether v is the smaller of c.capAt and the value of c.capSym.
func (s *absState) capped(v, c *value) bool {
	switch {
	case v.capSym == c.capSym && v.cap32 == c.cap32 && v.capAt == c.capAt:
		return true
	case v.exact32() && v.sym == c.capSym && v.w32 == c.cap32:
		return v.umax <= c.capAt
	case !v.isConst() || v.umin != c.capAt:
		return false
	}
	for r := range s.regs {
		if h := &s.regs[r]; h.exact32() && h.sym == c.capSym && h.w32 == c.cap32 && h.umin >= c.capAt {
			return true
		}
	}
	return false
}

func (j *joiner) cell(a, b *cell, phi uint32) bool {
	if !a.init {
		return false
	}
	if !b.init {
		*a = cell{}
		return true
	}
	if a.off == b.off && a.size == b.size {
		return j.value(&a.value, &b.value, phi)
	}
	if a.size == 0 && a.t != scalar {
		return false
	}
	// Different pieces: the bytes are readable, unless a handle was among them.
	was := *a
	if a.t == scalar && b.t == scalar {
		*a = cell{value: anyScalar(), init: true}
	} else {
		*a = cell{value: value{t: conflict}, init: true}
	}
	return *a != was
}

// value merges b into a.
func (j *joiner) value(a, b *value, phi uint32) bool {
	if a.t == scalar && b.t == scalar {
		return j.scalar(a, b, phi)
	}
	was := *a
	switch {
	case a.t == unknown || b.t == unknown:
		*a = value{}
	case a.t == conflict || b.t == conflict:
		*a = value{t: conflict}
	case a.t == handle && b.t == handle && a.kind == b.kind && a.off == b.off:
		a.nullable = a.nullable || b.nullable
		a.ctx = a.ctx && b.ctx
		if a.slot != b.slot {
			a.slot = 0
		}
		if a.sym != b.sym {
			a.sym = 0
		}
	case a.t == handle && b.isConst() && b.umin == 0 && a.off == 0:
		a.nullable = true
		a.ctx = false
		a.sym = 0
	case b.t == handle && a.isConst() && a.umin == 0 && b.off == 0:
		*a = *b
		a.nullable = true
		a.ctx = false
		a.sym = 0
	case a.t == dead && b.t == dead && a.kind == b.kind:
	case (a.t == dead || b.t == dead) && (a.t == handle || b.t == handle) && a.kind == b.kind:
		*a = value{t: dead, kind: a.kind}
	default:
		*a = value{t: conflict}
	}
	return *a != was
}

func (j *joiner) scalar(a, b *value, phi uint32) bool {
	was := *a
	a.dropCap()
	was.dropCap()
	switch {
	case a.sym == phi:
	case a.sym == 0 || a.sym != b.sym || a.shl != b.shl:
		a.dropSym()
	case (j.widen || j.head) && (b.dlo < a.dlo || b.dhi > a.dhi):
		a.dropSym()
	default:
		a.dlo, a.dhi = min(a.dlo, b.dlo), max(a.dhi, b.dhi)
		a.w32 = a.w32 || b.w32
	}
	a.lowMin, a.lowCut = joinLow(a, b)
	if j.widen && (a.lowMin < was.lowMin || a.lowCut < was.lowCut) {
		a.lowMin, a.lowCut = 0, 0
	}
	if b.umin < a.umin {
		a.umin = j.below(b.umin)
	}
	if b.umax > a.umax {
		a.umax = j.above(b.umax)
	}
	if b.smin < a.smin {
		a.smin = j.signedBelow(b.smin)
	}
	if b.smax > a.smax {
		a.smax = j.signedAbove(b.smax)
	}
	return *a != was
}

// joinLow merges what is known of low halves.
func joinLow(a, b *value) (lowMin, lowCut uint32) {
	switch {
	case a.fits32() && b.fits32():
		return 0, 0
	case a.fits32():
		return min(uint32(a.umin), b.lowMin), min(math.MaxUint32-uint32(a.umax), b.lowCut)
	case b.fits32():
		return min(a.lowMin, uint32(b.umin)), min(a.lowCut, math.MaxUint32-uint32(b.umax))
	}
	return min(a.lowMin, b.lowMin), min(a.lowCut, b.lowCut)
}

func (j *joiner) below(x uint64) uint64 {
	if !j.widen {
		return x
	}
	for i := len(j.thresholds) - 1; i >= 0; i-- {
		if j.thresholds[i] <= x {
			return j.thresholds[i]
		}
	}
	return 0
}

func (j *joiner) above(x uint64) uint64 {
	if !j.widen {
		return x
	}
	for _, t := range j.thresholds {
		if t >= x {
			return t
		}
	}
	return math.MaxUint64
}

func (j *joiner) signedBelow(x int64) int64 {
	if !j.widen {
		return x
	}
	best := int64(math.MinInt64)
	for _, t := range j.thresholds {
		if int64(t) <= x && int64(t) > best {
			best = int64(t)
		}
	}
	return best
}

func (j *joiner) signedAbove(x int64) int64 {
	if !j.widen {
		return x
	}
	best := int64(math.MaxInt64)
	for _, t := range j.thresholds {
		if int64(t) >= x && int64(t) < best {
			best = int64(t)
		}
	}
	return best
}
