package cputime

import "testing"

func TestUsedGrows(t *testing.T) {
	before := Used()
	x := uint64(1)
	for range 100_000_000 {
		x = x*6364136223846793005 + 1442695040888963407
	}
	if after := Used(); after <= before {
		t.Errorf("%v, then %v after work (%d)", before, after, x)
	}
}
