package core

import (
	"errors"
	"testing"

	"github.com/pquic-go/pquic/core/recovery"
	"github.com/pquic-go/pquic/core/stream"
	"github.com/pquic-go/pquic/protoops"
)

// Every field that plugins may write takes the ends of its range and nothing
// beyond, and has its old value back if the pluglet fails; every other field
// refuses any write.
func TestEveryFieldWrite(t *testing.T) {
	views := map[string]any{
		"conn": new(ConnView), "path": new(PathView), "space": new(SpaceView), "packet": new(recovery.PacketView),
		"received_packet": new(ReceivedView), "builder": new(BuilderView), "stream": new(StreamView),
		"stream_send": new(stream.SendView), "stream_recv": new(stream.RecvView), "window": new(stream.Window),
	}
	c := idleConn(t)
	run := func(name string, anchor protoops.Anchor, f func(*protoops.Call) error) {
		t.Helper()
		a := attach(t, c, plugin(name, bind(anchor, "is_underutilized", f)))
		c.isUnderutilized(UtilizationArg{Path: c.path0})
		Operations.Detach(c, a)
	}
	errUndo := errors.New("undo")
	writable := 0
	for _, table := range FieldTables() {
		view := views[table.Object()]
		if view == nil {
			t.Errorf("no view of a %s", table.Object())
			continue
		}
		for i, f := range table.Fields() {
			id := protoops.FieldID(i)
			if !f.Kind.Scalar() {
				continue
			}
			before, err := table.GetAny(view, id)
			if err != nil {
				t.Fatal(err)
			}
			set := func(call *protoops.Call, v uint64, want error) {
				if err := table.SetAny(call, view, id, v); !errors.Is(err, want) {
					t.Errorf("%s.%s = %d: %v, want %v", f.Object, f.Name, v, err, want)
				}
			}
			run("org.example.observer", protoops.Post, func(call *protoops.Call) error { set(call, f.Min, protoops.ErrReadOnly); return nil })
			run("org.example.writer", protoops.Replace, func(call *protoops.Call) error {
				if !f.Writable {
					set(call, f.Min, protoops.ErrNotWritable)
					return nil
				}
				writable++
				for _, v := range []uint64{f.Min, f.Max} {
					set(call, v, nil)
					if got, _ := table.GetAny(view, id); got != v {
						t.Errorf("%s.%s reads %d, not %d", f.Object, f.Name, got, v)
					}
				}
				if f.Min != 0 {
					set(call, f.Min-1, protoops.ErrRange)
				}
				if f.Max != 1<<64-1 {
					set(call, f.Max+1, protoops.ErrRange)
				}
				set(call, f.Min, nil)
				return errUndo
			})
			if after, _ := table.GetAny(view, id); after != before {
				t.Errorf("%s.%s = %d stays although the pluglet failed, it was %d", f.Object, f.Name, after, before)
			}
		}
	}
	if writable < 15 {
		t.Errorf("%d writable fields", writable)
	}
	t.Logf("%d writable fields", writable)
}
