package http3

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/pquic-go/pquic/hoststack"
)

// A Transport is an http.RoundTripper that speaks HTTP/3. It keeps one
// connection per authority (host and port) and sends all requests to it there,
// at the same time. The zero Transport is ready; its fields may not change once
// it is in use.
type Transport struct {
	// TLSClientConfig is used for new connections, with the server's name and
	// "h3" filled in. Nil means the default configuration.
	TLSClientConfig *tls.Config
	// QUIC configures the connections dialled if Dial is nil; its TLS and ALPN
	// are replaced. May be nil.
	QUIC *hoststack.Config
	// Dial opens a QUIC connection that negotiates "h3"; addr is "host:port".
	// It may return before the handshake is complete if early data (0-RTT) can
	// be sent. Nil means over UDP.
	Dial func(ctx context.Context, addr string, cfg *tls.Config) (Conn, error)
	// EnableEarlyData sends requests with a safe method and without content in
	// 0-RTT packets when the server's ticket allows it. An attacker can replay
	// them.
	EnableEarlyData bool
	// DisableCompression keeps the Transport from asking for gzip on its own and
	// undoing it.
	DisableCompression bool
	// MaxResponseHeaderBytes bounds a response's header section and its trailer
	// section, in bytes as RFC 9114 section 4.2.2 counts them. 0 means
	// DefaultMaxHeaderBytes.
	MaxResponseHeaderBytes int
	// ResponseHeaderTimeout is how long a response's header section may take
	// after the request was sent. 0 means no limit.
	ResponseHeaderTimeout time.Duration
	// ExpectContinueTimeout is how long a request with "Expect: 100-continue"
	// waits for the server's consent before it sends its content anyway. 0 means
	// 1 s.
	ExpectContinueTimeout time.Duration
	// Datagrams returns the DATAGRAM frames of a new connection, or nil if it
	// has none.
	Datagrams func(Conn) DatagramSender
	// Logger is told at debug level why connections are closed; may be nil.
	Logger *slog.Logger
	// Clock tells the time for the limit on control frames; time.Now if nil.
	Clock func() time.Time

	mu     sync.Mutex
	conns  map[string]*poolEntry
	closed bool
}

// maxAttempts is how often a request is sent before its error is final.
const maxAttempts = 4

// A poolEntry is the connection of one authority, or the attempt to make it.
type poolEntry struct {
	authority string
	ready     chan struct{} // closed once cc or err is set
	cc        *ClientConn
	err       error
	waiters   int // requests that wait for ready
	burst     *burst
	cancel    context.CancelFunc
}

var errTransportClosed = errors.New("http3: the Transport was closed")

// RoundTrip implements http.RoundTripper. A request is sent again on a new
// connection if the server is known not to have processed it, or if it is
// idempotent and the kept connection turned out to be dead.
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	authority, err := requestAuthority(req)
	if err != nil {
		closeBody(req)
		return nil, err
	}
	for attempt := 1; ; attempt++ {
		cc, reused, sent, err := t.conn(req.Context(), authority)
		if err != nil {
			closeBody(req)
			return nil, err
		}
		resp, err := cc.roundTrip(req, sent)
		if err == nil {
			return resp, nil
		}
		next, ok := retryRequest(req, err, reused)
		if !ok || attempt == maxAttempts {
			closeBody(req)
			return nil, unwrapRetry(err)
		}
		if errors.Is(err, errTooEarly) || errors.Is(err, ErrEarlyDataRejected) {
			cc.noEarlyData.Store(true)
		} else {
			t.forget(authority, cc)
		}
		req = next
	}
}

func closeBody(req *http.Request) {
	if req.Body != nil {
		_ = req.Body.Close()
	}
}

// requestAuthority checks what can be checked without a connection and returns
// the "host:port" to connect to.
func requestAuthority(req *http.Request) (string, error) {
	switch {
	case req.URL == nil:
		return "", errors.New("http3: nil Request.URL")
	case req.URL.Scheme != "https" && (req.Method != http.MethodConnect || req.URL.Scheme != ""):
		return "", fmt.Errorf("http3: unsupported URL scheme %q, want https", req.URL.Scheme)
	case req.Method != "" && !isToken(req.Method):
		return "", fmt.Errorf("http3: invalid method %q", req.Method)
	case req.URL.Host == "":
		return "", errors.New("http3: no host in the request's URL")
	}
	for key, values := range req.Header {
		if !isToken(key) && key != ":protocol" {
			return "", fmt.Errorf("http3: invalid header field name %q", key)
		}
		for _, v := range values {
			if !validFieldValue(v) {
				return "", fmt.Errorf("http3: invalid value of header field %q", key)
			}
		}
	}
	return canonicalAuthority(req.URL.Hostname(), req.URL.Port())
}

func canonicalAuthority(host, port string) (string, error) {
	for i := range len(host) {
		if host[i] >= 0x80 {
			return "", fmt.Errorf("http3: host %q is not ASCII; write it in Punycode", host)
		}
	}
	return net.JoinHostPort(strings.ToLower(host), or(port, "443")), nil
}

