package core

import (
	"bytes"
	"crypto/tls"
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/pquic-go/pquic/core/mono"
	"github.com/pquic-go/pquic/core/protection"
	"github.com/pquic-go/pquic/core/wire"
)

// raw takes the datagrams the endpoint under test sends now, unread.
func (tc *testConn) raw() [][]byte {
	var out [][]byte
	tc.collect(tc.end, func(b []byte, _ *Transmit) { out = append(out, bytes.Clone(b)) })
	return out
}

// "A client MUST expand the payload of all UDP datagrams carrying Initial
// packets to at least the smallest allowed maximum datagram size of 1200
// bytes"; its first Destination Connection ID has 8 bytes at least.
// https://www.rfc-editor.org/rfc/rfc9000#section-14.1
func TestClientInitial(t *testing.T) {
	tc := newTestConn(t, clientSide, takeOver(stageInitial))
	for _, b := range tc.raw() {
		h, err := wire.ParseLongHeader(b)
		if err != nil || h.Type != wire.Initial || len(b) < minUDPPayload || h.DstConnID.Len() < 8 || len(h.Token) > 0 {
			t.Errorf("first datagram: %d bytes, %+v, %v", len(b), h, err)
		}
	}
	// Acknowledgments in Initial packets too.
	tc.writeFrames(levelInitial, wire.PingFrame{})
	for _, b := range tc.raw() {
		if len(b) < minUDPPayload {
			t.Errorf("a datagram with an Initial packet has %d bytes", len(b))
		}
	}
	tc.advanceToPTO("no answer")
	for _, p := range tc.queue {
		if p.size < minUDPPayload {
			t.Errorf("a datagram with an Initial packet has %d bytes", p.size)
		}
	}
}

// The same holds for a server's ack-eliciting Initial packets, not for its
// acknowledgments.
func TestServerInitial(t *testing.T) {
	tc := newTestConn(t, serverSide, takeOver(stageInitial))
	tc.writeFrames(levelInitial, wire.CryptoFrame{Data: tc.peerCrypto(levelInitial)})
	for _, p := range tc.queue {
		if p.level == levelInitial && p.size < minUDPPayload {
			t.Errorf("ServerHello came in a datagram of %d bytes", p.size)
		}
	}
	tc.queue = nil
	tc.ackAll(levelInitial)
	tc.writeFrames(levelInitial, wire.PingFrame{})
	tc.wantAck("PING")
	if tc.current.size >= minUDPPayload {
		t.Errorf("an acknowledgment alone takes %d bytes", tc.current.size)
	}
}

// "A server MUST discard an Initial packet that is carried in a UDP datagram
// with a payload that is smaller than the smallest allowed maximum datagram
// size of 1200 bytes." Not the first one alone.
// https://www.rfc-editor.org/rfc/rfc9000#section-14.1
func TestSmallInitial(t *testing.T) {
	tc := newTestConn(t, serverSide, takeOver(stageInitial))
	hello := tc.peerCrypto(levelInitial)
	tc.write(&scriptPacket{level: levelInitial, frames: []any{wire.CryptoFrame{Data: hello}}, pad: minUDPPayload - 1})
	if tc.conn != nil || tc.end.Len() != 0 {
		t.Fatal("a small Initial made a connection")
	}
	tc.writeFrames(levelInitial, wire.CryptoFrame{Data: hello[:100]})
	if tc.conn == nil {
		t.Fatal("no connection")
	}
	tc.queue = nil
	n := tc.conn.v.PacketsReceived
	tc.write(&scriptPacket{level: levelInitial, frames: []any{wire.CryptoFrame{Offset: 100, Data: hello[100:]}}, pad: minUDPPayload - 1})
	tc.wantIdle("a small datagram")
	if tc.conn.v.PacketsReceived != n {
		t.Error("Initial packet of a small datagram was processed")
	}
	// A client's peer has no such rule.
	c := newTestConn(t, clientSide, takeOver(stageInitial))
	c.flush()
	c.write(&scriptPacket{level: levelInitial, frames: []any{wire.PingFrame{}}, padded: true})
	c.wantAck("small datagram from a server")
}

// "if subsequent Initial packets include a different Source Connection ID, they
// MUST be discarded". https://www.rfc-editor.org/rfc/rfc9000#section-7.2
func TestSourceConnectionIDChanged(t *testing.T) {
	bothSides(t, func(t *testing.T, side scriptSide) {
		for _, l := range []encryptionLevel{levelInitial, levelHandshake} {
			tc := newTestConn(t, side, takeOver(stageHandshake))
			n := tc.conn.v.PacketsReceived
			tc.write(&scriptPacket{level: l, frames: []any{wire.PingFrame{}}, src: connIDOf("elsewhere")})
			if tc.conn.v.PacketsReceived != n {
				t.Errorf("packet of level %d with another Source Connection ID was processed", l)
			}
			tc.wantOpen("discarded")
		}
	})
}

// "Initial packets sent by the server MUST set the Token Length field to 0;
// clients that receive an Initial packet with a non-zero Token Length field
// MUST either discard the packet or generate a connection error of type
// PROTOCOL_VIOLATION." https://www.rfc-editor.org/rfc/rfc9000#section-17.2.2
func TestServerInitialWithToken(t *testing.T) {
	tc := newTestConn(t, clientSide, takeOver(stageInitial))
	tc.flush()
	tc.queue = nil
	tc.write(&scriptPacket{level: levelInitial, frames: []any{wire.PingFrame{}}, token: []byte("token")})
	tc.wantNothing("an Initial packet with a token")
	if tc.conn.v.PacketsReceived != 0 {
		t.Error("packet was processed")
	}
}

