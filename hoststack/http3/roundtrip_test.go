package http3_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"reflect"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pquic-go/pquic/hoststack/http3"
	"github.com/pquic-go/pquic/hoststack/http3/h3test"
)

func TestGet(t *testing.T) {
	var got *http.Request
	tr := handlerTransport(t, func(w http.ResponseWriter, r *http.Request) {
		got = r
		w.Header().Set("X-Answer", "42")
		w.Header().Add("Set-Cookie", "a=1")
		w.Header().Add("Set-Cookie", "b=2")
		_, _ = io.WriteString(w, "hello")
	})
	req := newRequest(t, "GET", nil)
	req.Header.Set("X-Question", "?")
	req.Header.Set("Connection", "close") // must not be sent
	req.Header["Cookie"] = []string{"c=3", "d=4"}
	resp, body := do(t, tr, req)

	want := map[string]any{
		"status": 200, "body": "hello", "answer": "42", "cookies": []string{"a=1", "b=2"},
		"length": int64(5), "type": "text/plain; charset=utf-8", "proto": "HTTP/3.0",
	}
	have := map[string]any{
		"status": resp.StatusCode, "body": body, "answer": resp.Header.Get("X-Answer"),
		"cookies": resp.Header["Set-Cookie"], "length": resp.ContentLength,
		"type": resp.Header.Get("Content-Type"), "proto": resp.Proto,
	}
	if !reflect.DeepEqual(have, want) {
		t.Errorf("response:\n got %v\nwant %v", have, want)
	}
	if resp.Header.Get("Date") == "" || resp.TLS == nil || resp.Status != "200 OK" {
		t.Errorf("response lacks Date, TLS or status line: %+v", resp)
	}
	want = map[string]any{
		"method": "GET", "host": "example.com", "uri": "/path?q=1", "path": "/path", "query": "1",
		"question": "?", "cookie": "c=3; d=4", "connection": "", "length": int64(0), "remote": "192.0.2.1:50000",
		"agent": "pquic-http3", "proto": 3,
	}
	have = map[string]any{
		"method": got.Method, "host": got.Host, "uri": got.RequestURI, "path": got.URL.Path, "query": got.URL.Query().Get("q"),
		"question": got.Header.Get("X-Question"), "cookie": got.Header.Get("Cookie"),
		"connection": got.Header.Get("Connection"), "length": got.ContentLength, "remote": got.RemoteAddr,
		"agent": got.UserAgent(), "proto": got.ProtoMajor,
	}
	if !reflect.DeepEqual(have, want) {
		t.Errorf("request:\n got %v\nwant %v", have, want)
	}
	if got.TLS == nil || !got.TLS.HandshakeComplete {
		t.Error("request lacks TLS state")
	}
	<-got.Context().Done() // soon after the handler: the response may be here first
}

func TestEcho(t *testing.T) {
	tr := handlerTransport(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Length", strconv.FormatInt(r.ContentLength, 10))
		_, _ = io.Copy(w, r.Body)
	})
	for _, size := range []int{0, 1, 100, 4095, 4096, 4097, 65535, 65536, 65537, 1 << 20} {
		for _, known := range []bool{true, false} {
			t.Run(fmt.Sprintf("%d known=%v", size, known), func(t *testing.T) {
				data := bytes.Repeat([]byte("0123456789abcdef"), size/16+1)[:size]
				var body io.Reader = bytes.NewReader(data)
				want := strconv.Itoa(size)
				if !known {
					body = struct{ io.Reader }{body}
					if want = "-1"; size == 0 {
						want = "" // whether the server knows depends on timing
					}
				}
				resp, got := do(t, tr, newRequest(t, "POST", body))
				if got != string(data) {
					t.Errorf("echo of %d bytes returned %d others", size, len(got))
				}
				if have := resp.Header.Get("X-Length"); want != "" && have != want {
					t.Errorf("server saw a content length of %s, want %s", have, want)
				}
			})
		}
	}
}

