package core

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/pquic-go/pquic/core/wire"
)

// Everything a peer may not say, and the error it gets.

// oneOfEach is a valid frame of every type.
func oneOfEach(tc *testConn) map[wire.FrameType]any {
	id := tc.peerStream(0, true)
	return map[wire.FrameType]any{
		wire.Padding:            wire.PaddingFrame{Length: 4},
		wire.Ping:               wire.PingFrame{},
		wire.Ack:                ackFrame{Ranges: []wire.PNRange{{}}},
		wire.AckECN:             ackFrame{Ranges: []wire.PNRange{{}}, ECN: true},
		wire.ResetStream:        wire.ResetStreamFrame{ID: id},
		wire.StopSending:        wire.StopSendingFrame{ID: id},
		wire.Crypto:             wire.CryptoFrame{Offset: 60000},
		wire.NewToken:           wire.NewTokenFrame{Token: []byte("token")},
		wire.Stream:             streamF(id, 0, "x", false),
		wire.Stream | 1:         append([]byte{0x09}, varints(id)...),
		wire.MaxData:            wire.MaxDataFrame{Max: 1 << 30},
		wire.MaxStreamData:      wire.MaxStreamDataFrame{ID: id, Max: 1 << 30},
		wire.MaxStreamsBidi:     wire.MaxStreamsFrame{Max: 200},
		wire.MaxStreamsUni:      wire.MaxStreamsFrame{Max: 200, Uni: true},
		wire.DataBlocked:        wire.DataBlockedFrame{},
		wire.StreamDataBlocked:  wire.StreamDataBlockedFrame{ID: id},
		wire.StreamsBlockedBidi: wire.StreamsBlockedFrame{},
		wire.StreamsBlockedUni:  wire.StreamsBlockedFrame{Uni: true},
		wire.NewConnectionID:    newConnID(100, 0),
		wire.RetireConnectionID: wire.RetireConnectionIDFrame{Sequence: 1},
		wire.PathChallenge:      wire.PathChallengeFrame{},
		wire.PathResponse:       wire.PathResponseFrame{},
		wire.ConnectionClose:    wire.ConnectionCloseFrame{ErrorCode: 1},
		wire.ApplicationClose:   wire.ConnectionCloseFrame{Application: true, ErrorCode: 1},
		wire.HandshakeDone:      wire.HandshakeDoneFrame{},
		wire.ImmediateAck:       wire.ImmediateAckFrame{},
		wire.ResetStreamAt:      wire.ResetStreamAtFrame{ID: id},
		wire.AckFrequency:       wire.AckFrequencyFrame{Sequence: 1, AckElicitingThreshold: 1, RequestedMaxAckDelay: 2000, ReorderingThreshold: 1},
	}
}

// RFC 9000, Table 3, written down a second time.
// https://www.rfc-editor.org/rfc/rfc9000#table-3
var framesIn = map[encryptionLevel][]wire.FrameType{
	levelInitial:   {wire.Padding, wire.Ping, wire.Ack, wire.AckECN, wire.Crypto, wire.ConnectionClose},
	levelHandshake: {wire.Padding, wire.Ping, wire.Ack, wire.AckECN, wire.Crypto, wire.ConnectionClose},
	levelEarly: {wire.Padding, wire.Ping, wire.ResetStream, wire.StopSending, wire.Stream, wire.Stream | 1, wire.MaxData,
		wire.MaxStreamData, wire.MaxStreamsBidi, wire.MaxStreamsUni, wire.DataBlocked, wire.StreamDataBlocked,
		wire.StreamsBlockedBidi, wire.StreamsBlockedUni, wire.NewConnectionID, wire.PathChallenge, wire.ConnectionClose,
		wire.ApplicationClose, wire.ResetStreamAt},
}

