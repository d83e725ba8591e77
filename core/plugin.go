package core

import (
	"errors"
	"slices"

	"github.com/pquic-go/pquic/core/congestion"
	"github.com/pquic-go/pquic/core/stream"
	"github.com/pquic-go/pquic/core/wire"
	"github.com/pquic-go/pquic/protoops"
)

// pluginState is what the engine keeps for plugins, and scratch that an
// attached operation may point at.
type pluginState struct {
	in     ReceivedPacket // the packet being processed
	ack    ackEvent
	ccAck  congestion.Ack
	ccLoss congestion.Loss
	lost   []uint64

	frames   map[wire.FrameType]FrameDecl
	reserved []reservation
	credit   int64 // of plugins' frames against the engine's data, bytes
	injected []injectedPayload
	streams  []*PluginStream
	fault    *protoops.PlugletError
}

// A FrameDecl declares a frame type a plugin owns.
type FrameDecl struct {
	Type                 wire.FrameType
	Packets              wire.PacketMask // packet types it may appear in
	AckEliciting         bool
	Probing              bool
	CongestionControlled bool
}

// ErrFrameType refuses the declaration of a frame type.
var ErrFrameType = errors.New("quic: frame type is the engine's own or declared already")

// DeclareFrame makes a frame type known. Its operations parse_frame,
// process_frame, write_frame and notify_frame are attached separately.
func (c *Conn) DeclareFrame(d FrameDecl) error {
	if wire.FactsOf(d.Type).Known() {
		return ErrFrameType
	}
	if _, dup := c.plug.frames[d.Type]; dup {
		return ErrFrameType
	}
	if c.plug.frames == nil {
		c.plug.frames = make(map[wire.FrameType]FrameDecl)
	}
	c.plug.frames[d.Type] = d
	return nil
}

// WithdrawFrame undoes DeclareFrame.
func (c *Conn) WithdrawFrame(t wire.FrameType) { delete(c.plug.frames, t) }

// A reservation is a plugin's booked place in a coming packet.
type reservation struct {
	typ        wire.FrameType
	size       int
	cookie     uint64
	controlled bool
	path       *Path // nil: any
}

// maxReserved bounds the frames that wait.
const maxReserved = 4096

// ErrReservations: too many frames wait to be sent.
var ErrReservations = errors.New("quic: too many reserved frames wait")

// ReserveFrame books room for a frame of a declared type: write_frame runs with
// the cookie when there is room for size bytes, notify_frame tells its fate.
// p is the path it must take, nil for any.
func (c *Conn) ReserveFrame(t wire.FrameType, size int, cookie uint64, p *Path) error {
	d, ok := c.plug.frames[t]
	if !ok || size <= 0 {
		return ErrFrameType
	}
	if len(c.plug.reserved) >= maxReserved {
		return ErrReservations
	}
	c.plug.reserved = append(c.plug.reserved, reservation{typ: t, size: size, cookie: cookie, controlled: d.CongestionControlled, path: p})
	c.wake()
	return nil
}

// coreShare is the part of the packets' bytes, in percent, that the engine's
// own data keeps when plugins reserve more than the rest.
const coreShare = 50

// writeReserved writes the plugins' reserved frames that fit.
func (c *Conn) writeReserved(b *PacketBuilder) {
	q := c.plug.reserved
	if len(q) == 0 || b.level != level1RTT {
		return
	}
	core := c.streams.sched.Len() > 0
	if core {
		share := int64(c.coreShare(NoArg{}).Count)
		// Per packet, plugins gain (100-share) % of it; what they use is taken
		// off, and they wait while they are in debt.
		c.plug.credit = min(c.plug.credit+int64(len(b.buf))*(100-share)/100, int64(len(b.buf)))
		if c.plug.credit <= 0 {
			return
		}
	}
	kept := q[:0]
	for i := range q {
		r := q[i]
		if r.path != nil && r.path != b.path || b.blocked && r.controlled || b.room() < r.size || core && c.plug.credit <= 0 {
			kept = append(kept, r)
			continue
		}
		before := len(b.b)
		records := len(b.records)
		if s := c.ops.frames.plugin.write.Slot(uint64(r.typ)); s != nil {
			b.cookie = r.cookie
			s.Run(WriteArg{Builder: b, Path: b.path, Type: uint64(r.typ), Cookie: r.cookie, Room: uint64(r.size)})
		}
		n := len(b.b) - before
		if n > r.size {
			// More than it booked: the frame is erased.
			b.b, b.records = b.b[:before], b.records[:records]
			n = 0
		}
		if core {
			c.plug.credit -= int64(n)
		}
		if n == 0 {
			if s := c.ops.frames.plugin.notify.Slot(uint64(r.typ)); s != nil {
				s.Run(FrameFate{Path: b.path, Type: uint64(r.typ), Cookie: r.cookie, Fate: FateUnsent})
			}
		}
	}
	if len(kept) == 0 {
		c.plug.reserved = q[:0]
		return
	}
	c.plug.reserved = kept
}

