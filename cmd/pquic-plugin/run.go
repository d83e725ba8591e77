package main

import (
	"fmt"
	"io"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/pquic-go/pquic/cmd/internal/cliutil"
	"github.com/pquic-go/pquic/plugins"
)

// An outcome is what run prints.
type outcome struct {
	Section  string           `json:"section"`
	Fault    string           `json:"fault,omitempty"`
	Results  map[string]int64 `json:"results,omitempty"`
	Fuel     uint64           `json:"fuel"`
	Log      []string         `json:"log,omitempty"`
	Messages []string         `json:"messages,omitempty"`
}

const argumentsText = `Arguments are MEMBER=NUMBER for a member of the pluglet's context, OBJECT.FIELD=NUMBER for a field of
an object it points at (conn, path, packet…), MEMBER=HEX for bytes; numbers may be durations such
as 10ms. What is not given is zero. A result is what the engine's own code answers if the pluglet
asks it. The connection is a fresh one that sends nothing.`

func runCommand() *cli.Command {
	o := new(options)
	var sets []string
	flags := append(o.flags(true), cliutil.Flag{Name: "set", Usage: "give an option of the plugin a value, `OPTION=VALUE`; repeatable"}.Strings(&sets, nil))
	return cliutil.Command("run", "run one pluglet on made-up arguments", "pquic-plugin run NAME|FILE SECTION|FUNCTION [MEMBER=VALUE…]",
		argumentsText, flags, &cliutil.Help{
			Examples:  []cliutil.Example{{Does: "the delay it would choose on a path of 40 ms", Line: "pquic-plugin run ack_delay replace/update_ack_delay path.min_rtt=40ms result_duration=25ms"}},
			ExitCodes: exitCodes,
		}, func(c *cli.Context) error {
			t, out, err := o.trial(c, sets)
			if err != nil {
				return err
			}
			defer t.Close()
			r, _, err := t.Run(out.Section, c.Args().Slice()[2:], 1)
			if err != nil {
				return cliutil.Exit(cliutil.ExitUsage, err)
			}
			out.Fuel = r.Fuel
			for _, v := range r.Results {
				if out.Results == nil {
					out.Results = make(map[string]int64)
				}
				out.Results[v.Name] = v.Value
			}
			for _, m := range t.Instance().Messages() {
				out.Messages = append(out.Messages, fmt.Sprintf("%x", m))
			}
			if r.Err != nil {
				out.Fault = r.Err.Error()
			}
			if o.json {
				err = printJSON(c.App.Writer, out)
			} else {
				err = out.print(c.App.Writer, r.Results)
			}
			if err == nil && r.Err != nil {
				err = r.Err
			}
			return err
		})
}

// trial loads the plugin and prepares to run the pluglet that the arguments
// name.
func (o *options) trial(c *cli.Context, sets []string) (*plugins.Trial, *outcome, error) {
	p, err := o.load(c)
	if err != nil {
		return nil, nil, err
	}
	if c.NArg() < 2 {
		var names []string
		for _, g := range p.Pluglets() {
			names = append(names, g.Section)
		}
		return nil, nil, cliutil.Usagef("the pluglet is missing: want %s", cliutil.OneOf(names))
	}
	out := &outcome{Section: c.Args().Get(1)}
	spec := "x"
	for _, s := range sets {
		spec += "," + s
	}
	_, values, err := plugins.ParseSpec(spec)
	if err != nil {
		return nil, nil, cliutil.Usagef("--set: %v", err)
	}
	t, err := plugins.NewTrial(p, plugins.AttachOptions{Options: values, Log: func(_ *plugins.Instance, l plugins.Level, line string) {
		out.Log = append(out.Log, l.String()+": "+line)
	}})
	return t, out, err
}

func (out *outcome) print(w io.Writer, results []plugins.TrialValue) error {
	for _, v := range results {
		fmt.Fprintf(w, "%s = %d\n", v.Name, v.Value)
	}
	for _, l := range out.Log {
		fmt.Fprintf(w, "log %s\n", l)
	}
	for _, m := range out.Messages {
		fmt.Fprintf(w, "message %s\n", m)
	}
	_, err := fmt.Fprintf(w, "fuel %d\n", out.Fuel)
	return err
}

// A measurement is what bench prints.
type measurement struct {
	Section string  `json:"section"`
	Engine  string  `json:"engine"`
	Calls   int     `json:"calls"`
	NsCall  float64 `json:"ns_per_call"`
	Fuel    uint64  `json:"fuel"`
}

func benchCommand() *cli.Command {
	o := new(options)
	calls := 1_000_000
	flags := append(o.flags(true), cliutil.Flag{Name: "calls", Usage: "call it `N` times"}.Int(&calls, 1, 1_000_000_000))
	return cliutil.Command("bench", "measure one pluglet on made-up arguments", "pquic-plugin bench NAME|FILE SECTION|FUNCTION [MEMBER=VALUE…]",
		argumentsText, flags, &cliutil.Help{
			Examples:  []cliutil.Example{{Does: "compare the engines", Line: "pquic-plugin bench --vm interp monitoring post/packet_received packet.level=3"}},
			ExitCodes: exitCodes,
		}, func(c *cli.Context) error {
			t, out, err := o.trial(c, nil)
			if err != nil {
				return err
			}
			defer t.Close()
			r, took, err := t.Run(out.Section, c.Args().Slice()[2:], calls)
			if err != nil {
				return cliutil.Exit(cliutil.ExitUsage, err)
			}
			if r.Err != nil {
				return r.Err
			}
			m := measurement{out.Section, t.Instance().Plugin().Engine(), calls, float64(took) / float64(time.Nanosecond) / float64(calls), r.Fuel}
			if o.json {
				return printJSON(c.App.Writer, m)
			}
			_, err = fmt.Fprintf(c.App.Writer, "%s on %s: %.1f ns per call, %d instructions\n", m.Section, m.Engine, m.NsCall, m.Fuel)
			return err
		})
}
