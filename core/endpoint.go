package core

import (
	"cmp"
	"errors"
	"net/netip"
	"slices"
	"strings"

	"github.com/pquic-go/pquic/core/connid"
	"github.com/pquic-go/pquic/core/mono"
	"github.com/pquic-go/pquic/core/token"
	"github.com/pquic-go/pquic/core/wire"
	"github.com/pquic-go/pquic/protoops"
)

// EndpointConfig configures an Endpoint.
type EndpointConfig struct {
	// Config is for the connections accepted. Required on a server.
	Config *Config
	// Server accepts connections. Without it only Dial makes them.
	Server bool
	// ConfigFor, if set, overrides Config per client address.
	ConfigFor func(remote netip.AddrPort) *Config

	// Worker goes into every connection ID as Layout says.
	Worker uint8
	Layout connid.Layout

	// Random fills its argument from a cryptographically secure source.
	// Required.
	Random func([]byte)

	// Tokens seals and opens address-validation tokens; ResetKey derives
	// stateless reset tokens. Machines that share an address, or take over for
	// one another, share both. Tokens may be nil on an endpoint that only
	// dials; a server without makes its own.
	Tokens   *token.Keyring
	ResetKey token.Key

	// Accept is called when a connection is made for a client's first Initial,
	// before its handshake goes on; an error refuses the client.
	Accept func(*Conn) error
	// Retry decides whether a client must prove its address first. Nil: when
	// more than RetryAbove handshakes are in progress.
	Retry func(remote netip.AddrPort) bool
	// Admit, if set, may refuse a client before any state is made for it.
	Admit func(remote netip.AddrPort) bool

	MaxConns      int // connections of this endpoint; default 100,000
	MaxHandshakes int // handshakes in progress; default 4,096
	RetryAbove    int // default 256

	// OnFault is told of plugins that failed.
	OnFault func(*Conn, *protoops.PlugletError)
}

// EndpointStats counts what belongs to no connection.
type EndpointStats struct {
	Conns, Handshakes   int    // now
	Accepted            uint64 // connections made for clients
	Dialed              uint64
	Refused             uint64 // clients refused, by limits or Accept
	Retries             uint64 // Retry packets sent
	VersionNegotiations uint64 // Version Negotiation packets sent
	StatelessResets     uint64 // stateless resets sent
	InvalidTokens       uint64
	Dropped             uint64 // datagrams that belong to no connection
}

// A connIDEntry is what a Destination Connection ID stands for.
type connIDEntry struct {
	conn *Conn
	path uint64
	seq  uint64
}

// An Endpoint owns the connections of one worker: it routes datagrams to them
// by connection ID, accepts new ones, answers what belongs to none, fires their
// timers and collects what they send. Like Conn it has no goroutine, lock,
// clock or socket.
type Endpoint struct {
	cfg    EndpointConfig
	config *Config
	layout connid.Layout
	tokens *token.Keyring
	random func([]byte)
	rnd    [64]byte
	rndLen int

	ids         map[wire.ConnID]connIDEntry
	lastID      wire.ConnID
	last        connIDEntry
	resetTokens map[[16]byte]*Conn
	conns       map[*Conn]struct{}

	timers  timerHeap
	scratch scratch
	past    [2]numberSpace // Initial and Handshake of connections at rest: discarded
	queue   []*Conn        // connections that may have something to send
	head    int
	touched []*Conn // connections with datagrams in the present batch
	out     []statelessDatagram

	stats   EndpointStats
	onFault func(*Conn, *protoops.PlugletError)
}

