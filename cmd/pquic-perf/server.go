package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/pquic-go/pquic/cmd/internal/certs"
	"github.com/pquic-go/pquic/cmd/internal/cliutil"
	"github.com/pquic-go/pquic/cmd/internal/cputime"
	"github.com/pquic-go/pquic/cmd/internal/netaddr"
	"github.com/pquic-go/pquic/cmd/internal/quicflags"
	"github.com/pquic-go/pquic/hoststack"
	"github.com/pquic-go/pquic/hoststack/perf"
)

// serverOptions are the values of the server's flags.
type serverOptions struct {
	listen       string
	workers      int
	retry        bool
	json         bool
	certificates certs.Options
	quic         quicflags.Options
}

// Limits that measurements do not run into, as secnetperf has them.
const (
	maxStreams   = 10000
	streamWindow = 6 << 20 // initial; connections get half as much again
)

func perfDefaults() quicflags.Options {
	o := quicflags.Defaults()
	o.FlowControl = streamWindow
	return o
}

func serverCommand() *cli.Command {
	o := &serverOptions{listen: "127.0.0.1:4433", quic: perfDefaults()}
	const serve = "SERVING"
	flags := []cli.Flag{
		cliutil.Flag{Name: "listen", Category: serve, Usage: "serve on this `ADDR:PORT`; without ADDR on all addresses, with port 0 on a free one"}.Address(&o.listen),
		cliutil.Flag{Name: "workers", Category: serve, Usage: "share the connections among `N` workers; by default one per processor"}.Int(&o.workers, 1, 256),
		cliutil.Flag{Name: "retry", Category: serve, Usage: "let every client prove its address by a Retry packet first"}.Bool(&o.retry),
		cliutil.Flag{Name: "json", Category: serve, Usage: "report as JSON at the end"}.Bool(&o.json),
	}
	flags = append(flags, o.certificates.Flags()...)
	flags = append(flags, o.quic.Flags()...)
	return cliutil.Command("server", "answer", "pquic-perf server [--listen ADDR:PORT] [flags]",
		`The first line on standard output, once the server is ready, is "listening on ADDR:PORT".
At SIGTERM or SIGINT it closes the connections, prints "cpu_seconds: N", the processor time
it has used, and exits with 0.`,
		flags, &cliutil.Help{
			Examples: []cliutil.Example{
				{Does: "serve on all addresses", Line: "pquic-perf server --listen :4433"},
				{Does: "serve on a free port with one worker", Line: "pquic-perf server --listen 127.0.0.1:0 --workers 1"},
			},
			ExitCodes: exitCodes,
		}, func(c *cli.Context) error {
			if err := cliutil.NoArguments(c); err != nil {
				return err
			}
			return runServer(c.Context, o, c.App.Writer, c.App.ErrWriter)
		})
}

// serverReport is what the server prints at its end.
type serverReport struct {
	CPUSeconds    float64 `json:"cpu_seconds"`
	Connections   uint64  `json:"connections"`
	Requests      uint64  `json:"requests"`
	BytesReceived uint64  `json:"bytes_received"`
	BytesSent     uint64  `json:"bytes_sent"`
}

func runServer(ctx context.Context, o *serverOptions, stdout, stderr io.Writer) error {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	log := o.quic.Logger(stderr)
	host, _, err := net.SplitHostPort(o.listen)
	if err != nil {
		return err
	}
	source, err := o.certificates.Load(host, log)
	if err != nil {
		return err
	}
	setup, err := o.quic.Setup("pquic-perf", log)
	if err != nil {
		return err
	}
	defer setup.Close()
	cfg := setup.Config
	cfg.TLS = source.TLS([]string{perf.ALPN})
	cfg.TLS.KeyLogWriter = setup.KeyLog
	cfg.Workers = o.workers
	cfg.Core.MaxBidiStreams, cfg.Core.MaxUniStreams = maxStreams, maxStreams
	cfg.Limits = hoststack.Limits{Connections: -1, Handshakes: -1, RetryAbove: 1 << 30, Backlog: 1 << 16}
	if o.retry {
		cfg.Limits.RetryAbove = -1
	}
	l, err := netaddr.Listen(ctx, "--listen", o.listen, cfg)
	if err != nil {
		return err
	}
	defer l.Close()
	fmt.Fprintf(stdout, "listening on %s\n", l.Addr())
	if source.SelfSigned {
		leaf, err := source.Leaf()
		if err != nil {
			return err
		}
		fmt.Fprintf(stdout, "self-signed certificate, SPKI hash %s\n", hoststack.SPKIHash(leaf))
		fmt.Fprintf(stdout, "measure: pquic-perf client --target %s --pin %s --scenario download\n", l.Addr(), hoststack.SPKIHash(leaf))
	}
	var server perf.Server
	err = serve(ctx, l, &server, log)
	stats := server.Stats()
	return errors.Join(err, l.Close(), o.printReport(stdout, &serverReport{
		CPUSeconds: cputime.Used().Seconds(), Connections: l.Stats().Handshakes,
		Requests: stats.Requests, BytesReceived: stats.BytesReceived, BytesSent: stats.BytesSent,
	}))
}

func (o *serverOptions) printReport(w io.Writer, r *serverReport) error {
	if o.json {
		return json.NewEncoder(w).Encode(r)
	}
	_, err := fmt.Fprintf(w, "cpu_seconds: %.6f\n", r.CPUSeconds)
	return err
}

// serve answers connections until ctx ends.
func serve(ctx context.Context, l *hoststack.Listener, s *perf.Server, log *slog.Logger) error {
	var conns sync.WaitGroup
	defer conns.Wait()
	for {
		c, err := l.Accept(ctx)
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		conns.Go(func() {
			begin := time.Now()
			log.Debug("connection", "remote", c.RemoteAddr())
			stop := context.AfterFunc(ctx, func() { _ = c.CloseWithError(0, "the server ends") })
			defer stop()
			err := s.ServeConn(ctx, c)
			log.Debug("connection ended", "remote", c.RemoteAddr(), "after", time.Since(begin).Round(time.Microsecond), "why", err)
		})
	}
}
