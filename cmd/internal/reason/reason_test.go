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
	"testing"
	"time"

	"github.com/pquic-go/pquic/core"
	"github.com/pquic-go/pquic/hoststack"
)

func TestConnect(t *testing.T) {
	cert, err := hoststack.SelfSigned(nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	unverified := func(err error) error {
		return &tls.CertificateVerificationError{UnverifiedCertificates: []*x509.Certificate{cert.Leaf}, Err: err}
	}
	transport := func(code core.TransportErrorCode, remote bool) error {
		return &hoststack.ConnError{Err: &core.TransportError{Code: code, Reason: "the reason", Remote: remote}}
	}
	pin := "--pin " + hoststack.SPKIHash(cert.Leaf)
	for _, c := range []struct {
		err   error
		trust bool
		want  string
	}{
		{&net.DNSError{Name: "nowhere", IsNotFound: true}, false, `the name "nowhere" is unknown`},
		{&net.DNSError{Name: "nowhere", Err: "timeout"}, false, `looking up the name "nowhere" failed: timeout`},
		{&net.AddrError{Err: "no suitable address found", Addr: "::1"}, false, "no address of host:443 is of the family asked for"},
		{core.ErrHandshakeTimeout, false, "no answer from UDP host:443 within 10s"},
		{context.DeadlineExceeded, false, "no answer from UDP host:443 within 10s"},
		{fmt.Errorf("send: %w", syscall.ENETUNREACH), false, "there is no route to host:443"},
		{fmt.Errorf("send: %w", syscall.EPERM), false, "not allowed to send to host:443"},
		{transport(core.ConnectionRefused, true), false, "the server refuses connections: the reason"},
		{transport(core.VersionNegotiationFailure, false), false, "no version of QUIC"},
		{transport(cryptoError+alertNoApplicationProtocol, true), false, "the server does not speak h3: try another"},
		{transport(cryptoError+alertHandshakeFailure, true), false, "no common way to encrypt: the reason"},
		{transport(cryptoError+alertUnrecognizedName, true), false, "the server does not know this name"},
		{transport(cryptoError+alertCertificateRequired, true), true, "give --cert and --key"},
		{transport(cryptoError+alertBadCertificate, true), true, "the server does not trust our certificate: the reason"},
		{transport(cryptoError+alertBadCertificate, false), true, "the server's certificate is not trusted: the reason"},
		{transport(core.ProtocolViolation, true), false, "PROTOCOL_VIOLATION"},
		{fmt.Errorf("%w: it is ABC", hoststack.ErrPin), true, "not the pinned one: it is ABC"},
		{unverified(x509.UnknownAuthorityError{Cert: cert.Leaf}), true, pin},
		{unverified(x509.HostnameError{Certificate: cert.Leaf, Host: "other"}), true, "is for another name"},
		{unverified(x509.CertificateInvalidError{Cert: cert.Leaf, Reason: x509.Expired}), true, "is not valid today, but from"},
		{unverified(errors.New("x509: odd")), true, "is not trusted: odd"},
		{errors.New("a\nb"), false, "no connection to host:443: a; b"},
	} {
		got := Dialling{Addr: "host:443", ALPN: "h3", Timeout: 10 * time.Second, OtherALPN: ": try another"}.Connect(c.err)
		var connect *ConnectError
		if !errors.As(got, &connect) || connect.Trust != c.trust || !strings.Contains(got.Error(), c.want) || strings.Contains(got.Error(), "\n") {
			t.Errorf("%v: got %q, want %q, trust %v", c.err, got, c.want, c.trust)
		}
	}
}

func TestLoss(t *testing.T) {
	for _, c := range []struct {
		err  error
		want string // "": not a loss
	}{
		{core.ErrIdleTimeout, "nothing came from the server for 30s"},
		{core.ErrStatelessReset, "was it restarted?"},
		{core.ErrNoPath, "no way to the server is left"},
		{&core.TransportError{Code: core.FlowControlError, Remote: true}, "FLOW_CONTROL_ERROR"},
		{&core.TransportError{Code: cryptoError + alertCertificateRequired, Remote: true}, "give --cert and --key"},
		{&core.ApplicationError{Code: 7, Reason: "bye", Remote: true}, "with code 0x7: bye"},
		{&core.ApplicationError{Code: 7}, ""},
		{errors.New("else"), ""},
	} {
		got := Loss(c.err, 30*time.Second)
		if (got == nil) != (c.want == "") || got != nil && !strings.Contains(got.Error(), c.want) {
			t.Errorf("%v: got %v, want %q", c.err, got, c.want)
		}
	}
}