// coreShare chooses the percentage of bytes the engine's data keeps when plugins have frames to send. Operation "core_share".
func (c *Conn) coreShare(a NoArg) Count {
	if c.ops.coreShare.Attached() {
		return c.ops.coreShare.Run(a)
	}
	return c.coreShareNative(a)
}

var opCoreShare = protoops.Define(protoops.Key{Name: "core_share", Param: protoops.NoParam},
	protoops.Doc{
		Summary: "Chooses the percentage of bytes the engine's data keeps when plugins have frames to send",
		Fires:   "per packet with reserved frames while stream data waits",
		Native:  "50",
	},
	func(c *Conn) *protoops.Slot[NoArg, Count] { return &c.ops.coreShare },
	(*Conn).coreShareNative)

func (c *Conn) coreShareNative(NoArg) Count { return Count{coreShare} }

// HasReserved reports whether plugins' frames wait to be sent.
func (c *Conn) HasReserved() bool { return len(c.plug.reserved) > 0 }

// An injectedPayload is a packet's plaintext that a plugin recovered.
type injectedPayload struct {
	path    *Path
	pn      uint64
	payload []byte
}

// InjectPayload processes the plaintext of a packet that never arrived, once
// the current packet is done. payload is kept until then. The packet is not
// acknowledged: its loss stays a congestion signal for the peer.
func (c *Conn) InjectPayload(p *Path, pn uint64, payload []byte) {
	if len(c.plug.injected) < maxReserved && len(payload) > 0 {
		c.plug.injected = append(c.plug.injected, injectedPayload{p, pn, payload})
	}
}

// A PluginStream is a reliable byte stream between the two ends' plugins,
// beside the application's streams: it does not count against their limits or
// credit and yields to their data.
type PluginStream struct {
	ID   uint64
	conn *Conn
	typ  wire.FrameType
	send stream.Send
	recv stream.Recv
	user any
}

// pluginStreamRecord is the record type of a plugin stream's range.
const pluginStreamRecord wire.FrameType = 1<<62 - 2

// pluginStreamWindow is how far a plugin stream may run ahead of its reader.
const pluginStreamWindow = 256 << 10

