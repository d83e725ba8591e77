package hoststack

import (
	"errors"
	"fmt"
	"net"

	"github.com/pquic-go/pquic/core"
)

// A StreamError ended one direction of a stream: the peer's RESET_STREAM or
// our CancelRead, seen by Read; the peer's STOP_SENDING or our Reset, seen by
// Write.
type StreamError struct {
	ID     uint64 // stream ID
	Code   uint64 // application protocol error code
	Remote bool   // decided by the peer
}

func (e *StreamError) Error() string {
	who := "locally"
	if e.Remote {
		who = "by the peer"
	}
	return fmt.Sprintf("hoststack: stream %d was aborted %s with code 0x%x", e.ID, who, e.Code)
}

// Is matches another *StreamError with the same code, whatever the stream, and
// net.ErrClosed if this side decided.
func (e *StreamError) Is(target error) bool {
	if target == net.ErrClosed {
		return !e.Remote
	}
	t, ok := target.(*StreamError)
	return ok && t.Code == e.Code
}

// A ConnError is what every pending and later call on a connection returns
// once the connection has ended. It wraps the engine's reason, so errors.As
// finds a *core.TransportError or *core.ApplicationError and errors.Is
// core.ErrIdleTimeout and the like. If this side closed the connection,
// errors.Is(err, net.ErrClosed) holds.
type ConnError struct {
	Err   error
	Local bool // this side closed it on purpose
}

func (e *ConnError) Error() string { return e.Err.Error() }

// Unwrap returns the engine's reason.
func (e *ConnError) Unwrap() error { return e.Err }

// Is matches net.ErrClosed if this side closed the connection.
func (e *ConnError) Is(target error) bool { return target == net.ErrClosed && e.Local }

// Timeout makes a ConnError a net.Error.
func (e *ConnError) Timeout() bool {
	return errors.Is(e.Err, core.ErrIdleTimeout) || errors.Is(e.Err, core.ErrHandshakeTimeout)
}

// Temporary is part of net.Error; no ended connection comes back.
func (e *ConnError) Temporary() bool { return false }

// newConnError wraps the reason the engine gave.
func newConnError(err error) *ConnError {
	if err == nil {
		err = core.ErrClosed
	}
	e := &ConnError{Err: err}
	var app *core.ApplicationError
	if errors.As(err, &app) {
		e.Local = !app.Remote
	}
	if errors.Is(err, core.ErrClosed) {
		e.Local = true
	}
	return e
}

// ErrShutdown is returned by Accept and Dial after Shutdown or Close.
var ErrShutdown = fmt.Errorf("hoststack: shut down: %w", net.ErrClosed)

var _ net.Error = (*ConnError)(nil)
