package core

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/pquic-go/pquic/core/mono"
	"github.com/pquic-go/pquic/core/protection"
	"github.com/pquic-go/pquic/core/wire"
)

// Peers, and those who are none, that mean harm. Each test says what must
// happen. https://www.rfc-editor.org/rfc/rfc9000#section-21

// heap returns the bytes of live objects.
func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// "Prior to validating the client address, servers MUST NOT send more than
// three times as many bytes as the number of bytes they have received."
// Whatever the client does or leaves undone.
// https://www.rfc-editor.org/rfc/rfc9000#section-8.1
func TestHostileAmplification(t *testing.T) {
	for _, size := range []int{1200, 1201, 1350, 1452, 9000} {
		tc := newTestConn(t, serverSide, takeOver(stageInitial), engineConfig(func(c *Config) {
			c.HandshakeTimeout = time.Hour
			c.MaxIdleTimeout = -1
			c.InitialUDPPayload = 1400
		}), peerConfig(func(c *Config) { c.MaxIdleTimeout = -1 }))
		received, sent := 0, 0
		tc.tap = func(p *scriptPacket) { sent += p.length }
		check := func(why string) {
			t.Helper()
			tc.flush()
			if tc.bytes > 3*received {
				t.Fatalf("datagrams of %d: %d bytes sent for %d received: %s", size, tc.bytes, received, why)
			}
		}
		received += size
		tc.write(&scriptPacket{level: levelInitial, frames: []any{wire.CryptoFrame{Data: tc.peerCrypto(levelInitial)}}, pad: size})
		check("first flight")
		tc.advance(10 * time.Minute)
		check("a client that falls silent")
		rnd := rand.New(rand.NewPCG(1, uint64(size)))
		for i := range 200 {
			p := &scriptPacket{level: levelInitial, frames: []any{wire.PingFrame{}}, pad: 1200}
			switch i % 4 {
			case 1:
				p.frames = []any{ackFrame{Ranges: []wire.PNRange{{}}}}
			case 2: // too small to count as Initial
				p.pad, p.padded = 0, true
			}
			b := tc.encode(p, true, 0)
			if i%4 == 3 { // forged
				b[len(b)-1] ^= 1
			}
			received += len(b)
			tc.writeDatagram(b, p)
			check("datagrams after the first")
			tc.advance(time.Duration(rnd.IntN(3000)) * time.Millisecond)
			check("time passes")
		}
		if tc.conn.path0.route.validated {
			t.Error("address was validated by Initial packets")
		}
		if sent == 0 {
			t.Error("nothing was sent at all")
		}
	}
}

// During the handshake a server hears other addresses and does not answer them.
// What comes from there buys nothing for the one it sends to, which may be
// somebody's who never asked.
func TestHostileAmplificationByOthers(t *testing.T) {
	for _, closing := range []bool{false, true} {
		tc := newTestConn(t, serverSide, takeOver(stageInitial), engineConfig(func(c *Config) { c.HandshakeTimeout = time.Hour }))
		tc.write(&scriptPacket{level: levelInitial, frames: []any{wire.CryptoFrame{Data: tc.peerCrypto(levelInitial)}}, pad: 1200})
		if closing {
			tc.conn.Close(tc.now, 1, "")
		}
		tc.flush()
		for i := range 100 {
			b := tc.encode(&scriptPacket{level: levelInitial, frames: []any{wire.PingFrame{}}, pad: 1200}, true, 0)
			tc.end.Receive(tc.now, &Datagram{Payload: b, Local: tc.local, Remote: otherAddr})
			tc.end.EndBatch(tc.now)
			tc.flush()
			if !closing || i%40 == 0 { // the closing state lasts 3 seconds
				tc.advance(time.Second)
			}
		}
		if tc.bytes > 3*1200 {
			t.Errorf("closing %v: %d bytes sent to an address that sent 1200", closing, tc.bytes)
		}
		if r := tc.conn.path0.route; r.received != 1200 || r.remote != tc.remote {
			t.Errorf("closing %v: %v has credit for %d bytes", closing, r.remote, r.received)
		}
	}
}

