package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/urfave/cli/v2"

	"github.com/pquic-go/pquic/cmd/internal/admin"
	"github.com/pquic-go/pquic/cmd/internal/cliutil"
	"github.com/pquic-go/pquic/plugins"
)

// defaultSocket is where programs that a system starts put theirs.
const defaultSocket = "/run/pquic/admin.sock"

func ctlCommand() *cli.Command {
	o := new(options)
	socket := defaultSocket
	flags := append(o.flags(false), cliutil.Flag{Name: "socket", Usage: "ask the program that was started with --admin `PATH`"}.String(&socket))
	return cliutil.Command("ctl", "see and change the plugins of a running program",
		"pquic-plugin ctl [--socket PATH] list\n"+
			"   pquic-plugin ctl [--socket PATH] attach NAME|FILE[,OPTION=VALUE…] CONNECTION|all\n"+
			"   pquic-plugin ctl [--socket PATH] detach NAME CONNECTION|all\n"+
			"   pquic-plugin ctl [--socket PATH] stats [CONNECTION|all]",
		`CONNECTION is a number or an ID that list shows. The ID is the connection's original destination
connection ID, which names its qlog file and is in its log lines. The object FILE is read here and
sent to the program, which verifies it. A plugin with frames or transport parameters of its own
cannot come or go after the handshake: that takes --plugin or --plugin-for. stats counts the
calls of what is attached, samples the time of some of them, and counts all faults there were.`,
		flags, &cliutil.Help{
			Examples: []cliutil.Example{
				{Does: "which connections there are, with their plugins", Line: "pquic-plugin ctl list"},
				{Does: "watch all of them, and what that costs", Line: "pquic-plugin ctl attach monitoring,interval=1s all && pquic-plugin ctl stats"},
				{Does: "no longer watch the third", Line: "pquic-plugin ctl detach monitoring 3"},
			},
			ExitCodes: []cliutil.ExitCode{
				{Code: 0, Meaning: "done"},
				{Code: 1, Meaning: "failed: no such program, connection or plugin, or a connection refused; the reason is on standard error"},
				{Code: 2, Meaning: "bad flag, argument or environment variable"},
			},
		}, func(c *cli.Context) error {
			r, err := request(c.Args().Slice())
			if err != nil {
				return err
			}
			return ask(socket, r, o.json, c.App.Writer)
		})
}

// request makes a request of a command line.
func request(args []string) (*admin.Request, error) {
	const help = "; see pquic-plugin ctl --help"
	if len(args) == 0 {
		return nil, cliutil.Usagef("the command is missing: want list, attach, detach or stats%s", help)
	}
	r := &admin.Request{Op: args[0], Connection: admin.All}
	args = args[1:]
	var spec string
	switch r.Op {
	case admin.OpList:
	case admin.OpStats:
		if len(args) > 0 {
			r.Connection, args = args[0], args[1:]
		}
	case admin.OpAttach, admin.OpDetach:
		if len(args) < 2 {
			return nil, cliutil.Usagef("%s: want a plugin and a connection, or all%s", r.Op, help)
		}
		spec, r.Connection, args = args[0], args[1], args[2:]
	default:
		return nil, cliutil.Usagef("unknown command %q: want list, attach, detach or stats%s", r.Op, help)
	}
	if len(args) > 0 {
		return nil, cliutil.Usagef("unexpected argument %q after %s%s", args[0], r.Op, help)
	}
	switch r.Op {
	case admin.OpDetach:
		r.Plugin = spec
	case admin.OpAttach:
		return r, readPlugin(r, spec)
	}
	return r, nil
}

