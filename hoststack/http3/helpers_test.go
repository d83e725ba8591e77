package http3_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/quic-go/qpack"

	"github.com/pquic-go/pquic/core/wire"
	"github.com/pquic-go/pquic/hoststack/http3"
	"github.com/pquic-go/pquic/hoststack/http3/h3test"
)

// serve runs srv for one connection and returns the client's end. The test
// fails if the server's goroutines do not end with the connection.
func serve(t *testing.T, srv *http3.Server, cfg h3test.Config) *h3test.Conn {
	t.Helper()
	if srv.Logger == nil {
		srv.Logger = slog.New(slog.DiscardHandler)
	}
	client, server := h3test.Pair(cfg)
	done := make(chan struct{})
	go func() {
		_ = srv.ServeConn(server)
		close(done)
	}()
	t.Cleanup(func() {
		_ = client.CloseWithError(uint64(http3.CodeNoError), "end of test")
		<-done
	})
	return client
}

// transport returns a Transport whose every connection is answered by srv.
func transport(t *testing.T, srv *http3.Server, cfg h3test.Config) *http3.Transport {
	t.Helper()
	tr := &http3.Transport{
		Dial: func(context.Context, string, *tls.Config) (http3.Conn, error) { return serve(t, srv, cfg), nil },
	}
	t.Cleanup(func() { _ = tr.Close() })
	return tr
}

// handlerTransport is transport for a handler and the default configuration.
func handlerTransport(t *testing.T, h http.HandlerFunc) *http3.Transport {
	t.Helper()
	return transport(t, &http3.Server{Handler: h}, h3test.Config{})
}

func newRequest(t *testing.T, method string, body io.Reader) *http.Request {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, "https://example.com/path?q=1", body)
	if err != nil {
		t.Fatal(err)
	}
	return req
}

// do sends req and reads the whole response.
func do(t *testing.T, rt http.RoundTripper, req *http.Request) (*http.Response, string) {
	t.Helper()
	resp, err := rt.RoundTrip(req)
	if err != nil {
		t.Fatalf("%s %s: %v", req.Method, req.URL, err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("reading the response to %s %s: %v", req.Method, req.URL, err)
	}
	return resp, string(b)
}

// section encodes "name: value" lines as a field section.
func section(lines ...string) []byte {
	var b bytes.Buffer
	e := qpack.NewEncoder(&b)
	for _, l := range lines {
		name, value, _ := strings.Cut(l[1:], ": ")
		_ = e.WriteField(qpack.HeaderField{Name: l[:1] + name, Value: value})
	}
	return b.Bytes()
}

// frame builds one HTTP/3 frame.
func frame(t http3.FrameType, payload []byte) []byte {
	b := wire.AppendVarint(nil, uint64(t))
	b = wire.AppendVarint(b, uint64(len(payload)))
	return append(b, payload...)
}

func headers(lines ...string) []byte { return frame(http3.FrameHeaders, section(lines...)) }

// varints encodes identifiers one after the other.
func varints(v ...uint64) []byte {
	var b []byte
	for _, x := range v {
		b = wire.AppendVarint(b, x)
	}
	return b
}

func cat(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

// get is the header section of a plain request, with more lines after it.
func get(more ...string) []byte {
	return headers(append([]string{":method: GET", ":scheme: https", ":authority: example.com", ":path: /"}, more...)...)
}

// control is the start of a control stream.
func control(frames ...[]byte) []byte {
	return cat(varints(0), frame(http3.FrameSettings, nil), cat(frames...))
}

// openUni writes b on a new unidirectional stream.
func openUni(t *testing.T, c *h3test.Conn, b []byte) http3.Stream {
	t.Helper()
	s, err := c.OpenUniStream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Write(b); err != nil {
		t.Logf("writing: %v", err)
	}
	return s
}

// openBidi writes b on a new request stream, and ends it if fin.
func openBidi(t *testing.T, c *h3test.Conn, b []byte, fin bool) http3.Stream {
	t.Helper()
	s, err := c.OpenStream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Write(b); err != nil {
		t.Logf("writing: %v", err)
	}
	if fin {
		_ = s.CloseWrite()
	}
	return s
}

// wantConnError waits for the connection's end and checks its cause.
func wantConnError(t *testing.T, what string, c *h3test.Conn, want http3.ErrCode) {
	t.Helper()
	<-c.Context().Done()
	err := context.Cause(c.Context())
	var ce *http3.ConnError
	if !errors.As(err, &ce) || ce.Code != want {
		t.Errorf("%s: connection ended with %v, want %v", what, err, want)
	}
}

// wantReset reads s to its end, which must be a reset.
func wantReset(t *testing.T, what string, s http3.Stream, want http3.ErrCode) {
	t.Helper()
	got, err := io.ReadAll(s)
	var se *http3.StreamError
	if !errors.As(err, &se) || !se.Remote || se.Code != want {
		t.Errorf("%s: stream gave %q, %v; want a reset with %v", what, got, err, want)
	}
}

// wantStatus reads a response of the given status.
func wantStatus(t *testing.T, what string, s http3.Stream, want string) {
	t.Helper()
	b, err := io.ReadAll(s)
	if err != nil {
		t.Errorf("%s: %v", what, err)
		return
	}
	if got := firstField(t, b, ":status"); got != want {
		t.Errorf("%s: status %q, want %q", what, got, want)
	}
}

// firstField returns a field of the HEADERS frame that b begins with.
func firstField(t *testing.T, b []byte, name string) string {
	t.Helper()
	typ, n := wire.ParseVarint(b)
	length, m := wire.ParseVarint(b[n:])
	if n == 0 || m == 0 || typ != uint64(http3.FrameHeaders) || uint64(len(b)-n-m) < length {
		t.Fatalf("no HEADERS frame: %x", b)
	}
	next := qpack.NewDecoder().Decode(b[n+m : n+m+int(length)])
	for {
		f, err := next()
		if err != nil {
			return ""
		}
		if f.Name == name {
			return f.Value
		}
	}
}

// readFrame reads one frame.
func readFrame(t *testing.T, r io.Reader) (http3.FrameType, []byte) {
	t.Helper()
	typ := readVarint(t, r)
	payload := make([]byte, readVarint(t, r))
	if _, err := io.ReadFull(r, payload); err != nil {
		t.Fatal(err)
	}
	return http3.FrameType(typ), payload
}

func readVarint(t *testing.T, r io.Reader) uint64 {
	t.Helper()
	var b [8]byte
	if _, err := io.ReadFull(r, b[:1]); err != nil {
		t.Fatal(err)
	}
	n := 1 << (b[0] >> 6)
	if _, err := io.ReadFull(r, b[1:n]); err != nil {
		t.Fatal(err)
	}
	v, _ := wire.ParseVarint(b[:n])
	return v
}
