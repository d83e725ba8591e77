package core

import (
	"github.com/pquic-go/pquic/core/stream"
	"github.com/pquic-go/pquic/core/wire"
	"github.com/pquic-go/pquic/protoops"
)

// processStream hands a STREAM frame's bytes to its stream.
// https://www.rfc-editor.org/rfc/rfc9000#section-19.8
func (c *Conn) processStream(in *ReceivedPacket, f wire.StreamFrame) *TransportError {
	s, te := c.streams.forReceiving(f.ID, wire.Stream)
	if te != nil || s == nil {
		return te
	}
	if s.recvDone {
		return nil
	}
	if s.Early != 0 && in.level == level1RTT && f.Offset == 0 {
		s.Early = 0
	}
	advance, readable, err := s.recvHalf.Receive(f.Offset, f.Data, f.Fin)
	if te := c.chargeReceived(advance, wire.Stream); te != nil {
		return te
	}
	if err == stream.ErrBuffer && !s.broken {
		// The peer kept within what it was promised.
		c.breakStream(s)
		return nil
	}
	if err != nil {
		return streamError(err, wire.Stream)
	}
	if f.Fin && s.Flags&flagFinReceived == 0 {
		s.Flags |= flagFinReceived
		c.streamStateChanged(StreamArg{s})
	}
	if s.recvHalf.Stopped != 0 {
		// No one will read it: the connection's credit comes back at once.
		c.creditRead(s)
	}
	if readable && c.handler != nil {
		c.handler.StreamReadable(c, s)
	}
	// An end without bytes leaves nothing to read: the stream may be settled,
	// and StreamClosed is the last the application hears of it.
	c.streams.settled(s)
	return nil
}

// settled closes the receiving half when nothing more can come, whether or not
// the application reads on: it holds the FIFO.
func (s *streamSet) settled(st *Stream) {
	if st.recvHalf.Stopped != 0 || st.recvHalf.SizeKnown != 0 {
		s.maybeClose(st)
	}
}

// streamStateChanged tells that a flag of a stream changed: its end or a reset became known. Event "stream_state_changed".
func (c *Conn) streamStateChanged(a StreamArg) {
	if c.ops.streamStateChanged.Attached() {
		c.ops.streamStateChanged.Run(a)
	}
}

var opStreamStateChanged = protoops.Define(protoops.Key{Name: "stream_state_changed", Param: protoops.NoParam},
	protoops.Doc{
		Summary: "A flag of a stream changed: its end or a reset became known",
		Fires:   "per change",
		Section: "https://www.rfc-editor.org/rfc/rfc9000#section-3",
	},
	func(c *Conn) *protoops.Slot[StreamArg, protoops.None] { return &c.ops.streamStateChanged },
	nil)

// chargeReceived counts stream bytes against the connection's window.
func (c *Conn) chargeReceived(n uint64, t wire.FrameType) *TransportError {
	if n == 0 {
		return nil
	}
	if err := c.flow.recv.Charge(n); err != nil {
		return streamError(err, t)
	}
	c.v.DataReceived += n
	return nil
}

// processResetStream handles RESET_STREAM.
// https://www.rfc-editor.org/rfc/rfc9000#section-19.4
func (c *Conn) processResetStream(_ *ReceivedPacket, f wire.ResetStreamFrame) *TransportError {
	return c.receiveReset(f.ID, f.ErrorCode, f.FinalSize, 0, wire.ResetStream)
}

// processResetStreamAt handles RESET_STREAM_AT.
// https://datatracker.ietf.org/doc/html/draft-ietf-quic-reliable-stream-reset-10
func (c *Conn) processResetStreamAt(_ *ReceivedPacket, f wire.ResetStreamAtFrame) *TransportError {
	return c.receiveReset(f.ID, f.ErrorCode, f.FinalSize, f.ReliableSize, wire.ResetStreamAt)
}

func (c *Conn) receiveReset(id, code, final, reliable uint64, t wire.FrameType) *TransportError {
	s, te := c.streams.forReceiving(id, t)
	if te != nil || s == nil || s.recvDone {
		return te
	}
	advance, err := s.recvHalf.Reset(final, reliable, code)
	if te := c.chargeReceived(advance, t); te != nil {
		return te
	}
	if err != nil {
		return streamError(err, t)
	}
	first := s.Flags&flagResetReceived == 0
	s.Flags |= flagResetReceived
	s.PeerResetCode = code
	c.creditRead(s)
	if first {
		c.streamStateChanged(StreamArg{s})
		if c.handler != nil {
			c.handler.StreamReset(c, s, code)
		}
	}
	if _, ended := s.RecvFIFO().ResetCode(); ended {
		s.recvHalf.SetResetRead()
	}
	c.streams.maybeClose(s)
	return nil
}

