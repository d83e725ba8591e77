package core

// A scriptHandler writes down what the engine tells the application.
type scriptHandler struct {
	opened, readable, writable, closed []*Stream
	resets, stops                      map[uint64]uint64
	available                          [2]int
	complete, confirmed, gone          bool
	rejected                           bool
	err                                error
	ended                              bool
	onComplete                         func(*Conn)
}

func (h *scriptHandler) HandshakeComplete(c *Conn) {
	h.complete = true
	if h.onComplete != nil {
		h.onComplete(c)
	}
}
func (h *scriptHandler) HandshakeConfirmed(*Conn)          { h.confirmed = true }
func (h *scriptHandler) StreamOpened(_ *Conn, s *Stream)   { h.opened = append(h.opened, s) }
func (h *scriptHandler) StreamReadable(_ *Conn, s *Stream) { h.readable = append(h.readable, s) }
func (h *scriptHandler) StreamWritable(_ *Conn, s *Stream) { h.writable = append(h.writable, s) }
func (h *scriptHandler) StreamClosed(_ *Conn, s *Stream)   { h.closed = append(h.closed, s) }
func (h *scriptHandler) StreamReset(_ *Conn, s *Stream, code uint64) {
	if h.resets == nil {
		h.resets = map[uint64]uint64{}
	}
	h.resets[s.ID] = code
}
func (h *scriptHandler) StreamStopped(_ *Conn, s *Stream, code uint64) {
	if h.stops == nil {
		h.stops = map[uint64]uint64{}
	}
	h.stops[s.ID] = code
}
func (h *scriptHandler) StreamsAvailable(_ *Conn, bidi bool) {
	if bidi {
		h.available[0]++
	} else {
		h.available[1]++
	}
}
func (h *scriptHandler) EarlyDataRejected(*Conn)   { h.rejected = true }
func (h *scriptHandler) Closed(_ *Conn, err error) { h.ended, h.err = true, err }
func (h *scriptHandler) Gone(*Conn)                { h.gone = true }

// openStream opens a stream of the engine.
func (tc *testConn) openStream(bidi bool) *Stream {
	tc.t.Helper()
	s, err := tc.conn.OpenStream(bidi)
	if err != nil {
		tc.t.Fatal(err)
	}
	return s
}

// writeStream writes to a stream of the engine.
func (tc *testConn) writeStream(s *Stream, data string, fin bool) {
	tc.t.Helper()
	if n := s.SendFIFO().Write([]byte(data)); n != len(data) {
		tc.t.Fatalf("stream %d took %d of %d bytes", s.ID, n, len(data))
	}
	if fin {
		s.SendFIFO().CloseWrite()
	}
	tc.conn.StreamWritten(tc.now, s)
}

// readStream reads all there is on a stream of the engine.
func (tc *testConn) readStream(s *Stream) string {
	tc.t.Helper()
	var out []byte
	b := make([]byte, 1<<16)
	for {
		n := s.RecvFIFO().Read(b)
		if n == 0 {
			break
		}
		out = append(out, b[:n]...)
	}
	tc.conn.StreamRead(tc.now, s)
	return string(out)
}

// stream finds a stream of the engine.
func (tc *testConn) stream(id uint64) *Stream {
	tc.t.Helper()
	s := tc.conn.streams.byID[id]
	if s == nil {
		tc.t.Fatalf("engine has no stream %d", id)
	}
	return s
}

// peerStream is the ID of the n-th stream the peer opens.
func (tc *testConn) peerStream(n uint64, bidi bool) uint64 {
	id := n << 2
	if tc.side == clientSide {
		id |= streamServer
	}
	if !bidi {
		id |= streamUni
	}
	return id
}

// ownStream is the ID of the n-th stream the engine opens.
func (tc *testConn) ownStream(n uint64, bidi bool) uint64 {
	return tc.peerStream(n, bidi) ^ streamServer
}
