package wire

import (
	"math"
	"time"
)

// An AckFrame acknowledges packets. Its ranges stay a view of the packet and
// are walked by Ranges.
// https://www.rfc-editor.org/rfc/rfc9000#section-19.3
type AckFrame struct {
	Largest    uint64 // Largest Acknowledged
	DelayRaw   uint64 // ACK Delay, in units of 2^ack_delay_exponent microseconds of the sender
	FirstRange uint64 // First ACK Range: packets before Largest that are acknowledged too
	RangeCount uint64 // ACK Range Count: ranges after the first

	ECN  bool // type 0x03: the counts below are present
	ECT0 uint64
	ECT1 uint64
	CE   uint64

	ranges []byte // Gap and ACK Range Length, RangeCount times, validated
}

// ECNCounts are the counts of an ACK frame of type 0x03: packets received so
// far with each codepoint.
// https://www.rfc-editor.org/rfc/rfc9000#section-19.3.2
type ECNCounts struct {
	ECT0, ECT1, CE uint64
}

// A PNRange is a range of packet numbers, both ends included.
type PNRange struct{ Lo, Hi uint64 }

// ParseAck parses the ACK frame (type 0x02 or 0x03) at the start of b. All
// ranges are checked, so that walking them cannot fail.
func ParseAck(b []byte) (f AckFrame, n int) {
	if !isType(b, Ack) && !isType(b, AckECN) {
		return f, 0
	}
	return ParseAckBody(b, 1, b[0] == byte(AckECN))
}

// ParseAckBody parses what follows the type of an ACK frame from b[at:] on, with
// ECN counts if ecn is set: for extensions whose acknowledgments have the same
// body after fields of their own. at must be positive. n is where the body ends
// in b, 0 if it is malformed.
func ParseAckBody(b []byte, at int, ecn bool) (f AckFrame, n int) {
	if at <= 0 || at > len(b) {
		return f, 0
	}
	r := reader{b: b, n: at}
	f.Largest = r.varint()
	f.DelayRaw = r.varint()
	f.RangeCount = r.varint()
	f.FirstRange = r.varint()
	// "If any computed packet number is negative, an endpoint MUST generate a
	// connection error of type FRAME_ENCODING_ERROR."
	// https://www.rfc-editor.org/rfc/rfc9000#section-19.3.1
	if r.n == 0 || f.FirstRange > f.Largest {
		return AckFrame{}, 0
	}
	start := r.n
	smallest := f.Largest - f.FirstRange
	// Each range takes at least two bytes, so a false count ends the loop at the
	// end of the packet.
	for range f.RangeCount {
		gap := r.varint()
		length := r.varint()
		// gap and length are below 2^62, so neither sum overflows.
		if r.n == 0 || gap+length+2 > smallest {
			return AckFrame{}, 0
		}
		smallest -= gap + length + 2
	}
	f.ranges = b[start:r.n:r.n]
	if ecn {
		f.ECN = true
		f.ECT0 = r.varint()
		f.ECT1 = r.varint()
		f.CE = r.varint()
		if r.n == 0 {
			return AckFrame{}, 0
		}
	}
	return f, r.n
}

// Delay returns the ACK Delay; exponent is the ack_delay_exponent of the frame's
// sender, at most MaxAckDelayExponent. A delay too long for a Duration is cut.
// https://www.rfc-editor.org/rfc/rfc9000#section-19.3
func (f *AckFrame) Delay(exponent uint64) time.Duration {
	const most = uint64(math.MaxInt64 / time.Microsecond)
	if f.DelayRaw > most>>exponent {
		return math.MaxInt64
	}
	return time.Duration(f.DelayRaw<<exponent) * time.Microsecond
}

// AckDelayRaw returns the value of the ACK Delay field for delay d, rounded
// down; exponent is this endpoint's ack_delay_exponent. A negative d counts as 0.
func AckDelayRaw(d time.Duration, exponent uint64) uint64 {
	return uint64(max(d, 0)/time.Microsecond) >> exponent
}

// Ranges returns an iterator over all acknowledged ranges, highest first.
func (f *AckFrame) Ranges() AckRanges {
	return AckRanges{rest: f.ranges, next: f.Largest, length: f.FirstRange, more: true}
}

