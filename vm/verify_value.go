package vm

import (
	"math"
	"math/bits"
)

// A valueType is what the verifier knows a register or stack word to be.
type valueType uint8

const (
	unknown  valueType = iota // never written, or not on all ways here
	scalar                    // an integer, perhaps an arena address
	handle                    // a typed pointer
	conflict                  // one type on one way here, another on another
	dead                      // a handle whose object a host function may have freed
)

// value is the abstract value of a register or stack word.
type value struct {
	t        valueType
	nullable bool   // handle: may be 0
	ctx      bool   // handle: the context of the program
	shl      uint8  // scalar: the value is the symbolic one shifted left by 32 with nothing lost
	w32      bool   // scalar: only the low halves of value and symbolic value agree
	slot     uint8  // handle: its view slot if it is always the same, else 0
	kind     uint16 // handle: index in Env.Kinds
	off      int32  // handle: constant that was added

	// sym names what defined the value, 0 if nothing. Modulo 2^64 (2^32 if w32) a scalar is the symbol's value plus
	// a number in [dlo, dhi], so values of one symbol can be compared. Handles with the same symbol are copies.
	sym      uint32
	dlo, dhi int64

	// capSym, if not 0, says that the scalar is the smaller of capAt and the symbol's value (its low half if cap32):
	// what a clamp leaves behind.
	capSym uint32
	cap32  bool
	capAt  uint64

	// A scalar lies in both intervals.
	umin, umax uint64
	smin, smax int64
	// If the upper half is not known to be zero, the lower one is in [lowMin, MaxUint32-lowCut].
	lowMin, lowCut uint32
}

// What scalars were shifted left by 32.
const (
	shlNone     = iota
	shlUnsigned // a number below 2^32
	shlSigned   // a number in [-2^31, 2^31)
	shlLow      // any number, of which the low half is left
)

// symFrame is the symbol of r10. The symbols of arguments, instructions and joins follow (see function).
const symFrame = 1

func scalarRange(lo, hi uint64) value {
	v := value{t: scalar, umin: lo, umax: hi, smin: math.MinInt64, smax: math.MaxInt64}
	v.settle()
	return v
}

func signedRange(lo, hi int64) value {
	v := value{t: scalar, umax: math.MaxUint64, smin: lo, smax: hi}
	v.settle()
	return v
}

func constant(c uint64) value {
	return value{t: scalar, umin: c, umax: c, smin: int64(c), smax: int64(c)}
}

func anyScalar() value { return scalarRange(0, math.MaxUint64) }

func (v *value) isConst() bool { return v.t == scalar && v.umin == v.umax }

// isFrame reports whether v is r10 plus something known.
func (v *value) isFrame() bool {
	return v.t == scalar && v.sym == symFrame && v.shl == shlNone && !v.w32
}

// exact reports whether v is its symbol's value plus the constant dlo, in all 64 bits.
func (v *value) exact() bool {
	return v.t == scalar && v.sym != 0 && v.shl == shlNone && !v.w32 && v.dlo == v.dhi
}

// exact32 reports whether v, or its low half if w32, is its symbol's without an addition.
func (v *value) exact32() bool {
	return v.t == scalar && v.sym != 0 && v.shl == shlNone && v.dlo == 0 && v.dhi == 0 && (!v.w32 || v.fits32())
}

// empty reports whether no integer is in both intervals: the way here is impossible.
func (v *value) empty() bool { return v.t == scalar && (v.umin > v.umax || v.smin > v.smax) }

// settle lets each interval narrow the other.
func (v *value) settle() {
	if v.smin >= 0 || v.smax < 0 {
		// The sign is known: both orders agree.
		v.umin = max(v.umin, uint64(v.smin))
		v.umax = min(v.umax, uint64(v.smax))
	}
	if int64(v.umin) >= 0 == (int64(v.umax) >= 0) && v.umin <= v.umax {
		v.smin = max(v.smin, int64(v.umin))
		v.smax = min(v.smax, int64(v.umax))
	}
}

// fits32 reports whether the upper half is known to be zero.
func (v *value) fits32() bool { return v.umax <= math.MaxUint32 }

// low32 returns the value of the zero-extended low half.
func (v *value) low32() value {
	if v.fits32() {
		return *v
	}
	r := v.range32()
	if v.sym != 0 && v.shl == shlNone {
		r.sym, r.dlo, r.dhi, r.w32 = v.sym, v.dlo, v.dhi, true
	}
	return r
}

// range32IfWide is the interval of the low half.
func (v *value) range32IfWide() value {
	if v.fits32() {
		return *v
	}
	return v.range32()
}

func (v *value) range32() value {
	r := v.wideRange32()
	r.umin, r.umax = max(r.umin, uint64(v.lowMin)), min(r.umax, uint64(math.MaxUint32-v.lowCut))
	r.settle()
	return r
}

// setLow narrows the low half to an interval.
func (v *value) setLow(lo, hi uint64) {
	v.lowMin, v.lowCut = max(v.lowMin, uint32(lo)), max(v.lowCut, uint32(math.MaxUint32-hi))
}

