package http3

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"time"
)

// A Conn is the QUIC connection HTTP/3 runs on, reduced to what HTTP/3 needs.
// All methods may be called from several goroutines at once.
type Conn interface {
	// OpenStream opens a bidirectional stream, waiting for the peer's stream
	// limit until ctx ends.
	OpenStream(ctx context.Context) (Stream, error)
	// OpenUniStream opens a unidirectional stream that only this end writes.
	OpenUniStream(ctx context.Context) (Stream, error)
	// AcceptStream returns the next bidirectional stream the peer opened.
	AcceptStream(ctx context.Context) (Stream, error)
	// AcceptUniStream returns the next unidirectional stream the peer opened;
	// it can only be read.
	AcceptUniStream(ctx context.Context) (Stream, error)
	// CloseWithError closes the connection with an application error code.
	// Closing a closed connection does nothing.
	CloseWithError(code uint64, reason string) error
	// Context is done when the connection has ended; context.Cause tells why:
	// a *ConnError if either application closed it.
	Context() context.Context
	// HandshakeComplete is closed once the TLS handshake is complete. Until
	// then, streams carry early data (0-RTT or, at a server, 0.5-RTT).
	HandshakeComplete() <-chan struct{}
	ConnectionState() tls.ConnectionState
	LocalAddr() net.Addr
	RemoteAddr() net.Addr
}

// A Stream is one QUIC stream. It may also be an [io.ReaderFrom] and an
// [io.WriterTo]: content of known length then moves between the stream's
// buffers and its source or destination without a copy in between. One goroutine may read while another writes;
// CancelRead, Reset, SetPriority and the deadlines may be called at any time.
//
// An aborted direction answers with an error that errors.As turns into a
// *StreamError: Remote is set if the peer sent RESET_STREAM (Read) or
// STOP_SENDING (Write).
type Stream interface {
	ID() uint64
	// Read returns io.EOF after the last byte of a stream that ended cleanly,
	// and may return it together with the last bytes.
	Read(p []byte) (int, error)
	// Write returns once all of p is in the stream's send buffer. It does not
	// keep p.
	Write(p []byte) (int, error)
	// CloseWrite ends the send direction cleanly (FIN).
	CloseWrite() error
	// CancelRead asks the peer to stop sending (STOP_SENDING). Reads fail from
	// then on. It does nothing if everything was received.
	CancelRead(code uint64)
	// Reset ends the send direction abruptly (RESET_STREAM). It does nothing
	// after everything sent was acknowledged.
	Reset(code uint64)
	SetReadDeadline(t time.Time) error
	SetWriteDeadline(t time.Time) error
	// SetPriority ranks the stream among its connection's other streams.
	// https://www.rfc-editor.org/rfc/rfc9218#section-4
	SetPriority(urgency uint8, incremental bool)
}

// A FinalWriter is a Stream that can send its last bytes and the FIN in one
// step, hence in one packet.
type FinalWriter interface {
	// WriteFinal is Write followed by CloseWrite.
	WriteFinal(p []byte) (int, error)
}

// A GatherWriter is a Stream that takes two buffers in one step, so that a
// frame header does not leave in a packet of its own.
type GatherWriter interface {
	// WriteGather writes a, then b, and returns the bytes of both.
	WriteGather(a, b []byte) (int, error)
}

// An EndTeller is a Stream that knows whether Read has returned everything.
type EndTeller interface {
	// ReadEnded reports whether the stream ended cleanly and its last byte was
	// read. If so, the next Read returns io.EOF but need not be called: the
	// transport may forget the stream's receive side.
	ReadEnded() bool
}

// An AbortNotifier is a Stream that tells at once when the peer gives up on
// it. Without it, an abort shows at the next Read or Write.
type AbortNotifier interface {
	// NotifyAbort has f called, on a goroutine that must not be blocked, when
	// the peer resets the stream or asks to stop sending on it. It is called at
	// most once, possibly before NotifyAbort returns.
	NotifyAbort(f func(err error))
}

// A Drainer is a Conn that can wait until the peer has everything.
type Drainer interface {
	// Drain waits until every byte written to the connection's streams is
	// acknowledged, the connection ends, or ctx does.
	Drain(ctx context.Context) error
}

// A Holder is a Conn that can gather what is written on several streams into
// full packets.
type Holder interface {
	// Hold keeps what is written from leaving until release is called. It must
	// not outlast a call that waits for the peer.
	Hold() (release func())
}

// A Pinger is a Conn that can be kept from timing out.
type Pinger interface {
	// Ping has the peer acknowledge something, soon.
	Ping()
}

// A Listener accepts QUIC connections that negotiated "h3".
type Listener interface {
	Accept(ctx context.Context) (Conn, error)
	Addr() net.Addr
	Close() error
}

// ErrEarlyDataRejected is what streams opened before the handshake was
// complete fail with when the server refused 0-RTT. Nothing sent on them was
// processed.
var ErrEarlyDataRejected = errors.New("http3: the server rejected early data (0-RTT)")

// NextProtoH3 is the ALPN token of HTTP/3.
// https://www.rfc-editor.org/rfc/rfc9114#section-3.1
const NextProtoH3 = "h3"

// writeFinal sends p and the FIN with as few steps as s allows.
func writeFinal(s Stream, p []byte) error {
	if fw, ok := s.(FinalWriter); ok {
		_, err := fw.WriteFinal(p)
		return err
	}
	if len(p) > 0 {
		if _, err := s.Write(p); err != nil {
			return err
		}
	}
	return s.CloseWrite()
}

// writeGather sends a and then b with as few steps as s allows. It returns the
// bytes of b that were written.
func writeGather(s Stream, a, b []byte) (int, error) {
	if len(a) == 0 {
		return s.Write(b)
	}
	if gw, ok := s.(GatherWriter); ok {
		n, err := gw.WriteGather(a, b)
		return max(n-len(a), 0), err
	}
	if _, err := s.Write(a); err != nil {
		return 0, err
	}
	return s.Write(b)
}
