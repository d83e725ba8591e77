package wire

import "time"

// An AckFrequencyFrame asks the peer to acknowledge more or less often.
// draft-ietf-quic-ack-frequency-14, section 4:
// https://datatracker.ietf.org/doc/html/draft-ietf-quic-ack-frequency-14#section-4
type AckFrequencyFrame struct {
	Sequence              uint64 // Sequence Number: frames with a lower one than seen are obsolete
	AckElicitingThreshold uint64 // ack-eliciting packets that may arrive without an ACK being sent
	RequestedMaxAckDelay  uint64 // microseconds
	ReorderingThreshold   uint64 // packets of reordering before an immediate ACK; 0: never
}

// ackFrequencyTypeLen is the length of type 0xaf, which takes two bytes.
const ackFrequencyTypeLen = 2

// ParseAckFrequency parses the ACK_FREQUENCY frame at the start of b. Whether
// the requested delay is valid depends on this endpoint's min_ack_delay, so the
// caller checks it; see [AckFrequencyFrame.MaxAckDelay].
func ParseAckFrequency(b []byte) (f AckFrequencyFrame, n int) {
	if t, m := NextFrameType(b); t != AckFrequency || m != ackFrequencyTypeLen {
		return f, 0
	}
	r := reader{b: b, n: ackFrequencyTypeLen}
	f.Sequence = r.varint()
	f.AckElicitingThreshold = r.varint()
	f.RequestedMaxAckDelay = r.varint()
	f.ReorderingThreshold = r.varint()
	return f, r.n
}

// AppendAckFrequency appends an ACK_FREQUENCY frame.
func AppendAckFrequency(b []byte, f AckFrequencyFrame) []byte {
	b = AppendVarintN(b, uint64(AckFrequency), ackFrequencyTypeLen)
	b = AppendVarint(b, f.Sequence)
	b = AppendVarint(b, f.AckElicitingThreshold)
	b = AppendVarint(b, f.RequestedMaxAckDelay)
	return AppendVarint(b, f.ReorderingThreshold)
}

// MaxAckDelay returns the requested max_ack_delay. It reports false if that is
// invalid whatever the connection: 2^14 milliseconds or more, to be treated as a
// connection error of type PROTOCOL_VIOLATION.
func (f AckFrequencyFrame) MaxAckDelay() (time.Duration, bool) {
	if f.RequestedMaxAckDelay >= MaxAckDelayLimit*1000 {
		return 0, false
	}
	return time.Duration(f.RequestedMaxAckDelay) * time.Microsecond, true
}

// Len returns the encoded length in bytes.
func (f AckFrequencyFrame) Len() int {
	return ackFrequencyTypeLen + VarintLen(f.Sequence) + VarintLen(f.AckElicitingThreshold) +
		VarintLen(f.RequestedMaxAckDelay) + VarintLen(f.ReorderingThreshold)
}