// OpenPluginStream opens plugin stream id, carried in frames of type t, which
// must be declared. Both ends open it by the same id; data that arrives first
// opens it by itself through event "plugin_stream_opened".
func (c *Conn) OpenPluginStream(t wire.FrameType, id uint64) (*PluginStream, error) {
	if _, ok := c.plug.frames[t]; !ok {
		return nil, ErrFrameType
	}
	if s := c.pluginStream(t, id); s != nil {
		return s, nil
	}
	if len(c.plug.streams) >= 64 {
		return nil, ErrStreamLimit
	}
	s := &PluginStream{ID: id, conn: c, typ: t}
	s.send.Init(id, stream.NewFIFO(0, pluginStreamWindow), pluginStreamWindow)
	s.recv.Init(id, stream.NewFIFO(0, pluginStreamWindow), stream.NewWindow(pluginStreamWindow, pluginStreamWindow))
	c.plug.streams = append(c.plug.streams, s)
	c.pluginStreamOpened(PluginStreamArg{Stream: s, ID: id})
	return s, nil
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

// SendFIFO is where the plugin writes, RecvFIFO where it reads.
func (s *PluginStream) SendFIFO() *stream.FIFO { return s.send.FIFO() }

// RecvFIFO is where the plugin reads.
func (s *PluginStream) RecvFIFO() *stream.FIFO { return s.recv.FIFO() }

// Written tells that bytes were put into SendFIFO.
func (s *PluginStream) Written() { s.conn.wake() }

// Read tells that bytes were taken from RecvFIFO: the peer gets new credit.
func (s *PluginStream) Read() {
	if _, update := s.recv.MaxData(s.conn.now, 0); update {
		s.conn.wake()
	}
}

// Frames of a plugin stream: type, id, kind (0 data, 1 data with FIN, 2 credit),
// then offset, length and bytes, or the new limit.
const (
	pluginStreamData = iota
	pluginStreamFin
	pluginStreamCredit
)

// ParsePluginStreamFrame parses the frame at the start of b; its length, or 0.
func ParsePluginStreamFrame(b []byte) int {
	r := b
	var v [4]uint64
	n := 4
	for i := 0; i < n; i++ {
		x, k := wire.ParseVarint(r)
		if k == 0 {
			return 0
		}
		v[i], r = x, r[k:]
		if i == 2 && x == pluginStreamCredit {
			return len(b) - len(r) + creditLen(r)
		}
	}
	l, k := wire.ParseVarint(r)
	if k == 0 || v[2] > pluginStreamFin || l > uint64(len(r)-k) {
		return 0
	}
	return len(b) - len(r) + k + int(l)
}

func creditLen(r []byte) int {
	_, k := wire.ParseVarint(r)
	return k
}

// ProcessPluginStreamFrame handles a frame ParsePluginStreamFrame has accepted.
func (c *Conn) ProcessPluginStreamFrame(b []byte) *TransportError {
	var v [5]uint64
	r := b
	for i := range v {
		x, k := wire.ParseVarint(r)
		if k == 0 {
			break
		}
		v[i], r = x, r[k:]
		if i == 3 && v[2] == pluginStreamCredit {
			break
		}
	}
	t := wire.FrameType(v[0])
	s, err := c.OpenPluginStream(t, v[1])
	if err != nil {
		return violation(StreamLimitError, t, "%v", err)
	}
	if v[2] == pluginStreamCredit {
		s.send.SetMaxStreamData(v[3])
		return nil
	}
	if _, _, err := s.recv.Receive(v[3], r[:min(v[4], uint64(len(r)))], v[2] == pluginStreamFin); err != nil {
		return streamError(err, t)
	}
	return nil
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
		Fires:   "per frame while there is room",
		Native:  "the first with something to send",
	},
	func(c *Conn) *protoops.Slot[RoomArg, PluginStreamResult] { return &c.ops.nextPluginStream },
	(*Conn).nextPluginStreamNative)

func (c *Conn) nextPluginStreamNative(RoomArg) PluginStreamResult {
	for _, s := range c.plug.streams {
		if s.send.Pending(wire.MaxVarint) || s.recv.Window.Max > s.grantedWindow() {
			return PluginStreamResult{s}
		}
	}
	return PluginStreamResult{}
}

// granted is the credit last told to the peer; the initial window needs no
// frame.
func (s *PluginStream) grantedWindow() uint64 {
	if g, ok := s.user.(uint64); ok {
		return g
	}
	return pluginStreamWindow
}

func (c *Conn) writePluginStream(b *PacketBuilder, s *PluginStream) bool {
	const header = 8 + 8 + 1 + 8 + 2
	if b.room() < header+1 {
		return false
	}
	if s.recv.Window.Max > s.grantedWindow() {
		s.user = s.recv.Window.Max
		b.b = wire.AppendVarint(b.b, uint64(s.typ))
		b.b = wire.AppendVarint(b.b, s.ID)
		b.b = wire.AppendVarint(b.b, pluginStreamCredit)
		b.b = wire.AppendVarint(b.b, s.recv.Window.Max)
		b.record(frameRecord{typ: pluginStreamRecord, off: s.recv.Window.Max, n: uint32(c.pluginStreamIndex(s)), fin: true})
		return true
	}
	off, n, fin, _, ok := s.send.Next(min(b.room()-header, 1<<14-1), wire.MaxVarint)
	if !ok {
		return false
	}
	kind := uint64(pluginStreamData)
	if fin {
		kind = pluginStreamFin
	}
	b.b = wire.AppendVarint(b.b, uint64(s.typ))
	b.b = wire.AppendVarint(b.b, s.ID)
	b.b = wire.AppendVarint(b.b, kind)
	b.b = wire.AppendVarint(b.b, off)
	b.b = wire.AppendVarintN(b.b, uint64(n), 2)
	at := len(b.b)
	b.b = b.b[:at+n]
	s.send.CopyTo(b.b[at:], off)
	s.send.CommitSent(off, n, fin)
	// The record's length field holds both the stream's index and the bytes.
	b.record(frameRecord{typ: pluginStreamRecord, off: off, n: uint32(c.pluginStreamIndex(s)) | uint32(n)<<6, fin: false})
	return true
}

