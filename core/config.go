package core

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/pquic-go/pquic/core/congestion"
	"github.com/pquic-go/pquic/core/qlog"
	"github.com/pquic-go/pquic/core/stream"
	"github.com/pquic-go/pquic/core/wire"
)

// A Config holds what one side chooses about its connections. The zero value
// of every field means its default. A Config is not modified by the engine and
// may be shared by any number of connections.
type Config struct {
	// TLS is the TLS 1.3 configuration: certificates, ALPN, client
	// authentication, session cache, key log. Required.
	TLS *tls.Config

	// Versions lists the QUIC versions spoken, the preferred one first.
	// A client's first packet uses the last version of the list that it
	// expects every server to know: version 1 when present.
	// Default: version 1, version 2.
	Versions []wire.Version

	MaxIdleTimeout   time.Duration // default 30 s; negative: none
	KeepAlive        time.Duration // PING after this long without a packet; default none
	HandshakeTimeout time.Duration // default 10 s

	StreamWindow    uint64 // initial receive window of a stream, bytes; default 512 KiB
	MaxStreamWindow uint64 // what it may grow to; default 6 MiB
	ConnWindow      uint64 // initial receive window of the connection; default 768 KiB
	MaxConnWindow   uint64 // what it may grow to; default 15 MiB
	SendBuffer      int    // bytes a stream may hold until acknowledged; default 4 MiB
	MaxBidiStreams  int64  // concurrent streams the peer may open; default 100; negative: none
	MaxUniStreams   int64  // default 100; negative: none

	// MaxUDPPayload bounds the UDP payload in both directions, bytes:
	// 1200 to 65527. Default: 65527 received, and sent as far as path MTU
	// discovery proves it.
	MaxUDPPayload uint16
	// InitialUDPPayload is sent before path MTU discovery; default 1200.
	InitialUDPPayload uint16
	// InterfaceMTU tells the largest IP packet a local address can send,
	// bytes; discovery searches no further. Nil: 1500.
	InterfaceMTU func(local netip.Addr) int
	// DisablePathMTUDiscovery keeps datagrams at InitialUDPPayload.
	DisablePathMTUDiscovery bool

	CongestionControl string // "cubic" (default), "newreno", "bbr"
	InitialWindow     int    // packets; default 32
	StreamScheduler   string // "rr" (default), "prio", "sprio"
	DisablePacing     bool

	MaxAckDelay      time.Duration // default 25 ms
	AckDelayExponent uint8         // default 3
	DisableECN       bool
	DisableSpinBit   bool
	DisableGrease    bool // RFC 9287 QUIC bit, reserved transport parameters
	DisableMigration bool // tell the peer not to migrate
	// ActiveConnIDLimit is how many of the peer's connection IDs we store; default 8.
	ActiveConnIDLimit uint64

	// PreferredAddress4 and PreferredAddress6 invite clients of a server to
	// move there after the handshake.
	// https://www.rfc-editor.org/rfc/rfc9000#section-9.6
	PreferredAddress4, PreferredAddress6 netip.AddrPort
	// KeepPreferredAddress makes a client ignore such an invitation.
	IgnorePreferredAddress bool

	// Allow0RTT lets a server accept early data. Whatever arrives early may
	// be replayed by an attacker: Stream.Early tells the application.
	// https://www.rfc-editor.org/rfc/rfc9001#section-9.2
	Allow0RTT bool

	// KeyUpdateAfter starts a key update after this many packets sealed;
	// default and upper bound: half the AEAD's confidentiality limit.
	KeyUpdateAfter uint64

	// Tokens keeps the NEW_TOKEN tokens a client receives. Nil: none kept.
	Tokens TokenStore

	// Qlog, if set, returns the log of a new connection, or nil.
	Qlog func(odcid wire.ConnID, server bool) *qlog.Trace

	// OnTransportParameters runs when SNI, ALPN and the peer's transport
	// parameters are known and before ours are composed (server), or before
	// ours are composed (client, where the peer's are not known yet). Here
	// plugins attach and add parameters; on a server they still get to process
	// those of the client. An error closes the connection.
	OnTransportParameters func(*Conn) error

	// StreamFIFOs, if set, says in which memory the bytes of a stream cross to
	// the application, for instance memory shared with another process (see
	// stream.NewFIFOOn). Nil FIFOs are made by the engine; send is not used on a
	// stream the peer alone sends on, recv not on one we alone send on. A recv
	// FIFO in memory that cannot grow must hold StreamWindow bytes, which is
	// what the peer has been promised.
	StreamFIFOs func(c *Conn, id uint64) (send, recv *stream.FIFO)
	// BrokenFIFOCode is the application error code with which a stream is reset
	// and stopped when whoever shares its FIFOs has broken them.
	BrokenFIFOCode uint64
}

