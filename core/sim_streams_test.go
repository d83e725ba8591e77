package core_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/pquic-go/pquic/core"
	"github.com/pquic-go/pquic/core/coretest"
)

func TestSimManyStreams(t *testing.T) {
	for _, sched := range []string{"rr", "prio", "sprio"} {
		t.Run(sched, func(t *testing.T) {
			lossy := with(lan, func(c *coretest.Conditions) { c.Loss = 0.01 })
			use := func(c *core.Config) { c.StreamScheduler = sched; c.MaxBidiStreams, c.MaxUniStreams = 40, 30 }
			w := coretest.NewWorld(t, coretest.Scenario{Up: lossy, Down: lossy, Client: use, Server: use})
			a := w.Dial()
			for i := range 600 {
				n := uint64(i*i*7919) % 30_000
				a.Request(coretest.Request{Up: n, Down: 30_000 - n, Uni: i%3 == 1, Full: i%2 == 0, Urgency: uint8(i % 9)})
			}
			w.Wait(2 * time.Minute)
			w.Finish()
		})
	}
}

// Empty streams, streams of one byte, answers without a body.
func TestSimEmptyStreams(t *testing.T) {
	w := coretest.NewWorld(t, coretest.Scenario{Up: lan, Down: lan})
	a := w.Dial()
	for i := range 60 {
		a.Request(coretest.Request{Up: uint64(i % 2), Down: uint64(i / 2 % 2), Uni: i%4 == 3, Full: i%5 == 0})
	}
	w.Wait(time.Minute)
	w.Finish()
}

// Windows far smaller than what is sent, readers slower than the network.
func TestSimFlowControl(t *testing.T) {
	for _, loss := range []float64{0, 0.05} {
		for _, slow := range []bool{false, true} {
			t.Run(fmt.Sprintf("loss %v slow %v", loss, slow), func(t *testing.T) {
				lossy := with(lan, func(c *coretest.Conditions) { c.Loss = loss })
				use := func(c *core.Config) {
					c.StreamWindow, c.MaxStreamWindow, c.ConnWindow, c.MaxConnWindow = 3000, 3000, 7000, 7000
					c.SendBuffer = 2048
				}
				w := coretest.NewWorld(t, coretest.Scenario{Up: lossy, Down: lossy, Client: use, Server: use})
				a := w.Dial()
				if slow {
					a.ReadChunk, a.ReadEvery = 900, 7*time.Millisecond
				}
				for range 20 {
					a.Request(coretest.Request{Up: 20_000, Down: 30_000, Full: true})
				}
				w.Wait(5 * time.Minute)
				if n := a.Conn.Stats(); n.DataReceived > n.MaxDataLocal {
					t.Errorf("%d bytes received, %d allowed", n.DataReceived, n.MaxDataLocal)
				}
				w.Finish()
			})
		}
	}
}

// Half of all requests are given up in the middle: the credit of what was not
// read comes back, and no stream stays behind.
func TestSimCancel(t *testing.T) {
	lossy := with(lan, func(c *coretest.Conditions) { c.Loss = 0.02 })
	use := func(c *core.Config) {
		c.StreamWindow, c.MaxStreamWindow, c.ConnWindow, c.MaxConnWindow = 20_000, 40_000, 50_000, 80_000
		c.MaxBidiStreams = 12
	}
	w := coretest.NewWorld(t, coretest.Scenario{Up: lossy, Down: lossy, Client: use, Server: use})
	a := w.Dial()
	for i := range 400 {
		r := coretest.Request{Up: uint64(i%7) * 9000, Down: 50_000, Full: i%2 == 0}
		if i%2 == 0 {
			r.CancelAt = uint64(i*977)%50_000 + 1
		}
		a.Request(r)
	}
	w.Wait(5 * time.Minute)
	cancelled := 0
	for _, r := range a.Transfers {
		if r.Cancelled {
			cancelled++
		}
	}
	if cancelled < 100 {
		t.Errorf("%d of 200 requests were cancelled", cancelled)
	}
	w.Finish()
}

// A receive window that starts small must not hold back a long fat path.
func TestSimWindowTuning(t *testing.T) {
	fat := coretest.Conditions{Rate: coretest.Mbps(200), Delay: 100 * time.Millisecond, Queue: 5 << 20}
	use := func(c *core.Config) { c.SendBuffer, c.MaxStreamWindow, c.MaxConnWindow = 16<<20, 16<<20, 24<<20 }
	w := coretest.NewWorld(t, coretest.Scenario{Up: fat, Down: fat, Client: use, Server: use})
	a := w.Transfer(time.Minute, coretest.Request{Down: 100 << 20})
	t.Logf("%.1f Mbps", a.Goodput()*8e-6)
	if a.Goodput()*8 < 0.6*fat.Rate {
		t.Errorf("%.1f Mbps", a.Goodput()*8e-6)
	}
	w.Finish()
}

// A stream opened late does not wait for one that fills the connection.
func TestSimFairStreams(t *testing.T) {
	w := coretest.NewWorld(t, coretest.Scenario{Up: interop, Down: interop})
	a := w.Dial()
	a.Request(coretest.Request{Down: 5 << 20})
	w.Until("under way", time.Minute, func() bool { return a.Verified > 1<<20 })
	a.Request(coretest.Request{Down: 50_000})
	w.Wait(time.Minute)
	if d := a.Transfers[1].End.Sub(a.Transfers[1].Start); d > 400*time.Millisecond {
		t.Errorf("50 kB beside a bulk stream took %v", d)
	}
	w.Finish()
}
