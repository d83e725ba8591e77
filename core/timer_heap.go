package core

import "github.com/pquic-go/pquic/core/mono"

// timerHeap is a 4-ary heap of connections by the time they are filed under,
// which is at or before their true deadline: timers that are only pushed back
// stay where they are until they come up.
type timerHeap struct{ a []*Conn }

// set files c under t; mono.Never removes it.
func (h *timerHeap) set(c *Conn, t mono.Time) {
	if t == mono.Never {
		h.remove(c)
		return
	}
	c.wakeAt = t
	if c.heapIndex < 0 {
		c.heapIndex = len(h.a)
		h.a = append(h.a, c)
	}
	h.fix(c.heapIndex)
}

func (h *timerHeap) remove(c *Conn) {
	i := c.heapIndex
	if i < 0 {
		return
	}
	last := len(h.a) - 1
	h.swap(i, last)
	h.a[last] = nil
	h.a = h.a[:last]
	c.heapIndex = -1
	if i < last {
		h.fix(i)
	}
}

// settle moves connections filed too early to their true deadline until the
// first one is right.
func (h *timerHeap) settle() {
	for len(h.a) > 0 {
		c := h.a[0]
		t := c.deadline()
		if t <= c.wakeAt {
			return
		}
		h.set(c, t)
	}
}

func (h *timerHeap) first() mono.Time {
	h.settle()
	if len(h.a) == 0 {
		return mono.Never
	}
	return h.a[0].wakeAt
}

// due returns a connection with a timer due at now, nil if there is none.
func (h *timerHeap) due(now mono.Time) *Conn {
	for len(h.a) > 0 {
		c := h.a[0]
		if c.wakeAt > now {
			return nil
		}
		t := c.deadline()
		if t <= now {
			return c
		}
		h.set(c, t)
	}
	return nil
}

func (h *timerHeap) swap(i, j int) {
	h.a[i], h.a[j] = h.a[j], h.a[i]
	h.a[i].heapIndex, h.a[j].heapIndex = i, j
}

func (h *timerHeap) fix(i int) {
	for i > 0 {
		p := (i - 1) / 4
		if h.a[p].wakeAt <= h.a[i].wakeAt {
			break
		}
		h.swap(i, p)
		i = p
	}
	for {
		least := i
		for j := 4*i + 1; j <= 4*i+4 && j < len(h.a); j++ {
			if h.a[j].wakeAt < h.a[least].wakeAt {
				least = j
			}
		}
		if least == i {
			return
		}
		h.swap(i, least)
		i = least
	}
}
