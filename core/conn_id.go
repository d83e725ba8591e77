package core

import (
	"slices"

	"github.com/pquic-go/pquic/core/wire"
)

// maxLocalIDs bounds the connection IDs we keep issued on one path.
const maxLocalIDs = 4

// maxPendingRetire bounds the RETIRE_CONNECTION_ID frames owed to the peer, so
// that NEW_CONNECTION_ID frames with a growing Retire Prior To cannot make us
// hold unbounded state.
//
// "An endpoint SHOULD limit the number of connection IDs it has retired
// locally for which RETIRE_CONNECTION_ID frames have not yet been
// acknowledged."
// https://www.rfc-editor.org/rfc/rfc9000#section-5.1.2
const maxPendingRetire = 64

// A localID is a connection ID we issued: packets carrying it come to us.
type localID struct {
	seq  uint64
	id   wire.ConnID
	send bool // its NEW_CONNECTION_ID has to be sent, or sent again
}

// localIDs are the connection IDs issued on one path.
type localIDs struct {
	ids  []localID
	next uint64
}

// A remoteID is a connection ID the peer issued: packets to the peer carry it.
type remoteID struct {
	seq      uint64
	id       wire.ConnID
	token    [16]byte
	hasToken bool
	used     bool // some route sends with it, or has sent with it
}

// remoteIDs are the peer's connection IDs of one path.
type remoteIDs struct {
	ids           []remoteID
	retirePriorTo uint64
	retire        []uint64 // sequence numbers owed a RETIRE_CONNECTION_ID
	unacked       int      // RETIRE_CONNECTION_ID frames sent and not acknowledged
	seen          seqSet   // sequence numbers ever received
}

// A seqSet remembers sequence numbers that come in order but for a few.
type seqSet struct {
	low  uint64 // all below were added
	bits uint64 // bit i: low+i was added
}

// add notes n and reports whether it was added before. Numbers 64 and more
// ahead of the first one missing are not remembered.
func (s *seqSet) add(n uint64) (dup bool) {
	if n < s.low {
		return true
	}
	i := n - s.low
	if i >= 64 {
		return false
	}
	if s.bits>>i&1 != 0 {
		return true
	}
	s.bits |= 1 << i
	for s.bits&1 != 0 {
		s.low++
		s.bits >>= 1
	}
	return false
}

func (r *remoteIDs) get(seq uint64) *remoteID {
	for i := range r.ids {
		if r.ids[i].seq == seq {
			return &r.ids[i]
		}
	}
	return nil
}

// unused returns the oldest connection ID no route has used, or nil.
func (r *remoteIDs) unused() *remoteID {
	for i := range r.ids {
		if !r.ids[i].used {
			return &r.ids[i]
		}
	}
	return nil
}

// issueConnIDs keeps as many connection IDs issued on p as operation
// "connection_id_target" says: the peer's limit, at most maxLocalIDs.
//
// "An endpoint MUST NOT provide more connection IDs than the peer's limit."
// https://www.rfc-editor.org/rfc/rfc9000#section-5.1.1
func (c *Conn) issueConnIDs(p *Path) {
	if p.ID != 0 {
		return // the plugin that opened the path issues its own
	}
	target := int(c.connIDTarget(PathArg{p}).Count)
	if lim := int(min(c.v.RemoteParams.ActiveConnectionIDLimit, 1<<20)); target > lim {
		target = lim
	}
	for len(p.local.ids) < target {
		id := c.endpoint.newConnID()
		seq := p.local.next
		p.local.next++
		p.local.ids = append(p.local.ids, localID{seq: seq, id: id, send: true})
		c.endpoint.addConnID(id, c, p, seq)
		c.pend |= pendNewConnID
	}
}

// retireLocalID handles the peer's retirement of an ID we issued.
func (c *Conn) retireLocalID(p *Path, seq uint64, arrivedOn wire.ConnID) *TransportError {
	if seq >= p.local.next {
		// "Receipt of a RETIRE_CONNECTION_ID frame containing a sequence number
		// greater than any previously sent to the peer MUST be treated as a
		// connection error of type PROTOCOL_VIOLATION."
		// https://www.rfc-editor.org/rfc/rfc9000#section-19.16
		return violation(ProtocolViolation, wire.RetireConnectionID, "sequence number %d was never issued", seq)
	}
	i := slices.IndexFunc(p.local.ids, func(l localID) bool { return l.seq == seq })
	if i < 0 {
		return nil // already retired
	}
	if p.local.ids[i].id == arrivedOn && arrivedOn.Len() > 0 {
		// "The sequence number specified in a RETIRE_CONNECTION_ID frame MUST
		// NOT refer to the Destination Connection ID field of the packet in
		// which the frame is contained." (same section)
		return violation(ProtocolViolation, wire.RetireConnectionID, "retires the connection ID of its own packet")
	}
	c.endpoint.removeConnID(p.local.ids[i].id)
	p.local.ids = slices.Delete(p.local.ids, i, i+1)
	c.connIDRetired(ConnIDEvent{Path: p, Seq: seq, Local: true})
	c.issueConnIDs(p)
	return nil
}

