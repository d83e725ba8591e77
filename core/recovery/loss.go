package recovery

import (
	"time"

	"github.com/pquic-go/pquic/core/mono"
)

// PacketThreshold is how many later packets must be acknowledged before an
// earlier one counts as lost.
//
// "The RECOMMENDED initial value for the packet reordering threshold
// (kPacketThreshold) is 3"
// https://www.rfc-editor.org/rfc/rfc9002#section-6.1.1
const PacketThreshold = 3

// PersistentCongestionThreshold is how many probe timeouts long a stretch of
// losses must be to establish persistent congestion.
// https://www.rfc-editor.org/rfc/rfc9002#section-7.6.1
const PersistentCongestionThreshold = 3

// LossParams are the two criteria of loss detection.
type LossParams struct {
	// PacketThreshold in packets; below 3 it counts as 3.
	//
	// "implementations SHOULD NOT use a packet threshold less than 3"
	// https://www.rfc-editor.org/rfc/rfc9002#section-6.1.1
	PacketThreshold uint64
	// TimeThreshold is the loss delay; see RTT.LossDelay.
	TimeThreshold time.Duration
}

// DetectLost appends to lost, ascending, the numbers of outstanding packets
// that now count as lost, and sets LossTime to when the next one will, or to 0.
// It changes no packet: the caller marks them, with Settle.
// https://www.rfc-editor.org/rfc/rfc9002#section-6.1
func (s *Sent[T]) DetectLost(now mono.Time, p LossParams, lost []uint64) []uint64 {
	s.LossTime = 0
	if !s.HasAcked || s.LargestAcked == 0 {
		return lost
	}
	threshold := max(p.PacketThreshold, PacketThreshold)
	lostSendTime := now.Add(-p.TimeThreshold)
	for pn, ok := s.NextOutstanding(s.first, s.LargestAcked-1); ok; pn, ok = s.NextOutstanding(pn+1, s.LargestAcked-1) {
		pkt := s.Get(pn)
		if pkt.SentTime <= lostSendTime || s.LargestAcked-pn >= threshold {
			lost = append(lost, pn)
			continue
		}
		// Send times ascend with numbers, so the first packet in flight that
		// survives both thresholds is the first to pass the later one.
		if pkt.Flags&InFlight != 0 {
			s.LossTime = pkt.SentTime.Add(p.TimeThreshold)
			break
		}
	}
	return lost
}

// PersistentCongestionDuration is the stretch of losses that establishes
// persistent congestion.
//
// "(smoothed_rtt + max(4*rttvar, kGranularity) + max_ack_delay) *
// kPersistentCongestionThreshold". The delay is included "irrespective of the
// packet number spaces in which losses are established".
// https://www.rfc-editor.org/rfc/rfc9002#section-7.6.1
func (r *RTT) PersistentCongestionDuration(maxAckDelay time.Duration) time.Duration {
	return r.PTO(maxAckDelay) * PersistentCongestionThreshold
}

// PersistentCongestion reports whether the packets of lost, ascending numbers
// just declared lost and still held, establish persistent congestion, together
// with losses declared before them: two ack-eliciting packets, sent more than d
// apart and both after firstSample, are lost and nothing sent between them was
// acknowledged.
//
// Only this packet number space is regarded, as Section 7.6.2 allows.
// https://www.rfc-editor.org/rfc/rfc9002#section-7.6.2
func (s *Sent[T]) PersistentCongestion(lost []uint64, firstSample mono.Time, d time.Duration) bool {
	if len(lost) == 0 || firstSample.IsZero() || s.first == s.next {
		return false
	}
	last := s.Get(lost[len(lost)-1])
	if last == nil {
		return false
	}
	// "The persistent congestion period SHOULD NOT start until there is at
	// least one RTT sample."
	// https://www.rfc-editor.org/rfc/rfc9002#section-7.6.2
	oldest := max(s.Get(s.first).SentTime, firstSample)
	if s.Get(s.first).State != Skipped && last.SentTime.Sub(oldest) <= d {
		return false // the usual case: too short to walk
	}
	var end mono.Time // newest lost packet of the stretch being walked
	batch := len(lost) - 1
	for pn := last.Number; ; pn-- {
		p := s.Get(pn)
		inBatch := batch >= 0 && lost[batch] == pn
		if inBatch {
			batch--
		}
		switch {
		case p.State == Skipped:
		case p.SentTime <= firstSample:
			return false
		case p.State == Acked || p.State == Recovered:
			if batch < 0 {
				return false // older stretches were judged when they were lost
			}
			end = 0
		case !inBatch && p.State != Lost || p.Flags&AckEliciting == 0:
			// "These two packets MUST be ack-eliciting, since a receiver is
			// required to acknowledge only ack-eliciting packets"
			// https://www.rfc-editor.org/rfc/rfc9002#section-7.6.2
		case end.IsZero():
			end = p.SentTime
		case end.Sub(p.SentTime) > d:
			return true
		}
		if pn == s.first {
			return false
		}
	}
}
