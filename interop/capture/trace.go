package capture

import (
	"bytes"
	"net/netip"
	"slices"
	"time"
)

// A Trace is what a recording holds.
type Trace struct {
	Conns []*Conn // in the order of their first packet
	// Stray counts packets that belong to no connection; VersionNegotiation those packets.
	Stray, VersionNegotiation int

	keys     KeyLog
	byID     [2]map[string]*Conn // by the connection ID that packets to this side carry
	idLens   [2]map[int]bool     // their lengths
	byClient map[netip.AddrPort]*Conn
}

// A Conn is one connection.
type Conn struct {
	// Versions are the versions of the Initial and of the Handshake packets that each side sent.
	InitialVersions, HandshakeVersions [2][]uint32

	RetryTokens  [][]byte // of the Retry packets
	TokenUsed    bool     // an Initial packet carried one of them
	ClientHellos int      // Initial packets from the client with the beginning of its ClientHello
	ServerID     []byte   // source connection ID of the server's Initial packets

	OfferedSuites                              []uint16
	Suite                                      uint16
	OfferedPSK, AcceptedPSK, AcceptedEarlyData bool
	CertificateSent                            bool
	Parameters                                 [2]map[uint64][]byte // transport parameters, by ID
	HandshakeCrypto                            [2]uint64            // bytes of CRYPTO data in Handshake packets

	ZeroRTTPackets, ZeroRTTBytes int
	OneRTTBytes                  [2]int // protected payloads of 1-RTT packets
	OneRTTPadding                [2]int // bytes of PADDING in them, of which path MTU probes consist
	FirstOneRTT, LastOneRTT      [2]time.Duration
	Phases                       [2][2]int // decrypted 1-RTT packets by key phase bit
	Updates                      [2]int    // key updates
	ECN                          [2][4]int // datagrams by codepoint
	Frames                       [2]map[uint64]int
	Closes                       [2][]Close
	Undecryptable                int

	Paths     []*Path
	responses map[string]bool // data of the client's PATH_RESPONSE frames

	amplification amplification
	originalID    []byte // that the Initial keys follow from
	clientID      []byte
	random        []byte
	crypto        [2][2]cryptoStream
	largest       [2][3]uint64
	seen          [2][3]bool
	initial       map[uint32]*[2]*keys
	handshake     [2]*keys
	app           [2]appKeys
	early         *keys
	version       uint32
	path          *Path
}

// A Close is a CONNECTION_CLOSE frame.
type Close struct {
	Application bool
	Code        uint64
}

// A Path is a pair of addresses that the connection used.
type Path struct {
	Client, Server netip.AddrPort
	Datagrams      [2]int
	// FirstChallenge is whether the server's first datagram on the path had a PATH_CHALLENGE frame,
	// and Challenges the data of all of them.
	FirstChallenge bool
	Challenges     [][]byte
	// ClientIDs are the destination connection IDs that the client used here.
	ClientIDs []string
}

// Answered reports whether the client answered a challenge on the path: one validates it, and those
// under way when the address changes again are lost.
func (c *Conn) Answered(p *Path) bool {
	for _, d := range p.Challenges {
		if c.responses[string(d)] {
			return true
		}
	}
	return false
}

// amplification follows what the server sent before it could know that the client's address is real.
type amplification struct {
	received, sent int
	validated      bool
	worst          float64
}

// Amplification is the largest factor by which the server's bytes exceeded those received from the
// client before a Handshake packet or a token proved its address.
func (c *Conn) Amplification() float64 { return c.amplification.worst }

// Analyze takes a recording apart.
func Analyze(log []Datagram, keys KeyLog) *Trace {
	t := &Trace{keys: keys, byClient: make(map[netip.AddrPort]*Conn)}
	for i := range t.byID {
		t.byID[i], t.idLens[i] = make(map[string]*Conn), make(map[int]bool)
	}
	for i := range log {
		t.datagram(&log[i])
	}
	return t
}

func (t *Trace) datagram(d *Datagram) {
	var conn *Conn
	validates := false
	for rest := d.Payload; len(rest) > 0; {
		p, n, ok := parsePacket(rest)
		if !ok {
			break
		}
		rest = rest[n:]
		if p.kind == versionNegotiation {
			t.VersionNegotiation++
			return
		}
		c := t.find(&p, d)
		if c == nil {
			// Behind a packet that is known, this may be bytes that only fill the datagram; in front, a
			// damaged packet.
			t.Stray++
			break
		}
		if conn == nil {
			conn = c
			c.arrive(d, &p)
		}
		validates = validates || d.From == Client && (p.kind == handshake || p.kind == initial && len(p.token) > 0)
		c.packet(t, d, &p)
	}
	if conn == nil {
		return
	}
	conn.amplify(d, validates)
	conn.path.Datagrams[d.From]++
}

// find returns the connection that a packet belongs to, a new one for a first Initial packet.
func (t *Trace) find(p *packet, d *Datagram) *Conn {
	to := d.From.other()
	if c := t.lookup(p, to); c != nil {
		if d.From == Client {
			t.byClient[d.Client] = c
		}
		return c
	}
	if d.From == Server {
		return t.byClient[d.Client] // the client's connection ID may be empty
	}
	if p.kind != initial {
		return nil
	}
	c := &Conn{originalID: p.dcid, clientID: p.scid, responses: make(map[string]bool), initial: make(map[uint32]*[2]*keys)}
	c.Frames[Client], c.Frames[Server] = make(map[uint64]int), make(map[uint64]int)
	if _, ok := c.decrypt(t.keys, Client, p); !ok {
		return nil // damaged on the way: perhaps in the very connection ID
	}
	t.Conns = append(t.Conns, c)
	t.issue(c, Server, p.dcid)
	t.issue(c, Client, p.scid)
	t.byClient[d.Client] = c
	return c
}

