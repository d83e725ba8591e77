package core

import (
	"bytes"
	"crypto/tls"
	"net/netip"
	"testing"
	"time"

	"github.com/pquic-go/pquic/core/mono"
	"github.com/pquic-go/pquic/core/protection"
	"github.com/pquic-go/pquic/core/wire"
)

// Hostile bytes at every depth: datagrams for a whole server, decrypted payloads
// for a whole connection, transport parameters. Nothing may panic, spin, grow
// without bound or contradict itself (Audit), all that the engine sends must be
// well-formed, and when it is left alone the connection must end.

// A fuzzInput is the fuzzer's bytes, read as a program.
type fuzzInput []byte

func (in *fuzzInput) byte() byte {
	if len(*in) == 0 {
		return 0
	}
	b := (*in)[0]
	*in = (*in)[1:]
	return b
}

// bytes takes a length of two bytes and that many bytes.
func (in *fuzzInput) bytes(most int) []byte {
	n := (int(in.byte()) | int(in.byte())<<8) % (most + 1)
	n = min(n, len(*in))
	b := (*in)[:n]
	*in = (*in)[n:]
	return b
}

var fuzzBuf = make([]byte, 1<<16)

var fuzzAddrs = [...]netip.AddrPort{scriptClientAddr, otherPort, otherAddr, netip.MustParseAddrPort("[2001:db8::1]:7")}

// fuzzSecret is a traffic secret everyone knows.
func fuzzSecret(b byte) []byte { return bytes.Repeat([]byte{b}, 32) }

// newFuzzConn makes a connection whose keys are known, without a handshake of
// TLS: confirmed, or, with its TLS just started, in the middle of it.
func newFuzzConn(t testing.TB, side scriptSide, confirmed bool) *testConn {
	t.Helper()
	tc := &testConn{t: t, now: scriptEpoch, side: side, ignored: map[wire.FrameType]bool{}, buf: fuzzBuf, h: &scriptHandler{}, version: wire.Version1}
	client, server := scriptConfigs()
	cfg := client
	tc.local, tc.remote = scriptClientAddr, scriptServerAddr
	if side == serverSide {
		cfg = server
		tc.local, tc.remote = scriptServerAddr, scriptClientAddr
	}
	cfg.DisablePathMTUDiscovery, cfg.DisableECN, cfg.DisableGrease = false, false, true
	cfg.StreamWindow, cfg.MaxStreamWindow, cfg.ConnWindow, cfg.MaxConnWindow = 20_000, 40_000, 50_000, 100_000
	cfg.MaxBidiStreams, cfg.MaxUniStreams = 10, 10
	cfg.SendBuffer = 1 << 16
	var err error
	if tc.end, err = NewEndpoint(&EndpointConfig{Server: side == serverSide, Config: cfg, Random: seededRandom(1)}); err != nil {
		t.Fatal(err)
	}
	full, err := cfg.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	c := newConn(tc.end, full, tc.now, wire.Version1, tc.local, tc.remote, 0)
	tc.conn = c
	c.handler = tc.h
	if side == serverSide {
		c.v.IsServer = 1
	}
	tc.end.startIDs(c)
	tc.src, _ = wire.MakeConnID([]byte("fuzzpeer"))
	first := connIDOf("original")
	tc.dst = c.handshake.localSrc
	if side == clientSide {
		err = c.startClient(first, "server")
	} else {
		c.handshake.odcid = first
		tc.end.ids[first] = connIDEntry{c, 0, 0}
		err = c.startServer(first)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if c.tls.conn != nil {
			c.tls.conn.Close()
		}
	})
	tc.deriveInitial(first)
	install := func(l encryptionLevel, ours, theirs byte) {
		c.keys[l] = levelKeys{seal: fuzzSealer(ours), open: fuzzOpener(theirs)}
		tc.seal[l], tc.open[l] = fuzzSealer(theirs), fuzzOpener(ours)
	}
	install(levelHandshake, 1, 2)
	c.handshake.peerSrc, c.handshake.peerSrcKnown = tc.src, true
	c.setFirstRemoteID(tc.src)
	c.armIdle(tc.now)
	if !confirmed {
		return tc
	}
	install(level1RTT, 3, 4)
	c.keyUpdate.installOpener(c, c.keys[level1RTT].open)
	tc.openNext = tc.open[level1RTT].Update()
	c.path0.route.validated = true
	if c.localParams == nil {
		c.localParams = c.composeParams()
	}
	return tc
}

