package core

import (
	"bytes"
	"fmt"
	mrand "math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/pquic-go/pquic/core/mono"
	"github.com/pquic-go/pquic/protoops"
)

// A lab is a client and a server on virtual time, joined by links between any
// of their addresses. Plugins are attached before the handshake.
type lab struct {
	t              testing.TB
	now            mono.Time
	client, server *Endpoint
	c, s           *Conn // the two ends of the one connection

	delay     time.Duration
	rate      uint64 // bytes per second of each link and direction, 0 unlimited
	queue     uint64 // bytes a link may queue before it drops
	lost      func(d *labDatagram) bool
	seen      func(d *labDatagram)
	links     map[[2]netip.AddrPort]mono.Time // when each is free again
	flights   []labDatagram
	buffer    []byte
	segs      int
	flushWith func() // in place of flush
	poison    bool   // spoil received buffers once they are the caller\'s again
}

type labDatagram struct {
	Datagram
	at       mono.Time
	toServer bool
	n        int // counted per direction from 1
	path     uint64
}

type labOption func(*labSetup)

type labSetup struct {
	client, server       *Config
	clientEnd, serverEnd *EndpointConfig
	onClient, onServer   func(*Conn)
	delay                time.Duration
}

func onClient(f func(*Conn)) labOption { return func(s *labSetup) { s.onClient = f } }
func onServer(f func(*Conn)) labOption { return func(s *labSetup) { s.onServer = f } }
func onBoth(f func(*Conn)) labOption {
	return func(s *labSetup) { s.onClient, s.onServer = f, f }
}
func configs(f func(client, server *Config)) labOption {
	return func(s *labSetup) { f(s.client, s.server) }
}
func endpoints(f func(client, server *EndpointConfig)) labOption {
	return func(s *labSetup) { f(s.clientEnd, s.serverEnd) }
}

// owd sets the one-way delay, 10 ms otherwise.
func owd(d time.Duration) labOption { return func(s *labSetup) { s.delay = d } }

func newLab(t testing.TB, opts ...labOption) *lab {
	t.Helper()
	cc, sc := testConfigs(t)
	seeded := func(seed uint64) func([]byte) {
		r := mrand.New(mrand.NewPCG(seed, 7))
		return func(b []byte) {
			for i := range b {
				b[i] = byte(r.Uint32())
			}
		}
	}
	setup := &labSetup{client: cc, server: sc, clientEnd: &EndpointConfig{Random: seeded(1)},
		serverEnd: &EndpointConfig{Random: seeded(2), Server: true}, delay: 10 * time.Millisecond}
	for _, o := range opts {
		o(setup)
	}
	l := &lab{t: t, now: mono.FromTime(time.Unix(1e9, 0)), delay: setup.delay, queue: 1 << 20,
		links: make(map[[2]netip.AddrPort]mono.Time), buffer: make([]byte, 1<<16), segs: 40}
	for _, e := range []*EndpointConfig{setup.clientEnd, setup.serverEnd} {
		if e.OnFault == nil {
			e.OnFault = func(_ *Conn, err *protoops.PlugletError) { t.Logf("fault: %v", err) }
		}
	}
	setup.serverEnd.Config = setup.server
	setup.serverEnd.Accept = func(c *Conn) error {
		l.s = c
		if setup.onServer != nil {
			setup.onServer(c)
		}
		return nil
	}
	var err error
	if l.client, err = NewEndpoint(setup.clientEnd); err != nil {
		t.Fatal(err)
	}
	if l.server, err = NewEndpoint(setup.serverEnd); err != nil {
		t.Fatal(err)
	}
	l.c, err = l.client.Dial(l.now, &DialConfig{Config: setup.client, ServerName: "server", Local: clientAddr, Remote: serverAddr,
		Setup: func(c *Conn) error {
			if setup.onClient != nil {
				setup.onClient(c)
			}
			return nil
		}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		l.client.CloseAll(l.now, 0, "")
		l.server.CloseAll(l.now, 0, "")
	})
	return l
}

// connected returns a lab whose handshake is confirmed on both sides.
func connected(t testing.TB, opts ...labOption) *lab {
	t.Helper()
	l := newLab(t, opts...)
	l.until("handshake confirmed", func() bool { return l.c.v.HandshakeConfirmed != 0 && l.s.v.HandshakeConfirmed != 0 })
	return l
}

func (l *lab) flush() {
	if l.flushWith != nil {
		l.flushWith()
		return
	}
	var count [2]int
	for i, e := range []*Endpoint{l.client, l.server} {
		for {
			tr, ok := e.Transmit(l.now, l.buffer, l.segs)
			if !ok {
				break
			}
			for b := l.buffer[:tr.Len]; len(b) > 0; {
				n := min(len(b), tr.SegmentSize)
				count[i]++
				d := labDatagram{toServer: i == 0, n: count[i], path: tr.Path,
					Datagram: Datagram{Payload: bytes.Clone(b[:n]), Local: tr.Remote, Remote: tr.Local, ECN: tr.ECN}}
				b = b[n:]
				l.post(&d)
			}
		}
	}
}

