package hoststack

import (
	"encoding/binary"
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"
)

// rxControl receives the ancillary data of one message: TOS, packet info of
// both families (an IPv6 socket reports both for mapped addresses), traffic
// class and the GRO segment size, with the alignment the kernel uses.
type rxControl struct {
	_ [0]unix.Cmsghdr
	b [192]byte
}

// txControl is the ancillary data of a message to be sent: segment size, mark
// and source.
type txControl struct {
	_ [0]unix.Cmsghdr
	b [128]byte
}

const cmsgHeader = (unix.SizeofCmsghdr + cmsgAlign - 1) &^ (cmsgAlign - 1)

// cmsgAlign is the kernel's alignment of control messages: a pointer's size.
const cmsgAlign = int(unsafe.Sizeof(uintptr(0)))

// parse reads n bytes of ancillary data into p.
func (c *rxControl) parse(n int, p *Packet) {
	for b := c.b[:min(n, len(c.b))]; len(b) >= cmsgHeader; {
		h := (*unix.Cmsghdr)(unsafe.Pointer(&b[0]))
		size := int(h.Len)
		if size < cmsgHeader || size > len(b) {
			return
		}
		readControl(h.Level, h.Type, b[cmsgHeader:size], p)
		next := (size + cmsgAlign - 1) &^ (cmsgAlign - 1)
		if next >= len(b) {
			return
		}
		b = b[next:]
	}
}

// readControl reads one control message.
func readControl(level, typ int32, data []byte, p *Packet) {
	switch {
	case level == unix.IPPROTO_UDP && typ == unix.UDP_GRO && len(data) >= 4:
		if size := int(binary.NativeEndian.Uint32(data)); size < len(p.Payload) {
			p.SegmentSize = size
		}
	case level == unix.IPPROTO_IP && typ == unix.IP_TOS && len(data) >= 1:
		p.ECN = data[0] & 3
	case level == unix.IPPROTO_IPV6 && typ == unix.IPV6_TCLASS && len(data) >= 4:
		p.ECN = uint8(binary.NativeEndian.Uint32(data) & 3)
	case level == unix.IPPROTO_IP && typ == unix.IP_PKTINFO && len(data) >= unix.SizeofInet4Pktinfo:
		// ipi_ifindex, ipi_spec_dst (the local address to answer from), ipi_addr
		p.IfIndex = binary.NativeEndian.Uint32(data)
		p.Local = netip.AddrPortFrom(netip.AddrFrom4([4]byte(data[4:8])), p.Local.Port())
	case level == unix.IPPROTO_IPV6 && typ == unix.IPV6_PKTINFO && len(data) >= unix.SizeofInet6Pktinfo:
		p.IfIndex = binary.NativeEndian.Uint32(data[16:])
		if a := netip.AddrFrom16([16]byte(data)); !a.Is4In6() {
			p.Local = netip.AddrPortFrom(a, p.Local.Port())
		}
	}
}

// build writes p's ancillary data and returns its length. Absent messages mean
// the system's defaults, so the common datagram carries none.
func (c *txControl) build(p *Packet, segmented bool) int {
	n := 0
	if segmented {
		binary.NativeEndian.PutUint16(c.next(&n, unix.IPPROTO_UDP, unix.UDP_SEGMENT, 2), uint16(p.SegmentSize))
	}
	ip4 := p.Remote.Addr().Is4()
	if p.ECN != 0 {
		level, typ := int32(unix.IPPROTO_IPV6), int32(unix.IPV6_TCLASS)
		if ip4 {
			level, typ = unix.IPPROTO_IP, unix.IP_TOS
		}
		binary.NativeEndian.PutUint32(c.next(&n, level, typ, 4), uint32(p.ECN&3))
	}
	local := p.Local.Addr()
	if local.IsUnspecified() || local.Is4() != ip4 {
		local = netip.Addr{}
	}
	if !local.IsValid() && p.IfIndex == 0 {
		return n
	}
	if ip4 {
		data := c.next(&n, unix.IPPROTO_IP, unix.IP_PKTINFO, unix.SizeofInet4Pktinfo)
		binary.NativeEndian.PutUint32(data, p.IfIndex)
		if local.IsValid() {
			a := local.As4()
			copy(data[4:8], a[:])
		}
		return n
	}
	data := c.next(&n, unix.IPPROTO_IPV6, unix.IPV6_PKTINFO, unix.SizeofInet6Pktinfo)
	if local.IsValid() {
		a := local.As16()
		copy(data, a[:])
	}
	binary.NativeEndian.PutUint32(data[16:], p.IfIndex)
	return n
}

// next starts a control message with size bytes of zeroed data after the first
// *n bytes and moves *n past it.
func (c *txControl) next(n *int, level, typ int32, size int) []byte {
	b := c.b[*n:]
	h := (*unix.Cmsghdr)(unsafe.Pointer(&b[0]))
	h.Level, h.Type = level, typ
	h.SetLen(cmsgHeader + size)
	*n += cmsgHeader + (size+cmsgAlign-1)&^(cmsgAlign-1)
	data := b[cmsgHeader : cmsgHeader+size]
	clear(data)
	return data
}

// addrPortOf reads a socket address the kernel has written.
func addrPortOf(sa *unix.RawSockaddrInet6) netip.AddrPort {
	port := networkOrder(sa.Port)
	if sa.Family == unix.AF_INET {
		sa4 := (*unix.RawSockaddrInet4)(unsafe.Pointer(sa))
		return netip.AddrPortFrom(netip.AddrFrom4(sa4.Addr), port)
	}
	return netip.AddrPortFrom(netip.AddrFrom16(sa.Addr).Unmap(), port)
}

// putSockaddr writes a as the kernel wants it for a socket of the given family
// and returns the length. The interface is the scope of link-local addresses.
func putSockaddr(sa *unix.RawSockaddrInet6, a netip.AddrPort, ifIndex uint32, ip6 bool) uint32 {
	if !ip6 {
		sa4 := (*unix.RawSockaddrInet4)(unsafe.Pointer(sa))
		*sa4 = unix.RawSockaddrInet4{Family: unix.AF_INET, Port: networkOrder(a.Port())}
		if addr := a.Addr(); addr.Is4() {
			sa4.Addr = addr.As4()
		} else {
			sa4.Family = unix.AF_INET6 // refused by the kernel: EAFNOSUPPORT
		}
		return unix.SizeofSockaddrInet4
	}
	*sa = unix.RawSockaddrInet6{Family: unix.AF_INET6, Port: networkOrder(a.Port())}
	if addr := a.Addr(); addr.IsValid() {
		sa.Addr = addr.As16()
		if addr.IsLinkLocalUnicast() {
			sa.Scope_id = ifIndex
		}
	}
	return unix.SizeofSockaddrInet6
}

// networkOrder converts a port between this machine's byte order and the
// network's.
func networkOrder(port uint16) uint16 {
	var b [2]byte
	binary.BigEndian.PutUint16(b[:], port)
	return binary.NativeEndian.Uint16(b[:])
}
