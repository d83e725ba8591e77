package wire

// A RetireConnectionIDFrame retires a connection ID issued by the peer.
// https://www.rfc-editor.org/rfc/rfc9000#section-19.16
type RetireConnectionIDFrame struct {
	Sequence uint64 // Sequence Number
}

// ParseRetireConnectionID parses the RETIRE_CONNECTION_ID frame at the start
// of b.
func ParseRetireConnectionID(b []byte) (f RetireConnectionIDFrame, n int) {
	r := afterType(b, RetireConnectionID)
	f.Sequence = r.varint()
	return f, r.n
}

// AppendRetireConnectionID appends a RETIRE_CONNECTION_ID frame.
func AppendRetireConnectionID(b []byte, f RetireConnectionIDFrame) []byte {
	return AppendVarint(append(b, byte(RetireConnectionID)), f.Sequence)
}

// Len returns the encoded length in bytes.
func (f RetireConnectionIDFrame) Len() int { return 1 + VarintLen(f.Sequence) }