// 100,000 Initial packets from as many spoofed addresses: memory stays bounded,
// Retry kicks in, and an honest client still connects.
func TestHostileInitialFlood(t *testing.T) {
	const flood = 100_000
	v := newTestConn(t, serverSide, takeOver(stageInitial))
	hello := v.peerCrypto(levelInitial)
	_, sc := scriptConfigs()
	accepted := 0
	var now mono.Time = scriptEpoch
	e, err := NewEndpoint(&EndpointConfig{Server: true, Config: sc, Random: seededRandom(3), Accept: func(*Conn) error { accepted++; return nil }})
	if err != nil {
		t.Fatal(err)
	}
	// As hostile as can be: the Initial packets are genuine.
	genuine := func(id wire.ConnID) []byte {
		client, _ := protection.InitialSecrets(wire.Version1, id)
		s, err := protection.NewSealer(wire.Version1, 0x1301, client)
		if err != nil {
			t.Fatal(err)
		}
		return v.encode(&scriptPacket{level: levelInitial, frames: []any{wire.CryptoFrame{Data: hello}}, dst: id, seal: s}, true, 0)
	}
	spoofed := func(i int) netip.AddrPort {
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), uint16(i))
	}
	buf := make([]byte, 1<<16)
	in, out := make([]int, flood), make([]int, flood)
	number := func(a netip.AddrPort) int {
		b := a.Addr().As4()
		return int(b[1])<<16 | int(b[2])<<8 | int(b[3])
	}
	drain := func() {
		for {
			tr, ok := e.Transmit(now, buf, 45)
			if !ok {
				return
			}
			i := number(tr.Remote)
			if out[i] += tr.Len; out[i] > 3*in[i] {
				t.Fatalf("%d bytes to %v, which sent %d", out[i], tr.Remote, in[i])
			}
		}
	}
	before := heap()
	var template []byte
	for i := range flood {
		var raw [8]byte
		raw[0], raw[1], raw[2], raw[3] = byte(i>>24), byte(i>>16), byte(i>>8), byte(i)
		id, _ := wire.MakeConnID(raw[:])
		if i < 1000 {
			template = genuine(id)
		} else {
			// The server does not look inside any more; a genuine one would get
			// the same answer.
			copy(template[6:], raw[:])
		}
		a := spoofed(i)
		in[i] += len(template)
		e.Receive(now, &Datagram{Payload: bytes.Clone(template), Local: scriptServerAddr, Remote: a})
		if i%64 == 0 {
			e.EndBatch(now)
			drain()
			now = now.Add(time.Millisecond)
			e.Advance(now)
		}
	}
	e.EndBatch(now)
	s := e.Stats()
	if s.Conns > 256 || accepted > 256 {
		t.Errorf("%d connections made, %d held: Retry should have kicked in", accepted, s.Conns)
	}
	if s.Retries < flood/2 {
		t.Errorf("%d Retry packets for %d Initials", s.Retries, flood)
	}
	if grown := heap() - min(before, heap()); grown > 64<<20 {
		t.Errorf("heap grew by %d bytes", grown)
	}
	if err := e.Audit(); err != nil {
		t.Error(err)
	}

	// Amid all that, somebody honest.
	tc := newTestConn(t, clientSide, takeOver(stageInitial))
	tc.other = e
	tc.now = now
	tc.peer = nil
	tc.end.Conns(func(c *Conn) bool { c.timers[timerHandshake], c.timers[timerIdle] = 0, 0; return true })
	tc.relay(10*time.Millisecond, func() bool { return tc.conn.v.HandshakeConfirmed != 0 })
	if !tc.conn.handshake.retried {
		t.Error("the honest client was not asked to prove its address")
	}
	// The handshakes that went nowhere are forgotten.
	now = tc.now.Add(time.Minute)
	for range 100_000 {
		if e.Deadline() > now {
			break
		}
		e.Advance(now)
		for {
			if _, ok := e.Transmit(now, buf, 45); !ok {
				break
			}
		}
	}
	if n := e.Len(); n > 1 {
		t.Errorf("%d connections are held after a minute", n)
	}
}

