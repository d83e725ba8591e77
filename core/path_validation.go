package core

import (
	"net/netip"
	"slices"

	"github.com/pquic-go/pquic/core/mono"
	"github.com/pquic-go/pquic/core/recovery"
	"github.com/pquic-go/pquic/core/wire"
	"github.com/pquic-go/pquic/protoops"
)

// validation is a path validation in progress.
// https://www.rfc-editor.org/rfc/rfc9000#section-8.2
type validation struct {
	active   bool
	send     bool
	data     [3][8]byte // the last challenges; a response to any of them counts
	sent     int
	next     mono.Time // when the next challenge goes out
	deadline mono.Time // when it is given up
}

// maxRoutes bounds the address pairs remembered besides the one in use, so
// that spoofed source addresses cost nothing.
const maxRoutes = 4

// routeOf finds the route a datagram took, or makes one for an address pair
// not seen before where that is allowed.
func (c *Conn) routeOf(p *Path, d *Datagram) *route {
	rt := p.route
	if rt.remote == d.Remote && (rt.local == d.Local || !rt.local.Addr().IsValid() || rt.local.Addr().IsUnspecified()) {
		rt.ifIndex = d.IfIndex
		if rt.local != d.Local {
			rt.local = d.Local
			p.setRoute(rt)
		}
		return rt
	}
	for _, r := range p.routes {
		if r.remote == d.Remote && r.local == d.Local {
			return r
		}
	}
	if !c.IsServer() && d.Remote != rt.remote && !c.isServersPreferred(d.Remote) {
		// "If a client receives packets from an unknown server address, the
		// client MUST discard these packets."
		// https://www.rfc-editor.org/rfc/rfc9000#section-9
		return nil
	}
	if c.v.HandshakeConfirmed == 0 && c.IsServer() && c.v.HandshakeComplete == 0 {
		// "An endpoint MUST NOT initiate connection migration before the
		// handshake is confirmed"; until then another address is no migration.
		// A datagram that authenticates still counts, its answer goes to the
		// address of the handshake.
		return rt
	}
	r := &route{local: d.Local, remote: d.Remote, ifIndex: d.IfIndex, lastUsed: c.now}
	if !c.IsServer() {
		r.validated = true
	}
	r.idSeq, r.borrowed = rt.idSeq, true
	c.addRoute(p, r)
	return r
}

// addRoute remembers a route, forgetting the one longest unused.
func (c *Conn) addRoute(p *Path, r *route) {
	if len(p.routes) >= maxRoutes {
		// One that was never validated goes first: addresses that may be spoofed
		// must not push out the one to fall back on.
		oldest := 0
		for i, x := range p.routes {
			o := p.routes[oldest]
			if o.validated && !x.validated || o.validated == x.validated && x.lastUsed < o.lastUsed {
				oldest = i
			}
		}
		c.forgetRoute(p, p.routes[oldest])
	}
	p.routes = append(p.routes, r)
}

// forgetRoute drops a route for good and retires the connection ID that only it
// used, so that the peer issues another.
func (c *Conn) forgetRoute(p *Path, r *route) {
	p.removeRoute(r)
	if r.borrowed || r.idSeq == p.route.idSeq {
		return
	}
	for _, x := range p.routes {
		if x.idSeq == r.idSeq {
			return
		}
	}
	c.retireRemote(p, r.idSeq)
}

func (p *Path) removeRoute(r *route) {
	for i, x := range p.routes {
		if x == r {
			p.routes = append(p.routes[:i], p.routes[i+1:]...)
			return
		}
	}
}

// startValidation sends challenges on a route.
func (c *Conn) startValidation(p *Path, r *route) {
	if r.challenge.active {
		return
	}
	// "the endpoint SHOULD abandon path validation … after … three times the
	// larger of the current PTO or the PTO for the new path (using kInitialRtt)".
	// https://www.rfc-editor.org/rfc/rfc9000#section-8.2.4
	d := c.validationTimeout(PathArg{p}).Duration
	r.challenge = validation{active: true, send: true, next: c.now, deadline: c.now.Add(d)}
	c.wake()
}

// validationTimeout chooses when path validation is given up. Operation "validation_timeout".
func (c *Conn) validationTimeout(a PathArg) Span {
	if c.ops.validationTimeout.Attached() {
		return c.ops.validationTimeout.Run(a)
	}
	return c.validationTimeoutNative(a)
}

var opValidationTimeout = protoops.Define(protoops.Key{Name: "validation_timeout", Param: protoops.NoParam},
	protoops.Doc{
		Summary: "Chooses when path validation is given up",
		Fires:   "when it starts",
		Native:  "three times the larger of the path's and a new path's probe timeout",
		Section: "https://www.rfc-editor.org/rfc/rfc9000#section-8.2.4",
	},
	func(c *Conn) *protoops.Slot[PathArg, Span] { return &c.ops.validationTimeout },
	(*Conn).validationTimeoutNative)

