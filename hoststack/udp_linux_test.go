package hoststack

import (
	"net/netip"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// fuzzReadControl: whatever the kernel writes, parsing stays inside.
func fuzzReadControl(f *testing.F) {
	var c txControl
	n := c.build(&Packet{SegmentSize: 1200, ECN: 1, IfIndex: 3,
		Remote: netip.MustParseAddrPort("[2001:db8::1]:1"), Local: netip.MustParseAddrPort("[2001:db8::2]:1")}, true)
	f.Add(c.b[:n])
	n = c.build(&Packet{SegmentSize: 1200, ECN: 1, IfIndex: 3,
		Remote: netip.MustParseAddrPort("192.0.2.1:1"), Local: netip.MustParseAddrPort("192.0.2.2:1")}, true)
	f.Add(c.b[:n])
	f.Fuzz(func(t *testing.T, b []byte) {
		var c rxControl
		k := copy(c.b[:], b)
		p := Packet{Payload: make([]byte, 4000)}
		c.parse(k, &p)
		if p.ECN > 3 || p.SegmentSize >= len(p.Payload) {
			t.Errorf("parsed %+v", p)
		}
	})
}

// TestControlRoundTrip: what build writes, parse reads, except that the
// segment size's message differs by direction.
func TestControlRoundTrip(t *testing.T) {
	for _, want := range []Packet{
		{Remote: netip.MustParseAddrPort("192.0.2.1:1"), Local: netip.MustParseAddrPort("192.0.2.2:7"), IfIndex: 4, ECN: 3},
		{Remote: netip.MustParseAddrPort("[2001:db8::1]:1"), Local: netip.MustParseAddrPort("[2001:db8::2]:7"), IfIndex: 4, ECN: 2},
	} {
		var tx txControl
		n := tx.build(&want, false)
		var rx rxControl
		copy(rx.b[:], tx.b[:n])
		got := Packet{Remote: want.Remote, Local: netip.AddrPortFrom(netip.Addr{}, 7)}
		rx.parse(n, &got)
		if got.Local != want.Local || got.IfIndex != want.IfIndex || got.ECN != want.ECN {
			t.Errorf("got %+v, want %+v", got, want)
		}
	}
	var tx txControl
	if n := tx.build(&Packet{Remote: netip.MustParseAddrPort("192.0.2.1:1"), Local: netip.MustParseAddrPort("0.0.0.0:7")}, false); n != 0 {
		t.Errorf("a plain datagram carries %d bytes of ancillary data, want 0", n)
	}
}

func TestSockaddrRoundTrip(t *testing.T) {
	for _, s := range []string{"192.0.2.1:443", "[2001:db8::1]:65535", "[fe80::1]:1"} {
		a := netip.MustParseAddrPort(s)
		for _, ip6 := range []bool{false, true} {
			if !ip6 && a.Addr().Is6() {
				continue
			}
			var sa unix.RawSockaddrInet6
			putSockaddr(&sa, a, 5, ip6)
			if got := addrPortOf(&sa); got != a {
				t.Errorf("IPv6 socket %v: %v came back as %v", ip6, a, got)
			}
		}
	}
}

// TestOffloadRefused: a device without checksum offload answers EIO; the run
// is sent datagram by datagram and GSO is not tried again.
func TestOffloadRefused(t *testing.T) {
	s := listenOne(t, "udp4", "127.0.0.1:0", nil).(*udpSocket)
	if !s.gso.Load() {
		t.Skip("no GSO here")
	}
	for _, errno := range []syscall.Errno{unix.EINVAL, unix.EMSGSIZE} {
		if !s.offloadRefused(errno) || !s.gso.Load() {
			t.Errorf("%v: want the run split and GSO kept", errno)
		}
	}
	if s.offloadRefused(unix.ENETUNREACH) {
		t.Error("an unreachable network is not the offload's fault")
	}
	if !s.offloadRefused(unix.EIO) || s.gso.Load() {
		t.Error("EIO: want the run split and GSO given up")
	}
}

// TestFineTimer: near deadlines come by the fine timer, later ones do not
// bother it, and its goroutine ends with the socket.
func TestFineTimer(t *testing.T) {
	p := listenOne(t, "udp4", "127.0.0.1:0", nil).(*udpSocket)
	batch := make([]Packet, 4)
	wait := func(d time.Duration) {
		for at := now().Add(d); now().Before(at); {
			if n, err := p.ReadBatch(batch, at, func() bool { return true }); n != 0 || err != nil {
				t.Fatalf("%d, %v", n, err)
			}
		}
	}
	wait(fineUnder + time.Millisecond)
	for range 20 {
		wait(100 * time.Microsecond)
	}
	if p.fine.file == nil {
		t.Error("the fine timer was not used")
	}
	p.Close()
	if p.fine.set(time.Microsecond, func() { t.Error("woken after Close") }) {
		t.Error("the timer can be set after Close")
	}
}

// TestMessageLayout holds mmsghdr to the kernel's: a msghdr and a length, the
// next one aligned.
func TestMessageLayout(t *testing.T) {
	if unsafe.Offsetof(mmsghdr{}.n) != unsafe.Sizeof(unix.Msghdr{}) {
		t.Error("length does not follow the header")
	}
	if unsafe.Sizeof(mmsghdr{})%unsafe.Alignof(uintptr(0)) != 0 {
		t.Error("entries of the array are not aligned")
	}
}
