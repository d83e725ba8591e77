package core

import (
	"slices"
	"time"

	"github.com/pquic-go/pquic/core/mono"
	"github.com/pquic-go/pquic/core/recovery"
	"github.com/pquic-go/pquic/protoops"
)

// mtuSearch is datagram packetization layer path MTU discovery on one path.
// https://www.rfc-editor.org/rfc/rfc8899#section-5
type mtuSearch struct {
	next    mono.Time // when to probe next, 0 not now
	ready   bool      // the time has come: the probe goes out with room for it
	lo, hi  uint64    // UDP payload sizes: proven, and one still worth trying
	tries   int       // probes of the size being tried
	started bool
	done    bool

	// What speaks for and against a black hole: packets above the base size
	// lost in a row, the smallest of them and when the first was sent; and
	// when the newest one acknowledged was sent, with its size.
	lostRun   int
	lostSize  uint64
	lostSince mono.Time
	ackedSize uint64
	ackedTime mono.Time

	peerMax  uint64 // max_udp_payload_size of the peer
	sizeNext uint64
}

const (
	maxMTUProbes = 3                 // MAX_PROBES
	raiseTimer   = 600 * time.Second // PMTU_RAISE_TIMER
	mtuPrecision = 16                // stop searching when the gap is this small
	// blackHoleLosses packets above the base size lost in a row, over more than
	// a probe timeout, mean that the path no longer carries that size.
	blackHoleLosses = 6
)

// start sets the base for a new network path.
func (m *mtuSearch) start(p *Path, _ mono.Time) {
	peer := m.peerMax
	*m = mtuSearch{peerMax: peer}
	if peer == 0 {
		m.peerMax = maxBuiltPayload
	}
	p.MTUProbed = 0
	m.lo = p.MTU
	m.ceiling(p)
}

// ceiling computes the largest size worth probing from the interface's MTU.
func (m *mtuSearch) ceiling(p *Path) {
	c := p.conn
	mtu := 1500
	if f := c.config.InterfaceMTU; f != nil {
		if n := f(p.route.local.Addr()); n > 0 {
			mtu = n
		}
	}
	headers := 28 // IPv4 and UDP
	if a := p.route.remote.Addr(); a.Is6() && !a.Is4In6() {
		headers = 48
	}
	hi := uint64(max(mtu-headers, minUDPPayload))
	m.hi = min(hi, m.peerMax, uint64(c.config.MaxUDPPayload), maxBuiltPayload)
	p.MTUCeiling = m.hi
}

// limit lowers the ceiling to what the peer accepts.
func (m *mtuSearch) limit(p *Path, peerMax uint64) {
	m.peerMax = peerMax
	m.ceiling(p)
	if p.MTU > m.hi {
		p.MTU, m.lo = m.hi, m.hi
		p.conn.setMTU(p, m.hi)
	}
}

// begin starts searching: the handshake is confirmed or the path has moved.
func (m *mtuSearch) begin(p *Path, now mono.Time) {
	if p.conn.config.DisablePathMTUDiscovery {
		return
	}
	m.ceiling(p)
	m.started, m.done, m.tries = true, false, 0
	m.lo = p.MTU
	m.plan(p, now)
}

// plan chooses the next probe. The ceiling itself is tried first: most paths
// carry what the interface says, and one probe then ends the search. Then come
// common sizes, then halving.
func (m *mtuSearch) plan(p *Path, now mono.Time) {
	m.next, m.ready = 0, false
	if !m.started || m.done {
		return
	}
	size := p.conn.mtuProbeSize(PathArg{p}).Bytes
	if size <= p.MTU || size > m.hi || m.hi-m.lo < mtuPrecision && size != m.hi {
		m.done = true
		p.MTUCeiling = m.lo
		m.next = now.Add(raiseTimer)
		if l := p.conn.log; l != nil {
			l.MTUUpdated(now, p.MTU, p.MTU, true)
		}
		return
	}
	m.sizeNext = size
	if m.tries > 0 {
		m.next = now.Add(max(p.RTT.PTO(p.MaxAckDelay), timerGranularity))
		return
	}
	m.ready = true
	p.conn.wake()
}

// mtuProbeSize chooses the size of the next path MTU probe. Operation "mtu_probe_size".
func (c *Conn) mtuProbeSize(a PathArg) Size {
	if c.ops.mtuProbeSize.Attached() {
		return c.ops.mtuProbeSize.Run(a)
	}
	return c.mtuProbeSizeNative(a)
}

var opMtuProbeSize = protoops.Define(protoops.Key{Name: "mtu_probe_size", Param: protoops.NoParam},
	protoops.Doc{
		Summary: "Chooses the size of the next path MTU probe",
		Fires:   "when a probe may be sent",
		Native:  "the interface's MTU first, then common sizes, then halving the gap; the proven size ends the search",
		Section: "https://www.rfc-editor.org/rfc/rfc8899#section-5.3",
	},
	func(c *Conn) *protoops.Slot[PathArg, Size] { return &c.ops.mtuProbeSize },
	(*Conn).mtuProbeSizeNative)

