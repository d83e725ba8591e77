package congestion

import (
	"testing"
	"time"
)

// dsl is a 10 Mbps link of 15 ms one way with room for 25 packets.
var dsl = path{rate: 10e6, delay: 15 * time.Millisecond, queue: 25}

func TestLossBasedFillsLink(t *testing.T) {
	for _, name := range []string{"newreno", "cubic"} {
		t.Run(name, func(t *testing.T) {
			f := newFlow(t, name, dsl)
			f.run(5 * time.Second)
			t.Log("after slow start:", f)
			f.wantUtilization("steady state", 0.95, 30*time.Second)
		})
	}
}
