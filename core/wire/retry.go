package wire

import "encoding/binary"

// A RetryPacket asks a client to prove its address. Its slices alias the
// datagram.
// https://www.rfc-editor.org/rfc/rfc9000#section-17.2.5
type RetryPacket struct {
	Version   Version
	DstConnID ConnID
	SrcConnID ConnID
	Token     []byte // never empty

	WithoutTag []byte // the packet as covered by the Retry Integrity Tag
	Tag        [RetryTagLen]byte
}

// AppendRetry appends a Retry packet except for its Retry Integrity Tag, which
// is computed over exactly these bytes. token must not be empty. unusedBits is
// any value; its lower four bits are sent and carry nothing.
func AppendRetry(b []byte, v Version, dst, src ConnID, token []byte, unusedBits byte) []byte {
	b = append(b, LongHeaderBit|FixedBit|typeBits(Retry, v)<<longTypeShift|unusedBits&0x0f)
	b = binary.BigEndian.AppendUint32(b, uint32(v))
	b = appendConnIDs(b, dst, src)
	return append(b, token...)
}

// ParseRetry parses a Retry packet, a whole datagram. The tag is not verified.
func ParseRetry(b []byte) (p RetryPacket, err error) {
	h, err := ParseLongHeader(b)
	if err != nil {
		return p, err
	}
	if h.Type != Retry {
		return p, ErrPacketType
	}
	tag := len(b) - RetryTagLen
	p = RetryPacket{
		Version:    h.Version,
		DstConnID:  h.DstConnID,
		SrcConnID:  h.SrcConnID,
		Token:      h.Token,
		WithoutTag: b[:tag:tag],
	}
	copy(p.Tag[:], b[tag:])
	return p, nil
}

// parseRetryToken reads what follows the connection IDs in a Retry packet.
func (h *LongHeader) parseRetryToken(b []byte) error {
	rest := b[h.PNOffset:]
	if len(rest) < RetryTagLen {
		return ErrTruncated
	}
	n := len(rest) - RetryTagLen
	h.Token = rest[:n:n]
	// "A client MUST discard a Retry packet with a zero-length Retry Token
	// field." https://www.rfc-editor.org/rfc/rfc9000#section-17.2.5.2
	if n == 0 {
		return ErrNoRetryToken
	}
	return nil
}