// Version Negotiation, Retry, refusals and stateless resets wait in a queue of
// bounded length.
func TestHostileStatelessFlood(t *testing.T) {
	_, sc := scriptConfigs()
	e, err := NewEndpoint(&EndpointConfig{Server: true, Config: sc, Random: seededRandom(3), Retry: func(netip.AddrPort) bool { return true }})
	if err != nil {
		t.Fatal(err)
	}
	unknown := append([]byte{0xc0, 0xba, 0xba, 0xba, 0xba, 8, 1, 2, 3, 4, 5, 6, 7, 8, 8, 1, 2, 3, 4, 5, 6, 7, 8}, make([]byte, 1200)...)
	initial := append(wire.AppendLongHeader(nil, wire.Initial, wire.Version1, connIDOf("12345678"), connIDOf("abcdefgh"), nil, 4), make([]byte, 1200)...)
	wire.SetLongLength(initial, len(initial)-1200, 1200)
	short := append([]byte{0x40}, make([]byte, 100)...)
	for i := range 30_000 {
		for _, b := range [][]byte{unknown, initial, short} {
			e.Receive(scriptEpoch, &Datagram{Payload: bytes.Clone(b), Local: scriptServerAddr, Remote: netip.AddrPortFrom(scriptClientAddr.Addr(), uint16(i))})
		}
	}
	if len(e.out) > maxStateless {
		t.Errorf("%d answers wait", len(e.out))
	}
	if e.Len() != 0 {
		t.Errorf("%d connections", e.Len())
	}
}

// Retry tokens are bound to an address and a time.
// https://www.rfc-editor.org/rfc/rfc9000#section-8.1.2
func TestHostileRetryToken(t *testing.T) {
	_, sc := scriptConfigs()
	_ = sc
	start := func() (*testConn, []byte, wire.ConnID) {
		tc := newTestConn(t, serverSide, takeOver(stageInitial), endpointConfig(retryAlways))
		tc.hello = tc.peerCrypto(levelInitial)
		b := tc.encode(&scriptPacket{level: levelInitial, frames: []any{wire.CryptoFrame{Data: tc.hello}}}, true, 0)
		tc.end.Receive(tc.now, &Datagram{Payload: b, Local: tc.local, Remote: tc.remote})
		out := tc.raw()
		if len(out) != 1 {
			t.Fatalf("%d answers", len(out))
		}
		r, err := wire.ParseRetry(out[0])
		if err != nil || !protection.VerifyRetryTag(wire.Version1, tc.dst, out[0]) {
			t.Fatalf("answer is no Retry: %v", err)
		}
		if tc.end.Len() != 0 {
			t.Fatal("state was made before the address was proven")
		}
		token := bytes.Clone(r.Token)
		tc.dst = r.SrcConnID
		tc.deriveInitial(tc.dst)
		return tc, token, tc.dst
	}
	send := func(tc *testConn, token []byte, from netip.AddrPort) {
		p := &scriptPacket{level: levelInitial, frames: []any{wire.CryptoFrame{Data: tc.hello}}, token: token, from: from}
		tc.write(p)
	}
	tc, token, _ := start()
	send(tc, token, netip.AddrPort{})
	if tc.conn == nil || !tc.conn.path0.route.validated || !tc.conn.handshake.retried {
		t.Fatal("a good token was not accepted")
	}
	for why, x := range map[string]struct {
		from  netip.AddrPort
		wait  time.Duration
		spoil bool
		close bool
	}{
		"another address": {from: otherAddr, close: true},
		"another port":    {from: otherPort, close: true},
		"too late":        {wait: time.Hour, close: true},
		"forged":          {spoil: true},
	} {
		tc, token, _ := start()
		tc.now = tc.now.Add(x.wait)
		if x.spoil {
			token[len(token)-1] ^= 1
		}
		send(tc, token, x.from)
		if tc.end.Len() != 0 {
			t.Errorf("%s: connection made", why)
		}
		f, _ := tc.nextFrame()
		if c, ok := f.(wire.ConnectionCloseFrame); ok != x.close || x.close && TransportErrorCode(c.ErrorCode) != InvalidToken {
			t.Errorf("%s: answered with %s", why, frameString(f))
		}
	}
	// For another connection ID than the Retry's.
	tc, token, _ = start()
	tc.dst = connIDOf("another1")
	tc.deriveInitial(tc.dst)
	send(tc, token, netip.AddrPort{})
	if tc.end.Len() != 0 {
		t.Error("a token was accepted with another connection ID")
	}
}

