package vm

import (
	"errors"
	"math"
	"slices"
)

// Symbols of a function, after symFrame: its arguments, then one per instruction slot, then per block one for each
// register and cell.
const (
	symArgs  = symFrame + 1
	symSlots = symArgs + 5
)

func (f *function) symOf(slot int) uint32 { return symSlots + uint32(slot-f.start) }

// joinerOf returns the joiner for block k.
func (f *function) joinerOf(k int32) joiner {
	n := uint32(numRegisters + len(f.frame.regions))
	return joiner{phi: symSlots + uint32(f.end-f.start) + uint32(k)*n, phis: n, head: f.blocks[k].head}
}

// phiBlock returns the block whose entry defines the symbol, or -1.
func (f *function) phiBlock(sym uint32) int32 {
	base := symSlots + uint32(f.end-f.start)
	if sym < base {
		return -1
	}
	return int32((sym - base) / uint32(numRegisters+len(f.frame.regions)))
}

// enter merges arguments into the state in which function f starts.
func (v *verifier) enter(f *function, args *[numRegisters]value) {
	if f.entry == nil {
		f.entry = &absState{regs: *args, cells: make([]cell, len(f.frame.regions))}
		return
	}
	var j joiner
	for r := R1; r <= R5; r++ {
		j.value(&f.entry.regs[r], &args[r], math.MaxUint32)
	}
}

// start returns the state before the first instruction of f.
func (v *verifier) start(f *function) *absState {
	s := f.entry.clone()
	for r := R1; r <= R5; r++ {
		if x := &s.regs[r]; x.t == scalar || x.t == handle && x.nullable {
			x.sym, x.dlo, x.dhi = symArgs+uint32(r-R1), 0, 0
		}
	}
	top := uint64(v.layout.stackTop)
	r10 := scalarRange(top-privateSize+FrameSize, top)
	r10.sym = symFrame
	s.regs[R10] = r10
	return s
}

// analyse runs one round of abstract interpretation over all functions, callers first. The final round checks and
// records.
func (v *verifier) analyse(final bool) error {
	for _, k := range v.calls {
		v.funcs[k].entry = nil
	}
	for i, p := range v.object.Programs {
		var args [numRegisters]value
		spec := &v.specs[i]
		r := R1
		if spec.Kind != "" {
			args[r] = value{t: handle, ctx: true, kind: v.kinds[spec.Kind], slot: spec.Slot}
			r++
		}
		for n := uint8(0); n < spec.Scalars && r <= R5; n++ {
			args[r] = anyScalar()
			r++
		}
		v.enter(v.funcs[p.Function], &args)
	}
	for _, k := range v.calls {
		f := v.funcs[k]
		if f.entry == nil {
			continue // called from unreachable code only
		}
		a := &analysis{v: v, f: f}
		if err := a.settle(); err != nil {
			return err
		}
		for round := 0; final && !a.boundLoops() && round < clampRounds && a.clampLoops(); round++ {
			if err := a.settle(); err != nil {
				return err
			}
		}
		a.final = final
		if err := a.conclude(); err != nil {
			return err
		}
	}
	return nil
}

// thresholds are where growing intervals pause: the constants of the function and the ends of the integer types.
func (f *function) thresholds(code []Instruction) []uint64 {
	t := []uint64{0, 1, math.MaxUint8, math.MaxUint16, math.MaxInt32, math.MaxUint32, math.MaxInt64, math.MaxUint64}
	for _, k := range f.order {
		b := &f.blocks[k]
		for s := b.start; s < b.end; s += code[s].Slots() {
			i := code[s]
			if (i.IsJump() && i.Source() == SrcK || i.Op == OpMov64Imm || i.Op == OpMov32Imm) && len(t) < 64 {
				c := uint64(int64(i.Imm))
				t = append(t, c-1, c, c+1)
			}
		}
	}
	slices.Sort(t)
	return slices.Compact(t)
}

// Visits of a block after which its intervals grow to the next threshold, and to the limit.
const (
	visitsToWiden = 3
	visitsToLimit = 24
)

