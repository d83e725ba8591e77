package wire

import (
	"encoding/binary"
	"math"
)

// NoPacketNumber stands for "no packet number yet" where one is expected.
const NoPacketNumber = math.MaxUint64

// AppendPacketNumber appends the n least significant bytes of pn; n is 1 to 4.
// https://www.rfc-editor.org/rfc/rfc9000#section-17.1
func AppendPacketNumber(b []byte, pn uint64, n int) []byte {
	switch n {
	case 1:
		return append(b, byte(pn))
	case 2:
		return binary.BigEndian.AppendUint16(b, uint16(pn))
	case 3:
		return append(b, byte(pn>>16), byte(pn>>8), byte(pn))
	case 4:
		return binary.BigEndian.AppendUint32(b, uint32(pn))
	}
	panic("wire: a packet number takes 1 to 4 bytes")
}

// PacketNumberLen returns how many bytes (1 to 4) of packet number pn to send
// when the peer has acknowledged largestAcked, or nothing yet if !have.
// https://www.rfc-editor.org/rfc/rfc9000#section-a.2
func PacketNumberLen(pn, largestAcked uint64, have bool) int {
	unacked := pn + 1
	if have {
		unacked = pn - largestAcked
	}
	// "The sender MUST use a packet number size able to represent more than
	// twice as large a range as the difference between the largest acknowledged
	// packet number and the packet number being sent."
	// https://www.rfc-editor.org/rfc/rfc9000#section-17.1
	switch {
	case unacked < 1<<7:
		return 1
	case unacked < 1<<15:
		return 2
	case unacked < 1<<23:
		return 3
	}
	return 4
}

// ParsePacketNumber reads a truncated packet number of n bytes (1 to 4) at the
// start of b, which must hold as many.
func ParsePacketNumber(b []byte, n int) (truncated uint64) {
	for _, c := range b[:n] {
		truncated = truncated<<8 | uint64(c)
	}
	return truncated
}

// DecodePacketNumber recovers a packet number from its n least significant
// bytes (n is 1 to 4): the candidate closest to the one after largest, the
// highest number received so far, or NoPacketNumber before the first.
// https://www.rfc-editor.org/rfc/rfc9000#section-a.3
func DecodePacketNumber(largest, truncated uint64, n int) uint64 {
	window := uint64(1) << (8 * n)
	half := window / 2
	expected := largest + 1 // NoPacketNumber wraps to 0
	candidate := expected&^(window-1) | truncated
	switch {
	case candidate+half <= expected && candidate <= MaxVarint-window:
		return candidate + window
	case candidate > expected+half && candidate >= window:
		return candidate - window
	}
	return candidate
}
