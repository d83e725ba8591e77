package monitoring

import (
	"encoding/json"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// Bounds of a History.
const (
	historyFlows   = 24
	historySamples = 300 // of each flow
)

// A History is a sink that keeps the last samples of some flows, for a plot. A
// flow is kept from its next record on if there is room; those that have ended
// make room, the one that ended first before others.
type History struct {
	mu    sync.Mutex
	flows []*flowHistory // in the order they came
	last  uint64         // number of the latest sample of all
	live  int            // flows that have not ended, kept or not
}

var _ Sink = (*History)(nil)

// A flowHistory is what is kept of one flow.
type flowHistory struct {
	latest  *Flow
	samples []sample // at most historySamples
	ended   uint64   // number of the latest sample when it ended, plus 1
}

// A sample is one point of each curve.
type sample struct {
	number         uint64 // counts the samples of all flows from 1
	time           time.Time
	rtt            time.Duration // smoothed, of the first path
	window         uint64        // congestion window, bytes, of all paths
	sent, received float64       // stream bytes per second since the record before
}

// MarshalJSON writes an array: Unix time in s, RTT in ms, window in bytes,
// goodput out and in, in bit/s.
func (s sample) MarshalJSON() ([]byte, error) {
	return json.Marshal([...]float64{float64(s.time.UnixMilli()) / 1e3, float64(s.rtt.Microseconds()) / 1e3, float64(s.window), s.sent * 8, s.received * 8})
}

// Flow adds a sample.
func (h *History) Flow(f *Flow) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if f.Previous == nil {
		h.live++
	}
	if f.Ended() {
		h.live--
	}
	k := h.keep(f)
	if k == nil {
		return nil
	}
	k.latest = f
	if len(f.Paths) > 0 {
		if len(k.samples) == historySamples {
			k.samples = slices.Delete(k.samples, 0, 1)
		}
		h.last++
		k.samples = append(k.samples, newSample(h.last, f))
	}
	if f.Ended() {
		k.ended = h.last + 1
	}
	return nil
}

func newSample(number uint64, f *Flow) sample {
	s := sample{number: number, time: f.Time(), rtt: f.Paths[0].SmoothedRTT}
	for i := range f.Paths {
		s.window += f.Paths[i].CongestionWindow
	}
	if f.Previous != nil && f.Now > f.Previous.Now {
		d, span := f.Delta(), (f.Now - f.Previous.Now).Seconds()
		s.sent, s.received = float64(d.DataSent)/span, float64(d.DataReceived)/span
	}
	return s
}

// keep returns where the samples of a flow are kept, nil if they are not.
func (h *History) keep(f *Flow) *flowHistory {
	for _, k := range h.flows {
		if k.latest.ID == f.ID {
			return k
		}
	}
	if len(h.flows) == historyFlows && (f.Ended() || !h.makeRoom()) {
		return nil
	}
	k := &flowHistory{latest: f}
	h.flows = append(h.flows, k)
	return k
}

// makeRoom forgets the flow that ended first.
func (h *History) makeRoom() bool {
	first := -1
	for i, k := range h.flows {
		if k.ended != 0 && (first < 0 || k.ended < h.flows[first].ended) {
			first = i
		}
	}
	if first >= 0 {
		h.flows = slices.Delete(h.flows, first, first+1)
	}
	return first >= 0
}

// Flush does nothing.
func (h *History) Flush() error { return nil }

// Close does nothing: what is kept stays readable.
func (h *History) Close() error { return nil }

// A View is a part of a History, to be written as JSON.
type View struct {
	Last  uint64     `json:"last"`  // what to ask for the next time
	Live  int        `json:"live"`  // flows that have not ended, shown or not
	Flows []FlowView `json:"flows"` // those that began first come first
}

// A FlowView is the part about one flow.
type FlowView struct {
	ID         uint64         `json:"id"`
	Connection string         `json:"connection"`
	Local      netip.AddrPort `json:"local"`
	Remote     netip.AddrPort `json:"remote"`
	State      State          `json:"state"`
	Server     bool           `json:"server"`
	Began      time.Time      `json:"began"`
	Lost       uint64         `json:"lost"` // packets
	Sent       uint64         `json:"sent"` // packets
	Samples    []sample       `json:"samples"`
}

// Since returns all flows that are kept, with the samples that are newer than
// number last: View.Last of a call before, or 0. It may be called from any
// goroutine.
func (h *History) Since(last uint64) View {
	h.mu.Lock()
	defer h.mu.Unlock()
	v := View{Last: h.last, Live: h.live, Flows: make([]FlowView, 0, len(h.flows))}
	for _, k := range h.flows {
		f := k.latest
		i := slices.IndexFunc(k.samples, func(s sample) bool { return s.number > last })
		if i < 0 {
			i = len(k.samples)
		}
		v.Flows = append(v.Flows, FlowView{ID: f.ID, Connection: f.Connection, Local: f.Local, Remote: f.Remote, State: f.State, Server: f.Server,
			Began: f.Began(), Lost: f.PacketsLost, Sent: f.PacketsSent, Samples: append([]sample{}, k.samples[i:]...)})
	}
	return v
}
