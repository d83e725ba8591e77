package core

import (
	"bytes"
	"crypto/ed25519"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	mrand "math/rand/v2"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/pquic-go/pquic/core/mono"
	"github.com/pquic-go/pquic/core/protection"
	"github.com/pquic-go/pquic/core/wire"
)

// A script has one engine under test. Its peer is the script itself: a second
// engine runs the handshake, lends its keys and is then left out, so that the
// script can say anything, in any packet, at any encryption level, and sees
// every frame that comes back. Time moves only when the script says so.

// A scriptSide says which side is under test.
type scriptSide uint8

const (
	clientSide scriptSide = iota
	serverSide
)

func (s scriptSide) String() string { return [...]string{"client", "server"}[s] }

// bothSides runs a script against a client and a server.
func bothSides(t *testing.T, f func(t *testing.T, side scriptSide)) {
	for _, side := range []scriptSide{clientSide, serverSide} {
		t.Run(side.String(), func(t *testing.T) { f(t, side) })
	}
}

// A scriptStage is where the script takes over from the second engine.
type scriptStage uint8

const (
	// stageConfirmed: the handshake is confirmed and everything acknowledged.
	stageConfirmed scriptStage = iota
	// stageHandshake: Initial and Handshake keys exist on both sides. A server
	// waits for the client's Finished, a client for the server's
	// EncryptedExtensions.
	stageHandshake
	// stageInitial: the client's first flight is out, or has just arrived at the
	// server, whose answer the script keeps.
	stageInitial
)

// scriptOption changes a script before its handshake.
type scriptOption func(*scriptSetup)

type scriptSetup struct {
	stage           scriptStage
	engine, peer    *Config // the sides' configurations
	endpoint, other *EndpointConfig
	peerParams      func(*wire.TransportParameters)
	visits          int
	onEngine        func(*Conn)
	delay           time.Duration
}

func takeOver(at scriptStage) scriptOption { return func(s *scriptSetup) { s.stage = at } }

// engineConfig changes the configuration of the engine under test, peerConfig
// that of the second engine, whose transport parameters the script speaks for.
func engineConfig(f func(*Config)) scriptOption { return func(s *scriptSetup) { f(s.engine) } }
func peerConfig(f func(*Config)) scriptOption   { return func(s *scriptSetup) { f(s.peer) } }

// peerParams changes what the peer declares.
func peerParams(f func(*wire.TransportParameters)) scriptOption {
	return func(s *scriptSetup) { s.peerParams = f }
}

// endpointConfig changes the endpoint under test.
func endpointConfig(f func(*EndpointConfig)) scriptOption {
	return func(s *scriptSetup) { f(s.endpoint) }
}

// peerEndpoint changes the endpoint of the second engine.
func peerEndpoint(f func(*EndpointConfig)) scriptOption {
	return func(s *scriptSetup) { f(s.other) }
}

// onEngine runs when the engine's connection exists, before its handshake.
func onEngine(f func(*Conn)) scriptOption { return func(s *scriptSetup) { s.onEngine = f } }

// secondVisit lets the client come with a session ticket of an earlier
// connection and early data allowed.
func secondVisit() scriptOption {
	return func(s *scriptSetup) {
		s.visits = 2
		client, server := s.engine, s.peer
		if server.TLS.Certificates == nil {
			client, server = server, client
		}
		client.TLS.ClientSessionCache = tls.NewLRUClientSessionCache(4)
		server.Allow0RTT = true
	}
}

var (
	scriptClientAddr = netip.MustParseAddrPort("192.0.2.1:40000")
	scriptServerAddr = netip.MustParseAddrPort("198.51.100.1:443")
	scriptEpoch      = mono.FromTime(time.Unix(1_700_000_000, 0))
)

