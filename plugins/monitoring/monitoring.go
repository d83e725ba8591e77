// Package monitoring holds the plugin monitoring as bytecode, compiled from
// src/monitoring.c, and reads the flow records it makes. A Collector takes the
// records of any number of connections to sinks.
//
// # To find X, open Y
//
//	the bytecode, records              monitoring.go
//	from connections to sinks          collector.go
//	JSON lines                         json.go
//	sums for Prometheus                prometheus.go
//	messages to an IPFIX collector     ipfix.go
//	  which elements, their numbers    ipfix_fields.go
//	the last minutes, for a plot       history.go
package monitoring

import (
	_ "embed"
	"encoding/binary"
	"errors"
	"time"

	"github.com/pquic-go/pquic/plugins"
)

// Object is the plugin's ELF file.
//
//go:embed monitoring.o
var Object []byte

// Name is the plugin's name.
const Name = "org.pquic.monitoring"

// A State says when in the life of a flow a record was made.
type State uint32

// States.
const (
	New State = iota + 1
	Established
	Update
	Finished // closed without an error of the protocol
	Broken
)

var stateNames = [...]string{"unknown", "new", "established", "update", "finished", "broken"}

// String names the state.
func (s State) String() string {
	if int(s) < len(stateNames) {
		return stateNames[s]
	}
	return stateNames[0]
}

// MarshalText writes the state's name.
func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

const (
	recordVersion = 1
	rttBuckets    = 24
	flowWords     = 2 + 4 + 4 + 4 + 4 + 3 + 4 + 4 + rttBuckets + 2 // of 8 bytes
	pathWords     = 19
	maxPaths      = 8
)

// A Record is one flow record: what a connection did until Now.
type Record struct {
	State   State  `json:"state"`
	Server  bool   `json:"server"`
	Version uint32 `json:"quic_version"`

	Now                time.Duration `json:"now_ns"`   // on the engine's clock
	Start              time.Duration `json:"start_ns"` // on the engine's clock
	HandshakeComplete  time.Duration `json:"handshake_complete_ns"`
	HandshakeConfirmed time.Duration `json:"handshake_confirmed_ns"`

	PacketsSent          uint64 `json:"packets_sent"`
	PacketsReceived      uint64 `json:"packets_received"`
	PacketsLost          uint64 `json:"packets_lost"`
	PacketsSpurious      uint64 `json:"packets_spurious"`
	PacketsDuplicate     uint64 `json:"packets_duplicate"`
	PacketsUndecryptable uint64 `json:"packets_undecryptable"`
	PacketsRetransmitted uint64 `json:"packets_retransmitted"`
	PacketsOutOfOrder    uint64 `json:"packets_out_of_order"`

	BytesSent     uint64 `json:"bytes_sent"`
	BytesReceived uint64 `json:"bytes_received"`
	DataSent      uint64 `json:"data_sent"`
	DataReceived  uint64 `json:"data_received"`

	PTOs            uint64 `json:"ptos"`
	FastRetransmits uint64 `json:"fast_retransmits"`
	LossTimeouts    uint64 `json:"loss_timeouts"`

	StreamsOpened uint64        `json:"streams_opened"`
	StreamsClosed uint64        `json:"streams_closed"`
	StreamTimeSum time.Duration `json:"stream_time_sum_ns"`
	StreamTimeMax time.Duration `json:"stream_time_max_ns"`

	UnknownParameters uint64 `json:"unknown_parameters"`
	Error             uint64 `json:"error"`
	ErrorApplication  bool   `json:"error_is_application"`
	ErrorRemote       bool   `json:"error_is_remote"`

	// RTT counts samples: bucket 0 those below 16.384 us, bucket i those below 2^i
	// times 16.384 us, the last all others. RTTSum adds them up.
	RTT    [rttBuckets]uint64 `json:"rtt_histogram"`
	RTTSum time.Duration      `json:"rtt_sum_ns"`
	Paths  []Path             `json:"paths"`
}