// 1-RTT packets that overtake the end of the handshake are kept and processed
// when their keys exist; the packet that brings the keys is none the wiser.
// https://www.rfc-editor.org/rfc/rfc9001#section-5.7
func TestEarly1RTTPackets(t *testing.T) {
	bothSides(t, func(t *testing.T, side scriptSide) {
		tc := newTestConn(t, side, takeOver(stageHandshake))
		id := tc.peerStream(0, false)
		if side == serverSide {
			// The client's 1-RTT keys exist once it has seen the server's flight.
			if tc.seal[level1RTT] == nil {
				t.Fatal("client has no 1-RTT keys")
			}
		}
		var numbers []uint64
		for i := range 3 {
			numbers = append(numbers, tc.write1RTT(streamF(id, uint64(2*i), "ab", i == 2)))
		}
		if len(tc.h.opened) != 0 {
			t.Fatal("1-RTT data before the handshake is complete")
		}
		tc.queue = nil
		fin := tc.peerCrypto(levelHandshake)
		hs := tc.write(&scriptPacket{level: levelHandshake, frames: []any{wire.CryptoFrame{Data: fin}, wire.PingFrame{}}})
		if tc.conn.v.HandshakeComplete == 0 {
			t.Fatal("handshake is not complete")
		}
		if got := tc.readStream(tc.stream(id)); got != "ababab" {
			t.Errorf("read %q", got)
		}
		if r := tc.conn.path0.space.received.Ranges(); len(r) != 1 || r[0].Lo != numbers[0] || r[0].Hi != numbers[2] {
			t.Errorf("1-RTT packets %v received, sent %v", r, numbers)
		}
		if side == clientSide {
			if l, _ := tc.conn.hs.received.Largest(); l != hs {
				t.Errorf("Handshake packet %d received, sent %d", l, hs)
			}
		}
		tc.wantOpen("early packets")
	})
}

// More than a few early packets are not kept.
func TestEarlyPacketsBounded(t *testing.T) {
	tc := newTestConn(t, serverSide, takeOver(stageHandshake))
	for range 1000 {
		tc.write(&scriptPacket{level: level1RTT, frames: []any{wire.PaddingFrame{Length: 1000}}, noBatch: true})
	}
	if n := len(tc.conn.pending); n > maxBuffered {
		t.Errorf("%d packets are kept", n)
	}
}

// "a client MUST discard Initial keys when it first sends a Handshake packet
// and a server MUST discard Initial keys when it first successfully processes a
// Handshake packet. Endpoints MUST NOT send Initial packets after this point."
// https://www.rfc-editor.org/rfc/rfc9001#section-4.9.1
func TestInitialKeysDiscarded(t *testing.T) {
	bothSides(t, func(t *testing.T, side scriptSide) {
		tc := newTestConn(t, side, takeOver(stageHandshake))
		if tc.conn.keys[levelInitial].open == nil {
			t.Fatal("no Initial keys to begin with")
		}
		tc.writeFrames(levelHandshake, wire.PingFrame{})
		tc.flush() // the client's acknowledgment is its first Handshake packet
		if tc.conn.keys[levelInitial] != (levelKeys{}) {
			t.Error("Initial keys are still there")
		}
		if tc.conn.initial.sent.BytesInFlight != 0 || tc.conn.initial.v.Discarded == 0 {
			t.Error("Initial packets are still in flight")
		}
		tc.queue = nil
		tc.writeFrames(levelInitial, wire.PingFrame{})
		tc.wantNothing("an Initial packet after that")
		tc.advance(time.Second)
		for _, p := range tc.queue {
			if p.level == levelInitial {
				t.Error("Initial packet sent after its keys were discarded")
			}
		}
	})
}

// https://www.rfc-editor.org/rfc/rfc9001#section-4.9.2
func TestHandshakeKeysDiscarded(t *testing.T) {
	bothSides(t, func(t *testing.T, side scriptSide) {
		tc := newTestConn(t, side, takeOver(stageHandshake))
		tc.finishHandshake()
		if side == clientSide {
			tc.flush()
			if tc.conn.v.HandshakeComplete == 0 || tc.conn.v.HandshakeConfirmed != 0 {
				t.Fatalf("complete %d, confirmed %d", tc.conn.v.HandshakeComplete, tc.conn.v.HandshakeConfirmed)
			}
			if tc.conn.keys[levelHandshake].seal == nil {
				t.Error("Handshake keys are gone before the handshake is confirmed")
			}
			// Its Finished goes on until it is acknowledged.
			tc.queue = nil
			tc.advanceToPTO("Finished not acknowledged")
			wantType[wire.CryptoFrame](tc, "Finished again")
			if tc.current.level != levelHandshake {
				t.Errorf("at level %d", tc.current.level)
			}
			tc.queue = nil
			tc.write1RTT(wire.HandshakeDoneFrame{})
			tc.write1RTT(wire.HandshakeDoneFrame{}) // once more does no harm
		}
		if tc.conn.v.HandshakeConfirmed == 0 {
			t.Error("handshake is not confirmed")
		}
		if tc.conn.keys[levelHandshake] != (levelKeys{}) || tc.conn.keys[levelInitial] != (levelKeys{}) {
			t.Error("keys of the handshake are still there")
		}
		tc.ackAll(level1RTT)
		tc.queue = nil
		tc.writeFrames(levelHandshake, wire.PingFrame{})
		tc.wantNothing("a Handshake packet after that")
	})
}

