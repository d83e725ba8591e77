package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pquic-go/pquic/cmd/internal/cliutil"
	"github.com/pquic-go/pquic/cmd/internal/cputime"
	"github.com/pquic-go/pquic/cmd/internal/reason"
	"github.com/pquic-go/pquic/hoststack"
	"github.com/pquic-go/pquic/hoststack/perf"
)

// A measurement is one run of a scenario.
type measurement struct {
	o   *clientOptions
	cfg *hoststack.Config
	log *slog.Logger

	seconds    float64
	cpuSeconds float64

	bytes      atomic.Uint64
	requests   atomic.Uint64
	handshakes atomic.Uint64

	mu      sync.Mutex
	samples []uint32 // latencies in microseconds
	streams []perf.Result
}

// dialTimeout is how long a handshake may take.
const dialTimeout = 10 * time.Second

// run runs the scenario until its end or that of ctx.
func (m *measurement) run(ctx context.Context) error {
	if scenarioNamed(m.o.scenario).streams == 0 {
		return m.timed(func() error { return m.handshakesLoop(ctx) })
	}
	conns, err := m.connect(ctx)
	if err != nil {
		return err
	}
	// Only the end of the connections ends an exchange early.
	stop := context.AfterFunc(ctx, func() { closeAll(conns) })
	defer stop()
	defer closeAll(conns)
	return m.timed(func() error { return m.exchanges(ctx, conns) })
}

func (m *measurement) timed(f func() error) error {
	start, cpu := time.Now(), cputime.Used()
	err := f()
	took := time.Since(start)
	if !scenarioNamed(m.o.scenario).transfer {
		took = min(took, m.o.runtime) // what ended later was not counted
	}
	m.seconds, m.cpuSeconds = took.Seconds(), (cputime.Used() - cpu).Seconds()
	return err
}

// dial makes one connection.
func (m *measurement) dial(ctx context.Context) (*hoststack.Conn, error) {
	dialCtx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	start := time.Now()
	c, err := hoststack.Dial(dialCtx, "udp", m.o.target, m.cfg)
	if err != nil {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		d := reason.Dialling{Addr: m.o.target, ALPN: perf.ALPN, Timeout: dialTimeout}
		return nil, cliutil.Exit(exitNoConnection, fmt.Errorf("no successful connections: %w", d.Connect(err)))
	}
	m.handshakes.Add(1)
	m.log.Debug("connected", "remote", c.RemoteAddr(), "took", time.Since(start).Round(time.Microsecond))
	return c, nil
}

// connect makes the connections that the measurement uses.
func (m *measurement) connect(ctx context.Context) ([]*hoststack.Conn, error) {
	conns := make([]*hoststack.Conn, m.o.conns)
	var g group
	for i := range conns {
		g.run(func() (err error) {
			conns[i], err = m.dial(ctx)
			return err
		})
	}
	if err := g.wait(); err != nil {
		closeAll(conns)
		return nil, err
	}
	return conns, nil
}

func closeAll(conns []*hoststack.Conn) {
	for _, c := range conns {
		if c != nil {
			_ = c.CloseWithError(0, "")
		}
	}
}

// end is when the measurement is over, the zero time if something else ends it.
func (m *measurement) end() time.Time {
	if m.o.runtime == 0 {
		return time.Time{}
	}
	return time.Now().Add(m.o.runtime)
}

// exchanges keeps the streams of all connections busy.
func (m *measurement) exchanges(ctx context.Context, conns []*hoststack.Conn) error {
	var g group
	end := m.end()
	transfer := scenarioNamed(m.o.scenario).transfer
	for _, c := range conns {
		for range m.o.streams {
			g.run(func() error {
				var err error
				if transfer {
					err = m.transfer(ctx, c, end)
				} else {
					err = m.requestLoop(ctx, c, end)
				}
				if ctx.Err() != nil || err == nil {
					return nil
				}
				if lost := reason.Loss(err, m.o.quic.IdleTimeout); lost != nil {
					return lost
				}
				return err
			})
		}
	}
	return g.wait()
}

// transfer moves data on one stream.
func (m *measurement) transfer(ctx context.Context, c *hoststack.Conn, end time.Time) error {
	r, err := perf.Do(ctx, c, perf.Request{Upload: m.o.up, Download: m.o.down, Until: end})
	m.bytes.Add(r.Sent + r.Received)
	m.requests.Add(1)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.streams = append(m.streams, r)
	if err == nil && m.o.bytes > 0 && !r.Stopped {
		m.samples = append(m.samples, microseconds(r.Elapsed))
	}
	return err
}

// requestLoop makes one request after the other.
func (m *measurement) requestLoop(ctx context.Context, c *hoststack.Conn, end time.Time) error {
	var samples []uint32
	defer func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.samples = append(m.samples, samples...)
	}()
	for ctx.Err() == nil {
		r, err := perf.Do(ctx, c, perf.Request{Upload: m.o.up, Download: m.o.down})
		if err != nil {
			return err
		}
		if time.Now().After(end) {
			return nil // what ends later does not count
		}
		samples = append(samples, microseconds(r.Elapsed))
		m.requests.Add(1)
		m.bytes.Add(r.Sent + r.Received)
	}
	return nil
}

// handshakesLoop makes connections and closes them at once.
func (m *measurement) handshakesLoop(ctx context.Context) error {
	var g group
	end := m.end()
	for range m.o.conns {
		g.run(func() error {
			var samples []uint32
			defer func() {
				m.mu.Lock()
				defer m.mu.Unlock()
				m.samples = append(m.samples, samples...)
			}()
			for ctx.Err() == nil {
				start := time.Now()
				c, err := m.dial(ctx)
				if ctx.Err() != nil {
					return nil
				}
				if err != nil {
					return err
				}
				now := time.Now()
				_ = c.CloseWithError(0, "") // it tells nothing of interest
				if now.After(end) {
					m.handshakes.Add(^uint64(0)) // too late to count
					return nil
				}
				samples = append(samples, microseconds(now.Sub(start)))
			}
			return nil
		})
	}
	return g.wait()
}

// microseconds is how secnetperf stores a latency.
func microseconds(d time.Duration) uint32 {
	return uint32(min(max(d.Microseconds(), 0), math.MaxUint32))
}

// A group runs functions and keeps their first error.
type group struct {
	wg    sync.WaitGroup
	mu    sync.Mutex
	first error
}

func (g *group) run(f func() error) {
	g.wg.Go(func() {
		if err := f(); err != nil {
			g.mu.Lock()
			defer g.mu.Unlock()
			// An interruption explains the others.
			if g.first == nil || errors.Is(err, errInterrupted) {
				g.first = err
			}
		}
	})
}

func (g *group) wait() error {
	g.wg.Wait()
	return g.first
}