// post puts a datagram on its link.
func (l *lab) post(d *labDatagram) {
	if l.lost != nil && l.lost(d) {
		return
	}
	d.at = l.now.Add(l.delay)
	if l.rate > 0 {
		k := [2]netip.AddrPort{d.Remote, d.Local}
		free := max(l.links[k], l.now)
		if uint64(free.Sub(l.now))*l.rate/uint64(time.Second) > l.queue {
			return
		}
		free = free.Add(time.Duration(uint64(len(d.Payload)) * uint64(time.Second) / l.rate))
		l.links[k] = free
		d.at = free.Add(l.delay)
	}
	l.flights = append(l.flights, *d)
}

// step moves to the next event: datagrams arrive or timers fire.
func (l *lab) step() bool {
	l.flush()
	next := min(l.client.Deadline(), l.server.Deadline())
	for i := range l.flights {
		next = min(next, l.flights[i].at)
	}
	if next == mono.Never {
		return false
	}
	l.now = max(l.now, next)
	rest := l.flights[:0]
	var due []labDatagram
	for _, d := range l.flights {
		if d.at <= l.now {
			due = append(due, d)
		} else {
			rest = append(rest, d)
		}
	}
	l.flights = rest
	for i := range due {
		d := &due[i]
		if l.seen != nil {
			l.seen(d)
		}
		if d.toServer {
			l.server.Receive(l.now, &d.Datagram)
		} else {
			l.client.Receive(l.now, &d.Datagram)
		}
		if l.poison {
			for j := range d.Payload {
				d.Payload[j] = 0xdd
			}
		}
	}
	l.client.EndBatch(l.now)
	l.server.EndBatch(l.now)
	l.client.Advance(l.now)
	l.server.Advance(l.now)
	return true
}

func (l *lab) until(what string, cond func() bool) {
	l.t.Helper()
	for range 400_000 {
		if cond() {
			return
		}
		if !l.step() {
			break
		}
	}
	l.t.Fatalf("%s: never happened\nclient: state %d, %v, %+v\nserver: %v", what, l.c.v.State, l.c.Err(), l.c.v, l.describe(l.s))
}

func (l *lab) describe(c *Conn) string {
	if c == nil {
		return "none"
	}
	return fmt.Sprintf("state %d, %v, %+v", c.v.State, c.Err(), c.v)
}

// wait lets d of virtual time pass.
func (l *lab) wait(d time.Duration) {
	end := l.now.Add(d)
	for l.now < end {
		l.flush()
		next := min(l.client.Deadline(), l.server.Deadline())
		for i := range l.flights {
			next = min(next, l.flights[i].at)
		}
		if next > end {
			l.now = end
			return
		}
		l.step()
	}
}

// A flow is one stream that carries bytes from one end to the other; what
// arrives is compared with what was sent.
type flow struct {
	l             *lab
	from, to      *Conn
	st            *Stream
	total         int
	written, read int
	out           [4096]byte
}

// pattern is byte off of every flow.
func flowByte(id uint64, off int) byte { return byte(off ^ off>>8 ^ off>>16 ^ int(id)*37) }

func (l *lab) open(from, to *Conn, total int) *flow {
	l.t.Helper()
	st, err := from.OpenStream(false)
	if err != nil {
		l.t.Fatal(err)
	}
	st.SendFIFO().SetLimit(from.config.SendBuffer)
	return &flow{l: l, from: from, to: to, st: st, total: total}
}

// pump moves bytes on both sides and reports whether all have arrived.
func (f *flow) pump() bool {
	for f.written < f.total {
		n := min(len(f.out), f.total-f.written)
		for i := range f.out[:n] {
			f.out[i] = flowByte(f.st.ID, f.written+i)
		}
		k := f.st.SendFIFO().Write(f.out[:n])
		f.written += k
		if f.written == f.total {
			f.st.SendFIFO().CloseWrite()
		}
		if k > 0 {
			f.from.StreamWritten(f.l.now, f.st)
		}
		if k < n {
			break
		}
	}
	st := f.to.streams.byID[f.st.ID]
	if st == nil {
		return f.read == f.total
	}
	for {
		n := st.RecvFIFO().Read(f.out[:])
		if n == 0 {
			break
		}
		for i, b := range f.out[:n] {
			if b != flowByte(st.ID, f.read+i) {
				f.l.t.Fatalf("stream %d: byte %d is %#x, not %#x", st.ID, f.read+i, b, flowByte(st.ID, f.read+i))
			}
		}
		f.read += n
	}
	f.to.StreamRead(f.l.now, st)
	return f.read == f.total
}

// transfer carries n bytes from one end to the other.
func (l *lab) transfer(from, to *Conn, n int) *flow {
	l.t.Helper()
	f := l.open(from, to, n)
	l.until(fmt.Sprintf("transfer of %d bytes", n), func() bool {
		if l.c.Err() != nil || l.s.Err() != nil {
			l.t.Fatalf("the connection ended: client %v, server %v", l.c.Err(), l.s.Err())
		}
		return f.pump()
	})
	return f
}

// noFault fails the test if a plugin of either end has failed.
func (l *lab) noFault(c *Conn) {
	l.t.Helper()
	for _, a := range c.ops.table.Attachments() {
		if f := a.Fault(); f != nil {
			l.t.Error(f)
		}
	}
}
