package core

import (
	"github.com/pquic-go/pquic/core/mono"
	"github.com/pquic-go/pquic/protoops"
)

// How streams end: resets, STOP_SENDING and the close of both halves.

// queueControl queues frames about a stream.
func (s *streamSet) queueControl(st *Stream, p streamPend) {
	st.pend |= p
	if st.inCtl || s.withheld(st) {
		return
	}
	st.inCtl = true
	if s.ctlTail == nil {
		s.ctlHead = st
	} else {
		s.ctlTail.next = st
	}
	s.ctlTail = st
}

// ResetStream abandons sending on s. Bytes below reliable are still delivered
// if the peer understands RESET_STREAM_AT; 0 abandons all.
// https://www.rfc-editor.org/rfc/rfc9000#section-19.4
func (c *Conn) ResetStream(now mono.Time, s *Stream, code, reliable uint64) {
	if s.sendHalf == nil || s.sendDone || c.v.State >= StateClosing {
		return
	}
	c.begin(now)
	c.resetStream(s, code, reliable)
	c.wake()
}

func (c *Conn) resetStream(s *Stream, code, reliable uint64) {
	if c.v.RemoteParams.ResetStreamAt == 0 {
		reliable = 0
	}
	if s.sendHalf.ResetRequested == 0 {
		s.ResetCode = code
	}
	s.sendHalf.Reset(reliable)
	if s.sendHalf.ResetRequested == 0 {
		return
	}
	s.Flags |= flagResetQueued
	c.streamReset(StreamArg{s})
	c.streams.queueControl(s, pendReset)
	c.streams.markReady(s)
}

// streamReset tells that we abandon sending on a stream. Event "stream_reset".
func (c *Conn) streamReset(a StreamArg) {
	if c.ops.streamReset.Attached() {
		c.ops.streamReset.Run(a)
	}
}

var opStreamReset = protoops.Define(protoops.Key{Name: "stream_reset", Param: protoops.NoParam},
	protoops.Doc{
		Summary: "We abandon sending on a stream",
		Fires:   "when the application or STOP_SENDING asks for it",
		Section: "https://www.rfc-editor.org/rfc/rfc9000#section-2.4",
	},
	func(c *Conn) *protoops.Slot[StreamArg, protoops.None] { return &c.ops.streamReset },
	nil)

// StopSending asks the peer to stop sending on s, and discards what arrives.
// https://www.rfc-editor.org/rfc/rfc9000#section-19.5
func (c *Conn) StopSending(now mono.Time, s *Stream, code uint64) {
	if s.recvHalf == nil || s.recvDone || c.v.State >= StateClosing || s.Flags&flagStopQueued != 0 {
		return
	}
	c.begin(now)
	s.StopCode = code
	s.recvHalf.Stop()
	c.creditRead(s)
	if s.recvHalf.SizeKnown == 0 {
		s.Flags |= flagStopQueued
		c.streams.queueControl(s, pendStop)
	}
	c.streams.maybeClose(s)
	c.wake()
}

// maybeClose forgets a stream both of whose halves are settled.
func (s *streamSet) maybeClose(st *Stream) {
	if !st.sendDone && st.sendHalf.Done() {
		st.sendDone = true
		s.sched.Idle(&st.entry)
	}
	if !st.recvDone && st.recvHalf.Done() {
		s.conn.creditRead(st)
		st.recvDone = true
		st.pend &^= pendMaxStreamData | pendStop
	}
	if !st.sendDone || !st.recvDone {
		return
	}
	if _, held := s.byID[st.ID]; !held {
		return
	}
	delete(s.byID, st.ID)
	if s.last == st {
		s.last = nil
	}
	s.conn.v.StreamsOpen--
	st.pend = 0
	s.conn.streamClosed(StreamArg{st})
	if !s.isLocal(st.ID) {
		s.closedRemote[kindOf(st.ID)]++
		s.conn.updateMaxStreams(kindOf(st.ID))
	}
	if h := s.conn.handler; h != nil {
		h.StreamClosed(s.conn, st)
	}
}

// streamClosed tells that both halves of a stream are settled and its state is dropped. Event "stream_closed".
func (c *Conn) streamClosed(a StreamArg) {
	if c.ops.streamClosed.Attached() {
		c.ops.streamClosed.Run(a)
	}
}

var opStreamClosed = protoops.Define(protoops.Key{Name: "stream_closed", Param: protoops.NoParam},
	protoops.Doc{
		Summary: "Both halves of a stream are settled and its state is dropped",
		Fires:   "once per stream",
		Section: "https://www.rfc-editor.org/rfc/rfc9000#section-3",
	},
	func(c *Conn) *protoops.Slot[StreamArg, protoops.None] { return &c.ops.streamClosed },
	nil)
