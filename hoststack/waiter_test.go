package hoststack

import (
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestInbox hammers an inbox: nothing is lost, and each goroutine's notes come
// in its order.
func TestInbox(t *testing.T) {
	const writers, each = 4, 5000
	var b inbox
	type mine struct {
		note
		writer, n int
	}
	byNote := make(map[*note]*mine)
	all := make([][]*mine, writers)
	for w := range all {
		for n := range each {
			m := &mine{writer: w, n: n}
			byNote[&m.note] = m
			all[w] = append(all[w], m)
		}
	}
	var wg sync.WaitGroup
	for _, list := range all {
		wg.Go(func() {
			for _, m := range list {
				b.push(&m.note)
			}
		})
	}
	next := [writers]int{}
	for got := 0; got < writers*each; {
		n := b.takeAll()
		if n == nil {
			runtime.Gosched()
		}
		for ; n != nil; n = n.next {
			m := byNote[n]
			if m.n != next[m.writer] {
				t.Fatalf("writer %d: note %d, want %d", m.writer, m.n, next[m.writer])
			}
			next[m.writer]++
			got++
		}
	}
	wg.Wait()
	if !b.empty() {
		t.Error("notes are left")
	}
}

// TestWaitSlot hammers a slot as Read and the worker use it: no wake-up is
// lost, none is left behind.
func TestWaitSlot(t *testing.T) {
	var slot waitSlot
	var ready, taken atomic.Int64
	const rounds = 20000
	done := make(chan struct{})
	go func() {
		defer close(done)
		for taken.Load() < rounds {
			w := slot.arm()
			if n := ready.Load(); n > taken.Load() {
				taken.Store(n)
				slot.disarm(w)
				continue
			}
			slot.sleep(w)
		}
	}()
	for i := range int64(rounds) {
		ready.Store(i + 1)
		slot.wake()
	}
	for {
		select {
		case <-done:
			return
		default:
			slot.wake()
			runtime.Gosched()
		}
	}
}

func TestDeadlineTimer(t *testing.T) {
	var d deadline
	var slot waitSlot
	d.set(time.Now().Add(-time.Second), &slot)
	if !d.expired.Load() {
		t.Error("a time in the past did not expire at once")
	}
	d.set(time.Now().Add(time.Hour), &slot)
	if d.expired.Load() {
		t.Error("a later deadline left the expiry of the earlier one")
	}
	w := slot.arm()
	d.set(time.Now().Add(time.Millisecond), &slot)
	slot.sleep(w)
	if !d.expired.Load() {
		t.Error("woken before the deadline")
	}
	d.set(time.Time{}, &slot)
	if d.expired.Load() {
		t.Error("no deadline, and yet expired")
	}
	gen := d.gen
	d.set(time.Time{}, &slot)
	d.fire(gen, &slot) // a timer that fires late
	if d.expired.Load() {
		t.Error("a replaced timer counted")
	}
	d.stop()
}
