package plugins

import (
	"github.com/pquic-go/pquic/core/mono"
	"github.com/pquic-go/pquic/vm"
)

var timeFunctions = []Function{
	{
		Name: "pq_now", Group: "time", C: "i64 pq_now(void)", Effect: vm.Pure, result: value,
		Doc: "Time of the event being handled, ns. Differences mean something, and comparisons with fields in ns.",
		run: func(h *frame, _ *[5]uint64) (uint64, error) { return uint64(h.conn().Now()), nil },
	},
	{
		Name: "pq_set_timer", Group: "time", C: "void pq_set_timer(i64 at)", Effect: vm.OwnHeap, params: []vm.Param{scalar}, result: nothing, cost: 16,
		Doc: "Arms the plugin's one timer: its pluglets at plugin_timer run once, at that time, or 100 us from now if that is later. 0 disarms it.",
		run: func(h *frame, a *[5]uint64) (uint64, error) {
			h.in.setTimer(mono.Time(a[0]))
			return 0, nil
		},
	},
	{
		Name: "pq_random", Group: "time", C: "u64 pq_random(void)", Effect: vm.Pure, result: value, cost: 4,
		Doc: "64 random bits, not for keys: the sequence follows from a seed that the connection gives.",
		run: func(h *frame, _ *[5]uint64) (uint64, error) { return h.in.random.next(), nil },
	},
}

// A random is a sequence of numbers that depends on nothing but its seed
// (SplitMix64), so that simulations can be repeated.
type random uint64

func (r *random) next() uint64 {
	*r += 0x9e3779b97f4a7c15
	z := uint64(*r)
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}