func (c *Conn) mtuProbeSizeNative(a PathArg) Size {
	m := &a.Path.mtu
	if m.hi <= m.lo {
		return Size{m.lo}
	}
	if w := c.congestionWindow(a).Bytes; m.hi > w {
		// The ceiling waits for the window; a common size that fits it does not.
		for _, s := range slices.Backward(commonSizes[:]) {
			if s <= w && s > m.lo+mtuPrecision && s < m.hi {
				return Size{s}
			}
		}
	}
	if m.hi == a.Path.MTUCeiling || m.hi-m.lo < 2*mtuPrecision {
		return Size{m.hi}
	}
	for _, s := range commonSizes {
		if s > m.lo+mtuPrecision && s < m.hi {
			return Size{s}
		}
	}
	return Size{m.lo + (m.hi-m.lo)/2}
}

// commonSizes are UDP payloads of common MTUs, smallest first: Ethernet with
// tunnels, Ethernet over IPv6 and IPv4, jumbo frames.
var commonSizes = [...]uint64{1372, 1452, 1472, 4352, 8952}

// transmitMTUProbe writes a probe: PING and padding, so that its loss costs
// nothing.
func (c *Conn) transmitMTUProbe(now mono.Time, buf []byte, p *Path) (Transmit, bool) {
	m := &p.mtu
	if !m.ready || m.done || p.MTUProbed != 0 || c.v.HandshakeConfirmed == 0 || p.State != PathActive {
		return Transmit{}, false
	}
	size := int(min(m.sizeNext, m.hi))
	if size > len(buf) || uint64(size) <= p.MTU {
		m.done, m.ready = true, false
		return Transmit{}, false
	}
	window := c.congestionWindow(PathArg{p}).Bytes
	if uint64(size) > window {
		if other := min(c.mtuProbeSize(PathArg{p}).Bytes, m.hi); other < uint64(size) && other > p.MTU {
			m.sizeNext, m.tries, size = other, 0, int(other)
		}
	}
	if p.Congestion.BytesInFlight+uint64(size) > window {
		return Transmit{}, false // waits for the window like any other packet
	}
	if p.route.amplificationCredit() < uint64(size) {
		return Transmit{}, false // and for the peer's address to be validated
	}
	b := c.builder()
	if !b.start(buf[:size:size], 0, p, p.route, level1RTT) {
		return Transmit{}, false
	}
	b.mtuProbe = true
	c.writePing(b)
	b.padTo(size)
	m.ready = false
	m.tries++
	p.MTUProbed = uint64(size)
	p.MTUProbesSent++
	n := c.finishPacket(now, b)
	p.route.sent += uint64(n)
	return c.transmitOn(p, p.route, n, n), true
}

// mtuProbeAcked: the path carries the size.
func (c *Conn) mtuProbeAcked(p *Path, sent *SentPacket) {
	m := &p.mtu
	p.MTUProbed = 0
	m.tries = 0
	if uint64(sent.Size) > m.lo {
		m.lo = uint64(sent.Size)
		c.setMTU(p, m.lo)
	}
	m.plan(p, c.now)
}

// mtuProbeLost: try again a few times, then believe it.
//
// "Loss of a QUIC packet that is carried in a PMTU probe is therefore not a
// reliable indication of congestion and SHOULD NOT trigger a congestion control
// reaction".
// https://www.rfc-editor.org/rfc/rfc9000#section-14.4
func (c *Conn) mtuProbeLost(p *Path, sent *SentPacket) {
	m := &p.mtu
	p.MTUProbed = 0
	if m.tries >= maxMTUProbes {
		m.hi = min(m.hi, uint64(sent.Size)-1)
		m.tries = 0
	}
	m.plan(p, c.now)
}

// refused handles the network's word that size is too big.
func (m *mtuSearch) refused(c *Conn, p *Path, size int) {
	if uint64(size) <= p.MTU {
		if p.MTU > minUDPPayload {
			c.mtuBlackHole(p)
		}
		return
	}
	m.hi = min(m.hi, max(uint64(size)-1, m.lo))
	m.tries = 0
	p.MTUProbed = 0
	m.plan(p, c.now)
}

// setMTU changes the size in use.
func (c *Conn) setMTU(p *Path, n uint64) {
	old := p.MTU
	p.MTU = n
	p.Congestion.MaxDatagramSize = n
	p.cc.OnMaxDatagramSize(&p.Congestion, c.now)
	c.mtuUpdated(MTUEvent{Path: p, Old: old, New: n})
	if c.log != nil {
		c.log.MTUUpdated(c.now, old, n, false)
	}
}

// MTUEvent tells of a new datagram size.
type MTUEvent struct {
	Path *Path  `op:"path" doc:"the path"`
	Old  uint64 `op:"old" unit:"bytes" doc:"UDP payload size before"`
	New  uint64 `op:"new" unit:"bytes" doc:"UDP payload size now"`
}

