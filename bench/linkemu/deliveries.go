package linkemu

import "time"

// A delivery is a frame on its way.
type delivery struct {
	at      time.Duration
	seq     uint64 // keeps the order of what is due at the same time
	counted bool
	buf     []byte
	n       int
}

// deliveries is a binary heap, the earliest first.
type deliveries struct {
	heap []delivery
	seq  uint64
}

func (h *deliveries) empty() bool { return len(h.heap) == 0 }

func (h *deliveries) first() *delivery { return &h.heap[0] }

func (h *deliveries) before(i, j int) bool {
	a, b := &h.heap[i], &h.heap[j]
	return a.at < b.at || a.at == b.at && a.seq < b.seq
}

func (h *deliveries) push(d delivery) {
	h.seq++
	d.seq = h.seq
	h.heap = append(h.heap, d)
	for i := len(h.heap) - 1; i > 0; {
		up := (i - 1) / 2
		if !h.before(i, up) {
			break
		}
		h.heap[i], h.heap[up] = h.heap[up], h.heap[i]
		i = up
	}
}

func (h *deliveries) pop() delivery {
	top, last := h.heap[0], len(h.heap)-1
	h.heap[0] = h.heap[last]
	h.heap[last] = delivery{}
	h.heap = h.heap[:last]
	for i := 0; ; {
		least := i
		for _, child := range []int{2*i + 1, 2*i + 2} {
			if child < last && h.before(child, least) {
				least = child
			}
		}
		if least == i {
			return top
		}
		h.heap[i], h.heap[least] = h.heap[least], h.heap[i]
		i = least
	}
}
