// Package pluginflag holds the flags that attach plugins to connections: to all
// of them, or on a server to those that policy.go selects.
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

// Category is the heading of these flags in the help.
const Category = "PLUGINS"

// Options are the flags' values.
type Options struct {
	Specs  []string // NAME|FILE[,option=value…]
	Policy []string // SELECTOR:NAME|FILE[,option=value…]
	Engine string
}

// Flags returns the flags that set o, but for PolicyFlags.
func (o *Options) Flags() []cli.Flag {
	if o.Engine == "" {
		o.Engine = "auto"
	}
	return []cli.Flag{
		cliutil.Flag{
			Name: "plugin", Category: Category,
			Usage: "attach a plugin to every connection, `NAME|FILE[,OPTION=VALUE…]`; repeatable, order kept; compiled in: " + cliutil.OneOf(standard.Names()),
		}.Strings(&o.Specs, func(s string) error {
			_, _, err := plugins.ParseSpec(s)
			return err
		}),
		cliutil.Flag{
			Name: "vm", Category: Category, Usage: "run plugins by `ENGINE`: auto, interp, jit or ubpf",
		}.Choice(&o.Engine, Engines...),
	}
}

// A Set is the plugins that the flags name, loaded.
type Set struct {
	list   []entry
	policy []rule
	log    *slog.Logger
	told   sync.Map // errors that were logged once

	attached func(*core.Conn)        // nil, or told of each attach
	detached func(*plugins.Instance) // nil, or told of each end
}

type entry struct {
	plugin  *plugins.Plugin
	options map[string]string
}

// Load loads the plugins. The set is nil if there are none.
func (o *Options) Load(log *slog.Logger) (*Set, error) {
	if len(o.Specs)+len(o.Policy) == 0 {
		return nil, nil
	}
	s := &Set{log: log}
	for _, spec := range o.Specs {
		e, err := s.load("--plugin", spec, spec, o.Engine)
		if err != nil {
			return nil, err
		}
		s.list = append(s.list, e)
	}
	for _, text := range o.Policy {
		sel, spec, err := parsePolicy(text)
		if err != nil {
			return nil, cliutil.Usagef("--plugin-for %q: %v", text, err)
		}
		e, err := s.load("--plugin-for", text, spec, o.Engine)
		if err != nil {
			return nil, err
		}
		s.policy = append(s.policy, rule{sel, e})
	}
	return s, nil
}

// load loads the plugin of one flag, whose value is text.
func (s *Set) load(flag, text, spec, engine string) (entry, error) {
	name, options, err := plugins.ParseSpec(spec)
	if err != nil {
		return entry{}, cliutil.Usagef("%s %q: %v", flag, text, err)
	}
	p, err := standard.Load(name, plugins.LoadOptions{Engine: engine})
	if err != nil {
		return entry{}, fmt.Errorf("%s %q: %w", flag, text, err)
	}
	if err := p.CheckOptions(options); err != nil {
		return entry{}, cliutil.Usagef("%s %q: %v", flag, text, err)
	}
	s.log.Debug("plugin loaded", "plugin", p.Name(), "version", p.Manifest().Version.String(), "engine", p.Engine(), "pluglets", len(p.Pluglets()))
	return entry{p, options}, nil
}

// Watch has attached called with each connection that a plugin is attached to,
// and detached with each plugin that no longer is, by the connection's owner.
// It is called before there are connections.
func (s *Set) Watch(attached func(*core.Conn), detached func(*plugins.Instance)) {
	if s != nil {
		s.attached, s.detached = attached, detached
	}
}

// OnConn returns a hook for hoststack.Config.OnConn that attaches the plugins
// after next has run. Either may be nil.
func (s *Set) OnConn(next func(*core.Conn)) func(*core.Conn) {
	if s == nil || len(s.list) == 0 {
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
	_, err := e.plugin.Attach(c, plugins.AttachOptions{Options: e.options, Log: Line(s.log), Detached: s.ended})
	if s.attached != nil {
		s.attached(c)
	}
	if err == nil {
		return
	}
	// The same error on every connection is one line.
	if _, again := s.told.LoadOrStore(e.plugin.Name()+err.Error(), true); !again {
		s.log.Error("plugin not attached", "plugin", e.plugin.Name(), "error", err)
	}
}

// ended logs how a plugin ended, and tells who watches.
func (s *Set) ended(in *plugins.Instance) {
	if s.detached != nil {
		s.detached(in)
	}
	LogDetached(s.log, in)
}

var levels = [...]slog.Level{slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError}

// Line returns a function for plugins.AttachOptions that logs what a plugin says.
func Line(log *slog.Logger) func(*plugins.Instance, plugins.Level, string) {
	return func(in *plugins.Instance, level plugins.Level, line string) {
		log.Log(context.Background(), levels[min(level, plugins.LevelError)], line, "plugin", in.Plugin().Name(), "connection", in.Conn().ODCID().String())
	}
}

// LogDetached logs how a plugin ended.
func LogDetached(log *slog.Logger, in *plugins.Instance) {
	if e := in.Fault(); e != nil {
		log.Error("plugin failed and was detached", "plugin", in.Plugin().Name(), "connection", in.Conn().ODCID().String(), "fault", plugins.Explain(e))
		return
	}
	var calls uint64
	for _, st := range in.Stats() {
		calls += st.Calls
	}
	log.Debug("plugin detached", "plugin", in.Plugin().Name(), "connection", in.Conn().ODCID().String(), "calls", calls)
}
