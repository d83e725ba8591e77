package runner

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/pquic-go/pquic/bench/testcert"
)

type certFiles = testcert.Files

// A Pair is a client and a server.
type Pair struct{ Client, Server *Endpoint }

func (p Pair) String() string { return p.Client.Name + " › " + p.Server.Name }

// Pairs returns the pairs of which one end is named us, and with all also those without it. The name
// of an endpoint without a side is left out on that side.
func Pairs(all []*Endpoint, clients, servers []string) []Pair {
	var out []Pair
	for _, c := range all {
		for _, s := range all {
			if c.Client != nil && s.Server != nil && contains(clients, c.Name) && contains(servers, s.Name) {
				out = append(out, Pair{c, s})
			}
		}
	}
	return out
}

func contains(list []string, name string) bool {
	for _, x := range list {
		if x == name || x == "all" {
			return true
		}
	}
	return false
}

// A Matrix is a set of runs and their results.
type Matrix struct {
	Pairs    []Pair
	Cases    []*Case
	Dir      string // for files and logs
	Keep     bool   // keep those of runs that passed as well
	Full     bool
	Parallel int
	Seed     uint64
	Retries  int  // how often a run that failed is run again
	Must     bool // what cannot run on this machine has failed
	Progress io.Writer

	// run is Run but in tests.
	run     func(ctx context.Context, client, server *Endpoint, c *Case, dir string, full bool, seed uint64) Result
	mu      sync.Mutex
	results map[string]Result
}

type job struct {
	pair Pair
	c    *Case
}

func (j job) key() string { return j.pair.String() + j.c.Name }

// Run runs everything: first what may run side by side, then what measures, then once more, with the
// machine to itself, what has failed.
func (m *Matrix) Run(ctx context.Context) {
	m.results = make(map[string]Result)
	if m.run == nil {
		m.run = Run
	}
	var together, alone []job
	for _, c := range m.Cases {
		for _, p := range m.Pairs {
			if c.Alone {
				alone = append(alone, job{p, c})
			} else {
				together = append(together, job{p, c})
			}
		}
	}
	m.runAll(ctx, together, max(m.Parallel, 1))
	m.runAll(ctx, alone, 1)
	all := append(together, alone...)
	for range m.Retries {
		all = slices.DeleteFunc(all, func(j job) bool { return m.results[j.key()].Verdict != Failed })
		if len(all) == 0 || ctx.Err() != nil {
			return
		}
		fmt.Fprintf(m.Progress, "%d failed and are run again, one at a time\n", len(all))
		m.runAll(ctx, all, 1)
	}
}

func (m *Matrix) runAll(ctx context.Context, jobs []job, workers int) {
	next := make(chan job)
	var all sync.WaitGroup
	for range workers {
		all.Go(func() {
			for j := range next {
				m.one(ctx, j)
			}
		})
	}
	for _, j := range jobs {
		next <- j
	}
	close(next)
	all.Wait()
}

