package http3_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pquic-go/pquic/hoststack/http3"
	"github.com/pquic-go/pquic/hoststack/http3/h3test"
)

// TestClientCancels: the context of a request ends it at both ends, before and
// after the response's header.
func TestClientCancels(t *testing.T) {
	for _, phase := range []string{"before the header", "during content", "close", "request content"} {
		t.Run(phase, func(t *testing.T) {
			started, ended := make(chan struct{}), make(chan error, 1)
			tr := handlerTransport(t, func(w http.ResponseWriter, r *http.Request) {
				if phase == "during content" || phase == "close" {
					_, _ = w.Write(make([]byte, 10))
					_ = http.NewResponseController(w).Flush()
				}
				close(started)
				<-r.Context().Done()
				ended <- context.Cause(r.Context())
			})
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			req := newRequest(t, "GET", nil)
			if phase == "request content" {
				pr, _ := io.Pipe()
				req = newRequest(t, "POST", pr)
			}
			go func() {
				<-started
				if phase != "close" {
					cancel()
				}
			}()
			resp, err := tr.RoundTrip(req.WithContext(ctx))
			if err == nil {
				if phase == "close" {
					_ = resp.Body.Close()
				}
				_, err = io.ReadAll(resp.Body)
			}
			if phase != "close" && !errors.Is(err, context.Canceled) || err == nil {
				t.Errorf("the request ended with %v", err)
			}
			if err := <-ended; !errors.Is(err, &http3.StreamError{Code: http3.CodeRequestCancelled}) {
				t.Errorf("the handler's context ended with %v, want H3_REQUEST_CANCELLED", err)
			}
		})
	}
}

// TestServerResets: what a handler's panic, and its ignoring the content, mean
// for the client.
func TestServerResets(t *testing.T) {
	t.Run("panic", func(t *testing.T) {
		tr := handlerTransport(t, func(http.ResponseWriter, *http.Request) { panic("test") })
		_, err := tr.RoundTrip(newRequest(t, "GET", nil))
		if !errors.Is(err, &http3.StreamError{Code: http3.CodeInternalError}) {
			t.Errorf("error is %v, want H3_INTERNAL_ERROR", err)
		}
	})
	t.Run("panic after content", func(t *testing.T) {
		tr := handlerTransport(t, func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write(make([]byte, 100_000))
			panic(http.ErrAbortHandler)
		})
		resp, err := tr.RoundTrip(newRequest(t, "GET", nil))
		if err == nil {
			_, err = io.ReadAll(resp.Body)
		}
		if !errors.Is(err, &http3.StreamError{Code: http3.CodeInternalError}) {
			t.Errorf("error is %v, want H3_INTERNAL_ERROR", err)
		}
	})
	t.Run("content not read", func(t *testing.T) {
		tr := handlerTransport(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "enough") })
		if _, body := do(t, tr, newRequest(t, "POST", &zeros{1 << 40})); body != "enough" {
			t.Errorf("body %q", body)
		}
	})
}

// TestLateHandler: a handler that goes on in the background after it returned
// touches nothing of later requests.
func TestLateHandler(t *testing.T) {
	release, result := make(chan struct{}), make(chan error, 2)
	tr := handlerTransport(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == "GET" {
			_, _ = io.Copy(w, strings.NewReader("other"))
			return
		}
		go func() {
			<-release
			_, err := io.WriteString(w, "late")
			result <- err
			_, err = r.Body.Read(make([]byte, 1))
			result <- err
		}()
	})
	do(t, tr, newRequest(t, "POST", &zeros{1 << 30}))
	close(release)
	for range 2 {
		if err := <-result; err == nil {
			t.Error("a late handler could still write or read")
		}
	}
	if _, body := do(t, tr, newRequest(t, "GET", nil)); body != "other" {
		t.Errorf("body %q", body)
	}
}

// TestRapidReset: a client that opens requests only to reset them is cut off,
// and never has more handlers running than it may.
func TestRapidReset(t *testing.T) {
	var running, most atomic.Int32
	now := time.Unix(1000, 0)
	srv := &http3.Server{
		MaxHandlers: 10, ResetBurst: 100, ResetRate: 10,
		Clock: func() time.Time { return now },
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			n := running.Add(1)
			defer running.Add(-1)
			for {
				old := most.Load()
				if n <= old || most.CompareAndSwap(old, n) {
					break
				}
			}
			<-r.Context().Done()
		}),
	}
	conn := serve(t, srv, h3test.Config{StreamLimit: 1000})
	for range 1000 {
		s, err := conn.OpenStream(t.Context())
		if err != nil {
			break
		}
		_, _ = s.Write(get())
		s.Reset(uint64(http3.CodeRequestCancelled))
		s.CancelRead(uint64(http3.CodeRequestCancelled))
	}
	wantConnError(t, "rapid reset", conn, http3.CodeExcessiveLoad)
	if n := most.Load(); n > 10 {
		t.Errorf("%d handlers ran at once, want at most 10", n)
	}
}

