package wire

import "encoding/hex"

// MaxConnIDLen is the longest connection ID, in bytes, of QUIC versions 1 and 2.
// https://www.rfc-editor.org/rfc/rfc9000#section-17.2
const MaxConnIDLen = 20

// A ConnID is a connection ID of 0 to 20 bytes. It is a comparable value, so it
// serves as a map key; the zero ConnID is the zero-length one.
type ConnID struct {
	n uint8
	b [MaxConnIDLen]byte // bytes from n on are zero, so that == compares IDs
}

// MakeConnID copies b into a ConnID. It reports false if b is longer than
// MaxConnIDLen.
func MakeConnID(b []byte) (ConnID, bool) {
	var c ConnID
	if len(b) > MaxConnIDLen {
		return c, false
	}
	c.n = uint8(copy(c.b[:], b))
	return c, true
}

// Len returns the length in bytes.
func (c ConnID) Len() int { return int(c.n) }

// AppendTo appends the bytes of c to b.
func (c ConnID) AppendTo(b []byte) []byte { return append(b, c.b[:c.n]...) }

// EqualBytes reports whether c consists of exactly the bytes b.
func (c ConnID) EqualBytes(b []byte) bool { return string(c.b[:c.n]) == string(b) }

// At returns byte i; it panics unless 0 <= i < Len().
func (c ConnID) At(i int) byte { return c.b[:c.n][i] }

// String returns c in hexadecimal.
func (c ConnID) String() string { return hex.EncodeToString(c.b[:c.n]) }
