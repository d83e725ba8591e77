// Package quicgo is github.com/quic-go/quic-go as a [stack.Stack].
package quicgo

import (
	"context"
	"crypto/tls"
	"net"
	"runtime/debug"

	"github.com/quic-go/quic-go"

	"github.com/pquic-go/pquic/bench/stack"
)

// Stack is quic-go with GSO, ECN and its large socket buffers, which are its defaults.
type Stack struct{}

var _ stack.Stack = Stack{}

// Name returns "quic-go".
func (Stack) Name() string { return "quic-go" }

// Version returns the module's version.
func (Stack) Version() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, m := range info.Deps {
			if m.Path == "github.com/quic-go/quic-go" {
				return m.Version
			}
		}
	}
	return "unknown"
}

func config(c *stack.Config) *quic.Config {
	return &quic.Config{
		InitialStreamReceiveWindow: c.StreamWindow, MaxStreamReceiveWindow: c.StreamWindow,
		InitialConnectionReceiveWindow: c.ConnWindow, MaxConnectionReceiveWindow: c.ConnWindow,
		MaxIncomingStreams: c.MaxStreams, MaxIdleTimeout: c.IdleTimeout,
		InitialPacketSize: uint16(c.MaxDatagram), DisablePathMTUDiscovery: c.MaxDatagram != 0,
	}
}

func transport(addr string) (*quic.Transport, error) {
	a, err := net.ResolveUDPAddr("udp", addr)
	if err != nil {
		return nil, err
	}
	c, err := net.ListenUDP("udp", a)
	if err != nil {
		return nil, err
	}
	return &quic.Transport{Conn: c}, nil
}

// Listen implements [stack.Stack].
func (Stack) Listen(addr string, c *stack.Config) (stack.Listener, error) {
	t, err := transport(addr)
	if err != nil {
		return nil, err
	}
	l, err := t.Listen(c.TLS, config(c))
	if err != nil {
		return nil, err
	}
	return &listener{t, l}, nil
}

// NewDialer implements [stack.Stack].
func (Stack) NewDialer(local string, c *stack.Config) (stack.Dialer, error) {
	t, err := transport(local)
	if err != nil {
		return nil, err
	}
	return &dialer{t, c.TLS, config(c)}, nil
}

type listener struct {
	t *quic.Transport
	l *quic.Listener
}

func (l *listener) Addr() net.Addr { return l.l.Addr() }

func (l *listener) Accept(ctx context.Context) (stack.Conn, error) {
	c, err := l.l.Accept(ctx)
	if err != nil {
		return nil, err
	}
	return conn{c}, nil
}

func (l *listener) Close() error { return l.t.Close() }

type dialer struct {
	t      *quic.Transport
	tls    *tls.Config
	config *quic.Config
}

func (d *dialer) Dial(ctx context.Context, addr string) (stack.Conn, error) {
	a, err := net.ResolveUDPAddr("udp", addr)
	if err != nil {
		return nil, err
	}
	c, err := d.t.Dial(ctx, a, d.tls, d.config)
	if err != nil {
		return nil, err
	}
	return conn{c}, nil
}

func (d *dialer) Close() error { return d.t.Close() }

type conn struct{ c *quic.Conn }

func (c conn) OpenStream(ctx context.Context) (stack.Stream, error) {
	s, err := c.c.OpenStreamSync(ctx)
	if err != nil {
		return nil, err
	}
	return stream{s}, nil
}

func (c conn) AcceptStream(ctx context.Context) (stack.Stream, error) {
	s, err := c.c.AcceptStream(ctx)
	if err != nil {
		return nil, err
	}
	return stream{s}, nil
}

func (c conn) Close() error { return c.c.CloseWithError(0, "") }

func (c conn) Packets() (sent, received uint64) {
	s := c.c.ConnectionStats()
	return s.PacketsSent, s.PacketsReceived
}

type stream struct{ *quic.Stream }

// CloseWrite sends the end of the stream; quic-go calls that Close.
func (s stream) CloseWrite() error { return s.Stream.Close() }

// WriteFinal needs no more than that: quic-go's Write leaves a short p to the
// connection's goroutine, which finds the end there too.
func (s stream) WriteFinal(p []byte) (int, error) {
	n, err := s.Write(p)
	if err == nil {
		err = s.Stream.Close()
	}
	return n, err
}
