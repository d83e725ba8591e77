package hdr

import (
	"bufio"
	"fmt"
	"html"
	"io"
	"math"
	"strconv"
)

// A Plot says what is on the axes.
type Plot struct {
	Title string
	Unit  string // of the values
}

// The plot's frame in pixels, and its colours.
const (
	plotWidth, plotHeight = 900, 480
	plotLeft, plotRight   = 90, 50
	plotTop, plotBottom   = 68, 60
	plotInnerW            = plotWidth - plotLeft - plotRight
	plotInnerH            = plotHeight - plotTop - plotBottom

	plotLine, plotGrid, plotFineGrid, plotInk, plotPale = "#0b62a4", "#cccccc", "#eeeeee", "#222222", "#666666"
)

// axes places values and percentiles. Both axes are logarithmic: latencies
// span several powers of ten, and each step to the right has ten times fewer
// values above it.
type axes struct {
	low, high float64 // values at the bottom and the top, powers of ten
	nines     float64 // the right end: one value in 10^nines is above
}

func (h *Histogram) axes() axes {
	a := axes{low: 1, high: 10, nines: 2}
	if h.total == 0 {
		return a
	}
	a.nines = max(2, math.Ceil(math.Log10(float64(h.total))))
	smallest := max(1, float64(h.At(0)))
	a.low = math.Pow(10, math.Floor(math.Log10(smallest)))
	a.high = math.Pow(10, math.Ceil(math.Log10(max(float64(h.max), smallest+1))))
	return a
}

func (a axes) x(percentile float64) float64 {
	if percentile >= 100 {
		return plotLeft + plotInnerW
	}
	return plotLeft + plotInnerW*min(1, -math.Log10(1-percentile/100)/a.nines)
}

func (a axes) y(v float64) float64 {
	v = min(max(v, a.low), a.high)
	return plotTop + plotInnerH*(1-math.Log10(v/a.low)/math.Log10(a.high/a.low))
}

// WriteSVG draws the distribution: values upwards, percentiles to the right.
func (h *Histogram) WriteSVG(w io.Writer, p Plot) error {
	a := h.axes()
	b := bufio.NewWriter(w)
	fmt.Fprintf(b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" font-family="sans-serif" font-size="13" fill="%s">`+"\n",
		plotWidth, plotHeight, plotWidth, plotHeight, plotInk)
	fmt.Fprintf(b, `<rect width="100%%" height="100%%" fill="white"/>`+"\n")
	fmt.Fprintf(b, `<text x="%d" y="28" font-size="17">%s</text>`+"\n", plotLeft, html.EscapeString(p.Title))
	fmt.Fprintf(b, `<text x="%d" y="50" fill="%s">%d values, mean %.0f, standard deviation %.0f, largest %d %s</text>`+"\n",
		plotLeft, plotPale, h.total, h.Mean(), h.StdDev(), h.max, html.EscapeString(p.Unit))
	a.writeGrid(b)
	fmt.Fprintf(b, `<text x="%d" y="%d" text-anchor="middle">percentile</text>`+"\n", plotLeft+plotInnerW/2, plotHeight-14)
	fmt.Fprintf(b, `<text x="20" y="%d" text-anchor="middle" transform="rotate(-90 20 %d)">%s</text>`+"\n",
		plotTop+plotInnerH/2, plotTop+plotInnerH/2, html.EscapeString(p.Unit))
	if h.total == 0 {
		fmt.Fprintf(b, `<text x="%d" y="%d" text-anchor="middle">no values</text>`+"\n", plotLeft+plotInnerW/2, plotTop+plotInnerH/2)
	} else {
		h.writeLine(b, a)
		h.writeMarks(b, a)
	}
	b.WriteString("</svg>\n")
	return b.Flush()
}

// writeGrid draws the lines and numbers behind the curve.
func (a axes) writeGrid(b *bufio.Writer) {
	horizontal := func(v float64, colour string) {
		fmt.Fprintf(b, `<line x1="%d" y1="%.1f" x2="%d" y2="%.1f" stroke="%s"/>`+"\n", plotLeft, a.y(v), plotLeft+plotInnerW, a.y(v), colour)
	}
	for v := a.low; v <= a.high; v *= 10 {
		for f := 2.0; f < 10 && v < a.high; f++ {
			horizontal(f*v, plotFineGrid)
		}
	}
	for v := a.low; v <= a.high; v *= 10 {
		horizontal(v, plotGrid)
		fmt.Fprintf(b, `<text x="%d" y="%.1f" text-anchor="end">%s</text>`+"\n", plotLeft-8, a.y(v)+4, strconv.FormatFloat(v, 'f', -1, 64))
	}
	vertical := func(percentile float64, digits int) {
		fmt.Fprintf(b, `<line x1="%.1f" y1="%d" x2="%.1f" y2="%d" stroke="%s"/>`+"\n", a.x(percentile), plotTop, a.x(percentile), plotTop+plotInnerH, plotGrid)
		fmt.Fprintf(b, `<text x="%.1f" y="%d" text-anchor="middle">%s%%</text>`+"\n", a.x(percentile), plotTop+plotInnerH+20, strconv.FormatFloat(percentile, 'f', digits, 64))
	}
	if a.nines <= 6 { // else there is no room between 0 and 90
		vertical(50, 0)
	}
	for i := 0; i <= int(a.nines); i++ {
		vertical(100-math.Pow(10, 2-float64(i)), max(0, i-2))
	}
}

func (h *Histogram) writeLine(b *bufio.Writer, a axes) {
	fmt.Fprintf(b, `<polyline fill="none" stroke="%s" stroke-width="2" stroke-linejoin="round" points="`, plotLine)
	for i, s := range h.Steps() {
		if i > 0 {
			b.WriteByte(' ')
		}
		fmt.Fprintf(b, "%.1f,%.1f", a.x(s.Percentile), a.y(min(float64(s.Value), float64(h.max))))
	}
	b.WriteString("\"/>\n")
}

// writeMarks writes the values of the percentiles that people ask for, as far
// as there are enough values for them to mean something.
func (h *Histogram) writeMarks(b *bufio.Writer, a axes) {
	for _, percentile := range []float64{50, 90, 99, 99.9, 99.99, 99.999} {
		if float64(h.total)*(100-percentile) < 100 {
			break
		}
		v := min(h.At(percentile), h.max)
		x, y := a.x(percentile), a.y(float64(v))
		fmt.Fprintf(b, `<circle cx="%.1f" cy="%.1f" r="4" fill="%s"/>`+"\n", x, y, plotLine)
		above := y - 10
		if above < plotTop+14 {
			above = y + 20
		}
		fmt.Fprintf(b, `<text x="%.1f" y="%.1f" text-anchor="end" stroke="white" stroke-width="4" paint-order="stroke">%d</text>`+"\n", x-2, above, v)
	}
}