// A testConn is a script.
type testConn struct {
	t     testing.TB
	now   mono.Time
	side  scriptSide
	end   *Endpoint // under test
	conn  *Conn     // under test; nil until a server has one
	other *Endpoint // the second engine
	peer  *Conn     // its connection
	h     *scriptHandler

	local, remote netip.AddrPort // the engine's address and the peer's

	// The peer, played by the script.
	version  wire.Version
	seal     [numLevels]*protection.Sealer
	open     [numLevels]*protection.Opener
	openNext *protection.Opener
	phase    bool // key phase the script sends
	seen     bool // key phase of the engine's newest packets
	next     [numSpaces]uint64
	dst, src wire.ConnID // connection IDs in the script's packets

	// What the engine has sent.
	queue   []*scriptPacket
	current *scriptPacket
	got     [numSpaces][]uint64 // packet numbers received, ascending arrival
	largest [numSpaces]uint64
	bytes   int // UDP payload in all since the script took over
	count   int // datagrams
	ignored map[wire.FrameType]bool
	tap     func(*scriptPacket)
	// lenient: packets that open with no key the script has are passed over.
	lenient bool
	cheated bool   // the script has changed what the engine counts
	hello   []byte // the client's first message, where a script keeps it
	// teaching: the second engine learns the engine's handshake bytes.
	teaching bool
	buf      []byte
}

// A scriptPacket is a packet as the script reads or writes it.
type scriptPacket struct {
	level    encryptionLevel
	frames   []any
	number   uint64
	dst, src wire.ConnID
	token    []byte
	spin     bool
	phase    bool
	padded   bool
	datagram int // ordinal of the datagram it came in
	size     int // UDP payload size of that datagram
	length   int // its own
	ecn      ECN
	local    netip.AddrPort
	remote   netip.AddrPort
	at       mono.Time

	// For writing only.
	skip     uint64 // numbers left out before this one
	from, to netip.AddrPort
	firstXor byte // bits of the first byte to falsify before protection
	raw      []byte
	v        wire.Version
	pad      int  // make the datagram this long
	noBatch  bool // more datagrams follow in the same receive batch
	seal     *protection.Sealer
}

// ackFrame is an ACK frame with its ranges spelled out.
type ackFrame struct {
	Ranges []wire.PNRange // descending
	Delay  uint64
	ECN    bool
	Counts wire.ECNCounts
}

// streamF, cryptoF build frames tersely.
func streamF(id, off uint64, data string, fin bool) wire.StreamFrame {
	return wire.StreamFrame{ID: id, Offset: off, Data: []byte(data), Fin: fin}
}

var scriptCert = sync.OnceValue(func() tls.Certificate {
	pub, key, err := ed25519.GenerateKey(scriptRandom{mrand.New(mrand.NewPCG(1, 2))})
	if err != nil {
		panic(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "server"}, DNSNames: []string{"server"},
		NotBefore: time.Unix(0, 0), NotAfter: time.Unix(1<<33, 0)}
	der, err := x509.CreateCertificate(scriptRandom{mrand.New(mrand.NewPCG(3, 4))}, tmpl, tmpl, pub, key)
	if err != nil {
		panic(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
})

type scriptRandom struct{ *mrand.Rand }

func (r scriptRandom) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(r.Uint32())
	}
	return len(p), nil
}

func seededRandom(seed uint64) func([]byte) {
	r := scriptRandom{mrand.New(mrand.NewPCG(seed, 7))}
	return func(b []byte) { _, _ = r.Read(b) }
}

// scriptConfigs are configurations without anything that acts by itself: no
// path MTU discovery, pacing, greasing or ECN.
func scriptConfigs() (client, server *Config) {
	plain := Config{DisablePathMTUDiscovery: true, DisablePacing: true, DisableGrease: true, DisableECN: true, DisableSpinBit: true}
	c, s := plain, plain
	// One X25519 share keeps the ClientHello in one packet.
	curves := []tls.CurveID{tls.X25519}
	c.TLS = &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"test"}, CurvePreferences: curves}
	s.TLS = &tls.Config{Certificates: []tls.Certificate{scriptCert()}, NextProtos: []string{"test"}, CurvePreferences: curves}
	return &c, &s
}

