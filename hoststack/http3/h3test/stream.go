package h3test

import (
	"io"
	"sync"
	"time"

	"github.com/pquic-go/pquic/hoststack/http3"
)

// A Stream is one end of a stream. Either direction may be nil.
type Stream struct {
	conn    *Conn
	id      uint64
	in, out *pipe

	far *Stream // the other end

	mu     sync.Mutex
	prio   http3.Priority
	writes int
}

var (
	_ http3.Stream        = (*Stream)(nil)
	_ http3.FinalWriter   = (*Stream)(nil)
	_ http3.GatherWriter  = (*Stream)(nil)
	_ http3.AbortNotifier = (*Stream)(nil)
	_ http3.EndTeller     = (*Stream)(nil)
	_ io.ReaderFrom       = (*Stream)(nil)
	_ io.WriterTo         = (*Stream)(nil)
)

// ID implements [http3.Stream].
func (s *Stream) ID() uint64 { return s.id }

// Read implements [http3.Stream].
func (s *Stream) Read(p []byte) (int, error) {
	n, err := s.in.read(p)
	s.conn.settle(s)
	return n, err
}

// Write implements [http3.Stream].
func (s *Stream) Write(p []byte) (int, error) {
	s.count()
	return s.out.write(p, false)
}

// WriteFinal implements [http3.FinalWriter].
func (s *Stream) WriteFinal(p []byte) (int, error) {
	s.count()
	n, err := s.out.write(p, true)
	s.conn.settle(s)
	return n, err
}

// WriteGather implements [http3.GatherWriter].
func (s *Stream) WriteGather(a, b []byte) (int, error) {
	s.count()
	n, err := s.out.write(a, false)
	if err != nil {
		return n, err
	}
	m, err := s.out.write(b, false)
	return n + m, err
}

// ReadEnded implements [http3.EndTeller].
func (s *Stream) ReadEnded() bool {
	s.in.mu.Lock()
	defer s.in.mu.Unlock()
	return s.in.fin && len(s.in.buf) == 0
}

// ReadFrom implements [io.ReaderFrom].
func (s *Stream) ReadFrom(r io.Reader) (int64, error) {
	s.count()
	return io.Copy(writerFunc(func(p []byte) (int, error) { return s.out.write(p, false) }), r)
}

// WriteTo implements [io.WriterTo].
func (s *Stream) WriteTo(w io.Writer) (int64, error) {
	var total int64
	for {
		n, err := s.in.take(w.Write, false)
		s.conn.settle(s)
		total += int64(n)
		if err == io.EOF {
			return total, nil
		}
		if err != nil {
			return total, err
		}
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func (s *Stream) count() {
	s.mu.Lock()
	s.writes++
	s.mu.Unlock()
}

// PeerWrites returns the number of write calls at the other end so far.
func (s *Stream) PeerWrites() int {
	s.far.mu.Lock()
	defer s.far.mu.Unlock()
	return s.far.writes
}

// CloseWrite implements [http3.Stream].
func (s *Stream) CloseWrite() error {
	_, err := s.out.write(nil, true)
	s.conn.settle(s)
	return err
}

// CancelRead implements [http3.Stream].
func (s *Stream) CancelRead(code uint64) {
	s.in.cancelRead(code)
	s.conn.settle(s)
}

// Reset implements [http3.Stream].
func (s *Stream) Reset(code uint64) {
	s.out.abort(code)
	s.conn.settle(s)
}

// SetReadDeadline implements [http3.Stream].
func (s *Stream) SetReadDeadline(t time.Time) error {
	s.in.setDeadline(&s.in.readDeadline, t)
	return nil
}

// SetWriteDeadline implements [http3.Stream].
func (s *Stream) SetWriteDeadline(t time.Time) error {
	s.out.setDeadline(&s.out.writeDeadline, t)
	return nil
}

// SetPriority implements [http3.Stream].
func (s *Stream) SetPriority(urgency uint8, incremental bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.prio = http3.Priority{Urgency: urgency, Incremental: incremental}
}

// PeerPriority returns what the other end's SetPriority was told last.
func (s *Stream) PeerPriority() http3.Priority {
	s.far.mu.Lock()
	defer s.far.mu.Unlock()
	return s.far.prio
}

// NotifyAbort implements [http3.AbortNotifier].
func (s *Stream) NotifyAbort(f func(error)) {
	var once sync.Once
	notify := func(err error) { once.Do(func() { f(err) }) }
	if s.in != nil {
		s.in.mu.Lock()
		s.in.onReset = notify
		err := s.in.reset
		s.in.mu.Unlock()
		if err != nil {
			notify(err)
		}
	}
	if s.out != nil {
		s.out.mu.Lock()
		s.out.onStop = notify
		err := s.out.stop
		s.out.mu.Unlock()
		if err != nil {
			notify(err)
		}
	}
}

// settle forgets a stream at the ends at which both directions are over, and
// gives the client's stream credit back.
func (c *Conn) settle(s *Stream) {
	c.settleEnd(s)
	c.peer.settleEnd(s.far)
}

func (c *Conn) settleEnd(s *Stream) {
	if !s.in.readOver() || !s.out.writeOver() {
		return
	}
	c.mu.Lock()
	_, open := c.streams[s.id]
	delete(c.streams, s.id)
	c.mu.Unlock()
	if open && s.id%4 == 0 && !c.isClient {
		c.peer.credit <- struct{}{}
	}
}

// readOver reports whether the reader will get nothing more.
func (p *pipe) readOver() bool {
	if p == nil {
		return true
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.local.read != nil || p.reset != nil || p.fin && len(p.buf) == 0
}

// writeOver reports whether the writer can send nothing more and everything
// has arrived.
func (p *pipe) writeOver() bool {
	if p == nil {
		return true
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.local.write != nil || p.stop != nil || p.fin && len(p.buf) == 0
}