// confirm ends the handshake of a fuzzed connection.
func (tc *testConn) confirm() {
	c := tc.conn
	c.v.HandshakeComplete = 1
	c.timers[timerHandshake] = 0
	c.setState(StateEstablished)
	c.confirmHandshake()
	c.issueConnIDs(c.path0)
	c.startAckFrequency()
	c.finish()
}

func fuzzSealer(b byte) *protection.Sealer {
	s, err := protection.NewSealer(wire.Version1, tls.TLS_AES_128_GCM_SHA256, fuzzSecret(b))
	if err != nil {
		panic(err)
	}
	return s
}

func fuzzOpener(b byte) *protection.Opener {
	o, err := protection.NewOpener(wire.Version1, tls.TLS_AES_128_GCM_SHA256, fuzzSecret(b))
	if err != nil {
		panic(err)
	}
	return o
}

// fuzzParams are the peer's parameters: small limits, all extensions.
func (tc *testConn) fuzzParams() *wire.TransportParameters {
	tp := wire.DefaultTransportParameters()
	tp.InitialMaxData, tp.InitialMaxStreamDataBidiLocal, tp.InitialMaxStreamDataBidiRemote, tp.InitialMaxStreamDataUni = 30_000, 9_000, 9_000, 9_000
	tp.InitialMaxStreamsBidi, tp.InitialMaxStreamsUni = 5, 5
	tp.ActiveConnectionIDLimit = 4
	tp.HasMinAckDelay, tp.MinAckDelay = true, time.Millisecond
	tp.ResetStreamAt = true
	tp.HasInitialSourceConnectionID, tp.InitialSourceConnectionID = true, tc.src
	if tc.side == clientSide {
		tp.HasOriginalDestinationConnectionID, tp.OriginalDestinationConnectionID = true, tc.conn.handshake.odcid
	}
	return &tp
}

// step runs one instruction of the fuzzer's program.
func (tc *testConn) step(in *fuzzInput) {
	op := in.byte()
	switch op & 7 {
	case 0, 1, 2:
		tc.fuzzPacket(op, in.bytes(1200))
	case 3:
		tc.fuzzTime(in.byte())
	case 4:
		tc.fuzzApplication(in.byte(), in.byte())
	case 5:
		l := [...]encryptionLevel{level1RTT, levelInitial, levelHandshake, level1RTT}[op>>3&3]
		if r := tc.gotRanges(l.space()); len(r) > 0 && tc.seal[l] != nil {
			if op&0x20 != 0 {
				r = r[:1]
				r[0].Lo = r[0].Hi
			}
			tc.fuzzWrite(&scriptPacket{level: l, frames: []any{ackFrame{Ranges: r[:min(len(r), 40)], ECN: op&0x40 != 0, Counts: wire.ECNCounts{ECT0: tc.conn.path0.Space.ECT0Sent}}}})
		}
	case 6:
		b := bytes.Clone(in.bytes(1500))
		if op&8 != 0 && len(b) > 9 {
			tc.dst.AppendTo(b[:1]) // reaches the connection
		}
		tc.end.Receive(tc.now, &Datagram{Payload: b, Local: tc.local, Remote: fuzzAddrs[op>>4&3]})
		tc.end.EndBatch(tc.now)
	case 7:
		tc.seal[level1RTT], tc.phase = fuzzUpdate(tc.seal[level1RTT]), !tc.phase
	}
	tc.flush()
	tc.queue = nil
	tc.fuzzCheck()
}

func fuzzUpdate(s *protection.Sealer) *protection.Sealer {
	if s == nil {
		return nil
	}
	return s.Update()
}

