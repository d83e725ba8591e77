package http3

import "sync/atomic"

// A burst is the requests that waited for a connection when it came. The
// connection is held until all of them are written: they leave in full packets,
// and in 0-RTT if that is possible, instead of one packet each.
type burst struct {
	unsent  atomic.Int32
	release func()
}

// newBurst returns the burst of n requests, nil if there is nothing to gain.
func newBurst(conn Conn, n int) *burst {
	h, ok := conn.(Holder)
	if !ok || n < 2 {
		return nil
	}
	b := &burst{release: h.Hold()}
	b.unsent.Store(int32(n))
	return b
}

// sent counts one request that is written, or will not be for now.
func (b *burst) sent() {
	if b != nil && b.unsent.Add(-1) == 0 {
		b.release()
	}
}
