// Command matrix runs the interoperability matrix: every test case with every pair of endpoints of
// which one is ours, and prints it as a table.
//
//	go run ./cmd/matrix
//	go run ./cmd/matrix -cases handshake,retry -clients quic-go -servers pquic -keep
//
// Peers that are not installed are skipped with the reason, and so are the cases that need emulated
// links where network namespaces cannot be made; with -must they fail. What failed is run again, up to
// twice, when everything else is done, and the table says so. It exits with 1 if anything failed every
// time.
//
// The environment variable PQUIC_BIN names a directory that holds pquic-interop; without it, the
// program is built.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/pquic-go/pquic/interop/runner"
)

func main() {
	code, err := run(os.Args[1:])
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "matrix:", err)
	}
	os.Exit(code)
}

// us is the name of this repository's endpoint.
const us = "pquic"

type options struct {
	clients, servers, cases string
	keep, full, list        bool
	namespaces, must        bool
	parallel, retries       int
	seed                    uint64
	dir, json, markdown     string
	pquic, doq              string
}

func parse(args []string) (o options, err error) {
	f := flag.NewFlagSet("matrix", flag.ContinueOnError)
	f.StringVar(&o.clients, "clients", "", "comma-separated `names` of the clients; without it all that meet our server")
	f.StringVar(&o.servers, "servers", "", "comma-separated `names` of the servers; without it all that meet our client")
	f.StringVar(&o.cases, "cases", "all", "comma-separated `names` of the cases")
	f.BoolVar(&o.full, "full", false, "the interop runner's own sizes and times: takes several times as long")
	f.BoolVar(&o.namespaces, "namespaces", false, "run every case over an emulated link of 10 Mbps and 15 ms between network namespaces")
	f.BoolVar(&o.keep, "keep", false, "keep files and logs of what passed, too")
	f.BoolVar(&o.list, "list", false, "list cases and endpoints and end")
	f.IntVar(&o.parallel, "parallel", 4, "runs at a time; measuring cases run alone")
	f.IntVar(&o.retries, "retries", 2, "how often what failed is run again, one at a time after everything else; the table tells")
	f.BoolVar(&o.must, "must", false, "what would be skipped on this machine has failed")
	f.Uint64Var(&o.seed, "seed", 1, "seed of the links")
	f.StringVar(&o.dir, "dir", "", "`directory` for files and logs; a temporary one without it")
	f.StringVar(&o.json, "json", "", "`file` for the results as JSON")
	f.StringVar(&o.markdown, "markdown", "", "`file` for the table")
	var built string
	if dir := os.Getenv("PQUIC_BIN"); dir != "" {
		built = filepath.Join(dir, "pquic-interop")
	}
	f.StringVar(&o.pquic, "pquic", built, "`path` of pquic-interop; without it, it is built")
	f.StringVar(&o.doq, "doq", "", "`path` of our DNS server over QUIC; without it, it is built")
	err = f.Parse(args)
	return o, err
}

