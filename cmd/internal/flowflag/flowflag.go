// Package flowflag holds the flags that say where the flow records of plugin
// monitoring go, and takes them there.
package flowflag

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/pquic-go/pquic/cmd/internal/cliutil"
	"github.com/pquic-go/pquic/core"
	"github.com/pquic-go/pquic/plugins"
	"github.com/pquic-go/pquic/plugins/monitoring"
	"github.com/pquic-go/pquic/plugins/standard"
)

// Options are the flags' values.
type Options struct {
	File  string // JSON lines
	IPFIX string // a collector's address

	// Live keeps sums and the last minutes for a page. It is not a flag.
	Live bool
}

// Flags returns the flags that set o.
func (o *Options) Flags() []cli.Flag {
	const category = "PLUGINS"
	return []cli.Flag{
		cliutil.Flag{
			Name: "flows", Category: category, Usage: "append what plugin monitoring tells of each connection to `FILE`, as JSON lines",
		}.String(&o.File),
		cliutil.Flag{
			Name: "ipfix", Category: category, Usage: "send it to the IPFIX collector on UDP `HOST:PORT`",
		}.Address(&o.IPFIX),
	}
}

// Intervals between the records of a connection, unless the user has set one.
const (
	interval     = "1m"
	liveInterval = "1s" // a page that plots them is worth looking at
)

// Plugins returns the plugins to load if the user has named specs: monitoring is
// among them if its records are to go somewhere, and makes some regularly.
func (o *Options) Plugins(specs []string) []string {
	every := "interval=" + interval
	if o.Live {
		every = "interval=" + liveInterval
	}
	wanted := o.File != "" || o.IPFIX != ""
	for i, spec := range specs {
		name, options, err := plugins.ParseSpec(spec)
		if err != nil || strings.TrimPrefix(name, standard.Prefix) != shortName {
			continue
		}
		if _, set := options["interval"]; !set && (wanted || o.Live) {
			specs = slices.Clone(specs)
			specs[i] += "," + every
		}
		return specs
	}
	if wanted {
		return append(slices.Clip(specs), shortName+",summary=false,"+every)
	}
	return specs
}

var shortName = strings.TrimPrefix(monitoring.Name, standard.Prefix)

// Sinks are where flow records go.
type Sinks struct {
	Sums    *monitoring.Aggregate // nil: none
	History *monitoring.History   // nil: none

	collector *monitoring.Collector
}

// Open opens the sinks. They are nil if there are none.
func (o *Options) Open(log *slog.Logger) (*Sinks, error) {
	s := new(Sinks)
	var list []monitoring.Sink
	fail := func(err error) (*Sinks, error) {
		for _, opened := range list {
			_ = opened.Close()
		}
		return nil, err
	}
	if o.File != "" {
		// Flow records tell who spoke with whom.
		f, err := os.OpenFile(o.File, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
		if err != nil {
			return fail(fmt.Errorf("--flows: %w", err))
		}
		list = append(list, monitoring.NewJSON(f))
	}
	if o.IPFIX != "" {
		x, err := monitoring.DialIPFIX(o.IPFIX)
		if err != nil {
			return fail(fmt.Errorf("--ipfix %s: %w", o.IPFIX, err))
		}
		list = append(list, x)
	}
	if o.Live {
		s.Sums, s.History = new(monitoring.Aggregate), new(monitoring.History)
		list = append(list, s.Sums, s.History)
	}
	if len(list) == 0 {
		return nil, nil
	}
	s.collector = monitoring.NewCollector(func(err error) { log.Warn("flow records are lost", "error", err) }, list...)
	return s, nil
}

// OnConn returns a hook for hoststack.Config.OnConn that watches what next, which
// attaches plugins, has attached. next may be nil.
func (s *Sinks) OnConn(next func(*core.Conn)) func(*core.Conn) {
	if s == nil || next == nil {
		return next
	}
	return func(c *core.Conn) {
		next(c)
		s.Watch(plugins.Find(c, monitoring.Name))
	}
}

// OnTransportParameters is OnConn for the hook of that name in core.Config.
func (s *Sinks) OnTransportParameters(next func(*core.Conn) error) func(*core.Conn) error {
	if s == nil || next == nil {
		return next
	}
	return func(c *core.Conn) error {
		before := plugins.Find(c, monitoring.Name)
		err := next(c)
		if in := plugins.Find(c, monitoring.Name); in != before {
			s.Watch(in)
		}
		return err
	}
}

// Watch takes the records of a plugin that has just been attached, if it is
// monitoring. It is called by the connection's owner, once per plugin attached.
func (s *Sinks) Watch(in *plugins.Instance) {
	if s != nil && in != nil && in.Plugin().Name() == monitoring.Name {
		s.collector.Watch(in)
	}
}

// WritePrometheus writes the sums of all flow records, if they are kept and there
// have been any.
func (s *Sinks) WritePrometheus(w io.Writer) error {
	if s == nil || s.Sums == nil || s.Sums.Empty() {
		return nil
	}
	if err := s.Sums.WritePrometheus(w); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "# HELP pquic_flow_records_dropped_total Flow records lost because their file or collector was slow.\n"+
		"# TYPE pquic_flow_records_dropped_total counter\npquic_flow_records_dropped_total %d\n", s.collector.Dropped())
	return err
}

// Close writes what waits and closes the sinks. The connections should have ended.
func (s *Sinks) Close() {
	if s != nil {
		s.collector.Close()
	}
}
