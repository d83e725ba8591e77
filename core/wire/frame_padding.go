package wire

// A PaddingFrame stands for a run of PADDING frames.
// https://www.rfc-editor.org/rfc/rfc9000#section-19.1
type PaddingFrame struct {
	Length int // frames of one byte each
}

// ParsePadding parses all PADDING frames at the start of b.
func ParsePadding(b []byte) (f PaddingFrame, n int) {
	for n < len(b) && b[n] == byte(Padding) {
		n++
	}
	return PaddingFrame{Length: n}, n
}

// AppendPadding appends n PADDING frames.
func AppendPadding(b []byte, n int) []byte {
	for n > len(zeros) {
		b = append(b, zeros[:]...)
		n -= len(zeros)
	}
	if n > 0 {
		b = append(b, zeros[:n]...)
	}
	return b
}

var zeros [256]byte

// Len returns the encoded length in bytes.
func (f PaddingFrame) Len() int { return f.Length }
