package wire

import (
	"bytes"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

func collect(f *AckFrame) (ranges []PNRange) {
	it := f.Ranges()
	for it.Next() {
		ranges = append(ranges, PNRange{it.Lo, it.Hi})
	}
	return ranges
}

func TestAckFrame(t *testing.T) {
	for _, tt := range []struct {
		hex    string
		typ    FrameType
		delay  uint64
		ranges []PNRange
		ecn    ECNCounts
	}{
		{"02 00 00 00 00", Ack, 0, []PNRange{{0, 0}}, ECNCounts{}},
		{"02 0a 4100 00 0a", Ack, 256, []PNRange{{0, 10}}, ECNCounts{}},
		// 100..98, gap of one (97), 96, gap of ten (95..86), 85..80
		{"02 4064 05 02 02 00 00 09 05", Ack, 5, []PNRange{{98, 100}, {96, 96}, {80, 85}}, ECNCounts{}},
		{"02 02 00 01 00 00 00", Ack, 0, []PNRange{{2, 2}, {0, 0}}, ECNCounts{}},
		{"02 ffffffffffffffff 00 01 00 fffffffffffffffd 00", Ack, 0, []PNRange{{MaxVarint, MaxVarint}, {0, 0}}, ECNCounts{}},
		{"03 0a 00 00 00 01 4100 02", AckECN, 0, []PNRange{{10, 10}}, ECNCounts{1, 256, 2}},
		{"03 0a 00 01 00 02 03 00 00 00", AckECN, 0, []PNRange{{10, 10}, {3, 6}}, ECNCounts{}},
	} {
		in := unhex(t, tt.hex)
		f, n := ParseAck(append(bytes.Clone(in), 0xff))
		if n != len(in) {
			t.Errorf("%s: parsed %d bytes of %d", tt.hex, n, len(in))
			continue
		}
		if got := collect(&f); !slices.Equal(got, tt.ranges) {
			t.Errorf("%s: ranges %v, want %v", tt.hex, got, tt.ranges)
		}
		last := len(tt.ranges) - 1
		if f.Largest != tt.ranges[0].Hi || f.Smallest() != tt.ranges[last].Lo || f.DelayRaw != tt.delay ||
			f.RangeCount != uint64(last) || f.FirstRange != tt.ranges[0].Hi-tt.ranges[0].Lo {
			t.Errorf("%s: parsed %+v", tt.hex, f)
		}
		if f.ECN != (tt.typ == AckECN) || f.ECT0 != tt.ecn.ECT0 || f.ECT1 != tt.ecn.ECT1 || f.CE != tt.ecn.CE {
			t.Errorf("%s: ECN %v %d %d %d, want %+v", tt.hex, f.ECN, f.ECT0, f.ECT1, f.CE, tt.ecn)
		}
		for cut := range in {
			if _, n := ParseAck(in[:cut:cut]); n != 0 {
				t.Errorf("%s: parsed its prefix of %d bytes", tt.hex, cut)
			}
		}
		if out := AppendAck(nil, tt.typ, tt.ranges, tt.delay, tt.ecn, len(in)); !bytes.Equal(out, in) {
			t.Errorf("%s: wrote %x", tt.hex, out)
		}
	}
}

func TestAckFrameMalformed(t *testing.T) {
	for _, b := range []badFrame{
		{"another type", "01 00 00 00 00"},
		{"first range reaches below 0", "02 0a 00 00 0b"},
		{"first range of 2^62-1", "02 0a 00 00 ffffffffffffffff"},
		{"gap reaches below 0", "02 0a 00 01 00 09 00"},
		{"gap of 2^62-1", "02 0a 00 01 00 ffffffffffffffff 00"},
		{"gap and length of 2^62-1", "02 0a 00 01 00 ffffffffffffffff ffffffffffffffff"},
		{"second range reaches below 0", "02 0a 00 01 00 02 07"},
		{"second range of 2^62-1", "02 0a 00 01 00 02 ffffffffffffffff"},
		{"a range below packet 0", "02 01 00 01 00 00 00"},
		{"third range reaches below 0", "02 0a 00 02 00 02 03 01 01"},
		{"fewer ranges than counted", "02 0a 00 02 00 02 03"},
		{"2^62-1 ranges", "02 0a 00 ffffffffffffffff 00 00 00"},
		{"no ECN counts", "03 0a 00 00 00"},
		{"two ECN counts", "03 0a 00 00 00 01 02"},
	} {
		in := unhex(t, b.hex)
		if f, n := ParseAck(in[:len(in):len(in)]); n != 0 {
			t.Errorf("%s (%x): parsed %d bytes as %v", b.why, in, n, collect(&f))
		}
	}
}

// randRanges returns descending, disjoint, non-adjacent ranges.
func randRanges(r *rand.Rand, n int) (ranges []PNRange) {
	next := randVarint(r)
	for range n {
		width := r.Uint64() >> (40 + r.IntN(24))
		hi := next
		lo := hi - min(hi, width)
		ranges = append(ranges, PNRange{lo, hi})
		gap := 2 + r.Uint64()>>(40+r.IntN(24))
		if lo < gap {
			break
		}
		next = lo - gap
	}
	return ranges
}

func TestAckRoundTrip(t *testing.T) {
	r := newRand(7)
	type otherRange struct{ Lo, Hi uint64 } // as another package may define it
	for range 5000 {
		ranges := randRanges(r, 1+r.IntN(80))
		typ := Ack + FrameType(r.IntN(2))
		ecn := ECNCounts{randVarint(r), randVarint(r), randVarint(r)}
		delay := randVarint(r)
		full := AppendAck(nil, typ, ranges, delay, ecn, 1<<20)
		f, n := ParseAck(full)
		if n != len(full) || f.DelayRaw != delay || !slices.Equal(collect(&f), ranges) {
			t.Fatalf("%v reads back as %v", ranges, collect(&f))
		}
		if typ == AckECN && (ECNCounts{f.ECT0, f.ECT1, f.CE}) != ecn {
			t.Fatalf("%+v reads back as %+v", ecn, f)
		}
		other := make([]otherRange, len(ranges))
		for i, r := range ranges {
			other[i] = otherRange(r)
		}
		if !bytes.Equal(AppendAck(nil, typ, other, delay, ecn, len(full)), full) {
			t.Fatalf("%v: a frame does not fit its own size", ranges)
		}

		// In less room the highest ranges stay, and as many as fit.
		maxLen := r.IntN(len(full))
		b := AppendAck([]byte{0xee}, typ, ranges, delay, ecn, maxLen)[1:]
		if len(b) > maxLen {
			t.Fatalf("%d bytes in room for %d", len(b), maxLen)
		}
		smallest := AppendAck(nil, typ, ranges[:1], delay, ecn, 1<<20)
		if len(b) == 0 {
			if maxLen >= len(smallest) {
				t.Fatalf("nothing in room for %d, the first range takes %d", maxLen, len(smallest))
			}
			continue
		}
		f, n = ParseAck(b)
		kept := int(f.RangeCount) + 1
		if n != len(b) || !slices.Equal(collect(&f), ranges[:kept]) {
			t.Fatalf("%v cut to %v", ranges, collect(&f))
		}
		if kept == len(ranges) {
			t.Fatalf("all ranges in %d bytes, they take %d", maxLen, len(full))
		}
		if next := AppendAck(nil, typ, ranges[:kept+1], delay, ecn, 1<<20); len(next) <= maxLen {
			t.Fatalf("kept %d ranges in room for %d, one more takes %d", kept, maxLen, len(next))
		}
	}
}

func TestAppendAckNothing(t *testing.T) {
	if b := AppendAck([]byte{1}, Ack, []PNRange(nil), 0, ECNCounts{}, 100); len(b) != 1 {
		t.Errorf("wrote %x without ranges", b)
	}
	for maxLen := -1; maxLen < 5; maxLen++ {
		if b := AppendAck(nil, Ack, []PNRange{{0, 0}}, 0, ECNCounts{}, maxLen); len(b) != 0 {
			t.Errorf("wrote %x in room for %d", b, maxLen)
		}
	}
}

// The number of ranges is a varint, which takes a second byte from 64 on.
func TestAppendAckCountBoundary(t *testing.T) {
	var ranges []PNRange
	for i := range uint64(100) {
		ranges = append(ranges, PNRange{300 - 2*i, 300 - 2*i})
	}
	for maxLen := range 300 {
		b := AppendAck(nil, Ack, ranges, 0, ECNCounts{}, maxLen)
		if len(b) > maxLen {
			t.Fatalf("%d bytes in room for %d", len(b), maxLen)
		}
		if f, n := ParseAck(b); n != len(b) || (n > 0 && !slices.Equal(collect(&f), ranges[:f.RangeCount+1])) {
			t.Fatalf("room for %d: wrote %x", maxLen, b)
		}
	}
}

func TestAckDelay(t *testing.T) {
	for _, tt := range []struct {
		raw, exponent uint64
		want          time.Duration
	}{
		{0, 3, 0}, {1, 3, 8 * time.Microsecond}, {1, 0, time.Microsecond}, {3125, 3, 25 * time.Millisecond},
		{1, 20, 1048576 * time.Microsecond}, {MaxVarint, 0, math.MaxInt64}, {MaxVarint, 20, math.MaxInt64},
		{math.MaxInt64 / 1000, 0, math.MaxInt64 / 1000 * time.Microsecond}, {math.MaxInt64/1000 + 1, 0, math.MaxInt64},
	} {
		got := (&AckFrame{DelayRaw: tt.raw}).Delay(tt.exponent)
		if got != tt.want {
			t.Errorf("%d with exponent %d is %v, want %v", tt.raw, tt.exponent, got, tt.want)
		}
		if raw := AckDelayRaw(got, tt.exponent); got < math.MaxInt64 && raw != tt.raw {
			t.Errorf("%v with exponent %d is %d, want %d", got, tt.exponent, raw, tt.raw)
		}
	}
	if got := AckDelayRaw(-time.Second, 3); got != 0 {
		t.Errorf("a negative delay is %d", got)
	}
	if got := AckDelayRaw(15999*time.Nanosecond, 3); got != 1 {
		t.Errorf("15.999 µs with exponent 3 is %d, want 1", got)
	}
}
