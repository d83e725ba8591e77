// Package mono is the engine's notion of time: a number handed in with every
// event, never read from a clock.
//
// A Time counts nanoseconds since the Unix epoch on a clock that never goes
// back. The program that owns the clock anchors it once at the wall clock and
// advances it monotonically, so the same value serves loss timers, token
// expiry and log timestamps. Tests advance it by hand.
package mono

import (
	"math"
	"time"
)

// A Time is an instant: nanoseconds since the Unix epoch. The zero Time means
// "unset".
type Time int64

// Never is later than every other Time: a timer that does not fire.
const Never Time = math.MaxInt64

// FromTime converts a wall-clock time.
func FromTime(t time.Time) Time { return Time(t.UnixNano()) }

// Time converts t to a wall-clock time in UTC.
func (t Time) Time() time.Time { return time.Unix(0, int64(t)).UTC() }

// Add returns t+d; Never stays Never.
func (t Time) Add(d time.Duration) Time {
	if t == Never {
		return Never
	}
	return t + Time(d)
}

// Sub returns the duration t-u.
func (t Time) Sub(u Time) time.Duration { return time.Duration(t - u) }

// Before reports whether t is earlier than u.
func (t Time) Before(u Time) bool { return t < u }

// After reports whether t is later than u.
func (t Time) After(u Time) bool { return t > u }

// IsZero reports whether t is unset.
func (t Time) IsZero() bool { return t == 0 }

// Earliest returns the earlier of t and u, treating an unset Time as Never.
func Earliest(t, u Time) Time {
	switch {
	case t == 0:
		return u
	case u == 0 || t < u:
		return t
	}
	return u
}
