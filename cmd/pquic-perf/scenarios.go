package main

import (
	"fmt"
	"runtime"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/pquic-go/pquic/cmd/internal/cliutil"
	"github.com/pquic-go/pquic/hoststack/perf"
)

// A scenario is what secnetperf calls by this name.
type scenario struct {
	name, does string
	runtime    time.Duration
	conns      int // per processor if manyConns
	manyConns  bool
	streams    int // 0: the scenario has none
	transfer   bool
	requests   bool
}

// The sizes of requests and answers of the scenarios that exchange small ones.
const (
	requestUp   = 512
	requestDown = 4000
)

var scenarios = []scenario{
	{name: "upload", does: "one stream up for 12 s", runtime: 12 * time.Second, conns: 1, streams: 1, transfer: true},
	{name: "download", does: "one stream down for 12 s", runtime: 12 * time.Second, conns: 1, streams: 1, transfer: true},
	{name: "hps", does: "handshakes, 16 at once per processor, for 12 s", runtime: 12 * time.Second, conns: 16, manyConns: true},
	{name: "rps", does: "512 bytes up and 4000 down on each of 100 streams at once, again and again for 20 s", runtime: 20 * time.Second, conns: 1, streams: 100, requests: true},
	{name: "rps-multi", does: "the same on 16 connections per processor", runtime: 20 * time.Second, conns: 16, manyConns: true, streams: 100, requests: true},
	{name: "latency", does: "512 bytes up and 4000 down, one after the other for 20 s", runtime: 20 * time.Second, conns: 1, streams: 1, requests: true},
}

func scenarioNames() []string {
	var names []string
	for _, s := range scenarios {
		names = append(names, s.name)
	}
	return names
}

// scenarioText describes the scenarios in the help.
func scenarioText() string {
	var b strings.Builder
	b.WriteString("The scenarios, what they do unless flags say otherwise:\n")
	for _, s := range scenarios {
		fmt.Fprintf(&b, "   %-10s %s\n", s.name, s.does)
	}
	b.WriteString("The result lines are those of secnetperf, msquic's measuring program.")
	return b.String()
}

func scenarioNamed(name string) *scenario {
	for i := range scenarios {
		if scenarios[i].name == name {
			return &scenarios[i]
		}
	}
	return nil
}

// preset refuses flags that mean nothing in the scenario and fills in what the
// user left open.
func (o *clientOptions) preset(c *cli.Context) error {
	s := scenarioNamed(o.scenario)
	switch {
	case o.target == "":
		return cliutil.Usagef("--target is missing: want --target HOST:PORT, the address of a perf server")
	case c.IsSet("bytes") && !s.transfer:
		return cliutil.Usagef("--bytes is for the scenarios upload and download, not %s%s", s.name, instead(s.requests, ": want --up and --down"))
	case (c.IsSet("up") || c.IsSet("down")) && !s.requests:
		return cliutil.Usagef("--up and --down are for the scenarios rps, rps-multi and latency, not %s%s", s.name, instead(s.transfer, ": want --bytes"))
	case c.IsSet("streams") && s.streams == 0:
		return cliutil.Usagef("--streams means nothing in the scenario %s, which has none: want --conns", s.name)
	case c.IsSet("per-stream") && !s.transfer:
		return cliutil.Usagef("--per-stream is for the scenarios upload and download, not %s", s.name)
	case o.json && o.histogram == "-":
		return cliutil.Usagef("--json and --histogram - would both print to standard output: name a file for the histogram")
	}
	if o.conns == 0 {
		o.conns = s.conns
		if s.manyConns {
			o.conns *= runtime.GOMAXPROCS(0)
		}
	}
	if o.streams == 0 {
		o.streams = s.streams
	}
	if o.runtime == 0 && o.bytes == 0 {
		o.runtime = s.runtime
	}
	switch {
	case s.requests:
		o.up, o.down = sizeOr(o.up, requestUp), sizeOr(o.down, requestDown)
	case s.name == "upload":
		o.up, o.down = bytesOrEndless(o.bytes), 0
	case s.name == "download":
		o.up, o.down = 0, bytesOrEndless(o.bytes)
	default:
		o.up, o.down = 0, 0
	}
	return nil
}

func instead(applies bool, text string) string {
	if applies {
		return text
	}
	return ""
}

func sizeOr(size, otherwise uint64) uint64 {
	if size == cliutil.Unset {
		return otherwise
	}
	return size
}

func bytesOrEndless(n uint64) uint64 {
	if n == 0 {
		return perf.Endless
	}
	return n
}

// plan says what is going to be done.
func (o *clientOptions) plan() string {
	s := scenarioNamed(o.scenario)
	parts := []string{count(o.conns, "connection")}
	if s.streams > 0 {
		streams := count(o.streams, "stream")
		if o.conns > 1 {
			streams += " each"
		}
		parts = append(parts, streams)
	}
	switch {
	case s.requests:
		parts = append(parts, fmt.Sprintf("%s up and %s down", cliutil.FormatSize(o.up), cliutil.FormatSize(o.down)))
	case s.transfer && o.bytes > 0:
		parts = append(parts, cliutil.FormatSize(o.bytes)+" per stream")
	}
	if o.runtime > 0 {
		parts = append(parts, o.runtime.String())
	}
	return strings.Join(parts, ", ")
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
