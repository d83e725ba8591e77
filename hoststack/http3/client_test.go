package http3_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pquic-go/pquic/hoststack/http3"
	"github.com/pquic-go/pquic/hoststack/http3/h3test"
)

// A dialer counts connections and hands them to a function that plays the
// server.
type dialer struct {
	mu     sync.Mutex
	conns  []*h3test.Conn // the server's ends
	cfg    h3test.Config
	server func(n int, c *h3test.Conn)
	err    error
}

func (d *dialer) dial(context.Context, string, *tls.Config) (http3.Conn, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.err != nil {
		return nil, d.err
	}
	client, server := h3test.Pair(d.cfg)
	d.conns = append(d.conns, server)
	go d.server(len(d.conns), server)
	return client, nil
}

func (d *dialer) count() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.conns)
}

// serveWith plays a server with a handler.
func serveWith(h http.HandlerFunc) func(int, *h3test.Conn) {
	srv := &http3.Server{Handler: h}
	return func(_ int, c *h3test.Conn) { _ = srv.ServeConn(c) }
}

// TestPool: one connection serves all requests of an authority, at the same
// time; another authority gets its own.
func TestPool(t *testing.T) {
	d := &dialer{cfg: h3test.Config{StreamLimit: 5}, server: serveWith(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.Host)
	})}
	tr := &http3.Transport{Dial: d.dial}
	defer tr.Close()
	var wg sync.WaitGroup
	for i := range 200 {
		wg.Go(func() {
			req := newRequest(t, "GET", nil)
			if i%2 == 0 {
				req.URL.Host = "EXAMPLE.com:443" // the same authority
			}
			if _, body := do(t, tr, req); !strings.HasPrefix(strings.ToLower(body), "example.com") {
				t.Errorf("body %q", body)
			}
		})
	}
	wg.Wait()
	if n := d.count(); n != 1 {
		t.Errorf("200 requests used %d connections", n)
	}
	req := newRequest(t, "GET", nil)
	req.URL.Host = "example.com:8443"
	do(t, tr, req)
	if n := d.count(); n != 2 {
		t.Errorf("another port used connection %d, want the second", n)
	}
	tr.CloseIdleConnections()
	for _, c := range d.conns {
		wantConnError(t, "idle connections", c, http3.CodeNoError)
	}
	do(t, tr, newRequest(t, "GET", nil))
	if n := d.count(); n != 3 {
		t.Errorf("a request after CloseIdleConnections used connection %d, want the third", n)
	}
	if err := tr.Close(); err != nil {
		t.Error(err)
	}
	if _, err := tr.RoundTrip(newRequest(t, "GET", nil)); err == nil {
		t.Error("a closed Transport still sends")
	}
}

func TestDialFails(t *testing.T) {
	broken := errors.New("no route")
	d := &dialer{err: broken}
	tr := &http3.Transport{Dial: d.dial}
	for range 2 { // the failure is not kept
		if _, err := tr.RoundTrip(newRequest(t, "GET", nil)); !errors.Is(err, broken) {
			t.Errorf("error is %v, want %v", err, broken)
		}
	}
}

// TestDialAbandoned: a dial whose last waiting request gave up is cancelled,
// and a later request starts anew.
func TestDialAbandoned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var cancelled atomic.Int32
		tr := &http3.Transport{Dial: func(ctx context.Context, _ string, cfg *tls.Config) (http3.Conn, error) {
			if cfg.ServerName != "example.com" || len(cfg.NextProtos) != 1 || cfg.NextProtos[0] != "h3" {
				t.Errorf("TLS configuration names %q, %q", cfg.ServerName, cfg.NextProtos)
			}
			<-ctx.Done()
			cancelled.Add(1)
			return nil, ctx.Err()
		}}
		for range 2 {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			_, err := tr.RoundTrip(newRequest(t, "GET", nil).WithContext(ctx))
			cancel()
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("error is %v", err)
			}
		}
		synctest.Wait()
		if n := cancelled.Load(); n != 2 {
			t.Errorf("%d dials were cancelled, want 2", n)
		}
	})
}

// TestRetry: requests that the server certainly did not process go out again
// on a new connection; others do not.
func TestRetry(t *testing.T) {
	reject := func(c *h3test.Conn, code http3.ErrCode) {
		for {
			s, err := c.AcceptStream(context.Background())
			if err != nil {
				return
			}
			s.Reset(uint64(code))
			s.CancelRead(uint64(code))
		}
	}
	good := serveWith(func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) })
	for _, c := range []struct {
		name  string
		first func(*h3test.Conn)
		body  func() io.Reader // nil: GET
		retry bool
	}{
		{"rejected", func(c *h3test.Conn) { reject(c, http3.CodeRequestRejected) }, nil, true},
		{"rejected with content", func(c *h3test.Conn) { reject(c, http3.CodeRequestRejected) },
			func() io.Reader { return strings.NewReader("content") }, true},
		{"rejected with content that cannot be read again", func(c *h3test.Conn) {
			s, _ := c.AcceptStream(context.Background())
			_, _ = io.ReadFull(s, make([]byte, 100_000)) // it was begun
			s.Reset(uint64(http3.CodeRequestRejected))
			s.CancelRead(uint64(http3.CodeRequestRejected))
		},
			func() io.Reader { return &zeros{1 << 30} }, false},
		{"cancelled", func(c *h3test.Conn) { reject(c, http3.CodeRequestCancelled) }, nil, false},
		{"version fallback", func(c *h3test.Conn) { reject(c, http3.CodeVersionFallback) }, nil, false},
		{"goaway", func(c *h3test.Conn) {
			_, _ = c.AcceptStream(context.Background())
			s, _ := c.OpenUniStream(context.Background())
			_, _ = s.Write(control(frame(http3.FrameGoAway, varints(0))))
		}, nil, true},
		{"new connection lost", func(c *h3test.Conn) {
			_, _ = c.AcceptStream(context.Background())
			c.Lose(errors.New("timeout"))
		}, nil, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := &dialer{server: func(n int, conn *h3test.Conn) {
				if n == 1 {
					c.first(conn)
				} else {
					good(n, conn)
				}
			}}
			tr := &http3.Transport{Dial: d.dial}
			defer tr.Close()
			req := newRequest(t, "GET", nil)
			if c.body != nil {
				req = newRequest(t, "POST", c.body())
			}
			resp, err := tr.RoundTrip(req)
			if err == nil {
				_, err = io.ReadAll(resp.Body)
			}
			if (err == nil) != c.retry {
				t.Errorf("request ended with %v, want it sent again: %v", err, c.retry)
			}
		})
	}
}

