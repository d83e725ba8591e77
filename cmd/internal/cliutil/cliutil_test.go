package cliutil

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/urfave/cli/v2"
)

type settings struct {
	cc      string
	alpn    []string
	headers []string
	workers int
	window  uint64
	wait    time.Duration
	addr    string
	loud    bool
	file    string
	args    []string
}

func testApp(s *settings) *cli.App {
	s.cc, s.alpn, s.window, s.addr, s.wait = "cubic", []string{"h3"}, 1<<16, "127.0.0.1:1", time.Second
	flags := []cli.Flag{
		Flag{Name: "cc", Usage: "congestion `ALGORITHM`"}.Choice(&s.cc, "bbr", "cubic"),
		Flag{Name: "alpn", Usage: "`LIST`"}.Choices(&s.alpn, "h3", "perf"),
		Flag{Name: "header", Aliases: []string{"H"}, Usage: "`LINE`"}.Strings(&s.headers, func(h string) error {
			if !strings.Contains(h, ":") {
				return errors.New("want NAME: VALUE")
			}
			return nil
		}),
		Flag{Name: "workers", Usage: "`N` workers"}.Int(&s.workers, 1, 8),
		Flag{Name: "flow-control", Aliases: []string{"f"}, Usage: "window `SIZE`"}.Size(&s.window, 1024, 1<<20),
		Flag{Name: "wait", Usage: "`TIME`"}.Duration(&s.wait, 0, time.Minute),
		Flag{Name: "listen", Usage: "`ADDR`", Env: []string{"LISTEN"}}.Address(&s.addr),
		Flag{Name: "loud", Usage: "be loud"}.Bool(&s.loud),
		Flag{Name: "file", Usage: "`FILE`"}.String(&s.file),
	}
	return App("prog", "does things", "prog [flags] [ARG…]", "It does things.", flags,
		&Help{Examples: []Example{{"do it", "prog --cc bbr"}}, ExitCodes: []ExitCode{{0, "done"}, {2, "usage"}}},
		func(c *cli.Context) error {
			s.args = c.Args().Slice()
			return nil
		})
}

func TestBadFlagsAreOneLine(t *testing.T) {
	for _, c := range []struct {
		args, want string
	}{
		{"--cc vegas", `--cc "vegas": want bbr or cubic`},
		{"--alpn h3,h4", `--alpn "h3,h4": "h4" is unknown: want h3 or perf, or several separated by commas`},
		{"--alpn h3,h3", `--alpn "h3,h3": "h3" is there twice`},
		{"--header nonsense", `--header "nonsense": want NAME: VALUE`},
		{"-H nonsense", `--header "nonsense": want NAME: VALUE`},
		{"--workers many", `--workers "many": want a whole number from 1 to 8`},
		{"--workers 9", `--workers "9": want a whole number from 1 to 8`},
		{"--flow-control 32", `--flow-control "32": is 32B: want 1KiB to 1MiB; a number without a unit counts bytes`},
		{"--flow-control lots", `--flow-control "lots": want a number of bytes, with or without a unit: 65536, 64KiB, 1.5MB or 1GB`},
		{"--wait 5", `--wait "5": want a number with a unit, such as 500ms, 10s or 2m`},
		{"--wait 5h", `--wait "5h": want 0s to 1m0s`},
		{"--listen here", `--listen "here": want HOST:PORT, such as 127.0.0.1:6121, [::1]:6121 or :6121`},
		{"--listen :65536", `--listen ":65536": port "65536": want a number from 0 to 65535`},
		{"--listen :010", `--listen ":010": port "010": want it written as 10`},
		{"--loud=perhaps", `--loud="perhaps": want true, false or no value`},
		{"--cc", `--cc: the value is missing: want --cc ALGORITHM`},
		{"--file=", `--file "": want a value, got nothing`},
		{"--worker 2", `unknown flag --worker, did you mean --workers?; see prog --help`},
		{"--nonsense", `unknown flag --nonsense; see prog --help`},
	} {
		t.Run(c.args, func(t *testing.T) {
			var s settings
			var stdout, stderr strings.Builder
			code := Run(testApp(&s), append([]string{"prog"}, strings.Fields(c.args)...), &stdout, &stderr)
			if want := "prog: " + c.want + "\n"; stderr.String() != want {
				t.Errorf("stderr: %q\nwant:   %q", stderr.String(), want)
			}
			if code != ExitUsage || stdout.String() != "" {
				t.Errorf("exit code %d and stdout %q, want %d and nothing", code, stdout.String(), ExitUsage)
			}
		})
	}
}

