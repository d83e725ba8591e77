package hoststack

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// writeCert writes a certificate for host as two PEM files.
func writeCert(t *testing.T, certFile, keyFile, host string) tls.Certificate {
	t.Helper()
	c, err := SelfSigned([]string{host}, 0)
	if err != nil {
		t.Fatal(err)
	}
	key, err := x509.MarshalPKCS8PrivateKey(c.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Dir(certFile), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{
		certFile: {Type: "CERTIFICATE", Bytes: c.Certificate[0]},
		keyFile:  {Type: "PRIVATE KEY", Bytes: key},
	} {
		if err := os.WriteFile(name, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

// hello is what a TLS 1.3 client that wants name sends.
func hello(name string) *tls.ClientHelloInfo {
	return &tls.ClientHelloInfo{
		ServerName:        name,
		SupportedVersions: []uint16{tls.VersionTLS13},
		SignatureSchemes:  []tls.SignatureScheme{tls.ECDSAWithP256AndSHA256},
		SupportedCurves:   []tls.CurveID{tls.CurveP256, tls.X25519},
		CipherSuites:      []uint16{tls.TLS_AES_128_GCM_SHA256},
	}
}

func wantCert(t *testing.T, why string, s *CertStore, name string, want tls.Certificate) {
	t.Helper()
	got, err := s.GetCertificate(hello(name))
	if err != nil {
		t.Fatalf("%s: %v", why, err)
	}
	if SPKIHash(got.Leaf) != SPKIHash(want.Leaf) {
		t.Errorf("%s: certificate for %v, want the one for %v", why, got.Leaf.DNSNames, want.Leaf.DNSNames)
	}
}

// forget makes the store look at its files at the next request.
func (s *CertStore) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.checked = time.Time{}
}

func TestCertDirectory(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	a := writeCert(t, at("a.crt"), at("a.key"), "a.example")
	b := writeCert(t, at("b.pem"), at("b.key"), "*.b.example")
	c := writeCert(t, at("live/fullchain.pem"), at("live/privkey.pem"), "c.example")
	s, err := NewCertDirStore(dir)
	if err != nil {
		t.Fatal(err)
	}
	wantCert(t, "exact name", s, "a.example", a)
	wantCert(t, "wildcard", s, "x.b.example", b)
	wantCert(t, "ACME directory", s, "c.example", c)
	wantCert(t, "unknown name gets the first", s, "other.example", a)
	wantCert(t, "no name gets the first", s, "", a)
	if n := len(s.Certificates()); n != 3 {
		t.Errorf("%d certificates, want 3", n)
	}

	d := writeCert(t, at("d.crt"), at("d.key"), "d.example")
	s.forget()
	wantCert(t, "file added later", s, "d.example", d)
}

func TestCertRenewal(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "x.crt"), filepath.Join(dir, "x.key")
	first := writeCert(t, certFile, keyFile, "x.example")
	s, err := NewCertStore(certFile, keyFile)
	if err != nil {
		t.Fatal(err)
	}
	wantCert(t, "as loaded", s, "x.example", first)

	var failure error
	s.OnError = func(err error) { failure = err }
	if err := os.WriteFile(keyFile, []byte("half written"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.forget()
	wantCert(t, "files that do not fit together change nothing", s, "x.example", first)
	if failure == nil || !strings.Contains(failure.Error(), "x.key") {
		t.Errorf("reported %v, want an error that names the file", failure)
	}

	second := writeCert(t, certFile, keyFile, "x.example")
	later := time.Now().Add(time.Minute) // even with a coarse file system
	if err := errors.Join(os.Chtimes(certFile, later, later), os.Chtimes(keyFile, later, later)); err != nil {
		t.Fatal(err)
	}
	s.forget()
	wantCert(t, "renewed", s, "x.example", second)
}

func TestCertErrors(t *testing.T) {
	dir := t.TempDir()
	if _, err := NewCertDirStore(dir); err == nil || !strings.Contains(err.Error(), dir) {
		t.Errorf("empty directory: %v", err)
	}
	if _, err := NewCertDirStore(filepath.Join(dir, "absent")); err == nil {
		t.Error("absent directory was accepted")
	}
	writeCert(t, filepath.Join(dir, "a.crt"), filepath.Join(dir, "wrong.key"), "a.example")
	if _, err := NewCertDirStore(dir); err == nil || !strings.Contains(err.Error(), "a.key") {
		t.Errorf("certificate without key: %v, want an error that names a.key", err)
	}
	if _, err := NewCertStore("absent.crt", "absent.key"); err == nil || !strings.Contains(err.Error(), "absent.crt") {
		t.Errorf("absent file: %v", err)
	}
}

func TestPinSPKI(t *testing.T) {
	var cfg tls.Config
	if err := PinSPKI(&cfg, "not a hash"); err == nil {
		t.Error("a malformed hash was accepted")
	}
	other, err := SelfSigned(nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := PinSPKI(&cfg, SPKIHash(other.Leaf), SPKIHash(testCert.Leaf)); err != nil {
		t.Fatal(err)
	}
	if err := cfg.VerifyConnection(tls.ConnectionState{PeerCertificates: []*x509.Certificate{testCert.Leaf}}); err != nil {
		t.Errorf("pinned key: %v", err)
	}
	if err := PinSPKI(&cfg, SPKIHash(other.Leaf)); err != nil {
		t.Fatal(err)
	}
	for _, certs := range [][]*x509.Certificate{nil, {testCert.Leaf}} {
		if err := cfg.VerifyConnection(tls.ConnectionState{PeerCertificates: certs}); !errors.Is(err, ErrPin) {
			t.Errorf("%d certificates: %v, want ErrPin", len(certs), err)
		}
	}
}

func TestSelfSigned(t *testing.T) {
	c, err := SelfSigned([]string{"x.example", "[2001:db8::1]"}, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(c.Leaf)
	for _, name := range []string{"x.example", "2001:db8::1"} {
		if _, err := c.Leaf.Verify(x509.VerifyOptions{DNSName: name, Roots: roots}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if left := time.Until(c.Leaf.NotAfter); left > time.Hour || left < 50*time.Minute {
		t.Errorf("valid for %v, want an hour", left)
	}
}

func TestKeyLog(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys")
	t.Setenv("SSLKEYLOGFILE", "")
	if w, err := KeyLogFromEnv(); w != nil || err != nil {
		t.Errorf("variable not set: %v, %v", w, err)
	}
	t.Setenv("SSLKEYLOGFILE", path)
	for _, line := range []string{"one\n", "two\n"} {
		w, err := KeyLogFromEnv()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(line)); err != nil {
			t.Error(err)
		}
		w.Close()
	}
	if b, _ := os.ReadFile(path); string(b) != "one\ntwo\n" {
		t.Errorf("file holds %q, want both lines", b)
	}
	if info, _ := os.Stat(path); info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, want 0600", info.Mode())
	}
	t.Setenv("SSLKEYLOGFILE", filepath.Join(path, "impossible"))
	if _, err := KeyLogFromEnv(); err == nil {
		t.Error("an impossible path was accepted")
	}
}
