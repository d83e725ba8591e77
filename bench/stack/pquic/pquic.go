// Package pquic is this repository's engine as a [stack.Stack].
package pquic

import (
	"context"
	"net"
	"runtime"
	"runtime/debug"

	"github.com/pquic-go/pquic/core"
	"github.com/pquic-go/pquic/hoststack"

	"github.com/pquic-go/pquic/bench/stack"
)

// Stack is the engine with its defaults.
type Stack struct{}

var _ stack.Stack = Stack{}

// Name returns "pquic".
func (Stack) Name() string { return "pquic" }

// Version returns the commit that the program was built from, if the build recorded it.
func (Stack) Version() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				return s.Value[:min(len(s.Value), 12)]
			}
		}
	}
	return ""
}

func config(c *stack.Config) *hoststack.Config {
	return &hoststack.Config{
		TLS: c.TLS,
		Core: core.Config{
			StreamWindow: c.StreamWindow, MaxStreamWindow: c.StreamWindow,
			ConnWindow: c.ConnWindow, MaxConnWindow: c.ConnWindow,
			MaxBidiStreams: c.MaxStreams, MaxIdleTimeout: c.IdleTimeout,
			InitialUDPPayload: uint16(c.MaxDatagram), DisablePathMTUDiscovery: c.MaxDatagram != 0,
		},
		Limits: hoststack.Limits{Connections: c.MaxConns},
	}
}

// Listen implements [stack.Stack].
func (Stack) Listen(addr string, c *stack.Config) (stack.Listener, error) {
	l, err := hoststack.Listen(context.Background(), "udp", addr, config(c))
	if err != nil {
		return nil, err
	}
	return listener{l}, nil
}

// NewDialer implements [stack.Stack].
func (Stack) NewDialer(local string, c *stack.Config) (stack.Dialer, error) {
	h := config(c)
	h.Workers = runtime.NumCPU() // as many as a listener has: parallel handshakes are bound by processors
	t, err := hoststack.NewTransport("udp", local, h)
	if err != nil {
		return nil, err
	}
	h.Transport = t
	return &dialer{t, h}, nil
}

type listener struct{ l *hoststack.Listener }

func (l listener) Addr() net.Addr { return l.l.Addr() }

func (l listener) Accept(ctx context.Context) (stack.Conn, error) {
	c, err := l.l.Accept(ctx)
	if err != nil {
		return nil, err
	}
	return conn{c}, nil
}

func (l listener) Close() error { return l.l.Close() }

type dialer struct {
	t      *hoststack.Transport
	config *hoststack.Config
}

func (d *dialer) Dial(ctx context.Context, addr string) (stack.Conn, error) {
	c, err := hoststack.Dial(ctx, "udp", addr, d.config)
	if err != nil {
		return nil, err
	}
	return conn{c}, nil
}

func (d *dialer) Close() error { return d.t.Close() }

type conn struct{ c *hoststack.Conn }

func (c conn) OpenStream(ctx context.Context) (stack.Stream, error) {
	s, err := c.c.OpenStream(ctx)
	if err != nil {
		return nil, err
	}
	return s, nil
}

func (c conn) AcceptStream(ctx context.Context) (stack.Stream, error) {
	s, err := c.c.AcceptStream(ctx)
	if err != nil {
		return nil, err
	}
	return s, nil
}

func (c conn) Close() error { return c.c.CloseWithError(0, "") }

func (c conn) Packets() (sent, received uint64) {
	s := c.c.Stats()
	return s.PacketsSent, s.PacketsReceived
}
