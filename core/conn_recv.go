package core

import (
	"net/netip"

	"github.com/pquic-go/pquic/core/mono"
	"github.com/pquic-go/pquic/core/protection"
	"github.com/pquic-go/pquic/core/wire"
	"github.com/pquic-go/pquic/protoops"
)

// ECN is the ECN codepoint of an IP packet.
// https://www.rfc-editor.org/rfc/rfc3168#section-5
type ECN uint8

// ECN codepoints.
const (
	NotECT ECN = iota
	ECT1
	ECT0
	CE
)

// A Datagram is one received UDP datagram. Its payload is decrypted in place
// while the engine handles it and belongs to the caller again afterwards.
type Datagram struct {
	Payload       []byte
	Local, Remote netip.AddrPort
	IfIndex       uint32 // interface it arrived on, 0 unknown
	ECN           ECN

	kept mono.Time // arrived then and waited for keys; 0: arrives now
}

// A ReceivedPacket is the packet being processed. There is one per
// connection; it is valid until the packet is done.
type ReceivedPacket struct {
	ReceivedView
	Payload []byte // plaintext, aliases the datagram

	path       *Path
	route      *route
	level      encryptionLevel
	ptype      wire.PacketType
	dst        wire.ConnID
	ecn        ECN
	kept       mono.Time // see Datagram
	eliciting  bool
	nonProbing bool
	conn       *Conn
}

// arrival returns when the packet arrived, which an acknowledgment's delay
// counts from.
//
// "endpoints SHOULD include buffering delays caused by unavailability of
// decryption keys, since these delays can be large and are likely to be
// non-repeating."
// https://www.rfc-editor.org/rfc/rfc9000#section-13.2.5
func (p *ReceivedPacket) arrival(now mono.Time) mono.Time {
	if p.kept.IsZero() {
		return now
	}
	return p.kept
}

// Path returns the path the packet arrived on.
func (p *ReceivedPacket) Path() *Path { return p.path }

// show completes what is visible of an opened packet, whose payload lies in it
// between the header and the AEAD tag.
func (p *ReceivedPacket) show(pkt, payload []byte) {
	p.Payload = payload
	p.Size, p.PayloadLength = uint32(len(pkt)), uint32(len(payload))
	if p.Injected == 0 {
		p.HeaderLength = uint32(len(pkt) - len(payload) - overhead)
	}
	p.PathID = p.path.ID
	p.Type, p.Level, p.ECN = uint32(p.ptype), uint32(p.level), uint32(p.ecn)
}

// receive handles one datagram for the connection. dst is the connection ID it
// was routed by.
func (c *Conn) receive(now mono.Time, d *Datagram, dst wire.ConnID, pathID uint64) {
	c.begin(now)
	c.noteSleep(now)
	c.v.DatagramsReceived++
	c.v.BytesReceived += uint64(len(d.Payload))
	c.datagramReceived(DatagramEvent{Bytes: uint64(len(d.Payload)), ECN: uint64(d.ECN)})
	if c.v.State >= StateClosing {
		c.receiveClosing(now, d)
		return
	}
	if c.ops.getIncomingPath.Attached() {
		c.endpoint.scratch.from = Datagram{Local: d.Local, Remote: d.Remote, IfIndex: d.IfIndex, ECN: d.ECN}
	}
	p := c.getIncomingPath(IncomingArg{PathID: pathID}).Path
	if p == nil {
		c.drop(dropConnID, len(d.Payload))
		return
	}
	rt := c.routeOf(p, d)
	if rt == nil {
		c.drop(dropAddress, len(d.Payload))
		return
	}
	rt.credit(d)
	b := d.Payload
	for len(b) > 0 && c.v.State < StateClosing {
		n := c.receivePacket(now, d, b, p, rt, dst)
		if n <= 0 {
			break
		}
		b = b[n:]
	}
	if len(c.pending) > 0 {
		c.replayBuffered(now)
	}
	c.runInjected()
	if !c.touched {
		c.touched = true
		c.endpoint.touched = append(c.endpoint.touched, c)
	}
}

