package core

import (
	"net/netip"

	"github.com/pquic-go/pquic/core/mono"
	"github.com/pquic-go/pquic/core/wire"
	"github.com/pquic-go/pquic/protoops"
)

// Moving to another address: following the peer, moving ourselves, and the
// address a server prefers.

// checkMigration follows a peer that has moved.
// https://www.rfc-editor.org/rfc/rfc9000#section-9.3
func (c *Conn) checkMigration(now mono.Time, in *ReceivedPacket) {
	p, r := in.path, in.route
	if r == p.route {
		return
	}
	largest, _ := p.space.received.Largest()
	if !in.nonProbing || in.Number != largest || !c.IsServer() {
		// "An endpoint only changes the address to which it sends packets in
		// response to the highest-numbered non-probing packet."
		return
	}
	if !c.acceptMigration(c.routeArg(p, r, false)).Yes {
		return
	}
	old := p.route
	p.removeRoute(r)
	if old.validated {
		c.addRoute(p, old)
	}
	samePeer := old.remote.Addr() == r.remote.Addr()
	if r.borrowed && (!samePeer || in.dst != old.arrivedOn) {
		// "An endpoint MUST NOT reuse a connection ID when sending to more than
		// one destination address", except after a rebinding that the peer does
		// not know of: it goes on with the same ID, and so do we.
		// https://www.rfc-editor.org/rfc/rfc9000#section-9.5
		c.useFreshRemoteID(p, r)
	}
	p.setRoute(r)
	c.peerAddressChanged(c.routeArg(p, r, false))
	if c.log != nil {
		c.log.TupleAssigned(now, "", r.local, r.remote)
	}
	if !samePeer {
		p.resetMeasurements(now)
	}
	// A rebinding of the port alone keeps the measurements: "Because port-only
	// changes are commonly the result of NAT rebinding or other middlebox
	// activity, the endpoint MAY instead retain its congestion control state".
	// https://www.rfc-editor.org/rfc/rfc9000#section-9.4
	if !r.validated {
		c.startValidation(p, r)
	}
	if old.validated {
		// "a peer … SHOULD … validate … the previously active path" in response
		// to an apparent migration, in case the packets were forwarded by an
		// attacker.
		// https://www.rfc-editor.org/rfc/rfc9000#section-9.3.3
		c.startValidation(p, old)
	}
}

// acceptMigration decides whether to follow the peer to a new address. Operation "accept_migration".
func (c *Conn) acceptMigration(a RouteArg) Decision {
	if c.ops.acceptMigration.Attached() {
		return c.ops.acceptMigration.Run(a)
	}
	return c.acceptMigrationNative(a)
}

var opAcceptMigration = protoops.Define(protoops.Key{Name: "accept_migration", Param: protoops.NoParam},
	protoops.Doc{
		Summary: "Decides whether to follow the peer to a new address",
		Fires:   "when its newest non-probing packet came from there",
		Native:  "yes",
		Section: "https://www.rfc-editor.org/rfc/rfc9000#section-9.3",
	},
	func(c *Conn) *protoops.Slot[RouteArg, Decision] { return &c.ops.acceptMigration },
	(*Conn).acceptMigrationNative)

func (c *Conn) acceptMigrationNative(RouteArg) Decision { return Decision{true} }

// peerAddressChanged tells that the path follows the peer to a new address. Event "peer_address_changed".
func (c *Conn) peerAddressChanged(a RouteArg) {
	if c.ops.peerAddressChanged.Attached() {
		c.ops.peerAddressChanged.Run(a)
	}
}

var opPeerAddressChanged = protoops.Define(protoops.Key{Name: "peer_address_changed", Param: protoops.NoParam},
	protoops.Doc{
		Summary: "The path follows the peer to a new address",
		Fires:   "per migration",
		Section: "https://www.rfc-editor.org/rfc/rfc9000#section-9.3",
	},
	func(c *Conn) *protoops.Slot[RouteArg, protoops.None] { return &c.ops.peerAddressChanged },
	nil)

