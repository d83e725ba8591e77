package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/pquic-go/pquic/cmd/internal/hdr"
	"github.com/pquic-go/pquic/hoststack/perf"
)

// A report is what --json prints.
type report struct {
	Scenario            string  `json:"scenario"`
	Bytes               uint64  `json:"bytes"` // both ways, without the requests' headers
	Seconds             float64 `json:"seconds"`
	GoodputMbps         float64 `json:"goodput_mbps"`
	CPUSeconds          float64 `json:"cpu_seconds"` // of this process
	Requests            uint64  `json:"requests"`
	RequestsPerSecond   float64 `json:"requests_per_second"`
	HandshakesPerSecond float64 `json:"handshakes_per_second"` // in hps
	LatencyUS           latency `json:"latency_us"`            // of requests, of handshakes in hps
}

// latency holds percentiles in microseconds; all are 0 if there was nothing to
// measure.
type latency struct {
	P50  uint32 `json:"p50"`
	P90  uint32 `json:"p90"`
	P99  uint32 `json:"p99"`
	P999 uint32 `json:"p999"`
	Max  uint32 `json:"max"`
}

// at is the sample that a fraction p of the sorted samples does not exceed, by
// secnetperf's rule.
func at(sorted []uint32, p float64) uint32 {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(int(float64(len(sorted))*p), len(sorted)-1)]
}

// print writes the figures and the files asked for.
func (m *measurement) print(w io.Writer) error {
	slices.Sort(m.samples)
	if m.handshakes.Load() == 0 {
		return fmt.Errorf("no successful connections")
	}
	if m.o.json {
		if err := json.NewEncoder(w).Encode(m.report()); err != nil {
			return err
		}
	} else {
		m.printLines(w)
	}
	return m.writeHistogram(w)
}

func (m *measurement) report() *report {
	r := &report{
		Scenario: m.o.scenario, Bytes: m.bytes.Load(), Seconds: m.seconds, CPUSeconds: m.cpuSeconds, Requests: m.requests.Load(),
		LatencyUS: latency{at(m.samples, .5), at(m.samples, .9), at(m.samples, .99), at(m.samples, .999), at(m.samples, 1)},
	}
	if m.seconds > 0 {
		r.GoodputMbps = float64(r.Bytes) * 8 / 1e6 / m.seconds
		r.RequestsPerSecond = float64(r.Requests) / m.seconds
		if scenarioNamed(m.o.scenario).streams == 0 {
			r.HandshakesPerSecond = float64(m.handshakes.Load()) / m.seconds
		}
	}
	return r
}

// printLines prints what secnetperf would.
func (m *measurement) printLines(w io.Writer) {
	s := scenarioNamed(m.o.scenario)
	switch {
	case s.transfer:
		m.printTransfer(w)
	case s.requests:
		fmt.Fprintf(w, "Result: %d RPS, Latency,us 0th: %d, 50th: %d, 90th: %d, 99th: %d, 99.9th: %d, 99.99th: %d, 99.999th: %d, 99.9999th: %d, Max: %d\n",
			m.rate(m.requests.Load()), at(m.samples, 0), at(m.samples, .5), at(m.samples, .9), at(m.samples, .99), at(m.samples, .999),
			at(m.samples, .9999), at(m.samples, .99999), at(m.samples, .999999), at(m.samples, 1))
	default:
		fmt.Fprintf(w, "Result: %d HPS\n", m.rate(m.handshakes.Load()))
	}
	fmt.Fprintf(w, "Completed %d connections and %d streams!\n", m.handshakes.Load(), m.requests.Load())
	fmt.Fprintf(w, "seconds: %.6f\ncpu_seconds: %.6f\n", m.seconds, m.cpuSeconds)
}

func (m *measurement) rate(n uint64) uint64 {
	if m.seconds <= 0 {
		return 0
	}
	return uint64(float64(n) / m.seconds)
}

func (m *measurement) printTransfer(w io.Writer) {
	direction := strings.ToUpper(m.o.scenario[:1]) + m.o.scenario[1:]
	var sum uint64
	for i := range m.streams {
		r := &m.streams[i]
		sum += kbps(r)
		if m.o.perLine {
			us := r.Elapsed.Microseconds()
			fmt.Fprintf(w, "Result: %s %d bytes @ %d kbps (%d.%03d ms).\n", direction, r.Sent+r.Received, kbps(r), us/1000, us%1000)
		}
	}
	fmt.Fprintf(w, "Result: %s %d kbps.\n", direction, sum)
}

// kbps is a stream's rate as secnetperf computes it.
func kbps(r *perf.Result) uint64 {
	us := uint64(r.Elapsed.Microseconds())
	if us == 0 {
		return 0
	}
	return uint64(float64(r.Sent+r.Received) * 8 * 1e6 / (1000 * float64(us)))
}

// writeHistogram writes the files about the latencies.
func (m *measurement) writeHistogram(stdout io.Writer) error {
	if m.o.histogram == "" && m.o.plot == "" {
		return nil
	}
	var h hdr.Histogram
	for _, s := range m.samples {
		h.Record(uint64(s))
	}
	if m.o.histogram == "-" {
		if err := h.WriteText(stdout); err != nil {
			return err
		}
	} else if err := writeFile("--histogram", m.o.histogram, h.WriteText); err != nil {
		return err
	}
	title := "latency of requests, scenario " + m.o.scenario
	if scenarioNamed(m.o.scenario).streams == 0 {
		title = "time of handshakes, scenario " + m.o.scenario
	}
	return writeFile("--plot", m.o.plot, func(w io.Writer) error {
		return h.WriteSVG(w, hdr.Plot{Title: title, Unit: "microseconds"})
	})
}

// writeFile writes a file that a flag names, if it does.
func writeFile(flag, name string, write func(io.Writer) error) error {
	if name == "" {
		return nil
	}
	f, err := os.Create(name)
	if err == nil {
		err = errors.Join(write(f), f.Close())
	}
	if err != nil {
		return fmt.Errorf("%s: %w", flag, err)
	}
	return nil
}