// Limits on connections refuse the next client with a clear answer, once its
// address is proven, and keep no state of it.
func TestHostileConnectionLimit(t *testing.T) {
	for _, admit := range []bool{false, true} {
		tc := newTestConn(t, serverSide, takeOver(stageInitial), endpointConfig(func(c *EndpointConfig) {
			if admit {
				c.Admit = func(netip.AddrPort) bool { return false }
			} else {
				c.Accept = func(*Conn) error { return errors.New("no") }
			}
		}))
		tc.writeFrames(levelInitial, wire.CryptoFrame{Data: tc.peerCrypto(levelInitial)})
		tc.conn = nil
		f := wantType[wire.ConnectionCloseFrame](tc, "refused")
		if TransportErrorCode(f.ErrorCode) != ConnectionRefused {
			t.Errorf("refused with %v", TransportErrorCode(f.ErrorCode))
		}
		if tc.end.Len() != 0 || len(tc.end.ids) != 0 {
			t.Error("state is held")
		}
	}
}

// Streams that are opened and left to rot cost a bounded amount each, and only
// as many as were allowed.
func TestHostileSlowStreams(t *testing.T) {
	tc := newTestConn(t, serverSide, engineConfig(func(c *Config) { c.MaxBidiStreams = 1000 }))
	before := heap()
	for round := range uint64(5) {
		for i := range uint64(1000) {
			tc.write(&scriptPacket{level: level1RTT, noBatch: true, frames: []any{streamF(tc.peerStream(i, true), round, "x", false)}})
		}
		tc.end.EndBatch(tc.now)
		tc.flush()
		tc.ackAll(level1RTT)
		tc.got[appSpace], tc.queue = nil, nil
		tc.advance(time.Second)
	}
	tc.wantOpen("slow streams")
	if per := (heap() - min(before, heap())) / 1000; per > 16<<10 {
		t.Errorf("%d bytes per idle stream", per)
	}
	runtime.KeepAlive(tc)
}

// One byte at a time with a gap before each: the number of gaps is bounded.
func TestHostileOneByteSegments(t *testing.T) {
	tc := newTestConn(t, serverSide)
	id := tc.peerStream(0, false)
	most := 0
	for i := range uint64(200_000) {
		if tc.conn.v.State >= StateClosing {
			break
		}
		tc.write(&scriptPacket{level: level1RTT, noBatch: i%64 != 0, frames: []any{streamF(id, 1+2*i, "x", false)}})
		if s := tc.conn.streams.byID[id]; s != nil {
			most = max(most, int(s.recvHalf.HeldRanges))
		}
		tc.queue = nil
	}
	if most > 10_000 {
		t.Errorf("%d gaps were held", most)
	}
	if tc.conn.v.State < StateClosing {
		t.Errorf("connection goes on with %d gaps", most)
	}
	// The other way round, so that every segment becomes a range of its own
	// before the others.
	tc = newTestConn(t, serverSide)
	for i := uint64(200_000); i > 0 && tc.conn.v.State < StateClosing; i-- {
		tc.write(&scriptPacket{level: level1RTT, noBatch: i%64 != 0, frames: []any{streamF(id, 2*i, "x", false)}})
		tc.queue = nil
	}
	if tc.conn.v.State < StateClosing {
		t.Error("connection goes on")
	}
}

