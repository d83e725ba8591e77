package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/pquic-go/pquic/cmd/internal/certs"
	"github.com/pquic-go/pquic/cmd/internal/netaddr"
	"github.com/pquic-go/pquic/cmd/internal/quicflags"
	"github.com/pquic-go/pquic/cmd/internal/sdnotify"
	"github.com/pquic-go/pquic/cmd/internal/webroot"
	"github.com/pquic-go/pquic/core"
	"github.com/pquic-go/pquic/hoststack"
	"github.com/pquic-go/pquic/hoststack/hq"
	"github.com/pquic-go/pquic/hoststack/http3"
	"github.com/pquic-go/pquic/hoststack/perf"
)

// A server is the running program.
type server struct {
	o   *options
	log *slog.Logger

	root   *webroot.Root
	certs  *certs.Source
	setup  *quicflags.Setup
	counts counts

	listener *hoststack.Listener
	tcp      *http.Server // nil without --tcp
	admin    *adminServer // nil without --metrics

	h3   http3.Server
	hq   hq.Server
	perf perf.Server

	draining context.Context // ends when no new work is taken
	drain    context.CancelFunc
	conns    sync.WaitGroup
	failed   chan error // a listener that ended by itself
}

// run serves until a signal comes.
func run(ctx context.Context, o *options, stdout, stderr io.Writer) error {
	// Signals that come while the server starts are not lost.
	ending := make(chan os.Signal, 2)
	signal.Notify(ending, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(ending)

	s := &server{o: o, log: o.quic.Logger(stderr), failed: make(chan error, 3)}
	s.draining, s.drain = context.WithCancel(ctx)
	defer s.drain()
	defer s.close()
	if err := s.start(ctx); err != nil {
		return err
	}
	s.announce(stdout)
	sdnotify.Ready()

	hup := make(chan os.Signal, 1)
	notifyReload(hup)
	defer signal.Stop(hup)
	for {
		select {
		case <-hup:
			s.reload()
		case err := <-s.failed:
			return err
		case <-ctx.Done():
			return s.shutdown(ending)
		case sig := <-ending:
			s.log.Info("draining", "signal", sig.String(), "at most", o.drain.String())
			return s.shutdown(ending)
		}
	}
}

// start opens everything and begins to serve.
func (s *server) start(ctx context.Context) error {
	var err error
	if s.root, err = webroot.Open(s.o.www); err != nil {
		return fmt.Errorf("--www: %w", err)
	}
	host, _, err := net.SplitHostPort(s.o.listen)
	if err != nil {
		return err
	}
	if s.certs, err = s.o.certificates.Load(host, s.log); err != nil {
		return err
	}
	s.o.quic.Flows.Live = s.o.metrics != ""
	if s.setup, err = s.o.quic.Setup("pquic-server", s.log); err != nil {
		return err
	}
	if err := s.configure(); err != nil {
		return err
	}
	if s.o.metrics != "" {
		if s.admin, err = s.newAdmin(s.o.metrics); err != nil {
			return err
		}
	}
	tcp, err := s.listen(ctx)
	if err != nil {
		return err
	}
	go s.accept(ctx)
	if tcp != nil {
		s.tcp = s.h3.TCPServer(s.udpPort())
		s.tcp.ErrorLog = slog.NewLogLogger(s.log.Handler(), slog.LevelDebug)
		go func() {
			if err := s.tcp.ServeTLS(tcp, "", ""); !errors.Is(err, http.ErrServerClosed) {
				s.failed <- fmt.Errorf("the TCP server: %w", err)
			}
		}()
	}
	if s.admin != nil {
		go s.admin.serve(s.failed)
	}
	return nil
}

// configure completes the configurations of QUIC and the protocols.
func (s *server) configure() error {
	cfg := s.certs.TLS(s.o.alpn)
	cfg.KeyLogWriter = s.setup.KeyLog
	if s.o.clientCA != "" {
		pem, err := os.ReadFile(s.o.clientCA)
		if err != nil {
			return fmt.Errorf("--client-ca: %w", err)
		}
		cfg.ClientCAs, cfg.ClientAuth = x509.NewCertPool(), tls.RequireAndVerifyClientCert
		if !cfg.ClientCAs.AppendCertsFromPEM(pem) {
			return fmt.Errorf("--client-ca %s: holds no certificate in PEM form (-----BEGIN CERTIFICATE-----)", s.o.clientCA)
		}
	}
	c := s.setup.Config
	c.TLS, c.Workers = cfg, s.o.workers
	c.Core.MaxBidiStreams = int64(s.o.maxStreams)
	c.Core.Allow0RTT, c.Early = !s.o.no0RTT, !s.o.no0RTT
	c.Limits.Connections = s.o.maxConns
	c.Limits.HandshakesPerAddress = float64(s.o.perAddress)
	c.Limits.HandshakeBurst = s.o.perAddress
	c.Limits.Memory = int64(s.o.memory)
	if s.o.retry {
		c.Limits.RetryAbove = -1
	}
	s.h3.Handler = s.counts.wrap(s.root, s.log)
	s.h3.TLSConfig = cfg
	s.h3.Logger = s.log
	s.hq.FS = s.root.FS(func(name string, err error) {
		s.log.Debug("request", "proto", "HTTP/0.9", "path", "/"+name, "error", err)
	})
	return nil
}

// freePortTries is how often a free UDP port is looked for whose TCP port is
// free as well.
const freePortTries = 20

// listen opens the UDP port and, with --tcp, the TCP port of the same number.
func (s *server) listen(ctx context.Context) (net.Listener, error) {
	for try := 1; ; try++ {
		var err error
		if s.listener, err = netaddr.Listen(ctx, "--listen", s.o.listen, s.setup.Config); err != nil || !s.o.tcp {
			return nil, err
		}
		addr := s.listener.Addr().String()
		tcp, err := net.Listen("tcp", addr)
		if err == nil {
			return tcp, nil
		}
		anyPort := strings.HasSuffix(s.o.listen, ":0")
		if !anyPort || !errors.Is(err, syscall.EADDRINUSE) || try == freePortTries {
			return nil, netaddr.Explain("--tcp on", "TCP", addr, err)
		}
		_ = s.listener.Close()
	}
}

func (s *server) udpPort() int { return s.listener.Addr().(*net.UDPAddr).Port }

// accept hands each new connection to the protocol it chose.
func (s *server) accept(ctx context.Context) {
	for {
		c, err := s.listener.Accept(ctx)
		if err != nil {
			if s.draining.Err() == nil {
				s.failed <- fmt.Errorf("the UDP socket: %w", err)
			}
			return
		}
		s.conns.Go(func() { s.serveConn(c) })
	}
}

func (s *server) serveConn(c *hoststack.Conn) {
	start := time.Now()
	// TLS itself tells only once the handshake is complete, which early data does
	// not wait for.
	protocol := ""
	err := c.Do(func(cc *core.Conn) { protocol = cc.ALPN() })
	s.counts.connection(protocol)
	log := s.log.With("remote", c.RemoteAddr(), "alpn", protocol)
	log.Debug("connection")
	switch protocol {
	case alpnH3:
		err = s.h3.ServeConn(http3.NewConn(c))
	case alpnHQ:
		err = s.hq.ServeConn(http3.NewConn(c))
	case alpnPerf:
		err = s.perf.ServeConn(s.draining, c)
		if s.draining.Err() != nil {
			_ = c.CloseWithError(0, "")
		}
	default:
		_ = c.CloseWithError(0, "no application protocol was agreed on")
	}
	log.Debug("connection ended", "after", time.Since(start).Round(time.Microsecond), "why", err)
}

// announce tells where the server is and how to reach it.
func (s *server) announce(w io.Writer) {
	addr := s.listener.Addr().String()
	fmt.Fprintf(w, "listening on %s\n", addr)
	steering, why := s.listener.Steering()
	s.log.Debug("datapath", "name", s.listener.Features().Name, "workers", s.listener.Workers(), "steering", steering, "no better steering because", why)
	if s.o.tcp {
		fmt.Fprintf(w, "also HTTP/1.1 and HTTP/2 on TCP %s\n", addr)
	}
	if s.admin != nil {
		fmt.Fprintf(w, "metrics on http://%s/metrics, status page on http://%s/\n", s.admin.addr(), s.admin.addr())
	}
	leaf, err := s.certs.Leaf()
	if err != nil || !s.certs.SelfSigned {
		return
	}
	hash, port := hoststack.SPKIHash(leaf), strconv.Itoa(s.udpPort())
	host := connectHost(s.listener.Addr().(*net.UDPAddr))
	fmt.Fprintf(w, "self-signed certificate until %s, SPKI hash %s\n", leaf.NotAfter.Format(time.DateOnly), hash)
	if slices.Contains(s.o.alpn, alpnH3) {
		fmt.Fprintf(w, "fetch:   pquic-client --pin %s https://%s/\n", hash, net.JoinHostPort(host, port))
		fmt.Fprintf(w, "browse:  chromium --user-data-dir=/tmp/pquic-chromium --ignore-certificate-errors-spki-list=%s --origin-to-force-quic-on=%s https://%s/\n",
			hash, net.JoinHostPort(host, port), net.JoinHostPort(host, port))
	}
}

// connectHost is an address by which this machine reaches the server.
func connectHost(a *net.UDPAddr) string {
	if a.IP.IsUnspecified() {
		return "localhost"
	}
	return a.IP.String()
}

// reload looks for new certificates.
func (s *server) reload() {
	if err := s.certs.Reload(); err != nil {
		s.log.Error("keeping the old certificate", "error", err)
		return
	}
	s.log.Info("certificates reread")
}

// shutdown answers what there is, then closes. A second signal ends it at once.
func (s *server) shutdown(again <-chan os.Signal) error {
	sdnotify.Stopping()
	ctx, cancel := context.WithTimeout(context.Background(), s.o.drain)
	defer cancel()
	ended := make(chan struct{})
	defer close(ended)
	go func() {
		select {
		case <-again:
			s.log.Warn("second signal: ending at once")
			cancel()
		case <-ended:
		}
	}()
	s.drain()
	var all sync.WaitGroup
	all.Go(func() { s.shutdownProtocols(ctx) })
	if s.tcp != nil {
		all.Go(func() { _ = s.tcp.Shutdown(ctx) }) // its error is ctx's
	}
	err := s.listener.Shutdown(ctx)
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		s.log.Warn("some requests were not answered to their end")
		err = nil
	}
	all.Wait()
	return err
}

func (s *server) shutdownProtocols(ctx context.Context) {
	var all sync.WaitGroup
	all.Go(func() { _ = s.h3.Shutdown(ctx) }) // their errors are ctx's
	all.Go(func() { _ = s.hq.Shutdown(ctx) })
	all.Wait()
}

// close frees what start has opened.
func (s *server) close() {
	s.drain()
	_ = s.h3.Close()
	_ = s.hq.Close()
	if s.tcp != nil {
		_ = s.tcp.Close()
	}
	if s.listener != nil {
		_ = s.listener.Close()
	}
	s.conns.Wait()
	if s.admin != nil {
		s.admin.close()
	}
	if s.setup != nil {
		s.setup.Close()
	}
	if s.root != nil {
		_ = s.root.Close()
	}
}
