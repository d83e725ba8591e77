package cliutil

import (
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"runtime/debug"
	"strings"

	"github.com/urfave/cli/v2"
)

var (
	versionFlag = &cli.BoolFlag{Name: "version", Usage: "print the version and exit", DisableDefaultText: true}
	helpFlag    = &cli.BoolFlag{Name: "help", Aliases: []string{"h"}, Usage: "print this text and exit", DisableDefaultText: true}
)

// Main runs a program and ends the process with its exit code.
func Main(app *cli.App) {
	os.Exit(Run(app, os.Args, os.Stdout, os.Stderr))
}

// Run runs a program and returns its exit code. An error becomes one line on
// stderr.
func Run(app *cli.App, args []string, stdout, stderr io.Writer) int {
	cli.VersionFlag, cli.HelpFlag = versionFlag, helpFlag
	app.Writer, app.ErrWriter = stdout, stderr
	app.HideHelpCommand = true
	app.Version = Version()
	app.ExitErrHandler = func(*cli.Context, error) {} // the code goes back to the caller instead
	app.OnUsageError = func(_ *cli.Context, err error, _ bool) error { return usageError(app.Name, app.Flags, err) }
	for _, c := range app.Commands {
		name := app.Name + " " + c.Name
		c.OnUsageError = func(_ *cli.Context, err error, _ bool) error { return usageError(name, c.Flags, err) }
	}
	err := app.Run(arrange(app, args))
	if err == nil {
		return ExitOK
	}
	fmt.Fprintf(stderr, "%s: %s\n", app.Name, OneLine(err))
	return CodeOf(err)
}

// arrange moves flags before other arguments, since the flag parser stops at
// the first of these: "pquic-client URL --json" is as good as the other order.
func arrange(app *cli.App, args []string) []string {
	if len(args) == 0 {
		return args
	}
	flags, head, rest := app.Flags, args[:1:1], args[1:]
	if len(app.Commands) > 0 {
		if len(rest) == 0 || strings.HasPrefix(rest[0], "-") {
			return args
		}
		head, rest = append(head, rest[0]), rest[1:]
		for _, c := range app.Commands {
			if c.HasName(head[1]) {
				flags = c.Flags
			}
		}
	}
	var front, back []string
	for len(rest) > 0 {
		arg := rest[0]
		rest = rest[1:]
		switch {
		case arg == "--":
			back, rest = append(back, rest...), nil
		case !strings.HasPrefix(arg, "-") || arg == "-":
			back = append(back, arg)
		default:
			arg, takesValue := fullName(flags, arg)
			front = append(front, arg)
			if takesValue && len(rest) > 0 {
				front, rest = append(front, rest[0]), rest[1:]
			}
		}
	}
	if len(back) > 0 {
		front = append(front, "--")
	}
	return append(append(head, front...), back...)
}

// fullName replaces a flag's alias by its name, so that both may be used at
// once, and tells whether the next argument is its value.
func fullName(flags []cli.Flag, arg string) (string, bool) {
	name, value, joined := strings.Cut(strings.TrimLeft(arg, "-"), "=")
	d, ok := find(flags, name).(cli.DocGenerationFlag)
	if !ok {
		return arg, false
	}
	name = dashed(d.Names()[0])
	if joined {
		return name + "=" + value, false
	}
	return name, d.TakesValue()
}

func find(flags []cli.Flag, name string) cli.Flag {
	for _, f := range flags {
		for _, n := range f.Names() {
			if n == name {
				return f
			}
		}
	}
	return nil
}

// The flag parser's errors have no types, only texts.
var (
	unknownFlag  = regexp.MustCompile(`^flag provided but not defined: -(.*)$`)
	badValue     = regexp.MustCompile(`(?s)^invalid value (".*") for flag -(\S+): (.*)$`)
	noValue      = regexp.MustCompile(`^flag needs an argument: -(.*)$`)
	badBool      = regexp.MustCompile(`(?s)^invalid boolean value (".*") for -(\S+): `)
	badEnv       = regexp.MustCompile(`(?s)^could not parse (".*") from environment variable "(\S+)" as value for flag \S+: (.*)$`)
	badEnvBool   = regexp.MustCompile(`(?s)^could not parse (".*") as bool value from environment variable "(\S+)" for flag`)
	badFlagNames = regexp.MustCompile(`^bad flag syntax: (.*)$`)
)

