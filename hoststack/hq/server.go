package hq

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/pquic-go/pquic/hoststack/http3"
)

const (
	// maxRequest bounds a request line, in bytes.
	maxRequest = 8 << 10
	// maxHandlers bounds the requests answered at once on one connection;
	// further streams wait.
	maxHandlers = 256
	// requestTimeout bounds how long a request line may take to arrive.
	requestTimeout = 10 * time.Second
	// fileChunk is what is read of a file at once. A file within it leaves
	// together with the stream's end.
	fileChunk = 64 << 10
	// drainTimeout bounds how long a closing connection waits for the peer to
	// acknowledge the last response.
	drainTimeout = 5 * time.Second
)

// A Server answers with the files of a folder.
type Server struct {
	// FS holds the files. To serve a directory of the system, use the FS of an
	// os.Root: no name, and no symbolic link, leads out of it.
	FS fs.FS

	mu       sync.Mutex
	conns    map[*serverConn]struct{}
	loops    map[*context.CancelFunc]struct{}
	shutdown bool
	idle     chan struct{} // closed when shutdown is set and no connection is left
}

// A serverConn is one client's connection.
type serverConn struct {
	s        *Server
	conn     http3.Conn
	slots    chan struct{} // one token per running request
	requests sync.WaitGroup

	mu       sync.Mutex
	active   int
	draining bool
}

// Serve accepts connections from l until Shutdown or Close, or until l fails.
func (s *Server) Serve(l http3.Listener) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	s.mu.Lock()
	if s.shutdown {
		s.mu.Unlock()
		return http.ErrServerClosed
	}
	if s.loops == nil {
		s.loops = make(map[*context.CancelFunc]struct{})
	}
	s.loops[&cancel] = struct{}{}
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		delete(s.loops, &cancel)
		s.mu.Unlock()
	}()
	for {
		conn, err := l.Accept(ctx)
		if err != nil {
			if ctx.Err() != nil {
				return http.ErrServerClosed
			}
			return err
		}
		go func() { _ = s.ServeConn(conn) }()
	}
}

// ServeConn answers the requests of one connection until it ends, and returns
// why it did.
func (s *Server) ServeConn(conn http3.Conn) error {
	sc := &serverConn{s: s, conn: conn, slots: make(chan struct{}, maxHandlers)}
	s.mu.Lock()
	if s.shutdown {
		s.mu.Unlock()
		_ = conn.CloseWithError(CodeNoError, "the server is shutting down")
		return http.ErrServerClosed
	}
	if s.conns == nil {
		s.conns = make(map[*serverConn]struct{})
	}
	s.conns[sc] = struct{}{}
	s.mu.Unlock()
	defer func() {
		sc.requests.Wait()
		s.mu.Lock()
		delete(s.conns, sc)
		s.checkIdle()
		s.mu.Unlock()
	}()
	return sc.serve()
}

// checkIdle wakes Shutdown once the last connection is gone. s.mu is held.
func (s *Server) checkIdle() {
	if s.shutdown && len(s.conns) == 0 && s.idle != nil {
		close(s.idle)
		s.idle = nil
	}
}

