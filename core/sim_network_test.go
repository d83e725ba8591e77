package core_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/pquic-go/pquic/core"
	"github.com/pquic-go/pquic/core/coretest"
)

func TestSimReordering(t *testing.T) {
	for _, c := range []coretest.Conditions{
		with(interop, func(c *coretest.Conditions) { c.Reorder, c.ReorderDelay = 0.1, 3*time.Millisecond }),
		with(interop, func(c *coretest.Conditions) { c.Jitter = 20 * time.Millisecond }),
		with(interop, func(c *coretest.Conditions) { c.Reorder, c.ReorderDelay = 0.02, 500*time.Millisecond }),
	} {
		t.Run(fmt.Sprintf("%v %v", c.Jitter, c.ReorderDelay), func(t *testing.T) {
			w := coretest.NewWorld(t, coretest.Scenario{Up: c, Down: c})
			a := w.Transfer(2*time.Minute, coretest.Request{Up: 1 << 20, Down: 3 << 20, Full: true})
			s := w.ServerApp(a).Conn.Stats()
			t.Logf("%.2f Mbps, server lost %d, spurious %d", a.Goodput()*8e-6, s.PacketsLost, s.PacketsSpurious)
			w.Finish()
		})
	}
}

func TestSimDuplication(t *testing.T) {
	c := with(interop, func(c *coretest.Conditions) { c.Duplicate = 0.5; c.Jitter = 5 * time.Millisecond })
	w := coretest.NewWorld(t, coretest.Scenario{Up: c, Down: c})
	a := w.Transfer(time.Minute, coretest.Request{Up: 1 << 20, Down: 1 << 20, Full: true})
	if n := a.Conn.View().PacketsDuplicate; n == 0 {
		t.Error("no duplicate seen")
	}
	w.Finish()
}

func TestSimAsymmetricDelay(t *testing.T) {
	up := with(interop, func(c *coretest.Conditions) { c.Delay = 300 * time.Millisecond; c.Rate = coretest.Mbps(0.5) })
	down := with(interop, func(c *coretest.Conditions) { c.Delay = time.Millisecond })
	w := coretest.NewWorld(t, coretest.Scenario{Up: up, Down: down})
	a := w.Transfer(time.Minute, coretest.Request{Down: 5 << 20})
	t.Logf("%.2f Mbps", a.Goodput()*8e-6)
	w.Finish()
}

func TestSimBurstLoss(t *testing.T) {
	c := with(interop, func(c *coretest.Conditions) {
		c.Burst = coretest.Burst{Enter: 0.005, Leave: 0.2, BadLoss: 0.8}
	})
	w := coretest.NewWorld(t, coretest.Scenario{Up: c, Down: c})
	a := w.Transfer(2*time.Minute, coretest.Request{Up: 1 << 20, Down: 1 << 20, Full: true})
	t.Logf("%.2f Mbps, %d of %d packets dropped", a.Goodput()*8e-6, w.Down.Stats.Lost, w.Down.Stats.Sent)
	w.Finish()
}

// Two seconds of queue: a controller that fills it makes every round trip long.
func TestSimBufferbloat(t *testing.T) {
	for _, cc := range []string{"newreno", "cubic", "bbr"} {
		t.Run(cc, func(t *testing.T) {
			c := with(interop, func(c *coretest.Conditions) { c.Queue, c.QueuePackets = 2_500_000, 0 })
			use := func(c *core.Config) { c.CongestionControl = cc }
			w := coretest.NewWorld(t, coretest.Scenario{Up: c, Down: c, Client: use, Server: use})
			a := w.Transfer(time.Minute, coretest.Request{Down: 10 << 20})
			t.Logf("%.2f Mbps, longest delay %v", a.Goodput()*8e-6, w.Down.Stats.MaxDelay)
			w.Finish()
		})
	}
}

