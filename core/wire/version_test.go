package wire

import "testing"

func TestVersion(t *testing.T) {
	for _, tt := range []struct {
		v               Version
		known, reserved bool
		name            string
	}{
		{Version1, true, false, "v1"},
		{Version2, true, false, "v2"},
		{0x1a2a3a4a, false, true, "0x1a2a3a4a"},
		{0xfafafafa, false, true, "0xfafafafa"},
		{0x1a2a3a4b, false, false, "0x1a2a3a4b"},
		{0xff00001d, false, false, "0xff00001d"},
		{0, false, false, "0x00000000"},
	} {
		if tt.v.Known() != tt.known || tt.v.IsReserved() != tt.reserved || tt.v.String() != tt.name {
			t.Errorf("%v: Known %v, IsReserved %v, String %q", uint32(tt.v), tt.v.Known(), tt.v.IsReserved(), tt.v)
		}
	}
	for _, seed := range []uint32{0, 1, 0x12345678, 0xffffffff} {
		if v := GreasedVersion(seed); !v.IsReserved() {
			t.Errorf("GreasedVersion(%x) = %v is not reserved", seed, v)
		}
	}
	if GreasedVersion(0x10000000) == GreasedVersion(0x20000000) {
		t.Error("GreasedVersion ignores its seed")
	}
}