// mtuUpdated tells that the path's datagram size changed. Event "mtu_updated".
func (c *Conn) mtuUpdated(a MTUEvent) {
	if c.ops.mtuUpdated.Attached() {
		c.ops.mtuUpdated.Run(a)
	}
}

var opMtuUpdated = protoops.Define(protoops.Key{Name: "mtu_updated", Param: protoops.NoParam},
	protoops.Doc{
		Summary: "The path's datagram size changed",
		Fires:   "per change",
		Section: "https://www.rfc-editor.org/rfc/rfc8899#section-5",
	},
	func(c *Conn) *protoops.Slot[MTUEvent, protoops.None] { return &c.ops.mtuUpdated },
	nil)

// acked notes that the path still carries packets above the base size.
func (m *mtuSearch) acked(_ *Path, sent *SentPacket) {
	if sent.Size <= minUDPPayload {
		return
	}
	if uint64(sent.Size)+mtuPrecision >= m.ackedSize || sent.SentTime > m.ackedTime {
		m.ackedSize, m.ackedTime = uint64(sent.Size), max(sent.SentTime, m.ackedTime)
	}
	if uint64(sent.Size)+mtuPrecision >= m.lostSize && sent.SentTime >= m.lostSince {
		m.lostRun = 0
	}
}

// lost watches for a black hole: packets above the base size are lost for
// longer than a probe timeout while none as large gets through. Smaller ones
// may, so that no probe timeout fires: acknowledgments of keep-alives, say.
func (m *mtuSearch) lost(c *Conn, p *Path, sent *SentPacket) {
	size := uint64(sent.Size)
	if size <= minUDPPayload || size > p.MTU || sent.Flags&recovery.MTUProbe != 0 {
		return
	}
	if m.ackedTime >= sent.SentTime && m.ackedSize+mtuPrecision >= size {
		return // the path carried its like since
	}
	if m.lostRun == 0 {
		m.lostSince, m.lostSize = sent.SentTime, size
	}
	m.lostRun++
	m.lostSize = min(m.lostSize, size)
	if m.lostRun >= blackHoleLosses && sent.SentTime.Sub(m.lostSince) > p.RTT.PTO(p.MaxAckDelay) {
		c.mtuBlackHole(p)
	}
}

// ptoFired: three probe timeouts in a row at a large size are reason enough to
// try the base.
func (m *mtuSearch) ptoFired(c *Conn, p *Path) {
	if p.PTOCount >= 3 && p.MTU > minUDPPayload {
		c.mtuBlackHole(p)
	}
}

// mtuBlackHole falls back to the base size, which every path carries, and
// searches again later.
// https://www.rfc-editor.org/rfc/rfc8899#section-4.3
func (c *Conn) mtuBlackHole(p *Path) {
	if !c.isMTUBlackHole(PathArg{p}).Yes {
		return
	}
	m := &p.mtu
	p.MTUBlackholes++
	m.lostRun, m.tries, p.MTUProbed = 0, 0, 0
	m.hi = max(p.MTU-1, minUDPPayload)
	m.lo = minUDPPayload
	m.started, m.done = true, false
	m.next = c.now.Add(10 * max(p.RTT.PTO(p.MaxAckDelay), timerGranularity))
	m.sizeNext = m.lo + (m.hi-m.lo)/2
	if m.hi-m.lo < mtuPrecision {
		m.done, m.next = true, 0
	}
	c.setMTU(p, m.lo)
}

// isMTUBlackHole decides whether to fall back to the base datagram size. Operation "is_mtu_black_hole".
func (c *Conn) isMTUBlackHole(a PathArg) Decision {
	if c.ops.isMTUBlackHole.Attached() {
		return c.ops.isMTUBlackHole.Run(a)
	}
	return c.isMTUBlackHoleNative(a)
}

var opIsMTUBlackHole = protoops.Define(protoops.Key{Name: "is_mtu_black_hole", Param: protoops.NoParam},
	protoops.Doc{
		Summary: "Decides whether to fall back to the base datagram size",
		Fires:   "when several full-size packets in a row were lost or three probe timeouts passed",
		Native:  "yes",
		Section: "https://www.rfc-editor.org/rfc/rfc8899#section-4.3",
	},
	func(c *Conn) *protoops.Slot[PathArg, Decision] { return &c.ops.isMTUBlackHole },
	(*Conn).isMTUBlackHoleNative)

func (c *Conn) isMTUBlackHoleNative(PathArg) Decision { return Decision{true} }

// timer runs when the search's time has come.
func (m *mtuSearch) timer(c *Conn, p *Path) {
	if m.next == 0 || m.next > c.now {
		return
	}
	if m.done {
		// PMTU_RAISE_TIMER: the path may have become better.
		m.begin(p, c.now)
		return
	}
	m.next, m.ready = 0, true
	c.wake()
}