// Smallest returns the smallest packet number acknowledged.
func (f *AckFrame) Smallest() uint64 {
	it := f.Ranges()
	for it.Next() {
	}
	return it.Lo
}

// AckRanges iterates over the ranges of an ACK frame: call Next before reading
// Lo and Hi, until it reports false. Both ends are included.
type AckRanges struct {
	Lo, Hi uint64

	rest   []byte
	next   uint64 // Hi of the coming range
	length uint64 // its ACK Range Length
	more   bool
}

// Next advances to the next lower range and reports whether there was one.
func (it *AckRanges) Next() bool {
	if !it.more {
		return false
	}
	it.Hi, it.Lo = it.next, it.next-it.length
	if len(it.rest) == 0 {
		it.more = false
		return true
	}
	gap, n := ParseVarint(it.rest)
	length, m := ParseVarint(it.rest[n:])
	it.rest = it.rest[n+m:]
	it.next, it.length = it.Lo-gap-2, length
	return true
}

// AppendAck appends an ACK frame of at most maxLen bytes; typ is Ack or AckECN,
// and ecn is written for the latter only. ranges are descending, disjoint and
// not adjacent, at least one; delayRaw is in units of 2^ack_delay_exponent
// microseconds. The lowest ranges are left out if there is no room for all. If
// there is no room for the first, b is returned as it was.
//
// R is PNRange or any type of the same shape.
func AppendAck[R ~struct{ Lo, Hi uint64 }](b []byte, typ FrameType, ranges []R, delayRaw uint64, ecn ECNCounts, maxLen int) []byte {
	if len(ranges) == 0 {
		return b
	}
	n := len(b)
	b = AppendAckBody(append(b, byte(typ)), ranges, delayRaw, ecn, typ == AckECN, maxLen-1)
	if len(b) == n+1 {
		return b[:n]
	}
	return b
}

// AppendAckBody appends what follows the type of an ACK frame, at most maxLen
// bytes of it, with ECN counts if counts is set; nothing if there is no room.
// See AppendAck.
func AppendAckBody[R ~struct{ Lo, Hi uint64 }](b []byte, ranges []R, delayRaw uint64, ecn ECNCounts, counts bool, maxLen int) []byte {
	if len(ranges) == 0 {
		return b
	}
	first := PNRange(ranges[0])
	room := maxLen - VarintLen(first.Hi) - VarintLen(delayRaw) - VarintLen(first.Hi-first.Lo)
	if counts {
		room -= ecn.len()
	}
	count, room := fitAckRanges(ranges, room)
	if room < 0 {
		return b
	}

	b = AppendVarint(b, first.Hi)
	b = AppendVarint(b, delayRaw)
	b = AppendVarint(b, uint64(count))
	b = AppendVarint(b, first.Hi-first.Lo)
	smallest := first.Lo
	for i := 1; i <= count; i++ {
		r := PNRange(ranges[i])
		b = AppendVarint(b, smallest-r.Hi-2)
		b = AppendVarint(b, r.Hi-r.Lo)
		smallest = r.Lo
	}
	if counts {
		b = AppendVarint(b, ecn.ECT0)
		b = AppendVarint(b, ecn.ECT1)
		b = AppendVarint(b, ecn.CE)
	}
	return b
}

// fitAckRanges returns how many ranges after the first fit into room, which
// also has to hold their count, and the room left; that is negative if even
// the count does not fit.
func fitAckRanges[R ~struct{ Lo, Hi uint64 }](ranges []R, room int) (count, left int) {
	used := 0
	for count+1 < len(ranges) {
		prev, r := PNRange(ranges[count]), PNRange(ranges[count+1])
		size := VarintLen(prev.Lo-r.Hi-2) + VarintLen(r.Hi-r.Lo)
		if used+size+VarintLen(uint64(count+1)) > room {
			break
		}
		used += size
		count++
	}
	return count, room - used - VarintLen(uint64(count))
}

func (c ECNCounts) len() int { return VarintLen(c.ECT0) + VarintLen(c.ECT1) + VarintLen(c.CE) }