// "An endpoint MUST treat receipt of a frame in a packet type that is not
// permitted as a connection error of type PROTOCOL_VIOLATION."
// https://www.rfc-editor.org/rfc/rfc9000#section-12.4
func TestFramesInPacketTypes(t *testing.T) {
	bothSides(t, func(t *testing.T, side scriptSide) {
		for _, l := range []encryptionLevel{levelInitial, levelHandshake, levelEarly} {
			if l == levelEarly && side == clientSide {
				continue // servers send no 0-RTT
			}
			allowed := map[wire.FrameType]bool{}
			for _, f := range framesIn[l] {
				allowed[f] = true
			}
			for typ := range oneOfEach(&testConn{}) {
				t.Run(fmt.Sprintf("%v in %v", typ, l.packetType()), func(t *testing.T) {
					var tc *testConn
					if l == levelEarly {
						tc = newTestConn(t, side, secondVisit(), takeOver(stageInitial))
						tc.writeFrames(levelInitial, wire.CryptoFrame{Data: tc.peerCrypto(levelInitial)})
						if tc.conn == nil || tc.conn.keys[levelEarly].open == nil {
							t.Fatal("server has no 0-RTT keys")
						}
						if typ == wire.RetireConnectionID {
							// "A server MAY treat receipt of these frame types in
							// 0-RTT packets as a connection error of type
							// PROTOCOL_VIOLATION": either is right.
							return
						}
					} else {
						tc = newTestConn(t, side, takeOver(stageHandshake))
					}
					if side == clientSide && l == levelHandshake && (typ == wire.Ack || typ == wire.AckECN) {
						tc.conn.hs.v.PTOProbes = 1 // something to acknowledge
						tc.conn.wake()
						tc.flush()
					}
					tc.writeFrames(l, oneOfEach(tc)[typ])
					if !allowed[typ] {
						c := tc.wantClose("not permitted", ProtocolViolation)
						if c.FrameType != typ && c.FrameType != typ&^1 {
							t.Errorf("frame type %v blamed", c.FrameType)
						}
						return
					}
					if typ == wire.ConnectionClose || typ == wire.ApplicationClose {
						if tc.conn.v.State != StateDraining {
							t.Error("connection does not drain")
						}
						return
					}
					tc.wantOpen("permitted")
				})
			}
		}
	})
}

// All of them may be in 1-RTT packets, but some are for servers only.
func TestFramesIn1RTT(t *testing.T) {
	bothSides(t, func(t *testing.T, side scriptSide) {
		for typ := range oneOfEach(&testConn{}) {
			tc := newTestConn(t, side)
			f := oneOfEach(tc)[typ]
			switch typ {
			case wire.ConnectionClose, wire.ApplicationClose:
				continue
			case wire.NewConnectionID:
				f = newConnID(tc.peer.path0.local.next, 0)
			}
			tc.write1RTT(f)
			if side == serverSide && (typ == wire.NewToken || typ == wire.HandshakeDone) {
				tc.wantClose(typ.String()+" sent by a client", ProtocolViolation)
				continue
			}
			tc.wantOpen(typ.String())
		}
	})
}

// "An endpoint MUST treat the receipt of a frame of unknown type as a
// connection error of type FRAME_ENCODING_ERROR."
// https://www.rfc-editor.org/rfc/rfc9000#section-12.4
func TestUnknownFrames(t *testing.T) {
	for _, typ := range []uint64{0x20, 0x21, 0x23, 0x25, 0x30, 0x31, 0x3f, 0x40, 0xae, 0xb0, 0x1234, 0x31515000, 1<<62 - 1} {
		for _, l := range []encryptionLevel{levelInitial, levelHandshake, level1RTT} {
			stage := stageHandshake
			if l == level1RTT {
				stage = stageConfirmed
			}
			tc := newTestConn(t, serverSide, takeOver(stage))
			tc.writeFrames(l, varints(typ))
			c := tc.wantClose("unknown frame type", FrameEncodingError)
			if uint64(c.FrameType) != typ {
				t.Errorf("type 0x%x blamed, sent 0x%x", uint64(c.FrameType), typ)
			}
		}
	}
}

// "An endpoint MAY treat the receipt of a frame type that uses a longer
// encoding than necessary as a connection error of type PROTOCOL_VIOLATION."
func TestFrameTypeNotMinimal(t *testing.T) {
	for _, typ := range []uint64{0x01, 0x08, 0x1e, 0x00} {
		for n := 2; n <= 8; n *= 2 {
			tc := newTestConn(t, clientSide)
			tc.write1RTT(wire.AppendVarintN(nil, typ, n))
			tc.wantClose("long encoding", ProtocolViolation)
		}
	}
	tc := newTestConn(t, clientSide)
	tc.write1RTT([]byte{0xc0, 0, 0})
	tc.wantClose("type cut off", FrameEncodingError)
}

// Every frame, cut at every byte.
func TestTruncatedFrames(t *testing.T) {
	skip := map[wire.FrameType]bool{wire.Padding: true, wire.Stream | 1: true, wire.ConnectionClose: true, wire.ApplicationClose: true}
	for typ := range oneOfEach(&testConn{side: clientSide}) {
		if skip[typ] {
			continue
		}
		whole := appendScriptFrame(t, nil, func() any {
			tc := &testConn{side: clientSide}
			if b, ok := oneOfEach(tc)[typ].([]byte); ok {
				return b
			}
			return oneOfEach(tc)[typ]
		}())
		for n := 1; n < len(whole); n++ {
			tc := newTestConn(t, clientSide)
			tc.write1RTT(whole[:n])
			c := tc.wantClose(fmt.Sprintf("%v cut at %d of %d", typ, n, len(whole)), FrameEncodingError)
			if n > 1 && c.FrameType != typ && !(c.FrameType.IsStream() && typ.IsStream()) {
				t.Errorf("%v cut at %d: type %v blamed", typ, n, c.FrameType)
			}
		}
	}
}

