package http3

import (
	"context"
	"crypto/tls"
	"math"
	"net/http"
	"sync"
	"time"
)

// maxPendingPriorities is how many PRIORITY_UPDATE frames wait for their
// request stream; those beyond it are forgotten.
const maxPendingPriorities = 128

// A serverConn is one client's connection.
type serverConn struct {
	session
	srv   *Server
	ctx   context.Context
	limit uint64 // MaxHeaderBytes

	headerTimeout time.Duration // ReadHeaderTimeout, 0 if there is none

	slots    chan struct{} // holds one token per running request
	handlers sync.WaitGroup

	mu       sync.Mutex
	active   map[uint64]*serverStream
	pending  map[uint64]Priority // PRIORITY_UPDATEs that came before their stream
	next     uint64              // the lowest request stream ID not accepted yet
	goAway   uint64              // requests from this ID on are rejected
	draining bool
	resets   limiter
	watch    *time.Timer // runs headersLate; nil if no stream is waited for

	// What all requests share, refreshed when it changed.
	remote   string // the client's address
	remoteAt time.Time
	tls      *tls.ConnectionState // after the handshake
}

func newServerConn(s *Server, conn Conn) *serverConn {
	sc := &serverConn{
		srv:           s,
		headerTimeout: max(0, or(s.ReadHeaderTimeout, defaultReadHeaderTimeout)),
		limit:         uint64(or(s.MaxHeaderBytes, DefaultMaxHeaderBytes)),
		slots:         make(chan struct{}, or(s.MaxHandlers, defaultMaxHandlers)),
		active:        make(map[uint64]*serverStream),
		goAway:        math.MaxUint64,
		resets:        newLimiter(float64(or(s.ResetRate, defaultResetRate)), float64(or(s.ResetBurst, defaultResetBurst))),
	}
	sc.log = s.logger()
	sc.now = s.Clock
	if sc.now == nil {
		sc.now = time.Now
	}
	sc.session.init(conn, false, Settings{
		MaxFieldSectionSize:   sc.limit,
		EnableConnectProtocol: s.EnableConnectProtocol,
	}, sc)
	ctx := context.WithValue(conn.Context(), http.LocalAddrContextKey, conn.LocalAddr())
	if s.ConnContext != nil {
		ctx = s.ConnContext(ctx, conn)
	}
	sc.ctx = ctx
	if s.Datagrams != nil {
		sc.useDatagrams(s.Datagrams(conn))
	}
	return sc
}

