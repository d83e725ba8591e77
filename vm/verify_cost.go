package vm

import "fmt"

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