func (t *Trace) lookup(p *packet, to Side) *Conn {
	if p.kind != oneRTT {
		if len(p.dcid) == 0 {
			return nil
		}
		return t.byID[to][string(p.dcid)]
	}
	for n := range t.idLens[to] {
		if len(p.b) > n {
			if c := t.byID[to][string(p.b[1:1+n])]; c != nil {
				p.dcid, p.pnOffset = p.b[1:1+n], 1+n
				return c
			}
		}
	}
	p.pnOffset = 1
	return nil
}

// issue records a connection ID that packets to a side may carry.
func (t *Trace) issue(c *Conn, to Side, id []byte) {
	if len(id) > 0 {
		t.byID[to][string(id)] = c
		t.idLens[to][len(id)] = true
	}
}

// arrive counts a datagram.
func (c *Conn) arrive(d *Datagram, p *packet) {
	c.ECN[d.From][d.ECN&3]++
	c.path = nil
	for _, x := range c.Paths {
		if x.Client == d.Client && x.Server == d.Server {
			c.path = x
		}
	}
	if c.path == nil {
		c.path = &Path{Client: d.Client, Server: d.Server}
		c.Paths = append(c.Paths, c.path)
	}
	if id := string(p.dcid); d.From == Client && !slices.Contains(c.path.ClientIDs, id) {
		c.path.ClientIDs = append(c.path.ClientIDs, id)
	}
}

// amplify follows the anti-amplification limit.
// https://www.rfc-editor.org/rfc/rfc9000#section-8.1
func (c *Conn) amplify(d *Datagram, validates bool) {
	a := &c.amplification
	if a.validated {
		return
	}
	if d.From == Server {
		a.sent += len(d.Payload)
		a.worst = max(a.worst, float64(a.sent)/float64(max(a.received, 1)))
		return
	}
	if !d.Lost {
		a.received += len(d.Payload)
		a.validated = validates
	}
}

// packet takes in one packet.
func (c *Conn) packet(t *Trace, d *Datagram, p *packet) {
	side := d.From
	switch p.kind {
	case retry:
		c.RetryTokens = append(c.RetryTokens, p.token)
		// The Initial keys now follow from the ID that the Retry chose.
		// https://www.rfc-editor.org/rfc/rfc9001#section-5.2
		if !d.Lost {
			c.originalID = p.scid
			clear(c.initial)
		}
		t.issue(c, Server, p.scid)
		return
	case initial:
		note(&c.InitialVersions[side], p.version)
		if side == Server {
			c.ServerID = p.scid
			t.issue(c, Server, p.scid)
		}
		for _, token := range c.RetryTokens {
			c.TokenUsed = c.TokenUsed || side == Client && len(token) > 0 && bytes.Equal(token, p.token)
		}
		c.version = p.version
	case handshake:
		note(&c.HandshakeVersions[side], p.version)
		c.version = p.version
	case zeroRTT:
		c.ZeroRTTPackets++
		c.ZeroRTTBytes += len(p.b) - p.pnOffset
	case oneRTT:
		if c.OneRTTBytes[side] == 0 {
			c.FirstOneRTT[side] = d.At
		}
		c.LastOneRTT[side] = d.At
		c.OneRTTBytes[side] += len(p.b) - p.pnOffset
	}
	payload, ok := c.decrypt(t.keys, side, p)
	if !ok {
		c.Undecryptable++
		return
	}
	_ = parseFrames(payload, func(f frame) { c.frame(t, side, p, f) })
}

func note(versions *[]uint32, v uint32) {
	if !slices.Contains(*versions, v) {
		*versions = append(*versions, v)
	}
}

// frame takes in one frame.
func (c *Conn) frame(t *Trace, side Side, p *packet, f frame) {
	c.Frames[side][f.kind]++
	switch f.kind {
	case FramePadding:
		if p.kind == oneRTT {
			c.OneRTTPadding[side]++
		}
	case FrameCrypto:
		c.cryptoFrame(t, side, p, f)
	case FrameNewConnectionID:
		t.issue(c, side, bytes.Clone(f.data))
	case FramePathChallenge:
		if side == Server {
			c.path.FirstChallenge = c.path.FirstChallenge || c.path.Datagrams[Server] == 0
			c.path.Challenges = append(c.path.Challenges, bytes.Clone(f.data))
		}
	case FramePathResponse:
		if side == Client {
			c.responses[string(f.data)] = true
		}
	case FrameConnectionClose, FrameApplicationClose:
		c.Closes[side] = append(c.Closes[side], Close{f.kind == FrameApplicationClose, f.code})
	}
}

func (c *Conn) cryptoFrame(t *Trace, side Side, p *packet, f frame) {
	space := p.space()
	if space > 1 {
		return // tickets
	}
	if side == Client && p.kind == initial && f.offset == 0 {
		c.ClientHellos++
	}
	s := &c.crypto[side][space]
	s.add(f.offset, f.data)
	if p.kind == handshake {
		c.HandshakeCrypto[side] = max(c.HandshakeCrypto[side], s.highest)
	}
	for {
		kind, body, ok := s.message()
		if !ok {
			break
		}
		c.handshakeMessage(side, kind, body)
	}
	// The preferred address comes with a connection ID, behind an IPv4 and an IPv6 address with ports.
	// https://www.rfc-editor.org/rfc/rfc9000#section-18.2
	const preferredAddress = 0x0d
	if b, ok := c.Parameters[Server][preferredAddress]; ok {
		r := &reader{b: b}
		r.bytes(4 + 2 + 16 + 2)
		t.issue(c, Server, bytes.Clone(r.bytes(r.uint(1))))
	}
}
