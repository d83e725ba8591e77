package http3

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"

	"github.com/pquic-go/pquic/core/wire"
)

// A DatagramSender carries QUIC DATAGRAM frames (RFC 9221) of one connection.
// QUIC itself has none; whatever extends a connection with them fills this
// interface, and HTTP/3 datagrams become available on it.
type DatagramSender interface {
	// SendDatagram queues one DATAGRAM frame. It does not wait and does not keep
	// b. An error means that b was not sent.
	SendDatagram(b []byte) error
	// MaxDatagramSize is the largest b that SendDatagram takes now, in bytes; 0
	// if the peer accepts no DATAGRAM frames.
	MaxDatagramSize() int
	// OnDatagram sets the function that is handed the payload of each DATAGRAM
	// frame received, one at a time. The function does not block and does not
	// keep b.
	OnDatagram(f func(b []byte))
}

// maxQuarterStreamID is the largest stream ID divided by four.
const maxQuarterStreamID = 1<<60 - 1

// tunnelQueue is how many received datagrams wait for a slow reader before new
// ones are dropped.
const tunnelQueue = 64

// ErrDatagramsUnavailable is returned when the connection, or the peer, has no
// HTTP/3 datagrams. The DATAGRAM capsule works without them.
var ErrDatagramsUnavailable = errors.New("http3: the connection has no HTTP/3 datagrams")

// A Tunnel is one extended CONNECT request (RFC 9220), seen as the tunnel it
// set up: the HTTP/3 datagrams that belong to it. Its byte stream is the
// content of the request and of the response.
type Tunnel struct {
	s   *session
	id  uint64
	q   chan []byte
	end chan struct{} // closed when the request is over
}

// StreamID returns the request's stream ID.
func (t *Tunnel) StreamID() uint64 { return t.id }

