package qlog

import (
	"math"
	"time"

	"github.com/pquic-go/pquic/core/congestion"
	"github.com/pquic-go/pquic/core/mono"
	"github.com/pquic-go/pquic/core/recovery"
	"github.com/pquic-go/pquic/core/wire"
)

// metrics are the values of one path that were logged last.
type metrics struct {
	set                              bool
	minRTT, smoothed, latest, rttVar time.Duration
	ptoCount                         uint64
	window, inFlight, ssthresh       uint64
	pacing                           uint64 // bits per second
}

// MetricsUpdated logs what changed since the last call for the path; if nothing
// did, there is no event. rtt and cc may be nil.
func (t *Trace) MetricsUpdated(now mono.Time, path uint64, rtt *recovery.RTT, cc *congestion.View, ptoCount uint64) {
	if !t.OnPath(path).begin(now, recoveryMetricsUpdated) {
		return
	}
	e := &t.enc
	empty := len(e.b)
	m := t.metricsOf(path)
	if rtt != nil {
		if rtt.Samples != 0 {
			e.changedDuration("min_rtt", &m.minRTT, rtt.MinRTT, m.set)
			e.changedDuration("latest_rtt", &m.latest, rtt.LatestRTT, m.set)
		}
		e.changedDuration("smoothed_rtt", &m.smoothed, rtt.SmoothedRTT, m.set)
		e.changedDuration("rtt_variance", &m.rttVar, rtt.RTTVar, m.set)
	}
	e.changed("pto_count", &m.ptoCount, min(ptoCount, math.MaxUint16), m.set)
	if cc != nil {
		e.changed("congestion_window", &m.window, cc.CongestionWindow, m.set)
		e.changed("bytes_in_flight", &m.inFlight, cc.BytesInFlight, m.set)
		if cc.Ssthresh < congestion.Infinite {
			e.changed("ssthresh", &m.ssthresh, cc.Ssthresh, m.ssthresh != 0)
		}
		if rate := pacingRate(cc, rtt); rate != 0 {
			e.changed("pacing_rate", &m.pacing, rate, m.pacing != 0)
		}
	}
	m.set = true
	if len(e.b) != empty {
		t.end()
	}
}

func (t *Trace) metricsOf(path uint64) *metrics {
	if path == 0 {
		return &t.metrics
	}
	m := t.pathMetrics[path]
	if m == nil {
		if t.pathMetrics == nil {
			t.pathMetrics = make(map[uint64]*metrics)
		}
		m = new(metrics)
		t.pathMetrics[path] = m
	}
	return m
}

// PathDropped forgets what was logged of a path that is closed for good.
func (t *Trace) PathDropped(path uint64) {
	if t != nil {
		delete(t.pathMetrics, path)
	}
}

// pacingRate is the rate in bits per second; 0 if there is none yet.
func pacingRate(cc *congestion.View, rtt *recovery.RTT) uint64 {
	rate := cc.PacingRate
	if rate == 0 && rtt != nil {
		rate = cc.PacingRateFor(rtt.SmoothedRTT)
	}
	if rate >= math.MaxUint64/8 {
		return 0
	}
	return rate * 8
}

// changed writes v unless it is what was written last.
func (e *encoder) changed(k string, last *uint64, v uint64, known bool) {
	if known && *last == v {
		return
	}
	*last = v
	e.uint(k, v)
}

func (e *encoder) changedDuration(k string, last *time.Duration, v time.Duration, known bool) {
	if known && *last == v {
		return
	}
	*last = v
	e.milliseconds(k, v)
}

// CongestionStateUpdated: the names are the controller's own, see
// congestion.StateName.
func (t *Trace) CongestionStateUpdated(now mono.Time, old, new string) {
	t.stateUpdated(now, congestionStateUpdated, old, new)
}

// LossTimerUpdated: a timer was "set", to fire after delta, has "expired" or was
// "cancelled". kind is "ack" (loss by time), "pto", "loss_timeout" or another
// timer; space is "Initial", "Handshake", "Application Data", in this spelling or
// the draft's, or empty.
func (t *Trace) LossTimerUpdated(now mono.Time, event, kind, space string, delta time.Duration) {
	if !t.begin(now, timerUpdated) {
		return
	}
	e := &t.enc
	e.optionalString("timer_type", kind)
	e.optionalString("packet_number_space", spaceName(space))
	e.string("event_type", event)
	if event == "set" {
		e.milliseconds("delta", delta)
	}
	t.end()
}

// spaceName spells a packet number space as the draft does.
func spaceName(s string) string {
	switch s {
	case "Initial":
		return "initial"
	case "Handshake":
		return "handshake"
	case "Application Data":
		return "application_data"
	}
	return s
}

// PacketLost: a packet is deemed lost. trigger is "reordering_threshold",
// "time_threshold", "pto_expired" or another reason.
func (t *Trace) PacketLost(now mono.Time, typ wire.PacketType, pn uint64, trigger string) {
	if !t.begin(now, packetLost) {
		return
	}
	e := &t.enc
	e.object("header")
	e.string("packet_type", packetTypeName(typ))
	e.uint("packet_number", pn)
	e.endObject()
	switch trigger {
	case "reordering_threshold", "time_threshold", "pto_expired":
		e.string("trigger", trigger)
	default:
		e.reason(trigger)
	}
	t.end()
}

// ECNStateUpdated: the states are "testing", "unknown", "failed" and "capable".
// Before testing there is no state: any other old one is left out, any other new
// one is "unknown".
// https://www.rfc-editor.org/rfc/rfc9000#appendix-A.4
func (t *Trace) ECNStateUpdated(now mono.Time, old, new string) {
	if !isECNState(old) {
		old = ""
	}
	if !isECNState(new) {
		new = "unknown"
	}
	t.stateUpdated(now, ecnStateUpdated, old, new)
}

func isECNState(s string) bool {
	return s == "testing" || s == "unknown" || s == "failed" || s == "capable"
}
