package protection

import (
	"bytes"
	"crypto/tls"
	"encoding/hex"
	"testing"

	"github.com/pquic-go/pquic/core/wire"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatalf("bad hexadecimal in a test: %v", err)
	}
	return b
}

func connID(t testing.TB, s string) wire.ConnID {
	t.Helper()
	id, ok := wire.MakeConnID(unhex(t, s))
	if !ok {
		t.Fatalf("connection ID %q too long", s)
	}
	return id
}

// pnLenOf reads the packet number length of an unprotected header.
func pnLenOf(header []byte) int { return int(header[0]&pnLenMask) + 1 }

// run protects the sample, compares, and removes the protection again.
func (p samplePacket) run(t *testing.T, v wire.Version, suite Suite, secret []byte) {
	t.Helper()
	header, payload, sealed := unhex(t, p.header), unhex(t, p.payload), unhex(t, p.sealed)
	if p.padTo > 0 {
		payload = append(payload, make([]byte, p.padTo-len(payload))...)
	}
	pnLen := pnLenOf(header)
	pnOff := len(header) - pnLen

	s, err := NewSealer(v, suite, secret)
	if err != nil {
		t.Fatalf("NewSealer: %v", err)
	}
	pkt := append(append(bytes.Clone(header), payload...), make([]byte, s.Overhead())...)
	s.Seal(pkt, pnOff, pnLen, 0, p.pn)
	if !bytes.Equal(pkt, sealed) {
		t.Fatalf("sealed packet\n got %x\nwant %x", pkt, sealed)
	}

	o, err := NewOpener(v, suite, secret)
	if err != nil {
		t.Fatalf("NewOpener: %v", err)
	}
	gotLen, truncated, ok := o.Unmask(sealed, pnOff)
	mask := uint64(1)<<(8*pnLen) - 1
	if !ok || gotLen != pnLen || truncated != p.pn&mask {
		t.Fatalf("Unmask = %d, %#x, %v, want %d, %#x, true", gotLen, truncated, ok, pnLen, p.pn&mask)
	}
	if !bytes.Equal(sealed[:len(header)], header) {
		t.Fatalf("unmasked header %x, want %x", sealed[:len(header)], header)
	}
	got, err := o.Open(sealed, pnOff, pnLen, 0, p.pn)
	if err != nil || !bytes.Equal(got, payload) {
		t.Fatalf("Open = %x, %v, want %x", got, err, payload)
	}
}

func TestSamples(t *testing.T) {
	for _, v := range sampleVersions {
		t.Run(v.name, func(t *testing.T) {
			client, server := InitialSecrets(v.version, connID(t, sampleDst))
			if want := unhex(t, v.clientSecret); !bytes.Equal(client, want) {
				t.Errorf("client Initial secret %x, want %x", client, want)
			}
			if want := unhex(t, v.serverSecret); !bytes.Equal(server, want) {
				t.Errorf("server Initial secret %x, want %x", server, want)
			}
			t.Run("client Initial", func(t *testing.T) {
				v.client.run(t, v.version, tls.TLS_AES_128_GCM_SHA256, client)
			})
			t.Run("server Initial", func(t *testing.T) {
				v.server.run(t, v.version, tls.TLS_AES_128_GCM_SHA256, server)
			})
			t.Run("ChaCha20 short header", func(t *testing.T) {
				v.chacha.run(t, v.version, tls.TLS_CHACHA20_POLY1305_SHA256, unhex(t, v.chachaSecret))
			})
			t.Run("key update secret", func(t *testing.T) {
				s, err := NewSealer(v.version, tls.TLS_CHACHA20_POLY1305_SHA256, unhex(t, v.chachaSecret))
				if err != nil {
					t.Fatal(err)
				}
				if got, want := s.Update().keys.secret[:32], unhex(t, v.chachaNext); !bytes.Equal(got, want) {
					t.Errorf("secret after key update %x, want %x", got, want)
				}
			})
		})
	}
}

func TestSampleRetry(t *testing.T) {
	odcid := connID(t, sampleDst)
	for _, v := range sampleVersions {
		t.Run(v.name, func(t *testing.T) {
			retry := unhex(t, v.retry)
			body, tag := retry[:len(retry)-Overhead], retry[len(retry)-Overhead:]
			if got := RetryTag(v.version, odcid, body); !bytes.Equal(got[:], tag) {
				t.Errorf("RetryTag = %x, want %x", got, tag)
			}
			if !VerifyRetryTag(v.version, odcid, retry) {
				t.Error("the sample Retry does not verify")
			}
			if VerifyRetryTag(v.version, connID(t, "8394c8f03e515709"), retry) {
				t.Error("verifies under another original Destination Connection ID")
			}
			other := wire.Version1
			if v.version == other {
				other = wire.Version2
			}
			if VerifyRetryTag(other, odcid, retry) {
				t.Error("verifies under another version")
			}
			for i := range retry {
				retry[i] ^= 0x04
				if VerifyRetryTag(v.version, odcid, retry) {
					t.Errorf("verifies with byte %d changed", i)
				}
				retry[i] ^= 0x04
			}
			for n := range Overhead + 1 {
				if VerifyRetryTag(v.version, odcid, retry[:n]) {
					t.Errorf("verifies a packet of %d bytes", n)
				}
			}
		})
	}
}

// The worked example of the multipath extension.
// https://datatracker.ietf.org/doc/html/draft-ietf-quic-multipath#section-2.4
func TestMultipathNonce(t *testing.T) {
	k := keys{iv0: 0x6b26114b, iv1: 0x9cba2b63a9e8dd4f}
	want := unhex(t, "6b2611489cba2b63a9e8097e")
	if got := k.setNonce(3, 54321); !bytes.Equal(got, want) {
		t.Errorf("nonce of path 3, packet 54321: %x, want %x", got, want)
	}
	if got, want := k.setNonce(0, 0), unhex(t, "6b26114b9cba2b63a9e8dd4f"); !bytes.Equal(got, want) {
		t.Errorf("nonce of path 0, packet 0: %x, want the IV %x", got, want)
	}
}
