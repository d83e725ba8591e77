package core

import (
	"github.com/pquic-go/pquic/core/mono"
	"github.com/pquic-go/pquic/core/protection"
	"github.com/pquic-go/pquic/protoops"
)

// keyUpdateState runs the key phases of 1-RTT.
// https://www.rfc-editor.org/rfc/rfc9001#section-6
type keyUpdateState struct {
	suite uint16

	prev, next *protection.Opener // phases before and after the current one
	unanswered bool               // we have updated and the peer has not followed yet
	phaseAcked bool               // a packet we sent in this phase was acknowledged
	confirmed  bool               // a packet we sent in this phase acknowledges one of the peer's in it
	count      uint64             // packets sealed in this phase
	limit      uint64             // update after this many
	forged     uint64             // packets that failed authentication, all phases
	wanted     bool
}

// nextKeysAfter is how many packets a connection receives before it prepares the
// keys of the next phase. Until then only the packet that begins a key update
// would find them not expanded; most connections end before they have one.
const nextKeysAfter = 64

// unanswered is phaseFirst of a number space in which nothing of the current key
// phase was received yet.
const unanswered = ^uint64(0)

func (k *keyUpdateState) installOpener(c *Conn, o *protection.Opener) {
	k.next = o.Update()
	k.suite = o.Suite()
	k.setLimit(c)
}

func (k *keyUpdateState) setLimit(c *Conn) {
	// "Endpoints MUST initiate a key update before sending more protected packets
	// than the confidentiality limit for the selected AEAD permits."
	// https://www.rfc-editor.org/rfc/rfc9001#section-6.6
	k.limit = protection.ConfidentialityLimit(k.suite) / 2
	if n := c.config.KeyUpdateAfter; n > 0 {
		k.limit = min(k.limit, n)
	}
}

// open1RTT opens a 1-RTT packet with the keys of its phase, following the
// peer's key updates.
func (c *Conn) open1RTT(pkt []byte, pnOff, pnLen int, p *Path, pn uint64, phase bool) ([]byte, error) {
	k := &c.keyUpdate
	cur := c.keys[level1RTT].open
	if cur.Resting() || c.v.PacketsReceived >= nextKeysAfter && k.next.Resting() {
		// All keys or none: the phase of the packet that ends a rest must not
		// show in the time it takes.
		// https://www.rfc-editor.org/rfc/rfc9001#section-9.5
		cur.Wake()
		k.next.Wake()
	}
	if phase == (c.v.KeyPhase != 0) {
		payload, err := cur.Open(pkt, pnOff, pnLen, uint32(p.ID), pn)
		if err == nil && pn < p.space.phaseFirst {
			// Only packets of the path below it can be of the phase before.
			p.space.phaseFirst = pn
			if k.unanswered {
				k.unanswered = false
				c.startKeyDiscard()
			}
		}
		return payload, err
	}
	if k.prev != nil && pn < p.space.phaseFirst {
		return k.prev.Open(pkt, pnOff, pnLen, uint32(p.ID), pn)
	}
	payload, err := k.next.Open(pkt, pnOff, pnLen, uint32(p.ID), pn)
	if err != nil {
		return nil, err
	}
	// The peer updated its keys, or answers our update.
	if c.v.HandshakeConfirmed == 0 && c.IsServer() {
		return nil, violation(KeyUpdateError, 0, "key update before the handshake is confirmed")
	}
	if c.v.KeyUpdates > 0 && !k.confirmed {
		// "If an endpoint detects a second update before it has sent any packets
		// with updated keys containing an acknowledgment for the packet that
		// initiated the key update, it indicates that its peer has updated keys
		// twice without awaiting confirmation. An endpoint MAY treat such
		// consecutive key updates as a connection error of type
		// KEY_UPDATE_ERROR."
		// https://www.rfc-editor.org/rfc/rfc9001#section-6.2
		return nil, violation(KeyUpdateError, 0, "consecutive key updates")
	}
	c.rotateKeys("remote_update")
	k.unanswered = false
	p.space.phaseFirst = pn
	c.startKeyDiscard()
	return payload, nil
}

// ackedInPhase reports whether the peer acknowledged a packet we sent in the
// current phase, on any path.
func (c *Conn) ackedInPhase() bool {
	k := &c.keyUpdate
	if k.phaseAcked {
		return true
	}
	for _, p := range c.paths {
		if s := &p.space; s.sent.HasAcked && s.sent.LargestAcked >= s.phaseStart {
			k.phaseAcked = true
		}
	}
	return k.phaseAcked
}