func (tc *testConn) fuzzWrite(p *scriptPacket) {
	if tc.seal[p.level] == nil {
		return
	}
	b := tc.encode(p, true, 0)
	d := &Datagram{Payload: b, Local: tc.local, Remote: tc.remote, ECN: p.ecn}
	if p.from.IsValid() {
		d.Remote = p.from
	}
	tc.end.Receive(tc.now, d)
	if !p.noBatch {
		tc.end.EndBatch(tc.now)
	}
}

func (tc *testConn) fuzzPacket(op byte, payload []byte) {
	if len(payload) == 0 {
		payload = []byte{0x01}
	}
	p := &scriptPacket{level: level1RTT, raw: payload}
	if tc.seal[level1RTT] == nil {
		p.level = [...]encryptionLevel{levelInitial, levelHandshake}[op>>3&1]
	}
	switch op >> 4 & 7 {
	case 1:
		p.ecn = CE
	case 2:
		p.from = fuzzAddrs[op>>3&1+1]
	case 3:
		p.skip = 2
	case 4:
		if n := &tc.next[p.level.space()]; *n > 3 {
			*n -= 3 // perhaps a number used before
		}
	case 5:
		p.noBatch = true
	case 6:
		p.spin, p.ecn = true, ECT0
	}
	tc.fuzzWrite(p)
}

func (tc *testConn) fuzzTime(b byte) {
	to := tc.now.Add(time.Millisecond << (b % 14))
	for range 5000 {
		tc.flush()
		tc.queue = nil
		next := tc.end.Deadline()
		if next > to {
			tc.now = to
			return
		}
		tc.now = max(tc.now, next)
		tc.end.Advance(tc.now)
	}
	tc.t.Fatalf("timers fire without end; the next is due %v from now", tc.end.Deadline().Sub(tc.now))
}

// fuzzApplication does what an application might.
func (tc *testConn) fuzzApplication(what, arg byte) {
	c := tc.conn
	var s *Stream
	n := int(arg & 15)
	for _, id := range c.streams.sortedIDs() {
		if n--; n < 0 {
			s = c.streams.byID[id]
			break
		}
	}
	switch what % 12 {
	case 0:
		_, _ = c.OpenStream(arg&1 == 0)
	case 1:
		if s != nil && s.SendFIFO() != nil {
			s.SendFIFO().Write(make([]byte, int(arg)*64))
			c.StreamWritten(tc.now, s)
		}
	case 2:
		if s != nil && s.SendFIFO() != nil {
			s.SendFIFO().CloseWrite()
			c.StreamWritten(tc.now, s)
		}
	case 3:
		if s != nil {
			c.ResetStream(tc.now, s, uint64(arg), uint64(arg>>4)*100)
		}
	case 4:
		if s != nil {
			c.StopSending(tc.now, s, uint64(arg))
		}
	case 5, 6:
		if s != nil && s.RecvFIFO() != nil {
			b := make([]byte, int(arg)*256)
			s.RecvFIFO().Read(b)
			c.StreamRead(tc.now, s)
		}
	case 7:
		c.Ping(tc.now)
	case 8:
		c.UpdateKeys(tc.now)
	case 9:
		if tc.side == clientSide && c.v.HandshakeConfirmed != 0 {
			_ = c.Migrate(tc.now, fuzzAddrs[arg&1+1], 0)
		}
	case 10:
		if c.v.State < StateClosing {
			c.RotateConnID(c.path0)
		}
	case 11:
		if arg > 200 {
			c.Close(tc.now, uint64(arg), "fuzz")
		} else if s != nil {
			c.SetPriority(s, arg&7, arg&8 != 0)
		}
	}
}

func (s *streamSet) sortedIDs() []uint64 {
	var ids []uint64
	for _, st := range s.sorted() {
		ids = append(ids, st.ID)
	}
	return ids
}