// TestHead: the length and type of what GET would return, but no content.
func TestHead(t *testing.T) {
	tr := handlerTransport(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("q") == "declared" {
			w.Header().Set("Content-Length", "1000000")
			return
		}
		_, _ = io.WriteString(w, "<html>1234")
	})
	resp, body := do(t, tr, newRequest(t, "HEAD", nil))
	if body != "" || resp.ContentLength != 10 || resp.Header.Get("Content-Type") != "text/html; charset=utf-8" {
		t.Errorf("HEAD returned %q, length %d, %q", body, resp.ContentLength, resp.Header.Get("Content-Type"))
	}
	req := newRequest(t, "HEAD", nil)
	req.URL.RawQuery = "q=declared"
	resp, body = do(t, tr, req)
	if body != "" || resp.ContentLength != 1000000 {
		t.Errorf("HEAD with a declared length returned %q, length %d", body, resp.ContentLength)
	}
}

func TestStatusWithoutContent(t *testing.T) {
	tr := handlerTransport(t, func(w http.ResponseWriter, r *http.Request) {
		status, _ := strconv.Atoi(r.Header.Get("Status"))
		w.Header().Set("Content-Length", "5")
		w.WriteHeader(status)
		if _, err := io.WriteString(w, "12345"); !errors.Is(err, http.ErrBodyNotAllowed) {
			t.Errorf("writing content of status %d: %v", status, err)
		}
	})
	for status, length := range map[string]string{"204": "", "304": "5"} {
		req := newRequest(t, "GET", nil)
		req.Header.Set("Status", status)
		resp, body := do(t, tr, req)
		if body != "" || resp.Header.Get("Content-Length") != length {
			t.Errorf("status %s: body %q, content-length %q, want %q", status, body, resp.Header.Get("Content-Length"), length)
		}
	}
}

// zeros is a body of a given number of bytes that holds no memory.
type zeros struct{ left int64 }

func (z *zeros) Read(p []byte) (int, error) {
	if z.left == 0 {
		return 0, io.EOF
	}
	n := min(int64(len(p)), z.left)
	clear(p[:n])
	z.left -= n
	return int(n), nil
}

// TestLargeBodies streams 100 MB each way, by every way a handler can write,
// and looks at how much memory that took.
func TestLargeBodies(t *testing.T) {
	const size = 100 << 20
	hash := sha256.New()
	_, _ = io.Copy(hash, &zeros{size})
	want := hash.Sum(nil)
	defer debug.SetGCPercent(debug.SetGCPercent(20)) // what is held is to show, not what is not collected

	handlers := map[string]func(http.ResponseWriter, *http.Request){
		"copy":  func(w http.ResponseWriter, _ *http.Request) { _, _ = io.Copy(w, &zeros{size}) },
		"write": func(w http.ResponseWriter, _ *http.Request) { _, _ = io.Copy(struct{ io.Writer }{w}, &zeros{size}) },
		"echo":  func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) },
		"declared write": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", strconv.Itoa(size))
			_, _ = io.Copy(struct{ io.Writer }{w}, &zeros{size})
		},
		"declared copy": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", strconv.Itoa(size))
			_, _ = io.CopyN(w, &zeros{size}, size)
		},
	}
	for name, h := range handlers {
		t.Run(name, func(t *testing.T) {
			tr := handlerTransport(t, h)
			req := newRequest(t, "GET", nil)
			if name == "echo" {
				req = newRequest(t, "POST", &zeros{size})
			}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			resp, err := tr.RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			hash := sha256.New()
			n, err := io.Copy(hash, resp.Body)
			_ = resp.Body.Close()
			runtime.ReadMemStats(&after)
			if err != nil || n != size || !bytes.Equal(hash.Sum(nil), want) {
				t.Errorf("got %d bytes, %v", n, err)
			}
			if held := int64(after.HeapSys) - int64(before.HeapSys); held > 64<<20 {
				t.Errorf("the heap grew by %d bytes for a body of %d", held, size)
			}
		})
	}
}

