package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/pquic-go/pquic/bench/perf"
)

func samplesOf(seconds ...float64) (out []sample) {
	for _, s := range seconds {
		out = append(out, sample{Client: perf.Result{Bytes: 1e6, Seconds: s}, Peer: perf.Hello{Name: "x", Version: "v1"}})
	}
	return out
}

func TestTable(t *testing.T) {
	w := &workload{name: "w", title: "some work", metrics: []metric{
		goodput(2, 3), {"seconds", "s", func(s *sample) float64 { return s.Client.Seconds }, false, bound{0.6, 0.3}, nowhere},
	}}
	// 8 Mbit in 0.5 s and in 1 s.
	res := &result{w: w, Title: w.title, Ours: samplesOf(0.5, 0.25, 4), Theirs: samplesOf(1, 3, 0.5)}
	res.Ours = append(res.Ours, sample{Failure: "no luck"})
	r := &report{Runs: 3, Scale: 1, Machine: "m", Results: []*result{res, {w: w, Title: "other", Skipped: "why"}}}
	var out bytes.Buffer
	if err := r.table(&out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"| some work | goodput | 8.00 Mbps (2.67–16.0) | 16.0 Mbps (2.00–32.0) | 2.00 × | ≥ 2 × | ≥ 3 × | must |",
		"|  | seconds | 1.00 s (0.50–3.00) | 0.50 s (0.25–4.00) | 0.50 × | ≤ 0.6 × and ≤ 0.3 s |  | no |",
		"| other | skipped: why |",
		"| workload | measured | x v1 | x v1 |",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no line %q in\n%s", want, out.String())
		}
	}
	if err := r.failures(); err == nil || !strings.Contains(err.Error(), "1 runs failed, the first being : no luck") {
		t.Errorf("failures: %v", err)
	}
}

func TestMedianOfEven(t *testing.T) {
	m := metric{value: func(s *sample) float64 { return s.Client.Seconds }}
	if got, least, most, ok := m.median(samplesOf(4, 1, 2, 3)); got != 2.5 || least != 1 || most != 4 || !ok {
		t.Errorf("median %v (%v–%v, %v), want 2.5 (1–4)", got, least, most, ok)
	}
	if _, _, _, ok := m.median(nil); ok {
		t.Error("there is a median of nothing")
	}
}