// Ten seconds without any packet: the connection goes on afterwards, at once
// rather than at the next backed-off probe.
func TestSimBlackhole10s(t *testing.T) {
	for _, cc := range []string{"newreno", "cubic", "bbr"} {
		t.Run(cc, func(t *testing.T) {
			use := func(c *core.Config) { c.CongestionControl = cc }
			w := coretest.NewWorld(t, coretest.Scenario{Up: interop, Down: interop, Client: use, Server: use})
			w.At(2*time.Second, func() { w.Up.Down, w.Down.Down = true, true })
			w.At(12*time.Second, func() { w.Up.Down, w.Down.Down = false, false })
			a := w.Transfer(5*time.Minute, coretest.Request{Down: 5 << 20})
			d := a.Transfers[0].End.Sub(coretest.Epoch)
			t.Logf("done after %v", d)
			// 4.5 s of transfer, 10 s of outage; the sender's probes double their
			// distance, so the last gap may be as long as the outage.
			if d > 32*time.Second {
				t.Errorf("took %v", d)
			}
			w.Finish()
		})
	}
}

func TestSimIdleTimeout(t *testing.T) {
	w := coretest.NewWorld(t, coretest.Scenario{Up: interop, Down: interop,
		Client: func(c *core.Config) { c.MaxIdleTimeout = 7 * time.Second }})
	a := w.Transfer(10*time.Second, coretest.Request{Down: 1 << 10})
	last := w.Elapsed()
	w.Until("both gone", time.Minute, func() bool { return w.Client.Endpoint.Len()+w.Server.Endpoint.Len() == 0 })
	a.WantClosed(core.ErrIdleTimeout)
	w.ServerApp(a).WantClosed(core.ErrIdleTimeout)
	if d := w.Elapsed() - last; d < 6900*time.Millisecond || d > 8*time.Second {
		t.Errorf("idle timeout of 7 s took %v", d)
	}
	w.Sim.Finish(w.Client)
}

func TestSimKeepAlive(t *testing.T) {
	w := coretest.NewWorld(t, coretest.Scenario{Up: interop, Down: interop,
		Client: func(c *core.Config) { c.MaxIdleTimeout = 10 * time.Second; c.KeepAlive = 4 * time.Second }})
	a := w.Transfer(10*time.Second, coretest.Request{Down: 1 << 10})
	w.Sleep(5 * time.Minute)
	if a.Ended {
		t.Fatalf("closed: %v", a.Err)
	}
	a.Request(coretest.Request{Down: 1 << 10})
	w.Wait(time.Minute)
	if n := w.Client.Counters().DatagramsOut; n > 300 {
		t.Errorf("%d datagrams in five minutes of keep-alive", n)
	}
	w.Finish()
}

// The clock leaps while data is on its way, as when a machine slept.
func TestSimClockJump(t *testing.T) {
	for _, who := range []string{"client", "server", "both"} {
		t.Run(who, func(t *testing.T) {
			none := func(c *core.Config) { c.MaxIdleTimeout = -1 }
			w := coretest.NewWorld(t, coretest.Scenario{Up: interop, Down: interop, Client: none, Server: none})
			w.At(500*time.Millisecond, func() {
				switch who {
				case "client":
					w.Client.Jumped += 5 * time.Hour
				case "server":
					w.Server.Jumped += 5 * time.Hour
				case "both":
					w.Jump(5 * time.Hour)
				}
			})
			a := w.Transfer(6*time.Hour, coretest.Request{Up: 2 << 20, Down: 2 << 20, Full: true})
			t.Logf("took %v", a.Transfers[0].End.Sub(a.Transfers[0].Start))
			w.Finish()
		})
	}
}

// With an idle timeout the leap ends the connection, on both sides without a
// packet.
func TestSimClockJumpIdle(t *testing.T) {
	w := coretest.NewWorld(t, coretest.Scenario{Up: interop, Down: interop})
	a := w.Transfer(10*time.Second, coretest.Request{Down: 1 << 10})
	w.Settle()
	w.Sleep(time.Second)
	w.Jump(3 * time.Hour)
	w.Until("both gone", time.Minute, func() bool { return w.Client.Endpoint.Len()+w.Server.Endpoint.Len() == 0 })
	a.WantClosed(core.ErrIdleTimeout)
	w.Sim.Finish(w.Client)
}

