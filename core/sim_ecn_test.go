package core_test

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/pquic-go/pquic/core"
	"github.com/pquic-go/pquic/core/coretest"
)

// A NAT rebinding brings the connection to a network that drops marked packets,
// where marks were fine before: in one direction or both, while either side
// sends, and whether the address changed or the port alone, which keeps all
// measurements. The connection goes on unmarked.
func TestSimECTDroppedAfterRebinding(t *testing.T) {
	for _, change := range []string{"port", "address"} {
		for _, where := range []string{"up", "down", "both"} {
			for _, r := range []coretest.Request{{Up: 300_000}, {Down: 300_000}, {Up: 300_000, Down: 300_000, Full: true}} {
				t.Run(fmt.Sprintf("%s, marks dropped %s, %d up %d down", change, where, r.Up, r.Down), func(t *testing.T) {
					w := coretest.NewWorld(t, coretest.Scenario{Up: interop, Down: interop, NAT: true})
					a := w.Transfer(time.Minute, coretest.Request{Up: 100_000, Down: 100_000})
					s := w.ServerApp(a).Conn
					for _, c := range []*core.Conn{a.Conn, s} {
						if got := c.Paths()[0].ECNState; got != core.ECNCapable {
							t.Fatalf("ECN state %d before", got)
						}
					}
					if change == "port" {
						w.NAT.Rebind()
					} else {
						w.NAT.RebindAddr(netip.MustParseAddr("203.0.113.50"))
					}
					w.Up.ECN.DropECT, w.Down.ECN.DropECT = where != "down", where != "up"
					start := w.Elapsed()
					a.Request(r)
					w.Wait(time.Minute)
					if took := w.Elapsed() - start; took > 10*time.Second {
						t.Errorf("the transfer took %v", took)
					}
					for _, x := range []struct {
						name    string
						c       *core.Conn
						dropped bool
						sends   bool
					}{{"client", a.Conn, where != "down", r.Up > 0}, {"server", s, where != "up", r.Down > 0}} {
						if got := x.c.Paths()[0].ECNState; x.dropped && x.sends && got == core.ECNCapable {
							t.Errorf("the %s still marks its packets", x.name)
						}
						if err := x.c.Err(); err != nil {
							t.Errorf("the %s's connection ended: %v", x.name, err)
						}
					}
					if change == "address" && s.RemoteAddr().Addr() != netip.MustParseAddr("203.0.113.50") {
						t.Errorf("the server sends to %v", s.RemoteAddr())
					}
					w.Finish()
				})
			}
		}
	}
}
