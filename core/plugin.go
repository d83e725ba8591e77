package core

import (
	"github.com/pquic-go/pquic/core/congestion"
	"github.com/pquic-go/pquic/core/mono"
	"github.com/pquic-go/pquic/core/wire"
	"github.com/pquic-go/pquic/protoops"
)

// scratch is what an endpoint's connections need while they handle an event,
// and what the operations that run meanwhile may point at. An endpoint handles
// one event at a time.
type scratch struct {
	from   Datagram       // addresses of the datagram being routed
	in     ReceivedPacket // the packet being processed
	out    PacketBuilder  // the packet being built
	ack    ackEvent
	ccAck  congestion.Ack
	ccLoss congestion.Loss
	lost   []uint64
}

// forget drops what would keep a connection that has ended in memory.
func (s *scratch) forget(c *Conn) {
	if s.in.conn == c {
		s.in = ReceivedPacket{}
	}
	if s.out.conn == c {
		clear(s.out.records[:cap(s.out.records)])
		clear(s.out.held[:cap(s.out.held)])
		s.out = PacketBuilder{records: s.out.records[:0], held: s.out.held[:0]}
	}
}

// builder returns the packet builder, for the connection's next packet.
func (c *Conn) builder() *PacketBuilder {
	b := &c.endpoint.scratch.out
	b.conn = c
	return b
}

// pluginState is what the engine keeps for plugins.
type pluginState struct {
	frames  map[wire.FrameType]FrameDecl
	queues  []*frameQueue
	turn    int   // index of the queue whose turn it is
	waiting int   // frames in all queues
	credit  int64 // of plugins' frames against the engine's data, bytes
	serving bool  // the queues are being walked
	rooms   []bookedRoom
	timers  []mono.Time // that plugins have asked for, ascending
	offers  []*PluginOffer

	closing  bool // some path waits to be closed
	injected []injectedPayload
	streams  []*PluginStream
	fault    *protoops.PlugletError
}

// pluginFamilies declares the frame operations of types the engine does not
// know.
func pluginFamilies() []protoops.Op[*Conn] {
	return []protoops.Op[*Conn]{
		protoops.DefineFamily("parse_frame", protoops.Doc{Summary: "Parses a frame of a plugin's type", Fires: "per frame, in packet order"},
			func(c *Conn) *protoops.Dynamic[FrameBytes, Parsed[PluginFrame]] { return &c.ops.frames.plugin.parse },
			func(*Conn, FrameBytes) Parsed[PluginFrame] { return Parsed[PluginFrame]{} }).Except(notAPluginsFrame),
		protoops.DefineFamily("process_frame", protoops.Doc{Summary: "Acts on a frame of a plugin's type", Fires: "per frame, once parsed"},
			func(c *Conn) *protoops.Dynamic[Received[PluginFrame], Outcome] { return &c.ops.frames.plugin.process },
			func(*Conn, Received[PluginFrame]) Outcome { return Outcome{} }).Except(notAPluginsFrame),
		protoops.DefineFamily("write_frame", protoops.Doc{Summary: "Writes a reserved frame of a plugin's type", Fires: "when its reservation is served"},
			func(c *Conn) *protoops.Dynamic[WriteArg, Written] { return &c.ops.frames.plugin.write },
			func(*Conn, WriteArg) Written { return Written{} }).Except(notAPluginsFrame),
		protoops.DefineFamily("notify_frame", protoops.Doc{Summary: "Tells the fate of a frame of a plugin's type", Fires: "when its packet is settled, or when it could not be written"},
			func(c *Conn) *protoops.Dynamic[FrameFate, protoops.None] { return &c.ops.frames.plugin.notify },
			func(*Conn, FrameFate) protoops.None { return protoops.None{} }).Except(notAPluginsFrame),
	}
}

// notAPluginsFrame reports whether t is a type the engine knows. Types that
// share the operations of another (STREAM frames those of 0x08, ACK frames with
// ECN counts those of 0x02) have none of their own.
func notAPluginsFrame(t uint64) bool {
	return wire.FactsOf(wire.FrameType(t)).Known() || t > wire.MaxVarint
}

// Operations returns the table of what is attached; part of protoops.Subject.
// Package protoops asks for it before it changes a slot: from then on the
// connection has slots of its own.
func (c *Conn) Operations() *protoops.Table {
	if c.ops == &unattached {
		c.ops = new(connOps)
	}
	return &c.ops.table
}

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
	if c.plug.closing && !c.ops.table.Running() {
		c.plug.closing = false
		for _, p := range c.paths {
			if p.closing {
				c.ClosePath(p)
			}
		}
	}
	if c.plug.fault != nil {
		c.fail(c.faultError())
	}
}

// faultError takes the fault of a plugin that owned a part of the protocol, as
// the reason why the connection closes.
func (c *Conn) faultError() *TransportError {
	e := c.plug.fault
	c.plug.fault = nil
	var t wire.FrameType
	if e.Key.Param != protoops.NoParam {
		t = wire.FrameType(e.Key.Param)
	}
	te := violation(InternalError, t, "plugin %s failed", e.Plugin)
	te.Cause = e
	return te
}
