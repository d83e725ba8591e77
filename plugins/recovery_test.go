package plugins_test

import (
	"testing"
	"time"

	"github.com/pquic-go/pquic/core"
	"github.com/pquic-go/pquic/core/coretest"
	"github.com/pquic-go/pquic/plugins"
)

// serverWith runs requests, one after the other, against a server with a plugin,
// or with none if it is nil, and returns how long they took.
func serverWith(t *testing.T, p *plugins.Plugin, adjust func(*coretest.Scenario), rs ...coretest.Request) time.Duration {
	t.Helper()
	var list []*plugins.Plugin
	if p != nil {
		list = []*plugins.Plugin{p}
	}
	w, _, s := world(t, nil, list, adjust)
	a := w.Dial()
	a.MaxParallel = 1
	a.Request(rs...)
	w.Wait(10 * time.Minute)
	s.noFaults()
	return a.Transfers[len(rs)-1].End.Sub(a.Transfers[0].Start)
}

// TestWestwood: on a path that loses packets without being full, the window
// follows what the path delivers, and the transfer is faster than under NewReno,
// which halves it each time.
func TestWestwood(t *testing.T) {
	lossy := func(sc *coretest.Scenario) {
		sc.Down = coretest.Conditions{Delay: 20 * time.Millisecond, Rate: coretest.Mbps(20), Queue: 200_000, Loss: 0.01}
		server := sc.Server
		sc.Server = func(cfg *core.Config) {
			cfg.CongestionControl = "newreno"
			server(cfg)
		}
	}
	get := coretest.Request{Down: 5_000_000}
	native := serverWith(t, nil, lossy, get)
	engines(t, func(t *testing.T, engine string) {
		d := serverWith(t, shipped(t, "westwood", engine), lossy, get)
		t.Logf("westwood %v, newreno %v", d, native)
		if d > native*3/4 {
			t.Errorf("5 MB take %v with Westwood+, %v with NewReno", d, native)
		}
	})
}

// TestWestwoodShares: without random loss the controller fills the path, whatever
// controller it replaces, and keeps filling it when the queue overflows.
func TestWestwoodShares(t *testing.T) {
	for _, cc := range []string{"newreno", "cubic", "bbr"} {
		t.Run(cc, func(t *testing.T) {
			d := serverWith(t, shipped(t, "westwood", "auto"), func(sc *coretest.Scenario) {
				sc.Down = coretest.Conditions{Delay: 20 * time.Millisecond, Rate: coretest.Mbps(20), Queue: 100_000}
				server := sc.Server
				sc.Server = func(cfg *core.Config) {
					cfg.CongestionControl = cc
					server(cfg)
				}
			}, coretest.Request{Down: 10_000_000})
			// 10 MB at 20 Mbit/s are 4 s on the wire.
			if d > 5500*time.Millisecond {
				t.Errorf("10 MB take %v", d)
			}
		})
	}
}

// TestTLP: short answers on a fast path that loses packets end sooner, because
// the loss of their last packet is found after two round trips.
func TestTLP(t *testing.T) {
	lossy := func(sc *coretest.Scenario) {
		sc.Up.Delay, sc.Down.Delay = 2*time.Millisecond, 2*time.Millisecond
		sc.Down.Loss = 0.05
	}
	rs := make([]coretest.Request, 100)
	for i := range rs {
		rs[i] = coretest.Request{Down: 10_000}
	}
	native := serverWith(t, nil, lossy, rs...)
	engines(t, func(t *testing.T, engine string) {
		d := serverWith(t, shipped(t, "tlp", engine), lossy, rs...)
		t.Logf("tlp %v, native %v", d, native)
		if d > native*9/10 {
			t.Errorf("100 answers take %v with TLP, %v without", d, native)
		}
	})
}

// TestTLPIsQuiet: where nothing is lost the earlier timer sends no probe in vain.
func TestTLPIsQuiet(t *testing.T) {
	w, _, s := world(t, nil, []*plugins.Plugin{shipped(t, "tlp", "auto")}, nil)
	a := w.Transfer(time.Minute, coretest.Request{Down: 1_000_000})
	w.Settle()
	s.noFaults()
	if v := w.ServerApp(a).Conn.View(); v.PTOs > 0 {
		t.Errorf("%d probe timeouts", v.PTOs)
	}
}