func TestBadEnvironmentIsOneLine(t *testing.T) {
	for _, c := range []struct{ name, value, want string }{
		{"PQUIC_CC", "vegas", `environment variable PQUIC_CC="vegas": want bbr or cubic`},
		{"PQUIC_FLOW_CONTROL", "1", `environment variable PQUIC_FLOW_CONTROL="1": is 1B: want 1KiB to 1MiB; a number without a unit counts bytes`},
		{"PQUIC_LOUD", "perhaps", `environment variable PQUIC_LOUD="perhaps": want true or false`},
		{"LISTEN", "x", `environment variable LISTEN="x": want HOST:PORT, such as 127.0.0.1:6121, [::1]:6121 or :6121`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Setenv(c.name, c.value)
			var s settings
			var stdout, stderr strings.Builder
			if code := Run(testApp(&s), []string{"prog"}, &stdout, &stderr); code != ExitUsage {
				t.Errorf("exit code %d, want %d", code, ExitUsage)
			}
			if want := "prog: " + c.want + "\n"; stderr.String() != want {
				t.Errorf("stderr: %q\nwant:   %q", stderr.String(), want)
			}
		})
	}
}

func run(t *testing.T, args string) *settings {
	t.Helper()
	var s settings
	var stdout, stderr strings.Builder
	if code := Run(testApp(&s), append([]string{"prog"}, strings.Fields(args)...), &stdout, &stderr); code != ExitOK {
		t.Fatalf("exit code %d: %s", code, stderr.String())
	}
	return &s
}

func TestValues(t *testing.T) {
	t.Setenv("PQUIC_WORKERS", "3")
	t.Setenv("PQUIC_CC", "bbr")
	s := run(t, "--cc=cubic --alpn perf,h3 -H a:1 --header b:2 -f 3KiB --flow-control 1.5KiB --wait 90ms --listen [::1]:0 --loud --file x")
	if s.cc != "cubic" || s.workers != 3 || s.window != 1536 || s.wait != 90*time.Millisecond || s.addr != "[::1]:0" || !s.loud || s.file != "x" {
		t.Errorf("got %+v", s)
	}
	if !slices.Equal(s.alpn, []string{"perf", "h3"}) || !slices.Equal(s.headers, []string{"a:1", "b:2"}) {
		t.Errorf("lists: %q and %q", s.alpn, s.headers)
	}
}

func TestFlagsMayFollowArguments(t *testing.T) {
	s := run(t, "one --workers 2 - two --loud three -- --cc --nonsense")
	if s.workers != 2 || !s.loud {
		t.Errorf("flags after arguments were not read: %+v", s)
	}
	if want := []string{"one", "-", "two", "three", "--cc", "--nonsense"}; !slices.Equal(s.args, want) {
		t.Errorf("arguments %q, want %q", s.args, want)
	}
}

