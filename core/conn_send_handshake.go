package core

import (
	"github.com/pquic-go/pquic/core/mono"
	"github.com/pquic-go/pquic/protoops"
)

// handshakeOngoing reports whether keys of the handshake still exist.
func (c *Conn) handshakeOngoing() bool { return c.v.HandshakeConfirmed == 0 }

// transmitHandshake writes one datagram that may coalesce Initial, Handshake
// and 1-RTT packets.
// https://www.rfc-editor.org/rfc/rfc9000#section-12.2
func (c *Conn) transmitHandshake(now mono.Time, buf []byte) (Transmit, bool) {
	p, rt := c.path0, c.path0.route
	size := min(int(c.config.InitialUDPPayload), len(buf))
	credit := rt.amplificationCredit()
	if credit < uint64(size) {
		if credit < minUDPPayload {
			// What is left would not even carry a padded Initial: waiting for the
			// client costs less than a datagram it must discard.
			return Transmit{}, false
		}
		size = int(credit)
	}
	buf = buf[:size:size]
	b := c.builder()
	n := 0
	needPad, initial := false, false
	for _, l := range [...]encryptionLevel{levelInitial, levelHandshake, level1RTT} {
		if c.keys[l].seal == nil || l == level1RTT && (c.v.HandshakeComplete == 0 && !c.IsServer() || n == 0) {
			continue
		}
		last := l == level1RTT || !c.moreToCoalesce(l)
		if !b.start(buf, n, p, rt, l) {
			continue
		}
		b.markAs(p.ecn.mark)
		if !c.coalescePackets(CoalesceArg{Builder: b, Bytes: uint64(n)}).Yes {
			break
		}
		c.scheduleFrames(BuilderArg{Builder: b, Path: p})
		if b.empty() && !(needPad && last) {
			continue
		}
		if b.empty() && n == 0 {
			continue
		}
		if l == levelInitial {
			initial = true
			// "A client MUST expand the payload of all UDP datagrams carrying
			// Initial packets to at least … 1200 bytes"; "a server MUST expand
			// the payload of all UDP datagrams carrying ack-eliciting Initial
			// packets".
			// https://www.rfc-editor.org/rfc/rfc9000#section-14.1
			needPad = !c.IsServer() || b.eliciting
		}
		if needPad && last {
			b.padTo(minUDPPayload)
		}
		if b.empty() {
			continue
		}
		n += c.finishPacket(now, b)
		if last && needPad {
			break
		}
	}
	if n == 0 {
		return Transmit{}, false
	}
	if needPad && n < minUDPPayload {
		// The packets after the Initial had nothing to say after all: zeros
		// after the last packet are no packet, receivers drop them.
		clear(buf[n:minUDPPayload])
		n = minUDPPayload
	}
	rt.sent += uint64(n)
	if initial && !c.IsServer() && c.hs.sent.Next() > 0 {
		// "a client MUST discard Initial keys when it first sends a Handshake
		// packet".
		// https://www.rfc-editor.org/rfc/rfc9001#section-4.9.1
		c.discardInitial()
	} else if !c.IsServer() && c.hs.sent.Next() > 0 {
		c.discardInitial()
	}
	return c.transmitOn(p, rt, n, n), true
}

// CoalesceArg is the argument of operation "coalesce_packets".
type CoalesceArg struct {
	Builder *PacketBuilder `op:"builder" doc:"the packet being started"`
	Bytes   uint64         `op:"bytes" unit:"bytes" doc:"bytes of the packets already in the datagram"`
}

// coalescePackets decides whether another packet joins the datagram. Operation "coalesce_packets".
func (c *Conn) coalescePackets(a CoalesceArg) Decision {
	if c.ops.coalescePackets.Attached() {
		return c.ops.coalescePackets.Run(a)
	}
	return c.coalescePacketsNative(a)
}

var opCoalescePackets = protoops.Define(protoops.Key{Name: "coalesce_packets", Param: protoops.NoParam},
	protoops.Doc{
		Summary: "Decides whether another packet joins the datagram",
		Fires:   "per packet of the handshake",
		Native:  "yes",
		Section: "https://www.rfc-editor.org/rfc/rfc9000#section-12.2",
	},
	func(c *Conn) *protoops.Slot[CoalesceArg, Decision] { return &c.ops.coalescePackets },
	(*Conn).coalescePacketsNative)

func (c *Conn) coalescePacketsNative(CoalesceArg) Decision { return Decision{true} }

// moreToCoalesce reports whether a later level has something to send.
func (c *Conn) moreToCoalesce(l encryptionLevel) bool {
	if l == levelInitial && c.keys[levelHandshake].seal != nil && c.spaceHasWork(c.hs) {
		return true
	}
	return c.keys[level1RTT].seal != nil && (c.IsServer() || c.v.HandshakeComplete != 0) && c.spaceHasWork(&c.path0.space) && c.mayCarryData(c.path0)
}

func (c *Conn) spaceHasWork(s *numberSpace) bool {
	if c.crypto[s.id].pending() || s.v.AckNow != 0 || s.v.AckElicitingPending > 0 || s.v.PTOProbes > 0 {
		return true
	}
	return s.id == appSpace && (c.streams.sched.Len() > 0 || c.pend != 0)
}
