package perf

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pquic-go/pquic/bench/stack"
)

// A Result is what a client measured.
type Result struct {
	Bytes      uint64  `json:"bytes,omitempty"`
	Requests   uint64  `json:"requests,omitempty"`
	Handshakes uint64  `json:"handshakes,omitempty"`
	Conns      uint64  `json:"conns,omitempty"` // held open
	Seconds    float64 `json:"seconds"`
	CPUSeconds float64 `json:"cpu_seconds"` // of the client, while it measured
	// LatencyUS are microseconds from opening a stream to the end of its answer.
	LatencyUS *Latency `json:"latency_us,omitempty"`
	Steady    Steady   `json:"steady"`
	// Before and After are the client's memory, after a garbage collection.
	Before Usage `json:"before"`
	After  Usage `json:"after"`
}

// Latency holds percentiles.
type Latency struct {
	P50 float64 `json:"p50"`
	P90 float64 `json:"p90"`
	P99 float64 `json:"p99"`
	Max float64 `json:"max"`
}

// A client runs one workload.
type client struct {
	dialer stack.Dialer
	o      *options
	held   []stack.Conn
}

// workloads are the client's programs by name.
var workloads = map[string]func(*client, context.Context, *Result) error{
	"download":   (*client).download,
	"latency":    (*client).latency,
	"handshakes": (*client).handshakes,
	"idle":       (*client).idle,
}

func workloadNames() string {
	var names []string
	for n := range workloads {
		names = append(names, n)
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}

func (c *client) run(ctx context.Context) (*Result, error) {
	work := workloads[c.o.workload]
	r := &Result{Before: settled()}
	err := work(c, ctx, r)
	r.After = settled()
	return r, err
}

// settled returns the usage after a garbage collection.
func settled() Usage {
	runtime.GC()
	runtime.GC() // what finalizers and pools held goes with the second one
	return ReadUsage()
}

// timed measures f.
func timed(r *Result, f func() error) error {
	cpu, start := ReadUsage().CPUSeconds, time.Now()
	err := f()
	r.Seconds = time.Since(start).Seconds()
	r.CPUSeconds = ReadUsage().CPUSeconds - cpu
	return err
}

// download fetches bytes on each of several streams of one connection at once.
func (c *client) download(ctx context.Context, r *Result) error {
	conn, err := c.dialer.Dial(ctx, c.o.target)
	if err != nil {
		return err
	}
	defer conn.Close()
	m := steadyMeter{conn: conn, total: c.o.bytes * uint64(c.o.streams)}
	var done atomic.Uint64
	var mu sync.Mutex
	errs := make([]error, c.o.streams)
	err = timed(r, func() error {
		var all sync.WaitGroup
		for i := range errs {
			all.Go(func() {
				var before uint64
				errs[i] = request(ctx, conn, 0, c.o.bytes, func(got uint64) {
					sum := done.Add(got - before)
					before = got
					mu.Lock()
					m.at(sum)
					mu.Unlock()
				})
			})
		}
		all.Wait()
		return errors.Join(errs...)
	})
	r.Bytes, r.Requests, r.Steady = done.Load(), uint64(c.o.streams), m.end()
	return err
}

// latency makes requests of one byte and answers of one byte, one after the other, each on its
// own stream.
func (c *client) latency(ctx context.Context, r *Result) error {
	conn, err := c.dialer.Dial(ctx, c.o.target)
	if err != nil {
		return err
	}
	defer conn.Close()
	for range min(c.o.count/10, 1000) { // warm up
		if err := request(ctx, conn, 1, 1, nil); err != nil {
			return err
		}
	}
	samples := make([]time.Duration, 0, c.o.count)
	err = timed(r, func() error {
		for range c.o.count {
			if c.o.think > 0 {
				time.Sleep(c.o.think)
			}
			begin := time.Now()
			if err := request(ctx, conn, 1, 1, nil); err != nil {
				return err
			}
			samples = append(samples, time.Since(begin))
		}
		return nil
	})
	r.Requests = uint64(len(samples))
	if len(samples) > 0 {
		slices.Sort(samples)
		at := func(p float64) float64 {
			return float64(samples[int(p*float64(len(samples)-1))].Nanoseconds()) / 1e3
		}
		r.LatencyUS = &Latency{P50: at(.5), P90: at(.9), P99: at(.99), Max: at(1)}
	}
	return err
}

// handshakes makes full handshakes, several at a time, closing each connection at once.
func (c *client) handshakes(ctx context.Context, r *Result) error {
	var made atomic.Uint64
	err := timed(r, func() error {
		return c.parallel(func() error {
			conn, err := c.dialer.Dial(ctx, c.o.target)
			if err != nil {
				return err
			}
			made.Add(1)
			return conn.Close()
		})
	})
	r.Handshakes = made.Load()
	return err
}

// parallel calls f as often as the options say, several calls running at a time. The first error
// ends it.
func (c *client) parallel(f func() error) error {
	var all sync.WaitGroup
	var left atomic.Int64
	left.Store(int64(c.o.count))
	errs := make([]error, c.o.parallel)
	for i := range errs {
		all.Go(func() {
			for left.Add(-1) >= 0 {
				if errs[i] = f(); errs[i] != nil {
					left.Store(0)
					return
				}
			}
		})
	}
	all.Wait()
	return cmp.Or(errs...)
}

// idle opens connections, makes one request on each and leaves them open.
func (c *client) idle(ctx context.Context, r *Result) error {
	var mu sync.Mutex
	err := timed(r, func() error {
		return c.parallel(func() error {
			conn, err := c.dialer.Dial(ctx, c.o.target)
			if err != nil {
				return fmt.Errorf("connection %d: %w", len(c.held), err)
			}
			mu.Lock()
			c.held = append(c.held, conn)
			mu.Unlock()
			return request(ctx, conn, 1, 1, nil)
		})
	})
	r.Conns = uint64(len(c.held))
	return err
}
