package plugins

import (
	"strings"
	"sync"
	"unsafe"

	"github.com/pquic-go/pquic/core"
	"github.com/pquic-go/pquic/core/stream"
	"github.com/pquic-go/pquic/protoops"
)

// ABIVersion is the version of the contract between plugins and the engine. It
// grows when something that a plugin could rely on changes its meaning; fields,
// operations and functions may be added without.
const ABIVersion = 1

// A Kind is a type of object that pluglets hold handles of. A handle points at
// the engine's own object, whose visible part comes first.
type Kind struct {
	Name   string // C name: "pq_path"
	Doc    string
	Table  protoops.FieldTable // nil: nothing of it is visible
	Stable bool                // handles outlive whatever a pluglet does

	// set writes a field through the journal.
	set func(c *protoops.Call, p unsafe.Pointer, f protoops.FieldID, v uint64) error
}

// Indexes of the kinds in Kinds.
const (
	kindConn = iota
	kindPath
	kindSpace
	kindPacket
	kindReceived
	kindBuilder
	kindStream
	kindSend
	kindRecv
	kindWindow
	kindPluginStream
	numKinds
)

// setter returns the journaled store to a view of type V. The engine's objects
// begin with their views; TestViewsComeFirst holds them to that.
func setter[V any](t *protoops.FieldSet[V]) func(*protoops.Call, unsafe.Pointer, protoops.FieldID, uint64) error {
	return func(c *protoops.Call, p unsafe.Pointer, f protoops.FieldID, v uint64) error {
		return t.Set(c, (*V)(p), f, v)
	}
}

var kinds = [numKinds]Kind{
	kindConn:         {Name: "pq_conn", Doc: "a connection", Table: core.ConnFields, Stable: true, set: setter(core.ConnFields)},
	kindPath:         {Name: "pq_path", Doc: "a path; in plain QUIC there is one", Table: core.PathFields, set: setter(core.PathFields)},
	kindSpace:        {Name: "pq_space", Doc: "a packet number space", Table: core.SpaceFields, set: setter(core.SpaceFields)},
	kindPacket:       {Name: "pq_packet", Doc: "a packet that was sent", Table: core.PacketFields, set: setter(core.PacketFields)},
	kindReceived:     {Name: "pq_received_packet", Doc: "the packet being processed", Table: core.ReceivedFields, set: setter(core.ReceivedFields)},
	kindBuilder:      {Name: "pq_builder", Doc: "the packet being built", Table: core.BuilderFields, set: setter(core.BuilderFields)},
	kindStream:       {Name: "pq_stream", Doc: "a stream of the application", Table: core.StreamFields, set: setter(core.StreamFields)},
	kindSend:         {Name: "pq_stream_send", Doc: "the sending half of a stream", Table: core.SendFields, set: setter(core.SendFields)},
	kindRecv:         {Name: "pq_stream_recv", Doc: "the receiving half of a stream", Table: core.RecvFields, set: setter(core.RecvFields)},
	kindWindow:       {Name: "pq_window", Doc: "a flow-control window that grows by itself", Table: core.WindowFields, set: setter[stream.Window](core.WindowFields)},
	kindPluginStream: {Name: "pq_plugin_stream", Doc: "a byte stream between the two ends' plugins"},
}

// Kinds lists the types of objects in the order of the reference.
func Kinds() []Kind { return append([]Kind(nil), kinds[:]...) }

// goTypes are the types of handles as protoops.Param spells them.
var goTypes = map[string]int{
	"*core.Conn":           kindConn,
	"*core.Path":           kindPath,
	"*core.ReceivedPacket": kindReceived,
	"*core.PacketBuilder":  kindBuilder,
	"*core.Stream":         kindStream,
	"*core.PluginStream":   kindPluginStream,
	"*recovery.Packet[github.com/pquic-go/pquic/core.sentFrames]": kindPacket,
}

// fieldCounts is the number of fields of each kind, once asked for.
var fieldsOf = sync.OnceValue(func() [numKinds][]protoops.Field {
	var all [numKinds][]protoops.Field
	for i := range kinds {
		if t := kinds[i].Table; t != nil {
			all[i] = t.Fields()
		}
	}
	return all
})

// FieldName is how manifests and reports spell a field: "path.ack_delay".
func FieldName(kind, field string) string {
	return strings.TrimPrefix(kind, "pq_") + "." + field
}
