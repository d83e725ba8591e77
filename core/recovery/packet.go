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
	Number   uint64
	SentTime mono.Time
	Size     uint32 // bytes of the UDP payload this packet fills
	Flags    uint32 // AckEliciting, InFlight, …
	State    uint32 // Skipped, Outstanding, …
	ECN      uint32 // ECN codepoint the datagram was sent with, 0..3
	PathID   uint64

	Delivered     uint64    // bytes delivered on the path so far
	DeliveredTime mono.Time // when the last of them was acknowledged
	FirstSentTime mono.Time // when the flight being measured started
	TxInFlight    uint64    // bytes in flight, this packet included
	LostBytes     uint64    // bytes declared lost on the path so far
	AppLimited    uint32    // 1 if the application, not the window, was the limit
	_             uint32
}

// Packet is one sent packet with the caller's own record of its content.
type Packet[T any] struct {
	PacketView
	Data T
}

// Is reports whether all the given flags are set.
func (p *PacketView) Is(flags uint32) bool { return p.Flags&flags == flags }
