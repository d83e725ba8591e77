package http3

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"

	"github.com/pquic-go/pquic/core"
	"github.com/pquic-go/pquic/hoststack"
)

// NewConn makes a connection of package hoststack fit for HTTP/3 (and for the
// sibling package hq). It should have negotiated the protocol by ALPN.
func NewConn(c *hoststack.Conn) Conn {
	qc := &quicConn{c: c}
	qc.ctx, qc.cancel = context.WithCancelCause(context.Background())
	context.AfterFunc(c.Context(), func() { qc.ended(context.Cause(c.Context())) })
	return qc
}

// NewListener makes a listener of package hoststack, all of whose connections
// speak HTTP/3, fit for [Server.Serve].
func NewListener(l *hoststack.Listener) Listener { return quicListener{l} }

type quicListener struct{ *hoststack.Listener }

func (l quicListener) Accept(ctx context.Context) (Conn, error) {
	c, err := l.Listener.Accept(ctx)
	if err != nil {
		return nil, err
	}
	return NewConn(c), nil
}

// A quicConn is a Conn over UDP.
type quicConn struct {
	c      *hoststack.Conn
	ctx    context.Context
	cancel context.CancelCauseFunc
}

var (
	_ Conn    = (*quicConn)(nil)
	_ Drainer = (*quicConn)(nil)
	_ Holder  = (*quicConn)(nil)
	_ Pinger  = (*quicConn)(nil)
)

// HostConn returns the connection that c adapts, if NewConn made c.
func HostConn(c Conn) (*hoststack.Conn, bool) {
	qc, ok := c.(*quicConn)
	if !ok {
		return nil, false
	}
	return qc.c, true
}

// ended cancels the context with the reason in this package's terms.
func (c *quicConn) ended(err error) error {
	var app *core.ApplicationError
	if errors.As(err, &app) {
		err = &ConnError{Code: ErrCode(app.Code), Remote: app.Remote, Reason: app.Reason}
	}
	c.cancel(err)
	return context.Cause(c.ctx)
}

// convert turns an error of package hoststack into this package's.
func (c *quicConn) convert(err error) error {
	switch e := err.(type) {
	case nil:
		return nil
	case *hoststack.StreamError:
		return &StreamError{Code: ErrCode(e.Code), Remote: e.Remote}
	case *hoststack.ConnError:
		return c.ended(e)
	}
	return err
}

// stream wraps a stream that came without error.
func (c *quicConn) stream(s *hoststack.Stream, err error) (Stream, error) {
	if err != nil {
		return nil, c.convert(err)
	}
	return &quicStream{s, c}, nil
}

func (c *quicConn) OpenStream(ctx context.Context) (Stream, error) {
	return c.stream(c.c.OpenStream(ctx))
}

func (c *quicConn) OpenUniStream(ctx context.Context) (Stream, error) {
	return c.stream(c.c.OpenUniStream(ctx))
}

func (c *quicConn) AcceptStream(ctx context.Context) (Stream, error) {
	return c.stream(c.c.AcceptStream(ctx))
}

func (c *quicConn) AcceptUniStream(ctx context.Context) (Stream, error) {
	return c.stream(c.c.AcceptUniStream(ctx))
}

func (c *quicConn) CloseWithError(code uint64, reason string) error {
	return c.c.CloseWithError(code, reason)
}

func (c *quicConn) Context() context.Context             { return c.ctx }
func (c *quicConn) HandshakeComplete() <-chan struct{}   { return c.c.HandshakeComplete() }
func (c *quicConn) ConnectionState() tls.ConnectionState { return c.c.ConnectionState() }
func (c *quicConn) LocalAddr() net.Addr                  { return c.c.LocalAddr() }
func (c *quicConn) RemoteAddr() net.Addr                 { return c.c.RemoteAddr() }

// Ping implements Pinger.
func (c *quicConn) Ping() {
	_ = c.c.Do(func(cc *core.Conn) { cc.Ping(cc.Now()) })
}

// Hold implements Holder.
func (c *quicConn) Hold() (release func()) { return c.c.Hold() }

// Drain implements Drainer.
func (c *quicConn) Drain(ctx context.Context) error { return c.convert(c.c.Drain(ctx)) }

// A quicStream is a Stream over UDP: the errors are this package's, the rest
// passes through.
type quicStream struct {
	*hoststack.Stream
	c *quicConn
}

var (
	_ Stream        = (*quicStream)(nil)
	_ FinalWriter   = (*quicStream)(nil)
	_ GatherWriter  = (*quicStream)(nil)
	_ EndTeller     = (*quicStream)(nil)
	_ AbortNotifier = (*quicStream)(nil)
	_ io.ReaderFrom = (*quicStream)(nil)
	_ io.WriterTo   = (*quicStream)(nil)
)

func (s *quicStream) Read(p []byte) (int, error) {
	n, err := s.Stream.Read(p)
	if err != nil && err != io.EOF {
		err = s.c.convert(err)
	}
	return n, err
}

func (s *quicStream) Write(p []byte) (int, error) {
	n, err := s.Stream.Write(p)
	if err != nil {
		err = s.c.convert(err)
	}
	return n, err
}

func (s *quicStream) ReadFrom(r io.Reader) (int64, error) {
	n, err := s.Stream.ReadFrom(r)
	if err != nil {
		err = s.c.convert(err)
	}
	return n, err
}

func (s *quicStream) WriteTo(w io.Writer) (int64, error) {
	n, err := s.Stream.WriteTo(w)
	if err != nil {
		err = s.c.convert(err)
	}
	return n, err
}

func (s *quicStream) CloseWrite() error {
	if err := s.Stream.CloseWrite(); err != nil {
		return s.c.convert(err)
	}
	return nil
}

// WriteFinal implements FinalWriter.
func (s *quicStream) WriteFinal(p []byte) (int, error) {
	n, err := s.Stream.WriteFinal(p)
	if err != nil {
		err = s.c.convert(err)
	}
	return n, err
}

// WriteGather implements GatherWriter.
func (s *quicStream) WriteGather(a, b []byte) (int, error) {
	n, err := s.Stream.WriteGather(a, b)
	if err != nil {
		err = s.c.convert(err)
	}
	return n, err
}

// NotifyAbort implements AbortNotifier.
func (s *quicStream) NotifyAbort(f func(error)) {
	s.Stream.NotifyAbort(func(err error) { f(s.c.convert(err)) })
}
