package stream

import "math/bits"

// roundRobin is "rr". Each urgency level has a ring of entries that share, and
// a heap of those the application wants served one after the other, by stream
// ID. As RFC 9218 leaves open how the two kinds share a level, the whole heap
// has one place in the ring: neither kind starves the other.
// https://www.rfc-editor.org/rfc/rfc9218#section-10
type roundRobin struct {
	levels [LowestUrgency + 1]*level // made when first used: most connections use one
	filled uint8                     // bit i: levels[i] has entries
	n      int
}

type level struct {
	ring deficitRing
	heap entryHeap
	// heapPlace stands for the heap in the ring while that has entries.
	heapPlace Entry
}

func (s *roundRobin) Name() string { return "rr" }
func (s *roundRobin) Len() int     { return s.n }

func (s *roundRobin) Ready(e *Entry) {
	if e.place != nowhere {
		return
	}
	e.level = min(e.Urgency, LowestUrgency)
	l := s.levels[e.level]
	if l == nil {
		l = new(level)
		s.levels[e.level] = l
	}
	if e.Prioritized && !e.Incremental {
		if len(l.heap.entries) == 0 {
			l.heap.less = lowerID
			l.ring.add(&l.heapPlace)
		}
		l.heap.push(e)
	} else {
		e.place = inRing
		l.ring.add(e)
	}
	s.filled |= 1 << e.level
	s.n++
}

func (s *roundRobin) Idle(e *Entry) {
	l := s.levels[e.level]
	switch e.place {
	case inRing:
		l.ring.drop(e)
		e.place = nowhere
	case inHeap:
		l.heap.remove(e)
		if len(l.heap.entries) == 0 {
			l.ring.drop(&l.heapPlace)
		}
	default:
		return
	}
	s.n--
	if l.ring.first == nil {
		s.filled &^= 1 << e.level
	}
}

func (s *roundRobin) Next() *Entry {
	if s.filled == 0 {
		return nil
	}
	l := s.levels[bits.TrailingZeros8(s.filled)]
	if l.ring.first == &l.heapPlace {
		return l.heap.entries[0]
	}
	return l.ring.first
}

func (s *roundRobin) Sent(e *Entry, n int) {
	l := s.levels[e.level]
	switch e.place {
	case inHeap:
		l.ring.sent(&l.heapPlace, n)
	case inRing:
		l.ring.sent(e, n)
	}
}

func (s *roundRobin) Reprioritize(e *Entry) {
	if e.Ready() {
		s.Idle(e)
		s.Ready(e)
	}
}

func lowerID(a, b *Entry) bool { return a.ID < b.ID }
