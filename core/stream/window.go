package stream

import (
	"time"

	"github.com/pquic-go/pquic/core/mono"
)

// A Window is one flow-control limit this endpoint promises to its peer, for a
// stream or, with Charge, for the connection. It moves as the application
// consumes, and widens when it is consumed at a rate of more than a quarter per
// round trip: then the window, not the network, could be what limits the peer.
// https://www.rfc-editor.org/rfc/rfc9000#section-4.2
//
// Its fields hold no pointers; plugins may see them.
type Window struct {
	Max   uint64 `op:"max" unit:"bytes" doc:"the limit last promised: an offset, or a sum over streams"`
	Size  uint64 `op:"size" unit:"bytes" doc:"how far the limit is put ahead of what was consumed"`
	Limit uint64 `op:"limit" unit:"bytes" doc:"size never grows beyond; 0 means it is fixed"`

	Received uint64 `op:"received" unit:"bytes" doc:"connection only: sum of the highest offsets received"`

	EpochStart mono.Time `op:"epoch_start" unit:"ns" doc:"when the limit last moved, or consumption was first seen; 0 before"`
}

// NewWindow returns a window that promises size bytes now and may widen up to
// limit bytes.
func NewWindow(size, limit uint64) Window {
	return Window{Max: size, Size: size, Limit: limit}
}

// Charge counts n more bytes received on any stream against a connection's
// window. It returns ErrFlowControl, counting nothing, if the peer was not
// allowed to send them.
//
// "A receiver MUST close the connection with an error of type
// FLOW_CONTROL_ERROR if the sender violates the advertised connection or stream
// data limits."
// https://www.rfc-editor.org/rfc/rfc9000#section-4.1
func (w *Window) Charge(n uint64) error {
	if n > w.Max-w.Received {
		return ErrFlowControl
	}
	w.Received += n
	return nil
}

// Update tells the window how much has been consumed in all. It returns the
// limit to promise, with update set if that moved enough to be worth a
// MAX_DATA or MAX_STREAM_DATA frame: by a quarter of the window. Half would do
// for a window twice what is in flight, were consumption steady; after a loss it
// stands still for a round trip and then leaps, and a peer that then learns of
// the new limit a round trip later has meanwhile used up the old one. Max is then
// raised. rtt is the path's smoothed RTT, 0 if unknown (the window does not widen).
//
// The first call starts the clock of auto-tuning, so it is best made when the
// first data arrives.
func (w *Window) Update(now mono.Time, rtt time.Duration, consumed uint64) (newMax uint64, update bool) {
	first := w.EpochStart.IsZero()
	if first {
		w.EpochStart = now
	}
	next := min(consumed+w.Size, maxOffset)
	if next <= w.Max || next-w.Max < max(w.Size/4, 1) {
		return w.Max, false
	}
	part := float64(next-w.Max) / float64(w.Size)
	if !first && w.Size < w.Limit && rtt > 0 && now.Sub(w.EpochStart).Seconds() < 4*part*rtt.Seconds() {
		w.Size = min(2*w.Size, w.Limit)
		next = min(consumed+w.Size, maxOffset)
	}
	w.EpochStart = now
	w.Max = next
	return next, true
}

// Widen raises Size to size at least, up to Limit: a connection's window must
// not be narrower than that of its busiest stream, or it becomes the bottleneck.
func (w *Window) Widen(size uint64) {
	w.Size = max(w.Size, min(size, w.Limit))
}

// maxOffset is the largest offset a stream can have.
// https://www.rfc-editor.org/rfc/rfc9000#section-19.8
const maxOffset = 1<<62 - 1
