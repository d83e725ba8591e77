package main

import (
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
)

// A quantity compares a run with the one without plugins of the same round.
type quantity struct {
	name, unit string
	higher     bool // more is better
	value      func(with, none *sample) float64
}

// perByte is the processor time of both ends in ns per byte of payload.
func perByte(s *sample) float64 { return s.cpu() * 1e9 / float64(s.client.Bytes) }

// extra is the processor time that the plugins took, both ends, in ns.
func extra(with, none *sample) float64 {
	return (perByte(with) - perByte(none)) * float64(with.client.Bytes)
}

func speed(s *sample) float64 { return float64(s.client.Bytes) / s.client.Seconds }

var (
	goodputRatio = &quantity{"goodput", "×", true, func(with, none *sample) float64 { return speed(with) / speed(none) }}
	cpuRatio     = &quantity{"CPU seconds per GB, both ends", "×", false, func(with, none *sample) float64 {
		return perByte(with) / perByte(none)
	}}
	extraPerPacket = &quantity{"more CPU per packet and end", "ns", false, func(with, none *sample) float64 {
		return extra(with, none) / float64(max(with.ends[0].Packets+with.ends[1].Packets, 1))
	}}
	extraPerAnchor = &quantity{"more CPU per anchor", "ns", false, func(with, none *sample) float64 {
		return extra(with, none) / float64(max(with.ends[0].Anchors+with.ends[1].Anchors, 1))
	}}
)

// A wish is what a quantity must reach and what would be a dream; 0 for none.
type wish struct {
	*quantity
	must, dream float64
}

// A report is everything that was measured.
type report struct {
	settings  []setting
	bytes     uint64
	rounds    [][]sample // by round and setting
	idleConns int
	idle      []sample // without plugins, with monitoring
}

// median returns the median of v and its range.
func median(v []float64) (middle, least, most float64) {
	v = slices.Sorted(slices.Values(v))
	n := len(v)
	return (v[(n-1)/2] + v[n/2]) / 2, v[0], v[n-1]
}

func (q *quantity) cell(v []float64) string {
	digits := 1
	if q.unit == "×" {
		digits = 3
	}
	middle, least, most := median(v)
	return fmt.Sprintf("%.*f %s (%.*f to %.*f)", digits, middle, q.unit, digits, least, digits, most)
}

func (w *wish) words(bound float64) string {
	switch {
	case bound == 0:
		return ""
	case w.higher:
		return fmt.Sprintf("≥ %g %s", bound, w.unit)
	}
	return fmt.Sprintf("≤ %g %s", bound, w.unit)
}

// reached says which of its bounds a value keeps.
func (w *wish) reached(v float64) string {
	keeps := func(bound float64) bool { return w.higher && v >= bound || !w.higher && v <= bound }
	switch {
	case w.must == 0:
		return ""
	case keeps(w.dream):
		return "dream"
	case keeps(w.must):
		return "must"
	}
	return "no"
}

func (r *report) write(out io.Writer) error {
	var s strings.Builder
	fmt.Fprintf(&s, "%g GB over loopback, datagrams ≤ 1452 B, plugins at both ends; medians of %d rounds (range), each against the engine without plugins in the same round; %d processors, %s.\n\n",
		float64(r.bytes)/1e9, len(r.rounds), runtime.NumCPU(), runtime.Version())
	s.WriteString("| plugins | measured | result | must | dream | reached |\n|---|---|---|---|---|---|\n")
	for k := range r.settings {
		r.rows(&s, k)
	}
	if len(r.idle) == 2 {
		w := wish{&quantity{name: "more memory per idle connection and end", unit: "kB"}, 16, 0}
		heap, resident := r.perIdle()
		fmt.Fprintf(&s, "| monitoring, %d idle connections | more heap per connection and end | %.1f kB | | | |\n", r.idleConns, heap)
		reached := "no"
		if resident <= w.must {
			reached = "must"
		}
		fmt.Fprintf(&s, "| | more resident memory per connection and end | %.1f kB | %s | | %s |\n", resident, w.words(w.must), reached)
	}
	_, err := io.WriteString(out, s.String())
	return err
}

// rows writes the rows of setting k.
func (r *report) rows(s *strings.Builder, k int) {
	title := r.settings[k].title
	if k == 0 {
		var goodput, cpu []float64
		for _, round := range r.rounds {
			goodput = append(goodput, speed(&round[0])*8/1e6)
			cpu = append(cpu, perByte(&round[0]))
		}
		fmt.Fprintf(s, "| %s | goodput | %s | | | |\n", title, (&quantity{unit: "Mbps"}).cell(goodput))
		middle, least, most := median(cpu)
		fmt.Fprintf(s, "| | CPU per GB, both ends | %.3f s (%.3f to %.3f) | | | |\n", middle, least, most)
		return
	}
	for _, w := range r.settings[k].wishes {
		var v []float64
		for _, round := range r.rounds {
			v = append(v, w.value(&round[k], &round[0]))
		}
		middle, _, _ := median(v)
		fmt.Fprintf(s, "| %s | %s | %s | %s | %s | %s |\n", title, w.name, w.cell(v), w.words(w.must), w.words(w.dream), w.reached(middle))
		title = ""
	}
}

// perIdle returns how much heap, and how much of all memory, monitoring adds to an idle connection at
// one end, in kB.
func (r *report) perIdle() (heap, resident float64) {
	use := func(s *sample) (heap, resident float64) {
		return float64(s.client.After.HeapBytes) + float64(s.after.HeapBytes), float64(s.client.After.RSSBytes) + float64(s.after.RSSBytes)
	}
	h0, r0 := use(&r.idle[0])
	h1, r1 := use(&r.idle[1])
	n := 2 * float64(r.idleConns) * 1e3
	return (h1 - h0) / n, (r1 - r0) / n
}
