package plugins_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/pquic-go/pquic/core"
	"github.com/pquic-go/pquic/core/coretest"
	"github.com/pquic-go/pquic/core/qlog"
	"github.com/pquic-go/pquic/core/wire"
	"github.com/pquic-go/pquic/plugins"
	"github.com/pquic-go/pquic/protoops"
)

// somewhere is the operation of testdata/anywhere.o, longer than any there is.
const somewhere = "name_of_an_operation_as_long_as_any_there_is"

// anywhere returns that plugin, attached to another operation.
func anywhere(t *testing.T, key protoops.Key, engine string) *plugins.Plugin {
	t.Helper()
	b, err := os.ReadFile("testdata/anywhere.o")
	if err != nil {
		t.Fatal(err)
	}
	name := make([]byte, len(somewhere)) // strings in the file end with a zero
	if copy(name, key.String()) == len(name) {
		t.Fatalf("%s is too long", key)
	}
	if bytes.Count(b, []byte(somewhere)) == 0 {
		t.Fatal("no such section")
	}
	p, err := plugins.Load("anywhere.o", bytes.ReplaceAll(b, []byte(somewhere), name), plugins.LoadOptions{Engine: engine})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// events collects the records of a trace that tell of faults.
type events struct{ faults []string }

func (e *events) Write(b []byte) (int, error) {
	if bytes.Contains(b, []byte(`"pquic:fault"`)) {
		e.faults = append(e.faults, string(b))
	}
	return len(b), nil
}

// TestFaultEverywhere: a plugin faults in each operation that has a native body,
// in turn, on both ends of a transfer, before or after that body has run, in the
// first call or in a later one. The transfer is completed, with the right
// content; the fault is logged and counted, and the plugin detached.
func TestFaultEverywhere(t *testing.T) {
	size := uint64(10_000_000)
	if testing.Short() {
		size = 500_000
	}
	reached, rest, n := 0, []string{}, 0
	for _, op := range core.Operations.Ops() {
		if op.Event || op.Family {
			continue
		}
		options := map[string]string{"after": fmt.Sprint(n % 3 * 2), "late": fmt.Sprint(n%2 == 0)}
		engine := []string{"auto", "auto", "interp"}[n%3]
		n++
		t.Run(op.Key.String(), func(t *testing.T) {
			p := anywhere(t, op.Key, engine)
			faults := faultIn(t, p, op.Key, options, size)
			if faults == 0 && options["after"] != "0" { // too few calls for that
				options["after"] = "0"
				faults = faultIn(t, p, op.Key, options, size)
			}
			if faults == 0 {
				rest = append(rest, op.Key.String())
				return
			}
			reached++
		})
	}
	t.Logf("%d of %d operations were reached; not %s", reached, n, strings.Join(rest, ", "))
	if reached < n/2 {
		t.Error("too few operations were reached")
	}
}

// faultIn runs a transfer with the plugin on both ends and returns how often it
// failed.
func faultIn(t *testing.T, p *plugins.Plugin, key protoops.Key, options map[string]string, size uint64) int {
	trace := new(events)
	var list []*plugins.Instance
	counted := 0
	w, _, _ := world(t, nil, nil, func(sc *coretest.Scenario) {
		sc.Down.Loss = 0.002
		sc.Client = func(cfg *core.Config) {
			cfg.OnTransportParameters = func(c *core.Conn) error {
				in, err := p.Attach(c, plugins.AttachOptions{Options: options})
				list = append(list, in)
				return err
			}
			cfg.Qlog = func(odcid wire.ConnID, server bool) *qlog.Trace {
				return qlog.New(trace, qlog.Info{ODCID: odcid, Server: server})
			}
		}
		sc.Server = sc.Client
		sc.Endpoint = func(cfg *core.EndpointConfig) {
			cfg.OnFault = func(_ *core.Conn, e *protoops.PlugletError) { counted++ }
		}
	})
	a := w.Transfer(5*time.Minute, coretest.Request{Up: 20_000, Down: size}, coretest.Request{Uni: true, Up: 5000, Down: 5000},
		coretest.Request{Down: 200_000, CancelAt: 50_000})
	w.Settle()
	if r := a.Transfers[0].Received; r != size || a.Verified < size {
		t.Errorf("%d of %d bytes arrived, %d are right", r, size, a.Verified)
	}
	a.Close()
	w.Sleep(10 * time.Second)
	faults, server := 0, 0
	for i, in := range list {
		f := in.Fault()
		if f == nil {
			continue
		}
		if in.Attached() {
			t.Errorf("attached after %v", f)
		}
		if faults++; i > 0 {
			server++
		}
		if s := plugins.Explain(f); !strings.Contains(s, key.String()) || !strings.Contains(s, "anywhere.c") {
			t.Errorf("the fault is told as %s", s)
		}
	}
	if len(trace.faults) != faults || counted != server {
		t.Errorf("%d faults, %d of the server's; %d in the trace, %d counted", faults, server, len(trace.faults), counted)
	}
	for _, e := range trace.faults {
		if !strings.Contains(e, `"operation":"`+key.Name+`"`) {
			t.Errorf("the trace says %s", e)
		}
	}
	return faults
}

// TestFaultOfOwner: a plugin that owns a frame type fails in one of its
// operations: the connection ends with an error that names the plugin and the
// frame type, and the peer learns of it.
func TestFaultOfOwner(t *testing.T) {
	engines(t, func(t *testing.T, engine string) {
		for fault, place := range []string{"none", "write_frame", "parse_frame", "process_frame", "notify_frame"} {
			t.Run(place, func(t *testing.T) { faultOfOwner(t, load(t, "testdata/owner.o", engine), fault, place) })
		}
	})
}

func faultOfOwner(t *testing.T, p *plugins.Plugin, fault int, place string) {
	var in *plugins.Instance
	w, _, _ := world(t, nil, []*plugins.Plugin{p}, nil)
	w.ClientConfig.OnTransportParameters = func(c *core.Conn) (err error) {
		in, err = p.Attach(c, plugins.AttachOptions{Options: map[string]string{"fault": fmt.Sprint(fault)}})
		return err
	}
	a := w.Dial()
	a.Request(coretest.Request{Down: 5_000_000})
	w.Until("the end", time.Minute, func() bool { return a.Done() || a.Ended })
	if fault == 0 {
		if !a.Done() || in.Fault() != nil {
			t.Fatalf("the connection ended with %v, fault %v", a.Err, in.Fault())
		}
		return
	}
	var te *core.TransportError
	var pe *protoops.PlugletError
	if !errors.As(in.Fault(), &pe) || !pe.Owned || pe.Plugin != p.Name() || pe.Key.Name != place || in.Attached() {
		t.Errorf("fault %v, attached %t", in.Fault(), in.Attached())
	}
	if !errors.As(a.Err, &te) || te.FrameType != 0x31515160 || te.Remote {
		t.Fatalf("the connection ended with %v", a.Err)
	}
	if te.Code != core.InternalError || te.Cause != error(pe) {
		t.Errorf("the connection ended with %v, cause %v", a.Err, te.Cause)
	}
	peer := w.ServerApp(a)
	w.Until("the peer's end", time.Minute, func() bool { return peer.Ended })
	if !errors.As(peer.Err, &te) || te.Code != core.InternalError || te.FrameType != 0x31515160 || !te.Remote {
		t.Errorf("the peer's connection ended with %v", peer.Err)
	}
}
