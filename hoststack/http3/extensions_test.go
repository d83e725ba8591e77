package http3_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/pquic-go/pquic/hoststack/http3"
	"github.com/pquic-go/pquic/hoststack/http3/h3test"
)

// TestPriorityHeader: the request's field ranks the response's stream, and the
// handler may correct it.
func TestPriorityHeader(t *testing.T) {
	for _, c := range []struct {
		request, response string
		want              http3.Priority
	}{
		{"", "", http3.Priority{}}, // the stream's own default is left alone
		{"u=1", "", http3.Priority{Urgency: 1}},
		{"u=5, i", "", http3.Priority{Urgency: 5, Incremental: true}},
		{"i", "", http3.Priority{Urgency: 3, Incremental: true}},
		{"u=9", "", http3.Priority{Urgency: 3}},
		{"u=1, i", "u=6", http3.Priority{Urgency: 6, Incremental: true}},
		{"u=1, i", "i=?0", http3.Priority{Urgency: 1}},
		{"u=,", "", http3.Priority{}},
	} {
		srv := &http3.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			if c.response != "" {
				w.Header().Set("Priority", c.response)
			}
		})}
		conn := serve(t, srv, h3test.Config{})
		b := get()
		if c.request != "" {
			b = get("priority: " + c.request)
		}
		s := openBidi(t, conn, b, true)
		wantStatus(t, c.request, s, "200")
		if got := s.(*h3test.Stream).PeerPriority(); got != c.want {
			t.Errorf("request %q, response %q: stream has %v, want %v", c.request, c.response, got, c.want)
		}
	}
}

// TestPriorityUpdate: frames rank streams before they open and while they are
// open, and win over the header field.
func TestPriorityUpdate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		conn := serve(t, &http3.Server{Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release })}, h3test.Config{})
		update := func(id uint64, value string) []byte {
			return frame(http3.FramePriorityUpdateRequest, cat(varints(id), []byte(value)))
		}
		ctrl := openUni(t, conn, control(update(0, "u=0, i"), update(4, "u=7")))
		synctest.Wait()
		first := openBidi(t, conn, get("priority: u=6"), true)
		second := openBidi(t, conn, get(), true)
		synctest.Wait()
		want := func(what string, s http3.Stream, p http3.Priority) {
			t.Helper()
			if got := s.(*h3test.Stream).PeerPriority(); got != p {
				t.Errorf("%s: priority %v, want %v", what, got, p)
			}
		}
		want("a frame before the stream, and a field", first, http3.Priority{Urgency: 0, Incremental: true})
		want("a frame before the stream", second, http3.Priority{Urgency: 7})
		_, _ = ctrl.Write(cat(update(4, "i"), update(0, "u=,"), update(1<<20, "u=1")))
		synctest.Wait()
		want("a frame on the open stream", second, http3.Priority{Urgency: 3, Incremental: true})
		want("a frame that is not understood", first, http3.Priority{Urgency: 0, Incremental: true})
		close(release)
		wantStatus(t, "first", first, "200")
		_, _ = ctrl.Write(update(0, "u=1")) // its stream is gone
		// Frames for streams that never come are not all remembered.
		for id := uint64(400); id < 400+4*1000; id += 4 {
			_, _ = ctrl.Write(update(id, "u=1"))
		}
		wantStatus(t, "second", second, "200")
	})
}

// TestUpdatePriority: the client's side of the same.
func TestUpdatePriority(t *testing.T) {
	client, server := h3test.Pair(h3test.Config{})
	cc := new(http3.Transport).NewClientConn(client)
	defer cc.Close()
	go func() {
		s, _ := server.AcceptStream(t.Context())
		_, _ = s.Write(cat(headers(":status: 200"), varints(0, 100)))
	}()
	req := newRequest(t, "GET", nil)
	req.Header.Set("Priority", "u=4")
	resp, err := cc.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	ctrl, err := server.AcceptUniStream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	readVarint(t, ctrl)
	readFrame(t, ctrl)
	if err := http3.UpdatePriority(resp, http3.Priority{Urgency: 2, Incremental: true}); err != nil {
		t.Fatal(err)
	}
	typ, payload := readFrame(t, ctrl)
	if want := string(varints(0)) + "u=2, i"; typ != http3.FramePriorityUpdateRequest || string(payload) != want {
		t.Errorf("sent %v %q, want PRIORITY_UPDATE %q", typ, payload, want)
	}
	_ = resp.Body.Close()
	if err := http3.UpdatePriority(&http.Response{Body: http.NoBody}, http3.DefaultPriority); err == nil {
		t.Error("a response without content took a priority")
	}
}