// TestDeadConnection: a kept connection that turns out dead costs an
// idempotent request a second attempt, and others an error.
func TestDeadConnection(t *testing.T) {
	for _, method := range []string{"GET", "PUT", "POST"} {
		t.Run(method, func(t *testing.T) {
			ok := serveWith(func(w http.ResponseWriter, r *http.Request) {})
			var lose atomic.Bool
			d := &dialer{server: func(n int, c *h3test.Conn) {
				if n > 1 {
					ok(n, c)
					return
				}
				answer(t, c, headers(":status: 200"))
				lose.Store(true)
				_, _ = c.AcceptStream(context.Background())
				c.Lose(errors.New("stateless reset"))
			}}
			tr := &http3.Transport{Dial: d.dial}
			defer tr.Close()
			do(t, tr, newRequest(t, "GET", nil))
			resp, err := tr.RoundTrip(newRequest(t, method, strings.NewReader("x")))
			if method == "POST" {
				if err == nil || err.Error() != "stateless reset" {
					t.Errorf("error is %v", err)
				}
				return
			}
			if err != nil || resp.StatusCode != 200 {
				t.Errorf("second attempt: %v", err)
			}
		})
	}
}

// TestEarlyData: before the handshake is complete, a client sends safe requests
// without content if told so, and a server handles only those.
func TestEarlyData(t *testing.T) {
	for _, c := range []struct {
		method string
		enable bool
		body   string
		early  bool
	}{
		{"GET", true, "", true}, {"HEAD", true, "", true}, {"GET", false, "", false},
		{"POST", true, "", false}, {"GET", true, "x", false}, {"DELETE", true, "", false},
	} {
		t.Run(fmt.Sprint(c), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client, server := h3test.Pair(h3test.Config{Early: true})
				srv := &http3.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if r.TLS.HandshakeComplete == c.early {
						t.Errorf("the request was early: %v", !r.TLS.HandshakeComplete)
					}
				})}
				done := make(chan struct{})
				go func() {
					_ = srv.ServeConn(server)
					close(done)
				}()
				cc := (&http3.Transport{EnableEarlyData: c.enable}).NewClientConn(client)
				result := make(chan error, 1)
				go func() {
					req := newRequest(t, c.method, nil)
					if c.body != "" {
						req = newRequest(t, c.method, strings.NewReader(c.body))
					}
					_, err := cc.RoundTrip(req)
					result <- err
				}()
				synctest.Wait()
				select {
				case err := <-result:
					if !c.early || err != nil {
						t.Errorf("returned %v before the handshake", err)
					}
					client.CompleteHandshake()
				default:
					if c.early {
						t.Error("was not sent early")
					}
					client.CompleteHandshake()
					if err := <-result; err != nil {
						t.Error(err)
					}
				}
				_ = cc.Close()
				<-done
			})
		})
	}
}

// TestTooEarly: status 425 has the request sent again after the handshake.
func TestTooEarly(t *testing.T) {
	d := &dialer{cfg: h3test.Config{Early: true}}
	d.server = func(_ int, c *h3test.Conn) {
		answer(t, c, headers(":status: 425"))
		c.CompleteHandshake()
		answer(t, c, headers(":status: 200"))
	}
	tr := &http3.Transport{Dial: d.dial, EnableEarlyData: true}
	defer tr.Close()
	if resp, _ := do(t, tr, newRequest(t, "GET", nil)); resp.StatusCode != 200 || d.count() != 1 {
		t.Errorf("status %d on connection %d", resp.StatusCode, d.count())
	}
}

// TestUploadOutlivesResponse: content that the server neither reads nor refuses
// ends with the request's context or with the response's body being closed.
func TestUploadOutlivesResponse(t *testing.T) {
	for _, by := range []string{"cancel", "close"} {
		synctest.Test(t, func(t *testing.T) {
			client, server := h3test.Pair(h3test.Config{})
			cc := new(http3.Transport).NewClientConn(client)
			go func() {
				s, _ := server.AcceptStream(t.Context())
				_, _ = s.Write(headers(":status: 200"))
				_ = s.CloseWrite()
			}()
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			body := newCountingBody("")
			body.Reader = &zeros{1 << 40}
			resp, err := cc.RoundTrip(newRequest(t, "POST", body).WithContext(ctx))
			if err != nil {
				t.Fatal(err)
			}
			if b, err := io.ReadAll(resp.Body); len(b) != 0 || err != nil {
				t.Errorf("the response: %q, %v", b, err)
			}
			synctest.Wait()
			select {
			case <-body.closedC:
				t.Error("the content ended with the response")
			default:
			}
			if by == "cancel" {
				cancel()
			} else {
				_ = resp.Body.Close()
			}
			<-body.closedC
			_ = cc.Close()
		})
	}
}
