package wire

import "encoding/binary"

// A VersionNegotiationPacket lists the versions a server supports. Its slices
// alias the datagram.
// https://www.rfc-editor.org/rfc/rfc8999#section-6
type VersionNegotiationPacket struct {
	DstRaw []byte // Destination Connection ID, up to 255 bytes
	SrcRaw []byte // Source Connection ID, up to 255 bytes

	versions []byte
}

// Len returns the number of versions listed, at least 1.
func (p *VersionNegotiationPacket) Len() int { return len(p.versions) / 4 }

// Version returns version i, 0 <= i < Len().
func (p *VersionNegotiationPacket) Version(i int) Version {
	return Version(binary.BigEndian.Uint32(p.versions[4*i:]))
}

// Contains reports whether v is listed.
func (p *VersionNegotiationPacket) Contains(v Version) bool {
	for i := range p.Len() {
		if p.Version(i) == v {
			return true
		}
	}
	return false
}

// AppendVersionNegotiation appends a Version Negotiation packet. dst and src are
// the Source and Destination Connection ID of the packet it answers, each at
// most 255 bytes. unusedBits is any value: the seven bits after the first carry
// nothing and should be random.
// https://www.rfc-editor.org/rfc/rfc9000#section-17.2.1
func AppendVersionNegotiation(b, dst, src []byte, unusedBits byte, versions []Version) []byte {
	// "Where QUIC might be multiplexed with other protocols […], servers SHOULD
	// set the most significant bit of this field (0x40) to 1 so that Version
	// Negotiation packets appear to have the Fixed Bit field."
	// https://www.rfc-editor.org/rfc/rfc9000#section-17.2.1
	b = append(b, LongHeaderBit|FixedBit|unusedBits)
	b = binary.BigEndian.AppendUint32(b, uint32(versionNegotiation))
	b = append(b, byte(len(dst)))
	b = append(b, dst...)
	b = append(b, byte(len(src)))
	b = append(b, src...)
	for _, v := range versions {
		b = binary.BigEndian.AppendUint32(b, uint32(v))
	}
	return b
}

// ParseVersionNegotiation parses a Version Negotiation packet, a whole datagram.
func ParseVersionNegotiation(b []byte) (p VersionNegotiationPacket, err error) {
	var h LongHeader
	off, err := h.parseInvariant(b)
	if err != nil {
		return p, err
	}
	if h.Type != VersionNegotiation {
		return p, ErrPacketType
	}
	// "An endpoint MUST ignore a packet that contains no Supported Version fields
	// or contains a truncated Supported Version value."
	// https://www.rfc-editor.org/rfc/rfc8999#section-6
	if rest := len(b) - off; rest == 0 || rest%4 != 0 {
		return p, ErrNoVersions
	}
	return VersionNegotiationPacket{DstRaw: h.DstRaw, SrcRaw: h.SrcRaw, versions: b[off:]}, nil
}
