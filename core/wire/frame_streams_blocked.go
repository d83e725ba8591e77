package wire

// A StreamsBlockedFrame tells that the stream limit keeps a stream from being
// opened. https://www.rfc-editor.org/rfc/rfc9000#section-19.14
type StreamsBlockedFrame struct {
	Limit uint64 // Maximum Streams, at most MaxStreamCount
	Uni   bool   // unidirectional streams (type 0x17), else bidirectional (0x16)
}

// ParseStreamsBlocked parses the STREAMS_BLOCKED frame (type 0x16 or 0x17) at
// the start of b.
func ParseStreamsBlocked(b []byte) (f StreamsBlockedFrame, n int) {
	f.Limit, f.Uni, n = parseStreamCount(b, StreamsBlockedBidi)
	return f, n
}

// AppendStreamsBlocked appends a STREAMS_BLOCKED frame.
func AppendStreamsBlocked(b []byte, f StreamsBlockedFrame) []byte {
	return appendStreamCount(b, StreamsBlockedBidi, f.Limit, f.Uni)
}

// Len returns the encoded length in bytes.
func (f StreamsBlockedFrame) Len() int { return 1 + VarintLen(f.Limit) }
