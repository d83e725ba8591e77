package coretest

import (
	"fmt"

	"github.com/pquic-go/pquic/core"
)

// An appStream is the application's side of one stream.
type appStream struct {
	app      *App
	s        *core.Stream
	transfer *Transfer // on the client
	queued   bool
	closed   bool

	// What is written: a header, then content, then FIN.
	writing  bool
	head     []byte
	left     uint64 // bytes of content to write
	at       uint64
	key      content
	finished bool
	stopped  bool // the peer wants no more

	// What is read.
	reading   bool // expectation is known
	inHead    []byte
	inLeft    uint64
	inAt      uint64
	inKey     content
	inDone    bool
	peerReset bool
	answer    header // on the server: what to write once everything is read
}

// write sets out what the stream carries.
func (s *appStream) write(h header, key content) {
	s.writing, s.key, s.left = true, key, h.up
	s.head = h.append(nil)
}

// reply sets out an answer without a header.
func (s *appStream) reply(n uint64, key content) {
	s.writing, s.key, s.left = true, key, n
}

// expect sets out what the stream brings.
func (s *appStream) expect(n uint64, key content) { s.reading, s.inLeft, s.inKey = true, n, key }

func (s *appStream) run() {
	s.read() // also what the stream held when it was closed
	if !s.closed {
		s.pump()
	}
}

// pump writes as much as the FIFO takes.
func (s *appStream) pump() {
	f := s.s.SendFIFO()
	if f == nil || !s.writing || s.finished || s.stopped {
		return
	}
	var buf [4096]byte
	wrote := false
	for {
		if len(s.head) > 0 {
			n := f.Write(s.head)
			s.head = s.head[n:]
			wrote = wrote || n > 0
			if len(s.head) > 0 {
				break
			}
		}
		n := min(uint64(len(buf)), s.left, uint64(f.Free()))
		if n > 0 {
			s.key.fill(buf[:n], s.at)
			n = uint64(f.Write(buf[:n]))
			s.at += n
			s.left -= n
			wrote = wrote || n > 0
		}
		if s.left == 0 {
			f.CloseWrite()
			s.finished, wrote = true, true
		}
		if n == 0 || s.finished {
			break
		}
	}
	if wrote {
		s.app.Conn.StreamWritten(s.app.host.Now(), s.s)
	}
}

// read takes what has arrived and checks it.
func (s *appStream) read() {
	f := s.s.RecvFIFO()
	if f == nil || s.inDone {
		return
	}
	a := s.app
	budget := 1 << 30
	if a.ReadChunk > 0 {
		budget = a.ReadChunk
	}
	took := false
	for budget > 0 {
		b := f.PeekContiguous(f.Head())
		b = b[:min(len(b), budget)]
		if len(b) == 0 {
			break
		}
		s.take(b)
		f.Advance(f.Head() + uint64(len(b)))
		budget -= len(b)
		took = true
	}
	if size, final := f.Final(); final && f.Head() == size {
		s.end()
	}
	if took || s.inDone || s.peerReset {
		a.Conn.StreamRead(a.host.Now(), s.s)
	}
	if t := s.transfer; t != nil && !s.closed && t.CancelAt > 0 && !t.Cancelled && t.Received >= t.CancelAt && !s.inDone {
		t.Cancelled = true
		a.Conn.StopSending(a.host.Now(), s.s, 9)
		if !s.finished {
			a.Conn.ResetStream(a.host.Now(), s.s, 9, 0)
			s.stopped = true
		}
	}
	if budget == 0 && !s.inDone && !s.closed {
		a.host.sim.After(a.ReadEvery, func() { a.news1(s) })
	}
}

// take checks bytes in their place.
func (s *appStream) take(b []byte) {
	a := s.app
	if !s.reading {
		n := min(headerLen-len(s.inHead), len(b))
		s.inHead = append(s.inHead, b[:n]...)
		b = b[n:]
		if len(s.inHead) < headerLen {
			return
		}
		s.begin(parseHeader(s.inHead))
	}
	if uint64(len(b)) > s.inLeft {
		a.host.sim.Fatalf("%s: stream %d: %d bytes too many at %d", a.host.Name, s.s.ID, uint64(len(b))-s.inLeft, s.inAt+s.inLeft)
	}
	if i := s.inKey.check(b, s.inAt); i >= 0 {
		a.host.sim.Fatalf("%s: stream %d: content differs at offset %d", a.host.Name, s.s.ID, s.inAt+uint64(i))
	}
	s.inAt += uint64(len(b))
	s.inLeft -= uint64(len(b))
	a.Verified += uint64(len(b))
	if s.transfer != nil {
		s.transfer.Received += uint64(len(b))
	}
}

// begin acts on the header of a stream the peer has opened.
func (s *appStream) begin(h header) {
	a := s.app
	switch {
	case a.Server && (h.kind == kindRequest || h.kind == kindFull):
		if s.s.Early != 0 {
			a.EarlyIn++
		}
		s.expect(h.up, h.key)
		s.answer = h
		if h.kind == kindFull && s.s.SendFIFO() != nil {
			s.reply(h.down, h.key.answer())
			a.news1(s)
		}
	case !a.Server && h.kind == kindPush:
		for _, t := range a.Transfers {
			if t.key == h.key {
				s.transfer = t
			}
		}
		if s.transfer == nil {
			a.host.sim.Fatalf("%s: stream %d answers no request", a.host.Name, s.s.ID)
		}
		s.expect(h.up, h.key.answer())
	default:
		a.host.sim.Fatalf("%s: stream %d: bad header %+v", a.host.Name, s.s.ID, h)
	}
}

// end acts on the FIN.
func (s *appStream) end() {
	a := s.app
	if !s.reading || s.inLeft != 0 {
		a.host.sim.Fatalf("%s: stream %d ended at %d, %d bytes are missing", a.host.Name, s.s.ID, s.inAt, s.inLeft)
	}
	s.inDone = true
	if !a.Server {
		a.complete(s.transfer)
		return
	}
	if s.writing {
		return
	}
	if s.s.SendFIFO() != nil {
		s.reply(s.answer.down, s.answer.key.answer())
	} else if s.answer.down > 0 {
		a.push(s.answer)
	}
}

// push answers a unidirectional request on a stream of the server's own.
func (a *App) push(h header) {
	st, err := a.Conn.OpenStream(false)
	if err != nil {
		// The client allows no more now: try again when one has ended.
		a.host.sim.After(a.Conn.Stats().Path.RTT.SmoothedRTT, func() {
			if !a.Ended {
				a.push(h)
			}
		})
		return
	}
	s := a.stream(st)
	s.write(header{kindPush, h.down, 0, h.key}, h.key.answer())
	a.news1(s)
}

func (s *appStream) describe() string {
	out := fmt.Sprintf("wrote %d, left %d, fin %v, stopped %v; read %d, left %d, done %v", s.at, s.left, s.finished, s.stopped, s.inAt, s.inLeft, s.inDone)
	if v := s.s.SendView(); v != nil {
		out += fmt.Sprintf("; send {%s}", nonzero(*v))
	}
	if v := s.s.RecvView(); v != nil {
		out += fmt.Sprintf("; recv {%s}", nonzero(*v))
	}
	return out
}
