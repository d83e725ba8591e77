package qlog

import (
	"io"
	"net/netip"
	"testing"
	"time"

	"github.com/pquic-go/pquic/core/congestion"
	"github.com/pquic-go/pquic/core/mono"
	"github.com/pquic-go/pquic/core/recovery"
	"github.com/pquic-go/pquic/core/wire"
)

var trace0 = netip.MustParseAddrPort("[fe80::1%a\"b]:1")

// TestNoAllocations: the events of the engine's own paths do not allocate once
// the record buffer has grown.
func TestNoAllocations(t *testing.T) {
	trace := New(io.Discard, Info{Start: start})
	trace.RegisterFrame(0x45, "mp_ack", func([]byte) int { return 4 })
	payload := everyFrame(t)
	now := start
	tp := parameters(t)
	rtt := recovery.RTT{Samples: 1}
	var cc congestion.View
	local, remote := netip.MustParseAddrPort("192.0.2.1:443"), netip.MustParseAddrPort("[2001:db8::2]:50000")
	numbers := []uint64{1, 2, 3}
	for name, log := range map[string]func(){
		"packet_sent":     func() { trace.PacketSent(now, wire.OneRTT, 1, 1200, 2, payload) },
		"packet_received": func() { trace.OnPath(2).PacketReceived(now, wire.Initial, 1, 1200, 2, payload) },
		"packet_dropped":  func() { trace.PacketDropped(now, 40, "replayed") },
		"packet_lost":     func() { trace.PacketLost(now, wire.OneRTT, 1, "time_threshold") },
		"packets_acked":   func() { trace.PacketsAcked(now, wire.OneRTT, numbers) },
		"metrics_updated": func() {
			rtt.LatestRTT++
			cc.BytesInFlight++
			trace.MetricsUpdated(now, 0, &rtt, &cc, 0)
			trace.MetricsUpdated(now, 7, &rtt, &cc, 0)
		},
		"timer_updated":        func() { trace.LossTimerUpdated(now, "set", "pto", "initial", time.Second) },
		"parameters_set":       func() { trace.ParametersSet(now, true, &tp) },
		"tuple_assigned":       func() { trace.TupleAssigned(now, "1", local, remote) },
		"stream_state_updated": func() { trace.StreamStateUpdated(now, 4, "sending", "open", "closed") },
		"connection_closed":    func() { trace.ConnectionClosed(now, true, false, 0x128, "reason") },
		"alpn_information":     func() { trace.ALPNInformation(now, "h3") },
	} {
		log()
		if n := testing.AllocsPerRun(100, func() { now += mono.Time(time.Millisecond); log() }); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

func BenchmarkPacketSent(b *testing.B) {
	stream := wire.AppendStream(nil, wire.StreamFrame{ID: 4, Offset: 123456, Data: make([]byte, 1200)}, false)
	ack := wire.AppendAck(nil, wire.Ack, []wire.PNRange{{Lo: 900, Hi: 1000}, {Lo: 3, Hi: 800}}, 100, wire.ECNCounts{}, 100)
	for name, payload := range map[string][]byte{"stream": stream, "ack": ack} {
		b.Run(name, func(b *testing.B) {
			trace := New(io.Discard, Info{Start: start})
			b.ReportAllocs()
			for i := range b.N {
				trace.PacketSent(start+mono.Time(i)*1000, wire.OneRTT, uint64(i), 1250, 0, payload)
			}
		})
	}
}
