package core

import (
	"github.com/pquic-go/pquic/core/mono"
	"github.com/pquic-go/pquic/core/recovery"
	"github.com/pquic-go/pquic/core/wire"
	"github.com/pquic-go/pquic/protoops"
)

// The end of building a packet: it is sealed, recorded and charged to its path.

// finishPacket completes, seals and records the packet; it returns its length.
func (c *Conn) finishPacket(now mono.Time, b *PacketBuilder) int {
	p, s := b.path, b.space
	if b.booked {
		c.fillRooms(b)
	}
	b.padForSampling()
	if b.level == level1RTT {
		c.payloadBuilt(BuilderArg{Builder: b, Path: p})
	}
	pn := s.sent.Next()
	n := len(b.b) + overhead - b.begin
	if b.level != level1RTT {
		wire.SetLongLength(b.buf, b.pnOff, b.pnLen+len(b.b)-b.payload+overhead)
	}
	pkt := b.buf[b.begin : len(b.b)+overhead]
	if c.log != nil {
		c.log.OnPath(b.path.ID).PacketSent(now, b.level.packetType(), pn, n, uint8(b.ecn()), b.b[b.payload:])
	}
	seal := c.keys[b.level].seal
	seal.Seal(pkt, b.pnOff-b.begin, b.pnLen, uint32(p.ID), pn)

	sent := s.sent.Add()
	sent.PathID = p.ID
	sent.SentTime = now
	sent.Size = uint32(n)
	sent.Flags = b.flags()
	sent.ECN = uint32(b.ecn())
	sent.Data.set(b.records)
	sent.Level, sent.Data.route = uint32(b.level), b.route
	s.v.NextNumber = s.sent.Next()
	c.packetSentBookkeeping(now, b, sent)
	if c.skipPacketNumber(SpaceArg{Path: p, Space: uint64(s.id)}).Yes {
		s.sent.Skip()
	}
	c.packetSealed(PacketArg{Path: p, Packet: sent, Level: uint64(b.level)})
	if b.level == level1RTT {
		c.keyUpdate.sealed(c, b)
	}
	return n
}

// payloadBuilt tells that the payload of a 1-RTT packet is complete and not yet sealed; room may still be left in it. Event "payload_built".
func (c *Conn) payloadBuilt(a BuilderArg) {
	if c.ops.payloadBuilt.Attached() {
		c.ops.payloadBuilt.Run(a)
	}
}

var opPayloadBuilt = protoops.Define(protoops.Key{Name: "payload_built", Param: protoops.NoParam},
	protoops.Doc{
		Summary: "The payload of a 1-RTT packet is complete and not yet sealed; room may still be left in it",
		Fires:   "once per 1-RTT packet",
	},
	func(c *Conn) *protoops.Slot[BuilderArg, protoops.None] { return &c.ops.payloadBuilt },
	nil)

// packetSealed tells that a packet is sealed and recorded. Event "packet_sealed".
func (c *Conn) packetSealed(a PacketArg) {
	if c.ops.packetSealed.Attached() {
		c.ops.packetSealed.Run(a)
	}
}

var opPacketSealed = protoops.Define(protoops.Key{Name: "packet_sealed", Param: protoops.NoParam},
	protoops.Doc{
		Summary: "A packet is sealed and recorded",
		Fires:   "once per packet",
	},
	func(c *Conn) *protoops.Slot[PacketArg, protoops.None] { return &c.ops.packetSealed },
	nil)

// SpaceArg names a packet number space.
type SpaceArg struct {
	Path  *Path  `op:"path" doc:"the path"`
	Space uint64 `op:"space" doc:"0 Initial, 1 Handshake, 2 Application Data"`
}

// skipPacketNumber decides whether the next packet number is left out, to catch a peer that acknowledges packets it never saw. Operation "skip_packet_number".
func (c *Conn) skipPacketNumber(a SpaceArg) Decision {
	if c.ops.skipPacketNumber.Attached() {
		return c.ops.skipPacketNumber.Run(a)
	}
	return c.skipPacketNumberNative(a)
}