// TestResetsAllowed: the same number of resets is fine if time passes.
func TestResetsAllowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := &http3.Server{
			ResetBurst: 100, ResetRate: 10,
			Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() }),
		}
		conn := serve(t, srv, h3test.Config{StreamLimit: 10})
		for range 1000 {
			timer := time.NewTimer(100 * time.Millisecond)
			s := openBidi(t, conn, get(), true)
			s.CancelRead(uint64(http3.CodeRequestCancelled))
			<-timer.C
		}
		if err := conn.Context().Err(); err != nil {
			t.Errorf("the connection ended with %v", context.Cause(conn.Context()))
		}
	})
}

// TestHeaderTimeout: a client that never finishes its header section loses the
// stream, not the connection.
func TestHeaderTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn := serve(t, &http3.Server{Handler: readAllHandler}, h3test.Config{})
		start := time.Now()
		wantReset(t, "half a header", openBidi(t, conn, get()[:5], false), http3.CodeRequestRejected)
		if d := time.Since(start); d != 10*time.Second {
			t.Errorf("that took %v, want 10s", d)
		}
		wantStatus(t, "a whole one", openBidi(t, conn, get(), true), "200")
	})
}

func TestReadAndWriteTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		errs := make(chan error, 1)
		srv := &http3.Server{
			ReadTimeout: time.Minute, WriteTimeout: time.Hour,
			Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Method == "POST" {
					_, err := io.ReadAll(r.Body)
					errs <- err
					return
				}
				_, err := io.Copy(w, &zeros{1 << 40})
				errs <- err
			}),
		}
		conn := serve(t, srv, h3test.Config{})
		start := time.Now()
		post := headers(":method: POST", ":scheme: https", ":authority: a", ":path: /")
		openBidi(t, conn, post, false)
		if err := <-errs; !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(start) != time.Minute {
			t.Errorf("reading ended with %v after %v", err, time.Since(start))
		}
		start = time.Now()
		openBidi(t, conn, get(), true)
		if err := <-errs; !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(start) != time.Hour {
			t.Errorf("writing ended with %v after %v", err, time.Since(start))
		}
	})
}

func TestResponseHeaderTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := &http3.Server{Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })}
		tr := transport(t, srv, h3test.Config{})
		tr.ResponseHeaderTimeout = 5 * time.Second
		start := time.Now()
		_, err := tr.RoundTrip(newRequest(t, "GET", nil))
		if !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(start) != 5*time.Second {
			t.Errorf("ended with %v after %v", err, time.Since(start))
		}
	})
}

// TestShutdown: requests in flight complete, later ones are rejected, the
// connection ends with H3_NO_ERROR.
func TestShutdown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		srv := &http3.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			<-release
			_, _ = io.WriteString(w, "done")
		})}
		conn := serve(t, srv, h3test.Config{})
		ctrl, err := conn.AcceptUniStream(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		readVarint(t, ctrl)
		readFrame(t, ctrl) // SETTINGS
		first := openBidi(t, conn, get(), true)
		synctest.Wait()

		down := make(chan error, 1)
		go func() { down <- srv.Shutdown(t.Context()) }()
		wantGoAway := func(want uint64) {
			t.Helper()
			typ, payload := readFrame(t, ctrl)
			if typ != http3.FrameGoAway || string(payload) != string(varints(want)) {
				t.Errorf("got %v %x, want GOAWAY of %d", typ, payload, want)
			}
		}
		wantGoAway(1<<62 - 4)
		second := openBidi(t, conn, get(), true) // crosses the first GOAWAY
		synctest.Wait()
		wantGoAway(8)
		third := openBidi(t, conn, get(), true)
		wantReset(t, "a request after GOAWAY", third, http3.CodeRequestRejected)
		select {
		case err := <-down:
			t.Errorf("Shutdown returned %v before the requests were done", err)
		default:
		}
		close(release)
		wantStatus(t, "the first request", first, "200")
		wantStatus(t, "the second request", second, "200")
		if err := <-down; err != nil {
			t.Errorf("Shutdown: %v", err)
		}
		wantConnError(t, "shutdown", conn, http3.CodeNoError)

		client, server := h3test.Pair(h3test.Config{})
		if err := srv.ServeConn(server); !errors.Is(err, http3.ErrServerClosed) {
			t.Errorf("serving after Shutdown: %v", err)
		}
		wantConnError(t, "a new connection", client, http3.CodeNoError)
	})
}

// TestShutdownDeadline: Shutdown gives up with its context, Close does not
// wait.
func TestShutdownDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := &http3.Server{Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })}
		conn := serve(t, srv, h3test.Config{})
		openBidi(t, conn, get(), true)
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := srv.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Shutdown: %v", err)
		}
		if err := srv.Close(); err != nil {
			t.Error(err)
		}
		wantConnError(t, "close", conn, http3.CodeNoError)
	})
}

