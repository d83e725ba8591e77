package monitoring

import (
	"encoding/binary"
	"net/netip"
	"time"
)

// Enterprise numbers of information elements.
const (
	iana = 0

	// reverse marks what the responder sent.
	// https://www.rfc-editor.org/rfc/rfc5103#section-6.1
	reverse = 29305

	// EnterpriseNumber is that of the elements of QUIC, which IANA has none for:
	// the one reserved for documentation. Their numbers are those of the table
	// quicFields.
	// https://www.rfc-editor.org/rfc/rfc5612
	EnterpriseNumber = 32473
)

const protocolUDP = 17

// Values of flowEndReason.
// https://www.iana.org/assignments/ipfix/ipfix.xhtml
const (
	endActiveTimeout = 2
	endDetected      = 3
)

// A field is an information element of a template and how to write its value.
type field struct {
	enterprise uint32
	id         uint16
	size       uint16 // in bytes
	name       string
	put        func(b []byte, v *values) []byte
}

// values are what the fields of a data record are made from.
type values struct {
	f        *Flow
	d        Record         // since the previous record
	from, to netip.AddrPort // initiator and responder, the client and the server
	overhead uint64         // bytes of IP and UDP headers of a datagram
	path     Path           // the first one
}

// https://www.rfc-editor.org/rfc/rfc5103: a record tells of both directions; what
// has no enterprise number is about the one from the client to the server.
func newValues(f *Flow) *values {
	v := &values{f: f, d: f.Delta(), from: f.Local, to: f.Remote, overhead: 20 + 8}
	if f.Server {
		v.from, v.to = f.Remote, f.Local
	}
	v.from, v.to = unmap(v.from), unmap(v.to)
	if !v.ipv4() {
		v.overhead = 40 + 8
	}
	if len(f.Paths) > 0 {
		v.path = f.Paths[0]
	}
	return v
}

func unmap(a netip.AddrPort) netip.AddrPort { return netip.AddrPortFrom(a.Addr().Unmap(), a.Port()) }

func (v *values) ipv4() bool { return v.from.Addr().Is4() && v.to.Addr().Is4() }

// octets estimates the bytes of IP packets, counting headers once per QUIC
// packet: only the handshake has datagrams of several.
func (v *values) octets(fromClient bool) uint64 {
	payload, packets := v.packets(fromClient)
	return payload + packets*v.overhead
}

func (v *values) packets(fromClient bool) (payload, packets uint64) {
	if fromClient == v.f.Server {
		return v.d.BytesReceived, v.d.PacketsReceived
	}
	return v.d.BytesSent, v.d.PacketsSent
}

func u8(f func(*values) uint8) func([]byte, *values) []byte {
	return func(b []byte, v *values) []byte { return append(b, f(v)) }
}

func u16(f func(*values) uint16) func([]byte, *values) []byte {
	return func(b []byte, v *values) []byte { return binary.BigEndian.AppendUint16(b, f(v)) }
}

func u32(f func(*values) uint32) func([]byte, *values) []byte {
	return func(b []byte, v *values) []byte { return binary.BigEndian.AppendUint32(b, f(v)) }
}

func u64(f func(*values) uint64) func([]byte, *values) []byte {
	return func(b []byte, v *values) []byte { return binary.BigEndian.AppendUint64(b, f(v)) }
}

// microseconds writes a time in 32 bits: at most 71 minutes.
func microseconds(f func(*values) time.Duration) func([]byte, *values) []byte {
	return u32(func(v *values) uint32 { return uint32(min(max(f(v).Microseconds(), 0), 1<<32-1)) })
}

func address(f func(*values) netip.AddrPort, v6 bool) func([]byte, *values) []byte {
	return func(b []byte, v *values) []byte {
		a := f(v).Addr()
		if !a.IsValid() {
			a = netip.IPv6Unspecified()
		}
		if wide := a.As16(); v6 {
			return append(b, wide[:]...)
		}
		narrow := a.As4()
		return append(b, narrow[:]...)
	}
}

func source(v *values) netip.AddrPort      { return v.from }
func destination(v *values) netip.AddrPort { return v.to }

func sourceAndDestination(v6 bool) []field {
	if v6 {
		return []field{
			{iana, 27, 16, "sourceIPv6Address", address(source, true)},
			{iana, 28, 16, "destinationIPv6Address", address(destination, true)},
		}
	}
	return []field{
		{iana, 8, 4, "sourceIPv4Address", address(source, false)},
		{iana, 12, 4, "destinationIPv4Address", address(destination, false)},
	}
}

