package vm

import (
	"math"
	"math/bits"
)

// bound says how often something happens at most.
type bound struct {
	known  bool
	n      uint64
	reason string // why it is not known
}

func (b *bound) atMost(n uint64) {
	if !b.known || n < b.n {
		*b = bound{known: true, n: n}
	}
}

func addSat(a, b uint64) uint64 {
	if s, c := bits.Add64(a, b, 0); c == 0 {
		return s
	}
	return math.MaxUint64
}

func mulSat(a, b uint64) uint64 {
	if hi, lo := bits.Mul64(a, b); hi == 0 {
		return lo
	}
	return math.MaxUint64
}

// loc returns the value of register n, or of cell n - numRegisters.
func (s *absState) loc(n int) *value {
	if n < numRegisters {
		return &s.regs[n]
	}
	return &s.cells[n-numRegisters].value
}

// loopEdges are the states in which a loop's head is entered.
type loopEdges struct {
	entries []*absState // from outside
	latches []*absState // from inside
}

// boundLoops finds out for every loop how often its head is entered per entry from outside. It reports whether it
// did for all.
func (a *analysis) boundLoops() bool {
	f := a.f
	all := true
	for i := range f.loops {
		l := &f.loops[i]
		l.trips = bound{}
		if f.in[l.head] == nil {
			l.trips.atMost(0)
			continue
		}
		e := a.edges(l)
		if len(e.latches) == 0 {
			l.trips.atMost(1)
			continue
		}
		a.boundByRange(l, e)
		a.boundByTests(l, e)
		all = all && l.trips.known && l.trips.n <= a.v.opt.Fuel
	}
	return all
}

// edges returns the states in which the loop's head is entered.
func (a *analysis) edges(l *loop) *loopEdges {
	f := a.f
	e := &loopEdges{}
	for _, p := range f.blocks[l.head].pred {
		if f.in[p] == nil {
			continue
		}
		_ = a.flow(p, func(t int32, s *absState) error {
			if t == l.head && l.in[p] {
				e.latches = append(e.latches, s.clone())
			} else if t == l.head {
				e.entries = append(e.entries, s.clone())
			}
			return nil
		})
	}
	return e
}

// clamp is what the bound of a loop says about a location at its head.
type clamp struct {
	n      int // location
	lo, hi uint64
}

// clampRounds is how often bounds of loops may serve to find others.
const clampRounds = 3

// clampLoops derives intervals from bounds: a location that moves by at most d in each of n rounds ends at most n*d
// from where it began. It reports whether it found something new; the states are then to be computed again.
func (a *analysis) clampLoops() bool {
	f := a.f
	found := false
	for i := range f.loops {
		l := &f.loops[i]
		if !l.trips.known || l.trips.n == 0 || l.trips.n > roundsLimit || f.in[l.head] == nil {
			continue
		}
		head := f.in[l.head]
		phi := f.joinerOf(l.head).phi
		e := a.edges(l)
		for n := 0; n < numRegisters+len(head.cells); n++ {
			h := head.loc(n)
			lo, hi, w32, ok := progress(phi, n, e)
			if h.t != scalar || !ok || w32 && !h.fits32() || lo < -math.MaxInt32 || hi > math.MaxInt32 {
				continue
			}
			c, ok := l.span(n, lo, hi, w32, e)
			if ok && (c.lo > h.umin || c.hi < h.umax) {
				if f.clamps == nil {
					f.clamps = make(map[int32][]clamp)
				}
				f.clamps[l.head] = append(f.clamps[l.head], c)
				found = true
			}
		}
	}
	return found
}

// span computes the interval of location n at the head of the loop.
func (l *loop) span(n int, lo, hi int64, w32 bool, e *loopEdges) (clamp, bool) {
	c := clamp{n: n, lo: math.MaxUint64}
	down, up := mulSat(uint64(-min(lo, 0)), l.trips.n-1), mulSat(uint64(max(hi, 0)), l.trips.n-1)
	for _, s := range e.entries {
		v := s.loc(n)
		top := addSat(v.umax, up)
		if v.t != scalar || v.umin < down || top == math.MaxUint64 || w32 && top > math.MaxUint32 {
			return c, false
		}
		c.lo, c.hi = min(c.lo, v.umin-down), max(c.hi, top)
	}
	return c, c.lo <= c.hi
}

// clamp narrows a state that is about to enter block k by what the bounds of loops say.
func (f *function) clamp(k int32, s *absState) {
	for _, c := range f.clamps[k] {
		if v := s.loc(c.n); v.t == scalar {
			v.umin, v.umax = max(v.umin, c.lo), min(v.umax, c.hi)
			v.settle()
		}
	}
}

// progress returns the smallest and largest change of location n in one round of the loop, and whether only its low
// half is known to change so. ok is false if the change is not known.
func progress(phi uint32, n int, e *loopEdges) (lo, hi int64, w32, ok bool) {
	lo, hi = math.MaxInt64, math.MinInt64
	for _, s := range e.latches {
		v := s.loc(n)
		if v.t != scalar || v.sym != phi+uint32(n) || v.shl != shlNone {
			return 0, 0, false, false
		}
		lo, hi = min(lo, v.dlo), max(hi, v.dhi)
		w32 = w32 || v.w32
	}
	return lo, hi, w32, true
}