// IncomingAddrs returns the addresses of the datagram whose path operation
// "get_incoming_path" is asked for, so that a plugin may open the path then.
func (c *Conn) IncomingAddrs() (local, remote netip.AddrPort, ifIndex uint32) {
	return c.endpoint.scratch.from.Local, c.endpoint.scratch.from.Remote, c.endpoint.scratch.from.IfIndex
}

// IncomingArg is the argument of operation "get_incoming_path".
type IncomingArg struct {
	PathID uint64 `op:"path_id" doc:"path the Destination Connection ID was issued for"`
}

// PathResult answers with a path.
type PathResult struct {
	Path *Path `op:"path" doc:"the path, 0 for none"`
}

// getIncomingPath returns the path a datagram belongs to. Operation "get_incoming_path".
func (c *Conn) getIncomingPath(a IncomingArg) PathResult {
	if c.ops.getIncomingPath.Attached() {
		return c.ops.getIncomingPath.Run(a)
	}
	return c.getIncomingPathNative(a)
}

var opGetIncomingPath = protoops.Define(protoops.Key{Name: "get_incoming_path", Param: protoops.NoParam},
	protoops.Doc{
		Summary: "Returns the path a datagram belongs to",
		Fires:   "once per received datagram",
		Native:  "the path the Destination Connection ID was issued for",
		Section: "https://www.rfc-editor.org/rfc/rfc9000#section-5.2",
	},
	func(c *Conn) *protoops.Slot[IncomingArg, PathResult] { return &c.ops.getIncomingPath },
	(*Conn).getIncomingPathNative)

func (c *Conn) getIncomingPathNative(a IncomingArg) PathResult {
	if a.PathID == c.path0.ID {
		return PathResult{c.path0}
	}
	return PathResult{c.Path(a.PathID)}
}

// receivePacket handles the first packet of b and returns its length, or 0 if
// the rest of the datagram is useless.
func (c *Conn) receivePacket(now mono.Time, d *Datagram, b []byte, p *Path, rt *route, dst wire.ConnID) int {
	in := &c.endpoint.scratch.in
	*in = ReceivedPacket{conn: c, path: p, route: rt, dst: dst, ecn: d.ECN, kept: d.kept}
	if !wire.IsLongHeader(b[0]) {
		c.receiveShort(now, d, b, in)
		return len(b)
	}
	h, err := wire.ParseLongHeader(b)
	if err != nil {
		c.drop(dropMalformed, len(b))
		return 0
	}
	if len(b) < len(d.Payload) && h.DstConnID != dst {
		// "Receivers SHOULD ignore any subsequent packets with a different
		// Destination Connection ID than the first packet in the datagram."
		// https://www.rfc-editor.org/rfc/rfc9000#section-12.2
		c.drop(dropConnID, len(b))
		return 0
	}
	switch h.Type {
	case wire.VersionNegotiation:
		c.receiveVersionNegotiation(b)
		return 0
	case wire.Retry:
		c.receiveRetry(b, &h)
		return 0
	case wire.UnknownVersion:
		c.drop(dropVersion, len(b))
		return 0
	}
	if !h.FixedBit && c.config.DisableGrease {
		c.drop(dropMalformed, h.End)
		return h.End
	}
	c.receiveLong(now, d, b[:h.End], &h, in)
	return h.End
}