// A TokenStore keeps a client's address-validation tokens per server.
// It is called from the engine and must not block.
type TokenStore interface {
	// Put stores a token that a server gave for its next visit.
	Put(serverName string, token []byte)
	// Take removes and returns one; a token is used once only.
	// https://www.rfc-editor.org/rfc/rfc9000#section-8.1.3
	Take(serverName string) []byte
}

func def[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}

// withDefaults returns a copy of c with every default filled in, or an error
// that names the field, its value and the legal values.
func (c *Config) withDefaults() (*Config, error) {
	if c == nil || c.TLS == nil {
		return nil, errors.New("quic: Config.TLS is required")
	}
	d := *c
	if len(d.Versions) == 0 {
		d.Versions = []wire.Version{wire.Version1, wire.Version2}
	}
	for _, v := range d.Versions {
		if v != wire.Version1 && v != wire.Version2 {
			return nil, fmt.Errorf("quic: Config.Versions: %v is not supported, use %v or %v", v, wire.Version1, wire.Version2)
		}
	}
	def(&d.MaxIdleTimeout, 30*time.Second)
	d.MaxIdleTimeout = max(d.MaxIdleTimeout, 0)
	def(&d.HandshakeTimeout, 10*time.Second)
	def(&d.StreamWindow, 512<<10)
	def(&d.MaxStreamWindow, 6<<20)
	def(&d.ConnWindow, 768<<10)
	def(&d.MaxConnWindow, 15<<20)
	d.MaxStreamWindow = max(d.MaxStreamWindow, d.StreamWindow)
	d.MaxConnWindow = max(d.MaxConnWindow, d.ConnWindow)
	def(&d.SendBuffer, 4<<20)
	def(&d.MaxBidiStreams, 100)
	def(&d.MaxUniStreams, 100)
	d.MaxBidiStreams = max(d.MaxBidiStreams, 0)
	d.MaxUniStreams = max(d.MaxUniStreams, 0)
	def(&d.MaxUDPPayload, maxUDPPayload)
	def(&d.InitialUDPPayload, minUDPPayload)
	if d.MaxUDPPayload < minUDPPayload || d.MaxUDPPayload > maxUDPPayload {
		return nil, fmt.Errorf("quic: Config.MaxUDPPayload is %d bytes, must be %d to %d", d.MaxUDPPayload, minUDPPayload, maxUDPPayload)
	}
	if d.InitialUDPPayload < minUDPPayload || d.InitialUDPPayload > d.MaxUDPPayload {
		return nil, fmt.Errorf("quic: Config.InitialUDPPayload is %d bytes, must be %d to MaxUDPPayload (%d)", d.InitialUDPPayload, minUDPPayload, d.MaxUDPPayload)
	}
	def(&d.CongestionControl, "cubic")
	if !slices.Contains(congestion.Names(), d.CongestionControl) {
		return nil, fmt.Errorf("quic: Config.CongestionControl is %q, must be one of %s", d.CongestionControl, strings.Join(congestion.Names(), ", "))
	}
	def(&d.InitialWindow, congestion.InitialWindowPackets)
	if d.InitialWindow < 2 || d.InitialWindow > 10000 {
		return nil, fmt.Errorf("quic: Config.InitialWindow is %d packets, must be 2 to 10000", d.InitialWindow)
	}
	def(&d.StreamScheduler, "rr")
	if _, err := stream.NewScheduler(d.StreamScheduler); err != nil {
		return nil, fmt.Errorf("quic: Config.StreamScheduler: %w", err)
	}
	def(&d.MaxAckDelay, 25*time.Millisecond)
	def(&d.AckDelayExponent, 3)
	if d.AckDelayExponent > 20 || d.MaxAckDelay >= 1<<14*time.Millisecond {
		return nil, fmt.Errorf("quic: Config.AckDelayExponent %d must be at most 20 and MaxAckDelay %v below 16.384 s", d.AckDelayExponent, d.MaxAckDelay)
	}
	def(&d.ActiveConnIDLimit, 8)
	if d.ActiveConnIDLimit < 2 {
		return nil, fmt.Errorf("quic: Config.ActiveConnIDLimit is %d, must be at least 2", d.ActiveConnIDLimit)
	}
	return &d, nil
}

const (
	// "A client MUST expand the payload of all UDP datagrams carrying Initial
	// packets to at least the smallest allowed maximum datagram size of 1200
	// bytes".
	// https://www.rfc-editor.org/rfc/rfc9000#section-14.1
	minUDPPayload = 1200
	maxUDPPayload = 65527
	// maxBuiltPayload is the largest datagram ever built: a UDP datagram in
	// an IPv4 packet.
	maxBuiltPayload = 65507
)
