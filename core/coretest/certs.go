package coretest

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"math/big"
	"testing"
	"time"
)

// ServerName is what servers of simulations are called.
const ServerName = "server.example"

// Protocol is the ALPN of the applications here.
const Protocol = "coretest"

// A CA issues certificates for simulations. All keys are Ed25519 and come from
// a fixed seed, so that certificates have one size in every run.
type CA struct {
	Pool *x509.CertPool
	cert *x509.Certificate
	key  ed25519.PrivateKey
	tb   testing.TB
	next int64
}

// NewCA returns a certificate authority.
func NewCA(tb testing.TB) *CA {
	ca := &CA{tb: tb, Pool: x509.NewCertPool(), next: 1}
	ca.key = ca.newKey()
	tmpl := ca.template("coretest root")
	tmpl.IsCA, tmpl.BasicConstraintsValid = true, true
	tmpl.KeyUsage = x509.KeyUsageCertSign
	ca.cert = ca.sign(tmpl, tmpl, ca.key.Public(), ca.key)
	ca.Pool.AddCert(ca.cert)
	return ca
}

func (ca *CA) newKey() ed25519.PrivateKey {
	var seed [ed25519.SeedSize]byte
	binary.BigEndian.PutUint64(seed[:], uint64(ca.next))
	return ed25519.NewKeyFromSeed(seed[:])
}

func (ca *CA) template(name string) *x509.Certificate {
	ca.next++
	return &x509.Certificate{
		SerialNumber: big.NewInt(ca.next),
		Subject:      pkix.Name{CommonName: name},
		NotBefore:    Epoch.Time().Add(-24 * time.Hour),
		NotAfter:     Epoch.Time().Add(20 * 365 * 24 * time.Hour),
	}
}

func (ca *CA) sign(tmpl, parent *x509.Certificate, pub any, key ed25519.PrivateKey) *x509.Certificate {
	der, err := x509.CreateCertificate(rand.Reader, tmpl, parent, pub, key)
	if err != nil {
		ca.tb.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		ca.tb.Fatal(err)
	}
	return c
}

// Issue returns a certificate for the given names, usable on either side.
// padding makes it that many bytes longer, to fill a server's first flight.
func (ca *CA) Issue(padding int, names ...string) tls.Certificate {
	key := ca.newKey()
	tmpl := ca.template(names[0])
	tmpl.DNSNames = names
	tmpl.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	if padding > 0 {
		tmpl.Subject.Organization = []string{string(bytes.Repeat([]byte{'x'}, padding))}
	}
	c := ca.sign(tmpl, ca.cert, key.Public(), ca.key)
	return tls.Certificate{Certificate: [][]byte{c.Raw}, PrivateKey: key, Leaf: c}
}
