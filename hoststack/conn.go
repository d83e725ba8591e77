package hoststack

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"

	"github.com/pquic-go/pquic/core"
)

// A Conn is a QUIC connection. Its methods may be called from any goroutine.
type Conn struct {
	w    *worker
	core *core.Conn

	local, remote atomic.Pointer[netip.AddrPort]
	refreshing    atomic.Bool // they are about to be looked at

	handshake chan struct{} // closed when the handshake is complete
	ended     chan struct{} // closed when the connection has ended; err is set
	err       atomic.Pointer[ConnError]

	ctxMu  sync.Mutex
	ctx    context.Context // made when first asked for
	cancel context.CancelCauseFunc

	streams     *Stream     // all the engine holds, a list; the worker's
	bidi, uni   streamQueue // opened by the peer, not yet accepted
	openBidi    limitQueue  // goroutines waiting for the peer's stream limit
	openUni     limitQueue
	hold        hold
	drains      drainQueue
	migrating   atomic.Bool   // Migrate is under way
	unreported  atomic.Uint64 // bytes read on all streams since the worker was last made to look
	streamStep  uint64        // credit worth telling the worker of at once: one stream's
	connStep    uint64        // all streams'
	announced   bool          // handed to the listener, or never will be; the worker's
	handshakeOK bool          // the worker's
	release     func()        // gives the transport back, nil if there is nothing to
}

func newConn(w *worker, c *core.Conn) *Conn {
	conn := &Conn{
		w:         w,
		core:      c,
		handshake: make(chan struct{}),
		ended:     make(chan struct{}),
	}
	cfg := c.Config()
	conn.streamStep, conn.connStep = cfg.StreamWindow/8, cfg.ConnWindow/8
	conn.noteAddresses()
	c.User = conn
	return conn
}

// noteAddresses copies the engine's addresses to where anybody may read them.
// It runs as the worker's owner.
func (c *Conn) noteAddresses() {
	local, remote := c.core.LocalAddr(), c.core.RemoteAddr()
	if p := c.local.Load(); p == nil || *p != local {
		c.local.Store(&local)
	}
	if p := c.remote.Load(); p == nil || *p != remote {
		c.remote.Store(&remote)
	}
}

// Do runs f on the connection's engine, as its owner, and returns when it is
// done. f must not block and must not call methods of this package, which may
// wait for the very worker that runs f. It is not run, and an error returned,
// once the connection has ended.
func (c *Conn) Do(f func(*core.Conn)) error {
	var err error
	c.w.do(func() {
		if err = c.endedErr(); err == nil {
			f(c.core)
		}
	})
	return err
}

// endedErr returns why the connection has ended, nil if it has not.
func (c *Conn) endedErr() error {
	if e := c.err.Load(); e != nil {
		return e
	}
	return nil
}

// OpenStream opens a bidirectional stream, waiting for the peer to allow one
// more if necessary. The peer learns of the stream with its first byte.
func (c *Conn) OpenStream(ctx context.Context) (*Stream, error) {
	return c.open(ctx, true)
}

// OpenUniStream opens a stream that only this side sends on, waiting for the
// peer to allow one more if necessary.
func (c *Conn) OpenUniStream(ctx context.Context) (*Stream, error) {
	return c.open(ctx, false)
}