// NewEndpoint checks cfg and returns an endpoint without connections.
func NewEndpoint(cfg *EndpointConfig) (*Endpoint, error) {
	e := &Endpoint{cfg: *cfg, layout: cfg.Layout, tokens: cfg.Tokens, random: cfg.Random, onFault: cfg.OnFault}
	if cfg.Random == nil {
		return nil, errors.New("quic: EndpointConfig.Random is required")
	}
	if err := e.layout.Validate(); err != nil {
		return nil, err
	}
	e.layout.Length = e.layout.Len()
	def(&e.cfg.MaxConns, 100_000)
	def(&e.cfg.MaxHandshakes, 4096)
	def(&e.cfg.RetryAbove, 256)
	if cfg.Server {
		var err error
		if e.config, err = cfg.Config.withDefaults(); err != nil {
			return nil, err
		}
		if e.tokens == nil {
			var k token.Key
			e.random(k[:])
			if e.tokens, err = token.NewKeyring(token.Config{Keys: []token.Key{k}, Random: e.random}); err != nil {
				return nil, err
			}
		}
	}
	if e.cfg.ResetKey == (token.Key{}) {
		e.random(e.cfg.ResetKey[:])
	}
	for i := range e.past {
		e.past[i].init(spaceID(i), &SpaceView{Discarded: 1}, nil)
	}
	e.ids = make(map[wire.ConnID]connIDEntry)
	e.resetTokens = make(map[[16]byte]*Conn)
	e.conns = make(map[*Conn]struct{})
	return e, nil
}

// SetConfig replaces the configuration of connections accepted from now on.
func (e *Endpoint) SetConfig(c *Config) error {
	d, err := c.withDefaults()
	if err == nil {
		e.config = d
	}
	return err
}

// Stats returns a copy of the endpoint's counters.
func (e *Endpoint) Stats() EndpointStats {
	s := e.stats
	s.Conns = len(e.conns)
	return s
}

// Len returns the number of connections held.
func (e *Endpoint) Len() int { return len(e.conns) }

// Conns calls f for every connection until it returns false. f must not make
// or end connections.
func (e *Endpoint) Conns(f func(*Conn) bool) {
	for c := range e.conns {
		if !f(c) {
			return
		}
	}
}

// DialConfig describes a connection to make.
type DialConfig struct {
	Config        *Config
	ServerName    string
	Local, Remote netip.AddrPort // Local may be unspecified
	IfIndex       uint32
	Handler       ConnHandler
	// Setup, if set, runs before the handshake starts: the place to attach
	// plugins.
	Setup func(*Conn) error
}

// Dial starts a connection. Its Initial waits in Transmit; nothing is known of
// the peer yet.
func (e *Endpoint) Dial(now mono.Time, d *DialConfig) (*Conn, error) {
	cfg, err := d.Config.withDefaults()
	if err != nil {
		return nil, err
	}
	if len(e.conns) >= e.cfg.MaxConns {
		return nil, ErrTooManyConns
	}
	version := firstVersion(cfg)
	c := newConn(e, cfg, now, version, d.Local, d.Remote, d.IfIndex)
	c.handler = d.Handler
	// "…an unpredictable value of at least 8 bytes in length."
	// https://www.rfc-editor.org/rfc/rfc9000#section-7.2
	var b [8]byte
	e.random(b[:])
	dst, _ := wire.MakeConnID(b[:])
	e.startIDs(c)
	if cfg.Tokens != nil {
		c.handshake.token = cfg.Tokens.Take(d.ServerName)
		c.v.RetryTokenLength = uint64(len(c.handshake.token))
	}
	c.openLog(dst)
	if d.Setup != nil {
		if err := d.Setup(c); err != nil {
			e.remove(c)
			return nil, err
		}
	}
	if err := c.startClient(dst, d.ServerName); err != nil {
		if c.tls.conn != nil {
			c.tls.conn.Close()
		}
		e.remove(c)
		return nil, err
	}
	e.stats.Dialed++
	c.armIdle(now)
	c.finish()
	return c, nil
}

// firstVersion is the version of a client's first packet: version 1, which
// every server knows, if it is among those spoken.
func firstVersion(cfg *Config) wire.Version {
	for _, v := range cfg.Versions {
		if v == wire.Version1 {
			return v
		}
	}
	return cfg.Versions[0]
}

// startIDs registers the connection and its first connection ID.
func (e *Endpoint) startIDs(c *Conn) {
	id := e.newConnID()
	c.handshake.localSrc = id
	c.path0.local.ids = append(c.path0.local.ids, localID{seq: 0, id: id})
	c.path0.local.next = 1
	e.addConnID(id, c, c.path0, 0)
	e.conns[c] = struct{}{}
	e.stats.Handshakes++
}

func (c *Conn) openLog(odcid wire.ConnID) {
	if f := c.config.Qlog; f != nil {
		c.log = f(odcid, c.IsServer())
		if c.log != nil {
			c.log.ConnectionStarted(c.now, c.path0.route.local, c.path0.route.remote, c.handshake.localSrc, odcid)
		}
	}
}

