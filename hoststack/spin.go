package hoststack

import "time"

// A spinner decides whether a worker that has nothing to do looks for work for
// a moment before it sleeps. Waking a sleeping processor takes several times as
// long as a round trip between neighbours, so between a question and its answer
// looking pays. It does not for bulk data, which arrives in better batches if
// left alone, nor for sparse traffic: there it fails, wastes power, and delays
// whatever else wants the processor.
//
// While a worker sleeps, the time it takes to wake is part of every wait; hence
// two thresholds. Failures make the next attempt wait for longer.
type spinner struct {
	on      bool
	good    int // while off: short waits in a row
	misses  int // while on: failures in a row
	penalty int // short waits needed in addition, after failures
}

const (
	// spinTime is how long a worker looks: about what a wake-up costs.
	spinTime = 40 * time.Microsecond
	// spinHope is a wait, wake-up included, that spinning might have shortened.
	spinHope = 120 * time.Microsecond
	// spinAfter is how many such waits in a row make a worker try.
	spinAfter = 4
	// spinMisses is how many failures in a row make it stop.
	spinMisses = 3
	// maxSpinPenalty bounds what failures cost.
	maxSpinPenalty = 512
	// spinBytes: larger batches are bulk.
	spinBytes = 8 << 10
)

// judge learns from a wait: whether it began with a spin that found something,
// how long it was, how many bytes it brought.
func (s *spinner) judge(found bool, waited time.Duration, bytes int) {
	switch {
	case s.on && found && bytes <= spinBytes:
		s.misses, s.penalty = 0, 0
	case s.on:
		if s.misses++; s.misses >= spinMisses || bytes > spinBytes {
			s.on, s.good, s.misses = false, 0, 0
			s.penalty = min(2*s.penalty+spinAfter, maxSpinPenalty)
		}
	case waited <= spinHope && bytes <= spinBytes:
		if s.good++; s.good >= spinAfter+s.penalty {
			s.on, s.good = true, 0
		}
	default:
		s.good = 0
	}
}
