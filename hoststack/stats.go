package hoststack

import (
	"errors"
	"fmt"
	"io"
	"reflect"
	"sync/atomic"

	"github.com/pquic-go/pquic/core"
)

// workerStats are one worker's counters. Its owner adds to them; anybody reads.
type workerStats struct {
	connections        atomic.Int64
	accepted           atomic.Uint64
	dialled            atomic.Uint64
	handshakes         atomic.Uint64
	handshakesFailed   atomic.Uint64
	idleTimeouts       atomic.Uint64
	closedByPeer       atomic.Uint64
	protocolErrors     atomic.Uint64
	streamsAccepted    atomic.Uint64
	refusedBacklog     atomic.Uint64
	refusedShutdown    atomic.Uint64
	refusedConnections atomic.Uint64
	refusedRate        atomic.Uint64
	refusedMemory      atomic.Uint64
	retries            atomic.Uint64
	datagramsReceived  atomic.Uint64
	datagramsSent      atomic.Uint64
	bytesReceived      atomic.Uint64
	bytesSent          atomic.Uint64
	batchesReceived    atomic.Uint64
	batchesSent        atomic.Uint64
	sendErrors         atomic.Uint64
	sendTooLarge       atomic.Uint64
	handedOver         atomic.Uint64
	handOverDropped    atomic.Uint64
	sleeps             atomic.Uint64
	spins              atomic.Uint64
	claims             atomic.Uint64
}

// countEnd counts why a connection has ended.
func (s *workerStats) countEnd(err *ConnError, handshakeOK bool) {
	if !handshakeOK {
		s.handshakesFailed.Add(1)
	}
	var te *core.TransportError
	var ae *core.ApplicationError
	switch {
	case errors.Is(err, core.ErrIdleTimeout):
		s.idleTimeouts.Add(1)
	case errors.As(err, &te):
		if te.Code != core.NoError {
			s.protocolErrors.Add(1)
		} else if te.Remote {
			s.closedByPeer.Add(1)
		}
	case errors.As(err, &ae) && ae.Remote:
		s.closedByPeer.Add(1)
	}
}

// Stats are the counters of a Listener or Transport, summed over its workers.
// They only grow, but for the gauges.
type Stats struct {
	Connections        uint64 `metric:"connections" kind:"gauge" help:"Connections held, closing ones included."`
	Accepted           uint64 `metric:"connections_accepted_total" help:"Connections begun by peers."`
	Dialled            uint64 `metric:"connections_dialled_total" help:"Connections begun here."`
	Handshakes         uint64 `metric:"handshakes_total" help:"Handshakes completed."`
	HandshakesFailed   uint64 `metric:"handshakes_failed_total" help:"Connections that ended before their handshake was complete."`
	IdleTimeouts       uint64 `metric:"idle_timeouts_total" help:"Connections ended by silence."`
	ClosedByPeer       uint64 `metric:"closed_by_peer_total" help:"Connections the peer closed without a transport error."`
	ProtocolErrors     uint64 `metric:"transport_errors_total" help:"Connections ended by a transport error, ours or the peer's."`
	StreamsAccepted    uint64 `metric:"streams_accepted_total" help:"Streams opened by peers."`
	RefusedBacklog     uint64 `metric:"refused_backlog_total" help:"Connections refused because the application did not accept those before."`
	RefusedShutdown    uint64 `metric:"refused_shutdown_total" help:"Connections refused during shutdown."`
	RefusedConnections uint64 `metric:"refused_connections_total" help:"Connections refused by the limit on connections."`
	RefusedRate        uint64 `metric:"refused_rate_total" help:"Connections refused by the limit on handshakes per address."`
	RefusedMemory      uint64 `metric:"refused_memory_total" help:"Connections refused by the limit on memory."`
	Retries            uint64 `metric:"retries_total" help:"Connection attempts answered by a Retry packet."`
	DatagramsReceived  uint64 `metric:"datagrams_received_total" help:"UDP datagrams received."`
	DatagramsSent      uint64 `metric:"datagrams_sent_total" help:"UDP datagrams sent."`
	BytesReceived      uint64 `metric:"received_bytes_total" help:"UDP payload bytes received."`
	BytesSent          uint64 `metric:"sent_bytes_total" help:"UDP payload bytes sent."`
	BatchesReceived    uint64 `metric:"batches_received_total" help:"Receive calls that brought something."`
	BatchesSent        uint64 `metric:"batches_sent_total" help:"Send calls."`
	SendErrors         uint64 `metric:"send_errors_total" help:"Runs of datagrams the system refused to send."`
	SendTooLarge       uint64 `metric:"send_too_large_total" help:"Of these, those larger than the interface's MTU."`
	HandedOver         uint64 `metric:"handed_over_total" help:"Datagrams received by a worker other than their connection's."`
	HandOverDropped    uint64 `metric:"handed_over_dropped_total" help:"Of these, those dropped because their worker did not keep up."`
	Sleeps             uint64 `metric:"worker_sleeps_total" help:"Times a worker went to sleep."`
	Spins              uint64 `metric:"worker_spins_total" help:"Times a worker spun before it would have slept."`
	Claims             uint64 `metric:"worker_claims_total" help:"Times an application did a sleeping worker's work in place."`
}

