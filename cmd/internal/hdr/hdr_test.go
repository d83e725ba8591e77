package hdr

import (
	"encoding/xml"
	"errors"
	"io"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
)

func TestBucketsHoldThreeDigits(t *testing.T) {
	for v := uint64(0); v < math.MaxUint64/3; v += v/7 + 1 {
		lowest, highest := bounds(index(v))
		if v < lowest || v > highest {
			t.Fatalf("%d is in the bucket from %d to %d", v, lowest, highest)
		}
		if width := highest - lowest; float64(width) > float64(v)/1000 {
			t.Fatalf("the bucket of %d is %d wide", v, width)
		}
	}
	for i := range 40000 {
		lowest, highest := bounds(i)
		if index(lowest) != i || index(highest) != i {
			t.Fatalf("bucket %d holds %d to %d, whose buckets are %d and %d", i, lowest, highest, index(lowest), index(highest))
		}
	}
}

// The values 1 to 10, in the form that HdrHistogram's own programs print.
const oneToTen = `       Value     Percentile TotalCount 1/(1-Percentile)

       1.000 0.000000000000          1           1.00
       1.000 0.100000000000          1           1.11
       2.000 0.200000000000          2           1.25
       3.000 0.300000000000          3           1.43
       4.000 0.400000000000          4           1.67
       5.000 0.500000000000          5           2.00
       6.000 0.550000000000          6           2.22
       6.000 0.600000000000          6           2.50
       7.000 0.650000000000          7           2.86
       7.000 0.700000000000          7           3.33
       8.000 0.750000000000          8           4.00
       8.000 0.775000000000          8           4.44
       8.000 0.800000000000          8           5.00
       9.000 0.825000000000          9           5.71
       9.000 0.850000000000          9           6.67
       9.000 0.875000000000          9           8.00
       9.000 0.887500000000          9           8.89
       9.000 0.900000000000          9          10.00
      10.000 0.912500000000         10          11.43
      10.000 1.000000000000         10
#[Mean    =        5.500, StdDeviation   =        2.872]
#[Max     =       10.000, Total count    =           10]
#[Buckets =            1, SubBuckets     =         2048]
`

func TestText(t *testing.T) {
	var h Histogram
	for v := range uint64(10) {
		h.Record(v + 1)
	}
	var b strings.Builder
	if err := h.WriteText(&b); err != nil {
		t.Fatal(err)
	}
	if b.String() != oneToTen {
		t.Errorf("got:\n%s\nwant:\n%s", b.String(), oneToTen)
	}
}

// The footer's largest value is, as the last line's, the largest that its
// bucket may hold.
func TestTextOfLargeValues(t *testing.T) {
	var h Histogram
	h.Record(12384)
	var b strings.Builder
	if err := h.WriteText(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"\n   12391.000 1.000000000000          1\n", "#[Max     =    12391.000, Total count    =            1]\n", "#[Buckets =            4, "} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%q is not in\n%s", want, b.String())
		}
	}
}

func TestAt(t *testing.T) {
	var h Histogram
	if h.At(50) != 0 {
		t.Error("an empty histogram has a median")
	}
	for v := range uint64(1000) {
		h.Record(v + 1)
	}
	for percentile, want := range map[float64]uint64{0: 1, .1: 1, 50: 500, 90: 900, 99.9: 999, 100: 1000} {
		if got := h.At(percentile); got != want {
			t.Errorf("percentile %v: %d, want %d", percentile, got, want)
		}
	}
}

func TestStepsRise(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 50 {
		var h Histogram
		n := 1 + r.IntN(5000)
		for range n {
			h.Record(uint64(math.Exp(r.Float64() * 20)))
		}
		steps := h.Steps()
		for i := 1; i < len(steps); i++ {
			a, b := steps[i-1], steps[i]
			if b.Value < a.Value || b.Percentile <= a.Percentile || b.Count < a.Count {
				t.Fatalf("after %+v comes %+v", a, b)
			}
			if b.Percentile > 100*float64(b.Count)/float64(n)+1e-9 {
				t.Fatalf("%+v of %d values: the count does not reach the percentile", b, n)
			}
		}
		if last := steps[len(steps)-1]; last.Percentile != 100 || last.Count != uint64(n) || index(last.Value) != index(h.Max()) {
			t.Fatalf("the last step is %+v, the largest of %d values %d", last, n, h.Max())
		}
	}
}

func TestPlotIsXML(t *testing.T) {
	for _, values := range [][]uint64{nil, {0}, {7}, {10}, {1000, 1000}, {1, 10, 100, 1000, 123456}, {math.MaxUint32}} {
		var h Histogram
		for _, v := range values {
			h.Record(v)
		}
		var b strings.Builder
		if err := h.WriteSVG(&b, Plot{Title: "latency <of> requests & answers", Unit: "µs"}); err != nil {
			t.Fatal(err)
		}
		d := xml.NewDecoder(strings.NewReader(b.String()))
		for {
			if _, err := d.Token(); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatalf("%v: %v\n%s", values, err, b.String())
			}
		}
		if strings.Contains(b.String(), "NaN") || strings.Contains(b.String(), "Inf") {
			t.Errorf("%v: not a number in\n%s", values, b.String())
		}
		if (len(values) > 0) != strings.Contains(b.String(), "polyline") {
			t.Errorf("%v: is there a line? %s", values, b.String())
		}
	}
}

func TestEmpty(t *testing.T) {
	var h Histogram
	var b strings.Builder
	if err := h.WriteText(&b); err != nil || h.Mean() != 0 || h.StdDev() != 0 || len(h.Steps()) != 0 {
		t.Errorf("empty histogram: %v, %s", err, b.String())
	}
}
