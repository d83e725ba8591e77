package congestion

import (
	"time"

	"github.com/pquic-go/pquic/core/mono"
	"github.com/pquic-go/pquic/core/recovery"
)

// RateSampler measures how fast a path delivers: over the flight of every
// packet, the bytes acknowledged meanwhile divided by the time it took to send
// or to acknowledge them, whichever is longer.
// https://datatracker.ietf.org/doc/html/draft-ietf-ccwg-bbr#section-4.1.2
//
// The path calls OnSent for each packet in flight as it leaves, OnLost and
// OnAcked for each as it is settled, and Sample once per ACK frame. The struct
// holds no pointer, so plugins may see it.
type RateSampler struct {
	DeliveredTime mono.Time // when the newest byte was acknowledged
	FirstSentTime mono.Time // send time of the packet most recently acknowledged
	AppLimited    uint64    // DeliveredBytes at which the application stops being the limit; 0 if it is not

	// Of the newest packet acknowledged since the last Sample.
	priorDelivered uint64
	priorTime      mono.Time
	sendElapsed    time.Duration
	priorSentTime  mono.Time
	priorNumber    uint64
	priorLost      uint64
	txInFlight     uint64
	appLimited     uint32
	has            uint32

	// Since the last Sample.
	newlyAcked uint64
	newlyLost  uint64
}

// RateSample is what one ACK frame says about the path's delivery rate.
type RateSample struct {
	DeliveryRate   uint64        // bytes per second; 0 if the sample is not Valid
	Delivered      uint64        // bytes acknowledged over Interval
	Lost           uint64        // bytes declared lost since the packet left
	PriorDelivered uint64        // DeliveredBytes when the packet left
	TxInFlight     uint64        // bytes in flight when the packet left, itself included
	NewlyAcked     uint64        // bytes acknowledged since the last sample
	NewlyLost      uint64        // bytes declared lost since the last sample
	Interval       time.Duration // over which Delivered were delivered
	HasPacket      uint32        // 1 if a packet was acknowledged: all but the rate are good
	Valid          uint32        // 1 if DeliveryRate is good
	AppLimited     uint32        // 1 if the packet was sent while the application was the limit
	_              uint32
}

// OnSent notes in p what the path has delivered so far. p is about to leave,
// with SentTime and Size filled in and BytesInFlight not yet including it.
func (r *RateSampler) OnSent(v *View, p *recovery.PacketView) {
	if v.BytesInFlight == 0 {
		// Nothing was in flight, so nothing was being measured: the idle time
		// must not count.
		r.FirstSentTime = p.SentTime
		r.DeliveredTime = p.SentTime
	}
	if v.SamplesLimited != 0 {
		r.OnAppLimited(v)
	}
	p.FirstSentTime = r.FirstSentTime
	p.DeliveredTime = r.DeliveredTime
	p.Delivered = v.DeliveredBytes
	p.LostBytes = v.LostBytes
	p.TxInFlight = v.BytesInFlight + uint64(p.Size)
	p.AppLimited = flag(r.AppLimited != 0)
}

// OnAcked folds in an acknowledged packet that was in flight, or was until it
// was declared lost, shortly before or after its State says so.
func (r *RateSampler) OnAcked(v *View, p *recovery.PacketView, now mono.Time) {
	v.DeliveredBytes += uint64(p.Size)
	if p.State == recovery.Lost || p.State == recovery.Recovered {
		v.SpuriousBytes += uint64(p.Size)
	}
	r.newlyAcked += uint64(p.Size)
	r.DeliveredTime = now
	if r.has != 0 && !newer(p, r.priorSentTime, r.priorNumber) {
		return
	}
	r.has = 1
	r.priorSentTime = p.SentTime
	r.priorNumber = p.Number
	r.priorDelivered = p.Delivered
	r.priorTime = p.DeliveredTime
	r.priorLost = p.LostBytes
	r.txInFlight = p.TxInFlight
	r.appLimited = p.AppLimited
	r.sendElapsed = p.SentTime.Sub(p.FirstSentTime)
	r.FirstSentTime = p.SentTime
}

// newer reports whether p left after the packet that left at t numbered pn.
func newer(p *recovery.PacketView, t mono.Time, pn uint64) bool {
	return p.SentTime > t || p.SentTime == t && p.Number > pn
}

// OnLost counts a packet in flight that was declared lost.
func (r *RateSampler) OnLost(v *View, p *recovery.PacketView) {
	v.LostBytes += uint64(p.Size)
	r.newlyLost += uint64(p.Size)
}

// OnAppLimited notes that the window has room and there is nothing to send: what
// is in flight now measures the application, not the path.
func (r *RateSampler) OnAppLimited(v *View) {
	r.AppLimited = max(v.DeliveredBytes+v.BytesInFlight, 1)
}

// Sample sums up what was acknowledged and lost since the last one. minRTT is
// the path's smallest RTT, 0 if unknown.
func (r *RateSampler) Sample(v *View, minRTT time.Duration) RateSample {
	if r.AppLimited != 0 && v.DeliveredBytes > r.AppLimited {
		r.AppLimited = 0
	}
	s := RateSample{NewlyAcked: r.newlyAcked, NewlyLost: r.newlyLost}
	r.newlyAcked, r.newlyLost = 0, 0
	if r.has == 0 {
		return s
	}
	r.has = 0
	s.HasPacket = 1
	s.PriorDelivered = r.priorDelivered
	s.Delivered = v.DeliveredBytes - r.priorDelivered
	s.Lost = v.LostBytes - r.priorLost
	s.TxInFlight = r.txInFlight
	s.AppLimited = r.appLimited
	// Packets can neither be sent nor acknowledged faster than the path
	// carries them over a whole flight, so the longer of both is believed:
	// it filters out acknowledgments that were held back and came in a burst.
	s.Interval = max(r.sendElapsed, r.DeliveredTime.Sub(r.priorTime))
	// Anything delivered within less than a round trip was not measured over
	// the packet's flight, such as after a spurious loss.
	if s.Interval < minRTT || s.Interval <= 0 {
		return s
	}
	s.Valid = 1
	s.DeliveryRate = mulDiv(s.Delivered, uint64(time.Second), uint64(s.Interval))
	return s
}
