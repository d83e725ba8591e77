package core_test

import (
	"net/netip"
	"testing"
	"time"

	"github.com/pquic-go/pquic/core"
	"github.com/pquic-go/pquic/core/coretest"
	"github.com/pquic-go/pquic/core/wire"
)

// Each test here is named for a bug that a simulation found.

// The first datagram of the ClientHello is lost, the 0-RTT packets arrive and
// wait for their keys. Replaying them must not confuse the packet that brought
// the keys with them.
func TestSimBugReplayInsidePacket(t *testing.T) {
	for lost := uint64(1); lost <= 3; lost++ {
		w := coretest.NewWorld(t, coretest.Scenario{Up: interop, Down: interop, Client: withSessions,
			Server: func(c *core.Config) { c.Allow0RTT = true }})
		w.Transfer(10*time.Second, coretest.Request{Down: 1 << 10})
		w.Settle()
		drop := w.Up.Stats.Sent + lost
		w.Up.Drop = func(p *coretest.Packet) bool { return p.Number == drop }
		c := w.Dial()
		for range 20 {
			c.Request(coretest.Request{Up: 700, Down: 100})
		}
		w.Wait(10 * time.Second)
		if n := c.Conn.View().ZeroRTTSent; n == 0 {
			t.Error("no 0-RTT packet sent")
		}
		w.Finish()
	}
}

// A packet left with room for a stream frame's header and no byte of data kept
// the writer of stream frames turning. ACK frames of many lengths, as
// reordering makes them, leave every amount of room.
func TestSimBugStreamFrameWithoutRoom(t *testing.T) {
	c := with(interop, func(c *coretest.Conditions) { c.Jitter, c.Loss = 25*time.Millisecond, 0.03 })
	for _, size := range []uint16{1200, 1201, 1203, 1207, 1231} {
		use := func(c *core.Config) { c.InitialUDPPayload, c.MaxUDPPayload = size, size }
		w := coretest.NewWorld(t, coretest.Scenario{Up: c, Down: c, Client: use, Server: use})
		w.Transfer(2*time.Minute, coretest.Request{Up: 300_000, Down: 300_000, Full: true})
		w.Finish()
	}
}

// The server's Initial is lost; its Handshake packets fill the window and cannot
// be read. The probe timeout has to send the Initial again too.
func TestSimBugInitialBehindHandshake(t *testing.T) {
	w := coretest.NewWorld(t, coretest.Scenario{Up: interop, Down: interop, CertPadding: 9000, Server: func(c *core.Config) { c.InitialWindow = 6 }})
	// The datagrams that carry ServerHello: all Initials of the first half
	// second but those that only acknowledge.
	w.Down.Drop = func(p *coretest.Packet) bool {
		long, initial := p.Payload[0]&0x80 != 0, p.Payload[0]&0x30 == 0
		return long && initial && len(p.Payload) > 100 && w.Elapsed() < 500*time.Millisecond
	}
	c := w.Transfer(30*time.Second, coretest.Request{Down: 1 << 10})
	if d := c.Complete.Sub(coretest.Epoch); d > 5*time.Second {
		t.Errorf("handshake took %v", d)
	}
	w.Finish()
}

// The client's Finished is lost while 1-RTT packets fill its window, whose
// probe timer may not run before the handshake is confirmed.
func TestSimBugFinishedBehindData(t *testing.T) {
	slow := with(interop, func(c *coretest.Conditions) { c.Delay = 100 * time.Millisecond })
	for lost := uint64(3); lost <= 8; lost++ {
		up := with(slow, func(c *coretest.Conditions) {
			c.Drop = func(p *coretest.Packet) bool { return p.Number >= lost && p.Number < lost+12 }
		})
		w := coretest.NewWorld(t, coretest.Scenario{Up: up, Down: slow, ClientCert: true, Client: func(c *core.Config) { c.InitialWindow = 4 }})
		w.Transfer(2*time.Minute, coretest.Request{Up: 200_000})
		w.Finish()
	}
}

// Three packets of ClientHello, and the third is lost every time: probes have to
// come to it.
func TestSimBugThirdPacketNeverProbed(t *testing.T) {
	n := 0
	up := with(interop, func(c *coretest.Conditions) {
		c.Drop = func(p *coretest.Packet) bool { n++; return n == 3 }
	})
	// Acknowledgments are lost until the server has the whole ClientHello.
	w := coretest.NewWorld(t, coretest.Scenario{Up: up, Down: interop,
		Client: func(c *core.Config) { c.TLS.NextProtos = append(longProtocols(), coretest.Protocol) }})
	w.Down.Drop = func(p *coretest.Packet) bool { return len(p.Payload) < 100 && w.Elapsed() < 20*time.Second }
	c := w.Transfer(30*time.Second, coretest.Request{Down: 1 << 10})
	if d := c.Complete.Sub(coretest.Epoch); d > 5*time.Second {
		t.Errorf("handshake took %v", d)
	}
	w.Finish()
}

// longProtocols make a ClientHello of three packets.
func longProtocols() []string {
	var all []string
	for i := range 6 {
		b := make([]byte, 200)
		for j := range b {
			b[j] = byte('a' + i)
		}
		all = append(all, string(b))
	}
	return all
}