// fuzzCheck asserts what must hold at any time.
func (tc *testConn) fuzzCheck() {
	t, c := tc.t, tc.conn
	t.Helper()
	if len(tc.end.touched) == 0 { // else the batch goes on
		if err := tc.end.Audit(); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(tc.end.out); n > maxStateless {
		t.Fatalf("%d stateless answers wait", n)
	}
	if c.v.State >= StateClosing {
		return
	}
	for what, x := range map[string][2]int{
		"packets kept for their keys":  {len(c.pending), maxBuffered},
		"streams":                      {len(c.streams.byID), 40},
		"addresses":                    {len(c.path0.routes), maxRoutes},
		"connection IDs of the peer":   {len(c.path0.remote.ids), int(c.config.ActiveConnIDLimit)},
		"connection IDs issued":        {len(c.path0.local.ids), maxLocalIDs + 1},
		"retirements owed":             {len(c.path0.remote.retire) + c.path0.remote.unacked, maxPendingRetire + int(c.config.ActiveConnIDLimit) + 1},
		"ranges received":              {len(c.path0.space.received.Ranges()), 64},
		"bytes held for reading":       {int(c.v.DataReceived - min(c.flow.consumed, c.v.DataReceived)), 100_000},
		"frames waiting to be retired": {len(c.path0.remote.retire), maxPendingRetire + int(c.config.ActiveConnIDLimit) + 1},
	} {
		if x[0] > x[1] {
			t.Fatalf("%d %s, at most %d are allowed", x[0], what, x[1])
		}
	}
	if r := c.path0.route; !r.validated && r.sent > 3*r.received {
		t.Fatalf("%d bytes sent to an address that sent %d", r.sent, r.received)
	}
}

// finish leaves the engine alone until the connection is gone.
func (tc *testConn) finishFuzz() {
	t := tc.t
	t.Helper()
	tc.end.EndBatch(tc.now)
	for range 20_000 {
		tc.collect(tc.end, func([]byte, *Transmit) {})
		next := tc.end.Deadline()
		if next == mono.Never {
			break
		}
		tc.now = max(tc.now, next)
		tc.end.Advance(tc.now)
		if tc.end.Len() == 0 {
			break
		}
	}
	if tc.end.Len() != 0 {
		t.Fatalf("left alone, the connection does not end: state %s, next timer %v from now", stateNames[tc.conn.v.State], tc.end.Deadline().Sub(tc.now))
	}
	if !tc.h.ended || !tc.h.gone || tc.conn.Err() == nil {
		t.Fatalf("application was told of the end: %v, of its being gone: %v, error %v", tc.h.ended, tc.h.gone, tc.conn.Err())
	}
	if err := tc.end.Audit(); err != nil {
		t.Fatal(err)
	}
}

// program writes a fuzzer's program for the seeds.
type program []byte

func (p program) packet(op byte, frames ...any) program {
	var b []byte
	for _, f := range frames {
		b = appendScriptFrame(fuzzFatal{}, b, f)
	}
	p = append(p, op, byte(len(b)), byte(len(b)>>8))
	return append(p, b...)
}

func (p program) time(exp byte) program { return append(p, 3, exp) }
func (p program) app(what, arg byte) program {
	return append(p, 4, what, arg)
}
func (p program) ack() program { return append(p, 5) }

type fuzzFatal struct{ testing.TB }

func (fuzzFatal) Helper()                   {}
func (fuzzFatal) Fatalf(s string, a ...any) { panic(s) }

// FuzzConn feeds a confirmed connection hostile decrypted payloads, while its
// application goes about its business.
func FuzzConn(f *testing.F) {
	for _, side := range []scriptSide{clientSide, serverSide} {
		probe := &testConn{side: side}
		for _, fr := range oneOfEach(probe) {
			f.Add([]byte(program{byte(side)}.packet(0, fr).time(5).ack()))
		}
		id := probe.peerStream(0, true)
		f.Add([]byte(program{byte(side)}.app(0, 0).app(1, 0x10).app(2, 0).time(3).ack().packet(0, streamF(id, 0, "hello", true)).app(5, 0xf1).time(12)))
		f.Add([]byte(program{byte(side)}.packet(0, streamF(id, 5, "world", true)).packet(0, streamF(id, 0, "hello", false)).app(5, 0xf0).app(2, 0).ack()))
		f.Add([]byte(program{byte(side)}.app(0, 0).app(1, 0xf0).app(3, 0x30).packet(0, wire.StopSendingFrame{ID: probe.ownStream(0, true), ErrorCode: 4}).time(10)))
		f.Add([]byte(program{byte(side)}.packet(0x20, wire.PingFrame{}).packet(0x20, wire.PathResponseFrame{}).time(11).packet(0, wire.PingFrame{})))
		f.Add([]byte(program{byte(side)}.packet(0, newConnIDs(1, 3)...).app(10, 0).packet(0, newConnID(4, 3)).ack().app(9, 0).time(9)))
		f.Add([]byte(program{byte(side)}.app(8, 0).ack().app(7, 0).ack().app(7, 0).time(12)))
		f.Add([]byte(append(program{byte(side)}, 7)))
		f.Add([]byte(program{byte(side)}.app(11, 255).packet(0, wire.PingFrame{}).packet(0, wire.ConnectionCloseFrame{})))
		f.Add([]byte(program{byte(side)}.packet(0, wire.ResetStreamAtFrame{ID: id, ErrorCode: 1, FinalSize: 9, ReliableSize: 3}).packet(0, streamF(id, 0, "abc", false)).app(5, 0x10)))
		f.Add([]byte(program{byte(side)}.app(0, 1).app(1, 0xff).app(1, 0xff).time(9).packet(0, wire.MaxDataFrame{Max: 1 << 20}, wire.MaxStreamDataFrame{ID: probe.ownStream(0, false), Max: 1 << 20}).ack().time(9)))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 1<<14 {
			return
		}
		in := fuzzInput(data)
		tc := newFuzzConn(t, scriptSide(in.byte()&1), true)
		if err := tc.conn.receiveParams(tc.fuzzParams().Append(nil, tc.side == clientSide)); err != nil {
			t.Fatal(err)
		}
		tc.confirm()
		tc.flush()
		for len(in) > 0 {
			tc.step(&in)
		}
		tc.finishFuzz()
	})
}