func (c *Conn) pluginStreamIndex(s *PluginStream) int { return slices.Index(c.plug.streams, s) }

func (c *Conn) pluginStreamFate(r *frameRecord, acked bool) {
	i := int(r.n & 63)
	if i >= len(c.plug.streams) {
		return
	}
	s := c.plug.streams[i]
	if r.fin {
		if !acked && r.off == s.grantedWindow() {
			s.user = r.off - 1
		}
		return
	}
	n := int(r.n >> 6)
	_, final := s.send.FIFO().Final()
	fin := final && s.send.FinSent != 0 && r.off+uint64(n) == s.send.FinalSize
	if acked {
		s.send.Acked(r.off, n, fin)
	} else {
		s.send.Lost(r.off, n, fin)
	}
}

// pluginFamilies declares the frame operations of types the engine does not
// know.
func pluginFamilies() []protoops.Op[*Conn] {
	return []protoops.Op[*Conn]{
		protoops.DefineFamily("parse_frame", protoops.Doc{Summary: "Parses a frame of a plugin's type", Fires: "per frame, in packet order"},
			func(c *Conn) *protoops.Dynamic[FrameBytes, Parsed[PluginFrame]] { return &c.ops.frames.plugin.parse },
			func(*Conn, FrameBytes) Parsed[PluginFrame] { return Parsed[PluginFrame]{} }),
		protoops.DefineFamily("process_frame", protoops.Doc{Summary: "Acts on a frame of a plugin's type", Fires: "per frame, once parsed"},
			func(c *Conn) *protoops.Dynamic[Received[PluginFrame], Outcome] { return &c.ops.frames.plugin.process },
			func(*Conn, Received[PluginFrame]) Outcome { return Outcome{} }),
		protoops.DefineFamily("write_frame", protoops.Doc{Summary: "Writes a reserved frame of a plugin's type", Fires: "when its reservation is served"},
			func(c *Conn) *protoops.Dynamic[WriteArg, Written] { return &c.ops.frames.plugin.write },
			func(*Conn, WriteArg) Written { return Written{} }),
		protoops.DefineFamily("notify_frame", protoops.Doc{Summary: "Tells the fate of a frame of a plugin's type", Fires: "when its packet is settled, or when it could not be written"},
			func(c *Conn) *protoops.Dynamic[FrameFate, protoops.None] { return &c.ops.frames.plugin.notify },
			func(*Conn, FrameFate) protoops.None { return protoops.None{} }),
	}
}

// Operations returns the table of what is attached; part of protoops.Subject.
func (c *Conn) Operations() *protoops.Table { return &c.table }

// PlugletFault is told of a pluglet that failed; part of protoops.Subject. A
// plugin that owns a frame type or parameter takes the connection with it:
// later frames of its type could not be parsed.
func (c *Conn) PlugletFault(e *protoops.PlugletError) {
	if c.log != nil {
		c.log.Plugin(c.now, e.Plugin, "fault", map[string]any{"operation": e.Key.Name, "anchor": e.Anchor.String(), "error": e.Err.Error()})
	}
	c.pluginFault(FaultArg{Owned: e.Owned})
	if f := c.endpoint.onFault; f != nil {
		f(c, e)
	}
	if e.Owned && c.plug.fault == nil && c.v.State < StateClosing {
		c.plug.fault = e
	}
}

// FaultArg tells of a failed pluglet.
type FaultArg struct {
	Owned bool `op:"owned" doc:"its plugin owns a frame type or parameter, so the connection closes"`
}

// pluginFault tells that a pluglet failed and its plugin is being detached. Event "plugin_fault".
func (c *Conn) pluginFault(a FaultArg) {
	if c.ops.pluginFault.Attached() {
		c.ops.pluginFault.Run(a)
	}
}

var opPluginFault = protoops.Define(protoops.Key{Name: "plugin_fault", Param: protoops.NoParam},
	protoops.Doc{
		Summary: "A pluglet failed and its plugin is being detached",
		Fires:   "per fault",
	},
	func(c *Conn) *protoops.Slot[FaultArg, protoops.None] { return &c.ops.pluginFault },
	nil)

// afterFault closes the connection if the plugin that failed owned a part of
// the protocol.
func (c *Conn) afterFault() {
	if e := c.plug.fault; e != nil {
		c.plug.fault = nil
		c.fail(violation(InternalError, wire.FrameType(e.Key.Param&wire.MaxVarint), "plugin %s failed", e.Plugin))
	}
}
