package http3_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pquic-go/pquic/core"
	"github.com/pquic-go/pquic/hoststack"
	"github.com/pquic-go/pquic/hoststack/http3"
)

// certificate is one self-signed certificate for all tests over UDP.
var certificate = sync.OnceValue(func() tls.Certificate {
	cert, err := hoststack.SelfSigned(nil, 0)
	if err != nil {
		panic(err)
	}
	return cert
})

func clientTLS(t testing.TB) *tls.Config {
	t.Helper()
	leaf, err := x509.ParseCertificate(certificate().Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return &tls.Config{RootCAs: pool}
}

// listenUDP serves srv on a loopback port and returns its "host:port".
func listenUDP(t testing.TB, srv *http3.Server, cfg *hoststack.Config) string {
	t.Helper()
	if cfg == nil {
		cfg = new(hoststack.Config)
	}
	cfg.TLS = &tls.Config{Certificates: []tls.Certificate{certificate()}, NextProtos: []string{http3.NextProtoH3}}
	l, err := hoststack.Listen(t.Context(), "udp", "127.0.0.1:0", cfg)
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(http3.NewListener(l)) }()
	t.Cleanup(func() {
		_ = srv.Close()
		if err := <-served; !errors.Is(err, http3.ErrServerClosed) {
			t.Errorf("Serve: %v", err)
		}
		if err := l.Close(); err != nil {
			t.Errorf("closing the listener: %v", err)
		}
	})
	return l.Addr().String()
}

func udpTransport(t *testing.T) *http3.Transport {
	t.Helper()
	tr := &http3.Transport{TLSClientConfig: clientTLS(t)}
	t.Cleanup(func() { _ = tr.Close() })
	return tr
}

// TestUDP: requests of several kinds through the real transport.
func TestUDP(t *testing.T) {
	data := bytes.Repeat([]byte("0123456789abcdef"), 1<<16) // 1 MiB
	addr := listenUDP(t, &http3.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Proto", r.Proto)
		w.Header().Set("Trailer", "Sum")
		switch r.URL.Path {
		case "/file":
			http.ServeContent(w, r, "f.bin", time.Time{}, bytes.NewReader(data))
		case "/echo":
			_, _ = io.Copy(w, r.Body)
		case "/panic":
			panic(http.ErrAbortHandler)
		default:
			_, _ = io.WriteString(w, "hello")
		}
		w.Header().Set("Sum", "done")
	})}, nil)
	client := &http.Client{Transport: udpTransport(t)}
	fetch := func(method, path, rng string, body io.Reader) (*http.Response, []byte, error) {
		req, err := http.NewRequestWithContext(t.Context(), method, "https://"+addr+path, body)
		if err != nil {
			t.Fatal(err)
		}
		if rng != "" {
			req.Header.Set("Range", rng)
		}
		resp, err := client.Do(req)
		if err != nil {
			return nil, nil, err
		}
		defer resp.Body.Close()
		var b bytes.Buffer
		_, err = b.ReadFrom(resp.Body)
		return resp, b.Bytes(), err
	}
	for _, c := range []struct {
		method, path, rng string
		body              io.Reader
		status            int
		want              []byte
	}{
		{"GET", "/", "", nil, 200, []byte("hello")},
		{"HEAD", "/", "", nil, 200, nil},
		{"GET", "/file", "", nil, 200, data},
		{"GET", "/file", "bytes=1000-300000", nil, 206, data[1000:300001]},
		{"POST", "/echo", "", bytes.NewReader(data), 200, data},
		{"POST", "/echo", "", struct{ io.Reader }{bytes.NewReader(data)}, 200, data},
		{"POST", "/", "", bytes.NewReader(data), 200, []byte("hello")}, // content not read
	} {
		resp, got, err := fetch(c.method, c.path, c.rng, c.body)
		if err != nil || resp.StatusCode != c.status || !bytes.Equal(got, c.want) {
			t.Errorf("%s %s %s: %v, %d bytes, want %d", c.method, c.path, c.rng, err, len(got), len(c.want))
			continue
		}
		if resp.Proto != "HTTP/3.0" || resp.Header.Get("X-Proto") != "HTTP/3.0" || resp.TLS.NegotiatedProtocol != "h3" {
			t.Errorf("%s %s: protocols %s, %s", c.method, c.path, resp.Proto, resp.TLS.NegotiatedProtocol)
		}
		if c.method != "HEAD" && resp.Trailer.Get("Sum") != "done" {
			t.Errorf("%s %s: trailer %v", c.method, c.path, resp.Trailer)
		}
	}
	if _, _, err := fetch("GET", "/panic", "", nil); !errors.Is(err, &http3.StreamError{Code: http3.CodeInternalError}) {
		t.Errorf("panic: %v", err)
	}
	var wg sync.WaitGroup
	for range 300 { // three times the default stream limit
		wg.Go(func() {
			if _, got, err := fetch("GET", "/", "", nil); err != nil || string(got) != "hello" {
				t.Errorf("one of many: %q, %v", got, err)
			}
		})
	}
	wg.Wait()
}

