package core

// maxRoutes bounds the address pairs remembered besides the one in use, so
// that spoofed source addresses cost nothing.
const maxRoutes = 4

// routeOf finds the route a datagram took, or makes one for an address pair
// not seen before where that is allowed.
func (c *Conn) routeOf(p *Path, d *Datagram) *route {
	rt := p.route
	if rt.remote == d.Remote && (rt.local == d.Local || !rt.local.Addr().IsValid() || rt.local.Addr().IsUnspecified()) {
		rt.ifIndex = d.IfIndex
		if rt.local != d.Local {
			rt.local = d.Local
			p.setRoute(rt)
		}
		return rt
	}
	for _, r := range p.routes {
		if r.remote == d.Remote && r.local == d.Local {
			return r
		}
	}
	if !c.IsServer() && d.Remote != rt.remote && !c.isServersPreferred(d.Remote) {
		// "If a client receives packets from an unknown server address, the
		// client MUST discard these packets."
		// https://www.rfc-editor.org/rfc/rfc9000#section-9
		return nil
	}
	if c.v.HandshakeConfirmed == 0 && c.IsServer() && c.v.HandshakeComplete == 0 {
		// "An endpoint MUST NOT initiate connection migration before the
		// handshake is confirmed"; until then another address is no migration.
		// A datagram that authenticates still counts, its answer goes to the
		// address of the handshake.
		return rt
	}
	r := &route{local: d.Local, remote: d.Remote, ifIndex: d.IfIndex, lastUsed: c.now}
	if !c.IsServer() {
		r.validated = true
	}
	r.idSeq, r.borrowed = rt.idSeq, true
	c.addRoute(p, r)
	return r
}

// addRoute remembers a route, forgetting the one longest unused.
func (c *Conn) addRoute(p *Path, r *route) {
	if len(p.routes) >= maxRoutes {
		// One that was never validated goes first: addresses that may be spoofed
		// must not push out the one to fall back on.
		oldest := 0
		for i, x := range p.routes {
			o := p.routes[oldest]
			if o.validated && !x.validated || o.validated == x.validated && x.lastUsed < o.lastUsed {
				oldest = i
			}
		}
		c.forgetRoute(p, p.routes[oldest])
	}
	p.routes = append(p.routes, r)
}

// forgetRoute drops a route for good and retires the connection ID that only it
// used, so that the peer issues another.
func (c *Conn) forgetRoute(p *Path, r *route) {
	p.removeRoute(r)
	if r.borrowed || r.idSeq == p.route.idSeq {
		return
	}
	for _, x := range p.routes {
		if x.idSeq == r.idSeq {
			return
		}
	}
	c.retireRemote(p, r.idSeq)
}

func (p *Path) removeRoute(r *route) {
	for i, x := range p.routes {
		if x == r {
			p.routes = append(p.routes[:i], p.routes[i+1:]...)
			return
		}
	}
}

func (c *Conn) routeArg(p *Path, r *route, probing bool) RouteArg {
	hi, lo := addrWords(r.remote.Addr())
	return RouteArg{Path: p, RemoteHigh: hi, RemoteLow: lo, RemotePort: uint64(r.remote.Port()), Probing: probing}
}

// ownConnID makes sure that packets on r do not carry a connection ID that is
// used between other addresses, and reports whether that was possible. A
// rebinding is no such case: the peer does not know of it and goes on with the
// same ID.
//
// "An endpoint MUST NOT reuse a connection ID when sending from more than one
// local address", nor "when sending to more than one destination address".
// https://www.rfc-editor.org/rfc/rfc9000#section-9.5
func (c *Conn) ownConnID(p *Path, r *route) bool {
	if !r.borrowed || r.local == p.route.local && r.arrivedOn == p.route.arrivedOn || c.destConnID(p, r).Len() == 0 {
		return true
	}
	return c.useFreshRemoteID(p, r)
}
