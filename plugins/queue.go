package plugins

// Bounds of the messages of one plugin on one connection that wait for the
// application.
const (
	maxMessage      = 1 << 16
	maxMessages     = 1024
	maxMessageBytes = 1 << 20
)

// messages is the queue from a plugin to the application. It belongs to the
// connection's owner, as everything here does.
type messages struct {
	list    [][]byte
	bytes   int
	dropped uint64
	notify  func()
}

// put queues a copy of b and reports whether there was room.
func (q *messages) put(b []byte) bool {
	if len(q.list) >= maxMessages || q.bytes+len(b) > maxMessageBytes {
		q.dropped++
		return false
	}
	q.list = append(q.list, append(make([]byte, 0, len(b)), b...))
	q.bytes += len(b)
	if q.notify != nil {
		q.notify()
	}
	return true
}

// take returns what waits and empties the queue.
func (q *messages) take() [][]byte {
	list := q.list
	q.list, q.bytes = nil, 0
	return list
}
