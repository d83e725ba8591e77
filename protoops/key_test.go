package protoops

import (
	"strings"
	"testing"
)

func TestParseSection(t *testing.T) {
	for _, tc := range []struct {
		in  string
		at  Anchor
		key Key
		err error
	}{
		{"replace/process_frame/0x42", Replace, Key{"process_frame", 0x42}, nil},
		{"replace/process_frame/66", Replace, Key{"process_frame", 66}, nil},
		{"pre/parse_frame/0x0", Pre, Key{"parse_frame", 0}, nil},
		{"post/update_rtt", Post, Plain("update_rtt"), nil},
		{"extern/org.pquic.send", Extern, Plain("org.pquic.send"), nil},
		{"", 0, Key{}, ErrAnchor},
		{"Replace/x", 0, Key{}, ErrAnchor},
		{"around/x", 0, Key{}, ErrAnchor},
		{"replace", 0, Key{}, ErrName},
		{"replace/", 0, Key{}, ErrName},
		{"replace//0x1", 0, Key{}, ErrName},
		{"replace/X", 0, Key{}, ErrName},
		{"replace/x y", 0, Key{}, ErrName},
		{"replace/" + strings.Repeat("x", 65), 0, Key{}, ErrName},
		{"replace/x/", 0, Key{}, ErrName},
		{"replace/x/0x", 0, Key{}, ErrName},
		{"replace/x/-1", 0, Key{}, ErrName},
		{"replace/x/1_0", 0, Key{}, ErrName},
		{"replace/x/1/2", 0, Key{}, ErrName},
		{"replace/x/0xffffffffffffffff", 0, Key{}, ErrName},
		{"replace/x/0x10000000000000000", 0, Key{}, ErrName},
	} {
		at, key, err := ParseSection(tc.in)
		if at != tc.at || key != tc.key {
			t.Errorf("ParseSection(%q) = %v, %v", tc.in, at, key)
		}
		wantErr(t, tc.in, err, tc.err)
	}
	_, _, err := ParseSection(strings.Repeat("x", 1<<20))
	want(t, "a hostile name is clipped", len(err.Error()) < 1000, true)
}

func TestKeyOrder(t *testing.T) {
	keys := []Key{Plain("a"), {"a", 0}, {"a", 9}, Plain("b"), {"b", 1 << 62}}
	for i := range keys {
		for j := range keys {
			want(t, keys[i].String()+" against "+keys[j].String(), keys[i].Compare(keys[j]) < 0, i < j)
		}
	}
}

func TestNames(t *testing.T) {
	want(t, "invalid anchor", Anchor(9).String(), "invalid anchor")
	want(t, "invalid kind", Kind(99).String(), "invalid")
	for in, out := range map[string]string{"RTT": "rtt", "RTTVar": "rtt_var", "MaxAckDelay": "max_ack_delay", "ID": "id",
		"N": "n", "ECT0": "ect0", "PathID": "path_id", "Smoothed_RTT": "smoothed_rtt"} {
		want(t, in, snake(in), out)
	}
}

func FuzzParseSection(f *testing.F) {
	f.Add("replace/process_frame/0x42")
	f.Add("extern/a.b")
	f.Fuzz(func(t *testing.T, s string) {
		at, k, err := ParseSection(s)
		if err != nil {
			return
		}
		at2, k2, err := ParseSection(at.String() + "/" + k.String())
		if err != nil || at2 != at || k2 != k {
			t.Errorf("%q parses to %v/%v, which parses to %v/%v, %v", s, at, k, at2, k2, err)
		}
	})
}
