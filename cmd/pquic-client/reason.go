package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/pquic-go/pquic/cmd/internal/cliutil"
	"github.com/pquic-go/pquic/cmd/internal/download"
	"github.com/pquic-go/pquic/core"
	"github.com/pquic-go/pquic/hoststack"
	"github.com/pquic-go/pquic/hoststack/hq"
	"github.com/pquic-go/pquic/hoststack/http3"
)

// A connectError is why there is no connection to a server.
type connectError struct {
	code int
	text string
}

func (e *connectError) Error() string { return e.text }

// ExitCode tells cliutil the exit code.
func (e *connectError) ExitCode() int { return e.code }

func connectErrorf(code int, format string, args ...any) error {
	return &connectError{code, fmt.Sprintf(format, args...)}
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

// explainDial says why a connection could not be made, and what would help.
func (c *connector) explainDial(addr string, err error) error {
	if e := explainTrust(err); e != nil {
		return e
	}
	var dns *net.DNSError
	var transport *core.TransportError
	switch {
	case errors.As(err, &dns) && dns.IsNotFound:
		return connectErrorf(exitNetwork, "the name %q is unknown", dns.Name)
	case errors.As(err, &dns):
		return connectErrorf(exitNetwork, "looking up the name %q failed: %s", dns.Name, dns.Err)
	case errors.Is(err, core.ErrHandshakeTimeout), errors.Is(err, core.ErrIdleTimeout), errors.Is(err, context.DeadlineExceeded):
		return connectErrorf(exitNetwork, "no answer from UDP %s within %v: is a QUIC server there, and do firewalls let UDP through?", addr, c.o.connectTimeout)
	case errors.Is(err, syscall.ENETUNREACH), errors.Is(err, syscall.EHOSTUNREACH):
		return connectErrorf(exitNetwork, "there is no route to %s", addr)
	case errors.Is(err, syscall.EACCES), errors.Is(err, syscall.EPERM):
		return connectErrorf(exitNetwork, "this machine is not allowed to send to %s", addr)
	case errors.As(err, &transport):
		return c.explainTransport(transport)
	}
	return connectErrorf(exitNetwork, "no connection: %s", cliutil.OneLine(err))
}

// explainTransport says why a handshake was refused.
func (c *connector) explainTransport(e *core.TransportError) error {
	switch e.Code {
	case core.ConnectionRefused:
		return connectErrorf(exitNetwork, "the server refuses connections%s", because(e.Reason))
	case core.VersionNegotiationFailure:
		return connectErrorf(exitNetwork, "the server speaks no version of QUIC that this program speaks")
	case cryptoError + alertNoApplicationProtocol:
		return connectErrorf(exitNetwork, "the server does not speak %s: try another --alpn", c.o.alpn)
	case cryptoError + alertCertificateRequired:
		return connectErrorf(exitTrust, "the server wants a client certificate: give --cert and --key")
	case cryptoError + alertBadCertificate, cryptoError + alertUnknownCA:
		if e.Remote {
			return connectErrorf(exitTrust, "the server does not trust our certificate%s", because(e.Reason))
		}
		return connectErrorf(exitTrust, "the server's certificate is not trusted%s", because(e.Reason))
	case cryptoError + alertUnrecognizedName:
		return connectErrorf(exitNetwork, "the server does not know this name%s", because(e.Reason))
	case cryptoError + alertHandshakeFailure, cryptoError + alertProtocolVersion:
		return connectErrorf(exitNetwork, "no common way to encrypt%s", because(e.Reason))
	}
	return connectErrorf(exitNetwork, "%s", strings.TrimPrefix(e.Error(), "quic: "))
}

func because(reason string) string {
	if reason == "" {
		return ""
	}
	return ": " + reason
}

// explainTrust says why a server was not believed; nil if it was.
func explainTrust(err error) error {
	if errors.Is(err, hoststack.ErrPin) {
		return connectErrorf(exitTrust, "the server's key is not the pinned one%s", because(after(err.Error(), hoststack.ErrPin.Error()+": ")))
	}
	var verify *tls.CertificateVerificationError
	if !errors.As(err, &verify) {
		return nil
	}
	help := "if it is the right server, trust it by --ca FILE or --insecure"
	if len(verify.UnverifiedCertificates) > 0 {
		help = "if it is the right server, trust it by --pin " + hoststack.SPKIHash(verify.UnverifiedCertificates[0])
	}
	var host x509.HostnameError
	var invalid x509.CertificateInvalidError
	var unknown x509.UnknownAuthorityError
	switch {
	case errors.As(verify.Err, &host):
		return connectErrorf(exitTrust, "the server's certificate is for another name: %s", strings.TrimPrefix(host.Error(), "x509: "))
	case errors.As(verify.Err, &invalid) && invalid.Reason == x509.Expired:
		return connectErrorf(exitTrust, "the server's certificate is not valid today, but from %s to %s",
			invalid.Cert.NotBefore.Format(time.DateOnly), invalid.Cert.NotAfter.Format(time.DateOnly))
	case errors.As(verify.Err, &unknown):
		return connectErrorf(exitTrust, "the server's certificate is signed by nobody we trust: %s", help)
	}
	return connectErrorf(exitTrust, "the server's certificate is not trusted: %s: %s", strings.TrimPrefix(verify.Err.Error(), "x509: "), help)
}

// after returns what follows the last occurrence of a text.
func after(s, text string) string {
	if i := strings.LastIndex(s, text); i >= 0 {
		return s[i+len(text):]
	}
	return ""
}

// explain says why a URL could not be fetched; its exit code comes with it.
func (c *connector) explain(err error) error {
	var connect *connectError
	var file *download.FileError
	var status *download.StatusError
	var length *download.LengthError
	var stream *http3.StreamError
	switch {
	case errors.As(err, &connect):
		return connect
	case errors.As(err, &file):
		return cliutil.Exit(exitFile, fileReason(file.Err))
	case errors.As(err, &status):
		return cliutil.Exit(exitStatus, status)
	case errors.As(err, &stream) && c.o.alpn == hq.NextProto && uint64(stream.Code) == hq.CodeNotFound:
		return cliutil.Exit(exitStatus, errors.New("the server has no such file (it reset the stream)"))
	case errors.As(err, &stream) && c.o.alpn == hq.NextProto:
		return cliutil.Exit(exitStatus, fmt.Errorf("the server reset the stream with code %d", uint64(stream.Code)))
	case errors.As(err, &stream):
		return cliutil.Exit(exitNetwork, fmt.Errorf("the server aborted the response: %v", stream.Code))
	}
	if lost := c.explainLoss(err); lost != nil {
		return lost
	}
	if errors.As(err, &length) {
		return cliutil.Exit(exitNetwork, length)
	}
	return cliutil.Exit(cliutil.ExitFailure, plain(err))
}

// explainLoss says how a connection ended; nil if it did not.
func (c *connector) explainLoss(err error) error {
	var transport *core.TransportError
	var closed *http3.ConnError
	switch {
	case errors.Is(err, core.ErrIdleTimeout):
		return cliutil.Exit(exitNetwork, fmt.Errorf("the connection broke: nothing came from the server for %v", c.o.quic.IdleTimeout))
	case errors.Is(err, core.ErrStatelessReset):
		return cliutil.Exit(exitNetwork, errors.New("the connection broke: the server does not know it any more; was it restarted?"))
	case errors.As(err, &closed) && closed.Remote:
		return cliutil.Exit(exitNetwork, fmt.Errorf("the server closed the connection: %v%s", closed.Code, because(closed.Reason)))
	case errors.As(err, &transport):
		return cliutil.Exit(exitNetwork, fmt.Errorf("the connection broke: %s", strings.TrimPrefix(transport.Error(), "quic: ")))
	case errors.Is(err, core.ErrNoPath):
		return cliutil.Exit(exitNetwork, errors.New("the connection broke: no way to the server is left"))
	}
	return nil
}

// fileReason words the system's errors about files.
func fileReason(err error) error {
	var pathError *fs.PathError
	if !errors.As(err, &pathError) {
		return err
	}
	switch {
	case errors.Is(err, syscall.ENOSPC):
		return fmt.Errorf("%s: the disk is full", pathError.Path)
	case errors.Is(err, syscall.EPIPE):
		return errors.New("whoever read standard output has gone")
	case errors.Is(err, os.ErrPermission):
		return fmt.Errorf("%s: no permission to write", pathError.Path)
	}
	return err
}

// plain leaves out what package net/http puts in front: the URL, which is there
// already.
func plain(err error) error {
	var u interface{ Unwrap() error }
	if strings.HasPrefix(err.Error(), "Get \"") && errors.As(err, &u) && u.Unwrap() != nil {
		return u.Unwrap()
	}
	return err
}