// processStopSending handles STOP_SENDING: the stream is reset with the same
// code.
//
// "An endpoint that receives a STOP_SENDING frame MUST send a RESET_STREAM
// frame if the stream is in the 'Ready' or 'Send' state."
// https://www.rfc-editor.org/rfc/rfc9000#section-3.5
func (c *Conn) processStopSending(_ *ReceivedPacket, f wire.StopSendingFrame) *TransportError {
	s, te := c.streams.forSending(f.ID, wire.StopSending)
	if te != nil || s == nil || s.sendDone {
		return te
	}
	if s.Flags&flagStopReceived != 0 {
		return nil
	}
	s.Flags |= flagStopReceived
	s.PeerStopCode = f.ErrorCode
	s.SendFIFO().CloseRead(f.ErrorCode)
	c.resetStream(s, f.ErrorCode, 0)
	c.streamStateChanged(StreamArg{s})
	if c.handler != nil {
		c.handler.StreamStopped(c, s, f.ErrorCode)
	}
	return nil
}

// processMaxData raises the connection's credit.
// https://www.rfc-editor.org/rfc/rfc9000#section-19.9
func (c *Conn) processMaxData(_ *ReceivedPacket, f wire.MaxDataFrame) *TransportError {
	if f.Max <= c.v.MaxDataRemote {
		return nil
	}
	blocked := c.flow.credit() == 0
	c.v.MaxDataRemote = f.Max
	if blocked {
		for _, s := range c.streams.sorted() {
			c.streams.markReady(s)
		}
	}
	return nil
}

// processMaxStreamData raises a stream's credit.
// https://www.rfc-editor.org/rfc/rfc9000#section-19.10
func (c *Conn) processMaxStreamData(_ *ReceivedPacket, f wire.MaxStreamDataFrame) *TransportError {
	s, te := c.streams.forSending(f.ID, wire.MaxStreamData)
	if te != nil || s == nil || s.sendDone {
		return te
	}
	if s.sendHalf.SetMaxStreamData(f.Max) {
		c.streams.markReady(s)
	}
	return nil
}

// processMaxStreams raises how many streams we may open.
// https://www.rfc-editor.org/rfc/rfc9000#section-19.11
func (c *Conn) processMaxStreams(_ *ReceivedPacket, f wire.MaxStreamsFrame) *TransportError {
	limit := &c.v.MaxStreamsBidiRemote
	if f.Uni {
		limit = &c.v.MaxStreamsUniRemote
	}
	if f.Max <= *limit {
		return nil
	}
	*limit = f.Max
	if c.v.EarlyDataState == 3 {
		c.streams.release()
	}
	if c.handler != nil {
		c.handler.StreamsAvailable(c, !f.Uni)
	}
	return nil
}

// writeStreams fills the packet with stream data, the scheduler choosing.
func (c *Conn) writeStreams(b *PacketBuilder) {
	for {
		room := b.room()
		if room < 4 {
			return
		}
		s := c.nextStream(RoomArg{Path: b.path, Room: uint64(room)}).Stream
		if s == nil {
			return
		}
		b.stream = s
		if c.ops.frames.write[wire.Stream].Attached() {
			before := len(b.b)
			c.writeFrame(b, wire.Stream, s.ID)
			if len(b.b) == before || b.room() < 4 || b.closed {
				return
			}
		} else if !c.writeStreamFrame(b, s, room) {
			return
		}
	}
}

// writeStream is the native body of write_frame for STREAM frames.
func writeStream(c *Conn, b *PacketBuilder) {
	b.closed = !c.writeStreamFrame(b, b.stream, b.room())
}

// StreamResult answers with a stream.
type StreamResult struct {
	Stream *Stream `op:"stream" doc:"the stream, 0 for none"`
}

// nextStream chooses the stream whose data goes into the packet next. Operation "schedule_next_stream".
func (c *Conn) nextStream(a RoomArg) StreamResult {
	if c.ops.nextStream.Attached() {
		return c.ops.nextStream.Run(a)
	}
	return c.nextStreamNative(a)
}

var opNextStream = protoops.Define(protoops.Key{Name: "schedule_next_stream", Param: protoops.NoParam},
	protoops.Doc{
		Summary: "Chooses the stream whose data goes into the packet next",
		Fires:   "per STREAM frame",
		Native:  "the configured scheduler: rr, prio or sprio",
		Section: "https://www.rfc-editor.org/rfc/rfc9000#section-2.3",
	},
	func(c *Conn) *protoops.Slot[RoomArg, StreamResult] { return &c.ops.nextStream },
	(*Conn).nextStreamNative)

