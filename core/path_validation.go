package core

import (
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
