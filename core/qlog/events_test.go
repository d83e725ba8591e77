package qlog

import (
	"bytes"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/pquic-go/pquic/core/congestion"
	"github.com/pquic-go/pquic/core/recovery"
	"github.com/pquic-go/pquic/core/wire"
)

// TestMetricsUpdated: only what changed is logged, per path.
func TestMetricsUpdated(t *testing.T) {
	rtt := recovery.RTT{SmoothedRTT: 333 * ms, RTTVar: 333 * ms / 2}
	cc := congestion.View{CongestionWindow: 12000, Ssthresh: congestion.Infinite, PacingRate: 1000}
	var out bytes.Buffer
	trace := New(&out, Info{Start: start})
	want := func(why string, path, pto uint64, data string) {
		t.Helper()
		out.Reset()
		trace.MetricsUpdated(start, path, &rtt, &cc, pto)
		_, got, _ := strings.Cut(out.String(), `"name":"quic:recovery_metrics_updated",`)
		if got = strings.TrimSuffix(got, "}\n"); got != data {
			t.Errorf("%s:\n got %s\nwant %s", why, got, data)
		}
	}
	want("before a sample", 0, 0, `"data":{"smoothed_rtt":333,"rtt_variance":166.5,"pto_count":0,"congestion_window":12000,"bytes_in_flight":0,"pacing_rate":8000}`)
	want("nothing new", 0, 0, ``)
	rtt.Samples, rtt.MinRTT, rtt.LatestRTT = 1, 10*ms, 11*ms
	want("first sample", 0, 0, `"data":{"min_rtt":10,"latest_rtt":11}`)
	cc.BytesInFlight = 1200
	want("one value", 0, 0, `"data":{"bytes_in_flight":1200}`)
	want("another path", 4, 0, `"tuple":"4","data":{"min_rtt":10,"latest_rtt":11,"smoothed_rtt":333,"rtt_variance":166.5,"pto_count":0,"congestion_window":12000,"bytes_in_flight":1200,"pacing_rate":8000}`)
	want("nothing new there", 4, 0, ``)
	cc.BytesInFlight = 0
	want("back to zero", 0, 0, `"data":{"bytes_in_flight":0}`)
	cc.Ssthresh, cc.PacingRate = 6000, math.MaxUint64
	want("a limit, and no rate", 0, 1, `"data":{"pto_count":1,"ssthresh":6000}`)
	cc.PacingRate = math.MaxUint64/8 - 1
	want("the counter saturates", 0, 1<<40, `"data":{"pto_count":65535,"pacing_rate":"18446744073709551600"}`)

	out.Reset()
	trace.MetricsUpdated(start, 0, nil, nil, 1<<41)
	if out.Len() != 0 {
		t.Errorf("logged of nothing: %s", out.String())
	}
	trace.OnPath(4).PacketsAcked(start, wire.OneRTT, nil)
	trace.PacketSent(start, wire.OneRTT, 0, 0, 0, nil)
	if strings.Contains(out.String(), "tuple") {
		t.Errorf("the path of one event stuck to the next: %s", out.String())
	}
}

func TestMilliseconds(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0:                                   "0",
		1:                                   "0.000001",
		-1:                                  "-0.000001",
		1500 * time.Microsecond:             "1.5",
		time.Hour + 10*time.Nanosecond:      "3600000.00001",
		-time.Second - 250*time.Microsecond: "-1000.25",
		math.MaxInt64:                       "9223372036854.775807",
		math.MinInt64:                       "-9223372036854.775808",
	} {
		if got := string(appendMilliseconds(nil, d)); got != want {
			t.Errorf("%d ns: %s, want %s", int64(d), got, want)
		}
	}
	for d, want := range map[time.Duration]uint64{-1: 0, 0: 0, 1: 1, ms: 1, ms + 1: 2, math.MaxInt64: 9223372036855} {
		if got := wholeMilliseconds(d); got != want {
			t.Errorf("%d ns: %d ms, want %d", int64(d), got, want)
		}
	}
}

func TestIntegers(t *testing.T) {
	for v, want := range map[int64]string{
		0:               "0,",
		-5:              "-5,",
		1<<53 - 1:       "9007199254740991,",
		1 << 53:         `"9007199254740992",`,
		-(1<<53 - 1):    "-9007199254740991,",
		-(1 << 53):      `"-9007199254740992",`,
		math.MinInt64:   `"-9223372036854775808",`,
		math.MaxInt64:   `"9223372036854775807",`,
		math.MaxInt32:   "2147483647,",
		math.MinInt32:   "-2147483648,",
		math.MaxUint32:  "4294967295,",
		-math.MaxUint32: "-4294967295,",
	} {
		var e encoder
		if e.intValue(v); string(e.b) != want {
			t.Errorf("%d: %s, want %s", v, e.b, want)
		}
	}
}

// TestNesting: a plugin's data that never ends is cut.
func TestNesting(t *testing.T) {
	loop := map[string]any{}
	loop["in"] = []any{loop}
	got := logged(t, Drafts, func(trace *Trace) { trace.Plugin(start, "p", "loop", loop) })
	if !strings.Contains(got, "null") || len(got) > 500 {
		t.Errorf("logged %s", got)
	}
}

// TestGenericKeys: names are lower case and occur once.
func TestGenericKeys(t *testing.T) {
	got := logged(t, Drafts, func(trace *Trace) { trace.Generic(start, "a", "b", "KeY", 1, "key", 2, 3, "three", "last") })
	if want := `{"key":1,"3":"three","last":null}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	got = logged(t, Drafts, func(trace *Trace) {
		trace.Plugin(start, "p", "e", map[string]any{"PLUGIN": 1, "b": 1, "B": 2, "a": nil})
	})
	if want := `{"plugin":"p","a":null,"b":2}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
