package monitoring

import (
	"bufio"
	"fmt"
	"io"
	"strconv"
	"sync"
	"time"
)

// An Aggregate is a sink that adds the flow records of all connections up.
type Aggregate struct {
	mu         sync.Mutex
	total      Record // what all flows did
	states     [Broken + 1]uint64
	handshakes time.Duration // of all established flows
}

var _ Sink = (*Aggregate)(nil)

// Flow adds what happened since the flow's previous record.
func (a *Aggregate) Flow(f *Flow) error {
	d := f.Delta()
	a.mu.Lock()
	defer a.mu.Unlock()
	if f.State <= Broken {
		a.states[f.State]++
	}
	if f.State == Established {
		a.handshakes += f.HandshakeComplete - f.Start
	}
	from := d.counters()
	for i, p := range a.total.counters() {
		*p += *from[i]
	}
	for i, n := range d.RTT {
		a.total.RTT[i] += n
	}
	a.total.RTTSum += d.RTTSum
	a.total.StreamTimeSum += d.StreamTimeSum
	a.total.UnknownParameters += d.UnknownParameters
	return nil
}

// Flush does nothing.
func (a *Aggregate) Flush() error { return nil }

// Close does nothing: the figures stay readable.
func (a *Aggregate) Close() error { return nil }

// Empty reports whether there has been no record yet.
func (a *Aggregate) Empty() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.states == [Broken + 1]uint64{}
}

// WritePrometheus writes the figures in Prometheus' text format. It may be
// called from any goroutine.
func (a *Aggregate) WritePrometheus(w io.Writer) error {
	a.mu.Lock()
	r, states, handshakes := a.total, a.states, a.handshakes
	a.mu.Unlock()
	p := &promWriter{w: bufio.NewWriter(w)}
	p.family("pquic_flow_records_total", "counter", "Flow records by state.")
	for s := New; s <= Broken; s++ {
		p.value("pquic_flow_records_total", `{state="`+s.String()+`"}`, states[s])
	}
	p.both("pquic_flow_packets_total", "QUIC packets.", r.PacketsSent, r.PacketsReceived)
	p.both("pquic_flow_bytes_total", "UDP payload bytes.", r.BytesSent, r.BytesReceived)
	p.both("pquic_flow_stream_bytes_total", "Bytes of streams, each counted once.", r.DataSent, r.DataReceived)
	for _, c := range []struct {
		name, help string
		n          uint64
	}{
		{"packets_lost", "Packets declared lost.", r.PacketsLost},
		{"packets_spurious", "Packets declared lost and acknowledged later.", r.PacketsSpurious},
		{"packets_retransmitted", "Packets that carried data again.", r.PacketsRetransmitted},
		{"packets_duplicate", "Packets received twice.", r.PacketsDuplicate},
		{"packets_undecryptable", "Packets received that did not decrypt.", r.PacketsUndecryptable},
		{"packets_out_of_order", "Packets received after a later one.", r.PacketsOutOfOrder},
		{"ptos", "Probe timeouts.", r.PTOs},
		{"fast_retransmits", "Losses found by acknowledgments.", r.FastRetransmits},
		{"loss_timeouts", "Losses found by time.", r.LossTimeouts},
		{"streams_opened", "Streams opened.", r.StreamsOpened},
		{"streams_closed", "Streams closed.", r.StreamsClosed},
		{"unknown_parameters", "Unknown transport parameters received.", r.UnknownParameters},
	} {
		name := "pquic_flow_" + c.name + "_total"
		p.family(name, "counter", c.help)
		p.value(name, "", c.n)
	}
	p.family("pquic_flow_stream_seconds_total", "counter", "Life times of closed streams.")
	p.seconds("pquic_flow_stream_seconds_total", r.StreamTimeSum)
	p.family("pquic_flow_handshake_seconds", "summary", "Time to complete the handshake.")
	p.seconds("pquic_flow_handshake_seconds_sum", handshakes)
	p.value("pquic_flow_handshake_seconds_count", "", states[Established])
	p.histogram("pquic_flow_rtt_seconds", "Round-trip time samples.", &r)
	return p.w.Flush()
}

// A promWriter writes Prometheus' text format.
// https://prometheus.io/docs/instrumenting/exposition_formats/
type promWriter struct{ w *bufio.Writer } // which remembers the first error

func (p *promWriter) family(name, kind, help string) {
	fmt.Fprintf(p.w, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, kind)
}

func (p *promWriter) value(name, labels string, n uint64) {
	fmt.Fprintf(p.w, "%s%s %d\n", name, labels, n)
}

func (p *promWriter) seconds(name string, d time.Duration) {
	fmt.Fprintf(p.w, "%s %s\n", name, seconds(d))
}

func (p *promWriter) both(name, help string, sent, received uint64) {
	p.family(name, "counter", help)
	p.value(name, `{direction="sent"}`, sent)
	p.value(name, `{direction="received"}`, received)
}

// histogram writes the round-trip times: each bucket holds the samples below its
// limit, those of smaller buckets included.
func (p *promWriter) histogram(name, help string, r *Record) {
	p.family(name, "histogram", help)
	var n uint64
	for i, c := range r.RTT {
		n += c
		le := "+Inf"
		if i < len(r.RTT)-1 {
			le = seconds(RTTLimit(i))
		}
		p.value(name+"_bucket", `{le="`+le+`"}`, n)
	}
	p.seconds(name+"_sum", r.RTTSum)
	p.value(name+"_count", "", n)
}

// RTTLimit is the time that the samples in bucket i of Record.RTT are below; the
// last bucket has none.
func RTTLimit(i int) time.Duration { return 1 << (14 + i) }

func seconds(d time.Duration) string { return strconv.FormatFloat(d.Seconds(), 'g', -1, 64) }