// TestUDPLargeBody streams 100 MB down and up.
func TestUDPLargeBody(t *testing.T) {
	const size = 100 << 20
	addr := listenUDP(t, &http3.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == "GET" {
			w.Header().Set("Content-Length", fmt.Sprint(size))
			_, _ = io.Copy(w, &zeros{size})
			return
		}
		n, err := io.Copy(io.Discard, r.Body)
		_, _ = fmt.Fprint(w, n, err)
	})}, nil)
	tr := udpTransport(t)
	hash := sha256.New()
	_, _ = io.Copy(hash, &zeros{size})
	want := hash.Sum(nil)
	req, _ := http.NewRequestWithContext(t.Context(), "GET", "https://"+addr, nil)
	resp, err := tr.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	hash.Reset()
	start := time.Now()
	n, err := io.Copy(hash, resp.Body)
	if err != nil || n != size || !bytes.Equal(hash.Sum(nil), want) {
		t.Errorf("down: %d bytes, %v", n, err)
	}
	t.Logf("down: %.0f MB/s with SHA-256", float64(size)/1e6/time.Since(start).Seconds())
	req, _ = http.NewRequestWithContext(t.Context(), "PUT", "https://"+addr, &zeros{size})
	req.ContentLength = size
	start = time.Now()
	resp, body := do(t, tr, req)
	if want := fmt.Sprint(size, " <nil>"); body != want {
		t.Errorf("up: status %d, the server got %s, want %s", resp.StatusCode, body, want)
	}
	t.Logf("up: %.0f MB/s", float64(size)/1e6/time.Since(start).Seconds())
}

// TestUDPCancel: cancelling a request frees its stream at both ends.
func TestUDPCancel(t *testing.T) {
	started, ended := make(chan struct{}), make(chan struct{})
	addr := listenUDP(t, &http3.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == "HEAD" {
			return
		}
		close(started)
		_, _ = io.Copy(w, &zeros{1 << 40}) // until the client has enough
		<-r.Context().Done()
		close(ended)
	})}, nil)
	tr := udpTransport(t)
	ctx, cancel := context.WithCancel(t.Context())
	req, _ := http.NewRequestWithContext(ctx, "GET", "https://"+addr, nil)
	resp, err := tr.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	<-started
	cancel()
	if _, err := io.Copy(io.Discard, resp.Body); !errors.Is(err, context.Canceled) {
		t.Errorf("reading on: %v", err)
	}
	<-ended
	req, _ = http.NewRequestWithContext(t.Context(), "HEAD", "https://"+addr, nil)
	do(t, tr, req)
}

// TestUDPShutdown: the client has the whole response although the server
// shuts down, and knows that the connection is done.
func TestUDPShutdown(t *testing.T) {
	const size = 5 << 20
	begun, release := make(chan struct{}), make(chan struct{})
	srv := &http3.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		close(begun)
		<-release
		_, _ = io.Copy(w, &zeros{size})
	})}
	addr := listenUDP(t, srv, nil)
	tr := udpTransport(t)
	got := make(chan error, 1)
	go func() {
		req, _ := http.NewRequestWithContext(t.Context(), "GET", "https://"+addr, nil)
		resp, err := tr.RoundTrip(req)
		if err == nil {
			var n int64
			if n, err = io.Copy(io.Discard, resp.Body); err == nil && n != size {
				err = fmt.Errorf("got %d bytes", n)
			}
		}
		got <- err
	}()
	<-begun
	down := make(chan error, 1)
	go func() { down <- srv.Shutdown(t.Context()) }()
	close(release)
	if err := <-got; err != nil {
		t.Errorf("the request in flight: %v", err)
	}
	if err := <-down; err != nil {
		t.Errorf("Shutdown: %v", err)
	}
}