func (c *Conn) nextStreamNative(RoomArg) StreamResult {
	for {
		e := c.streams.sched.Next()
		if e == nil {
			return StreamResult{}
		}
		s := e.Owner.(*Stream)
		if s.sendHalf.Pending(c.flow.credit()) {
			return StreamResult{s}
		}
		// Blocked by flow control, or nothing left: it must not hold up others.
		c.streams.markReady(s)
		if c.streams.sched.Next() == e {
			c.streams.sched.Idle(e)
		}
	}
}

// writeStreamFrame writes one STREAM frame of s and reports whether the packet
// may take another.
func (c *Conn) writeStreamFrame(b *PacketBuilder, s *Stream, room int) bool {
	limit := int(min(c.streamBytesMax(RoomArg{Stream: s, Path: b.path, Room: uint64(room)}).Bytes, uint64(room)))
	// A plugin's reserved bytes come behind the frame.
	withLen := b.reserve > 0 || c.streamEncodeLength(StreamArg{s}).Yes
	off := s.sendHalf.NextOffset
	// Room for data beside the header, whose own length depends on the offset
	// (and, with a Length field, on the data's length).
	h := 1 + wire.VarintLen(s.ID) + wire.VarintLen(max(off, 1))
	lenField := wire.VarintLen(uint64(max(limit-h, 0)))
	space := limit - h - lenField
	if space < 0 {
		c.streams.sched.Idle(&s.entry)
		b.full = true
		c.streams.sched.Ready(&s.entry)
		return false
	}
	off, n, fin, retransmit, ok := s.sendHalf.Next(space, c.flow.credit())
	if !ok {
		c.streams.markReady(s)
		if s.sendHalf.Pending(c.flow.credit()) {
			b.full = true // what is left of the packet holds the header, but no byte
			return false
		}
		return true
	}
	if !withLen && n+h+1 < room {
		withLen = true // something may follow
	}
	if !withLen && limit == room {
		// The frame reaches the end of the packet: no Length field, and its
		// bytes go to data.
		h = wire.StreamHeaderLen(s.ID, off, 0, false)
		if m := room - h; m > n && m-n <= 8 {
			if off2, n2, fin2, r2, ok2 := s.sendHalf.Next(m, c.flow.credit()); ok2 && off2 == off {
				n, fin, retransmit = n2, fin2, r2
			}
		}
		withLen = n != room-h
	}
	b.b = wire.AppendStreamHeader(b.b, s.ID, off, n, fin, withLen)
	at := len(b.b)
	b.b = b.b[:at+n]
	s.sendHalf.CopyTo(b.b[at:], off)
	if fresh := s.sendHalf.CommitSent(off, n, fin); fresh > 0 {
		c.v.DataSent += fresh
	}
	if fin {
		s.Flags |= flagFinSent
	}
	if retransmit {
		b.retransmit = true
	}
	b.record(frameRecord{typ: wire.Stream, stream: s, off: off, n: uint32(n), fin: fin})
	c.streams.sched.Sent(&s.entry, n)
	if !s.sendHalf.Pending(c.flow.credit()) {
		c.streams.markReady(s)
		c.widenSendBuffer(b.path, s)
	}
	return withLen
}

// streamBytesMaxNative lets a frame take all the room there is.
func (c *Conn) streamBytesMaxNative(a RoomArg) Size { return Size{a.Room} }

// streamBytesMax bounds the bytes one STREAM frame may take, header included. Operation "stream_bytes_max".
func (c *Conn) streamBytesMax(a RoomArg) Size {
	if c.ops.streamBytesMax.Attached() {
		return c.ops.streamBytesMax.Run(a)
	}
	return c.streamBytesMaxNative(a)
}

var opStreamBytesMax = protoops.Define(protoops.Key{Name: "stream_bytes_max", Param: protoops.NoParam},
	protoops.Doc{
		Summary: "Bounds the bytes one STREAM frame may take, header included",
		Fires:   "per STREAM frame",
		Native:  "all the room left",
	},
	func(c *Conn) *protoops.Slot[RoomArg, Size] { return &c.ops.streamBytesMax },
	(*Conn).streamBytesMaxNative)

// streamEncodeLength decides whether a STREAM frame carries its length even at the end of a packet. Operation "stream_always_encode_length".
func (c *Conn) streamEncodeLength(a StreamArg) Decision {
	if c.ops.streamEncodeLength.Attached() {
		return c.ops.streamEncodeLength.Run(a)
	}
	return c.streamEncodeLengthNative(a)
}

var opStreamEncodeLength = protoops.Define(protoops.Key{Name: "stream_always_encode_length", Param: protoops.NoParam},
	protoops.Doc{
		Summary: "Decides whether a STREAM frame carries its length even at the end of a packet",
		Fires:   "per STREAM frame",
		Native:  "no",
		Section: "https://www.rfc-editor.org/rfc/rfc9000#section-19.8",
	},
	func(c *Conn) *protoops.Slot[StreamArg, Decision] { return &c.ops.streamEncodeLength },
	(*Conn).streamEncodeLengthNative)

