package wire

// A PacketType is the kind of a packet, whatever bits its version encodes it in.
type PacketType uint8

const (
	Initial            PacketType = iota // https://www.rfc-editor.org/rfc/rfc9000#section-17.2.2
	ZeroRTT                              // https://www.rfc-editor.org/rfc/rfc9000#section-17.2.3
	Handshake                            // https://www.rfc-editor.org/rfc/rfc9000#section-17.2.4
	Retry                                // https://www.rfc-editor.org/rfc/rfc9000#section-17.2.5
	OneRTT                               // https://www.rfc-editor.org/rfc/rfc9000#section-17.3.1
	VersionNegotiation                   // https://www.rfc-editor.org/rfc/rfc9000#section-17.2.1
	UnknownVersion                       // a long header of a version this package does not parse
)

// String returns the RFC's name of the type.
func (t PacketType) String() string {
	switch t {
	case Initial:
		return "Initial"
	case ZeroRTT:
		return "0-RTT"
	case Handshake:
		return "Handshake"
	case Retry:
		return "Retry"
	case OneRTT:
		return "1-RTT"
	case VersionNegotiation:
		return "Version Negotiation"
	case UnknownVersion:
		return "unknown version"
	}
	return "invalid packet type"
}

// Bits of the first byte of a packet. The lower bits are readable only once
// header protection is removed.
// https://www.rfc-editor.org/rfc/rfc9000#section-17
const (
	LongHeaderBit     = 0x80 // Header Form
	FixedBit          = 0x40 // may be cleared towards peers that accept it: RFC 9287
	LongReservedBits  = 0x0c // long header: zero once header protection is removed
	SpinBit           = 0x20 // short header
	ShortReservedBits = 0x18 // short header: zero once header protection is removed
	KeyPhaseBit       = 0x04 // short header
	PacketNumberBits  = 0x03 // Packet Number Length, in bytes, minus one
)

// longTypeShift is the place of the Long Packet Type in the first byte.
const longTypeShift = 4

// typeBits returns the two bits that encode t in a long header of version v.
func typeBits(t PacketType, v Version) byte {
	// "Initial: 0b01, 0-RTT: 0b10, Handshake: 0b11, Retry: 0b00"
	// https://www.rfc-editor.org/rfc/rfc9369#section-3.2
	if v == Version2 {
		return byte(t+1) & 3
	}
	return byte(t) & 3
}

// typeOfBits is the inverse of typeBits.
func typeOfBits(bits byte, v Version) PacketType {
	if v == Version2 {
		return PacketType(bits-1) & 3
	}
	return PacketType(bits) & 3
}
