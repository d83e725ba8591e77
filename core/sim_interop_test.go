package core_test

import (
	"testing"
	"time"

	"github.com/pquic-go/pquic/core"
	"github.com/pquic-go/pquic/core/coretest"
	"github.com/pquic-go/pquic/core/wire"
)

// The test cases of the interop runner, between two of our endpoints.

func with(c coretest.Conditions, f func(*coretest.Conditions)) coretest.Conditions {
	f(&c)
	return c
}

func TestSimLongRTT(t *testing.T) {
	long := with(interop, func(c *coretest.Conditions) { c.Delay = 375 * time.Millisecond })
	w := coretest.NewWorld(t, coretest.Scenario{Up: long, Down: long})
	c := w.Transfer(10*time.Second, coretest.Request{Down: 1 << 10})
	if n := c.Conn.View().PacketsLost; n > 0 {
		t.Errorf("%d packets declared lost on a slow path that loses none", n)
	}
	w.Finish()
}

func TestSimMultiplexing(t *testing.T) {
	w := coretest.NewWorld(t, coretest.Scenario{Up: interop, Down: interop})
	c := w.Dial()
	for range 1999 {
		c.Request(coretest.Request{Down: 32})
	}
	w.Wait(time.Minute)
	if n := c.Conn.View().StreamsOpenedBidi; n != 1999 {
		t.Errorf("%d streams", n)
	}
	w.Finish()
}

func TestSimRetry(t *testing.T) {
	w := coretest.NewWorld(t, coretest.Scenario{Up: interop, Down: interop,
		Endpoint: func(c *core.EndpointConfig) { c.Retry = func(coretest.AddrPort) bool { return true } }})
	w.Transfer(10*time.Second, coretest.Request{Down: 1 << 20})
	// The ClientHello takes two datagrams, each of which gets a Retry.
	if s := w.Server.Endpoint.Stats(); s.Retries < 1 || s.Retries > 2 || s.Accepted != 1 {
		t.Errorf("server sent %d Retry packets and accepted %d connections", s.Retries, s.Accepted)
	}
	w.Finish()
}

func TestSimResumption(t *testing.T) {
	w := coretest.NewWorld(t, coretest.Scenario{Up: interop, Down: interop, Client: withSessions})
	first := w.Transfer(10*time.Second, coretest.Request{Down: 1 << 10})
	second := w.Transfer(10*time.Second, coretest.Request{Down: 1 << 10})
	if first.Conn.ConnectionState().DidResume || !second.Conn.ConnectionState().DidResume {
		t.Errorf("resumed: first %v, second %v", first.Conn.ConnectionState().DidResume, second.Conn.ConnectionState().DidResume)
	}
	if !w.ServerApp(second).Conn.ConnectionState().DidResume {
		t.Error("server did not resume")
	}
	w.Finish()
}

func TestSimZeroRTT(t *testing.T) {
	w := coretest.NewWorld(t, coretest.Scenario{Up: interop, Down: interop, Client: withSessions,
		Server: func(c *core.Config) { c.Allow0RTT = true }})
	w.Transfer(10*time.Second, coretest.Request{Down: 1 << 10})
	c := w.Dial()
	for range 40 {
		c.Request(coretest.Request{Up: 300, Down: 32})
	}
	w.Wait(10 * time.Second)
	if v := c.Conn.View(); v.EarlyDataState != 2 || v.ZeroRTTSent == 0 {
		t.Errorf("early data state %d, %d 0-RTT packets", v.EarlyDataState, v.ZeroRTTSent)
	}
	if s := w.ServerApp(c); s.EarlyIn == 0 {
		t.Error("server saw no early request")
	}
	for i, r := range c.Transfers[:10] {
		if d := r.End.Sub(r.Start); !r.Early || d > 50*time.Millisecond {
			t.Errorf("request %d: early %v, took %v", i, r.Early, d)
		}
	}
	w.Finish()
}

func TestSimZeroRTTRejected(t *testing.T) {
	w := coretest.NewWorld(t, coretest.Scenario{Up: interop, Down: interop, Client: withSessions,
		Server: func(c *core.Config) { c.Allow0RTT = true }})
	w.Transfer(10*time.Second, coretest.Request{Down: 1 << 10})
	changed := *w.ServerConfig
	changed.StreamWindow = 100_000 // other limits than the ticket remembers
	if err := w.Server.Endpoint.SetConfig(&changed); err != nil {
		t.Fatal(err)
	}
	c := w.Dial()
	for range 20 {
		c.Request(coretest.Request{Up: 10_000, Down: 1000})
	}
	w.Wait(10 * time.Second)
	if v := c.Conn.View(); v.EarlyDataState != 3 || !c.Rejected || v.ZeroRTTSent == 0 {
		t.Errorf("early data state %d, told %v, %d 0-RTT packets", v.EarlyDataState, c.Rejected, v.ZeroRTTSent)
	}
	w.Finish()
}