func (c *Conn) receiveLong(now mono.Time, d *Datagram, pkt []byte, h *wire.LongHeader, in *ReceivedPacket) {
	in.ptype = h.Type
	switch h.Type {
	case wire.Initial:
		in.level = levelInitial
		// "A server MUST discard an Initial packet that is carried in a UDP
		// datagram with a payload that is smaller than the smallest allowed
		// maximum datagram size of 1200 bytes."
		// https://www.rfc-editor.org/rfc/rfc9000#section-14.1
		// "clients that receive an Initial packet with a non-zero Token Length
		// field MUST either discard the packet or generate a connection error".
		// https://www.rfc-editor.org/rfc/rfc9000#section-17.2.2
		if c.IsServer() && len(d.Payload) < minUDPPayload || !c.IsServer() && len(h.Token) > 0 {
			c.drop(dropMalformed, len(pkt))
			return
		}
	case wire.Handshake:
		in.level = levelHandshake
	case wire.ZeroRTT:
		in.level = levelEarly
		if !c.IsServer() {
			c.drop(dropMalformed, len(pkt))
			return
		}
	}
	if c.handshake.peerSrcKnown && h.SrcConnID != c.handshake.peerSrc {
		// "Once a client has received a valid Initial packet from the server,
		// it MUST discard any subsequent packet it receives on that connection
		// with a different Source Connection ID. […] if subsequent Initial
		// packets include a different Source Connection ID, they MUST be
		// discarded."
		// https://www.rfc-editor.org/rfc/rfc9000#section-7.2
		c.drop(dropConnID, len(pkt))
		return
	}
	open := c.openerFor(h, in.level)
	if open == nil {
		c.bufferOrDrop(d, pkt, h.Type, in.level)
		return
	}
	space := c.space(in.level, in.path)
	pnLen, truncated, ok := open.Unmask(pkt, h.PNOffset)
	if !ok {
		c.drop(dropMalformed, len(pkt))
		return
	}
	in.Number = wire.DecodePacketNumber(largestOf(space), truncated, pnLen)
	first := pkt[0]
	payload, err := open.Open(pkt, h.PNOffset, pnLen, uint32(in.path.ID), in.Number)
	if err != nil {
		c.authenticationFailed(open, len(pkt))
		return
	}
	if first&wire.LongReservedBits != 0 {
		// "An endpoint MUST treat receipt of a packet that has a non-zero value
		// for these bits after removing both packet and header protection as a
		// connection error of type PROTOCOL_VIOLATION."
		// https://www.rfc-editor.org/rfc/rfc9000#section-17.2
		c.fail(violation(ProtocolViolation, 0, "reserved bits set in a long header"))
		return
	}
	if h.Version != wire.Version(c.v.Version) && !c.IsServer() && in.level == levelInitial {
		c.followVersion(h.Version)
	}
	if !c.acceptLong(now, h, in.level) {
		return
	}
	in.show(pkt, payload)
	c.processPacket(now, space, in)
}

// acceptLong does what the first authenticated packet of a kind entails.
func (c *Conn) acceptLong(now mono.Time, h *wire.LongHeader, l encryptionLevel) bool {
	if l == levelInitial && !c.handshake.peerSrcKnown {
		c.handshake.peerSrc, c.handshake.peerSrcKnown = h.SrcConnID, true
		c.setFirstRemoteID(h.SrcConnID)
	}
	if c.IsServer() && l == levelHandshake {
		// "Additionally, an endpoint MAY consider the peer address validated if
		// […] it has received a packet protected with handshake keys".
		// https://www.rfc-editor.org/rfc/rfc9000#section-8.1
		c.validateHandshakeRoute()
		// "a server MUST discard Initial keys when it first successfully
		// processes a Handshake packet."
		// https://www.rfc-editor.org/rfc/rfc9001#section-4.9.1
		c.discardInitial()
	}
	return true
}

// setFirstRemoteID stores the connection ID the peer chose in its first packet,
// sequence number 0.
func (c *Conn) setFirstRemoteID(id wire.ConnID) {
	p := c.path0
	p.remote.ids = append(p.remote.ids[:0], remoteID{seq: 0, id: id, used: true})
	p.route.idSeq, p.RemoteIDs = 0, 0
}