func run(args []string) (int, error) {
	o, err := parse(args)
	if err != nil {
		return 2, err
	}
	cases, err := chooseCases(o.cases)
	if err != nil {
		return 2, err
	}
	if o.namespaces {
		for i := range cases {
			cases[i] = cases[i].OverNamespaces()
		}
	}
	if o.list {
		list()
		return 0, nil
	}
	if o.dir == "" {
		if o.dir, err = os.MkdirTemp("", "interop-"); err != nil {
			return 1, err
		}
	} else if o.dir, err = filepath.Abs(o.dir); err != nil {
		return 1, err
	}
	programs, err := build(&o)
	if err != nil {
		return 1, err
	}
	pairs, err := choosePairs(runner.Endpoints(programs), &o)
	if err != nil {
		return 2, err
	}
	for _, p := range pairs {
		if programs.PquicError != "" && (p.Client.Name == us || p.Server.Name == us) {
			return 1, errors.New(programs.PquicError)
		}
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	m := &runner.Matrix{
		Pairs: pairs, Cases: cases, Dir: filepath.Join(o.dir, "runs"), Keep: o.keep, Full: o.full,
		Parallel: o.parallel, Seed: o.seed, Retries: o.retries, Must: o.must, Progress: os.Stderr,
	}
	m.Run(ctx)
	if err := report(m, &o); err != nil {
		return 1, err
	}
	if n := m.Failures(); n > 0 {
		return 1, fmt.Errorf("%d runs failed; their logs are in %s", n, m.Dir)
	}
	if !o.keep && m.Retried() == 0 {
		return 0, os.RemoveAll(o.dir)
	}
	return 0, nil
}

func chooseCases(names string) ([]*runner.Case, error) {
	all := runner.Cases()
	if names == "all" {
		return all, nil
	}
	var out []*runner.Case
	var known []string
	for _, c := range all {
		known = append(known, c.Name)
	}
	for _, name := range strings.Split(names, ",") {
		i := slices.Index(known, name)
		if i < 0 {
			return nil, fmt.Errorf("-cases: no case %q, want some of %s", name, strings.Join(known, ", "))
		}
		out = append(out, all[i])
	}
	return out, nil
}

// choosePairs returns the pairs asked for; without a choice, those with us on one side.
func choosePairs(all []*runner.Endpoint, o *options) ([]runner.Pair, error) {
	var known []string
	for _, e := range all {
		known = append(known, e.Name)
	}
	choice := func(flag, text string) ([]string, error) {
		if text == "" {
			return []string{"all"}, nil
		}
		names := strings.Split(text, ",")
		for _, n := range names {
			if n != "all" && !slices.Contains(known, n) {
				return nil, fmt.Errorf("-%s: no endpoint %q, want some of %s", flag, n, strings.Join(known, ", "))
			}
		}
		return names, nil
	}
	clients, err := choice("clients", o.clients)
	if err != nil {
		return nil, err
	}
	servers, err := choice("servers", o.servers)
	if err != nil {
		return nil, err
	}
	pairs := runner.Pairs(all, clients, servers)
	if o.clients == "" || o.servers == "" {
		pairs = slices.DeleteFunc(pairs, func(p runner.Pair) bool { return p.Client.Name != us && p.Server.Name != us })
	}
	if len(pairs) == 0 {
		return nil, errors.New("no pair of a client and a server is left of -clients and -servers")
	}
	return pairs, nil
}

func list() {
	fmt.Println("cases:")
	for _, c := range runner.Cases() {
		needs := ""
		if c.Namespaces {
			needs = "needs network namespaces"
		}
		fmt.Printf("  %-20s %s\n", c.Name, needs)
	}
	fmt.Println("endpoints:")
	for _, e := range runner.Endpoints(&runner.Programs{}) {
		fmt.Printf("  %-10s client: %-5v server: %-5v %s\n", e.Name, e.Client != nil, e.Server != nil, e.Missing)
	}
}

// build builds the endpoints that are Go programs.
func build(o *options) (*runner.Programs, error) {
	bin := filepath.Join(o.dir, "bin")
	p := &runner.Programs{
		Pquic: filepath.Join(bin, "pquic-interop"), QuicGo: filepath.Join(bin, "peer-quicgo"), XNet: filepath.Join(bin, "xnet-interop"),
		DoqPquic: filepath.Join(bin, "doq-pquic"), DoqQuicGo: filepath.Join(bin, "doq-quicgo"),
	}
	const here = "github.com/pquic-go/pquic/interop/cmd/"
	for _, b := range []struct{ out, path string }{
		{p.QuicGo, here + "peer-quicgo"}, {p.DoqQuicGo, here + "doq-quicgo"}, {p.XNet, "golang.org/x/net/internal/quic/cmd/interop"},
	} {
		if err := goBuild(b.out, b.path); err != nil {
			return nil, err
		}
	}
	if o.pquic != "" {
		p.Pquic = o.pquic
	} else if err := goBuild(p.Pquic, "github.com/pquic-go/pquic/cmd/pquic-interop"); err != nil {
		p.PquicError = firstLine(err)
	}
	if o.doq != "" {
		p.DoqPquic = o.doq
	} else if err := goBuild(p.DoqPquic, here+"doq-pquic"); err != nil {
		p.PquicError = firstLine(err)
	}
	return p, nil
}

func firstLine(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}

func goBuild(out, path string) error {
	cmd := exec.Command("go", "build", "-o", out, path)
	if text, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go build %s (run this in the interop module): %s", path, strings.TrimSpace(string(text)))
	}
	return nil
}

func report(m *runner.Matrix, o *options) error {
	outs := []io.Writer{os.Stdout}
	if o.markdown != "" {
		f, err := os.Create(o.markdown)
		if err != nil {
			return err
		}
		defer f.Close()
		outs = append(outs, f)
	}
	if err := m.Table(io.MultiWriter(outs...)); err != nil {
		return err
	}
	if o.json == "" {
		return nil
	}
	f, err := os.Create(o.json)
	if err != nil {
		return err
	}
	return errors.Join(m.JSON(f), f.Close())
}
