package wire

// A MaxDataFrame raises the connection's flow control limit.
// https://www.rfc-editor.org/rfc/rfc9000#section-19.9
type MaxDataFrame struct {
	Max uint64 // Maximum Data: bytes on all streams together
}

// ParseMaxData parses the MAX_DATA frame at the start of b.
func ParseMaxData(b []byte) (f MaxDataFrame, n int) {
	r := afterType(b, MaxData)
	f.Max = r.varint()
	return f, r.n
}

// AppendMaxData appends a MAX_DATA frame.
func AppendMaxData(b []byte, f MaxDataFrame) []byte {
	return AppendVarint(append(b, byte(MaxData)), f.Max)
}

// Len returns the encoded length in bytes.
func (f MaxDataFrame) Len() int { return 1 + VarintLen(f.Max) }
