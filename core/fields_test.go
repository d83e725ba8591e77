package core

import (
	"errors"
	"testing"

	"github.com/pquic-go/pquic/core/recovery"
	"github.com/pquic-go/pquic/protoops"
)

// A field without words is of no use to whoever writes a plugin.
func TestEveryFieldIsDescribed(t *testing.T) {
	total := 0
	for _, table := range FieldTables() {
		for _, f := range table.Fields() {
			total++
			if f.Doc == "" {
				t.Errorf("%s.%s has no description", f.Object, f.Name)
			}
			if f.Offset+uintptr(f.Size) > table.Size() {
				t.Errorf("%s.%s lies outside its struct", f.Object, f.Name)
			}
		}
	}
	t.Logf("%d fields of %d objects", total, len(FieldTables()))
}

// What is promised to the peer, what proves something about it and what
// identifies packets and paths is nobody's to change.
func TestNeverWritable(t *testing.T) {
	for _, want := range []struct {
		table protoops.FieldTable
		names []string
	}{
		{ConnFields, []string{"state", "max_data_local", "max_streams_bidi_local", "max_streams_uni_local", "key_phase", "paths", "bytes_received"}},
		{PathFields, []string{"id", "state", "validated", "bytes_in_flight", "remote_ip_high", "remote_port", "space_next_number", "space_largest_acked"}},
		{SpaceFields, []string{"next_number", "largest_received", "largest_acked"}},
		{PacketFields, []string{"number", "state", "size"}},
		{WindowFields, []string{"max", "size", "limit", "received"}},
		{StreamFields, []string{"id", "consumed_offset"}},
		{SendFields, []string{"max_stream_data", "next_offset", "acked_offset"}},
	} {
		for _, name := range want.names {
			id, ok := want.table.ID(name)
			if !ok {
				t.Errorf("%s has no field %q", want.table.Object(), name)
				continue
			}
			if want.table.Fields()[id].Writable {
				t.Errorf("plugins may write %s.%s", want.table.Object(), name)
			}
		}
	}
}

// Every handle that an operation passes to pluglets must lead to its fields,
// unless it is one of those that have none.
func TestHandlesHaveFields(t *testing.T) {
	c := new(Conn)
	views := map[string]any{
		"*core.Path": new(Path), "*core.Stream": &Stream{conn: c}, "*core.PacketBuilder": new(PacketBuilder),
		"*core.ReceivedPacket": new(ReceivedPacket),
		"*recovery.Packet[github.com/pquic-go/pquic/core.sentFrames]": new(SentPacket),
	}
	without := map[string]bool{"*core.PluginStream": true}
	for _, op := range Operations.Ops() {
		for _, p := range append(op.Args, op.Results...) {
			if p.Kind != protoops.Handle.String() || without[p.Type] {
				continue
			}
			h, known := views[p.Type]
			if !known {
				t.Errorf("%s: handle %q of type %s is not accounted for", op.Key, p.Name, p.Type)
				continue
			}
			if _, _, ok := ViewOf(h); !ok {
				t.Errorf("%s: handle %q of type %s has no fields", op.Key, p.Name, p.Type)
			}
		}
	}
	if _, _, ok := ViewOf((*Path)(nil)); ok {
		t.Error("a nil path has fields")
	}
	if table, view, _ := ViewOf(c); table != protoops.FieldTable(ConnFields) || view != any(&c.v) {
		t.Error("a connection does not lead to its view")
	}
}

// The engine reads the very word a plugin writes.
func TestFieldWriteReachesTheEngine(t *testing.T) {
	p := &Path{}
	p.Congestion.CongestionWindow = 12000
	p.RTT = recovery.RTT{SmoothedRTT: 5e6}
	id, _ := PathFields.ID("congestion_window")
	if got := PathFields.Get(&p.PathView, id); got != 12000 {
		t.Fatalf("congestion_window reads %d", got)
	}
	srtt, _ := PathFields.ID("smoothed_rtt")
	c := idleConn(t)
	attach(t, c, &protoops.Plugin{Name: "org.example.window", Bindings: []protoops.Binding{
		replace("is_underutilized", func(call *protoops.Call) error {
			if err := PathFields.Set(call, &p.PathView, id, 100); !errors.Is(err, protoops.ErrRange) {
				t.Errorf("a window of 100 bytes: %v", err)
			}
			if err := PathFields.Set(call, &p.PathView, srtt, 7e6); err != nil {
				t.Error(err)
			}
			return PathFields.Set(call, &p.PathView, id, 50000)
		}),
	}})
	c.isUnderutilized(UtilizationArg{Path: c.path0})
	if p.Congestion.CongestionWindow != 50000 || p.RTT.SmoothedRTT != 7e6 {
		t.Errorf("congestion window %d, smoothed_rtt %v", p.Congestion.CongestionWindow, p.RTT.SmoothedRTT)
	}
}

func TestRegistry(t *testing.T) {
	if err := Operations.Check(idleConn(t)); err != nil {
		t.Error(err)
	}
	plain := 0
	for _, op := range Operations.Ops() {
		if op.Key.Param == protoops.NoParam && !op.Family {
			plain++
		}
		if op.Doc.Summary == "" || op.Doc.Fires == "" {
			t.Errorf("%s: no summary or no word on when it fires", op.Key)
		}
		if !op.Event && !op.Family && op.Key.Param == protoops.NoParam && op.Doc.Native == "" {
			t.Errorf("%s: no word on what the native body does", op.Key)
		}
		for _, p := range append(op.Args, op.Results...) {
			if p.Doc == "" {
				t.Errorf("%s: %q is not described", op.Key, p.Name)
			}
		}
	}
	if plain < 80 {
		t.Errorf("%d plain operations, at least 80 wanted", plain)
	}
	t.Logf("%d plain operations, %d in all", plain, len(Operations.Ops()))
}
