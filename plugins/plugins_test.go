package plugins_test

import (
	"encoding/binary"

	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pquic-go/pquic/core"
	"github.com/pquic-go/pquic/core/coretest"
	"github.com/pquic-go/pquic/plugins"
)

// engines are the machines that every scenario runs on.
func engines(t *testing.T, f func(t *testing.T, engine string)) {
	for _, e := range []string{"interp", "jit"} {
		t.Run(e, func(t *testing.T) { f(t, e) })
	}
}

func load(tb testing.TB, path, engine string) *plugins.Plugin {
	tb.Helper()
	p, err := plugins.LoadFile(filepath.FromSlash(path), plugins.LoadOptions{Engine: engine})
	if err != nil {
		if engine == "jit" && strings.Contains(err.Error(), "engine jit") {
			tb.Skip(err)
		}
		tb.Fatal(err)
	}
	return p
}

// A side collects what the plugins of one end say.
type side struct {
	tb        testing.TB
	instances []*plugins.Instance
	lines     []string
}

// attach returns a hook that attaches plugins to a connection that starts.
func (s *side) attach(list ...*plugins.Plugin) func(*core.Conn) error {
	return func(c *core.Conn) error {
		for _, p := range list {
			in, err := p.Attach(c, plugins.AttachOptions{Log: func(_ *plugins.Instance, _ plugins.Level, line string) {
				s.lines = append(s.lines, line)
			}})
			if err != nil {
				s.tb.Errorf("Attach: %v", err)
				return nil
			}
			s.instances = append(s.instances, in)
		}
		return nil
	}
}

// world runs a client and a server with plugins on each.
func world(t *testing.T, client, server []*plugins.Plugin, adjust func(*coretest.Scenario)) (*coretest.World, *side, *side) {
	c, s := &side{tb: t}, &side{tb: t}
	sc := coretest.Scenario{
		Up:     coretest.Conditions{Delay: 10 * time.Millisecond, Rate: coretest.Mbps(50)},
		Down:   coretest.Conditions{Delay: 10 * time.Millisecond, Rate: coretest.Mbps(50)},
		Client: func(cfg *core.Config) { cfg.OnTransportParameters = c.attach(client...) },
		Server: func(cfg *core.Config) { cfg.OnTransportParameters = s.attach(server...) },
	}
	if adjust != nil {
		adjust(&sc)
	}
	return coretest.NewWorld(t, sc), c, s
}

// TestCount: a plugin of three observers counts what the engine counts.
func TestCount(t *testing.T) {
	engines(t, func(t *testing.T, engine string) {
		p := load(t, "testdata/count.o", engine)
		w, c, s := world(t, []*plugins.Plugin{p}, []*plugins.Plugin{p}, nil)
		a := w.Transfer(time.Minute, coretest.Request{Up: 10_000, Down: 1_000_000})
		view := *a.Conn.View()
		a.Close()
		w.Sleep(10 * time.Second)
		for i, side := range []*side{c, s} {
			in := side.instances[0]
			if f := in.Fault(); f != nil {
				t.Fatal(plugins.Explain(f))
			}
			m := in.Messages()
			if len(m) != 1 || len(m[0]) != 24 {
				t.Fatalf("side %d: %d messages", i, len(m))
			}
			sent, received := binary.LittleEndian.Uint64(m[0]), binary.LittleEndian.Uint64(m[0][8:])
			if i == 0 && (sent != view.PacketsSent || received != view.PacketsReceived) {
				t.Errorf("the plugin counts %d sent and %d received, the engine %d and %d", sent, received, view.PacketsSent, view.PacketsReceived)
			}
			if len(side.lines) != 1 || !strings.Contains(side.lines[0], "packets sent") {
				t.Errorf("log of side %d: %q", i, side.lines)
			}
		}
	})
}
