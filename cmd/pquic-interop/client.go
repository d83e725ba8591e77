package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"net/url"
	"os"
	"os/signal"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/pquic-go/pquic/cmd/internal/hqrt"
	"github.com/pquic-go/pquic/cmd/internal/quicflags"
	"github.com/pquic-go/pquic/cmd/internal/reason"
	"github.com/pquic-go/pquic/cmd/internal/sessionfile"
	"github.com/pquic-go/pquic/core"
	"github.com/pquic-go/pquic/hoststack"
	"github.com/pquic-go/pquic/hoststack/http3"
)

// A client fetches the files of a test case.
type client struct {
	o        *options
	tc       *testCase
	cfg      *hoststack.Config
	log      *slog.Logger
	sockets  *pairedSockets // in the test case migration
	sessions *sessionfile.Store
}

func runClient(ctx context.Context, o *options, tc *testCase, setup *quicflags.Setup, log *slog.Logger) error {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("not done within %v", patience))
	defer cancel()
	urls, err := o.urls()
	if err != nil {
		return err
	}
	sessions, err := sessionfile.Open("") // in memory
	if err != nil {
		return err
	}
	c := &client{o: o, tc: tc, cfg: setup.Config, log: log, sessions: sessions}
	if c.cfg.TLS, err = o.clientTLS(setup); err != nil {
		return err
	}
	c.cfg.Core.MaxBidiStreams = -1
	// Who only receives does not tell the server that a NAT has moved it: what
	// is sent to the old address is lost, and there is nothing to acknowledge.
	c.cfg.Core.KeepAlive = keepAlive
	if tc.chacha20 {
		offerOnlyChaCha20()
	}
	t, err := c.openTransport(ctx)
	if err != nil {
		return err
	}
	defer t.Close()
	c.cfg.Transport = t
	switch {
	case tc.each:
		for _, u := range urls {
			if err := c.fetch(ctx, []*url.URL{u}, false); err != nil {
				return err
			}
		}
		return nil
	case tc.resume:
		if len(urls) < 2 {
			return fmt.Errorf("REQUESTS has one URL: the test case %s wants two at least", o.testcase)
		}
		if err := c.fetch(ctx, urls[:1], true); err != nil {
			return err
		}
		return c.fetch(ctx, urls[1:], false)
	}
	return c.fetch(ctx, urls, false)
}

// keepAlive is how long the server may be silent before a PING.
const keepAlive = time.Second

// urls reads REQUESTS.
func (o *options) urls() ([]*url.URL, error) {
	var all []*url.URL
	for _, s := range strings.Fields(o.requests) {
		u, err := url.Parse(s)
		if err != nil || u.Scheme != "https" || u.Host == "" {
			return nil, fmt.Errorf("REQUESTS: %q: want https://HOST[:PORT]/FILE", s)
		}
		if name := path.Base("/" + u.Path); name == "/" || !filepath.IsLocal(name) {
			return nil, fmt.Errorf("REQUESTS: %q: names no file", s)
		}
		all = append(all, u)
	}
	if len(all) == 0 {
		return nil, errNoRequests
	}
	return all, nil
}

// clientTLS trusts the authority the runner made, if it is there.
func (o *options) clientTLS(setup *quicflags.Setup) (*tls.Config, error) {
	c := &tls.Config{NextProtos: []string{o.alpn}, MinVersion: tls.VersionTLS13, KeyLogWriter: setup.KeyLog}
	name := filepath.Join(o.certs, "ca.pem")
	pem, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		c.InsecureSkipVerify = true
		return c, nil
	}
	if err != nil {
		return nil, err
	}
	c.RootCAs = x509.NewCertPool()
	if !c.RootCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no certificate in PEM form", name)
	}
	return c, nil
}

// openTransport opens the client's socket, or its two.
func (c *client) openTransport(ctx context.Context) (*hoststack.Transport, error) {
	cfg := *c.cfg
	cfg.Workers = 1
	if c.tc.migrate {
		cfg.Datapaths = func(int) (_ []hoststack.Datapath, err error) {
			c.sockets, err = listenOnBoth(ctx, ":0", ":0", &cfg.UDP)
			return []hoststack.Datapath{c.sockets}, err
		}
	}
	t, err := hoststack.NewTransport("udp", ":0", &cfg)
	if err != nil {
		return nil, fmt.Errorf("opening a UDP socket: %w", err)
	}
	return t, nil
}

// atOnce bounds the files that are open at the same time.
const atOnce = 256

