package core_test

import (
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/pquic-go/pquic/core"
	"github.com/pquic-go/pquic/core/coretest"
)

// both is a transfer that keeps both directions busy for a few seconds.
var both = coretest.Request{Up: 3 << 20, Down: 3 << 20, Full: true}

func TestSimRebindPort(t *testing.T) {
	w := coretest.NewWorld(t, coretest.Scenario{Up: interop, Down: interop, NAT: true})
	w.At(time.Second, func() { w.NAT.Rebind() })
	a := w.Transfer(time.Minute, coretest.Request{Down: 3 << 20})
	s := w.ServerApp(a).Conn
	if v := s.View(); v.ChallengesSent == 0 || v.ResponsesReceived == 0 || s.Paths()[0].Validated == 0 {
		t.Errorf("server sent %d challenges and got %d responses", v.ChallengesSent, v.ResponsesReceived)
	}
	if got := s.RemoteAddr().Port(); got != 40002 {
		t.Errorf("server sends to port %d", got)
	}
	w.Finish()
}

func TestSimRebindAddr(t *testing.T) {
	w := coretest.NewWorld(t, coretest.Scenario{Up: interop, Down: interop, NAT: true})
	outer := netip.MustParseAddr("203.0.113.77")
	w.At(time.Second, func() { w.NAT.RebindAddr(outer) })
	a := w.Transfer(time.Minute, coretest.Request{Down: 3 << 20})
	s := w.ServerApp(a).Conn
	if got := s.RemoteAddr().Addr(); got != outer || s.Paths()[0].Validated == 0 {
		t.Errorf("server sends to %v, validated %d", got, s.Paths()[0].Validated)
	}
	w.Finish()
}

// The NAT forgets its bindings again and again, faster than paths can be
// validated at times.
func TestSimRebindStorm(t *testing.T) {
	for _, every := range []time.Duration{500 * time.Millisecond, 100 * time.Millisecond, 35 * time.Millisecond} {
		for _, addr := range []bool{false, true} {
			t.Run(fmt.Sprintf("%v addr %v", every, addr), func(t *testing.T) {
				w := coretest.NewWorld(t, coretest.Scenario{Up: interop, Down: interop, NAT: true})
				n := 0
				w.Every(every, func() bool {
					n++
					if addr {
						w.NAT.RebindAddr(netip.AddrFrom4([4]byte{203, 0, 113, byte(n%200 + 2)}))
					} else {
						w.NAT.Rebind()
					}
					return n < 200 && len(w.Client.Apps) > 0 && !w.Client.Apps[0].Done()
				})
				a := w.Transfer(5*time.Minute, coretest.Request{Up: 1 << 20, Down: 1 << 20, Full: true})
				t.Logf("%d rebindings, took %v", w.NAT.Rebindings, a.Transfers[0].End.Sub(a.Transfers[0].Start))
				w.Finish()
			})
		}
	}
}

// A rebinding while nothing is sent: the server finds the client again with the
// next packet of either side that the client sends.
func TestSimRebindIdle(t *testing.T) {
	w := coretest.NewWorld(t, coretest.Scenario{Up: interop, Down: interop, NAT: true})
	a := w.Transfer(time.Minute, coretest.Request{Down: 1 << 10})
	w.Sleep(5 * time.Second)
	w.NAT.Rebind()
	a.Request(coretest.Request{Down: 1 << 20})
	w.Wait(time.Minute)
	w.Finish()
}

// twoInterfaces adds a second interface to the client, over links of its own.
func twoInterfaces(w *coretest.World, c coretest.Conditions) (second coretest.AddrPort, up, down *coretest.Link) {
	up, down = w.NewLink("up2", c), w.NewLink("down2", c)
	w.Client.AddInterface(coretest.ClientAddr2, up, down)
	return netip.AddrPortFrom(coretest.ClientAddr2, 60000), up, down
}

func TestSimConnectionMigration(t *testing.T) {
	w := coretest.NewWorld(t, coretest.Scenario{Up: interop, Down: interop})
	second, _, down2 := twoInterfaces(w, interop)
	a := w.Dial()
	a.Request(both)
	w.At(time.Second, func() {
		if err := a.Conn.Migrate(w.Now(), second, 2); err != nil {
			t.Fatal(err)
		}
	})
	w.Wait(time.Minute)
	if got := a.Conn.LocalAddr(); got != second {
		t.Errorf("client sends from %v", got)
	}
	if got := w.ServerApp(a).Conn.RemoteAddr(); got != second || down2.Stats.Delivered < 500 {
		t.Errorf("server sends to %v, %d packets came over the second path", got, down2.Stats.Delivered)
	}
	w.Finish()
}

