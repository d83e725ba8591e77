package hoststack

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/netip"
	"runtime"
	"testing"

	"github.com/pquic-go/pquic/core/mono"
)

func listenOne(t testing.TB, network, addr string, cfg *UDPConfig) Datapath {
	t.Helper()
	ps, err := ListenUDP(context.Background(), network, addr, 1, cfg)
	if err != nil {
		t.Skipf("cannot listen on %s %s: %v", network, addr, err)
	}
	t.Cleanup(func() { ps[0].Close() })
	return ps[0]
}

// received is a copy of a Packet's datagrams.
type received struct {
	datagrams [][]byte
	first     Packet
	messages  int
	runs      int // messages with more than one datagram
}

// collectDatagrams reads until n datagrams have come.
func collectDatagrams(t testing.TB, p Datapath, n int) received {
	t.Helper()
	var r received
	batch := make([]Packet, 8)
	for len(r.datagrams) < n {
		k, err := p.ReadBatch(batch, mono.Never, func() bool { return true })
		if err != nil {
			t.Fatalf("ReadBatch: %v", err)
		}
		for _, q := range batch[:k] {
			if r.messages == 0 {
				r.first = q
			}
			r.messages++
			if q.Segments() > 1 {
				r.runs++
			}
			size := q.SegmentSize
			if size == 0 {
				size = len(q.Payload)
			}
			for b := q.Payload; len(b) > 0; {
				m := min(size, len(b))
				r.datagrams = append(r.datagrams, bytes.Clone(b[:m]))
				b = b[m:]
			}
		}
	}
	return r
}

// run makes n datagrams of size bytes, the last shorter by short.
func run(n, size, short int) []byte {
	b := make([]byte, n*size-short)
	for i := range b {
		b[i] = byte(i / size)
	}
	return b
}

func datapathVariants(t *testing.T, f func(t *testing.T, cfg *UDPConfig)) {
	for _, v := range []struct {
		name string
		cfg  UDPConfig
	}{
		{"platform", UDPConfig{}},
		{"noGSO", UDPConfig{NoGSO: true}},
		{"noGRO", UDPConfig{NoGRO: true}},
		{"plain", UDPConfig{Plain: true}},
	} {
		t.Run(v.name, func(t *testing.T) { f(t, &v.cfg) })
	}
}

func TestRunsArriveWhole(t *testing.T) {
	datapathVariants(t, func(t *testing.T, cfg *UDPConfig) {
		a, b := listenOne(t, "udp4", "127.0.0.1:0", cfg), listenOne(t, "udp4", "127.0.0.1:0", cfg)
		want := run(20, 1200, 300)
		n, err := a.WriteBatch([]Packet{{Payload: want, SegmentSize: 1200, Remote: b.LocalAddr()}})
		if n != 1 || err != nil {
			t.Fatalf("WriteBatch = %d, %v", n, err)
		}
		r := collectDatagrams(t, b, 20)
		if got := bytes.Join(r.datagrams, nil); !bytes.Equal(got, want) {
			t.Error("datagrams differ from what was sent")
		}
		if len(r.datagrams) != 20 || len(r.datagrams[0]) != 1200 || len(r.datagrams[19]) != 900 {
			t.Errorf("%d datagrams, first %d, last %d bytes; want 20, 1200, 900",
				len(r.datagrams), len(r.datagrams[0]), len(r.datagrams[len(r.datagrams)-1]))
		}
		if r.first.Remote != a.LocalAddr() {
			t.Errorf("remote %v, want %v", r.first.Remote, a.LocalAddr())
		}
		if a.Features().GSO && b.Features().GRO && r.messages != 1 {
			t.Errorf("with GSO and GRO the run came as %d messages, want 1", r.messages)
		}
	})
}

// TestManyPackets: one batch, several peers and more packets than slots.
func TestManyPackets(t *testing.T) {
	datapathVariants(t, func(t *testing.T, cfg *UDPConfig) {
		a := listenOne(t, "udp4", "127.0.0.1:0", cfg)
		b, c := listenOne(t, "udp4", "127.0.0.1:0", cfg), listenOne(t, "udp4", "127.0.0.1:0", cfg)
		var batch []Packet
		for i := range 150 {
			to := b
			if i%3 == 0 {
				to = c
			}
			batch = append(batch, Packet{Payload: []byte{byte(i)}, Remote: to.LocalAddr()})
		}
		// The portable path has a read-ahead of its own, not a batch's worth
		// of socket buffer to worry about: 150 bytes.
		if n, err := a.WriteBatch(batch); n != len(batch) || err != nil {
			t.Fatalf("WriteBatch = %d, %v", n, err)
		}
		if got := len(collectDatagrams(t, b, 100).datagrams); got != 100 {
			t.Errorf("first peer got %d datagrams, want 100", got)
		}
		if got := len(collectDatagrams(t, c, 50).datagrams); got != 50 {
			t.Errorf("second peer got %d datagrams, want 50", got)
		}
	})
}

