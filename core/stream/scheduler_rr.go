package stream

import "math/bits"

// roundRobin is "rr". Each urgency level has a ring of entries that share and a
// heap of entries served one after the other. The head of the heap takes part
// in the ring, so neither kind starves the other:
// https://www.rfc-editor.org/rfc/rfc9218#section-10
type roundRobin struct {
	levels [LowestUrgency + 1]level
	filled uint8 // bit i: levels[i] has entries
	n      int
}

type level struct {
	ring     turns
	heap     entryHeap
	heapTurn bool  // the turn is the heap's
	deficit  int64 // bytes left in the heap's turn
}

func (s *roundRobin) Name() string { return "rr" }
func (s *roundRobin) Len() int     { return s.n }

func (s *roundRobin) Ready(e *Entry) {
	if e.place != nowhere {
		return
	}
	e.level = min(e.Urgency, LowestUrgency)
	l := &s.levels[e.level]
	if e.Prioritized && !e.Incremental {
		if l.heap.less == nil {
			l.heap.less = lowerID
		}
		l.heap.push(e)
	} else {
		e.place = inRing
		e.deficit = Quantum
		l.ring.add(e)
	}
	s.filled |= 1 << e.level
	s.n++
}

func (s *roundRobin) Idle(e *Entry) {
	l := &s.levels[e.level]
	switch e.place {
	case inRing:
		l.ring.drop(e)
		e.place = nowhere
	case inHeap:
		l.heap.remove(e)
	default:
		return
	}
	s.n--
	if l.ring.first == nil && len(l.heap.entries) == 0 {
		s.filled &^= 1 << e.level
	}
}

func (s *roundRobin) Next() *Entry {
	if s.filled == 0 {
		return nil
	}
	l := &s.levels[bits.TrailingZeros8(s.filled)]
	if l.ring.first == nil || l.heapTurn && len(l.heap.entries) > 0 {
		return l.heap.entries[0]
	}
	return l.ring.first
}

func (s *roundRobin) Sent(e *Entry, n int) {
	l := &s.levels[e.level]
	switch e.place {
	case inHeap:
		if l.deficit -= int64(n); l.deficit <= 0 {
			l.deficit += Quantum
			l.heapTurn = false
		}
	case inRing:
		if e.deficit -= int64(n); e.deficit > 0 {
			return
		}
		e.deficit += Quantum
		if l.ring.first != e {
			return
		}
		l.ring.pass()
		// Once round the ring, if the heap has somebody: its turn.
		l.heapTurn = len(l.heap.entries) > 0
	}
}

func (s *roundRobin) Reprioritize(e *Entry) {
	if e.Ready() {
		s.Idle(e)
		s.Ready(e)
	}
}

func lowerID(a, b *Entry) bool { return a.ID < b.ID }
