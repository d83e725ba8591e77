package vm

import "math"

// test is a comparison x op y that a loop makes in every round and must pass to go on.
type test struct {
	op     uint8
	narrow bool // compares low halves
	x, y   value
	reg    int // register that holds y and that nothing in the loop writes, or -1
}

// writtenIn returns the set of registers that instructions of the loop write.
func (f *function) writtenIn(code []Instruction, l *loop) uint16 {
	set := uint16(0)
	for _, k := range l.body {
		b := &f.blocks[k]
		for s := b.start; s < b.end; s += code[s].Slots() {
			switch i := code[s]; i.Class() {
			case ClassALU, ClassALU64, ClassLD, ClassLDX:
				set |= 1 << i.Dst
			case ClassSTX:
				if i.Mode() == ModeATOMIC {
					set |= 1<<i.Src | 1<<R0
				}
			case ClassJMP:
				if i.Op == OpCall {
					set |= 1<<R0 | 1<<R1 | 1<<(R1+1) | 1<<(R1+2) | 1<<(R1+3) | 1<<R5
				}
			}
		}
	}
	return set
}

// bound bounds the loop by the test if x is a location of the loop's head plus a constant that moves towards y, which
// does not change in the loop.
func (t *test) bound(a *analysis, l *loop, e *loopEdges, phi uint32) {
	f := a.f
	n := int(t.x.sym) - int(phi)
	if t.x.t != scalar || t.y.t != scalar || t.x.sym < phi || n >= numRegisters+len(f.frame.regions) ||
		t.x.shl != shlNone || t.x.dlo != t.x.dhi {
		return
	}
	if t.x.w32 && !t.narrow && !t.x.fits32() {
		return
	}
	lo, hi, w32, ok := progress(phi, n, e)
	if !ok || lo <= 0 && hi >= 0 {
		l.note("the variable it tests does not move in one direction in every round")
		return
	}
	if !t.fixed(f, l) {
		l.note("the limit that its test compares with may change in it")
		return
	}
	narrow := t.narrow || w32 || t.x.w32
	if narrow && !t.narrow {
		if !t.x.fits32() || !t.y.fits32() {
			return
		}
		t.op = unsignedOf(t.op)
	}
	total := uint64(0)
	for _, s := range e.entries {
		first := addConst(s.loc(n), t.x.dlo)
		r, ok := t.rounds(&first, t.limit(s), lo, hi, narrow)
		if !ok {
			l.note(tooFar)
			return
		}
		total = max(total, r)
	}
	l.trips.atMost(addSat(total, 1))
}

// note keeps the first reason found.
func (l *loop) note(reason string) {
	if !l.trips.known && l.trips.reason == "" {
		l.trips.reason = reason
	}
}

func addConst(v *value, c int64) value {
	k := constant(uint64(c))
	return addValues(v, &k)
}

// fixed reports whether y has the same value throughout the loop.
func (t *test) fixed(f *function, l *loop) bool {
	y := &t.y
	if y.isConst() || t.reg >= 0 {
		return true
	}
	if y.sym == 0 || y.dlo != y.dhi || y.shl != shlNone || y.w32 {
		return false
	}
	if y.sym < symSlots {
		return true
	}
	if k := f.phiBlock(y.sym); k >= 0 {
		return !l.in[k]
	}
	return !l.in[f.blockOf(f.start+int(y.sym-symSlots))]
}

// blockOf returns the block that holds the slot.
func (f *function) blockOf(slot int) int32 {
	for f.at[slot-f.start] < 0 {
		slot--
	}
	return f.at[slot-f.start]
}

// limit returns what is known of y when the loop is entered in state s: besides what the test knew, what a register
// or cell that holds the same symbol then tells.
func (t *test) limit(s *absState) *value {
	y := t.y
	if t.reg >= 0 {
		y = s.regs[t.reg]
		y.umin, y.umax = max(y.umin, t.y.umin), min(y.umax, t.y.umax)
		y.smin, y.smax = max(y.smin, t.y.smin), min(y.smax, t.y.smax)
		y.settle()
		return &y
	}
	for n := 0; n < numRegisters+len(s.cells); n++ {
		v := s.loc(n)
		if y.sym == 0 || v.sym != y.sym || !v.exact() {
			continue
		}
		w := addConst(v, y.dlo-v.dlo)
		y.umin, y.umax = max(y.umin, w.umin), min(y.umax, w.umax)
		y.smin, y.smax = max(y.smin, w.smin), min(y.smax, w.smax)
		y.settle()
	}
	return &y
}