// newTestConn runs a handshake and hands the peer's side to the script.
func newTestConn(t testing.TB, side scriptSide, opts ...scriptOption) *testConn {
	t.Helper()
	tc := &testConn{t: t, now: scriptEpoch, side: side, ignored: map[wire.FrameType]bool{wire.Padding: true, wire.Ack: true}, buf: make([]byte, 1<<16)}
	client, server := scriptConfigs()
	s := &scriptSetup{endpoint: &EndpointConfig{Random: seededRandom(1)}, other: &EndpointConfig{Random: seededRandom(2)}, delay: 10 * time.Millisecond}
	s.engine, s.peer = client, server
	if side == serverSide {
		s.engine, s.peer = server, client
	}
	for _, o := range opts {
		o(s)
	}
	tc.start(s)
	tc.dial(s)
	if s.visits > 1 {
		tc.firstVisit(s)
	}
	switch s.stage {
	case stageConfirmed:
		tc.handshake(s)
	case stageHandshake:
		tc.halfHandshake(s)
	}
	tc.takeOver()
	t.Cleanup(func() {
		if err := tc.end.Audit(); err != nil && !t.Failed() && !tc.cheated {
			t.Error(err)
		}
	})
	return tc
}

// start makes both engines.
func (tc *testConn) start(s *scriptSetup) {
	t := tc.t
	t.Helper()
	otherCfg := s.other
	tc.h = &scriptHandler{}
	s.endpoint.Server = tc.side == serverSide
	otherCfg.Server = tc.side == clientSide
	accept := func(c *Conn) error {
		if tc.side == serverSide {
			if tc.conn != nil {
				return nil // a packet of the script began another one
			}
			tc.conn = c
			c.SetHandler(tc.h)
			if s.onEngine != nil {
				s.onEngine(c)
			}
			return nil
		}
		tc.peer = c
		tc.overrideParams(s, c)
		return nil
	}
	if tc.side == serverSide {
		s.endpoint.Config = s.engine
		if prev := s.endpoint.Accept; prev != nil {
			next := accept
			accept = func(c *Conn) error { _ = next(c); return prev(c) }
		}
		s.endpoint.Accept = accept
		tc.local, tc.remote = scriptServerAddr, scriptClientAddr
	} else {
		otherCfg.Config, otherCfg.Accept = s.peer, accept
		tc.local, tc.remote = scriptClientAddr, scriptServerAddr
	}
	var err error
	if tc.end, err = NewEndpoint(s.endpoint); err != nil {
		t.Fatal(err)
	}
	if tc.other, err = NewEndpoint(otherCfg); err != nil {
		t.Fatal(err)
	}
}

// dial starts the client's connection.
func (tc *testConn) dial(s *scriptSetup) {
	t := tc.t
	t.Helper()
	var err error
	dial := &DialConfig{ServerName: "server", Local: scriptClientAddr, Remote: scriptServerAddr}
	if tc.side == clientSide {
		dial.Config, dial.Handler = s.engine, tc.h
		dial.Setup = func(c *Conn) error {
			if s.onEngine != nil {
				s.onEngine(c)
			}
			return nil
		}
		if tc.conn, err = tc.end.Dial(tc.now, dial); err != nil {
			t.Fatal(err)
		}
		return
	}
	dial.Config = s.peer
	dial.Setup = func(c *Conn) error { tc.overrideParams(s, c); return nil }
	if tc.peer, err = tc.other.Dial(tc.now, dial); err != nil {
		t.Fatal(err)
	}
}

// firstVisit completes a connection and dials again.
func (tc *testConn) firstVisit(s *scriptSetup) {
	tc.t.Helper()
	tc.handshake(s)
	tc.conn.Close(tc.now, 0, "")
	tc.relay(s.delay, func() bool { return tc.end.Len() == 0 && tc.other.Len() == 0 })
	tc.conn, tc.peer, tc.h = nil, nil, &scriptHandler{}
	tc.seal, tc.open = [numLevels]*protection.Sealer{}, [numLevels]*protection.Opener{}
	tc.dial(s)
}

