package hoststack

import (
	"io"
	"net"
	"os"
)

// Write writes p, waiting for room as often as needed. It returns early with a
// *StreamError if the peer asked to stop or Reset was called, net.ErrClosed
// after CloseWrite, a *ConnError if the connection has ended, or
// os.ErrDeadlineExceeded; n bytes of p were accepted then. Accepted bytes are
// kept until the peer has acknowledged them.
func (s *Stream) Write(p []byte) (n int, err error) { return s.write(p, nil, false) }

// WriteFinal writes p and ends the sending half, as Write and CloseWrite do,
// but in one step: the last bytes and the end leave in one packet.
func (s *Stream) WriteFinal(p []byte) (n int, err error) { return s.write(p, nil, true) }

// WriteGather writes a and then b, as Write does, but in one step: a short a,
// such as the header of a frame, does not leave in a packet of its own. n counts
// the bytes of both.
func (s *Stream) WriteGather(a, b []byte) (n int, err error) { return s.write(a, b, false) }

// write writes a and b and, if fin, ends the sending half. The engine hears of
// what fits the FIFO at once.
func (s *Stream) write(a, b []byte, fin bool) (n int, err error) {
	if s.send == nil {
		return 0, errNoWrite
	}
	s.writeMu.Lock()
	defer s.writeMu.Unlock()
	for {
		if err := s.writeEnd(); err != nil {
			return n, err
		}
		k := s.send.Write(a)
		a = a[k:]
		if len(a) == 0 && len(b) > 0 {
			m := s.send.Write(b)
			b = b[m:]
			k += m
		}
		n += k
		if len(a)+len(b) == 0 {
			break
		}
		if k > 0 {
			s.mark(didWrite, true)
		} else {
			s.awaitWritable(len(a) + len(b))
		}
	}
	if fin {
		s.writeDone.Store(true)
		s.send.CloseWrite()
		s.writeLimit.stop()
	}
	if fin || n > 0 {
		s.mark(didWrite, true)
	}
	return n, nil
}

// writeEnd reports why nothing can be written, nil if something may.
func (s *Stream) writeEnd() error {
	if s.writeLimit.expired.Load() {
		return os.ErrDeadlineExceeded
	}
	if p := s.writeErr.Load(); p != nil {
		return *p
	}
	if s.writeDone.Load() {
		return net.ErrClosed
	}
	return nil
}

// awaitWritable sleeps until want bytes are free, or half of the FIFO: waking
// a writer for each acknowledgment would cost more than it brings.
func (s *Stream) awaitWritable(want int) {
	s.conn.endHold()
	s.writeWants.Store(int64(min(want, s.send.Limit()/2)))
	w := s.writer.arm()
	if s.writable() || s.writeEnd() != nil {
		s.writer.disarm(w)
		return
	}
	s.writer.sleep(w)
}

// writable reports whether as much is free as the writer waits for.
func (s *Stream) writable() bool {
	return int64(s.send.Limit()-s.send.Len()) >= s.writeWants.Load()
}

// ReadFrom writes all that r has, reading straight into the send FIFO. See
// io.ReaderFrom.
func (s *Stream) ReadFrom(r io.Reader) (total int64, err error) {
	if s.send == nil {
		return 0, errNoWrite
	}
	s.writeMu.Lock()
	defer s.writeMu.Unlock()
	for {
		if err := s.writeEnd(); err != nil {
			return total, err
		}
		b := s.send.Space(readFromChunk)
		if len(b) == 0 {
			s.awaitWritable(readFromChunk)
			continue
		}
		n, err := r.Read(b)
		if n > 0 {
			total += int64(n)
			s.send.PublishTail(s.send.Tail() + uint64(n))
			s.mark(didWrite, true)
		}
		if err == io.EOF {
			return total, nil
		}
		if err != nil {
			return total, err
		}
	}
}

// readFromChunk is how much ReadFrom asks its reader for at a time.
const readFromChunk = 64 << 10

// CloseWrite ends the sending half: the peer reads io.EOF after what was
// written. A call of Write that is waiting for room gives up with net.ErrClosed.
func (s *Stream) CloseWrite() error {
	if s.send == nil {
		return nil
	}
	if p := s.writeErr.Load(); p != nil {
		return *p
	}
	if s.writeDone.Swap(true) {
		return nil
	}
	s.writer.wake() // a writer in another goroutine gives up
	s.writeMu.Lock()
	s.send.CloseWrite()
	s.writeMu.Unlock()
	s.writeLimit.stop()
	s.mark(didWrite, true)
	return nil
}

// Reset abandons the sending half with an application error code: bytes not
// yet delivered may never be. Pending and later calls of Write return a
// *StreamError. It does nothing once the peer has everything.
// https://www.rfc-editor.org/rfc/rfc9000#section-3.1
func (s *Stream) Reset(code uint64) {
	if s.send == nil {
		return
	}
	var err error = &StreamError{ID: s.id, Code: code}
	if !s.writeErr.CompareAndSwap(nil, &err) {
		return
	}
	s.resetCode.Store(code)
	s.writer.wake()
	s.writeLimit.stop()
	s.mark(didReset, true)
}