func (m *Matrix) one(ctx context.Context, j job) {
	name := strings.NewReplacer("/", "", " › ", "_").Replace(j.pair.String())
	dir := filepath.Join(m.Dir, name, j.c.Name)
	m.mu.Lock()
	last, again := m.results[j.key()]
	m.mu.Unlock()
	if again {
		dir = fmt.Sprintf("%s.try%d", dir, len(last.Earlier)+2)
	}
	r := m.run(ctx, j.pair.Client, j.pair.Server, j.c, dir, m.Full, m.Seed)
	if again {
		r.Earlier = append(last.Earlier, Attempt{last.Reason, last.Logs})
	}
	if m.Must && r.Verdict == Skipped {
		r.Verdict, r.Word = Failed, verdictWords[Failed]
	}
	if r.Verdict != Failed && !m.Keep {
		_ = os.RemoveAll(dir)
		r.Logs = ""
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.results[j.key()] = r
	if r.Verdict != Unsupported {
		fmt.Fprintf(m.Progress, "%-22s %-20s %-12s %6.1f s  %s%s\n", j.pair, j.c.Name, r.Word, r.Elapsed.Seconds(), r.Note, r.Reason)
	}
}

func (r *Result) cell() string {
	switch r.Verdict {
	case Passed:
		return strings.Join(slices.DeleteFunc([]string{"✓", r.try(), r.Note}, func(s string) bool { return s == "" }), " ")
	case Failed:
		return "✗"
	case Faulty:
		return "(✗)"
	case Skipped:
		return "skipped"
	}
	return "·"
}

// try names the try this was, "" for the first.
func (r *Result) try() string {
	switch n := len(r.Earlier) + 1; n {
	case 1:
		return ""
	case 2:
		return "2nd try"
	case 3:
		return "3rd try"
	default:
		return fmt.Sprintf("%dth try", n)
	}
}

// Table writes the matrix as Markdown, with the reasons below.
func (m *Matrix) Table(out io.Writer) error {
	var s strings.Builder
	s.WriteString("| client › server |")
	for _, p := range m.Pairs {
		fmt.Fprintf(&s, " %s |", p)
	}
	s.WriteString("\n|---|" + strings.Repeat("---|", len(m.Pairs)) + "\n")
	for _, c := range m.Cases {
		fmt.Fprintf(&s, "| %s |", c.Name)
		for _, p := range m.Pairs {
			r := m.results[p.String()+c.Name]
			fmt.Fprintf(&s, " %s |", r.cell())
		}
		s.WriteString("\n")
	}
	s.WriteString("\n✓ passed, ✗ failed, (✗) failed by a known fault of the peer, · one of the two does not have it.\n")
	for _, v := range []Verdict{Failed, Faulty, Skipped} {
		m.reasons(&s, v)
	}
	m.retried(&s)
	_, err := io.WriteString(out, s.String())
	return err
}

// reasons lists why, each reason once with the pairs that it concerns.
func (m *Matrix) reasons(s *strings.Builder, v Verdict) {
	var order []string
	where := make(map[string][]string)
	for _, c := range m.Cases {
		for _, p := range m.Pairs {
			r := m.results[p.String()+c.Name]
			if r.Verdict != v {
				continue
			}
			key := r.Reason
			if r.Logs != "" {
				key += " [" + r.Logs + "]"
			}
			if where[key] == nil {
				order = append(order, key)
			}
			where[key] = append(where[key], fmt.Sprintf("%s (%s)", c.Name, p))
		}
	}
	if len(order) > 0 {
		fmt.Fprintf(s, "\n%s:\n", strings.ToUpper(verdictWords[v][:1])+verdictWords[v][1:])
	}
	for _, key := range order {
		list := strings.Join(where[key], ", ")
		if n := len(where[key]); n > 3 {
			list = fmt.Sprintf("%s and %d more", strings.Join(where[key][:3], ", "), n-3)
		}
		fmt.Fprintf(s, "- %s: %s\n", list, key)
	}
}

// Retried returns how many runs were run again.
func (m *Matrix) Retried() (n int) {
	for _, r := range m.results {
		if len(r.Earlier) > 0 {
			n++
		}
	}
	return n
}

// retried lists what did not pass at once, with the reason of each try that failed.
func (m *Matrix) retried(s *strings.Builder) {
	if m.Retried() == 0 {
		return
	}
	s.WriteString("\nRun again:\n")
	for _, c := range m.Cases {
		for _, p := range m.Pairs {
			r := m.results[p.String()+c.Name]
			if len(r.Earlier) == 0 {
				continue
			}
			fmt.Fprintf(s, "- %s (%s): %s at the %s\n", c.Name, p, r.Word, r.try())
			for i, a := range r.Earlier {
				fmt.Fprintf(s, "  - try %d: %s [%s]\n", i+1, a.Reason, a.Logs)
			}
		}
	}
}

// JSON writes all results.
func (m *Matrix) JSON(out io.Writer) error {
	var all []Result
	for _, c := range m.Cases {
		for _, p := range m.Pairs {
			all = append(all, m.results[p.String()+c.Name])
		}
	}
	e := json.NewEncoder(out)
	e.SetIndent("", "\t")
	return e.Encode(all)
}

// Failures returns how many runs failed.
func (m *Matrix) Failures() (n int) {
	for _, r := range m.results {
		if r.Verdict == Failed {
			n++
		}
	}
	return n
}
