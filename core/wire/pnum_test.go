package wire

import (
	"bytes"
	"testing"
)

// https://www.rfc-editor.org/rfc/rfc9000#section-a.2
func TestPacketNumberLen(t *testing.T) {
	for _, tt := range []struct {
		pn, acked uint64
		have      bool
		want      int
	}{
		{0xac5c02, 0xabe8b3, true, 2}, // the RFC's examples
		{0xace8fe, 0xabe8b3, true, 3},
		{0, 0, false, 1},
		{126, 0, false, 1},
		{127, 0, false, 2},
		{1<<15 - 2, 0, false, 2},
		{1<<15 - 1, 0, false, 3},
		{1<<23 - 1, 0, false, 4},
		{1 << 31, 0, false, 4},
		{101, 100, true, 1},
		{100 + 127, 100, true, 1},
		{100 + 128, 100, true, 2},
		{100 + 1<<15 - 1, 100, true, 2},
		{100 + 1<<15, 100, true, 3},
		{100 + 1<<23, 100, true, 4},
		{MaxVarint, MaxVarint - 1, true, 1},
	} {
		if got := PacketNumberLen(tt.pn, tt.acked, tt.have); got != tt.want {
			t.Errorf("PacketNumberLen(%#x, %#x, %v) = %d, want %d", tt.pn, tt.acked, tt.have, got, tt.want)
		}
	}
}

// https://www.rfc-editor.org/rfc/rfc9000#section-a.3
func TestDecodePacketNumber(t *testing.T) {
	for _, tt := range []struct {
		largest, truncated uint64
		n                  int
		want               uint64
	}{
		{0xa82f30ea, 0x9b32, 2, 0xa82f9b32}, // the RFC's example
		{NoPacketNumber, 0, 1, 0},
		{NoPacketNumber, 0x7f, 1, 0x7f},
		{NoPacketNumber, 0xff, 1, 0xff}, // there is nothing below 0 to move to
		{NoPacketNumber, 0xfffffffe, 4, 0xfffffffe},
		{0, 1, 1, 1},
		{127, 0, 1, 256}, // window (0, 256] around 128: both ends of it
		{127, 1, 1, 1},
		{255, 0, 1, 256},
		{255, 0x7f, 1, 0x17f},
		{255, 0x80, 1, 0x180},
		{255, 0x81, 1, 0x81},
		{256, 0xff, 1, 255},
		{0xffffff, 0, 3, 0x1000000},
		{0xffffffff, 0, 4, 0x100000000},
		{0x1ffffffff, 0xffffffff, 4, 0x1ffffffff},
		{MaxVarint - 1, 0xff, 1, MaxVarint},
		{MaxVarint - 1, 0x00, 1, MaxVarint - 255}, // there is nothing above 2^62-1 to move to
	} {
		got := DecodePacketNumber(tt.largest, tt.truncated, tt.n)
		if got != tt.want {
			t.Errorf("DecodePacketNumber(%#x, %#x, %d) = %#x, want %#x", tt.largest, tt.truncated, tt.n, got, tt.want)
		}
	}
}

// A number sent in the length PacketNumberLen chose is recovered by any receiver
// between the acknowledged and the sent packet.
func TestPacketNumberRoundTrip(t *testing.T) {
	r := newRand(2)
	for range 20000 {
		acked := randVarint(r) >> 1
		distance := 1 + r.Uint64()>>(33+r.IntN(31))
		pn := acked + distance
		have := r.IntN(8) != 0
		if !have {
			pn, acked = distance-1, 0
		}
		n := PacketNumberLen(pn, acked, have)
		b := AppendPacketNumber([]byte{0xee}, pn, n)
		if len(b) != 1+n {
			t.Fatalf("AppendPacketNumber(%d, %d) = %x", pn, n, b)
		}
		truncated := ParsePacketNumber(b[1:], n)
		receivers := []uint64{acked, pn - 1, acked + r.Uint64N(distance)}
		if !have {
			receivers = []uint64{NoPacketNumber, pn - 1}
		}
		for _, largest := range receivers {
			if got := DecodePacketNumber(largest, truncated, n); got != pn {
				t.Fatalf("%d sent in %d bytes (acked %d, %v): receiver at %d reads %d", pn, n, acked, have, largest, got)
			}
		}
	}
}

func TestAppendPacketNumber(t *testing.T) {
	for n, want := range map[int]string{1: "ef", 2: "cdef", 3: "abcdef", 4: "89abcdef"} {
		if got := AppendPacketNumber(nil, 0x0123456789abcdef, n); !bytes.Equal(got, unhex(t, want)) {
			t.Errorf("%d bytes: %x, want %s", n, got, want)
		}
	}
	mustPanic(t, "five bytes", func() { AppendPacketNumber(nil, 1, 5) })
	mustPanic(t, "no bytes", func() { AppendPacketNumber(nil, 1, 0) })
}