// An Initial packet of the client that arrives once more after the handshake
// belongs to the connection it began, and begins no other.
func TestLateInitial(t *testing.T) {
	tc := newTestConn(t, serverSide, takeOver(stageInitial))
	p := &scriptPacket{level: levelInitial, frames: []any{wire.CryptoFrame{Data: tc.peerCrypto(levelInitial)}}}
	first := tc.encode(p, true, 0)
	tc.writeDatagram(bytes.Clone(first), p)
	c := tc.conn
	tc.finishHandshake()
	if c.v.HandshakeConfirmed == 0 {
		t.Fatal("handshake is not complete")
	}
	tc.ackAll(level1RTT)
	tc.queue = nil
	tc.writeDatagram(bytes.Clone(first), p)
	if tc.end.Len() != 1 || tc.conn != c {
		t.Error("a copy of the first Initial made another connection")
	}
	tc.wantNothing("a copy of the first Initial")
	// The ID is not kept for ever.
	tc.advance(5 * time.Second)
	if _, held := tc.end.ids[c.handshake.initialDst]; held {
		t.Error("the client's first Destination Connection ID is still held")
	}
}

// "…if the client has nothing in flight, it sends a probe so that a server
// stopped by its anti-amplification limit can go on."
// https://www.rfc-editor.org/rfc/rfc9002#section-6.2.2.1
func TestClientAntiDeadlock(t *testing.T) {
	tc := newTestConn(t, clientSide, takeOver(stageInitial))
	tc.flush()
	tc.ackAll(levelInitial) // and no ServerHello
	tc.queue = nil
	tc.advanceToPTO("server is stuck")
	tc.wantFrame("probe", wire.PingFrame{})
	if p := tc.current; p.level != levelInitial || p.size < minUDPPayload {
		t.Errorf("probe of level %d, %d bytes", p.level, p.size)
	}
	tc = newTestConn(t, clientSide, takeOver(stageHandshake))
	tc.flush()
	tc.queue = nil
	tc.advanceToPTO("server is stuck")
	for {
		f, p := tc.nextFrame()
		if f == nil {
			t.Fatal("no Handshake probe")
		}
		if p.level == levelHandshake && sameFrame(f, wire.PingFrame{}) {
			break
		}
	}
}

// ---- Version Negotiation ----

func versionNegotiation(dst, src wire.ConnID, versions ...wire.Version) []byte {
	return wire.AppendVersionNegotiation(nil, dst.AppendTo(nil), src.AppendTo(nil), 0x5a, versions)
}

// https://www.rfc-editor.org/rfc/rfc9000#section-6.2
func TestVersionNegotiationClient(t *testing.T) {
	both := func(c *Config) { c.Versions = []wire.Version{wire.Version1, wire.Version2} }
	start := func(opts ...scriptOption) *testConn {
		tc := newTestConn(t, clientSide, append([]scriptOption{takeOver(stageInitial), engineConfig(both)}, opts...)...)
		tc.flush()
		tc.queue = nil
		return tc
	}
	tc := start()
	tc.writeDatagram(versionNegotiation(tc.dst, tc.conn.handshake.odcid, wire.Version2, 0x1a2a3a4a), nil)
	if tc.conn.Version() != wire.Version2 {
		t.Fatalf("version %v after Version Negotiation", tc.conn.Version())
	}
	// (The datagram was read by the script, which has no key for it.)
	tc.queue = nil

	for why, vn := range map[string]func(tc *testConn) []byte{
		"lists the version in use": func(tc *testConn) []byte {
			return versionNegotiation(tc.dst, tc.conn.handshake.odcid, wire.Version2, wire.Version1)
		},
		"wrong Destination Connection ID": func(tc *testConn) []byte {
			return versionNegotiation(connIDOf("wrong-id"), tc.conn.handshake.odcid, wire.Version2)
		},
		"wrong Source Connection ID": func(tc *testConn) []byte {
			return versionNegotiation(tc.dst, connIDOf("wrong-id"), wire.Version2)
		},
		"cut off": func(tc *testConn) []byte {
			b := versionNegotiation(tc.dst, tc.conn.handshake.odcid, wire.Version2)
			return b[:len(b)-1]
		},
		"no versions": func(tc *testConn) []byte { return versionNegotiation(tc.dst, tc.conn.handshake.odcid) },
	} {
		tc := start()
		tc.writeDatagram(vn(tc), nil)
		if tc.conn.Version() != wire.Version1 || tc.conn.handshake.negotiated {
			t.Errorf("reacted to Version Negotiation that %s", why)
		}
		tc.wantOpen(why)
		tc.wantNothing(why)
	}

	// "A client MUST discard any Version Negotiation packet if it has received
	// and successfully processed any other packet".
	tc = start()
	tc.writeFrames(levelInitial, wire.PingFrame{})
	tc.queue = nil
	tc.writeDatagram(versionNegotiation(tc.dst, tc.conn.handshake.odcid, wire.Version2), nil)
	if tc.conn.Version() != wire.Version1 {
		t.Error("reacted to Version Negotiation after a packet of the server")
	}

	// No common version.
	tc = start()
	tc.writeDatagram(versionNegotiation(tc.dst, tc.conn.handshake.odcid, 0x1a2a3a4a, 0xff00001d), nil)
	var ve *VersionError
	if !errors.As(tc.conn.Err(), &ve) || len(ve.Theirs) != 2 {
		t.Errorf("no common version: %v", tc.conn.Err())
	}
	tc.wantNothing("nothing can be said in a version the server does not know")

	// "An endpoint MUST NOT" take a second one.
	tc = start()
	tc.writeDatagram(versionNegotiation(tc.dst, tc.conn.handshake.odcid, wire.Version2), nil)
	tc.queue = nil
	tc.writeDatagram(versionNegotiation(tc.dst, tc.conn.handshake.odcid, wire.Version1), nil)
	if tc.conn.Version() != wire.Version2 {
		t.Error("reacted to a second Version Negotiation")
	}
}

