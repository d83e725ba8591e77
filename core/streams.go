package core

import (
	"cmp"
	"slices"

	"github.com/pquic-go/pquic/core/mono"
	"github.com/pquic-go/pquic/core/stream"
	"github.com/pquic-go/pquic/core/wire"
	"github.com/pquic-go/pquic/protoops"
)

// streamPend says which frames about a stream have to be written.
type streamPend uint8

const (
	pendMaxStreamData streamPend = 1 << iota
	pendReset
	pendStop
	pendStreamBlocked
)

// Bits of StreamView.Flags.
const (
	flagFinQueued uint64 = 1 << iota
	flagFinSent
	flagFinReceived
	flagResetQueued
	flagResetSent
	flagResetReceived
	flagStopQueued
	flagStopSent
	flagStopReceived
	flagWindowQueued
)

// A Stream is one stream of a connection. The application's bytes cross
// through its FIFOs; everything else about it happens on the engine's side.
type Stream struct {
	StreamView

	// User belongs to whoever drives the connection.
	User any

	conn     *Conn
	entry    stream.Entry
	sendHalf *stream.Send // nil on a stream we only receive on
	recvHalf *stream.Recv // nil on a stream we only send on

	plugin *PluginStream // set on the shell of one

	pend     streamPend
	inCtl    bool
	next     *Stream // in streamSet.ctl
	sendDone bool
	recvDone bool
	broken   bool // whoever shares its FIFOs has broken them
	// blockedAt is the limit at which STREAM_DATA_BLOCKED was last due plus one.
	blockedAt uint64
	inStore   streamHalves
}

// streamHalves keeps both halves of a bidirectional stream in one allocation.
type streamHalves struct {
	send     stream.Send
	recv     stream.Recv
	sendFIFO stream.FIFO
	recvFIFO stream.FIFO
}

// ID returns the stream ID.
// https://www.rfc-editor.org/rfc/rfc9000#section-2.1
func (s *Stream) StreamID() uint64 { return s.ID }

// SendFIFO is what the application writes to; nil on a stream the peer alone
// sends on.
func (s *Stream) SendFIFO() *stream.FIFO {
	if s.sendHalf == nil {
		return nil
	}
	return s.sendHalf.FIFO()
}

// RecvFIFO is what the application reads from; nil on a stream we alone send on.
func (s *Stream) RecvFIFO() *stream.FIFO {
	if s.recvHalf == nil {
		return nil
	}
	return s.recvHalf.FIFO()
}

// Conn returns the stream's connection.
func (s *Stream) Conn() *Conn { return s.conn }

// SendView and RecvView return the visible state of the halves, nil where
// there is none.
func (s *Stream) SendView() *stream.SendView {
	if s.sendHalf == nil {
		return nil
	}
	return &s.sendHalf.SendView
}

// RecvView returns the visible state of the receiving half.
func (s *Stream) RecvView() *stream.RecvView {
	if s.recvHalf == nil {
		return nil
	}
	return &s.recvHalf.RecvView
}

// Bits of a stream ID.
// https://www.rfc-editor.org/rfc/rfc9000#section-2.1
const (
	streamServer = 1 // opened by the server
	streamUni    = 2
)

// streamSet holds the connection's streams.
type streamSet struct {
	conn  *Conn
	byID  map[uint64]*Stream
	sched stream.Scheduler
	// ctlHead..ctlTail queue the streams with frames other than STREAM to send.
	ctlHead, ctlTail *Stream

	// closedRemote counts the peer's streams that have ended, by kind: each
	// gives it credit for another one.
	closedRemote [2]uint64
	lastID       uint64
	last         *Stream // most recent lookup
	scratch      []*Stream
}

func (s *streamSet) init(c *Conn) {
	s.conn = c
	s.sched, _ = stream.NewScheduler(c.config.StreamScheduler)
	c.v.MaxStreamsBidiLocal = uint64(c.config.MaxBidiStreams)
	c.v.MaxStreamsUniLocal = uint64(c.config.MaxUniStreams)
}

func kindOf(id uint64) int { return int(id & streamUni >> 1) }

// isLocal reports whether we are the side that opens streams with this ID.
func (s *streamSet) isLocal(id uint64) bool {
	return id&streamServer == uint64(s.conn.v.IsServer)
}

