package http3

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"

	"github.com/pquic-go/pquic/hoststack"
)

// hostConfig returns a hoststack.Config for HTTP/3: base, if not nil, with the
// TLS configuration and ALPN in place.
func hostConfig(base *hoststack.Config, cfg *tls.Config) *hoststack.Config {
	var c hoststack.Config
	if base != nil {
		c = *base
	}
	if cfg != nil {
		c.TLS = cfg
	} else if c.TLS == nil {
		c.TLS = c.Core.TLS
	}
	if c.TLS == nil {
		c.TLS = new(tls.Config)
	}
	c.TLS = c.TLS.Clone()
	c.TLS.NextProtos = []string{NextProtoH3}
	c.TLS.MinVersion = tls.VersionTLS13
	return &c
}

// ListenAndServe listens on Addr and serves HTTP/3 there until Shutdown or
// Close, with the certificates of TLSConfig.
func (s *Server) ListenAndServe() error {
	if s.TLSConfig == nil || len(s.TLSConfig.Certificates) == 0 && s.TLSConfig.GetCertificate == nil && s.TLSConfig.GetConfigForClient == nil {
		return errors.New("http3: Server.TLSConfig has no certificate")
	}
	l, err := hoststack.Listen(context.Background(), "udp", or(s.Addr, ":443"), hostConfig(s.QUIC, s.TLSConfig))
	if err != nil {
		return err
	}
	return s.serveAndClose(l)
}

// serveAndClose serves l and closes it once all its connections have ended,
// which they have soon after Shutdown or Close.
func (s *Server) serveAndClose(l *hoststack.Listener) error {
	err := s.Serve(NewListener(l))
	if !errors.Is(err, ErrServerClosed) {
		return errors.Join(err, l.Close())
	}
	_, idle := s.beginShutdown()
	<-idle
	return errors.Join(err, l.Close())
}

// ListenAndServeTLS is ListenAndServe with the certificate of two PEM files.
func (s *Server) ListenAndServeTLS(certFile, keyFile string) error {
	if err := s.loadCertificate(certFile, keyFile); err != nil {
		return err
	}
	return s.ListenAndServe()
}

func (s *Server) loadCertificate(certFile, keyFile string) error {
	cert, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		return fmt.Errorf("http3: loading the certificate %s with the key %s: %w", certFile, keyFile, err)
	}
	cfg := new(tls.Config)
	if s.TLSConfig != nil {
		cfg = s.TLSConfig.Clone()
	}
	cfg.Certificates = []tls.Certificate{cert}
	s.TLSConfig = cfg
	return nil
}

// altSvcMaxAge is how long clients may remember an advertisement, in seconds.
const altSvcMaxAge = 86400

// AltSvc is middleware for the TCP listeners of a server that also speaks
// HTTP/3: its responses say so, and browsers come back by QUIC. port is the
// UDP port.
//
// "An HTTP origin can advertise the availability of an equivalent HTTP/3
// endpoint via the Alt-Svc HTTP response header field […] using the "h3" ALPN
// token."
// https://www.rfc-editor.org/rfc/rfc9114#section-3.1.1
func AltSvc(port int, next http.Handler) http.Handler {
	value := `h3=":` + strconv.Itoa(port) + `"; ma=` + strconv.Itoa(altSvcMaxAge)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor < 3 {
			w.Header().Set("Alt-Svc", value)
		}
		next.ServeHTTP(w, r)
	})
}

// TCPServer returns a server for the same handler and certificates over TCP,
// with HTTP/1.1 and HTTP/2, that advertises HTTP/3 on the given UDP port. Start
// it with ServeTLS(listener, "", "").
func (s *Server) TCPServer(port int) *http.Server {
	handler := s.Handler
	if handler == nil {
		handler = http.DefaultServeMux
	}
	cfg := new(tls.Config)
	if s.TLSConfig != nil {
		cfg = s.TLSConfig.Clone()
	}
	cfg.NextProtos = []string{"h2", "http/1.1"}
	return &http.Server{
		Handler:           AltSvc(port, handler),
		TLSConfig:         cfg,
		MaxHeaderBytes:    or(s.MaxHeaderBytes, DefaultMaxHeaderBytes),
		ReadHeaderTimeout: max(0, or(s.ReadHeaderTimeout, defaultReadHeaderTimeout)),
		ReadTimeout:       s.ReadTimeout,
		WriteTimeout:      s.WriteTimeout,
	}
}

// ListenAndServe serves handler over HTTP/3 and, on the same port, over TCP
// with HTTP/1.1 and HTTP/2, which point browsers to HTTP/3. It returns when
// either fails.
func ListenAndServe(addr, certFile, keyFile string, handler http.Handler) error {
	s := &Server{Handler: handler}
	if err := s.loadCertificate(certFile, keyFile); err != nil {
		return err
	}
	udp, err := hoststack.Listen(context.Background(), "udp", addr, hostConfig(nil, s.TLSConfig))
	if err != nil {
		return err
	}
	// The address UDP got, so that port 0 is one port for both.
	tcp, err := net.Listen("tcp", udp.Addr().String())
	if err != nil {
		return errors.Join(err, udp.Close())
	}
	tcpServer := s.TCPServer(udp.Addr().(*net.UDPAddr).Port)
	failed := make(chan error, 2)
	go func() { failed <- s.serveAndClose(udp) }()
	go func() { failed <- tcpServer.ServeTLS(tcp, "", "") }()
	err = <-failed
	return errors.Join(err, tcpServer.Close(), s.Close())
}

// dialUDP is the Dial of a Transport that has none.
func (t *Transport) dialUDP(ctx context.Context, addr string, cfg *tls.Config) (Conn, error) {
	c := hostConfig(t.QUIC, cfg)
	c.Early = c.Early || t.EnableEarlyData
	// "HTTP/3 does not use server-initiated bidirectional streams": none may come.
	// https://www.rfc-editor.org/rfc/rfc9114#section-6.1
	c.Core.MaxBidiStreams = -1
	conn, err := hoststack.Dial(ctx, "udp", addr, c)
	if err != nil {
		return nil, err
	}
	return NewConn(conn), nil
}