func TestMalformedFrames(t *testing.T) {
	id := uint64(1) // a stream of a server
	for why, x := range map[string]struct {
		raw  []byte
		code TransportErrorCode
	}{
		"empty NEW_TOKEN":                         {[]byte{0x07, 0}, FrameEncodingError},
		"MAX_STREAMS above 2^60":                  {append([]byte{0x12}, varints(1<<60+1)...), FrameEncodingError},
		"MAX_STREAMS above 2^60, unidirectional":  {append([]byte{0x13}, varints(1<<60+1)...), FrameEncodingError},
		"STREAMS_BLOCKED above 2^60":              {append([]byte{0x16}, varints(1<<60+1)...), FrameEncodingError},
		"NEW_CONNECTION_ID without an ID":         {append([]byte{0x18, 5, 0, 0}, make([]byte, 16)...), FrameEncodingError},
		"NEW_CONNECTION_ID of 21 bytes":           {append([]byte{0x18, 5, 0, 21}, make([]byte, 21+16)...), FrameEncodingError},
		"Retire Prior To above the number":        {append([]byte{0x18, 5, 6, 8}, make([]byte, 8+16)...), FrameEncodingError},
		"CRYPTO beyond 2^62-1":                    {append(append([]byte{0x06}, varints(1<<62-1, 1)...), 0), FrameEncodingError},
		"STREAM longer than the packet":           {append([]byte{0x0a}, varints(id, 5)...), FrameEncodingError},
		"CONNECTION_CLOSE reason cut off":         {append([]byte{0x1c}, varints(0, 0, 9)...), FrameEncodingError},
		"RESET_STREAM_AT reliable beyond final":   {append([]byte{0x24}, varints(id, 0, 5, 6)...), FrameEncodingError},
		"ACK_FREQUENCY of an unsupported delay":   {append(wire.AppendVarintN(nil, 0xaf, 2), varints(1, 1, 1, 1)...), ProtocolViolation},
		"RETIRE_CONNECTION_ID of an unissued one": {append([]byte{0x19}, varints(1000)...), ProtocolViolation},
	} {
		tc := newTestConn(t, clientSide)
		tc.write1RTT(x.raw)
		tc.wantClose(why, x.code)
	}
}

// "An endpoint MUST treat receipt of a packet containing no frames as a
// connection error of type PROTOCOL_VIOLATION."
// https://www.rfc-editor.org/rfc/rfc9000#section-12.4
func TestEmptyPacket(t *testing.T) {
	bothSides(t, func(t *testing.T, side scriptSide) {
		for _, l := range []encryptionLevel{levelInitial, levelHandshake, level1RTT} {
			stage := stageHandshake
			if l == level1RTT {
				stage = stageConfirmed
			}
			tc := newTestConn(t, side, takeOver(stage))
			p := &scriptPacket{level: l, padded: true}
			if l == levelInitial && side == serverSide {
				// The datagram has to be large enough to count.
				b := tc.encode(p, false, 0)
				tc.writeDatagram(append(b, make([]byte, minUDPPayload)...), p)
			} else {
				tc.write(p)
			}
			tc.wantClose("packet without frames", ProtocolViolation)
		}
	})
}

// "An endpoint MUST treat receipt of a packet that has a non-zero value for
// these bits after removing both packet and header protection as a connection
// error of type PROTOCOL_VIOLATION."
// https://www.rfc-editor.org/rfc/rfc9000#section-17.2
func TestReservedBits(t *testing.T) {
	bothSides(t, func(t *testing.T, side scriptSide) {
		for _, x := range []struct {
			level encryptionLevel
			bits  []byte
		}{{levelInitial, []byte{0x04, 0x08, 0x0c}}, {levelHandshake, []byte{0x04, 0x08, 0x0c}}, {level1RTT, []byte{0x08, 0x10, 0x18}}} {
			for _, bits := range x.bits {
				stage := stageHandshake
				if x.level == level1RTT {
					stage = stageConfirmed
				}
				tc := newTestConn(t, side, takeOver(stage))
				tc.write(&scriptPacket{level: x.level, frames: []any{wire.PingFrame{}}, firstXor: bits})
				tc.wantClose("reserved bits", ProtocolViolation)
			}
		}
	})
}