func (v *value) wideRange32() value {
	if v.umax-v.umin <= math.MaxUint32 && uint32(v.umin) <= uint32(v.umax) {
		return scalarRange(uint64(uint32(v.umin)), uint64(uint32(v.umax)))
	}
	if v.smin >= math.MinInt32 && v.smax < 0 {
		return scalarRange(uint64(uint32(v.smin)), uint64(uint32(v.smax)))
	}
	return scalarRange(0, math.MaxUint32)
}

// signed32 returns the bounds of the low half as a signed number.
func (v *value) signed32() (lo, hi int64) {
	if v.smin >= math.MinInt32 && v.smax <= math.MaxInt32 {
		return v.smin, v.smax
	}
	l := v.range32()
	if v.fits32() {
		l = *v
	}
	if l.umax <= math.MaxInt32 || l.umin > math.MaxInt32 {
		return int64(int32(uint32(l.umin))), int64(int32(uint32(l.umax)))
	}
	return math.MinInt32, math.MaxInt32
}

func addOverflows(a, b int64) bool {
	s := a + b
	return (a >= 0) == (b >= 0) && (s >= 0) != (a >= 0)
}

// moveDelta makes v's symbolic part that of from plus [lo, hi]; it is lost if it grows too large.
func (v *value) moveDelta(from *value, lo, hi int64) {
	if from.sym == 0 || from.shl != shlNone {
		v.sym = 0
		return
	}
	v.sym, v.dlo, v.dhi, v.w32 = from.sym, from.dlo+lo, from.dhi+hi, from.w32
	if v.dlo < -deltaLimit || v.dhi > deltaLimit {
		v.sym = 0
	}
}

// deltaLimit bounds deltas so that sums of them cannot overflow.
const deltaLimit = 1 << 40

// small reports whether v can be part of a delta.
func (v *value) small() bool { return v.smin >= -deltaLimit && v.smax <= deltaLimit }

// addValues is 64-bit addition.
func addValues(a, b *value) value {
	r := value{t: scalar, smin: math.MinInt64, smax: math.MaxInt64, umax: math.MaxUint64}
	lo, c1 := bits.Add64(a.umin, b.umin, 0)
	hi, c2 := bits.Add64(a.umax, b.umax, 0)
	if c1 == c2 {
		r.umin, r.umax = lo, hi
	}
	if !addOverflows(a.smin, b.smin) && !addOverflows(a.smax, b.smax) {
		r.smin, r.smax = a.smin+b.smin, a.smax+b.smax
	}
	r.settle()
	switch {
	case a.sym != 0 && b.small() && !(b.sym != 0 && a.small() && b.smax-b.smin > a.smax-a.smin):
		r.moveDelta(a, b.smin, b.smax)
	case b.sym != 0 && a.small():
		r.moveDelta(b, a.smin, a.smax)
	}
	return r
}

// subValues is 64-bit subtraction.
func subValues(a, b *value) value {
	r := value{t: scalar, smin: math.MinInt64, smax: math.MaxInt64, umax: math.MaxUint64}
	if a.sym != 0 && a.sym == b.sym && a.shl == b.shl && a.shl == shlNone && !a.w32 && !b.w32 {
		// The symbol cancels out.
		r.smin, r.smax = a.dlo-b.dhi, a.dhi-b.dlo
		r.settle()
		return r
	}
	lo, c1 := bits.Sub64(a.umin, b.umax, 0)
	hi, c2 := bits.Sub64(a.umax, b.umin, 0)
	if c1 == c2 {
		r.umin, r.umax = lo, hi
	}
	if b.capSym != 0 && b.capSym == a.sym && b.cap32 == a.w32 && a.exact32() {
		// The subtrahend is at most a.
		r.umin, r.umax = a.umin-min(a.umin, b.capAt), a.umax-min(a.umax, b.capAt)
	}
	if b.smin != math.MinInt64 && !addOverflows(a.smin, -b.smax) && !addOverflows(a.smax, -b.smin) {
		r.smin, r.smax = a.smin-b.smax, a.smax-b.smin
	}
	r.settle()
	if a.sym != 0 && b.small() {
		r.moveDelta(a, -b.smax, -b.smin)
	}
	return r
}

func mulValues(a, b *value) value {
	if hi, lo := bits.Mul64(a.umax, b.umax); hi == 0 {
		return scalarRange(a.umin*b.umin, lo)
	}
	const lim = math.MaxInt32
	if a.smin >= -lim && a.smax <= lim && b.smin >= -lim && b.smax <= lim {
		p := [4]int64{a.smin * b.smin, a.smin * b.smax, a.smax * b.smin, a.smax * b.smax}
		return signedRange(min(p[0], p[1], p[2], p[3]), max(p[0], p[1], p[2], p[3]))
	}
	return anyScalar()
}

func divValues(a, b *value) value {
	// Division by zero gives 0.
	if b.umin == 0 {
		return scalarRange(0, a.umax)
	}
	return scalarRange(a.umin/b.umax, a.umax/b.umin)
}

