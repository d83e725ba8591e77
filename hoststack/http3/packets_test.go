package http3_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"testing"

	"github.com/pquic-go/pquic/core"
	"github.com/pquic-go/pquic/core/qlog"
	"github.com/pquic-go/pquic/core/wire"
	"github.com/pquic-go/pquic/hoststack"
	"github.com/pquic-go/pquic/hoststack/http3"
)

// A sentLog tells which frames of request streams a connection has sent.
type sentLog struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *sentLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

// trace is a core.Config.Qlog.
func (l *sentLog) trace(odcid wire.ConnID, server bool) *qlog.Trace {
	return qlog.New(l, qlog.Info{ODCID: odcid, Server: server})
}

// A sentFrame is the first STREAM frame of a request stream.
type sentFrame struct {
	packet uint64
	length int
	fin    bool
}

// first returns the first frame of every request stream.
func (l *sentLog) first(t *testing.T) map[uint64]sentFrame {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	all := make(map[uint64]sentFrame)
	for _, r := range bytes.Split(l.b.Bytes(), []byte{0x1e}) {
		var e struct {
			Name string
			Data struct {
				Header struct {
					PacketNumber uint64 `json:"packet_number"`
				}
				Frames []struct {
					FrameType string `json:"frame_type"`
					StreamID  uint64 `json:"stream_id"`
					Fin       bool
					Raw       struct{ Length int }
				}
			}
		}
		if len(r) == 0 {
			continue
		}
		if err := json.Unmarshal(r, &e); err != nil {
			t.Fatalf("%v in %s", err, r)
		}
		for _, f := range e.Data.Frames {
			if _, later := all[f.StreamID]; e.Name == "quic:packet_sent" && f.FrameType == "stream" && f.StreamID%4 == 0 && !later {
				all[f.StreamID] = sentFrame{e.Data.Header.PacketNumber, f.Raw.Length, f.Fin}
			}
		}
	}
	return all
}

// TestSmallMessagesInOnePacket: a request without content, and a response with
// little, leave whole: header section, content and the stream's end in one
// frame.
func TestSmallMessagesInOnePacket(t *testing.T) {
	var served, asked sentLog
	addr := listenUDP(t, &http3.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "hello")
	})}, &hoststack.Config{Core: core.Config{Qlog: served.trace}})
	tr := udpTransport(t)
	tr.QUIC = &hoststack.Config{Core: core.Config{Qlog: asked.trace}}
	const requests = 3
	for range requests {
		if _, body := do(t, tr, mustRequest(t, addr)); body != "hello" {
			t.Errorf("the answer is %q", body)
		}
	}
	for who, log := range map[string]*sentLog{"request": &asked, "response": &served} {
		first := log.first(t)
		if len(first) != requests {
			t.Errorf("%d streams, want %d", len(first), requests)
		}
		for id, f := range first {
			if f.length == 0 || !f.fin {
				t.Errorf("the first frame of the %s on stream %d has %d bytes and FIN %v, want all of it", who, id, f.length, f.fin)
			}
		}
	}
}

// TestBurst: requests that waited for the same connection leave together,
// whether its handshake is complete or not.
func TestBurst(t *testing.T) {
	addr := listenUDP(t, &http3.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.URL.Path)
	})}, &hoststack.Config{Early: true, Core: core.Config{Allow0RTT: true}})
	cfg := clientTLS(t)
	cfg.ClientSessionCache = tls.NewLRUClientSessionCache(10)
	const requests = 20
	for i := range 2 {
		var log sentLog
		dialling, waiting := make(chan struct{}), make(chan struct{})
		tr := &http3.Transport{EnableEarlyData: true, TLSClientConfig: cfg, Dial: func(ctx context.Context, addr string, cfg *tls.Config) (http3.Conn, error) {
			close(dialling)
			<-waiting
			conn, err := hoststack.DialEarly(ctx, "udp", addr, &hoststack.Config{TLS: cfg, Core: core.Config{Qlog: log.trace}})
			if err != nil {
				return nil, err
			}
			return http3.NewConn(conn), nil
		}}
		var all sync.WaitGroup
		for n := range requests {
			all.Go(func() {
				path := fmt.Sprintf("/%d/%d", i, n)
				req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+addr+path, nil)
				if _, body := do(t, tr, req); body != path {
					t.Errorf("the answer to %s is %q", path, body)
				}
			})
		}
		<-dialling
		http3.AwaitWaiters(tr, requests)
		close(waiting)
		all.Wait()
		packets := make(map[uint64]bool)
		first := log.first(t)
		for _, f := range first {
			packets[f.packet] = true
		}
		if len(first) != requests || len(packets) > 3 {
			t.Errorf("%d requests left in %d packets, want %d in 3 at most", len(first), len(packets), requests)
		}
		_ = tr.Close()
	}
}

// TestRequestContextEnds: a handler that neither reads nor writes hears that the
// client went away.
func TestRequestContextEnds(t *testing.T) {
	started, ended := make(chan struct{}), make(chan error, 1)
	addr := listenUDP(t, &http3.Server{Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(started)
		<-r.Context().Done()
		ended <- context.Cause(r.Context())
	})}, nil)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-started
		cancel()
	}()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+addr+"/", nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := udpTransport(t).RoundTrip(req); !errors.Is(err, context.Canceled) {
		t.Errorf("the client gets %v", err)
	}
	var se *http3.StreamError
	if err := <-ended; !errors.As(err, &se) || !se.Remote || se.Code != http3.CodeRequestCancelled {
		t.Errorf("the handler's context ended with %v, want the client's H3_REQUEST_CANCELLED", err)
	}
}