func TestSimBlackhole(t *testing.T) {
	w := coretest.NewWorld(t, coretest.Scenario{Up: interop, Down: interop})
	for at := 4 * time.Second; at < 30*time.Second; at += 6 * time.Second {
		w.At(at, func() { w.Up.Down, w.Down.Down = true, true })
		w.At(at+2*time.Second, func() { w.Up.Down, w.Down.Down = false, false })
	}
	w.Transfer(time.Minute, coretest.Request{Down: 10 << 20})
	w.Finish()
}

func TestSimKeyUpdate(t *testing.T) {
	for _, who := range []string{"client", "server", "both"} {
		t.Run(who, func(t *testing.T) {
			w := coretest.NewWorld(t, coretest.Scenario{Up: interop, Down: interop})
			c := w.Dial()
			c.Request(coretest.Request{Down: 3 << 20})
			w.At(500*time.Millisecond, func() {
				if who != "server" {
					c.Conn.UpdateKeys(w.Now())
				}
				if who != "client" {
					w.Server.Apps[0].Conn.UpdateKeys(w.Now())
				}
			})
			w.Wait(time.Minute)
			if n := c.Conn.View().KeyUpdates; n == 0 || n != w.ServerApp(c).Conn.View().KeyUpdates {
				t.Errorf("key updates: client %d, server %d", n, w.ServerApp(c).Conn.View().KeyUpdates)
			}
			w.Finish()
		})
	}
}

// Key updates every few packets, with loss and reordering around them.
func TestSimKeyUpdateStorm(t *testing.T) {
	bad := with(interop, func(c *coretest.Conditions) { c.Loss, c.Reorder, c.Duplicate = 0.02, 0.05, 0.02 })
	often := func(c *core.Config) { c.KeyUpdateAfter = 20 }
	w := coretest.NewWorld(t, coretest.Scenario{Up: bad, Down: bad, Client: often, Server: often})
	c := w.Transfer(time.Minute, coretest.Request{Up: 2 << 20, Down: 2 << 20, Full: true})
	if n := c.Conn.View().KeyUpdates; n < 10 {
		t.Errorf("%d key updates", n)
	}
	w.Finish()
}

func TestSimECN(t *testing.T) {
	marking := with(interop, func(c *coretest.Conditions) { c.ECN.MarkQueue = 8 << 10 })
	w := coretest.NewWorld(t, coretest.Scenario{Up: marking, Down: marking})
	w.Transfer(time.Minute, coretest.Request{Up: 2 << 20, Down: 2 << 20, Full: true})
	for _, a := range []*coretest.App{w.Client.Apps[0], w.Server.Apps[0]} {
		p := a.Conn.Paths()[0]
		if p.ECNState != core.ECNCapable || p.ECNCE == 0 {
			t.Errorf("ECN state %d, %d marks", p.ECNState, p.ECNCE)
		}
		if p.PacketsLost > 0 {
			t.Errorf("%d packets lost though the path marks early", p.PacketsLost)
		}
	}
	w.Finish()
}

// The server's certificates exceed what it may send before the client's address
// is validated, and packets 2 to 7 from the client are lost.
func TestSimAmplificationLimit(t *testing.T) {
	drop := with(interop, func(c *coretest.Conditions) {
		c.Drop = func(p *coretest.Packet) bool { return p.Number >= 2 && p.Number <= 7 }
	})
	w := coretest.NewWorld(t, coretest.Scenario{Up: drop, Down: interop, CertPadding: 9000})
	checkAmplification(t, w)
	w.Transfer(20*time.Second, coretest.Request{Down: 5 << 10})
	w.Finish()
}

// checkAmplification watches the wire: until a packet of the client's that
// proves its address can have arrived, the server sends at most three times
// what it received.
func checkAmplification(t *testing.T, w *coretest.World) {
	var in, out int
	next := w.Down.Drop
	w.Down.Drop = func(p *coretest.Packet) bool {
		out += len(p.Payload)
		if proven := len(w.Server.Apps) > 0 && w.Server.Apps[0].Conn.Paths()[0].Validated != 0; !proven {
			in = int(w.Server.Apps[0].Conn.View().BytesReceived)
			if out > 3*in {
				t.Errorf("server has sent %d bytes for %d received before the address was validated", out, in)
			}
		}
		return next != nil && next(p)
	}
}

func TestSimHandshakeLoss(t *testing.T) {
	lossy := with(interop, func(c *coretest.Conditions) { c.Loss = 0.3 })
	manyHandshakes(t, lossy, 25)
}

func TestSimHandshakeCorruption(t *testing.T) {
	corrupt := with(interop, func(c *coretest.Conditions) { c.Corrupt = 0.3 })
	manyHandshakes(t, corrupt, 25)
}