// boundByRange uses a location that every round moves in one direction and that stays in a range.
func (a *analysis) boundByRange(l *loop, e *loopEdges) {
	f := a.f
	head := f.in[l.head]
	phi := f.joinerOf(l.head).phi
	for n := 0; n < numRegisters+len(head.cells); n++ {
		h := head.loc(n)
		if h.t != scalar || h.sym != phi+uint32(n) {
			continue
		}
		lo, hi, w32, ok := progress(phi, n, e)
		if !ok || lo <= 0 && hi >= 0 {
			continue
		}
		l.unsignedRange(h, n, lo, hi, w32, e)
		if !w32 {
			l.signedRange(h, n, lo, hi, e)
		}
	}
}

// unsignedRange bounds the loop by the unsigned interval of location n, whose value at the head is h. A value that
// wrapped around would lie among the first or last few: the latches must exclude those.
func (l *loop) unsignedRange(h *value, n int, lo, hi int64, w32 bool, e *loopEdges) {
	limit := uint64(math.MaxUint64)
	if w32 {
		limit = math.MaxUint32
		if h.umax > limit {
			return
		}
	}
	for _, s := range e.latches {
		v := s.loc(n)
		if v.umax > limit {
			return
		}
		if lo > 0 && v.umin < uint64(hi) && h.umax > limit-uint64(hi) {
			return
		}
		if hi < 0 && v.umax > limit-uint64(-lo) && h.umin < uint64(-lo) {
			return
		}
	}
	step := uint64(lo)
	if hi < 0 {
		step = uint64(-hi)
	}
	l.within((h.umax - h.umin) / step)
}

// within bounds the loop by the number of times that a location can move, if that is of use.
func (l *loop) within(moves uint64) {
	if moves > roundsLimit {
		l.note(tooFar)
		return
	}
	l.trips.atMost(moves + 1)
}

const tooFar = "its limit may be too far away; clamp it before the loop"

func (l *loop) signedRange(h *value, n int, lo, hi int64, e *loopEdges) {
	for _, s := range e.latches {
		v := s.loc(n)
		if lo > 0 && v.smin < math.MinInt64+hi && h.smax > math.MaxInt64-hi {
			return
		}
		if hi < 0 && v.smax > math.MaxInt64+lo && h.smin < math.MinInt64-lo {
			return
		}
	}
	step := uint64(lo)
	if hi < 0 {
		step = uint64(-hi)
	}
	l.within(uint64(h.smax-h.smin) / step)
}

// boundByTests uses tests that every round makes and that end the loop.
func (a *analysis) boundByTests(l *loop, e *loopEdges) {
	f := a.f
	code := a.v.object.Code
	phi := f.joinerOf(l.head).phi
	exits := false
	for _, k := range l.body {
		b := &f.blocks[k]
		if f.in[k] == nil {
			continue
		}
		for _, t := range b.succ {
			exits = exits || !l.in[t]
		}
		last := f.lastOf(b)
		i := code[last]
		if i.Op == OpExit {
			exits = true
		}
		if !i.IsJump() || len(b.succ) != 2 || l.in[b.succ[0]] == l.in[b.succ[1]] || !f.dominatesAll(k, l.latches) {
			continue
		}
		stay := i.Code()
		if target := f.at[last+1+i.JumpOffset()-f.start]; !l.in[target] {
			stay = negated(stay)
		}
		s, ok := a.before(k)
		if !ok {
			continue
		}
		x := s.regs[i.Dst]
		y := constant(uint64(int64(i.Imm)))
		if i.Class() == ClassJMP32 {
			y = constant(uint64(uint32(i.Imm)))
		}
		if i.Source() == SrcX {
			y = s.regs[i.Src]
		}
		t := test{op: stay, narrow: i.Class() == ClassJMP32, x: x, y: y, reg: -1}
		if i.Source() == SrcX && l.written>>i.Src&1 == 0 {
			t.reg = int(i.Src)
		}
		t.bound(a, l, e, phi)
		t = test{op: mirrored(stay), narrow: t.narrow, x: y, y: x, reg: -1}
		if l.written>>i.Dst&1 == 0 {
			t.reg = int(i.Dst)
		}
		t.bound(a, l, e, phi)
	}
	if l.trips.known {
		return
	}
	if !exits {
		l.trips.reason = "nothing in it leaves it"
	} else if l.trips.reason == "" {
		l.trips.reason = "no variable was found that every round moves towards a limit"
	}
}

func (f *function) dominatesAll(k int32, list []int32) bool {
	for _, p := range list {
		if !f.dominates(k, p) {
			return false
		}
	}
	return true
}

// before returns the state before the last instruction of block k.
func (a *analysis) before(k int32) (*absState, bool) {
	f := a.f
	s := f.in[k].clone()
	b := &f.blocks[k]
	last := f.lastOf(b)
	for slot := b.start; slot < last; slot += a.v.object.Code[slot].Slots() {
		if a.step(s, slot) != nil {
			return nil, false
		}
	}
	return s, true
}

// mirrored exchanges the operands of a comparison.
func mirrored(op uint8) uint8 {
	switch op {
	case JmpGT:
		return JmpLT
	case JmpGE:
		return JmpLE
	case JmpLT:
		return JmpGT
	case JmpLE:
		return JmpGE
	case JmpSGT:
		return JmpSLT
	case JmpSGE:
		return JmpSLE
	case JmpSLT:
		return JmpSGT
	case JmpSLE:
		return JmpSGE
	}
	return op
}

// unsignedOf gives the comparison that decides the same for numbers without sign.
func unsignedOf(op uint8) uint8 {
	switch op {
	case JmpSGT:
		return JmpGT
	case JmpSGE:
		return JmpGE
	case JmpSLT:
		return JmpLT
	case JmpSLE:
		return JmpLE
	}
	return op
}
