package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/urfave/cli/v2"

	"github.com/pquic-go/pquic/cmd/internal/cliutil"
	"github.com/pquic-go/pquic/plugins"
	"github.com/pquic-go/pquic/vm"
)

// A description is what inspect prints.
type description struct {
	Name       string    `json:"name"`
	Version    string    `json:"version"`
	ABI        uint64    `json:"abi"`
	Summary    string    `json:"summary,omitempty"`
	License    string    `json:"license,omitempty"`
	Author     string    `json:"author,omitempty"`
	Engine     string    `json:"engine"`
	Heap       uint32    `json:"heap_bytes"`
	CodeSlots  int       `json:"instructions"`
	DataBytes  int       `json:"data_bytes"`
	Frames     []string  `json:"frames,omitempty"`
	Parameters []string  `json:"transport_parameters,omitempty"`
	Negotiate  string    `json:"negotiated_by,omitempty"`
	Uses       []string  `json:"uses,omitempty"`
	Writes     []string  `json:"writes,omitempty"`
	Conflicts  []string  `json:"conflicts,omitempty"`
	Requires   []string  `json:"requires,omitempty"`
	Options    []option  `json:"options,omitempty"`
	Functions  []string  `json:"functions,omitempty"`
	Pluglets   []pluglet `json:"pluglets"`
}

type option struct {
	Name    string `json:"name"`
	Type    string `json:"type"`
	Default string `json:"default"`
	Help    string `json:"help"`
}

type pluglet struct {
	Section      string   `json:"section"`
	Function     string   `json:"function"`
	Context      string   `json:"context"`
	Instructions int      `json:"instructions"`
	Proved       bool     `json:"proved"`
	Bound        uint64   `json:"bound,omitempty"`
	Reason       string   `json:"reason,omitempty"`
	Stack        int      `json:"stack_bytes"`
	Effects      []string `json:"effects"`
	Reads        []string `json:"reads,omitempty"`
	Writes       []string `json:"writes,omitempty"`
	Calls        []string `json:"calls,omitempty"`
}

// describe gathers what there is to know of a plugin.
func describe(p *plugins.Plugin) *description {
	m, o := p.Manifest(), p.Object()
	d := &description{Name: m.Name, Version: m.Version.String(), ABI: m.ABI, Summary: m.Summary, License: m.License, Author: m.Author,
		Engine: p.Engine(), Heap: m.Heap, CodeSlots: len(o.Code), DataBytes: len(o.ROData) + len(o.Data) + int(o.BSSSize),
		Uses: m.Uses, Writes: m.Writes, Conflicts: m.Conflicts}
	for _, f := range m.Frames {
		s := fmt.Sprintf("0x%x", f.Type)
		for _, w := range []struct {
			name string
			is   bool
		}{{"ack-eliciting", f.AckEliciting}, {"probing", f.Probing}, {"congestion-controlled", f.CongestionControlled}} {
			if w.is {
				s += " " + w.name
			}
		}
		d.Frames = append(d.Frames, s)
	}
	for _, id := range m.Parameters {
		d.Parameters = append(d.Parameters, fmt.Sprintf("0x%x", id))
	}
	if m.Negotiate != 0 {
		d.Negotiate = fmt.Sprintf("0x%x", m.Negotiate)
	}
	for _, r := range m.Requires {
		d.Requires = append(d.Requires, r.Name+" "+r.Min.String())
	}
	for _, x := range m.Options {
		d.Options = append(d.Options, option{x.Name, string(x.Type), x.Default, x.Help})
	}
	for _, im := range o.Imports {
		d.Functions = append(d.Functions, im.Name)
	}
	slices.Sort(d.Functions)
	report := p.Report()
	for i, g := range p.Pluglets() {
		d.Pluglets = append(d.Pluglets, describePluglet(g, &report[i]))
	}
	return d
}

func describePluglet(g plugins.PlugletInfo, v *vm.Verdict) pluglet {
	l := pluglet{Section: g.Section, Function: g.Function, Context: g.Context, Instructions: v.Instructions,
		Proved: v.Proved, Bound: v.Bound, Reason: v.Reason, Stack: v.StackDepth, Calls: v.UsesFuncs}
	for e := vm.Pure; e <= vm.Mutate; e++ {
		if v.Effects.Has(e) {
			l.Effects = append(l.Effects, e.String())
		}
	}
	for _, f := range v.UsesFields {
		name := plugins.FieldName(f.Kind, f.Field)
		if strings.HasPrefix(f.Kind, g.Context) {
			name = f.Field
		}
		if f.Read {
			l.Reads = append(l.Reads, name)
		}
		if f.Write {
			l.Writes = append(l.Writes, name)
		}
	}
	return l
}

func inspectCommand() *cli.Command {
	o := new(options)
	return cliutil.Command("inspect", "show what a plugin is, attaches to and asks for", "pquic-plugin inspect NAME|FILE",
		`Loads a plugin, holds it to its manifest and prints both: identity, options, frame types and
transport parameters, powers, and for each pluglet where it attaches, what it uses and whether
it is proved to end.`,
		o.flags(true), &cliutil.Help{
			Examples:  []cliutil.Example{{Does: "the plugin that is compiled in", Line: "pquic-plugin inspect monitoring"}},
			ExitCodes: exitCodes,
		}, func(c *cli.Context) error {
			if err := noMore(c, 1); err != nil {
				return err
			}
			p, err := o.load(c)
			if err != nil {
				return err
			}
			defer p.Release()
			d := describe(p)
			if o.json {
				return printJSON(c.App.Writer, d)
			}
			return d.print(c.App.Writer)
		})
}

func (d *description) print(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	row := func(key string, values ...string) {
		for i, v := range values {
			if i > 0 {
				key = ""
			}
			fmt.Fprintf(t, "%s\t%s\n", key, v)
		}
	}
	text := func(key, v string) {
		if v != "" {
			row(key, v)
		}
	}
	row("plugin", d.Name+" "+d.Version)
	text("summary", d.Summary)
	text("author", d.Author)
	text("license", d.License)
	row("size", fmt.Sprintf("%d instructions, %d bytes of data, heap of at most %s", d.CodeSlots, d.DataBytes, cliutil.FormatSize(uint64(d.Heap))))
	row("engine", d.Engine)
	row("owns frames", d.Frames...)
	row("owns parameters", d.Parameters...)
	text("negotiated by", d.Negotiate)
	row("requires", d.Requires...)
	row("conflicts", d.Conflicts...)
	row("may use", d.Uses...)
	row("may write", d.Writes...)
	for i, x := range d.Options {
		key := "options"
		if i > 0 {
			key = ""
		}
		fmt.Fprintf(t, "%s\t%s=%s (%s) %s\n", key, x.Name, x.Default, x.Type, x.Help)
	}
	fmt.Fprintf(t, "\npluglet\tfunction\tinsns\tends\teffects\tcalls\n")
	for _, l := range d.Pluglets {
		fmt.Fprintf(t, "%s\t%s\t%d\t%s\t%s\t%s\n", l.Section, l.Function, l.Instructions, l.ends(), strings.Join(l.Effects, ", "), strings.Join(l.Calls, ", "))
	}
	return t.Flush()
}

func (l *pluglet) ends() string {
	if l.Proved {
		return fmt.Sprintf("proved <= %d", l.Bound)
	}
	return "metered"
}
