// Package relay is a UDP relay on loopback that does to datagrams what a [linkemu.Shape] says: for
// tests that need loss, corruption, delay or a rebinding NAT, but neither privileges nor the accuracy of
// emulated links.
package relay

import (
	"container/heap"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/pquic-go/pquic/bench/linkemu"
)

// A Config describes a relay.
type Config struct {
	Listen   string         // local UDP address that clients send to, such as "127.0.0.1:0"
	Server   netip.AddrPort // where their datagrams go
	ToServer linkemu.Shape  // sizes count the UDP payload and 28 bytes of headers
	ToClient linkemu.Shape
	Seed     uint64
	// Script plays from the first datagram on; direction AToB is that to the server.
	Script []linkemu.Step
	// Observe, if set, is called for every datagram in the order of their arrival, one call at a time.
	// The payload is only valid during the call.
	Observe func(Observation)
}

// An Observation is a datagram that came to the relay.
type Observation struct {
	At         time.Duration // since the relay began
	FromClient bool
	Client     netip.AddrPort // as the server sees it
	ECN        uint8
	Fate       linkemu.Fate
	Payload    []byte
}

// headers is what IPv4 and UDP add to a payload.
const headers = 28

// A Relay runs until Close.
type Relay struct {
	c      Config
	began  time.Time
	socket *socket

	mu      sync.Mutex
	ways    [2]*linkemu.Shaper // to the server, to the client
	flows   map[netip.AddrPort]*flow
	moved   int // how often the NAT changed its address
	started bool
	timers  []*time.Timer
	pending datagrams
	delayed int // datagrams that were ever put into pending
	rng     *rand.Rand
	closed  bool

	wake chan struct{}
	done chan struct{}
	all  sync.WaitGroup
}

// A flow is a client and the socket that stands for it towards the server.
type flow struct {
	client netip.AddrPort
	up     *socket
	addr   netip.AddrPort // local address of up
}

// New starts a relay.
func New(c Config) (*Relay, error) {
	addr, err := net.ResolveUDPAddr("udp", c.Listen)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(c.ToServer.Validate(), c.ToClient.Validate()); err != nil {
		return nil, err
	}
	s, err := listen(addr)
	if err != nil {
		return nil, err
	}
	r := &Relay{
		c: c, began: time.Now(), socket: s, flows: make(map[netip.AddrPort]*flow),
		ways: [2]*linkemu.Shaper{linkemu.NewShaper(c.ToServer, c.Seed), linkemu.NewShaper(c.ToClient, c.Seed+1)},
		rng:  rand.New(rand.NewPCG(c.Seed, 0x72656c6179)), wake: make(chan struct{}, 1), done: make(chan struct{}),
	}
	r.all.Go(r.fromClients)
	r.all.Go(r.deliverLate)
	return r, nil
}

// Addr is the address that clients send to.
func (r *Relay) Addr() netip.AddrPort { return r.socket.addr() }

// Close ends the relay.
func (r *Relay) Close() error {
	r.mu.Lock()
	if r.closed {
		r.mu.Unlock()
		return nil
	}
	r.closed = true
	close(r.done)
	for _, t := range r.timers {
		t.Stop()
	}
	err := r.socket.Close()
	for _, f := range r.flows {
		err = errors.Join(err, f.up.Close())
	}
	r.mu.Unlock()
	r.all.Wait()
	return err
}

func (r *Relay) now() time.Duration { return time.Since(r.began) }

// Rebind gives every client a new port towards the server, and for [linkemu.RebindAddress] another
// loopback address too.
func (r *Relay) Rebind(kind linkemu.Rebind) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.rebind(kind)
}

func (r *Relay) rebind(kind linkemu.Rebind) {
	if kind == linkemu.KeepBindings {
		return
	}
	if kind == linkemu.RebindAddress {
		r.moved++
	}
	for client, f := range r.flows {
		_ = f.up.Close() // what the server sends there is lost, as with a real NAT
		delete(r.flows, client)
	}
}

// play arms the script's steps.
func (r *Relay) play() {
	r.started = true
	for _, s := range r.c.Script {
		r.arm(s, s.At)
	}
}

func (r *Relay) arm(s linkemu.Step, in time.Duration) {
	r.timers = append(r.timers, time.AfterFunc(in, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.closed {
			return
		}
		for i, d := range []linkemu.Direction{linkemu.AToB, linkemu.BToA} {
			if s.Set != nil && s.Direction&d != 0 {
				shape := r.ways[i].Shape()
				s.Set(&shape)
				if shape.Validate() == nil {
					r.ways[i].SetShape(shape)
				}
			}
		}
		r.rebind(s.Rebind)
		if s.Every > 0 {
			r.arm(s, s.Every)
		}
	}))
}