// add adds a worker's counters. Fields of the two structs have the same names,
// but for their case.
func (s *Stats) add(w *workerStats) {
	s.Connections += uint64(max(0, w.connections.Load()))
	for _, f := range []struct {
		to   *uint64
		from *atomic.Uint64
	}{
		{&s.Accepted, &w.accepted},
		{&s.Dialled, &w.dialled},
		{&s.Handshakes, &w.handshakes},
		{&s.HandshakesFailed, &w.handshakesFailed},
		{&s.IdleTimeouts, &w.idleTimeouts},
		{&s.ClosedByPeer, &w.closedByPeer},
		{&s.ProtocolErrors, &w.protocolErrors},
		{&s.StreamsAccepted, &w.streamsAccepted},
		{&s.RefusedBacklog, &w.refusedBacklog},
		{&s.RefusedShutdown, &w.refusedShutdown},
		{&s.RefusedConnections, &w.refusedConnections},
		{&s.RefusedRate, &w.refusedRate},
		{&s.RefusedMemory, &w.refusedMemory},
		{&s.Retries, &w.retries},
		{&s.DatagramsReceived, &w.datagramsReceived},
		{&s.DatagramsSent, &w.datagramsSent},
		{&s.BytesReceived, &w.bytesReceived},
		{&s.BytesSent, &w.bytesSent},
		{&s.BatchesReceived, &w.batchesReceived},
		{&s.BatchesSent, &w.batchesSent},
		{&s.SendErrors, &w.sendErrors},
		{&s.SendTooLarge, &w.sendTooLarge},
		{&s.HandedOver, &w.handedOver},
		{&s.HandOverDropped, &w.handOverDropped},
		{&s.Sleeps, &w.sleeps},
		{&s.Spins, &w.spins},
		{&s.Claims, &w.claims},
	} {
		*f.to += f.from.Load()
	}
}

// A Metric is one figure of Stats as monitoring systems want it.
type Metric struct {
	Name  string // pquic_…, in Prometheus' style
	Help  string
	Gauge bool // else a counter
	Value uint64
}

// Metrics lists all figures.
func (s *Stats) Metrics() []Metric {
	v := reflect.ValueOf(s).Elem()
	list := make([]Metric, v.NumField())
	for i := range list {
		tag := v.Type().Field(i).Tag
		list[i] = Metric{
			Name:  "pquic_" + tag.Get("metric"),
			Help:  tag.Get("help"),
			Gauge: tag.Get("kind") == "gauge",
			Value: v.Field(i).Uint(),
		}
	}
	return list
}

// WritePrometheus writes all figures in Prometheus' text format.
func (s *Stats) WritePrometheus(w io.Writer) error {
	for _, m := range s.Metrics() {
		kind := "counter"
		if m.Gauge {
			kind = "gauge"
		}
		if _, err := fmt.Fprintf(w, "# HELP %s %s\n# TYPE %s %s\n%s %d\n", m.Name, m.Help, m.Name, kind, m.Name, m.Value); err != nil {
			return err
		}
	}
	return nil
}
