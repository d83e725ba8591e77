package linkemu

import (
	"math/rand/v2"
	"net/netip"
)

// A Rebind says what a NAT changes about its bindings.
type Rebind uint8

const (
	KeepBindings  Rebind = iota
	RebindPort           // every flow gets a new external port
	RebindAddress        // the NAT moves to another external address, with new ports
)

// natPool is how many external addresses a NAT uses in turn.
const natPool = 16

// A nat translates the UDP packets that side A of a link sends. Until the first rebinding the
// translation is the identity, so that a NAT that never rebinds is invisible.
type nat struct {
	rng      *rand.Rand
	external func(v6 bool, n int) netip.Addr // n-th external address, n counting from 1
	moved    int                             // how often the address changed
	rebound  bool
	out      map[netip.AddrPort]netip.AddrPort // internal to external
	in       map[netip.AddrPort]netip.AddrPort // external to internal
}

func newNAT(seed uint64, external func(v6 bool, n int) netip.Addr) *nat {
	n := &nat{rng: rand.New(rand.NewPCG(seed, 0x6e6174)), external: external}
	n.flush()
	return n
}

func (n *nat) flush() {
	n.out = make(map[netip.AddrPort]netip.AddrPort)
	n.in = make(map[netip.AddrPort]netip.AddrPort)
}

// rebind forgets all bindings: until A sends again, packets to the old ones are lost.
func (n *nat) rebind(kind Rebind) {
	if kind == KeepBindings {
		return
	}
	if kind == RebindAddress {
		n.moved++
	}
	n.rebound = true
	n.flush()
}

// outbound translates a UDP packet from A.
func (n *nat) outbound(p *packet) {
	internal := p.source()
	external, ok := n.out[internal]
	if !ok {
		external = n.bind(internal)
		n.out[internal], n.in[external] = external, internal
	}
	if external != internal {
		p.setSource(external)
	}
}

func (n *nat) bind(internal netip.AddrPort) netip.AddrPort {
	if !n.rebound {
		return internal
	}
	addr := internal.Addr()
	if n.moved > 0 {
		addr = n.external(addr.Is6(), (n.moved-1)%natPool+1)
	}
	for {
		external := netip.AddrPortFrom(addr, uint16(20000+n.rng.IntN(40000)))
		if _, used := n.in[external]; !used {
			return external
		}
	}
}

// inbound returns where a packet to an external address goes, the zero value if that is the same,
// and false if there is no binding.
func (n *nat) inbound(external netip.AddrPort) (internal netip.AddrPort, bound bool) {
	internal, bound = n.in[external]
	if internal == external {
		internal = netip.AddrPort{}
	}
	return internal, bound
}