func TestSimECNBleaching(t *testing.T) {
	for name, e := range map[string]coretest.ECNTreatment{
		"bleached": {Bleach: true}, "remarked": {Remark: true}, "all CE": {MarkAll: true}, "ECT dropped": {DropECT: true},
		"one in five marked": {Mark: 0.2},
	} {
		t.Run(name, func(t *testing.T) {
			c := with(interop, func(c *coretest.Conditions) { c.ECN = e })
			w := coretest.NewWorld(t, coretest.Scenario{Up: c, Down: c})
			a := w.Transfer(time.Minute, coretest.Request{Up: 1 << 20, Down: 1 << 20, Full: true})
			p := a.Conn.Paths()[0]
			want := core.ECNFailed
			if name == "one in five marked" { // the other marks what is not ECN-capable too
				want = core.ECNCapable
			}
			t.Logf("%.2f Mbps", a.Goodput()*8e-6)
			if p.ECNState != want && (name != "ECT dropped" || p.ECNState != core.ECNUnknown) {
				t.Errorf("ECN state %d, want %d", p.ECNState, want)
			}
			w.Finish()
		})
	}
}

func TestSimMTUDiscovery(t *testing.T) {
	for _, c := range []struct {
		iface, path int
		tooBig, v6  bool
		want        uint64
	}{
		{1500, 1500, false, false, 1472},
		{1500, 1500, false, true, 1452},
		{1500, 1400, false, false, 1372},
		{1500, 1280, false, false, 1252},
		{1500, 1280, false, true, 1232},
		{9000, 9000, false, false, 8972},
		{9000, 9000, false, true, 8952},
		{9000, 1500, false, false, 1472},
		{9000, 4400, true, false, 4372},
		{65536, 65535, false, false, 65507},
		{65536, 65535, true, true, 65487},
		{1492, 1492, true, false, 1464},
	} {
		t.Run(fmt.Sprintf("%d over %d too big %v v6 %v", c.iface, c.path, c.tooBig, c.v6), func(t *testing.T) {
			l := with(lan, func(l *coretest.Conditions) {
				l.Rate, l.Queue, l.MTU, l.TooBig = coretest.Mbps(1000), 4<<20, c.path, c.tooBig
			})
			use := func(k *core.Config) { k.InterfaceMTU = func(coretest.Addr) int { return c.iface } }
			w := coretest.NewWorld(t, coretest.Scenario{Up: l, Down: l, IPv6: c.v6, Client: use, Server: use})
			a := w.Transfer(time.Minute, coretest.Request{Up: 10 << 20, Down: 10 << 20})
			w.Sleep(2 * time.Second)
			for _, x := range []*coretest.App{a, w.ServerApp(a)} {
				p := x.Conn.Paths()[0]
				if p.MTU > c.want || p.MTU+16 < c.want {
					t.Errorf("server %v: UDP payload %d after %d probes, want %d", x.Server, p.MTU, p.MTUProbesSent, c.want)
				}
				if p.MTUBlackholes > 0 {
					t.Errorf("server %v: %d black holes seen", x.Server, p.MTUBlackholes)
				}
			}
			w.Finish()
		})
	}
}

// The path's MTU shrinks in the middle of a transfer.
func TestSimMTUBlackhole(t *testing.T) {
	for _, tooBig := range []bool{false, true} {
		for _, mtu := range []int{1280, 1400} {
			t.Run(fmt.Sprintf("%d too big %v", mtu, tooBig), func(t *testing.T) {
				w := coretest.NewWorld(t, coretest.Scenario{Up: interop, Down: interop})
				w.At(2*time.Second, func() {
					for _, l := range []*coretest.Link{w.Up, w.Down} {
						l.MTU, l.TooBig = mtu, tooBig
					}
				})
				a := w.Transfer(2*time.Minute, coretest.Request{Up: 5 << 20, Down: 5 << 20, Full: true})
				d := a.Transfers[0].End.Sub(a.Transfers[0].Start)
				t.Logf("took %v, MTU %d and %d", d, a.Conn.Paths()[0].MTU, w.ServerApp(a).Conn.Paths()[0].MTU)
				if d > 20*time.Second {
					t.Errorf("took %v", d)
				}
				w.Finish()
			})
		}
	}
}

