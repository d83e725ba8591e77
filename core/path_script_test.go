package core

import (
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/pquic-go/pquic/core/wire"
)

// Path validation and migration.
// https://www.rfc-editor.org/rfc/rfc9000#section-9

var (
	otherAddr = netip.MustParseAddrPort("203.0.113.9:50000")
	otherPort = netip.MustParseAddrPort("192.0.2.1:50001")
)

// from makes a packet that comes from another address of the peer.
func from(a netip.AddrPort, frames ...any) *scriptPacket {
	return &scriptPacket{level: level1RTT, frames: frames, from: a}
}

// wantChallenge finds a PATH_CHALLENGE sent to an address.
func (tc *testConn) wantChallenge(why string, to netip.AddrPort) wire.PathChallengeFrame {
	tc.t.Helper()
	tc.flush()
	for _, p := range tc.queue {
		for _, f := range p.frames {
			if c, ok := f.(wire.PathChallengeFrame); ok && p.remote == to {
				tc.current = p
				return c
			}
		}
	}
	tc.t.Fatalf("%s: no PATH_CHALLENGE to %v%s", why, to, tc.state())
	return wire.PathChallengeFrame{}
}

// "On receiving a PATH_CHALLENGE frame, an endpoint MUST respond by echoing the
// data contained in the PATH_CHALLENGE frame in a PATH_RESPONSE frame." on the
// path it came by, in a datagram of full size.
// https://www.rfc-editor.org/rfc/rfc9000#section-8.2.2
func TestPathChallengeAnswered(t *testing.T) {
	bothSides(t, func(t *testing.T, side scriptSide) {
		tc := newTestConn(t, side)
		data := [8]byte{1, 2, 3, 4, 5, 6, 7, 8}
		tc.write1RTT(wire.PathChallengeFrame{Data: data})
		p := tc.wantFrame("echo", wire.PathResponseFrame{Data: data})
		if p.size < minUDPPayload {
			t.Errorf("answer in a datagram of %d bytes", p.size)
		}
		tc.wantIdle("one answer")
	})
	// A probe from elsewhere is answered there, and moves nothing.
	tc := newTestConn(t, serverSide)
	data := [8]byte{9}
	p := from(otherAddr, wire.PathChallengeFrame{Data: data})
	p.pad = 1200
	tc.write(p)
	if got := tc.wantFrame("echo", wire.PathResponseFrame{Data: data}); got.remote != otherAddr {
		t.Errorf("answer went to %v", got.remote)
	}
	if tc.conn.path0.route.remote != tc.remote {
		t.Error("a probing packet moved the connection")
	}
	tc.wantOpen("probed")
	// What a spoofed address gets back is at most three times what came from
	// there.
	tc = newTestConn(t, serverSide)
	tc.write(from(otherAddr, wire.PathChallengeFrame{Data: data}))
	for _, p := range tc.queue {
		if p.remote == otherAddr && p.size > 3*60 {
			t.Errorf("%d bytes in answer to a small datagram", p.size)
		}
	}
}

// A response that fits no challenge is ignored.
func TestPathResponseUnasked(t *testing.T) {
	tc := newTestConn(t, clientSide)
	tc.write1RTT(wire.PathResponseFrame{Data: [8]byte{1}})
	tc.wantOpen("unasked")
	tc.wantIdle("unasked")
}