// Migrate moves a client's path 0 to another local address: the address is
// validated first, and used once the server has answered.
// https://www.rfc-editor.org/rfc/rfc9000#section-9.2
//
// ErrMigrationDisabled if the server does not want that, ErrNoConnID if it has
// issued no connection ID to do it with, ErrNotReady before the handshake is
// confirmed.
func (c *Conn) Migrate(now mono.Time, local netip.AddrPort, ifIndex uint32) error {
	if c.v.RemoteParams.DisableActiveMigration != 0 && !c.isServersPreferred(c.path0.route.remote) {
		// "An endpoint that receives this transport parameter MUST NOT use a new
		// local address when sending to the address that the peer used during
		// the handshake."
		// https://www.rfc-editor.org/rfc/rfc9000#section-18.2
		return ErrMigrationDisabled
	}
	return c.probeRoute(now, c.path0, &route{local: local, remote: c.path0.route.remote, ifIndex: ifIndex})
}

// probeRoute validates r and then moves p there.
func (c *Conn) probeRoute(now mono.Time, p *Path, r *route) error {
	if c.v.HandshakeConfirmed == 0 || c.v.State >= StateClosing {
		return ErrNotReady
	}
	c.begin(now)
	r.validated, r.migrateOnPass, r.lastUsed = true, true, now
	if !c.useFreshRemoteID(p, r) && len(p.remote.ids) > 0 && p.remote.ids[0].id.Len() > 0 {
		return ErrNoConnID
	}
	c.addRoute(p, r)
	c.startValidation(p, r)
	c.finish()
	return nil
}

// migrateTo moves p to a validated route.
func (c *Conn) migrateTo(p *Path, r *route) {
	old := p.route
	p.removeRoute(r)
	p.setRoute(r)
	if old.idSeq != r.idSeq {
		c.retireRemote(p, old.idSeq)
	}
	for len(p.routes) > 0 && !c.IsServer() {
		c.forgetRoute(p, p.routes[0]) // answers on addresses left behind
	}
	p.resetMeasurements(c.now)
	p.mtu.begin(p, c.now)
	p.needPing = true // a non-probing packet tells the server to follow
	if c.log != nil {
		c.log.MigrationStateUpdated(c.now, "probing_successful", "migration_complete")
	}
	c.wake()
}

// isServersPreferred reports whether a is the server's preferred address.
func (c *Conn) isServersPreferred(a netip.AddrPort) bool {
	p := c.peerParams
	return p != nil && p.HasPreferredAddress && (a == p.PreferredAddress.IPv4 || a == p.PreferredAddress.IPv6)
}

// usePreferredAddress moves a client to the server's preferred address.
// https://www.rfc-editor.org/rfc/rfc9000#section-9.6
func (c *Conn) usePreferredAddress() {
	if c.IsServer() || c.peerParams == nil || !c.peerParams.HasPreferredAddress || c.config.IgnorePreferredAddress {
		return
	}
	pa := &c.peerParams.PreferredAddress
	p := c.path0
	to := pa.IPv4
	if p.route.remote.Addr().Is6() && !p.route.remote.Addr().Is4In6() {
		to = pa.IPv6
	}
	if !to.IsValid() || to == p.route.remote {
		return
	}
	r := &route{local: p.route.local, remote: to, ifIndex: p.route.ifIndex, validated: true, migrateOnPass: true, lastUsed: c.now}
	if c.useFreshRemoteID(p, r) {
		c.addRoute(p, r)
		c.startValidation(p, r)
	}
}

// addPreferredAddress declares the server's.
func (c *Conn) addPreferredAddress(tp *wire.TransportParameters) {
	cfg := c.config
	if !cfg.PreferredAddress4.IsValid() && !cfg.PreferredAddress6.IsValid() {
		return
	}
	p := c.path0
	id := c.endpoint.newConnID()
	seq := p.local.next
	p.local.next++
	p.local.ids = append(p.local.ids, localID{seq: seq, id: id})
	c.endpoint.addConnID(id, c, p, seq)
	tp.HasPreferredAddress = true
	tp.PreferredAddress = wire.PreferredAddress{IPv4: cfg.PreferredAddress4, IPv6: cfg.PreferredAddress6, ConnID: id, ResetToken: c.endpoint.resetToken(id)}
}
