package protection

import (
	"bytes"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/tls"
	"errors"
	"fmt"
	"hash"
	"math"
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
	secret := bytes.Repeat([]byte{0x5a}, info.hash.size)
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

// forEachSuite runs f for every suite and version.
func forEachSuite(t *testing.T, f func(t *testing.T, v wire.Version, suite Suite)) {
	for _, c := range benchSuites {
		for _, v := range []wire.Version{wire.Version1, wire.Version2} {
			t.Run(fmt.Sprintf("%s/v%#x", c.name, uint32(v)), func(t *testing.T) { f(t, v, c.suite) })
		}
	}
}

// buildPacket returns an unprotected packet with room for the tag.
func buildPacket(first byte, pnOff, pnLen int, pn uint64, payload []byte) []byte {
	pkt := make([]byte, pnOff, pnOff+pnLen+len(payload)+Overhead)
	pkt[0] = first&^pnLenMask | byte(pnLen-1)
	for i := 1; i < pnOff; i++ {
		pkt[i] = byte(i)
	}
	for i := pnLen - 1; i >= 0; i-- {
		pkt = append(pkt, byte(pn>>(8*i)))
	}
	pkt = append(pkt, payload...)
	return pkt[:cap(pkt)]
}

func TestRoundTrip(t *testing.T) {
	forEachSuite(t, func(t *testing.T, v wire.Version, suite Suite) {
		s, o := testPair(t, v, suite)
		pn := uint64(0x0123456789abcdef) & (1<<62 - 1)
		for _, first := range []byte{0x40, 0x64, 0xc0, 0xef} {
			for pnLen := 1; pnLen <= 4; pnLen++ {
				for _, pnOff := range []int{1, 9, 21, 46} {
					for _, n := range []int{4 - pnLen, 5, 64, 127, 1200, 16000} {
						for _, pathID := range []uint32{0, 1, math.MaxUint32} {
							pn++
							payload := bytes.Repeat([]byte{0xa5}, n)
							pkt := buildPacket(first, pnOff, pnLen, pn, payload)
							plain := bytes.Clone(pkt)
							s.Seal(pkt, pnOff, pnLen, pathID, pn)
							gotLen, truncated, ok := o.Unmask(pkt, pnOff)
							if !ok || gotLen != pnLen || truncated != pn&(1<<(8*pnLen)-1) {
								t.Fatalf("Unmask = %d, %#x, %v", gotLen, truncated, ok)
							}
							if !bytes.Equal(pkt[:pnOff+pnLen], plain[:pnOff+pnLen]) {
								t.Fatalf("header %x, want %x", pkt[:pnOff+pnLen], plain[:pnOff+pnLen])
							}
							got, err := o.Open(pkt, pnOff, pnLen, pathID, pn)
							if err != nil || !bytes.Equal(got, payload) {
								t.Fatalf("first %#x pnLen %d pnOff %d payload %d path %d: %v", first, pnLen, pnOff, n, pathID, err)
							}
							if n > 0 && &got[0] != &pkt[pnOff+pnLen] {
								t.Fatal("payload is not a view of the packet")
							}
						}
					}
				}
			}
		}
	})
}

func TestTampering(t *testing.T) {
	const pnOff, pnLen, pathID, pn = 9, 2, 7, 0x1234
	forEachSuite(t, func(t *testing.T, v wire.Version, suite Suite) {
		s, o := testPair(t, v, suite)
		sealed := buildPacket(0x40, pnOff, pnLen, pn, []byte("some frames"))
		s.Seal(sealed, pnOff, pnLen, pathID, pn)
		// open treats the packet as a receiver does that expects pn.
		open := func(pkt []byte, pathID uint32, pn uint64) error {
			n, _, ok := o.Unmask(pkt, pnOff)
			if !ok {
				return ErrAuth
			}
			_, err := o.Open(pkt, pnOff, n, pathID, pn)
			return err
		}
		if err := open(bytes.Clone(sealed), pathID, pn); err != nil {
			t.Fatalf("untouched packet: %v", err)
		}
		for i := range sealed {
			for bit := range 8 {
				pkt := bytes.Clone(sealed)
				pkt[i] ^= 1 << bit
				if err := open(pkt, pathID, pn); !errors.Is(err, ErrAuth) {
					t.Fatalf("bit %d of byte %d changed: %v, want ErrAuth", bit, i, err)
				}
			}
		}
		for n := range sealed {
			if err := open(bytes.Clone(sealed[:n]), pathID, pn); !errors.Is(err, ErrAuth) {
				t.Fatalf("cut to %d bytes: %v, want ErrAuth", n, err)
			}
		}
		if err := open(append(bytes.Clone(sealed), 0), pathID, pn); !errors.Is(err, ErrAuth) {
			t.Fatalf("one byte appended: %v, want ErrAuth", err)
		}
		if err := open(bytes.Clone(sealed), pathID+1, pn); !errors.Is(err, ErrAuth) {
			t.Fatalf("another path: %v, want ErrAuth", err)
		}
		if err := open(bytes.Clone(sealed), pathID, pn+1<<16); !errors.Is(err, ErrAuth) {
			t.Fatalf("another packet number: %v, want ErrAuth", err)
		}
	})
}

// A stateless reset looks like a packet that fails to open. Its token must
// survive the attempt.
// https://www.rfc-editor.org/rfc/rfc9000#section-10.3.1
func TestFailureKeepsResetToken(t *testing.T) {
	forEachSuite(t, func(t *testing.T, v wire.Version, suite Suite) {
		_, o := testPair(t, v, suite)
		for _, pnOff := range []int{1, 9, 21} {
			for n := pnOff; n < 80; n++ {
				pkt := bytes.Repeat([]byte{0x4b}, n)
				if pnLen, pn, ok := o.Unmask(pkt, pnOff); ok {
					if _, err := o.Open(pkt, pnOff, pnLen, 0, pn); !errors.Is(err, ErrAuth) {
						t.Fatalf("%d random bytes: %v, want ErrAuth", n, err)
					}
				}
				if tail := pkt[max(0, n-16):]; n >= 21 && !bytes.Equal(tail, bytes.Repeat([]byte{0x4b}, 16)) {
					t.Fatalf("pnOff %d, %d bytes: last 16 are now %x", pnOff, n, tail)
				}
			}
		}
	})
}

func TestShortPackets(t *testing.T) {
	forEachSuite(t, func(t *testing.T, v wire.Version, suite Suite) {
		_, o := testPair(t, v, suite)
		for n := range 64 {
			for pnOff := -1; pnOff < 70; pnOff++ {
				pkt := bytes.Repeat([]byte{0xff}, n)
				_, _, ok := o.Unmask(pkt, pnOff)
				if want := pnOff >= 1 && n >= pnOff+MinProtectedLen; ok != want {
					t.Fatalf("Unmask of %d bytes at %d: %v, want %v", n, pnOff, ok, want)
				}
				if !ok && !bytes.Equal(pkt, bytes.Repeat([]byte{0xff}, n)) {
					t.Fatalf("Unmask of %d bytes at %d refused, but changed the packet", n, pnOff)
				}
				for pnLen := -1; pnLen <= 5; pnLen++ {
					if _, err := o.Open(pkt, pnOff, pnLen, 0, 0); !errors.Is(err, ErrAuth) {
						t.Fatalf("Open of %d bytes at %d: %v, want ErrAuth", n, pnOff, err)
					}
				}
			}
		}
		for _, pnOff := range []int{math.MinInt, math.MaxInt, math.MaxInt - MinProtectedLen} {
			if _, _, ok := o.Unmask(make([]byte, 64), pnOff); ok {
				t.Fatalf("Unmask at %d succeeds", pnOff)
			}
		}
	})
}

func TestSealRefusesUnsampleablePacket(t *testing.T) {
	s, _ := testPair(t, wire.Version1, tls.TLS_AES_128_GCM_SHA256)
	pkt := buildPacket(0x40, 9, 1, 0, []byte{1, 1})
	before := bytes.Clone(pkt)
	defer func() {
		if recover() == nil {
			t.Error("Seal of a packet without room for the sample does not panic")
		}
		if !bytes.Equal(pkt, before) {
			t.Error("Seal changed the packet before it panicked")
		}
	}()
	// The capacity would hold the sample; the packet does not.
	s.Seal(append(make([]byte, 0, 100), pkt...)[:len(pkt)], 9, 1, 0, 0)
}

func TestKeyUpdateChain(t *testing.T) {
	forEachSuite(t, func(t *testing.T, v wire.Version, suite Suite) {
		s0, o0 := testPair(t, v, suite)
		sealers, openers := []*Sealer{s0}, []*Opener{o0}
		for range 4 {
			sealers = append(sealers, sealers[len(sealers)-1].Update())
			openers = append(openers, openers[len(openers)-1].Update())
		}
		const pnOff, pnLen, pn = 9, 4, 1000
		for i, s := range sealers {
			for j, o := range openers {
				pkt := buildPacket(0x44, pnOff, pnLen, pn, []byte("payload"))
				header := bytes.Clone(pkt[:pnOff+pnLen])
				s.Seal(pkt, pnOff, pnLen, 0, pn)
				// "The same header protection key is used for the duration of
				// the connection"
				// https://www.rfc-editor.org/rfc/rfc9001#section-5.4
				if _, _, ok := o.Unmask(pkt, pnOff); !ok || !bytes.Equal(pkt[:pnOff+pnLen], header) {
					t.Fatalf("phase %d: Unmask of phase %d does not restore the header", i, j)
				}
				_, err := o.Open(pkt, pnOff, pnLen, 0, pn)
				if i == j && err != nil {
					t.Errorf("phase %d: %v", i, err)
				}
				if i != j && !errors.Is(err, ErrAuth) {
					t.Errorf("phase %d opened with the keys of phase %d: %v", i, j, err)
				}
			}
		}
		if s, o := sealers[3], openers[3]; s.Suite() != suite || o.Suite() != suite {
			t.Errorf("suite changed with the key phase")
		}
	})
}

func TestConstructorErrors(t *testing.T) {
	for _, suite := range []Suite{0, 0x1304, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256} {
		if _, err := NewSealer(wire.Version1, suite, make([]byte, 32)); !errors.Is(err, ErrSuite) {
			t.Errorf("NewSealer, suite %#x: %v, want ErrSuite", suite, err)
		}
		if _, err := NewOpener(wire.Version1, suite, make([]byte, 32)); !errors.Is(err, ErrSuite) {
			t.Errorf("NewOpener, suite %#x: %v, want ErrSuite", suite, err)
		}
	}
	for _, c := range benchSuites {
		for _, n := range []int{0, 16, 31, 33, 64} {
			if _, err := NewSealer(wire.Version1, c.suite, make([]byte, n)); !errors.Is(err, ErrSecret) {
				t.Errorf("NewSealer, %s with a secret of %d bytes: %v, want ErrSecret", c.name, n, err)
			}
		}
	}
}

func TestSecretIsCopied(t *testing.T) {
	secret := bytes.Repeat([]byte{7}, 32)
	s, err := NewSealer(wire.Version1, tls.TLS_AES_128_GCM_SHA256, secret)
	if err != nil {
		t.Fatal(err)
	}
	want := s.Update().keys.secret
	clear(secret)
	if got := s.Update().keys.secret; got != want {
		t.Error("the next secret depends on the caller's slice")
	}
}

// https://www.rfc-editor.org/rfc/rfc9001#section-6.6
func TestLimits(t *testing.T) {
	for _, c := range []struct {
		suite                      Suite
		confidentiality, integrity uint64
	}{
		{tls.TLS_AES_128_GCM_SHA256, 1 << 23, 1 << 52},
		{tls.TLS_AES_256_GCM_SHA384, 1 << 23, 1 << 52},
		{tls.TLS_CHACHA20_POLY1305_SHA256, math.MaxUint64, 1 << 36},
		{0, 0, 0},
	} {
		if got := ConfidentialityLimit(c.suite); got != c.confidentiality {
			t.Errorf("ConfidentialityLimit(%#x) = %d, want %d", c.suite, got, c.confidentiality)
		}
		if got := IntegrityLimit(c.suite); got != c.integrity {
			t.Errorf("IntegrityLimit(%#x) = %d, want %d", c.suite, got, c.integrity)
		}
	}
}

func TestAllocations(t *testing.T) {
	forEachSuite(t, func(t *testing.T, v wire.Version, suite Suite) {
		s, o := testPair(t, v, suite)
		pkt := make([]byte, 1200)
		pn := uint64(0)
		got := testing.AllocsPerRun(200, func() {
			pn++
			pkt[0] = 0x43
			pkt[9], pkt[10], pkt[11], pkt[12] = byte(pn>>24), byte(pn>>16), byte(pn>>8), byte(pn)
			s.Seal(pkt, 9, 4, 1, pn)
			n, truncated, ok := o.Unmask(pkt, 9)
			if !ok || truncated != pn {
				t.Fatal("Unmask failed")
			}
			if _, err := o.Open(pkt, 9, n, 1, pn); err != nil {
				t.Fatal(err)
			}
			if _, err := o.Open(pkt, 9, n, 1, pn+1); err == nil {
				t.Fatal("opened twice")
			}
		})
		if got != 0 {
			t.Errorf("%v allocations per packet sealed and opened, want 0", got)
		}
	})
}

// TestRest lets both ends rest at every point and expects the same packets.
func TestRest(t *testing.T) {
	forEachSuite(t, func(t *testing.T, v wire.Version, suite Suite) {
		s, o := testPair(t, v, suite)
		plain, _ := testPair(t, v, suite)
		for pn := range uint64(6) {
			if pn == 3 {
				// The header-protection key stays that of the first phase.
				s.Rest()
				o.Rest()
				s, o, plain = s.Update(), o.Update(), plain.Update()
			}
			s.Rest()
			got := buildPacket(0x43, 9, 4, pn, []byte("payload"))
			want := bytes.Clone(got)
			s.Seal(got, 9, 4, 0, pn)
			plain.Seal(want, 9, 4, 0, pn)
			if !bytes.Equal(got, want) {
				t.Fatalf("packet %d sealed after a rest differs", pn)
			}
			o.Rest()
			if !o.Resting() {
				t.Fatal("not resting")
			}
			if pn%2 == 0 {
				o.Wake()
				if o.Resting() {
					t.Fatal("still resting")
				}
			}
			n, truncated, ok := o.Unmask(got, 9)
			if !ok || n != 4 || truncated != pn {
				t.Fatalf("Unmask = %d, %d, %v", n, truncated, ok)
			}
			if b, err := o.Open(got, 9, n, 0, pn); err != nil || string(b) != "payload" {
				t.Fatalf("Open = %q, %v", b, err)
			}
		}
	})
}

// TestExpandLabel compares with the standard library.
func TestExpandLabel(t *testing.T) {
	for _, c := range []struct {
		hash hashInfo
		std  func() hash.Hash
	}{{hashSHA256, sha256.New}, {hashSHA384, sha512.New384}} {
		for n := range c.hash.size + 1 {
			secret := bytes.Repeat([]byte{byte(n)}, c.hash.size)
			info := append([]byte{0, byte(n), 6 + 10}, "tls13 quicv2 key\x00"...)
			want, err := hkdf.Expand(c.std, secret, string(info), n)
			if err != nil {
				t.Fatal(err)
			}
			got := make([]byte, n)
			if expandLabel(c.hash, got, secret, "quicv2 key"); !bytes.Equal(got, want) {
				t.Errorf("%d bytes of %x, want %x", n, got, want)
			}
			var extracted [maxHash]byte
			c.hash.mac(&extracted, labelsV1.initialSalt, secret[:min(n, wire.MaxConnIDLen)])
			prk, err := hkdf.Extract(c.std, secret[:min(n, wire.MaxConnIDLen)], labelsV1.initialSalt)
			if err != nil || !bytes.Equal(extracted[:c.hash.size], prk) {
				t.Errorf("extracted %x, want %x, %v", extracted, prk, err)
			}
		}
	}
	out := make([]byte, 32)
	if n := testing.AllocsPerRun(100, func() { expandLabel(hashSHA256, out, out, "quic key") }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