// A forged Version Negotiation packet cannot lower the version: the server's
// parameters tell what it speaks.
// https://www.rfc-editor.org/rfc/rfc9368#section-4
func TestVersionDowngrade(t *testing.T) {
	tc := newTestConn(t, clientSide, takeOver(stageInitial), engineConfig(func(c *Config) { c.Versions = []wire.Version{wire.Version1, wire.Version2} }),
		peerConfig(func(c *Config) { c.Versions = []wire.Version{wire.Version2, wire.Version1} }))
	tc.raw()
	tc.writeVersionNegotiation(wire.Version2)
	tc.relay(10*time.Millisecond, func() bool { return tc.conn.v.State >= StateClosing })
	if !errors.Is(tc.conn.Err(), &TransportError{Code: VersionNegotiationFailure}) {
		t.Errorf("downgraded handshake ended with %v", tc.conn.Err())
	}
	// Where the server really speaks nothing else, all is well.
	tc = newTestConn(t, clientSide, takeOver(stageInitial),
		engineConfig(func(c *Config) { c.Versions = []wire.Version{wire.Version1, wire.Version2} }),
		peerConfig(func(c *Config) { c.Versions = []wire.Version{wire.Version2} }))
	tc.relay(10*time.Millisecond, func() bool { return tc.conn.v.HandshakeConfirmed != 0 })
	if tc.conn.Version() != wire.Version2 || !tc.conn.handshake.negotiated {
		t.Errorf("version %v", tc.conn.Version())
	}
}

func (tc *testConn) writeVersionNegotiation(v ...wire.Version) {
	tc.end.Receive(tc.now, &Datagram{Payload: versionNegotiation(tc.dst, tc.conn.handshake.odcid, v...), Local: tc.local, Remote: tc.remote})
	tc.end.EndBatch(tc.now)
}

// What the peer says of versions must agree with its packets.
func TestVersionInformationErrors(t *testing.T) {
	for why, x := range map[string]struct {
		side   scriptSide
		change func(*wire.TransportParameters)
		code   TransportErrorCode
	}{
		"server chose another version": {clientSide, func(tp *wire.TransportParameters) { tp.VersionInformation.Chosen = wire.Version2 }, VersionNegotiationFailure},
		"client chose another version": {serverSide, func(tp *wire.TransportParameters) { tp.VersionInformation.Chosen = wire.Version2 }, VersionNegotiationFailure},
		"client's choice not available": {serverSide, func(tp *wire.TransportParameters) {
			tp.VersionInformation.Available = []wire.Version{wire.Version2}
		}, TransportParameterError},
		"a version of zero": {serverSide, func(tp *wire.TransportParameters) {
			tp.VersionInformation.Available = append(tp.VersionInformation.Available, 0)
		}, TransportParameterError},
	} {
		t.Run(why, func(t *testing.T) { wantHandshakeError(t, x.side, x.code, peerParams(x.change)) })
	}
}

// wantHandshakeError runs a handshake that the engine must end.
func wantHandshakeError(t *testing.T, side scriptSide, code TransportErrorCode, opts ...scriptOption) {
	t.Helper()
	tc := newTestConn(t, side, append([]scriptOption{takeOver(stageInitial)}, opts...)...)
	tc.relay(10*time.Millisecond, func() bool {
		return tc.conn != nil && (tc.conn.v.State >= StateClosing || tc.conn.v.HandshakeConfirmed != 0)
	})
	if !errors.Is(tc.conn.Err(), &TransportError{Code: code}) {
		t.Errorf("handshake ended with %v, want %v", tc.conn.Err(), code)
	}
	var te *TransportError
	if errors.As(tc.conn.Err(), &te) && te.Remote {
		t.Errorf("it was the peer that raised %v", te)
	}
}

