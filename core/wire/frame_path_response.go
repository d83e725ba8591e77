package wire

// A PathResponseFrame returns the data of a PATH_CHALLENGE frame.
// https://www.rfc-editor.org/rfc/rfc9000#section-19.18
type PathResponseFrame struct {
	Data [8]byte
}

// ParsePathResponse parses the PATH_RESPONSE frame at the start of b.
func ParsePathResponse(b []byte) (f PathResponseFrame, n int) {
	r := afterType(b, PathResponse)
	copy(f.Data[:], r.bytes(uint64(len(f.Data))))
	return f, r.n
}

// AppendPathResponse appends a PATH_RESPONSE frame.
func AppendPathResponse(b []byte, f PathResponseFrame) []byte {
	return append(append(b, byte(PathResponse)), f.Data[:]...)
}

// Len returns the encoded length in bytes.
func (f PathResponseFrame) Len() int { return 1 + len(f.Data) }
