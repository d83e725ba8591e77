package wire

// A DataBlockedFrame tells that the connection's flow control holds data back.
// https://www.rfc-editor.org/rfc/rfc9000#section-19.12
type DataBlockedFrame struct {
	Limit uint64 // Maximum Data: bytes
}

// ParseDataBlocked parses the DATA_BLOCKED frame at the start of b.
func ParseDataBlocked(b []byte) (f DataBlockedFrame, n int) {
	r := afterType(b, DataBlocked)
	f.Limit = r.varint()
	return f, r.n
}

// AppendDataBlocked appends a DATA_BLOCKED frame.
func AppendDataBlocked(b []byte, f DataBlockedFrame) []byte {
	return AppendVarint(append(b, byte(DataBlocked)), f.Limit)
}

// Len returns the encoded length in bytes.
func (f DataBlockedFrame) Len() int { return 1 + VarintLen(f.Limit) }
