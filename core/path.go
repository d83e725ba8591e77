package core

import (
	"encoding/binary"
	"net/netip"
	"time"

	"github.com/pquic-go/pquic/core/congestion"
	"github.com/pquic-go/pquic/core/mono"
	"github.com/pquic-go/pquic/core/recovery"
	"github.com/pquic-go/pquic/core/wire"
)

// Path states, PathView.State.
const (
	PathUnvalidated uint32 = iota
	PathValidating
	PathActive
	PathStandby
	PathSuspended
	PathClosed
)

// A Path is a path of the connection: a path ID with its own packet number
// space, connection IDs, round-trip estimate, congestion state, MTU and ECN
// state. Plain QUIC has the one path 0, whose route (the pair of addresses)
// changes on migration. A plugin may open more.
type Path struct {
	PathView

	conn    *Conn
	space   numberSpace
	cc      congestion.Controller
	sampler congestion.RateSampler

	route  *route   // where packets go now
	routes []*route // other address pairs: being probed, or kept to fall back on

	local  localIDs  // IDs we issued for the peer to send to
	remote remoteIDs // IDs the peer issued for us to send to

	mtu mtuSearch
	ecn ecnValidation

	since    uint64    // packet numbers below it were sent before the last migration
	probed   mono.Time // last probe timeout
	needPing bool      // a packet has to be sent whatever is in it
	closing  bool      // closed once the running operation has ended
	copies   []streamCopy
}

// usable reports whether packets can be sent on the path: it is open and the
// peer has issued a connection ID for it.
func (p *Path) usable() bool {
	return p.State != PathClosed && !p.closing && len(p.remote.ids) > 0
}

// A route is a pair of addresses and what is known of it.
type route struct {
	local, remote netip.AddrPort
	ifIndex       uint32
	validated     bool
	// received and sent count UDP payload bytes for the anti-amplification
	// limit while the peer's address is unvalidated.
	// https://www.rfc-editor.org/rfc/rfc9000#section-8.1
	received, sent uint64

	idSeq     uint64      // sequence number of the peer's connection ID used here
	borrowed  bool        // idSeq is the path's current route's
	arrivedOn wire.ConnID // our connection ID the peer last sent to from here

	challenge     validation
	response      [8]byte
	haveResponse  bool
	migrateOnPass bool // switch the path here once validated
	lastUsed      mono.Time
}

// setRoute makes r the path's current route and shows it in the view.
func (p *Path) setRoute(r *route) {
	p.route = r
	p.LocalIfIndex = r.ifIndex
	p.LocalIPHigh, p.LocalIPLow = addrWords(r.local.Addr())
	p.RemoteIPHigh, p.RemoteIPLow = addrWords(r.remote.Addr())
	p.LocalPort, p.RemotePort = uint32(r.local.Port()), uint32(r.remote.Port())
	p.Validated = 0
	if r.validated {
		p.Validated = 1
	}
}

// showIDs brings the connection IDs in the view up to date.
func (p *Path) showIDs() {
	local, remote := uint32(len(p.local.ids)), uint32(len(p.remote.ids))
	if p.LocalIDs == local && p.RemoteIDs == remote && p.RemoteIDSequence == p.route.idSeq {
		return
	}
	p.LocalIDs, p.RemoteIDs, p.RemoteIDSequence = local, remote, p.route.idSeq
	p.RemoteID = connIDView(p.conn.destConnID(p, p.route))
	if local > 0 {
		p.LocalID = connIDView(p.local.ids[0].id)
	}
}

func addrWords(a netip.Addr) (hi, lo uint64) {
	if !a.IsValid() {
		return 0, 0
	}
	b := a.As16()
	return binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])
}

// Conn returns the path's connection.
func (p *Path) Conn() *Conn { return p.conn }

// LocalAddr and RemoteAddr return the path's current addresses.
func (p *Path) LocalAddr() netip.AddrPort  { return p.route.local }
func (p *Path) RemoteAddr() netip.AddrPort { return p.route.remote }