// A client's non-probing packet from elsewhere: the server follows, validates
// the new address and the old one, and may send three times what it got.
// https://www.rfc-editor.org/rfc/rfc9000#section-9.3
func TestMigrationFollowed(t *testing.T) {
	tc := newTestConn(t, serverSide, engineConfig(func(c *Config) { c.DisablePathMTUDiscovery = false }))
	tc.advance(time.Second)
	tc.queue, tc.bytes = nil, 0
	s := tc.openStream(false)
	tc.writeStream(s, string(make([]byte, 100_000)), true)
	tc.flush()
	tc.ackAll(level1RTT)
	p := tc.conn.path0
	for p.Congestion.BytesInFlight > 0 {
		tc.ackAll(level1RTT)
	}
	// Data waits for more credit than the new address has.
	s = tc.openStream(false)
	tc.writeStream(s, string(make([]byte, 50_000)), true)
	oldID := tc.conn.destConnID(p, p.route)
	sentTo := map[netip.AddrPort]int{}
	tc.tap = func(p *scriptPacket) { sentTo[p.remote] += p.length }
	tc.queue = nil
	q := from(otherAddr, wire.PingFrame{})
	q.pad = 400
	tc.write(q)
	if p.route.remote != otherAddr {
		t.Fatal("server did not follow")
	}
	here := tc.wantChallenge("new address", otherAddr)
	if tc.current.dst == oldID {
		t.Error("the same connection ID is used to the new address")
	}
	if p.Congestion.CongestionWindow > 32*1200 || p.RTT.Samples != 0 {
		t.Error("window and round-trip time of the old path are kept")
	}
	back := tc.wantChallenge("old address", tc.remote)
	if here.Data == back.Data {
		t.Error("challenges are not unpredictable")
	}
	tc.advance(3 * time.Second)
	if n := sentTo[otherAddr]; n > 3*400 {
		t.Fatalf("%d bytes sent to an address that sent 400", n)
	}
	// Validated: everything flows, the old address is forgotten and its
	// connection ID retired.
	here = wire.PathChallengeFrame{}
	for _, p := range tc.queue {
		for _, f := range p.frames {
			if c, ok := f.(wire.PathChallengeFrame); ok && p.remote == otherAddr {
				here = c
			}
		}
	}
	tc.queue = nil
	tc.write(from(otherAddr, wire.PathResponseFrame(here)))
	if !p.route.validated || p.Validated == 0 {
		t.Fatal("address is not validated")
	}
	var retired bool
	for range 200 {
		tc.flush()
		for _, q := range tc.queue {
			for _, f := range q.frames {
				_, r := f.(wire.RetireConnectionIDFrame)
				retired = retired || r
			}
		}
		tc.queue = nil
		if s.sendHalf.Done() {
			break
		}
		if r := tc.gotRanges(appSpace); len(r) > 0 {
			tc.write(from(otherAddr, ackFrame{Ranges: r[:min(len(r), 30)]}))
		}
		tc.advance(20 * time.Millisecond)
	}
	if !s.sendHalf.Done() {
		t.Error("data does not flow")
	}
	if !retired {
		t.Error("the connection ID of the old address was not retired")
	}
	if !p.mtu.started {
		t.Error("path MTU discovery was not started anew")
	}
	tc.wantOpen("migrated")
}

// "An endpoint only changes the address to which it sends packets in response
// to the highest-numbered non-probing packet."
func TestMigrationIgnored(t *testing.T) {
	for why, x := range map[string]func(tc *testConn){
		"probing packet": func(tc *testConn) {
			tc.write(from(otherAddr, wire.PathChallengeFrame{}, newConnID(tc.nextRemote(), 0), wire.PaddingFrame{Length: 3}))
		},
		"older packet": func(tc *testConn) {
			high := tc.next[appSpace]
			tc.next[appSpace] = high + 5
			tc.write1RTT(wire.PingFrame{})
			tc.next[appSpace] = high
			tc.write(from(otherAddr, wire.PingFrame{}))
		},
		"forged packet": func(tc *testConn) {
			p := from(otherAddr, wire.PingFrame{})
			b := tc.encode(p, true, 0)
			b[len(b)-1] ^= 1
			tc.writeDatagram(b, p)
		},
	} {
		tc := newTestConn(t, serverSide)
		x(tc)
		if tc.conn.path0.route.remote != tc.remote {
			t.Errorf("%s moved the connection", why)
		}
		tc.wantOpen(why)
	}
	// A client never follows its server.
	tc := newTestConn(t, clientSide)
	n := tc.conn.v.PacketsReceived
	tc.write(from(otherAddr, wire.PingFrame{}))
	if tc.conn.v.PacketsReceived != n || tc.conn.path0.route.remote != tc.remote {
		t.Error("a client took a packet from an unknown server address")
	}
}