// addRemoteID stores a connection ID the peer issued for path p.
// https://www.rfc-editor.org/rfc/rfc9000#section-19.15
func (c *Conn) addRemoteID(p *Path, f wire.NewConnectionIDFrame) *TransportError {
	r := &p.remote
	if len(r.ids) > 0 && r.ids[0].id.Len() == 0 {
		// "An endpoint that is sending packets with a zero-length Destination
		// Connection ID MUST treat receipt of a NEW_CONNECTION_ID frame as a
		// connection error of type PROTOCOL_VIOLATION."
		return violation(ProtocolViolation, wire.NewConnectionID, "peer uses zero-length connection IDs")
	}
	if known := r.get(f.Sequence); known != nil {
		if known.id != f.ConnID || (known.hasToken && known.token != f.ResetToken) {
			return violation(ProtocolViolation, wire.NewConnectionID, "sequence number %d repeated with another connection ID", f.Sequence)
		}
		return nil
	}
	for i := range r.ids {
		if r.ids[i].id == f.ConnID {
			return violation(ProtocolViolation, wire.NewConnectionID, "connection ID repeated under sequence number %d", f.Sequence)
		}
	}
	if p.ID == 0 && f.Sequence == 0 || r.seen.add(f.Sequence) {
		return nil // a copy of a frame whose connection ID we have retired since
	}
	if f.RetirePriorTo > r.retirePriorTo {
		r.retirePriorTo = f.RetirePriorTo
	}
	if f.Sequence < r.retirePriorTo {
		// "An endpoint that receives a NEW_CONNECTION_ID frame with a sequence
		// number smaller than the Retire Prior To field of a previously
		// received NEW_CONNECTION_ID frame MUST send a corresponding
		// RETIRE_CONNECTION_ID frame".
		if p.ID == 0 && !slices.Contains(r.retire, f.Sequence) {
			r.retire = append(r.retire, f.Sequence)
			c.pend |= pendRetireConnID
		}
	} else {
		r.ids = append(r.ids, remoteID{seq: f.Sequence, id: f.ConnID, token: f.ResetToken, hasToken: true})
		slices.SortFunc(r.ids, func(a, b remoteID) int {
			if a.seq < b.seq {
				return -1
			}
			return 1
		})
	}
	c.retireRemoteBelow(p)
	if uint64(len(r.ids)) > c.config.ActiveConnIDLimit {
		// "After processing a NEW_CONNECTION_ID frame and adding and retiring
		// active connection IDs, if the number of active connection IDs exceeds
		// the value advertised in its active_connection_id_limit transport
		// parameter, an endpoint MUST close the connection with an error of
		// type CONNECTION_ID_LIMIT_ERROR."
		// https://www.rfc-editor.org/rfc/rfc9000#section-5.1.1
		return violation(ConnectionIDLimitError, wire.NewConnectionID, "%d active connection IDs, limit %d", len(r.ids), c.config.ActiveConnIDLimit)
	}
	if len(r.retire)+r.unacked > maxPendingRetire {
		return violation(ConnectionIDLimitError, wire.NewConnectionID, "%d connection IDs wait to be retired", len(r.retire)+r.unacked)
	}
	return nil
}

// retireRemoteBelow retires the peer's IDs below Retire Prior To, moving the
// routes that used them to a fresh one.
func (c *Conn) retireRemoteBelow(p *Path) {
	r := &p.remote
	for i := 0; i < len(r.ids); {
		if r.ids[i].seq >= r.retirePriorTo {
			i++
			continue
		}
		c.retireRemote(p, r.ids[i].seq)
	}
	if r.get(p.route.idSeq) == nil {
		c.useFreshRemoteID(p, p.route)
	}
	for _, rt := range p.routes {
		if r.get(rt.idSeq) == nil {
			c.useFreshRemoteID(p, rt)
		}
	}
}

// retireRemote stops using one of the peer's connection IDs and owes it a
// RETIRE_CONNECTION_ID.
func (c *Conn) retireRemote(p *Path, seq uint64) {
	r := &p.remote
	i := slices.IndexFunc(r.ids, func(x remoteID) bool { return x.seq == seq })
	if i < 0 {
		return
	}
	if r.ids[i].hasToken {
		c.endpoint.removeResetToken(r.ids[i].token)
	}
	r.ids = slices.Delete(r.ids, i, i+1)
	if p.ID == 0 {
		r.retire = append(r.retire, seq)
		c.pend |= pendRetireConnID
	}
	c.connIDRetired(ConnIDEvent{Path: p, Seq: seq})
}

// useFreshRemoteID gives route an unused connection ID and reports whether
// there was one.
//
// "An endpoint MUST NOT reuse a connection ID when sending from more than one
// local address".
// https://www.rfc-editor.org/rfc/rfc9000#section-9.5
func (c *Conn) useFreshRemoteID(p *Path, rt *route) bool {
	id := p.remote.unused()
	if id == nil {
		if len(p.remote.ids) > 0 && p.remote.get(rt.idSeq) == nil {
			// Retire Prior To took the ID in use and no spare is left: sharing
			// one is the lesser evil, sending none is not possible.
			rt.idSeq = p.remote.ids[0].seq
		}
		return false
	}
	id.used = true
	rt.idSeq, rt.borrowed = id.seq, false
	if p.ID == 0 && rt == p.route {
		// "An endpoint resets the spin value for a network path to 0 when
		// changing the connection ID used on that network path."
		// https://www.rfc-editor.org/rfc/rfc9000#section-17.4
		c.v.Spin = 0
	}
	if id.hasToken {
		c.endpoint.addResetToken(id.token, c)
	}
	return true
}

// RotateConnID makes the path's packets carry a connection ID not used before
// and retires the old one, which unlinks later packets from earlier ones. It
// reports false when the peer has issued no spare.
func (c *Conn) RotateConnID(p *Path) bool {
	old := p.route.idSeq
	if p.remote.get(old) == nil || p.remote.unused() == nil || !c.useFreshRemoteID(p, p.route) {
		return false
	}
	c.retireRemote(p, old)
	c.wake()
	return true
}

// destConnID returns the connection ID packets on the route carry.
func (c *Conn) destConnID(p *Path, rt *route) wire.ConnID {
	if id := p.remote.get(rt.idSeq); id != nil {
		return id.id
	}
	return wire.ConnID{}
}
