package hoststack

import (
	"errors"
	"io"
	"os"
)

// errNoRead and errNoWrite answer calls on the half that a unidirectional
// stream lacks.
var (
	errNoRead  = errors.New("hoststack: read from a stream this side only sends on")
	errNoWrite = errors.New("hoststack: write to a stream this side only receives on")
)

// Read reads up to len(p) bytes, waiting until there is at least one. It
// returns io.EOF at the end of the stream, a *StreamError if the peer has reset
// it or CancelRead was called, a *ConnError if the connection has ended and
// os.ErrDeadlineExceeded. Bytes that arrived before an end are delivered first.
func (s *Stream) Read(p []byte) (int, error) {
	if s.recv == nil {
		return 0, errNoRead
	}
	s.readMu.Lock()
	defer s.readMu.Unlock()
	for {
		if err := s.readForbidden(); err != nil {
			return 0, err
		}
		if n := s.recv.Read(p); n > 0 {
			s.consumed(n)
			return n, nil
		}
		if len(p) == 0 {
			return 0, nil
		}
		if err := s.readEnd(); err != nil {
			return 0, err
		}
		s.awaitReadable()
	}
}

// readForbidden reports why Read may not even look at what has arrived.
func (s *Stream) readForbidden() error {
	if s.readLimit.expired.Load() {
		return os.ErrDeadlineExceeded
	}
	if s.cancelled.Load() {
		return *s.readErr.Load()
	}
	return nil
}

// readEnd reports why nothing more will come, nil if something may. The
// receive FIFO was empty a moment ago.
func (s *Stream) readEnd() error {
	if s.recv.Closed() {
		// What came before the end may have come since.
		if s.recv.Len() > 0 {
			return nil
		}
		s.end()
		if code, reset := s.recv.ResetCode(); reset {
			if p := s.readErr.Load(); p != nil {
				return *p
			}
			return &StreamError{ID: s.id, Code: code, Remote: true}
		}
		return io.EOF
	}
	if p := s.readErr.Load(); p != nil {
		return *p
	}
	return nil
}

// ReadEnded reports whether the peer ended the stream cleanly and every byte
// was read. The end counts as seen then: Read need not be called to get io.EOF.
func (s *Stream) ReadEnded() bool {
	if s.recv == nil || !s.recv.Closed() || s.recv.Len() > 0 {
		return false
	}
	if _, reset := s.recv.ResetCode(); reset {
		return false
	}
	s.readMu.Lock()
	defer s.readMu.Unlock()
	s.end()
	return true
}

// end tells the engine once that the application has seen the end, so that it
// can retire the stream.
func (s *Stream) end() {
	if !s.sawEnd {
		s.sawEnd = true
		s.mark(didRead, true)
		s.readLimit.stop()
	}
}

// awaitReadable sleeps until the worker, a deadline or another goroutine's
// call has something for Read.
func (s *Stream) awaitReadable() {
	w := s.reader.arm()
	if s.recv.Len() > 0 || s.recv.Closed() || s.readErr.Load() != nil || s.readLimit.expired.Load() {
		s.reader.disarm(w)
		return
	}
	s.reader.sleep(w)
}

// consumed tells the engine of credit to give back. A worker at work hears of
// every read; one that sleeps is bothered only when enough has come together,
// on this stream or on all, to be worth a frame.
func (s *Stream) consumed(n int) {
	s.unreported += uint64(n)
	c := s.conn
	urgent := s.unreported >= c.streamStep
	if total := c.unreported.Add(uint64(n)); total >= c.connStep {
		c.unreported.Store(0)
		urgent = true
	}
	if urgent {
		s.unreported = 0
	}
	if s.recv.Closed() && s.recv.Len() == 0 {
		urgent = true
		s.sawEnd = true
	}
	s.mark(didRead, urgent)
}

// WriteTo reads the whole stream into w without a buffer in between: it writes
// from the receive FIFO itself. See io.WriterTo.
func (s *Stream) WriteTo(w io.Writer) (int64, error) {
	if s.recv == nil {
		return 0, errNoRead
	}
	s.readMu.Lock()
	defer s.readMu.Unlock()
	var total int64
	for {
		if err := s.readForbidden(); err != nil {
			return total, err
		}
		head := s.recv.Head()
		if b := s.recv.PeekContiguous(head); len(b) > 0 {
			n, err := w.Write(b[:min(len(b), writeToChunk)])
			total += int64(n)
			s.recv.Advance(head + uint64(n))
			s.consumed(n)
			if err != nil {
				return total, err
			}
			continue
		}
		switch err := s.readEnd(); err {
		case nil:
			s.awaitReadable()
		case io.EOF:
			return total, nil
		default:
			return total, err
		}
	}
}

// writeToChunk bounds one write of WriteTo, so that credit is given back while
// a slow writer is at work.
const writeToChunk = 256 << 10

// CancelRead tells the peer that nothing more will be read, with an application
// error code; pending and later calls of Read return a *StreamError. It does
// nothing once everything has been read.
// https://www.rfc-editor.org/rfc/rfc9000#section-3.5
func (s *Stream) CancelRead(code uint64) {
	if s.recv == nil {
		return
	}
	if s.recv.Closed() && s.recv.Len() == 0 {
		s.mark(didRead, true) // nothing to cancel; the engine may retire the stream
		return
	}
	var err error = &StreamError{ID: s.id, Code: code}
	if !s.readErr.CompareAndSwap(nil, &err) {
		return
	}
	s.stopCode.Store(code)
	s.cancelled.Store(true)
	s.reader.wake()
	s.readLimit.stop()
	s.mark(didStop, true)
}