// The server's choice of a compatible version is followed once its packet
// proves genuine, not before.
// https://www.rfc-editor.org/rfc/rfc9368#section-2.3
func TestCompatibleVersion(t *testing.T) {
	prefer2 := func(c *Config) { c.Versions = []wire.Version{wire.Version2, wire.Version1} }
	tc := newTestConn(t, clientSide, takeOver(stageInitial), engineConfig(prefer2), peerConfig(prefer2))
	flight := tc.raw()
	if tc.conn.Version() != wire.Version1 {
		t.Fatalf("first packet in %v", tc.conn.Version())
	}
	// Forged packets in version 2.
	for _, id := range []wire.ConnID{tc.src, connIDOf("forged")} {
		b := wire.AppendLongHeader(nil, wire.Initial, wire.Version2, tc.dst, id, nil, 4)
		off := len(b)
		b = append(b, make([]byte, 1100)...)
		wire.SetLongLength(b, off, 1100)
		tc.end.Receive(tc.now, &Datagram{Payload: b, Local: tc.local, Remote: tc.remote})
		tc.end.EndBatch(tc.now)
	}
	if tc.conn.Version() != wire.Version1 {
		t.Error("a forged packet changed the version")
	}
	for _, b := range flight {
		tc.deliver(b, false, NotECT)
	}
	tc.other.EndBatch(tc.now)
	tc.relay(10*time.Millisecond, func() bool { return tc.conn.v.HandshakeConfirmed != 0 && tc.peer.v.HandshakeConfirmed != 0 })
	if tc.conn.Version() != wire.Version2 || tc.peer.Version() != wire.Version2 {
		t.Errorf("versions %v and %v", tc.conn.Version(), tc.peer.Version())
	}
}

// A server answers datagrams of versions it does not know, if they are large
// enough to begin a connection, and none of its own kind.
// https://www.rfc-editor.org/rfc/rfc9000#section-6.1
func TestVersionNegotiationServer(t *testing.T) {
	tc := newTestConn(t, serverSide, takeOver(stageInitial))
	unknown := func(size, ids int) []byte {
		b := []byte{0xc0, 0xba, 0xba, 0xba, 0xba, byte(ids)}
		b = append(b, bytes.Repeat([]byte{1}, ids)...)
		b = append(b, byte(ids))
		b = append(b, bytes.Repeat([]byte{2}, ids)...)
		return append(b, make([]byte, size-len(b))...)
	}
	for _, ids := range []int{0, 8, 20, 21, 255} {
		tc.end.Receive(tc.now, &Datagram{Payload: unknown(1200, ids), Local: tc.local, Remote: tc.remote})
		out := tc.raw()
		if len(out) != 1 {
			t.Fatalf("%d answers to an unknown version with IDs of %d bytes", len(out), ids)
		}
		p, err := wire.ParseVersionNegotiation(out[0])
		if err != nil || !bytes.Equal(p.DstRaw, bytes.Repeat([]byte{2}, ids)) || !bytes.Equal(p.SrcRaw, bytes.Repeat([]byte{1}, ids)) {
			t.Errorf("answer %+v, %v", p, err)
		}
		if !p.Contains(wire.Version1) || !p.Contains(wire.Version2) || len(out[0]) > 1200 {
			t.Errorf("answer of %d bytes %+v", len(out[0]), p)
		}
	}
	tc.end.Receive(tc.now, &Datagram{Payload: unknown(1199, 8), Local: tc.local, Remote: tc.remote})
	vn := versionNegotiation(connIDOf("12345678"), connIDOf("87654321"), wire.Version1)
	tc.end.Receive(tc.now, &Datagram{Payload: append(vn, make([]byte, 1200)...), Local: tc.local, Remote: tc.remote})
	if out := tc.raw(); len(out) > 0 {
		t.Errorf("%d answers to a small datagram and to Version Negotiation", len(out))
	}
}

// ---- Retry ----

func (tc *testConn) retryPacket(src wire.ConnID, token []byte) []byte {
	b := wire.AppendRetry(nil, wire.Version1, tc.dst, src, token, 0x0f)
	tag := protection.RetryTag(wire.Version1, tc.conn.handshake.odcid, b)
	return append(b, tag[:]...)
}

// https://www.rfc-editor.org/rfc/rfc9000#section-17.2.5.2
func TestRetryClient(t *testing.T) {
	start := func() *testConn {
		tc := newTestConn(t, clientSide, takeOver(stageInitial))
		tc.flush()
		return tc
	}
	tc := start()
	hello := wantType[wire.CryptoFrame](tc, "ClientHello")
	first := tc.current
	tc.queue = nil
	src := connIDOf("retry-source")
	tc.deriveInitial(src)
	tc.writeDatagram(tc.retryPacket(src, []byte("the token")), nil)
	p := tc.wantFrame("ClientHello again", hello)
	if p.dst != src || string(p.token) != "the token" || p.src != first.src {
		t.Errorf("after Retry: destination %v, token %q, source %v", p.dst, p.token, p.src)
	}
	if p.number <= first.number {
		t.Errorf("packet number %d after %d: it must not be reset", p.number, first.number)
	}
	if p.size < minUDPPayload {
		t.Errorf("datagram of %d bytes", p.size)
	}
	// "A client MUST accept and process at most one Retry packet for each
	// connection attempt."
	tc.queue = nil
	tc.writeDatagram(tc.retryPacket(connIDOf("another-one"), []byte("another token")), nil)
	tc.wantIdle("a second Retry")
	if tc.conn.handshake.retrySrc != src {
		t.Error("second Retry was taken")
	}

	for why, packet := range map[string]func(tc *testConn) []byte{
		"wrong integrity tag": func(tc *testConn) []byte {
			b := tc.retryPacket(src, []byte("token"))
			b[len(b)-1] ^= 1
			return b
		},
		"no token": func(tc *testConn) []byte { return tc.retryPacket(src, nil) },
		"Source Connection ID of our own choice": func(tc *testConn) []byte {
			return tc.retryPacket(tc.conn.handshake.odcid, []byte("token"))
		},
		"not for us": func(tc *testConn) []byte {
			tc.dst = connIDOf("someone!")
			return tc.retryPacket(src, []byte("token"))
		},
		"cut off": func(tc *testConn) []byte { return tc.retryPacket(src, []byte("token"))[:20] },
	} {
		tc := start()
		tc.queue = nil
		tc.writeDatagram(packet(tc), nil)
		tc.wantNothing(why)
		if tc.conn.handshake.retried {
			t.Errorf("Retry accepted: %s", why)
		}
	}

	tc = start()
	tc.writeFrames(levelInitial, wire.PingFrame{})
	tc.queue = nil
	tc.writeDatagram(tc.retryPacket(src, []byte("token")), nil)
	if tc.conn.handshake.retried {
		t.Error("Retry accepted after an Initial packet")
	}
}

