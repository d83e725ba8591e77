package protection

import (
	"bytes"
	"testing"

	"github.com/pquic-go/pquic/core/wire"
)

// testPair returns a Sealer and the Opener that undoes it.
func testPair(t testing.TB, v wire.Version, suite Suite) (*Sealer, *Opener) {
	t.Helper()
	info, err := lookupSuite(suite)
	if err != nil {
		t.Fatal(err)
	}
	secret := bytes.Repeat([]byte{0x5a}, info.hashLen)
	s, err := NewSealer(v, suite, secret)
	if err != nil {
		t.Fatal(err)
	}
	o, err := NewOpener(v, suite, secret)
	if err != nil {
		t.Fatal(err)
	}
	return s, o
}
