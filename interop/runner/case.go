// Package runner makes QUIC endpoints talk to each other: the test cases of the QUIC interop runner,
// and a few more, with every endpoint at hand, over a UDP relay on loopback or, where the link's rate
// and delay matter, between network namespaces ([linkemu]).
//
// What happened is judged by the files that arrived and by the recorded datagrams ([capture]), not
// by what the endpoints say.
package runner

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"github.com/pquic-go/pquic/bench/linkemu"
)

const (
	kB = 1 << 10
	mB = 1 << 20
)

// A Case is a test case.
type Case struct {
	Name string
	// ClientTest and ServerTest are the values of TESTCASE for the two ends.
	ClientTest, ServerTest string
	// Files makes the sizes of the files to fetch; full asks for the interop runner's own sizes, which
	// take minutes over some links.
	Files func(full bool) []int
	// NameLength is that of the files' names; 0 means short ones.
	NameLength int

	Namespaces         bool // needs emulated links
	ToServer, ToClient linkemu.Shape
	Script             func(full bool) []linkemu.Step
	NAT                bool
	IPv6               bool
	Chain              int  // intermediate certificates
	CrossTraffic       bool // a TCP transfer uses the link as well
	Alone              bool // measures: no other case may run at the same time

	Handshakes int // 0 means 1; -1 means one for each file
	Check      func(*Outcome) error
	// OnlyH3 cases use HTTP/3 whatever the endpoints prefer; DNS cases use no HTTP at all.
	OnlyH3, DNS bool
}

// runnerShape is the link of the interop runner: 10 Mbps, a queue of 25 packets.
func runnerShape(delay time.Duration) linkemu.Shape {
	return linkemu.Shape{Rate: 10e6, Delay: delay, QueuePackets: 25}
}

func with(s linkemu.Shape, change func(*linkemu.Shape)) linkemu.Shape {
	change(&s)
	return s
}

func sizes(n ...int) func(bool) []int { return func(bool) []int { return n } }

// either returns the interop runner's sizes, or the short ones.
func either(full, short int) func(bool) []int {
	return func(f bool) []int {
		if f {
			return []int{full}
		}
		return []int{short}
	}
}

func repeated(full, short, size int) func(bool) []int {
	return func(f bool) []int {
		n := short
		if f {
			n = full
		}
		out := make([]int, n)
		for i := range out {
			out[i] = size
		}
		return out
	}
}

