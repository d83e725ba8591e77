package monitoring_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/pquic-go/pquic/core"
	"github.com/pquic-go/pquic/hoststack"
	"github.com/pquic-go/pquic/plugins"
	"github.com/pquic-go/pquic/plugins/monitoring"
)

// TestLoopback: the plugin watches a transfer over real sockets, on each
// machine.
func TestLoopback(t *testing.T) {
	for _, engine := range []string{"interp", "jit"} {
		t.Run(engine, func(t *testing.T) { loopback(t, engine) })
	}
}

func loopback(t *testing.T, engine string) {
	p, err := plugins.Load("monitoring.o", monitoring.Object, plugins.LoadOptions{Engine: engine})
	if err != nil {
		if strings.Contains(err.Error(), "engine jit") {
			t.Skip(err)
		}
		t.Fatal(err)
	}
	defer p.Release()
	ended := make(chan *monitoring.Record, 2)
	attach := func(c *core.Conn) {
		_, err := p.Attach(c, plugins.AttachOptions{Detached: func(in *plugins.Instance) {
			if f := in.Fault(); f != nil {
				t.Error(plugins.Explain(f))
			}
			list, err := monitoring.Records(in)
			if err != nil || len(list) == 0 {
				t.Errorf("%d records, %v", len(list), err)
				ended <- new(monitoring.Record)
				return
			}
			ended <- list[len(list)-1]
		}})
		if err != nil {
			t.Error(err)
		}
	}
	cert, err := hoststack.SelfSigned([]string{"localhost"}, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	l, err := hoststack.Listen(ctx, "udp", "127.0.0.1:0", &hoststack.Config{OnConn: attach, Workers: 1,
		TLS: &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{"test"}}})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	const size = 5 << 20
	go func() {
		c, err := l.Accept(ctx)
		if err != nil {
			return
		}
		s, err := c.AcceptStream(ctx)
		if err != nil {
			return
		}
		_, _ = s.Write(make([]byte, size))
		_ = s.CloseWrite()
	}()
	c, err := hoststack.Dial(ctx, "udp", l.Addr().String(), &hoststack.Config{OnConn: attach,
		TLS: &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"test"}}})
	if err != nil {
		t.Fatal(err)
	}
	s, err := c.OpenStream(ctx)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = s.Write([]byte("go"))
	if n, err := io.Copy(io.Discard, s); err != nil || n != size {
		t.Fatalf("%d bytes, %v", n, err)
	}
	_ = c.CloseWithError(0, "")
	for range 2 {
		select {
		case r := <-ended:
			data := r.DataReceived
			if r.Server {
				data = r.DataSent
			}
			if r.State != monitoring.Finished || data != size || len(r.Paths) != 1 {
				t.Errorf("record %+v", r)
			}
		case <-ctx.Done():
			t.Fatal("no record at the end")
		}
	}
}

func TestParse(t *testing.T) {
	for _, b := range [][]byte{nil, make([]byte, 8), make([]byte, 4096), {1}} {
		if _, err := monitoring.Parse(b); err == nil {
			t.Errorf("%d bytes are taken for a record", len(b))
		}
	}
	var out bytes.Buffer
	if err := monitoring.Write(&out, &monitoring.Record{State: monitoring.Broken, Paths: []monitoring.Path{{ID: 3}}}); err != nil {
		t.Fatal(err)
	}
	var m map[string]any
	if err := json.Unmarshal(out.Bytes(), &m); err != nil || m["state"] != "broken" {
		t.Errorf("%s: %v", out.String(), err)
	}
}

// FuzzParse: no message makes the reader panic.
func FuzzParse(f *testing.F) {
	b := make([]byte, 568)
	b[0] = 1
	f.Add(b)
	f.Fuzz(func(_ *testing.T, b []byte) { _, _ = monitoring.Parse(b) })
}
