package hoststack

import (
	"context"
	"slices"
	"sync"
)

// A streamQueue holds streams the peer has opened until the application
// accepts them. The stream limits promised to the peer bound it.
type streamQueue struct {
	mu      sync.Mutex
	streams []*Stream
	first   int
	more    chan struct{} // holds one: there may be streams; nil until somebody waits
}

// push adds a stream; the worker calls it.
func (q *streamQueue) push(s *Stream) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.first > len(q.streams)/2 {
		q.streams = slices.Delete(q.streams, 0, q.first)
		q.first = 0
	}
	q.streams = append(q.streams, s)
	q.signal()
}

// signal tells one of those who wait to look again. The queue is locked.
func (q *streamQueue) signal() {
	select {
	case q.more <- struct{}{}:
	default: // told already, or nobody waits
	}
}

// take returns the oldest stream, or a channel that tells when to look again.
func (q *streamQueue) take() (*Stream, <-chan struct{}) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.first == len(q.streams) {
		if q.more == nil {
			q.more = make(chan struct{}, 1)
		}
		return nil, q.more
	}
	s := q.streams[q.first]
	q.streams[q.first] = nil
	q.first++
	if q.first == len(q.streams) {
		q.streams, q.first = q.streams[:0], 0
	} else {
		q.signal() // for another goroutine that waits
	}
	return s, nil
}

// pop waits for a stream. Streams that came before the connection's end are
// still returned.
func (q *streamQueue) pop(ctx context.Context, c *Conn) (*Stream, error) {
	for {
		s, more := q.take()
		if s != nil {
			return s, nil
		}
		if err := c.endedErr(); err != nil {
			return nil, err
		}
		select {
		case <-more:
		case <-c.ended:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// A limitQueue lets goroutines wait until a limit is raised: a channel that
// the raise closes.
type limitQueue struct {
	mu sync.Mutex
	ch chan struct{}
}

// ticket returns a channel closed by the next raise.
func (q *limitQueue) ticket() <-chan struct{} {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.ch == nil {
		q.ch = make(chan struct{})
	}
	return q.ch
}

func (q *limitQueue) raise() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.ch != nil {
		close(q.ch)
		q.ch = nil
	}
}
