// Command bench-plugins measures what plugins cost on real traffic: the same program ([perf]) over
// this repository's engine, with one set of plugins after the other at both ends, in alternating runs
// of separate server and client processes. What it compares with is the engine without plugins, in
// the same round.
//
//	go run ./cmd/bench-plugins -count 5
//
// It is run in the bench module; -h tells the rest.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/pquic-go/pquic/bench/testcert"
)

func main() {
	var err error
	if len(os.Args) > 1 && (os.Args[1] == "server" || os.Args[1] == "client") {
		err = peer()
	} else {
		err = run(os.Args[1:])
	}
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "bench-plugins:", err)
		os.Exit(1)
	}
}

// A setting is a set of plugins and what it must reach.
type setting struct {
	name, title string
	plugins     []string
	wishes      []wish
}

// settings begin with the engine alone.
var settings = []setting{
	{name: "none", title: "no plugin"},
	{name: "monitoring", title: "monitoring", plugins: []string{"monitoring"}, wishes: []wish{
		{goodputRatio, 0.95, 0.98}, {cpuRatio, 0, 0}, {extraPerPacket, 100, 40},
	}},
	{name: "controller", title: "congestion controller and ACK policy replaced (westwood, ack_delay)", plugins: []string{"westwood", "ack_delay"},
		wishes: []wish{{goodputRatio, 0.97, 0.99}, {cpuRatio, 0, 0}, {extraPerPacket, 0, 0}}},
	{name: "observers", title: "an empty pre and post on header_parsed, payload_received, packet_received, schedule_frames, payload_built, packet_sealed, congestion_on_sent, packet_acked",
		plugins: []string{"observers.o"},
		wishes:  []wish{{goodputRatio, 0, 0}, {cpuRatio, 0, 0}, {extraPerPacket, 0, 0}, {extraPerAnchor, 15, 8}}},
}

// A harness is what all runs share.
type harness struct {
	program string
	objects string // folder of the plugins that are not compiled in
	certs   testcert.Files
	bytes   uint64
	idle    int
	count   int
}

func run(args []string) error {
	var h harness
	var scale float64
	var only string
	f := flag.NewFlagSet("bench-plugins", flag.ContinueOnError)
	f.IntVar(&h.count, "count", 5, "rounds; in each every set of plugins runs once")
	f.Float64Var(&scale, "scale", 1, "size of the transfer, 1 being 1 GB, and of the number of idle connections, 1 being 10,000")
	f.StringVar(&only, "run", "", "`pattern` of the sets of plugins to run beside none: "+names(settings))
	f.StringVar(&h.objects, "objects", "../plugins/testdata", "`folder` of observers.o")
	if err := f.Parse(args); err != nil {
		return err
	}
	pattern, err := regexp.Compile("^(" + only + ")$")
	if err != nil {
		return fmt.Errorf("-run: %w", err)
	}
	if h.count < 1 || scale <= 0 {
		return errors.New("-count and -scale want more than 0")
	}
	h.bytes, h.idle = uint64(max(scale*1e9, 1e6)), int(max(scale*10_000, 100))
	chosen := settings[:1:1]
	for _, s := range settings[1:] {
		if only == "" || pattern.MatchString(s.name) {
			chosen = append(chosen, s)
		}
	}
	if h.program, err = os.Executable(); err != nil {
		return err
	}
	if h.objects, err = filepath.Abs(h.objects); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "bench-plugins-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if h.certs, err = testcert.Write(dir, testcert.Options{DNSNames: []string{"localhost"}}); err != nil {
		return err
	}
	r := &report{settings: chosen, bytes: h.bytes, idleConns: h.idle}
	if err := h.transfers(r); err != nil {
		return err
	}
	if err := h.idlers(r); err != nil {
		return err
	}
	return r.write(os.Stdout)
}

func names(list []setting) string {
	var n []string
	for _, s := range list[1:] {
		n = append(n, s.name)
	}
	return strings.Join(n, ", ")
}

// transfers runs the rounds; who goes first changes.
func (h *harness) transfers(r *report) error {
	download := []string{"-max-datagram=1452", "-workload=download", fmt.Sprint("-bytes=", h.bytes)}
	for round := range h.count {
		samples := make([]sample, len(r.settings))
		for i := range r.settings {
			k := (round + i) % len(r.settings)
			s, err := h.once(&r.settings[k], download)
			if err != nil {
				return fmt.Errorf("%s: %w", r.settings[k].name, err)
			}
			fmt.Fprintf(os.Stderr, "%-12s %s\n", r.settings[k].name, s)
			samples[k] = s
		}
		r.rounds = append(r.rounds, samples)
	}
	return nil
}

// idlers measures the memory of idle connections, with monitoring and without.
func (h *harness) idlers(r *report) error {
	for i := range r.settings {
		s := &r.settings[i]
		if s.name != "none" && s.name != "monitoring" {
			continue
		}
		got, err := h.once(s, []string{"-workload=idle", fmt.Sprint("-count=", h.idle), "-parallel=16"})
		if err != nil {
			return fmt.Errorf("idle, %s: %w", s.name, err)
		}
		r.idle = append(r.idle, got)
	}
	return nil
}
