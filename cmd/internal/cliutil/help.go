package cliutil

import (
	"fmt"
	"strings"

	"github.com/urfave/cli/v2"
)

// An Example is a command line and what it does.
type Example struct {
	Does, Line string
}

// Help is what a program's help says beyond its flags.
type Help struct {
	Examples  []Example
	ExitCodes []ExitCode
}

// An ExitCode is a code a program may exit with.
type ExitCode struct {
	Code    int
	Meaning string
}

// text is the help of a program or command, a template of package cli.
func (h *Help) text(flags []cli.Flag, ofApp bool) string {
	var b strings.Builder
	b.WriteString("{{.HelpName}} - {{.Usage}}\n\nUSAGE\n   {{.UsageText}}\n{{if .Description}}\n{{.Description}}\n{{end}}")
	if ofApp {
		b.WriteString("{{if .VisibleCommands}}\nCOMMANDS (each has its own --help){{range .VisibleCommands}}\n   {{.Name}}\t{{.Usage}}{{end}}\n{{end}}")
	}
	h.writeFlags(&b, flags, ofApp)
	if len(h.Examples) > 0 {
		b.WriteString("\nEXAMPLES")
		for _, e := range h.Examples {
			fmt.Fprintf(&b, "\n   # %s\n   %s\n", e.Does, e.Line)
		}
	}
	if len(h.ExitCodes) > 0 {
		b.WriteString("\nEXIT CODES\n")
		for _, c := range h.ExitCodes {
			fmt.Fprintf(&b, "   %-4d %s\n", c.Code, c.Meaning)
		}
	}
	return b.String()
}

// writeFlags writes the flags by category, in the order in which these first
// appear.
func (h *Help) writeFlags(b *strings.Builder, flags []cli.Flag, ofApp bool) {
	var order []string
	byCategory := make(map[string][]cli.Flag)
	for _, f := range flags {
		category := ""
		if c, ok := f.(cli.CategorizableFlag); ok {
			category = c.GetCategory()
		}
		if byCategory[category] == nil {
			order = append(order, category)
		}
		byCategory[category] = append(byCategory[category], f)
	}
	own := []cli.Flag{helpFlag}
	if ofApp {
		own = append(own, versionFlag)
	}
	if len(order) == 0 {
		order = []string{""}
	}
	last := order[len(order)-1]
	byCategory[last] = append(byCategory[last], own...)
	for _, category := range order {
		title := category
		if title == "" {
			title = "FLAGS"
		}
		fmt.Fprintf(b, "\n%s\n", title)
		for _, f := range byCategory[category] {
			fmt.Fprintln(b, describe(f))
		}
	}
}

// Columns of the flags' names, their descriptions and the end of a line.
const (
	flagColumn = 3
	textColumn = 32
	lineLength = 100
)

// describe is a flag's entry in the help.
func describe(f cli.Flag) string {
	d, ok := f.(cli.DocGenerationFlag)
	if !ok {
		return ""
	}
	usage, value := d.GetUsage(), ""
	if parts := strings.Split(usage, "`"); len(parts) == 3 {
		usage, value = strings.Join(parts, ""), " "+parts[1]
	} else if d.TakesValue() {
		value = " VALUE"
	}
	head := strings.Repeat(" ", flagColumn) + dashed(f.Names()[0]) + value
	for _, alias := range f.Names()[1:] {
		head += ", " + dashed(alias)
	}
	text := usage
	if def := d.GetDefaultText(); def != "" && d.TakesValue() {
		text += " (default: " + def + ")"
	}
	for _, env := range d.GetEnvVars() {
		text += " [$" + env + "]"
	}
	if len(head) > textColumn-2 {
		head += "\n"
	} else {
		head += strings.Repeat(" ", textColumn-len(head))
	}
	return head + wrap(text, textColumn, !strings.HasSuffix(head, "\n"))
}

// wrap breaks text into lines that begin at a column. If begun, the first line
// is there already.
func wrap(text string, column int, begun bool) string {
	var b strings.Builder
	at := lineLength
	if begun {
		at = column - 1
	}
	for i, word := range strings.Fields(text) {
		switch {
		case at+1+len(word) > lineLength:
			if i > 0 {
				b.WriteByte('\n')
			}
			b.WriteString(strings.Repeat(" ", column))
			at = column
		case i > 0:
			b.WriteByte(' ')
			at++
		default:
			at++
		}
		b.WriteString(word)
		at += len(word)
	}
	return b.String()
}

// App makes a program of one command.
func App(name, usage, usageText, description string, flags []cli.Flag, help *Help, action cli.ActionFunc) *cli.App {
	return &cli.App{
		Name: name, HelpName: name, Usage: usage, UsageText: usageText, Description: description,
		Flags: flags, Action: action, CustomAppHelpTemplate: help.text(flags, true),
	}
}

// Command makes one of several commands of a program.
func Command(name, usage, usageText, description string, flags []cli.Flag, help *Help, action cli.ActionFunc) *cli.Command {
	return &cli.Command{
		Name: name, Usage: usage, UsageText: usageText, Description: description,
		Flags: flags, Action: action, CustomHelpTemplate: help.text(flags, false), HideHelpCommand: true,
	}
}

// Commands makes a program of several commands.
func Commands(name, usage, usageText, description string, commands []*cli.Command, help *Help) *cli.App {
	app := App(name, usage, usageText, description, nil, help, func(c *cli.Context) error {
		var names []string
		for _, c := range commands {
			names = append(names, c.Name)
		}
		if c.Args().Present() {
			return Usagef("unknown command %q: want %s; see %s --help", c.Args().First(), OneOf(names), name)
		}
		return Usagef("the command is missing: want %s %s; see %s --help", name, OneOf(names), name)
	})
	app.Commands = commands
	return app
}
