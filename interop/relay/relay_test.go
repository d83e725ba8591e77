package relay

import (
	"fmt"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/pquic-go/pquic/bench/linkemu"
)

// ends makes a server's and a client's socket and a relay between them.
func ends(t *testing.T, ip string, c Config) (server, client *socket, r *Relay) {
	t.Helper()
	open := func() *socket {
		s, err := listen(&net.UDPAddr{IP: net.ParseIP(ip)})
		if err != nil {
			t.Skipf("no socket on %s: %v", ip, err)
		}
		t.Cleanup(func() { s.Close() })
		return s
	}
	server, client = open(), open()
	c.Server, c.Listen = server.addr(), net.JoinHostPort(ip, "0")
	r, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return server, client, r
}

func write(t *testing.T, s *socket, ecn uint8, to netip.AddrPort, text string) {
	t.Helper()
	if err := s.write([]byte(text), ecn, to); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, s *socket, want string, wantECN uint8) netip.AddrPort {
	t.Helper()
	b := make([]byte, 100)
	n, ecn, from, err := s.read(b)
	if err != nil {
		t.Fatal(err)
	}
	if string(b[:n]) != want || ecn != wantECN {
		t.Errorf("got %q marked %d, want %q marked %d", b[:n], ecn, want, wantECN)
	}
	return from
}

func TestRelayBothWaysWithECN(t *testing.T) {
	for _, ip := range []string{"127.0.0.1", "::1"} {
		var mu sync.Mutex
		var seen []string
		server, client, r := ends(t, ip, Config{ToClient: linkemu.Shape{Delay: 5 * time.Millisecond}, Observe: func(o Observation) {
			mu.Lock()
			defer mu.Unlock()
			seen = append(seen, fmt.Sprintf("%v %d %s", o.FromClient, o.ECN, o.Payload))
		}})
		for ecn := range uint8(4) {
			write(t, client, ecn, r.Addr(), "request")
			from := read(t, server, "request", ecn)
			write(t, server, ecn, from, "answer 1")
			write(t, server, ecn, from, "answer 2")
			read(t, client, "answer 1", ecn)
			if from := read(t, client, "answer 2", ecn); from != r.Addr() {
				t.Errorf("%s: the answer comes from %v, want the relay at %v", ip, from, r.Addr())
			}
		}
		mu.Lock()
		if len(seen) != 12 || seen[9] != "true 3 request" || seen[11] != "false 3 answer 2" {
			t.Errorf("%s: observed %q", ip, seen)
		}
		mu.Unlock()
	}
}

func TestRelayRebinds(t *testing.T) {
	server, client, r := ends(t, "127.0.0.1", Config{})
	write(t, client, 0, r.Addr(), "one")
	first := read(t, server, "one", 0)
	r.Rebind(linkemu.RebindPort)
	write(t, server, 0, first, "lost: the binding has gone")
	write(t, client, 0, r.Addr(), "two")
	second := read(t, server, "two", 0)
	if first == second || first.Addr() != second.Addr() {
		t.Errorf("the server saw %v and then %v, want another port", first, second)
	}
	r.Rebind(linkemu.RebindAddress)
	write(t, client, 0, r.Addr(), "three")
	third := read(t, server, "three", 0)
	if third.Addr() == first.Addr() {
		t.Errorf("the server saw %v, want another address", third)
	}
	write(t, server, 0, third, "answer")
	read(t, client, "answer", 0)
}

func TestRelayScriptAndDrops(t *testing.T) {
	var mu sync.Mutex
	var causes []linkemu.Cause
	server, client, r := ends(t, "127.0.0.1", Config{
		ToServer: linkemu.Shape{Drop: []uint64{2}, Corrupt: 1},
		Script: []linkemu.Step{{Direction: linkemu.AToB, Set: func(s *linkemu.Shape) {
			if s.Corrupt == 1 {
				s.Corrupt = 0
			}
		}, At: time.Hour}},
		Observe: func(o Observation) {
			mu.Lock()
			defer mu.Unlock()
			causes = append(causes, o.Fate.Cause)
		},
	})
	for range 3 {
		write(t, client, 0, r.Addr(), "aaaa")
	}
	b := make([]byte, 10)
	for range 2 {
		n, _, _, err := server.read(b)
		if err != nil || n != 4 || string(b[:4]) == "aaaa" {
			t.Errorf("got %q (%v), want four bytes, one bit of them flipped", b[:n], err)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	if fmt.Sprint(causes) != "[delivered listed delivered]" {
		t.Errorf("fates %v", causes)
	}
}
