package capture

import "encoding/binary"

type packetKind uint8

const (
	initial packetKind = iota
	zeroRTT
	handshake
	retry
	oneRTT
	versionNegotiation
)

// A packet is a QUIC packet before its protection is removed.
type packet struct {
	kind       packetKind
	version    uint32
	dcid, scid []byte
	token      []byte
	b          []byte // the whole packet
	pnOffset   int    // 0 where the connection ID's length is not known yet
}

// space is the packet number space.
func (p *packet) space() int {
	switch p.kind {
	case initial:
		return 0
	case handshake:
		return 1
	}
	return 2
}

// parsePacket reads the first packet of a datagram and returns its length.
// https://www.rfc-editor.org/rfc/rfc9000#section-17
func parsePacket(b []byte) (p packet, n int, ok bool) {
	if b[0]&0x80 == 0 {
		// The bit that RFC 9000 fixes says nothing: peers may agree to grease it (RFC 9287).
		return packet{kind: oneRTT, b: b}, len(b), true
	}
	r := &reader{b: b[1:]}
	p.version = uint32(r.uint(4))
	p.dcid = r.bytes(r.uint(1))
	p.scid = r.bytes(r.uint(1))
	if p.version == 0 {
		p.kind, p.b = versionNegotiation, b
		return p, len(b), !r.bad
	}
	bits := b[0] >> 4 & 3
	switch p.version {
	case Version1:
		p.kind = packetKind(bits)
	case Version2:
		// https://www.rfc-editor.org/rfc/rfc9369#section-3.2
		p.kind = packetKind((bits + 3) & 3)
	default:
		return p, 0, false
	}
	if p.kind == retry {
		if len(r.b) < 16 || r.bad {
			return p, 0, false
		}
		p.token, p.b = r.b[:len(r.b)-16], b
		return p, len(b), true
	}
	if p.kind == initial {
		p.token = r.bytes(r.varint())
	}
	length := r.varint()
	p.pnOffset = len(b) - len(r.b)
	if r.bad || length > uint64(len(r.b)) {
		return p, 0, false
	}
	n = p.pnOffset + int(length)
	p.b = b[:n]
	return p, n, true
}

// appKeys are the keys of 1-RTT packets, with those of the phase before and after.
type appKeys struct {
	previous, current, next *keys
	phase                   byte
}

// decrypt removes the protection of a packet.
func (c *Conn) decrypt(log KeyLog, side Side, p *packet) ([]byte, bool) {
	switch p.kind {
	case initial:
		k := c.initial[p.version]
		if k == nil {
			k = new([2]*keys)
			for s := range k {
				k[s], _ = initialKeys(p.version, c.originalID, Side(s))
			}
			c.initial[p.version] = k
		}
		return c.open(k[side], side, p)
	case handshake:
		if c.handshake[side] == nil {
			c.handshake[side] = c.logged(log, [2]string{"CLIENT_HANDSHAKE_TRAFFIC_SECRET", "SERVER_HANDSHAKE_TRAFFIC_SECRET"}[side], c.Suite, p.version)
		}
		return c.open(c.handshake[side], side, p)
	case zeroRTT:
		return c.decryptEarly(log, p)
	}
	return c.decryptApp(log, side, p)
}

// logged derives keys from a secret of the key log; nil if it is not there.
func (c *Conn) logged(log KeyLog, label string, suite uint16, version uint32) *keys {
	secret := log.secret(label, c.random)
	if secret == nil || suite == 0 {
		return nil
	}
	k, err := newKeys(version, suite, secret)
	if err != nil {
		return nil
	}
	return k
}

// decryptEarly tries the suites: that of the resumed session does not show.
func (c *Conn) decryptEarly(log KeyLog, p *packet) ([]byte, bool) {
	if c.early != nil {
		return c.open(c.early, Client, p)
	}
	for _, suite := range []uint16{suiteAES128, suiteAES256, suiteChaCha20} {
		if k := c.logged(log, "CLIENT_EARLY_TRAFFIC_SECRET", suite, p.version); k != nil {
			if payload, ok := c.open(k, Client, p); ok {
				c.early = k
				return payload, true
			}
		}
	}
	return nil, false
}

func (c *Conn) decryptApp(log KeyLog, side Side, p *packet) ([]byte, bool) {
	a := &c.app[side]
	if a.current == nil {
		a.current = c.logged(log, [2]string{"CLIENT_TRAFFIC_SECRET_0", "SERVER_TRAFFIC_SECRET_0"}[side], c.Suite, c.version)
		if a.current == nil {
			return nil, false
		}
		a.next, _ = a.current.next()
	}
	_, first, _, ok := c.unmask(a.current, side, p)
	if !ok {
		return nil, false
	}
	phase := first >> 2 & 1
	if phase == a.phase {
		payload, ok := c.open(a.current, side, p)
		if ok {
			c.Phases[side][phase]++
		}
		return payload, ok
	}
	if a.previous != nil {
		if payload, ok := c.open(a.previous, side, p); ok {
			c.Phases[side][phase]++
			return payload, true
		}
	}
	payload, ok := c.open(a.next, side, p)
	if ok {
		c.Phases[side][phase]++
		c.Updates[side]++
		a.previous, a.current, a.phase = a.current, a.next, phase
		a.next, _ = a.current.next()
	}
	return payload, ok
}

// unmask removes header protection: it returns the header with the packet number in clear, its first
// byte and the packet number.
// https://www.rfc-editor.org/rfc/rfc9001#section-5.4
func (c *Conn) unmask(k *keys, side Side, p *packet) (header []byte, first byte, pn uint64, ok bool) {
	if k == nil || p.pnOffset == 0 || len(p.b) < p.pnOffset+20 {
		return nil, 0, 0, false
	}
	mask := k.mask(p.b[p.pnOffset+4 : p.pnOffset+20])
	first = p.b[0] ^ mask[0]&0x0f
	if p.kind == oneRTT {
		first = p.b[0] ^ mask[0]&0x1f
	}
	n := int(first&3) + 1
	header = append([]byte{first}, p.b[1:p.pnOffset+n]...)
	var truncated [8]byte
	for i := range n {
		header[p.pnOffset+i] ^= mask[1+i]
		truncated[8-n+i] = header[p.pnOffset+i]
	}
	space := p.space()
	return header, first, c.fullNumber(side, space, binary.BigEndian.Uint64(truncated[:]), n), true
}

// fullNumber restores a packet number.
// https://www.rfc-editor.org/rfc/rfc9000#appendix-A.3
func (c *Conn) fullNumber(side Side, space int, truncated uint64, n int) uint64 {
	if !c.seen[side][space] {
		return truncated
	}
	expected := c.largest[side][space] + 1
	window := uint64(1) << (8 * n)
	candidate := expected&^(window-1) | truncated
	switch {
	case candidate+window/2 <= expected:
		return candidate + window
	case candidate > expected+window/2 && candidate >= window:
		return candidate - window
	}
	return candidate
}

func (c *Conn) open(k *keys, side Side, p *packet) ([]byte, bool) {
	header, _, pn, ok := c.unmask(k, side, p)
	if !ok {
		return nil, false
	}
	whole := append(header, p.b[len(header):]...)
	payload, err := k.open(whole, len(header), pn)
	if err != nil {
		return nil, false
	}
	space := p.space()
	c.seen[side][space] = true
	c.largest[side][space] = max(c.largest[side][space], pn)
	return payload, true
}
