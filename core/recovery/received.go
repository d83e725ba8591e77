package recovery

// MaxRanges is how many ranges a Received keeps unless told otherwise.
const MaxRanges = 64

// Range is a run of packet numbers, both ends included.
type Range struct{ Lo, Hi uint64 }

// Received remembers the packet numbers received in one packet number space.
// The zero value is ready and keeps MaxRanges ranges.
//
// Whatever it forgets, because of that limit or because it was told to, counts
// as a duplicate from then on.
//
// "A receiver MUST retain an ACK Range unless it can ensure that it will not
// subsequently accept packets with numbers in that range."
// https://www.rfc-editor.org/rfc/rfc9000#section-13.2.3
type Received struct {
	ranges  []Range // descending, never adjacent
	floor   uint64  // numbers below are forgotten
	largest uint64
	any     bool
	limit   int
}

// SetLimit sets how many ranges to keep, at least 1.
func (r *Received) SetLimit(n int) {
	r.limit = max(n, 1)
	r.enforce()
}

// Add records pn. It reports true, and changes nothing, if pn was received
// before or is too old to tell.
func (r *Received) Add(pn uint64) (dup bool) {
	if len(r.ranges) > 0 && pn == r.ranges[0].Hi+1 {
		r.ranges[0].Hi = pn // the usual case: in order
		r.largest = pn
		return false
	}
	if pn < r.floor {
		return true
	}
	// i is the first range that starts at or below pn.
	i := 0
	for i < len(r.ranges) && r.ranges[i].Lo > pn {
		i++
	}
	if i < len(r.ranges) && pn <= r.ranges[i].Hi {
		return true
	}
	if !r.any || pn > r.largest {
		r.largest, r.any = pn, true
	}
	below := i < len(r.ranges) && r.ranges[i].Hi+1 == pn
	above := i > 0 && r.ranges[i-1].Lo == pn+1
	switch {
	case below && above:
		r.ranges[i-1].Lo = r.ranges[i].Lo
		r.ranges = append(r.ranges[:i], r.ranges[i+1:]...)
	case below:
		r.ranges[i].Hi = pn
	case above:
		r.ranges[i-1].Lo = pn
	default:
		r.ranges = append(r.ranges, Range{})
		copy(r.ranges[i+1:], r.ranges[i:])
		r.ranges[i] = Range{pn, pn}
		r.enforce()
	}
	return false
}

// enforce forgets the oldest ranges beyond the limit.
func (r *Received) enforce() {
	limit := r.limit
	if limit == 0 {
		limit = MaxRanges
	}
	if len(r.ranges) > limit {
		r.floor = max(r.floor, r.ranges[limit].Hi+1)
		r.ranges = r.ranges[:limit]
	}
}

// Contains reports whether Add would call pn a duplicate.
func (r *Received) Contains(pn uint64) bool {
	if pn < r.floor {
		return true
	}
	for i := range r.ranges {
		if r.ranges[i].Lo <= pn {
			return pn <= r.ranges[i].Hi
		}
	}
	return false
}

// Largest is the largest number ever added, even if since forgotten.
func (r *Received) Largest() (pn uint64, ok bool) { return r.largest, r.any }

// Ranges lists what an ACK frame would report, descending. The slice is the
// Received's own: read it before the next Add or ForgetBelow.
func (r *Received) Ranges() []Range { return r.ranges }

// Empty reports whether there is nothing to acknowledge.
func (r *Received) Empty() bool { return len(r.ranges) == 0 }

// Trim gives back memory beyond what it holds now.
func (r *Received) Trim() {
	if cap(r.ranges) > len(r.ranges)+1 {
		r.ranges = append(make([]Range, 0, len(r.ranges)), r.ranges...)
	}
}

// ForgetBelow forgets all numbers below pn, usually because the peer has seen
// an ACK frame that reported them.
func (r *Received) ForgetBelow(pn uint64) {
	if pn <= r.floor {
		return
	}
	r.floor = pn
	for i := range r.ranges {
		if r.ranges[i].Hi < pn {
			r.ranges = r.ranges[:i]
			return
		}
		r.ranges[i].Lo = max(r.ranges[i].Lo, pn)
	}
}