// settle computes a state for every block that holds on all ways to it: it lets states grow until nothing changes,
// undoes what widening gave away, and lets them grow again in case that went too far.
func (a *analysis) settle() error {
	f := a.f
	f.in = make([]*absState, len(f.blocks))
	f.out, f.exits = value{}, false
	a.visits = make([]int, len(f.blocks))
	a.dirty = make([]bool, len(f.blocks))
	a.thresholds = f.thresholds(a.v.object.Code)
	f.in[0] = a.v.start(f)
	if f.blocks[0].head {
		j := f.joinerOf(0)
		j.name(f.in[0])
		f.nameWritten(0, f.in[0], j.phi)
	}
	a.dirty[0] = true
	if err := a.grow(); err != nil {
		return err
	}
	if a.narrow() {
		for k := range f.in {
			a.dirty[k] = f.in[k] != nil
		}
		return a.grow()
	}
	return nil
}

// grow propagates the states of dirty blocks until nothing changes.
func (a *analysis) grow() error {
	f := a.f
	for again := true; again; {
		again = false
		for _, k := range f.order {
			if !a.dirty[k] {
				continue
			}
			a.dirty[k] = false
			if !a.spend(k) {
				return a.v.errAt(f, f.start, "the function is too complex to verify; split it or simplify its loops")
			}
			_ = a.flow(k, func(t int32, s *absState) error { // reports nothing before the final round
				if a.merge(t, s) {
					a.dirty[t] = true
					again = again || f.blocks[t].rpo <= f.blocks[k].rpo
				}
				return nil
			})
		}
	}
	return nil
}

// spend takes the cost of analysing block k once from the verifier's allowance.
func (a *analysis) spend(k int32) bool {
	a.v.left -= int(a.f.blocks[k].cost) + 1 + len(a.f.frame.regions)/4
	return a.v.left >= 0
}

// merge merges s into the state at the start of block t and reports whether that changed.
func (a *analysis) merge(t int32, s *absState) bool {
	f := a.f
	b := &f.blocks[t]
	if len(b.pred) == 1 && t != 0 {
		// One way in: the last state counts, which is the largest.
		if f.in[t] != nil && f.in[t].equal(s) {
			return false
		}
		f.set(t, s)
		return true
	}
	j := f.joinerOf(t)
	j.forget(s)
	f.clamp(t, s)
	if f.in[t] == nil {
		f.set(t, s)
		if b.head {
			j.name(f.in[t])
			f.nameWritten(t, f.in[t], j.phi)
		}
		return true
	}
	if b.head {
		a.visits[t]++
	}
	j.widen = a.visits[t] >= visitsToWiden
	if a.visits[t] < visitsToLimit {
		j.thresholds = a.thresholds
	}
	changed := j.into(f.in[t], s)
	if changed {
		j.name(f.in[t])
	}
	return changed
}

// nameWritten gives the registers that a loop writes the symbols of its head from the start, so that what its body
// finds out about them is not tied to what they were before.
func (f *function) nameWritten(k int32, s *absState, phi uint32) {
	for i := range f.loops {
		if f.loops[i].head != k {
			continue
		}
		for r := range s.regs {
			if v := &s.regs[r]; f.loops[i].written>>r&1 != 0 && v.t == scalar {
				v.dropSym()
				v.sym = phi + uint32(r)
			}
		}
	}
}

func (f *function) set(k int32, s *absState) {
	if f.in[k] == nil {
		f.in[k] = &absState{}
	}
	f.in[k].copyFrom(s)
}

func (s *absState) equal(o *absState) bool {
	return s.regs == o.regs && s.escaped == o.escaped && slices.Equal(s.cells, o.cells)
}

// narrowings is how often states are computed anew from their predecessors to undo what widening gave away.
const narrowings = 3

