package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// A report is everything that was measured.
type report struct {
	Machine string    `json:"machine"`
	Runs    int       `json:"runs"`
	Scale   float64   `json:"scale"`
	Results []*result `json:"results"`
}

// A result is one workload's.
type result struct {
	w        *workload
	Workload string   `json:"workload"`
	Title    string   `json:"title"`
	Skipped  string   `json:"skipped,omitempty"`
	Ours     []sample `json:"ours"`
	Theirs   []sample `json:"theirs"`
}

func describeMachine() string {
	kernel := "unknown kernel"
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		kernel = unix.ByteSliceToString(u.Sysname[:]) + " " + unix.ByteSliceToString(u.Release[:])
	}
	return fmt.Sprintf("%d processors, %s, %s, %s/%s", runtime.NumCPU(), kernel, runtime.Version(), runtime.GOOS, runtime.GOARCH)
}

func (s *sample) summary(w *workload) string {
	if s.Failure != "" {
		return "failed: " + s.Failure
	}
	var parts []string
	for _, m := range w.metrics {
		parts = append(parts, m.name+" "+m.format(m.value(s)))
	}
	return strings.Join(parts, "; ")
}

func (m *metric) format(v float64) string {
	digits := 0
	switch a := max(v, -v); {
	case a < 0.1:
		digits = 4
	case a < 10:
		digits = 2
	case a < 1000:
		digits = 1
	}
	return strings.TrimSpace(fmt.Sprintf("%.*f %s", digits, v, m.unit))
}

// median returns the median of the runs that did not fail, and the range; ok is false without any.
func (m *metric) median(samples []sample) (median, least, most float64, ok bool) {
	var v []float64
	for i := range samples {
		if samples[i].Failure == "" {
			v = append(v, m.value(&samples[i]))
		}
	}
	if len(v) == 0 {
		return 0, 0, 0, false
	}
	slices.Sort(v)
	n := len(v)
	return (v[(n-1)/2] + v[n/2]) / 2, v[0], v[n-1], true
}

// cell is a median with its range.
func (m *metric) cell(samples []sample) string {
	median, least, most, ok := m.median(samples)
	if !ok {
		return "failed"
	}
	if len(samples) == 1 {
		return m.format(median)
	}
	bare := metric{}
	return fmt.Sprintf("%s (%s–%s)", m.format(median), bare.format(least), bare.format(most))
}

// wish says a bound in words, nothing if there is none.
func (m *metric) wish(b bound) string {
	sign := "≤"
	if m.higher {
		sign = "≥"
	}
	var wishes []string
	if b.ratio != 0 {
		wishes = append(wishes, fmt.Sprintf("%s %g ×", sign, b.ratio))
	}
	if b.absolute >= 0 {
		wishes = append(wishes, strings.TrimSpace(fmt.Sprintf("%s %g %s", sign, b.absolute, m.unit)))
	}
	return strings.Join(wishes, " and ")
}

// reaches reports whether a value, and its ratio to the other implementation's,
// keep a bound.
func (m *metric) reaches(b bound, value, ratio float64) bool {
	reach := func(v, bound float64) bool { return m.higher && v >= bound || !m.higher && v <= bound }
	return (b.ratio == 0 || reach(ratio, b.ratio)) && (b.absolute < 0 || reach(value, b.absolute))
}

// verdict compares the medians with what must be reached and what had better.
func (m *metric) verdict(r *result) (ratio, reached string) {
	ours, _, _, ok1 := m.median(r.Ours)
	theirs, _, _, ok2 := m.median(r.Theirs)
	if !ok1 || !ok2 {
		return "", "no"
	}
	q := ours / theirs
	ratio = fmt.Sprintf("%.2f ×", q)
	switch {
	case m.must == nowhere:
		return ratio, ""
	case !m.reaches(m.must, ours, q):
		return ratio, "no"
	case m.dream != nowhere && m.reaches(m.dream, ours, q):
		return ratio, "dream"
	}
	return ratio, "must"
}

// table writes the report as Markdown.
func (r *report) table(out io.Writer) error {
	ours, theirs := "ours", "theirs"
	for _, res := range r.Results {
		for _, x := range []struct {
			samples []sample
			name    *string
		}{{res.Ours, &ours}, {res.Theirs, &theirs}} {
			if len(x.samples) > 0 && x.samples[0].Peer.Name != "" {
				*x.name = x.samples[0].Peer.Name + " " + x.samples[0].Peer.Version
			}
		}
	}
	var s strings.Builder
	fmt.Fprintf(&s, "Medians of %d alternating runs, their range in brackets; %s.", r.Runs, r.Machine)
	if r.Scale != 1 {
		fmt.Fprintf(&s, " Workloads at %g of their size.", r.Scale)
	}
	fmt.Fprintf(&s, "\n\n| workload | measured | %s | %s | ratio | must reach | dream | reached |\n|---|---|---|---|---|---|---|---|\n", theirs, ours)
	for _, res := range r.Results {
		title := res.Title
		if res.Skipped != "" {
			fmt.Fprintf(&s, "| %s | skipped: %s | | | | | | |\n", title, res.Skipped)
			continue
		}
		for i := range res.w.metrics {
			m := &res.w.metrics[i]
			ratio, reached := m.verdict(res)
			fmt.Fprintf(&s, "| %s | %s | %s | %s | %s | %s | %s | %s |\n", title, m.name, m.cell(res.Theirs), m.cell(res.Ours),
				ratio, m.wish(m.must), m.wish(m.dream), reached)
			title = ""
		}
	}
	_, err := io.WriteString(out, s.String())
	return err
}

// write writes the table to out and to the file markdown, and the samples to the file samples.
func (r *report) write(out io.Writer, markdown, samples string) error {
	if err := r.table(out); err != nil {
		return err
	}
	if markdown != "" {
		var b strings.Builder
		if err := errors.Join(r.table(&b), os.WriteFile(markdown, []byte(b.String()), 0o644)); err != nil {
			return err
		}
	}
	if samples == "" {
		return nil
	}
	b, err := json.MarshalIndent(r, "", "\t")
	if err != nil {
		return err
	}
	return os.WriteFile(samples, append(b, '\n'), 0o644)
}

// failures is an error if any run failed: a table with holes is not a measurement.
func (r *report) failures() error {
	n := 0
	first := ""
	for _, res := range r.Results {
		for _, s := range append(append([]sample(nil), res.Ours...), res.Theirs...) {
			if s.Failure != "" {
				if n++; first == "" {
					first = res.Workload + ": " + s.Failure
				}
			}
		}
	}
	if n > 0 {
		return fmt.Errorf("%d runs failed, the first being %s", n, first)
	}
	return nil
}
