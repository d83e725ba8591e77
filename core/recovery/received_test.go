package recovery

import (
	"slices"
	"testing"
)

func TestReceivedRanges(t *testing.T) {
	for _, test := range []struct {
		name string
		add  []uint64
		want []Range
	}{
		{"nothing", nil, nil},
		{"in order", []uint64{0, 1, 2}, []Range{{0, 2}}},
		{"gap", []uint64{0, 1, 5}, []Range{{5, 5}, {0, 1}}},
		{"gap filled", []uint64{0, 2, 1}, []Range{{0, 2}}},
		{"extended downwards", []uint64{9, 5, 4}, []Range{{9, 9}, {4, 5}}},
		{"extended upwards below the largest", []uint64{9, 4, 5}, []Range{{9, 9}, {4, 5}}},
		{"between two ranges", []uint64{1, 9, 5}, []Range{{9, 9}, {5, 5}, {1, 1}}},
		{"below all", []uint64{9, 7, 3}, []Range{{9, 9}, {7, 7}, {3, 3}}},
		{"reverse order", []uint64{3, 2, 1, 0}, []Range{{0, 3}}},
		{"top of the number space", []uint64{1<<62 - 1, 1<<62 - 2}, []Range{{1<<62 - 2, 1<<62 - 1}}},
	} {
		var r Received
		for _, pn := range test.add {
			if r.Add(pn) {
				t.Errorf("%s: Add(%d) says duplicate", test.name, pn)
			}
		}
		if !slices.Equal(r.Ranges(), test.want) {
			t.Errorf("%s: ranges %v, want %v", test.name, r.Ranges(), test.want)
		}
		for _, pn := range test.add {
			if !r.Contains(pn) || !r.Add(pn) {
				t.Errorf("%s: %d received again is not a duplicate", test.name, pn)
			}
		}
		if r.Empty() != (len(test.add) == 0) {
			t.Errorf("%s: Empty() = %v", test.name, r.Empty())
		}
	}
}

func TestReceivedForgetsOldestRange(t *testing.T) {
	var r Received
	for i := range uint64(MaxRanges + 1) {
		r.Add(10 + 2*i)
	}
	if len(r.Ranges()) != MaxRanges {
		t.Fatalf("%d ranges kept, want %d", len(r.Ranges()), MaxRanges)
	}
	if !r.Add(10) || !r.Add(3) {
		t.Error("numbers at or below a forgotten range are not duplicates")
	}
	if r.Add(11) {
		t.Error("number above the forgotten range is a duplicate")
	}
	if r.Add(1000) {
		t.Error("new largest number is a duplicate")
	}
}

func TestReceivedForgetBelow(t *testing.T) {
	var r Received
	for _, pn := range []uint64{1, 2, 3, 7, 8, 9} {
		r.Add(pn)
	}
	r.ForgetBelow(3)
	if want := []Range{{7, 9}, {3, 3}}; !slices.Equal(r.Ranges(), want) {
		t.Errorf("ranges %v, want %v", r.Ranges(), want)
	}
	r.ForgetBelow(9)
	r.ForgetBelow(4) // lower than before: no effect
	if want := []Range{{9, 9}}; !slices.Equal(r.Ranges(), want) {
		t.Errorf("ranges %v, want %v", r.Ranges(), want)
	}
	if !r.Add(5) || !r.Contains(5) {
		t.Error("forgotten gap is not a duplicate")
	}
	r.ForgetBelow(100)
	if !r.Empty() {
		t.Errorf("ranges %v after forgetting all", r.Ranges())
	}
	if pn, ok := r.Largest(); pn != 9 || !ok {
		t.Errorf("Largest() = %d, %v after forgetting all; packet numbers are decoded against it", pn, ok)
	}
	if r.Add(150) {
		t.Error("new number after forgetting all is a duplicate")
	}
	if pn, _ := r.Largest(); pn != 150 {
		t.Errorf("Largest() = %d, want 150", pn)
	}
}

// FuzzReceived holds Received to a plain set.
func FuzzReceived(f *testing.F) {
	f.Add([]byte{0, 1, 2, 3}, uint8(4))
	f.Add([]byte{9, 7, 5, 3, 8, 6, 4}, uint8(2))
	f.Add([]byte{1, 3, 5, 7, 9, 11, 200, 2, 4}, uint8(3))
	f.Add([]byte{255, 0, 254, 1}, uint8(0))
	f.Fuzz(func(t *testing.T, data []byte, limit uint8) {
		var r Received
		r.SetLimit(int(limit))
		seen := make(map[uint64]bool)
		var floor uint64
		for i, b := range data {
			pn := uint64(b)
			if i%7 == 6 {
				r.ForgetBelow(pn)
				floor = max(floor, pn)
				continue
			}
			dup := r.Add(pn)
			if seen[pn] && !dup {
				t.Fatalf("Add(%d) accepted it twice", pn)
			}
			if pn < floor && !dup {
				t.Fatalf("Add(%d) accepted a forgotten number", pn)
			}
			if !dup {
				seen[pn] = true
			}
		}
		ranges := r.Ranges()
		if len(ranges) > max(int(limit), 1) {
			t.Fatalf("%d ranges with a limit of %d", len(ranges), limit)
		}
		for i, g := range ranges {
			if g.Lo > g.Hi || i > 0 && g.Hi+1 >= ranges[i-1].Lo {
				t.Fatalf("ranges out of order: %v", ranges)
			}
			for pn := g.Lo; pn <= g.Hi; pn++ {
				if !seen[pn] {
					t.Fatalf("%d reported but never received: %v", pn, ranges)
				}
			}
		}
	})
}
