package vm

import "math"

// compare decides or refines a comparison of a with b for one outcome: it narrows both to what makes "a op b" equal
// taken and reports whether that is possible at all.
func compare(op uint8, narrow bool, a, b *value, taken bool) bool {
	if !taken {
		op = negated(op)
	}
	if op == JmpSET || op == opClear {
		return compareBits(op, narrow, a, b)
	}
	if !narrow {
		return refine(op, a, b)
	}
	if signedCompare(op) {
		return refineSigned32(op, a, b)
	}
	if a.fits32() && b.fits32() {
		return refine(op, a, b)
	}
	x, y := a.low32(), b.low32()
	ok := refine(op, &x, &y)
	keepLow(a, &x)
	keepLow(b, &y)
	return ok
}

// keepLow notes what a comparison of low halves showed of v.
func keepLow(v, low *value) {
	if v.fits32() {
		v.umin, v.umax = max(v.umin, low.umin), min(v.umax, low.umax)
		v.settle()
	} else {
		v.setLow(low.umin, low.umax)
	}
}

// opClear is the negation of JmpSET.
const opClear = 0xf0

func negated(op uint8) uint8 {
	switch op {
	case JmpEQ:
		return JmpNE
	case JmpNE:
		return JmpEQ
	case JmpGT:
		return JmpLE
	case JmpGE:
		return JmpLT
	case JmpLT:
		return JmpGE
	case JmpLE:
		return JmpGT
	case JmpSGT:
		return JmpSLE
	case JmpSGE:
		return JmpSLT
	case JmpSLT:
		return JmpSGE
	case JmpSLE:
		return JmpSGT
	}
	return opClear
}

func signedCompare(op uint8) bool {
	return op == JmpSGT || op == JmpSGE || op == JmpSLT || op == JmpSLE
}

func compareBits(op uint8, narrow bool, a, b *value) bool {
	x, y := *a, *b
	if narrow {
		x, y = a.low32(), b.low32()
	}
	if op == JmpSET {
		if x.isConst() && y.isConst() {
			return x.umin&y.umin != 0
		}
		if x.umax == 0 || y.umax == 0 {
			return false
		}
		if !narrow || a.fits32() {
			a.umin = max(a.umin, 1)
			a.settle()
		}
		return !a.empty()
	}
	return !(x.isConst() && y.isConst() && x.umin&y.umin != 0)
}

// refine narrows both sides to a op b in 64 bits.
func refine(op uint8, a, b *value) bool {
	switch op {
	case JmpEQ:
		a.umin, a.umax = max(a.umin, b.umin), min(a.umax, b.umax)
		a.smin, a.smax = max(a.smin, b.smin), min(a.smax, b.smax)
		b.umin, b.umax, b.smin, b.smax = a.umin, a.umax, a.smin, a.smax
	case JmpNE:
		if a.isConst() && b.isConst() && a.umin == b.umin {
			return false
		}
		exclude(a, b)
		exclude(b, a)
	case JmpGT:
		return refine(JmpLT, b, a)
	case JmpGE:
		return refine(JmpLE, b, a)
	case JmpLT:
		if b.umax == 0 || a.umin == math.MaxUint64 {
			return false
		}
		a.umax = min(a.umax, b.umax-1)
		b.umin = max(b.umin, a.umin+1)
	case JmpLE:
		a.umax = min(a.umax, b.umax)
		b.umin = max(b.umin, a.umin)
	case JmpSGT:
		return refine(JmpSLT, b, a)
	case JmpSGE:
		return refine(JmpSLE, b, a)
	case JmpSLT:
		if b.smax == math.MinInt64 || a.smin == math.MaxInt64 {
			return false
		}
		a.smax = min(a.smax, b.smax-1)
		b.smin = max(b.smin, a.smin+1)
	case JmpSLE:
		a.smax = min(a.smax, b.smax)
		b.smin = max(b.smin, a.smin)
	}
	a.settle()
	b.settle()
	return !a.empty() && !b.empty()
}

// exclude narrows a by a != b.
func exclude(a, b *value) {
	if !b.isConst() {
		return
	}
	if a.umin == b.umin && a.umin < math.MaxUint64 {
		a.umin++
	}
	if a.umax == b.umin && a.umax > 0 {
		a.umax--
	}
	if a.smin == b.smin && a.smin < math.MaxInt64 {
		a.smin++
	}
	if a.smax == b.smin && a.smax > math.MinInt64 {
		a.smax--
	}
}

// refineSigned32 narrows both sides by a signed comparison of the low halves.
func refineSigned32(op uint8, a, b *value) bool {
	al, ah := a.signed32()
	bl, bh := b.signed32()
	x, y := signedRange(al, ah), signedRange(bl, bh)
	if !refine(op, &x, &y) {
		return false
	}
	intersect32(a, &x)
	intersect32(b, &y)
	return !a.empty() && !b.empty()
}

// intersect32 narrows v, if its upper half is zero, to a low half that is s as a signed number.
func intersect32(v, s *value) {
	if s.smin < 0 && s.smax >= 0 {
		return
	}
	if !v.fits32() {
		v.setLow(uint64(uint32(s.smin)), uint64(uint32(s.smax)))
	} else {
		v.umin = max(v.umin, uint64(uint32(s.smin)))
		v.umax = min(v.umax, uint64(uint32(s.smax)))
		v.settle()
	}
}
