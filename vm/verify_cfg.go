package vm

// loop is a natural loop: all blocks that reach one of its latches without passing its head.
type loop struct {
	head    int32
	latches []int32
	body    []int32 // blocks, the head included, in reverse postorder
	in      []bool  // membership by block
	parent  int32   // innermost loop around it, or -1
	written uint16  // registers that its instructions write
	trips   bound   // how often the head may be entered, per entry from outside
}

// walk numbers the reachable blocks in reverse postorder and finds predecessors and retreating edges.
func (f *function) walk() {
	type frame struct {
		k    int32
		next int
	}
	state := make([]uint8, len(f.blocks)) // 1 on the stack, 2 done
	stack := []frame{{0, 0}}
	state[0] = 1
	var post []int32
	for len(stack) > 0 {
		t := &stack[len(stack)-1]
		b := &f.blocks[t.k]
		if t.next < len(b.succ) {
			s := b.succ[t.next]
			t.next++
			f.blocks[s].pred = append(f.blocks[s].pred, t.k)
			switch state[s] {
			case 0:
				state[s] = 1
				stack = append(stack, frame{s, 0})
			case 1:
				f.blocks[s].head = true
			}
			continue
		}
		state[t.k] = 2
		post = append(post, t.k)
		stack = stack[:len(stack)-1]
	}
	f.order = make([]int32, len(post))
	for i, k := range post {
		f.order[len(post)-1-i] = k
		f.blocks[k].rpo = int32(len(post) - 1 - i)
	}
}

// dominators computes immediate dominators by the iteration of Cooper, Harvey and Kennedy,
// "A Simple, Fast Dominance Algorithm" (2001).
// It reports false if that would take more than limit steps.
func (f *function) dominators(limit int) bool {
	f.blocks[0].idom = 0
	for changed := true; changed; {
		changed = false
		for _, k := range f.order[1:] {
			b := &f.blocks[k]
			dom := int32(-1)
			for _, p := range b.pred {
				switch {
				case f.blocks[p].idom < 0:
				case dom < 0:
					dom = p
				default:
					dom = f.commonDominator(dom, p, &limit)
				}
			}
			if dom != b.idom {
				b.idom = dom
				changed = true
			}
			if limit--; limit < 0 {
				return false
			}
		}
	}
	return true
}

func (f *function) commonDominator(a, b int32, steps *int) int32 {
	for a != b {
		for f.blocks[a].rpo > f.blocks[b].rpo {
			a = f.blocks[a].idom
			*steps--
		}
		for f.blocks[b].rpo > f.blocks[a].rpo {
			b = f.blocks[b].idom
			*steps--
		}
	}
	return a
}

// dominates reports whether every way to b passes a.
func (f *function) dominates(a, b int32) bool {
	for f.blocks[b].rpo > f.blocks[a].rpo {
		b = f.blocks[b].idom
	}
	return a == b
}

// findLoops finds the natural loops, inner ones first, and notes a retreating edge that closes none.
// It reports false if there are too many for the size of the function.
func (f *function) findLoops() bool {
	for i := len(f.order) - 1; i >= 0; i-- {
		h := f.order[i]
		if !f.blocks[h].head {
			continue
		}
		l := loop{head: h, parent: -1}
		for _, p := range f.blocks[h].pred {
			if f.blocks[p].rpo < f.blocks[h].rpo {
				continue
			}
			if !f.dominates(h, p) {
				f.irreducible = append(f.irreducible, f.blocks[h].start)
				continue
			}
			l.latches = append(l.latches, p)
		}
		if len(l.latches) > 0 {
			if len(f.loops)*len(f.blocks) > maxLoopBlocks {
				return false
			}
			f.collect(&l)
			f.loops = append(f.loops, l)
		}
	}
	// Heads were visited from last to first in reverse postorder, so a loop comes before those around it.
	for i := range f.loops {
		for j := i + 1; j < len(f.loops); j++ {
			if f.loops[j].in[f.loops[i].head] {
				f.loops[i].parent = int32(j)
				break
			}
		}
	}
	for i := len(f.loops) - 1; i >= 0; i-- {
		for _, k := range f.loops[i].body {
			f.blocks[k].loop = int32(i)
		}
	}
	return true
}

// collect fills in the loop's body.
func (f *function) collect(l *loop) {
	l.in = make([]bool, len(f.blocks))
	l.in[l.head] = true
	work := append([]int32(nil), l.latches...)
	for len(work) > 0 {
		k := work[len(work)-1]
		work = work[:len(work)-1]
		if l.in[k] {
			continue
		}
		l.in[k] = true
		work = append(work, f.blocks[k].pred...)
	}
	for _, k := range f.order {
		if l.in[k] {
			l.body = append(l.body, k)
		}
	}
}