// CRYPTO data in pieces that never join.
func TestHostileCryptoGaps(t *testing.T) {
	for _, l := range []encryptionLevel{levelInitial, levelHandshake} {
		tc := newTestConn(t, serverSide, takeOver(stageHandshake))
		before := heap()
		head := tc.conn.crypto[l.space()].recvFIFO.Head()
		for i := uint64(0); i < maxCryptoBuffer/2-2 && tc.conn.v.State < StateClosing; i++ {
			tc.write(&scriptPacket{level: l, noBatch: true, frames: []any{wire.CryptoFrame{Offset: head + 1 + 2*i, Data: []byte{0}}}})
		}
		tc.end.EndBatch(tc.now)
		if grown := heap() - min(before, heap()); grown > 4<<20 {
			t.Errorf("heap grew by %d bytes", grown)
		}
		tc.flush()
		if tc.conn.v.State >= StateClosing && !errors.Is(tc.conn.Err(), &TransportError{Code: CryptoBufferExceeded}) {
			t.Errorf("ended with %v", tc.conn.Err())
		}
	}
}

// "…a receiver of acknowledgments cannot be led to send faster by
// acknowledgments of packets that were never received": numbers are skipped,
// and who acknowledges them is found out.
// https://www.rfc-editor.org/rfc/rfc9000#section-21.4
func TestHostileOptimisticAck(t *testing.T) {
	for _, cc := range []string{"cubic", "newreno", "bbr"} {
		tc := newTestConn(t, serverSide, engineConfig(func(c *Config) { c.CongestionControl = cc }))
		s := tc.openStream(false)
		b := make([]byte, 1<<20)
		for range 10_000 {
			if tc.conn.v.State >= StateClosing {
				break
			}
			if s.SendFIFO().Write(b) > 0 {
				tc.conn.StreamWritten(tc.now, s)
			}
			tc.flush()
			tc.queue, tc.got[appSpace] = nil, nil
			// Acknowledge all that may have been sent, received or not.
			tc.ack(level1RTT, pnRange(0, tc.conn.path0.space.sent.Next()-1))
			tc.write1RTT(wire.MaxDataFrame{Max: 1 << 40}, wire.MaxStreamDataFrame{ID: s.ID, Max: 1 << 40})
			tc.advance(time.Millisecond)
		}
		if !errors.Is(tc.conn.Err(), &TransportError{Code: ProtocolViolation}) {
			t.Errorf("%s: ended with %v after %d packets", cc, tc.conn.Err(), tc.conn.v.PacketsSent)
		}
	}
}

// A peer that never acknowledges holds a congestion window of packets and a
// send buffer of data, no more.
func TestHostileSilentReceiver(t *testing.T) {
	tc := newTestConn(t, serverSide, engineConfig(func(c *Config) { c.MaxIdleTimeout = -1 }), peerConfig(func(c *Config) { c.MaxIdleTimeout = -1 }))
	s := tc.openStream(false)
	b := make([]byte, 1<<20)
	for range 200 {
		for s.SendFIFO().Write(b) > 0 {
			tc.conn.StreamWritten(tc.now, s)
		}
		tc.write(&scriptPacket{level: level1RTT, frames: []any{wire.MaxDataFrame{Max: 1 << 40}, wire.MaxStreamDataFrame{ID: s.ID, Max: 1 << 40}}})
		tc.advance(time.Second)
		tc.queue, tc.got[appSpace] = nil, nil
	}
	if n := s.SendFIFO().Cap(); n > 8<<20 {
		t.Errorf("%d bytes of data are held", n)
	}
	if n := tc.conn.path0.space.sent.Len(); n > 500 {
		t.Errorf("%d packets are held", n)
	}
}