func TestMarksAndPacketInfo(t *testing.T) {
	for _, v := range []struct {
		name, network, listen, to string
	}{
		{"IPv4", "udp4", "0.0.0.0:0", "127.0.0.3"},
		{"IPv6", "udp6", "[::]:0", "::1"},
		{"dual stack, IPv4", "udp", ":0", "127.0.0.3"},
		{"dual stack, IPv6", "udp", ":0", "::1"},
	} {
		t.Run(v.name, func(t *testing.T) {
			a, b := listenOne(t, v.network, v.listen, nil), listenOne(t, v.network, v.listen, nil)
			if !b.Features().PktInfo {
				t.Skip("this system's datapath has no packet info")
			}
			to := netip.AddrPortFrom(netip.MustParseAddr(v.to), b.LocalAddr().Port())
			for ecn := range uint8(4) {
				p := Packet{Payload: run(3, 700, 0), SegmentSize: 700, Remote: to, ECN: ecn}
				if n, err := a.WriteBatch([]Packet{p}); n != 1 || err != nil {
					t.Skipf("cannot send to %v: %v", to, err)
				}
				r := collectDatagrams(t, b, 3)
				if r.first.ECN != ecn {
					t.Errorf("ECN %d arrived as %d", ecn, r.first.ECN)
				}
				if r.first.Local != to {
					t.Errorf("local address %v, want %v", r.first.Local, to)
				}
				if r.first.IfIndex == 0 {
					t.Error("no interface reported")
				}
				// The answer leaves from the address the datagram came to.
				back := Packet{Payload: []byte("answer"), Remote: r.first.Remote, Local: r.first.Local, IfIndex: r.first.IfIndex}
				if n, err := b.WriteBatch([]Packet{back}); n != 1 || err != nil {
					t.Fatalf("answer: %d, %v", n, err)
				}
				if got := collectDatagrams(t, a, 1); got.first.Remote != to {
					t.Errorf("answer came from %v, want %v", got.first.Remote, to)
				}
			}
		})
	}
}

func TestErrorsConcernOnePacket(t *testing.T) {
	a, b := listenOne(t, "udp4", "127.0.0.1:0", nil), listenOne(t, "udp4", "127.0.0.1:0", nil)
	if !a.Features().PktInfo {
		t.Skip("this system's datapath does not choose sources")
	}
	batch := []Packet{
		{Payload: []byte("one"), Remote: b.LocalAddr()},
		{Payload: []byte("two"), Remote: b.LocalAddr(), Local: netip.MustParseAddrPort("203.0.113.1:1")},
		{Payload: run(4, 100, 0), SegmentSize: 100, Remote: b.LocalAddr(), Local: netip.MustParseAddrPort("203.0.113.1:1")},
		{Payload: []byte("three"), Remote: b.LocalAddr()},
	}
	sent, errs := 0, 0
	for rest := batch; len(rest) > 0; {
		n, err := a.WriteBatch(rest)
		sent += n
		rest = rest[n:]
		if err != nil {
			errs++
			if errors.Is(err, net.ErrClosed) || errors.Is(err, ErrTooLarge) {
				t.Errorf("foreign source address: %v", err)
			}
			rest = rest[1:]
		}
	}
	if sent != 2 || errs != 2 {
		t.Errorf("%d sent, %d errors, want 2 and 2", sent, errs)
	}
	r := collectDatagrams(t, b, 2)
	if got := string(bytes.Join(r.datagrams, []byte(" "))); got != "one three" {
		t.Errorf("received %q, want %q", got, "one three")
	}
}

// TestTooLarge: DF is set and a datagram beyond the interface's MTU is an
// error of its own, whether sent alone or in a run.
func TestTooLarge(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("needs an interface whose MTU is known to be below 65507")
	}
	for _, v := range []struct {
		name string
		cfg  UDPConfig
	}{{"platform", UDPConfig{}}, {"plain", UDPConfig{Plain: true}}} {
		t.Run(v.name, func(t *testing.T) {
			ifi, addr := smallInterface(t)
			a := listenOne(t, "udp4", "0.0.0.0:0", &v.cfg)
			// Nobody need answer: the first hop's MTU decides.
			to := netip.AddrPortFrom(addr, 9)
			big := run(1, ifi.MTU+1, 0)
			if n, err := a.WriteBatch([]Packet{{Payload: big, Remote: to}}); n != 0 || !errors.Is(err, ErrTooLarge) {
				t.Errorf("one datagram: %d, %v; want ErrTooLarge", n, err)
			}
			big = run(4, ifi.MTU+1, 0)
			if n, err := a.WriteBatch([]Packet{{Payload: big, SegmentSize: ifi.MTU + 1, Remote: to}}); n != 0 || !errors.Is(err, ErrTooLarge) {
				t.Errorf("run: %d, %v; want ErrTooLarge", n, err)
			}
			if n, err := a.WriteBatch([]Packet{{Payload: run(4, 1200, 0), SegmentSize: 1200, Remote: to}}); n != 1 || err != nil {
				t.Errorf("after that: %d, %v; want 1, nil", n, err)
			}
		})
	}
}