func (e *Endpoint) newConnID() wire.ConnID {
	for {
		id := e.layout.New(e.random, e.cfg.Worker)
		if _, taken := e.ids[id]; !taken {
			return id
		}
	}
}

func (e *Endpoint) addConnID(id wire.ConnID, c *Conn, p *Path, seq uint64) {
	e.ids[id] = connIDEntry{c, p.ID, seq}
}

func (e *Endpoint) addConnIDFor(id wire.ConnID, c *Conn, path, seq uint64) {
	e.ids[id] = connIDEntry{c, path, seq}
	c.reservedIDs = append(c.reservedIDs, id)
}

func (e *Endpoint) removeConnID(id wire.ConnID) {
	delete(e.ids, id)
	if id == e.lastID {
		e.last = connIDEntry{}
	}
}

// forgetInitialID drops the connection ID the client chose for its first
// packets: some time after the handshake, so that late copies of them begin no
// other connection.
func (e *Endpoint) forgetInitialID(c *Conn) {
	if c.IsServer() && e.ids[c.handshake.initialDst].conn == c && c.handshake.initialDst != c.handshake.localSrc {
		e.removeConnID(c.handshake.initialDst)
	}
}

// noteHandshakeOver counts a handshake in progress no more.
func (e *Endpoint) noteHandshakeOver(c *Conn) {
	if e.stats.Handshakes > 0 && !c.counted {
		c.counted = true
		e.stats.Handshakes--
	}
}

func (e *Endpoint) resetToken(id wire.ConnID) [16]byte {
	return token.StatelessResetToken(e.cfg.ResetKey, id)
}

func (e *Endpoint) addResetToken(t [16]byte, c *Conn) { e.resetTokens[t] = c }
func (e *Endpoint) removeResetToken(t [16]byte)       { delete(e.resetTokens, t) }

// isStatelessReset reports whether a datagram c could not open ends with a
// reset token of c's peer.
//
// "When comparing a datagram to stateless reset token values, endpoints MUST
// perform the comparison without leaking information about the value of the
// token." The look-up goes through a hash of it under a per-process seed.
// https://www.rfc-editor.org/rfc/rfc9000#section-10.3.1
func (e *Endpoint) isStatelessReset(c *Conn, datagram []byte) bool {
	return e.statelesslyReset(datagram) == c
}

// statelesslyReset returns the connection whose peer's reset token ends the
// datagram, nil if there is none. What stands in the place of the connection ID
// is random.
func (e *Endpoint) statelesslyReset(datagram []byte) *Conn {
	if len(datagram) < 21 || len(e.resetTokens) == 0 {
		return nil
	}
	var t [16]byte
	copy(t[:], datagram[len(datagram)-16:])
	return e.resetTokens[t]
}

// randomByte returns a byte for decisions that only have to be unpredictable.
func (e *Endpoint) randomByte() byte {
	if e.rndLen == 0 {
		e.random(e.rnd[:])
		e.rndLen = len(e.rnd)
	}
	e.rndLen--
	return e.rnd[e.rndLen]
}

// remove forgets a connection.
func (e *Endpoint) remove(c *Conn) {
	if _, held := e.conns[c]; !held {
		return
	}
	e.forgetInitialID(c)
	e.noteHandshakeOver(c)
	delete(e.conns, c)
	for _, p := range c.paths {
		for _, l := range p.local.ids {
			e.removeConnID(l.id)
		}
		for _, r := range p.remote.ids {
			if r.hasToken && e.resetTokens[r.token] == c {
				e.removeResetToken(r.token)
			}
		}
	}
	for _, id := range c.reservedIDs {
		e.removeConnID(id)
	}
	e.timers.remove(c)
	if c.tls.conn != nil {
		c.tls.conn.Close()
	}
}

// Receive handles one datagram.
func (e *Endpoint) Receive(now mono.Time, d *Datagram) {
	if len(d.Payload) == 0 {
		return
	}
	dst, ok := firstDst(d.Payload, e.layout.Length)
	if ok {
		if dst == e.lastID && e.last.conn != nil {
			e.last.conn.receive(now, d, dst, e.last.path)
			return
		}
		if entry, known := e.ids[dst]; known {
			e.lastID, e.last = dst, entry
			entry.conn.receive(now, d, dst, entry.path)
			return
		}
	}
	e.receiveUnknown(now, d)
}

