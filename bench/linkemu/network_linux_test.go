package linkemu

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// newNetwork makes a network for the test, which is skipped where that cannot be done.
func newNetwork(t *testing.T, c Config) *Network {
	t.Helper()
	n, err := New(c)
	if errors.Is(err, ErrUnavailable) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Errorf("closing the network: %v", err)
		}
	})
	return n
}

// listen opens a UDP socket in a host.
func listen(t *testing.T, h *Host, addr string) *net.UDPConn {
	t.Helper()
	var c *net.UDPConn
	err := h.Do(func() (err error) {
		c, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.MustParseAddrPort(addr)))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	_ = c.SetReadBuffer(4 << 20)
	return c
}

func send(t *testing.T, c *net.UDPConn, to string, b []byte) {
	t.Helper()
	if _, err := c.WriteToUDPAddrPort(b, netip.MustParseAddrPort(to)); err != nil {
		t.Fatal(err)
	}
}

func receive(t *testing.T, c *net.UDPConn) ([]byte, netip.AddrPort) {
	t.Helper()
	b := make([]byte, 65536)
	n, from, err := c.ReadFromUDPAddrPort(b)
	if err != nil {
		t.Fatal(err)
	}
	return b[:n], netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
}

// arrivals makes a socket that tells when the kernel got each datagram, which does not depend on when the
// test gets to run.
func arrivals(t *testing.T, c *net.UDPConn) func() (payload []byte, at time.Time) {
	t.Helper()
	raw, err := c.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var set error
	if err := raw.Control(func(fd uintptr) {
		set = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1)
	}); err != nil || set != nil {
		t.Fatal(err, set)
	}
	b, oob := make([]byte, 65536), make([]byte, 256)
	return func() ([]byte, time.Time) {
		n, m, _, _, err := c.ReadMsgUDPAddrPort(b, oob)
		if err != nil {
			t.Fatal(err)
		}
		h, data, _, err := unix.ParseOneSocketControlMessage(oob[:m])
		if err != nil || h.Type != unix.SO_TIMESTAMPNS || len(data) < 16 {
			t.Fatalf("no time of arrival: %v", err)
		}
		sec, nsec := binary.NativeEndian.Uint64(data), binary.NativeEndian.Uint64(data[8:])
		return b[:n], time.Unix(int64(sec), int64(nsec))
	}
}

// The package's promise about delay: 10 ms asked are 10 ms within 0.3 ms in the median.
func TestDelayAccuracy(t *testing.T) {
	n := newNetwork(t, Config{Links: []LinkConfig{{AToB: Shape{Delay: 10 * ms}}}})
	a, b := listen(t, n.Host("client"), "10.88.0.1:1000"), listen(t, n.Host("server"), "10.88.0.2:1000")
	next := arrivals(t, b)
	var delays, applications []time.Duration
	for range 150 {
		send(t, a, "10.88.0.2:1000", binary.BigEndian.AppendUint64(nil, uint64(time.Now().UnixNano())))
		p, at := next()
		sent := time.Unix(0, int64(binary.BigEndian.Uint64(p)))
		delays, applications = append(delays, at.Sub(sent)), append(applications, time.Since(sent))
	}
	slices.Sort(delays)
	slices.Sort(applications)
	median := delays[len(delays)/2]
	t.Logf("10 ms asked: median %v, 10th percentile %v, 90th %v, 99th %v; until the application had it, median %v; link: %v",
		median, delays[len(delays)/10], delays[len(delays)*9/10], delays[len(delays)*99/100], applications[len(applications)/2],
		n.Link(0).Stats(AToB))
	if off := (median - 10*ms).Abs(); off > 300*time.Microsecond {
		t.Errorf("10 ms asked, median %v: more than 0.3 ms off", median)
	}
}

