package core

import (
	"net/netip"
	"slices"

	"github.com/pquic-go/pquic/core/mono"
	"github.com/pquic-go/pquic/protoops"
)

// What the host tells about its addresses and sockets.

// LocalAddressesChanged tells that the local address a socket sends from has
// changed under the connection, as after a NAT rebinding or a new interface
// address: path 0 goes on from the new one, which the peer validates.
func (c *Conn) LocalAddressesChanged(now mono.Time, local netip.AddrPort, ifIndex uint32) {
	c.begin(now)
	c.localAddressesChanged(NoArg{})
	r := c.path0.route
	r.local, r.ifIndex = local, ifIndex
	c.path0.setRoute(r)
	c.path0.needPing = true
	c.finish()
}

// A LocalAddr is an address the host can send from.
type LocalAddr struct {
	Addr    netip.AddrPort
	IfIndex uint32 // its interface, 0 unknown
}

// SetLocalAddresses tells on which addresses the host can now send and receive
// for the connection. A path that starts from another one has lost its socket.
func (c *Conn) SetLocalAddresses(now mono.Time, addrs []LocalAddr) {
	if c.v.State >= StateClosing {
		return
	}
	c.begin(now)
	c.localAddrs = append(c.localAddrs[:0], addrs...)
	c.localAddressesChanged(NoArg{})
	for _, p := range c.paths {
		if !slices.ContainsFunc(addrs, func(a LocalAddr) bool { return a.Addr == p.route.local }) && c.pathSocketError(PathArg{p}).Yes && len(c.paths) > 1 {
			c.ClosePath(p)
		}
	}
	c.finish()
}

// LocalAddresses returns what SetLocalAddresses was last told. The slice belongs
// to the connection.
func (c *Conn) LocalAddresses() []LocalAddr { return c.localAddrs }

// localAddressesChanged tells that the host's addresses changed. Event "local_addresses_changed".
func (c *Conn) localAddressesChanged(a NoArg) {
	if c.ops.localAddressesChanged.Attached() {
		c.ops.localAddressesChanged.Run(a)
	}
}

var opLocalAddressesChanged = protoops.Define(protoops.Key{Name: "local_addresses_changed", Param: protoops.NoParam},
	protoops.Doc{
		Summary: "The host's addresses changed",
		Fires:   "per change the host reports",
	},
	func(c *Conn) *protoops.Slot[NoArg, protoops.None] { return &c.ops.localAddressesChanged },
	nil)

// PathSocketError tells that sending on a path failed for good, or that the
// network refused a datagram of the given size.
func (c *Conn) PathSocketError(now mono.Time, p *Path, tooBig int) {
	if c.v.State >= StateClosing {
		return
	}
	c.begin(now)
	if tooBig > 0 {
		p.mtu.refused(c, p, tooBig)
		c.finish()
		return
	}
	if c.pathSocketError(PathArg{p}).Yes && len(c.paths) > 1 {
		c.ClosePath(p)
	}
	c.finish()
}

// pathSocketError decides whether a path whose socket fails is closed. Operation "path_socket_error".
func (c *Conn) pathSocketError(a PathArg) Decision {
	if c.ops.pathSocketError.Attached() {
		return c.ops.pathSocketError.Run(a)
	}
	return c.pathSocketErrorNative(a)
}

var opPathSocketError = protoops.Define(protoops.Key{Name: "path_socket_error", Param: protoops.NoParam},
	protoops.Doc{
		Summary: "Decides whether a path whose socket fails is closed",
		Fires:   "when the socket reports an error that is not about size",
		Native:  "yes, if another path is left; a connection never ends for it",
	},
	func(c *Conn) *protoops.Slot[PathArg, Decision] { return &c.ops.pathSocketError },
	(*Conn).pathSocketErrorNative)

func (c *Conn) pathSocketErrorNative(PathArg) Decision { return Decision{true} }