// fetch gets files over one connection; keepTicket makes it wait for a session
// ticket at the end.
func (c *client) fetch(ctx context.Context, urls []*url.URL, keepTicket bool) error {
	addr := hqrt.Authority(urls[0])
	conn, err := c.dial(ctx, addr)
	if err != nil {
		return err
	}
	defer closeGently(conn)
	rt, end := c.roundTripper(conn)
	defer end()
	if err := c.prepare(ctx, conn); err != nil {
		return err
	}
	var wg sync.WaitGroup
	errs := make([]error, len(urls))
	slots := make(chan struct{}, atOnce)
	// The first requests leave together, in full packets: in the test case
	// zerortt all of them before the server answers.
	var unsent atomic.Int32
	unsent.Store(int32(min(len(urls), atOnce)))
	release := conn.Hold()
	for i, u := range urls {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			sent := sync.OnceFunc(func() {
				if unsent.Add(-1) == 0 {
					release()
				}
			})
			defer sent()
			if err := c.get(ctx, rt, u, sent); err != nil {
				errs[i] = fmt.Errorf("%s: %w", u, c.explain(ctx, err))
			}
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	if keepTicket && !c.sessions.WaitForTicket(ctx, addr) {
		return errors.New("no session ticket came")
	}
	return nil
}

// get fetches a file and calls sent when the request is written.
func (c *client) get(ctx context.Context, rt http.RoundTripper, u *url.URL, sent func()) error {
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{WroteRequest: func(httptrace.WroteRequestInfo) { sent() }})
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return err
	}
	resp, err := rt.RoundTrip(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("the server answered %s", resp.Status)
	}
	name := filepath.Join(c.o.downloads, path.Base(u.Path))
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, resp.Body)
	if err = errors.Join(err, f.Close()); err != nil {
		return errors.Join(err, os.Remove(name)) // half a file is none
	}
	return nil
}

// explain puts the reason of the end of the context, or of the connection, in
// place of its consequences.
func (c *client) explain(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if lost := reason.Loss(err, c.o.quic.IdleTimeout); lost != nil {
		return lost
	}
	return err
}

func (c *client) dial(ctx context.Context, addr string) (*hoststack.Conn, error) {
	cfg := *c.cfg
	cfg.TLS = cfg.TLS.Clone()
	if c.tc.resume {
		cfg.TLS.ClientSessionCache = c.sessions.Sessions(addr)
		cfg.Core.Tokens = c.sessions.Tokens(addr)
	}
	conn, err := hoststack.Dial(ctx, "udp", addr, &cfg)
	if err == nil {
		return conn, nil
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return nil, reason.Dialling{Addr: addr, ALPN: c.o.alpn, Timeout: patience}.Connect(err)
}

// roundTripper returns what requests go through.
func (c *client) roundTripper(conn *hoststack.Conn) (http.RoundTripper, func()) {
	if c.o.alpn == alpnHQ {
		h := http3.NewConn(conn)
		return hqrt.Transport(func(context.Context, string) (http3.Conn, error) { return h, nil }), func() {}
	}
	t := &http3.Transport{DisableCompression: true, EnableEarlyData: c.tc.early, Logger: c.log}
	cc := t.NewClientConn(http3.NewConn(conn))
	return cc, func() { _ = cc.Close() }
}

// closeGently closes a connection unless that has happened.
func closeGently(c *hoststack.Conn) { _ = c.CloseWithError(0, "") }

// prepare does what a test case wants before the first request.
func (c *client) prepare(ctx context.Context, conn *hoststack.Conn) error {
	if !c.tc.updateKeys && !c.tc.migrate {
		return nil
	}
	if err := waitConfirmed(ctx, conn); err != nil {
		return err
	}
	if c.tc.updateKeys {
		return conn.Do(func(cc *core.Conn) { cc.UpdateKeys(cc.Now()) })
	}
	old, err := netip.ParseAddrPort(conn.LocalAddr().String())
	if err != nil {
		return err
	}
	local := netip.AddrPortFrom(old.Addr(), c.sockets.second.LocalAddr().Port())
	c.log.Debug("migrating", "from", old, "to", local)
	if err := conn.Migrate(ctx, local); err != nil {
		return fmt.Errorf("migrating from %s to %s: %w", old, local, err)
	}
	return nil
}

// pollInterval is how often a client looks at what the engine tells nobody.
const pollInterval = 2 * time.Millisecond

// waitConfirmed waits until the handshake is confirmed: only then may keys be
// updated and addresses change.
// https://www.rfc-editor.org/rfc/rfc9001#section-4.1.2
func waitConfirmed(ctx context.Context, conn *hoststack.Conn) error {
	return poll(ctx, conn, func() bool { return conn.Stats().HandshakeConfirmed != 0 })
}

func poll(ctx context.Context, conn *hoststack.Conn, done func() bool) error {
	ticker := time.NewTicker(pollInterval)
	defer ticker.Stop()
	for !done() {
		select {
		case <-ticker.C:
		case <-conn.Context().Done():
			return context.Cause(conn.Context())
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}