func TestSimClientCertificate(t *testing.T) {
	lossy := with(interop, func(c *coretest.Conditions) { c.Loss = 0.05 })
	w := coretest.NewWorld(t, coretest.Scenario{Up: lossy, Down: lossy, ClientCert: true})
	a := w.Transfer(time.Minute, coretest.Request{Down: 100 << 10})
	if certs := w.ServerApp(a).Conn.ConnectionState().PeerCertificates; len(certs) != 1 || certs[0].Subject.CommonName != "client.example" {
		t.Errorf("server saw %d client certificates", len(certs))
	}
	w.Finish()
}

func TestSimClientCertificateMissing(t *testing.T) {
	w := coretest.NewWorld(t, coretest.Scenario{Up: interop, Down: interop, ClientCert: true,
		Client: func(c *core.Config) { c.TLS.Certificates = nil }})
	a := w.Dial()
	w.Until("closed", time.Minute, func() bool { return a.Freed && w.Server.Endpoint.Len() == 0 })
	a.WantPeerClosed(0x100 + 116) // certificate_required
	w.Sim.Finish(w.Client)
}

// A ClientHello with an ML-KEM key share takes two datagrams; either may be
// lost, or they may arrive in the wrong order.
func TestSimClientHelloTwoPackets(t *testing.T) {
	for name, c := range map[string]coretest.Conditions{
		"first lost":  with(interop, func(c *coretest.Conditions) { c.Drop = func(p *coretest.Packet) bool { return p.Number == 1 } }),
		"second lost": with(interop, func(c *coretest.Conditions) { c.Drop = func(p *coretest.Packet) bool { return p.Number == 2 } }),
		"reordered":   with(interop, func(c *coretest.Conditions) { c.Reorder, c.ReorderDelay = 0.5, 30*time.Millisecond }),
		"duplicated":  with(interop, func(c *coretest.Conditions) { c.Duplicate = 1 }),
	} {
		t.Run(name, func(t *testing.T) {
			w := coretest.NewWorld(t, coretest.Scenario{Up: c, Down: interop})
			a := w.Transfer(10*time.Second, coretest.Request{Down: 1 << 10})
			if n := a.Conn.ConnectionState().CurveID; n.String() != "X25519MLKEM768" {
				t.Errorf("key exchange %v", n)
			}
			w.Finish()
		})
	}
}

// A token of an earlier connection spares the Retry.
func TestSimNewTokenSkipsRetry(t *testing.T) {
	tokens := &tokenStore{}
	w := coretest.NewWorld(t, coretest.Scenario{Up: interop, Down: interop,
		Client:   func(c *core.Config) { c.Tokens = tokens },
		Endpoint: func(c *core.EndpointConfig) { c.Retry = func(coretest.AddrPort) bool { return true } }})
	w.Transfer(10*time.Second, coretest.Request{Down: 1 << 10})
	w.Settle()
	first := w.Server.Endpoint.Stats().Retries
	if len(tokens.tokens) != 1 || tokens.server != coretest.ServerName {
		t.Fatalf("%d tokens kept for %q", len(tokens.tokens), tokens.server)
	}
	used := tokens.tokens[0]
	w.Transfer(10*time.Second, coretest.Request{Down: 1 << 10})
	if n := w.Server.Endpoint.Stats().Retries; n != first {
		t.Errorf("%d Retry packets in spite of a token", n-first)
	}
	w.Settle()
	// The same token again is worth nothing: the client is asked to prove
	// itself, and does.
	tokens.tokens = [][]byte{used}
	w.Transfer(10*time.Second, coretest.Request{Down: 1 << 10})
	if s := w.Server.Endpoint.Stats(); s.Retries == first || s.InvalidTokens == 0 {
		t.Errorf("replayed token: %d Retry packets, %d invalid tokens", s.Retries-first, s.InvalidTokens)
	}
	w.Finish()
}

type tokenStore struct {
	server string
	tokens [][]byte
}

func (s *tokenStore) Put(name string, t []byte) { s.server, s.tokens = name, append(s.tokens, t) }

func (s *tokenStore) Take(string) []byte {
	if len(s.tokens) == 0 {
		return nil
	}
	t := s.tokens[0]
	s.tokens = s.tokens[1:]
	return t
}
