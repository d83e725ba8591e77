package wire

// A HandshakeDoneFrame confirms the handshake to the client.
// https://www.rfc-editor.org/rfc/rfc9000#section-19.20
type HandshakeDoneFrame struct{}

// ParseHandshakeDone parses the HANDSHAKE_DONE frame at the start of b.
func ParseHandshakeDone(b []byte) (f HandshakeDoneFrame, n int) {
	r := afterType(b, HandshakeDone)
	return f, r.n
}

// AppendHandshakeDone appends a HANDSHAKE_DONE frame.
func AppendHandshakeDone(b []byte) []byte { return append(b, byte(HandshakeDone)) }

// Len returns the encoded length in bytes.
func (HandshakeDoneFrame) Len() int { return 1 }
