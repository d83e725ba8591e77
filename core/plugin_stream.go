package core

import (
	"slices"

	"github.com/pquic-go/pquic/core/stream"
	"github.com/pquic-go/pquic/core/wire"
	"github.com/pquic-go/pquic/protoops"
)

// A PluginStream is a reliable byte stream between the two ends' plugins,
// beside the application's streams: it does not count against their limits or
// credit and yields to their data.
type PluginStream struct {
	ID   uint64
	conn *Conn
	typ  wire.FrameType
	send stream.Send
	recv stream.Recv
	// granted is the credit last told to the peer; the initial window needs no
	// frame.
	granted uint64
	// shell stands for the plugin stream in the records of sent frames.
	shell Stream
}

const (
	// pluginStreamRecord is the record type of a plugin stream's range,
	// pluginCreditRecord of the credit granted on one. No frame has such a type.
	pluginStreamRecord wire.FrameType = 1<<63 + iota
	pluginCreditRecord
)

const (
	// pluginStreamWindow is how far a plugin stream may run ahead of its reader.
	pluginStreamWindow = 256 << 10
	// maxPluginStreams bounds the plugin streams of a connection, which the peer
	// may open too.
	maxPluginStreams = 64
)

// OpenPluginStream opens plugin stream id, carried in frames of type t, which
// must be declared. Both ends open it by the same id; data that arrives first
// opens it by itself. Event "plugin_stream_opened" tells of it either way.
func (c *Conn) OpenPluginStream(t wire.FrameType, id uint64) (*PluginStream, error) {
	if _, ok := c.plug.frames[t]; !ok {
		return nil, ErrFrameType
	}
	if s := c.pluginStream(t, id); s != nil {
		return s, nil
	}
	if len(c.plug.streams) >= maxPluginStreams {
		return nil, ErrStreamLimit
	}
	s := &PluginStream{ID: id, conn: c, typ: t, granted: pluginStreamWindow}
	s.shell.plugin = s
	s.send.Init(id, stream.NewFIFO(0, pluginStreamWindow), pluginStreamWindow)
	s.recv.Init(id, stream.NewFIFO(0, pluginStreamWindow), stream.NewWindow(pluginStreamWindow, pluginStreamWindow))
	c.plug.streams = append(c.plug.streams, s)
	c.pluginStreamOpened(PluginStreamArg{Stream: s, ID: id})
	return s, nil
}

// ReleasePluginStream forgets a plugin stream: what it has not delivered is
// lost, what arrives for it later opens it anew. Its plugin does this when both
// directions have ended.
func (c *Conn) ReleasePluginStream(s *PluginStream) {
	c.plug.streams = slices.DeleteFunc(c.plug.streams, func(x *PluginStream) bool { return x == s })
}

func (c *Conn) pluginStream(t wire.FrameType, id uint64) *PluginStream {
	for _, s := range c.plug.streams {
		if s.typ == t && s.ID == id {
			return s
		}
	}
	return nil
}

// PluginStreamArg names a plugin stream.
type PluginStreamArg struct {
	Stream *PluginStream `op:"stream" doc:"the plugin stream"`
	ID     uint64        `op:"id" doc:"its number"`
}

// pluginStreamOpened tells that a plugin stream was opened by either side. Event "plugin_stream_opened".
func (c *Conn) pluginStreamOpened(a PluginStreamArg) {
	if c.ops.pluginStreamOpened.Attached() {
		c.ops.pluginStreamOpened.Run(a)
	}
}

var opPluginStreamOpened = protoops.Define(protoops.Key{Name: "plugin_stream_opened", Param: protoops.NoParam},
	protoops.Doc{
		Summary: "A plugin stream was opened by either side",
		Fires:   "once per plugin stream",
	},
	func(c *Conn) *protoops.Slot[PluginStreamArg, protoops.None] { return &c.ops.pluginStreamOpened },
	nil)

// SendFIFO is where the plugin writes.
func (s *PluginStream) SendFIFO() *stream.FIFO { return s.send.FIFO() }

// RecvFIFO is where the plugin reads.
func (s *PluginStream) RecvFIFO() *stream.FIFO { return s.recv.FIFO() }

// Done reports whether both directions have ended: ours is acknowledged, the
// peer's read.
func (s *PluginStream) Done() bool { return s.send.Done() && s.recv.Done() }

// Written tells that bytes, or the end, were put into SendFIFO.
func (s *PluginStream) Written() { s.conn.wake() }

// Read tells that bytes were taken from RecvFIFO: the peer gets new credit.
func (s *PluginStream) Read() {
	if _, update := s.recv.MaxData(s.conn.now, 0); update {
		s.conn.wake()
	}
}

// Frames of a plugin stream: type, id, kind, then offset, length and bytes, or
// the new limit.
const (
	pluginStreamData = iota
	pluginStreamFin
	pluginStreamCredit
)

// parsePluginStreamFrame takes a frame apart; n is its length, 0 if malformed.
func parsePluginStreamFrame(b []byte) (t wire.FrameType, id, kind, off uint64, data []byte, n int) {
	var v [4]uint64
	for i := range v {
		x, k := wire.ParseVarint(b[n:])
		if k == 0 {
			return 0, 0, 0, 0, nil, 0
		}
		v[i] = x
		n += k
	}
	t, id, kind, off = wire.FrameType(v[0]), v[1], v[2], v[3]
	switch kind {
	case pluginStreamCredit:
		return t, id, kind, off, nil, n
	case pluginStreamData, pluginStreamFin:
		l, k := wire.ParseVarint(b[n:])
		if k == 0 || l > uint64(len(b)-n-k) || off+l > wire.MaxVarint {
			break
		}
		n += k
		return t, id, kind, off, b[n : n+int(l)], n + int(l)
	}
	return 0, 0, 0, 0, nil, 0
}