func (c *Conn) validationTimeoutNative(a PathArg) Span {
	var fresh recovery.RTT
	fresh.Init(initialRTT)
	return Span{3 * max(a.Path.RTT.PTO(a.Path.MaxAckDelay), fresh.PTO(a.Path.MaxAckDelay))}
}

// processPathChallenge queues the answer, on the route it came from.
//
// "On receiving a PATH_CHALLENGE frame, an endpoint MUST respond by echoing the
// data contained in the PATH_CHALLENGE frame in a PATH_RESPONSE frame. … This
// response MUST be sent on the path where the PATH_CHALLENGE was received".
// https://www.rfc-editor.org/rfc/rfc9000#section-8.2.2
func (c *Conn) processPathChallenge(in *ReceivedPacket, f wire.PathChallengeFrame) *TransportError {
	// One answer per route is kept: a flood of challenges is answered at the
	// rate we send.
	in.route.response, in.route.haveResponse = f.Data, true
	return nil
}

// processPathResponse completes a validation.
func (c *Conn) processPathResponse(in *ReceivedPacket, f wire.PathResponseFrame) *TransportError {
	p := in.path
	if c.responseTo(p, p.route, f.Data) {
		return nil
	}
	for _, r := range p.routes {
		if c.responseTo(p, r, f.Data) {
			return nil
		}
	}
	return nil
}

func (c *Conn) responseTo(p *Path, r *route, data [8]byte) bool {
	if !r.challenge.active {
		return false
	}
	for i := range min(r.challenge.sent, len(r.challenge.data)) {
		if r.challenge.data[i] != data {
			continue
		}
		c.v.ResponsesReceived++
		r.challenge = validation{}
		r.validated = true
		if r == p.route {
			p.Validated = 1
			if p.State == PathValidating {
				c.setPathState(p, PathActive)
			}
			// The old routes are not needed any more, nor their connection IDs.
			for _, old := range p.routes {
				if !old.borrowed && old.idSeq != r.idSeq {
					c.retireRemote(p, old.idSeq)
				}
			}
			p.routes = nil
			if !p.mtu.started && c.v.HandshakeConfirmed != 0 {
				p.mtu.begin(p, c.now)
			}
		}
		c.pathValidated(c.routeArg(p, r, false))
		if r.migrateOnPass {
			r.migrateOnPass = false
			c.migrateTo(p, r)
		}
		return true
	}
	return false
}

// pathValidated tells that the peer answered a PATH_CHALLENGE: the address is its own. Event "path_validated".
func (c *Conn) pathValidated(a RouteArg) {
	if c.ops.pathValidated.Attached() {
		c.ops.pathValidated.Run(a)
	}
}

var opPathValidated = protoops.Define(protoops.Key{Name: "path_validated", Param: protoops.NoParam},
	protoops.Doc{
		Summary: "The peer answered a PATH_CHALLENGE: the address is its own",
		Fires:   "once per validation",
		Section: "https://www.rfc-editor.org/rfc/rfc9000#section-8.2.3",
	},
	func(c *Conn) *protoops.Slot[RouteArg, protoops.None] { return &c.ops.pathValidated },
	nil)

// pathValidationFailed tells that no answer to PATH_CHALLENGE came in time. Event "path_validation_failed".
func (c *Conn) pathValidationFailed(a RouteArg) {
	if c.ops.pathValidationFailed.Attached() {
		c.ops.pathValidationFailed.Run(a)
	}
}

var opPathValidationFailed = protoops.Define(protoops.Key{Name: "path_validation_failed", Param: protoops.NoParam},
	protoops.Doc{
		Summary: "No answer to PATH_CHALLENGE came in time",
		Fires:   "once per validation",
		Section: "https://www.rfc-editor.org/rfc/rfc9000#section-8.2.4",
	},
	func(c *Conn) *protoops.Slot[RouteArg, protoops.None] { return &c.ops.pathValidationFailed },
	nil)

func (c *Conn) routeArg(p *Path, r *route, probing bool) RouteArg {
	hi, lo := addrWords(r.remote.Addr())
	return RouteArg{Path: p, RemoteHigh: hi, RemoteLow: lo, RemotePort: uint64(r.remote.Port()), Probing: probing}
}

