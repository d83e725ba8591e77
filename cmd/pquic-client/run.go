package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/pquic-go/pquic/cmd/internal/cliutil"
	"github.com/pquic-go/pquic/cmd/internal/download"
	"github.com/pquic-go/pquic/cmd/internal/sessionfile"
)

// errInterrupted is the cause of a context that a signal ended.
var errInterrupted = errors.New("interrupted")

// A client fetches the targets.
type client struct {
	o      *options
	conn   *connector
	http   *http.Client
	stdout io.Writer
	report *reporter
}

// run fetches all targets and returns the first error.
func run(ctx context.Context, o *options, targets []target, stdout, stderr io.Writer) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stop := onSignal(func() { cancel(errInterrupted) })
	defer stop()
	if o.maxTime > 0 {
		var done context.CancelFunc
		ctx, done = context.WithTimeoutCause(ctx, o.maxTime, cliutil.Exit(exitNetwork, fmt.Errorf("not complete within --max-time %v", o.maxTime)))
		defer done()
	}
	log := o.quic.Logger(stderr)
	sessions, err := sessionfile.Open(o.resume)
	if err != nil {
		return cliutil.Exit(exitFile, fmt.Errorf("--resume %w", err))
	}
	setup, err := o.quic.Setup("pquic-client", log)
	if err != nil {
		return cliutil.Exit(exitFile, err)
	}
	defer setup.Close()
	conn, err := newConnector(o, setup, sessions, log)
	if err != nil {
		return err
	}
	transport, closeAll := conn.roundTripper()
	c := &client{o: o, conn: conn, http: &http.Client{Transport: transport}, stdout: stdout, report: newReporter(o, len(targets), stdout, stderr)}
	err = c.fetchAll(ctx, targets)
	c.report.close()
	err = cliutil.Join(err, conn.keepSessions(ctx))
	if cerr := closeAll(); cerr != nil {
		log.Debug("closing", "error", cerr)
	}
	conn.waitClosed()
	return err
}

// onSignal calls f at the first SIGINT or SIGTERM; the second ends the process
// in the system's own way. That nobody reads standard output any more becomes
// an error of the write.
func onSignal(f func()) (stop func()) {
	signal.Ignore(syscall.SIGPIPE)
	c := make(chan os.Signal, 1)
	done := make(chan struct{})
	signal.Notify(c, os.Interrupt, syscall.SIGTERM)
	go func() {
		select {
		case <-c:
			signal.Stop(c)
			f()
		case <-done:
		}
	}()
	return func() {
		signal.Stop(c)
		close(done)
	}
}

// fetchAll fetches the targets, several at once, and returns what sums their
// failures up.
func (c *client) fetchAll(ctx context.Context, targets []target) error {
	work := make(chan target)
	var wg sync.WaitGroup
	var mu sync.Mutex
	var first error
	failed := 0
	for range min(c.o.parallel, len(targets)) {
		wg.Go(func() {
			for t := range work {
				err := c.fetch(ctx, t)
				mu.Lock()
				if err != nil {
					failed++
					if first == nil {
						first = err
					}
				}
				mu.Unlock()
			}
		})
	}
	started := c.feed(ctx, work, targets)
	wg.Wait()
	if failed == 0 && started == len(targets) {
		return nil
	}
	return c.sumUp(ctx, targets, started, failed, first)
}

// feed hands out the targets and returns how many it did.
func (c *client) feed(ctx context.Context, work chan<- target, targets []target) int {
	defer close(work)
	for i, t := range targets {
		if i > 0 && c.o.delay > 0 {
			select {
			case <-time.After(c.o.delay):
			case <-ctx.Done():
			}
		}
		select {
		case work <- t:
		case <-ctx.Done():
			return i
		}
	}
	return len(targets)
}

// sumUp is the error the program ends with.
func (c *client) sumUp(ctx context.Context, targets []target, started, failed int, first error) error {
	if errors.Is(context.Cause(ctx), errInterrupted) {
		text := "interrupted"
		if n := c.report.kept; n > 0 {
			text += "; the same command goes on with what is in " + c.report.keptNames()
		}
		return cliutil.Exit(cliutil.ExitInterrupted, errors.New(text))
	}
	if first == nil {
		first = context.Cause(ctx)
	}
	if len(targets) == 1 {
		return cliutil.Exit(cliutil.CodeOf(first), fmt.Errorf("%s: %w", targets[0].text, first))
	}
	failed += len(targets) - started
	return cliutil.Exit(cliutil.CodeOf(first), fmt.Errorf("%d of %d URLs failed", failed, len(targets)))
}

// fetch fetches one target and reports it.
func (c *client) fetch(ctx context.Context, t target) error {
	req := &download.Request{
		Client: c.http, URL: t.url.String(), Header: c.o.header(), File: t.file, Fresh: c.o.fresh,
		Begin: c.report.begin, Progress: c.report.progress,
	}
	start := time.Now()
	var res download.Result
	var err error
	if t.file == "" {
		res, err = download.To(ctx, c.stdout, req)
	} else {
		res, err = req.Do(ctx)
	}
	out := c.outcome(t, &res, time.Since(start))
	switch {
	case err == nil:
		if c.o.hash && t.file != "" {
			out.SHA256, err = hashFile(t.file)
		}
	case ctx.Err() != nil:
		err = context.Cause(ctx)
	default:
		err = c.conn.explain(err)
	}
	c.report.done(out, err)
	return err
}

// hashFile returns a file's SHA-256 hash.
func hashFile(name string) (string, error) {
	f, err := os.Open(name)
	if err != nil {
		return "", cliutil.Exit(exitFile, err)
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", cliutil.Exit(exitFile, err)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
