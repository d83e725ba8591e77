package recovery

import (
	"math"
	"testing"
	"time"

	"github.com/pquic-go/pquic/core/mono"
)

const ms = time.Millisecond

// TestRTTFormulas holds Update to the formulas of RFC 9002, Section 5.3 and
// Appendix A.7, worked out by hand.
func TestRTTFormulas(t *testing.T) {
	type sample struct{ latest, ackDelay time.Duration }
	for _, test := range []struct {
		name    string
		samples []sample
		want    RTT
	}{
		{
			name: "initial values before any sample",
			want: RTT{SmoothedRTT: 333 * ms, RTTVar: 333 * ms / 2},
		}, {
			name:    "first sample replaces the initial RTT",
			samples: []sample{{100 * ms, 0}},
			want:    RTT{LatestRTT: 100 * ms, SmoothedRTT: 100 * ms, RTTVar: 50 * ms, MinRTT: 100 * ms},
		}, {
			name:    "first sample ignores the acknowledgment delay",
			samples: []sample{{100 * ms, 20 * ms}},
			want:    RTT{LatestRTT: 100 * ms, SmoothedRTT: 100 * ms, RTTVar: 50 * ms, MinRTT: 100 * ms},
		}, {
			// rttvar = 3/4*50 + 1/4*|100-180| = 57.5, then smoothed = 7/8*100 + 180/8 = 110.
			name:    "later samples are weighted",
			samples: []sample{{100 * ms, 0}, {180 * ms, 0}},
			want:    RTT{LatestRTT: 180 * ms, SmoothedRTT: 110 * ms, RTTVar: 57500 * time.Microsecond, MinRTT: 100 * ms},
		}, {
			// adjusted 160: rttvar = 37.5 + 60/4 = 52.5, smoothed = 87.5 + 20 = 107.5.
			name:    "acknowledgment delay is subtracted",
			samples: []sample{{100 * ms, 0}, {180 * ms, 20 * ms}},
			want:    RTT{LatestRTT: 180 * ms, SmoothedRTT: 107500 * time.Microsecond, RTTVar: 52500 * time.Microsecond, MinRTT: 100 * ms},
		}, {
			name:    "acknowledgment delay may reach min_rtt exactly",
			samples: []sample{{100 * ms, 0}, {108 * ms, 8 * ms}},
			want:    RTT{LatestRTT: 108 * ms, SmoothedRTT: 100 * ms, RTTVar: 37500 * time.Microsecond, MinRTT: 100 * ms},
		}, {
			// 108-9 would be below min_rtt, so nothing is subtracted.
			name:    "acknowledgment delay beyond min_rtt is implausible",
			samples: []sample{{100 * ms, 0}, {108 * ms, 9 * ms}},
			want:    RTT{LatestRTT: 108 * ms, SmoothedRTT: 101 * ms, RTTVar: 39500 * time.Microsecond, MinRTT: 100 * ms},
		}, {
			name:    "min_rtt ignores the acknowledgment delay",
			samples: []sample{{100 * ms, 0}, {60 * ms, 40 * ms}},
			want:    RTT{LatestRTT: 60 * ms, SmoothedRTT: 95 * ms, RTTVar: 47500 * time.Microsecond, MinRTT: 60 * ms},
		}, {
			name:    "negative sample is ignored",
			samples: []sample{{100 * ms, 0}, {-ms, 0}},
			want:    RTT{LatestRTT: 100 * ms, SmoothedRTT: 100 * ms, RTTVar: 50 * ms, MinRTT: 100 * ms},
		}, {
			name:    "zero sample counts as the clock's resolution",
			samples: []sample{{0, 0}},
			want:    RTT{LatestRTT: time.Microsecond, SmoothedRTT: time.Microsecond, RTTVar: time.Microsecond / 2, MinRTT: time.Microsecond},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			var r RTT
			r.Init(0)
			now := mono.Time(time.Hour)
			for _, s := range test.samples {
				r.Update(now, s.latest, s.ackDelay)
				now = now.Add(time.Second)
			}
			if len(test.samples) > 0 && r.FirstSampleTime != mono.Time(time.Hour) {
				t.Errorf("FirstSampleTime = %v", r.FirstSampleTime)
			}
			r.FirstSampleTime, r.Samples = 0, 0
			if r != test.want {
				t.Errorf("got  %+v\nwant %+v", r, test.want)
			}
		})
	}
}

func TestRTTTimeouts(t *testing.T) {
	r := RTT{LatestRTT: 80 * ms, SmoothedRTT: 100 * ms, RTTVar: 10 * ms}
	if got := r.PTO(25 * ms); got != 165*ms {
		t.Errorf("PTO = %v, want smoothed + 4*rttvar + max_ack_delay = 165ms", got)
	}
	if got := r.LossDelay(); got != 112500*time.Microsecond {
		t.Errorf("LossDelay = %v, want 9/8 of smoothed_rtt", got)
	}
	r.LatestRTT = 160 * ms
	if got := r.LossDelay(); got != 180*ms {
		t.Errorf("LossDelay = %v, want 9/8 of latest_rtt", got)
	}
	if got := r.PersistentCongestionDuration(25 * ms); got != 3*165*ms {
		t.Errorf("PersistentCongestionDuration = %v, want three PTOs", got)
	}
	short := RTT{LatestRTT: 50 * time.Microsecond, SmoothedRTT: 50 * time.Microsecond, RTTVar: time.Microsecond}
	if got := short.LossDelay(); got != Granularity {
		t.Errorf("LossDelay of a short path = %v, want the granularity", got)
	}
	if got, want := short.PTO(0), 50*time.Microsecond+Granularity; got != want {
		t.Errorf("PTO of a short path = %v, want %v", got, want)
	}
}

func TestBackoffDoublesAndSaturates(t *testing.T) {
	for _, test := range []struct {
		pto   time.Duration
		count uint32
		want  time.Duration
	}{
		{100 * ms, 0, 100 * ms},
		{100 * ms, 1, 200 * ms},
		{100 * ms, 5, 3200 * ms},
		{100 * ms, 60, math.MaxInt64},
		{100 * ms, math.MaxUint32, math.MaxInt64},
		{1, 62, 1 << 62},
		{1, 63, math.MaxInt64},
		{0, 3, 0},
	} {
		if got := Backoff(test.pto, test.count); got != test.want {
			t.Errorf("Backoff(%v, %d) = %v, want %v", test.pto, test.count, got, test.want)
		}
	}
	r := RTT{SmoothedRTT: 100 * ms, RTTVar: 10 * ms}
	at := mono.Time(time.Hour)
	if got := r.PTODeadline(at, 0, 1); got != at.Add(280*ms) {
		t.Errorf("PTODeadline = %v after the packet, want 280ms", got.Sub(at))
	}
	if got := r.PTODeadline(0, 0, 1); got != mono.Never {
		t.Errorf("PTODeadline with nothing sent = %v, want Never", got)
	}
	if got := r.PTODeadline(at, 0, 200); got != mono.Never {
		t.Errorf("PTODeadline after 200 timeouts = %v, want Never", got)
	}
}

func TestResetMin(t *testing.T) {
	var r RTT
	r.Init(50 * ms)
	if r.SmoothedRTT != 50*ms {
		t.Errorf("Init(50ms) assumes %v", r.SmoothedRTT)
	}
	r.Update(1, 10*ms, 0)
	r.Update(2, 90*ms, 0)
	r.ResetMin()
	if r.MinRTT != 90*ms {
		t.Errorf("MinRTT after persistent congestion = %v, want the newest sample", r.MinRTT)
	}
}
