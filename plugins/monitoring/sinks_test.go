package monitoring

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// memory is a file in memory, or a socket that keeps what was sent.
type memory struct {
	writes [][]byte
	closed bool
	err    error
}

func (m *memory) Write(b []byte) (int, error) {
	m.writes = append(m.writes, bytes.Clone(b))
	return len(b), m.err
}

func (m *memory) Close() error {
	m.closed = true
	return nil
}

// begin is when the flows of tests begin.
var begin = time.Date(2026, 1, 2, 3, 4, 5, 6e6, time.UTC)

// flow is a flow of a server whose counters are n times as large as those of n=1.
func flow(s State, n uint64, client string) *Flow {
	r := &Record{
		State: s, Server: true, Version: 1, Start: time.Duration(begin.UnixNano()),
		PacketsSent: 10 * n, PacketsReceived: 5 * n, PacketsLost: n, BytesSent: 10000 * n, BytesReceived: 500 * n, DataSent: 9000 * n,
		RTTSum: time.Duration(n) * 40 * time.Millisecond,
		Paths:  []Path{{SmoothedRTT: 20 * time.Millisecond, MinRTT: 15 * time.Millisecond, RTTVar: 3 * time.Millisecond, CongestionWindow: 12000 * n}},
	}
	r.HandshakeComplete = r.Start + 30*time.Millisecond
	r.Now = r.Start + time.Duration(n)*time.Second
	r.RTT[11] = 2 * n // below 33.554432 ms
	return &Flow{ID: 7, Connection: "0102", Local: netip.MustParseAddrPort("192.0.2.1:443"), Remote: netip.MustParseAddrPort(client), Record: r}
}

// after is a flow's next record.
func after(before *Flow, s State, n uint64) *Flow {
	f := flow(s, n, before.Remote.String())
	f.Previous = before.Record
	return f
}

func TestDelta(t *testing.T) {
	first := flow(Established, 2, "198.51.100.2:1000")
	if d := first.Delta(); d.PacketsSent != 20 {
		t.Errorf("the first record: %d packets sent, want 20", d.PacketsSent)
	}
	d := after(first, Finished, 5).Delta()
	if d.PacketsSent != 30 || d.RTT[11] != 6 || d.RTTSum != 120*time.Millisecond {
		t.Errorf("since the first record: %+v", d)
	}
	d = after(first, Finished, 1).Delta()
	if d.PacketsSent != 0 || d.RTT[11] != 0 {
		t.Errorf("a counter that shrank: %+v", d)
	}
}

func TestJSON(t *testing.T) {
	m := new(memory)
	j := NewJSON(m)
	for _, s := range []State{Established, Finished} {
		if err := j.Flow(flow(s, 1, "198.51.100.2:1000")); err != nil {
			t.Fatal(err)
		}
	}
	if len(m.writes) != 0 {
		t.Error("lines are written one by one")
	}
	if err := j.Flush(); err != nil || len(m.writes) != 1 {
		t.Fatalf("%d writes, %v", len(m.writes), err)
	}
	lines := strings.Split(strings.TrimSpace(string(m.writes[0])), "\n")
	if len(lines) != 2 {
		t.Fatalf("%d lines, want 2", len(lines))
	}
	var got map[string]any
	if err := json.Unmarshal([]byte(lines[1]), &got); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]any{"time": "2026-01-02T03:04:06.006Z", "flow": 7., "connection": "0102", "local": "192.0.2.1:443",
		"remote": "198.51.100.2:1000", "state": "finished", "packets_sent": 10., "rtt_sum_ns": 4e7} {
		if got[name] != want {
			t.Errorf("%s is %v, want %v", name, got[name], want)
		}
	}
	if err := j.Close(); err != nil || !m.closed {
		t.Errorf("the file stays open, %v", err)
	}
}

func TestAggregate(t *testing.T) {
	a := new(Aggregate)
	if !a.Empty() {
		t.Error("a new one is not empty")
	}
	first := flow(Established, 2, "198.51.100.2:1000")
	for _, f := range []*Flow{flow(New, 0, "198.51.100.2:1000"), first, after(first, Finished, 5), flow(Broken, 1, "198.51.100.3:1000")} {
		_ = a.Flow(f)
	}
	if a.Empty() {
		t.Error("it is empty after records")
	}
	var b strings.Builder
	if err := a.WritePrometheus(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`pquic_flow_records_total{state="new"} 1`,
		`pquic_flow_records_total{state="update"} 0`,
		`pquic_flow_packets_total{direction="sent"} 60`,
		`pquic_flow_bytes_total{direction="received"} 3000`,
		`pquic_flow_packets_lost_total 6`,
		`pquic_flow_handshake_seconds_sum 0.03`,
		`pquic_flow_rtt_seconds_bucket{le="1.6384e-05"} 0`,
		`pquic_flow_rtt_seconds_bucket{le="0.016777216"} 0`,
		`pquic_flow_rtt_seconds_bucket{le="0.033554432"} 12`,
		`pquic_flow_rtt_seconds_bucket{le="+Inf"} 12`,
		`pquic_flow_rtt_seconds_sum 0.24`,
		`pquic_flow_rtt_seconds_count 12`,
	} {
		if !strings.Contains(b.String(), want+"\n") {
			t.Errorf("no line %s", want)
		}
	}
	if t.Failed() {
		t.Log(b.String())
	}
	if err := a.WritePrometheus(&memory{err: errors.New("no")}); err == nil {
		t.Error("an error of the writer is lost")
	}
}

// A Collector serves what waits when it is closed, tells an error once, and does
// not let connections wait.
func TestCollector(t *testing.T) {
	m := &memory{err: errors.New("disk full")}
	var failures []error
	a := new(Aggregate)
	c := NewCollector(func(err error) { failures = append(failures, err) }, NewJSON(m), a)
	for range 3 {
		c.flows <- flow(Finished, 1, "198.51.100.2:1000")
	}
	c.Close()
	c.Close()
	if a.states[Finished] != 3 || !m.closed {
		t.Errorf("%d records, closed: %v", a.states[Finished], m.closed)
	}
	if len(failures) != 1 {
		t.Errorf("errors: %v", failures)
	}
}
