package http3

import "time"

// A limiter is a token bucket: it bounds how often the peer may do something
// that costs this end more than it costs the peer.
type limiter struct {
	rate   float64 // tokens gained per second
	burst  float64 // tokens held at most, and at the start
	tokens float64
	last   time.Time
}

func newLimiter(rate, burst float64) limiter {
	return limiter{rate: rate, burst: burst, tokens: burst}
}

// take spends one token and reports whether there was one.
func (l *limiter) take(now time.Time) bool {
	if d := now.Sub(l.last); !l.last.IsZero() && d > 0 {
		l.tokens = min(l.burst, l.tokens+l.rate*d.Seconds())
	}
	l.last = now
	if l.tokens < 1 {
		return false
	}
	l.tokens--
	return true
}
