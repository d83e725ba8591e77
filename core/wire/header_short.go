package wire

// ParseShortHeaderDst returns the Destination Connection ID of a packet with a
// short header; n is the length in bytes of the IDs this endpoint issues, which
// the packet does not carry. It reports false if b has a long header, is too
// short or n exceeds MaxConnIDLen. The packet number begins at offset 1+n.
// https://www.rfc-editor.org/rfc/rfc9000#section-17.3.1
func ParseShortHeaderDst(b []byte, n int) (ConnID, bool) {
	if n < 0 || len(b) < 1+n || IsLongHeader(b[0]) {
		return ConnID{}, false
	}
	return MakeConnID(b[1 : 1+n])
}

// AppendShortHeader appends the first byte and the Destination Connection ID of
// a 1-RTT packet. The packet number of pnLen bytes (1 to 4) comes next.
// https://www.rfc-editor.org/rfc/rfc9000#section-17.3.1
func AppendShortHeader(b []byte, dst ConnID, spin, keyPhase bool, pnLen int) []byte {
	first := byte(FixedBit) | byte(pnLen-1)&PacketNumberBits
	if spin {
		first |= SpinBit
	}
	if keyPhase {
		first |= KeyPhaseBit
	}
	b = append(b, first)
	return append(b, dst.b[:dst.n]...)
}
