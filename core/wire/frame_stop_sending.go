package wire

// A StopSendingFrame asks the peer to stop sending on a stream.
// https://www.rfc-editor.org/rfc/rfc9000#section-19.5
type StopSendingFrame struct {
	ID        uint64 // Stream ID
	ErrorCode uint64 // Application Protocol Error Code
}

// ParseStopSending parses the STOP_SENDING frame at the start of b.
func ParseStopSending(b []byte) (f StopSendingFrame, n int) {
	r := afterType(b, StopSending)
	f.ID = r.varint()
	f.ErrorCode = r.varint()
	return f, r.n
}

// AppendStopSending appends a STOP_SENDING frame.
func AppendStopSending(b []byte, f StopSendingFrame) []byte {
	b = append(b, byte(StopSending))
	b = AppendVarint(b, f.ID)
	return AppendVarint(b, f.ErrorCode)
}

// Len returns the encoded length in bytes.
func (f StopSendingFrame) Len() int { return 1 + VarintLen(f.ID) + VarintLen(f.ErrorCode) }
