package perf

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"sync"
	"sync/atomic"

	"github.com/pquic-go/pquic/hoststack"
)

// ALPN is the protocol's name in the TLS handshake.
const ALPN = "perf"

// Endless asks for an answer without an end.
const Endless = math.MaxUint64

// headerSize is the length of the field that starts a request, in bytes.
const headerSize = 8

// Application error codes of the streams. The protocol defines none.
const (
	codeDone      = 0 // the client has had enough
	codeMalformed = 1 // a request shorter than its header
)

// chunk is how much is written at once: all zeros, as the content means
// nothing.
var chunk [64 << 10]byte

// A Server answers perf connections. The zero Server is ready.
type Server struct {
	requests atomic.Uint64
	received atomic.Uint64
	sent     atomic.Uint64
}

// Stats counts what a Server did.
type Stats struct {
	Requests      uint64 // answered to their end
	BytesReceived uint64 // stream bytes after the requests' headers
	BytesSent     uint64 // stream bytes
}

// Stats returns the counts so far.
func (s *Server) Stats() Stats {
	return Stats{s.requests.Load(), s.received.Load(), s.sent.Load()}
}

// ServeConn answers requests until the connection or ctx ends, and returns
// why. It returns once no request is being answered any more; if ctx ends,
// those under way are answered first.
func (s *Server) ServeConn(ctx context.Context, c *hoststack.Conn) error {
	var running sync.WaitGroup
	defer running.Wait()
	running.Go(func() {
		for {
			st, err := c.AcceptUniStream(ctx)
			if err != nil {
				return
			}
			running.Go(func() { _ = s.drain(st) }) // the client sees its own errors
		}
	})
	for {
		st, err := c.AcceptStream(ctx)
		if err != nil {
			return err
		}
		running.Go(func() { _ = s.answer(st) })
	}
}

// drain reads a stream to its end.
func (s *Server) drain(st *hoststack.Stream) error {
	_, err := st.WriteTo(counter{&s.received})
	return err
}

// answer answers the request on a stream.
func (s *Server) answer(st *hoststack.Stream) error {
	var header [headerSize]byte
	if _, err := io.ReadFull(st, header[:]); err != nil {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			st.Reset(codeMalformed)
		}
		return err
	}
	if err := s.drain(st); err != nil {
		st.Reset(codeDone)
		return err
	}
	if err := writeZeros(st, binary.BigEndian.Uint64(header[:]), &s.sent); err != nil {
		return err
	}
	s.requests.Add(1)
	return st.CloseWrite()
}

// writeZeros writes n bytes and counts them.
func writeZeros(st *hoststack.Stream, n uint64, count *atomic.Uint64) error {
	for left := n; left > 0; {
		w, err := st.Write(chunk[:min(left, uint64(len(chunk)))])
		count.Add(uint64(w))
		if n != Endless {
			left -= uint64(w)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// A counter is a Writer that only counts.
type counter struct{ n *atomic.Uint64 }

func (c counter) Write(p []byte) (int, error) {
	c.n.Add(uint64(len(p)))
	return len(p), nil
}

// errShort tells that an answer ended early.
func errShort(got, want uint64) error {
	return fmt.Errorf("perf: the answer has %d bytes, want %d", got, want)
}
