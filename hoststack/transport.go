package hoststack

import (
	"context"
	"crypto/rand"
	"errors"
	"math"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"

	"github.com/pquic-go/pquic/core"
	"github.com/pquic-go/pquic/core/connid"
	"github.com/pquic-go/pquic/core/token"
)

// A Transport is a set of workers on one local address. A Listener has one of
// its own; Dial uses one that the process shares, or Config.Transport.
type Transport struct {
	cfg       *Config
	server    bool
	layout    connid.Layout
	replay    *token.ReplayGuard // shared by the workers' keyrings
	admission *admission         // servers only
	workers   []*worker
	steering  Steering
	steerErr  error // why the better ways of steering were refused

	accepted chan *Conn    // servers: connections ready for Accept
	closing  chan struct{} // closed by Close and Shutdown
	stopped  chan struct{} // closed when all workers have ended

	closeOnce, stopOnce sync.Once

	conns  atomic.Int64  // connections held
	change chan struct{} // holds one: conns may have become zero
	turn   atomic.Uint32 // which worker dials next
}

// NewTransport opens sockets for Dial. The address is the local one, ":0" for
// any; cfg.Workers of them share it.
func NewTransport(network, addr string, cfg *Config) (*Transport, error) {
	if cfg == nil {
		cfg = &Config{}
	}
	c, err := cfg.prepare(false)
	if err != nil {
		return nil, err
	}
	return openTransport(context.Background(), network, addr, c, false)
}

// openTransport opens the datapaths and starts the workers.
func openTransport(ctx context.Context, network, addr string, cfg *Config, server bool) (*Transport, error) {
	open := cfg.Datapaths
	if open == nil {
		open = func(n int) ([]Datapath, error) { return ListenUDP(ctx, network, addr, n, &cfg.UDP) }
	}
	paths, err := open(cfg.Workers)
	if err != nil {
		return nil, err
	}
	t := &Transport{
		cfg:     cfg,
		server:  server,
		layout:  cfg.Layout,
		closing: make(chan struct{}),
		stopped: make(chan struct{}),
		change:  make(chan struct{}, 1),
	}
	if server {
		t.accepted = make(chan *Conn, cfg.Limits.Backlog)
		t.replay = token.NewReplayGuard(0, 0)
		t.admission = newAdmission(&cfg.Limits)
	}
	if err := t.start(paths); err != nil {
		for _, p := range paths {
			p.Close()
		}
		return nil, err
	}
	return t, nil
}

// start makes a worker for each datapath and lets them run.
func (t *Transport) start(paths []Datapath) error {
	t.layout.Workers = 0
	if len(paths) > 1 {
		t.layout.Workers = len(paths)
	}
	if err := t.layout.Validate(); err != nil {
		return err
	}
	t.steering, t.steerErr = steer(paths, t.layout.Steering())
	for i, p := range paths {
		w := newWorker(t, i, p)
		if err := w.open(); err != nil {
			return err
		}
		t.workers = append(t.workers, w)
	}
	var running sync.WaitGroup
	for _, w := range t.workers {
		running.Go(w.loop)
	}
	go func() {
		running.Wait()
		close(t.stopped)
	}()
	return nil
}

// open makes the worker's engine.
func (w *worker) open() error {
	t := w.group
	cfg := &core.EndpointConfig{
		Server: t.server,
		Worker: w.index,
		Layout: t.layout,
		Random: random,
	}
	if t.server {
		limits := &t.cfg.Limits
		tokens, err := token.NewKeyring(token.Config{Keys: t.cfg.Keys.Secrets, Random: random, Replay: t.replay})
		if err != nil {
			return err
		}
		w.tokens = tokens
		cfg.Config = &t.cfg.Core
		cfg.Tokens = tokens
		cfg.ResetKey = t.cfg.Keys.resetKey()
		cfg.Accept = w.accept
		cfg.Admit = w.admit
		cfg.Retry = w.wantRetry
		cfg.MaxConns = noLimit(limits.Connections)
		cfg.MaxHandshakes = noLimit(limits.Handshakes)
		cfg.RetryAbove = max(limits.RetryAbove, 1)
	}
	ep, err := core.NewEndpoint(cfg)
	w.ep = ep
	return err
}

// noLimit turns a negative limit into one that is never reached.
func noLimit(n int) int {
	if n < 0 {
		return math.MaxInt
	}
	return n
}

// random is the engines' source of randomness.
func random(b []byte) {
	// Never fails: the runtime ends the process if the system has none.
	_, _ = rand.Read(b)
}

// Addr returns the local address.
func (t *Transport) Addr() net.Addr { return net.UDPAddrFromAddrPort(t.localAddr()) }

func (t *Transport) localAddr() netip.AddrPort { return t.workers[0].dp.LocalAddr() }

// Features tells what the datapaths can do.
func (t *Transport) Features() Features { return t.workers[0].dp.Features() }

// Steering tells how datagrams find their worker, and why a better way was not
// available.
func (t *Transport) Steering() (Steering, error) { return t.steering, t.steerErr }

// Workers returns how many workers there are.
func (t *Transport) Workers() int { return len(t.workers) }

// Stats returns the counters summed over the workers.
func (t *Transport) Stats() Stats {
	var s Stats
	for _, w := range t.workers {
		s.add(&w.stats)
	}
	return s
}

// refuse makes the transport take no new connections.
func (t *Transport) refuse() { t.closeOnce.Do(func() { close(t.closing) }) }

// refusing reports whether refuse was called.
func (t *Transport) refusing() bool {
	select {
	case <-t.closing:
		return true
	default:
		return false
	}
}

// Close closes all connections with code 0, the sockets, and ends the workers.
// It returns when they have ended. Calls that wait for something return errors
// for which errors.Is(err, net.ErrClosed) holds.
func (t *Transport) Close() error {
	t.refuse()
	t.stop()
	<-t.stopped
	return nil
}

// Shutdown takes no new connections, waits for those there are to end, and
// closes. If ctx ends first, Shutdown closes what is left and returns ctx's
// error.
func (t *Transport) Shutdown(ctx context.Context) error {
	t.refuse()
	var err error
	for err == nil && t.conns.Load() > 0 {
		select {
		case <-t.change:
		case <-t.stopped:
			return nil
		case <-ctx.Done():
			err = context.Cause(ctx)
		}
	}
	return errors.Join(err, t.Close())
}

// stop tells the workers to end. It may be called by a worker.
func (t *Transport) stop() {
	t.stopOnce.Do(func() {
		for _, w := range t.workers {
			w.post(func() { w.stopping = true })
		}
	})
}

// connGone counts a connection out.
func (t *Transport) connGone() {
	if t.conns.Add(-1) > 0 {
		return
	}
	select {
	case t.change <- struct{}{}:
	default:
	}
}