// FuzzHandshakeConn does the same at the Initial and Handshake levels, TLS
// included.
func FuzzHandshakeConn(f *testing.F) {
	for _, side := range []scriptSide{clientSide, serverSide} {
		probe := &testConn{side: side}
		for _, fr := range oneOfEach(probe) {
			f.Add([]byte(program{byte(side)}.packet(0, fr).packet(8, fr).time(5)))
		}
		tc := newTestConn(f, side, takeOver(stageHandshake))
		_ = tc
		hello := newTestConn(f, serverSide, takeOver(stageInitial)).peerCrypto(levelInitial)
		f.Add([]byte(program{byte(side)}.packet(0, wire.CryptoFrame{Data: hello}).time(13).packet(8, wire.PingFrame{}).time(13)))
		f.Add([]byte(program{byte(side)}.packet(0, wire.CryptoFrame{Offset: 100, Data: hello[100:]}).packet(0, wire.CryptoFrame{Data: hello[:100]}).time(13)))
		f.Add([]byte(program{byte(side)}.packet(8, wire.CryptoFrame{Data: []byte{8, 0, 0, 2, 0, 0}}).time(13)))
		f.Add([]byte(program{byte(side)}.packet(0, wire.ConnectionCloseFrame{}).packet(0, wire.PingFrame{})))
		f.Add([]byte(program{byte(side)}.time(13).time(13).app(11, 255).packet(0, wire.PingFrame{})))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 1<<14 {
			return
		}
		in := fuzzInput(data)
		tc := newFuzzConn(t, scriptSide(in.byte()&1), false)
		if tc.side == serverSide {
			tc.conn.path0.route.received = 1200
		}
		tc.lenient = true
		tc.conn.finish()
		tc.flush()
		for len(in) > 0 {
			tc.step(&in)
		}
		tc.finishFuzz()
	})
}