func (c *Conn) receiveShort(now mono.Time, d *Datagram, pkt []byte, in *ReceivedPacket) {
	in.ptype, in.level = wire.OneRTT, level1RTT
	if pkt[0]&wire.FixedBit == 0 && c.config.DisableGrease {
		c.drop(dropMalformed, len(pkt))
		return
	}
	open := c.keys[level1RTT].open
	if open == nil {
		c.bufferOrDrop(d, pkt, wire.OneRTT, level1RTT)
		return
	}
	space := &in.path.space
	pnOff := 1 + in.dst.Len()
	pnLen, truncated, ok := open.Unmask(pkt, pnOff)
	if !ok {
		c.undecryptable(d, pkt)
		return
	}
	in.Number = wire.DecodePacketNumber(largestOf(space), truncated, pnLen)
	first := pkt[0]
	payload, err := c.open1RTT(pkt, pnOff, pnLen, in.path, in.Number, first&wire.KeyPhaseBit != 0)
	if err != nil {
		if te, ok := err.(*TransportError); ok {
			c.fail(te)
			return
		}
		c.authenticationFailed(open, len(pkt))
		c.undecryptable(d, pkt)
		return
	}
	if first&wire.ShortReservedBits != 0 {
		c.fail(violation(ProtocolViolation, 0, "reserved bits set in a short header"))
		return
	}
	if largest := largestOf(space); largest == wire.NoPacketNumber || in.Number > largest {
		c.receiveSpin(first&wire.SpinBit != 0)
	}
	in.show(pkt, payload)
	c.headerParsed(ReceivedArg{Packet: in, Path: in.path})
	c.processPacket(now, space, in)
}

// headerParsed tells that the header of a 1-RTT packet is parsed and the packet authenticated. Event "header_parsed".
func (c *Conn) headerParsed(a ReceivedArg) {
	if c.ops.headerParsed.Attached() {
		c.ops.headerParsed.Run(a)
	}
}

var opHeaderParsed = protoops.Define(protoops.Key{Name: "header_parsed", Param: protoops.NoParam},
	protoops.Doc{
		Summary: "The header of a 1-RTT packet is parsed and the packet authenticated",
		Fires:   "once per 1-RTT packet, before its frames",
		Section: "https://www.rfc-editor.org/rfc/rfc9000#section-17.3",
	},
	func(c *Conn) *protoops.Slot[ReceivedArg, protoops.None] { return &c.ops.headerParsed },
	nil)

func largestOf(s *numberSpace) uint64 {
	if l, ok := s.received.Largest(); ok {
		return l
	}
	return wire.NoPacketNumber
}

// openerFor returns the keys of a long-header packet, deriving those of another
// version where version negotiation allows it.
func (c *Conn) openerFor(h *wire.LongHeader, l encryptionLevel) *protection.Opener {
	if h.Version == wire.Version(c.v.Version) {
		return c.keys[l].open
	}
	return c.openerForVersion(h, l)
}

// processPacket handles an authenticated packet.
func (c *Conn) processPacket(now mono.Time, s *numberSpace, in *ReceivedPacket) {
	if s.v.Discarded != 0 {
		return
	}
	if s.received.Contains(in.Number) {
		c.v.PacketsDuplicate++
		c.drop(dropDuplicate, int(in.Size))
		return
	}
	c.v.PacketsReceived++
	in.path.PacketsReceived++
	in.path.BytesReceived += uint64(int(in.Size))
	in.path.LastReceivedTime = now
	c.v.LastReceivedTime = now
	c.idleRestart(now)
	if len(in.Payload) == 0 {
		// "An endpoint MUST treat receipt of a packet containing no frames as a
		// connection error of type PROTOCOL_VIOLATION."
		// https://www.rfc-editor.org/rfc/rfc9000#section-12.4
		c.fail(violation(ProtocolViolation, 0, "packet without frames"))
		return
	}
	switch in.ecn {
	case ECT0:
		s.v.ECT0Received++
	case ECT1:
		s.v.ECT1Received++
	case CE:
		s.v.CEReceived++
	}
	if in.level == level1RTT {
		c.payloadReceived(ReceivedArg{Packet: in, Path: in.path})
	}
	if c.log != nil {
		c.log.OnPath(in.path.ID).PacketReceived(now, in.ptype, in.Number, int(in.Size), uint8(in.ecn), in.Payload)
	}
	if s.injected != nil && s.injected.Contains(in.Number) {
		// A plugin has recovered it before it came; it only has to be
		// acknowledged.
		s.noteReceived(in.arrival(now), in.Number, true, in.ecn)
		return
	}
	if err := c.processFrames(in); err != nil {
		c.fail(err)
		return
	}
	if s.v.Discarded != 0 {
		return // a frame of the packet ended its own space
	}
	s.noteReceived(in.arrival(now), in.Number, in.eliciting, in.ecn)
	c.packetReceived(ReceivedArg{Packet: in, Path: in.path})
	if in.level == level1RTT {
		c.checkMigration(now, in)
		in.route.arrivedOn = in.dst
	}
}

