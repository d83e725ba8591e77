// Package pluginflag holds the flags that attach plugins to connections.
package pluginflag

import (
	"context"
	"fmt"
	"log/slog"
	"sync"

	"github.com/urfave/cli/v2"

	"github.com/pquic-go/pquic/cmd/internal/cliutil"
	"github.com/pquic-go/pquic/core"
	"github.com/pquic-go/pquic/plugins"
	"github.com/pquic-go/pquic/plugins/standard"
)

// Engines are the names of the machines that run bytecode.
var Engines = []string{"auto", "interp", "jit", "ubpf"}

// Options are the flags' values.
type Options struct {
	Specs  []string // NAME|FILE[,option=value…]
	Engine string
}

// Flags returns the flags that set o.
func (o *Options) Flags() []cli.Flag {
	const category = "PLUGINS"
	if o.Engine == "" {
		o.Engine = "auto"
	}
	return []cli.Flag{
		cliutil.Flag{
			Name: "plugin", Category: category,
			Usage: "attach a plugin to every connection, `NAME|FILE[,OPTION=VALUE…]`; repeatable, order kept; compiled in: " + cliutil.OneOf(standard.Names()),
		}.Strings(&o.Specs, func(s string) error {
			_, _, err := plugins.ParseSpec(s)
			return err
		}),
		cliutil.Flag{
			Name: "vm", Category: category, Usage: "run plugins by `ENGINE`: auto, interp, jit or ubpf",
		}.Choice(&o.Engine, Engines...),
	}
}

// A Set is the plugins that the flags name, loaded.
type Set struct {
	list []entry
	log  *slog.Logger
	told sync.Map // errors that were logged once
}

type entry struct {
	plugin  *plugins.Plugin
	options map[string]string
}

// Load loads the plugins. The set is nil if there are none.
func (o *Options) Load(log *slog.Logger) (*Set, error) {
	if len(o.Specs) == 0 {
		return nil, nil
	}
	s := &Set{log: log}
	for _, spec := range o.Specs {
		name, options, err := plugins.ParseSpec(spec)
		if err != nil {
			return nil, cliutil.Usagef("--plugin %q: %v", spec, err)
		}
		p, err := standard.Load(name, plugins.LoadOptions{Engine: o.Engine})
		if err != nil {
			return nil, fmt.Errorf("--plugin %q: %w", spec, err)
		}
		if err := p.CheckOptions(options); err != nil {
			return nil, cliutil.Usagef("--plugin %q: %v", spec, err)
		}
		s.list = append(s.list, entry{p, options})
		log.Debug("plugin loaded", "plugin", p.Name(), "version", p.Manifest().Version.String(), "engine", p.Engine(), "pluglets", len(p.Pluglets()))
	}
	return s, nil
}

// OnConn returns a hook for hoststack.Config.OnConn that attaches the plugins
// after next has run. Either may be nil.
func (s *Set) OnConn(next func(*core.Conn)) func(*core.Conn) {
	if s == nil {
		return next
	}
	return func(c *core.Conn) {
		if next != nil {
			next(c)
		}
		for _, e := range s.list {
			s.attach(c, e)
		}
	}
}

func (s *Set) attach(c *core.Conn, e entry) {
	_, err := e.plugin.Attach(c, plugins.AttachOptions{Options: e.options, Log: s.line, Detached: s.detached})
	if err == nil {
		return
	}
	// The same error on every connection is one line.
	if _, again := s.told.LoadOrStore(e.plugin.Name()+err.Error(), true); !again {
		s.log.Error("plugin not attached", "plugin", e.plugin.Name(), "error", err)
	}
}

var levels = [...]slog.Level{slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError}

// line logs what a plugin says.
func (s *Set) line(in *plugins.Instance, level plugins.Level, line string) {
	s.log.Log(context.Background(), levels[min(level, plugins.LevelError)], line, "plugin", in.Plugin().Name(), "connection", in.Conn().ODCID().String())
}

// detached logs how a plugin ended.
func (s *Set) detached(in *plugins.Instance) {
	if e := in.Fault(); e != nil {
		s.log.Error("plugin failed and was detached", "plugin", in.Plugin().Name(), "connection", in.Conn().ODCID().String(), "fault", plugins.Explain(e))
		return
	}
	var calls uint64
	for _, st := range in.Stats() {
		calls += st.Calls
	}
	s.log.Debug("plugin detached", "plugin", in.Plugin().Name(), "connection", in.Conn().ODCID().String(), "calls", calls)
}
