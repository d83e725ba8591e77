package linkemu

import (
	"encoding/binary"
	"net/netip"
)

const (
	ethernetHeader = 14
	etherTypeIPv4  = 0x0800
	etherTypeIPv6  = 0x86dd
	protocolTCP    = 6
	protocolUDP    = 17
)

// A packet is a view of an IP packet: where its parts are. Fragments and IPv6 extension headers
// are left alone: their transport offset is 0.
type packet struct {
	b         []byte // from the IP header to the end of the IP packet
	v6        bool
	protocol  uint8
	transport int // offset of the transport header, 0 if there is none that we may read
	payload   int // offset of the bytes behind the UDP or TCP header
}

// parsePacket returns the IP packet in an Ethernet frame; ok is false for anything but unicast IP.
func parsePacket(frame []byte) (p packet, ok bool) {
	if len(frame) < ethernetHeader || frame[0]&1 != 0 {
		return p, false
	}
	b := frame[ethernetHeader:]
	switch binary.BigEndian.Uint16(frame[12:]) {
	case etherTypeIPv4:
		return parseIPv4(b)
	case etherTypeIPv6:
		return parseIPv6(b)
	}
	return p, false
}

func parseIPv4(b []byte) (p packet, ok bool) {
	if len(b) < 20 || b[0]>>4 != 4 {
		return p, false
	}
	header, total := int(b[0]&0xf)*4, int(binary.BigEndian.Uint16(b[2:]))
	if header < 20 || total < header || total > len(b) {
		return p, false
	}
	p = packet{b: b[:total], protocol: b[9]}
	if binary.BigEndian.Uint16(b[6:])&0x3fff == 0 {
		p.findPayload(header)
	}
	return p, true
}

func parseIPv6(b []byte) (p packet, ok bool) {
	if len(b) < 40 || b[0]>>4 != 6 {
		return p, false
	}
	total := 40 + int(binary.BigEndian.Uint16(b[4:]))
	if total > len(b) {
		return p, false
	}
	p = packet{b: b[:total], v6: true, protocol: b[6]}
	p.findPayload(40)
	return p, true
}

func (p *packet) findPayload(transport int) {
	rest := len(p.b) - transport
	switch {
	case p.protocol == protocolUDP && rest >= 8:
		p.transport, p.payload = transport, transport+8
	case p.protocol == protocolTCP && rest >= 20:
		p.transport = transport
		p.payload = min(transport+int(p.b[transport+12]>>4)*4, len(p.b))
	}
}

func (p *packet) isUDP() bool { return p.protocol == protocolUDP && p.transport > 0 }

// addrs returns the fields that hold the source and the destination address.
func (p *packet) addrs() (src, dst []byte) {
	if p.v6 {
		return p.b[8:24], p.b[24:40]
	}
	return p.b[12:16], p.b[16:20]
}

func (p *packet) source() netip.AddrPort {
	src, _ := p.addrs()
	return p.addrPort(src, p.transport)
}

func (p *packet) destination() netip.AddrPort {
	_, dst := p.addrs()
	return p.addrPort(dst, p.transport+2)
}

func (p *packet) addrPort(addr []byte, port int) netip.AddrPort {
	a, _ := netip.AddrFromSlice(addr)
	if p.transport == 0 {
		return netip.AddrPortFrom(a, 0)
	}
	return netip.AddrPortFrom(a, binary.BigEndian.Uint16(p.b[port:]))
}

// setSource and setDestination rewrite an address and port of a UDP packet and its checksums.
func (p *packet) setSource(to netip.AddrPort) {
	src, _ := p.addrs()
	p.rewrite(src, p.transport, to)
}

func (p *packet) setDestination(to netip.AddrPort) {
	_, dst := p.addrs()
	p.rewrite(dst, p.transport+2, to)
}

func (p *packet) rewrite(addr []byte, port int, to netip.AddrPort) {
	copy(addr, to.Addr().AsSlice())
	binary.BigEndian.PutUint16(p.b[port:], to.Port())
	p.fixHeaderChecksum()
	p.fixUDPChecksum()
}

// ecn is the codepoint in the IP header.
func (p *packet) ecn() uint8 {
	if p.v6 {
		return p.b[1] >> 4 & 3
	}
	return p.b[1] & 3
}

func (p *packet) setECN(codepoint uint8) {
	if p.v6 {
		p.b[1] = p.b[1]&^0x30 | codepoint<<4
		return
	}
	p.b[1] = p.b[1]&^3 | codepoint
	p.fixHeaderChecksum()
}

// flip inverts one bit of the transport payload, choosing by n, and corrects the UDP checksum.
func (p *packet) flip(n uint64) {
	room := uint64(len(p.b)-p.payload) * 8
	if p.payload == 0 || room == 0 {
		return
	}
	n %= room
	p.b[p.payload+int(n/8)] ^= 1 << (n % 8)
	p.fixUDPChecksum()
}

func (p *packet) fixHeaderChecksum() {
	if p.v6 {
		return
	}
	header := p.b[:int(p.b[0]&0xf)*4]
	header[10], header[11] = 0, 0
	binary.BigEndian.PutUint16(header[10:], ^fold(sum(0, header)))
}

func (p *packet) fixUDPChecksum() {
	if !p.isUDP() {
		return
	}
	udp := p.b[p.transport:]
	udp[6], udp[7] = 0, 0
	src, dst := p.addrs()
	s := sum(sum(0, src), dst) + protocolUDP + uint32(len(udp))
	c := ^fold(sum(s, udp))
	if c == 0 {
		c = 0xffff // 0 would mean that there is no checksum
	}
	binary.BigEndian.PutUint16(udp[6:], c)
}

// sum adds b to a ones' complement sum.
func sum(s uint32, b []byte) uint32 {
	for ; len(b) >= 2; b = b[2:] {
		s += uint32(binary.BigEndian.Uint16(b))
		s = s&0xffff + s>>16
	}
	if len(b) == 1 {
		s += uint32(b[0]) << 8
	}
	return s
}

func fold(s uint32) uint16 {
	for s > 0xffff {
		s = s&0xffff + s>>16
	}
	return uint16(s)
}

// UDP returns what a UDP packet carries; ok is false for any other packet.
func (o *Observation) UDP() (from, to netip.AddrPort, ecn uint8, payload []byte, ok bool) {
	parse := parseIPv4
	if len(o.Packet) > 0 && o.Packet[0]>>4 == 6 {
		parse = parseIPv6
	}
	p, ok := parse(o.Packet)
	if !ok || !p.isUDP() {
		return from, to, 0, nil, false
	}
	return p.source(), p.destination(), p.ecn(), p.b[p.payload:], true
}