func TestTrailers(t *testing.T) {
	tr := handlerTransport(t, func(w http.ResponseWriter, r *http.Request) {
		if _, ok := r.Trailer["Sum"]; !ok {
			t.Errorf("the request does not announce its trailer: %v", r.Trailer)
		}
		w.Header().Set("Trailer", "Checksum, Not-Set")
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		w.Header().Set("Early", "yes")
		_, _ = w.Write(body)
		w.Header().Set("Checksum", r.Trailer.Get("Sum"))
		w.Header().Set(http.TrailerPrefix+"Surprise", "boo")
		w.Header().Set("Late", "no")
	})
	for _, size := range []int{3, 100_000} {
		data := strings.Repeat("x", size)
		req := newRequest(t, "POST", strings.NewReader(data))
		req.Trailer = http.Header{"Sum": nil}
		req.Body = &trailerBody{Reader: strings.NewReader(data), set: func() { req.Trailer.Set("Sum", "abc") }}
		resp, body := do(t, tr, req)
		if body != data {
			t.Errorf("body has %d bytes, want %d", len(body), size)
		}
		want := http.Header{"Checksum": {"abc"}, "Not-Set": nil, "Surprise": {"boo"}}
		if !reflect.DeepEqual(resp.Trailer, want) {
			t.Errorf("trailer is %v, want %v", resp.Trailer, want)
		}
		if resp.Header.Get("Early") != "yes" || resp.Header.Get("Late") != "" || resp.Header.Get("Checksum") != "" {
			t.Errorf("header is %v", resp.Header)
		}
	}
}

// A trailerBody sets a trailer when it was read to the end.
type trailerBody struct {
	io.Reader
	set func()
}

func (b *trailerBody) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if err == io.EOF {
		b.set()
	}
	return n, err
}

func (b *trailerBody) Close() error { return nil }

// TestTrailersOnly: trailers of a response without content.
func TestTrailersOnly(t *testing.T) {
	tr := handlerTransport(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set(http.TrailerPrefix+"Grpc-Status", "0")
	})
	resp, body := do(t, tr, newRequest(t, "GET", nil))
	if body != "" || resp.Trailer.Get("Grpc-Status") != "0" {
		t.Errorf("body %q, trailer %v", body, resp.Trailer)
	}
}

func TestInformational(t *testing.T) {
	tr := handlerTransport(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Link", "</style.css>; rel=preload")
		w.WriteHeader(http.StatusEarlyHints)
		w.WriteHeader(http.StatusProcessing)
		w.WriteHeader(http.StatusSwitchingProtocols) // has no meaning in HTTP/3
		w.WriteHeader(http.StatusTeapot)
		w.WriteHeader(http.StatusOK) // superfluous
	})
	var interim []string
	req := newRequest(t, "GET", nil)
	req = req.WithContext(httptrace.WithClientTrace(req.Context(), &httptrace.ClientTrace{
		Got1xxResponse: func(code int, header textproto.MIMEHeader) error {
			interim = append(interim, fmt.Sprint(code, " ", header.Get("Link")))
			return nil
		},
	}))
	resp, _ := do(t, tr, req)
	want := []string{"103 </style.css>; rel=preload", "102 </style.css>; rel=preload"}
	if !reflect.DeepEqual(interim, want) || resp.StatusCode != http.StatusTeapot {
		t.Errorf("interim responses %q, status %d; want %q, 418", interim, resp.StatusCode, want)
	}
}

// TestExpectContinue: content waits for the handler to ask for it.
func TestExpectContinue(t *testing.T) {
	for _, accept := range []bool{true, false} {
		t.Run(fmt.Sprint(accept), func(t *testing.T) {
			tr := handlerTransport(t, func(w http.ResponseWriter, r *http.Request) {
				if !accept {
					w.WriteHeader(http.StatusExpectationFailed)
					return
				}
				_, _ = io.Copy(w, r.Body)
			})
			tr.ExpectContinueTimeout = time.Hour
			body := newCountingBody("content")
			req := newRequest(t, "POST", body)
			req.ContentLength = 7
			req.Header.Set("Expect", "100-continue")
			continued := false
			req = req.WithContext(httptrace.WithClientTrace(req.Context(), &httptrace.ClientTrace{
				Got100Continue: func() { continued = true },
			}))
			resp, got := do(t, tr, req)
			if continued != accept {
				t.Errorf("got 100 (Continue): %v", continued)
			}
			if <-body.closedC; !accept && body.read {
				t.Error("content was sent without consent")
			}
			if accept && got != "content" || !accept && resp.StatusCode != http.StatusExpectationFailed {
				t.Errorf("status %d, body %q", resp.StatusCode, got)
			}
		})
	}
}

