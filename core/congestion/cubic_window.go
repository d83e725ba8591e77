package congestion

import "math"

const (
	cubicC    = 0.4 // segments per second cubed
	cubicBeta = 0.7
	// cubicGentleBeta is the most that a loss leaves; see cubic.backoff.
	cubicGentleBeta = 0.85

	// cubicAlpha makes an AIMD sender that keeps 0.7 of its window on
	// congestion as fast as Reno, which keeps half.
	// https://www.rfc-editor.org/rfc/rfc9438#section-4.3
	cubicAlpha = 3 * (1 - cubicBeta) / (1 + cubicBeta)
)

// cubicCurve is the window function of one congestion avoidance stage. Windows
// are in bytes, times in seconds. Products are converted explicitly so that no
// architecture fuses them and a run replays alike everywhere.
// https://www.rfc-editor.org/rfc/rfc9438#section-4.2
type cubicCurve struct {
	wMax float64 // plateau: the window before the newest reduction
	k    float64 // when the plateau is reached
	wEst float64 // the window that Reno would have by now
	mss  float64
}

// start begins a stage at window cwnd.
func (c *cubicCurve) start(cwnd, mss float64) {
	c.mss = mss
	c.wEst = cwnd
	if c.wMax <= cwnd {
		// No reduction came before, as after HyStart++, or the window is
		// beyond the plateau already.
		c.wMax, c.k = cwnd, 0
		return
	}
	c.k = math.Cbrt((c.wMax - cwnd) / (cubicC * mss))
}

// at is the window at time t since the start of the stage.
func (c *cubicCurve) at(t float64) float64 {
	d := t - c.k
	return float64(cubicC*c.mss*d*d*d) + c.wMax
}

// target is the window to aim at for the end of a round trip that ends at t.
//
// The bounds keep the window from shrinking, and from growing faster than in
// slow start.
// https://www.rfc-editor.org/rfc/rfc9438#section-4.2
func (c *cubicCurve) target(t, cwnd float64) float64 {
	return min(max(c.at(t), cwnd), 1.5*cwnd)
}

// estimate moves on the Reno-friendly window by acked bytes and returns it.
// prior is the window before the newest reduction.
// https://www.rfc-editor.org/rfc/rfc9438#section-4.3
func (c *cubicCurve) estimate(acked, cwnd, prior float64) float64 {
	alpha := cubicAlpha
	if c.wEst >= prior {
		alpha = 1
	}
	c.wEst += float64(alpha * c.mss * acked / cwnd)
	return c.wEst
}

// reduce records a congestion event at window cwnd: the plateau of the next
// stage. A window below the plateau of the stage now ending means that others
// came in, and more room is made for them.
// https://www.rfc-editor.org/rfc/rfc9438#section-4.7
func (c *cubicCurve) reduce(cwnd float64) {
	if cwnd < c.wMax {
		c.wMax = cwnd * (1 + cubicBeta) / 2
	} else {
		c.wMax = cwnd
	}
}
