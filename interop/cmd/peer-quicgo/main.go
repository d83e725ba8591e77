// Command peer-quicgo is an endpoint of the interoperability runner on quic-go. Unlike the one that
// quic-go ships it takes its paths and addresses from the environment, prints a line when it is ready and can
// speak HTTP/3 in every test case:
//
//	ROLE        client or server
//	TESTCASE    name of the test case
//	REQUESTS    URLs, separated by spaces (client)
//	LISTEN      UDP address (server)
//	CERTS       directory with cert.pem, priv.key and ca.pem
//	WWW         directory to serve
//	DOWNLOADS   directory to write to
//	ALPN        h3 or hq-interop; by default what the test case asks for
//	SSLKEYLOGFILE, QLOGDIR as usual
//
// It exits with 0 on success, 1 on failure and 127 if it does not support the test case.
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
	"github.com/quic-go/quic-go/qlog"
)

const alpnHQ = "hq-interop"

var errUnsupported = errors.New("unsupported test case")

// environment is what the runner says.
type environment struct {
	testcase, listen, certs, www, downloads string
	urls                                    []string
	alpn                                    string
}

func main() {
	err := run()
	switch {
	case errors.Is(err, errUnsupported):
		fmt.Fprintln(os.Stderr, err)
		os.Exit(127)
	case err != nil:
		fmt.Fprintln(os.Stderr, "peer-quicgo:", err)
		os.Exit(1)
	}
}

func run() error {
	e := environment{
		testcase: os.Getenv("TESTCASE"), listen: os.Getenv("LISTEN"), certs: os.Getenv("CERTS"),
		www: os.Getenv("WWW"), downloads: os.Getenv("DOWNLOADS"), alpn: os.Getenv("ALPN"),
		urls: strings.Fields(os.Getenv("REQUESTS")),
	}
	if e.alpn == "" {
		e.alpn = alpnHQ
		if e.testcase == "http3" {
			e.alpn = http3.NextProtoH3
		}
	}
	t := &tls.Config{NextProtos: []string{e.alpn}}
	if name := os.Getenv("SSLKEYLOGFILE"); name != "" {
		f, err := os.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
		if err != nil {
			return err
		}
		defer f.Close()
		t.KeyLogWriter = f
	}
	switch role := os.Getenv("ROLE"); role {
	case "client":
		return runClient(&e, t)
	case "server":
		return runServer(&e, t)
	default:
		return fmt.Errorf("ROLE=%q: want client or server", role)
	}
}

// config is the configuration for a test case, the same on both sides.
func (e *environment) config() *quic.Config {
	c := &quic.Config{Tracer: qlog.DefaultConnectionTracer, MaxIncomingStreams: 100, Allow0RTT: e.testcase == "zerortt"}
	if e.testcase == "v2" {
		// quic-go does not negotiate between compatible versions: it starts with version 2.
		c.Versions = []quic.Version{quic.Version2, quic.Version1}
	}
	return c
}

// supported reports whether the side can do a test case.
func supported(testcase string, server bool) bool {
	both := []string{"handshake", "transfer", "chacha20", "retry", "resumption", "zerortt", "http3", "multiconnect", "ecn", "v2", "keyupdate"}
	return slices.Contains(both, testcase) || testcase == "migration" && !server
}

// roots is the authority that signed the server's certificate.
func (e *environment) roots() (*x509.CertPool, error) {
	pem, err := os.ReadFile(filepath.Join(e.certs, "ca.pem"))
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("no certificate in %s", filepath.Join(e.certs, "ca.pem"))
	}
	return pool, nil
}

var background = context.Background()
