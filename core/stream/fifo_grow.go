package stream

import "math/bits"

// control returns the indices, allocating them on the producer's first call.
func (f *FIFO) control() *control {
	if c := f.ctl.Load(); c != nil {
		return c
	}
	c := new(control)
	f.ctl.Store(c)
	return c
}

// reserve returns a ring that holds every byte from Head up to end, which is at
// most Head+Max. Producer only.
func (f *FIFO) reserve(c *control, end uint64) *ring {
	r := f.ring.Load()
	if r != nil && end-c.headSeen <= uint64(len(r.buf)) {
		return r
	}
	c.headSeen = f.loadHead(c)
	if r != nil && end-c.headSeen <= uint64(len(r.buf)) {
		return r
	}
	return f.grow(c, r, end)
}

// grow replaces the ring by one that holds everything from headSeen to end.
//
// The consumer may be reading the old ring meanwhile, so that one is not
// touched. It learns of the new ring from the pointer, which it loads after the
// tail, and the tail covers bytes of the new ring only once that is published.
func (f *FIFO) grow(c *control, old *ring, end uint64) *ring {
	log := max(uint8(bits.Len64(end-c.headSeen-1)), f.initialLog)
	fresh := &c.first
	if old != nil {
		log = max(log, uint8(bits.Len(uint(len(old.buf)))))
		fresh = new(ring)
	} else if fresh.buf != nil {
		fresh = new(ring) // Trim dropped the first ring, a reader may still hold it
	}
	fresh.buf = make([]byte, 1<<min(log, f.maxLog))
	if old != nil {
		for off := c.headSeen; off < c.high; {
			run := old.contiguous(off, c.high-off)
			fresh.put(run, off)
			off += uint64(len(run))
		}
	}
	f.ring.Store(fresh)
	return fresh
}

// Trim releases the ring's memory if nothing is in it, keeping offsets; the
// next write allocates a new one. It reports whether memory was released.
// Producer only, and never between WriteAt and PublishTail.
func (f *FIFO) Trim() bool {
	c := f.ctl.Load()
	if c == nil || f.shared != nil || f.ring.Load() == nil {
		return false
	}
	tail := c.tail.Load()
	c.headSeen = c.head.Load()
	if c.headSeen != tail || c.high > tail {
		return false
	}
	f.ring.Store(nil)
	return true
}
