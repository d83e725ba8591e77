package vm

import (
	"fmt"
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

// costs computes the bounds of all functions, callees first.
func (v *verifier) costs() {
	for i := len(v.calls) - 1; i >= 0; i-- {
		v.funcs[v.calls[i]].bound = v.cost(v.funcs[v.calls[i]])
	}
}

func (v *verifier) cost(f *function) bound {
	if f.entry == nil {
		return bound{known: true}
	}
	for _, slot := range f.irreducible {
		if f.in[f.blockOf(slot)] != nil {
			return bound{reason: fmt.Sprintf("loop at %s has no bound because it can be entered at more than one place", v.where(slot))}
		}
	}
	own := make([]uint64, len(f.blocks))
	for _, k := range f.order {
		b := &f.blocks[k]
		if f.in[k] == nil {
			continue
		}
		own[k] = uint64(b.cost)
		for s := b.start; s < b.end; s += v.object.Code[s].Slots() {
			if i := v.object.Code[s]; i.Op == OpCall && i.Src == CallLocal && v.facts[s].live {
				g := v.funcs[v.object.FunctionAt(s+1+int(i.Imm))]
				if !g.bound.known {
					return bound{reason: g.bound.reason}
				}
				own[k] = addSat(own[k], g.bound.n)
			}
		}
	}
	totals := make([]uint64, len(f.loops))
	longest := make([]uint64, len(f.blocks))
	for i := range f.loops {
		l := &f.loops[i]
		if !l.trips.known {
			return bound{reason: fmt.Sprintf("loop at %s has no bound because %s", v.where(f.blocks[l.head].start), l.trips.reason)}
		}
		totals[i] = mulSat(l.trips.n, f.longestPath(l.body, int32(i), own, totals, longest))
		if totals[i] > v.opt.Fuel {
			return bound{reason: fmt.Sprintf("loop at %s may take %d instructions, more than the %d that a call may execute",
				v.where(f.blocks[l.head].start), totals[i], v.opt.Fuel)}
		}
	}
	return bound{known: true, n: f.longestPath(f.order, -1, own, totals, longest)}
}

// longestPath returns the cost of the most expensive way through the blocks that begins at the first and takes no
// edge backwards. Loops directly inside loop level (-1: none) count in full where they are entered.
func (f *function) longestPath(blocks []int32, level int32, own, totals, longest []uint64) uint64 {
	for _, k := range blocks {
		longest[k] = 0
	}
	most := uint64(0)
	for _, k := range blocks {
		b := &f.blocks[k]
		switch {
		case b.loop == level:
			longest[k] = addSat(longest[k], own[k])
		case f.loops[b.loop].parent == level && f.loops[b.loop].head == k:
			longest[k] = addSat(longest[k], totals[b.loop])
		}
		most = max(most, longest[k])
		for _, t := range b.succ {
			if f.blocks[t].rpo > b.rpo {
				longest[t] = max(longest[t], longest[k])
			}
		}
	}
	return most
}

// where names the place of a slot for people.
func (v *verifier) where(slot int) string {
	if l := v.object.lineOf(slot); l != nil && l.Line > 0 {
		return fmt.Sprintf("%s:%d", l.File, l.Line)
	}
	f := v.object.Functions[v.object.FunctionAt(slot)]
	return fmt.Sprintf("%s, instruction %d", f.Name, slot-f.Start)
}
