// Command pquic-plugin is the tool of those who write plugins: it starts a new
// one, compiles it, shows what it is and what it asks for, verifies it, prints
// its bytecode, runs and measures single pluglets, signs the result, and
// attaches it to the connections of a running program.
package main

import (
	"encoding/json"
	"fmt"
	"io"

	"github.com/urfave/cli/v2"

	"github.com/pquic-go/pquic/cmd/internal/cliutil"
	"github.com/pquic-go/pquic/cmd/internal/pluginflag"
	"github.com/pquic-go/pquic/plugins"
	"github.com/pquic-go/pquic/plugins/standard"
)

func main() { cliutil.Main(app()) }

func app() *cli.App {
	return cliutil.Commands("pquic-plugin", "make and examine plugins", "pquic-plugin COMMAND [flags] [arguments]",
		`A plugin is one C file, compiled into one object. docs/writing-plugins.md is the tutorial.
Where a command takes NAME|FILE, a name means one of the plugins that are compiled in, and
anything with a / or .o in it a file.`,
		[]*cli.Command{newCommand(), buildCommand(), inspectCommand(), verifyCommand(), disasmCommand(), runCommand(), benchCommand(), signCommand(), ctlCommand()},
		&cliutil.Help{
			Examples: []cliutil.Example{
				{Does: "begin a plugin", Line: "pquic-plugin new org.example.hello"},
				{Does: "compile it", Line: "pquic-plugin build hello/hello.c"},
				{Does: "see what it attaches to and asks for", Line: "pquic-plugin inspect hello/hello.o"},
				{Does: "use it", Line: "pquic-server --plugin hello/hello.o,greeting=hi"},
				{Does: "attach another to the connections of a server with --admin", Line: "pquic-plugin ctl attach monitoring all"},
			},
			ExitCodes: exitCodes,
		})
}

var exitCodes = []cliutil.ExitCode{
	{Code: 0, Meaning: "done"},
	{Code: 1, Meaning: "failed: the plugin does not compile, was refused, or faulted; the reason is on standard error"},
	{Code: 2, Meaning: "bad flag, argument or environment variable"},
}

// options are the flags that most commands have.
type options struct {
	json   bool
	engine string
}

func (o *options) flags(engine bool) []cli.Flag {
	list := []cli.Flag{cliutil.Flag{Name: "json", Usage: "print JSON"}.Bool(&o.json)}
	if engine {
		o.engine = "auto"
		list = append(list, cliutil.Flag{Name: "vm", Usage: "run bytecode by `ENGINE`: auto, interp, jit or ubpf"}.Choice(&o.engine, pluginflag.Engines...))
	}
	return list
}

// load loads the plugin that the command's first argument names.
func (o *options) load(c *cli.Context) (*plugins.Plugin, error) {
	if !c.Args().Present() {
		return nil, cliutil.Usagef("the plugin is missing: want NAME or FILE; compiled in are %s", cliutil.OneOf(standard.Names()))
	}
	p, err := standard.Load(c.Args().First(), plugins.LoadOptions{Engine: o.engine})
	if err != nil {
		return nil, err
	}
	return p, nil
}

// noMore refuses arguments after the first n.
func noMore(c *cli.Context, n int) error {
	if c.NArg() > n {
		return cliutil.Usagef("unexpected argument %q; see %s --help", c.Args().Get(n), c.Command.HelpName)
	}
	return nil
}

func printJSON(w io.Writer, v any) error {
	b, err := json.MarshalIndent(v, "", "  ")
	if err == nil {
		_, err = fmt.Fprintf(w, "%s\n", b)
	}
	return err
}
