package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/pquic-go/pquic/cmd/internal/hqrt"
	"github.com/pquic-go/pquic/cmd/internal/quicflags"
	"github.com/pquic-go/pquic/cmd/internal/reason"
	"github.com/pquic-go/pquic/cmd/internal/sessionfile"
	"github.com/pquic-go/pquic/hoststack"
	"github.com/pquic-go/pquic/hoststack/hq"
	"github.com/pquic-go/pquic/hoststack/http3"
)

// A connector makes the connections, one per server, and remembers them.
type connector struct {
	o        *options
	log      *slog.Logger
	setup    *quicflags.Setup
	tls      *tls.Config
	sessions *sessionfile.Store

	mu    sync.Mutex
	conns map[string]*link // by "host:port"
}

// A link is the connection to one server, or why there is none.
type link struct {
	addr     string
	dialling chan struct{} // closed when err or conn is set
	conn     *hoststack.Conn
	h        http3.Conn // the same, as HTTP sees it
	took     time.Duration
	err      error
}

func newConnector(o *options, setup *quicflags.Setup, sessions *sessionfile.Store, log *slog.Logger) (*connector, error) {
	cfg, err := o.trust.TLS([]string{o.alpn}, setup.KeyLog)
	if err != nil {
		return nil, err
	}
	if o.cert != "" {
		pair, err := tls.LoadX509KeyPair(o.cert, o.key)
		if err != nil {
			return nil, fmt.Errorf("--cert %s with --key %s: %w", o.cert, o.key, err)
		}
		cfg.Certificates = []tls.Certificate{pair}
	}
	setup.Config.Core.HandshakeTimeout = o.connectTimeout
	setup.Config.Core.MaxBidiStreams = -1 // neither protocol lets servers open them
	return &connector{o: o, log: log, setup: setup, tls: cfg, sessions: sessions, conns: make(map[string]*link)}, nil
}

// roundTripper returns what requests go through.
func (c *connector) roundTripper() (rt http.RoundTripper, closeAll func() error) {
	if c.o.alpn == hq.NextProto {
		return hqrt.Transport(c.hqConn), func() error {
			for _, l := range c.links() {
				_ = l.conn.CloseWithError(hq.CodeNoError, "")
			}
			return nil
		}
	}
	t := &http3.Transport{
		TLSClientConfig: c.tls, DisableCompression: true, EnableEarlyData: c.o.earlyData, Logger: c.log,
		Dial: func(ctx context.Context, addr string, cfg *tls.Config) (http3.Conn, error) {
			l, dial := c.begin(addr, true)
			if dial {
				c.dial(ctx, l, cfg)
			}
			return l.h, l.err
		},
	}
	return t, t.Close
}

// key names a server in the session file: a session is of use only for the
// protocol it was made for.
func (c *connector) key(addr string) string { return c.o.alpn + "://" + addr }

// begin returns a server's link, and whether the caller is to dial. One that
// could not be reached is not tried again: the other URLs would wait as long
// for the same answer. again asks for a new one in place of one that was made.
func (c *connector) begin(addr string, again bool) (l *link, dial bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if old := c.conns[addr]; old != nil && (!again || old.err != nil) {
		return old, false
	}
	l = &link{addr: addr, dialling: make(chan struct{})}
	c.conns[addr] = l
	return l, true
}

// dial connects to a server.
func (c *connector) dial(ctx context.Context, l *link, cfg *tls.Config) {
	defer close(l.dialling)
	addr := l.addr
	h := *c.setup.Config
	h.TLS = cfg.Clone()
	h.Early = c.o.earlyData
	if c.o.resume != "" {
		h.TLS.ClientSessionCache = c.sessions.Sessions(c.key(addr))
		h.Core.Tokens = c.sessions.Tokens(c.key(addr))
	}
	network := "udp"
	switch {
	case c.o.ipv4:
		network = "udp4"
	case c.o.ipv6:
		network = "udp6"
	}
	dialCtx, cancel := context.WithTimeout(ctx, c.o.connectTimeout)
	defer cancel()
	start := time.Now()
	conn, err := hoststack.Dial(dialCtx, network, addr, &h)
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil {
		if ctx.Err() == nil {
			d := reason.Dialling{Addr: addr, ALPN: c.o.alpn, Timeout: c.o.connectTimeout, OtherALPN: ": try another --alpn"}
			err = d.Connect(err)
		}
		l.err = err
		return
	}
	l.conn, l.h, l.took = conn, http3.NewConn(conn), time.Since(start)
	c.log.Debug("connected", "server", addr, "remote", conn.RemoteAddr(), "took", l.took)
}

// link returns the newest connection to a server, nil if there is none.
func (c *connector) link(addr string) *link {
	c.mu.Lock()
	defer c.mu.Unlock()
	if l := c.conns[addr]; l != nil && l.conn != nil {
		return l
	}
	return nil
}

// links returns all connections.
func (c *connector) links() []*link {
	c.mu.Lock()
	defer c.mu.Unlock()
	var all []*link
	for _, l := range c.conns {
		if l.conn != nil {
			all = append(all, l)
		}
	}
	return all
}

// closePatience is how long a client that is about to end gives the packets
// that close its connections.
const closePatience = 200 * time.Millisecond

// waitClosed waits until the connections have ended, so that the servers are
// told.
func (c *connector) waitClosed() {
	timeout := time.NewTimer(closePatience)
	defer timeout.Stop()
	for _, l := range c.links() {
		select {
		case <-l.conn.Context().Done():
		case <-timeout.C:
			return
		}
	}
}

// ticketPatience is how long a client that is about to end waits for a session
// ticket, which servers send with the end of the handshake.
const ticketPatience = time.Second

// keepSessions waits for the tickets of the connections and writes the file.
func (c *connector) keepSessions(ctx context.Context) error {
	if c.o.resume == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, ticketPatience)
	defer cancel()
	for _, l := range c.links() {
		if l.conn.Err() == nil && !c.sessions.WaitForTicket(ctx, c.key(l.addr)) {
			c.log.Debug("no session ticket came", "server", l.addr)
		}
	}
	if err := c.sessions.Save(); err != nil {
		return fmt.Errorf("--resume: %w", err)
	}
	return nil
}

// hqConn returns the HTTP/0.9 connection to a server, dialling if there is none.
func (c *connector) hqConn(ctx context.Context, addr string) (http3.Conn, error) {
	l, dial := c.begin(addr, false)
	if dial {
		cfg := c.tls.Clone()
		cfg.ServerName, _, _ = net.SplitHostPort(addr)
		c.dial(ctx, l, cfg)
	}
	select {
	case <-l.dialling:
		return l.h, l.err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}