func (tc *testConn) overrideParams(s *scriptSetup, c *Conn) {
	if s.peerParams == nil {
		return
	}
	tp := c.composeParams()
	s.peerParams(tp)
	c.localParams = tp
}

// A scriptFlight is a datagram on its way during the handshake.
type scriptFlight struct {
	at       mono.Time
	toEngine bool
	b        []byte
	ecn      ECN
}

// relay lets both engines talk until done says so.
func (tc *testConn) relay(delay time.Duration, done func() bool) {
	tc.t.Helper()
	var flights []scriptFlight
	for range 10_000 {
		for i, e := range []*Endpoint{tc.end, tc.other} {
			tc.collect(e, func(b []byte, tr *Transmit) {
				flights = append(flights, scriptFlight{tc.now.Add(delay), i == 1, bytes.Clone(b), tr.ECN})
			})
		}
		tc.grab()
		if done() && len(flights) == 0 {
			return
		}
		next := min(tc.end.Deadline(), tc.other.Deadline())
		if len(flights) > 0 {
			next = min(next, flights[0].at)
		}
		if next == mono.Never {
			break
		}
		tc.now = max(tc.now, next)
		for len(flights) > 0 && flights[0].at <= tc.now {
			f := flights[0]
			flights = flights[1:]
			tc.deliver(f.b, f.toEngine, f.ecn)
			tc.grab()
		}
		tc.end.EndBatch(tc.now)
		tc.other.EndBatch(tc.now)
		tc.end.Advance(tc.now)
		tc.other.Advance(tc.now)
	}
	var err error
	if tc.conn != nil {
		err = tc.conn.Err()
	}
	tc.t.Fatalf("handshake never came that far: engine %v, peer %v", err, tc.peer.Err())
}

func (tc *testConn) deliver(b []byte, toEngine bool, mark ECN) {
	d := &Datagram{Payload: b, Local: tc.local, Remote: tc.remote, ECN: mark}
	if toEngine {
		tc.end.Receive(tc.now, d)
		return
	}
	d.Local, d.Remote = tc.remote, tc.local
	tc.other.Receive(tc.now, d)
}

// collect takes the datagrams an endpoint sends.
func (tc *testConn) collect(e *Endpoint, f func(b []byte, tr *Transmit)) {
	for range 100_000 {
		tr, ok := e.Transmit(tc.now, tc.buf, 45)
		if !ok {
			return
		}
		if tr.Len <= 0 || tr.SegmentSize <= 0 {
			tc.t.Fatalf("transmit of %d bytes in segments of %d", tr.Len, tr.SegmentSize)
		}
		for b := tc.buf[:tr.Len]; len(b) > 0; {
			n := min(len(b), tr.SegmentSize)
			f(b[:n], &tr)
			b = b[n:]
		}
	}
	tc.t.Fatal("the engine sends without end")
}

// grab copies the second engine's keys while it has them.
func (tc *testConn) grab() {
	if tc.peer == nil {
		return
	}
	for l := range tc.seal {
		k := &tc.peer.keys[l]
		if k.seal != nil {
			tc.seal[l] = k.seal
		}
		if k.open != nil {
			tc.open[l] = k.open
		}
	}
}

// handshake runs to confirmation and until all is acknowledged.
func (tc *testConn) handshake(s *scriptSetup) {
	tc.t.Helper()
	quiet := func(c *Conn) bool {
		return c.path0.space.sent.AckElicitingInFlight == 0 && c.path0.Space.AckElicitingPending == 0
	}
	tc.relay(s.delay, func() bool {
		return tc.conn != nil && tc.peer != nil && tc.conn.v.HandshakeConfirmed != 0 && tc.peer.v.HandshakeConfirmed != 0 &&
			quiet(tc.conn) && quiet(tc.peer)
	})
}

