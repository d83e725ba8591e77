package wire

import (
	"bytes"
	"testing"
)

func TestConnID(t *testing.T) {
	raw := unhex(t, "000102030405060708090a0b0c0d0e0f10111213")
	seen := make(map[ConnID]int)
	for n := 0; n <= MaxConnIDLen; n++ {
		c, ok := MakeConnID(raw[:n])
		if !ok || c.Len() != n {
			t.Fatalf("MakeConnID of %d bytes: %v, length %d", n, ok, c.Len())
		}
		if got := c.AppendTo([]byte{0xff}); !bytes.Equal(got[1:], raw[:n]) {
			t.Errorf("AppendTo = %x, want %x behind the first byte", got, raw[:n])
		}
		if !c.EqualBytes(raw[:n]) || c.EqualBytes(append([]byte{9}, raw[:n]...)) {
			t.Errorf("EqualBytes is wrong for %s", c)
		}
		// Lengths differ though a zero byte follows: equality has to see it.
		seen[c] = n
		if n > 0 && c.At(n-1) != raw[n-1] {
			t.Errorf("At(%d) = %d", n-1, c.At(n-1))
		}
	}
	if len(seen) != MaxConnIDLen+1 {
		t.Errorf("%d distinct map keys, want %d", len(seen), MaxConnIDLen+1)
	}
	if _, ok := MakeConnID(make([]byte, MaxConnIDLen+1)); ok {
		t.Error("MakeConnID took 21 bytes")
	}
	if s := mustConnID(t, "8394c8f03e515708").String(); s != "8394c8f03e515708" {
		t.Errorf("String = %q", s)
	}
	mustPanic(t, "At beyond the end", func() { mustConnID(t, "01").At(1) })
}
