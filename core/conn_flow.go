package core

import (
	"github.com/pquic-go/pquic/core/stream"
	"github.com/pquic-go/pquic/protoops"
)

// Credit: what we let the peer send and open.

// creditRead extends the windows by what was consumed.
func (c *Conn) creditRead(s *Stream) {
	if got := s.recvHalf.Consumed(); got > s.Consumed {
		c.flow.consumed += got - s.Consumed
		s.Consumed = got
		c.updateMaxData()
	}
	if c.maxStreamDataUpdate(StreamArg{s}).Yes {
		s.Flags |= flagWindowQueued
		c.streams.queueControl(s, pendMaxStreamData)
	}
}

// maxStreamDataUpdate decides whether to promise the peer more on a stream. Operation "max_stream_data_update".
func (c *Conn) maxStreamDataUpdate(a StreamArg) Decision {
	if c.ops.maxStreamDataUpdate.Attached() {
		return c.ops.maxStreamDataUpdate.Run(a)
	}
	return c.maxStreamDataUpdateNative(a)
}

var opMaxStreamDataUpdate = protoops.Define(protoops.Key{Name: "max_stream_data_update", Param: protoops.NoParam},
	protoops.Doc{
		Summary: "Decides whether to promise the peer more on a stream",
		Fires:   "after the application read from a stream",
		Native:  "the window is auto-tuned and renewed when a quarter of it is used",
		Section: "https://www.rfc-editor.org/rfc/rfc9000#section-4.2",
	},
	func(c *Conn) *protoops.Slot[StreamArg, Decision] { return &c.ops.maxStreamDataUpdate },
	(*Conn).maxStreamDataUpdateNative)

func (c *Conn) maxStreamDataUpdateNative(a StreamArg) Decision {
	w := &a.Stream.recvHalf.Window
	_, update := a.Stream.recvHalf.MaxData(c.now, c.path0.RTT.SmoothedRTT)
	if update {
		// The connection's window must not be what limits its busiest stream.
		c.flow.recv.Widen(w.Size + w.Size/2)
	}
	return Decision{update}
}

// updateMaxStreams gives the peer credit for the streams that have ended.
func (c *Conn) updateMaxStreams(kind int) {
	if !c.maxStreamsUpdate(StreamKind{Uni: kind == 1}).Yes {
		return
	}
	if kind == 0 {
		c.v.MaxStreamsBidiLocal = uint64(c.config.MaxBidiStreams) + c.streams.closedRemote[0]
		c.pend |= pendMaxStreamsBidi
	} else {
		c.v.MaxStreamsUniLocal = uint64(c.config.MaxUniStreams) + c.streams.closedRemote[1]
		c.pend |= pendMaxStreamsUni
	}
	c.wake()
}

// StreamKind names a kind of stream.
type StreamKind struct {
	Uni bool `op:"unidirectional" doc:"unidirectional streams, else bidirectional"`
}

// maxStreamsUpdate decides whether to let the peer open more streams now. Operation "max_streams_update".
func (c *Conn) maxStreamsUpdate(a StreamKind) Decision {
	if c.ops.maxStreamsUpdate.Attached() {
		return c.ops.maxStreamsUpdate.Run(a)
	}
	return c.maxStreamsUpdateNative(a)
}

var opMaxStreamsUpdate = protoops.Define(protoops.Key{Name: "max_streams_update", Param: protoops.NoParam},
	protoops.Doc{
		Summary: "Decides whether to let the peer open more streams now",
		Fires:   "when a stream the peer opened has ended",
		Native:  "yes once a quarter of the limit can be renewed",
		Section: "https://www.rfc-editor.org/rfc/rfc9000#section-4.6",
	},
	func(c *Conn) *protoops.Slot[StreamKind, Decision] { return &c.ops.maxStreamsUpdate },
	(*Conn).maxStreamsUpdateNative)

func (c *Conn) maxStreamsUpdateNative(a StreamKind) Decision {
	size, promised, closed := uint64(c.config.MaxBidiStreams), c.v.MaxStreamsBidiLocal, c.streams.closedRemote[0]
	if a.Uni {
		size, promised, closed = uint64(c.config.MaxUniStreams), c.v.MaxStreamsUniLocal, c.streams.closedRemote[1]
	}
	return Decision{size+closed >= promised+max(size/4, 1)}
}

// connFlow is connection-level flow control.
// https://www.rfc-editor.org/rfc/rfc9000#section-4.1
type connFlow struct {
	conn     *Conn
	recv     stream.Window
	consumed uint64
	// sentBlocked is the limit at which DATA_BLOCKED was last sent plus one.
	sentBlocked uint64
}

// updateMaxData promises the peer more on the connection when worth it.
func (c *Conn) updateMaxData() {
	if c.maxDataUpdate(NoArg{}).Yes {
		c.v.MaxDataLocal = c.flow.recv.Max
		c.pend |= pendMaxData
	}
}

// maxDataUpdate decides whether to promise the peer more on the connection. Operation "max_data_update".
func (c *Conn) maxDataUpdate(a NoArg) Decision {
	if c.ops.maxDataUpdate.Attached() {
		return c.ops.maxDataUpdate.Run(a)
	}
	return c.maxDataUpdateNative(a)
}

var opMaxDataUpdate = protoops.Define(protoops.Key{Name: "max_data_update", Param: protoops.NoParam},
	protoops.Doc{
		Summary: "Decides whether to promise the peer more on the connection",
		Fires:   "after the application read from any stream",
		Native:  "the window is auto-tuned and renewed when a quarter of it is used",
		Section: "https://www.rfc-editor.org/rfc/rfc9000#section-4.2",
	},
	func(c *Conn) *protoops.Slot[NoArg, Decision] { return &c.ops.maxDataUpdate },
	(*Conn).maxDataUpdateNative)

func (c *Conn) maxDataUpdateNative(NoArg) Decision {
	_, update := c.flow.recv.Update(c.now, c.path0.RTT.SmoothedRTT, c.flow.consumed)
	return Decision{update}
}
