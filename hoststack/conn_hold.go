package hoststack

import (
	"sync"
	"sync/atomic"
)

// Hold keeps what is written on the connection's streams from leaving until
// release is called, so that small writes on several streams share packets: a
// client's requests fill the datagrams of the first flight (0-RTT) instead of
// leaving in one each. release is to be called soon; more than once does
// nothing, and of several holds the last one's counts.
//
// A hold cannot lock anybody out: it ends by itself when a call on the
// connection has to wait for the peer, be it for room to write or for a stream.
// Bytes written on a stream that the worker is busy with anyway may leave
// earlier.
func (c *Conn) Hold() (release func()) {
	h := &c.hold
	h.mu.Lock()
	h.count.Add(1)
	epoch := h.epoch
	h.mu.Unlock()
	return sync.OnceFunc(func() {
		h.mu.Lock()
		last := h.epoch == epoch && h.count.Add(-1) == 0
		h.mu.Unlock()
		if last {
			c.letGo()
		}
	})
}

// endHold ends all holds there are.
func (c *Conn) endHold() {
	h := &c.hold
	if h.count.Load() == 0 {
		return
	}
	h.mu.Lock()
	h.epoch++
	h.count.Store(0)
	h.mu.Unlock()
	c.letGo()
}

// letGo hands the worker what was kept, all at once: a worker at work takes
// either everything or nothing into its next packets.
func (c *Conn) letGo() {
	newest := c.hold.notes.top.Swap(nil)
	if newest == nil {
		return
	}
	oldest := newest
	for oldest.next != nil {
		oldest = oldest.next
	}
	in := &c.w.inbox
	for {
		oldest.next = in.top.Load()
		if in.top.CompareAndSwap(oldest.next, newest) {
			break
		}
	}
	c.w.poke()
}

// A hold keeps the notes of written streams.
type hold struct {
	mu    sync.Mutex
	epoch uint64       // changes when all holds are ended at once
	count atomic.Int32 // holds not released yet; changed under mu
	notes inbox
}

// keep takes the note of a stream that was written to, if there is a hold.
func (h *hold) keep(s *Stream) bool {
	if h.count.Load() == 0 {
		return false
	}
	h.notes.push(&s.note)
	if h.count.Load() == 0 {
		s.conn.letGo() // the last was released meanwhile and may have missed the note
	}
	return true
}
