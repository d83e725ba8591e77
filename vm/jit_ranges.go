//go:build linux && (amd64 || arm64) && !nojit

package vm

// checkedRanges remembers which bytes around the address in a register are known to be inside the arena, because a
// check of an earlier access in the same straight line of code passed. A later access among them needs none.
type checkedRanges struct {
	list [4]checkedRange
	next uint8
}

// checkedRange says that the bytes at base+low up to base+high are valid to load or, with store, to store to. What
// lies between two valid addresses is valid: the arena has no holes.
type checkedRange struct {
	base      uint8
	store     bool
	low, high int64 // empty if equal
}

// covers reports whether size bytes at base+off need no check.
func (c *checkedRanges) covers(base uint8, off int32, size uint8, store bool) bool {
	low, high := int64(off), int64(off)+int64(size)
	for i := range c.list {
		r := &c.list[i]
		if r.base == base && r.low <= low && high <= r.high && (r.store || !store) {
			return true
		}
	}
	return false
}

// add notes that a check of size bytes at base+off passed.
func (c *checkedRanges) add(base uint8, off int32, size uint8, store bool) {
	low, high := int64(off), int64(off)+int64(size)
	for i := range c.list {
		r := &c.list[i]
		if r.base == base && r.low != r.high && r.store == store {
			r.low, r.high = min(r.low, low), max(r.high, high)
			return
		}
	}
	c.list[c.next] = checkedRange{base, store, low, high}
	c.next = (c.next + 1) % uint8(len(c.list))
}

// wrote drops what is known about a register that changed.
func (c *checkedRanges) wrote(r uint8) {
	for i := range c.list {
		if c.list[i].base == r {
			c.list[i] = checkedRange{}
		}
	}
}

// called drops what is known about the registers that calls do not preserve.
func (c *checkedRanges) called() {
	for i := range c.list {
		if c.list[i].base < R6 {
			c.list[i] = checkedRange{}
		}
	}
}

// moved notes that a constant was added to a register.
func (c *checkedRanges) moved(r uint8, by int64) {
	for i := range c.list {
		if e := &c.list[i]; e.base == r && e.low != e.high {
			e.low -= by
			e.high -= by
		}
	}
}