// The first interface dies, with or without a word, and the client moves.
func TestSimMigrationFromDeadPath(t *testing.T) {
	w := coretest.NewWorld(t, coretest.Scenario{Up: interop, Down: interop})
	second, _, _ := twoInterfaces(w, interop)
	a := w.Dial()
	a.Request(both)
	w.At(time.Second, func() { w.Up.Down, w.Down.Down = true, true })
	w.At(1500*time.Millisecond, func() {
		if err := a.Conn.Migrate(w.Now(), second, 2); err != nil {
			t.Fatal(err)
		}
	})
	w.Wait(time.Minute)
	d := a.Transfers[0].End.Sub(a.Transfers[0].Start)
	t.Logf("took %v", d)
	if d > 10*time.Second {
		t.Errorf("took %v", d)
	}
	w.Finish()
}

// Back and forth, over a lossy path, more often than there are spare connection
// IDs at a time.
func TestSimMigrationPingPong(t *testing.T) {
	lossy := with(interop, func(c *coretest.Conditions) { c.Loss = 0.02 })
	w := coretest.NewWorld(t, coretest.Scenario{Up: lossy, Down: lossy})
	second, _, _ := twoInterfaces(w, lossy)
	a := w.Dial()
	a.Request(both)
	first := a.Conn.LocalAddr()
	n := 0
	w.Every(300*time.Millisecond, func() bool {
		to := second
		if a.Conn.LocalAddr() == second {
			to = first
		}
		switch err := a.Conn.Migrate(w.Now(), to, 0); {
		case err == nil:
			n++
		case !errors.Is(err, core.ErrNotReady) && !errors.Is(err, core.ErrNoConnID):
			t.Fatal(err)
		}
		return !a.Done()
	})
	w.Wait(2 * time.Minute)
	t.Logf("%d migrations", n)
	if n < 10 {
		t.Errorf("%d migrations", n)
	}
	w.Finish()
}

func TestSimPreferredAddress(t *testing.T) {
	for _, v6 := range []bool{false, true} {
		t.Run(fmt.Sprintf("v6 %v", v6), func(t *testing.T) {
			p4, p6 := netip.MustParseAddrPort("192.0.2.200:4433"), netip.MustParseAddrPort("[2001:db8::200]:4433")
			w := coretest.NewWorld(t, coretest.Scenario{Up: interop, Down: interop, IPv6: v6,
				Server: func(c *core.Config) { c.PreferredAddress4, c.PreferredAddress6 = p4, p6 }})
			w.Server.AddInterface(p4.Addr(), nil, nil)
			w.Server.AddInterface(p6.Addr(), nil, nil)
			a := w.Transfer(time.Minute, coretest.Request{Down: 3 << 20})
			want := p4
			if v6 {
				want = p6
			}
			if got := a.Conn.RemoteAddr(); got != want {
				t.Errorf("client sends to %v", got)
			}
			if got := w.ServerApp(a).Conn.LocalAddr(); got != want {
				t.Errorf("server sends from %v", got)
			}
			w.Finish()
		})
	}
}

// The preferred address does not answer: the connection stays where it is.
func TestSimPreferredAddressDead(t *testing.T) {
	p4 := netip.MustParseAddrPort("192.0.2.200:4433")
	w := coretest.NewWorld(t, coretest.Scenario{Up: interop, Down: interop,
		Server: func(c *core.Config) { c.PreferredAddress4 = p4 }})
	a := w.Transfer(time.Minute, coretest.Request{Down: 10 << 20})
	if got := a.Conn.RemoteAddr(); got != w.ServerAddr {
		t.Errorf("client sends to %v", got)
	}
	w.Finish()
}

func TestSimStatelessReset(t *testing.T) {
	for _, when := range []time.Duration{0, time.Second} {
		t.Run(fmt.Sprintf("after %v idle", when), func(t *testing.T) {
			w := coretest.NewWorld(t, coretest.Scenario{Up: interop, Down: interop,
				Endpoint: func(c *core.EndpointConfig) { c.ResetKey[0] = 7 }})
			a := w.Transfer(10*time.Second, coretest.Request{Down: 1 << 20})
			w.Sleep(when)
			w.Server.Restart()
			a.Request(coretest.Request{Up: 1 << 20, Down: 1 << 20})
			w.Until("closed", 10*time.Second, func() bool { return a.Ended })
			a.WantClosed(core.ErrStatelessReset)
			if n := w.Server.Endpoint.Stats().StatelessResets; n == 0 {
				t.Errorf("server sent %d stateless resets", n)
			}
			w.Until("gone", time.Minute, func() bool { return a.Freed })
			w.Audit()
		})
	}
}

// A client that crashed says nothing: the server's half of the connection times
// out.
func TestSimClientCrash(t *testing.T) {
	w := coretest.NewWorld(t, coretest.Scenario{Up: interop, Down: interop})
	a := w.Dial()
	a.Request(coretest.Request{Down: 10 << 20})
	w.Until("under way", time.Minute, func() bool { return a.Verified > 1<<20 })
	s := w.ServerApp(a)
	w.Client.Restart()
	w.Until("server's side gone", time.Minute, func() bool { return s.Freed })
	w.Audit()
}
