package hoststack

import (
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pquic-go/pquic/core"
	"github.com/pquic-go/pquic/core/stream"
)

// A Stream is one stream of a connection: bidirectional, or one half of that.
// Read and Write move bytes straight between the caller's slices and the FIFOs
// the engine works on. All methods may be called from any goroutine; calls of
// Read wait for each other, as do calls of Write.
type Stream struct {
	conn *Conn
	core *core.Stream
	id   uint64

	// recv and send are the stream's FIFOs, nil for the half that a
	// unidirectional stream does not have. The application reads recv and
	// writes send; the worker does the opposite.
	recv, send *stream.FIFO

	prev, next *Stream // in conn.streams; the worker's

	note  note
	dirty atomic.Uint32 // what serve has to do
	gone  atomic.Bool   // the engine has forgotten the stream

	// Set before their dirty bits, and read by serve.
	stopCode, resetCode atomic.Uint64
	priority            atomic.Uint32 // urgency<<1 | incremental

	readMu     sync.Mutex // held by Read
	reader     waitSlot
	readLimit  deadline
	readErr    atomic.Pointer[error] // by CancelRead, a lost stream
	cancelled  atomic.Bool           // CancelRead was called; readErr is set
	unreported uint64                // bytes read since the worker was last made to look; under readMu
	sawEnd     bool                  // Read has returned the end; under readMu

	writeMu    sync.Mutex // held by Write
	writer     waitSlot
	writeWants atomic.Int64 // free bytes the sleeping writer waits for
	writeLimit deadline
	writeErr   atomic.Pointer[error] // by Reset, STOP_SENDING, a lost stream
	writeDone  atomic.Bool           // CloseWrite was called

	onAbort  atomic.Pointer[func(error)] // set by NotifyAbort, until it is called
	abortErr atomic.Pointer[error]       // the peer's RESET_STREAM or STOP_SENDING
}

// What the application did to a stream, for the worker to tell the engine.
const (
	didWrite    uint32 = 1 << iota // bytes or the end are in the send FIFO
	didRead                        // bytes were taken from the receive FIFO
	didStop                        // CancelRead
	didReset                       // Reset
	didPriority                    // SetPriority
)

func newStream(c *Conn, s *core.Stream) *Stream {
	st := &Stream{conn: c, core: s, id: s.StreamID(), recv: s.RecvFIFO(), send: s.SendFIFO()}
	st.note.stream = st
	s.User = st
	if st.next = c.streams; st.next != nil {
		st.next.prev = st
	}
	c.streams = st
	return st
}

// ID returns the stream ID.
// https://www.rfc-editor.org/rfc/rfc9000#section-2.1
func (s *Stream) ID() uint64 { return s.id }

// Conn returns the connection the stream belongs to.
func (s *Stream) Conn() *Conn { return s.conn }

// LocalAddr and RemoteAddr return the connection's addresses; they make Stream a
// net.Conn.
func (s *Stream) LocalAddr() net.Addr { return s.conn.LocalAddr() }

// RemoteAddr returns the peer's address.
func (s *Stream) RemoteAddr() net.Addr { return s.conn.RemoteAddr() }

var _ net.Conn = (*Stream)(nil)

// mark notes what happened to the stream. If urgent, the engine hears of it at
// once, else with whatever the worker does next.
func (s *Stream) mark(bits uint32, urgent bool) {
	if s.dirty.Or(bits) == 0 {
		if bits == didWrite && s.conn.hold.keep(s) {
			return
		}
		s.conn.w.inbox.push(&s.note)
	}
	if urgent {
		s.conn.w.poke()
	}
}

// serve tells the engine what the application did. It runs as the worker's
// owner.
func (s *Stream) serve(w *worker) {
	bits := s.dirty.Swap(0)
	if s.gone.Load() || w.closed {
		return
	}
	c := s.conn.core
	if bits&didPriority != 0 {
		p := s.priority.Load()
		c.SetPriority(s.core, uint8(p>>1), p&1 != 0)
	}
	if bits&didReset != 0 {
		c.ResetStream(w.now, s.core, s.resetCode.Load(), 0)
	} else if bits&didWrite != 0 {
		c.StreamWritten(w.now, s.core)
	}
	// Either may have been the last the engine wanted to know of the stream.
	if s.gone.Load() {
		return
	}
	if bits&didStop != 0 {
		c.StopSending(w.now, s.core, s.stopCode.Load())
	} else if bits&didRead != 0 {
		c.StreamRead(w.now, s.core)
	}
}

// SetPriority tells the scheduler how to treat the stream: lower urgencies, 0
// to 7, go first; incremental streams of one urgency share, others go one after
// the other.
// https://www.rfc-editor.org/rfc/rfc9218#section-4
func (s *Stream) SetPriority(urgency uint8, incremental bool) {
	p := uint32(min(urgency, 7)) << 1
	if incremental {
		p |= 1
	}
	s.priority.Store(p)
	s.mark(didPriority, true)
}

// SetDeadline sets both deadlines; the zero time means none. Calls that have
// not finished by then return os.ErrDeadlineExceeded.
func (s *Stream) SetDeadline(t time.Time) error {
	if err := s.SetReadDeadline(t); err != nil {
		return err
	}
	return s.SetWriteDeadline(t)
}

// SetReadDeadline sets the deadline of pending and later Read calls.
func (s *Stream) SetReadDeadline(t time.Time) error {
	s.readLimit.set(t, &s.reader)
	return nil
}

// SetWriteDeadline sets the deadline of pending and later Write calls.
func (s *Stream) SetWriteDeadline(t time.Time) error {
	s.writeLimit.set(t, &s.writer)
	return nil
}

// Close ends the sending half as CloseWrite does, and if the peer may still be
// sending asks it to stop, with code 0: the application wants nothing more of
// this stream. Bytes already written will be delivered.
func (s *Stream) Close() error {
	err := s.CloseWrite()
	s.CancelRead(0)
	return err
}

// lost ends both directions, with the reason the connection or the stream
// ended.
func (s *Stream) lost(err error) {
	s.readErr.CompareAndSwap(nil, &err)
	s.writeErr.CompareAndSwap(nil, &err)
	s.reader.wake()
	s.writer.wake()
}

// forget parts the stream from the engine, which has dropped its half. What
// the application has not read stays readable. It runs as the worker's owner.
func (s *Stream) forget() {
	if s.core == nil {
		return
	}
	s.gone.Store(true)
	s.core.User = nil
	s.core = nil
	if s.prev != nil {
		s.prev.next = s.next
	} else {
		s.conn.streams = s.next
	}
	if s.next != nil {
		s.next.prev = s.prev
	}
	s.prev, s.next = nil, nil
}
