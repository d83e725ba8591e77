package wire

import "encoding/binary"

// MaxVarint is the largest value a variable-length integer can hold.
// https://www.rfc-editor.org/rfc/rfc9000#section-16
const MaxVarint = 1<<62 - 1

// ParseVarint reads the variable-length integer at the start of b and reports
// how many bytes it takes (1, 2, 4 or 8). n is 0 if b is too short. Any
// encoding of a value is accepted; only frame types must be minimal, see
// [NextFrameType].
func ParseVarint(b []byte) (v uint64, n int) {
	if len(b) == 0 {
		return 0, 0
	}
	// The length is a power of two, in the first two bits.
	switch b[0] >> 6 {
	case 0:
		return uint64(b[0]), 1
	case 1:
		if len(b) >= 2 {
			return uint64(binary.BigEndian.Uint16(b) & 0x3fff), 2
		}
	case 2:
		if len(b) >= 4 {
			return uint64(binary.BigEndian.Uint32(b) & 0x3fffffff), 4
		}
	case 3:
		if len(b) >= 8 {
			return binary.BigEndian.Uint64(b) & MaxVarint, 8
		}
	}
	return 0, 0
}

// VarintLen returns the bytes the shortest encoding of v takes: 1, 2, 4 or 8.
// It panics if v exceeds MaxVarint.
func VarintLen(v uint64) int {
	switch {
	case v < 1<<6:
		return 1
	case v < 1<<14:
		return 2
	case v < 1<<30:
		return 4
	case v <= MaxVarint:
		return 8
	}
	panic("wire: value exceeds 2^62-1")
}

// AppendVarint appends the shortest encoding of v. It panics if v exceeds
// MaxVarint: values from the network never do, so such a value is a bug of the
// caller.
func AppendVarint(b []byte, v uint64) []byte {
	if v < 0x40 {
		return append(b, byte(v))
	}
	return appendLongVarint(b, v)
}

func appendLongVarint(b []byte, v uint64) []byte {
	return AppendVarintN(b, v, VarintLen(v))
}

// AppendVarintN appends v in exactly n bytes; n is 1, 2, 4 or 8. It panics if v
// does not fit.
func AppendVarintN(b []byte, v uint64, n int) []byte {
	if n < 8 && v>>(8*n-2) != 0 || v > MaxVarint {
		panic("wire: value does not fit the varint's length")
	}
	switch n {
	case 1:
		return append(b, byte(v))
	case 2:
		return binary.BigEndian.AppendUint16(b, uint16(v)|0x4000)
	case 4:
		return binary.BigEndian.AppendUint32(b, uint32(v)|0x80000000)
	case 8:
		return binary.BigEndian.AppendUint64(b, v|0xc000000000000000)
	}
	panic("wire: a varint takes 1, 2, 4 or 8 bytes")
}
