package hoststack

import (
	"context"
	"sync/atomic"
)

// Drain waits until the peer has acknowledged every byte written to the
// connection's streams, and the end of those that were ended. Streams that were
// reset are not waited for. It returns nil then, a *ConnError if the connection
// ends first, and the context's cause if that does.
func (c *Conn) Drain(ctx context.Context) error {
	c.endHold()
	for {
		// The ticket first, then the look: an acknowledgment in between is not
		// missed.
		ticket := c.drains.ticket()
		done, err := false, error(nil)
		c.w.do(func() {
			if err = c.endedErr(); err == nil {
				done = c.drained()
			}
		})
		if done || err != nil {
			return err
		}
		select {
		case <-ticket:
		case <-c.ended:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// drained reports whether everything is acknowledged. It runs as the worker's
// owner.
func (c *Conn) drained() bool {
	for s := c.streams; s != nil; s = s.next {
		if s.send == nil {
			continue
		}
		v := s.core.SendView()
		switch {
		case v.ResetRequested != 0:
		case s.dirty.Load()&didReset != 0:
		case s.send.Len() > 0, s.writeDone.Load() && v.FinAcked == 0:
			return false
		}
	}
	return true
}

// A drainQueue lets goroutines wait for the next sign that something was
// acknowledged.
type drainQueue struct {
	limitQueue
	wanted atomic.Bool // somebody has a ticket
}

func (q *drainQueue) ticket() <-chan struct{} {
	ch := q.limitQueue.ticket()
	q.wanted.Store(true)
	return ch
}

// signal costs a load if nobody waits. The worker calls it.
func (q *drainQueue) signal() {
	if q.wanted.Load() && q.wanted.Swap(false) {
		q.raise()
	}
}