// EndBatch ends a batch of Receive calls: connections decide about
// acknowledgments once per batch.
func (e *Endpoint) EndBatch(now mono.Time) {
	for i, c := range e.touched {
		e.touched[i] = nil
		c.endBatch(now)
	}
	e.touched = e.touched[:0]
}

// Advance fires the timers that are due at now.
func (e *Endpoint) Advance(now mono.Time) {
	for {
		c := e.timers.due(now)
		if c == nil {
			return
		}
		c.advance(now)
		if c.v.State == StateClosed {
			e.scratch.forget(c)
		} else {
			// advance has changed the deadline; file it anew even if the same.
			e.timers.set(c, c.deadline())
		}
	}
}

// Deadline returns when Advance is next needed; mono.Never if not at all.
func (e *Endpoint) Deadline() mono.Time { return e.timers.first() }

// HasWork reports whether Transmit might have something.
func (e *Endpoint) HasWork() bool { return len(e.out) > 0 || e.head < len(e.queue) }

// enqueue puts c into the transmit queue.
func (e *Endpoint) enqueue(c *Conn) {
	if c.ready || c.v.State >= StateDraining {
		return
	}
	c.ready = true
	e.queue = append(e.queue, c)
}

// schedule files c under its deadline.
func (e *Endpoint) schedule(c *Conn) {
	if c.v.State == StateClosed {
		return
	}
	t := c.deadline()
	if c.heapIndex < 0 || t < c.wakeAt {
		e.timers.set(c, t)
	}
	// A later deadline is noticed when the old one comes up: most timers are
	// pushed back many times before they fire.
}

// Transmit writes the next datagrams into buf: at most segments of them, of
// equal size but the last, contiguous, all with the same addresses. It reports
// false when nothing is to be sent now. buf should hold at least 1,200 bytes;
// 64 KiB let a whole segmentation-offload batch be built in place.
func (e *Endpoint) Transmit(now mono.Time, buf []byte, segments int) (Transmit, bool) {
	if len(e.out) > 0 {
		return e.transmitStateless(buf), true
	}
	for e.head < len(e.queue) {
		c := e.queue[e.head]
		if c.v.State < StateDraining {
			t, ok := c.transmit(now, buf, segments)
			if ok {
				if len(e.queue)-e.head > 1 {
					// Others wait: their turn comes before our next batch.
					e.pop()
					e.queue = append(e.queue, c)
				}
				return t, true
			}
			c.ready = false
			e.pop()
			c.afterFault()
			c.rearm()
			e.schedule(c)
			continue
		}
		c.ready = false
		e.pop()
	}
	return Transmit{}, false
}

func (e *Endpoint) pop() {
	e.queue[e.head] = nil
	e.head++
	if e.head == len(e.queue) {
		e.queue, e.head = e.queue[:0], 0
	} else if e.head > 64 && e.head > len(e.queue)/2 {
		n := copy(e.queue, e.queue[e.head:])
		clear(e.queue[n:])
		e.queue, e.head = e.queue[:n], 0
	}
}

// CloseAll closes every connection with an application error code.
func (e *Endpoint) CloseAll(now mono.Time, code uint64, reason string) {
	all := make([]*Conn, 0, len(e.conns))
	for c := range e.conns {
		all = append(all, c)
	}
	// In an order that is the same in every run: it is the order of sending.
	slices.SortFunc(all, func(a, b *Conn) int {
		return cmp.Or(cmp.Compare(a.v.StartTime, b.v.StartTime), strings.Compare(a.handshake.localSrc.String(), b.handshake.localSrc.String()))
	})
	for _, c := range all {
		c.Close(now, code, reason)
	}
}

// WorkerOf returns the worker whose endpoint a datagram belongs to.
func WorkerOf(l *connid.Layout, datagram []byte) (uint8, bool) { return l.WorkerOf(datagram) }

// Ping makes the connection send a PING, which provokes an acknowledgment.
func (c *Conn) Ping(now mono.Time) {
	c.begin(now)
	c.pend |= pendPing
	c.wake()
}

// Wake makes the engine look again whether the connection has something to
// send, after a plugin changed its mind about that.
func (c *Conn) Wake() { c.wake() }