var opSkipPacketNumber = protoops.Define(protoops.Key{Name: "skip_packet_number", Param: protoops.NoParam},
	protoops.Doc{
		Summary: "Decides whether the next packet number is left out, to catch a peer that acknowledges packets it never saw",
		Fires:   "per packet",
		Native:  "at growing random intervals",
		Section: "https://www.rfc-editor.org/rfc/rfc9000#section-21.4",
	},
	func(c *Conn) *protoops.Slot[SpaceArg, Decision] { return &c.ops.skipPacketNumber },
	(*Conn).skipPacketNumberNative)

func (c *Conn) skipPacketNumberNative(a SpaceArg) Decision {
	if spaceID(a.Space) != appSpace {
		return Decision{}
	}
	s := &a.Path.space
	next := s.sent.Next()
	if s.skipAt == 0 {
		s.skipAt = next + 64 + uint64(c.endpoint.randomByte())
	}
	if next < s.skipAt {
		return Decision{}
	}
	s.skipAt = next + (64+uint64(c.endpoint.randomByte()))*min(next>>8+1, 64)
	return Decision{true}
}

// packetSentBookkeeping charges a packet to its path.
func (c *Conn) packetSentBookkeeping(now mono.Time, b *PacketBuilder, sent *SentPacket) {
	p, s := b.path, b.space
	c.v.PacketsSent++
	p.PacketsSent++
	if b.level == levelEarly {
		c.v.ZeroRTTSent++
	}
	if b.retransmit {
		c.v.PacketsRetransmitted++
	}
	if b.ecn() == ECT0 {
		s.v.ECT0Sent++
		p.ecn.sentMarked++
	}
	inFlight := sent.Flags&recovery.InFlight != 0
	if inFlight {
		if p.Congestion.BytesInFlight == 0 && !p.LastSentTime.IsZero() && now.Sub(p.LastSentTime) > p.RTT.PTO(0) {
			p.cc.OnIdleRestart(&p.Congestion, now)
		}
		p.sampler.OnSent(&p.Congestion, &sent.PacketView)
	}
	s.sent.Commit(sent)
	if inFlight {
		p.Congestion.BytesInFlight += uint64(sent.Size)
		c.congestionOnSent(SentArg{Path: p, Bytes: uint64(sent.Size), Number: sent.Number})
		if !c.config.DisablePacing {
			p.Pacer.Consume(now, uint64(sent.Size))
		}
	}
	if sent.Flags&recovery.AckEliciting != 0 {
		p.LastSentTime = now
		c.idleSent(now)
		if s.v.PTOProbes > 0 {
			s.v.PTOProbes--
			sent.Flags |= recovery.PTOProbe
		}
	}
}

// SentArg tells of a packet that counts towards bytes in flight.
type SentArg struct {
	Path   *Path  `op:"path" doc:"the path"`
	Bytes  uint64 `op:"bytes" unit:"bytes" doc:"its size"`
	Number uint64 `op:"number" doc:"its packet number"`
}

// congestionOnSent tells the congestion controller of a packet sent in flight. Operation "congestion_on_sent".
func (c *Conn) congestionOnSent(a SentArg) protoops.None {
	if c.ops.congestionOnSent.Attached() {
		return c.ops.congestionOnSent.Run(a)
	}
	return c.congestionOnSentNative(a)
}

var opCongestionOnSent = protoops.Define(protoops.Key{Name: "congestion_on_sent", Param: protoops.NoParam},
	protoops.Doc{
		Summary: "Tells the congestion controller of a packet sent in flight",
		Fires:   "per packet in flight",
		Native:  "the path's controller",
		Section: "https://www.rfc-editor.org/rfc/rfc9002#section-7",
	},
	func(c *Conn) *protoops.Slot[SentArg, protoops.None] { return &c.ops.congestionOnSent },
	(*Conn).congestionOnSentNative)

func (c *Conn) congestionOnSentNative(a SentArg) protoops.None {
	p := a.Path
	p.cc.OnSent(&p.Congestion, c.now, a.Bytes, a.Number)
	return protoops.None{}
}
