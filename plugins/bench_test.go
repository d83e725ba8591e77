package plugins

import (
	"os"
	"testing"

	"github.com/pquic-go/pquic/core"
	"github.com/pquic-go/pquic/protoops"
)

func loadFile(tb testing.TB, path, engine string) *Plugin {
	tb.Helper()
	p, err := LoadFile(path, LoadOptions{Engine: engine})
	if err != nil {
		tb.Skip(err)
	}
	return p
}

// inside runs f within an operation, as a pluglet would be run.
func inside(tb testing.TB, t *Trial, f func(c *protoops.Call)) {
	tb.Helper()
	t.body = func(c *protoops.Call) error { f(c); return nil }
	if _, err := protoops.CallExtern(t.in.conn.Operations(), t.in.conn, protoops.Plain(trialOp), nil); err != nil {
		tb.Fatal(err)
	}
}

func (t *Trial) pluglet(section string) *pluglet {
	g := t.plugin.program(section)
	return &pluglet{program: g, in: t.in, handles: g.use.handles}
}

// TestNoAllocations: a pluglet on the way of a packet allocates nothing.
func TestNoAllocations(t *testing.T) {
	for _, engine := range []string{"interp", "jit"} {
		p := loadFile(t, "testdata/count.o", engine)
		trial, err := NewTrial(p, AttachOptions{})
		if err != nil {
			t.Fatal(err)
		}
		pl := trial.pluglet("post/packet_received")
		inside(t, trial, func(c *protoops.Call) {
			if n := testing.AllocsPerRun(100, func() {
				if err := pl.Run(c); err != nil {
					t.Fatal(err)
				}
			}); n != 0 {
				t.Errorf("%s: %v allocations per call", engine, n)
			}
		})
		trial.Close()
	}
}

// BenchmarkPluglet is a pluglet that counts one packet, all of the way from
// package protoops into the machine and back.
func BenchmarkPluglet(b *testing.B) {
	for _, engine := range []string{"interp", "jit"} {
		b.Run(engine, func(b *testing.B) {
			trial, err := NewTrial(loadFile(b, "testdata/count.o", engine), AttachOptions{})
			if err != nil {
				b.Fatal(err)
			}
			defer trial.Close()
			pl := trial.pluglet("post/packet_received")
			inside(b, trial, func(c *protoops.Call) {
				b.ReportAllocs()
				for b.Loop() {
					_ = pl.Run(c)
				}
			})
		})
	}
}

// BenchmarkAttach attaches a plugin that is loaded to a connection, and detaches
// it.
func BenchmarkAttach(b *testing.B) {
	p := loadFile(b, "monitoring/monitoring.o", "auto")
	trial, err := NewTrial(p, AttachOptions{})
	if err != nil {
		b.Fatal(err)
	}
	defer trial.Close()
	var c *core.Conn = trial.in.conn
	b.ReportAllocs()
	for b.Loop() {
		in, err := p.Attach(c, AttachOptions{})
		if err != nil {
			b.Fatal(err)
		}
		in.Detach()
	}
}

// BenchmarkLoad reads, verifies and compiles a plugin of eight pluglets.
func BenchmarkLoad(b *testing.B) {
	elf, err := os.ReadFile("monitoring/monitoring.o")
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		p, err := Load("monitoring.o", elf, LoadOptions{})
		if err != nil {
			b.Fatal(err)
		}
		p.Release()
	}
}
