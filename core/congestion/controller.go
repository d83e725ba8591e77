package congestion

import (
	"fmt"
	"strings"
	"time"

	"github.com/pquic-go/pquic/core/mono"
	"github.com/pquic-go/pquic/core/recovery"
)

const (
	// InitialWindowPackets is the initial congestion window in datagrams of
	// the maximum size. It is more than the ten that RFC 9002 recommends, as
	// in other deployed implementations: on a long path the difference is
	// almost two round trips. What makes it safe is that it does not leave in
	// one burst: the pacer spreads it over the round trip that the handshake
	// has measured, and lets no more than BurstPackets go at once.
	// https://www.rfc-editor.org/rfc/rfc9002#section-7.2
	InitialWindowPackets = 32

	// BurstPackets is the largest burst in datagrams of the maximum size: the
	// initial window that RFC 9002 recommends.
	//
	// "Senders SHOULD limit bursts to the initial congestion window"
	// https://www.rfc-editor.org/rfc/rfc9002#section-7.7
	BurstPackets = 10

	// MinWindowPackets is the smallest congestion window in datagrams of the
	// maximum size.
	//
	// "The RECOMMENDED value is 2 * max_datagram_size."
	// https://www.rfc-editor.org/rfc/rfc9002#section-7.2
	MinWindowPackets = 2

	// Infinite is the slow start threshold before the first congestion event.
	Infinite = 1<<63 - 1
)

// View is the state of congestion control on one path. It holds no pointer, so
// plugins may see it. Sizes are in bytes.
//
// The path sets MaxDatagramSize and Seed before Init, keeps BytesInFlight, and
// updates it before it makes any call but RateSampler.OnSent; the RateSampler
// keeps DeliveredBytes, LostBytes and SpuriousBytes. All else is the
// controller's.
type View struct {
	CongestionWindow uint64    `op:"congestion_window" unit:"bytes" rights:"rw" range:"2400:4294967296" doc:"bytes that may be in flight"`
	BytesInFlight    uint64    `op:"bytes_in_flight" unit:"bytes" doc:"bytes in flight"`
	Ssthresh         uint64    `op:"ssthresh" unit:"bytes" rights:"rw" range:"2400:" doc:"slow start below; the greatest value before the first congestion event"`
	PacingRate       uint64    `op:"pacing_rate" unit:"bytes/s" rights:"rw" doc:"rate the controller wants; 0 derives it from the window"`
	SendQuantum      uint64    `op:"send_quantum" unit:"bytes" rights:"rw" range:"0:4294967296" doc:"most bytes to send in one burst; 0 derives it"`
	MaxDatagramSize  uint64    `op:"max_datagram_size" unit:"bytes" doc:"datagram size the window is counted in"`
	DeliveredBytes   uint64    `op:"delivered" unit:"bytes" doc:"acknowledged so far"`
	LostBytes        uint64    `op:"lost" unit:"bytes" doc:"declared lost so far, spurious losses included"`
	SpuriousBytes    uint64    `op:"spurious" unit:"bytes" doc:"acknowledged so far although declared lost before"`
	ECNCEBytes       uint64    `op:"ce_bytes" unit:"bytes" doc:"newly acknowledged with reports of CE marks"`
	CongestionEvents uint64    `op:"congestion_events" rights:"rw" doc:"reductions so far, undone ones included"`
	SpuriousEvents   uint64    `op:"spurious_events" doc:"reductions undone"`
	Seed             uint64    `op:"congestion_seed" doc:"of the controller's private random sequence"`
	RecoveryStart    mono.Time `op:"recovery_start" unit:"ns" rights:"rw" range:"0:" doc:"start of the newest recovery period; 0 before the first"`
	Underutilized    uint32    `op:"underutilized" doc:"the newest acknowledgment found the window not to be the limit"`
	InSlowStart      uint32    `op:"in_slow_start" rights:"rw" range:"0:1" doc:"the window doubles per round trip, or BBR is in Startup"`
	SamplesLimited   uint32    `op:"samples_limited" doc:"the controller itself holds sending back to measure: rate samples then say nothing"`
	InRecovery       uint32    `op:"in_recovery" rights:"rw" range:"0:1" doc:"from a reduction until a packet sent after it is acknowledged"`
	State            uint32    `op:"congestion_state" rights:"rw" doc:"the controller's own state number, for logs"`
}

