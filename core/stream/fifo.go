package stream

import (
	"math/bits"
	"sync/atomic"
)

const (
	cacheLine = 64

	// minRing is the smallest ring, in bytes.
	minRing = 256

	// maxRingLog bounds a FIFO's maximum to 1 GiB, so that sizes fit an int
	// everywhere.
	maxRingLog = 30
)

// A FIFO carries bytes from one goroutine, the producer, to another, the
// consumer, without locks. Bytes have absolute offsets, those of the stream:
// [Head, Tail) are readable. The producer advances Tail, the consumer Head.
//
// The ring's size is a power of two. It starts small and the producer grows it
// up to the maximum: it copies what is unread into a larger ring and publishes
// that one; the old memory is left as it was for a consumer still reading it.
//
// The zero FIFO is not usable; see NewFIFO, Init and NewFIFOOn. A FIFO must not
// be copied.
type FIFO struct {
	ctl    atomic.Pointer[control] // nil until the producer's first write
	ring   atomic.Pointer[ring]    // nil until the producer's first write
	shared *sharedWords            // nil unless the memory is shared with a process
	words  sideWords               // unused if shared is set
	// Sizes as exponents of two.
	initialLog, maxLog uint8
	side               Side
	// limitLog is what Write fills the FIFO to at present, at most maxLog; 0
	// means maxLog. The consumer raises it.
	limitLog atomic.Uint32
}

// control holds the indices. Each side owns a cache line: it writes only
// there, and reads the other's only when its cached copy no longer suffices.
type control struct {
	// The producer's line.
	tail     atomic.Uint64 // end of the readable bytes
	headSeen uint64        // the last Head the producer loaded: space below is free
	high     uint64        // end of the bytes written by WriteAt, at least tail
	_        [cacheLine - 24]byte

	// The consumer's line.
	head     atomic.Uint64 // start of the readable bytes
	tailSeen uint64        // the last Tail the consumer loaded
	final    uint64        // shared memory: the Tail latched with the producer's end
	ended    bool          // final is set
	corrupt  bool          // shared memory: the other process broke its index
	_        [cacheLine - 26]byte

	first ring // the initial ring's header, saving an allocation
}

// ring is the storage: offset o lives at o modulo the length, a power of two.
type ring struct{ buf []byte }

// put copies p, at most as long as the ring, to offset off.
func (r *ring) put(p []byte, off uint64) {
	i := int(off & uint64(len(r.buf)-1))
	n := copy(r.buf[i:], p)
	if n < len(p) {
		copy(r.buf, p[n:])
	}
}

// get copies into p, at most as long as the ring, from offset off.
func (r *ring) get(p []byte, off uint64) {
	i := int(off & uint64(len(r.buf)-1))
	n := copy(p, r.buf[i:])
	if n < len(p) {
		copy(p[n:], r.buf)
	}
}

// contiguous returns the n bytes at off, or as many as there are before the
// ring's memory wraps.
func (r *ring) contiguous(off, n uint64) []byte {
	i := off & uint64(len(r.buf)-1)
	n = min(n, uint64(len(r.buf))-i)
	return r.buf[i : i+n : i+n]
}

// NewFIFO returns an empty FIFO whose first ring holds initial bytes (or what
// the first write needs, if more) and which grows to max bytes. Both are
// rounded up to powers of two between 256 bytes and 1 GiB; initial may be 0 for
// a ring sized to the data.
func NewFIFO(initial, max int) *FIFO {
	f := new(FIFO)
	f.Init(initial, max)
	return f
}

// Init makes f an empty FIFO as NewFIFO does. Neither side may be using f.
func (f *FIFO) Init(initial, max int) {
	f.ctl.Store(nil)
	f.ring.Store(nil)
	f.shared = nil
	f.words.reset()
	f.maxLog = sizeLog(max)
	f.initialLog = min(sizeLog(initial), f.maxLog)
	f.limitLog.Store(0)
	f.side = bothSides
}

// SetLimit makes Write fill the FIFO to n bytes only, until RaiseLimit: a
// thousand streams that could hold megabytes each should not, when kilobytes
// keep their senders busy. Before either side uses f.
func (f *FIFO) SetLimit(n int) { f.limitLog.Store(uint32(min(sizeLog(n), f.maxLog))) }

