package hoststack

import (
	"sync"

	"github.com/pquic-go/pquic/core"
)

// A handedOver is a copy of a datagram on its way to the worker that owns its
// connection. The kernel's steering makes this rare: what is left are
// datagrams that GRO merged before steering, and systems without steering.
type handedOver struct {
	note
	dg  core.Datagram
	buf []byte
}

// maxHandedOver bounds the datagrams waiting for one worker.
const maxHandedOver = 1024

var handOvers = sync.Pool{New: func() any {
	h := new(handedOver)
	h.note.hand = h
	return h
}}

// handOver gives d to the worker its connection ID names, if that is another.
func (w *worker) handOver(d *core.Datagram) bool {
	index, ok := w.group.layout.WorkerOf(d.Payload)
	if !ok || index == w.index || int(index) >= len(w.group.workers) {
		return false
	}
	to := w.group.workers[index]
	if to.hands.Add(1) > maxHandedOver {
		to.hands.Add(-1)
		w.stats.handOverDropped.Add(1)
		return true
	}
	w.stats.handedOver.Add(1)
	h := handOvers.Get().(*handedOver)
	h.buf = append(h.buf[:0], d.Payload...)
	h.dg = *d
	h.dg.Payload = h.buf
	to.inbox.push(&h.note)
	if to.state.Load() == parked {
		to.dp.Wake()
	}
	return true
}

// takeOver handles a datagram another worker has received.
func (w *worker) takeOver(h *handedOver) {
	w.hands.Add(-1)
	if !w.closed {
		w.ep.Receive(w.now, &h.dg)
		w.ep.EndBatch(w.now)
	}
	h.dg = core.Datagram{}
	handOvers.Put(h)
}