// A probe timeout that is noticed late, because the amplification limit held
// the server until then, counts once.
func TestSimBugLateProbeTimeoutCountsOnce(t *testing.T) {
	up := with(interop, func(c *coretest.Conditions) {
		c.Drop = func(p *coretest.Packet) bool { return p.Number >= 3 && p.Number <= 4 }
	})
	w := coretest.NewWorld(t, coretest.Scenario{Up: up, Down: interop, CertPadding: 9000})
	w.Server.Slack = 3 * time.Second
	c := w.Dial()
	c.Request(coretest.Request{Down: 1 << 10})
	w.Until("server has answered", 10*time.Second, func() bool { return len(w.Server.Apps) > 0 })
	w.Wait(time.Minute)
	// Timers three seconds late are one timeout each, not as many as fit in.
	if n := w.ServerApp(c).Conn.View().PTOs; n > 4 {
		t.Errorf("%d probe timeouts", n)
	}
	w.Finish()
}

// The path's MTU shrinks, and keep-alives go on being acknowledged: no probe
// timeout tells of the black hole.
func TestSimBugMTUBlackholeWithKeepAlive(t *testing.T) {
	jumbo := func(c *core.Config) {
		c.InterfaceMTU = func(coretest.Addr) int { return 9000 }
		c.KeepAlive = 100 * time.Millisecond
	}
	for _, size := range []uint64{3000, 20_000, 200_000} {
		w := coretest.NewWorld(t, coretest.Scenario{Up: lan, Down: lan, Client: jumbo, Server: jumbo})
		c := w.Transfer(time.Minute, coretest.Request{Up: 1 << 20, Down: 1 << 20})
		w.Sleep(time.Second)
		if m := w.ServerApp(c).Conn.Paths()[0].MTU; m < 8000 {
			t.Fatalf("MTU %d before", m)
		}
		w.Down.MTU = 1400
		c.Request(coretest.Request{Down: size})
		w.Wait(time.Minute)
		if d := c.Transfers[1].End.Sub(c.Transfers[1].Start); d > 5*time.Second {
			t.Errorf("%d bytes took %v", size, d)
		}
		w.Finish()
	}
}

// The size a configuration starts with is not what every path carries: a black
// hole falls back further.
func TestSimBugMTUBlackholeBelowInitial(t *testing.T) {
	big := func(c *core.Config) { c.InitialUDPPayload = 1452 }
	w := coretest.NewWorld(t, coretest.Scenario{Up: interop, Down: interop, Client: big, Server: big})
	w.At(time.Second, func() { w.Up.MTU, w.Down.MTU = 1280, 1280 })
	w.Transfer(time.Minute, coretest.Request{Up: 2 << 20, Down: 2 << 20, Full: true})
	w.Finish()
}

// After a migration, what was sent before it must not be measured.
func TestSimBugOldPathMeasured(t *testing.T) {
	long := with(interop, func(c *coretest.Conditions) { c.Delay = 200 * time.Millisecond })
	short := with(interop, func(c *coretest.Conditions) { c.Delay = 5 * time.Millisecond })
	w := coretest.NewWorld(t, coretest.Scenario{Up: long, Down: long})
	second, _, _ := twoInterfaces(w, short)
	a := w.Dial()
	a.Request(both)
	w.Sleep(2 * time.Second)
	if err := a.Conn.Migrate(w.Now(), second, 2); err != nil {
		t.Fatal(err)
	}
	w.Until("migrated", 10*time.Second, func() bool { return w.ServerApp(a).Conn.RemoteAddr() == second })
	for range 40 {
		w.Sleep(50 * time.Millisecond)
		w.Audit()
		for _, x := range []*coretest.App{a, w.ServerApp(a)} {
			p := x.Conn.Paths()[0]
			if p.BandwidthEstimate > 10*uint64(interop.Rate) {
				t.Fatalf("delivery rate of %d bytes/s on a path of 10 Mbps", p.BandwidthEstimate)
			}
			// A queue of 25 packets adds 30 ms to a round trip of 10 ms.
			if r := p.RTT; r.Samples > 0 && r.LatestRTT > 150*time.Millisecond {
				t.Fatalf("round trip of %v on a path of 10 ms", r.LatestRTT)
			}
		}
	}
	w.Wait(time.Minute)
	w.Finish()
}

// A rebinding to a path that drops ECT packets, where marks were fine before:
// the challenges must not be among what it drops.
func TestSimBugECTProbesDropped(t *testing.T) {
	w := coretest.NewWorld(t, coretest.Scenario{Up: interop, Down: interop, NAT: true})
	a := w.Transfer(time.Minute, coretest.Request{Up: 100_000, Down: 100_000})
	s := w.ServerApp(a).Conn
	if got := s.Paths()[0].ECNState; got != core.ECNCapable {
		t.Fatalf("ECN state %d before", got)
	}
	w.NAT.RebindAddr(netip.MustParseAddr("203.0.113.50"))
	w.Down.ECN.DropECT = true
	a.Request(coretest.Request{Up: 1000, Down: 100_000})
	w.Until("server follows", time.Second, func() bool { return s.RemoteAddr().Addr() == w.NAT.Outer(a.Conn.LocalAddr()).Addr() })
	w.Until("new address validated", 200*time.Millisecond, func() bool { return s.Paths()[0].Validated != 0 })
	w.Wait(time.Minute)
	w.Finish()
}