func retryAlways(c *EndpointConfig) { c.Retry = func(netip.AddrPort) bool { return true } }

// A whole handshake with Retry, and with every error of the connection IDs that
// the transport parameters authenticate.
// https://www.rfc-editor.org/rfc/rfc9000#section-7.3
func TestConnectionIDsAuthenticated(t *testing.T) {
	tc := newTestConn(t, clientSide, peerEndpoint(retryAlways))
	if !tc.conn.handshake.retried {
		t.Fatal("no Retry")
	}
	other := connIDOf("other-id")
	for why, x := range map[string]struct {
		side   scriptSide
		retry  bool
		change func(*wire.TransportParameters)
	}{
		"server's source missing":    {clientSide, false, func(tp *wire.TransportParameters) { tp.HasInitialSourceConnectionID = false }},
		"server's source differs":    {clientSide, false, func(tp *wire.TransportParameters) { tp.InitialSourceConnectionID = other }},
		"client's source missing":    {serverSide, false, func(tp *wire.TransportParameters) { tp.HasInitialSourceConnectionID = false }},
		"client's source differs":    {serverSide, false, func(tp *wire.TransportParameters) { tp.InitialSourceConnectionID = other }},
		"original missing":           {clientSide, false, func(tp *wire.TransportParameters) { tp.HasOriginalDestinationConnectionID = false }},
		"original differs":           {clientSide, false, func(tp *wire.TransportParameters) { tp.OriginalDestinationConnectionID = other }},
		"retry source without Retry": {clientSide, false, func(tp *wire.TransportParameters) { tp.HasRetrySourceConnectionID = true }},
		"retry source missing":       {clientSide, true, func(tp *wire.TransportParameters) { tp.HasRetrySourceConnectionID = false }},
		"retry source differs":       {clientSide, true, func(tp *wire.TransportParameters) { tp.RetrySourceConnectionID = other }},
		"original is that of Retry":  {clientSide, true, func(tp *wire.TransportParameters) { tp.OriginalDestinationConnectionID = tp.RetrySourceConnectionID }},
	} {
		t.Run(why, func(t *testing.T) {
			opts := []scriptOption{peerParams(x.change)}
			if x.retry {
				opts = append(opts, peerEndpoint(retryAlways))
			}
			wantHandshakeError(t, x.side, TransportParameterError, opts...)
		})
	}
}

// Parameters with bad values, through whole handshakes.
// https://www.rfc-editor.org/rfc/rfc9000#section-18.2
func TestTransportParameterErrors(t *testing.T) {
	raw := func(id uint64, v []byte) func(*wire.TransportParameters) {
		return func(tp *wire.TransportParameters) {
			d := wire.DefaultTransportParameters()
			tp.MaxUDPPayloadSize, tp.AckDelayExponent, tp.MaxAckDelay, tp.ActiveConnectionIDLimit = d.MaxUDPPayloadSize, d.AckDelayExponent, d.MaxAckDelay, d.ActiveConnectionIDLimit
			tp.MaxIdleTimeout, tp.InitialMaxStreamsBidi, tp.HasMinAckDelay = 0, 0, false
			tp.Unknown = append(tp.Unknown, wire.RawParameter{ID: id, Value: v})
		}
	}
	for why, x := range map[string]struct {
		change func(*wire.TransportParameters)
		client bool // a client may not send it, either
	}{
		"max_udp_payload_size below 1200":             {raw(0x03, varints(1199)), true},
		"ack_delay_exponent above 20":                 {raw(0x0a, varints(21)), true},
		"max_ack_delay of 2^14":                       {raw(0x0b, varints(1<<14)), true},
		"active_connection_id_limit below 2":          {raw(0x0e, varints(1)), true},
		"initial_max_streams_bidi above 2^60":         {raw(0x08, varints(1<<60+1)), true},
		"an integer of the wrong length":              {raw(0x01, append(varints(5), 0)), true},
		"a flag with a value":                         {raw(0x0c, []byte{0}), true},
		"min_ack_delay above max_ack_delay":           {raw(0xff04de1b, varints(25_001)), true},
		"sent twice":                                  {raw(0x0f, []byte("x")), true},
		"a connection ID of 21 bytes":                 {raw(0x10, make([]byte, 21)), true},
		"a stateless reset token of 15 bytes":         {func(tp *wire.TransportParameters) { tp.HasStatelessResetToken = false; raw(0x02, make([]byte, 15))(tp) }, true},
		"a preferred address that is cut off":         {raw(0x0d, make([]byte, 30)), true},
		"a preferred address without a connection ID": {raw(0x0d, make([]byte, 4+2+16+2+1+16)), true},
	} {
		t.Run(why, func(t *testing.T) {
			wantHandshakeError(t, clientSide, TransportParameterError, peerParams(x.change))
			if x.client {
				wantHandshakeError(t, serverSide, TransportParameterError, peerParams(x.change))
			}
		})
	}
	for why, id := range map[string]uint64{"original_destination_connection_id": 0, "stateless_reset_token": 2, "preferred_address": 0x0d, "retry_source_connection_id": 0x10} {
		t.Run(why+" from a client", func(t *testing.T) {
			v := make([]byte, 16)
			if id == 0x0d {
				v = append([]byte{127, 0, 0, 1, 0, 1}, make([]byte, 18)...)
				v = append(append(v, 4, 1, 2, 3, 4), make([]byte, 16)...)
			}
			wantHandshakeError(t, serverSide, TransportParameterError, peerParams(func(tp *wire.TransportParameters) {
				tp.Unknown = append(tp.Unknown, wire.RawParameter{ID: id, Value: v})
			}))
		})
	}
	// "An endpoint MUST ignore transport parameters that it does not support."
	tc := newTestConn(t, serverSide, peerParams(func(tp *wire.TransportParameters) {
		for i := range uint64(100) {
			tp.Unknown = append(tp.Unknown, wire.RawParameter{ID: 31*i + 27, Value: make([]byte, i)})
		}
	}))
	tc.wantOpen("unknown parameters")
}