// serve accepts request streams until the connection ends.
func (sc *serverConn) serve() error {
	ctx := sc.conn.Context()
	go func() { _ = sc.start(ctx) }()
	defer sc.handlers.Wait()
	defer sc.stopWatch()
	for {
		select {
		case sc.slots <- struct{}{}:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		str, err := sc.conn.AcceptStream(ctx)
		if err != nil {
			if ctx.Err() != nil {
				err = context.Cause(ctx)
			}
			return err
		}
		rs := sc.open(str)
		if rs == nil {
			<-sc.slots
			continue
		}
		sc.handlers.Add(1)
		go rs.run()
	}
}

func (sc *serverConn) stopWatch() {
	sc.mu.Lock()
	defer sc.mu.Unlock()
	if sc.watch != nil {
		sc.watch.Stop()
	}
}

// open registers a new request stream; nil if it came after GOAWAY.
//
// "Upon sending a GOAWAY frame, the endpoint SHOULD explicitly cancel […] any
// requests or pushes that have identifiers greater than or equal to the one
// indicated"
// https://www.rfc-editor.org/rfc/rfc9114#section-5.2
func (sc *serverConn) open(str Stream) *serverStream {
	id := str.ID()
	sc.mu.Lock()
	if id >= sc.goAway {
		sc.mu.Unlock()
		str.CancelRead(uint64(CodeRequestRejected))
		str.Reset(uint64(CodeRequestRejected))
		return nil
	}
	rs := newServerStream(sc, str)
	sc.active[id] = rs
	sc.next = max(sc.next, id+4)
	if sc.headerTimeout > 0 {
		rs.due = time.Now().Add(sc.headerTimeout)
		if sc.watch == nil {
			sc.watch = time.AfterFunc(sc.headerTimeout, sc.headersLate)
		}
	}
	p, ranked := sc.pending[id]
	delete(sc.pending, id)
	sc.mu.Unlock()
	if ranked {
		rs.setPriority(p, true)
	}
	return rs
}

// headersLate aborts the requests whose header section is due. One timer for
// all streams of the connection makes the usual request, which is there at
// once, cost none.
func (sc *serverConn) headersLate() {
	now := time.Now()
	var late []*serverStream
	var next time.Time
	sc.mu.Lock()
	for _, rs := range sc.active {
		switch {
		case rs.hasHead.Load():
		case !rs.due.After(now):
			late = append(late, rs)
		case next.IsZero() || rs.due.Before(next):
			next = rs.due
		}
	}
	sc.watch = nil
	if !next.IsZero() && sc.conn.Context().Err() == nil {
		sc.watch = time.AfterFunc(next.Sub(now), sc.headersLate)
	}
	sc.mu.Unlock()
	for _, rs := range late {
		rs.abort(streamErrorf(CodeRequestRejected, "the header section took too long"))
	}
}

// done forgets a request stream.
func (sc *serverConn) done(rs *serverStream) {
	sc.mu.Lock()
	delete(sc.active, rs.id)
	closing := sc.draining && len(sc.active) == 0
	sc.mu.Unlock()
	if closing {
		go sc.finishDrain()
	}
}

// drain begins the graceful shutdown of the connection.
//
// "An endpoint that is attempting to gracefully shut down a connection can send
// a GOAWAY frame with a value set to the maximum possible value (2^62-4 for
// servers […]). This ensures that the peer stops creating new requests or
// pushes. After allowing time for any in-flight requests or pushes to arrive,
// the endpoint can send another GOAWAY frame indicating which requests or
// pushes it might accept before the end of the connection."
// https://www.rfc-editor.org/rfc/rfc9114#section-5.2
func (sc *serverConn) drain(ctx context.Context) {
	if delay := or(sc.srv.GoAwayDelay, defaultGoAwayDelay); delay > 0 {
		_ = sc.sendControl(appendIDFrame(nil, FrameGoAway, 1<<62-4))
		t := time.NewTimer(delay)
		defer t.Stop()
		select {
		case <-t.C:
		case <-ctx.Done():
		case <-sc.conn.Context().Done():
			return
		}
	}
	sc.mu.Lock()
	if sc.draining {
		sc.mu.Unlock()
		return
	}
	sc.draining = true
	sc.goAway = sc.next
	idle := len(sc.active) == 0
	sc.mu.Unlock()
	_ = sc.sendControl(appendIDFrame(nil, FrameGoAway, sc.goAway))
	if idle {
		sc.finishDrain()
	}
}

// drainTimeout bounds how long a closing connection waits for the peer to
// acknowledge the last responses.
const drainTimeout = 5 * time.Second

// finishDrain closes the connection once the peer has all responses.
func (sc *serverConn) finishDrain() {
	if d, ok := sc.conn.(Drainer); ok {
		ctx, cancel := context.WithTimeout(sc.conn.Context(), drainTimeout)
		defer cancel()
		_ = d.Drain(ctx)
	}
	_ = sc.conn.CloseWithError(uint64(CodeNoError), "")
}

func (sc *serverConn) onGoAway(uint64) {} // it speaks of pushes, and there are none

func (sc *serverConn) onPriorityUpdate(id uint64, p Priority) {
	sc.mu.Lock()
	if rs, ok := sc.active[id]; ok {
		sc.mu.Unlock()
		rs.setPriority(p, true)
		return
	}
	defer sc.mu.Unlock()
	// "Servers SHOULD buffer the most recently received PRIORITY_UPDATE frame and
	// apply it once the referenced stream is opened. Holding PRIORITY_UPDATE
	// frames for each stream requires server resources, which can be bounded by
	// local implementation policy."
	// https://www.rfc-editor.org/rfc/rfc9218#section-7
	if _, known := sc.pending[id]; id < sc.next || !known && len(sc.pending) >= maxPendingPriorities {
		return
	}
	if sc.pending == nil {
		sc.pending = make(map[uint64]Priority)
	}
	sc.pending[id] = p
}

func (sc *serverConn) onStrayDatagram(id uint64) {
	sc.mu.Lock()
	rs := sc.active[id]
	sc.mu.Unlock()
	// Before its header section is read, a request may still become a tunnel.
	if rs != nil && rs.plain.Load() {
		rs.abort(errStrayDatagram)
	}
}

// countReset notes that the client aborted a request, and ends the connection
// of one that does it too often: each costs it two small frames, and this end
// a handler.
func (sc *serverConn) countReset() {
	if sc.srv.ResetRate < 0 {
		return
	}
	sc.mu.Lock()
	ok := sc.resets.take(sc.now())
	sc.mu.Unlock()
	if !ok {
		go sc.fail(connErrorf(CodeExcessiveLoad, "too many requests were cancelled"))
	}
}

// remoteAddrAge is how old the address in Request.RemoteAddr may be after the
// client has moved.
const remoteAddrAge = time.Second

// remoteAddr returns the client's address as text.
func (sc *serverConn) remoteAddr() string {
	now := sc.now()
	sc.mu.Lock()
	text := sc.remote
	fresh := text != "" && now.Sub(sc.remoteAt) < remoteAddrAge
	sc.mu.Unlock()
	if fresh {
		return text
	}
	text = sc.conn.RemoteAddr().String()
	sc.mu.Lock()
	defer sc.mu.Unlock()
	sc.remote, sc.remoteAt = text, now
	return text
}

// tlsState returns the connection's TLS state, shared by all requests after
// the handshake.
func (sc *serverConn) tlsState() *tls.ConnectionState {
	sc.mu.Lock()
	defer sc.mu.Unlock()
	if sc.tls != nil {
		return sc.tls
	}
	state := sc.conn.ConnectionState()
	if state.HandshakeComplete {
		sc.tls = &state
	}
	return &state
}

// earlyData reports whether the handshake is still going on, so that what
// arrives may be a replay.
func (sc *serverConn) earlyData() bool {
	select {
	case <-sc.conn.HandshakeComplete():
		return false
	default:
		return true
	}
}

// awaitHandshake waits until nothing that arrived can be a replay.
func (sc *serverConn) awaitHandshake() error {
	select {
	case <-sc.conn.HandshakeComplete():
		return nil
	case <-sc.conn.Context().Done():
		return context.Cause(sc.conn.Context())
	}
}
