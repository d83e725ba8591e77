package coretest

import "encoding/binary"

// Content is a stream of bytes known at every offset: eight at a time from a
// hash of key and position. A receiver checks what it gets without having kept
// what was sent.
type content uint64

func (k content) word(i uint64) uint64 {
	z := uint64(k) + i*0x9e3779b97f4a7c15
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// fill writes the bytes from offset off on into b.
func (k content) fill(b []byte, off uint64) {
	for len(b) > 0 {
		if off&7 == 0 && len(b) >= 8 {
			binary.LittleEndian.PutUint64(b, k.word(off>>3))
			b, off = b[8:], off+8
			continue
		}
		b[0] = byte(k.word(off>>3) >> (off & 7 * 8))
		b, off = b[1:], off+1
	}
}

// check returns the position of the first byte of b that does not belong at
// offset off, or -1.
func (k content) check(b []byte, off uint64) int {
	for i := 0; i < len(b); {
		if o := off + uint64(i); o&7 == 0 && len(b)-i >= 8 && binary.LittleEndian.Uint64(b[i:]) == k.word(o>>3) {
			i += 8
		} else if b[i] == byte(k.word(o>>3)>>(o&7*8)) {
			i++
		} else {
			return i
		}
	}
	return -1
}

// A header begins every stream: what follows, and what is wanted back.
type header struct {
	kind     byte
	up, down uint64
	key      content
}

const headerLen = 25

// Kinds of header.
const (
	kindRequest byte = iota + 1 // answer after the last byte
	kindFull                    // answer while receiving
	kindPush                    // a server's answer to a unidirectional request
)

func (h header) append(b []byte) []byte {
	b = append(b, h.kind)
	b = binary.BigEndian.AppendUint64(b, h.up)
	b = binary.BigEndian.AppendUint64(b, h.down)
	return binary.BigEndian.AppendUint64(b, uint64(h.key))
}

func parseHeader(b []byte) header {
	return header{b[0], binary.BigEndian.Uint64(b[1:]), binary.BigEndian.Uint64(b[9:]), content(binary.BigEndian.Uint64(b[17:]))}
}

// answer is the key of the content sent back.
func (k content) answer() content { return k ^ 0xa5a5a5a5a5a5a5a5 }
