package hq_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/pquic-go/pquic/hoststack"
	"github.com/pquic-go/pquic/hoststack/hq"
	"github.com/pquic-go/pquic/hoststack/http3"
	"github.com/pquic-go/pquic/hoststack/http3/h3test"
)

var large = bytes.Repeat([]byte("0123456789abcdef"), 1<<16)

func files() fstest.MapFS {
	return fstest.MapFS{
		"small.txt":      {Data: []byte("small")},
		"empty":          {},
		"large":          {Data: large},
		"dir/index.html": {Data: []byte("index")},
		"dir/sub/x":      {Data: []byte("x")},
	}
}

func serve(t *testing.T, srv *hq.Server, cfg h3test.Config) *h3test.Conn {
	t.Helper()
	client, server := h3test.Pair(cfg)
	done := make(chan struct{})
	go func() {
		_ = srv.ServeConn(server)
		close(done)
	}()
	t.Cleanup(func() {
		_ = client.CloseWithError(0, "end of test")
		<-done
	})
	return client
}

func fetch(ctx context.Context, conn http3.Conn, path string) (string, error) {
	r, err := hq.Get(ctx, conn, path)
	if err != nil {
		return "", err
	}
	defer r.Close()
	b, err := io.ReadAll(r)
	return string(b), err
}

func TestGet(t *testing.T) {
	for _, plain := range []bool{false, true} {
		conn := serve(t, &hq.Server{FS: files()}, h3test.Config{Plain: plain, StreamLimit: 3})
		for _, c := range []struct {
			path, want string
			code       http3.ErrCode
		}{
			{"/small.txt", "small", 0},
			{"/small.txt?query", "small", 0},
			{"//dir/../small.txt", "small", 0},
			{"/empty", "", 0},
			{"/large", string(large), 0},
			{"/dir", "index", 0},
			{"/dir/", "index", 0},
			{"/../../dir/sub/x", "x", 0}, // above the root is the root
			{"/dir/sub", "", 1},
			{"/", "", 1},
			{"/none", "", 1},
			{"/small.txt/x", "", 1},
			{"/a\\..\\b", "", 2},
		} {
			got, err := fetch(t.Context(), conn, c.path)
			if c.code == 0 && (err != nil || got != c.want) {
				t.Errorf("%s: %d bytes, %v; want %d", c.path, len(got), err, len(c.want))
			}
			if c.code != 0 && !errors.Is(err, &http3.StreamError{Code: c.code}) {
				t.Errorf("%s: %q, %v; want a reset with %d", c.path, got, err, c.code)
			}
		}
	}
}

// TestRequests sends lines of every kind.
func TestRequests(t *testing.T) {
	conn := serve(t, &hq.Server{FS: files()}, h3test.Config{})
	for _, c := range []struct {
		line string
		fin  bool
		code http3.ErrCode
	}{
		{"GET /small.txt\r\n", true, 0},
		{"GET /small.txt\n", true, 0},
		{"GET /small.txt", true, 0},
		{"GET /small.txt\r\n", false, 0},
		{"GET /small.txt HTTP/0.9\r\n", true, 0},
		{"GET /small.txt\r\nmore", true, 0},
		{"", true, 2},
		{"POST /small.txt\r\n", true, 2},
		{"GET small.txt\r\n", true, 2},
		{"get /small.txt\r\n", true, 2},
		{"GET /small.txt\x00\r\n", true, 2},
		{"GET /" + strings.Repeat("x", 20_000), false, 2},
	} {
		s, err := conn.OpenStream(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(s, c.line)
		if c.fin {
			_ = s.CloseWrite()
		}
		b, err := io.ReadAll(s)
		if c.code == 0 && (err != nil || string(b) != "small") {
			t.Errorf("%.40q: %q, %v", c.line, b, err)
		}
		if c.code != 0 && !errors.Is(err, &http3.StreamError{Code: c.code}) {
			t.Errorf("%.40q: %q, %v; want a reset with %d", c.line, b, err, c.code)
		}
	}
}

func TestSlowRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn := serve(t, &hq.Server{FS: files()}, h3test.Config{})
		s, _ := conn.OpenStream(t.Context())
		_, _ = io.WriteString(s, "GET /sm")
		start := time.Now()
		if b, err := io.ReadAll(s); !errors.Is(err, &http3.StreamError{Code: 2}) || time.Since(start) != 10*time.Second {
			t.Errorf("got %q, %v after %v", b, err, time.Since(start))
		}
	})
}

func TestClientRefuses(t *testing.T) {
	for _, p := range []string{"", "x", "/a b", "/a\nb"} {
		if _, err := hq.Get(t.Context(), nil, p); err == nil {
			t.Errorf("path %q was taken", p)
		}
	}
}

func TestCancelAndClose(t *testing.T) {
	synctest.Test(t, testCancelAndClose)
}

