package coretest

import (
	"bytes"
	"net/netip"
	"time"

	"github.com/pquic-go/pquic/core"
	"github.com/pquic-go/pquic/core/mono"
)

// An Interface is a host's attachment to the network.
type Interface struct {
	Addr  netip.Addr
	Index uint32
	// Up and Down are the links to and from the network, in order of travel.
	Up, Down []*Link
	NAT      *NAT
	host     *Host
}

// A Host drives one core.Endpoint as a worker would: receive a batch, fire
// timers, let applications work, transmit.
type Host struct {
	Name     string
	Endpoint *core.Endpoint
	// Segments is how many datagrams one Transmit may write; default 16.
	Segments int
	// Batch collects arriving datagrams for this long before they are handed
	// in, as an interrupt moderator does.
	Batch time.Duration
	// Slack fires timers this much late.
	Slack time.Duration
	// Jumped is how far the host's clock is ahead of the simulation's.
	Jumped time.Duration
	// Apps are the applications of all connections, oldest first.
	Apps []*App

	sim     *Sim
	ifaces  []*Interface
	inbox   []core.Datagram
	flushAt mono.Time
	buf     []byte
	dirty   []*App
	counts  Counters
	config  *core.EndpointConfig
}

// Counters count what a host's driver did.
type Counters struct {
	Advances                  uint64 // calls of Endpoint.Advance with a timer due
	Batches                   uint64
	DatagramsIn, DatagramsOut uint64
	Unroutable                uint64
	LastSending               mono.Time
}

// NewHost returns a host whose endpoint has the given configuration; Random is
// filled in from the seed. A server's connections get an App each, after
// cfg.Accept has run.
func (s *Sim) NewHost(name string, cfg *core.EndpointConfig) *Host {
	h := &Host{Name: name, sim: s, Segments: 16, buf: make([]byte, 1<<16)}
	s.hosts = append(s.hosts, h)
	c := *cfg
	r := s.NewRand(uint64(len(s.hosts)))
	c.Random = func(b []byte) {
		for i := range b {
			b[i] = byte(r.Uint32())
		}
	}
	if c.Server {
		hook := c.Accept
		c.Accept = func(conn *core.Conn) error {
			if hook != nil {
				if err := hook(conn); err != nil {
					return err
				}
			}
			return h.accept(conn)
		}
	}
	h.config = &c
	h.Restart()
	return h
}

// Restart gives the host a new endpoint, with the same configuration and none
// of the state, as after a crash.
func (h *Host) Restart() {
	e, err := core.NewEndpoint(h.config)
	if err != nil {
		h.sim.TB.Fatal(err)
	}
	h.Endpoint = e
	h.inbox, h.dirty = nil, nil
}

// Counters returns what the driver counted.
func (h *Host) Counters() Counters { return h.counts }

// Sim returns the simulation the host is part of.
func (h *Host) Sim() *Sim { return h.sim }

// Now returns the host's time.
func (h *Host) Now() mono.Time { return h.sim.now.Add(h.Jumped) }

// AddInterface attaches the host to the network. Links may be shared with other
// interfaces; nil is a perfect link.
func (h *Host) AddInterface(addr netip.Addr, up, down *Link) *Interface {
	i := &Interface{Addr: addr, Index: uint32(len(h.ifaces) + 1), host: h}
	if up != nil {
		i.Up = append(i.Up, up)
	}
	if down != nil {
		i.Down = append(i.Down, down)
	}
	h.ifaces = append(h.ifaces, i)
	h.sim.owner[addr] = i
	return i
}

// Interface returns the interface with the given address, nil if there is none.
func (h *Host) Interface(addr netip.Addr) *Interface {
	for _, i := range h.ifaces {
		if i.Addr == addr {
			return i
		}
	}
	return nil
}

// due returns when the host has something to do.
func (h *Host) due() mono.Time {
	t := h.Endpoint.Deadline()
	if t != mono.Never {
		t = max(t.Add(h.Slack-h.Jumped), Epoch)
	}
	if len(h.inbox) > 0 {
		t = min(t, h.flushAt)
	}
	if h.Endpoint.HasWork() || len(h.dirty) > 0 {
		t = min(t, h.sim.now)
	}
	return t
}

// receive takes a packet from the network.
func (h *Host) receive(i *Interface, p *Packet) {
	if len(h.inbox) == 0 {
		h.flushAt = h.sim.now.Add(h.Batch)
	}
	h.counts.DatagramsIn++
	h.inbox = append(h.inbox, core.Datagram{Payload: p.Payload, Local: p.To, Remote: p.From, IfIndex: i.Index, ECN: p.ECN})
}

