package wire

// ResetTokenLen is the length in bytes of a Stateless Reset Token.
// https://www.rfc-editor.org/rfc/rfc9000#section-10.3
const ResetTokenLen = 16

// A NewConnectionIDFrame provides a connection ID.
// https://www.rfc-editor.org/rfc/rfc9000#section-19.15
type NewConnectionIDFrame struct {
	Sequence      uint64 // Sequence Number
	RetirePriorTo uint64 // at most Sequence
	ConnID        ConnID // 1 to 20 bytes
	ResetToken    [ResetTokenLen]byte
}

// ParseNewConnectionID parses the NEW_CONNECTION_ID frame at the start of b.
func ParseNewConnectionID(b []byte) (f NewConnectionIDFrame, n int) {
	r := afterType(b, NewConnectionID)
	f.Sequence = r.varint()
	f.RetirePriorTo = r.varint()
	// "Receiving a value in the Retire Prior To field that is greater than that
	// in the Sequence Number field MUST be treated as a connection error of type
	// FRAME_ENCODING_ERROR."
	// https://www.rfc-editor.org/rfc/rfc9000#section-19.15
	if f.RetirePriorTo > f.Sequence {
		r.fail()
	}
	// "Values less than 1 and greater than 20 are invalid and MUST be treated as a
	// connection error of type FRAME_ENCODING_ERROR."
	// https://www.rfc-editor.org/rfc/rfc9000#section-19.15
	if p := r.bytes(1); len(p) == 1 {
		var ok bool
		f.ConnID, ok = MakeConnID(r.bytes(uint64(p[0])))
		if !ok || f.ConnID.Len() == 0 {
			r.fail()
		}
	}
	copy(f.ResetToken[:], r.bytes(ResetTokenLen))
	return f, r.n
}

// AppendNewConnectionID appends a NEW_CONNECTION_ID frame.
func AppendNewConnectionID(b []byte, f NewConnectionIDFrame) []byte {
	b = append(b, byte(NewConnectionID))
	b = AppendVarint(b, f.Sequence)
	b = AppendVarint(b, f.RetirePriorTo)
	b = append(b, f.ConnID.n)
	b = append(b, f.ConnID.b[:f.ConnID.n]...)
	return append(b, f.ResetToken[:]...)
}

// Len returns the encoded length in bytes.
func (f NewConnectionIDFrame) Len() int {
	return 1 + VarintLen(f.Sequence) + VarintLen(f.RetirePriorTo) + 1 + f.ConnID.Len() + ResetTokenLen
}