func (sc *serverConn) serve() error {
	ctx := sc.conn.Context()
	for {
		select {
		case sc.slots <- struct{}{}:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		str, err := sc.conn.AcceptStream(ctx)
		if err != nil {
			return err
		}
		if !sc.begin() {
			str.CancelRead(CodeRefused)
			str.Reset(CodeRefused)
			<-sc.slots
			continue
		}
		sc.requests.Go(func() {
			sc.s.answer(str)
			sc.end()
			<-sc.slots
		})
	}
}

func (sc *serverConn) begin() bool {
	sc.mu.Lock()
	defer sc.mu.Unlock()
	if sc.draining {
		return false
	}
	sc.active++
	return true
}

func (sc *serverConn) end() {
	sc.mu.Lock()
	sc.active--
	done := sc.draining && sc.active == 0
	sc.mu.Unlock()
	if done {
		go sc.close()
	}
}

// drain refuses new requests and closes the connection after the last.
func (sc *serverConn) drain() {
	sc.mu.Lock()
	done := !sc.draining && sc.active == 0
	sc.draining = true
	sc.mu.Unlock()
	if done {
		sc.close()
	}
}

// close closes the connection once the peer has everything.
func (sc *serverConn) close() {
	if d, ok := sc.conn.(http3.Drainer); ok {
		ctx, cancel := context.WithTimeout(sc.conn.Context(), drainTimeout)
		defer cancel()
		_ = d.Drain(ctx)
	}
	_ = sc.conn.CloseWithError(CodeNoError, "")
}

// stop stops the accept loops and returns the connections that are left and a
// channel that is closed when the last of them has ended.
func (s *Server) stop() ([]*serverConn, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.shutdown = true
	for cancel := range s.loops {
		(*cancel)()
	}
	conns := make([]*serverConn, 0, len(s.conns))
	for sc := range s.conns {
		conns = append(conns, sc)
	}
	if s.idle == nil {
		s.idle = make(chan struct{})
	}
	idle := s.idle
	s.checkIdle()
	return conns, idle
}

// Shutdown takes no new connections and requests, lets those there are finish,
// and closes. If ctx ends first, what is left keeps running and ctx's error is
// returned.
func (s *Server) Shutdown(ctx context.Context) error {
	conns, idle := s.stop()
	for _, sc := range conns {
		go sc.drain()
	}
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Close closes all connections at once.
func (s *Server) Close() error {
	conns, _ := s.stop()
	var errs []error
	for _, sc := range conns {
		errs = append(errs, sc.conn.CloseWithError(CodeNoError, "the server is closing"))
	}
	return errors.Join(errs...)
}

// answer reads one request and sends its file.
func (s *Server) answer(str http3.Stream) {
	_ = str.SetReadDeadline(time.Now().Add(requestTimeout))
	line, err := readLine(str)
	if err != nil {
		refuse(str, CodeBadRequest)
		return
	}
	name, ok := fileName(line)
	if !ok {
		refuse(str, CodeBadRequest)
		return
	}
	f, err := open(s.FS, name)
	if err != nil {
		refuse(str, CodeNotFound)
		return
	}
	defer f.Close()
	var se *http3.StreamError
	switch err := send(str, f); {
	case err == nil:
		str.CancelRead(CodeNoError)
	case errors.As(err, &se):
		refuse(str, CodeCancelled)
	default:
		refuse(str, CodeInternal)
	}
}

func refuse(str http3.Stream, code uint64) {
	str.CancelRead(code)
	str.Reset(code)
}

// readLine reads up to a line feed or the stream's end.
func readLine(r io.Reader) (string, error) {
	var buf [512]byte
	line := buf[:0]
	for {
		if len(line) == cap(line) {
			if len(line) >= maxRequest {
				return "", errors.New("hq: the request line is too long")
			}
			line = append(line, 0)[:len(line)]
		}
		n, err := r.Read(line[len(line):cap(line)])
		line = line[:len(line)+n]
		if text, _, ok := strings.Cut(string(line), "\n"); ok || err == io.EOF {
			return strings.TrimSuffix(text, "\r"), nil
		}
		if err != nil {
			return "", err
		}
	}
}

// fileName returns the name in the file system that a request line asks for.
func fileName(line string) (string, bool) {
	target, ok := strings.CutPrefix(line, "GET /")
	if !ok {
		return "", false
	}
	target, _, _ = strings.Cut(target, " ") // a version, which HTTP/0.9 has not
	target, _, _ = strings.Cut(target, "?")
	name := path.Clean("/" + target)[1:] // no ".." is left of a rooted path
	if name == "" {
		name = "."
	}
	return name, fs.ValidPath(name) && !strings.ContainsAny(name, "\\\x00")
}

// open opens a file, or the index.html of a directory.
func open(fsys fs.FS, name string) (fs.File, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && info.Mode().IsRegular() {
		return f, nil
	}
	_ = f.Close()
	if err == nil && info.IsDir() && path.Base(name) != "index.html" {
		return open(fsys, path.Join(name, "index.html"))
	}
	return nil, errors.Join(err, fs.ErrInvalid)
}

var chunks = sync.Pool{New: func() any { b := make([]byte, fileChunk); return &b }}

// send writes a file and the stream's end. What fits one chunk goes in one
// step, the rest straight from the file if the stream can.
func send(str http3.Stream, f io.Reader) error {
	chunk := chunks.Get().(*[]byte)
	defer chunks.Put(chunk)
	n, err := io.ReadFull(f, *chunk)
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		if fw, ok := str.(http3.FinalWriter); ok {
			_, err = fw.WriteFinal((*chunk)[:n])
			return err
		}
		if _, err := str.Write((*chunk)[:n]); err != nil {
			return err
		}
		return str.CloseWrite()
	}
	if err != nil {
		return err
	}
	if _, err := str.Write(*chunk); err != nil {
		return err
	}
	if _, err := io.CopyBuffer(str, struct{ io.Reader }{f}, *chunk); err != nil {
		return err
	}
	return str.CloseWrite()
}
