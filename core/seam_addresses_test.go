package core

import (
	"net/netip"
	"testing"
	"time"

	"github.com/pquic-go/pquic/protoops"
)

// Datagrams leave from, and are accepted on, the addresses of their path.
func TestSeamAddressesOfPaths(t *testing.T) {
	l := newLab(t,
		onClient(func(c *Conn) { attachMultipath(t, c, clientAddr2, serverAddr2) }),
		onServer(func(c *Conn) { attachMultipath(t, c, netip.AddrPort{}, netip.AddrPort{}) }))
	type leg struct {
		toServer      bool
		path          uint64
		local, remote netip.AddrPort
	}
	legs := map[leg]int{}
	l.seen = func(d *labDatagram) { legs[leg{d.toServer, d.path, d.Local, d.Remote}]++ }
	l.until("second path", func() bool { return l.s != nil && l.s.Path(1) != nil && l.s.Path(1).State == PathActive })
	l.transfer(l.c, l.s, 1<<20)
	for _, want := range []leg{
		{true, 0, serverAddr, clientAddr}, {false, 0, clientAddr, serverAddr},
		{true, 1, serverAddr2, clientAddr2}, {false, 1, clientAddr2, serverAddr2},
	} {
		if legs[want] == 0 {
			t.Errorf("nothing arrived on %+v", want)
		}
	}
	if len(legs) != 4 {
		t.Errorf("datagrams took %v", legs)
	}
	if p := l.s.Path(1); p.LocalAddr() != serverAddr2 || p.RemoteAddr() != clientAddr2 || p.LocalPort != 443 || p.RemotePort != 2222 {
		t.Errorf("server's path 1 is %v to %v", p.LocalAddr(), p.RemoteAddr())
	}
}

// The host's list of addresses is an event; a path whose address is gone closes
// if another is left, and a plugin may decide otherwise.
func TestSeamAddressesChange(t *testing.T) {
	l := twoPaths(t)
	events, asked := 0, 0
	keep := true
	attach(t, l.c, plugin("org.example.addresses",
		post("local_addresses_changed", func(*protoops.Call) error {
			events++
			if got := l.c.LocalAddresses(); len(got) == 0 || got[0].Addr != clientAddr {
				t.Errorf("the addresses are %v", got)
			}
			return nil
		}),
		replace("path_socket_error", func(call *protoops.Call) error {
			asked++
			protoops.ResultOf[Decision](call).Yes = !keep
			return nil
		})))
	both := []LocalAddr{{Addr: clientAddr, IfIndex: 1}, {Addr: clientAddr2, IfIndex: 2}}
	l.c.SetLocalAddresses(l.now, both)
	if events != 1 || asked != 0 || len(l.c.Paths()) != 2 {
		t.Errorf("%d events, asked %d times, %d paths", events, asked, len(l.c.Paths()))
	}
	l.c.SetLocalAddresses(l.now, both[:1])
	if events != 2 || asked != 1 || len(l.c.Paths()) != 2 {
		t.Errorf("kept: %d events, asked %d times, %d paths", events, asked, len(l.c.Paths()))
	}
	keep = false
	l.c.SetLocalAddresses(l.now, both[:1])
	if len(l.c.Paths()) != 1 || l.c.Path(1) != nil {
		t.Errorf("%d paths are open", len(l.c.Paths()))
	}
	l.s.ClosePath(l.s.Path(1))
	l.transfer(l.c, l.s, 1<<20)
}

// A socket error takes a path with it while data flows, and never the last one.
func TestSeamAddressesSocketError(t *testing.T) {
	l := twoPaths(t)
	f := l.open(l.c, l.s, 4<<20)
	l.until("half", func() bool { f.pump(); return f.read > 2<<20 })
	l.c.PathSocketError(l.now, l.c.Path(0), 0)
	l.s.PathSocketError(l.now, l.s.Path(0), 0)
	l.lost = func(d *labDatagram) bool { return d.path == 0 }
	l.until("rest", f.pump)
	for range 5 {
		l.c.PathSocketError(l.now, l.c.Paths()[0], 0)
	}
	if len(l.c.Paths()) != 1 || l.c.Err() != nil {
		t.Errorf("%d paths, %v", len(l.c.Paths()), l.c.Err())
	}
	l.transfer(l.s, l.c, 100_000)
	plain := connected(t)
	plain.c.PathSocketError(plain.now, plain.c.path0, 0)
	plain.transfer(plain.c, plain.s, 100_000)
}

// The network's refusal of a size moves the path's MTU, nothing else.
func TestSeamAddressesTooBig(t *testing.T) {
	l := connected(t)
	l.transfer(l.c, l.s, 200_000)
	if l.c.path0.MTU != 1472 {
		t.Fatalf("MTU %d", l.c.path0.MTU)
	}
	limit := 1300
	l.lost = func(d *labDatagram) bool {
		if d.toServer && len(d.Payload) > limit {
			l.c.PathSocketError(l.now, l.c.path0, len(d.Payload))
			return true
		}
		return false
	}
	l.transfer(l.c, l.s, 200_000)
	l.wait(20 * time.Second)
	if m := l.c.path0.MTU; m > uint64(limit) || m < minUDPPayload || l.c.Err() != nil {
		t.Errorf("MTU %d, %v", m, l.c.Err())
	}
}