// A port alone is a rebinding: window and connection ID stay.
// https://www.rfc-editor.org/rfc/rfc9000#section-9.4
func TestRebinding(t *testing.T) {
	tc := newTestConn(t, serverSide)
	p := tc.conn.path0
	samples, id := p.RTT.Samples, p.route.idSeq
	q := from(otherPort, wire.PingFrame{})
	q.pad = 1200
	tc.write1RTT(wire.PaddingFrame{Length: 10}) // the engine knows the ID in use
	tc.write(q)
	if p.route.remote != otherPort || p.RTT.Samples != samples || p.route.idSeq != id {
		t.Errorf("after rebinding: %v, %d samples (%d), connection ID %d (%d)", p.route.remote, p.RTT.Samples, samples, p.route.idSeq, id)
	}
	c := tc.wantChallenge("new port", otherPort)
	tc.write(from(otherPort, wire.PathResponseFrame(c)))
	if !p.route.validated {
		t.Error("not validated")
	}
}

// If the new address fails its test, the server goes back to the old one.
// https://www.rfc-editor.org/rfc/rfc9000#section-9.3.2
func TestMigrationFails(t *testing.T) {
	tc := newTestConn(t, serverSide, engineConfig(func(c *Config) { c.MaxIdleTimeout = -1 }), peerConfig(func(c *Config) { c.MaxIdleTimeout = -1 }))
	p := tc.conn.path0
	q := from(otherAddr, wire.PingFrame{})
	q.pad = 1200
	tc.write(q)
	tc.wantChallenge("new address", otherAddr)
	// The old address answers its own challenge: an attacker has forwarded the
	// packet.
	back := tc.wantChallenge("old address", tc.remote)
	n := tc.conn.v.ChallengesSent
	tc.advance(time.Second)
	if tc.conn.v.ChallengesSent < n+1 {
		t.Error("challenges are not repeated")
	}
	if tc.conn.v.ChallengesSent > n+20 {
		t.Errorf("%d challenges in a second", tc.conn.v.ChallengesSent-n)
	}
	old := tc.next[appSpace] - 1
	_ = old
	tc.write(&scriptPacket{level: level1RTT, frames: []any{wire.PathResponseFrame(back)}})
	tc.advance(10 * time.Second)
	if p.route.remote != tc.remote || !p.route.validated {
		t.Errorf("after failed validation packets go to %v", p.route.remote)
	}
	tc.wantOpen("old address is good")
}

// A storm of spoofed addresses is remembered in a few places only.
func TestMigrationStorm(t *testing.T) {
	tc := newTestConn(t, serverSide)
	for i := range 2000 {
		a := netip.AddrPortFrom(netip.AddrFrom4([4]byte{203, 0, byte(i >> 8), byte(i)}), uint16(1000+i))
		tc.write(from(a, wire.PingFrame{}))
		if n := len(tc.conn.path0.routes); n > maxRoutes {
			t.Fatalf("%d addresses are remembered", n)
		}
		tc.queue = nil
	}
	tc.wantOpen("two thousand addresses")
	tc.write1RTT(wire.PingFrame{})
	if tc.conn.path0.route.remote != tc.remote {
		t.Error("the real address is not found again")
	}
}

// A client that moves validates first, uses a fresh connection ID, and retires
// the old one.
// https://www.rfc-editor.org/rfc/rfc9000#section-9.2
func TestMigrateClient(t *testing.T) {
	tc := newTestConn(t, clientSide)
	p := tc.conn.path0
	newLocal := netip.MustParseAddrPort("192.0.2.200:40001")
	old := tc.conn.destConnID(p, p.route)
	if err := tc.conn.Migrate(tc.now, newLocal, 0); err != nil {
		t.Fatal(err)
	}
	c := tc.wantChallenge("new local address", tc.remote)
	if tc.current.local != newLocal || tc.current.dst == old || tc.current.size < minUDPPayload {
		t.Errorf("challenge from %v with connection ID %v, %d bytes", tc.current.local, tc.current.dst, tc.current.size)
	}
	tc.conn.Ping(tc.now)
	tc.flush()
	if last := tc.queue[len(tc.queue)-1]; last.local != tc.local {
		t.Errorf("ordinary packets left from %v before the path was valid", last.local)
	}
	tc.queue = nil
	tc.write(&scriptPacket{level: level1RTT, frames: []any{wire.PathResponseFrame(c)}, to: newLocal})
	if p.route.local != newLocal {
		t.Fatal("client has not moved")
	}
	var retired, nonProbing bool
	for _, q := range tc.queue {
		for _, f := range q.frames {
			if r, ok := f.(wire.RetireConnectionIDFrame); ok && r.Sequence == 0 {
				retired = true
			}
			if _, ok := f.(wire.PingFrame); ok {
				nonProbing = true
			}
		}
		if q.local != newLocal {
			t.Errorf("packet left from %v", q.local)
		}
	}
	if !retired || !nonProbing && !retired {
		t.Errorf("old connection ID retired: %v; server told: %v", retired, nonProbing)
	}
	if p.RTT.Samples != 0 {
		t.Error("round-trip time of the old path is kept")
	}
}

