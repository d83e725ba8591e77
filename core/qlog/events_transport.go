package qlog

import (
	"unicode/utf8"

	"github.com/pquic-go/pquic/core/mono"
	"github.com/pquic-go/pquic/core/wire"
)

// VersionInformation logs version negotiation. Lists that are not known are
// empty; chosen is 0 if there is no common version.
func (t *Trace) VersionInformation(now mono.Time, server, client []wire.Version, chosen wire.Version) {
	if !t.begin(now, versionInformation) {
		return
	}
	e := &t.enc
	e.versions("server_versions", server)
	e.versions("client_versions", client)
	if chosen != 0 {
		e.key("chosen_version")
		e.version(chosen)
	}
	t.end()
}

// versions writes a list of versions, unless it is empty.
func (e *encoder) versions(k string, list []wire.Version) {
	if len(list) == 0 {
		return
	}
	e.array(k)
	for _, v := range list {
		e.version(v)
	}
	e.endArray()
}

func (e *encoder) version(v wire.Version) {
	e.b = append(e.b, '"')
	for shift := 28; shift >= 0; shift -= 4 {
		e.b = append(e.b, hexDigits[v>>shift&15])
	}
	e.b = append(e.b, '"', ',')
}

// ALPNInformation logs the application protocol that the TLS handshake chose.
func (t *Trace) ALPNInformation(now mono.Time, chosen string) {
	if !t.begin(now, alpnInformation) {
		return
	}
	e := &t.enc
	e.object("chosen_alpn")
	if utf8.ValidString(chosen) {
		e.string("string_value", chosen)
	} else {
		e.hex("byte_value", []byte(chosen))
	}
	e.endObject()
	t.end()
}

// PacketSent logs a packet that left. payload is the plaintext: frames are
// parsed from it, here, so it need not be well-formed. size is the whole
// packet's, in bytes. ecn is the ECN field of the IP header (0 to 3). Version
// Negotiation packets have a list of versions as payload, Retry packets the
// token, or nil; neither has a packet number.
func (t *Trace) PacketSent(now mono.Time, typ wire.PacketType, pn uint64, size int, ecn uint8, payload []byte) {
	if t.begin(now, packetSent) {
		t.packet(typ, pn, size, ecn, payload, t.localAckDelayExponent)
	}
}

// PacketReceived logs a packet that arrived and was authentic; the arguments
// are those of PacketSent. The payload may be anything.
func (t *Trace) PacketReceived(now mono.Time, typ wire.PacketType, pn uint64, size int, ecn uint8, payload []byte) {
	if t.begin(now, packetReceived) {
		t.packet(typ, pn, size, ecn, payload, t.remoteAckDelayExponent)
	}
}

func (t *Trace) packet(typ wire.PacketType, pn uint64, size int, ecn uint8, payload []byte, ackDelayExponent uint8) {
	e := &t.enc
	e.object("header")
	e.string("packet_type", packetTypeName(typ))
	switch typ {
	case wire.Initial, wire.ZeroRTT, wire.Handshake, wire.OneRTT:
		e.uint("packet_number", pn)
		e.endObject()
		e.raw(size, len(payload))
		if typ != wire.OneRTT {
			ackDelayExponent = wire.DefaultAckDelayExponent
		}
		t.packetFrames(payload, ackDelayExponent)
	case wire.Retry:
		if len(payload) != 0 {
			e.object("token")
			e.string("type", "retry")
			e.raw(len(payload), -1)
			e.endObject()
		}
		e.endObject()
		e.raw(size, -1)
	case wire.VersionNegotiation:
		e.endObject()
		e.raw(size, -1)
		e.supportedVersions(payload)
	default:
		e.endObject()
		e.raw(size, -1)
	}
	if ecn&3 != 0 {
		e.string("ecn", ecnNames[ecn&3])
	}
	t.end()
}

// ecnNames are indexed by the ECN field of the IP header.
// https://www.rfc-editor.org/rfc/rfc3168#section-5
var ecnNames = [4]string{"Not-ECT", "ECT(1)", "ECT(0)", "CE"}

// raw writes a RawInfo of lengths in bytes; those below 0 are not known.
func (e *encoder) raw(length, payload int) {
	if length < 0 && payload < 0 {
		return
	}
	e.object("raw")
	if length >= 0 {
		e.uint("length", uint64(length))
	}
	if payload >= 0 {
		e.uint("payload_length", uint64(payload))
	}
	e.endObject()
}

// supportedVersions writes the list in the Version Negotiation packet's payload.
// https://www.rfc-editor.org/rfc/rfc9000#section-17.2.1
func (e *encoder) supportedVersions(b []byte) {
	if len(b) < 4 {
		return
	}
	e.array("supported_versions")
	for range maxFrames {
		if len(b) < 4 {
			break
		}
		e.version(wire.Version(b[0])<<24 | wire.Version(b[1])<<16 | wire.Version(b[2])<<8 | wire.Version(b[3]))
		b = b[4:]
	}
	e.endArray()
}

