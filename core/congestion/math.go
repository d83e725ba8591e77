package congestion

import (
	"math"
	"math/bits"
)

// maxWindow bounds every congestion window: far beyond any path, small enough
// that products with small factors fit 64 bits.
const maxWindow = 1 << 48

// mulDiv is a*b/c without overflow in between; it saturates, also for c == 0.
func mulDiv(a, b, c uint64) uint64 {
	hi, lo := bits.Mul64(a, b)
	if hi >= c {
		return math.MaxUint64
	}
	q, _ := bits.Div64(hi, lo, c)
	return q
}

// flag is 1 for true.
func flag(b bool) uint32 {
	if b {
		return 1
	}
	return 0
}

// clampWindow keeps a window between the minimum and what arithmetic allows.
func (v *View) clampWindow(w uint64) uint64 {
	return min(max(w, MinWindowPackets*v.MaxDatagramSize), maxWindow)
}

// mss is MaxDatagramSize as a divisor.
func (v *View) mss() uint64 { return max(v.MaxDatagramSize, 1) }