// ianaFields are the elements of all templates that IANA has registered.
// https://www.iana.org/assignments/ipfix/ipfix.xhtml
var ianaFields = []field{
	{iana, 148, 8, "flowId", u64(func(v *values) uint64 { return v.f.ID })},
	{iana, 152, 8, "flowStartMilliseconds", u64(func(v *values) uint64 { return uint64(v.f.Began().UnixMilli()) })},
	{iana, 153, 8, "flowEndMilliseconds", u64(func(v *values) uint64 { return uint64(v.f.Time().UnixMilli()) })},
	{iana, 7, 2, "sourceTransportPort", u16(func(v *values) uint16 { return v.from.Port() })},
	{iana, 11, 2, "destinationTransportPort", u16(func(v *values) uint16 { return v.to.Port() })},
	{iana, 4, 1, "protocolIdentifier", u8(func(*values) uint8 { return protocolUDP })},
	{iana, 239, 1, "biflowDirection", u8(func(*values) uint8 { return 1 })}, // the source is the initiator
	{iana, 136, 1, "flowEndReason", u8(func(v *values) uint8 {
		if v.f.Ended() {
			return endDetected
		}
		return endActiveTimeout
	})},
	{iana, 1, 8, "octetDeltaCount", u64(func(v *values) uint64 { return v.octets(true) })},
	{iana, 2, 8, "packetDeltaCount", u64(func(v *values) uint64 { _, n := v.packets(true); return n })},
	{reverse, 1, 8, "reverseOctetDeltaCount", u64(func(v *values) uint64 { return v.octets(false) })},
	{reverse, 2, 8, "reversePacketDeltaCount", u64(func(v *values) uint64 { _, n := v.packets(false); return n })},
}

// quicFields are the elements under EnterpriseNumber. Delta counts are of what
// the exporter sent, or received if they say so, since the flow's last record.
var quicFields = []field{
	{EnterpriseNumber, 1, 1, "quicFlowState", u8(func(v *values) uint8 { return uint8(v.f.State) })},
	{EnterpriseNumber, 2, 4, "quicVersion", u32(func(v *values) uint32 { return v.f.Version })},
	{EnterpriseNumber, 3, 4, "quicHandshakeMicroseconds", microseconds(func(v *values) time.Duration {
		if v.f.HandshakeComplete == 0 {
			return 0
		}
		return v.f.HandshakeComplete - v.f.Start
	})},
	{EnterpriseNumber, 4, 4, "quicSmoothedRTTMicroseconds", microseconds(func(v *values) time.Duration { return v.path.SmoothedRTT })},
	{EnterpriseNumber, 5, 4, "quicMinRTTMicroseconds", microseconds(func(v *values) time.Duration { return v.path.MinRTT })},
	{EnterpriseNumber, 6, 4, "quicRTTVariationMicroseconds", microseconds(func(v *values) time.Duration { return v.path.RTTVar })},
	{EnterpriseNumber, 7, 8, "quicCongestionWindowOctets", u64(func(v *values) uint64 { return v.path.CongestionWindow })},
	{EnterpriseNumber, 8, 8, "quicInFlightOctets", u64(func(v *values) uint64 { return v.path.BytesInFlight })},
	{EnterpriseNumber, 9, 8, "quicBandwidthOctetsPerSecond", u64(func(v *values) uint64 { return v.path.Bandwidth })},
	{EnterpriseNumber, 10, 8, "quicLostPacketDeltaCount", u64(func(v *values) uint64 { return v.d.PacketsLost })},
	{EnterpriseNumber, 11, 8, "quicSpuriousPacketDeltaCount", u64(func(v *values) uint64 { return v.d.PacketsSpurious })},
	{EnterpriseNumber, 12, 8, "quicRetransmittedPacketDeltaCount", u64(func(v *values) uint64 { return v.d.PacketsRetransmitted })},
	{EnterpriseNumber, 13, 8, "quicReceivedOutOfOrderPacketDeltaCount", u64(func(v *values) uint64 { return v.d.PacketsOutOfOrder })},
	{EnterpriseNumber, 14, 8, "quicErrorCode", u64(func(v *values) uint64 { return v.f.Error })},
}
