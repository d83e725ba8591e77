package wire

// A NewTokenFrame gives the client a token for a later connection.
// https://www.rfc-editor.org/rfc/rfc9000#section-19.7
type NewTokenFrame struct {
	Token []byte // never empty
}

// ParseNewToken parses the NEW_TOKEN frame at the start of b.
func ParseNewToken(b []byte) (f NewTokenFrame, n int) {
	r := afterType(b, NewToken)
	f.Token = r.bytes(r.varint())
	// "The token MUST NOT be empty. A client MUST treat receipt of a NEW_TOKEN
	// frame with an empty Token field as a connection error of type
	// FRAME_ENCODING_ERROR."
	// https://www.rfc-editor.org/rfc/rfc9000#section-19.7
	if len(f.Token) == 0 {
		r.fail()
	}
	return f, r.n
}

// AppendNewToken appends a NEW_TOKEN frame.
func AppendNewToken(b []byte, f NewTokenFrame) []byte {
	b = append(b, byte(NewToken))
	b = AppendVarint(b, uint64(len(f.Token)))
	return append(b, f.Token...)
}

// Len returns the encoded length in bytes.
func (f NewTokenFrame) Len() int { return 1 + VarintLen(uint64(len(f.Token))) + len(f.Token) }
