package wire

// A CryptoFrame carries handshake bytes of one encryption level.
// https://www.rfc-editor.org/rfc/rfc9000#section-19.6
type CryptoFrame struct {
	Offset uint64
	Data   []byte
}

// ParseCrypto parses the CRYPTO frame at the start of b.
func ParseCrypto(b []byte) (f CryptoFrame, n int) {
	r := afterType(b, Crypto)
	f.Offset = r.varint()
	f.Data = r.bytes(r.varint())
	// "The largest offset delivered on a stream -- the sum of the offset and data
	// length -- cannot exceed 2^62-1. Receipt of a frame that exceeds this limit
	// MUST be treated as a connection error of type FRAME_ENCODING_ERROR or
	// CRYPTO_BUFFER_EXCEEDED."
	// https://www.rfc-editor.org/rfc/rfc9000#section-19.6
	if uint64(len(f.Data)) > MaxVarint-f.Offset {
		r.fail()
	}
	return f, r.n
}

// AppendCrypto appends a CRYPTO frame.
func AppendCrypto(b []byte, f CryptoFrame) []byte {
	return append(AppendCryptoHeader(b, f.Offset, len(f.Data)), f.Data...)
}

// AppendCryptoHeader appends a CRYPTO frame up to its n bytes of data, which
// come next.
func AppendCryptoHeader(b []byte, off uint64, n int) []byte {
	b = append(b, byte(Crypto))
	b = AppendVarint(b, off)
	return AppendVarint(b, uint64(n))
}

// CryptoHeaderLen returns the bytes AppendCryptoHeader appends.
func CryptoHeaderLen(off uint64, n int) int { return 1 + VarintLen(off) + VarintLen(uint64(n)) }

// Len returns the encoded length in bytes.
func (f CryptoFrame) Len() int { return CryptoHeaderLen(f.Offset, len(f.Data)) + len(f.Data) }
