package perf

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"sync"
	"testing"
	"time"

	"github.com/pquic-go/pquic/hoststack"
)

// connect returns a connection to a new server.
func connect(t *testing.T) (*hoststack.Conn, *Server) {
	t.Helper()
	cert, err := hoststack.SelfSigned(nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	l, err := hoststack.Listen(ctx, "udp", "127.0.0.1:0", &hoststack.Config{
		TLS: &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{ALPN}}, Workers: 1,
	})
	if err != nil {
		t.Fatal(err)
	}
	s := new(Server)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept(ctx)
			if err != nil {
				return
			}
			go s.ServeConn(ctx, c)
		}
	}()
	t.Cleanup(func() {
		l.Close()
		<-done
	})
	client := &tls.Config{NextProtos: []string{ALPN}}
	if err := hoststack.PinSPKI(client, hoststack.SPKIHash(cert.Leaf)); err != nil {
		t.Fatal(err)
	}
	c, err := hoststack.Dial(ctx, "udp", l.Addr().String(), &hoststack.Config{TLS: client})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.CloseWithError(0, "") })
	return c, s
}

func TestExchanges(t *testing.T) {
	c, s := connect(t)
	var wg sync.WaitGroup
	sizes := []Request{{}, {Upload: 1, Download: 1}, {Upload: 512, Download: 4000}, {Upload: 3 << 20}, {Download: 3 << 20}, {Upload: 1 << 20, Download: 1 << 20}}
	for _, r := range sizes {
		wg.Go(func() {
			got, err := Do(t.Context(), c, r)
			if err != nil || got.Sent != r.Upload || got.Received != r.Download || got.Stopped {
				t.Errorf("%d up, %d down: got %+v, %v", r.Upload, r.Download, got, err)
			}
		})
	}
	wg.Wait()
	if n := s.Stats().Requests; n != uint64(len(sizes)) {
		t.Errorf("the server counts %d requests, want %d", n, len(sizes))
	}
}

func TestEndlessAnswerIsStopped(t *testing.T) {
	c, _ := connect(t)
	got, err := Do(t.Context(), c, Request{Download: Endless, Until: time.Now().Add(50 * time.Millisecond)})
	if err != nil || !got.Stopped || got.Received == 0 {
		t.Fatalf("got %+v, %v", got, err)
	}
	// The connection goes on.
	if got, err := Do(t.Context(), c, Request{Download: 10}); err != nil || got.Received != 10 {
		t.Fatalf("afterwards: got %+v, %v", got, err)
	}
}

func TestEndlessUploadEnds(t *testing.T) {
	c, s := connect(t)
	got, err := Do(t.Context(), c, Request{Upload: Endless, Until: time.Now().Add(50 * time.Millisecond)})
	if err != nil || got.Sent == 0 {
		t.Fatalf("got %+v, %v", got, err)
	}
	if n := s.Stats().BytesReceived; n != got.Sent {
		t.Errorf("the server received %d bytes, want the %d that were sent", n, got.Sent)
	}
}

func TestShortRequestIsRefused(t *testing.T) {
	c, _ := connect(t)
	st, err := c.OpenStream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := st.Write([]byte{0, 0, 1}); err != nil {
		t.Fatal(err)
	}
	if err := st.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	_, err = io.ReadAll(st)
	if !errors.Is(err, &hoststack.StreamError{Code: codeMalformed}) {
		t.Errorf("got %v, want the stream reset with code %d", err, codeMalformed)
	}
}

func TestUnidirectionalStreamsAreDropped(t *testing.T) {
	c, s := connect(t)
	st, err := c.OpenUniStream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := st.Write(make([]byte, 1000)); err != nil {
		t.Fatal(err)
	}
	if err := st.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	for s.Stats().BytesReceived < 1000 { // no other sign of it reaches the client
		if _, err := Do(t.Context(), c, Request{Upload: 1, Download: 1}); err != nil {
			t.Fatal(err)
		}
	}
}
