package plugins_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/pquic-go/pquic/core"
	"github.com/pquic-go/pquic/core/coretest"
	"github.com/pquic-go/pquic/plugins"
)

// A record is one JSON text of a trace.
type record struct {
	Schema string `json:"file_schema"`
	Trace  struct {
		Common struct {
			Group string `json:"group_id"`
		} `json:"common_fields"`
		Vantage struct{ Type string } `json:"vantage_point"`
	}
	Time float64
	Name string
	Data map[string]any
}

// parseTrace reads a JSON text sequence.
// https://www.rfc-editor.org/rfc/rfc7464#section-2.2
func parseTrace(t *testing.T, b []byte) (list []record) {
	t.Helper()
	for line := range bytes.Lines(b) {
		text, ok := bytes.CutPrefix(line, []byte{0x1e})
		var r record
		if err := json.Unmarshal(text, &r); !ok || err != nil || !bytes.HasSuffix(text, []byte("\n")) {
			t.Fatalf("record %q: %v", line, err)
		}
		list = append(list, r)
	}
	return list
}

// TestQlog: the trace of each end is well-formed, and tells as many packets as the
// engine has counted.
func TestQlog(t *testing.T) {
	engines(t, func(t *testing.T, engine string) {
		p := []*plugins.Plugin{shipped(t, "qlog", engine)}
		w, c, s := world(t, p, p, func(sc *coretest.Scenario) { sc.Down.Loss = 0.01 })
		a := w.Transfer(time.Minute, coretest.Request{Up: 1000, Down: 1_000_000})
		w.Settle()
		views := []uint64{a.Conn.View().PacketsSent, a.Conn.View().PacketsReceived, a.Conn.View().PacketsLost,
			w.ServerApp(a).Conn.View().PacketsSent, w.ServerApp(a).Conn.View().PacketsReceived, w.ServerApp(a).Conn.View().PacketsLost}
		a.Close()
		w.Sleep(10 * time.Second)
		for i, side := range []*side{c, s} {
			side.noFaults()
			list := parseTrace(t, bytes.Join(side.instances[0].Messages(), nil))
			head := list[0]
			if head.Schema != "urn:ietf:params:qlog:file:sequential" || head.Trace.Common.Group != a.Conn.ODCID().String() ||
				head.Trace.Vantage.Type != []string{"client", "server"}[i] {
				t.Errorf("header %+v", head)
			}
			checkTrace(t, list[1:], views[3*i:3*i+3])
		}
	})
}

// checkTrace compares events with how many packets were sent, received and lost
// before the connection was closed.
func checkTrace(t *testing.T, list []record, counts []uint64) {
	t.Helper()
	n := map[string]uint64{}
	at := 0.0
	for _, r := range list {
		if r.Time < at || !strings.HasPrefix(r.Name, "quic:") || r.Data == nil {
			t.Fatalf("event %+v after %v ms", r, at)
		}
		at = r.Time
		n[r.Name]++
	}
	// A server's plugin is attached when the ClientHello is complete, which may be
	// two packets later and one sent; closing takes some more.
	near := func(a, b uint64) bool { return a+3 >= b && b+3 >= a }
	if sent, received := n["quic:packet_sent"], n["quic:packet_received"]; !near(sent, counts[0]) || !near(received, counts[1]) {
		t.Errorf("%d packets sent and %d received, want %d and %d", sent, received, counts[0], counts[1])
	}
	if n["quic:packet_lost"] != counts[2] {
		t.Errorf("%d packets lost, want %d", n["quic:packet_lost"], counts[2])
	}
	if n["quic:recovery_metrics_updated"] == 0 || n["quic:connection_state_updated"] != 2 || n["quic:stream_state_updated"] != 4 || n["quic:connection_closed"] != 1 {
		t.Errorf("events %v", n)
	}
	if last := list[len(list)-1]; last.Name != "quic:connection_closed" || last.Data["error_code"] != 0.0 {
		t.Errorf("the last event is %+v", last)
	}
}

// TestQlogToLog: as an option, events go to the log, line by line, those of
// packets left out.
func TestQlogToLog(t *testing.T) {
	p := shipped(t, "qlog", "auto")
	s := &side{tb: t}
	w, _, _ := world(t, nil, nil, nil)
	w.ClientConfig.OnTransportParameters = func(c *core.Conn) error {
		in, err := p.Attach(c, plugins.AttachOptions{
			Options: map[string]string{"log": "true", "packets": "false"},
			Log:     func(_ *plugins.Instance, _ plugins.Level, line string) { s.lines = append(s.lines, line) },
		})
		s.instances = append(s.instances, in)
		return err
	}
	w.Transfer(time.Minute, coretest.Request{Down: 100_000})
	s.noFaults()
	if m := s.instances[0].Messages(); len(m) > 0 {
		t.Errorf("%d messages", len(m))
	}
	for _, line := range s.lines {
		if !json.Valid([]byte(line)) || strings.Contains(line, "packet_sent") {
			t.Errorf("line %q", line)
		}
	}
	if len(s.lines) < 5 {
		t.Errorf("%d lines", len(s.lines))
	}
}
