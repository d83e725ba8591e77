package runner

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/pquic-go/pquic/interop/capture"
)

// The harness is right about a peer that is known to be right: quic-go with itself.
func TestQuicGoWithItself(t *testing.T) {
	dir := t.TempDir()
	p := &Programs{QuicGo: filepath.Join(dir, "peer-quicgo"), DoqQuicGo: filepath.Join(dir, "doq-quicgo")}
	if out, err := exec.Command("go", "build", "-o", p.QuicGo, "../cmd/peer-quicgo").CombinedOutput(); err != nil {
		t.Fatalf("building the peer: %v: %s", err, out)
	}
	var pair Pair
	for _, e := range Endpoints(p) {
		if e.Name == "quic-go" {
			pair = Pair{e, e}
		}
	}
	want := map[string]Verdict{
		"handshake": Passed, "chacha20": Passed, "multiplexing": Passed, "retry": Passed, "resumption": Passed, "zerortt": Passed,
		"http3": Passed, "keyupdate": Passed, "ecn": Passed, "ipv6": Passed, "clientmigration": Passed, "v2": Unsupported, "doq": Unsupported,
	}
	m := &Matrix{Pairs: []Pair{pair}, Dir: dir, Parallel: 2, Seed: 1, Progress: io.Discard}
	for _, c := range Cases() {
		if _, ok := want[c.Name]; ok {
			m.Cases = append(m.Cases, c)
		}
	}
	m.Run(t.Context())
	for _, c := range m.Cases {
		if r := m.results[pair.String()+c.Name]; r.Verdict != want[c.Name] {
			t.Errorf("%s: %s (%s), want it %s", c.Name, r.Word, r.Reason, verdictWords[want[c.Name]])
		}
	}
	if len(m.Cases) != len(want) {
		t.Errorf("%d cases found, want %d", len(m.Cases), len(want))
	}
}

// A case passes only with proof.
func TestChecksRefuse(t *testing.T) {
	conn := func(change func(*capture.Conn)) *capture.Conn {
		c := &capture.Conn{}
		c.InitialVersions = [2][]uint32{{1}, {1}}
		c.Phases = [2][2]int{{5, 5}, {5, 5}}
		c.Frames = [2]map[uint64]int{{}, {}}
		change(c)
		return c
	}
	for _, c := range []struct {
		name   string
		check  func(*Outcome) error
		change func(*capture.Conn)
		reason string
	}{
		{"retry", retried, func(c *capture.Conn) {}, "sent no Retry"},
		{"retry", retried, func(c *capture.Conn) { c.RetryTokens = [][]byte{{1}} }, "carried the token"},
		{"handshake", noRetry, func(c *capture.Conn) { c.RetryTokens = [][]byte{{1}} }, "want none"},
		{"keyupdate", keysUpdated, func(c *capture.Conn) { c.Phases[1][1] = 0 }, "server sent no packet with key phase 1"},
		{"keyupdate", keysUpdated, func(c *capture.Conn) { c.Phases[0] = [2]int{} }, "is there a key log"},
		{"ecn", marked, func(c *capture.Conn) {}, "marked no datagram"},
		{"chacha20", onlyChaCha20, func(c *capture.Conn) { c.OfferedSuites = []uint16{0x1301, 0x1303} }, "want ChaCha20 alone"},
		{"v2", version2, func(c *capture.Conn) {}, "want 2"},
		{"transfer", cleanClose, func(c *capture.Conn) { c.Closes[1] = []capture.Close{{Code: 7}} }, "closed with code 0x7"},
		{"amplificationlimit", amplification, func(c *capture.Conn) {}, "certificate chain"},
		{"rebind-port", rebound(false), func(c *capture.Conn) { c.Paths = []*capture.Path{{}} }, "never sent to a new address"},
		{"connectionmigration", migrated, func(c *capture.Conn) { c.Paths = []*capture.Path{{}} }, "stayed on its first path"},
		{"multiplexing", streamLimit(1000), func(c *capture.Conn) {}, "could not be read"},
		{"longrtt", clientHellos(2), func(c *capture.Conn) { c.ClientHellos = 1 }, "want at least 2"},
	} {
		o := &Outcome{Case: &Case{Name: c.name}, Trace: &capture.Trace{Conns: []*capture.Conn{conn(c.change)}}}
		if err := c.check(o); err == nil || !strings.Contains(err.Error(), c.reason) {
			t.Errorf("%s: %v, want an error with %q", c.name, err, c.reason)
		}
	}
}

