package wire

import "encoding/binary"

// RetryTagLen is the length in bytes of the Retry Integrity Tag that ends a
// Retry packet. https://www.rfc-editor.org/rfc/rfc9001#section-5.8
const RetryTagLen = 16

// MaxLongLength is the largest value SetLongLength can store: the bytes of
// packet number, payload and AEAD tag together.
const MaxLongLength = 1<<14 - 1

// longLengthSize is the room AppendLongHeader leaves for the Length field.
const longLengthSize = 2

// A LongHeader is the unprotected part of a packet with a long header. Its
// slices alias the parsed datagram.
// https://www.rfc-editor.org/rfc/rfc9000#section-17.2
type LongHeader struct {
	Version Version
	Type    PacketType
	// FixedBit is the second bit of the packet. A packet in which it is clear is
	// to be dropped unless this endpoint announced grease_quic_bit (RFC 9287);
	// the bit means nothing in Version Negotiation packets and unknown versions.
	FixedBit bool

	// The connection IDs as values. They are left empty if the version allows
	// more than 20 bytes and the packet makes use of it.
	DstConnID ConnID
	SrcConnID ConnID

	// The connection IDs of a packet of any version, up to 255 bytes each.
	// https://www.rfc-editor.org/rfc/rfc8999#section-5.1
	DstRaw []byte
	SrcRaw []byte

	// Token is the Token field of an Initial packet or the Retry Token field of a
	// Retry packet.
	Token []byte

	// PNOffset is where the packet number begins in Initial, 0-RTT and Handshake
	// packets, and the first byte after the connection IDs in all others.
	PNOffset int
	// End is just past this packet in the datagram; what follows is a coalesced
	// packet. Retry, Version Negotiation and unknown packets reach to the end of
	// the datagram.
	End int
}

// IsLongHeader reports whether a packet with first byte b0 has a long header.
func IsLongHeader(b0 byte) bool { return b0&LongHeaderBit != 0 }

// ParseLongHeader parses the first packet in b, the rest of a datagram. A
// packet of a version that this package does not know is no error: its Type is
// UnknownVersion, and the version-independent fields are filled. On error the
// fields parsed before it are filled.
func ParseLongHeader(b []byte) (h LongHeader, err error) {
	off, err := h.parseInvariant(b)
	if err != nil {
		return h, err
	}
	h.PNOffset, h.End = off, len(b)
	if h.Type == VersionNegotiation || h.Type == UnknownVersion {
		h.DstConnID, _ = MakeConnID(h.DstRaw)
		h.SrcConnID, _ = MakeConnID(h.SrcRaw)
		return h, nil
	}

	// "Endpoints that receive a version 1 long header with a value larger than
	// 20 MUST drop the packet."
	// https://www.rfc-editor.org/rfc/rfc9000#section-17.2
	var ok bool
	if h.DstConnID, ok = MakeConnID(h.DstRaw); !ok {
		return h, ErrConnIDLength
	}
	if h.SrcConnID, ok = MakeConnID(h.SrcRaw); !ok {
		return h, ErrConnIDLength
	}
	if h.Type == Retry {
		return h, h.parseRetryToken(b)
	}
	return h, h.parseLength(b)
}

// parseInvariant reads what all versions share and returns the offset behind it.
// https://www.rfc-editor.org/rfc/rfc8999#section-5.1
func (h *LongHeader) parseInvariant(b []byte) (off int, err error) {
	const dstLen = 5 // offset of the first length byte
	if len(b) == 0 {
		return 0, ErrTruncated
	}
	if !IsLongHeader(b[0]) {
		return 0, ErrNotLongHeader
	}
	if len(b) < dstLen+2 {
		return 0, ErrTruncated
	}
	h.FixedBit = b[0]&FixedBit != 0
	h.Version = Version(binary.BigEndian.Uint32(b[1:]))
	switch {
	case h.Version == versionNegotiation:
		h.Type = VersionNegotiation
	case h.Version.Known():
		h.Type = typeOfBits(b[0]>>longTypeShift, h.Version)
	default:
		h.Type = UnknownVersion
	}
	if h.DstRaw, off = connIDAt(b, dstLen); off == 0 {
		return 0, ErrTruncated
	}
	if h.SrcRaw, off = connIDAt(b, off); off == 0 {
		return 0, ErrTruncated
	}
	return off, nil
}

// connIDAt returns the connection ID whose length byte is at off, and the offset
// behind it, 0 if b is too short.
func connIDAt(b []byte, off int) (id []byte, end int) {
	if off >= len(b) {
		return nil, 0
	}
	end = off + 1 + int(b[off])
	if end > len(b) {
		return nil, 0
	}
	return b[off+1 : end : end], end
}

// parseLength reads the Token of an Initial packet and the Length field.
func (h *LongHeader) parseLength(b []byte) error {
	off := h.PNOffset
	if h.Type == Initial {
		v, n := ParseVarint(b[off:])
		if n == 0 || uint64(len(b)-off-n) < v {
			return ErrTruncated
		}
		off += n
		h.Token = b[off : off+int(v) : off+int(v)]
		off += int(v)
	}
	length, n := ParseVarint(b[off:])
	if n == 0 || uint64(len(b)-off-n) < length {
		return ErrTruncated
	}
	h.PNOffset = off + n
	h.End = h.PNOffset + int(length)
	return nil
}

// AppendLongHeader appends the header of an Initial, 0-RTT or Handshake packet
// up to and including a Length field of two bytes, which SetLongLength fills
// once the size is known. The packet number of pnLen bytes (1 to 4) comes next.
// token is written in Initial packets only.
func AppendLongHeader(b []byte, typ PacketType, v Version, dst, src ConnID, token []byte, pnLen int) []byte {
	b = append(b, LongHeaderBit|FixedBit|typeBits(typ, v)<<longTypeShift|byte(pnLen-1)&PacketNumberBits)
	b = binary.BigEndian.AppendUint32(b, uint32(v))
	b = appendConnIDs(b, dst, src)
	if typ == Initial {
		b = AppendVarint(b, uint64(len(token)))
		b = append(b, token...)
	}
	return AppendVarintN(b, 0, longLengthSize)
}

func appendConnIDs(b []byte, dst, src ConnID) []byte {
	b = append(b, dst.n)
	b = append(b, dst.b[:dst.n]...)
	b = append(b, src.n)
	return append(b, src.b[:src.n]...)
}

// LongHeaderLen returns the bytes AppendLongHeader appends.
func LongHeaderLen(typ PacketType, dst, src ConnID, tokenLen int) int {
	n := 1 + 4 + 1 + dst.Len() + 1 + src.Len() + longLengthSize
	if typ == Initial {
		n += VarintLen(uint64(tokenLen)) + tokenLen
	}
	return n
}

// SetLongLength stores the Length of a packet whose header AppendLongHeader
// wrote. pnOffset is the offset in b where that header ended and the packet
// number began; length counts packet number, payload and AEAD tag, at most
// MaxLongLength bytes. It panics if length does not fit.
func SetLongLength(b []byte, pnOffset, length int) {
	if length < 0 || length > MaxLongLength {
		panic("wire: Length does not fit two bytes")
	}
	binary.BigEndian.PutUint16(b[pnOffset-longLengthSize:pnOffset], uint16(length)|0x4000)
}
