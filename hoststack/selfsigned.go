package hoststack

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"errors"
	"fmt"
	"math/big"
	"net"
	"slices"
	"strings"
	"time"
)

// SelfSigned makes a certificate that vouches for itself: for trying things
// out, or with the client pinning its key. Hosts are DNS names and IP
// addresses; none means localhost and the loopback addresses. It is valid from
// an hour ago for validFor; 0 means 30 days.
func SelfSigned(hosts []string, validFor time.Duration) (tls.Certificate, error) {
	if len(hosts) == 0 {
		hosts = []string{"localhost", "127.0.0.1", "::1"}
	}
	if validFor <= 0 {
		validFor = 30 * 24 * time.Hour
	}
	// P-256, since browsers do not take Ed25519.
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return tls.Certificate{}, err
	}
	begin := time.Now().Add(-time.Hour)
	template := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: hosts[0], Organization: []string{"pquic self-signed"}},
		NotBefore:             begin,
		NotAfter:              begin.Add(time.Hour + validFor),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
	}
	for _, h := range hosts {
		if ip := net.ParseIP(strings.Trim(h, "[]")); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, h)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("hoststack: self-signed certificate: %w", err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return tls.Certificate{}, err
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, nil
}

// SPKIHash returns the base64 SHA-256 hash of a certificate's public key, as
// Chromium's --ignore-certificate-errors-spki-list and PinSPKI take it.
func SPKIHash(cert *x509.Certificate) string {
	sum := sha256.Sum256(cert.RawSubjectPublicKeyInfo)
	return base64.StdEncoding.EncodeToString(sum[:])
}

// ErrPin is wrapped by the error of a handshake whose server has none of the
// pinned keys.
var ErrPin = errors.New("hoststack: the server's key is not pinned")

// PinSPKI makes a client accept exactly the servers whose public key has one of
// the hashes, in the form SPKIHash returns, whoever signed their certificates.
func PinSPKI(cfg *tls.Config, hashes ...string) error {
	for _, h := range hashes {
		if b, err := base64.StdEncoding.DecodeString(h); err != nil || len(b) != sha256.Size {
			return fmt.Errorf("hoststack: %q is not a base64 SHA-256 hash of a public key", h)
		}
	}
	cfg.InsecureSkipVerify = true // VerifyConnection below decides instead
	cfg.VerifyConnection = func(cs tls.ConnectionState) error {
		if len(cs.PeerCertificates) == 0 {
			return fmt.Errorf("%w: it has no certificate", ErrPin)
		}
		if got := SPKIHash(cs.PeerCertificates[0]); !slices.Contains(hashes, got) {
			return fmt.Errorf("%w: it is %s", ErrPin, got)
		}
		return nil
	}
	return nil
}