// A packet with the fixed bit clear is accepted where greasing was offered and
// dropped where not. https://www.rfc-editor.org/rfc/rfc9287#section-3
func TestFixedBit(t *testing.T) {
	for _, grease := range []bool{false, true} {
		tc := newTestConn(t, serverSide, engineConfig(func(c *Config) { c.DisableGrease = !grease }))
		n := tc.conn.v.PacketsReceived
		tc.write(&scriptPacket{level: level1RTT, frames: []any{wire.PingFrame{}}, firstXor: wire.FixedBit})
		tc.wantOpen("fixed bit")
		if got := tc.conn.v.PacketsReceived > n; got != grease {
			t.Errorf("greasing offered: %v, packet accepted: %v", grease, got)
		}
	}
	// "…MUST NOT clear" it before the peer's parameters are known, and never
	// if they do not offer it.
	for _, grease := range []bool{false, true} {
		tc := newTestConn(t, clientSide, engineConfig(func(c *Config) { c.DisableGrease = false }), peerConfig(func(c *Config) { c.DisableGrease = !grease }))
		cleared := 0
		for range 64 {
			tc.conn.Ping(tc.now)
			tc.collect(tc.end, func(b []byte, _ *Transmit) {
				if b[0]&wire.FixedBit == 0 {
					cleared++
				}
				b = bytes.Clone(b)
				tc.read(b, &Transmit{})
			})
		}
		if grease != (cleared > 0) || cleared == 64 {
			t.Errorf("greasing offered: %v, bit cleared in %d of 64 packets", grease, cleared)
		}
	}
}

// Packets that fail authentication change nothing.
func TestForgedPackets(t *testing.T) {
	tc := newTestConn(t, serverSide)
	view := tc.conn.v
	for i := range 64 {
		p := &scriptPacket{level: level1RTT, frames: []any{wire.ConnectionCloseFrame{ErrorCode: 1}}}
		b := tc.encode(p, true, 0)
		b[len(b)-1-i%20] ^= 1 << (i % 8)
		tc.writeDatagram(b, p)
	}
	tc.wantOpen("forged packets")
	tc.wantNothing("no answer to forged packets")
	if tc.conn.v.PacketsReceived != view.PacketsReceived {
		t.Error("a forged packet was processed")
	}
	if tc.conn.v.PacketsUndecryptable != view.PacketsUndecryptable+64 {
		t.Errorf("%d packets counted", tc.conn.v.PacketsUndecryptable-view.PacketsUndecryptable)
	}
	tc.write1RTT(streamF(0, 0, "x", true))
	if len(tc.h.opened) != 1 {
		t.Error("connection does not go on")
	}
}

// "If the total number of received packets that fail authentication within the
// connection … exceeds the integrity limit for the selected AEAD, the endpoint
// MUST immediately close the connection with a connection error of type
// AEAD_LIMIT_REACHED".
// https://www.rfc-editor.org/rfc/rfc9001#section-6.6
func TestIntegrityLimit(t *testing.T) {
	tc := newTestConn(t, serverSide)
	tc.conn.keyUpdate.forged = 1<<52 - 1 // AES-128-GCM
	forge := func() {
		p := &scriptPacket{level: level1RTT, frames: []any{wire.PingFrame{}}}
		b := tc.encode(p, true, 0)
		b[len(b)-1] ^= 1
		tc.writeDatagram(b, p)
	}
	forge()
	tc.wantOpen("limit reached but not exceeded")
	forge()
	tc.wantClose("limit exceeded", AEADLimitReached)
}

// A duplicate is not processed twice.
func TestDuplicatePacket(t *testing.T) {
	tc := newTestConn(t, serverSide)
	p := &scriptPacket{level: level1RTT, frames: []any{wire.StopSendingFrame{ID: 0, ErrorCode: 1}, wire.PathChallengeFrame{}}}
	b := tc.encode(p, true, 0)
	tc.writeDatagram(bytes.Clone(b), p)
	wantType[wire.PathResponseFrame](tc, "answer")
	wantType[wire.ResetStreamFrame](tc, "reset")
	tc.writeDatagram(b, p)
	tc.wantIdle("a duplicate")
	if tc.conn.v.PacketsDuplicate != 1 {
		t.Errorf("%d duplicates counted", tc.conn.v.PacketsDuplicate)
	}
}

// "Receivers SHOULD ignore any subsequent packets with a different Destination
// Connection ID than the first packet in the datagram."
// https://www.rfc-editor.org/rfc/rfc9000#section-12.2
func TestCoalescedForAnotherConnection(t *testing.T) {
	tc := newTestConn(t, serverSide, takeOver(stageHandshake))
	n := tc.conn.v.PacketsReceived
	tc.write(
		&scriptPacket{level: levelInitial, frames: []any{wire.PingFrame{}}},
		&scriptPacket{level: levelHandshake, frames: []any{wire.PingFrame{}}, dst: connIDOf("another!"), pad: 1300},
	)
	if got := tc.conn.v.PacketsReceived - n; got != 1 {
		t.Errorf("%d packets processed, want the first alone", got)
	}
	tc.wantOpen("second packet ignored")
}