// manyHandshakes makes connections one after the other, each with one small
// request.
func manyHandshakes(t *testing.T, c coretest.Conditions, n int) {
	long := func(c *core.Config) { c.HandshakeTimeout = 5 * time.Minute; c.MaxIdleTimeout = 5 * time.Minute }
	w := coretest.NewWorld(t, coretest.Scenario{Up: c, Down: c, Client: long, Server: long})
	for range n {
		a := w.Transfer(5*time.Minute, coretest.Request{Down: 1 << 10})
		a.Close()
		w.Until("forgotten", time.Minute, func() bool { return a.Freed })
	}
	t.Logf("%d connections in %v", n, w.Elapsed())
	w.Finish()
}

func TestSimTransferLoss(t *testing.T) {
	lossy := with(interop, func(c *coretest.Conditions) { c.Loss = 0.02 })
	w := coretest.NewWorld(t, coretest.Scenario{Up: lossy, Down: lossy})
	c := w.Transfer(2*time.Minute, coretest.Request{Down: 2 << 20})
	t.Logf("%.2f Mbps", c.Goodput()*8e-6)
	w.Finish()
}

func TestSimTransferCorruption(t *testing.T) {
	corrupt := with(interop, func(c *coretest.Conditions) { c.Corrupt = 0.02 })
	w := coretest.NewWorld(t, coretest.Scenario{Up: corrupt, Down: corrupt})
	c := w.Transfer(2*time.Minute, coretest.Request{Down: 2 << 20})
	t.Logf("%.2f Mbps", c.Goodput()*8e-6)
	w.Finish()
}

func TestSimIPv6(t *testing.T) {
	w := coretest.NewWorld(t, coretest.Scenario{Up: interop, Down: interop, IPv6: true})
	c := w.Transfer(time.Minute, coretest.Request{Down: 5 << 20})
	if m := c.Conn.Paths()[0].MTU; m != 1452 {
		t.Errorf("UDP payload of %d bytes in IPv6 packets of 1500", m)
	}
	w.Finish()
}

func TestSimV2(t *testing.T) {
	v2 := func(c *core.Config) { c.Versions = []wire.Version{wire.Version2, wire.Version1} }
	for _, cc := range []struct {
		name           string
		client, server func(*core.Config)
		want           wire.Version
	}{
		{"server prefers 2", nil, v2, wire.Version2},
		{"both prefer 2", v2, v2, wire.Version2},
		{"server prefers 1", v2, nil, wire.Version1},
		{"client knows 1 only", func(c *core.Config) { c.Versions = []wire.Version{wire.Version1} }, v2, wire.Version1},
		{"2 only", func(c *core.Config) { c.Versions = []wire.Version{wire.Version2} }, v2, wire.Version2},
	} {
		t.Run(cc.name, func(t *testing.T) {
			lossy := with(interop, func(c *coretest.Conditions) { c.Loss = 0.02 })
			w := coretest.NewWorld(t, coretest.Scenario{Up: lossy, Down: lossy, Client: cc.client, Server: cc.server})
			c := w.Transfer(time.Minute, coretest.Request{Down: 100 << 10})
			if v := c.Conn.Version(); v != cc.want {
				t.Errorf("version %v, want %v", v, cc.want)
			}
			w.Finish()
		})
	}
}

// The client starts in a version the server does not speak: a Version
// Negotiation packet brings it to the other.
func TestSimVersionNegotiation(t *testing.T) {
	only := func(v wire.Version) func(*core.Config) {
		return func(c *core.Config) { c.Versions = []wire.Version{v} }
	}
	w := coretest.NewWorld(t, coretest.Scenario{Up: interop, Down: interop, Server: only(wire.Version2)})
	c := w.Transfer(time.Minute, coretest.Request{Down: 100 << 10})
	if v := c.Conn.Version(); v != wire.Version2 {
		t.Errorf("version %v", v)
	}
	if n := w.Server.Endpoint.Stats().VersionNegotiations; n < 1 || n > 2 {
		t.Errorf("%d Version Negotiation packets", n)
	}
	w.Finish()
}

func TestSimNoCommonVersion(t *testing.T) {
	w := coretest.NewWorld(t, coretest.Scenario{Up: interop, Down: interop,
		Client: func(c *core.Config) { c.Versions = []wire.Version{wire.Version1} },
		Server: func(c *core.Config) { c.Versions = []wire.Version{wire.Version2} }})
	c := w.Dial()
	w.Until("closed", time.Minute, func() bool { return c.Freed })
	if _, ok := c.Err.(*core.VersionError); !ok {
		t.Errorf("closed with %v", c.Err)
	}
	w.Sim.Finish(w.Client)
}