// counters returns how many streams of the ID's kind its initiator has opened
// and may open.
func (s *streamSet) counters(id uint64) (opened, limit *uint64) {
	v := &s.conn.v
	switch local := s.isLocal(id); {
	case local && id&streamUni == 0:
		return &v.StreamsOpenedBidi, &v.MaxStreamsBidiRemote
	case local:
		return &v.StreamsOpenedUni, &v.MaxStreamsUniRemote
	case id&streamUni == 0:
		return &v.StreamsAcceptedBidi, &v.MaxStreamsBidiLocal
	}
	return &v.StreamsAcceptedUni, &v.MaxStreamsUniLocal
}

// get finds a stream; nil if it is closed, or never was opened. It creates the
// streams a peer opens, and all lower-numbered ones of their kind.
//
// "A stream ID that is used out of order results in all streams of that type
// with lower-numbered stream IDs also being opened."
// https://www.rfc-editor.org/rfc/rfc9000#section-3.2
func (s *streamSet) get(id uint64, t wire.FrameType) (*Stream, *TransportError) {
	if s.last != nil && s.lastID == id {
		return s.last, nil
	}
	if st := s.byID[id]; st != nil {
		s.last, s.lastID = st, id
		return st, nil
	}
	opened, limit := s.counters(id)
	n := id>>2 + 1
	if n <= *opened {
		return nil, nil // closed already
	}
	if s.isLocal(id) {
		return nil, violation(StreamStateError, t, "stream %d was never opened", id)
	}
	if n > *limit {
		// "An endpoint that receives a frame with a stream ID exceeding the
		// limit it has sent MUST treat this as a connection error of type
		// STREAM_LIMIT_ERROR."
		// https://www.rfc-editor.org/rfc/rfc9000#section-4.6
		return nil, violation(StreamLimitError, t, "stream %d, limit %d of its kind", id, *limit)
	}
	var st *Stream
	for *opened < n {
		st = s.add(*opened<<2 | id&3)
		*opened++
		s.conn.streamOpened(StreamArg{st})
		if h := s.conn.handler; h != nil {
			h.StreamOpened(s.conn, st)
		}
	}
	return st, nil
}

// forReceiving finds the stream of a frame that only its receiver gets.
func (s *streamSet) forReceiving(id uint64, t wire.FrameType) (*Stream, *TransportError) {
	if s.isLocal(id) && id&streamUni != 0 {
		return nil, violation(StreamStateError, t, "stream %d is send-only", id)
	}
	return s.get(id, t)
}

// forSending finds the stream of a frame that only its sender gets.
func (s *streamSet) forSending(id uint64, t wire.FrameType) (*Stream, *TransportError) {
	if !s.isLocal(id) && id&streamUni != 0 {
		return nil, violation(StreamStateError, t, "stream %d is receive-only", id)
	}
	return s.get(id, t)
}

// add creates the state of a stream.
func (s *streamSet) add(id uint64) *Stream {
	c := s.conn
	st := &Stream{conn: c}
	st.ID, st.OpenTime = id, c.now
	st.Urgency, st.Weight = 3, 16
	st.entry.ID, st.entry.Owner = id, st
	st.entry.Urgency, st.entry.Weight = 3, 16
	local, uni := s.isLocal(id), id&streamUni != 0
	send, recv := s.fifos(id)
	if local || !uni {
		st.sendHalf = &st.inStore.send
		if send == nil {
			send = &st.inStore.sendFIFO
			send.Init(0, c.config.SendBuffer)
			send.SetLimit(firstSendBuffer)
		}
		st.sendHalf.Init(id, send, s.initialSendLimit(id))
	} else {
		st.sendDone = true
	}
	if !local || !uni {
		st.recvHalf = &st.inStore.recv
		if recv == nil {
			recv = &st.inStore.recvFIFO
			recv.Init(0, int(c.config.MaxStreamWindow))
		}
		st.recvHalf.Init(id, recv, stream.NewWindow(c.config.StreamWindow, c.config.MaxStreamWindow))
	} else {
		st.recvDone = true
	}
	if c.IsServer() && c.v.HandshakeComplete == 0 {
		st.Early = 1
	}
	if s.byID == nil {
		s.byID = make(map[uint64]*Stream)
	}
	s.byID[id] = st
	c.v.StreamsOpen++
	return st
}

// fifos asks whoever drives the connection for the memory of a stream.
func (s *streamSet) fifos(id uint64) (send, recv *stream.FIFO) {
	c := s.conn
	if c.config.StreamFIFOs == nil {
		return nil, nil
	}
	send, recv = c.config.StreamFIFOs(c, id)
	if recv != nil && recv.Shared() && uint64(recv.Max()) < c.config.StreamWindow {
		c.fail(violation(InternalError, 0, "Config.StreamFIFOs gave %d bytes to receive into, Config.StreamWindow promises %d", recv.Max(), c.config.StreamWindow))
		return nil, nil
	}
	return send, recv
}

