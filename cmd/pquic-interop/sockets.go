package main

import (
	"context"
	"errors"
	"slices"
	"sync"

	"github.com/pquic-go/pquic/core/mono"
	"github.com/pquic-go/pquic/hoststack"
)

// pairedSockets is a datapath over two UDP sockets: the second is the address a
// connection moves to. Its datagrams take a detour through a queue, which is
// good enough for tests.
type pairedSockets struct {
	hoststack.Datapath // the first
	second             hoststack.Datapath

	mu    sync.Mutex
	queue []hoststack.Packet // received by the second, payloads owned
	taken []hoststack.Packet // handed out, reused at the next ReadBatch
	done  chan struct{}
}

// queueLimit bounds the datagrams that wait, as a socket's buffer would.
const queueLimit = 4096

// listenOnBoth opens two sockets.
func listenOnBoth(ctx context.Context, first, second string, cfg *hoststack.UDPConfig) (*pairedSockets, error) {
	a, err := hoststack.ListenUDP(ctx, "udp", first, 1, cfg)
	if err != nil {
		return nil, err
	}
	b, err := hoststack.ListenUDP(ctx, "udp", second, 1, cfg)
	if err != nil {
		return nil, errors.Join(err, a[0].Close())
	}
	p := &pairedSockets{Datapath: a[0], second: b[0], done: make(chan struct{})}
	go p.receive()
	return p, nil
}

// receive moves the second socket's datagrams to the queue.
func (p *pairedSockets) receive() {
	defer close(p.done)
	batch := make([]hoststack.Packet, 8)
	for {
		n, err := p.second.ReadBatch(batch, mono.Never, func() bool { return true })
		if err != nil {
			return // closed
		}
		p.mu.Lock()
		for _, b := range batch[:n] {
			if len(p.queue) < queueLimit {
				b.Payload = slices.Clone(b.Payload)
				p.queue = append(p.queue, b)
			}
		}
		p.mu.Unlock()
		p.Wake()
	}
}

// ReadBatch serves the queue first.
func (p *pairedSockets) ReadBatch(batch []hoststack.Packet, deadline mono.Time, park func() bool) (int, error) {
	if n := p.dequeue(batch); n > 0 {
		return n, nil
	}
	if park != nil {
		own := park
		park = func() bool { return own() && !p.waiting() }
	}
	return p.Datapath.ReadBatch(batch, deadline, park)
}

func (p *pairedSockets) dequeue(batch []hoststack.Packet) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := copy(batch, p.queue)
	p.taken = append(p.taken[:0], p.queue[:n]...)
	p.queue = slices.Delete(p.queue, 0, n)
	return n
}

func (p *pairedSockets) waiting() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.queue) > 0
}

// WriteBatch sends each run from the socket that has its port.
func (p *pairedSockets) WriteBatch(batch []hoststack.Packet) (int, error) {
	port := p.second.LocalAddr().Port()
	for done := 0; done < len(batch); {
		second := batch[done].Local.Port() == port
		end := done + 1
		for end < len(batch) && (batch[end].Local.Port() == port) == second {
			end++
		}
		to := p.Datapath
		if second {
			to = p.second
		}
		n, err := to.WriteBatch(batch[done:end])
		done += n
		if err != nil {
			return done, err
		}
	}
	return len(batch), nil
}

// Close closes both sockets.
func (p *pairedSockets) Close() error {
	err := errors.Join(p.Datapath.Close(), p.second.Close())
	<-p.done
	return err
}
