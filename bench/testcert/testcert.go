// Package testcert makes certificates for tests: an authority, as many intermediate ones as wanted,
// and a leaf. A peer that refuses a self-signed certificate as the leaf accepts these.
package testcert

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// Options say what a certificate is for.
type Options struct {
	DNSNames []string
	IPs      []net.IP
	// Intermediates is the number of certificates between the leaf and the authority.
	Intermediates int
	// Padding is the number of bytes by which an extension makes each certificate longer.
	Padding int
}

// Files are the names of what Write made.
type Files struct {
	CA   string // ca.pem
	Cert string // cert.pem: the leaf and the intermediate certificates
	Key  string // priv.key
	// SPKI is the base64 SHA-256 hash of the leaf's public key, as browsers want it.
	SPKI string
}

type issued struct {
	cert *x509.Certificate
	der  []byte
	key  *ecdsa.PrivateKey
}

// Write makes certificates for o and writes them to dir.
func Write(dir string, o Options) (Files, error) {
	files := Files{
		CA: filepath.Join(dir, "ca.pem"), Cert: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "priv.key"),
	}
	ca, err := issue(nil, template("Test authority", true, &o))
	if err != nil {
		return files, err
	}
	parent := ca
	var between [][]byte // from the authority's side
	for i := range o.Intermediates {
		if parent, err = issue(parent, template(fmt.Sprintf("Test intermediate %d", i+1), true, &o)); err != nil {
			return files, err
		}
		between = append(between, parent.der)
	}
	t := template("localhost", false, &o)
	t.DNSNames, t.IPAddresses = o.DNSNames, o.IPs
	leaf, err := issue(parent, t)
	if err != nil {
		return files, err
	}
	chain := [][]byte{leaf.der}
	for i := len(between) - 1; i >= 0; i-- {
		chain = append(chain, between[i])
	}
	key, err := x509.MarshalPKCS8PrivateKey(leaf.key)
	if err != nil {
		return files, err
	}
	spki := sha256.Sum256(leaf.cert.RawSubjectPublicKeyInfo)
	files.SPKI = base64.StdEncoding.EncodeToString(spki[:])
	for _, f := range []struct {
		name, kind string
		blocks     [][]byte
	}{{files.CA, "CERTIFICATE", [][]byte{ca.der}}, {files.Cert, "CERTIFICATE", chain}, {files.Key, "PRIVATE KEY", [][]byte{key}}} {
		var text []byte
		for _, b := range f.blocks {
			text = append(text, pem.EncodeToMemory(&pem.Block{Type: f.kind, Bytes: b})...)
		}
		if err := os.WriteFile(f.name, text, 0o600); err != nil {
			return files, err
		}
	}
	return files, nil
}

func template(name string, ca bool, o *Options) *x509.Certificate {
	t := &x509.Certificate{
		Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(10 * 24 * time.Hour),
		BasicConstraintsValid: true, IsCA: ca, KeyUsage: x509.KeyUsageDigitalSignature,
	}
	if ca {
		t.KeyUsage |= x509.KeyUsageCertSign
	} else {
		t.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	}
	if o.Padding > 0 {
		// An extension that nobody knows and that is not critical, with bytes that do not compress.
		pad := make([]byte, o.Padding)
		_, _ = rand.Read(pad)
		t.ExtraExtensions = []pkix.Extension{{Id: []int{2, 25, 1000, 1}, Value: pad}}
	}
	return t
}

// issue signs t by parent, or by its own key without one.
func issue(parent *issued, t *x509.Certificate) (*issued, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	if t.SerialNumber, err = rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120)); err != nil {
		return nil, err
	}
	signer, by := key, t
	if parent != nil {
		signer, by = parent.key, parent.cert
	}
	der, err := x509.CreateCertificate(rand.Reader, t, by, key.Public(), signer)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	return &issued{cert, der, key}, err
}