// transmitProbe writes a datagram that belongs on a particular route: a
// challenge or an answer to one, or an MTU probe.
func (c *Conn) transmitProbe(now mono.Time, buf []byte) (Transmit, bool) {
	if c.keys[level1RTT].seal == nil || c.v.HandshakeComplete == 0 {
		return Transmit{}, false
	}
	for _, p := range c.paths {
		if !p.usable() {
			continue
		}
		if t, ok := c.transmitRouteProbe(now, buf, p, p.route); ok {
			return t, true
		}
		for _, r := range p.routes {
			if t, ok := c.transmitRouteProbe(now, buf, p, r); ok {
				return t, true
			}
		}
		if t, ok := c.transmitMTUProbe(now, buf, p); ok {
			return t, true
		}
	}
	return Transmit{}, false
}

func (c *Conn) transmitRouteProbe(now mono.Time, buf []byte, p *Path, r *route) (Transmit, bool) {
	if !r.haveResponse && !r.challenge.send {
		return Transmit{}, false
	}
	if r != p.route && !c.ownConnID(p, r) {
		r.haveResponse, r.challenge.send = false, false
		return Transmit{}, false
	}
	size := min(len(buf), max(int(p.MTU), minUDPPayload))
	// "An endpoint MUST expand datagrams that contain a PATH_CHALLENGE frame to
	// at least the smallest allowed maximum datagram size of 1200 bytes, unless
	// the anti-amplification limit for the path does not permit sending a
	// datagram of this size."
	// https://www.rfc-editor.org/rfc/rfc9000#section-8.2.1
	credit := r.amplificationCredit()
	if credit < uint64(size) {
		size = int(credit)
	}
	b := c.builder()
	if size < 64 || !b.start(buf[:size:size], 0, p, r, level1RTT) {
		return Transmit{}, false
	}
	b.pathProbe = true
	if r.haveResponse {
		r.haveResponse = false
		c.writeFrame(b, wire.PathResponse, 0)
	}
	if r.challenge.send {
		r.challenge.send = false
		c.writeFrame(b, wire.PathChallenge, 0)
	}
	b.padTo(minUDPPayload)
	n := c.finishPacket(now, b)
	r.sent += uint64(n)
	t := c.transmitOn(p, r, n, n)
	t.ECN = b.ecn()
	return t, true
}

// ownConnID makes sure that packets on r do not carry a connection ID that is
// used between other addresses, and reports whether that was possible. A
// rebinding is no such case: the peer does not know of it and goes on with the
// same ID.
//
// "An endpoint MUST NOT reuse a connection ID when sending from more than one
// local address", nor "when sending to more than one destination address".
// https://www.rfc-editor.org/rfc/rfc9000#section-9.5
func (c *Conn) ownConnID(p *Path, r *route) bool {
	if !r.borrowed || r.local == p.route.local && r.arrivedOn == p.route.arrivedOn || c.destConnID(p, r).Len() == 0 {
		return true
	}
	return c.useFreshRemoteID(p, r)
}

func writePathResponse(c *Conn, b *PacketBuilder) {
	b.path.ResponsesSent++
	b.b = wire.AppendPathResponse(b.b, wire.PathResponseFrame{Data: b.route.response})
	b.record(frameRecord{typ: wire.PathResponse})
}

func writePathChallenge(c *Conn, b *PacketBuilder) {
	v := &b.route.challenge
	// "The endpoint MUST use unpredictable data in every PATH_CHALLENGE frame".
	// https://www.rfc-editor.org/rfc/rfc9000#section-8.2.1
	data := &v.data[v.sent%len(v.data)]
	c.endpoint.random(data[:])
	v.sent++
	v.next = c.now.Add(recovery.Backoff(max(b.path.RTT.PTO(0), timerGranularity), uint32(min(v.sent-1, 10))))
	c.v.ChallengesSent++
	b.path.Challenges, b.path.ChallengeTime = uint64(v.sent), c.now
	b.b = wire.AppendPathChallenge(b.b, wire.PathChallengeFrame{Data: *data})
	b.record(frameRecord{typ: wire.PathChallenge})
}

// pathDeadline returns when the path's validation or MTU discovery needs time.
func (c *Conn) pathDeadline(p *Path) mono.Time {
	t := p.mtu.next
	add := func(r *route) {
		if r.challenge.active {
			t = mono.Earliest(t, mono.Earliest(r.challenge.next, r.challenge.deadline))
		}
	}
	add(p.route)
	for _, r := range p.routes {
		add(r)
	}
	return t
}

// pathTimer runs validations and MTU discovery of a path.
func (c *Conn) pathTimer(p *Path) {
	c.validationTimer(p, p.route)
	for _, r := range append([]*route(nil), p.routes...) {
		c.validationTimer(p, r)
	}
	p.mtu.timer(c, p)
}

func (c *Conn) validationTimer(p *Path, r *route) {
	v := &r.challenge
	if !v.active {
		return
	}
	if v.deadline <= c.now {
		r.challenge = validation{}
		c.validationFailed(p, r)
		return
	}
	if v.next <= c.now {
		v.next = 0
		v.send = true
		c.wake()
	}
}

