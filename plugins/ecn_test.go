package plugins_test

import (
	"encoding/binary"
	"fmt"
	"testing"
	"time"

	"github.com/pquic-go/pquic/core"
	"github.com/pquic-go/pquic/core/coretest"
	"github.com/pquic-go/pquic/plugins"
)

// ecnReport is the report that plugin ecn gives at the end.
type ecnReport struct{ Acked, ECT0, ECT1, CE, Frames, Failures, Received uint64 }

// marks counts the codepoints of the packets that pass a link.
func marks(sc *coretest.Conditions) *[4]uint64 {
	var n [4]uint64
	sc.Drop = func(p *coretest.Packet) bool { n[p.ECN&3]++; return false }
	return &n
}

// TestECN: the server's packets carry the codepoint that was chosen, the marks of
// a queue reach the congestion controller, and the report agrees with both.
func TestECN(t *testing.T) {
	engines(t, func(t *testing.T, engine string) {
		for codepoint, name := range []string{"none", "ECT(1)", "ECT(0)"} {
			t.Run(name, func(t *testing.T) {
				testECN(t, shipped(t, "ecn", engine), uint64(codepoint))
			})
		}
	})
}

// ecnWorld runs a server with plugin ecn.
func ecnWorld(t *testing.T, p *plugins.Plugin, codepoint string, adjust func(*coretest.Scenario)) (*coretest.World, *side) {
	s := &side{tb: t}
	w, _, _ := world(t, nil, nil, func(sc *coretest.Scenario) {
		adjust(sc)
		sc.Server = func(cfg *core.Config) {
			cfg.OnTransportParameters = func(c *core.Conn) error {
				in, err := p.Attach(c, plugins.AttachOptions{Options: map[string]string{"codepoint": codepoint}})
				s.instances = append(s.instances, in)
				return err
			}
		}
	})
	return w, s
}

func testECN(t *testing.T, p *plugins.Plugin, codepoint uint64) {
	var n *[4]uint64
	w, s := ecnWorld(t, p, fmt.Sprint(codepoint), func(sc *coretest.Scenario) {
		sc.Down = coretest.Conditions{Delay: 10 * time.Millisecond, Rate: coretest.Mbps(20)}
		sc.Down.ECN.MarkQueue = 30_000
		n = marks(&sc.Down)
	})
	a := w.Transfer(time.Minute, coretest.Request{Down: 2_000_000})
	path := *w.ServerApp(a).Conn.Paths()[0]
	a.Close()
	w.Sleep(10 * time.Second)
	s.noFaults()
	m := s.instances[0].Messages()
	var r ecnReport
	if len(m) != 1 {
		t.Fatalf("%d messages", len(m))
	}
	if _, err := binary.Decode(m[0], binary.LittleEndian, &r); err != nil {
		t.Fatal(err)
	}
	// The server's first packet answers a part of the ClientHello, before it
	// knows the parameters and attaches the plugin.
	for i, packets := range n {
		if uint64(i) != codepoint && packets > 1 {
			t.Errorf("%d packets with codepoint %d were sent", packets, i)
		}
	}
	if codepoint == 0 {
		if r.Acked > 1 || r.ECT0 > 1 || r.ECT1+r.CE+r.Failures > 0 {
			t.Errorf("report %+v", r)
		}
		return
	}
	if path.ECNState == core.ECNFailed || r.Failures != 0 {
		t.Errorf("state %d, report %+v", path.ECNState, r)
	}
	ours, other := r.ECT0, r.ECT1
	if codepoint == 1 {
		ours, other = r.ECT1, r.ECT0-1
	}
	if r.CE == 0 || r.CE != path.ECNCE || ours == 0 || other != 0 || r.Acked == 0 || r.ECT0+r.ECT1+r.CE < r.Acked {
		t.Errorf("report %+v, %d CE marks", r, path.ECNCE)
	}
	if path.Congestion.CongestionEvents == 0 || path.PacketsLost > 0 {
		t.Errorf("%d reductions, %d packets lost", path.Congestion.CongestionEvents, path.PacketsLost)
	}
}

// TestECNBroken: a path that changes the marks is noticed; marking stops.
func TestECNBroken(t *testing.T) {
	for name, treatment := range map[string]coretest.ECNTreatment{"bleach": {Bleach: true}, "remark": {Remark: true}, "drop": {DropECT: true}} {
		for _, codepoint := range []string{"1", "2"} {
			if name == "remark" && codepoint == "1" {
				continue // the link changes ECT(0) alone
			}
			t.Run(name+codepoint, func(t *testing.T) {
				w, s := ecnWorld(t, shipped(t, "ecn", "auto"), codepoint, func(sc *coretest.Scenario) { sc.Down.ECN = treatment })
				a := w.Transfer(time.Minute, coretest.Request{Down: 500_000})
				s.noFaults()
				if state := w.ServerApp(a).Conn.Paths()[0].ECNState; state != core.ECNFailed {
					t.Errorf("state %d", state)
				}
			})
		}
	}
}