// FuzzTransportParameters lets a connection live with whatever parameters its
// peer sends.
func FuzzTransportParameters(f *testing.F) {
	for _, side := range []scriptSide{clientSide, serverSide} {
		tc := newTestConn(f, side)
		tp := *tc.conn.peerParams
		tp.HasInitialSourceConnectionID, tp.HasOriginalDestinationConnectionID = false, false
		f.Add(byte(side), tp.Append(nil, side == clientSide))
		tp.HasPreferredAddress = side == clientSide
		tp.PreferredAddress = wire.PreferredAddress{IPv4: otherAddr, ConnID: connIDOf("preferred")}
		tp.MaxIdleTimeout = time.Millisecond
		tp.InitialMaxData, tp.InitialMaxStreamsBidi = 1<<62-1, 1<<60
		tp.ActiveConnectionIDLimit = 1<<62 - 1
		f.Add(byte(side), tp.Append(nil, side == clientSide))
		f.Add(byte(side), varints(3, 2, 1200))
		f.Add(byte(side), append(varints(0xff04de1b, 1), 0))
	}
	f.Fuzz(func(t *testing.T, s byte, raw []byte) {
		tc := newFuzzConn(t, scriptSide(s&1), true)
		c := tc.conn
		own := wire.DefaultTransportParameters()
		own.HasInitialSourceConnectionID, own.InitialSourceConnectionID = true, tc.src
		if tc.side == clientSide {
			own.HasOriginalDestinationConnectionID, own.OriginalDestinationConnectionID = true, c.handshake.odcid
		}
		if err := c.receiveParams(append(own.Append(nil, tc.side == clientSide), raw...)); err != nil {
			te, ok := isTransportError(err)
			if !ok || te.Code != TransportParameterError && te.Code != VersionNegotiationFailure {
				t.Fatalf("parameters refused with %v", err)
			}
			c.fail(te)
			tc.finishFuzz()
			return
		}
		tc.confirm()
		if c.Version() != wire.Version1 {
			tc.lenient = false // keys of the test are of version 1
			tc.finishFuzz()
			return
		}
		tc.flush()
		for i := range byte(4) {
			tc.fuzzApplication(0, i)
		}
		for i := range byte(4) {
			tc.fuzzApplication(1, 0xf0|i)
			tc.fuzzApplication(2, i)
		}
		tc.flush()
		tc.fuzzCheck()
		tc.fuzzTime(6)
		if r := tc.gotRanges(appSpace); len(r) > 0 && c.v.State < StateClosing {
			tc.fuzzWrite(&scriptPacket{level: level1RTT, frames: []any{ackFrame{Ranges: r[:min(40, len(r))], Delay: 1 << 30}}})
		}
		tc.fuzzApplication(9, 0)
		tc.fuzzApplication(10, 0)
		tc.flush()
		tc.fuzzCheck()
		tc.fuzzTime(13)
		tc.finishFuzz()
	})
}

