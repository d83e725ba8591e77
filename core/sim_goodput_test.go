package core_test

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/pquic-go/pquic/core"
	"github.com/pquic-go/pquic/core/coretest"
)

// share is the part of a packet of 1500 bytes that can be stream data over
// IPv4: headers of IP and UDP, a short header with 8 bytes of connection ID and
// 2 of packet number, the AEAD's tag, a STREAM frame's header.
const share = float64(1500-28-11-16-8) / 1500

func TestSimGoodput(t *testing.T) {
	for _, cc := range []string{"newreno", "cubic", "bbr"} {
		for _, up := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s up %v", cc, up), func(t *testing.T) {
				use := func(c *core.Config) { c.CongestionControl = cc }
				w := coretest.NewWorld(t, coretest.Scenario{Up: interop, Down: interop, Client: use, Server: use})
				r := coretest.Request{Down: 10 << 20}
				if up {
					r = coretest.Request{Up: 10 << 20}
				}
				a := w.Transfer(time.Minute, r)
				got := a.Goodput() * 8
				l := w.Down
				if up {
					l = w.Up
				}
				t.Logf("%.2f Mbps, %.1f %% of what packets of 1500 bytes can carry; %d of %d packets dropped, longest delay %v",
					got/1e6, 100*got/(interop.Rate*share), l.Stats.Queue, l.Stats.Sent, l.Stats.MaxDelay)
				if got < 0.95*interop.Rate*share {
					t.Errorf("goodput %.2f Mbps", got/1e6)
				}
				w.Finish()
			})
		}
	}
}

// What a window must be for: losses that are no sign of a queue, and a path that
// holds a hundred times the first window, over a queue that holds a fiftieth of it.
func TestSimGoodputHardLinks(t *testing.T) {
	for _, l := range []struct {
		name string
		c    coretest.Conditions
		want map[string]float64 // Mbps
	}{
		{"2 % loss", with(interop, func(c *coretest.Conditions) { c.Loss = 0.02 }), map[string]float64{"cubic": 4.2, "newreno": 2.2, "bbr": 8.8}},
		{"750 ms", with(interop, func(c *coretest.Conditions) { c.Delay = 750 * time.Millisecond }), map[string]float64{"cubic": 4.3, "newreno": 3.5, "bbr": 3}},
	} {
		for _, cc := range []string{"newreno", "cubic", "bbr"} {
			t.Run(cc+" "+l.name, func(t *testing.T) {
				sum := 0.0
				const seeds = 4
				for seed := range uint64(seeds) {
					use := func(c *core.Config) {
						c.CongestionControl = cc
						c.StreamWindow, c.MaxStreamWindow, c.ConnWindow, c.MaxConnWindow = 6<<20, 6<<20, 15<<20, 15<<20
					}
					w := coretest.NewWorld(t, coretest.Scenario{Seed: seed + 1, Up: l.c, Down: l.c, Client: use, Server: use})
					a := w.Transfer(10*time.Minute, coretest.Request{Down: 10 << 20})
					sum += a.Goodput() * 8e-6
					w.Finish()
				}
				t.Logf("%.2f Mbps", sum/seeds)
				if sum/seeds < l.want[cc] {
					t.Errorf("%.2f Mbps, want at least %.2f", sum/seeds, l.want[cc])
				}
			})
		}
	}
}

// Two connections with a bottleneck in common share it.
func TestSimCrossTraffic(t *testing.T) {
	for _, cc := range [][2]string{{"newreno", "newreno"}, {"cubic", "cubic"}, {"bbr", "bbr"}, {"cubic", "newreno"}, {"cubic", "bbr"}} {
		for _, offset := range []time.Duration{0, 5 * time.Second} {
			t.Run(fmt.Sprintf("%s against %s after %v", cc[0], cc[1], offset), func(t *testing.T) {
				w := coretest.NewWorld(t, coretest.Scenario{Up: interop, Down: interop})
				// The data's sender, the server, decides: one per controller.
				other := *w.ServerConfig
				other.CongestionControl = cc[1]
				w.ServerConfig.CongestionControl = cc[0]
				second := w.NewHost("server2", &core.EndpointConfig{Server: true, Config: &other})
				addr := netip.MustParseAddr("192.0.2.98")
				second.AddInterface(addr, nil, nil)
				if err := w.Server.Endpoint.SetConfig(w.ServerConfig); err != nil {
					t.Fatal(err)
				}
				a := w.Dial()
				a.Request(coretest.Request{Down: 100 << 20})
				w.Sleep(offset)
				b, err := w.Client.Dial(core.DialConfig{Config: w.ClientConfig, ServerName: coretest.ServerName, Remote: netip.AddrPortFrom(addr, 443)})
				if err != nil {
					t.Fatal(err)
				}
				b.Request(coretest.Request{Down: 100 << 20})
				w.Sleep(10 * time.Second) // let them converge
				a0, b0 := a.Verified, b.Verified
				const d = 30 * time.Second
				w.Sleep(d)
				ra, rb := float64(a.Verified-a0)*8/d.Seconds(), float64(b.Verified-b0)*8/d.Seconds()
				fair := (ra + rb) * (ra + rb) / (2 * (ra*ra + rb*rb)) // Jain's index
				t.Logf("%.2f and %.2f Mbps, fairness %.3f", ra/1e6, rb/1e6, fair)
				if ra+rb < 0.9*interop.Rate*share {
					t.Errorf("together %.2f Mbps", (ra+rb)/1e6)
				}
				if cc[0] == cc[1] && fair < 0.8 || fair < 0.55 {
					t.Errorf("%.2f against %.2f Mbps", ra/1e6, rb/1e6)
				}
				for _, h := range []*coretest.Host{w.Client, w.Server, second} {
					h.Endpoint.CloseAll(h.Now(), 0, "")
				}
				w.Sim.Finish(w.Client)
			})
		}
	}
}
