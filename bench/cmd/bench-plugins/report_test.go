package main

import (
	"strings"
	"testing"

	"github.com/pquic-go/pquic/bench/perf"
)

func sampled(seconds, cpu float64, packets, anchors uint64) sample {
	s := sample{client: perf.Result{Bytes: 1e9, Seconds: seconds, CPUSeconds: cpu}}
	s.ends[0] = account{Packets: packets / 2, Anchors: anchors}
	s.ends[1] = account{Packets: packets - packets/2}
	return s
}

func TestReport(t *testing.T) {
	r := &report{settings: settings, bytes: 1e9, idleConns: 1000}
	none := sampled(1, 1, 1e6, 0)
	for range 2 {
		// 50 ms of 10^6 packets are 50 ns each, 100 ms of 10^7 anchors 10 ns.
		r.rounds = append(r.rounds, []sample{none, sampled(1.04, 1.05, 1e6, 5e5), sampled(2, 1.1, 1e6, 5e5), sampled(1.2, 1.1, 1e6, 1e7)})
	}
	more := none
	more.after.RSSBytes, more.after.HeapBytes = 20e6, 4e6
	r.idle = []sample{none, more}
	var out strings.Builder
	if err := r.write(&out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"| no plugin | goodput | 8000.0 Mbps (8000.0 to 8000.0) |",
		"| monitoring | goodput | 0.962 × (0.962 to 0.962) | ≥ 0.95 × | ≥ 0.98 × | must |",
		"| more CPU per packet and end | 50.0 ns (50.0 to 50.0) | ≤ 100 ns | ≤ 40 ns | must |",
		"| goodput | 0.500 × (0.500 to 0.500) | ≥ 0.97 × | ≥ 0.99 × | no |",
		"| more CPU per anchor | 10.0 ns (10.0 to 10.0) | ≤ 15 ns | ≤ 8 ns | must |",
		"| more heap per connection and end | 2.0 kB |",
		"| more resident memory per connection and end | 10.0 kB | ≤ 16 kB | | must |",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
}
