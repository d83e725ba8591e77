package stream

// A sendSpan is a run of sent bytes in the same situation. The spans of a Send
// cover [AckedOffset, NextOffset) without gaps, and neighbours differ, so a
// bulk transfer without loss has one.
type sendSpan struct {
	lo, hi uint64
	copies uint32 // packets in flight that carry it
	mark   spanMark
}

type spanMark uint32

const (
	markFlight  spanMark = iota // in flight
	markRequeue                 // in flight, and another copy is wanted
	markLost                    // no copy in flight
	markSettled                 // acknowledged or abandoned
)

// A spanEvent is something that happens to a run of bytes.
type spanEvent uint8

const (
	spanSent spanEvent = iota
	spanAcked
	spanLost
	spanRequeue
)

// after returns the situation of sp's bytes after the event.
func (sp sendSpan) after(e spanEvent) sendSpan {
	if sp.mark == markSettled {
		return sp
	}
	switch e {
	case spanSent:
		sp.copies++
		sp.mark = markFlight
	case spanAcked:
		sp.copies = 0
		sp.mark = markSettled
	case spanLost:
		if sp.copies > 0 {
			sp.copies--
		}
		if sp.copies == 0 {
			sp.mark = markLost
		}
	case spanRequeue:
		if sp.mark == markFlight {
			sp.mark = markRequeue
		}
	}
	return sp
}

func (sp *sendSpan) same(o *sendSpan) bool { return sp.copies == o.copies && sp.mark == o.mark }

// appendSent adds bytes sent for the first time.
func (s *Send) appendSent(lo, hi uint64) {
	fresh := sendSpan{lo: lo, hi: hi, copies: 1}
	if n := s.spans.len(); n > 0 {
		if last := s.spans.at(n - 1); last.same(&fresh) {
			last.hi = hi
			return
		}
	}
	s.spans.insert(s.spans.len(), fresh)
}

// find returns the index of the span that holds off.
func (s *Send) find(off uint64) int {
	n := s.spans.len()
	if n == 0 || off < s.spans.at(0).hi {
		return 0
	}
	if s.spans.at(n-1).lo <= off {
		return n - 1
	}
	lo, hi := 1, n-1 // spans[lo-1].hi <= off < spans[hi].lo
	for lo < hi {
		m := int(uint(lo+hi) >> 1)
		if s.spans.at(m).hi <= off {
			lo = m + 1
		} else {
			hi = m
		}
	}
	return lo
}

// update applies an event to [lo, hi), ignoring what is released or unsent.
func (s *Send) update(lo, hi uint64, e spanEvent) {
	lo, hi = max(lo, s.AckedOffset), min(hi, s.NextOffset)
	if lo >= hi {
		return
	}
	for i := s.find(lo); lo < hi; {
		sp := *s.spans.at(i)
		end := min(hi, sp.hi)
		next := sp.after(e)
		if !next.same(&sp) {
			s.count(&sp, end-lo, ^uint64(0))
			s.count(&next, end-lo, 1)
			if next.mark == markLost {
				s.lostFrom = min(s.lostFrom, lo)
			} else if next.mark == markRequeue {
				s.queueFrom = min(s.queueFrom, lo)
			}
			next.lo, next.hi = lo, end
			i = s.replace(i, next)
		}
		lo = end
		// A merge with the right neighbour leaves i at bytes still to be seen.
		if s.spans.at(i).hi <= end {
			i++
		}
	}
}

// count adds (times 1) or removes (times -1) n bytes in the situation of sp.
func (s *Send) count(sp *sendSpan, n, times uint64) {
	switch sp.mark {
	case markLost:
		s.LostBytes += n * times
	case markRequeue:
		s.RequeuedBytes += n * times
	}
}

// replace puts part, which lies within span i but differs from it, in its
// place, merges it with equal neighbours, and returns the index of the span
// that now ends where part does or, if merged with the next one, beyond.
func (s *Send) replace(i int, part sendSpan) int {
	old := *s.spans.at(i)
	left := old.lo == part.lo  // part reaches the left end
	right := old.hi == part.hi // part reaches the right end
	joinLeft := left && i > 0 && s.spans.at(i-1).same(&part)
	joinRight := right && i+1 < s.spans.len() && s.spans.at(i+1).same(&part)
	switch {
	case joinLeft && joinRight:
		s.spans.at(i - 1).hi = s.spans.at(i + 1).hi
		s.spans.remove(i, i+2)
		return i - 1
	case joinLeft && right:
		s.spans.at(i - 1).hi = part.hi
		s.spans.remove(i, i+1)
		return i - 1
	case joinLeft:
		s.spans.at(i - 1).hi = part.hi
		s.spans.at(i).lo = part.hi
		return i - 1
	case joinRight && left:
		s.spans.at(i + 1).lo = part.lo
		s.spans.remove(i, i+1)
		return i
	case joinRight:
		s.spans.at(i + 1).lo = part.lo
		s.spans.at(i).hi = part.lo
		return i + 1
	case left && right:
		*s.spans.at(i) = part
		return i
	case left:
		s.spans.at(i).lo = part.hi
		s.spans.insert(i, part)
		return i
	case right:
		s.spans.at(i).hi = part.lo
		s.spans.insert(i+1, part)
		return i + 1
	}
	rest := old
	rest.lo = part.hi
	s.spans.at(i).hi = part.lo
	s.spans.insert(i+1, part)
	s.spans.insert(i+2, rest)
	return i + 1
}

// settle records that [lo, hi) is acknowledged, and releases from the FIFO what
// is settled at the front. It reports whether the FIFO's Head advanced.
func (s *Send) settle(lo, hi uint64) (released bool) {
	if lo == s.AckedOffset && hi <= s.NextOffset {
		// The common case: the oldest bytes, sent once, acknowledged in order.
		if sp := s.spans.at(0); sp.mark == markFlight && hi < sp.hi {
			sp.lo = hi
			s.AckedOffset = hi
			s.fifo.Advance(hi)
			return true
		}
	}
	s.update(lo, hi, spanAcked)
	return s.release()
}

// release drops a settled span at the front.
func (s *Send) release() bool {
	if s.spans.len() == 0 || s.spans.at(0).mark != markSettled {
		return false
	}
	s.AckedOffset = s.spans.at(0).hi
	s.spans.remove(0, 1)
	s.fifo.Advance(s.AckedOffset)
	s.discard()
	return true
}

// abandon settles what a reset gave up.
func (s *Send) abandon() {
	s.update(s.ReliableSize, s.NextOffset, spanAcked)
	s.release()
	s.discard()
}

// discard empties the FIFO once a reset leaves nothing to deliver.
func (s *Send) discard() {
	if s.ResetRequested != 0 && s.AckedOffset >= s.ReliableSize {
		s.fifo.Advance(s.fifo.Tail())
	}
}

// nextRepair returns the first bytes to send again, at most max: lost ones
// before requeued ones. There are some.
func (s *Send) nextRepair(max int) (off uint64, n int) {
	mark, from := markLost, &s.lostFrom
	if s.LostBytes == 0 {
		mark, from = markRequeue, &s.queueFrom
	}
	i := s.find(*from)
	for s.spans.at(i).mark != mark {
		i++
	}
	sp := s.spans.at(i)
	*from = sp.lo
	return sp.lo, int(min(sp.hi-sp.lo, uint64(max)))
}