// A flood of PATH_CHALLENGE frames is answered at the rate we send, once per
// address.
func TestHostilePathChallengeFlood(t *testing.T) {
	tc := newTestConn(t, serverSide)
	var f []any
	for i := range 100 {
		f = append(f, wire.PathChallengeFrame{Data: [8]byte{byte(i)}})
	}
	for i := range 1000 {
		tc.write(&scriptPacket{level: level1RTT, frames: f, noBatch: i < 999})
	}
	answers := 0
	for g, _ := tc.nextFrame(); g != nil; g, _ = tc.nextFrame() {
		if r, ok := g.(wire.PathResponseFrame); ok {
			answers++
			if r.Data != (wire.PathChallengeFrame{Data: [8]byte{99}}).Data {
				t.Errorf("answer %v is not that to the newest", r.Data)
			}
		}
	}
	if answers != 1 {
		t.Errorf("%d answers to a batch of 100,000 challenges", answers)
	}
	tc.wantOpen("flood of challenges")
}

// Streams opened and reset at once, over and over: nothing piles up.
func TestHostileRapidReset(t *testing.T) {
	tc := newTestConn(t, serverSide)
	before := heap()
	for i := range uint64(20_000) {
		id := tc.peerStream(i, true)
		tc.write(&scriptPacket{level: level1RTT, noBatch: i%16 != 0, frames: []any{
			streamF(id, 0, "GET /", true), wire.ResetStreamFrame{ID: id, ErrorCode: 1, FinalSize: 5}, wire.StopSendingFrame{ID: id, ErrorCode: 2}}})
		if i%16 == 0 {
			tc.ackAll(level1RTT)
			tc.got[appSpace], tc.queue = nil, nil
			for _, s := range tc.h.opened {
				if _, held := tc.conn.streams.byID[s.ID]; held {
					tc.readStream(s)
				}
			}
			tc.h.opened, tc.h.closed, tc.h.readable, tc.h.stops, tc.h.resets = nil, nil, nil, nil, nil
			tc.ackAll(level1RTT)
			tc.got[appSpace], tc.queue = nil, nil
		}
		if tc.conn.v.State >= StateClosing {
			t.Fatalf("stream %d: %v", i, tc.conn.Err())
		}
		if n := tc.conn.OpenStreams(); n > 100 {
			t.Fatalf("%d streams are held", n)
		}
	}
	if grown := heap() - min(before, heap()); grown > 4<<20 {
		t.Errorf("heap grew by %d bytes", grown)
	}
}

// STOP_SENDING over and over provokes one reset.
func TestHostileStopFlood(t *testing.T) {
	tc := newTestConn(t, serverSide)
	s := tc.openStream(true)
	tc.writeStream(s, "x", false)
	tc.flush()
	tc.queue = nil
	resets := 0
	for i := range uint64(5000) {
		tc.write1RTT(wire.StopSendingFrame{ID: s.ID, ErrorCode: i})
		for f, _ := tc.nextFrame(); f != nil; f, _ = tc.nextFrame() {
			if _, ok := f.(wire.ResetStreamFrame); ok {
				resets++
			}
		}
	}
	if resets != 1 {
		t.Errorf("%d resets", resets)
	}
}

// Packets full of the smallest frames there are: no state, one acknowledgment
// per two packets.
func TestHostileTinyFrames(t *testing.T) {
	id := wire.AppendVarint(nil, 0)
	for why, f := range map[string][]byte{
		"PING":                bytes.Repeat([]byte{0x01}, 1100),
		"PADDING":             bytes.Repeat([]byte{0x00}, 1100),
		"MAX_DATA":            bytes.Repeat([]byte{0x10, 5}, 550),
		"DATA_BLOCKED":        bytes.Repeat([]byte{0x14, 5}, 550),
		"STREAMS_BLOCKED":     bytes.Repeat([]byte{0x16, 5}, 550),
		"MAX_STREAMS":         bytes.Repeat([]byte{0x12, 63}, 550),
		"IMMEDIATE_ACK":       bytes.Repeat([]byte{0x1f}, 1100),
		"empty STREAM":        bytes.Repeat([]byte{0x0a, 0, 0}, 366),
		"STREAM_DATA_BLOCKED": bytes.Repeat(append([]byte{0x15}, append(id, 5)...), 366),
		"ACK":                 bytes.Repeat([]byte{0x02, 0, 0, 0, 0}, 220),
	} {
		tc := newTestConn(t, serverSide)
		before := heap()
		sent := tc.conn.v.PacketsSent
		for range 500 {
			tc.write1RTT(f)
			tc.queue = nil
		}
		tc.wantOpen(why)
		if n := tc.conn.v.PacketsSent - sent; n > 500 {
			t.Errorf("%s: %d packets in answer to 500", why, n)
		}
		if grown := heap() - min(before, heap()); grown > 1<<20 {
			t.Errorf("%s: heap grew by %d bytes", why, grown)
		}
	}
}

