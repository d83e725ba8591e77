package plugins_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pquic-go/pquic/core"
	"github.com/pquic-go/pquic/core/coretest"
	"github.com/pquic-go/pquic/plugins"
	"github.com/pquic-go/pquic/plugins/monitoring"
	"github.com/pquic-go/pquic/plugins/standard"
)

func shipped(tb testing.TB, name, engine string) *plugins.Plugin {
	tb.Helper()
	p, err := standard.Load(name, plugins.LoadOptions{Engine: engine})
	if err != nil {
		if engine == "jit" && strings.Contains(err.Error(), "engine jit") {
			tb.Skip(err)
		}
		tb.Fatal(err)
	}
	return p
}

// noFaults fails if a plugin of s has failed.
func (s *side) noFaults() {
	s.tb.Helper()
	for _, in := range s.instances {
		if f := in.Fault(); f != nil {
			s.tb.Error(plugins.Explain(f))
		}
	}
}

// TestShippedAreProved: every pluglet that is compiled in is proved to end.
func TestShippedAreProved(t *testing.T) {
	for _, name := range standard.Names() {
		for _, v := range shipped(t, name, "interp").Report() {
			if !v.Proved {
				t.Errorf("%s, %s: %s", name, v.Section, v)
			}
		}
	}
}

// TestHello: a plugin brings a frame type of its own; both ends have it.
func TestHello(t *testing.T) {
	engines(t, func(t *testing.T, engine string) {
		p := []*plugins.Plugin{shipped(t, "hello", engine)}
		w, c, s := world(t, p, p, nil)
		w.Transfer(time.Minute, coretest.Request{Up: 1000, Down: 100_000})
		w.Settle()
		for _, side := range []*side{c, s} {
			side.noFaults()
			m := side.instances[0].Messages()
			if len(m) != 1 || string(m[0]) != "hello" {
				t.Errorf("messages %q", m)
			}
			if !slices.Contains(side.lines, "the peer says: hello") {
				t.Errorf("log %q", side.lines)
			}
		}
	})
}

// TestNotNegotiated: a plugin that only one end has is not used, and nothing of
// it is left.
func TestNotNegotiated(t *testing.T) {
	p := []*plugins.Plugin{shipped(t, "hello", "interp")}
	w, c, _ := world(t, p, nil, nil)
	a := w.Transfer(time.Minute, coretest.Request{Up: 1000, Down: 100_000})
	if in := c.instances[0]; in.Attached() || in.Refusal() != nil || len(in.Messages()) > 0 {
		t.Errorf("attached %t, refusal %v", in.Attached(), in.Refusal())
	}
	if l := plugins.Attached(a.Conn); len(l) != 0 {
		t.Errorf("%d plugins are left", len(l))
	}
	if l := a.Conn.Operations().Attachments(); len(l) != 0 {
		t.Errorf("%d attachments are left: %s", len(l), l[0].Plugin().Name)
	}
	if _, err := p[0].Attach(a.Conn, plugins.AttachOptions{}); !errors.Is(err, plugins.ErrTooLate) {
		t.Errorf("attaching after the handshake: %v, want ErrTooLate", err)
	}
}

// TestMonitoring: the records agree with what the engine counts.
func TestMonitoring(t *testing.T) {
	engines(t, func(t *testing.T, engine string) {
		p := []*plugins.Plugin{shipped(t, "monitoring", engine)}
		w, c, s := world(t, p, p, func(sc *coretest.Scenario) { sc.Down.Loss = 0.01 })
		a := w.Transfer(5*time.Minute, coretest.Request{Up: 1000, Down: 2_000_000})
		view := *a.Conn.View()
		a.Close()
		w.Sleep(10 * time.Second)
		for i, side := range []*side{c, s} {
			side.noFaults()
			records, err := monitoring.Records(side.instances[0])
			if err != nil || len(records) != 2 {
				t.Fatalf("%d records, %v", len(records), err)
			}
			if records[0].State != monitoring.Established || records[1].State != monitoring.Finished {
				t.Errorf("states %v and %v", records[0].State, records[1].State)
			}
			r := records[1]
			if i == 0 && (r.PacketsReceived != view.PacketsReceived || r.DataReceived != view.DataReceived || r.Server) {
				t.Errorf("record %+v", r)
			}
			if i == 1 && (r.PacketsLost == 0 || r.Paths[0].MinRTT < 20*time.Millisecond || !r.ErrorRemote) {
				t.Errorf("record %+v", r)
			}
			var samples uint64
			for _, n := range r.RTT {
				samples += n
			}
			if samples == 0 || r.HandshakeComplete == 0 || r.StreamsClosed != 1 && i == 0 || len(r.Paths) != 1 {
				t.Errorf("record %+v", r)
			}
		}
	})
}

// TestComposition: all pairs of plugins that are compiled in serve one transfer.
func TestComposition(t *testing.T) {
	names := standard.Names()
	for i, x := range names {
		for _, y := range names[i+1:] {
			t.Run(x+"+"+y, func(t *testing.T) {
				p := []*plugins.Plugin{shipped(t, x, "auto"), shipped(t, y, "auto")}
				w, c, s := world(t, p, p, nil)
				w.Transfer(time.Minute, coretest.Request{Down: 300_000}, coretest.Request{Up: 100_000})
				w.Settle()
				c.noFaults()
				s.noFaults()
				if len(c.instances) != 2 || !c.instances[0].Attached() || !c.instances[1].Attached() {
					t.Error("not attached")
				}
			})
		}
	}
}

// TestAckDelay: the plugin changes one decision, within its option's bounds.
func TestAckDelay(t *testing.T) {
	p := shipped(t, "ack_delay", "auto")
	trial, err := plugins.NewTrial(p, plugins.AttachOptions{Options: map[string]string{"percent": "50", "floor": "2ms"}})
	if err != nil {
		t.Fatal(err)
	}
	defer trial.Close()
	_, err = p.Attach(trial.Instance().Conn(), plugins.AttachOptions{Options: map[string]string{"percent": "much"}})
	var oe *plugins.OptionError
	if !errors.As(err, &oe) || oe.Option != "percent" {
		t.Errorf("a bad option: %v", err)
	}
}

// TestConflicts: two plugins that replace one operation; the error names both.
func TestConflicts(t *testing.T) {
	p := shipped(t, "stream_rr", "interp")
	w, _, _ := world(t, nil, nil, nil)
	w.Scenario.Client = nil
	w.ClientConfig.OnTransportParameters = func(c *core.Conn) error {
		if _, err := p.Attach(c, plugins.AttachOptions{}); err != nil {
			t.Errorf("Attach: %v", err)
		}
		_, err := p.Attach(c, plugins.AttachOptions{})
		if err == nil || !strings.Contains(err.Error(), "already attached") {
			t.Errorf("attaching twice: %v", err)
		}
		return nil
	}
	w.Transfer(time.Minute, coretest.Request{Down: 1000})
}
