package recovery

import (
	"math"
	"math/bits"
	"time"

	"github.com/pquic-go/pquic/core/mono"
)

// Pacer is a token bucket that spreads packets over time. With a Rate of 0,
// its zero value, it holds nothing back.
//
// "A sender SHOULD pace sending of all in-flight packets based on input from the
// congestion controller." A burst should be at least one datagram.
// https://www.rfc-editor.org/rfc/rfc9002#section-7.7
//
// The struct holds no pointer, so plugins may see it.
type Pacer struct {
	Rate   uint64    `op:"rate" unit:"bytes/s" doc:"sending rate; 0 unlimited"`
	Burst  uint64    `op:"burst" unit:"bytes" doc:"most bytes that may leave at once after a pause"`
	Tokens int64     `op:"tokens" unit:"bytes/1e9" doc:"credit at the last update, in billionths of a byte; negative is debt"`
	Last   mono.Time `op:"last" unit:"ns" doc:"when the credit was last brought up to date; 0 before first use"`
}

// nano is the number of Tokens in a byte: with it, one nanosecond at one byte
// per second is one token and no remainder is ever lost.
const nano = 1_000_000_000

// Bounds of burst and debt, so that products with nano fit.
const (
	maxBurst = 1 << 32
	maxDebt  = math.MaxInt64 / 2
)

// Set changes rate, in bytes per second, and burst, in bytes. Credit already
// earned stays, up to the new burst; a pacer that was unlimited starts with a
// whole burst.
func (p *Pacer) Set(now mono.Time, rate, burst uint64) {
	if p.Rate == 0 {
		p.Last = 0
	}
	if !p.Last.IsZero() {
		p.refill(now)
	}
	p.Rate = rate
	p.Burst = min(burst, maxBurst)
	p.refill(now)
}

// Budget is how many bytes may leave at now.
func (p *Pacer) Budget(now mono.Time) uint64 {
	if p.Rate == 0 {
		return math.MaxUint64
	}
	p.refill(now)
	if p.Tokens <= 0 {
		return 0
	}
	return uint64(p.Tokens) / nano
}

// Consume accounts for n bytes that left at now. More than the budget may
// leave; the debt is paid before anything else leaves.
func (p *Pacer) Consume(now mono.Time, n uint64) {
	if p.Rate == 0 {
		return
	}
	p.refill(now)
	p.Tokens = max(p.Tokens-int64(min(n, maxBurst)*nano), -maxDebt)
}

// NextTime is when need bytes may leave, or Burst bytes if that is less: now
// if they may already.
func (p *Pacer) NextTime(now mono.Time, need uint64) mono.Time {
	if p.Rate == 0 {
		return now
	}
	p.refill(now)
	want := int64(min(need, p.Burst, maxBurst) * nano)
	if p.Tokens >= want {
		return now
	}
	missing := uint64(want - p.Tokens)
	wait := missing / p.Rate
	if missing%p.Rate != 0 {
		wait++
	}
	return now.Add(time.Duration(min(wait, uint64(time.Hour))))
}

// refill brings Tokens up to now.
func (p *Pacer) refill(now mono.Time) {
	full := int64(min(p.Burst, maxBurst) * nano)
	if p.Last.IsZero() {
		p.Last, p.Tokens = now, full
		return
	}
	p.Tokens = min(p.Tokens, full)
	if now <= p.Last {
		return
	}
	elapsed := uint64(now - p.Last)
	p.Last = now
	hi, earned := bits.Mul64(elapsed, p.Rate)
	if missing := uint64(full - p.Tokens); hi != 0 || earned >= missing {
		p.Tokens = full
		return
	}
	p.Tokens += int64(earned)
}