// TestUDPEarlyData: the second connection's first request goes out in 0-RTT.
func TestUDPEarlyData(t *testing.T) {
	var mu sync.Mutex
	early := map[string]bool{}
	addr := listenUDP(t, &http3.Server{Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		early[r.Method+r.URL.Path] = !r.TLS.HandshakeComplete
	})}, &hoststack.Config{Early: true, Core: core.Config{Allow0RTT: true}})
	cfg := clientTLS(t)
	cfg.ClientSessionCache = tls.NewLRUClientSessionCache(10)
	for i := range 2 {
		var conn *hoststack.Conn
		tr := &http3.Transport{EnableEarlyData: true, TLSClientConfig: cfg, Dial: func(ctx context.Context, addr string, cfg *tls.Config) (_ http3.Conn, err error) {
			conn, err = hoststack.DialEarly(ctx, "udp", addr, &hoststack.Config{TLS: cfg})
			if err != nil {
				return nil, err
			}
			return http3.NewConn(conn), nil
		}}
		for _, method := range []string{"GET", "POST"} {
			req, _ := http.NewRequestWithContext(t.Context(), method, fmt.Sprintf("https://%s/%d", addr, i), nil)
			resp, _ := do(t, tr, req)
			if i == 1 && method == "POST" && !resp.TLS.DidResume {
				t.Error("the second connection did not resume the first's session")
			}
		}
		if stats := conn.Stats(); i == 1 && stats.EarlyDataState != 2 {
			t.Errorf("early data was not accepted: state %d", stats.EarlyDataState)
		}
		_ = tr.Close()
	}
	mu.Lock()
	defer mu.Unlock()
	if early["GET/0"] || early["POST/0"] || early["POST/1"] {
		t.Errorf("requests handled early: %v", early)
	}
}

// TestListenAndServe: the mp-quic shapes, and HTTP/1.1 and HTTP/2 beside
// HTTP/3 on one port.
func TestListenAndServe(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile := writeCertificate(t, dir)
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.Proto) })

	for _, missing := range []error{
		http3.ListenAndServeQUIC("127.0.0.1:0", filepath.Join(dir, "none"), keyFile, handler),
		http3.ListenAndServe("127.0.0.1:0", certFile, filepath.Join(dir, "none"), handler),
	} {
		if missing == nil || !strings.Contains(missing.Error(), "none") {
			t.Errorf("a missing file gives %v", missing)
		}
	}
	if err := new(http3.Server).ListenAndServe(); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("no certificate gives %v", err)
	}

	// Only a port that was free a moment ago can be named: the functions do not
	// tell what they got.
	addr := freePort(t)
	go func() { _ = http3.ListenAndServe(addr, certFile, keyFile, handler) }()
	quic := http3.NewQuicRoundTripper([]string{"127.0.0.1", "127.0.0.2"}, []string{"127.0.0.3:1"}, clientTLS(t))
	var local, remote []string
	quic.Paths = func(_ *hoststack.Conn, l, r []string) { local, remote = l, r }
	defer quic.Close()
	if _, body := do(t, quic, mustRequest(t, addr)); body != "HTTP/3.0" {
		t.Errorf("over QUIC: %s", body)
	}
	if len(local) != 1 || local[0] != "127.0.0.2" || len(remote) != 1 || remote[0] != "127.0.0.3:1" {
		t.Errorf("further addresses: %v, %v", local, remote)
	}
	for proto, http2 := range map[string]bool{"HTTP/1.1": false, "HTTP/2.0": true} {
		tcp := &http.Transport{TLSClientConfig: clientTLS(t), ForceAttemptHTTP2: http2}
		resp, body := do(t, tcp, mustRequest(t, addr))
		_, port, _ := net.SplitHostPort(addr)
		if want := `h3=":` + port + `"; ma=86400`; body != proto || resp.Header.Get("Alt-Svc") != want {
			t.Errorf("over TCP: %s with Alt-Svc %q, want %s with %q", body, resp.Header.Get("Alt-Svc"), proto, want)
		}
		tcp.CloseIdleConnections()
	}
	if err := http3.ListenAndServe(addr, certFile, keyFile, handler); err == nil {
		t.Error("a port in use was taken")
	}
	bad := http3.NewQuicRoundTripper([]string{"not an address"}, nil, nil)
	if _, err := bad.RoundTrip(mustRequest(t, addr)); err == nil {
		t.Error("a bad local address was taken")
	}
}

func mustRequest(t *testing.T, addr string) *http.Request {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), "GET", "https://"+addr, nil)
	if err != nil {
		t.Fatal(err)
	}
	return req
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func writeCertificate(t *testing.T, dir string) (certFile, keyFile string) {
	t.Helper()
	cert := certificate()
	key, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	certFile, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for name, block := range map[string]*pem.Block{
		certFile: {Type: "CERTIFICATE", Bytes: cert.Certificate[0]},
		keyFile:  {Type: "PRIVATE KEY", Bytes: key},
	} {
		if err := os.WriteFile(name, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return certFile, keyFile
}
