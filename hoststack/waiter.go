package hoststack

import (
	"sync"
	"sync/atomic"
	"time"
)

// A waiter is where one application goroutine sleeps. It comes from a pool:
// idle streams have none.
type waiter struct{ ch chan struct{} }

var waiters = sync.Pool{New: func() any { return &waiter{ch: make(chan struct{}, 1)} }}

// A waitSlot holds the waiter of the goroutine that sleeps for one condition.
// At most one goroutine uses a slot at a time; anybody may wake it.
type waitSlot struct {
	p      atomic.Pointer[waiter]
	queued bool // in a worker's list of slots to wake; the worker's
}

// arm announces that the caller is about to sleep. The caller then looks once
// more whether it has to, and calls sleep or disarm.
func (s *waitSlot) arm() *waiter {
	w := waiters.Get().(*waiter)
	s.p.Store(w)
	return w
}

// sleep waits for wake.
func (s *waitSlot) sleep(w *waiter) {
	<-w.ch
	waiters.Put(w)
}

// disarm withdraws arm.
func (s *waitSlot) disarm(w *waiter) {
	if !s.p.CompareAndSwap(w, nil) {
		<-w.ch // someone has taken it and is waking us
	}
	waiters.Put(w)
}

// waiting reports whether somebody sleeps, or is about to.
func (s *waitSlot) waiting() bool { return s.p.Load() != nil }

// wake wakes the sleeper, if there is one.
func (s *waitSlot) wake() {
	if s.p.Load() == nil {
		return
	}
	if w := s.p.Swap(nil); w != nil {
		w.ch <- struct{}{}
	}
}

// A deadline is one of a stream's two. Its timer wakes the goroutine that
// waits in slot.
type deadline struct {
	mu      sync.Mutex
	timer   *time.Timer
	gen     uint64 // of the timer that counts
	expired atomic.Bool
}

// set moves the deadline; the zero time means none.
func (d *deadline) set(t time.Time, slot *waitSlot) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
	d.gen++
	d.expired.Store(false)
	if t.IsZero() {
		return
	}
	if left := time.Until(t); left > 0 {
		gen := d.gen
		d.timer = time.AfterFunc(left, func() { d.fire(gen, slot) })
		return
	}
	d.expired.Store(true)
	slot.wake()
}

// fire is the timer's call; a timer that was replaced meanwhile does nothing.
func (d *deadline) fire(gen uint64, slot *waitSlot) {
	d.mu.Lock()
	current := gen == d.gen
	if current {
		d.expired.Store(true)
	}
	d.mu.Unlock()
	if current {
		slot.wake()
	}
}

// stop releases the timer.
func (d *deadline) stop() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.gen++
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
}