// usageError turns the flag parser's error into a line that names what was
// wrong and what would be right.
func usageError(program string, flags []cli.Flag, err error) error {
	text := err.Error()
	find := func(re *regexp.Regexp) []string { return re.FindStringSubmatch(text) }
	if m := find(unknownFlag); m != nil {
		return Usagef("unknown flag %s%s; see %s --help", dashed(m[1]), similar(flags, m[1]), program)
	}
	if m := find(badValue); m != nil {
		return Usagef("%s %s: %s", dashed(m[2]), m[1], m[3])
	}
	if m := find(noValue); m != nil {
		return Usagef("%s: the value is missing%s", dashed(m[1]), wanted(flags, m[1]))
	}
	if m := find(badBool); m != nil {
		return Usagef("%s=%s: want true, false or no value", dashed(m[2]), m[1])
	}
	if m := find(badEnv); m != nil {
		return Usagef("environment variable %s=%s: %s", m[2], m[1], m[3])
	}
	if m := find(badEnvBool); m != nil {
		return Usagef("environment variable %s=%s: want true or false", m[2], m[1])
	}
	if m := find(badFlagNames); m != nil {
		return Usagef("%q is no flag; see %s --help", m[1], program)
	}
	return Exit(ExitUsage, err)
}

func dashed(name string) string {
	if len(name) == 1 {
		return "-" + name
	}
	return "--" + name
}

// wanted names the value that a flag takes.
func wanted(flags []cli.Flag, name string) string {
	d, ok := find(flags, name).(cli.DocGenerationFlag)
	if !ok {
		return ""
	}
	parts := strings.Split(d.GetUsage(), "`")
	if len(parts) != 3 {
		return ""
	}
	return ": want " + dashed(name) + " " + parts[1]
}

// similar suggests the flag with the nearest name.
func similar(flags []cli.Flag, name string) string {
	name, _, _ = strings.Cut(name, "=")
	best, least := "", len(name)/3+1
	for _, f := range flags {
		for _, n := range f.Names() {
			if d := distance(n, name); d <= least && len(n) > 1 {
				best, least = n, d-1
			}
		}
	}
	if best == "" {
		return ""
	}
	return ", did you mean " + dashed(best) + "?"
}

// distance is the number of letters to insert, remove or replace to make one
// word of another.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replace := diagonal
			if a[i] != b[j] {
				replace++
			}
			diagonal = row[j+1]
			row[j+1] = min(replace, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

// NoArguments refuses arguments that are no flags.
func NoArguments(c *cli.Context) error {
	if c.Args().Present() {
		return Usagef("unexpected argument %q: everything is set by flags; see %s --help", c.Args().First(), c.Command.HelpName)
	}
	return nil
}

// version is set by the linker: -ldflags "-X …/cliutil.version=1.2.3".
var version string

// Version tells what was built.
func Version() string {
	v, extra := version, ""
	if info, ok := debug.ReadBuildInfo(); ok {
		if v == "" {
			v = info.Main.Version
		}
		extra = " (" + info.GoVersion
		for _, s := range info.Settings {
			switch s.Key {
			case "GOOS", "GOARCH":
				extra += " " + s.Value
			case "-tags":
				extra += " tags:" + s.Value
			}
		}
		extra += ")"
	}
	if v == "" {
		v = "(devel)"
	}
	return v + extra
}

// Join joins errors, leaving out those that say what an earlier one says.
func Join(errs ...error) error {
	var out []error
	seen := make(map[string]bool)
	for _, err := range errs {
		if err == nil || seen[err.Error()] {
			continue
		}
		seen[err.Error()] = true
		out = append(out, err)
	}
	return errors.Join(out...)
}
