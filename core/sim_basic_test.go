package core_test

import (
	"testing"
	"time"

	"github.com/pquic-go/pquic/core/coretest"
)

// lan is a quick path without trouble.
var lan = coretest.Conditions{Rate: coretest.Mbps(100), Delay: 5 * time.Millisecond, Queue: 256 << 10}

// interop is the path of the interop runner's measurements: 10 Mbps, 15 ms each
// way, 25 packets.
var interop = coretest.Conditions{Rate: coretest.Mbps(10), Delay: 15 * time.Millisecond, QueuePackets: 25}

func TestSimHandshake(t *testing.T) {
	w := coretest.NewWorld(t, coretest.Scenario{Up: interop, Down: interop})
	c := w.Transfer(10*time.Second, coretest.Request{Down: 1 << 10})
	// One round trip for the handshake, and the confirmation one later.
	if d := c.Complete.Sub(coretest.Epoch); d > 60*time.Millisecond {
		t.Errorf("handshake took %v over a round trip of 30 ms", d)
	}
	w.Finish()
}

func TestSimTransfer(t *testing.T) {
	w := coretest.NewWorld(t, coretest.Scenario{Up: lan, Down: lan})
	c := w.Transfer(time.Minute, coretest.Request{Down: 2 << 20}, coretest.Request{Down: 3 << 20}, coretest.Request{Down: 5 << 20})
	t.Logf("%.1f Mbps", c.Goodput()*8e-6)
	w.Finish()
}