// run does what is due now.
func (h *Host) run() {
	now := h.Now()
	if len(h.inbox) > 0 && h.flushAt <= h.sim.now {
		h.counts.Batches++
		for i := range h.inbox {
			h.Endpoint.Receive(now, &h.inbox[i])
			h.inbox[i] = core.Datagram{}
		}
		h.inbox = h.inbox[:0]
		h.Endpoint.EndBatch(now)
	}
	if d := h.Endpoint.Deadline(); d != mono.Never && d.Add(h.Slack) <= now {
		h.counts.Advances++
		h.Endpoint.Advance(now)
	}
	h.work()
	h.transmit(now)
}

// work lets the applications whose connections have news do theirs.
func (h *Host) work() {
	for len(h.dirty) > 0 {
		a := h.dirty[0]
		h.dirty = h.dirty[1:]
		a.queued = false
		a.run()
	}
	h.dirty = nil
}

// maxTransmits bounds the runs of datagrams sent at one instant.
const maxTransmits = 100_000

func (h *Host) transmit(now mono.Time) {
	for n := 0; ; n++ {
		t, ok := h.Endpoint.Transmit(now, h.buf, h.Segments)
		if !ok {
			return
		}
		if n > maxTransmits {
			h.sim.Fatalf("%s: Transmit does not end", h.Name)
		}
		if t.Len <= 0 || t.SegmentSize <= 0 {
			h.sim.Fatalf("%s: Transmit returned %d bytes in segments of %d", h.Name, t.Len, t.SegmentSize)
		}
		for b := h.buf[:t.Len]; len(b) > 0; {
			k := min(len(b), t.SegmentSize)
			h.send(&Packet{Payload: bytes.Clone(b[:k]), From: t.Local, To: t.Remote, ECN: t.ECN, DontFragment: t.DontFragment}, t.Conn, t.Path)
			b = b[k:]
		}
	}
}

// send routes a packet into the network.
func (h *Host) send(p *Packet, c *core.Conn, pathID uint64) {
	h.counts.DatagramsOut++
	h.counts.LastSending = h.sim.now
	i := h.Interface(p.From.Addr())
	if i == nil {
		if p.From.Addr().IsValid() && !p.From.Addr().IsUnspecified() {
			h.counts.Unroutable++
			return // the interface is gone
		}
		i = h.ifaces[0]
		p.From = netip.AddrPortFrom(i.Addr, p.From.Port())
	}
	tooBig := func(int) {
		if c == nil {
			return
		}
		size := len(p.Payload)
		h.sim.After(0, func() {
			if path := c.Path(pathID); path != nil {
				c.PathSocketError(h.Now(), path, size)
			}
		})
	}
	h.sim.note('>', p)
	h.sim.through(i.Up, p, func(p *Packet) {
		if i.NAT != nil {
			p.From = i.NAT.Outer(p.From)
		}
		h.sim.arrive(p, tooBig)
	}, tooBig)
}

// through carries a packet over links, then on to next.
func (s *Sim) through(links []*Link, p *Packet, next func(*Packet), tooBig func(int)) {
	if len(links) == 0 {
		next(p)
		return
	}
	links[0].send(p, func(p *Packet) { s.through(links[1:], p, next, tooBig) }, tooBig)
}

// arrive takes a packet at the middle of the network on to its destination.
func (s *Sim) arrive(p *Packet, tooBig func(int)) {
	i := s.owner[p.To.Addr()]
	if i == nil {
		s.note('?', p)
		return
	}
	if i.NAT != nil {
		to, ok := i.NAT.inner(p.To)
		if !ok {
			s.note('?', p)
			return // the flow was rebound meanwhile
		}
		p.To = to
	}
	s.through(i.Down, p, func(p *Packet) {
		s.note('<', p)
		i.host.receive(i, p)
	}, tooBig)
}

// Dial starts a connection with an application on it. The configuration's
// Local, if unset, is port 50000 of the host's first interface, and counts up.
func (h *Host) Dial(d core.DialConfig) (*App, error) {
	a := h.newApp(false)
	if !d.Local.IsValid() {
		d.Local = netip.AddrPortFrom(h.ifaces[0].Addr, uint16(50000+len(h.Apps)))
	}
	d.Handler = a
	c, err := h.Endpoint.Dial(h.Now(), &d)
	if err != nil {
		return nil, err
	}
	a.Conn = c
	h.Apps = append(h.Apps, a)
	a.touch()
	return a, nil
}

// accept puts an application on a connection a client has started.
func (h *Host) accept(c *core.Conn) error {
	a := h.newApp(true)
	a.Conn = c
	h.Apps = append(h.Apps, a)
	c.SetHandler(a)
	return nil
}

func (h *Host) dump() {
	tb := h.sim.TB
	tb.Helper()
	tb.Logf("host %s: %s; driver: %s", h.Name, nonzero(h.Endpoint.Stats()), nonzero(h.counts))
	for _, a := range h.Apps {
		if !a.Freed || len(h.Apps) < 3 {
			a.dump()
		}
	}
}
