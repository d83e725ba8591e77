package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"

	"github.com/pquic-go/pquic/core"
	"github.com/pquic-go/pquic/hoststack"
	"github.com/pquic-go/pquic/plugins"
	"github.com/pquic-go/pquic/plugins/standard"

	"github.com/pquic-go/pquic/bench/perf"
	"github.com/pquic-go/pquic/bench/stack"
)

// pluginsVariable names the plugins that a peer attaches to each connection, separated by commas.
const pluginsVariable = "BENCH_PLUGINS"

// An account is what a peer prints when it ends.
type account struct {
	Packets uint64 `json:"packets"` // sent and received on all connections
	Anchors uint64 `json:"anchors"` // pluglets run
	Fault   string `json:"fault,omitempty"`
}

// peer runs the client or the server of the benchmark's program with plugins attached.
func peer() error {
	var s plugged
	for name := range strings.SplitSeq(os.Getenv(pluginsVariable), ",") {
		if name == "" {
			continue
		}
		p, err := standard.Load(name, plugins.LoadOptions{})
		if err != nil {
			return err
		}
		s.plugins = append(s.plugins, p)
	}
	perf.Main(&s)
	return json.NewEncoder(os.Stdout).Encode(s.account())
}

// plugged is the engine with plugins on each connection, as a [stack.Stack].
type plugged struct {
	plugins []*plugins.Plugin

	mu        sync.Mutex
	conns     []*core.Conn
	instances []*plugins.Instance
	err       error
}

func (s *plugged) Name() string { return "pquic" }

func (s *plugged) Version() string { return os.Getenv(pluginsVariable) }

// attach is called with each new connection.
func (s *plugged) attach(c *core.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conns = append(s.conns, c)
	for _, p := range s.plugins {
		in, err := p.Attach(c, plugins.AttachOptions{})
		if err != nil {
			s.err = err
			continue
		}
		s.instances = append(s.instances, in)
	}
}

// account sums up what the connections did. No worker runs any more.
func (s *plugged) account() (a account) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.conns {
		stats := c.Stats()
		a.Packets += stats.PacketsSent + stats.PacketsReceived
	}
	for _, in := range s.instances {
		for _, p := range in.Stats() {
			a.Anchors += p.Calls
		}
		if f := in.Fault(); f != nil {
			a.Fault = plugins.Explain(f)
		}
	}
	if s.err != nil {
		a.Fault = s.err.Error()
	}
	return a
}

func (s *plugged) config(c *stack.Config) *hoststack.Config {
	return &hoststack.Config{
		TLS: c.TLS,
		Core: core.Config{
			StreamWindow: c.StreamWindow, MaxStreamWindow: c.StreamWindow,
			ConnWindow: c.ConnWindow, MaxConnWindow: c.ConnWindow,
			MaxBidiStreams: c.MaxStreams, MaxIdleTimeout: c.IdleTimeout,
			InitialUDPPayload: uint16(c.MaxDatagram), DisablePathMTUDiscovery: c.MaxDatagram != 0,
		},
		Limits: hoststack.Limits{Connections: c.MaxConns},
		OnConn: s.attach,
	}
}

func (s *plugged) Listen(addr string, c *stack.Config) (stack.Listener, error) {
	l, err := hoststack.Listen(context.Background(), "udp", addr, s.config(c))
	if err != nil {
		return nil, err
	}
	return listener{l}, nil
}

func (s *plugged) NewDialer(local string, c *stack.Config) (stack.Dialer, error) {
	h := s.config(c)
	h.Workers = runtime.NumCPU()
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
		return nil, fmt.Errorf("dial: %w", err)
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
