package recovery

import (
	"math"
	"math/bits"
	"time"

	"github.com/pquic-go/pquic/core/mono"
)

const (
	// Granularity is the timer granularity below which no loss or probe timer
	// is set.
	// https://www.rfc-editor.org/rfc/rfc9002#section-6.1.2
	Granularity = time.Millisecond

	// InitialRTT is assumed until the first sample.
	// https://www.rfc-editor.org/rfc/rfc9002#section-6.2.2
	InitialRTT = 333 * time.Millisecond

	// minSample keeps a sample taken within one tick of the clock from reading
	// as "no sample".
	minSample = time.Microsecond
)

// RTT is the round-trip time estimate of one path. All fields but the last are
// durations or instants in nanoseconds; a zero MinRTT and LatestRTT mean that no
// sample was taken yet. The struct holds no pointer, so plugins may see it.
// https://www.rfc-editor.org/rfc/rfc9002#section-5
type RTT struct {
	LatestRTT       time.Duration `op:"latest_rtt" unit:"ns" doc:"newest sample, the peer's delay included; 0 none yet"`
	SmoothedRTT     time.Duration `op:"smoothed_rtt" unit:"ns" rights:"rw" range:"1000:60000000000" doc:"exponentially weighted mean, weight 7/8"`
	RTTVar          time.Duration `op:"rttvar" unit:"ns" rights:"rw" range:"0:60000000000" doc:"mean deviation, weight 3/4"`
	MinRTT          time.Duration `op:"min_rtt" unit:"ns" rights:"rw" range:"0:60000000000" doc:"smallest sample since the path was last measured afresh; 0 none yet"`
	FirstSampleTime mono.Time     `op:"first_rtt_sample" unit:"ns" doc:"when the first sample was taken; 0 none yet"`
	Samples         uint64        `op:"rtt_samples" doc:"number of samples folded in"`
}

// Init forgets all samples and assumes an RTT of initial, or of InitialRTT if
// initial is not positive. A path starts so, and so does a migrated one.
// https://www.rfc-editor.org/rfc/rfc9000#section-9.4
func (r *RTT) Init(initial time.Duration) {
	if initial <= 0 {
		initial = InitialRTT
	}
	// "smoothed_rtt = kInitialRtt", "rttvar = kInitialRtt / 2"
	// https://www.rfc-editor.org/rfc/rfc9002#section-5.3
	*r = RTT{SmoothedRTT: initial, RTTVar: initial / 2}
}

// Update folds in one sample. latest is the time from sending the largest
// newly acknowledged packet to now. ackDelay is what the peer reported having
// held the acknowledgment back; the caller already clamped it to the peer's
// max_ack_delay where Section 5.3 says so, and passes 0 for Initial packets.
// A negative latest, from a clock that went back, is ignored.
// https://www.rfc-editor.org/rfc/rfc9002#section-5.3
func (r *RTT) Update(now mono.Time, latest, ackDelay time.Duration) {
	if latest < 0 {
		return
	}
	latest = max(latest, minSample)
	ackDelay = max(ackDelay, 0)
	r.LatestRTT = latest
	r.Samples++
	if r.Samples == 1 {
		r.FirstSampleTime = now
		r.MinRTT = latest
		r.SmoothedRTT = latest
		r.RTTVar = latest / 2
		return
	}
	// "min_rtt MUST be set to the lesser of min_rtt and latest_rtt", which the
	// peer's word on its delay does not change.
	// https://www.rfc-editor.org/rfc/rfc9002#section-5.2
	r.MinRTT = min(r.MinRTT, latest)

	// "MUST NOT subtract the acknowledgment delay from the RTT sample if the
	// resulting value is smaller than the min_rtt."
	// https://www.rfc-editor.org/rfc/rfc9002#section-5.3
	adjusted := latest
	if ackDelay <= latest-r.MinRTT {
		adjusted = latest - ackDelay
	}
	deviation := r.SmoothedRTT - adjusted
	if deviation < 0 {
		deviation = -deviation
	}
	r.RTTVar += (deviation - r.RTTVar) / 4
	r.SmoothedRTT += (adjusted - r.SmoothedRTT) / 8
}

// ResetMin forgets every minimum but the newest sample.
//
// "Endpoints SHOULD set the min_rtt to the newest RTT sample after persistent
// congestion is established."
// https://www.rfc-editor.org/rfc/rfc9002#section-5.2
func (r *RTT) ResetMin() { r.MinRTT = r.LatestRTT }

// PTO is the probe timeout without backoff. maxAckDelay is the peer's
// max_ack_delay, or 0 in the Initial and Handshake spaces.
// https://www.rfc-editor.org/rfc/rfc9002#section-6.2.1
func (r *RTT) PTO(maxAckDelay time.Duration) time.Duration {
	return r.SmoothedRTT + max(4*r.RTTVar, Granularity) + maxAckDelay
}

// LossDelay is the time threshold: how long after a later packet was
// acknowledged an earlier one still may arrive late.
//
// "max(kTimeThreshold * max(smoothed_rtt, latest_rtt), kGranularity)", with the
// RECOMMENDED kTimeThreshold of 9/8.
// https://www.rfc-editor.org/rfc/rfc9002#section-6.1.2
func (r *RTT) LossDelay() time.Duration {
	rtt := max(r.SmoothedRTT, r.LatestRTT)
	return max(rtt+rtt/8, Granularity)
}

// Backoff doubles a probe timeout count times, saturating instead of wrapping.
//
// "When a PTO timer expires, the PTO backoff MUST be increased, resulting in
// the PTO period being set to twice its current value."
// https://www.rfc-editor.org/rfc/rfc9002#section-6.2.1
func Backoff(pto time.Duration, count uint32) time.Duration {
	if pto <= 0 {
		return 0
	}
	if int64(count) >= int64(bits.LeadingZeros64(uint64(pto))) {
		return math.MaxInt64
	}
	return pto << count
}

// PTODeadline is when the probe timer fires for a space whose last
// ack-eliciting packet left at lastAckEliciting, after count timeouts in a row
// without an acknowledgment; mono.Never if it left never.
// https://www.rfc-editor.org/rfc/rfc9002#section-6.2.1
func (r *RTT) PTODeadline(lastAckEliciting mono.Time, maxAckDelay time.Duration, count uint32) mono.Time {
	if lastAckEliciting.IsZero() {
		return mono.Never
	}
	d := Backoff(r.PTO(maxAckDelay), count)
	if int64(d) > math.MaxInt64-int64(lastAckEliciting) {
		return mono.Never
	}
	return lastAckEliciting.Add(d)
}
