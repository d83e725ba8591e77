package wire

import (
	"encoding/hex"
	"math/rand/v2"
	"strings"
	"testing"
)

// unhex decodes hexadecimal with spaces.
func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.NewReplacer(" ", "", "\n", "", "\t", "").Replace(s))
	if err != nil {
		t.Fatalf("bad hex in the test: %v", err)
	}
	return b
}

// newRand returns a source of numbers that is the same in each run.
func newRand(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 9000)) }

// randVarint returns a value whose encoded length is spread evenly.
func randVarint(r *rand.Rand) uint64 { return r.Uint64() >> 2 >> r.IntN(63) }

func randBytes(r *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

func randConnID(r *rand.Rand) ConnID {
	c, _ := MakeConnID(randBytes(r, r.IntN(MaxConnIDLen+1)))
	return c
}

func mustConnID(t testing.TB, s string) ConnID {
	t.Helper()
	c, ok := MakeConnID(unhex(t, s))
	if !ok {
		t.Fatalf("connection ID %s is too long", s)
	}
	return c
}

// mustPanic runs f and fails if it returns.
func mustPanic(t *testing.T, what string, f func()) {
	t.Helper()
	defer func() {
		if recover() == nil {
			t.Errorf("%s: no panic", what)
		}
	}()
	f()
}
