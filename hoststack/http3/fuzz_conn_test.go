package http3_test

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/pquic-go/pquic/hoststack/http3"
	"github.com/pquic-go/pquic/hoststack/http3/h3test"
)

// A script makes streams out of fuzzed bytes: an operation, a length, that
// many bytes, and again.
//
//	0 bidirectional with FIN   2 unidirectional        4 datagram
//	1 … without                3 … with FIN            5 … then reset
type script struct{ b []byte }

func (s *script) next() (op byte, data []byte, ok bool) {
	if len(s.b) < 2 {
		return 0, nil, false
	}
	op, n := s.b[0]%6, min(int(s.b[1]), len(s.b)-2)
	data = s.b[2 : 2+n]
	s.b = s.b[2+n:]
	return op, data, true
}

func play1(op byte, data []byte) []byte { return append([]byte{op, byte(len(data))}, data...) }

// run plays the script on one end of a connection.
func (s *script) run(c *h3test.Conn) {
	ctx := context.Background()
	for n := 0; n < 30; n++ {
		op, data, ok := s.next()
		if !ok {
			return
		}
		if op == 4 {
			_ = c.SendDatagram(data)
			continue
		}
		open := c.OpenStream
		if op == 2 || op == 3 {
			open = c.OpenUniStream
		}
		str, err := open(ctx)
		if err != nil {
			return
		}
		_, _ = str.Write(data)
		switch op {
		case 0, 3:
			_ = str.CloseWrite()
		case 5:
			str.Reset(uint64(http3.CodeRequestCancelled))
			str.CancelRead(uint64(http3.CodeRequestCancelled))
		}
	}
}

// A panicLog panics with what a server logs of a handler's panic: in these
// tests it would be the server's own.
type panicLog struct{ slog.Handler }

func (panicLog) Enabled(context.Context, slog.Level) bool { return true }

func (panicLog) Handle(_ context.Context, r slog.Record) error {
	if strings.Contains(r.Message, "panicked") {
		r.Attrs(func(a slog.Attr) bool {
			r.Message += "\n" + a.String()
			return true
		})
		panic(r.Message)
	}
	return nil
}

// FuzzServer feeds a whole server hostile streams.
func FuzzServer(f *testing.F) {
	post := headers(":method: POST", ":scheme: https", ":authority: a", ":path: /", "expect: 100-continue", "priority: u=1")
	data := frame(http3.FrameData, []byte("hello"))
	connect := headers(":method: CONNECT", ":scheme: https", ":authority: a", ":path: /", ":protocol: x")
	f.Add(cat(play1(2, control()), play1(0, cat(post, data, headers("sum: 1")))))
	f.Add(cat(play1(2, varints(2)), play1(2, varints(3)), play1(1, get()), play1(5, get())))
	f.Add(cat(play1(2, control(frame(http3.FramePriorityUpdateRequest, cat(varints(0), []byte("u=2, i"))))), play1(0, get("content-length: 5"))))
	f.Add(cat(play1(1, cat(connect, data)), play1(4, varints(0, 1)), play1(3, varints(0x21))))
	f.Add(cat(play1(3, control(frame(http3.FrameGoAway, varints(0)))), play1(0, nil)))
	f.Fuzz(func(t *testing.T, b []byte) {
		client, server := h3test.Pair(h3test.Config{Window: 4 << 10})
		srv := &http3.Server{
			Logger: slog.New(panicLog{}), MaxHeaderBytes: 1000, EnableConnectProtocol: true,
			Datagrams: func(c http3.Conn) http3.DatagramSender { return c.(*h3test.Conn) },
			Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Trailer", "Sum")
				_, _ = io.Copy(w, r.Body)
				w.Header().Set("Sum", r.Trailer.Get("Sum"))
			}),
		}
		done := make(chan struct{})
		go func() {
			_ = srv.ServeConn(server)
			close(done)
		}()
		s := script{b}
		s.run(client)
		_ = client.CloseWithError(uint64(http3.CodeNoError), "")
		<-done
	})
}

// FuzzClient answers a client's request with hostile streams.
func FuzzClient(f *testing.F) {
	ok := headers(":status: 200", "content-encoding: gzip")
	f.Add(cat(ok, frame(http3.FrameData, []byte("hello"))), play1(2, control()))
	f.Add(cat(headers(":status: 103", "link: x"), headers(":status: 204")), play1(3, control(frame(http3.FrameGoAway, varints(4)))))
	f.Add(cat(ok, headers("sum: 1")), play1(1, nil))
	f.Add(headers(":status: 200", "content-length: 9"), play1(2, varints(1, 0)))
	f.Fuzz(func(t *testing.T, answer, b []byte) {
		client, server := h3test.Pair(h3test.Config{Window: 4 << 10})
		cc := (&http3.Transport{MaxResponseHeaderBytes: 1000}).NewClientConn(client)
		played := make(chan struct{})
		go func() {
			defer close(played)
			s := script{b}
			s.run(server)
			if str, err := server.AcceptStream(context.Background()); err == nil {
				_, _ = str.Write(answer)
				_ = str.CloseWrite()
			}
		}()
		req, err := http.NewRequest("POST", "https://a/", strings.NewReader("content"))
		if err != nil {
			t.Fatal(err)
		}
		if resp, err := cc.RoundTrip(req); err == nil {
			n, err := io.Copy(io.Discard, resp.Body)
			if err == nil && resp.ContentLength >= 0 && n != resp.ContentLength {
				t.Errorf("%d bytes of a response of %d", n, resp.ContentLength)
			}
			_ = resp.Body.Close()
		}
		_ = cc.Close()
		<-played
	})
}