// validationFailed falls back to the last route that was valid.
//
// "If path validation fails … the endpoint … MUST revert to using the last
// validated peer address".
// https://www.rfc-editor.org/rfc/rfc9000#section-9.3.2
func (c *Conn) validationFailed(p *Path, r *route) {
	c.pathValidationFailed(c.routeArg(p, r, false))
	if r != p.route {
		// The last address that was valid is kept, although it was silent now,
		// as long as nothing better is known: without it the connection would
		// have to end if the new address, on a bad path, fails its own test.
		// What the peer sends from there starts another one.
		if !r.validated || p.route.validated {
			c.forgetRoute(p, r)
		}
		return
	}
	if r.validated && len(c.paths) == 1 {
		return // it was valid before, and there is no other: probes and the idle timeout decide
	}
	for _, old := range p.routes {
		if old.validated {
			p.removeRoute(old)
			p.setRoute(old)
			p.resetMeasurements(c.now)
			return
		}
	}
	if p.ID != 0 || len(c.paths) > 1 {
		c.ClosePath(p)
		return
	}
	c.closeSilently(ErrNoPath)
}

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

// LocalAddressesChanged tells that the local address a socket sends from has
// changed under the connection, as after a NAT rebinding or a new interface
// address: path 0 goes on from the new one, which the peer validates.
func (c *Conn) LocalAddressesChanged(now mono.Time, local netip.AddrPort, ifIndex uint32) {
	c.begin(now)
	c.localAddressesChanged(NoArg{})
	r := c.path0.route
	r.local, r.ifIndex = local, ifIndex
	c.path0.setRoute(r)
	c.path0.needPing = true
	c.finish()
}

// A LocalAddr is an address the host can send from.
type LocalAddr struct {
	Addr    netip.AddrPort
	IfIndex uint32 // its interface, 0 unknown
}

// SetLocalAddresses tells on which addresses the host can now send and receive
// for the connection. A path that starts from another one has lost its socket.
func (c *Conn) SetLocalAddresses(now mono.Time, addrs []LocalAddr) {
	if c.v.State >= StateClosing {
		return
	}
	c.begin(now)
	c.localAddrs = append(c.localAddrs[:0], addrs...)
	c.localAddressesChanged(NoArg{})
	for _, p := range c.paths {
		if !slices.ContainsFunc(addrs, func(a LocalAddr) bool { return a.Addr == p.route.local }) && c.pathSocketError(PathArg{p}).Yes && len(c.paths) > 1 {
			c.ClosePath(p)
		}
	}
	c.finish()
}

// LocalAddresses returns what SetLocalAddresses was last told. The slice belongs
// to the connection.
func (c *Conn) LocalAddresses() []LocalAddr { return c.localAddrs }

// localAddressesChanged tells that the host's addresses changed. Event "local_addresses_changed".
func (c *Conn) localAddressesChanged(a NoArg) {
	if c.ops.localAddressesChanged.Attached() {
		c.ops.localAddressesChanged.Run(a)
	}
}

var opLocalAddressesChanged = protoops.Define(protoops.Key{Name: "local_addresses_changed", Param: protoops.NoParam},
	protoops.Doc{
		Summary: "The host's addresses changed",
		Fires:   "per change the host reports",
	},
	func(c *Conn) *protoops.Slot[NoArg, protoops.None] { return &c.ops.localAddressesChanged },
	nil)

// PathSocketError tells that sending on a path failed for good, or that the
// network refused a datagram of the given size.
func (c *Conn) PathSocketError(now mono.Time, p *Path, tooBig int) {
	if c.v.State >= StateClosing {
		return
	}
	c.begin(now)
	if tooBig > 0 {
		p.mtu.refused(c, p, tooBig)
		c.finish()
		return
	}
	if c.pathSocketError(PathArg{p}).Yes && len(c.paths) > 1 {
		c.ClosePath(p)
	}
	c.finish()
}

// pathSocketError decides whether a path whose socket fails is closed. Operation "path_socket_error".
func (c *Conn) pathSocketError(a PathArg) Decision {
	if c.ops.pathSocketError.Attached() {
		return c.ops.pathSocketError.Run(a)
	}
	return c.pathSocketErrorNative(a)
}

var opPathSocketError = protoops.Define(protoops.Key{Name: "path_socket_error", Param: protoops.NoParam},
	protoops.Doc{
		Summary: "Decides whether a path whose socket fails is closed",
		Fires:   "when the socket reports an error that is not about size",
		Native:  "yes, if another path is left; a connection never ends for it",
	},
	func(c *Conn) *protoops.Slot[PathArg, Decision] { return &c.ops.pathSocketError },
	(*Conn).pathSocketErrorNative)

func (c *Conn) pathSocketErrorNative(PathArg) Decision { return Decision{true} }

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
