package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/pquic-go/pquic/cmd/internal/cliutil"
	"github.com/pquic-go/pquic/cmd/internal/quicflags"
	"github.com/pquic-go/pquic/cmd/internal/trust"
	"github.com/pquic-go/pquic/hoststack"
	"github.com/pquic-go/pquic/hoststack/perf"
)

// clientOptions are the values of the client's flags. Numbers are -1, or 0
// where that has no meaning of its own, until preset fills in the scenario's.
type clientOptions struct {
	target   string
	scenario string
	runtime  time.Duration
	bytes    uint64
	up, down uint64
	streams  int
	conns    int
	workers  int
	perLine  bool

	json      bool
	histogram string
	plot      string

	trust trust.Options
	quic  quicflags.Options
}

func clientCommand() *cli.Command {
	o := &clientOptions{scenario: "download", up: cliutil.Unset, down: cliutil.Unset, quic: perfDefaults()}
	const what, report = "WHAT TO MEASURE", "REPORTS"
	flags := []cli.Flag{
		cliutil.Flag{Name: "target", Category: what, Usage: "the server, `HOST:PORT`"}.Address(&o.target),
		cliutil.Flag{Name: "scenario", Category: what, Usage: "measure `NAME`: " + cliutil.OneOf(scenarioNames())}.Choice(&o.scenario, scenarioNames()...),
		cliutil.Flag{Name: "bytes", Category: what, Usage: "upload or download `N` bytes on each stream instead of as many as the time allows"}.Size(&o.bytes, 1, 1<<60),
		cliutil.Flag{Name: "streams", Category: what, Usage: "keep `N` streams busy on each connection"}.Int(&o.streams, 1, maxStreams),
		cliutil.Flag{Name: "conns", Category: what, Usage: "keep `N` connections busy"}.Int(&o.conns, 1, 100000),
		cliutil.Flag{Name: "runtime", Category: what, Usage: "measure for `TIME`"}.Duration(&o.runtime, time.Millisecond, 24*time.Hour),
		cliutil.Flag{Name: "up", Category: what, Usage: "`SIZE` of a request in rps, rps-multi and latency"}.Size(&o.up, 0, 1<<40),
		cliutil.Flag{Name: "down", Category: what, Usage: "`SIZE` of an answer in rps, rps-multi and latency"}.Size(&o.down, 0, 1<<40),
		cliutil.Flag{Name: "workers", Category: what, Usage: "share the connections among `N` workers; by default one per processor, if there are that many connections"}.Int(&o.workers, 1, 256),
		cliutil.Flag{Name: "json", Category: report, Usage: "print one JSON object instead of result lines"}.Bool(&o.json),
		cliutil.Flag{Name: "per-stream", Category: report, Usage: "print a result line for each stream of upload and download as well"}.Bool(&o.perLine),
		cliutil.Flag{Name: "histogram", Category: report, Usage: "write the latencies' distribution to `FILE`, in HdrHistogram's text form; - prints it"}.String(&o.histogram),
		cliutil.Flag{Name: "plot", Category: report, Usage: "draw it into `FILE`, in SVG"}.String(&o.plot),
	}
	flags = append(flags, o.trust.Flags()...)
	flags = append(flags, o.quic.Flags()...)
	return cliutil.Command("client", "measure", "pquic-perf client --target HOST:PORT [--scenario NAME] [flags]",
		scenarioText(), flags, &cliutil.Help{
			Examples: []cliutil.Example{
				{Does: "how fast 1 GB comes down", Line: "pquic-perf client --target 127.0.0.1:4433 --insecure --scenario download --bytes 1GB"},
				{Does: "how many handshakes per second, in JSON", Line: "pquic-perf client --target 127.0.0.1:4433 --insecure --scenario hps --runtime 5s --json"},
				{Does: "the latency of small requests, with a picture", Line: "pquic-perf client --target 127.0.0.1:4433 --insecure --scenario latency --histogram latency.hgrm --plot latency.svg"},
			},
			ExitCodes: exitCodes,
		}, func(c *cli.Context) error {
			if err := cliutil.NoArguments(c); err != nil {
				return err
			}
			if err := o.preset(c); err != nil {
				return err
			}
			return runClient(c.Context, o, c.App.Writer, c.App.ErrWriter)
		})
}

// errInterrupted is the cause of a context that a signal ended.
var errInterrupted = errors.New("interrupted")

func runClient(ctx context.Context, o *clientOptions, stdout, stderr io.Writer) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(signals)
	go func() {
		select {
		case <-signals:
			cancel(errInterrupted)
			signal.Stop(signals) // the second one ends the process
		case <-ctx.Done():
		}
	}()

	log := o.quic.Logger(stderr)
	setup, err := o.quic.Setup("pquic-perf", log)
	if err != nil {
		return err
	}
	defer setup.Close()
	cfg := setup.Config
	if cfg.TLS, err = o.trust.TLS([]string{perf.ALPN}, setup.KeyLog); err != nil {
		return err
	}
	cfg.Core.MaxBidiStreams = -1 // the protocol lets no server open any
	cfg.Workers = o.workers
	if o.workers == 0 {
		cfg.Workers = min(o.conns, runtime.GOMAXPROCS(0))
	}
	t, err := hoststack.NewTransport("udp", ":0", cfg)
	if err != nil {
		return fmt.Errorf("opening a UDP socket: %w", err)
	}
	defer t.Close()
	cfg.Transport = t
	if !o.json {
		fmt.Fprintf(stdout, "%s to %s: %s\n", o.scenario, o.target, o.plan())
	}
	m := &measurement{o: o, cfg: cfg, log: log}
	err = m.run(ctx)
	if errors.Is(err, errInterrupted) {
		return cliutil.Exit(cliutil.ExitInterrupted, errors.New("interrupted before anything was measured"))
	}
	if err != nil {
		return err
	}
	if err := m.print(stdout); err != nil {
		return err
	}
	if errors.Is(context.Cause(ctx), errInterrupted) {
		return cliutil.Exit(cliutil.ExitInterrupted, errors.New("interrupted: the figures are of what was measured until then"))
	}
	return nil
}