// "An endpoint that receives [disable_active_migration] MUST NOT use a new
// local address when sending to the address that the peer used during the
// handshake." https://www.rfc-editor.org/rfc/rfc9000#section-18.2
func TestMigrateDisabled(t *testing.T) {
	tc := newTestConn(t, clientSide, peerConfig(func(c *Config) { c.DisableMigration = true }))
	err := tc.conn.Migrate(tc.now, netip.MustParseAddrPort("192.0.2.200:40001"), 0)
	if !errors.Is(err, ErrMigrationDisabled) {
		t.Errorf("Migrate: %v", err)
	}
	tc.wantNothing("not allowed to move")
}

// Without an answer the client stays where it is.
func TestMigrateClientFails(t *testing.T) {
	tc := newTestConn(t, clientSide, engineConfig(func(c *Config) { c.MaxIdleTimeout = -1 }), peerConfig(func(c *Config) { c.MaxIdleTimeout = -1 }))
	if err := tc.conn.Migrate(tc.now, netip.MustParseAddrPort("192.0.2.200:40001"), 0); err != nil {
		t.Fatal(err)
	}
	tc.advance(20 * time.Second)
	if tc.conn.path0.route.local != tc.local || len(tc.conn.path0.routes) != 0 {
		t.Error("client left its address or remembers the other")
	}
	tc.wantOpen("probe failed")
	if tc.conn.v.ChallengesSent > 10 {
		t.Errorf("%d challenges", tc.conn.v.ChallengesSent)
	}
}

// A client goes to the server's preferred address once that is validated.
// https://www.rfc-editor.org/rfc/rfc9000#section-9.6
func TestPreferredAddress(t *testing.T) {
	preferred := netip.MustParseAddrPort("198.51.100.77:8443")
	offer := peerConfig(func(c *Config) { c.PreferredAddress4 = preferred })
	tc := newTestConn(t, clientSide, takeOver(stageHandshake), offer)
	tc.finishHandshake()
	tc.flush()
	tc.queue = nil
	tc.write1RTT(wire.HandshakeDoneFrame{})
	c := tc.wantChallenge("preferred address", preferred)
	id := tc.current.dst
	if id != tc.conn.peerParams.PreferredAddress.ConnID {
		t.Errorf("challenge with connection ID %v, offered %v", id, tc.conn.peerParams.PreferredAddress.ConnID)
	}
	tc.write(from(preferred, wire.PathResponseFrame(c)))
	if tc.conn.path0.route.remote != preferred {
		t.Errorf("packets go to %v", tc.conn.path0.route.remote)
	}
	// One that ignores the invitation stays, and may still use the ID.
	tc = newTestConn(t, clientSide, offer, engineConfig(func(c *Config) { c.IgnorePreferredAddress = true }))
	if tc.conn.path0.route.remote != tc.remote {
		t.Error("client has moved")
	}
	if tc.conn.path0.remote.get(1) == nil {
		t.Error("the connection ID of the preferred address is not kept")
	}
}

// A path MTU probe counts against the anti-amplification limit too.
func TestMTUProbeUnvalidated(t *testing.T) {
	tc := newTestConn(t, serverSide)
	p := tc.conn.path0
	sent := 0
	tc.tap = func(q *scriptPacket) {
		if q.remote == otherPort {
			sent += q.length
		}
	}
	tc.conn.config.DisablePathMTUDiscovery = false
	tc.write(from(otherPort, wire.PingFrame{}))
	p.mtu.begin(p, tc.now)
	tc.conn.wake()
	tc.advance(2 * time.Second)
	if sent > 3*50 {
		t.Errorf("%d bytes sent to an address that sent less than 50", sent)
	}
}
