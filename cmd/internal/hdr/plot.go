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

// The plot's frame in pixels.
const (
	plotWidth, plotHeight       = 900, 480
	plotLeft, plotRight         = 90, 30
	plotTop, plotBottom         = 50, 60
	plotInnerW                  = plotWidth - plotLeft - plotRight
	plotInnerH                  = plotHeight - plotTop - plotBottom
	plotLine, plotGrid, plotInk = "#0b62a4", "#d8d8d8", "#222222"
)

// WriteSVG draws the distribution: values upwards, and to the right the
// percentiles, each step of equal width having ten times fewer values above.
func (h *Histogram) WriteSVG(w io.Writer, p Plot) error {
	steps := h.Steps()
	nines := 2.0 // the axis ends where one value in 10^nines is above
	if h.total > 0 {
		nines = max(nines, math.Ceil(math.Log10(float64(h.total))))
	}
	top := niceCeiling(float64(h.max))
	x := func(percentile float64) float64 {
		if percentile >= 100 {
			return plotLeft + plotInnerW
		}
		return plotLeft + plotInnerW*min(1, -math.Log10(1-percentile/100)/nines)
	}
	y := func(v float64) float64 { return plotTop + plotInnerH*(1-v/top) }

	b := bufio.NewWriter(w)
	fmt.Fprintf(b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" font-family="sans-serif" font-size="13" fill="%s">`+"\n",
		plotWidth, plotHeight, plotWidth, plotHeight, plotInk)
	fmt.Fprintf(b, `<rect width="100%%" height="100%%" fill="white"/>`+"\n")
	fmt.Fprintf(b, `<text x="%d" y="28" font-size="17">%s</text>`+"\n", plotLeft, html.EscapeString(p.Title))
	for i := range 6 {
		v := top * float64(i) / 5
		fmt.Fprintf(b, `<line x1="%d" y1="%.1f" x2="%d" y2="%.1f" stroke="%s"/>`+"\n", plotLeft, y(v), plotLeft+plotInnerW, y(v), plotGrid)
		fmt.Fprintf(b, `<text x="%d" y="%.1f" text-anchor="end">%s</text>`+"\n", plotLeft-8, y(v)+4, strconv.FormatFloat(v, 'f', -1, 64))
	}
	for i := 0; i <= int(nines); i++ {
		percentile := 100 - math.Pow(10, 2-float64(i))
		fmt.Fprintf(b, `<line x1="%.1f" y1="%d" x2="%.1f" y2="%d" stroke="%s"/>`+"\n", x(percentile), plotTop, x(percentile), plotTop+plotInnerH, plotGrid)
		fmt.Fprintf(b, `<text x="%.1f" y="%d" text-anchor="middle">%s%%</text>`+"\n", x(percentile), plotTop+plotInnerH+20,
			strconv.FormatFloat(percentile, 'f', max(0, i-2), 64))
	}
	fmt.Fprintf(b, `<text x="%d" y="%d" text-anchor="middle">percentile</text>`+"\n", plotLeft+plotInnerW/2, plotHeight-14)
	fmt.Fprintf(b, `<text x="20" y="%d" text-anchor="middle" transform="rotate(-90 20 %d)">%s</text>`+"\n",
		plotTop+plotInnerH/2, plotTop+plotInnerH/2, html.EscapeString(p.Unit))
	if len(steps) > 0 {
		fmt.Fprintf(b, `<polyline fill="none" stroke="%s" stroke-width="2" points="`, plotLine)
		for i, s := range steps {
			if i > 0 {
				b.WriteByte(' ')
			}
			fmt.Fprintf(b, "%.1f,%.1f", x(s.Percentile), y(min(float64(s.Value), top)))
		}
		b.WriteString("\"/>\n")
	} else {
		fmt.Fprintf(b, `<text x="%d" y="%d" text-anchor="middle">no values</text>`+"\n", plotLeft+plotInnerW/2, plotTop+plotInnerH/2)
	}
	b.WriteString("</svg>\n")
	return b.Flush()
}

// niceCeiling is the next of 1, 2, 2.5, 5 and 10 times a power of ten, so that
// a fifth of it is a round number as well.
func niceCeiling(v float64) float64 {
	if v <= 0 {
		return 5
	}
	power := math.Pow(10, math.Floor(math.Log10(v)))
	for _, f := range []float64{1, 2, 2.5, 5} {
		if v <= f*power {
			return f * power
		}
	}
	return 10 * power
}