// Available is how many more bytes the window allows in flight.
func (v *View) Available() uint64 {
	if v.BytesInFlight >= v.CongestionWindow {
		return 0
	}
	return v.CongestionWindow - v.BytesInFlight
}

// PacingRateFor is the rate to pace at, in bytes per second: PacingRate or, for
// a controller that sets none, the window spread over smoothedRTT with some
// headroom so that pacing itself never becomes the limit.
//
// "rate = N * congestion_window / smoothed_rtt": "Using a value for N that is
// small, but at least 1 (for example, 1.25) ensures that variations in RTT do
// not result in underutilization of the congestion window." With 1.25 a window
// that fits a long path would, after a pause, overflow a short queue by itself;
// 1.1 does not. In slow start the window doubles within the round trip, so does
// the rate.
// https://www.rfc-editor.org/rfc/rfc9002#section-7.7
func (v *View) PacingRateFor(smoothedRTT time.Duration) uint64 {
	if v.PacingRate != 0 || smoothedRTT <= 0 {
		return v.PacingRate
	}
	window := min(v.CongestionWindow, maxWindow)
	if v.InSlowStart != 0 {
		window *= 2
	} else {
		window += window / 10
	}
	return max(mulDiv(window, uint64(time.Second), uint64(smoothedRTT)), 1)
}

// BurstFor is how many bytes may leave at once at the given rate: SendQuantum
// or, for a controller that sets none, BurstPackets datagrams. On
// a fast path it is what one millisecond carries, since a timer that fires that
// late must not cost throughput.
//
// "Senders SHOULD limit bursts to the initial congestion window"; "A sender with
// knowledge that the network path to the receiver can absorb larger bursts MAY
// use a higher limit."
// https://www.rfc-editor.org/rfc/rfc9002#section-7.7
func (v *View) BurstFor(rate uint64) uint64 {
	burst := v.SendQuantum
	if burst == 0 {
		burst = BurstPackets * v.MaxDatagramSize
	}
	return max(burst, rate/1000)
}

// Ack tells of one ACK frame that newly acknowledged ack-eliciting packets.
type Ack struct {
	Now             mono.Time
	LargestSentTime mono.Time // when the largest newly acknowledged packet left
	Bytes           uint64    // newly acknowledged and in flight until now
	PriorInFlight   uint64    // BytesInFlight before the ACK frame was processed
	RTT             recovery.RTT
	LatestRTT       time.Duration // this ACK frame's sample, if HasRTT
	HasRTT          bool
	LargestAcked    uint64     // largest number newly acknowledged
	NextPN          uint64     // number the next packet will have
	Rate            RateSample // from RateSampler.Sample
	Underutilized   bool       // the window did not limit sending: it must not grow
}

// Loss tells of a congestion signal: a batch of packets declared lost together,
// or an ACK frame that reported new CE marks.
type Loss struct {
	Now             mono.Time
	Bytes           uint64    // lost and in flight until now; 0 if ECN
	Packets         int       // how many packets; 0 if ECN
	LargestLostSent mono.Time // when the newest lost packet left (ECN: the largest acknowledged)
	LargestLost     uint64    // its number
	NextPN          uint64    // number the next packet will have
	Persistent      bool      // persistent congestion is established
	ECN             bool      // CE marks were reported, nothing was lost
	CEBytes         uint64    // bytes newly acknowledged by the ACK frame that reported them
	PriorInFlight   uint64    // BytesInFlight before the losses were taken out
	TxInFlight      uint64    // TxInFlight of the newest lost packet
	LostAtSend      uint64    // LostBytes of the newest lost packet, as of its sending
	SentAppLimited  bool      // AppLimited of the newest lost packet
	RTT             recovery.RTT
}

// Add counts one lost packet; packets are added in ascending order of number.
func (l *Loss) Add(p *recovery.PacketView) {
	l.Bytes += uint64(p.Size)
	l.Packets++
	l.LargestLost, l.LargestLostSent = p.Number, p.SentTime
	l.TxInFlight, l.LostAtSend = p.TxInFlight, p.LostBytes
	l.SentAppLimited = p.AppLimited != 0
}