func TestTable(t *testing.T) {
	a, b := &Endpoint{Name: "a"}, &Endpoint{Name: "b"}
	m := &Matrix{Pairs: []Pair{{a, b}, {b, a}}, Cases: []*Case{{Name: "one"}, {Name: "two"}}, results: map[string]Result{
		"a › bone": {Verdict: Passed, Note: "5.0 Mbps"}, "b › aone": {Verdict: Failed, Reason: "it broke", Logs: "here"},
		"a › btwo": {Verdict: Unsupported}, "b › atwo": {Verdict: Skipped, Reason: "no root"},
	}}
	var out bytes.Buffer
	if err := m.Table(&out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"| client › server | a › b | b › a |", "| one | ✓ 5.0 Mbps | ✗ |", "| two | · | skipped |",
		"Failed:\n- one (b › a): it broke [here]", "Skipped:\n- two (b › a): no root",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
	if m.Failures() != 1 {
		t.Errorf("%d failures, want 1", m.Failures())
	}
}

// What fails is run again after everything else, and the table does not hide it.
func TestRetries(t *testing.T) {
	a := &Endpoint{Name: "a"}
	tries := make(map[string]int)
	var order, dirs []string
	m := &Matrix{
		Pairs: []Pair{{a, a}}, Retries: 2, Must: true, Progress: io.Discard, Dir: t.TempDir(),
		run: func(_ context.Context, _, _ *Endpoint, c *Case, dir string, _ bool, _ uint64) Result {
			r := Result{Case: c.Name, Logs: dir, Reason: fmt.Sprintf("why %d", tries[c.Name]+1), Verdict: Failed}
			tries[c.Name]++
			order, dirs = append(order, c.Name), append(dirs, dir)
			switch {
			case c.Name == "steady", c.Name == "second" && tries[c.Name] == 2, c.Name == "third" && tries[c.Name] == 3:
				r.Verdict, r.Reason, r.Note = Passed, "", "note"
			case c.Name == "skipped":
				r.Verdict = Skipped
			}
			r.Word = verdictWords[r.Verdict]
			return r
		},
	}
	for _, name := range []string{"third", "second", "steady", "broken", "skipped"} {
		m.Cases = append(m.Cases, &Case{Name: name})
	}
	m.Run(t.Context())
	if want := "third second steady broken skipped third second broken skipped third broken skipped"; strings.Join(order, " ") != want {
		t.Errorf("order %q, want %q", order, want)
	}
	slices.Sort(dirs)
	if n := len(slices.Compact(dirs)); n != len(order) {
		t.Errorf("%d directories for %d runs", n, len(order))
	}
	if m.Failures() != 2 || m.Retried() != 4 {
		t.Errorf("%d failures and %d run again, want 2 and 4", m.Failures(), m.Retried())
	}
	var out bytes.Buffer
	if err := m.Table(&out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"| second | ✓ 2nd try note |", "| third | ✓ 3rd try note |", "| steady | ✓ note |", "| broken | ✗ |", "| skipped | ✗ |",
		"- broken (a › a): why 3 [", "Run again:\n", "- second (a › a): passed at the 2nd try\n  - try 1: why 1 [",
		"- third (a › a): passed at the 3rd try\n  - try 1: why 1 [", "  - try 2: why 2 [", "- broken (a › a): failed at the 3rd try\n",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
}