// A countingBody tells whether it was read and closed.
type countingBody struct {
	io.Reader
	read    bool
	closedC chan bool // receives true for each Close
}

func newCountingBody(s string) *countingBody {
	return &countingBody{Reader: strings.NewReader(s), closedC: make(chan bool, 10)}
}

func (b *countingBody) Read(p []byte) (int, error) {
	b.read = true
	return b.Reader.Read(p)
}

func (b *countingBody) Close() error {
	b.closedC <- true
	return nil
}

// TestContentLengthOfHandler: a handler cannot say one length and write
// another.
func TestContentLengthOfHandler(t *testing.T) {
	tr := handlerTransport(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "5")
		if r.Method == "PUT" {
			_, _ = io.WriteString(w, "123")
			return
		}
		if _, err := io.WriteString(w, "123456"); !errors.Is(err, http.ErrContentLength) {
			t.Errorf("writing too much: %v", err)
		}
		_, _ = io.WriteString(w, "12345")
	})
	if _, body := do(t, tr, newRequest(t, "GET", nil)); body != "12345" {
		t.Errorf("body %q", body)
	}
	resp, err := tr.RoundTrip(newRequest(t, "PUT", nil))
	if err == nil {
		_, err = io.ReadAll(resp.Body)
	}
	if !errors.Is(err, &http3.StreamError{Code: http3.CodeInternalError}) {
		t.Errorf("a short response ended with %v, want H3_INTERNAL_ERROR", err)
	}
}

// TestFlush: what was flushed arrives while the handler still runs.
func TestFlush(t *testing.T) {
	step := make(chan struct{})
	tr := handlerTransport(t, func(w http.ResponseWriter, r *http.Request) {
		for i := range 3 {
			_, _ = fmt.Fprintf(w, "event %d\n", i)
			if err := http.NewResponseController(w).Flush(); err != nil {
				t.Error(err)
			}
			<-step
		}
	})
	resp, err := tr.RoundTrip(newRequest(t, "GET", nil))
	if err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 100)
	for i := range 3 {
		n, err := resp.Body.Read(buf)
		if want := fmt.Sprintf("event %d\n", i); string(buf[:n]) != want {
			t.Errorf("read %q, %v; want %q", buf[:n], err, want)
		}
		step <- struct{}{}
	}
	if n, err := resp.Body.Read(buf); n != 0 || err != io.EOF {
		t.Errorf("read %d, %v; want EOF", n, err)
	}
}

// TestSlowSource: copying from a source that gives a little at a time does not
// hold it all back.
func TestSlowSource(t *testing.T) {
	pr, pw := io.Pipe()
	tr := handlerTransport(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, pr) })
	go func() { _, _ = pw.Write(make([]byte, 5000)) }()
	resp, err := tr.RoundTrip(newRequest(t, "GET", nil))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(resp.Body, make([]byte, 5000)); err != nil {
		t.Errorf("reading what the source gave: %v", err)
	}
	_ = pw.Close()
	if b, err := io.ReadAll(resp.Body); len(b) != 0 || err != nil {
		t.Errorf("the rest: %d bytes, %v", len(b), err)
	}
}

// TestFullDuplex: request and response content flow at the same time.
func TestFullDuplex(t *testing.T) {
	tr := handlerTransport(t, func(w http.ResponseWriter, r *http.Request) {
		c := http.NewResponseController(w)
		if err := c.EnableFullDuplex(); err != nil {
			t.Error(err)
		}
		buf := make([]byte, 10)
		for {
			n, err := r.Body.Read(buf)
			_, _ = w.Write(bytes.ToUpper(buf[:n]))
			_ = c.Flush()
			if err != nil {
				return
			}
		}
	})
	pr, pw := io.Pipe()
	go func() { _, _ = io.WriteString(pw, "ping") }()
	resp, err := tr.RoundTrip(newRequest(t, "POST", pr))
	if err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 4)
	for _, word := range []string{"PING", "PONG"} {
		if _, err := io.ReadFull(resp.Body, buf); err != nil || string(buf) != word {
			t.Errorf("got %q, %v; want %q", buf, err, word)
		}
		if word == "PING" {
			_, _ = io.WriteString(pw, "pong")
		}
	}
	_ = pw.Close()
	if _, err := resp.Body.Read(buf); err != io.EOF {
		t.Errorf("after the end of the request: %v, want EOF", err)
	}
}