// The largest numbers a frame can carry.
func TestHostileLargestValues(t *testing.T) {
	const most = 1<<62 - 1
	tc := newTestConn(t, clientSide)
	s := tc.openStream(true)
	tc.write1RTT(
		wire.MaxDataFrame{Max: most}, wire.MaxStreamDataFrame{ID: s.ID, Max: most}, wire.MaxStreamsFrame{Max: 1 << 60}, wire.MaxStreamsFrame{Max: 1 << 60, Uni: true},
		wire.DataBlockedFrame{Limit: most}, wire.StreamDataBlockedFrame{ID: s.ID, Limit: most}, wire.StreamsBlockedFrame{Limit: 1 << 60},
		wire.StopSendingFrame{ID: s.ID, ErrorCode: most},
		wire.AckFrequencyFrame{Sequence: most, AckElicitingThreshold: most, RequestedMaxAckDelay: 1<<14*1000 - 1, ReorderingThreshold: most},
	)
	tc.wantOpen("largest values")
	for range 200 {
		tc.write(&scriptPacket{level: level1RTT, frames: []any{wire.PingFrame{}}, skip: 1000})
	}
	tc.wantOpen("gaps in packet numbers")
	pn := tc.largest[appSpace]
	tc.write1RTT(ackFrame{Ranges: []wire.PNRange{{Lo: pn, Hi: pn}}, Delay: most, ECN: true, Counts: wire.ECNCounts{ECT0: most, ECT1: most, CE: most}})
	tc.wantOpen("largest delay and counts")
	for range 100 {
		o := tc.openStream(true)
		tc.writeStream(o, "x", false)
	}
	tc.advance(time.Minute)
	// "The value included in a stream's RESET_STREAM is the peer's": ours is
	// copied to the full width.
	tc = newTestConn(t, clientSide)
	s = tc.openStream(true)
	tc.write1RTT(wire.StopSendingFrame{ID: s.ID, ErrorCode: most})
	tc.wantFrame("code copied", wire.ResetStreamFrame{ID: s.ID, ErrorCode: most})
}

// Nobody gets a stateless reset of a connection that lives, whatever is sent to
// its connection IDs.
// https://www.rfc-editor.org/rfc/rfc9000#section-21.11
func TestHostileResetOracle(t *testing.T) {
	tc := newTestConn(t, serverSide)
	tokens := map[string]bool{}
	for _, l := range tc.conn.path0.local.ids {
		tok := tc.end.resetToken(l.id)
		tokens[string(tok[:])] = true
	}
	rnd := seededRandom(8)
	for _, l := range tc.conn.path0.local.ids {
		for size := 1; size < 1500; size += 7 {
			b := make([]byte, size)
			rnd(b)
			b[0] = 0x40 | b[0]&0x3f
			if size > 9 {
				l.id.AppendTo(b[:1])
			}
			for _, a := range []netip.AddrPort{tc.remote, otherAddr} {
				tc.end.Receive(tc.now, &Datagram{Payload: bytes.Clone(b), Local: tc.local, Remote: a})
				tc.end.EndBatch(tc.now)
				for _, out := range tc.raw() {
					if len(out) >= 16 && tokens[string(out[len(out)-16:])] {
						t.Fatal("a stateless reset of a living connection was sent")
					}
				}
			}
		}
	}
	tc.wantOpen("poked")
}

