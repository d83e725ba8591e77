package core

import (
	"bytes"

	"github.com/pquic-go/pquic/core/mono"
	"github.com/pquic-go/pquic/core/protection"
	"github.com/pquic-go/pquic/core/wire"
)

// Packets that cannot be opened: those that came before their keys are kept, the
// others may be a stateless reset.

// bufferedPacket is a packet that arrived before its keys.
type bufferedPacket struct {
	data []byte
	d    Datagram
	typ  wire.PacketType
}

// maxBuffered bounds the packets kept until their keys arrive.
//
// "an endpoint MAY […] buffer".
// https://www.rfc-editor.org/rfc/rfc9000#section-5.2.2
const maxBuffered = 10

// bufferOrDrop keeps a packet whose keys are still to come.
func (c *Conn) bufferOrDrop(d *Datagram, pkt []byte, typ wire.PacketType, l encryptionLevel) {
	c.v.PacketsUndecryptable++
	if c.keysDiscarded(l) {
		c.drop(dropKeyDiscarded, len(pkt))
		return
	}
	if c.keys[l].open != nil {
		c.drop(dropVersion, len(pkt)) // of another version: no key will come
		return
	}
	c.drop(dropNoKey, len(pkt))
	if len(c.pending) >= maxBuffered {
		return
	}
	b := bufferedPacket{data: bytes.Clone(pkt), typ: typ, d: *d}
	b.d.Payload = nil
	if b.d.kept.IsZero() {
		b.d.kept = c.now
	}
	c.pending = append(c.pending, b)
}

// keysDiscarded reports whether the level's keys existed and are gone.
func (c *Conn) keysDiscarded(l encryptionLevel) bool {
	switch l {
	case levelInitial:
		return c.initial.v.Discarded != 0
	case levelHandshake:
		return c.hs.v.Discarded != 0
	case levelEarly:
		return c.v.HandshakeComplete != 0
	}
	return false
}

// replayBuffered hands the packets kept for keys that now exist to the engine,
// after the datagram that brought the keys is done: there is one ReceivedPacket.
func (c *Conn) replayBuffered(now mono.Time) {
	for range numLevels { // a packet replayed may bring keys itself
		waiting := c.pending
		c.pending = nil
		for i := range waiting {
			c.replay(now, &waiting[i])
		}
		if len(c.pending) == 0 || len(c.pending) == len(waiting) {
			return
		}
	}
}

func (c *Conn) replay(now mono.Time, b *bufferedPacket) {
	l := level1RTT
	switch b.typ {
	case wire.Handshake:
		l = levelHandshake
	case wire.ZeroRTT:
		l = levelEarly
	case wire.Initial:
		l = levelInitial
	}
	if c.keys[l].open == nil {
		if !c.keysDiscarded(l) {
			c.pending = append(c.pending, *b)
		}
		return
	}
	b.d.Payload = b.data
	rt := c.routeOf(c.path0, &b.d)
	if rt == nil || c.v.State >= StateClosing {
		return
	}
	if dst, ok := firstDst(b.data, c.endpoint.layout.Length); ok {
		c.receivePacket(now, &b.d, b.data, c.path0, rt, dst)
	}
}

// firstDst returns the Destination Connection ID of the first packet of b;
// short headers carry one of n bytes.
func firstDst(b []byte, n int) (wire.ConnID, bool) {
	if len(b) == 0 {
		return wire.ConnID{}, false
	}
	if !wire.IsLongHeader(b[0]) {
		return wire.ParseShortHeaderDst(b, n)
	}
	if len(b) < 6 || len(b) < 6+int(b[5]) {
		return wire.ConnID{}, false
	}
	return wire.MakeConnID(b[6 : 6+int(b[5])])
}

func (c *Conn) authenticationFailed(o *protection.Opener, n int) {
	c.v.PacketsUndecryptable++
	c.keyUpdate.forged++
	// "If the total number of received packets that fail authentication within
	// the connection, across all keys, exceeds the integrity limit for the
	// selected AEAD, the endpoint MUST immediately close the connection with a
	// connection error of type AEAD_LIMIT_REACHED".
	// https://www.rfc-editor.org/rfc/rfc9001#section-6.6
	if c.keyUpdate.forged > protection.IntegrityLimit(o.Suite()) {
		c.fail(violation(AEADLimitReached, 0, "%d packets failed authentication", c.keyUpdate.forged))
		return
	}
	c.drop(dropAuthentication, n)
}

// undecryptable checks whether a packet we cannot open is a stateless reset.
// https://www.rfc-editor.org/rfc/rfc9000#section-10.3.1
func (c *Conn) undecryptable(d *Datagram, pkt []byte) {
	if c.endpoint.isStatelessReset(c, d.Payload) {
		c.enterDraining(ErrStatelessReset)
	}
}