// rotateKeys moves both directions to the next phase.
func (c *Conn) rotateKeys(trigger string) {
	k := &c.keyUpdate
	k.prev = c.keys[level1RTT].open
	c.keys[level1RTT].open = k.next
	k.next = k.next.Update()
	k.next.Wake()
	c.keys[level1RTT].seal = c.keys[level1RTT].seal.Update()
	k.unanswered = true
	k.count, k.phaseAcked, k.confirmed, k.wanted = 0, false, false, false
	for _, p := range c.paths {
		p.space.phaseStart, p.space.phaseFirst = p.space.sent.Next(), unanswered
	}
	c.v.KeyPhase ^= 1
	c.v.KeyUpdates++
	c.keyUpdated(NoArg{})
	if c.log != nil {
		c.log.KeyUpdated(c.now, "1rtt", c.v.KeyUpdates, trigger)
	}
}

// startKeyDiscard ends the retention of the old keys in a while.
//
// "An endpoint SHOULD retain old read keys for no more than three times the PTO
// after having received a packet protected using the new keys."
// https://www.rfc-editor.org/rfc/rfc9001#section-6.5
func (c *Conn) startKeyDiscard() {
	c.timers[timerKeyDiscard] = c.now.Add(3 * c.maxPTO())
}

// keyUpdated tells that both directions moved to the next key phase. Event "key_updated".
func (c *Conn) keyUpdated(a NoArg) {
	if c.ops.keyUpdated.Attached() {
		c.ops.keyUpdated.Run(a)
	}
}

var opKeyUpdated = protoops.Define(protoops.Key{Name: "key_updated", Param: protoops.NoParam},
	protoops.Doc{
		Summary: "Both directions moved to the next key phase",
		Fires:   "per key update",
		Section: "https://www.rfc-editor.org/rfc/rfc9001#section-6",
	},
	func(c *Conn) *protoops.Slot[NoArg, protoops.None] { return &c.ops.keyUpdated },
	nil)

// sealed counts a packet and starts an update when one is due and allowed.
func (k *keyUpdateState) sealed(c *Conn, b *PacketBuilder) {
	k.count++
	for i := 0; b.hasAck && !k.confirmed && i < len(c.paths); i++ {
		k.confirmed = c.paths[i].Space.LargestAckSent >= c.paths[i].space.phaseFirst
	}
	if k.count < k.limit && !k.wanted && !c.ops.keyUpdateNeeded.Attached() {
		return
	}
	if c.mayUpdateKeys() && c.keyUpdateNeeded(NoArg{}).Yes {
		if k.wanted {
			c.pend |= pendPing // the peer learns by the next packet
		}
		c.rotateKeys("local_update")
	} else if k.count >= 2*k.limit && c.config.KeyUpdateAfter == 0 {
		// The peer never confirmed the last update; the AEAD must not be used
		// any longer.
		c.fail(violation(AEADLimitReached, 0, "%d packets sealed without a confirmed key update", k.count))
	}
}

// keyUpdateNeeded decides whether to update the 1-RTT keys now. Operation "key_update_needed".
func (c *Conn) keyUpdateNeeded(a NoArg) Decision {
	if c.ops.keyUpdateNeeded.Attached() {
		return c.ops.keyUpdateNeeded.Run(a)
	}
	return c.keyUpdateNeededNative(a)
}

var opKeyUpdateNeeded = protoops.Define(protoops.Key{Name: "key_update_needed", Param: protoops.NoParam},
	protoops.Doc{
		Summary: "Decides whether to update the 1-RTT keys now",
		Fires:   "after the configured number of packets, on request, or per packet when attached",
		Native:  "yes",
		Section: "https://www.rfc-editor.org/rfc/rfc9001#section-6.6",
	},
	func(c *Conn) *protoops.Slot[NoArg, Decision] { return &c.ops.keyUpdateNeeded },
	(*Conn).keyUpdateNeededNative)

func (c *Conn) keyUpdateNeededNative(NoArg) Decision {
	return Decision{c.keyUpdate.wanted || c.keyUpdate.count >= c.keyUpdate.limit}
}

// mayUpdateKeys: "An endpoint MUST NOT initiate a key update prior to having
// confirmed the handshake … MUST NOT initiate a subsequent key update unless it
// has received an acknowledgment for a packet that was sent protected with keys
// from the current key phase."
// https://www.rfc-editor.org/rfc/rfc9001#section-6.1
func (c *Conn) mayUpdateKeys() bool {
	return c.v.HandshakeConfirmed != 0 && c.keyUpdate.prev == nil && c.ackedInPhase()
}

// UpdateKeys asks for a key update; it happens with the next packet that is
// allowed to start one.
func (c *Conn) UpdateKeys(now mono.Time) {
	c.begin(now)
	c.keyUpdate.wanted = true
	c.pend |= pendPing
	c.wake()
}

func (k *keyUpdateState) discardOld(c *Conn) {
	if k.prev != nil && !k.unanswered {
		k.prev = nil
		if c.log != nil {
			c.log.KeyDiscarded(c.now, "1rtt")
		}
	}
}