func (c *Conn) open(ctx context.Context, bidi bool) (*Stream, error) {
	q := &c.openUni
	if bidi {
		q = &c.openBidi
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	for ticket := (<-chan struct{})(nil); ; {
		s, err := c.tryOpen(bidi)
		if !errors.Is(err, core.ErrStreamLimit) {
			return s, err
		}
		if ticket == nil {
			// The ticket first, then another try: a limit raised after a
			// refusal is not missed.
			ticket = q.ticket()
			continue
		}
		c.endHold() // what is held may be what lets the peer allow more
		select {
		case <-ticket:
		case <-c.ended:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
		ticket = nil
	}
}

// TryOpenStream is OpenStream for those who would rather get
// core.ErrStreamLimit than wait.
func (c *Conn) TryOpenStream() (*Stream, error) { return c.tryOpen(true) }

// TryOpenUniStream is OpenUniStream for those who would rather get
// core.ErrStreamLimit than wait.
func (c *Conn) TryOpenUniStream() (*Stream, error) { return c.tryOpen(false) }

func (c *Conn) tryOpen(bidi bool) (st *Stream, err error) {
	c.w.do(func() {
		if err = c.endedErr(); err != nil {
			return
		}
		var s *core.Stream
		if s, err = c.core.OpenStream(bidi); err == nil {
			st = newStream(c, s)
		}
	})
	return st, err
}

// AcceptStream returns the next bidirectional stream the peer has opened,
// waiting for one.
func (c *Conn) AcceptStream(ctx context.Context) (*Stream, error) {
	return c.bidi.pop(ctx, c)
}

// AcceptUniStream returns the next unidirectional stream the peer has opened,
// waiting for one.
func (c *Conn) AcceptUniStream(ctx context.Context) (*Stream, error) {
	return c.uni.pop(ctx, c)
}

// CloseWithError closes the connection at once with an application error code
// and a reason for humans. Bytes not yet delivered may never be. It returns
// after the closing packet was sent; only the first call counts.
// https://www.rfc-editor.org/rfc/rfc9000#section-10.2
func (c *Conn) CloseWithError(code uint64, reason string) error {
	c.w.do(func() {
		if c.endedErr() == nil {
			c.core.Close(c.w.now, code, reason)
		}
	})
	c.w.do(func() {}) // whatever came before has been sent when this runs
	return nil
}

// Context is cancelled when the connection ends, with a *ConnError as cause.
func (c *Conn) Context() context.Context {
	c.ctxMu.Lock()
	defer c.ctxMu.Unlock()
	if c.ctx == nil {
		c.ctx, c.cancel = context.WithCancelCause(context.Background())
		if err := c.endedErr(); err != nil {
			c.cancel(err)
		}
	}
	return c.ctx
}

// cancelContext cancels what Context has returned, if it was called.
func (c *Conn) cancelContext(err error) {
	c.ctxMu.Lock()
	defer c.ctxMu.Unlock()
	if c.cancel != nil {
		c.cancel(err)
	}
}

// Err returns why the connection has ended, nil if it has not.
func (c *Conn) Err() error { return c.endedErr() }

// HandshakeComplete returns a channel that is closed once the TLS handshake is
// complete. It is never closed if the connection ends before: see Context.
// https://www.rfc-editor.org/rfc/rfc9001#section-4.1.1
func (c *Conn) HandshakeComplete() <-chan struct{} { return c.handshake }

// WaitHandshake waits until the handshake is complete.
func (c *Conn) WaitHandshake(ctx context.Context) error {
	select {
	case <-c.handshake:
		return nil
	default:
	}
	select {
	case <-c.handshake:
		return nil
	case <-c.ended:
		return c.endedErr()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// ConnectionState describes the TLS connection; it is complete once the
// handshake is.
func (c *Conn) ConnectionState() tls.ConnectionState {
	var cs tls.ConnectionState
	c.w.do(func() { cs = c.core.ConnectionState() })
	return cs
}

// Stats returns a copy of the engine's counters and visible state.
func (c *Conn) Stats() core.Stats {
	var s core.Stats
	c.w.do(func() { s = c.core.Stats() })
	return s
}

// Transport returns the transport the connection runs on.
func (c *Conn) Transport() *Transport { return c.w.group }

// LocalAddr returns the address on this host that the connection uses. After a
// migration it may for a moment be the previous one.
func (c *Conn) LocalAddr() net.Addr {
	c.refreshAddresses()
	return net.UDPAddrFromAddrPort(*c.local.Load())
}

// RemoteAddr returns the peer's address. After the peer has moved it may for a
// moment be the previous one.
func (c *Conn) RemoteAddr() net.Addr {
	c.refreshAddresses()
	return net.UDPAddrFromAddrPort(*c.remote.Load())
}

// refreshAddresses looks at the engine's addresses: now if that takes no wait,
// else soon.
func (c *Conn) refreshAddresses() {
	if c.endedErr() == nil && !c.w.try(c.noteAddresses) && !c.refreshing.Swap(true) {
		c.w.post(func() {
			c.refreshing.Store(false)
			c.noteAddresses()
		})
	}
}

// connEvents is a Conn as its engine sees it. The methods run as the worker's
// owner and only note what happened.
type connEvents Conn

var _ core.ConnHandler = (*connEvents)(nil)

func (e *connEvents) HandshakeComplete(*core.Conn) {
	c := (*Conn)(e)
	c.handshakeOK = true
	c.noteAddresses()
	close(c.handshake)
	c.w.stats.handshakes.Add(1)
	c.announce()
}

func (e *connEvents) HandshakeConfirmed(*core.Conn) {}

func (e *connEvents) StreamOpened(_ *core.Conn, s *core.Stream) {
	c := (*Conn)(e)
	st := newStream(c, s)
	c.w.stats.streamsAccepted.Add(1)
	if st.send != nil {
		c.bidi.push(st)
	} else {
		c.uni.push(st)
	}
	if c.w.group.cfg.Early {
		c.announce()
	}
}

func (e *connEvents) StreamReadable(_ *core.Conn, s *core.Stream) {
	if st, ok := s.User.(*Stream); ok {
		st.reader.queue(&e.w.readers)
	}
}

func (e *connEvents) StreamWritable(_ *core.Conn, s *core.Stream) {
	e.drains.signal()
	if st, ok := s.User.(*Stream); ok && st.writer.waiting() && st.writable() {
		st.writer.queue(&e.w.writers)
	}
}

func (e *connEvents) StreamReset(_ *core.Conn, s *core.Stream, code uint64) {
	e.drains.signal()
	// The FIFO carries the code, behind the bytes still to be delivered.
	if st, ok := s.User.(*Stream); ok {
		st.aborted(&StreamError{ID: st.id, Code: code, Remote: true})
		st.reader.queue(&e.w.readers)
	}
}

func (e *connEvents) StreamStopped(_ *core.Conn, s *core.Stream, code uint64) {
	e.drains.signal()
	if st, ok := s.User.(*Stream); ok {
		var err error = &StreamError{ID: st.id, Code: code, Remote: true}
		st.writeErr.CompareAndSwap(nil, &err)
		st.aborted(err)
		st.writer.queue(&e.w.writers)
	}
}

func (e *connEvents) StreamClosed(_ *core.Conn, s *core.Stream) {
	e.drains.signal()
	if st, ok := s.User.(*Stream); ok {
		st.forget()
		st.reader.queue(&e.w.readers)
		st.writer.queue(&e.w.writers)
	}
}

func (e *connEvents) StreamsAvailable(_ *core.Conn, bidi bool) {
	if bidi {
		e.openBidi.raise()
	} else {
		e.openUni.raise()
	}
}

// EarlyDataRejected: the engine sends everything again in 1-RTT.
func (e *connEvents) EarlyDataRejected(*core.Conn) {}

// Closed: the connection can send no more. Whoever waits for something of it
// learns why.
func (e *connEvents) Closed(_ *core.Conn, reason error) {
	c := (*Conn)(e)
	ce := newConnError(reason)
	if !c.err.CompareAndSwap(nil, ce) {
		return
	}
	c.w.stats.countEnd(ce, c.handshakeOK)
	close(c.ended)
	c.cancelContext(ce)
	c.loseStreams(ce)
}

// loseStreams ends all streams.
func (c *Conn) loseStreams(err error) {
	for c.streams != nil {
		st := c.streams
		st.forget()
		st.lost(err)
	}
}

func (e *connEvents) Gone(*core.Conn) {
	c := (*Conn)(e)
	c.w.end()
	if c.release != nil {
		c.release()
	}
}
