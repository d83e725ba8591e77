package plugins

import (
	"os"
	"path/filepath"
	"testing"
	"time"

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

// anchored is a subject with one operation, which tells only.
type anchored struct {
	table protoops.Table
	slot  protoops.Slot[protoops.None, protoops.None]
	tb    testing.TB
}

func (a *anchored) Operations() *protoops.Table             { return &a.table }
func (a *anchored) PlugletFault(err *protoops.PlugletError) { a.tb.Error(err) }

var (
	anchoredKey = protoops.Plain("anchored")
	anchoredOps = protoops.NewRegistry(protoops.Define(anchoredKey, protoops.Doc{Summary: "tells"},
		func(a *anchored) *protoops.Slot[protoops.None, protoops.None] { return &a.slot }, nil))
)

// BenchmarkAnchor is an operation with an empty pluglet before and one after it:
// what being there costs, all of the way from the engine's call and back.
func BenchmarkAnchor(b *testing.B) {
	for _, engine := range []string{"interp", "jit"} {
		b.Run(engine, func(b *testing.B) {
			trial, err := NewTrial(loadFile(b, "testdata/observers.o", engine), AttachOptions{})
			if err != nil {
				b.Fatal(err)
			}
			defer trial.Close()
			a := &anchored{tb: b}
			_, err = anchoredOps.Attach(a, &protoops.Plugin{Name: "org.pquic.test.observers", Bindings: []protoops.Binding{
				{Key: anchoredKey, Anchor: protoops.Pre, Pluglet: trial.pluglet("pre/packet_received")},
				{Key: anchoredKey, Anchor: protoops.Post, Pluglet: trial.pluglet("post/packet_received")},
			}})
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			const batch = 500
			least := time.Duration(1 << 62) // what other load on the machine disturbs least
			for b.Loop() {
				start := time.Now()
				for range batch {
					if a.slot.Attached() {
						a.slot.Run(protoops.None{})
					}
				}
				least = min(least, time.Since(start))
			}
			b.ReportMetric(float64(least)/batch/2, "best-ns/anchor")
		})
	}
}

// measuredPlugins are plugins of eight and of fifty pluglets.
var measuredPlugins = []string{"monitoring/monitoring.o", "testdata/fifty.o"}

// BenchmarkAttach attaches a plugin that is loaded to a connection, and detaches
// it.
func BenchmarkAttach(b *testing.B) {
	for _, file := range measuredPlugins {
		b.Run(filepath.Base(file), func(b *testing.B) {
			p := loadFile(b, file, "auto")
			trial, err := NewTrial(p, AttachOptions{})
			if err != nil {
				b.Fatal(err)
			}
			defer trial.Close()
			c := trial.in.conn
			b.ReportAllocs()
			for b.Loop() {
				in, err := p.Attach(c, AttachOptions{})
				if err != nil {
					b.Fatal(err)
				}
				in.Detach()
			}
		})
	}
}

// BenchmarkLoad reads, verifies and compiles a plugin.
func BenchmarkLoad(b *testing.B) {
	for _, file := range measuredPlugins {
		b.Run(filepath.Base(file), func(b *testing.B) {
			elf, err := os.ReadFile(file)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			instructions := 0
			for b.Loop() {
				p, err := Load(file, elf, LoadOptions{})
				if err != nil {
					b.Fatal(err)
				}
				instructions = len(p.object.Code)
				p.Release()
			}
			b.ReportMetric(float64(instructions), "instructions")
		})
	}
}