// Controller is a congestion control algorithm on one path. Every call names
// what just happened; afterwards the View says what may be sent. No method
// keeps its arguments.
//
// For one ACK frame, the calls come in this order: OnSpuriousLoss if a packet
// declared lost is among the acknowledged, OnLoss for packets it shows to be
// lost, OnLoss with ECN for CE marks it reports, OnAck. RTT and rate sample are
// up to date by then.
type Controller interface {
	// Name is the name New knows it by.
	Name() string

	// Init fires when a path starts, and again when it is migrated to a new
	// network or address: everything learnt is forgotten.
	Init(v *View, now mono.Time)

	// OnSent fires when a packet that counts towards BytesInFlight has left.
	// pn is its number; the View's BytesInFlight includes its bytes.
	OnSent(v *View, now mono.Time, bytes uint64, pn uint64)

	// OnAck fires once per ACK frame that newly acknowledges ack-eliciting
	// packets.
	OnAck(v *View, a *Ack)

	// OnLoss fires once per detection batch: the packets in flight that one
	// ACK frame or one loss timer declared lost. MTU probes are left out,
	// their loss being no sign of congestion, and so are batches of nothing
	// else. It also fires for an ACK frame that reports new CE marks.
	OnLoss(v *View, l *Loss)

	// OnSpuriousLoss fires when acknowledgments show that packets had been
	// declared lost wrongly, once per ACK frame, after the RateSampler saw
	// them.
	OnSpuriousLoss(v *View, now mono.Time)

	// OnDiscarded fires when packets leave flight without a fate, because
	// their keys were discarded or 0-RTT was rejected.
	OnDiscarded(v *View, bytes uint64)

	// OnMaxDatagramSize fires after the path changed MaxDatagramSize.
	OnMaxDatagramSize(v *View, now mono.Time)

	// OnIdleRestart fires before a packet is sent with nothing in flight,
	// after a pause with nothing to send.
	OnIdleRestart(v *View, now mono.Time)
}

// StateName names the State of the controller called name, as qlog would: an
// empty string if there is no such state.
// https://www.rfc-editor.org/rfc/rfc9002#section-7.3
func StateName(name string, state uint32) string {
	names := lossBasedStates[:]
	if name == "bbr" {
		names = bbrStates[:]
	}
	if state >= uint32(len(names)) {
		return ""
	}
	return names[state]
}

var (
	lossBasedStates = [...]string{
		lossBasedSlowStart:             "slow_start",
		lossBasedConservativeSlowStart: "conservative_slow_start",
		lossBasedAvoidance:             "congestion_avoidance",
		lossBasedRecovery:              "recovery",
	}
	bbrStates = [...]string{
		bbrStartup:     "startup",
		bbrDrain:       "drain",
		bbrProbeDown:   "probe_bw_down",
		bbrProbeCruise: "probe_bw_cruise",
		bbrProbeRefill: "probe_bw_refill",
		bbrProbeUp:     "probe_bw_up",
		bbrProbeRTT:    "probe_rtt",
	}
)

// controllers is sorted by name.
var controllers = []struct {
	name string
	new  func(initialWindowPackets uint64) Controller
}{
	{"bbr", func(n uint64) Controller { return &bbr{initial: n} }},
	{"cubic", func(n uint64) Controller { return &cubic{initial: n} }},
	{"newreno", func(n uint64) Controller { return &newReno{initial: n} }},
}

// New makes the controller called name: one of Names. Its initial window is
// initialWindowPackets datagrams, or InitialWindowPackets if that is not
// positive.
func New(name string, initialWindowPackets int) (Controller, error) {
	if initialWindowPackets <= 0 {
		initialWindowPackets = InitialWindowPackets
	}
	for _, c := range controllers {
		if c.name == name {
			return c.new(uint64(max(initialWindowPackets, MinWindowPackets))), nil
		}
	}
	return nil, fmt.Errorf("congestion: no controller is called %q; there are %s", name, strings.Join(Names(), ", "))
}

// Names lists the controllers, sorted.
func Names() []string {
	names := make([]string, len(controllers))
	for i, c := range controllers {
		names[i] = c.name
	}
	return names
}
