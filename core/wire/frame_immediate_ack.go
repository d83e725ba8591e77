package wire

// An ImmediateAckFrame asks the peer to acknowledge at once.
// draft-ietf-quic-ack-frequency-14, section 5:
// https://datatracker.ietf.org/doc/html/draft-ietf-quic-ack-frequency-14#section-5
type ImmediateAckFrame struct{}

// ParseImmediateAck parses the IMMEDIATE_ACK frame at the start of b.
func ParseImmediateAck(b []byte) (f ImmediateAckFrame, n int) {
	r := afterType(b, ImmediateAck)
	return f, r.n
}

// AppendImmediateAck appends an IMMEDIATE_ACK frame.
func AppendImmediateAck(b []byte) []byte { return append(b, byte(ImmediateAck)) }

// Len returns the encoded length in bytes.
func (ImmediateAckFrame) Len() int { return 1 }
