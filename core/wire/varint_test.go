package wire

import (
	"bytes"
	"testing"
)

// https://www.rfc-editor.org/rfc/rfc9000#section-a.1
func TestVarintVectors(t *testing.T) {
	for _, tt := range []struct {
		hex     string
		v       uint64
		minimal bool
	}{
		{"c2197c5eff14e88c", 151288809941952652, true},
		{"9d7f3e7d", 494878333, true},
		{"7bbd", 15293, true},
		{"25", 37, true},
		{"4025", 37, false},
	} {
		b := unhex(t, tt.hex)
		v, n := ParseVarint(append(b, 0xff))
		if v != tt.v || n != len(b) {
			t.Errorf("ParseVarint(%s) = %d, %d; want %d, %d", tt.hex, v, n, tt.v, len(b))
		}
		if got := AppendVarintN(nil, tt.v, len(b)); !bytes.Equal(got, b) {
			t.Errorf("AppendVarintN(%d, %d) = %x, want %s", tt.v, len(b), got, tt.hex)
		}
		if got := AppendVarint(nil, tt.v); bytes.Equal(got, b) != tt.minimal {
			t.Errorf("AppendVarint(%d) = %x, the vector is %s", tt.v, got, tt.hex)
		}
	}
}

// https://www.rfc-editor.org/rfc/rfc9000#table-4
func TestVarintBoundaries(t *testing.T) {
	for _, tt := range []struct {
		v uint64
		n int
	}{
		{0, 1}, {63, 1}, {64, 2}, {16383, 2}, {16384, 4}, {1073741823, 4},
		{1073741824, 8}, {4611686018427387903, 8},
	} {
		if n := VarintLen(tt.v); n != tt.n {
			t.Errorf("VarintLen(%d) = %d, want %d", tt.v, n, tt.n)
		}
		b := AppendVarint([]byte{0xaa}, tt.v)
		if len(b) != 1+tt.n || b[0] != 0xaa {
			t.Errorf("AppendVarint(%d) = %x, want %d more bytes", tt.v, b, tt.n)
		}
		for n := tt.n; n <= 8; n *= 2 {
			b := AppendVarintN(nil, tt.v, n)
			if v, m := ParseVarint(b); v != tt.v || m != n || len(b) != n {
				t.Errorf("%d in %d bytes reads back as %d in %d", tt.v, n, v, m)
			}
			for cut := range b {
				if v, m := ParseVarint(b[:cut]); v != 0 || m != 0 {
					t.Errorf("ParseVarint(%x) = %d, %d; want nothing", b[:cut], v, m)
				}
			}
		}
	}
}

func TestVarintRoundTrip(t *testing.T) {
	r := newRand(1)
	for range 10000 {
		v := randVarint(r)
		b := AppendVarint(nil, v)
		if got, n := ParseVarint(b); got != v || n != len(b) || n != VarintLen(v) {
			t.Fatalf("%d encodes to %x and reads back as %d, %d", v, b, got, n)
		}
	}
}

func TestVarintMisuse(t *testing.T) {
	mustPanic(t, "AppendVarint of 2^62", func() { AppendVarint(nil, MaxVarint+1) })
	mustPanic(t, "VarintLen of 2^62", func() { VarintLen(MaxVarint + 1) })
	mustPanic(t, "64 in one byte", func() { AppendVarintN(nil, 64, 1) })
	mustPanic(t, "2^30 in four bytes", func() { AppendVarintN(nil, 1<<30, 4) })
	mustPanic(t, "2^62 in eight bytes", func() { AppendVarintN(nil, 1<<62, 8) })
	mustPanic(t, "three bytes", func() { AppendVarintN(nil, 1, 3) })
}