// smallInterface finds an interface with an IPv4 network whose MTU is small,
// and an address in that network that is not this host's.
func smallInterface(t *testing.T) (net.Interface, netip.Addr) {
	t.Helper()
	ifs, err := net.Interfaces()
	if err != nil {
		t.Skip(err)
	}
	for _, ifi := range ifs {
		if ifi.Flags&net.FlagUp == 0 || ifi.Flags&net.FlagLoopback != 0 || ifi.MTU > 9000 || ifi.MTU < 1280 {
			continue
		}
		addrs, _ := ifi.Addrs()
		for _, a := range addrs {
			n, ok := a.(*net.IPNet)
			if !ok || n.IP.To4() == nil {
				continue
			}
			own, _ := netip.AddrFromSlice(n.IP.To4())
			if other := own.Next(); n.Contains(other.AsSlice()) {
				return ifi, other
			}
		}
	}
	t.Skip("no interface with a small MTU and an IPv4 network")
	return net.Interface{}, netip.Addr{}
}

func TestWake(t *testing.T) {
	datapathVariants(t, func(t *testing.T, cfg *UDPConfig) {
		p := listenOne(t, "udp4", "127.0.0.1:0", cfg)
		batch := make([]Packet, 4)
		for range 100 {
			parked := make(chan struct{}, 1)
			go func() { <-parked; p.Wake() }()
			n, err := p.ReadBatch(batch, mono.Never, func() bool {
				select {
				case parked <- struct{}{}:
				default:
				}
				return true
			})
			if n != 0 || err != nil {
				t.Fatalf("woken ReadBatch = %d, %v", n, err)
			}
		}
		// Between park's question and the sleep, no wake-up is lost.
		if n, err := p.ReadBatch(batch, mono.Never, func() bool { p.Wake(); return true }); n != 0 || err != nil {
			t.Fatalf("ReadBatch woken while parking = %d, %v", n, err)
		}
	})
}

func TestDeadline(t *testing.T) {
	datapathVariants(t, func(t *testing.T, cfg *UDPConfig) {
		p := listenOne(t, "udp4", "127.0.0.1:0", cfg)
		batch := make([]Packet, 4)
		always := func() bool { return true }
		if n, err := p.ReadBatch(batch, now()+1000, always); n != 0 || err != nil {
			t.Fatalf("ReadBatch with a deadline = %d, %v", n, err)
		}
		// Brought forward while asleep.
		n, err := p.ReadBatch(batch, now().Add(1<<40), func() bool {
			p.SetDeadline(now() + 1000)
			return true
		})
		if n != 0 || err != nil {
			t.Fatalf("ReadBatch with a deadline brought forward = %d, %v", n, err)
		}
		if n, err := p.ReadBatch(batch, mono.Never, func() bool { return false }); n != 0 || err != nil {
			t.Fatalf("ReadBatch that must not sleep = %d, %v", n, err)
		}
		if n, err := p.ReadBatch(batch, mono.Never, nil); n != 0 || err != nil {
			t.Fatalf("ReadBatch without park = %d, %v", n, err)
		}
	})
}

func TestClosedDatapath(t *testing.T) {
	datapathVariants(t, func(t *testing.T, cfg *UDPConfig) {
		p := listenOne(t, "udp4", "127.0.0.1:0", cfg)
		p.Close()
		if _, err := p.ReadBatch(make([]Packet, 1), mono.Never, func() bool { return true }); !errors.Is(err, net.ErrClosed) {
			t.Errorf("ReadBatch after Close: %v, want net.ErrClosed", err)
		}
		p.Wake()
	})
}

func TestSharedPort(t *testing.T) {
	ps, err := ListenUDP(context.Background(), "udp", "127.0.0.1:0", 3, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range ps {
		defer p.Close()
		if p.LocalAddr() != ps[0].LocalAddr() {
			t.Errorf("addresses %v and %v differ", p.LocalAddr(), ps[0].LocalAddr())
		}
	}
	if want := 3; canSharePort && len(ps) != want {
		t.Errorf("%d datapaths, want %d", len(ps), want)
	}
	if _, err := ListenUDP(context.Background(), "tcp", "127.0.0.1:0", 1, nil); err == nil {
		t.Error("network tcp was accepted")
	}
}

func TestDatapathAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	a, b := listenOne(t, "udp4", "127.0.0.1:0", nil), listenOne(t, "udp4", "127.0.0.1:0", nil)
	if a.Features().Name != "udp" {
		t.Skip("the portable path allocates in package net")
	}
	out := []Packet{{Payload: run(10, 1200, 0), SegmentSize: 1200, Remote: b.LocalAddr(), Local: a.LocalAddr(), ECN: 2}}
	in := make([]Packet, 8)
	park := func() bool { return true }
	if n := testing.AllocsPerRun(200, func() {
		if _, err := a.WriteBatch(out); err != nil {
			t.Fatal(err)
		}
		for got := 0; got < 10; {
			n, err := b.ReadBatch(in, mono.Never, park)
			if err != nil {
				t.Fatal(err)
			}
			for i := range in[:n] {
				got += in[i].Segments()
			}
		}
	}); n != 0 {
		t.Errorf("%v allocations per batch, want 0", n)
	}
}

func FuzzReadControl(f *testing.F) {
	fuzzReadControl(f)
}
