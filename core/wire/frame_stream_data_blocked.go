package wire

// A StreamDataBlockedFrame tells that a stream's flow control holds data back.
// https://www.rfc-editor.org/rfc/rfc9000#section-19.13
type StreamDataBlockedFrame struct {
	ID    uint64 // Stream ID
	Limit uint64 // Maximum Stream Data: bytes
}

// ParseStreamDataBlocked parses the STREAM_DATA_BLOCKED frame at the start of b.
func ParseStreamDataBlocked(b []byte) (f StreamDataBlockedFrame, n int) {
	r := afterType(b, StreamDataBlocked)
	f.ID = r.varint()
	f.Limit = r.varint()
	return f, r.n
}

// AppendStreamDataBlocked appends a STREAM_DATA_BLOCKED frame.
func AppendStreamDataBlocked(b []byte, f StreamDataBlockedFrame) []byte {
	b = append(b, byte(StreamDataBlocked))
	b = AppendVarint(b, f.ID)
	return AppendVarint(b, f.Limit)
}

// Len returns the encoded length in bytes.
func (f StreamDataBlockedFrame) Len() int { return 1 + VarintLen(f.ID) + VarintLen(f.Limit) }
