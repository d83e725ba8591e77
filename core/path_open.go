package core

import (
	"net/netip"
	"slices"

	"github.com/pquic-go/pquic/core/mono"
	"github.com/pquic-go/pquic/core/wire"
	"github.com/pquic-go/pquic/protoops"
)

// What a plugin that speaks of several paths needs: opening and closing them,
// and connection IDs per path. Plain QUIC never calls these.

// OpenPath opens path id between the given addresses. validate starts path
// validation; until it passes the path carries probing frames only. The
// connection IDs of the path are the caller's business: IssuePathConnID and
// AddPathConnID.
func (c *Conn) OpenPath(now mono.Time, id uint64, local, remote netip.AddrPort, ifIndex uint32, validate bool) (*Path, error) {
	if c.v.HandshakeComplete == 0 || c.v.State >= StateClosing {
		return nil, ErrNotReady
	}
	if id > 1<<32-1 || c.Path(id) != nil {
		return nil, violation(InternalError, 0, "path %d is open already or out of range", id)
	}
	c.begin(now)
	p := c.newPath(id, &route{local: local, remote: remote, ifIndex: ifIndex, lastUsed: now, validated: !c.IsServer()}, now)
	if c.peerParams != nil {
		p.mtu.limit(p, c.peerParams.MaxUDPPayloadSize)
	}
	p.State = PathUnvalidated
	c.paths = append(c.paths, p)
	c.v.Paths = uint32(len(c.paths))
	c.pathCreated(PathArg{p})
	if validate {
		c.setPathState(p, PathValidating)
		c.startValidation(p, p.route)
	}
	return p, nil
}

// pathCreated tells that a path was opened. Event "path_created".
func (c *Conn) pathCreated(a PathArg) {
	if c.ops.pathCreated.Attached() {
		c.ops.pathCreated.Run(a)
	}
}

var opPathCreated = protoops.Define(protoops.Key{Name: "path_created", Param: protoops.NoParam},
	protoops.Doc{
		Summary: "A path was opened",
		Fires:   "per path but path 0",
	},
	func(c *Conn) *protoops.Slot[PathArg, protoops.None] { return &c.ops.pathCreated },
	nil)

// pathClosed tells that a path was closed; its packets in flight were declared lost. Event "path_closed".
func (c *Conn) pathClosed(a PathArg) {
	if c.ops.pathClosed.Attached() {
		c.ops.pathClosed.Run(a)
	}
}

var opPathClosed = protoops.Define(protoops.Key{Name: "path_closed", Param: protoops.NoParam},
	protoops.Doc{
		Summary: "A path was closed; its packets in flight were declared lost",
		Fires:   "per path",
	},
	func(c *Conn) *protoops.Slot[PathArg, protoops.None] { return &c.ops.pathClosed },
	nil)

// pathStateChanged tells that a path moved to another state. Event "path_state_changed".
func (c *Conn) pathStateChanged(a PathArg) {
	if c.ops.pathStateChanged.Attached() {
		c.ops.pathStateChanged.Run(a)
	}
}

var opPathStateChanged = protoops.Define(protoops.Key{Name: "path_state_changed", Param: protoops.NoParam},
	protoops.Doc{
		Summary: "A path moved to another state",
		Fires:   "per change",
	},
	func(c *Conn) *protoops.Slot[PathArg, protoops.None] { return &c.ops.pathStateChanged },
	nil)

// SetPathState moves a path between active, standby and suspended.
func (c *Conn) SetPathState(p *Path, state uint32) {
	if p.State != PathClosed && state < PathClosed {
		c.setPathState(p, state)
	}
}

func (c *Conn) setPathState(p *Path, state uint32) {
	if p.State == state {
		return
	}
	p.State = state
	if state == PathActive && c.v.HandshakeConfirmed != 0 && !p.mtu.started {
		p.mtu.begin(p, c.now)
	}
	c.pathStateChanged(PathArg{p})
	c.wake()
}

// ClosePath closes a path; what it had in flight goes to the others at once.
// The last path cannot be closed: the connection ends instead. Called by a
// pluglet, it takes effect once the running operations have ended; path 0 stays
// open until the handshake is confirmed.
func (c *Conn) ClosePath(p *Path) {
	if p.State == PathClosed {
		return
	}
	if c.ops.table.Running() || p.ID == 0 && c.v.HandshakeConfirmed == 0 {
		p.closing, c.plug.closing = true, true
		c.wake()
		return
	}
	if len(c.paths) == 1 {
		c.closeSilently(ErrNoPath)
		return
	}
	c.LosePath(p)
	c.setPathState(p, PathClosed)
	for _, l := range p.local.ids {
		c.endpoint.removeConnID(l.id)
	}
	for _, r := range p.remote.ids {
		if r.hasToken {
			c.endpoint.removeResetToken(r.token)
		}
	}
	// Whoever walks the paths right now goes on with the list as it was.
	c.paths = slices.DeleteFunc(slices.Clone(c.paths), func(x *Path) bool { return x == p })
	c.v.Paths = uint32(len(c.paths))
	if p == c.path0 {
		c.path0 = c.paths[0]
		for _, x := range c.paths {
			if x.State == PathActive {
				c.path0 = x
				break
			}
		}
	}
	p.copies = nil
	c.dropReserved(func(block []reservation) bool { return block[0].Path == p }, func(r *reservation) { c.notifyUnsent(p, r) })
	c.pathClosed(PathArg{p})
	if c.log != nil {
		c.log.PathDropped(p.ID)
	}
	c.finish()
}

