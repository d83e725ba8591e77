// Command bench-peers measures this QUIC implementation against quic-go: the same program over
// each ([perf]), in alternating runs of separate server and client processes, medians and ratios.
//
//	go run ./cmd/bench-peers -count 5 -markdown table.md -json samples.json
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/pquic-go/pquic/bench/linkemu"
	"github.com/pquic-go/pquic/bench/testcert"
)

func main() {
	if err := run(os.Args[1:]); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "bench-peers:", err)
		os.Exit(1)
	}
}

// A harness is what all runs share.
type harness struct {
	certs        testcert.Files
	ours, theirs string // programs
	scale        float64
	seed         uint64
	n            int
	log          io.Writer
}

func run(args []string) error {
	h := &harness{log: os.Stderr}
	var only, markdown, samples string
	list := false
	f := flag.NewFlagSet("bench-peers", flag.ContinueOnError)
	f.IntVar(&h.n, "count", 5, "runs of each workload with each implementation")
	f.Float64Var(&h.scale, "scale", 1, "size of the workloads, 1 being the full one")
	f.Uint64Var(&h.seed, "seed", 1, "seed of the emulated links; run i uses seed+i for both implementations")
	f.StringVar(&only, "run", "", "`pattern` of the workloads to run; all without one")
	f.StringVar(&h.ours, "ours", "pquic", "peer-`name` to measure, or the path of its program")
	f.StringVar(&h.theirs, "theirs", "quicgo", "peer-`name` to compare with, or the path of its program")
	f.StringVar(&markdown, "markdown", "", "`file` for the table, in addition to standard output")
	f.StringVar(&samples, "json", "", "`file` for all samples")
	f.BoolVar(&list, "list", false, "list the workloads and end")
	if err := f.Parse(args); err != nil {
		return err
	}
	pattern, err := regexp.Compile("^(" + only + ")$")
	if err != nil {
		return fmt.Errorf("-run: %w", err)
	}
	chosen := choose(pattern, only == "")
	if list {
		for _, w := range chosen {
			fmt.Printf("%-20s %s\n", w.name, w.title)
		}
		return nil
	}
	if len(chosen) == 0 {
		return fmt.Errorf("-run %q matches none of %s", only, names())
	}
	if h.n < 1 || h.scale <= 0 {
		return errors.New("-count and -scale want more than 0")
	}
	dir, err := os.MkdirTemp("", "bench-peers-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := h.prepare(dir); err != nil {
		return err
	}
	r := h.measure(chosen)
	if err := r.write(os.Stdout, markdown, samples); err != nil {
		return err
	}
	return r.failures()
}

func choose(pattern *regexp.Regexp, all bool) []*workload {
	var chosen []*workload
	for i := range workloads {
		if all || pattern.MatchString(workloads[i].name) {
			chosen = append(chosen, &workloads[i])
		}
	}
	return chosen
}

func names() string {
	var s []string
	for i := range workloads {
		s = append(s, workloads[i].name)
	}
	return strings.Join(s, ", ")
}

// prepare builds the programs and makes the certificates.
func (h *harness) prepare(dir string) (err error) {
	for _, p := range []*string{&h.ours, &h.theirs} {
		if strings.ContainsRune(*p, filepath.Separator) {
			continue
		}
		out := filepath.Join(dir, "peer-"+*p)
		cmd := exec.Command("go", "build", "-o", out, "github.com/pquic-go/pquic/bench/cmd/peer-"+*p)
		if text, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("building peer-%s (run this in the bench module): %w\n%s", *p, err, text)
		}
		*p = out
	}
	h.certs, err = testcert.Write(dir, testcert.Options{DNSNames: []string{"localhost"}})
	return err
}

// measure runs the workloads, the implementations taking turns.
func (h *harness) measure(chosen []*workload) *report {
	r := &report{Machine: describeMachine(), Runs: h.n, Scale: h.scale}
	for _, w := range chosen {
		row := &result{w: w, Workload: w.name, Title: w.title}
		r.Results = append(r.Results, row)
		for i := range h.n {
			// Whoever goes first changes, in case it matters.
			order := []bool{true, false}
			if i%2 == 1 {
				order = []bool{false, true}
			}
			seed := h.seed
			h.seed += uint64(i)
			for _, ours := range order {
				if !h.once(row, w, ours) {
					break
				}
			}
			h.seed = seed
			if row.Skipped != "" {
				break
			}
		}
	}
	return r
}

// once makes one run; it returns false if the workload cannot run here.
func (h *harness) once(row *result, w *workload, ours bool) bool {
	program, into, name := h.theirs, &row.Theirs, "theirs"
	if ours {
		program, into, name = h.ours, &row.Ours, "ours"
	}
	s, err := h.run(w, program)
	if errors.Is(err, linkemu.ErrUnavailable) {
		row.Skipped = err.Error()
		return false
	}
	if err != nil {
		s.Failure = err.Error()
	}
	fmt.Fprintf(h.log, "%-20s %-7s %s\n", w.name, name, s.summary(w))
	*into = append(*into, s)
	return true
}
