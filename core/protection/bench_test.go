package protection

import (
	"crypto/tls"
	"testing"

	"github.com/pquic-go/pquic/core/wire"
)

// benchSuites are the suites the benchmarks compare.
var benchSuites = []struct {
	name  string
	suite Suite
}{
	{"AES128", tls.TLS_AES_128_GCM_SHA256},
	{"AES256", tls.TLS_AES_256_GCM_SHA384},
	{"ChaCha20", tls.TLS_CHACHA20_POLY1305_SHA256},
}

// benchSizes are packet lengths: an ACK, the least maximum datagram, a
// loopback-sized datagram.
var benchSizes = []struct {
	name string
	n    int
}{{"50", 50}, {"1200", 1200}, {"1452", 1452}, {"9000", 9000}}

const benchPNOff = 9

func BenchmarkSeal(b *testing.B) {
	for _, c := range benchSuites {
		for _, size := range benchSizes {
			b.Run(c.name+"/"+size.name, func(b *testing.B) {
				s, _ := testPair(b, wire.Version1, c.suite)
				pkt := make([]byte, size.n)
				b.ReportAllocs()
				b.SetBytes(int64(size.n))
				for pn := uint64(0); b.Loop(); pn++ {
					pkt[0] = 0x43
					s.Seal(pkt, benchPNOff, 4, 0, pn)
				}
			})
		}
	}
}

func BenchmarkOpen(b *testing.B) {
	for _, c := range benchSuites {
		for _, size := range benchSizes {
			b.Run(c.name+"/"+size.name, func(b *testing.B) {
				s, o := testPair(b, wire.Version1, c.suite)
				sealed := make([]byte, size.n)
				sealed[0] = 0x43
				s.Seal(sealed, benchPNOff, 4, 0, 0)
				pkt := make([]byte, size.n)
				b.ReportAllocs()
				b.SetBytes(int64(size.n))
				for b.Loop() {
					copy(pkt, sealed) // a few ns, paid so that every packet is authentic
					pnLen, pn, _ := o.Unmask(pkt, benchPNOff)
					if _, err := o.Open(pkt, benchPNOff, pnLen, 0, pn); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

func BenchmarkUnmask(b *testing.B) {
	for _, c := range benchSuites {
		b.Run(c.name, func(b *testing.B) {
			_, o := testPair(b, wire.Version1, c.suite)
			pkt := make([]byte, 1200)
			b.ReportAllocs()
			for b.Loop() {
				o.Unmask(pkt, benchPNOff)
			}
		})
	}
}

func BenchmarkInitialKeys(b *testing.B) {
	dst, _ := wire.MakeConnID([]byte{1, 2, 3, 4, 5, 6, 7, 8})
	b.ReportAllocs()
	for b.Loop() {
		client, server := InitialSecrets(wire.Version1, dst)
		if _, err := NewOpener(wire.Version1, tls.TLS_AES_128_GCM_SHA256, client); err != nil {
			b.Fatal(err)
		}
		if _, err := NewSealer(wire.Version1, tls.TLS_AES_128_GCM_SHA256, server); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkUpdate(b *testing.B) {
	s, _ := testPair(b, wire.Version1, tls.TLS_AES_128_GCM_SHA256)
	b.ReportAllocs()
	for b.Loop() {
		s.Update()
	}
}

func BenchmarkRetryTag(b *testing.B) {
	odcid, _ := wire.MakeConnID([]byte{1, 2, 3, 4, 5, 6, 7, 8})
	retry := make([]byte, 108)
	b.ReportAllocs()
	for b.Loop() {
		RetryTag(wire.Version1, odcid, retry)
	}
}