// LosePath declares everything in flight on p lost, so that other paths carry
// it: for a path that failed or is being abandoned.
func (c *Conn) LosePath(p *Path) {
	s := &p.space
	if s.sent.Len() == 0 {
		return
	}
	last := s.sent.Next() - 1
	for pn, ok := s.sent.NextOutstanding(s.sent.First(), last); ok; pn, ok = s.sent.NextOutstanding(pn+1, last) {
		c.losePacket(s, p, s.sent.Get(pn), lossByTimer)
	}
	c.wake()
}

// IssuePathConnID makes a connection ID for path p and returns its sequence
// number and stateless reset token; the caller tells the peer.
func (c *Conn) IssuePathConnID(p *Path) (id wire.ConnID, seq uint64, token [16]byte) {
	return c.issueConnIDFor(p)
}

func (c *Conn) issueConnIDFor(p *Path) (id wire.ConnID, seq uint64, token [16]byte) {
	id = c.endpoint.newConnID()
	seq = p.local.next
	p.local.next++
	p.local.ids = append(p.local.ids, localID{seq: seq, id: id})
	c.endpoint.addConnID(id, c, p, seq)
	return id, seq, c.endpoint.resetToken(id)
}

// ReserveConnID makes a connection ID that belongs to path id, which may not be
// open yet: packets carrying it are dropped until it is.
func (c *Conn) ReserveConnID(pathID, seq uint64) (id wire.ConnID, token [16]byte) {
	id = c.endpoint.newConnID()
	c.endpoint.addConnIDFor(id, c, pathID, seq)
	return id, c.endpoint.resetToken(id)
}

// AdoptConnID gives a reserved connection ID to its path once it is open.
func (c *Conn) AdoptConnID(p *Path, id wire.ConnID, seq uint64) {
	p.local.ids = append(p.local.ids, localID{seq: seq, id: id})
	p.local.next = max(p.local.next, seq+1)
}

// RetirePathConnID handles the peer's retirement of one of our IDs on p.
func (c *Conn) RetirePathConnID(p *Path, seq uint64) error {
	if te := c.retireLocalID(p, seq, wire.ConnID{}); te != nil {
		return te
	}
	return nil
}

// AddPathConnID stores a connection ID the peer issued for p; the route uses it
// at once if it has none.
func (c *Conn) AddPathConnID(p *Path, f wire.NewConnectionIDFrame) error {
	if te := c.addRemoteID(p, f); te != nil {
		return te
	}
	if p.remote.get(p.route.idSeq) == nil || !p.remote.get(p.route.idSeq).used {
		c.useFreshRemoteID(p, p.route)
	}
	return nil
}

// connIDTargetNative: https://www.rfc-editor.org/rfc/rfc9000#section-5.1.1
// connIDTarget chooses how many connection IDs the peer gets for a path. Operation "connection_id_target".
func (c *Conn) connIDTarget(a PathArg) Count {
	if c.ops.connIDTarget.Attached() {
		return c.ops.connIDTarget.Run(a)
	}
	return c.connIDTargetNative(a)
}

var opConnIDTarget = protoops.Define(protoops.Key{Name: "connection_id_target", Param: protoops.NoParam},
	protoops.Doc{
		Summary: "Chooses how many connection IDs the peer gets for a path",
		Fires:   "when the handshake completes and when one is retired",
		Native:  "up to the peer's limit, at most 4; none with zero-length connection IDs",
		Section: "https://www.rfc-editor.org/rfc/rfc9000#section-5.1.1",
	},
	func(c *Conn) *protoops.Slot[PathArg, Count] { return &c.ops.connIDTarget },
	(*Conn).connIDTargetNative)

func (c *Conn) connIDTargetNative(a PathArg) Count {
	if a.Path.ID != 0 || c.handshake.localSrc.Len() == 0 {
		return Count{uint64(len(a.Path.local.ids))}
	}
	return Count{maxLocalIDs}
}

// connIDRetired tells that a connection ID was retired by either side. Event "connection_id_retired".
func (c *Conn) connIDRetired(a ConnIDEvent) {
	if c.ops.connIDRetired.Attached() {
		c.ops.connIDRetired.Run(a)
	}
}

var opConnIDRetired = protoops.Define(protoops.Key{Name: "connection_id_retired", Param: protoops.NoParam},
	protoops.Doc{
		Summary: "A connection ID was retired by either side",
		Fires:   "per ID",
		Section: "https://www.rfc-editor.org/rfc/rfc9000#section-5.1.2",
	},
	func(c *Conn) *protoops.Slot[ConnIDEvent, protoops.None] { return &c.ops.connIDRetired },
	nil)
