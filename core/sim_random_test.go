package core_test

import (
	"os"
	"strconv"
	"testing"

	"github.com/pquic-go/pquic/core/coretest"
)

// scenarios is how many random scenarios run: PQUIC_SCENARIOS, or d.
func scenarios(t *testing.T, d int) int {
	if s := os.Getenv("PQUIC_SCENARIOS"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil {
			t.Fatalf("PQUIC_SCENARIOS=%q is not a number", s)
		}
		return n
	}
	if testing.Short() {
		d /= 10
	}
	return d
}

func TestRandomScenarios(t *testing.T) {
	first := coretest.DefaultSeed()
	for i := range scenarios(t, 2000) {
		coretest.RunRandom(t, first+uint64(i))
	}
}

// The same seed is the same run, datagram for datagram.
func TestRandomScenariosReplay(t *testing.T) {
	first := coretest.DefaultSeed()
	for i := range scenarios(t, 20) {
		seed := first + uint64(i)
		if a, b := coretest.RunRandom(t, seed), coretest.RunRandom(t, seed); a != b {
			t.Errorf("seed %d: two runs differ", seed)
		}
	}
}