// tunnelPair sets up an extended CONNECT tunnel and returns the client's
// response and writer.
func tunnelServer(datagrams bool, handler http.HandlerFunc) *http3.Server {
	srv := &http3.Server{Handler: handler, EnableConnectProtocol: true}
	if datagrams {
		srv.Datagrams = func(c http3.Conn) http3.DatagramSender { return c.(*h3test.Conn) }
	}
	return srv
}

func connectRequest(t *testing.T, body io.Reader) *http.Request {
	t.Helper()
	req := newRequest(t, http.MethodConnect, body)
	req.Header[":protocol"] = []string{"echo-test"}
	return req
}

// TestExtendedConnect: bytes both ways through a tunnel, ended from both sides.
func TestExtendedConnect(t *testing.T) {
	tr := transport(t, tunnelServer(false, func(w http.ResponseWriter, r *http.Request) {
		if r.Method != "CONNECT" || r.Header[":protocol"][0] != "echo-test" ||
			r.URL.Path != "/path" || r.Host != "example.com" {
			t.Errorf("the handler sees %s %v %v %s", r.Method, r.URL, r.Header, r.Host)
		}
		tunnel, ok := http3.TunnelOf(unwrapper{w})
		if !ok || tunnel.StreamID() != 0 {
			t.Errorf("no tunnel: %v", tunnel)
		}
		w.WriteHeader(http.StatusOK)
		c := http.NewResponseController(w)
		_ = c.Flush()
		buf := make([]byte, 100)
		for {
			n, err := r.Body.Read(buf)
			_, _ = w.Write(buf[:n])
			_ = c.Flush()
			if err != nil {
				return
			}
		}
	}), h3test.Config{})
	pr, pw := io.Pipe()
	resp, err := tr.RoundTrip(connectRequest(t, pr))
	if err != nil {
		t.Fatal(err)
	}
	if resp.ContentLength != -1 || resp.Header.Get("Content-Length") != "" || resp.Header.Get("Content-Type") != "" {
		t.Errorf("a tunnel's response has length %d and header %v", resp.ContentLength, resp.Header)
	}
	for _, word := range []string{"hello", "again"} {
		_, _ = io.WriteString(pw, word)
		buf := make([]byte, len(word))
		if _, err := io.ReadFull(resp.Body, buf); err != nil || string(buf) != word {
			t.Errorf("echo %q, %v; want %q", buf, err, word)
		}
	}
	tunnel, ok := http3.ResponseTunnel(resp)
	if !ok {
		t.Fatal("the response has no tunnel")
	}
	if err := tunnel.SendDatagram([]byte("x")); !errors.Is(err, http3.ErrDatagramsUnavailable) {
		t.Errorf("sending a datagram without the extension: %v", err)
	}
	_ = pw.Close()
	if _, err := resp.Body.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("after the end: %v", err)
	}
}

// An unwrapper is middleware around a response writer.
type unwrapper struct{ http.ResponseWriter }

func (u unwrapper) Unwrap() http.ResponseWriter { return u.ResponseWriter }

func TestConnectFrames(t *testing.T) {
	srv := tunnelServer(false, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusOK)
		_ = http.NewResponseController(w).Flush()
		_, _ = io.Copy(io.Discard, r.Body)
	})
	extended := headers(":method: CONNECT", ":scheme: https", ":authority: example.com", ":path: /", ":protocol: x")
	plain := headers(":method: CONNECT", ":authority: example.com:443")
	for name, head := range map[string][]byte{"extended": extended, "plain": plain} {
		conn := serve(t, srv, h3test.Config{})
		ok := cat(head, frame(http3.FrameData, []byte("x")), frame(0x21, nil), frame(http3.FrameData, []byte("y")))
		wantStatus(t, name, openBidi(t, conn, ok, true), "200")
		openBidi(t, conn, cat(head, headers("a: b")), true)
		wantConnError(t, name+" with trailers", conn, http3.CodeFrameUnexpected)
	}
}

// TestConnectNotAccepted: a client asks before it sends extended CONNECT.
func TestConnectNotAccepted(t *testing.T) {
	tr := handlerTransport(t, readAllHandler)
	if _, err := tr.RoundTrip(connectRequest(t, nil)); err == nil || !strings.Contains(err.Error(), "extended CONNECT") {
		t.Errorf("error is %v", err)
	}
}