// ---- CRYPTO ----

// https://www.rfc-editor.org/rfc/rfc9001#section-4.8
func TestCryptoErrors(t *testing.T) {
	// A message TLS cannot parse.
	tc := newTestConn(t, serverSide, takeOver(stageInitial))
	tc.writeFrames(levelInitial, wire.CryptoFrame{Data: []byte{1, 0, 0, 4, 1, 2, 3, 4}})
	f, _ := tc.nextFrame()
	c, ok := f.(wire.ConnectionCloseFrame)
	for !ok && f != nil {
		f, _ = tc.nextFrame()
		c, ok = f.(wire.ConnectionCloseFrame)
	}
	if !ok || c.ErrorCode>>8 != 1 || c.FrameType != wire.Crypto {
		t.Errorf("closed with %s", frameString(f))
	}
	// No common application protocol.
	tc = newTestConn(t, serverSide, takeOver(stageInitial), peerConfig(func(c *Config) { c.TLS.NextProtos = []string{"other"} }))
	tc.relay(time.Millisecond, func() bool { return tc.conn != nil && tc.conn.v.State >= StateClosing })
	if !errors.Is(tc.conn.Err(), &TransportError{Code: cryptoErrorBase + 120}) {
		t.Errorf("no common protocol: %v", tc.conn.Err())
	}
	// TLS messages at the wrong time: a KeyUpdate, and handshake data in 1-RTT.
	for _, side := range []scriptSide{clientSide, serverSide} {
		tc := newTestConn(t, side)
		tc.write1RTT(wire.CryptoFrame{Offset: tc.conn.crypto[appSpace].recvFIFO.Head(), Data: []byte{24, 0, 0, 1, 0}})
		tc.wantClose("a TLS KeyUpdate message", cryptoErrorBase+10)
	}
}

// "Endpoints MUST support buffering at least 4096 bytes of data received in
// out-of-order CRYPTO frames"; beyond the buffer CRYPTO_BUFFER_EXCEEDED.
// https://www.rfc-editor.org/rfc/rfc9000#section-7.5
func TestCryptoBuffer(t *testing.T) {
	bothSides(t, func(t *testing.T, side scriptSide) {
		for _, l := range []encryptionLevel{levelInitial, levelHandshake, level1RTT} {
			stage := stageHandshake
			if l == level1RTT {
				stage = stageConfirmed
			}
			tc := newTestConn(t, side, takeOver(stage))
			head := tc.conn.crypto[l.space()].recvFIFO.Head()
			tc.writeFrames(l, wire.CryptoFrame{Offset: head + 4096 + 1, Data: make([]byte, 100)})
			tc.wantOpen("a gap of 4096 bytes")
			tc.writeFrames(l, wire.CryptoFrame{Offset: head + maxCryptoBuffer - 99, Data: make([]byte, 100)})
			tc.wantClose("beyond the buffer", CryptoBufferExceeded)
			tc = newTestConn(t, side, takeOver(stage))
			tc.writeFrames(l, wire.CryptoFrame{Offset: 1<<62 - 2, Data: []byte{0}})
			tc.wantClose("far beyond the buffer", CryptoBufferExceeded)
		}
	})
}