// The package's promise about rate: 20 Mbps asked are 20 Mbps within 2 %.
func TestRateAccuracy(t *testing.T) {
	const count, payload, window = 3000, 1200, 800
	n := newNetwork(t, Config{Links: []LinkConfig{{AToB: Shape{Rate: 20e6, Queue: 1 << 20}}}})
	a, b := listen(t, n.Host("client"), "10.88.0.1:1000"), listen(t, n.Host("server"), "10.88.0.2:1000")
	next := arrivals(t, b)
	// The sender keeps the queue filled without overflowing it.
	credit := make(chan struct{}, window)
	go func() {
		for range count {
			credit <- struct{}{}
			_, _ = a.WriteToUDPAddrPort(make([]byte, payload), netip.MustParseAddrPort("10.88.0.2:1000"))
		}
	}()
	var first, last time.Time
	for i := range count {
		_, last = next()
		<-credit
		if i == 0 {
			first = last
		}
	}
	const headers = 28 // IPv4 and UDP
	rate := float64((count-1)*(payload+headers)*8) / last.Sub(first).Seconds()
	t.Logf("20 Mbps asked, %.3f Mbps measured; link: %v", rate/1e6, n.Link(0).Stats(AToB))
	if rate < 20e6*0.98 || rate > 20e6*1.02 {
		t.Errorf("20 Mbps asked, %.3f Mbps measured: more than 2 %% off", rate/1e6)
	}
}

func TestIPv6AndCorruption(t *testing.T) {
	n := newNetwork(t, Config{Links: []LinkConfig{{AToB: Shape{Corrupt: 1}}}})
	for _, addr := range []struct{ a, b string }{
		{"10.88.0.1:1000", "10.88.0.2:1000"}, {"[fd88::1]:1000", "[fd88::2]:1000"},
	} {
		a, b := listen(t, n.Host("client"), addr.a), listen(t, n.Host("server"), addr.b)
		sent := []byte("thirteen byte")
		// The kernel drops a UDP packet with a wrong checksum, so arrival proves it right.
		send(t, a, addr.b, sent)
		got, _ := receive(t, b)
		if len(got) != len(sent) || flipped(got, sent) != 1 {
			t.Errorf("%s: got %q, want %q with one bit flipped", addr.b, got, sent)
		}
		send(t, b, addr.a, sent)
		if got, _ := receive(t, a); !bytes.Equal(got, sent) {
			t.Errorf("the other direction: got %q, want %q", got, sent)
		}
	}
	if s := n.Link(0).Stats(AToB); s.Corrupted != 2 {
		t.Errorf("%d packets corrupted, want 2", s.Corrupted)
	}
}

func flipped(a, b []byte) (bits int) {
	for i := range a {
		for x := a[i] ^ b[i]; x != 0; x &= x - 1 {
			bits++
		}
	}
	return bits
}

func TestRebinding(t *testing.T) {
	n := newNetwork(t, Config{Links: []LinkConfig{{NAT: true}}})
	a, b := listen(t, n.Host("client"), "10.88.0.1:1000"), listen(t, n.Host("server"), "10.88.0.2:443")
	l := n.Link(0)
	seen := func(want string) netip.AddrPort {
		t.Helper()
		send(t, a, "10.88.0.2:443", []byte("request"))
		_, from := receive(t, b)
		if from.Addr().String() != want {
			t.Errorf("the server sees %v, want address %s", from, want)
		}
		send(t, b, from.String(), []byte("answer"))
		if got, from := receive(t, a); string(got) != "answer" || from.String() != "10.88.0.2:443" {
			t.Errorf("the client got %q from %v", got, from)
		}
		return from
	}
	first := seen("10.88.0.1")
	if first.Port() != 1000 {
		t.Errorf("before any rebinding the server sees port %d, want 1000", first.Port())
	}
	if err := l.Rebind(RebindPort); err != nil {
		t.Fatal(err)
	}
	// Nothing is bound until the client sends.
	send(t, b, first.String(), []byte("lost"))
	second := seen("10.88.0.1")
	if second.Port() == first.Port() {
		t.Errorf("after a rebinding the server still sees port %d", second.Port())
	}
	if err := l.Rebind(RebindAddress); err != nil {
		t.Fatal(err)
	}
	seen("10.88.0.101")
	if got := l.Stats(BToA).Fates[NoBinding]; got != 1 {
		t.Errorf("%d packets without a binding, want 1", got)
	}
}

