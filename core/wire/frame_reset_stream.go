package wire

// A ResetStreamFrame ends the sending part of a stream abruptly.
// https://www.rfc-editor.org/rfc/rfc9000#section-19.4
type ResetStreamFrame struct {
	ID        uint64 // Stream ID
	ErrorCode uint64 // Application Protocol Error Code
	FinalSize uint64 // bytes
}

// ParseResetStream parses the RESET_STREAM frame at the start of b.
func ParseResetStream(b []byte) (f ResetStreamFrame, n int) {
	r := afterType(b, ResetStream)
	f.ID = r.varint()
	f.ErrorCode = r.varint()
	f.FinalSize = r.varint()
	return f, r.n
}

// AppendResetStream appends a RESET_STREAM frame.
func AppendResetStream(b []byte, f ResetStreamFrame) []byte {
	b = append(b, byte(ResetStream))
	b = AppendVarint(b, f.ID)
	b = AppendVarint(b, f.ErrorCode)
	return AppendVarint(b, f.FinalSize)
}

// Len returns the encoded length in bytes.
func (f ResetStreamFrame) Len() int {
	return 1 + VarintLen(f.ID) + VarintLen(f.ErrorCode) + VarintLen(f.FinalSize)
}