// AwaitDatagrams waits until the peer's SETTINGS tell whether datagrams can be
// sent, and returns ErrDatagramsUnavailable if they cannot.
func (t *Tunnel) AwaitDatagrams(ctx context.Context) error {
	select {
	case <-t.s.peerReceived:
	case <-t.end:
		return net.ErrClosed
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if t.MaxDatagramSize() == 0 {
		return ErrDatagramsUnavailable
	}
	return nil
}

// SendDatagram sends one HTTP/3 datagram. It does not wait and does not keep
// b; like any datagram it may get lost.
//
// "QUIC DATAGRAM frames MUST NOT be sent until the SETTINGS_H3_DATAGRAM setting
// has been both sent and received with a value of 1."
// https://www.rfc-editor.org/rfc/rfc9297#section-2.1.1
func (t *Tunnel) SendDatagram(b []byte) error {
	d := t.s.tunnels.sender
	if d == nil || !t.s.local.H3Datagram || !t.s.peerSettings().H3Datagram {
		return ErrDatagramsUnavailable
	}
	select {
	case <-t.end:
		// "HTTP/3 Datagrams MUST NOT be sent unless the corresponding stream's
		// send side is open."
		// https://www.rfc-editor.org/rfc/rfc9297#section-2.1
		return net.ErrClosed
	default:
	}
	buf := datagramBuffers.Get().(*[]byte)
	defer datagramBuffers.Put(buf)
	*buf = append(wire.AppendVarint((*buf)[:0], t.id/4), b...)
	return d.SendDatagram(*buf)
}

var datagramBuffers = sync.Pool{New: func() any { return new([]byte) }}

// MaxDatagramSize returns the largest datagram SendDatagram takes now, in
// bytes; 0 if there are none on this connection.
func (t *Tunnel) MaxDatagramSize() int {
	d := t.s.tunnels.sender
	if d == nil || !t.s.local.H3Datagram || !t.s.peerSettings().H3Datagram {
		return 0
	}
	return max(0, d.MaxDatagramSize()-wire.VarintLen(t.id/4))
}

// ReceiveDatagram waits for the next datagram. It fails with net.ErrClosed
// once the request is over. The slice is the caller's.
func (t *Tunnel) ReceiveDatagram(ctx context.Context) ([]byte, error) {
	select {
	case b := <-t.q:
		return b, nil
	default:
	}
	select {
	case b := <-t.q:
		return b, nil
	case <-t.end:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// A tunnelTable finds the tunnel a datagram belongs to.
type tunnelTable struct {
	sender DatagramSender // nil if the connection has no datagrams

	mu   sync.Mutex
	byID map[uint64]*Tunnel
}

// useDatagrams connects the session with the connection's DATAGRAM frames.
func (s *session) useDatagrams(d DatagramSender) {
	if d == nil {
		return
	}
	s.tunnels.sender = d
	s.local.H3Datagram = true
	d.OnDatagram(func(b []byte) {
		if err := s.datagramReceived(b); err != nil {
			go s.fail(err)
		}
	})
}

func (s *session) addTunnel(id uint64) *Tunnel {
	t := &Tunnel{s: s, id: id, q: make(chan []byte, tunnelQueue), end: make(chan struct{})}
	s.tunnels.mu.Lock()
	defer s.tunnels.mu.Unlock()
	if s.tunnels.byID == nil {
		s.tunnels.byID = make(map[uint64]*Tunnel)
	}
	s.tunnels.byID[id] = t
	return t
}

// close ends the tunnel with its request.
func (t *Tunnel) close() {
	if t == nil {
		return
	}
	t.s.tunnels.mu.Lock()
	defer t.s.tunnels.mu.Unlock()
	if t.s.tunnels.byID[t.id] == t {
		delete(t.s.tunnels.byID, t.id)
		close(t.end)
	}
}

// errStrayDatagram ends a request that a datagram has no meaning for.
//
// "If an HTTP Datagram is received and it is associated with a request that has
// no known semantics for HTTP Datagrams, the receiver MUST terminate the
// request; if HTTP/3 is in use, the request stream MUST be aborted with
// H3_DATAGRAM_ERROR (0x33)."
// https://www.rfc-editor.org/rfc/rfc9297#section-2
var errStrayDatagram = streamErrorf(CodeDatagramError, "an HTTP datagram for a request that gives it no meaning")

// datagramReceived takes in the payload of a DATAGRAM frame.
func (s *session) datagramReceived(b []byte) error {
	quarter, n := wire.ParseVarint(b)
	if n == 0 || quarter > maxQuarterStreamID {
		// "Receipt of an HTTP/3 Datagram that includes a larger value MUST be
		// treated as an HTTP/3 connection error of type H3_DATAGRAM_ERROR (0x33)."
		// "Receipt of a QUIC DATAGRAM frame whose payload is too short to allow
		// parsing the Quarter Stream ID field MUST be treated as an HTTP/3
		// connection error of type H3_DATAGRAM_ERROR (0x33)."
		// https://www.rfc-editor.org/rfc/rfc9297#section-2.1
		return connErrorf(CodeDatagramError, "a DATAGRAM frame of %d bytes without a valid Quarter Stream ID", len(b))
	}
	s.tunnels.mu.Lock()
	t := s.tunnels.byID[quarter*4]
	s.tunnels.mu.Unlock()
	if t == nil {
		s.owner.onStrayDatagram(quarter * 4)
		return nil
	}
	select {
	case t.q <- append([]byte(nil), b[n:]...):
	default: // the reader is too slow: datagrams may get lost
	}
	return nil
}

// TunnelOf returns the tunnel of the extended CONNECT request whose handler
// was given w, looking through middleware that has an Unwrap method. ok is
// false if the request is no such request.
func TunnelOf(w http.ResponseWriter) (t *Tunnel, ok bool) {
	for {
		switch v := w.(type) {
		case *responseWriter:
			return v.rs.tunnel, v.rs.tunnel != nil
		case interface{ Unwrap() http.ResponseWriter }:
			w = v.Unwrap()
		default:
			return nil, false
		}
	}
}

// ResponseTunnel returns the tunnel a client set up by an extended CONNECT
// request that was answered by resp. ok is false if there is none.
func ResponseTunnel(resp *http.Response) (t *Tunnel, ok bool) {
	if b, isOurs := resp.Body.(*responseBody); isOurs {
		return b.cs.tunnel, b.cs.tunnel != nil
	}
	return nil, false
}