func modValues(a, b *value) value {
	// Modulo by zero leaves the dividend.
	if b.umin > 0 {
		if a.umax < b.umin {
			return scalarRange(a.umin, a.umax)
		}
		return scalarRange(0, min(a.umax, b.umax-1))
	}
	return scalarRange(0, a.umax)
}

func sdivValues(a, b *value) value {
	if b.isConst() && b.smin > 0 {
		return signedRange(a.smin/b.smin, a.smax/b.smin)
	}
	if a.smin >= 0 && b.smin >= 0 {
		return divValues(a, b)
	}
	return anyScalar()
}

func smodValues(a, b *value) value {
	if a.smin >= 0 && b.smin >= 0 {
		return modValues(a, b)
	}
	if b.smin > 0 {
		// The result has the dividend's sign and is smaller than the divisor.
		return signedRange(max(-(b.smax-1), min(a.smin, 0)), min(b.smax-1, max(a.smax, 0)))
	}
	return anyScalar()
}

// onesUpTo returns the smallest 2^n - 1 that is at least x.
func onesUpTo(x uint64) uint64 {
	if x == 0 {
		return 0
	}
	return math.MaxUint64 >> bits.LeadingZeros64(x)
}

func andValues(a, b *value) value {
	if a.isConst() && b.isConst() {
		return constant(a.umin & b.umin)
	}
	r := scalarRange(0, min(a.umax, b.umax))
	// A mask of low ones that covers the other operand changes nothing.
	if b.isConst() && b.umin&(b.umin+1) == 0 && a.umax <= b.umin {
		return *a
	}
	if a.smin < 0 && b.isConst() && b.smin < 0 {
		// Clears low bits of a possibly negative number.
		r = value{t: scalar, umax: a.umax, smin: math.MinInt64, smax: a.smax}
		if a.smin > math.MinInt64-b.smin {
			r.smin = a.smin + b.smin
		}
		r.settle()
	}
	return r
}

func orValues(a, b *value) value {
	if a.isConst() && b.isConst() {
		return constant(a.umin | b.umin)
	}
	return scalarRange(max(a.umin, b.umin), onesUpTo(a.umax|b.umax))
}

func xorValues(a, b *value) value {
	if a.isConst() && b.isConst() {
		return constant(a.umin ^ b.umin)
	}
	return scalarRange(0, onesUpTo(a.umax|b.umax))
}

func lshValues(a, b *value, width uint64) value {
	if !b.isConst() {
		if b.umax < width && bits.LeadingZeros64(a.umax) >= int(b.umax) {
			return scalarRange(a.umin<<b.umin, a.umax<<b.umax)
		}
		return anyScalar()
	}
	n := b.umin & (width - 1)
	if n == 0 {
		return *a
	}
	if bits.LeadingZeros64(a.umax) >= int(n) {
		r := scalarRange(a.umin<<n, a.umax<<n)
		if n == 32 && width == 64 {
			r.keepShifted(a, shlUnsigned)
		}
		return r
	}
	if a.smin >= math.MinInt64>>n && a.smax <= math.MaxInt64>>n {
		r := signedRange(a.smin<<n, a.smax<<n)
		if n == 32 && width == 64 {
			r.keepShifted(a, shlSigned)
		}
		return r
	}
	r := anyScalar()
	if n == 32 && width == 64 {
		r.keepShifted(a, shlLow)
	}
	return r
}

// keepShifted notes that v is a << 32.
func (v *value) keepShifted(a *value, how uint8) {
	if a.w32 {
		how = shlLow
	}
	if a.sym != 0 && a.shl == shlNone {
		v.sym, v.dlo, v.dhi, v.shl = a.sym, a.dlo, a.dhi, how
	}
}

// unshift takes back the shift of a, if a right shift of the given kind did.
func (v *value) unshift(a *value, how uint8) {
	if a.shl == how || (a.shl == shlUnsigned || a.shl == shlSigned) && a.smin >= 0 {
		v.sym, v.dlo, v.dhi = a.sym, a.dlo, a.dhi
	} else if a.shl == shlLow && how == shlUnsigned {
		v.sym, v.dlo, v.dhi, v.w32 = a.sym, a.dlo, a.dhi, true
	}
}

func rshValues(a, b *value, width uint64) value {
	if !b.isConst() {
		return scalarRange(0, a.umax)
	}
	n := b.umin & (width - 1)
	if n == 0 {
		return *a
	}
	r := scalarRange(a.umin>>n, a.umax>>n)
	if n == 32 && width == 64 {
		r.unshift(a, shlUnsigned)
	}
	return r
}

func arshValues(a, b *value, width uint64) value {
	if !b.isConst() {
		return signedRange(min(a.smin, 0), max(a.smax, 0))
	}
	n := b.umin & (width - 1)
	if n == 0 {
		return *a
	}
	r := signedRange(a.smin>>n, a.smax>>n)
	if n == 32 && width == 64 {
		r.unshift(a, shlSigned)
	}
	return r
}
