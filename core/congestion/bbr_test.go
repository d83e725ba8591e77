package congestion

import (
	"testing"
	"time"
)

func TestBBRFillsLink(t *testing.T) {
	f := newFlow(t, "bbr", dsl)
	f.run(5 * time.Second)
	t.Log("after startup:", f)
	f.wantUtilization("steady state", 0.95, 30*time.Second)
}

func TestBBRRandomLoss(t *testing.T) {
	p := dsl
	p.loss = 0.02
	f := newFlow(t, "bbr", p)
	f.run(5 * time.Second)
	f.wantUtilization("2 % random loss", 0.95, 30*time.Second)
}
