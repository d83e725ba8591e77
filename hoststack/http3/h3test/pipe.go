package h3test

import (
	"io"
	"os"
	"sync"
	"time"

	"github.com/pquic-go/pquic/hoststack/http3"
)

// A pipe is one direction of a stream: bytes in order, a bounded buffer, and
// the ways QUIC has to end it.
type pipe struct {
	mu   sync.Mutex
	cond sync.Cond
	size int // the buffer's bound: the flow-control window

	buf   []byte // unread bytes, the end of store
	store []byte
	lent  bool // a reader looks at buf without mu: it may not move
	fin   bool
	reset error                       // RESET_STREAM by the writer, as the reader sees it
	stop  error                       // STOP_SENDING by the reader, as the writer sees it
	local struct{ read, write error } // what each end did itself
	dead  error                       // the connection ended

	readDeadline, writeDeadline deadline
	onStop, onReset             func(error) // abort notifications, called without mu
}

// A deadline wakes the pipe's waiters when it passes.
type deadline struct {
	t     time.Time
	timer *time.Timer
}

func newPipe(size int) *pipe {
	p := &pipe{size: size}
	p.cond.L = &p.mu
	return p
}

func (p *pipe) setDeadline(d *deadline, t time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
	d.t = t
	if wait := time.Until(t); !t.IsZero() && wait > 0 {
		d.timer = time.AfterFunc(wait, func() {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.cond.Broadcast()
		})
	}
	p.cond.Broadcast()
}

func (d *deadline) passed() bool { return !d.t.IsZero() && !time.Now().Before(d.t) }

func (p *pipe) read(b []byte) (int, error) {
	return p.take(func(buf []byte) (int, error) { return copy(b, buf), nil }, len(b) == 0)
}

// take has f take bytes from the front of the buffer, once there are some, and
// returns io.EOF with the last of them. f says how many it took. It runs
// unlocked: nobody but the reader changes bytes that are there.
func (p *pipe) take(f func([]byte) (int, error), nothing bool) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		switch {
		case p.local.read != nil:
			return 0, p.local.read
		case p.reset != nil:
			return 0, p.reset
		case len(p.buf) > 0:
			buf := p.buf
			p.lent = true
			p.mu.Unlock()
			n, err := f(buf)
			p.mu.Lock()
			p.lent = false
			p.buf = p.buf[min(n, len(p.buf)):]
			p.cond.Broadcast()
			if len(p.buf) == 0 && p.fin && err == nil {
				err = io.EOF
			}
			return n, err
		case p.fin:
			return 0, io.EOF
		case p.dead != nil:
			return 0, p.dead
		case p.readDeadline.passed():
			return 0, os.ErrDeadlineExceeded
		case nothing:
			return 0, nil
		}
		p.cond.Wait()
	}
}

func (p *pipe) write(b []byte, fin bool) (n int, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		switch {
		case p.local.write != nil:
			return n, p.local.write
		case p.stop != nil:
			return n, p.stop
		case p.dead != nil:
			return n, p.dead
		case p.fin && (fin || len(b) > 0):
			return n, os.ErrClosed
		case p.writeDeadline.passed():
			return n, os.ErrDeadlineExceeded
		}
		if k := min(p.size-len(p.buf), len(b)-n); k > 0 {
			p.append(b[n : n+k])
			n += k
			p.cond.Broadcast()
		}
		if n == len(b) {
			p.fin = p.fin || fin
			p.cond.Broadcast()
			return n, nil
		}
		p.cond.Wait()
	}
}

// append adds b to the buffer, at its beginning again if there is no space left
// at the end.
func (p *pipe) append(b []byte) {
	if cap(p.buf)-len(p.buf) < len(b) && !p.lent && cap(p.store)-len(p.buf) >= len(b) {
		p.buf = p.store[:copy(p.store[:cap(p.store)], p.buf)]
	}
	grown := cap(p.buf)-len(p.buf) < len(b)
	p.buf = append(p.buf, b...)
	if grown {
		p.store = p.buf[:0]
	}
}

// cancelRead is STOP_SENDING by the reader. The writer answers it with
// RESET_STREAM, as QUIC requires, so the pipe is over.
func (p *pipe) cancelRead(code uint64) {
	p.mu.Lock()
	if p.local.read != nil || p.reset != nil || p.fin && len(p.buf) == 0 {
		p.mu.Unlock()
		return
	}
	p.local.read = &http3.StreamError{Code: http3.ErrCode(code)}
	var notify func(error)
	if !p.fin && p.stop == nil {
		p.stop = &http3.StreamError{Code: http3.ErrCode(code), Remote: true}
		notify, p.onStop = p.onStop, nil
	}
	err := p.stop
	p.buf = nil
	p.cond.Broadcast()
	p.mu.Unlock()
	if notify != nil {
		notify(err)
	}
}

// abort is RESET_STREAM by the writer: bytes not read yet are lost.
func (p *pipe) abort(code uint64) {
	p.mu.Lock()
	if p.local.write != nil || p.stop != nil || p.fin && len(p.buf) == 0 {
		p.mu.Unlock()
		return
	}
	p.local.write = &http3.StreamError{Code: http3.ErrCode(code)}
	p.reset = &http3.StreamError{Code: http3.ErrCode(code), Remote: true}
	notify := p.onReset
	p.onReset = nil
	err := p.reset
	p.buf = nil
	p.cond.Broadcast()
	p.mu.Unlock()
	if notify != nil {
		notify(err)
	}
}

// kill ends the pipe with its connection.
func (p *pipe) kill(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.dead = err
	if len(p.buf) > 0 {
		p.buf = nil
		p.fin = false // the end can no longer be reached
	}
	p.cond.Broadcast()
}

// drained reports whether everything written was read. mu is not held.
func (p *pipe) drained() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.buf) == 0
}
