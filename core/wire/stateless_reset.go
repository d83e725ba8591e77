package wire

// MinStatelessResetLen is the length in bytes of the shortest datagram that is
// taken for a Stateless Reset.
// https://www.rfc-editor.org/rfc/rfc9000#section-10.3
const MinStatelessResetLen = 5 + ResetTokenLen

// AppendStatelessReset appends a Stateless Reset, which looks like a packet with
// a short header. random are its unpredictable bytes, at least
// MinStatelessResetLen-ResetTokenLen.
//
// "An endpoint MUST NOT send a Stateless Reset that is three times or more larger
// than the packet it receives to avoid being used for amplification", and one
// smaller than that packet does not loop: the caller picks the size.
// https://www.rfc-editor.org/rfc/rfc9000#section-10.3
func AppendStatelessReset(b, random []byte, token [ResetTokenLen]byte) []byte {
	start := len(b)
	b = append(b, random...)
	b[start] = b[start]&^LongHeaderBit | FixedBit
	return append(b, token[:]...)
}

// ParseStatelessReset returns the last 16 bytes of a datagram, which are the
// token if it is a Stateless Reset. It reports false if the datagram cannot be
// one. The caller compares in constant time with the tokens it knows, and only
// once the first packet of the datagram could not be processed.
// https://www.rfc-editor.org/rfc/rfc9000#section-10.3.1
func ParseStatelessReset(b []byte) (token [ResetTokenLen]byte, ok bool) {
	if len(b) < MinStatelessResetLen {
		return token, false
	}
	copy(token[:], b[len(b)-ResetTokenLen:])
	return token, true
}
