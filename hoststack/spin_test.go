package hoststack

import (
	"testing"
	"time"
)

func TestSpinner(t *testing.T) {
	const short, long = spinHope / 2, 10 * spinHope
	var s spinner
	repeat := func(n int, found bool, waited time.Duration, bytes int) {
		for range n {
			s.judge(found && s.on, waited, bytes)
		}
	}
	want := func(why string, on bool) {
		t.Helper()
		if s.on != on {
			t.Errorf("%s: spinning %v, want %v", why, s.on, on)
		}
	}
	repeat(100, false, long, 1)
	want("sparse traffic", false)
	repeat(100, false, short, spinBytes+1)
	want("bulk", false)
	repeat(spinAfter, false, short, 1)
	want("a few short waits", true)
	repeat(1000, true, time.Microsecond, 1)
	repeat(spinMisses-1, false, long, 1)
	want("a rare miss", true)
	repeat(1, false, long, 1)
	want("misses in a row", false)
	repeat(spinAfter, false, short, 1)
	want("soon after a failure", false)
	repeat(spinAfter, false, short, 1)
	want("short waits go on", true)

	// Where spinning never helps, attempts become rare.
	spins := 0
	for range 10_000 {
		if s.on {
			spins++
		}
		s.judge(false, short, 1)
	}
	if spins > 200 {
		t.Errorf("%d futile spins in 10,000 waits", spins)
	}
	s = spinner{on: true}
	repeat(1, true, short, spinBytes+1)
	want("bulk begins", false)
}