// newPath returns a path whose congestion state starts afresh.
func (c *Conn) newPath(id uint64, r *route, now mono.Time) *Path {
	p := &Path{conn: c}
	p.ID = id
	p.space.init(appSpace, &p.Space, p)
	p.AckThreshold = 2
	p.ReorderThreshold = 1
	p.PacketThreshold = 3
	p.AckDelay = c.config.MaxAckDelay
	p.MaxAckDelay = defaultMaxAckDelay
	if c.peerParams != nil {
		p.MaxAckDelay = c.peerMaxAckDelay()
	}
	if z := c.path0; z != nil {
		// What ACK_FREQUENCY frames have agreed holds here too.
		p.AckThreshold, p.AckDelay, p.ReorderThreshold, p.MaxAckDelay = z.AckThreshold, z.AckDelay, z.ReorderThreshold, z.MaxAckDelay
	}
	if c.keyUpdate.prev != nil {
		p.space.phaseFirst = unanswered
	}
	p.setRoute(r)
	p.resetMeasurements(now)
	return p
}

// resetMeasurements forgets what belonged to the old network path.
//
// "On confirming a peer's ownership of its new address, an endpoint MUST
// immediately reset the congestion controller and round-trip time estimator".
// https://www.rfc-editor.org/rfc/rfc9000#section-9.4
func (p *Path) resetMeasurements(now mono.Time) {
	c := p.conn
	p.since = p.space.sent.Next()
	p.RTT.Init(c.initialRTT())
	p.Congestion = congestion.View{MaxDatagramSize: uint64(c.config.InitialUDPPayload)}
	p.cc, _ = congestion.New(c.config.CongestionControl, c.config.InitialWindow)
	p.MTU = uint64(c.config.InitialUDPPayload)
	p.cc.Init(&p.Congestion, now)
	p.sampler = congestion.RateSampler{}
	p.Pacer = recovery.Pacer{}
	p.mtu.start(p, now)
	p.ecn.start(p)
	p.PTOCount = 0
}

// measures reports whether a packet says something about the network path in
// use: it was sent since the last migration.
//
// "packets sent on the old path MUST NOT contribute to congestion control or RTT
// estimation for the new path."
// https://www.rfc-editor.org/rfc/rfc9000#section-9.4
func (p *Path) measures(sent *SentPacket) bool {
	return sent.Number >= p.since || sent.Level < uint32(levelEarly) || sent.Level == uint32(levelHandshake)
}

// credit counts a datagram towards the anti-amplification limit, if it came
// from the address that answers go to: during the handshake others are heard
// and not answered.
//
// "after receiving packets from an address that is not yet validated, an
// endpoint MUST limit the amount of data it sends to the unvalidated address to
// three times the amount of data received from that address."
// https://www.rfc-editor.org/rfc/rfc9000#section-8
func (r *route) credit(d *Datagram) {
	if d.Remote == r.remote {
		r.received += uint64(len(d.Payload))
	}
}

// amplificationCredit reports how many bytes the anti-amplification limit leaves.
//
// "Prior to validating the client address, servers MUST NOT send more than
// three times as many bytes as the number of bytes they have received."
// https://www.rfc-editor.org/rfc/rfc9000#section-8.1
func (r *route) amplificationCredit() uint64 {
	if r.validated {
		return 1 << 62
	}
	limit := 3 * r.received
	if r.sent >= limit {
		return 0
	}
	return limit - r.sent
}

// otherPath reports whether a path other than p can carry data.
func (c *Conn) otherPath(p *Path) bool {
	for _, x := range c.paths {
		if x != p && x.State == PathActive && x.usable() {
			return true
		}
	}
	return false
}

// Paths returns the open paths, path 0 first. The slice belongs to the
// connection.
func (c *Conn) Paths() []*Path { return c.paths }

// maxPTO is the longest probe timeout of all paths: what is in the network, on
// whichever of them, has arrived or is lost after a few of these.
func (c *Conn) maxPTO() (d time.Duration) {
	for _, p := range c.paths {
		d = max(d, p.RTT.PTO(p.MaxAckDelay))
	}
	return d
}

// pathZero returns path 0, of which the frames of plain QUIC speak, or nil once
// it is closed. path0 then is another one.
func (c *Conn) pathZero() *Path {
	if c.path0.ID == 0 {
		return c.path0
	}
	return nil
}

// Received returns the ranges of packet numbers received on the path and not
// forgotten, highest first. They belong to the path.
func (p *Path) Received() []recovery.Range { return p.space.received.Ranges() }

// SentPacket returns a packet of the path that is still remembered, or nil.
func (p *Path) SentPacket(pn uint64) *SentPacket { return p.space.sent.Get(pn) }

// Path returns the open path with the given ID, or nil.
func (c *Conn) Path(id uint64) *Path {
	for _, p := range c.paths {
		if p.ID == id {
			return p
		}
	}
	return nil
}
