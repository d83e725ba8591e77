package hoststack

import (
	"context"
	"fmt"
	"net"
	"net/netip"
)

// UDPConfig says how UDP datapaths are opened. Zero fields mean defaults.
type UDPConfig struct {
	// SocketBuffer is the size in bytes asked for the socket's receive and send
	// buffers; 0 means 4 MiB. The system may grant less.
	SocketBuffer int

	// Batch is how many system-level messages one receive takes; 0 means 4.
	// Each has a buffer of 64 KiB.
	Batch int

	// Plain chooses the portable datapath: one datagram per system call, no
	// ECN, no choice of source address.
	Plain bool

	// NoGSO and NoGRO switch the offloads off where they exist.
	NoGSO, NoGRO bool
}

const (
	defaultSocketBuffer = 4 << 20
	defaultReadBatch    = 4
	// recvBuffer holds the largest datagram, and the largest run GRO delivers.
	recvBuffer = 1 << 16
)

func (c *UDPConfig) socketBuffer() int {
	if c.SocketBuffer > 0 {
		return c.SocketBuffer
	}
	return defaultSocketBuffer
}

func (c *UDPConfig) batch() int {
	if c.Batch > 0 {
		return c.Batch
	}
	return defaultReadBatch
}

// ListenUDP opens n datapaths on one address. The network is "udp", "udp4" or
// "udp6"; port 0 picks a free one, the same for all n. With n > 1 the sockets
// share the port; where the system cannot do that, fewer than n are returned.
func ListenUDP(ctx context.Context, network, addr string, n int, cfg *UDPConfig) ([]Datapath, error) {
	if cfg == nil {
		cfg = &UDPConfig{}
	}
	switch network {
	case "udp", "udp4", "udp6":
	default:
		return nil, fmt.Errorf("hoststack: unknown network %q: want udp, udp4 or udp6", network)
	}
	if n < 1 {
		n = 1
	}
	if !canSharePort || cfg.Plain {
		n = 1
	}
	lc := listenConfig(n > 1)
	paths := make([]Datapath, 0, n)
	fail := func(err error) ([]Datapath, error) {
		for _, p := range paths {
			p.Close()
		}
		return nil, err
	}
	for len(paths) < n {
		pc, err := lc.ListenPacket(ctx, network, addr)
		if err != nil {
			return fail(err)
		}
		conn, ok := pc.(*net.UDPConn)
		if !ok {
			pc.Close()
			return fail(fmt.Errorf("hoststack: %s is not a UDP address", addr))
		}
		p, err := newUDP(conn, cfg)
		if err != nil {
			conn.Close()
			return fail(err)
		}
		paths = append(paths, p)
		if len(paths) == 1 {
			// The others must share the port the system has picked.
			addr = pc.LocalAddr().String()
		}
	}
	return paths, nil
}

// newUDP takes over conn.
func newUDP(conn *net.UDPConn, cfg *UDPConfig) (Datapath, error) {
	if cfg.Plain {
		return newPlainUDP(conn, cfg)
	}
	return newPlatformUDP(conn, cfg)
}

// localAddrPort returns the address conn is bound to, without IPv4-mapping.
func localAddrPort(conn *net.UDPConn) netip.AddrPort {
	a, ok := conn.LocalAddr().(*net.UDPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	return unmapAddrPort(a.AddrPort())
}

// unmapAddrPort turns an IPv4-mapped IPv6 address into plain IPv4.
func unmapAddrPort(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
}