// A fakeListener accepts what is sent to it.
type fakeListener struct {
	http3.Listener
	conns chan http3.Conn
}

func (l *fakeListener) Accept(ctx context.Context) (http3.Conn, error) {
	select {
	case c, ok := <-l.conns:
		if !ok {
			return nil, errors.New("listener broke")
		}
		return c, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

func TestServe(t *testing.T) {
	l := &fakeListener{conns: make(chan http3.Conn, 1)}
	srv := &http3.Server{Handler: readAllHandler}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()
	client, server := h3test.Pair(h3test.Config{})
	l.conns <- server
	ctrl, err := client.AcceptUniStream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	go func() { _, _ = io.Copy(io.Discard, ctrl) }()
	wantStatus(t, "a request", openBidi(t, client, get(), true), "200")
	if err := srv.Shutdown(t.Context()); err != nil {
		t.Errorf("Shutdown: %v", err)
	}
	if err := <-served; !errors.Is(err, http3.ErrServerClosed) {
		t.Errorf("Serve: %v", err)
	}
	if err := srv.Serve(l); !errors.Is(err, http3.ErrServerClosed) {
		t.Errorf("Serve after Shutdown: %v", err)
	}
	close(l.conns)
	if err := new(http3.Server).Serve(l); err == nil || err.Error() != "listener broke" {
		t.Errorf("Serve on a broken listener: %v", err)
	}
}

// TestServerDelaysEarlyUnsafe: a client that sends an unsafe request early
// waits for the handshake.
func TestServerDelaysEarlyUnsafe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var handled atomic.Bool
		conn := serve(t, &http3.Server{Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			handled.Store(true)
		})}, h3test.Config{Early: true})
		s := openBidi(t, conn, headers(":method: POST", ":scheme: https", ":authority: a", ":path: /"), true)
		synctest.Wait()
		if handled.Load() {
			t.Error("an unsafe request was handled as early data")
		}
		conn.CompleteHandshake()
		wantStatus(t, "the request", s, "200")
	})
}

// TestAcceptLimits: streams beyond MaxHandlers wait; they are not lost.
func TestAcceptLimits(t *testing.T) {
	release := make(chan struct{})
	srv := &http3.Server{MaxHandlers: 2, Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release })}
	conn := serve(t, srv, h3test.Config{})
	var streams []http3.Stream
	for range 10 {
		streams = append(streams, openBidi(t, conn, get(), true))
	}
	close(release)
	for _, s := range streams {
		wantStatus(t, "a waiting request", s, "200")
	}
}

// TestUniStreamLimit: many unidirectional streams at once are refused.
func TestUniStreamLimit(t *testing.T) {
	conn := serve(t, &http3.Server{Handler: readAllHandler}, h3test.Config{})
	for range 20 {
		if _, err := conn.OpenUniStream(t.Context()); err != nil {
			break
		}
	}
	wantConnError(t, "20 open unidirectional streams", conn, http3.CodeExcessiveLoad)
}

// TestControlFlood: control frames are limited by the clock.
func TestControlFlood(t *testing.T) {
	now := time.Unix(1000, 0)
	srv := &http3.Server{Handler: readAllHandler, Clock: func() time.Time { return now }}
	conn := serve(t, srv, h3test.Config{})
	one := frame(http3.FramePriorityUpdateRequest, cat(varints(0), []byte("u=1")))
	openUni(t, conn, control([]byte(strings.Repeat(string(one), 10_001))))
	wantConnError(t, "10,001 control frames", conn, http3.CodeExcessiveLoad)
}

// TestStreamsAreReleased: after requests of every ending, no stream stays open.
func TestStreamsAreReleased(t *testing.T) {
	client, server := h3test.Pair(h3test.Config{})
	srv := &http3.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.RawQuery {
		case "panic":
			panic(http.ErrAbortHandler)
		case "big":
			_, _ = io.Copy(w, &zeros{1 << 20})
		case "echo":
			_, _ = io.Copy(w, r.Body)
		}
	})}
	done := make(chan struct{})
	go func() {
		_ = srv.ServeConn(server)
		close(done)
	}()
	cc := new(http3.Transport).NewClientConn(client)
	for range 30 {
		for _, q := range []string{"panic", "big", "echo", "none"} {
			req := newRequest(t, "POST", strings.NewReader("content"))
			req.URL.RawQuery = q
			resp, err := cc.RoundTrip(req)
			if err != nil {
				continue
			}
			if q != "big" {
				_, _ = io.ReadAll(resp.Body)
			}
			_ = resp.Body.Close()
		}
	}
	if err := srv.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	<-done
	// The control streams stay.
	if n, m := client.OpenStreams(), server.OpenStreams(); n > 2 || m > 2 {
		t.Errorf("%d streams are open at the client, %d at the server", n, m)
	}
}
