package hoststack

import (
	"net"
	"net/netip"
	"sync"
	"time"
)

// interfaceMTUs remembers the MTU of each local address: asking the system
// lists all interfaces.
var interfaceMTUs struct {
	mu     sync.Mutex
	byAddr map[netip.Addr]int
	asked  time.Time
}

// interfaceMTUTrust is how long the answer holds.
const interfaceMTUTrust = 10 * time.Second

// defaultMTU is assumed where nothing is known.
const defaultMTU = 1500

// interfaceMTU returns the MTU of the interface that has a local address, in
// bytes of IP packet; 1500 if there is none, for example because the address
// is unspecified.
func interfaceMTU(local netip.Addr) int {
	local = local.Unmap().WithZone("")
	if !local.IsValid() || local.IsUnspecified() {
		return defaultMTU
	}
	m := &interfaceMTUs
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.byAddr == nil || time.Since(m.asked) > interfaceMTUTrust {
		m.byAddr, m.asked = listMTUs(), time.Now()
	}
	if mtu, ok := m.byAddr[local]; ok {
		return mtu
	}
	if local.IsLoopback() {
		return m.byAddr[netip.AddrFrom4([4]byte{127, 0, 0, 1})] // all of 127.0.0.0/8
	}
	return defaultMTU
}

func listMTUs() map[netip.Addr]int {
	list := map[netip.Addr]int{netip.AddrFrom4([4]byte{127, 0, 0, 1}): defaultMTU}
	interfaces, err := net.Interfaces()
	if err != nil {
		return list
	}
	for _, ifi := range interfaces {
		addrs, err := ifi.Addrs()
		if err != nil {
			continue
		}
		for _, a := range addrs {
			if n, ok := a.(*net.IPNet); ok {
				if addr, ok := netip.AddrFromSlice(n.IP); ok {
					list[addr.Unmap()] = ifi.MTU
				}
			}
		}
	}
	return list
}