func (c *Conn) streamEncodeLengthNative(StreamArg) Decision { return Decision{} }

// writeStreamControl writes RESET_STREAM, STOP_SENDING, MAX_STREAM_DATA and
// STREAM_DATA_BLOCKED frames of the streams queued for them.
func (c *Conn) writeStreamControl(b *PacketBuilder) {
	set := &c.streams
	for n := 0; set.ctlHead != nil && n < 1<<16; n++ {
		s := set.ctlHead
		if !c.writeControlOf(b, s) {
			return
		}
		set.ctlHead = s.next
		if set.ctlHead == nil {
			set.ctlTail = nil
		}
		s.next, s.inCtl = nil, false
		if s.pend != 0 {
			// A reset that has to wait for reliable bytes: it comes back when
			// they are sent.
			set.queueControl(s, s.pend)
			return
		}
	}
}

// writeControlOf writes the frames of one stream; false if room ran out.
func (c *Conn) writeControlOf(b *PacketBuilder, s *Stream) bool {
	const most = 1 + 4*8
	b.stream = s
	if s.pend&pendReset != 0 {
		if b.room() < most {
			return false
		}
		if _, reliable, ready := s.sendHalf.ResetFrame(); ready {
			t := wire.ResetStream
			if reliable > 0 {
				t = wire.ResetStreamAt
			}
			s.pend &^= pendReset
			c.writeFrame(b, t, 0)
		}
	}
	if s.pend&pendStop != 0 {
		if b.room() < most {
			return false
		}
		s.pend &^= pendStop
		if !s.recvDone && s.recvHalf.SizeKnown == 0 {
			c.writeFrame(b, wire.StopSending, 0)
		}
	}
	if s.pend&pendMaxStreamData != 0 {
		if b.room() < most {
			return false
		}
		s.pend &^= pendMaxStreamData
		s.Flags &^= flagWindowQueued
		if !s.recvDone && s.recvHalf.SizeKnown == 0 {
			c.writeFrame(b, wire.MaxStreamData, 0)
		}
	}
	if s.pend&pendStreamBlocked != 0 {
		if b.room() < most {
			return false
		}
		s.pend &^= pendStreamBlocked
		if !s.sendDone {
			if _, blocked := s.sendHalf.Blocked(); blocked {
				c.writeFrame(b, wire.StreamDataBlocked, 0)
			}
		}
	}
	return true
}

func writeResetStream(c *Conn, b *PacketBuilder) {
	s := b.stream
	final, _, _ := s.sendHalf.ResetFrame()
	b.b = wire.AppendResetStream(b.b, wire.ResetStreamFrame{ID: s.ID, ErrorCode: s.ResetCode, FinalSize: final})
	s.resetWritten(b, wire.ResetStream, 0)
}

func writeResetStreamAt(c *Conn, b *PacketBuilder) {
	s := b.stream
	final, reliable, _ := s.sendHalf.ResetFrame()
	b.b = wire.AppendResetStreamAt(b.b, wire.ResetStreamAtFrame{ID: s.ID, ErrorCode: s.ResetCode, FinalSize: final, ReliableSize: reliable})
	s.resetWritten(b, wire.ResetStreamAt, reliable)
}

func (s *Stream) resetWritten(b *PacketBuilder, t wire.FrameType, reliable uint64) {
	s.sendHalf.CommitReset()
	s.Flags |= flagResetSent
	b.record(frameRecord{typ: t, stream: s, off: reliable})
}

func writeStopSending(c *Conn, b *PacketBuilder) {
	s := b.stream
	b.b = wire.AppendStopSending(b.b, wire.StopSendingFrame{ID: s.ID, ErrorCode: s.StopCode})
	s.Flags |= flagStopSent
	b.record(frameRecord{typ: wire.StopSending, stream: s})
}

func writeMaxStreamData(c *Conn, b *PacketBuilder) {
	s := b.stream
	limit := s.recvHalf.Window.Max
	b.b = wire.AppendMaxStreamData(b.b, wire.MaxStreamDataFrame{ID: s.ID, Max: limit})
	b.record(frameRecord{typ: wire.MaxStreamData, stream: s, off: limit})
}

func writeStreamDataBlocked(c *Conn, b *PacketBuilder) {
	s := b.stream
	limit, _ := s.sendHalf.Blocked()
	b.b = wire.AppendStreamDataBlocked(b.b, wire.StreamDataBlockedFrame{ID: s.ID, Limit: limit})
	b.record(frameRecord{typ: wire.StreamDataBlocked, stream: s, off: limit})
}
