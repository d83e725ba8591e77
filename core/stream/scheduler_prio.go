package stream

// weighted is "prio": everybody's turn comes, and is worth bytes in proportion
// to the entry's weight.
type weighted struct {
	ring deficitRing
	n    int
}

func newWeighted() *weighted { return &weighted{ring: deficitRing{weighted: true}} }

func (s *weighted) Name() string { return "prio" }
func (s *weighted) Len() int     { return s.n }

func (s *weighted) Ready(e *Entry) {
	if e.place == nowhere {
		e.place = inRing
		s.ring.add(e)
		s.n++
	}
}

func (s *weighted) Idle(e *Entry) {
	if e.place == inRing {
		s.ring.drop(e)
		e.place = nowhere
		s.n--
	}
}

func (s *weighted) Next() *Entry { return s.ring.first }

func (s *weighted) Sent(e *Entry, n int) {
	if e.place == inRing {
		s.ring.sent(e, n)
	}
}

// Reprioritize does nothing: the weight counts from the next turn on.
func (s *weighted) Reprioritize(*Entry) {}

// strict is "sprio": the most urgent entry, for as long as it has something.
type strict struct{ heap entryHeap }

func newStrict() *strict { return &strict{heap: entryHeap{less: moreUrgent}} }

func (s *strict) Name() string { return "sprio" }
func (s *strict) Len() int     { return len(s.heap.entries) }

func (s *strict) Ready(e *Entry) {
	if e.place == nowhere {
		s.heap.push(e)
	}
}

func (s *strict) Idle(e *Entry) {
	if e.place == inHeap {
		s.heap.remove(e)
	}
}

func (s *strict) Next() *Entry {
	if len(s.heap.entries) == 0 {
		return nil
	}
	return s.heap.entries[0]
}

func (s *strict) Sent(*Entry, int) {}

func (s *strict) Reprioritize(e *Entry) {
	if e.place == inHeap {
		s.heap.fix(int(e.heapIndex))
	}
}

func moreUrgent(a, b *Entry) bool {
	if a.Urgency != b.Urgency {
		return a.Urgency < b.Urgency
	}
	if a.weight() != b.weight() {
		return a.weight() > b.weight()
	}
	return a.ID < b.ID
}

// entryHeap is a binary heap of entries that know their index in it.
type entryHeap struct {
	entries []*Entry
	less    func(a, b *Entry) bool
}

func (h *entryHeap) push(e *Entry) {
	e.place = inHeap
	e.heapIndex = int32(len(h.entries))
	h.entries = append(h.entries, e)
	h.up(len(h.entries) - 1)
}

func (h *entryHeap) remove(e *Entry) {
	i, last := int(e.heapIndex), len(h.entries)-1
	h.swap(i, last)
	h.entries[last] = nil
	h.entries = h.entries[:last]
	if i < last {
		h.fix(i)
	}
	e.place = nowhere
}

func (h *entryHeap) fix(i int) {
	if !h.up(i) {
		h.down(i)
	}
}

func (h *entryHeap) up(i int) (moved bool) {
	for i > 0 {
		parent := (i - 1) / 2
		if !h.less(h.entries[i], h.entries[parent]) {
			break
		}
		h.swap(i, parent)
		i, moved = parent, true
	}
	return moved
}

func (h *entryHeap) down(i int) {
	for {
		child := 2*i + 1
		if child >= len(h.entries) {
			return
		}
		if child+1 < len(h.entries) && h.less(h.entries[child+1], h.entries[child]) {
			child++
		}
		if !h.less(h.entries[child], h.entries[i]) {
			return
		}
		h.swap(i, child)
		i = child
	}
}

func (h *entryHeap) swap(i, j int) {
	h.entries[i], h.entries[j] = h.entries[j], h.entries[i]
	h.entries[i].heapIndex, h.entries[j].heapIndex = int32(i), int32(j)
}
