package admin

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/pquic-go/pquic/core"
	"github.com/pquic-go/pquic/hoststack"
	"github.com/pquic-go/pquic/plugins"
)

const (
	// maxClients bounds how many clients are served at once, and so the memory
	// that their requests take. More wait.
	maxClients = 8
	// patience is how long a client may take for its next request, or to take
	// the next reply.
	patience = 30 * time.Second
)

// A Server answers the clients of one socket.
type Server struct {
	log    *slog.Logger
	socket *socket
	conns  registry
	cache  cache
	told   func(*plugins.Instance) // nil, or told of each attach

	mu      sync.Mutex
	clients map[net.Conn]bool
	closing bool
	closed  chan struct{} // when closing is set
	running sync.WaitGroup
}

// Listen opens the unix socket at path, with mode 0600, and answers who
// connects. Plugins run on the engine of that name and log to log. A socket that
// nobody listens on is replaced; anything else at path is an error.
func Listen(path, engine string, log *slog.Logger) (*Server, error) {
	l, err := listenUnix(path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	s := &Server{log: log, socket: l, clients: make(map[net.Conn]bool), closed: make(chan struct{})}
	s.conns.entries, s.conns.faults = make(map[*hoststack.Conn]*entry), make(map[site]uint64)
	s.cache.engine, s.cache.list = engine, make(map[hash]*loaded)
	s.running.Go(s.accept)
	return s, nil
}

// Close removes the socket and ends what its clients have asked for. Plugins
// stay where they are attached.
func (s *Server) Close() error {
	s.mu.Lock()
	if s.closing {
		s.mu.Unlock()
		return nil
	}
	s.closing = true
	close(s.closed)
	err := s.socket.Close()
	for c := range s.clients {
		_ = c.Close()
	}
	s.mu.Unlock()
	s.running.Wait()
	return err
}

// OnConn returns a hook for hoststack.Config.OnConn that makes connections known
// to the server before next runs, which may be nil.
func (s *Server) OnConn(next func(*core.Conn)) func(*core.Conn) {
	return func(c *core.Conn) {
		if conn, ok := c.User.(*hoststack.Conn); ok {
			s.conns.add(conn)
		}
		if next != nil {
			next(c)
		}
	}
}

// Attached tells the server of a connection to which something else has
// attached a plugin. It is called by the connection's owner.
func (s *Server) Attached(c *core.Conn) {
	if e := s.conns.of(c); e != nil {
		e.plug(c)
	}
}

// Detached tells the server that a plugin is no longer attached: it counts
// faults. It is called by the connection's owner.
func (s *Server) Detached(in *plugins.Instance) {
	if at, ok := failed(in); ok {
		s.conns.fault(in.Conn(), at)
	}
}

// Watch has f called with each plugin that a client attaches, by the connection's
// owner. It is called before there are connections.
func (s *Server) Watch(f func(*plugins.Instance)) { s.told = f }

func (s *Server) accept() {
	slots := make(chan struct{}, maxClients)
	for {
		slots <- struct{}{}
		c, err := s.socket.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		} else if err != nil { // out of file descriptors, most likely: others are freed in time
			s.log.Error("the admin socket", "error", err)
			select {
			case <-time.After(time.Second):
			case <-s.closed:
			}
			<-slots
			continue
		}
		if !s.begin(c) {
			_ = c.Close()
			return
		}
		s.running.Go(func() {
			s.serve(c)
			s.end(c)
			<-slots
		})
	}
}

// begin remembers a client. It reports false if the server is closing.
func (s *Server) begin(c net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing {
		return false
	}
	s.clients[c] = true
	return true
}

func (s *Server) end(c net.Conn) {
	s.mu.Lock()
	delete(s.clients, c)
	s.mu.Unlock()
	_ = c.Close()
}

// serve answers one client until it leaves, or sends what cannot be read.
func (s *Server) serve(c net.Conn) {
	in := bufio.NewReader(c)
	out := &replies{conn: c, w: bufio.NewWriter(c)}
	for out.err == nil {
		_ = c.SetReadDeadline(time.Now().Add(patience)) // an error shows when reading
		line, err := readLine(in, maxRequest)
		if errors.Is(err, errLineTooLong) {
			out.end(nil, errorf(CodeRequest, "request of more than %d bytes: want one line with a plugin of at most %d", maxRequest, MaxObject))
			return
		} else if err != nil {
			return
		}
		r, err := parseRequest(line)
		if err != nil {
			out.end(nil, err)
			continue
		}
		out.end(s.answer(r, out))
	}
}

// replies writes to a client. What cannot be written is not tried again.
type replies struct {
	conn net.Conn
	w    *bufio.Writer
	err  error
}

func (o *replies) write(r *Reply) {
	if o.err != nil {
		return
	}
	b, err := json.Marshal(r)
	if err == nil && len(b) >= maxReply {
		b, err = json.Marshal(&Reply{Error: errorf(CodeRequest, "the reply has more than %d bytes", maxReply)})
	}
	if err == nil {
		_ = o.conn.SetWriteDeadline(time.Now().Add(patience)) // an error shows when writing
		_, err = o.w.Write(append(b, '\n'))
	}
	o.err = err
}

// end writes the last reply to a request.
func (o *replies) end(e *End, err error) {
	if err != nil {
		o.write(&Reply{Error: asError(err)})
	} else {
		o.write(&Reply{End: e})
	}
	if o.err == nil {
		o.err = o.w.Flush()
	}
}