// Cases returns all cases in the order of the interop runner's list, then our own.
func Cases() []*Case {
	link := runnerShape(15 * time.Millisecond)
	long := runnerShape(750 * time.Millisecond)
	// Up to three packets in a row, as the interop runner's links lose and corrupt them.
	lossy := func(p float64) linkemu.Shape {
		return with(link, func(s *linkemu.Shape) { s.Loss, s.MaxLossRun = p, 3 })
	}
	corrupting := func(p float64) linkemu.Shape {
		return with(link, func(s *linkemu.Shape) { s.Corrupt = p })
	}
	rebind := func(kind linkemu.Rebind) func(bool) []linkemu.Step {
		return func(full bool) []linkemu.Step {
			if full {
				return []linkemu.Step{{At: time.Second, Every: 5 * time.Second, Rebind: kind}}
			}
			return []linkemu.Step{{At: 500 * time.Millisecond, Every: time.Second, Rebind: kind}}
		}
	}
	return []*Case{
		{Name: "handshake", Files: sizes(1 * kB), Check: noRetry},
		{Name: "transfer", Files: sizes(2*mB, 3*mB, 5*mB), Check: cleanClose},
		{Name: "longrtt", ClientTest: "handshake", ServerTest: "handshake", Files: sizes(1 * kB), Namespaces: true,
			ToServer: long, ToClient: long, Check: clientHellos(2)},
		{Name: "chacha20", Files: sizes(3 * mB), Check: onlyChaCha20},
		{Name: "multiplexing", ClientTest: "transfer", ServerTest: "transfer", Files: repeated(1999, 1999, 32), Check: streamLimit(1000)},
		{Name: "retry", Files: sizes(10 * kB), Check: retried},
		{Name: "resumption", Files: sizes(5*kB, 10*kB), Handshakes: 2, Check: resumed},
		{Name: "zerortt", Files: repeated(40, 40, 32), NameLength: 250, Handshakes: 2, Check: earlyData,
			ToServer: link, ToClient: link}, // without a delay 1-RTT keys would be there at once
		{Name: "http3", Files: sizes(5*kB, 10*kB, 500*kB), OnlyH3: true},
		{Name: "blackhole", ClientTest: "transfer", ServerTest: "transfer", Files: either(10*mB, 3*mB), Namespaces: true,
			ToServer: link, ToClient: link, Script: blackhole, Check: blackedOut},
		{Name: "keyupdate", ServerTest: "transfer", Files: sizes(3 * mB), Check: keysUpdated},
		{Name: "ecn", Files: sizes(100 * kB), Check: marked},
		{Name: "amplificationlimit", ClientTest: "transfer", ServerTest: "transfer", Files: sizes(5 * kB), Chain: 8,
			ToServer: with(link, func(s *linkemu.Shape) { s.Drop = []uint64{2, 3, 4, 5, 6, 7} }), ToClient: link, Check: amplification},
		{Name: "handshakeloss", ClientTest: "multiconnect", ServerTest: "multiconnect", Files: repeated(50, 10, 1*kB),
			ToServer: lossy(.3), ToClient: lossy(.3), Handshakes: -1},
		{Name: "transferloss", ClientTest: "transfer", ServerTest: "transfer", Files: sizes(2 * mB), ToServer: lossy(.02), ToClient: lossy(.02)},
		{Name: "handshakecorruption", ClientTest: "multiconnect", ServerTest: "multiconnect", Files: repeated(50, 10, 1*kB),
			ToServer: corrupting(.3), ToClient: corrupting(.3), Handshakes: -1},
		{Name: "transfercorruption", ClientTest: "transfer", ServerTest: "transfer", Files: sizes(2 * mB),
			ToServer: corrupting(.02), ToClient: corrupting(.02)},
		{Name: "ipv6", ClientTest: "transfer", ServerTest: "transfer", Files: sizes(5*kB, 10*kB), IPv6: true},
		{Name: "v2", Files: sizes(1 * kB), Check: version2},
		{Name: "rebind-port", ClientTest: "transfer", ServerTest: "transfer", Files: either(10*mB, 3*mB), ToServer: link, ToClient: link,
			Script: rebind(linkemu.RebindPort), Check: rebound(false)},
		{Name: "rebind-addr", ClientTest: "transfer", ServerTest: "transfer", Files: either(10*mB, 3*mB), ToServer: link, ToClient: link,
			Script: rebind(linkemu.RebindAddress), Check: rebound(true)},
		{Name: "connectionmigration", ClientTest: "transfer", Files: sizes(2 * mB), Namespaces: true, ToServer: link, ToClient: link, Check: migrated},
		{Name: "goodput", ClientTest: "transfer", ServerTest: "transfer", Files: either(10*mB, 5*mB), Namespaces: true,
			ToServer: link, ToClient: link, Alone: true},
		{Name: "crosstraffic", ClientTest: "transfer", ServerTest: "transfer", Files: either(25*mB, 3*mB), Namespaces: true,
			ToServer: link, ToClient: link, CrossTraffic: true, Alone: true},
		// Not among the interop runner's: the client moves to another local address by itself, and DNS.
		{Name: "clientmigration", ClientTest: "migration", ServerTest: "transfer", Files: sizes(2 * mB), Check: migrated},
		{Name: "doq", DNS: true, Files: sizes()},
	}
}

// OverNamespaces returns the case with its link emulated between namespaces, as the interop runner's
// own link where it has no other.
func (c *Case) OverNamespaces() *Case {
	n := *c
	n.Namespaces, n.NAT = true, true
	link := runnerShape(15 * time.Millisecond)
	if n.ToServer.Rate == 0 {
		n.ToServer = link
	}
	if n.ToClient.Rate == 0 {
		n.ToClient = link
	}
	return &n
}

// blackhole is the interop runner's 5 s on, 2 s off; in short, one gap of 2 s.
func blackhole(full bool) []linkemu.Step {
	on, every := time.Second, time.Duration(0)
	if full {
		on, every = 5*time.Second, 7*time.Second
	}
	down := func(v bool) func(*linkemu.Shape) { return func(s *linkemu.Shape) { s.Down = v } }
	return []linkemu.Step{
		{At: on, Every: every, Direction: linkemu.Both, Set: down(true)},
		{At: on + 2*time.Second, Every: every, Direction: linkemu.Both, Set: down(false)},
	}
}

func (c *Case) clientTest() string { return orName(c.ClientTest, c.Name) }
func (c *Case) serverTest() string { return orName(c.ServerTest, c.Name) }

func orName(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// makeFiles writes random files to dir and returns their names.
func (c *Case) makeFiles(dir string, full bool) ([]string, error) {
	var names []string
	source := rand.NewChaCha8([32]byte{1})
	for i, size := range c.Files(full) {
		name := fmt.Sprintf("file%04d.bin", i)
		for len(name) < c.NameLength {
			name += string(rune('a' + i%26))
		}
		b := make([]byte, size)
		_, _ = source.Read(b) // never fails
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o644); err != nil {
			return nil, err
		}
		names = append(names, name)
	}
	return names, nil
}
