package hoststack

import (
	"sync"
	"sync/atomic"
)

// A note tells a worker about something an application did. Notes live inside
// the objects they are about, or come from a pool, so that leaving one
// allocates nothing.
type note struct {
	next   *note
	stream *Stream     // its dirty bits say what happened
	cmd    *command    // or: a function to be run
	hand   *handedOver // or: a datagram that another worker received
}

// An inbox is a list that any goroutine may push to and one empties: a single
// word, swung by compare-and-swap.
type inbox struct {
	top atomic.Pointer[note]
}

// push adds n, which must not be in any inbox.
func (b *inbox) push(n *note) {
	for {
		top := b.top.Load()
		n.next = top
		if b.top.CompareAndSwap(top, n) {
			return
		}
	}
}

func (b *inbox) empty() bool { return b.top.Load() == nil }

// takeAll empties the inbox and returns its notes, oldest first.
func (b *inbox) takeAll() *note {
	if b.top.Load() == nil {
		return nil
	}
	var oldest *note
	for n := b.top.Swap(nil); n != nil; {
		next := n.next
		n.next = oldest
		oldest, n = n, next
	}
	return oldest
}

// A command is a function to be run by whoever owns the worker, and a
// goroutine waiting for it.
type command struct {
	note
	fn   func()
	done chan struct{} // holds one
}

var commands = sync.Pool{New: func() any { return newCommand(nil) }}

func newCommand(fn func()) *command {
	c := &command{fn: fn, done: make(chan struct{}, 1)}
	c.cmd = c
	return c
}