// checkFIFOs abandons a stream whose FIFOs were broken by whoever shares them.
func (c *Conn) checkFIFOs(s *Stream) {
	if s.broken || (s.sendHalf == nil || s.SendFIFO().Err() == nil) && (s.recvHalf == nil || s.RecvFIFO().Err() == nil) {
		return
	}
	c.breakStream(s)
}

func (c *Conn) breakStream(s *Stream) {
	s.broken = true
	code := c.config.BrokenFIFOCode
	if s.sendHalf != nil && !s.sendDone {
		c.resetStream(s, code, 0)
	}
	c.StopSending(c.now, s, code)
	c.wake()
}

// Streams returns the streams held by ascending ID, until the next call.
func (c *Conn) Streams() []*Stream { return c.streams.sorted() }

// Stream returns the stream with the given ID, or nil if it is not held.
func (c *Conn) Stream(id uint64) *Stream { return c.streams.byID[id] }

// Pending reports whether the stream has something to send that flow control
// allows.
func (s *Stream) Pending() bool {
	return s.sendHalf != nil && !s.sendDone && s.sendHalf.Pending(s.conn.flow.credit())
}

// initialSendLimit is the peer's initial flow-control limit for a stream.
func (s *streamSet) initialSendLimit(id uint64) uint64 {
	p := &s.conn.v.RemoteParams
	switch {
	case id&streamUni != 0:
		return p.StreamDataUni
	case s.isLocal(id):
		return p.StreamDataBidiRemote
	}
	return p.StreamDataBidiLocal
}

// sorted returns the streams held by ascending ID, until the next call: what is
// done for all of them happens in the same order in every run.
func (s *streamSet) sorted() []*Stream {
	s.scratch = s.scratch[:0]
	for _, st := range s.byID {
		s.scratch = append(s.scratch, st)
	}
	slices.SortFunc(s.scratch, func(a, b *Stream) int { return cmp.Compare(a.ID, b.ID) })
	return s.scratch
}

// applyLimits raises the limits of streams opened before the peer's parameters
// were known.
func (s *streamSet) applyLimits(*wire.TransportParameters) {
	for _, st := range s.sorted() {
		if st.sendHalf != nil && st.sendHalf.SetMaxStreamData(s.initialSendLimit(st.ID)) {
			s.markReady(st)
		}
	}
}

// OpenStream opens a stream; ErrStreamLimit if the peer allows no more now,
// see ConnHandler.StreamsAvailable.
func (c *Conn) OpenStream(bidi bool) (*Stream, error) {
	if c.v.State >= StateClosing {
		return nil, ErrClosed
	}
	id := uint64(c.v.IsServer)
	if !bidi {
		id |= streamUni
	}
	opened, limit := c.streams.counters(id)
	if *opened >= *limit {
		// "An endpoint that is unable to open a new stream due to the peer's
		// limits SHOULD send a STREAMS_BLOCKED frame."
		// https://www.rfc-editor.org/rfc/rfc9000#section-4.6
		if c.v.HandshakeComplete != 0 {
			c.pend |= pendStreamsBlockedBidi
			if !bidi {
				c.pend = c.pend&^pendStreamsBlockedBidi | pendStreamsBlockedUni
			}
			c.wake()
		}
		return nil, ErrStreamLimit
	}
	st := c.streams.add(*opened<<2 | id)
	*opened++
	c.streamOpened(StreamArg{st})
	return st, nil
}

// streamOpened tells that a stream was opened by either side. Event "stream_opened".
func (c *Conn) streamOpened(a StreamArg) {
	if c.ops.streamOpened.Attached() {
		c.ops.streamOpened.Run(a)
	}
}

var opStreamOpened = protoops.Define(protoops.Key{Name: "stream_opened", Param: protoops.NoParam},
	protoops.Doc{
		Summary: "A stream was opened by either side",
		Fires:   "once per stream",
		Section: "https://www.rfc-editor.org/rfc/rfc9000#section-2.1",
	},
	func(c *Conn) *protoops.Slot[StreamArg, protoops.None] { return &c.ops.streamOpened },
	nil)

// StreamWritten tells that the application has put bytes, or the end, into
// s.SendFIFO().
func (c *Conn) StreamWritten(now mono.Time, s *Stream) {
	if c.v.State >= StateClosing || s.sendHalf == nil || s.sendDone {
		return
	}
	c.begin(now)
	if _, fin := s.SendFIFO().Final(); fin {
		s.Flags |= flagFinQueued
	}
	c.streams.markReady(s)
	c.wake()
}