// ParsePluginStreamFrame returns the length of the frame at the start of b, or
// 0 if it is malformed.
func ParsePluginStreamFrame(b []byte) int {
	_, _, _, _, _, n := parsePluginStreamFrame(b)
	return n
}

// ProcessPluginStreamFrame handles a frame ParsePluginStreamFrame has accepted
// and returns its stream.
func (c *Conn) ProcessPluginStreamFrame(b []byte) (*PluginStream, error) {
	t, id, kind, off, data, n := parsePluginStreamFrame(b)
	if n == 0 {
		return nil, violation(FrameEncodingError, t, "malformed frame of a plugin stream")
	}
	s, err := c.OpenPluginStream(t, id)
	if err != nil {
		return nil, violation(StreamLimitError, t, "%v", err)
	}
	if kind == pluginStreamCredit {
		s.send.SetMaxStreamData(off)
		return s, nil
	}
	if _, _, err := s.recv.Receive(off, data, kind == pluginStreamFin); err != nil {
		return s, streamError(err, t)
	}
	return s, nil
}

// writePluginStreams writes the data of plugin streams with the room the
// application's streams have left.
func (c *Conn) writePluginStreams(b *PacketBuilder) {
	if len(c.plug.streams) == 0 || b.level != level1RTT {
		return
	}
	for {
		s := c.nextPluginStream(RoomArg{Path: b.path, Room: uint64(max(b.room(), 0))}).Stream
		if s == nil || !c.writePluginStream(b, s) {
			return
		}
	}
}

// PluginStreamResult answers with a plugin stream.
type PluginStreamResult struct {
	Stream *PluginStream `op:"stream" doc:"the plugin stream, 0 for none"`
}

// nextPluginStream chooses the plugin stream whose data goes into the packet next. Operation "find_ready_plugin_stream".
func (c *Conn) nextPluginStream(a RoomArg) PluginStreamResult {
	if c.ops.nextPluginStream.Attached() {
		return c.ops.nextPluginStream.Run(a)
	}
	return c.nextPluginStreamNative(a)
}

var opNextPluginStream = protoops.Define(protoops.Key{Name: "find_ready_plugin_stream", Param: protoops.NoParam},
	protoops.Doc{
		Summary: "Chooses the plugin stream whose data goes into the packet next",
		Fires:   "per frame while there is room, after the application's streams",
		Native:  "the first with something to send",
	},
	func(c *Conn) *protoops.Slot[RoomArg, PluginStreamResult] { return &c.ops.nextPluginStream },
	(*Conn).nextPluginStreamNative)

func (c *Conn) nextPluginStreamNative(RoomArg) PluginStreamResult {
	for _, s := range c.plug.streams {
		if s.Pending() {
			return PluginStreamResult{s}
		}
	}
	return PluginStreamResult{}
}

// Pending reports whether the plugin stream has something to send now.
func (s *PluginStream) Pending() bool {
	return s.send.Pending(wire.MaxVarint) || s.recv.Window.Max > s.granted
}

func (c *Conn) writePluginStream(b *PacketBuilder, s *PluginStream) bool {
	const header = 8 + 8 + 1 + 8 + 2
	if b.room() < header+1 {
		return false
	}
	if s.recv.Window.Max > s.granted {
		s.granted = s.recv.Window.Max
		s.appendHeader(b, pluginStreamCredit, s.granted)
		b.record(frameRecord{typ: pluginCreditRecord, stream: &s.shell, off: s.granted})
		return true
	}
	off, n, fin, retransmit, ok := s.send.Next(min(b.room()-header, 1<<14-1), wire.MaxVarint)
	if !ok {
		return false
	}
	kind := uint64(pluginStreamData)
	if fin {
		kind = pluginStreamFin
	}
	s.appendHeader(b, kind, off)
	b.b = wire.AppendVarintN(b.b, uint64(n), 2)
	at := len(b.b)
	b.b = b.b[:at+n]
	s.send.CopyTo(b.b[at:], off)
	s.send.CommitSent(off, n, fin)
	b.retransmit = b.retransmit || retransmit
	b.record(frameRecord{typ: pluginStreamRecord, stream: &s.shell, off: off, n: uint32(n), fin: fin})
	return true
}

func (s *PluginStream) appendHeader(b *PacketBuilder, kind, value uint64) {
	b.b = wire.AppendVarint(b.b, uint64(s.typ))
	b.b = wire.AppendVarint(b.b, s.ID)
	b.b = wire.AppendVarint(b.b, kind)
	b.b = wire.AppendVarint(b.b, value)
}

// pluginStreamFate settles a frame of a plugin stream.
func (c *Conn) pluginStreamFate(r *frameRecord, acked bool) {
	s := r.stream.plugin
	switch {
	case r.typ == pluginCreditRecord:
		if !acked && r.off == s.granted {
			s.granted-- // told again
		}
	case acked:
		s.send.Acked(r.off, int(r.n), r.fin)
	default:
		s.send.Lost(r.off, int(r.n), r.fin)
	}
}
