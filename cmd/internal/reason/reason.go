// Package reason says in a sentence why there is no connection, or none any
// more, and what would help.
package reason

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"
	"time"

	"github.com/pquic-go/pquic/cmd/internal/cliutil"
	"github.com/pquic-go/pquic/core"
	"github.com/pquic-go/pquic/hoststack"
)

// A ConnectError is why there is no connection to a server.
type ConnectError struct {
	Trust bool // the server or the client was not believed
	Text  string
}

func (e *ConnectError) Error() string { return e.Text }

func networkError(format string, args ...any) error {
	return &ConnectError{false, fmt.Sprintf(format, args...)}
}

func trustError(format string, args ...any) error {
	return &ConnectError{true, fmt.Sprintf(format, args...)}
}

// TLS alerts with a meaning for the user.
// https://www.rfc-editor.org/rfc/rfc8446#section-6
const (
	cryptoError                = 0x100 // the transport error codes of alerts begin here
	alertHandshakeFailure      = 40
	alertBadCertificate        = 42
	alertUnknownCA             = 48
	alertProtocolVersion       = 70
	alertUnrecognizedName      = 112
	alertCertificateRequired   = 116
	alertNoApplicationProtocol = 120
)

// A Dialling is what was attempted.
type Dialling struct {
	Addr    string // HOST:PORT
	ALPN    string
	Timeout time.Duration
	// OtherALPN is what to try if the server does not speak ALPN, "" if there is
	// nothing.
	OtherALPN string
}

// Connect says why a connection could not be made. The result is a
// *ConnectError.
func (d Dialling) Connect(err error) error {
	if e := trust(err); e != nil {
		return e
	}
	var dns *net.DNSError
	var addr *net.AddrError
	var transport *core.TransportError
	switch {
	case errors.As(err, &dns) && dns.IsNotFound:
		return networkError("the name %q is unknown", dns.Name)
	case errors.As(err, &dns):
		return networkError("looking up the name %q failed: %s", dns.Name, dns.Err)
	case errors.As(err, &addr):
		return networkError("no address of %s is of the family asked for: want --ipv4, --ipv6 or neither", d.Addr)
	case errors.Is(err, core.ErrHandshakeTimeout), errors.Is(err, core.ErrIdleTimeout), errors.Is(err, context.DeadlineExceeded):
		return networkError("no answer from UDP %s within %v: is a QUIC server there, and do firewalls let UDP through?", d.Addr, d.Timeout)
	case errors.Is(err, syscall.ENETUNREACH), errors.Is(err, syscall.EHOSTUNREACH):
		return networkError("there is no route to %s", d.Addr)
	case errors.Is(err, syscall.EACCES), errors.Is(err, syscall.EPERM):
		return networkError("this machine is not allowed to send to %s", d.Addr)
	case errors.As(err, &transport):
		return d.transport(transport)
	}
	return networkError("no connection to %s: %s", d.Addr, cliutil.OneLine(err))
}

// transport says why a handshake was refused.
func (d Dialling) transport(e *core.TransportError) error {
	if err := certificate(e); err != nil {
		return err
	}
	switch e.Code {
	case core.ConnectionRefused:
		return networkError("the server refuses connections%s", because(e.Reason))
	case core.VersionNegotiationFailure:
		return networkError("the server speaks no version of QUIC that this program speaks")
	case cryptoError + alertNoApplicationProtocol:
		return networkError("the server does not speak %s%s", d.ALPN, d.OtherALPN)
	case cryptoError + alertUnrecognizedName:
		return networkError("the server does not know this name%s", because(e.Reason))
	case cryptoError + alertHandshakeFailure, cryptoError + alertProtocolVersion:
		return networkError("no common way to encrypt%s", because(e.Reason))
	}
	return networkError("%s", strings.TrimPrefix(e.Error(), "quic: "))
}

// certificate says what is wrong with a certificate, nil if it is about
// something else.
func certificate(e *core.TransportError) error {
	switch {
	case e.Code == cryptoError+alertCertificateRequired:
		return trustError("the server wants a client certificate: give --cert and --key")
	case e.Code != cryptoError+alertBadCertificate && e.Code != cryptoError+alertUnknownCA:
		return nil
	case e.Remote:
		return trustError("the server does not trust our certificate%s", because(e.Reason))
	}
	return trustError("the server's certificate is not trusted%s", because(e.Reason))
}

func because(reason string) string {
	if reason == "" {
		return ""
	}
	return ": " + reason
}

// trust says why a server was not believed; nil if it was.
func trust(err error) error {
	if errors.Is(err, hoststack.ErrPin) {
		return trustError("the server's key is not the pinned one%s", because(after(err.Error(), hoststack.ErrPin.Error()+": ")))
	}
	var verify *tls.CertificateVerificationError
	if !errors.As(err, &verify) {
		return nil
	}
	help := "if it is the right server, trust it by --ca FILE"
	if len(verify.UnverifiedCertificates) > 0 {
		help = "if it is the right server, trust it by --pin " + hoststack.SPKIHash(verify.UnverifiedCertificates[0])
	}
	var host x509.HostnameError
	var invalid x509.CertificateInvalidError
	var unknown x509.UnknownAuthorityError
	switch {
	case errors.As(verify.Err, &host):
		return trustError("the server's certificate is for another name: %s: %s", strings.TrimPrefix(host.Error(), "x509: "), help)
	case errors.As(verify.Err, &invalid) && invalid.Reason == x509.Expired:
		return trustError("the server's certificate is not valid today, but from %s to %s",
			invalid.Cert.NotBefore.Format(time.DateOnly), invalid.Cert.NotAfter.Format(time.DateOnly))
	case errors.As(verify.Err, &unknown):
		return trustError("the server's certificate is signed by nobody we trust: %s", help)
	}
	return trustError("the server's certificate is not trusted: %s: %s", strings.TrimPrefix(verify.Err.Error(), "x509: "), help)
}

// after returns what follows the last occurrence of a text.
func after(s, text string) string {
	if i := strings.LastIndex(s, text); i >= 0 {
		return s[i+len(text):]
	}
	return ""
}

// Loss says how a connection that was there has ended; nil if err is about
// something else. idle is the idle timeout.
func Loss(err error, idle time.Duration) error {
	var transport *core.TransportError
	var application *core.ApplicationError
	switch {
	case errors.Is(err, core.ErrIdleTimeout):
		return fmt.Errorf("the connection broke: nothing came from the server for %v", idle)
	case errors.Is(err, core.ErrStatelessReset):
		return errors.New("the connection broke: the server does not know it any more; was it restarted?")
	case errors.Is(err, core.ErrNoPath):
		return errors.New("the connection broke: no way to the server is left")
	case errors.As(err, &transport) && certificate(transport) != nil:
		// A server looks at the client's certificate only after the handshake is
		// complete for the client.
		return certificate(transport)
	case errors.As(err, &transport):
		return fmt.Errorf("the connection broke: %s", strings.TrimPrefix(transport.Error(), "quic: "))
	case errors.As(err, &application) && application.Remote:
		return fmt.Errorf("the server closed the connection with code 0x%x%s", application.Code, because(application.Reason))
	}
	return nil
}
