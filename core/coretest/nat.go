package coretest

import "net/netip"

// A NAT translates the addresses of the interface it stands before. A flow is
// known by its inner address and keeps its outer one until a rebinding.
type NAT struct {
	iface *Interface
	outer netip.Addr
	next  uint16
	out   map[AddrPort]AddrPort // inner to outer
	in    map[AddrPort]AddrPort // outer to inner
	// Rebindings counts the changes so far.
	Rebindings int
	// Stable ends them: what asks for another is ignored.
	Stable bool
}

// NewNAT puts a NAT with the given outer address before the interface.
func (i *Interface) NewNAT(outer netip.Addr) *NAT {
	n := &NAT{iface: i, next: 40000}
	n.reset(outer)
	i.NAT = n
	return n
}

func (n *NAT) reset(outer netip.Addr) {
	s := n.iface.host.sim
	if n.outer.IsValid() && n.outer != outer {
		delete(s.owner, n.outer)
	}
	n.outer = outer
	s.owner[outer] = n.iface
	n.out, n.in = make(map[AddrPort]AddrPort), make(map[AddrPort]AddrPort)
}

// Rebind gives every flow a new port; packets to the old ones are lost.
func (n *NAT) Rebind() { n.RebindAddr(n.outer) }

// RebindAddr gives every flow a new address and port.
func (n *NAT) RebindAddr(outer netip.Addr) {
	if n.Stable {
		return
	}
	n.Rebindings++
	n.reset(outer)
}

// Outer returns the outer address of an inner one, as it is now.
func (n *NAT) Outer(inner AddrPort) AddrPort {
	o, ok := n.out[inner]
	if !ok {
		n.next++
		o = netip.AddrPortFrom(n.outer, n.next)
		n.out[inner], n.in[o] = o, inner
	}
	return o
}

// inner returns where a packet to an outer address goes.
func (n *NAT) inner(outer AddrPort) (AddrPort, bool) {
	a, ok := n.in[outer]
	return a, ok
}
