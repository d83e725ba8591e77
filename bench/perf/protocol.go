// Package perf is the benchmark's program: a client and a server of draft-banks-quic-performance
// on any [stack.Stack], so that two QUIC implementations run the very same application.
//
// On each stream the client sends the length of the wanted answer as 8 bytes in network byte order,
// then its own bytes, and ends its side; the server sends that many bytes and ends its side.
package perf

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"runtime/metrics"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/pquic-go/pquic/bench/stack"
)

// ALPN is the protocol's name.
const ALPN = "perf"

// chunk is how much is written and read at once.
const chunk = 64 << 10

// A Usage is what a process has used since it began.
type Usage struct {
	CPUSeconds float64 `json:"cpu_seconds"` // user and system time
	Mallocs    uint64  `json:"mallocs"`
	HeapBytes  uint64  `json:"heap_bytes"`  // live objects, if the garbage collector has just run
	StackBytes uint64  `json:"stack_bytes"` // of goroutines
	RSSBytes   uint64  `json:"rss_bytes"`   // largest resident set so far
}

// ReadUsage reads the usage of this process.
func ReadUsage() Usage {
	var r unix.Rusage
	_ = unix.Getrusage(unix.RUSAGE_SELF, &r) // cannot fail for the process itself
	s := []metrics.Sample{
		{Name: "/gc/heap/allocs:objects"}, {Name: "/gc/heap/tiny/allocs:objects"},
		{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/memory/classes/heap/stacks:bytes"},
	}
	metrics.Read(s)
	return Usage{
		CPUSeconds: seconds(r.Utime) + seconds(r.Stime),
		Mallocs:    s[0].Value.Uint64() + s[1].Value.Uint64(),
		HeapBytes:  s[2].Value.Uint64(),
		StackBytes: s[3].Value.Uint64(),
		RSSBytes:   uint64(r.Maxrss) << 10,
	}
}

func seconds(t unix.Timeval) float64 { return float64(t.Sec) + float64(t.Usec)/1e6 }

// Steady is what a process allocated while a transfer was in full swing: from its first tenth to
// its end.
type Steady struct {
	Mallocs uint64 `json:"mallocs"`
	Packets uint64 `json:"packets"` // sent and received
}

// A steadyMeter measures Steady along a transfer of total bytes.
type steadyMeter struct {
	conn    stack.Conn
	total   uint64
	begun   bool
	mallocs uint64
	packets uint64
}

func (m *steadyMeter) at(done uint64) {
	if !m.begun && done >= m.total/10 {
		m.begun = true
		m.mallocs, m.packets = ReadUsage().Mallocs, m.count()
	}
}

func (m *steadyMeter) count() uint64 {
	sent, received := m.conn.Packets()
	return sent + received
}

func (m *steadyMeter) end() Steady {
	packets, mallocs := m.count(), ReadUsage().Mallocs
	return Steady{Mallocs: mallocs - m.mallocs, Packets: packets - m.packets}
}

// A Server answers requests until its listener closes.
type Server struct {
	mu     sync.Mutex
	steady Steady
}

// Steady returns the sums over the long answers sent so far.
func (s *Server) Steady() Steady {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.steady
}

// Serve accepts connections until l is closed.
func (s *Server) Serve(ctx context.Context, l stack.Listener) error {
	for {
		c, err := l.Accept(ctx)
		if err != nil {
			return err
		}
		go s.serveConn(ctx, c)
	}
}

func (s *Server) serveConn(ctx context.Context, c stack.Conn) {
	for {
		st, err := c.AcceptStream(ctx)
		if err != nil {
			return // the client has gone
		}
		go s.serveStream(c, st)
	}
}

var zeros = make([]byte, chunk)

var buffers = sync.Pool{New: func() any { b := make([]byte, chunk); return &b }}

// steadyFrom is the length from which an answer is long enough to measure its steady state.
const steadyFrom = 4 << 20

func (s *Server) serveStream(c stack.Conn, st stack.Stream) {
	n, err := readRequest(st)
	if err != nil {
		return // the client's own error tells what happened
	}
	m := steadyMeter{conn: c, total: n}
	long := n >= steadyFrom
	for sent := uint64(0); sent < n; {
		w := min(n-sent, chunk)
		write := st.Write
		if sent+w == n {
			write = st.WriteFinal
		}
		if _, err := write(zeros[:w]); err != nil {
			return
		}
		sent += w
		if long {
			m.at(sent)
		}
	}
	if long {
		got := m.end()
		s.mu.Lock()
		s.steady.Mallocs += got.Mallocs
		s.steady.Packets += got.Packets
		s.mu.Unlock()
	}
	if n == 0 {
		_ = st.CloseWrite()
	}
}

// readRequest reads a request to its end and returns the length of the wanted answer.
func readRequest(st stack.Stream) (uint64, error) {
	var head [8]byte
	if _, err := io.ReadFull(st, head[:]); err != nil {
		return 0, err
	}
	buf := buffers.Get().(*[]byte)
	defer buffers.Put(buf)
	for {
		if _, err := st.Read(*buf); errors.Is(err, io.EOF) {
			return binary.BigEndian.Uint64(head[:]), nil
		} else if err != nil {
			return 0, err
		}
	}
}

// request sends a request with extra bytes of its own and reads the answer of size bytes; progress,
// if set, is told how much of the answer came.
func request(ctx context.Context, c stack.Conn, extra int, size uint64, progress func(uint64)) error {
	st, err := c.OpenStream(ctx)
	if err != nil {
		return err
	}
	buf := buffers.Get().(*[]byte)
	defer buffers.Put(buf)
	head := binary.BigEndian.AppendUint64((*buf)[:0], size)
	if _, err := st.WriteFinal(append(head, zeros[:extra]...)); err != nil {
		return err
	}
	var got uint64
	for {
		n, err := st.Read(*buf)
		got += uint64(n)
		if progress != nil {
			progress(got)
		}
		switch {
		case errors.Is(err, io.EOF) && got != size:
			return fmt.Errorf("the answer has %d bytes, want %d", got, size)
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
	}
}

// Windows and limits for both implementations. The windows are what quic-go grows to by itself, given
// from the start; wider and narrower ones, and other sizes of chunk, do not make it faster.
const (
	streamWindow = 6 << 20
	connWindow   = 15 << 20
	maxStreams   = 10000
)

func newConfig(t *tls.Config, o *options) *stack.Config {
	return &stack.Config{
		TLS: t, MaxDatagram: o.maxDatagram, StreamWindow: streamWindow, ConnWindow: connWindow,
		MaxStreams: maxStreams, IdleTimeout: 5 * time.Minute, MaxConns: 1 << 20,
	}
}