func TestSizes(t *testing.T) {
	for text, want := range map[string]uint64{
		"0": 0, "1500": 1500, "1500B": 1500, "64KiB": 1 << 16, "64 kib": 1 << 16, "10MB": 1e7, "10m": 1e7, "1g": 1e9, "1.5MiB": 3 << 19, "0.5k": 500,
	} {
		if got, err := ParseSize(text); err != nil || got != want {
			t.Errorf("ParseSize(%q) = %d, %v; want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "-1", "+1", "1e6", "0x10", "inf", "nan", "1_000", "20000000TB", "KiB", "1.2.3", "99999999999999999999"} {
		if got, err := ParseSize(text); err == nil {
			t.Errorf("ParseSize(%q) = %d, want an error", text, got)
		}
	}
	for _, n := range []uint64{0, 1, 1000, 1024, 1500, 1e6, 1 << 20, 3 << 19, 12345678, 1e12, math.MaxUint64} {
		text := FormatSize(n)
		if got, err := ParseSize(text); err != nil || got != n {
			t.Errorf("ParseSize(FormatSize(%d) = %q) = %d, %v", n, text, got, err)
		}
	}
	for n, want := range map[uint64]string{0: "0 B", 999: "999 B", 1000: "1.00 kB", 12345: "12.3 kB", 999499: "999 kB", 999500: "1.00 MB", 104857600: "105 MB"} {
		if got := ShortSize(n); got != want {
			t.Errorf("ShortSize(%d) = %q, want %q", n, got, want)
		}
	}
	if got := ShortRate(2.5e9); got != "2.50 Gbit/s" {
		t.Errorf("ShortRate = %q", got)
	}
}

func TestErrors(t *testing.T) {
	err := Exit(7, fmt.Errorf("a\n b \n\nc"))
	if got := OneLine(err); got != "a; b; c" {
		t.Errorf("OneLine = %q", got)
	}
	if got := CodeOf(fmt.Errorf("more: %w", err)); got != 7 {
		t.Errorf("CodeOf = %d, want 7", got)
	}
	if CodeOf(nil) != ExitOK || CodeOf(errors.New("x")) != ExitFailure || Exit(3, nil) != nil {
		t.Error("codes of nil and plain errors")
	}
	x := errors.New("x")
	if got := Join(x, nil, errors.New("x"), errors.New("y")).Error(); got != "x\ny" {
		t.Errorf("Join = %q", got)
	}
}

const wantHelp = `prog - does things

USAGE
   prog [flags] [ARG…]

It does things.

FLAGS
   --cc ALGORITHM               congestion ALGORITHM (default: cubic) [$PQUIC_CC]
   --alpn LIST                  LIST (default: h3) [$PQUIC_ALPN]
   --header LINE, -H            LINE [$PQUIC_HEADER]
   --workers N                  N workers [$PQUIC_WORKERS]
   --flow-control SIZE, -f      window SIZE (default: 64KiB) [$PQUIC_FLOW_CONTROL]
   --wait TIME                  TIME (default: 1s) [$PQUIC_WAIT]
   --listen ADDR                ADDR (default: 127.0.0.1:1) [$PQUIC_LISTEN] [$LISTEN]
   --loud                       be loud [$PQUIC_LOUD]
   --file FILE                  FILE [$PQUIC_FILE]
   --help, -h                   print this text and exit
   --version                    print the version and exit

EXAMPLES
   # do it
   prog --cc bbr

EXIT CODES
   0    done
   2    usage
`

func TestHelp(t *testing.T) {
	var s settings
	var stdout, stderr strings.Builder
	if code := Run(testApp(&s), []string{"prog", "--help"}, &stdout, &stderr); code != ExitOK {
		t.Fatalf("exit code %d: %s", code, stderr.String())
	}
	if stdout.String() != wantHelp {
		t.Errorf("got:\n%s\nwant:\n%s", stdout.String(), wantHelp)
	}
}

func TestWrap(t *testing.T) {
	long := strings.Repeat("word ", 40)
	for line := range strings.Lines("x" + strings.Repeat(" ", textColumn-1) + wrap(long, textColumn, true)) {
		if len(line) > lineLength+1 {
			t.Errorf("line of %d characters: %q", len(line), line)
		}
	}
}
