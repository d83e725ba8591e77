// Package certs gives servers their certificates: from files, from a directory,
// or made on the spot.
package certs

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"

	"github.com/urfave/cli/v2"

	"github.com/pquic-go/pquic/cmd/internal/cliutil"
	"github.com/pquic-go/pquic/hoststack"
)

// Options are the flags' values.
type Options struct {
	Cert, Key, CertPath string
}

// Flags returns the flags that set o.
func (o *Options) Flags() []cli.Flag {
	const category = "CERTIFICATE (without any, one is made that vouches for itself)"
	return []cli.Flag{
		cliutil.Flag{Name: "cert", Category: category, Usage: "certificate chain, a PEM `FILE`, the server's own first; reread when it changes"}.String(&o.Cert),
		cliutil.Flag{Name: "key", Category: category, Usage: "its private key, a PEM `FILE`"}.String(&o.Key),
		cliutil.Flag{
			Name: "certpath", Category: category,
			Usage: "`DIR` with fullchain.pem and privkey.pem, or with several NAME.crt and NAME.key, of which the client's server name chooses",
		}.String(&o.CertPath),
	}
}

// A Source is where a server's certificates come from.
type Source struct {
	// SelfSigned tells that the certificate was made here, for the lifetime of
	// the process.
	SelfSigned bool

	store *hoststack.CertStore
	own   tls.Certificate
}

// Load finds the certificates. host is where the server listens; a certificate
// made here is valid for it and for localhost.
func (o *Options) Load(host string, log *slog.Logger) (*Source, error) {
	switch {
	case o.CertPath != "" && (o.Cert != "" || o.Key != ""):
		return nil, cliutil.Usagef("--certpath and --cert with --key exclude each other: give one or the other")
	case o.Cert != "" && o.Key == "":
		return nil, cliutil.Usagef("--cert needs --key FILE, the certificate's private key")
	case o.Key != "" && o.Cert == "":
		return nil, cliutil.Usagef("--key needs --cert FILE, the certificate of this key")
	case o.Cert != "":
		if err := checkPair(o.Cert, o.Key); err != nil {
			return nil, err
		}
		store, err := hoststack.NewCertStore(o.Cert, o.Key)
		return source(store, log), err
	case o.CertPath != "":
		if err := checkDir(o.CertPath); err != nil {
			return nil, err
		}
		store, err := hoststack.NewCertDirStore(o.CertPath)
		if err != nil {
			return nil, fmt.Errorf("--certpath: %w", err)
		}
		return source(store, log), nil
	}
	own, err := hoststack.SelfSigned(hostNames(host), 0)
	return &Source{SelfSigned: true, own: own}, err
}

func source(store *hoststack.CertStore, log *slog.Logger) *Source {
	if store != nil {
		store.OnError = func(err error) { log.Error("keeping the old certificate", "error", err) }
	}
	return &Source{store: store}
}

// checkPair says which of two files is not what it should be.
func checkPair(cert, key string) error {
	certPEM, err := os.ReadFile(cert)
	if err != nil {
		return fmt.Errorf("--cert: %w", err)
	}
	keyPEM, err := os.ReadFile(key)
	if err != nil {
		return fmt.Errorf("--key: %w", err)
	}
	if _, err := tls.X509KeyPair(certPEM, keyPEM); err != nil {
		return fmt.Errorf("--cert %s with --key %s: %w", cert, key, err)
	}
	return nil
}

func checkDir(dir string) error {
	info, err := os.Stat(dir)
	if err != nil {
		return fmt.Errorf("--certpath: %w", err)
	}
	if !info.IsDir() {
		return fmt.Errorf("--certpath %s: is a file, want the directory that holds fullchain.pem and privkey.pem", filepath.Clean(dir))
	}
	return nil
}

// hostNames are the names a self-signed certificate is valid for.
func hostNames(host string) []string {
	names := []string{"localhost", "127.0.0.1", "::1"}
	ip := net.ParseIP(host)
	switch {
	case host == "" || ip != nil && ip.IsUnspecified():
		if name, err := os.Hostname(); err == nil {
			names = append(names, name)
		}
	case ip != nil && !ip.IsLoopback() || ip == nil && host != "localhost":
		names = append(names, host)
	}
	return names
}

// TLS returns a server's configuration.
func (s *Source) TLS(alpn []string) *tls.Config {
	c := &tls.Config{NextProtos: alpn, MinVersion: tls.VersionTLS13}
	if s.store != nil {
		c.GetCertificate = s.store.GetCertificate
	} else {
		c.Certificates = []tls.Certificate{s.own}
	}
	return c
}

// Reload looks at the files now.
func (s *Source) Reload() error {
	if s.store == nil {
		return nil
	}
	return s.store.Reload()
}

// Leaf returns the certificate that clients get which name no server.
func (s *Source) Leaf() (*x509.Certificate, error) {
	c := &s.own
	if s.store != nil {
		c = s.store.Certificates()[0]
	}
	if c.Leaf != nil {
		return c.Leaf, nil
	}
	return x509.ParseCertificate(c.Certificate[0])
}