// Limit returns how many bytes Write fills the FIFO to at present. Either side
// may call it.
func (f *FIFO) Limit() int {
	if l := f.limitLog.Load(); l != 0 {
		return 1 << l
	}
	return f.Max()
}

// RaiseLimit doubles Limit and reports whether that was possible. The caller
// then asks TakeWriter. Consumer only.
func (f *FIFO) RaiseLimit() bool {
	l := f.limitLog.Load()
	if l == 0 || l >= uint32(f.maxLog) {
		return false
	}
	f.limitLog.Store(l + 1)
	return true
}

// sizeLog returns the exponent of the smallest permitted ring holding n bytes.
func sizeLog(n int) uint8 {
	if n <= minRing {
		return uint8(bits.Len(minRing - 1))
	}
	return uint8(min(bits.Len(uint(n-1)), maxRingLog))
}

// Max returns how many bytes the FIFO can hold once fully grown.
func (f *FIFO) Max() int { return 1 << f.maxLog }

// Cap returns the size of the present ring in bytes, 0 before the first write.
// Either side may call it.
func (f *FIFO) Cap() int {
	if r := f.ring.Load(); r != nil {
		return len(r.buf)
	}
	return 0
}

// Head returns the offset of the first unread byte. Either side may call it.
func (f *FIFO) Head() uint64 {
	c := f.ctl.Load()
	if c == nil {
		return 0
	}
	return f.loadHead(c)
}

// Tail returns the offset past the last readable byte. Either side may call it.
func (f *FIFO) Tail() uint64 {
	c := f.ctl.Load()
	if c == nil {
		return 0
	}
	return f.loadTail(c)
}

// Len returns the number of readable bytes. Either side may call it; for the
// producer the answer is an upper bound, for the consumer a lower one.
func (f *FIFO) Len() int {
	c := f.ctl.Load()
	if c == nil {
		return 0
	}
	// The head first: it never passes the tail, so the difference is not
	// negative whatever happens between the two loads.
	head := f.loadHead(c)
	return int(f.loadTail(c) - head)
}

// loadHead returns the newest Head, validated if another process writes it.
func (f *FIFO) loadHead(c *control) uint64 {
	if f.shared != nil && f.side == Producer {
		return f.sharedHead(c)
	}
	return c.head.Load()
}

// loadTail returns the newest Tail, validated if another process writes it.
func (f *FIFO) loadTail(c *control) uint64 {
	if f.shared != nil && f.side == Consumer {
		return f.sharedTail(c)
	}
	return c.tail.Load()
}

// setTail publishes the bytes before to.
func (f *FIFO) setTail(c *control, to uint64) {
	c.tail.Store(to)
	if f.shared != nil {
		f.shared.tail.Store(to)
	}
}

// setHead releases the bytes before to.
func (f *FIFO) setHead(c *control, to uint64) {
	c.head.Store(to)
	if f.shared != nil {
		f.shared.head.Store(to)
	}
}

// Write appends as much of p as fits and returns how much that was: 0 if the
// FIFO is full, or ended by either side. Producer only.
func (f *FIFO) Write(p []byte) int {
	if len(p) == 0 || f.sealed() {
		return 0
	}
	c := f.control()
	tail := c.tail.Load()
	n := f.room(c, tail, uint64(len(p)))
	if n == 0 {
		return 0
	}
	f.reserve(c, tail+n).put(p[:n], tail)
	c.high = tail + n
	f.setTail(c, tail+n)
	return int(n)
}

// Space returns free memory at Tail for the producer to fill, at most n bytes
// and possibly fewer, since the ring wraps. PublishTail makes a prefix of it
// readable. It returns nil if the FIFO is full or ended. Producer only; not to
// be mixed with WriteAt.
func (f *FIFO) Space(n int) []byte {
	if n <= 0 || f.sealed() {
		return nil
	}
	c := f.control()
	tail := c.tail.Load()
	k := f.room(c, tail, uint64(n))
	if k == 0 {
		return nil
	}
	return f.reserve(c, tail+k).contiguous(tail, k)
}