// Challenges of a validation are lost: the connection survives on the last
// address that was valid until the client speaks again.
func TestSimBugValidationFailureIsNotTheEnd(t *testing.T) {
	w := coretest.NewWorld(t, coretest.Scenario{Up: interop, Down: interop, NAT: true,
		Client: func(c *core.Config) { c.KeepAlive = time.Second }})
	a := w.Transfer(time.Minute, coretest.Request{Down: 1000})
	w.Sleep(time.Second)
	w.NAT.RebindAddr(netip.MustParseAddr("203.0.113.50"))
	a.Request(coretest.Request{Down: 100_000})
	w.Down.Down = true
	w.Sleep(12 * time.Second)
	w.Down.Down = false
	w.Wait(time.Minute)
	w.Finish()
}

// A client's first packet is damaged on its way: the next one starts afresh,
// with the token and connection IDs that are true.
func TestSimBugDamagedFirstInitial(t *testing.T) {
	for at := 1; at < 160; at += 3 {
		n := 0
		up := with(interop, func(c *coretest.Conditions) {
			c.Drop = func(p *coretest.Packet) bool {
				n++
				if n == 3 || n == 4 { // the first two with the Retry's token
					p.Payload[at] ^= 0x10
				}
				return false
			}
		})
		asked := 0
		w := coretest.NewWorld(t, coretest.Scenario{Up: up, Down: interop,
			Endpoint: func(c *core.EndpointConfig) {
				c.Retry = func(coretest.AddrPort) bool { asked++; return asked <= 2 }
			}})
		w.Transfer(time.Minute, coretest.Request{Down: 1000})
		w.Finish()
	}
}

// A server updates its keys again and again while the client only acknowledges:
// that nobody acknowledges the client's own packets does not make the updates
// consecutive ones.
func TestSimBugConsecutiveKeyUpdates(t *testing.T) {
	w := coretest.NewWorld(t, coretest.Scenario{Up: interop, Down: interop, Server: func(c *core.Config) { c.KeyUpdateAfter = 50 },
		// Windows that need no update, so that the client sends nothing else.
		Client: func(c *core.Config) { c.StreamWindow, c.ConnWindow = 20<<20, 20<<20 }})
	c := w.Transfer(time.Minute, coretest.Request{Down: 5 << 20})
	if n := c.Conn.View().KeyUpdates; n < 5 {
		t.Errorf("%d key updates", n)
	}
	w.Finish()
}

// A server that allows fewer streams than the ticket remembers rejects 0-RTT:
// the streams beyond its limit wait.
func TestSimBugRejectedStreamsBeyondLimit(t *testing.T) {
	w := coretest.NewWorld(t, coretest.Scenario{Up: interop, Down: interop, Client: withSessions,
		Server: func(c *core.Config) { c.Allow0RTT = true }})
	w.Transfer(10*time.Second, coretest.Request{Down: 1 << 10})
	changed := *w.ServerConfig
	changed.MaxBidiStreams = 3
	if err := w.Server.Endpoint.SetConfig(&changed); err != nil {
		t.Fatal(err)
	}
	c := w.Dial()
	for range 30 {
		c.Request(coretest.Request{Up: 2000, Down: 100})
	}
	w.Wait(10 * time.Second)
	if !c.Rejected || c.Conn.View().ZeroRTTSent == 0 {
		t.Errorf("0-RTT was not tried and rejected")
	}
	w.Finish()
}

// The first part of ServerHello is lost until probe timeouts have sent it again
// several times, while Handshake packets arrive and wait for it. Their late
// acknowledgment entered as a round trip of half a second.
func TestSimBugLateHandshakeAck(t *testing.T) {
	w := coretest.NewWorld(t, coretest.Scenario{Up: interop, Down: interop, CertPadding: 3000})
	w.Down.Drop = func(p *coretest.Packet) bool {
		h, err := wire.ParseLongHeader(p.Payload)
		return err == nil && h.Type == wire.Initial && h.End > 200 && w.Elapsed() < 900*time.Millisecond
	}
	var worst time.Duration
	c := w.Dial()
	c.Request(coretest.Request{Down: 1 << 10})
	w.Until("confirmed", 30*time.Second, func() bool {
		if len(w.Server.Apps) > 0 {
			if r := w.Server.Apps[0].Conn.Path(0).RTT; r.Samples > 0 {
				worst = max(worst, r.LatestRTT)
			}
		}
		return c.Confirmed != 0
	})
	if worst == 0 || worst > 100*time.Millisecond {
		t.Errorf("the server measured a round trip of %v on a path of %v", worst, 2*interop.Delay)
	}
	w.Wait(30 * time.Second)
	w.Finish()
}