// TestServeContent: ranges and conditions by net/http, on a large file.
func TestServeContent(t *testing.T) {
	data := make([]byte, 300_000)
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range data {
		data[i] = byte(rng.Uint32())
	}
	tr := handlerTransport(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", `"v1"`)
		http.ServeContent(w, r, "data.bin", time.Time{}, bytes.NewReader(data))
	})
	for _, c := range []struct {
		key, value string
		status     int
		want       []byte
	}{
		{"X", "", 200, data},
		{"Range", "bytes=0-0", 206, data[:1]},
		{"Range", "bytes=1000-250000", 206, data[1000:250001]},
		{"Range", "bytes=-5", 206, data[len(data)-5:]},
		{"Range", "bytes=300000-", 416, nil},
		{"If-None-Match", `"v1"`, 304, nil},
	} {
		req := newRequest(t, "GET", nil)
		req.Header.Set(c.key, c.value)
		resp, body := do(t, tr, req)
		if resp.StatusCode != c.status || c.want != nil && body != string(c.want) {
			t.Errorf("%s %s: status %d, %d bytes; want %d, %d", c.key, c.value, resp.StatusCode, len(body), c.status, len(c.want))
		}
	}
}

func TestGzip(t *testing.T) {
	tr := handlerTransport(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Accept-Encoding") != "gzip" {
			t.Errorf("Accept-Encoding is %q", r.Header.Get("Accept-Encoding"))
		}
		w.Header().Set("Content-Encoding", "gzip")
		_, _ = w.Write([]byte("\x1f\x8b\b\x00\x00\x00\x00\x00\x00\xff\xcaH\xcd\xc9\xc9\a\x04\x00\x00\xff\xff\x86\xa6\x106\x05\x00\x00\x00"))
	})
	resp, body := do(t, tr, newRequest(t, "GET", nil))
	if body != "hello" || !resp.Uncompressed || resp.Header.Get("Content-Encoding") != "" {
		t.Errorf("body %q, uncompressed %v, header %v", body, resp.Uncompressed, resp.Header)
	}
}

// TestPlainTransport: everything works without the optional interfaces.
func TestPlainTransport(t *testing.T) {
	srv := &http3.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		_, _ = w.Write(body)
		_, _ = w.Write(make([]byte, 100_000))
	})}
	tr := transport(t, srv, h3test.Config{Plain: true})
	if _, body := do(t, tr, newRequest(t, "POST", strings.NewReader("abc"))); len(body) != 100_003 {
		t.Errorf("got %d bytes", len(body))
	}
}

// TestWrites counts how often a response writes to its stream.
func TestWrites(t *testing.T) {
	for _, c := range []struct {
		name    string
		handler http.HandlerFunc
		want    int
	}{
		{"short", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") }, 1},
		{"empty", func(http.ResponseWriter, *http.Request) {}, 1},
		{"file of 60 kB", func(w http.ResponseWriter, r *http.Request) {
			http.ServeContent(w, r, "x", time.Time{}, bytes.NewReader(make([]byte, 60_000)))
		}, 1},
		{"file of 1 MiB", func(w http.ResponseWriter, r *http.Request) {
			http.ServeContent(w, r, "x", time.Time{}, bytes.NewReader(make([]byte, 1<<20)))
		}, 3},
		{"one write of 1 MiB", func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write(make([]byte, 1<<20)) }, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			conn := serve(t, &http3.Server{Handler: c.handler}, h3test.Config{Window: 4 << 20})
			s := openBidi(t, conn, get(), true)
			if _, err := io.ReadAll(s); err != nil {
				t.Fatal(err)
			}
			if got := s.(*h3test.Stream).PeerWrites(); got != c.want {
				t.Errorf("the response took %d writes, want %d", got, c.want)
			}
		})
	}
}