// FuzzServer feeds a whole server hostile datagrams from several addresses: raw
// bytes, and payloads in Initial packets whose keys everyone can derive.
func FuzzServer(f *testing.F) {
	v := newTestConn(f, serverSide, takeOver(stageInitial))
	hello := v.peerCrypto(levelInitial)
	seed := func(payload []byte, raw ...[]byte) {
		var p []byte
		if payload != nil {
			p = append(p, 0, byte(len(payload)), byte(len(payload)>>8))
			p = append(p, payload...)
		}
		for _, r := range raw {
			p = append(p, 1, byte(len(r)), byte(len(r)>>8))
			p = append(p, r...)
		}
		f.Add(append(p, 2, 13, 2, 10))
	}
	ch := wire.AppendCrypto(nil, wire.CryptoFrame{Data: hello})
	seed(ch)
	seed(ch[:300])
	seed(wire.AppendPing(nil))
	seed(append(bytes.Clone(ch), 0x1c, 0, 0, 0))
	seed(nil, append([]byte{0xc0, 0xba, 0xba, 0xba, 0xba, 8, 1, 2, 3, 4, 5, 6, 7, 8, 8, 1, 2, 3, 4, 5, 6, 7, 8}, make([]byte, 1200)...))
	seed(nil, append([]byte{0x40}, make([]byte, 60)...))
	seed(nil, v.encode(&scriptPacket{level: levelInitial, frames: []any{wire.CryptoFrame{Data: hello}}}, true, 0))
	seed(nil, v.encode(&scriptPacket{level: levelInitial, frames: []any{wire.CryptoFrame{Data: hello}}, token: []byte("token"), v: wire.Version2}, true, 0))
	seed(nil, wire.AppendRetry(nil, wire.Version1, connIDOf("abcdefgh"), connIDOf("12345678"), []byte("token"), 0))
	seed(nil, versionNegotiation(connIDOf("abcdefgh"), connIDOf("12345678"), wire.Version1))
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 1<<15 {
			return
		}
		in := fuzzInput(data)
		_, cfg := scriptConfigs()
		cfg.DisableGrease = false
		random := seededRandom(6)
		e, err := NewEndpoint(&EndpointConfig{Server: true, Config: cfg, Random: random, RetryAbove: 3, MaxConns: 6, MaxHandshakes: 5})
		if err != nil {
			t.Fatal(err)
		}
		now := scriptEpoch
		var received, sent [len(fuzzAddrs)]int
		drain := func() {
			for range 3000 {
				tr, ok := e.Transmit(now, fuzzBuf, 45)
				if !ok {
					return
				}
				for i, a := range fuzzAddrs {
					if a == tr.Remote {
						if sent[i] += tr.Len; sent[i] > 3*received[i] {
							t.Fatalf("%d bytes sent to an address that sent %d", sent[i], received[i])
						}
					}
				}
			}
			t.Fatal("the server sends without end")
		}
		kit := &testConn{t: t, version: wire.Version1, src: connIDOf("fuzzsrc1"), side: serverSide}
		var numbers [4]uint64
		for len(in) > 0 {
			op := in.byte()
			who := int(op >> 3 & 3)
			switch op & 3 {
			case 0:
				k := op >> 5 & 3
				kit.dst = connIDOf("fuzzdst" + string('0'+rune(k)))
				kit.deriveInitial(kit.dst)
				kit.next[initialSpace] = numbers[k]
				payload := in.bytes(1300)
				p := &scriptPacket{level: levelInitial, raw: payload, pad: 1200}
				if len(payload) == 0 {
					p.raw = []byte{0}
				}
				b := kit.encode(p, true, 0)
				numbers[k] = kit.next[initialSpace]
				received[who] += len(b)
				e.Receive(now, &Datagram{Payload: b, Local: scriptServerAddr, Remote: fuzzAddrs[who]})
			case 1:
				b := bytes.Clone(in.bytes(2000))
				received[who] += len(b)
				e.Receive(now, &Datagram{Payload: b, Local: scriptServerAddr, Remote: fuzzAddrs[who], ECN: ECN(op >> 5 & 3)})
			case 2:
				e.EndBatch(now)
				to := now.Add(time.Millisecond << (in.byte() % 15))
				for n := 0; e.Deadline() <= to; n++ {
					if n > 5000 {
						t.Fatal("timers fire without end")
					}
					now = max(now, e.Deadline())
					e.Advance(now)
					drain()
				}
				now = to
			case 3:
				e.EndBatch(now)
				drain()
			}
			if len(e.touched) == 0 { // else the batch goes on
				if err := e.Audit(); err != nil {
					t.Fatal(err)
				}
			}
			if s := e.Stats(); s.Conns > 6 || s.Handshakes > 5 || len(e.out) > maxStateless {
				t.Fatalf("limits exceeded: %+v, %d answers wait", s, len(e.out))
			}
		}
		e.EndBatch(now)
		for n := 0; e.Len() > 0; n++ {
			drain()
			if n > 5000 || e.Deadline() == mono.Never {
				t.Fatalf("%d connections do not end", e.Len())
			}
			now = max(now, e.Deadline())
			e.Advance(now)
		}
		if err := e.Audit(); err != nil {
			t.Fatal(err)
		}
	})
}