// A handshake in segments of one byte, in any order, costs bounded state and
// still succeeds as long as the gaps are few.
func TestCryptoOneByteSegments(t *testing.T) {
	tc := newTestConn(t, serverSide, takeOver(stageInitial))
	hello := tc.peerCrypto(levelInitial)
	for i := len(hello) - 1; i >= 0; i-- {
		tc.write(&scriptPacket{level: levelInitial, frames: []any{wire.CryptoFrame{Offset: uint64(i), Data: hello[i : i+1]}}, noBatch: i > 0})
	}
	tc.end.EndBatch(tc.now)
	tc.flush()
	if tc.conn.v.State >= StateClosing {
		t.Fatalf("ended: %v", tc.conn.Err())
	}
	if tc.conn.keys[levelHandshake].seal == nil {
		t.Error("no answer to the ClientHello")
	}
}

// ---- ends of the handshake ----

func TestHandshakeTimeout(t *testing.T) {
	bothSides(t, func(t *testing.T, side scriptSide) {
		tc := newTestConn(t, side, takeOver(stageHandshake), engineConfig(func(c *Config) { c.HandshakeTimeout = 3 * time.Second }))
		tc.advance(3 * time.Second)
		if !errors.Is(tc.conn.Err(), ErrHandshakeTimeout) || tc.end.Len() != 0 || !tc.h.gone {
			t.Errorf("ended with %v, %d connections held", tc.conn.Err(), tc.end.Len())
		}
		if n := tc.end.Stats().Handshakes; n != 0 {
			t.Errorf("%d handshakes counted", n)
		}
		if tc.end.Deadline() != mono.Never {
			t.Error("a timer is still armed")
		}
	})
}

// An address-validation token lifts the limit of the next visit, once.
// https://www.rfc-editor.org/rfc/rfc9000#section-8.1.3
func TestNewToken(t *testing.T) {
	tc := newTestConn(t, serverSide, takeOver(stageHandshake))
	tc.ignore(wire.HandshakeDone, wire.NewConnectionID, wire.Crypto)
	tc.watch(wire.NewToken)
	tc.finishHandshake()
	tok := wantType[wire.NewTokenFrame](tc, "token for the next visit").Token

	visits := uint64(100)
	visit := func(from netip.AddrPort, token []byte) *Conn {
		visits++
		v := newTestConn(t, serverSide, takeOver(stageInitial), peerEndpoint(func(c *EndpointConfig) { c.Random = seededRandom(visits) }))
		hello := v.peerCrypto(levelInitial)
		v.end = tc.end // the same server
		tc.conn = nil
		b := v.encode(&scriptPacket{level: levelInitial, frames: []any{wire.CryptoFrame{Data: hello}}, token: token}, true, 0)
		tc.end.Receive(tc.now, &Datagram{Payload: b, Local: tc.local, Remote: from})
		tc.end.EndBatch(tc.now)
		if tc.conn == nil {
			t.Fatalf("client was not accepted: %+v", tc.end.Stats())
		}
		return tc.conn
	}
	here, there := tc.remote, netip.MustParseAddrPort("192.0.2.77:1")
	if c := visit(there, tok); c.path0.route.validated {
		t.Error("a token validated another address")
	}
	if c := visit(netip.AddrPortFrom(here.Addr(), 9), tok); !c.path0.route.validated {
		t.Error("a token did not validate its address")
	}
	if c := visit(here, tok); c.path0.route.validated {
		t.Error("a token was good for two connections")
	}
	if c := visit(here, []byte("nonsense")); c.path0.route.validated {
		t.Error("nonsense validated an address")
	}
	if tc.end.Stats().InvalidTokens != 3 {
		t.Errorf("%d invalid tokens counted, want 3", tc.end.Stats().InvalidTokens)
	}
}

// A client keeps the tokens it gets and uses each once.
func TestNewTokenClient(t *testing.T) {
	store := &tokenList{}
	tc := newTestConn(t, clientSide, engineConfig(func(c *Config) { c.Tokens = store }))
	store.tokens = nil
	tc.write1RTT(wire.NewTokenFrame{Token: []byte("for later")})
	if len(store.tokens) != 1 || string(store.tokens[0]) != "for later" {
		t.Fatalf("kept %q", store.tokens)
	}
	tc = newTestConn(t, clientSide, takeOver(stageInitial), engineConfig(func(c *Config) { c.Tokens = store }))
	tc.flush()
	if string(tc.queue[0].token) != "for later" {
		t.Errorf("Initial has token %q", tc.queue[0].token)
	}
	tc = newTestConn(t, clientSide, takeOver(stageInitial), engineConfig(func(c *Config) { c.Tokens = store }))
	tc.flush()
	if len(tc.queue[0].token) != 0 {
		t.Errorf("token used twice")
	}
}

type tokenList struct{ tokens [][]byte }

func (l *tokenList) Put(_ string, t []byte) { l.tokens = append(l.tokens, t) }
func (l *tokenList) Take(string) []byte {
	if len(l.tokens) == 0 {
		return nil
	}
	t := l.tokens[0]
	l.tokens = l.tokens[1:]
	return t
}

// The whole handshake works with a ClientHello that takes several packets.
func TestLargeClientHello(t *testing.T) {
	curves := func(c *Config) {
		c.TLS.CurvePreferences = []tls.CurveID{tls.X25519MLKEM768, tls.X25519}
	}
	bothSides(t, func(t *testing.T, side scriptSide) {
		tc := newTestConn(t, side, engineConfig(curves), peerConfig(curves))
		tc.wantOpen("X25519MLKEM768")
		if id := tc.conn.ConnectionState().CurveID; id != tls.X25519MLKEM768 {
			t.Errorf("key exchange %v", id)
		}
	})
}
