// Package trust holds the flags by which clients decide which server to
// believe.
package trust

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/urfave/cli/v2"

	"github.com/pquic-go/pquic/cmd/internal/cliutil"
	"github.com/pquic-go/pquic/hoststack"
)

// Options are the flags' values.
type Options struct {
	CA, Pins []string
	Insecure bool
}

// Flags returns the flags that set o.
func (o *Options) Flags() []cli.Flag {
	const category = "TRUST (by default in the system's certificate authorities)"
	return []cli.Flag{
		cliutil.Flag{Name: "ca", Category: category, Usage: "trust the certificate authorities in a PEM `FILE`, or a self-signed certificate there, instead; may be repeated"}.Strings(&o.CA, nil),
		cliutil.Flag{
			Name: "pin", Category: category,
			Usage: "trust exactly the server whose public key has this `HASH` (base64 of SHA-256, as pquic-server prints it), whoever signed its certificate; may be repeated",
		}.Strings(&o.Pins, checkPin),
		cliutil.Flag{Name: "insecure", Aliases: []string{"k"}, Category: category, Usage: "trust any server: anybody on the way can read and change everything"}.Bool(&o.Insecure),
	}
}

func checkPin(s string) error {
	if b, err := base64.StdEncoding.DecodeString(s); err != nil || len(b) != sha256.Size {
		return errors.New("want the base64 SHA-256 hash of a public key, 44 characters, as pquic-server prints it")
	}
	return nil
}

// TLS returns a client's configuration. keyLog may be nil.
func (o *Options) TLS(alpn []string, keyLog io.Writer) (*tls.Config, error) {
	c := &tls.Config{NextProtos: alpn, MinVersion: tls.VersionTLS13, KeyLogWriter: keyLog}
	switch {
	case o.Insecure && len(o.CA)+len(o.Pins) > 0:
		return nil, cliutil.Usagef("--insecure trusts any server, --ca and --pin do not: give one or the other")
	case len(o.CA) > 0 && len(o.Pins) > 0:
		return nil, cliutil.Usagef("--pin trusts a key whoever signed its certificate, which makes --ca useless: give one or the other")
	case o.Insecure:
		c.InsecureSkipVerify = true
	case len(o.Pins) > 0:
		if err := hoststack.PinSPKI(c, o.Pins...); err != nil {
			return nil, err
		}
	case len(o.CA) > 0:
		c.RootCAs = x509.NewCertPool()
		for _, name := range o.CA {
			pem, err := os.ReadFile(name)
			if err != nil {
				return nil, fmt.Errorf("--ca: %w", err)
			}
			if !c.RootCAs.AppendCertsFromPEM(pem) {
				return nil, fmt.Errorf("--ca %s: holds no certificate in PEM form (-----BEGIN CERTIFICATE-----)", name)
			}
		}
	}
	return c, nil
}
