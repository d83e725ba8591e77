package plugins_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/pquic-go/pquic/core"
	"github.com/pquic-go/pquic/core/coretest"
	"github.com/pquic-go/pquic/plugins"
	"github.com/pquic-go/pquic/protoops"
	"github.com/pquic-go/pquic/vm"
)

// TestFaults: whatever goes wrong in a pluglet, the transfer goes on, what it
// wrote is undone, the plugin is detached and the reason is told.
func TestFaults(t *testing.T) {
	engines(t, func(t *testing.T, engine string) {
		p := load(t, "testdata/faulty.o", engine)
		for fault := range 10 {
			t.Run(fmt.Sprint(fault), func(t *testing.T) {
				var in *plugins.Instance
				w, _, _ := world(t, nil, nil, nil)
				w.ClientConfig.OnTransportParameters = func(c *core.Conn) (err error) {
					in, err = p.Attach(c, plugins.AttachOptions{Options: map[string]string{"fault": fmt.Sprint(fault)}})
					return err
				}
				a := w.Transfer(time.Minute, coretest.Request{Down: 500_000})
				f := in.Fault()
				if fault == 0 {
					if f != nil || !in.Attached() || a.Conn.Paths()[0].AckDelay != time.Millisecond {
						t.Errorf("fault %v, attached %t", f, in.Attached())
					}
					return
				}
				if f == nil || in.Attached() {
					t.Fatal("no fault")
				}
				if d := a.Conn.Paths()[0].AckDelay; d == time.Millisecond {
					t.Error("a write was not undone")
				}
				var vf *vm.Fault
				if text := plugins.Explain(f); fault > 1 && (!errors.As(f, &vf) || vf.Line == 0 || !strings.Contains(text, "faulty.c")) {
					t.Errorf("the fault is told as %s", text)
				}
			})
		}
	})
}

// TestCapabilities: what the manifest does not declare makes the plugin
// unloadable.
func TestCapabilities(t *testing.T) {
	_, err := plugins.LoadFile("testdata/undeclared.o", plugins.LoadOptions{})
	var e *plugins.CapabilityError
	if !errors.As(err, &e) || len(e.Functions) != 1 || len(e.Fields) != 1 || len(e.Frames) != 1 ||
		e.Functions[0] != "pq_message" || e.Fields[0] != "path.ack_delay" || e.Frames[0] != 0x31515150 {
		t.Errorf("%v", err)
	}
}

// TestObserver: a pluglet that watches cannot act.
func TestObserver(t *testing.T) {
	_, err := plugins.LoadFile("testdata/observer.o", plugins.LoadOptions{})
	var e *vm.VerifyError
	if !errors.As(err, &e) || !strings.Contains(err.Error(), "pq_ping") {
		t.Errorf("%v", err)
	}
}

// TestExtern: operations, memory, maps and timers of a plugin's own.
func TestExtern(t *testing.T) {
	engines(t, func(t *testing.T, engine string) {
		p := []*plugins.Plugin{load(t, "testdata/extern.o", engine), shipped(t, "hello", engine)}
		w, c, s := world(t, p, p, nil)
		a := w.Transfer(time.Minute, coretest.Request{Down: 300_000}, coretest.Request{Up: 1000, Down: 1000})
		w.Sleep(time.Second)
		c.noFaults()
		s.noFaults()
		in := plugins.Find(a.Conn, "org.pquic.test.extern")
		r, err := in.Call("sum", []uint64{10, 20}, []byte{1, 2, 3})
		if err != nil || len(r) < 2 || r[0] != 72 || r[1] != 2 {
			t.Errorf("sum: %v, %v", r, err)
		}
		r, err = in.Call("counts", nil)
		if err != nil || len(r) != 4 || r[0] != 10 || r[1] == 0 || r[2] != 2 || r[3] != 8 {
			t.Errorf("counts: %v, %v", r, err)
		}
		if _, err := in.Call("nonsense", nil); !errors.Is(err, protoops.ErrUnknownOp) {
			t.Errorf("an unknown operation: %v", err)
		}
		if n := in.HeapUsed(); n != 16 {
			t.Errorf("%d bytes of the heap are in use, want those of one path", n)
		}
		in.Detach()
		if _, err := in.Call("sum", nil); !errors.Is(err, plugins.ErrDetached) {
			t.Errorf("after the detach: %v", err)
		}
	})
}