// roundsLimit is where a count is no use any more.
const roundsLimit = 1 << 48

// rounds returns how often the test can succeed in a row when x starts as first and every round adds lo to hi to it.
func (t *test) rounds(first, y *value, lo, hi int64, narrow bool) (uint64, bool) {
	if t.op == JmpNE {
		return roundsUntilEqual(first, y, lo, hi, narrow)
	}
	var up bool
	switch t.op {
	case JmpLT, JmpLE, JmpSLT, JmpSLE:
		up = true
	case JmpGT, JmpGE, JmpSGT, JmpSGE:
	default:
		return 0, false
	}
	if up != (lo > 0) {
		return 0, false
	}
	x0, y0 := *first, *y
	if narrow && signedCompare(t.op) {
		x0, y0 = x0.signedLow(), y0.signedLow()
	} else if narrow {
		x0, y0 = x0.low32(), y0.low32()
	}
	equal := t.op == JmpLE || t.op == JmpGE || t.op == JmpSLE || t.op == JmpSGE
	if !up {
		// Mirror at the ends of the number range: x towards y from above is not-x towards not-y from below.
		x0, y0 = x0.complement(narrow && !signedCompare(t.op)), y0.complement(narrow && !signedCompare(t.op))
		lo, hi = -hi, -lo
	}
	d, ok := distance(&x0, &y0, hi, equal, signedCompare(t.op), narrow)
	if !ok || d > roundsLimit {
		return 0, false
	}
	if equal {
		return d/uint64(lo) + 1, true
	}
	return (d + uint64(lo) - 1) / uint64(lo), true
}

// signedLow is the low half as a signed number.
func (v *value) signedLow() value {
	lo, hi := v.signed32()
	return signedRange(lo, hi)
}

// complement is the bitwise complement, in 32 bits if narrow.
func (v *value) complement(narrow bool) value {
	if narrow {
		return scalarRange(math.MaxUint32-v.umax, math.MaxUint32-v.umin)
	}
	r := value{t: scalar, umin: ^v.umax, umax: ^v.umin, smin: ^v.smax, smax: ^v.smin}
	if v.exact() {
		// The complement of sym + d is that of sym, minus d.
		r.sym, r.dlo, r.dhi = v.sym, -v.dhi, -v.dlo
	}
	return r
}

// distance bounds y - x from above, given that x grows by at most step while it is less than y (or equal); 0 if x
// starts beyond y. ok is false if nothing is known or x might wrap around.
func distance(x, y *value, step int64, equal, signed, narrow bool) (uint64, bool) {
	if signed {
		limit := int64(math.MaxInt64)
		if narrow {
			limit = math.MaxInt32
		}
		if (equal || step > 1) && y.smax > limit-step {
			return 0, false
		}
		if y.smax < x.smin {
			return 0, true
		}
		d := uint64(y.smax) - uint64(x.smin)
		if r, ok := symbolic(x, y); ok && r.smin >= 0 {
			d = min(d, uint64(max(r.smax, 0)))
		}
		return d, true
	}
	limit := uint64(math.MaxUint64)
	if narrow {
		limit = math.MaxUint32
	}
	if (equal || step > 1) && y.umax > limit-uint64(step) {
		return 0, false
	}
	if y.umax < x.umin {
		return 0, true
	}
	d := y.umax - x.umin
	// The true difference is the symbolic one unless y wrapped around, and then the test fails at once, or x did:
	// not if y cannot be below x.
	if r, ok := symbolic(x, y); ok && (r.smin >= 0 || x.umin >= uint64(-r.smin)) {
		d = min(d, uint64(max(r.smax, 0)))
	}
	return d, true
}

// symbolic returns y - x if both are of one symbol.
func symbolic(x, y *value) (value, bool) {
	if x.sym == 0 || x.sym != y.sym || x.w32 || y.w32 || x.shl != shlNone || y.shl != shlNone {
		return value{}, false
	}
	return subValues(y, x), true
}

// roundsUntilEqual counts the rounds of a test for inequality: x must meet y exactly, so it must move by one, or by a
// divisor of a distance that is known.
func roundsUntilEqual(first, y *value, lo, hi int64, narrow bool) (uint64, bool) {
	if lo != hi {
		return 0, false
	}
	d := subValues(y, first)
	if lo < 0 {
		d = subValues(first, y)
	}
	if narrow {
		d = d.low32()
	}
	step := uint64(max(lo, -lo))
	if step > 1 && (!d.isConst() || d.umax%step != 0) {
		return 0, false
	}
	return d.umax / step, d.umax <= roundsLimit
}