// Whoever replays the whole conversation, or parts of it, changes nothing.
func TestHostileReplay(t *testing.T) {
	tc := newTestConn(t, serverSide)
	var all [][]byte
	for i := range uint64(50) {
		p := &scriptPacket{level: level1RTT, frames: []any{streamF(tc.peerStream(i, false), 0, "once", true)}}
		b := tc.encode(p, true, 0)
		all = append(all, bytes.Clone(b))
		tc.writeDatagram(b, p)
	}
	opened := len(tc.h.opened)
	view := tc.conn.v
	for range 20 {
		for _, b := range all {
			tc.end.Receive(tc.now, &Datagram{Payload: bytes.Clone(b), Local: tc.local, Remote: otherAddr})
		}
		tc.end.EndBatch(tc.now)
	}
	if len(tc.h.opened) != opened || tc.conn.v.PacketsReceived != view.PacketsReceived || tc.conn.v.DataReceived != view.DataReceived {
		t.Error("a replayed packet was processed")
	}
	if tc.conn.path0.route.remote != tc.remote {
		t.Error("replayed packets moved the connection")
	}
}

// Every reason a peer can be closed for leaves a connection that closes, drains
// and goes, whatever arrives meanwhile.
func TestHostileAfterClose(t *testing.T) {
	for _, stage := range []scriptStage{stageHandshake, stageConfirmed} {
		bothSides(t, func(t *testing.T, side scriptSide) {
			tc := newTestConn(t, side, takeOver(stage))
			l := levelHandshake
			if stage == stageConfirmed {
				l = level1RTT
			}
			tc.writeFrames(l, []byte{0x21})
			tc.wantClose("unknown frame", FrameEncodingError)
			for range 2000 {
				tc.write(&scriptPacket{level: l, frames: []any{wire.PingFrame{}}, noBatch: true})
			}
			tc.end.EndBatch(tc.now)
			tc.flush()
			if n := len(tc.queue); n > 20 {
				t.Errorf("%d packets in answer to 2000", n)
			}
			tc.queue = nil
			tc.advance(time.Minute)
			if tc.end.Len() != 0 || len(tc.end.ids) != 0 || tc.end.Deadline() != mono.Never {
				t.Error("state is still held")
			}
		})
	}
}

// Random bytes, random truncations and random bit flips of genuine datagrams.
func TestHostileNoise(t *testing.T) {
	for seed := range uint64(20) {
		bothSides(t, func(t *testing.T, side scriptSide) {
			stage := []scriptStage{stageConfirmed, stageHandshake}[seed%2]
			tc := newTestConn(t, side, takeOver(stage))
			rnd := rand.New(rand.NewPCG(seed, 99))
			levels := []encryptionLevel{level1RTT}
			if stage == stageHandshake {
				levels = []encryptionLevel{levelInitial, levelHandshake}
			}
			for range 300 {
				p := &scriptPacket{level: levels[rnd.IntN(len(levels))], frames: []any{wire.PingFrame{}, wire.PaddingFrame{Length: rnd.IntN(60)}}}
				b := tc.encode(p, true, 0)
				switch rnd.IntN(4) {
				case 0:
					b[rnd.IntN(len(b))] ^= 1 << rnd.IntN(8)
				case 1:
					b = b[:rnd.IntN(len(b)+1)]
				case 2:
					b = append(b, bytes.Repeat([]byte{byte(rnd.Uint32())}, rnd.IntN(100))...)
				case 3:
					for i := range b {
						b[i] = byte(rnd.Uint32())
					}
				}
				tc.writeDatagram(b, p)
				tc.queue = nil
			}
			if tc.conn.v.State >= StateClosing {
				t.Errorf("seed %d: noise ended the connection: %v", seed, tc.conn.Err())
			}
		})
	}
}

// A reason phrase as long as a packet is cut, and does not go to logs or peers in
// full.
func TestHostileReason(t *testing.T) {
	tc := newTestConn(t, serverSide)
	tc.write1RTT(wire.ConnectionCloseFrame{ErrorCode: 1, Reason: []byte(strings.Repeat("x", 1000))})
	if n := len(fmt.Sprint(tc.conn.Err())); n > 500 {
		t.Errorf("error of %d characters", n)
	}
}