// readPlugin puts the plugin of a NAME|FILE[,OPTION=VALUE…] into a request.
func readPlugin(r *admin.Request, spec string) (err error) {
	var name string
	if name, r.Options, err = plugins.ParseSpec(spec); err != nil {
		return cliutil.Usagef("attach %q: %v", spec, err)
	}
	r.Plugin = name
	if !strings.ContainsAny(name, `/\`) && !strings.HasSuffix(name, ".o") {
		return nil
	}
	r.Plugin = filepath.Base(name)
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	if r.Object, err = io.ReadAll(io.LimitReader(f, admin.MaxObject+1)); err != nil {
		return err
	}
	if n := len(r.Object); n == 0 || n > admin.MaxObject {
		return fmt.Errorf("%s is no plugin: want an object file of 1 to %d bytes", name, admin.MaxObject)
	}
	return nil
}

// ask sends the request and prints the answer.
func ask(socket string, r *admin.Request, asJSON bool, w io.Writer) error {
	c, err := admin.Dial(socket)
	if err != nil {
		return err
	}
	defer c.Close()
	var refused *admin.Error // the first
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	lines := json.NewEncoder(w)
	rows := 0
	end, err := c.Do(r, func(p *admin.Reply) {
		if p.Connection != nil && p.Connection.Error != nil && refused == nil {
			refused = p.Connection.Error
		}
		switch {
		case asJSON:
			_ = lines.Encode(p)
		case r.Op == admin.OpList && p.Connection != nil:
			printConnection(t, rows == 0, p.Connection)
			rows++
		case p.Pluglet != nil:
			printPluglet(t, rows == 0, p.Pluglet)
			rows++
		}
	})
	if err != nil {
		return explainRefusal(err)
	}
	if asJSON {
		err = lines.Encode(&admin.Reply{End: end})
	} else if rows > 0 {
		err = t.Flush()
	} else {
		err = printEnd(w, r, end)
	}
	if refused == nil || err != nil {
		return err
	}
	if n := end.Connections + end.Refused; n > 1 {
		return explainRefusal(fmt.Errorf("%d of %d connections refused, the first: %w", end.Refused, n, refused))
	}
	return explainRefusal(refused)
}

// explainRefusal makes an error fit for a terminal, and says what would be
// right.
func explainRefusal(err error) error {
	text, code := printable(cliutil.OneLine(err)), cliutil.ExitFailure
	if errors.Is(err, plugins.ErrTooLate) {
		text += ", by --plugin or --plugin-for"
	}
	var e *admin.Error
	if errors.As(err, &e) && (e.Code == admin.CodeOption || e.Code == admin.CodeRequest) {
		code = cliutil.ExitUsage
	}
	return cliutil.Exit(code, errors.New(text))
}

func printEnd(w io.Writer, r *admin.Request, end *admin.End) error {
	var err error
	name := printable(strings.TrimSpace(end.Plugin + " " + end.Version))
	switch {
	case r.Op == admin.OpAttach && end.Connections+end.Refused == 0:
		return errors.New("there is no connection to attach it to; --plugin attaches to those to come")
	case r.Op == admin.OpAttach && end.Connections > 0:
		_, err = fmt.Fprintf(w, "attached %s to %s\n", name, connections(end.Connections))
	case r.Op == admin.OpDetach && end.Connections > 0:
		_, err = fmt.Fprintf(w, "detached %s from %s\n", name, connections(end.Connections))
	case r.Op == admin.OpList:
		_, err = fmt.Fprintln(w, "no connections")
	case r.Op == admin.OpStats:
		_, err = fmt.Fprintf(w, "no plugins on %s\n", connections(end.Connections))
	}
	return err
}

func connections(n int) string {
	if n == 1 {
		return "1 connection"
	}
	return strconv.Itoa(n) + " connections"
}

func printConnection(w io.Writer, first bool, c *admin.Connection) {
	if first {
		fmt.Fprintf(w, "number\tconnection\tremote\talpn\tsni\tplugins\n")
	}
	var list []string
	for _, p := range c.Plugins {
		s := fmt.Sprintf("%s %s (%d calls)", p.Name, p.Version, p.Calls)
		if p.Offered {
			s = fmt.Sprintf("%s %s (offered)", p.Name, p.Version)
		}
		list = append(list, s)
	}
	fmt.Fprintf(w, "%d\t%s\t%s\t%s\t%s\t%s\n", c.Number, cell(c.ID), cell(c.Remote), cell(c.ALPN), cell(c.SNI), cell(strings.Join(list, ", ")))
}

func printPluglet(w io.Writer, first bool, p *admin.Pluglet) {
	if first {
		fmt.Fprintf(w, "plugin\tpluglet\tconnections\tcalls\ttime per call\tfaults\n")
	}
	mean := "-"
	if p.Sampled > 0 {
		mean = (time.Duration(p.SampledTime) / time.Duration(p.Sampled)).String()
	}
	fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%s\t%d\n", cell(p.Plugin), cell(p.Section), p.Connections, p.Calls, mean, p.Faults)
}

// cell is a text in a table: never empty, so that columns can be counted.
func cell(s string) string {
	if s == "" {
		return "-"
	}
	return printable(s)
}

// printable replaces what could control a terminal: names come from peers and
// from object files.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '?'
	}, s)
}