// narrow computes the states anew, in order, from those of the blocks before and what loops brought back so far.
// It reports whether there was anything to do.
func (a *analysis) narrow() bool {
	f := a.f
	var latches []int32
	for _, k := range f.order {
		for _, t := range f.blocks[k].succ {
			if f.in[k] != nil && f.blocks[t].rpo <= f.blocks[k].rpo {
				latches = append(latches, k)
				break
			}
		}
	}
	if len(latches) == 0 {
		return false
	}
	for range narrowings {
		old := f.in
		next := make([]*absState, len(f.blocks))
		add := func(t int32, s *absState) {
			j := f.joinerOf(t)
			if len(f.blocks[t].pred) > 1 || t == 0 {
				j.forget(s)
				f.clamp(t, s)
			}
			if next[t] == nil {
				next[t] = s.clone()
				if f.blocks[t].head {
					j.name(next[t])
				}
			} else if j.into(next[t], s) {
				j.name(next[t])
			}
		}
		add(0, a.v.start(f))
		for _, k := range latches {
			if !a.spend(k) {
				return true // what there is already holds
			}
			_ = a.flow(k, func(t int32, s *absState) error {
				if f.blocks[t].rpo <= f.blocks[k].rpo {
					add(t, s)
				}
				return nil
			})
		}
		f.in = next
		for _, k := range f.order {
			if next[k] == nil {
				continue
			}
			if !a.spend(k) {
				f.in = old
				return true
			}
			_ = a.flow(k, func(t int32, s *absState) error {
				if f.blocks[t].rpo > f.blocks[k].rpo {
					add(t, s)
				}
				return nil
			})
		}
		// A latch that is no longer reached keeps no loop alive.
		latches = slices.DeleteFunc(latches, func(k int32) bool { return next[k] == nil })
	}
	return true
}

// flow runs block k from its state and hands the states of its edges to yield, which may keep nothing of them.
func (a *analysis) flow(k int32, yield func(t int32, s *absState) error) error {
	f := a.f
	s := &a.current
	code := a.v.object.Code
	b := &f.blocks[k]
	s.copyFrom(f.in[k])
	last := f.lastOf(b)
	for slot := b.start; slot < b.end; slot += code[slot].Slots() {
		if a.final {
			a.v.facts[slot] = fact{live: true}
		}
		i := code[slot]
		if slot == last && (i.IsJump() || i.Op == OpExit) {
			break
		}
		if err := a.step(s, slot); err != nil {
			if errors.Is(err, errNotYet) {
				// What is refused for all calls together may be fine for some: callers must not take the function
				// for one that never returns.
				a.f.exits, a.f.out = true, anyScalar()
				return nil
			}
			if errors.Is(err, errDeadEnd) {
				return nil
			}
			return err
		}
	}
	i := code[last]
	switch {
	case i.Op == OpExit:
		if err := a.exit(s, last); !errors.Is(err, errNotYet) {
			return err
		}
		a.f.exits, a.f.out = true, anyScalar()
		return nil
	case i.IsJump() && i.Op != OpJA && i.Op != OpJA32:
		return a.branch(k, s, last, i, yield)
	case len(b.succ) > 0:
		return yield(b.succ[0], s)
	}
	return nil
}

// exit checks and notes the result of the function.
func (a *analysis) exit(s *absState, slot int) error {
	r0 := s.regs[R0]
	switch r0.t {
	case unknown:
		a.fact(slot).mode = factZeroR0
	case scalar:
	case handle, dead:
		return a.err(slot, "%s; a typed pointer must not be returned", a.what(R0, &r0))
	default:
		return a.err(slot, "the result in r0 holds one type on one way here and another on another")
	}
	r0.dropSym()
	if r0.isFrame() || s.regs[R0].isFrame() {
		r0 = anyScalar()
	}
	if !a.f.exits {
		a.f.exits = true
		a.f.out = r0
		return nil
	}
	var j joiner
	j.value(&a.f.out, &r0, math.MaxUint32)
	return nil
}

// conclude goes over every block once more with its settled state. It checks that the states of all edges are
// covered by the states they lead to, so that nothing rests on how those were found, and in the final round records
// facts and reports errors.
func (a *analysis) conclude() error {
	f := a.f
	f.out, f.exits = value{}, false
	a.sure = true
	defer func() { a.sure = false }()
	for _, k := range f.order {
		if f.in[k] == nil {
			continue
		}
		err := a.flow(k, func(t int32, s *absState) error {
			return a.covered(t, s)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (a *analysis) covered(t int32, s *absState) error {
	f := a.f
	j := f.joinerOf(t)
	if len(f.blocks[t].pred) > 1 || t == 0 {
		j.forget(s)
		f.clamp(t, s)
	}
	if f.in[t] != nil {
		a.covering.copyFrom(f.in[t])
		if !j.into(&a.covering, s) {
			return nil
		}
	}
	return a.v.errAt(f, f.blocks[t].start, "the function is too complex to verify: what is known here did not settle")
}
