// Package hdr counts values in a histogram whose buckets grow with the values,
// as HdrHistogram does, with three significant digits, and prints its
// percentiles in HdrHistogram's text form and as a plot.
//
// See http://hdrhistogram.org for the form, which its plotter reads.
package hdr

import (
	"bufio"
	"fmt"
	"io"
	"math"
	"math/bits"
)

// Three significant digits need 2048 buckets of equal width from 0 on; each
// further half as many buckets are twice as wide.
const (
	subBucketBits = 11
	subBuckets    = 1 << subBucketBits
	halfBits      = subBucketBits - 1
	half          = 1 << halfBits
)

// A Histogram counts values of 0 and more. The zero Histogram is empty.
type Histogram struct {
	counts   []uint64
	total    uint64
	max      uint64
	sum      float64
	sumOfSqs float64
}

// index is the bucket of a value.
func index(v uint64) int {
	shift := max(bits.Len64(v)-subBucketBits, 0)
	return shift<<halfBits + int(v>>shift)
}

// highest is the largest value in a bucket, lowest the smallest.
func bounds(i int) (lowest, highest uint64) {
	if i < subBuckets {
		return uint64(i), uint64(i)
	}
	shift := i>>halfBits - 1
	lowest = uint64(i-shift<<halfBits) << shift
	return lowest, lowest + 1<<shift - 1
}

// Record counts a value.
func (h *Histogram) Record(v uint64) {
	i := index(v)
	if i >= len(h.counts) {
		h.counts = append(h.counts, make([]uint64, i+1-len(h.counts))...)
	}
	h.counts[i]++
	h.total++
	h.max = max(h.max, v)
	lowest, highest := bounds(i)
	middle := float64(lowest) + float64(highest-lowest)/2
	h.sum += middle
	h.sumOfSqs += middle * middle
}

// Total returns the number of values.
func (h *Histogram) Total() uint64 { return h.total }

// Max returns the largest value.
func (h *Histogram) Max() uint64 { return h.max }

// Mean returns the average, exact to three digits.
func (h *Histogram) Mean() float64 {
	if h.total == 0 {
		return 0
	}
	return h.sum / float64(h.total)
}

// StdDev returns the standard deviation of the values, all of which are there.
func (h *Histogram) StdDev() float64 {
	if h.total == 0 {
		return 0
	}
	mean := h.Mean()
	return math.Sqrt(max(0, h.sumOfSqs/float64(h.total)-mean*mean))
}

// At returns the largest value in the bucket that a percentile from 0 to 100
// falls into, 0 if there are no values.
func (h *Histogram) At(percentile float64) uint64 {
	want := max(1, uint64(math.Ceil(float64(h.total)*percentile/100)))
	var count uint64
	for i, n := range h.counts {
		if count += n; count >= want {
			_, highest := bounds(i)
			return highest
		}
	}
	return 0
}

// A Step is a point of the distribution: Percentile of the values are at most
// Value.
type Step struct {
	Value      uint64
	Percentile float64 // 0 to 100
	Count      uint64  // of the values up to Value
}

// ticks is the number of steps in each half of the distance to 100 %.
const ticks = 5

// Steps returns the distribution, more finely the nearer to 100 %.
func (h *Histogram) Steps() []Step {
	var steps []Step
	var count uint64
	next := 0.0
	for i, n := range h.counts {
		if n == 0 {
			continue
		}
		count += n
		_, highest := bounds(i)
		reached := 100 * float64(count) / float64(h.total)
		for count < h.total && next <= reached || count == h.total && next <= reached && next < 100 {
			steps = append(steps, Step{highest, next, count})
			halvings := math.Floor(math.Log2(100/(100-next))) + 1
			next += 100 / (ticks * math.Exp2(halvings))
			if count == h.total {
				break
			}
		}
	}
	if h.total > 0 {
		_, highest := bounds(index(h.max))
		steps = append(steps, Step{highest, 100, count})
	}
	return steps
}

// WriteText prints the distribution in HdrHistogram's classic form.
func (h *Histogram) WriteText(w io.Writer) error {
	b := bufio.NewWriter(w)
	fmt.Fprintf(b, "%12s %14s %10s %14s\n\n", "Value", "Percentile", "TotalCount", "1/(1-Percentile)")
	for _, s := range h.Steps() {
		if s.Percentile < 100 {
			fmt.Fprintf(b, "%12.3f %2.12f %10d %14.2f\n", float64(s.Value), s.Percentile/100, s.Count, 1/(1-s.Percentile/100))
		} else {
			fmt.Fprintf(b, "%12.3f %2.12f %10d\n", float64(s.Value), 1.0, s.Count)
		}
	}
	buckets := max(bits.Len64(h.max)-subBucketBits, 0) + 1
	fmt.Fprintf(b, "#[Mean    = %12.3f, StdDeviation   = %12.3f]\n", h.Mean(), h.StdDev())
	_, highest := bounds(index(h.max)) // what is known of the largest value, in this form
	fmt.Fprintf(b, "#[Max     = %12.3f, Total count    = %12d]\n", float64(highest), h.total)
	fmt.Fprintf(b, "#[Buckets = %12d, SubBuckets     = %12d]\n", buckets, subBuckets)
	return b.Flush()
}