func packetTypeName(t wire.PacketType) string {
	switch t {
	case wire.Initial:
		return "initial"
	case wire.ZeroRTT:
		return "0RTT"
	case wire.Handshake:
		return "handshake"
	case wire.Retry:
		return "retry"
	case wire.OneRTT:
		return "1RTT"
	case wire.VersionNegotiation:
		return "version_negotiation"
	}
	return "unknown"
}

// PacketDropped: a packet of size bytes was not processed. trigger is one of the
// draft's — internal_error, rejected, unsupported, invalid, duplicate,
// connection_unknown, decryption_failure, key_unavailable, general — or any
// other reason: that becomes a detail of the trigger it belongs to.
func (t *Trace) PacketDropped(now mono.Time, size int, trigger string) {
	if !t.begin(now, packetDropped) {
		return
	}
	e := &t.enc
	e.raw(size, -1)
	category := dropTrigger(trigger)
	if category != trigger {
		e.reason(trigger)
	}
	e.string("trigger", category)
	t.end()
}

// dropTrigger returns the draft's trigger for a reason to drop a packet.
func dropTrigger(reason string) string {
	switch reason {
	case "internal_error", "rejected", "unsupported", "invalid", "duplicate",
		"connection_unknown", "decryption_failure", "key_unavailable", "general":
		return reason
	case "malformed":
		return "invalid"
	case "key_discarded":
		return "key_unavailable"
	case "unsupported_version":
		return "unsupported"
	case "unexpected_address":
		return "rejected"
	case "unknown_connection_id":
		return "connection_unknown"
	}
	return "general"
}

// reason writes a reason for which the schema has no trigger.
func (e *encoder) reason(s string) {
	if s == "" {
		return
	}
	e.object("details")
	e.string("reason", s)
	e.endObject()
}

// PacketBuffered: a packet of size bytes waits to be processed. trigger is
// "keys_unavailable", "backpressure" or another reason.
func (t *Trace) PacketBuffered(now mono.Time, typ wire.PacketType, size int, trigger string) {
	if !t.begin(now, packetBuffered) {
		return
	}
	e := &t.enc
	e.object("header")
	e.string("packet_type", packetTypeName(typ))
	e.endObject()
	e.raw(size, -1)
	switch trigger {
	case "keys_unavailable", "backpressure":
		e.string("trigger", trigger)
	default:
		e.reason(trigger)
	}
	t.end()
}

// PacketsAcked: packets of one number space were acknowledged for the first
// time. typ is a packet type of that space. No numbers, no event.
func (t *Trace) PacketsAcked(now mono.Time, typ wire.PacketType, numbers []uint64) {
	if len(numbers) == 0 {
		t.OnPath(0)
		return
	}
	if !t.begin(now, packetsAcked) {
		return
	}
	e := &t.enc
	e.string("packet_number_space", spaceOf(typ))
	e.array("packet_numbers")
	for _, pn := range numbers {
		e.uintValue(pn)
	}
	e.endArray()
	t.end()
}

func spaceOf(t wire.PacketType) string {
	switch t {
	case wire.Initial:
		return "initial"
	case wire.Handshake:
		return "handshake"
	}
	return "application_data"
}

// DatagramDropped: a UDP datagram of size bytes held no QUIC packet.
func (t *Trace) DatagramDropped(now mono.Time, size int) {
	if !t.begin(now, udpDatagramDropped) {
		return
	}
	t.enc.raw(size, -1)
	t.end()
}

// StreamStateUpdated: side is "sending" or "receiving", the states those of
// https://www.rfc-editor.org/rfc/rfc9000#section-3 as the draft spells them.
func (t *Trace) StreamStateUpdated(now mono.Time, id uint64, side, old, new string) {
	if !t.begin(now, streamStateUpdated) {
		return
	}
	t.enc.uint("stream_id", id)
	t.enc.string("stream_type", streamType(id&2 != 0))
	t.enc.oldNew(old, new)
	t.enc.string("stream_side", side)
	t.end()
}

func streamType(uni bool) string { return choose(uni, "unidirectional", "bidirectional") }

// ConnectionDataBlockedUpdated: the connection cannot send data, or can again.
// reason is one of the draft's — scheduling, pacing, amplification_protection,
// congestion_control, connection_flow_control, stream_flow_control, stream_id,
// application — or empty.
func (t *Trace) ConnectionDataBlockedUpdated(now mono.Time, blocked bool, reason string) {
	if !t.begin(now, connectionDataBlockedUpdated) {
		return
	}
	t.enc.blocked(blocked, reason)
	t.end()
}

// StreamDataBlockedUpdated is ConnectionDataBlockedUpdated for one stream.
func (t *Trace) StreamDataBlockedUpdated(now mono.Time, id uint64, blocked bool, reason string) {
	if !t.begin(now, streamDataBlockedUpdated) {
		return
	}
	t.enc.blocked(blocked, reason)
	t.enc.uint("stream_id", id)
	t.end()
}

func (e *encoder) blocked(blocked bool, reason string) {
	e.oldNew(choose(blocked, "unblocked", "blocked"), choose(blocked, "blocked", "unblocked"))
	e.optionalString("reason", reason)
}