// A Path is what a record says of a path.
type Path struct {
	ID               uint64        `json:"id"`
	State            uint64        `json:"state"`
	PacketsSent      uint64        `json:"packets_sent"`
	PacketsReceived  uint64        `json:"packets_received"`
	PacketsLost      uint64        `json:"packets_lost"`
	PacketsSpurious  uint64        `json:"packets_spurious"`
	BytesSent        uint64        `json:"bytes_sent"`
	BytesReceived    uint64        `json:"bytes_received"`
	BytesLost        uint64        `json:"bytes_lost"`
	MinRTT           time.Duration `json:"min_rtt_ns"`
	SmoothedRTT      time.Duration `json:"smoothed_rtt_ns"`
	RTTVar           time.Duration `json:"rttvar_ns"`
	LatestRTT        time.Duration `json:"latest_rtt_ns"`
	CongestionWindow uint64        `json:"congestion_window"`
	BytesInFlight    uint64        `json:"bytes_in_flight"`
	MTU              uint64        `json:"mtu"`
	PTOCount         uint64        `json:"pto_count"`
	ECNCE            uint64        `json:"ecn_ce"`
	Bandwidth        uint64        `json:"bandwidth_bytes_per_second"`
}

var errRecord = errors.New("monitoring: not a flow record of this version")

// A reader takes words off a record.
type reader []byte

func (r *reader) u64() uint64 {
	v := binary.LittleEndian.Uint64(*r)
	*r = (*r)[8:]
	return v
}

func (r *reader) time() time.Duration { return time.Duration(r.u64()) }

// counters lists what only grows, in the order of the plugin's messages.
func (f *Record) counters() [17]*uint64 {
	return [...]*uint64{&f.PacketsSent, &f.PacketsReceived, &f.PacketsLost, &f.PacketsSpurious,
		&f.PacketsDuplicate, &f.PacketsUndecryptable, &f.PacketsRetransmitted, &f.PacketsOutOfOrder,
		&f.BytesSent, &f.BytesReceived, &f.DataSent, &f.DataReceived,
		&f.PTOs, &f.FastRetransmits, &f.LossTimeouts, &f.StreamsOpened, &f.StreamsClosed}
}

// Parse reads a message of the plugin.
func Parse(b []byte) (*Record, error) {
	if len(b) < flowWords*8 || binary.LittleEndian.Uint32(b) != recordVersion {
		return nil, errRecord
	}
	le := binary.LittleEndian
	f := &Record{State: State(le.Uint32(b[4:])), Server: le.Uint32(b[8:]) != 0, Version: le.Uint32(b[12:])}
	r := reader(b[16:])
	f.Now, f.Start, f.HandshakeComplete, f.HandshakeConfirmed = r.time(), r.time(), r.time(), r.time()
	for _, p := range f.counters() {
		*p = r.u64()
	}
	f.StreamTimeSum, f.StreamTimeMax = r.time(), r.time()
	f.UnknownParameters, f.Error = r.u64(), r.u64()
	f.ErrorApplication, f.ErrorRemote = r.u64() != 0, r.u64() != 0
	for i := range f.RTT {
		f.RTT[i] = r.u64()
	}
	f.RTTSum = r.time()
	n := r.u64()
	if n > maxPaths || uint64(len(r)) != n*pathWords*8 {
		return nil, errRecord
	}
	for range n {
		f.Paths = append(f.Paths, r.path())
	}
	return f, nil
}

func (r *reader) path() (p Path) {
	p.ID, p.State = r.u64(), r.u64()
	p.PacketsSent, p.PacketsReceived, p.PacketsLost, p.PacketsSpurious = r.u64(), r.u64(), r.u64(), r.u64()
	p.BytesSent, p.BytesReceived, p.BytesLost = r.u64(), r.u64(), r.u64()
	p.MinRTT, p.SmoothedRTT, p.RTTVar, p.LatestRTT = r.time(), r.time(), r.time(), r.time()
	p.CongestionWindow, p.BytesInFlight, p.MTU = r.u64(), r.u64(), r.u64()
	p.PTOCount, p.ECNCE, p.Bandwidth = r.u64(), r.u64(), r.u64()
	return p
}

// Records returns the records that the plugin on a connection has made since the
// last call. It is called by the connection's owner.
func Records(in *plugins.Instance) ([]*Record, error) {
	var list []*Record
	for _, m := range in.Messages() {
		r, err := Parse(m)
		if err != nil {
			return list, err
		}
		list = append(list, r)
	}
	return list, nil
}
