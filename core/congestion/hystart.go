package congestion

import "time"

// Tuning constants.
// https://www.rfc-editor.org/rfc/rfc9406#section-4.3
const (
	hystartMinThreshold  = 4 * time.Millisecond  // MIN_RTT_THRESH
	hystartMaxThreshold  = 16 * time.Millisecond // MAX_RTT_THRESH
	hystartRTTDivisor    = 8                     // MIN_RTT_DIVISOR
	hystartSamples       = 8                     // N_RTT_SAMPLE
	hystartGrowthDivisor = 4                     // CSS_GROWTH_DIVISOR
	hystartRounds        = 5                     // CSS_ROUNDS
)

// hystart is HyStart++: it watches the RTT rise during slow start and goes over
// to conservative slow start (CSS), and after some rounds of that to congestion
// avoidance, before the bottleneck's queue overflows. If the RTT falls again, the
// rise was jitter and slow start resumes.
// https://www.rfc-editor.org/rfc/rfc9406
//
// One thing differs from the RFC, which judges the smallest RTT of the whole
// round so far: here the newest N_RTT_SAMPLE samples of the round are judged. A
// paced sender spreads a round's packets over the round trip, so the queue grows
// towards its end, which the RFC would notice a round, and a doubled window,
// later. A false alarm is cheap, as above.
//
// The threshold never goes below 4 ms: on a path whose whole RTT is a few
// microseconds, scheduling noise many times the RTT is no reason to stop.
type hystart struct {
	windowEnd uint64                        // the round ends when this number is acknowledged
	lastMin   time.Duration                 // smallest RTT of the previous round; 0 for infinity
	curMin    time.Duration                 // of this round
	baseline  time.Duration                 // cssBaselineMinRtt; 0 outside CSS
	recent    [hystartSamples]time.Duration // newest samples
	samples   int                           // RTT samples in this round
	rounds    int                           // of CSS so far, a first partial one included
}

// inCSS reports whether slow start is conservative.
func (h *hystart) inCSS() bool { return h.baseline != 0 }

// onAck takes one ACK frame during the initial slow start. It returns by how
// many bytes the window may grow, and whether slow start is over.
func (h *hystart) onAck(a *Ack) (growth uint64, done bool) {
	growth = a.Bytes // L is infinite, since every sender here is paced
	if h.inCSS() {
		growth /= hystartGrowthDivisor
	}
	if a.HasRTT {
		h.recent[h.samples%hystartSamples] = a.LatestRTT
		h.samples++
		if h.curMin == 0 || a.LatestRTT < h.curMin {
			h.curMin = a.LatestRTT
		}
		h.judge()
	}
	if a.LargestAcked+1 < h.windowEnd {
		return growth, false
	}
	// A round ended, and the next ends with the packets sent until now.
	h.windowEnd = a.NextPN
	h.lastMin, h.curMin, h.samples = h.curMin, 0, 0
	if h.inCSS() {
		h.rounds++
	}
	return growth, h.rounds >= hystartRounds
}

// judge compares this round's newest RTTs with the previous round, once there
// are enough.
// https://www.rfc-editor.org/rfc/rfc9406#section-4.2
func (h *hystart) judge() {
	if h.samples < hystartSamples {
		return
	}
	cur := h.recent[0]
	for _, r := range h.recent {
		cur = min(cur, r)
	}
	if h.inCSS() {
		if cur < h.baseline {
			h.baseline, h.rounds = 0, 0
		}
		return
	}
	if h.lastMin == 0 {
		return
	}
	threshold := min(max(h.lastMin/hystartRTTDivisor, hystartMinThreshold), hystartMaxThreshold)
	if cur >= h.lastMin+threshold {
		h.baseline, h.rounds = cur, 0
	}
}