func TestChangesAndLoss(t *testing.T) {
	var observed atomic.Uint64
	n := newNetwork(t, Config{Seed: 4, Links: []LinkConfig{{
		AToB:    Shape{Drop: []uint64{1}},
		Observe: func(o Observation) { observed.Add(1) },
	}}})
	a, b := listen(t, n.Host("client"), "10.88.0.1:1000"), listen(t, n.Host("server"), "10.88.0.2:1000")
	l := n.Link(0)
	const to = "10.88.0.2:1000"
	send(t, a, to, []byte("dropped"))
	send(t, a, to, []byte("one"))
	if p, _ := receive(t, b); string(p) != "one" {
		t.Errorf("got %q, want the second packet", p)
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(l.Set(Both, func(s *Shape) { s.Down = true }))
	send(t, a, to, []byte("into the blackhole"))
	send(t, a, to, []byte("into the blackhole"))
	// The link reads packets in order, so the blackhole ends behind those two at the latest
	// when the link has counted them.
	for l.Stats(AToB).Packets < 4 {
		runtime.Gosched()
	}
	must(l.Set(Both, func(s *Shape) { *s = Shape{} }))
	send(t, a, to, []byte("two"))
	if p, _ := receive(t, b); string(p) != "two" {
		t.Errorf("got %q, want the packet behind the blackhole", p)
	}
	if s := l.Stats(AToB); s.Fates[Listed] != 1 || s.Fates[LinkDown] != 2 || s.Fates[Delivered] != 2 || observed.Load() != s.Packets {
		t.Errorf("stats %+v, %d observed", s, observed.Load())
	}
	if err := l.Set(AToB, func(s *Shape) { s.Loss = 7 }); err == nil {
		t.Error("a probability of 7 was accepted")
	}
	if err := l.Rebind(RebindPort); err == nil {
		t.Error("a link without NAT was rebound")
	}
}

func TestScriptPlays(t *testing.T) {
	n := newNetwork(t, Config{Links: []LinkConfig{{AToB: Shape{Down: true}}}})
	a, b := listen(t, n.Host("client"), "10.88.0.1:1000"), listen(t, n.Host("server"), "10.88.0.2:1000")
	if err := n.Link(0).Play([]Step{{At: 20 * ms, Direction: AToB, Set: func(s *Shape) { s.Down = false }}}); err != nil {
		t.Fatal(err)
	}
	got := make(chan struct{})
	go func() {
		_, _, _ = b.ReadFromUDPAddrPort(make([]byte, 10))
		close(got)
	}()
	every := time.NewTicker(ms)
	defer every.Stop()
	for {
		select {
		case <-every.C:
			send(t, a, "10.88.0.2:1000", []byte("x"))
		case <-got:
			if n.Link(0).Stats(AToB).Fates[LinkDown] == 0 {
				t.Error("the link was up before the script said so")
			}
			return
		}
	}
}

func TestCommandsAndCleanup(t *testing.T) {
	n := newNetwork(t, Config{Links: []LinkConfig{{}, {B: "other"}}})
	var out bytes.Buffer
	cmd := exec.Command("ip", "-brief", "addr", "show", "link1")
	cmd.Stdout = &out
	p, err := n.Host("other").Start(cmd)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Wait(); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), "10.88.1.2/24") {
		t.Errorf("in the host: %s, want address 10.88.1.2/24", out.String())
	}
	if _, err := os.Stat(n.Host("other").NamespacePath()); err != nil {
		t.Error(err)
	}
	sleeper, err := n.Host("server").Start(exec.Command("sleep", "1000"))
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	var exit *exec.ExitError
	if err := sleeper.Wait(); !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Errorf("a command outlived its network: %v", err)
	}
	if err := n.Host("client").Do(func() error { return nil }); err == nil {
		t.Error("a closed network still runs functions")
	}
	if err := n.Link(0).Set(Both, func(*Shape) {}); err == nil {
		t.Error("a closed network still changes links")
	}
}
