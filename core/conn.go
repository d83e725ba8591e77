package core

import (
	"crypto/tls"
	"net/netip"
	"slices"
	"time"

	"github.com/pquic-go/pquic/core/congestion"
	"github.com/pquic-go/pquic/core/mono"
	"github.com/pquic-go/pquic/core/protection"
	"github.com/pquic-go/pquic/core/qlog"
	"github.com/pquic-go/pquic/core/wire"
)

// Connection states, ConnView.State.
const (
	StateHandshake uint32 = iota
	StateEstablished
	StateConfirmed
	StateClosing
	StateDraining
	StateClosed
)

// An encryptionLevel orders the keys of a connection.
type encryptionLevel uint8

const (
	levelInitial encryptionLevel = iota
	levelEarly
	levelHandshake
	level1RTT
	numLevels
)

func (l encryptionLevel) space() spaceID {
	switch l {
	case levelInitial:
		return initialSpace
	case levelHandshake:
		return handshakeSpace
	}
	return appSpace
}

func (l encryptionLevel) packetType() wire.PacketType {
	return [...]wire.PacketType{wire.Initial, wire.ZeroRTT, wire.Handshake, wire.OneRTT}[l]
}

// levelKeys are the keys of one encryption level; nil means not (or no longer)
// available.
type levelKeys struct {
	seal *protection.Sealer
	open *protection.Opener
}

// pend says which connection-level frames have to be written.
type pend uint32

const (
	pendMaxData pend = 1 << iota
	pendMaxStreamsBidi
	pendMaxStreamsUni
	pendDataBlocked
	pendStreamsBlockedBidi
	pendStreamsBlockedUni
	pendHandshakeDone
	pendNewToken
	pendNewConnID
	pendRetireConnID
	pendAckFrequency
	pendImmediateAck
	pendPing
)

// A Conn is one QUIC connection: a state machine that is told of datagrams,
// timers and application events and asked for datagrams. It has no goroutine,
// lock, clock or socket; its owner (an Endpoint) calls it from one goroutine
// at a time.
type Conn struct {
	v   ConnView
	ops *connOps // the endpoint's connections without plugins share unattached

	endpoint *Endpoint
	config   *Config
	handler  ConnHandler
	log      *qlog.Trace
	now      mono.Time // time of the event being handled
	resumed  mono.Time // when the host last woke from a sleep, 0 never

	// User belongs to whoever drives the connection.
	User any

	handshake handshakeState
	tls       tlsState
	keys      [numLevels]levelKeys
	keyUpdate keyUpdateState

	initial, hs *numberSpace // Initial and Handshake spaces; nil once discarded
	crypto      [numSpaces]*cryptoStream
	paths       []*Path
	path0       *Path

	peerParams  *wire.TransportParameters
	localParams *wire.TransportParameters

	streams streamSet
	flow    connFlow
	pend    pend
	plug    pluginState
	ackFreq ackFrequencyState

	timers  [numTimers]mono.Time
	close   closeState
	pending []bufferedPacket // packets whose keys are not available yet

	heapIndex int  // in the endpoint's timer heap
	ready     bool // in the endpoint's transmit queue
	wakeAt    mono.Time
	touched   bool // in the endpoint's list for EndBatch
	counted   bool // the handshake no longer counts as in progress

	reservedIDs []wire.ConnID // issued for paths that were not open yet
	localAddrs  []LocalAddr
}

// A ConnHandler is told what the application has to know. Its methods are
// called synchronously from inside engine calls and must not call back into
// the engine, except OpenStream, StreamRead, StreamWritten, ResetStream,
// StopSending and Close, which only queue work.
type ConnHandler interface {
	HandshakeComplete(c *Conn)
	HandshakeConfirmed(c *Conn)
	// StreamOpened: the peer opened s.
	StreamOpened(c *Conn, s *Stream)
	// StreamReadable: s.RecvFIFO() has new bytes, or its end is known.
	StreamReadable(c *Conn, s *Stream)
	// StreamWritable: acknowledged bytes left s.SendFIFO(), or the end of the
	// stream was acknowledged.
	StreamWritable(c *Conn, s *Stream)
	// StreamReset: the peer abandoned sending with code.
	StreamReset(c *Conn, s *Stream, code uint64)
	// StreamStopped: the peer asked us to stop sending with code.
	StreamStopped(c *Conn, s *Stream, code uint64)
	// StreamClosed: both halves are settled; the engine forgets s.
	StreamClosed(c *Conn, s *Stream)
	// StreamsAvailable: the peer raised its stream limit.
	StreamsAvailable(c *Conn, bidi bool)
	// EarlyDataRejected: everything sent in 0-RTT is discarded by the peer;
	// all streams opened so far are gone.
	EarlyDataRejected(c *Conn)
	// Closed: the connection can send no more; err says why.
	Closed(c *Conn, err error)
	// Gone: the closing or draining period is over, the engine forgets c.
	Gone(c *Conn)
}

// SetHandler installs the receiver of the connection's events.
func (c *Conn) SetHandler(h ConnHandler) { c.handler = h }

// View returns the visible state. It belongs to the connection.
func (c *Conn) View() *ConnView { return &c.v }

// Now returns the time of the event being handled.
func (c *Conn) Now() mono.Time { return c.now }

