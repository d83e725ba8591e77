package recovery

import "github.com/pquic-go/pquic/core/mono"

// Bits of PacketView.Flags.
const (
	// AckEliciting packets hold a frame other than ACK, PADDING and
	// CONNECTION_CLOSE.
	AckEliciting uint32 = 1 << iota
	// InFlight packets count towards bytes_in_flight until they are settled.
	InFlight
	// MTUProbe packets test a larger datagram size. Their loss says nothing
	// about congestion.
	MTUProbe
	// PathProbe packets hold probing frames only.
	PathProbe
	// Crypto packets hold a CRYPTO frame.
	Crypto
	// HandshakeDone packets hold a HANDSHAKE_DONE frame.
	HandshakeDone
	// PureAck packets hold an ACK frame and nothing that elicits one.
	PureAck
	// NotCongestionControlled packets are in flight for loss detection and yet
	// outside the congestion controller's account.
	NotCongestionControlled
	// PTOProbe packets were sent because a probe timeout fired.
	PTOProbe
)

// Values of PacketView.State: a packet's fate.
const (
	// Skipped numbers were never sent; an acknowledgment of one is forged.
	// https://www.rfc-editor.org/rfc/rfc9000#section-21.4
	Skipped uint32 = iota
	// Outstanding packets are neither acknowledged nor lost.
	Outstanding
	// Acked packets were acknowledged.
	Acked
	// Lost packets were declared lost and are remembered for a while, to
	// recognise an acknowledgment that was merely late.
	Lost
	// Recovered packets were declared lost and acknowledged afterwards: the
	// loss was spurious.
	Recovered
)

// PacketView is what recovery and congestion control remember of one sent
// packet. It holds no pointer, so plugins may see it.
//
// The second half is the delivery-rate sampler's snapshot of the path at the
// moment the packet left.
type PacketView struct {
	Number   uint64    `op:"number" doc:"packet number"`
	SentTime mono.Time `op:"sent_time" unit:"ns" doc:"when it left"`
	Size     uint32    `op:"size" unit:"bytes" doc:"bytes of the UDP payload it fills, header and AEAD expansion included"`
	Flags    uint32    `op:"flags" doc:"bit 0 ack-eliciting, 1 in flight, 2 path MTU probe, 3 path validation probe, 4 CRYPTO frame, 5 HANDSHAKE_DONE frame, 6 nothing but an ACK, 7 outside congestion control, 8 probe of a probe timeout"`
	State    uint32    `op:"state" doc:"0 number skipped, 1 outstanding, 2 acknowledged, 3 lost, 4 lost and then acknowledged"`
	ECN      uint32    `op:"ecn" doc:"ECN codepoint it was sent with: 0 none, 1 ECT(1), 2 ECT(0), 3 CE"`
	PathID   uint64    `op:"path_id" doc:"path it was sent on"`

	Delivered     uint64    `op:"delivered_prior" unit:"bytes" doc:"bytes delivered on the path when it left"`
	DeliveredTime mono.Time `op:"delivered_time_prior" unit:"ns" doc:"when the last of them was acknowledged"`
	FirstSentTime mono.Time `op:"first_sent_time" unit:"ns" doc:"when the flight being measured started"`
	TxInFlight    uint64    `op:"tx_in_flight" unit:"bytes" doc:"bytes in flight when it left, itself included"`
	LostBytes     uint64    `op:"lost_prior" unit:"bytes" doc:"bytes declared lost on the path when it left"`
	AppLimited    uint32    `op:"app_limited" doc:"the application, not the window, was the limit"`
	Level         uint32    `op:"level" doc:"encryption level: 0 Initial, 1 0-RTT, 2 Handshake, 3 1-RTT"`
}

// Packet is one sent packet with the caller's own record of its content.
type Packet[T any] struct {
	PacketView
	Data T
}

// Is reports whether all the given flags are set.
func (p *PacketView) Is(flags uint32) bool { return p.Flags&flags == flags }
