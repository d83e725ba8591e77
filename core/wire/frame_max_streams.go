package wire

// MaxStreamCount is the largest number of streams of one kind: beyond it a
// stream ID would not fit a varint.
// https://www.rfc-editor.org/rfc/rfc9000#section-4.6
const MaxStreamCount = 1 << 60

// A MaxStreamsFrame raises how many streams the peer may open.
// https://www.rfc-editor.org/rfc/rfc9000#section-19.11
type MaxStreamsFrame struct {
	Max uint64 // Maximum Streams over the life of the connection, at most MaxStreamCount
	Uni bool   // unidirectional streams (type 0x13), else bidirectional (0x12)
}

// ParseMaxStreams parses the MAX_STREAMS frame (type 0x12 or 0x13) at the start
// of b.
func ParseMaxStreams(b []byte) (f MaxStreamsFrame, n int) {
	f.Max, f.Uni, n = parseStreamCount(b, MaxStreamsBidi)
	return f, n
}

// parseStreamCount parses a frame of type bidi, or of the next type for
// unidirectional streams, whose only field is a number of streams.
func parseStreamCount(b []byte, bidi FrameType) (count uint64, uni bool, n int) {
	if len(b) == 0 || FrameType(b[0])&^1 != bidi {
		return 0, false, 0
	}
	count, n = ParseVarint(b[1:])
	// MAX_STREAMS: "Receipt of a frame that permits opening of a stream larger
	// than this limit MUST be treated as a connection error of type
	// FRAME_ENCODING_ERROR." https://www.rfc-editor.org/rfc/rfc9000#section-19.11
	// STREAMS_BLOCKED: "Receipt of a frame that encodes a larger stream ID MUST be
	// treated as a connection error of type STREAM_LIMIT_ERROR or
	// FRAME_ENCODING_ERROR." https://www.rfc-editor.org/rfc/rfc9000#section-19.14
	if n == 0 || count > MaxStreamCount {
		return 0, false, 0
	}
	return count, b[0]&1 != 0, 1 + n
}

func appendStreamCount(b []byte, bidi FrameType, count uint64, uni bool) []byte {
	typ := byte(bidi)
	if uni {
		typ |= 1
	}
	return AppendVarint(append(b, typ), count)
}

// AppendMaxStreams appends a MAX_STREAMS frame.
func AppendMaxStreams(b []byte, f MaxStreamsFrame) []byte {
	return appendStreamCount(b, MaxStreamsBidi, f.Max, f.Uni)
}

// Len returns the encoded length in bytes.
func (f MaxStreamsFrame) Len() int { return 1 + VarintLen(f.Max) }