// TestDatagrams: HTTP datagrams both ways, and what becomes of those that
// belong to nothing.
func TestDatagrams(t *testing.T) {
	handled := make(chan error, 1)
	srv := tunnelServer(true, func(w http.ResponseWriter, r *http.Request) {
		tunnel, ok := http3.TunnelOf(w)
		if !ok {
			<-r.Context().Done() // a GET
			handled <- context.Cause(r.Context())
			return
		}
		if err := tunnel.AwaitDatagrams(r.Context()); err != nil {
			t.Errorf("waiting for datagrams: %v", err)
		}
		w.WriteHeader(http.StatusOK)
		_ = http.NewResponseController(w).Flush()
		for {
			b, err := tunnel.ReceiveDatagram(r.Context())
			if err != nil {
				handled <- err
				return
			}
			if err := tunnel.SendDatagram(append([]byte("re: "), b...)); err != nil {
				t.Error(err)
			}
		}
	})
	var client *h3test.Conn
	tr := transport(t, srv, h3test.Config{})
	tr.Datagrams = func(c http3.Conn) http3.DatagramSender {
		client = c.(*h3test.Conn)
		return client
	}
	pr, pw := io.Pipe()
	resp, err := tr.RoundTrip(connectRequest(t, pr))
	if err != nil {
		t.Fatal(err)
	}
	tunnel, _ := http3.ResponseTunnel(resp)
	if n := tunnel.MaxDatagramSize(); n != 1199 {
		t.Errorf("largest datagram: %d", n)
	}
	for _, word := range []string{"one", "", "three"} {
		if err := tunnel.SendDatagram([]byte(word)); err != nil {
			t.Fatal(err)
		}
		if b, err := tunnel.ReceiveDatagram(t.Context()); err != nil || string(b) != "re: "+word {
			t.Errorf("got %q, %v", b, err)
		}
	}
	if err := client.SendDatagram(cat(varints(1234), []byte("no such stream"))); err != nil {
		t.Error(err)
	}

	// A GET gives datagrams no meaning: its stream is aborted.
	go func() { _, _ = tr.RoundTrip(newRequest(t, "GET", nil)) }()
	var got error
	for got == nil {
		_ = client.SendDatagram(cat(varints(1), []byte("x"))) // stream 4, once it is open
		select {
		case got = <-handled:
		default:
		}
	}
	if !errors.Is(got, &http3.StreamError{Code: http3.CodeDatagramError}) {
		t.Errorf("a datagram for a GET ended it with %v", got)
	}

	_ = pw.Close()
	_ = resp.Body.Close()
	if err := <-handled; err == nil {
		t.Error("the tunnel's handler saw no end")
	}
	if _, err := tunnel.ReceiveDatagram(t.Context()); !errors.Is(err, net.ErrClosed) {
		t.Errorf("receiving after the end: %v", err)
	}
	if err := tunnel.SendDatagram(nil); !errors.Is(err, net.ErrClosed) {
		t.Errorf("sending after the end: %v", err)
	}
	_ = client.SendDatagram([]byte{0xc0})
	wantConnError(t, "half an ID", client, http3.CodeDatagramError)
}

func TestDatagramIDs(t *testing.T) {
	for _, b := range [][]byte{nil, {0x40}, varints(1 << 60)} {
		conn := serve(t, tunnelServer(true, readAllHandler), h3test.Config{})
		wantStatus(t, "a request", openBidi(t, conn, get(), true), "200") // the server listens now
		_ = conn.SendDatagram(b)
		wantConnError(t, "bad Quarter Stream ID", conn, http3.CodeDatagramError)
	}
}

// TestDatagramQueue: a slow reader loses datagrams, not memory.
func TestDatagramQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		read := make(chan struct{})
		srv := tunnelServer(true, func(w http.ResponseWriter, r *http.Request) {
			tunnel, _ := http3.TunnelOf(w)
			<-read
			n := 0
			for ctx, cancel := context.WithCancel(r.Context()); ; n++ {
				if n == 64 {
					cancel()
				}
				if _, err := tunnel.ReceiveDatagram(ctx); err != nil {
					cancel()
					break
				}
			}
			if n != 64 {
				t.Errorf("%d datagrams were kept, want 64", n)
			}
		})
		conn := serve(t, srv, h3test.Config{})
		s := openBidi(t, conn, headers(":method: CONNECT", ":scheme: https", ":authority: a", ":path: /", ":protocol: x"), true)
		synctest.Wait()
		for range 1000 {
			_ = conn.SendDatagram(varints(0))
		}
		close(read)
		wantStatus(t, "the tunnel", s, "200")
	})
}
