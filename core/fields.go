package core

import (
	"github.com/pquic-go/pquic/core/recovery"
	"github.com/pquic-go/pquic/core/stream"
	"github.com/pquic-go/pquic/protoops"
)

// The tables of every field plugins may see, one per kind of object. They are
// built from the tags of the view structs, which the engine itself reads and
// writes: together with Operations they are what the C header, the type
// information of bytecode and the reference pages are generated from.
//
// Never writable, whatever the anchor: packet numbers, keys, path IDs and
// addresses, validation state and the credit that depends on it, and
// flow-control limits promised to the peer.
var (
	ConnFields     = protoops.FieldsOf[ConnView]("conn")
	PathFields     = protoops.FieldsOf[PathView]("path")
	SpaceFields    = protoops.FieldsOf[SpaceView]("space")
	PacketFields   = protoops.FieldsOf[recovery.PacketView]("packet")
	ReceivedFields = protoops.FieldsOf[ReceivedView]("received_packet")
	BuilderFields  = protoops.FieldsOf[BuilderView]("builder")
	StreamFields   = protoops.FieldsOf[StreamView]("stream")
	SendFields     = protoops.FieldsOf[stream.SendView]("stream_send")
	RecvFields     = protoops.FieldsOf[stream.RecvView]("stream_recv")
	WindowFields   = protoops.FieldsOf[stream.Window]("window")
)

// FieldTables lists the tables in the order of the reference.
func FieldTables() []protoops.FieldTable {
	return []protoops.FieldTable{
		ConnFields, PathFields, SpaceFields, PacketFields, ReceivedFields,
		BuilderFields, StreamFields, SendFields, RecvFields, WindowFields,
	}
}

// ViewOf returns the table of a handle that an operation passes to pluglets,
// and a pointer to the struct its offsets refer to. It reports false for a nil
// handle or one without fields.
//
// Three kinds of struct hang off others: see Conn.SpaceViewOf for the number
// spaces of the handshake (those of paths are part of the path), Stream.SendView
// and Stream.RecvView for the halves of a stream, Conn.WindowView and
// Stream.WindowView for flow control.
func ViewOf(handle any) (t protoops.FieldTable, view any, ok bool) {
	switch h := handle.(type) {
	case *Conn:
		if h != nil {
			return ConnFields, &h.v, true
		}
	case *Path:
		if h != nil {
			return PathFields, &h.PathView, true
		}
	case *SentPacket:
		if h != nil {
			return PacketFields, &h.PacketView, true
		}
	case *ReceivedPacket:
		if h != nil {
			return ReceivedFields, &h.ReceivedView, true
		}
	case *PacketBuilder:
		if h != nil {
			return BuilderFields, &h.BuilderView, true
		}
	case *Stream:
		if h != nil {
			return StreamFields, &h.StreamView, true
		}
	}
	return nil, nil, false
}

// SpaceViewOf returns the visible state of a packet number space: 0 Initial,
// 1 Handshake, 2 Application Data of p, which only that one needs.
func (c *Conn) SpaceViewOf(p *Path, space uint64) *SpaceView {
	switch {
	case spaceID(space) == initialSpace:
		return c.initial.v
	case spaceID(space) == handshakeSpace:
		return c.hs.v
	case p != nil && spaceID(space) == appSpace:
		return &p.Space
	}
	return nil
}

// WindowView returns the connection's receive window.
func (c *Conn) WindowView() *stream.Window { return &c.flow.recv }

// WindowView returns the stream's receive window, nil on a stream we alone send
// on.
func (s *Stream) WindowView() *stream.Window {
	if s.recvHalf == nil {
		return nil
	}
	return &s.recvHalf.Window
}
