package main

import (
	"cmp"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// counts are the server's own figures; the connections' are the listener's.
type counts struct {
	inFlight atomic.Int64
	bytes    atomic.Uint64

	mu       sync.Mutex
	requests map[requestKind]uint64
	conns    map[string]uint64
}

// A requestKind is what requests are counted by.
type requestKind struct {
	proto  string // "HTTP/3.0"
	status int
}

func (c *counts) connection(protocol string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.conns == nil {
		c.conns = make(map[string]uint64)
	}
	c.conns[protocol]++
}

func (c *counts) request(k requestKind) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.requests == nil {
		c.requests = make(map[requestKind]uint64)
	}
	c.requests[k]++
}

// A counted is one of several figures of a kind.
type counted[K any] struct {
	key K
	n   uint64
}

// snapshot returns copies in a fixed order.
func (c *counts) snapshot() (requests []counted[requestKind], conns []counted[string]) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for k, n := range maps.All(c.requests) {
		requests = append(requests, counted[requestKind]{k, n})
	}
	for k, n := range maps.All(c.conns) {
		conns = append(conns, counted[string]{k, n})
	}
	slices.SortFunc(requests, func(a, b counted[requestKind]) int {
		return cmp.Or(cmp.Compare(a.key.proto, b.key.proto), cmp.Compare(a.key.status, b.key.status))
	})
	slices.SortFunc(conns, func(a, b counted[string]) int { return cmp.Compare(a.key, b.key) })
	return requests, conns
}

// wrap counts and logs the requests to a handler.
func (c *counts) wrap(next http.Handler, log *slog.Logger) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		cw := &countingWriter{ResponseWriter: w, bytes: &c.bytes}
		c.inFlight.Add(1)
		defer func() {
			c.inFlight.Add(-1)
			status := cmp.Or(cw.status, http.StatusOK)
			c.request(requestKind{r.Proto, status})
			log.Debug("request", "remote", r.RemoteAddr, "proto", r.Proto, "method", r.Method, "path", r.URL.Path,
				"status", status, "bytes", cw.n, "took", time.Since(start).Round(time.Microsecond))
		}()
		next.ServeHTTP(cw, r)
	})
}

// A countingWriter is a ResponseWriter that notes the status and counts bytes.
type countingWriter struct {
	http.ResponseWriter
	bytes  *atomic.Uint64
	status int
	n      uint64
}

// Unwrap lets http.ResponseController find what the writer below can do.
func (w *countingWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *countingWriter) WriteHeader(status int) {
	if status >= 200 && w.status == 0 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *countingWriter) Write(p []byte) (int, error) {
	n, err := w.ResponseWriter.Write(p)
	w.add(int64(n))
	return n, err
}

// ReadFrom keeps the short way that the writer below has for whole files.
func (w *countingWriter) ReadFrom(r io.Reader) (int64, error) {
	n, err := io.Copy(w.ResponseWriter, r)
	w.add(n)
	return n, err
}

func (w *countingWriter) add(n int64) {
	w.n += uint64(n)
	w.bytes.Add(uint64(n))
}
