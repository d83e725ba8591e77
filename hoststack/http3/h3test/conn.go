// Package h3test is a QUIC transport in memory, for tests of what runs on
// [http3.Conn]: no sockets, no packets, no loss, but streams with the ends and
// the errors of QUIC.
//
// Waiting happens on channels and condition variables and time comes from
// package time, so that tests may run it in a testing/synctest bubble.
package h3test

import (
	"context"
	"crypto/tls"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/pquic-go/pquic/hoststack/http3"
)

// Config shapes a connection. The zero Config is a connection whose handshake
// is complete.
type Config struct {
	// StreamLimit is how many bidirectional streams the client may have open at
	// once; 100 if zero.
	StreamLimit int
	// Window is how many unread bytes a stream holds; 256 KiB if zero.
	Window int
	// Early leaves the handshake open until CompleteHandshake.
	Early bool
	// Plain hides the optional interfaces of streams, so that what runs on them
	// must do without.
	Plain bool
}

// A Conn is one end of a connection.
type Conn struct {
	cfg      Config
	isClient bool
	peer     *Conn
	local    net.Addr
	ctx      context.Context
	cancel   context.CancelCauseFunc
	shaken   chan struct{}
	shake    *sync.Once
	bidi     acceptQueue
	uni      acceptQueue
	credit   chan struct{} // one token per stream this end may still open

	mu       sync.Mutex
	streams  map[uint64]*Stream // open ones
	nextBidi uint64
	nextUni  uint64
	datagram func([]byte)
}

// An acceptQueue holds streams the peer opened.
type acceptQueue struct {
	mu      sync.Mutex
	streams []http3.Stream
	some    chan struct{} // holds a token if there may be streams
}

func (q *acceptQueue) push(s http3.Stream) {
	q.mu.Lock()
	q.streams = append(q.streams, s)
	q.mu.Unlock()
	q.signal()
}

func (q *acceptQueue) signal() {
	select {
	case q.some <- struct{}{}:
	default:
	}
}

// pop returns the first stream, nil if there is none.
func (q *acceptQueue) pop() http3.Stream {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.streams) == 0 {
		return nil
	}
	s := q.streams[0]
	q.streams = q.streams[1:]
	if len(q.streams) > 0 {
		q.signal() // for another acceptor
	}
	return s
}

var _ http3.Conn = (*Conn)(nil)
var _ http3.Drainer = (*Conn)(nil)

// Pair returns the two ends of a new connection.
func Pair(cfg Config) (client, server *Conn) {
	if cfg.StreamLimit == 0 {
		cfg.StreamLimit = 100
	}
	if cfg.Window == 0 {
		cfg.Window = 256 << 10
	}
	shaken, shake := make(chan struct{}), new(sync.Once)
	client, server = newConn(cfg, true, shaken, shake), newConn(cfg, false, shaken, shake)
	client.peer, server.peer = server, client
	if !cfg.Early {
		client.CompleteHandshake()
	}
	return client, server
}

func newConn(cfg Config, isClient bool, shaken chan struct{}, shake *sync.Once) *Conn {
	c := &Conn{cfg: cfg, isClient: isClient, shaken: shaken, shake: shake, streams: make(map[uint64]*Stream)}
	c.ctx, c.cancel = context.WithCancelCause(context.Background())
	c.bidi.some = make(chan struct{}, 1)
	c.uni.some = make(chan struct{}, 1)
	c.credit = make(chan struct{}, cfg.StreamLimit)
	for range cfg.StreamLimit {
		c.credit <- struct{}{}
	}
	port := uint16(443)
	c.nextBidi, c.nextUni = 1, 3
	if isClient {
		port = 50000
		c.nextBidi, c.nextUni = 0, 2
	}
	c.local = net.UDPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr("192.0.2.1"), port))
	return c
}

// CompleteHandshake ends the early phase on both ends.
func (c *Conn) CompleteHandshake() { c.shake.Do(func() { close(c.shaken) }) }

// RejectEarlyData completes the handshake of a client whose streams so far the
// server never saw: they fail with [http3.ErrEarlyDataRejected].
func (c *Conn) RejectEarlyData() {
	c.mu.Lock()
	streams := c.streams
	c.streams = make(map[uint64]*Stream)
	c.nextBidi, c.nextUni = 0, 2
	c.mu.Unlock()
	for _, s := range streams {
		s.in.kill(http3.ErrEarlyDataRejected)
		s.out.kill(http3.ErrEarlyDataRejected)
	}
	c.CompleteHandshake()
}

// OpenStream implements [http3.Conn].
func (c *Conn) OpenStream(ctx context.Context) (http3.Stream, error) {
	select {
	case <-c.credit:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	case <-c.ctx.Done():
		return nil, context.Cause(c.ctx)
	}
	return c.open(&c.nextBidi, newPipe(c.cfg.Window), &c.peer.bidi)
}