// IsServer reports which side we are.
func (c *Conn) IsServer() bool { return c.v.IsServer != 0 }

// LocalAddr and RemoteAddr return the addresses of path 0.
func (c *Conn) LocalAddr() netip.AddrPort  { return c.path0.route.local }
func (c *Conn) RemoteAddr() netip.AddrPort { return c.path0.route.remote }

// Version returns the QUIC version in use.
func (c *Conn) Version() wire.Version { return wire.Version(c.v.Version) }

// ConnectionState returns TLS's view of the connection.
func (c *Conn) ConnectionState() tls.ConnectionState { return c.tls.connectionState() }

// Config returns the connection's configuration; it must not be modified.
func (c *Conn) Config() *Config { return c.config }

// ODCID returns the Destination Connection ID of the client's first Initial.
func (c *Conn) ODCID() wire.ConnID { return c.handshake.odcid }

// PeerParameters returns the peer's transport parameters, nil before they are
// known. They belong to the connection.
func (c *Conn) PeerParameters() *wire.TransportParameters { return c.peerParams }

// LocalParameters returns our transport parameters, nil before they are
// composed.
func (c *Conn) LocalParameters() *wire.TransportParameters { return c.localParams }

// newConn builds what both sides share.
func newConn(e *Endpoint, cfg *Config, now mono.Time, version wire.Version, local, remote netip.AddrPort, ifIndex uint32) *Conn {
	c := &Conn{endpoint: e, ops: &unattached, config: cfg, now: now, heapIndex: -1}
	c.v.StartTime, c.v.LastReceivedTime, c.v.Now = now, now, now
	c.v.Version, c.v.OriginalVersion = uint32(version), uint32(version)
	c.v.SpinEnabled = 1
	if cfg.DisableSpinBit || e.randomByte()&0x0f == 0 {
		// "an endpoint MUST disable the use of the latency spin bit for a
		// random selection of at least one in every 16 network paths".
		// https://www.rfc-editor.org/rfc/rfc9000#section-17.4
		c.v.SpinEnabled = 0
	}
	c.v.RemoteParams.ActiveConnectionIDLimit = 2
	rt := &route{local: local, remote: remote, ifIndex: ifIndex, lastUsed: now}
	c.path0 = c.newPath(0, rt, now)
	c.paths = append(c.paths, c.path0)
	c.v.Paths = 1
	c.path0.State = PathActive
	c.initial, c.hs = &numberSpace{}, &numberSpace{}
	c.initial.init(initialSpace, new(SpaceView), c.path0)
	c.hs.init(handshakeSpace, new(SpaceView), c.path0)
	c.crypto[initialSpace], c.crypto[handshakeSpace] = newCryptoStream(), newCryptoStream()
	c.streams.init(c)
	c.flow.init(c)
	c.timers[timerHandshake] = now.Add(cfg.HandshakeTimeout)
	if cfg.MaxIdleTimeout > 0 {
		c.v.IdleTimeout = cfg.MaxIdleTimeout
	}
	c.v.KeepAlive = cfg.KeepAlive
	c.v.CongestionControl = uint32(slices.Index(congestion.Names(), cfg.CongestionControl))
	return c
}

// setState moves the connection on and tells observers.
func (c *Conn) setState(s uint32) {
	if c.v.State == s {
		return
	}
	old := c.v.State
	c.v.State = s
	c.connectionStateChanged(StateChange{Old: uint64(old), New: uint64(s)})
	if c.log != nil {
		c.log.ConnectionStateUpdated(c.now, stateNames[old], stateNames[s])
	}
}

var stateNames = [...]string{"attempted", "handshake_complete", "handshake_confirmed", "closing", "draining", "closed"}

// begin enters an event at time now.
func (c *Conn) begin(now mono.Time) {
	c.now = now
	c.v.Now = now
}

// wake puts the connection into its endpoint's transmit queue.
func (c *Conn) wake() { c.endpoint.enqueue(c) }

// finish ends an event: timers are recomputed, the connection queued to send.
func (c *Conn) finish() {
	c.afterFault()
	c.rearm()
	c.endpoint.schedule(c)
	c.wake()
}

// initialRTT returns the estimate used before the first sample.
// https://www.rfc-editor.org/rfc/rfc9002#section-6.2.2
func (c *Conn) initialRTT() time.Duration { return initialRTT }

const (
	initialRTT         = 333 * time.Millisecond // kInitialRtt
	timerGranularity   = time.Millisecond       // kGranularity
	defaultMaxAckDelay = 25 * time.Millisecond
)

func (c *Conn) peerMaxAckDelay() time.Duration {
	return time.Duration(c.v.RemoteParams.MaxAckDelay) * time.Millisecond
}

// space returns the number space a packet of the level on p belongs to.
func (c *Conn) space(l encryptionLevel, p *Path) *numberSpace {
	switch l {
	case levelInitial:
		return c.initial
	case levelHandshake:
		return c.hs
	}
	return &p.space
}

// Stats are counters of one connection, copied at the time of the call.
type Stats struct {
	ConnView
	Path PathView // path 0
}

// Stats returns a copy of the connection's counters.
func (c *Conn) Stats() Stats { return Stats{ConnView: c.v, Path: c.path0.PathView} }

// OpenStreams returns how many streams are held.
func (c *Conn) OpenStreams() int { return len(c.streams.byID) }
