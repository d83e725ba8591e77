package stream

// A byteRange is [lo, hi).
type byteRange struct{ lo, hi uint64 }

const (
	freeRanges    = 512  // permitted whatever they hold
	bytesPerRange = 128  // one more range for so many bytes held
	hardRanges    = 8192 // and never more
)

// MaxHeldRanges returns how many separate ranges a receiving half keeps beyond
// its first gap when these hold so many bytes: 512, plus one per 128 bytes,
// at most 8192.
//
// Segments of one byte with gaps between them would make the peer's bytes cost
// sixteen times their size, and each insertion a long move. With this bound the
// bookkeeping stays under 8 KiB plus an eighth of the bytes held, and under
// 128 KiB per stream. Real senders stay far below: losing every other packet of
// 1,200 bytes makes one range per 1,200 bytes.
//
// What exceeds it is ErrTooManyGaps, a connection error. Dropping the segment
// is no way out: "A packet MUST NOT be acknowledged until … all frames contained
// in the packet have been processed", so the whole packet would have to be
// treated as lost after its other frames took effect, and the peer could repeat
// it for ever. The RFC asks for limits here without naming a code; the peer
// broke no rule of the protocol, so the code is INTERNAL_ERROR.
// https://www.rfc-editor.org/rfc/rfc9000#section-13.1
// https://www.rfc-editor.org/rfc/rfc9000#section-21.7
func MaxHeldRanges(held uint64) int {
	return int(min(freeRanges+held/bytesPerRange, hardRanges))
}

// hold adds [lo, hi), which begins beyond the contiguous bytes, to the ranges
// received out of order, or returns ErrTooManyGaps and changes nothing.
func (r *Recv) hold(lo, hi uint64) error {
	n := r.ranges.len()
	i := r.firstReaching(lo)
	if i == n || r.ranges.at(i).lo > hi {
		if n >= MaxHeldRanges(r.HeldBytes+hi-lo) {
			return ErrTooManyGaps
		}
		r.ranges.insert(i, byteRange{lo, hi})
		r.HeldBytes += hi - lo
		r.HeldRanges++
		return nil
	}
	// Merge into the first range touched, swallowing those behind it.
	g := r.ranges.at(i)
	before := g.hi - g.lo
	g.lo, g.hi = min(g.lo, lo), max(g.hi, hi)
	j := i + 1
	for j < n && r.ranges.at(j).lo <= g.hi {
		before += r.ranges.at(j).hi - r.ranges.at(j).lo
		g.hi = max(g.hi, r.ranges.at(j).hi)
		j++
	}
	r.HeldBytes += g.hi - g.lo - before
	r.ranges.remove(i+1, j)
	r.HeldRanges = uint32(r.ranges.len())
	return nil
}

// firstReaching returns the index of the first range that ends at off or later.
func (r *Recv) firstReaching(off uint64) int {
	n := r.ranges.len()
	if n == 0 || off > r.ranges.at(n-1).hi {
		return n
	}
	lo, hi := 0, n-1
	for lo < hi {
		m := int(uint(lo+hi) >> 1)
		if r.ranges.at(m).hi < off {
			lo = m + 1
		} else {
			hi = m
		}
	}
	return lo
}

// join returns the end of the contiguous bytes once those before end have
// arrived, dropping the ranges that this makes contiguous.
func (r *Recv) join(end uint64) uint64 {
	i := 0
	for i < r.ranges.len() && r.ranges.at(i).lo <= end {
		g := r.ranges.at(i)
		r.HeldBytes -= g.hi - g.lo
		end = max(end, g.hi)
		i++
	}
	r.ranges.remove(0, i)
	r.HeldRanges = uint32(r.ranges.len())
	return end
}
