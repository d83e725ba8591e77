package hoststack

import (
	"context"
	"net"

	"github.com/pquic-go/pquic/core"
)

// A Listener accepts connections on one address.
type Listener struct {
	*Transport
}

// Listen opens a server on a UDP address. The network is "udp", "udp4" or
// "udp6"; port 0 picks a free one.
func Listen(ctx context.Context, network, addr string, cfg *Config) (*Listener, error) {
	c, err := cfg.prepare(true)
	if err != nil {
		return nil, err
	}
	t, err := openTransport(ctx, network, addr, c, true)
	if err != nil {
		return nil, err
	}
	return &Listener{t}, nil
}

// Accept returns the next connection whose handshake is complete, or, with
// Config.Early, that has a stream already. After Close or Shutdown it returns
// ErrShutdown, an error for which errors.Is(err, net.ErrClosed) holds.
func (l *Listener) Accept(ctx context.Context) (*Conn, error) {
	for {
		select {
		case <-l.closing:
			return nil, ErrShutdown
		default:
		}
		select {
		case c := <-l.accepted:
			return c, nil
		case <-l.closing:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// begin counts a connection the engine now has.
func (w *worker) begin() {
	w.conns++
	w.stats.connections.Add(1)
	w.group.conns.Add(1)
}

// end counts a connection out that the engine no longer has.
func (w *worker) end() {
	w.conns--
	w.stats.connections.Add(-1)
	w.group.connGone()
}

// announce hands a connection to Accept. If the application has let the queue
// fill up, the connection is refused.
func (c *Conn) announce() {
	t := c.w.group
	if c.announced || !t.server {
		return
	}
	c.announced = true
	if t.refusing() {
		c.w.stats.refusedShutdown.Add(1)
		c.refuse("server is shutting down")
		return
	}
	select {
	case t.accepted <- c:
	default:
		c.w.stats.refusedBacklog.Add(1)
		c.refuse("server is overloaded")
	}
}

// refuse ends a connection that the application will not see. The engine is
// busy with it right now.
func (c *Conn) refuse(reason string) {
	c.w.post(func() {
		c.core.CloseWithTransportError(&core.TransportError{Code: core.ConnectionRefused, Reason: reason})
	})
}

var _ interface {
	Addr() net.Addr
	Close() error
} = (*Listener)(nil)
