// Package stack is the little that the programs of the benchmark and of the interoperability
// tests need of a QUIC implementation, so that the same program runs on several of them.
package stack

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"time"
)

// A Stack is a QUIC implementation.
type Stack interface {
	// Name is the implementation's name and Version what the build says about it.
	Name() string
	Version() string
	// Listen serves on a UDP address such as "127.0.0.1:0".
	Listen(addr string, c *Config) (Listener, error)
	// NewDialer returns something that makes many connections from a local UDP address.
	NewDialer(local string, c *Config) (Dialer, error)
}

// A Config is what the programs choose. The zero value of a field leaves the implementation's
// own default.
type Config struct {
	TLS *tls.Config
	// MaxDatagram fixes the size in bytes of the largest UDP payload sent and turns path MTU
	// discovery off; 0 leaves it on.
	MaxDatagram int
	// StreamWindow and ConnWindow are the receive windows in bytes, from the start.
	StreamWindow, ConnWindow uint64
	// MaxStreams is how many bidirectional streams the peer may have open.
	MaxStreams  int64
	IdleTimeout time.Duration
	// MaxConns is how many connections a server must be able to hold.
	MaxConns int
}

// A Listener accepts connections whose handshake is complete.
type Listener interface {
	Addr() net.Addr
	Accept(ctx context.Context) (Conn, error)
	Close() error
}

// A Dialer makes connections.
type Dialer interface {
	// Dial returns when the handshake is complete.
	Dial(ctx context.Context, addr string) (Conn, error)
	Close() error
}

// A Conn is a QUIC connection.
type Conn interface {
	OpenStream(ctx context.Context) (Stream, error)
	AcceptStream(ctx context.Context) (Stream, error)
	Close() error
	// Packets returns how many packets were sent and received.
	Packets() (sent, received uint64)
}

// A Stream is a bidirectional stream.
type Stream interface {
	io.Reader
	io.Writer
	CloseWrite() error
	// WriteFinal writes p and ends the sending half, in the way the implementation
	// has for that.
	WriteFinal(p []byte) (int, error)
}