// halfHandshake gives both sides Handshake keys and no more.
func (tc *testConn) halfHandshake(s *scriptSetup) {
	tc.t.Helper()
	move := func(from *Endpoint, toEngine bool, cut func([]byte) []byte) {
		tc.collect(from, func(b []byte, _ *Transmit) {
			b = bytes.Clone(b)
			if cut != nil {
				b = cut(b)
			}
			if len(b) > 0 {
				tc.deliver(b, toEngine, NotECT)
			}
		})
		tc.end.EndBatch(tc.now)
		tc.other.EndBatch(tc.now)
		tc.grab()
	}
	tc.now = tc.now.Add(s.delay)
	if tc.side == serverSide {
		move(tc.other, true, nil)
		tc.now = tc.now.Add(s.delay)
		move(tc.end, false, nil)
		return
	}
	move(tc.end, false, nil)
	tc.now = tc.now.Add(s.delay)
	// The client sees the ServerHello alone.
	move(tc.other, true, func(b []byte) []byte {
		h, err := wire.ParseLongHeader(b)
		if err != nil || h.Type != wire.Initial {
			return nil
		}
		return b[:h.End]
	})
	if tc.conn.keys[levelHandshake].open == nil {
		tc.t.Fatal("client has no Handshake keys")
	}
}

// takeOver makes the script the peer.
func (tc *testConn) takeOver() {
	tc.grab()
	p := tc.peer
	if p == nil {
		// A client whose Initial no one has answered: its keys follow from it.
		tc.version = tc.conn.Version()
		tc.dst = tc.conn.handshake.localSrc
		tc.src, _ = wire.MakeConnID([]byte("script-s"))
		tc.deriveInitial(tc.conn.handshake.odcid)
		return
	}
	tc.version = p.Version()
	tc.teaching = p.v.HandshakeComplete == 0
	tc.src = p.handshake.localSrc
	tc.dst = p.destConnID(p.path0, p.path0.route)
	for i, sp := range []*numberSpace{p.initial, p.hs, &p.path0.space} {
		tc.next[i] = sp.sent.Next()
		if l, ok := sp.received.Largest(); ok {
			tc.largest[i] = l
		}
		if sp.v.Discarded != 0 {
			tc.next[i] = 100 // forgotten with the keys
		}
		if sp.id == appSpace {
			continue
		}
		for _, r := range sp.received.Ranges() {
			for pn := r.Lo; pn <= r.Hi; pn++ {
				tc.got[i] = append(tc.got[i], pn)
			}
		}
	}
	if tc.open[level1RTT] != nil {
		tc.openNext = tc.open[level1RTT].Update()
	}
}

// deriveInitial makes the script's Initial keys from a client's first
// Destination Connection ID.
func (tc *testConn) deriveInitial(id wire.ConnID) {
	tc.t.Helper()
	client, server := protection.InitialSecrets(tc.version, id)
	ours, theirs := server, client
	if tc.side == serverSide {
		ours, theirs = client, server
	}
	var err error
	if tc.seal[levelInitial], err = protection.NewSealer(tc.version, tls.TLS_AES_128_GCM_SHA256, ours); err != nil {
		tc.t.Fatal(err)
	}
	if tc.open[levelInitial], err = protection.NewOpener(tc.version, tls.TLS_AES_128_GCM_SHA256, theirs); err != nil {
		tc.t.Fatal(err)
	}
}

// peerCrypto returns the handshake bytes the peer has to say at a level.
func (tc *testConn) peerCrypto(l encryptionLevel) []byte {
	tc.t.Helper()
	f := tc.peer.crypto[l.space()].sendFIFO
	b := make([]byte, f.Len())
	f.ReadAt(b, f.Head())
	if len(b) == 0 {
		tc.t.Fatalf("peer has no CRYPTO data at level %d", l)
	}
	return b
}

// finishHandshake lets the engine complete the handshake from stageHandshake.
func (tc *testConn) finishHandshake() {
	tc.t.Helper()
	tc.writeFrames(levelHandshake, wire.CryptoFrame{Data: tc.peerCrypto(levelHandshake)})
	tc.flush()
	tc.grab()
	if tc.open[level1RTT] != nil {
		tc.openNext = tc.open[level1RTT].Update()
	}
}