// fromClients relays what clients send.
func (r *Relay) fromClients() {
	for {
		b := make([]byte, 65536)
		n, ecn, from, err := r.socket.read(b)
		if err != nil {
			return
		}
		r.mu.Lock()
		if r.closed {
			r.mu.Unlock()
			return
		}
		if !r.started {
			r.play()
		}
		f, err := r.flow(from)
		if err == nil {
			r.admit(f, true, datagram{b: b[:n], ecn: ecn, via: f.up, to: r.c.Server})
		}
		r.mu.Unlock()
	}
}

// flow returns the flow of a client, making a new one if need be.
func (r *Relay) flow(client netip.AddrPort) (*flow, error) {
	if f := r.flows[client]; f != nil {
		return f, nil
	}
	local := &net.UDPAddr{IP: r.socket.addr().Addr().AsSlice()}
	if r.moved > 0 && local.IP.To4() != nil {
		local.IP = net.IPv4(127, 0, 1, byte(r.moved))
	}
	up, err := listen(local)
	if err != nil {
		return nil, fmt.Errorf("relay: a socket for %v: %w", client, err)
	}
	f := &flow{client: client, up: up, addr: up.addr()}
	r.flows[client] = f
	r.all.Go(func() { r.fromServer(f) })
	return f, nil
}

// fromServer relays what the server sends to one client.
func (r *Relay) fromServer(f *flow) {
	for {
		b := make([]byte, 65536)
		n, ecn, from, err := f.up.read(b)
		if err != nil {
			return
		}
		if from != r.c.Server {
			continue
		}
		r.mu.Lock()
		if !r.closed {
			r.admit(f, false, datagram{b: b[:n], ecn: ecn, via: r.socket, to: f.client})
		}
		r.mu.Unlock()
	}
}

// admit decides what happens to a datagram.
func (r *Relay) admit(f *flow, fromClient bool, d datagram) {
	now, way := r.now(), r.ways[1]
	if fromClient {
		way = r.ways[0]
	}
	fate := way.Admit(now, len(d.b)+headers)
	if fate.Cause == linkemu.Delivered {
		if fate.Corrupt && len(d.b) > 0 {
			bit := r.rng.IntN(len(d.b) * 8)
			d.b[bit/8] ^= 1 << (bit % 8)
		}
		if fate.Bleach {
			d.ecn = 0
		}
		if fate.MarkCE && d.ecn != 0 {
			d.ecn = 3
		}
	}
	if r.c.Observe != nil {
		r.c.Observe(Observation{At: now, FromClient: fromClient, Client: f.addr, ECN: d.ecn, Fate: fate, Payload: d.b})
	}
	switch {
	case fate.Cause != linkemu.Delivered:
	case fate.At <= now:
		d.send()
	default:
		r.delayed++
		d.at, d.seq = fate.At, r.delayed
		heap.Push(&r.pending, &d)
		select {
		case r.wake <- struct{}{}:
		default:
		}
	}
}

// deliverLate sends what has been delayed.
func (r *Relay) deliverLate() {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		r.mu.Lock()
		wait := time.Hour
		for now := r.now(); len(r.pending) > 0; {
			if wait = r.pending[0].at - now; wait > 0 {
				break
			}
			heap.Pop(&r.pending).(*datagram).send()
			wait = time.Hour
		}
		r.mu.Unlock()
		timer.Reset(wait)
		select {
		case <-timer.C:
		case <-r.wake:
		case <-r.done:
			return
		}
	}
}

// A datagram waits to be sent.
type datagram struct {
	at  time.Duration
	seq int // keeps the order of what is due at the same time
	b   []byte
	ecn uint8
	via *socket
	to  netip.AddrPort
}

// send ignores errors: a socket that a rebinding closed loses what is sent through it.
func (d *datagram) send() { _ = d.via.write(d.b, d.ecn, d.to) }

// datagrams is a heap, the earliest first.
type datagrams []*datagram

func (h datagrams) Len() int { return len(h) }
func (h datagrams) Less(i, j int) bool {
	return h[i].at < h[j].at || h[i].at == h[j].at && h[i].seq < h[j].seq
}
func (h datagrams) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *datagrams) Push(x any)   { *h = append(*h, x.(*datagram)) }
func (h *datagrams) Pop() any {
	old := *h
	d := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	return d
}