// withheld reports whether nothing may be sent about a stream: it was opened in
// 0-RTT, and the server that rejected this allows fewer streams than the ticket
// remembered.
func (s *streamSet) withheld(st *Stream) bool {
	if s.conn.v.EarlyDataState != 3 || !s.isLocal(st.ID) {
		return false
	}
	_, limit := s.counters(st.ID)
	return st.ID>>2 >= *limit
}

// release takes up streams that were withheld, now that the peer allows more.
func (s *streamSet) release() {
	for _, st := range s.sorted() {
		if s.isLocal(st.ID) && !s.withheld(st) {
			s.markReady(st)
			if st.pend != 0 {
				s.queueControl(st, st.pend)
			}
		}
	}
}

// firstSendBuffer is what an application may write ahead at first, in bytes.
const firstSendBuffer = 128 << 10

// widenSendBuffer lets the application write further ahead when the buffer is
// what limits the connection: everything in it is in flight, no other stream
// has anything to send, and the window would carry more.
func (c *Conn) widenSendBuffer(p *Path, s *Stream) {
	if c.streams.sched.Len() > 0 {
		return
	}
	f := s.SendFIFO()
	if f.Len() < f.Limit()/2 || p.Congestion.BytesInFlight+p.MTU > p.Congestion.CongestionWindow || f.Closed() {
		return
	}
	if f.RaiseLimit() && c.handler != nil {
		c.handler.StreamWritable(c, s)
	}
}

// markReady files the stream with the scheduler if it has anything to send.
func (s *streamSet) markReady(st *Stream) {
	if st.sendHalf == nil || st.sendDone {
		return
	}
	if s.withheld(st) {
		s.sched.Idle(&st.entry)
		return
	}
	if st.sendHalf.Pending(s.conn.flow.credit()) {
		s.sched.Ready(&st.entry)
		return
	}
	s.conn.checkFIFOs(st)
	s.sched.Idle(&st.entry)
	s.noteBlocked(st)
}

// noteBlocked tells the peer, once per limit, that flow control holds data of a
// stream back.
//
// "A sender SHOULD send a STREAM_DATA_BLOCKED or DATA_BLOCKED frame to indicate
// to the receiver that it has data to write but is blocked by flow control
// limits."
// https://www.rfc-editor.org/rfc/rfc9000#section-4.1
func (s *streamSet) noteBlocked(st *Stream) {
	if limit, blocked := st.sendHalf.Blocked(); blocked {
		if st.blockedAt != limit+1 {
			st.blockedAt = limit + 1
			s.queueControl(st, pendStreamBlocked)
		}
		return
	}
	c := s.conn
	if c.flow.credit() == 0 && c.flow.sentBlocked != c.v.MaxDataRemote+1 && st.sendHalf.Pending(1) {
		c.flow.sentBlocked = c.v.MaxDataRemote + 1
		c.pend |= pendDataBlocked
	}
}

// StreamRead tells that the application has consumed from s.RecvFIFO(): credit
// may be given back to the peer.
func (c *Conn) StreamRead(now mono.Time, s *Stream) {
	if c.v.State >= StateClosing || s.recvHalf == nil || s.recvDone {
		return
	}
	c.begin(now)
	c.creditRead(s)
	c.checkFIFOs(s)
	c.streams.maybeClose(s)
	if c.pend != 0 || s.pend != 0 {
		c.wake()
	}
}

// SetPriority sets the RFC 9218 priority of a stream: urgency 0 (first) to 7.
func (c *Conn) SetPriority(s *Stream, urgency uint8, incremental bool) {
	s.Urgency = uint32(min(urgency, 7))
	s.Incremental = 0
	if incremental {
		s.Incremental = 1
	}
	s.entry.SetPriority(uint8(s.Urgency), incremental)
	c.streams.sched.Reprioritize(&s.entry)
}

// SetWeight sets the weight of a stream for the weighted scheduler, 1 to 256.
func (c *Conn) SetWeight(s *Stream, w uint16) {
	s.Weight = uint32(min(max(w, 1), 256))
	s.entry.Weight = uint16(s.Weight)
	c.streams.sched.Reprioritize(&s.entry)
}

func (f *connFlow) init(c *Conn) {
	f.conn = c
	f.recv = stream.NewWindow(c.config.ConnWindow, c.config.MaxConnWindow)
	c.v.MaxDataLocal = f.recv.Max
}

// credit is how many new stream bytes the peer still allows.
func (f *connFlow) credit() uint64 {
	return f.conn.v.MaxDataRemote - min(f.conn.v.DataSent, f.conn.v.MaxDataRemote)
}
