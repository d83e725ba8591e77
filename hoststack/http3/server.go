package http3

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/pquic-go/pquic/hoststack"
)

// A Server answers HTTP/3 requests with an http.Handler. The zero Server is
// ready; its fields may not change once it serves.
type Server struct {
	// Addr is the UDP address ListenAndServe listens on, "host:port"; ":443" if
	// empty.
	Addr string
	// Handler answers the requests; http.DefaultServeMux if nil.
	Handler http.Handler
	// TLSConfig holds the certificates ListenAndServe offers.
	TLSConfig *tls.Config
	// QUIC configures the transport ListenAndServe opens; its TLS and ALPN are
	// replaced. May be nil.
	QUIC *hoststack.Config

	// MaxHeaderBytes bounds a request's header section and its trailer section,
	// in bytes as RFC 9114 section 4.2.2 counts them. 0 means
	// DefaultMaxHeaderBytes.
	MaxHeaderBytes int
	// ReadHeaderTimeout is how long a request's header section may take to
	// arrive once its stream is open. 0 means 10 s, negative no limit.
	ReadHeaderTimeout time.Duration
	// ReadTimeout and WriteTimeout bound reading the whole request and writing
	// the response, from the end of the header section. 0 means no limit.
	ReadTimeout, WriteTimeout time.Duration
	// MaxHandlers is how many handlers run at once for one connection. Further
	// streams wait, unread, so that a client cannot start work faster than it is
	// done by opening and resetting streams. 0 means 256.
	MaxHandlers int
	// ResetRate and ResetBurst bound how many requests a client may abort, per
	// second on average and at once. A client beyond them is disconnected with
	// H3_EXCESSIVE_LOAD. 0 means 50 and 500, a negative ResetRate no bound.
	ResetRate, ResetBurst int
	// GoAwayDelay is how long Shutdown keeps accepting requests that clients
	// sent before they saw GOAWAY: about a round trip. 0 means 100 ms, negative
	// none.
	GoAwayDelay time.Duration

	// EnableConnectProtocol announces and accepts extended CONNECT (RFC 9220).
	// The handler finds the protocol in the ":protocol" header key; it answers
	// one it does not know with 501.
	EnableConnectProtocol bool
	// Datagrams returns the DATAGRAM frames of a new connection, or nil if it
	// has none.
	Datagrams func(Conn) DatagramSender
	// ConnContext derives the context of a connection's requests.
	ConnContext func(ctx context.Context, c Conn) context.Context

	// Logger is told of handlers that panic and of misuse; slog.Default() if
	// nil.
	Logger *slog.Logger
	// Clock tells the time for the limits on resets and control frames;
	// time.Now if nil.
	Clock func() time.Time

	mu       sync.Mutex
	conns    map[*serverConn]struct{}
	accepts  map[*acceptLoop]struct{}
	shutdown bool
	idle     chan struct{} // closed when shutdown is set and no connection is left
}

// An acceptLoop is one running Serve.
type acceptLoop struct{ stop context.CancelFunc }

// DefaultMaxHeaderBytes is the default bound on header sections, in bytes.
const DefaultMaxHeaderBytes = 128 << 10

const (
	defaultReadHeaderTimeout = 10 * time.Second
	defaultMaxHandlers       = 256
	defaultResetRate         = 50
	defaultResetBurst        = 500
	defaultGoAwayDelay       = 100 * time.Millisecond
)

// ErrServerClosed is returned by Serve after Shutdown or Close.
var ErrServerClosed = http.ErrServerClosed

// or returns v, or def if v is zero.
func or[T comparable](v, def T) T {
	var zero T
	if v == zero {
		return def
	}
	return v
}

func (s *Server) logger() *slog.Logger {
	if s.Logger != nil {
		return s.Logger
	}
	return slog.Default()
}

// Serve accepts connections from l until Shutdown or Close, or until l fails.
// It closes neither l nor the connections when it returns.
func (s *Server) Serve(l Listener) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	loop := &acceptLoop{cancel}
	s.mu.Lock()
	if s.shutdown {
		s.mu.Unlock()
		return ErrServerClosed
	}
	if s.accepts == nil {
		s.accepts = make(map[*acceptLoop]struct{})
	}
	s.accepts[loop] = struct{}{}
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		delete(s.accepts, loop)
		s.mu.Unlock()
	}()
	for {
		conn, err := l.Accept(ctx)
		if err != nil {
			if ctx.Err() != nil {
				return ErrServerClosed
			}
			return err
		}
		go func() { _ = s.ServeConn(conn) }()
	}
}

// ServeConn answers the requests of one connection until it ends, and returns
// why it did once the last handler has returned.
func (s *Server) ServeConn(conn Conn) error {
	sc := newServerConn(s, conn)
	if !s.track(sc) {
		_ = conn.CloseWithError(uint64(CodeNoError), "the server is shutting down")
		return ErrServerClosed
	}
	defer s.untrack(sc)
	return sc.serve()
}

func (s *Server) track(sc *serverConn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.shutdown {
		return false
	}
	if s.conns == nil {
		s.conns = make(map[*serverConn]struct{})
	}
	s.conns[sc] = struct{}{}
	return true
}

func (s *Server) untrack(sc *serverConn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, sc)
	s.checkIdle()
}

// checkIdle wakes Shutdown once the last connection is gone. s.mu is held.
func (s *Server) checkIdle() {
	if s.shutdown && len(s.conns) == 0 && s.idle != nil {
		close(s.idle)
		s.idle = nil
	}
}

// beginShutdown stops the accept loops and returns the connections that are
// left and a channel that is closed when the last of them has ended.
func (s *Server) beginShutdown() ([]*serverConn, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.shutdown = true
	for loop := range s.accepts {
		loop.stop()
	}
	conns := make([]*serverConn, 0, len(s.conns))
	for sc := range s.conns {
		conns = append(conns, sc)
	}
	if s.idle == nil {
		s.idle = make(chan struct{})
	}
	idle := s.idle
	s.checkIdle()
	return conns, idle
}

// Shutdown ends the server gracefully: no new connections, GOAWAY on those
// that exist, then each is closed once its requests are answered. If ctx ends
// first, what is left keeps running (see Close) and its error is returned.
//
// "Once all accepted requests and pushes have been processed, the endpoint can
// permit the connection to become idle, or it MAY initiate an immediate closure
// of the connection. An endpoint that completes a graceful shutdown SHOULD use
// the H3_NO_ERROR error code when closing the connection."
// https://www.rfc-editor.org/rfc/rfc9114#section-5.2
func (s *Server) Shutdown(ctx context.Context) error {
	conns, idle := s.beginShutdown()
	for _, sc := range conns {
		go sc.drain(ctx)
	}
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Close ends the server and all its connections at once.
func (s *Server) Close() error {
	conns, _ := s.beginShutdown()
	var errs []error
	for _, sc := range conns {
		errs = append(errs, sc.conn.CloseWithError(uint64(CodeNoError), "the server is closing"))
	}
	return errors.Join(errs...)
}