func testCancelAndClose(t *testing.T) {
	conn := serve(t, &hq.Server{FS: fstest.MapFS{"endless": {Data: make([]byte, 10<<20)}}}, h3test.Config{StreamLimit: 1})
	ctx, cancel := context.WithCancel(t.Context())
	r, err := hq.Get(ctx, conn, "/endless")
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	synctest.Wait()
	if _, err := io.Copy(io.Discard, r); !errors.Is(err, context.Canceled) {
		t.Errorf("reading after cancel: %v", err)
	}
	r, err = hq.Get(t.Context(), conn, "/endless") // the stream was freed
	if err != nil {
		t.Fatal(err)
	}
	broken := errors.New("disk full")
	if _, err := io.Copy(errWriter{broken}, r); !errors.Is(err, broken) {
		t.Errorf("copying to a broken writer: %v", err)
	}
	_ = r.Close()
	if _, err := r.Read(make([]byte, 1)); !errors.Is(err, hq.ErrClosed) {
		t.Errorf("reading after Close: %v", err)
	}
	if _, err := fetch(t.Context(), conn, "/none"); err == nil {
		t.Error("no error for a missing file")
	}
}

type errWriter struct{ err error }

func (w errWriter) Write([]byte) (int, error) { return 0, w.err }

func TestShutdown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := &hq.Server{FS: files()}
		busy := serve(t, srv, h3test.Config{Window: 50_000})
		idle := serve(t, srv, h3test.Config{})
		r, err := hq.Get(t.Context(), busy, "/large") // more than the window
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		down := make(chan error, 1)
		go func() { down <- srv.Shutdown(t.Context()) }()
		synctest.Wait()
		if idle.Context().Err() == nil {
			t.Error("an idle connection outlives the server")
		}
		if _, err := fetch(t.Context(), busy, "/small.txt"); !errors.Is(err, &http3.StreamError{Code: 4}) {
			t.Errorf("a request during shutdown: %v", err)
		}
		if b, err := io.ReadAll(r); err != nil || !bytes.Equal(b, large) {
			t.Errorf("the request before it: %d bytes, %v", len(b), err)
		}
		if err := <-down; err != nil {
			t.Errorf("Shutdown: %v", err)
		}
		client, server := h3test.Pair(h3test.Config{})
		if err := srv.ServeConn(server); !errors.Is(err, http.ErrServerClosed) || client.Context().Err() == nil {
			t.Errorf("serving after Shutdown: %v", err)
		}
	})
}

// TestBrokenFile: a file that ends in an error is not taken for complete.
func TestBrokenFile(t *testing.T) {
	conn := serve(t, &hq.Server{FS: brokenFS{files()}}, h3test.Config{})
	if _, err := fetch(t.Context(), conn, "/large"); !errors.Is(err, &http3.StreamError{Code: 3}) {
		t.Errorf("got %v, want a reset with 3", err)
	}
}

// TestUDP serves a directory with a way out of it over the real transport.
func TestUDP(t *testing.T) {
	dir := t.TempDir()
	secret := filepath.Join(dir, "secret")
	www := filepath.Join(dir, "www")
	for _, err := range []error{
		os.WriteFile(secret, []byte("secret"), 0o600), os.Mkdir(www, 0o700),
		os.WriteFile(filepath.Join(www, "file"), large, 0o600), os.Symlink(secret, filepath.Join(www, "link")),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	root, err := os.OpenRoot(www)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	cert, err := hoststack.SelfSigned(nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	l, err := hoststack.Listen(t.Context(), "udp", "127.0.0.1:0", &hoststack.Config{
		TLS: &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{hq.NextProto}},
	})
	if err != nil {
		t.Fatal(err)
	}
	srv := &hq.Server{FS: root.FS()}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(http3.NewListener(l)) }()
	c, err := hoststack.Dial(t.Context(), "udp", l.Addr().String(), &hoststack.Config{
		TLS: &tls.Config{InsecureSkipVerify: true, NextProtos: []string{hq.NextProto}},
	})
	if err != nil {
		t.Fatal(err)
	}
	conn := http3.NewConn(c)
	if got, err := fetch(t.Context(), conn, "/file"); err != nil || got != string(large) {
		t.Errorf("/file: %d bytes, %v", len(got), err)
	}
	for _, p := range []string{"/link", "/../secret", "/%2e%2e/secret"} {
		if got, err := fetch(t.Context(), conn, p); !errors.Is(err, &http3.StreamError{Code: 1}) {
			t.Errorf("%s: %q, %v; want a reset with 1", p, got, err)
		}
	}
	var wg sync.WaitGroup
	for range 200 {
		wg.Go(func() {
			if got, err := fetch(t.Context(), conn, "/file"); err != nil || len(got) != len(large) {
				t.Errorf("one of many: %d bytes, %v", len(got), err)
			}
		})
	}
	wg.Wait()
	if err := srv.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		t.Errorf("Serve: %v", err)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}

// A brokenFS has files that fail after their last byte.
type brokenFS struct{ fstest.MapFS }

func (f brokenFS) Open(name string) (fs.File, error) {
	file, err := f.MapFS.Open(name)
	return brokenFile{file}, err
}

type brokenFile struct{ fs.File }

func (f brokenFile) Read(p []byte) (int, error) {
	n, err := f.File.Read(p)
	if err == io.EOF {
		err = iotest.ErrTimeout
	}
	return n, err
}