// Free returns how many bytes Write would take now. Producer only.
func (f *FIFO) Free() int {
	if f.sealed() {
		return 0
	}
	c := f.ctl.Load()
	if c == nil {
		return f.Limit()
	}
	return int(f.room(c, c.tail.Load(), uint64(f.Limit())))
}

// room returns how many of n bytes may be added at tail.
func (f *FIFO) room(c *control, tail, n uint64) uint64 {
	limit := uint64(f.Limit())
	if free := limit - min(tail-c.headSeen, limit); free >= n {
		return n
	}
	c.headSeen = f.loadHead(c)
	return min(n, limit-min(tail-c.headSeen, limit))
}

// WriteAt puts p at offset off, anywhere between Tail and Head+Max, without
// making it readable; PublishTail does. It reports false, writing nothing, if p
// does not lie within those bounds or the other side's index is corrupt.
// Producer only.
func (f *FIFO) WriteAt(p []byte, off uint64) bool {
	end := off + uint64(len(p))
	c := f.control()
	if off < c.tail.Load() || end < off {
		return false
	}
	if limit := uint64(1) << f.maxLog; end-c.headSeen > limit {
		c.headSeen = f.loadHead(c)
		if end-c.headSeen > limit {
			return false
		}
	}
	if len(p) == 0 {
		return true
	}
	f.reserve(c, end).put(p, off)
	c.high = max(c.high, end)
	return true
}

// PublishTail makes the bytes before to readable; the producer has put them
// there with WriteAt or Space. Values that are not between Tail and the end of
// the ring have no effect. Producer only.
func (f *FIFO) PublishTail(to uint64) {
	c := f.ctl.Load()
	if c == nil {
		return
	}
	if to <= c.tail.Load() || to-c.headSeen > uint64(f.Cap()) {
		return
	}
	c.high = max(c.high, to)
	f.setTail(c, to)
}

// Read moves as many bytes as are readable into p and returns their number, 0
// if there are none: see Final and ResetCode for whether more will come.
// Consumer only.
func (f *FIFO) Read(p []byte) int {
	c := f.ctl.Load()
	if c == nil {
		return 0
	}
	head := c.head.Load()
	n := f.readable(c, head, uint64(len(p)))
	if n == 0 {
		return 0
	}
	// The ring is loaded after the tail: whatever ring the producer filled
	// before publishing that tail, this one is at least as new.
	f.ring.Load().get(p[:n], head)
	f.setHead(c, head+n)
	return int(n)
}

// readable returns how many of n bytes at off, which must not be below Head,
// are readable.
func (f *FIFO) readable(c *control, off, n uint64) uint64 {
	if c.tailSeen >= off && c.tailSeen-off >= n {
		return n
	}
	c.tailSeen = f.loadTail(c)
	if off >= c.tailSeen {
		return 0
	}
	return min(n, c.tailSeen-off)
}

// ReadAt copies readable bytes at offset off into p, leaving Head where it is,
// and returns their number: 0 outside [Head, Tail). Consumer only.
func (f *FIFO) ReadAt(p []byte, off uint64) int {
	c := f.ctl.Load()
	if c == nil || off < c.head.Load() {
		return 0
	}
	n := f.readable(c, off, uint64(len(p)))
	if n == 0 {
		return 0
	}
	f.ring.Load().get(p[:n], off)
	return int(n)
}

// PeekContiguous returns the readable bytes at offset off up to where the
// ring's memory wraps, nil outside [Head, Tail). They stay valid until Advance
// passes them. Consumer only.
func (f *FIFO) PeekContiguous(off uint64) []byte {
	c := f.ctl.Load()
	if c == nil || off < c.head.Load() {
		return nil
	}
	n := f.readable(c, off, uint64(1)<<f.maxLog)
	if n == 0 {
		return nil
	}
	return f.ring.Load().contiguous(off, n)
}

// Advance releases the bytes before to, which is limited to Tail; a lower value
// than Head has no effect. Consumer only.
func (f *FIFO) Advance(to uint64) {
	c := f.ctl.Load()
	if c == nil || to <= c.head.Load() {
		return
	}
	if to > c.tailSeen {
		c.tailSeen = f.loadTail(c)
		to = min(to, c.tailSeen)
	}
	f.setHead(c, to)
}