// OpenUniStream implements [http3.Conn].
func (c *Conn) OpenUniStream(context.Context) (http3.Stream, error) {
	return c.open(&c.nextUni, nil, &c.peer.uni)
}

func (c *Conn) open(next *uint64, in *pipe, accept *acceptQueue) (http3.Stream, error) {
	s := &Stream{conn: c, in: in, out: newPipe(c.cfg.Window)}
	far := &Stream{conn: c.peer, in: s.out, out: in, far: s}
	s.far = far
	c.mu.Lock()
	s.id, far.id = *next, *next
	*next += 4
	c.mu.Unlock()
	if err := c.add(s); err != nil {
		return nil, err
	}
	if err := c.peer.add(far); err != nil {
		return nil, err
	}
	accept.push(c.wrap(far))
	return c.wrap(s), nil
}

// add notes a new stream, unless the connection has ended.
func (c *Conn) add(s *Stream) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := context.Cause(c.ctx); err != nil {
		return err
	}
	c.streams[s.id] = s
	return nil
}

// wrap hides what Config.Plain hides.
func (c *Conn) wrap(s *Stream) http3.Stream {
	if c.cfg.Plain {
		return struct{ http3.Stream }{s}
	}
	return s
}

// AcceptStream implements [http3.Conn].
func (c *Conn) AcceptStream(ctx context.Context) (http3.Stream, error) { return c.accept(ctx, &c.bidi) }

// AcceptUniStream implements [http3.Conn].
func (c *Conn) AcceptUniStream(ctx context.Context) (http3.Stream, error) {
	return c.accept(ctx, &c.uni)
}

func (c *Conn) accept(ctx context.Context, q *acceptQueue) (http3.Stream, error) {
	for {
		if s := q.pop(); s != nil {
			return s, nil
		}
		select {
		case <-q.some:
		case <-c.ctx.Done():
			return nil, context.Cause(c.ctx)
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// CloseWithError implements [http3.Conn].
func (c *Conn) CloseWithError(code uint64, reason string) error {
	c.end(&http3.ConnError{Code: http3.ErrCode(code), Reason: reason})
	c.peer.end(&http3.ConnError{Code: http3.ErrCode(code), Reason: reason, Remote: true})
	return nil
}

// Lose ends the connection at both ends with err, as an idle timeout does.
func (c *Conn) Lose(err error) {
	c.end(err)
	c.peer.end(err)
}

func (c *Conn) end(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cancel(err)
	err = context.Cause(c.ctx)
	for _, s := range c.streams {
		if s.in != nil {
			s.in.kill(err)
		}
		if s.out != nil {
			s.out.kill(err)
		}
	}
}

// Drain implements [http3.Drainer]: an acknowledgment here is a read.
func (c *Conn) Drain(ctx context.Context) error {
	for !c.drained() {
		select {
		case <-time.After(time.Millisecond):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

func (c *Conn) drained() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.streams {
		if s.out != nil && !s.out.drained() {
			return false
		}
	}
	return true
}

// Context implements [http3.Conn].
func (c *Conn) Context() context.Context { return c.ctx }

// HandshakeComplete implements [http3.Conn].
func (c *Conn) HandshakeComplete() <-chan struct{} { return c.shaken }

// ConnectionState implements [http3.Conn].
func (c *Conn) ConnectionState() tls.ConnectionState {
	state := tls.ConnectionState{Version: tls.VersionTLS13, NegotiatedProtocol: http3.NextProtoH3}
	select {
	case <-c.shaken:
		state.HandshakeComplete = true
	default:
	}
	return state
}

// LocalAddr implements [http3.Conn].
func (c *Conn) LocalAddr() net.Addr { return c.local }

// RemoteAddr implements [http3.Conn].
func (c *Conn) RemoteAddr() net.Addr { return c.peer.local }

// OpenStreams returns the number of streams that are not over in both
// directions at this end.
func (c *Conn) OpenStreams() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.streams)
}

// SendDatagram implements [http3.DatagramSender]: it is delivered at once.
func (c *Conn) SendDatagram(b []byte) error {
	c.peer.mu.Lock()
	f := c.peer.datagram
	c.peer.mu.Unlock()
	if f != nil {
		f(b)
	}
	return nil
}

// MaxDatagramSize implements [http3.DatagramSender].
func (c *Conn) MaxDatagramSize() int { return 1200 }

// OnDatagram implements [http3.DatagramSender].
func (c *Conn) OnDatagram(f func([]byte)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.datagram = f
}

var _ http3.DatagramSender = (*Conn)(nil)
