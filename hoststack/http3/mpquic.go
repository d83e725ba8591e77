package http3

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"sync"

	"github.com/pquic-go/pquic/hoststack"
)

// The shapes by which programs written for mp-quic use HTTP over QUIC. They
// are thin: everything they do, [Server] and [Transport] do.

// ListenAndServeQUIC serves handler over HTTP/3 on a UDP address, with the
// certificate of two PEM files. It returns only with an error.
func ListenAndServeQUIC(addr, certFile, keyFile string, handler http.Handler) error {
	s := &Server{Addr: addr, Handler: handler}
	return s.ListenAndServeTLS(certFile, keyFile)
}

// A QuicRoundTripper is an http.RoundTripper over QUIC that may use several
// addresses of this host and of the server. The zero QuicRoundTripper uses one
// of each, chosen by the system.
//
// The first local address carries the handshake; what more there are, and
// the further addresses of the server, are handed to Paths with each new
// connection, for an extension that knows what to do with them.
type QuicRoundTripper struct {
	TLSClientConfig    *tls.Config
	DisableCompression bool
	// QUIC configures the connections; its TLS, ALPN and Transport are replaced.
	// May be nil.
	QUIC *hoststack.Config
	// LocalIPs are this host's addresses, without port; none means any.
	LocalIPs []string
	// RemoteIPs are further addresses of the server, "ip:port".
	RemoteIPs []string
	// Paths is told of a new connection and the addresses it might use beyond
	// those of the handshake, in order. Nil, the addresses are not used.
	Paths func(c *hoststack.Conn, localIPs, remoteIPs []string)

	once      sync.Once
	transport *Transport
	host      *hoststack.Transport // on LocalIPs[0]
	err       error
}

// NewQuicRoundTripper returns a QuicRoundTripper for the given addresses.
func NewQuicRoundTripper(localIPs, remoteIPs []string, tlsConfig *tls.Config) *QuicRoundTripper {
	return &QuicRoundTripper{LocalIPs: localIPs, RemoteIPs: remoteIPs, TLSClientConfig: tlsConfig}
}

// RoundTrip implements http.RoundTripper.
func (q *QuicRoundTripper) RoundTrip(req *http.Request) (*http.Response, error) {
	q.once.Do(q.init)
	if q.err != nil {
		closeBody(req)
		return nil, q.err
	}
	return q.transport.RoundTrip(req)
}

func (q *QuicRoundTripper) init() {
	q.transport = &Transport{
		TLSClientConfig:    q.TLSClientConfig,
		DisableCompression: q.DisableCompression,
		QUIC:               q.QUIC,
	}
	if len(q.LocalIPs) > 0 {
		q.host, q.err = hoststack.NewTransport("udp", net.JoinHostPort(q.LocalIPs[0], "0"), q.QUIC)
		if q.err != nil {
			return
		}
		var c hoststack.Config
		if q.QUIC != nil {
			c = *q.QUIC
		}
		c.Transport = q.host
		q.transport.QUIC = &c
	}
	if q.Paths != nil {
		q.transport.Dial = func(ctx context.Context, addr string, cfg *tls.Config) (Conn, error) {
			conn, err := q.transport.dialUDP(ctx, addr, cfg)
			if err != nil {
				return nil, err
			}
			if c, ok := HostConn(conn); ok {
				var more []string
				if len(q.LocalIPs) > 1 {
					more = q.LocalIPs[1:]
				}
				q.Paths(c, more, q.RemoteIPs)
			}
			return conn, nil
		}
	}
}

// CloseIdleConnections closes the connections that have no request.
func (q *QuicRoundTripper) CloseIdleConnections() {
	q.once.Do(q.init)
	if q.transport != nil {
		q.transport.CloseIdleConnections()
	}
}

// Close closes all connections at once; later requests fail.
func (q *QuicRoundTripper) Close() error {
	q.once.Do(q.init)
	err := q.transport.Close()
	if q.host != nil {
		err = errors.Join(err, q.host.Close())
	}
	return err
}

var (
	_ http.RoundTripper = (*Transport)(nil)
	_ http.RoundTripper = (*QuicRoundTripper)(nil)
	_ http.RoundTripper = (*ClientConn)(nil)
)