// payloadReceived tells that a 1-RTT packet's payload is decrypted and not yet processed. Event "payload_received".
func (c *Conn) payloadReceived(a ReceivedArg) {
	if c.ops.payloadReceived.Attached() {
		c.ops.payloadReceived.Run(a)
	}
}

var opPayloadReceived = protoops.Define(protoops.Key{Name: "payload_received", Param: protoops.NoParam},
	protoops.Doc{
		Summary: "A 1-RTT packet's payload is decrypted and not yet processed",
		Fires:   "once per 1-RTT packet that is new",
	},
	func(c *Conn) *protoops.Slot[ReceivedArg, protoops.None] { return &c.ops.payloadReceived },
	nil)

// packetReceived tells that all frames of a packet are processed. Event "packet_received".
func (c *Conn) packetReceived(a ReceivedArg) {
	if c.ops.packetReceived.Attached() {
		c.ops.packetReceived.Run(a)
	}
}

var opPacketReceived = protoops.Define(protoops.Key{Name: "packet_received", Param: protoops.NoParam},
	protoops.Doc{
		Summary: "All frames of a packet are processed",
		Fires:   "once per packet that is new",
	},
	func(c *Conn) *protoops.Slot[ReceivedArg, protoops.None] { return &c.ops.packetReceived },
	nil)

// DatagramEvent tells of a UDP datagram.
type DatagramEvent struct {
	Bytes uint64 `op:"bytes" unit:"bytes" doc:"UDP payload size"`
	ECN   uint64 `op:"ecn" doc:"ECN codepoint"`
}

// datagramReceived tells that a UDP datagram arrived for the connection. Event "datagram_received".
func (c *Conn) datagramReceived(a DatagramEvent) {
	if c.ops.datagramReceived.Attached() {
		c.ops.datagramReceived.Run(a)
	}
}

var opDatagramReceived = protoops.Define(protoops.Key{Name: "datagram_received", Param: protoops.NoParam},
	protoops.Doc{
		Summary: "A UDP datagram arrived for the connection",
		Fires:   "once per datagram, before any packet in it is opened",
	},
	func(c *Conn) *protoops.Slot[DatagramEvent, protoops.None] { return &c.ops.datagramReceived },
	nil)

// drop counts a packet that is not processed.
func (c *Conn) drop(reason uint64, n int) {
	c.packetDropped(DropArg{Reason: reason, Bytes: uint64(n)})
	if c.log != nil {
		c.log.PacketDropped(c.now, n, dropNames[reason])
	}
}

var dropNames = [...]string{"malformed", "key_unavailable", "key_discarded", "decryption_failure", "duplicate", "unsupported_version", "unexpected_address", "unknown_connection_id", "connection_ending"}

// packetDropped tells that a received packet is dropped. Event "packet_dropped".
func (c *Conn) packetDropped(a DropArg) {
	if c.ops.packetDropped.Attached() {
		c.ops.packetDropped.Run(a)
	}
}

var opPacketDropped = protoops.Define(protoops.Key{Name: "packet_dropped", Param: protoops.NoParam},
	protoops.Doc{
		Summary: "A received packet is dropped",
		Fires:   "once per dropped packet",
	},
	func(c *Conn) *protoops.Slot[DropArg, protoops.None] { return &c.ops.packetDropped },
	nil)

// receiveSpin follows the latency spin bit: the client inverts what it sees,
// the server reflects it.
// https://www.rfc-editor.org/rfc/rfc9000#section-17.4
func (c *Conn) receiveSpin(bit bool) {
	received := uint32(0)
	if bit {
		received = 1
	}
	if c.v.SpinReceived != received {
		c.v.SpinReceived, c.v.SpinEdgeTime = received, c.now
		c.v.SpinEdges++
	}
	if c.v.SpinEnabled == 0 {
		return
	}
	v := uint32(0)
	if bit != !c.IsServer() {
		v = 1
	}
	c.v.Spin = v
}
