package core

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/pquic-go/pquic/core/wire"
)

// Path MTU discovery: probes, their fates, black holes.
// https://www.rfc-editor.org/rfc/rfc8899, https://www.rfc-editor.org/rfc/rfc9000#section-14

// mtuConn is a client whose search starts now, on an interface of the MTU.
func mtuConn(t *testing.T, mtu int, opts ...scriptOption) *testConn {
	tc := newTestConn(t, clientSide, append([]scriptOption{engineConfig(func(c *Config) {
		c.InterfaceMTU = func(netip.Addr) int { return mtu }
		c.CongestionControl = "newreno"
	})}, opts...)...)
	tc.conn.config.DisablePathMTUDiscovery = false
	tc.conn.path0.mtu.begin(tc.conn.path0, tc.now)
	return tc
}

// probe returns the size of the path MTU probe the engine has just sent, 0 for
// none, and its packet number.
func (tc *testConn) probe() (size int, pn uint64) {
	tc.t.Helper()
	tc.flush()
	for _, p := range tc.queue {
		if p.size > int(tc.conn.path0.MTU) {
			for _, f := range p.frames {
				switch f.(type) {
				case wire.PingFrame, wire.PaddingFrame, wire.ImmediateAckFrame:
				default:
					tc.t.Fatalf("a probe carries %s, which its loss would delay", frameString(f))
				}
			}
			size, pn = p.size, p.number
		}
	}
	tc.queue = nil
	return size, pn
}

func TestMTUSearch(t *testing.T) {
	for _, link := range []int{1500, 1400, 1300, 9000, 1228} {
		tc := mtuConn(t, 9000)
		p := tc.conn.path0
		window := p.Congestion.CongestionWindow
		probes := 0
		for range 200 {
			size, pn := tc.probe()
			if size == 0 {
				if p.mtu.done {
					break
				}
				if tc.conn.v.State >= StateClosing {
					t.Fatalf("link of %d: %v; %+v, MTU %d", link, tc.conn.Err(), p.mtu, p.MTU)
				}
				tc.advanceToTimer("next probe")
				continue
			}
			probes++
			if size <= link-28 {
				tc.ack(level1RTT, pnRange(pn, pn))
			} else {
				for range 3 {
					tc.conn.Ping(tc.now)
					tc.flush()
				}
				tc.queue = nil
				got := tc.got[appSpace]
				for _, n := range got[len(got)-3:] {
					tc.ack(level1RTT, pnRange(n, n))
				}
			}
		}
		if !p.mtu.done {
			t.Fatalf("link of %d: the search does not end", link)
		}
		if got, most := int(p.MTU), link-28; got > most || got < most-mtuPrecision || got < minUDPPayload {
			t.Errorf("link of %d: found %d, possible are %d", link, got, most)
		}
		if probes > 120 {
			t.Errorf("link of %d: %d probes", link, probes)
		}
		// "Loss of a QUIC packet that is carried in a PMTU probe is therefore not
		// a reliable indication of congestion and SHOULD NOT trigger a congestion
		// control reaction".
		if p.Congestion.CongestionWindow < window {
			t.Errorf("link of %d: window fell from %d to %d", link, window, p.Congestion.CongestionWindow)
		}
		tc.cheated = true
	}
}

// The peer's max_udp_payload_size bounds the search, and every datagram.
func TestMTUPeerLimit(t *testing.T) {
	tc := mtuConn(t, 9000, peerConfig(func(c *Config) { c.MaxUDPPayload = 1333 }))
	size, pn := tc.probe()
	if size != 1333 {
		t.Fatalf("first probe has %d bytes", size)
	}
	tc.ack(level1RTT, pnRange(pn, pn))
	s := tc.openStream(true)
	tc.writeStream(s, strings.Repeat("x", 9000), false)
	tc.flush()
	for _, p := range tc.queue {
		if p.size > 1333 {
			t.Errorf("datagram of %d bytes", p.size)
		}
	}
}

// When full-size packets stop getting through the size falls back, and the data
// goes on.
func TestMTUBlackHole(t *testing.T) {
	tc := mtuConn(t, 1500)
	p := tc.conn.path0
	_, pn := tc.probe()
	tc.ack(level1RTT, pnRange(pn, pn))
	if p.MTU != 1472 {
		t.Fatalf("MTU %d", p.MTU)
	}
	s := tc.openStream(true)
	tc.writeStream(s, strings.Repeat("x", 30_000), true)
	// From now on only datagrams up to 1300 bytes arrive.
	for range 400 {
		tc.flush()
		var got []uint64
		for _, q := range tc.queue {
			if q.size <= 1300 {
				got = append(got, q.number)
			}
		}
		tc.queue = nil
		if s.sendHalf.Done() {
			break
		}
		for _, n := range got {
			tc.ack(level1RTT, pnRange(n, n))
		}
		if len(got) == 0 {
			tc.advanceToTimer("black hole")
		}
	}
	if !s.sendHalf.Done() {
		t.Errorf("data does not get through, MTU %d, %d probe timeouts", p.MTU, p.PTOCount)
	}
	if p.MTUBlackholes == 0 || p.MTU > 1300 {
		t.Errorf("%d black holes found, MTU %d", p.MTUBlackholes, p.MTU)
	}
}

// The network's own word that a size is too big.
func TestMTURefused(t *testing.T) {
	tc := mtuConn(t, 9000)
	p := tc.conn.path0
	size, _ := tc.probe()
	tc.conn.PathSocketError(tc.now, p, size)
	next, pn := tc.probe()
	if next >= size || next <= int(p.MTU) {
		t.Fatalf("next probe has %d bytes after %d were refused", next, size)
	}
	tc.ack(level1RTT, pnRange(pn, pn))
	was := p.MTU
	tc.conn.PathSocketError(tc.now, p, int(was)) // the route has changed
	if p.MTU >= was {
		t.Errorf("MTU %d after %d was refused", p.MTU, was)
	}
	tc.wantOpen("size refused")
	tc.advance(time.Second)
}

// A window smaller than the interface's MTU does not stop the search: sizes that
// fit are tried meanwhile.
func TestMTUSmallWindow(t *testing.T) {
	tc := newTestConn(t, clientSide, engineConfig(func(c *Config) {
		c.InterfaceMTU = func(netip.Addr) int { return 65535 }
		c.InitialWindow = 4
	}))
	tc.conn.config.DisablePathMTUDiscovery = false
	p := tc.conn.path0
	p.Congestion.CongestionWindow = 5000
	p.mtu.begin(p, tc.now)
	size, pn := tc.probe()
	if size != 4352 {
		t.Fatalf("first probe has %d bytes, the window is %d", size, p.Congestion.CongestionWindow)
	}
	tc.ack(level1RTT, pnRange(pn, pn))
	if p.MTU != 4352 {
		t.Errorf("MTU %d", p.MTU)
	}
}
