package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
	_ "unsafe" // for go:linkname
)

// crypto/tls has no way to choose among the suites of TLS 1.3, except this one, which it keeps open.
//
//go:linkname defaultCipherSuitesTLS13 crypto/tls.defaultCipherSuitesTLS13
var defaultCipherSuitesTLS13 []uint16

//go:linkname defaultCipherSuitesTLS13NoAES crypto/tls.defaultCipherSuitesTLS13NoAES
var defaultCipherSuitesTLS13NoAES []uint16

// patience is how long a client waits for a file or a ticket.
const patience = 5 * time.Minute

// A client makes connections from one UDP socket.
type client struct {
	e         *environment
	tls       *tls.Config
	transport *quic.Transport
	tickets   chan struct{} // one token for each session ticket that came
}

// ticketCache is a session cache that tells when it got something.
type ticketCache struct {
	tls.ClientSessionCache
	put chan struct{}
}

func (c ticketCache) Put(key string, s *tls.ClientSessionState) {
	c.ClientSessionCache.Put(key, s)
	if s != nil {
		select {
		case c.put <- struct{}{}:
		default:
		}
	}
}

func runClient(e *environment, t *tls.Config) error {
	if !supported(e.testcase, false) {
		return fmt.Errorf("%w: %s", errUnsupported, e.testcase)
	}
	if len(e.urls) == 0 {
		return errors.New("REQUESTS is empty: want URLs")
	}
	var err error
	if t.RootCAs, err = e.roots(); err != nil {
		return err
	}
	c := &client{e: e, tls: t, tickets: make(chan struct{}, 1)}
	if c.transport, err = newTransport(); err != nil {
		return err
	}
	defer c.transport.Close()
	ctx, cancel := context.WithTimeout(background, patience)
	defer cancel()
	switch e.testcase {
	case "chacha20":
		defaultCipherSuitesTLS13 = []uint16{tls.TLS_CHACHA20_POLY1305_SHA256}
		defaultCipherSuitesTLS13NoAES = defaultCipherSuitesTLS13
	case "multiconnect":
		for _, u := range e.urls {
			if err := c.fetch(ctx, []string{u}, nil); err != nil {
				return fmt.Errorf("%s: %w", u, err)
			}
		}
		return nil
	case "resumption", "zerortt":
		return c.resume(ctx)
	}
	return c.fetch(ctx, e.urls, nil)
}

func newTransport() (*quic.Transport, error) {
	conn, err := net.ListenUDP("udp", nil)
	if err != nil {
		return nil, err
	}
	return &quic.Transport{Conn: conn}, nil
}

// resume fetches the first file on one connection and the others on a second one that resumes it.
func (c *client) resume(ctx context.Context) error {
	if len(c.e.urls) < 2 {
		return errors.New("REQUESTS: want two URLs at least")
	}
	c.tls.ClientSessionCache = ticketCache{tls.NewLRUClientSessionCache(1), c.tickets}
	waitForTicket := func() error {
		select {
		case <-c.tickets:
			return nil
		case <-ctx.Done():
			return errors.New("no session ticket came")
		}
	}
	if err := c.fetch(ctx, c.e.urls[:1], waitForTicket); err != nil {
		return err
	}
	return c.fetch(ctx, c.e.urls[1:], nil)
}

// fetch gets files on one connection; before, if set, is called before the connection is closed.
func (c *client) fetch(ctx context.Context, urls []string, before func() error) error {
	first, err := url.Parse(urls[0])
	if err != nil {
		return err
	}
	addr, err := net.ResolveUDPAddr("udp", first.Host)
	if err != nil {
		return err
	}
	t := c.tls.Clone()
	t.ServerName = first.Hostname()
	dial := c.transport.Dial
	if c.e.testcase == "zerortt" {
		dial = c.transport.DialEarly
	}
	conn, err := dial(ctx, addr, t, c.e.config())
	if err != nil {
		return err
	}
	get := c.getHQ(conn)
	if c.e.alpn == http3.NextProtoH3 {
		get = c.getH3(ctx, conn)
	}
	if c.e.testcase == "migration" {
		get = c.migrateDuring(ctx, conn, get)
	}
	if err := parallel(urls, get); err != nil {
		return err
	}
	if before != nil {
		if err := before(); err != nil {
			return err
		}
	}
	return conn.CloseWithError(c.noError(), "")
}

func (c *client) noError() quic.ApplicationErrorCode {
	if c.e.alpn == http3.NextProtoH3 {
		return quic.ApplicationErrorCode(http3.ErrCodeNoError)
	}
	return 0
}

// parallel calls get for all URLs at once.
func parallel(urls []string, get func(*url.URL) error) error {
	errs := make(chan error)
	for _, s := range urls {
		go func() {
			u, err := url.Parse(s)
			if err == nil {
				err = get(u)
			}
			if err != nil {
				err = fmt.Errorf("%s: %w", s, err)
			}
			errs <- err
		}()
	}
	var all []error
	for range urls {
		all = append(all, <-errs)
	}
	return errors.Join(all...)
}

func (c *client) getHQ(conn *quic.Conn) func(*url.URL) error {
	return func(u *url.URL) error {
		s, err := conn.OpenStreamSync(conn.Context())
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintf(s, "GET %s\r\n", u.Path); err != nil {
			return err
		}
		if err := s.Close(); err != nil {
			return err
		}
		return c.save(u, s)
	}
}

func (c *client) getH3(ctx context.Context, conn *quic.Conn) func(*url.URL) error {
	// A transport per connection, so that each call of fetch has its own connection.
	h3 := (&http3.Transport{}).NewClientConn(conn)
	return func(u *url.URL) error {
		method := http.MethodGet
		if c.e.testcase == "zerortt" {
			method = http3.MethodGet0RTT
		}
		r, err := http.NewRequestWithContext(ctx, method, u.String(), nil)
		if err != nil {
			return err
		}
		resp, err := h3.RoundTrip(r)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("status %s", resp.Status)
		}
		return c.save(u, resp.Body)
	}
}

func (c *client) save(u *url.URL, body io.Reader) error {
	if len(u.Path) < 2 || !filepath.IsLocal(u.Path[1:]) {
		return errors.New("not the name of a file")
	}
	f, err := os.Create(filepath.Join(c.e.downloads, u.Path[1:]))
	if err != nil {
		return err
	}
	_, err = io.Copy(f, body)
	return errors.Join(err, f.Close())
}

// migrateDuring moves the connection to another local address before the first request.
func (c *client) migrateDuring(ctx context.Context, conn *quic.Conn, get func(*url.URL) error) func(*url.URL) error {
	moved := make(chan error, 1)
	go func() {
		t, err := newTransport()
		if err != nil {
			moved <- err
			return
		}
		p, err := conn.AddPath(t)
		if err == nil {
			err = p.Probe(ctx)
		}
		if err == nil {
			err = p.Switch()
		}
		moved <- err
	}()
	return func(u *url.URL) error {
		err := <-moved
		moved <- err
		if err != nil {
			return fmt.Errorf("migrating: %w", err)
		}
		return get(u)
	}
}
