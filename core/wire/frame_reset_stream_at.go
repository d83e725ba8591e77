package wire

// A ResetStreamAtFrame ends the sending part of a stream abruptly, except that
// the first ReliableSize bytes are still delivered.
// draft-ietf-quic-reliable-stream-reset-10, section 4:
// https://datatracker.ietf.org/doc/html/draft-ietf-quic-reliable-stream-reset-10#section-4
type ResetStreamAtFrame struct {
	ID           uint64 // Stream ID
	ErrorCode    uint64 // Application Protocol Error Code
	FinalSize    uint64 // bytes
	ReliableSize uint64 // bytes, at most FinalSize
}

// ParseResetStreamAt parses the RESET_STREAM_AT frame at the start of b.
func ParseResetStreamAt(b []byte) (f ResetStreamAtFrame, n int) {
	r := afterType(b, ResetStreamAt)
	f.ID = r.varint()
	f.ErrorCode = r.varint()
	f.FinalSize = r.varint()
	f.ReliableSize = r.varint()
	// "If the Reliable Size is larger than the Final Size, the receiver MUST
	// close the connection with a connection error of type FRAME_ENCODING_ERROR."
	// https://datatracker.ietf.org/doc/html/draft-ietf-quic-reliable-stream-reset-10#section-4
	if f.ReliableSize > f.FinalSize {
		r.fail()
	}
	return f, r.n
}

// AppendResetStreamAt appends a RESET_STREAM_AT frame.
func AppendResetStreamAt(b []byte, f ResetStreamAtFrame) []byte {
	b = append(b, byte(ResetStreamAt))
	b = AppendVarint(b, f.ID)
	b = AppendVarint(b, f.ErrorCode)
	b = AppendVarint(b, f.FinalSize)
	return AppendVarint(b, f.ReliableSize)
}

// Len returns the encoded length in bytes.
func (f ResetStreamAtFrame) Len() int {
	return 1 + VarintLen(f.ID) + VarintLen(f.ErrorCode) + VarintLen(f.FinalSize) + VarintLen(f.ReliableSize)
}
