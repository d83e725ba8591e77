package wire

// A PingFrame elicits an acknowledgment.
// https://www.rfc-editor.org/rfc/rfc9000#section-19.2
type PingFrame struct{}

// ParsePing parses the PING frame at the start of b.
func ParsePing(b []byte) (f PingFrame, n int) {
	r := afterType(b, Ping)
	return f, r.n
}

// AppendPing appends a PING frame.
func AppendPing(b []byte) []byte { return append(b, byte(Ping)) }

// Len returns the encoded length in bytes.
func (PingFrame) Len() int { return 1 }