// conn returns the connection of an authority, making it if there is none;
// reused tells that it was there already. sent is to be called when the request
// is written, see burst.
func (t *Transport) conn(ctx context.Context, authority string) (cc *ClientConn, reused bool, sent func(), err error) {
	for {
		e, reused, waits, err := t.entry(ctx, authority)
		if err != nil {
			return nil, false, nil, err
		}
		select {
		case <-e.ready:
		case <-ctx.Done():
			err = context.Cause(ctx)
		}
		b := t.leave(e)
		sent := func() {}
		if waits {
			sent = sync.OnceFunc(b.sent)
		}
		if err == nil {
			err = e.err
		}
		if err != nil {
			sent()
			return nil, false, nil, err
		}
		if e.cc.usable() {
			return e.cc, reused, sent, nil
		}
		sent()
		t.forget(authority, e.cc)
	}
}

// entry returns the authority's pool entry and counts the caller as waiting
// for it; waits tells that the connection is still being made.
func (t *Transport) entry(ctx context.Context, authority string) (e *poolEntry, reused, waits bool, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return nil, false, false, errTransportClosed
	}
	e, reused = t.conns[authority]
	if !reused {
		// The attempt serves every request that comes meanwhile, so it outlives
		// the first one's context; it ends when nobody waits any more.
		dialCtx, cancel := context.WithCancel(context.WithoutCancel(ctx))
		e = &poolEntry{authority: authority, ready: make(chan struct{}), cancel: cancel}
		if t.conns == nil {
			t.conns = make(map[string]*poolEntry)
		}
		t.conns[authority] = e
		go t.connect(dialCtx, e)
	}
	e.waiters++
	return e, reused, e.cc == nil && e.err == nil, nil
}

// leave stops waiting for e, and returns its burst. A dial that nobody waits for
// is given up.
func (t *Transport) leave(e *poolEntry) *burst {
	t.mu.Lock()
	defer t.mu.Unlock()
	e.waiters--
	if e.waiters == 0 && e.cc == nil && e.err == nil {
		e.cancel()
		t.drop(e)
	}
	return e.burst
}

// drop takes e out of the pool. t.mu is held.
func (t *Transport) drop(e *poolEntry) {
	if t.conns[e.authority] == e {
		delete(t.conns, e.authority)
	}
}

// connect fills e.
func (t *Transport) connect(ctx context.Context, e *poolEntry) {
	defer e.cancel()
	cc, err := t.dialConn(ctx, e.authority)
	t.mu.Lock()
	if err == nil && t.closed {
		err = errTransportClosed
		defer func() { _ = cc.Close() }()
	}
	if err != nil {
		e.err = err
		t.drop(e)
	} else {
		e.cc, e.burst = cc, newBurst(cc.conn, e.waiters)
	}
	t.mu.Unlock()
	close(e.ready)
	if err == nil {
		context.AfterFunc(cc.conn.Context(), func() { t.forget(e.authority, cc) })
	}
}

func (t *Transport) dialConn(ctx context.Context, authority string) (*ClientConn, error) {
	cfg := new(tls.Config)
	if t.TLSClientConfig != nil {
		cfg = t.TLSClientConfig.Clone()
	}
	if cfg.ServerName == "" {
		host, _, _ := net.SplitHostPort(authority)
		cfg.ServerName = host
	}
	cfg.NextProtos = []string{NextProtoH3}
	dial := t.Dial
	if dial == nil {
		dial = t.dialUDP
	}
	conn, err := dial(ctx, authority, cfg)
	if err != nil {
		return nil, err
	}
	return t.NewClientConn(conn), nil
}

// forget takes a connection out of the pool: new requests get another one.
func (t *Transport) forget(authority string, cc *ClientConn) {
	t.mu.Lock()
	if e, ok := t.conns[authority]; ok && e.cc == cc {
		delete(t.conns, authority)
	}
	t.mu.Unlock()
	cc.retire()
}

// CloseIdleConnections closes the connections that have no request.
func (t *Transport) CloseIdleConnections() {
	t.mu.Lock()
	var idle []*ClientConn
	for authority, e := range t.conns {
		if e.cc != nil && e.waiters == 0 && e.cc.idle() {
			delete(t.conns, authority)
			idle = append(idle, e.cc)
		}
	}
	t.mu.Unlock()
	for _, cc := range idle {
		cc.retire()
	}
}

// Close closes all connections at once; later requests fail.
func (t *Transport) Close() error {
	t.mu.Lock()
	t.closed = true
	entries := t.conns
	t.conns = nil
	var open []*ClientConn
	for _, e := range entries {
		if e.cc != nil {
			open = append(open, e.cc)
		} else {
			e.cancel()
		}
	}
	t.mu.Unlock()
	var errs []error
	for _, cc := range open {
		errs = append(errs, cc.Close())
	}
	return errors.Join(errs...)
}
