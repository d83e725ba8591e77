package wire

// A MaxStreamDataFrame raises the flow control limit of a stream.
// https://www.rfc-editor.org/rfc/rfc9000#section-19.10
type MaxStreamDataFrame struct {
	ID  uint64 // Stream ID
	Max uint64 // Maximum Stream Data: bytes
}

// ParseMaxStreamData parses the MAX_STREAM_DATA frame at the start of b.
func ParseMaxStreamData(b []byte) (f MaxStreamDataFrame, n int) {
	r := afterType(b, MaxStreamData)
	f.ID = r.varint()
	f.Max = r.varint()
	return f, r.n
}

// AppendMaxStreamData appends a MAX_STREAM_DATA frame.
func AppendMaxStreamData(b []byte, f MaxStreamDataFrame) []byte {
	b = append(b, byte(MaxStreamData))
	b = AppendVarint(b, f.ID)
	return AppendVarint(b, f.Max)
}

// Len returns the encoded length in bytes.
func (f MaxStreamDataFrame) Len() int { return 1 + VarintLen(f.ID) + VarintLen(f.Max) }
