package core

import (
	"testing"
	"time"

	"github.com/pquic-go/pquic/core/protection"
	"github.com/pquic-go/pquic/core/wire"
)

// updateKeys makes the script send in the next key phase, and returns the
// sealer of the phase before.
func (tc *testConn) updateKeys() *protection.Sealer {
	old := tc.seal[level1RTT]
	tc.seal[level1RTT] = old.Update()
	tc.phase = !tc.phase
	return old
}

// The peer updates its keys; the engine follows with its next packet.
// https://www.rfc-editor.org/rfc/rfc9001#section-6.2
func TestKeyUpdateByPeer(t *testing.T) {
	bothSides(t, func(t *testing.T, side scriptSide) {
		tc := newTestConn(t, side)
		tc.updateKeys()
		tc.write1RTT(wire.PingFrame{})
		pn := tc.write1RTT(wire.PingFrame{})
		a := tc.wantAck("in the new phase")
		if !tc.current.phase || a.Ranges[0].Hi != pn {
			t.Errorf("phase %v, ACK %v", tc.current.phase, a.Ranges)
		}
		if tc.conn.v.KeyUpdates != 1 || tc.conn.v.KeyPhase != 1 {
			t.Errorf("%d updates, phase %d", tc.conn.v.KeyUpdates, tc.conn.v.KeyPhase)
		}
		// Ten more, each once the last is confirmed. No pause is required.
		for i := range 10 {
			tc.updateKeys()
			tc.write1RTT(wire.PingFrame{})
			tc.write1RTT(wire.PingFrame{})
			tc.wantAck("in the new phase")
			if tc.current.phase != (i%2 == 1) {
				t.Fatalf("update %d: phase %v", i, tc.current.phase)
			}
		}
		tc.wantOpen("many updates")
	})
}

// Packets of the old phase that arrive late are still read, for a while.
// https://www.rfc-editor.org/rfc/rfc9001#section-6.3
func TestKeyUpdateReordered(t *testing.T) {
	tc := newTestConn(t, serverSide)
	var late []*scriptPacket
	for range 3 {
		late = append(late, &scriptPacket{level: level1RTT, frames: []any{streamF(tc.peerStream(uint64(len(late)), false), 0, "x", true)}})
	}
	var sealed [][]byte
	for _, p := range late {
		sealed = append(sealed, tc.encode(p, true, 0))
	}
	tc.updateKeys()
	tc.write1RTT(wire.PingFrame{})
	tc.writeDatagram(sealed[0], late[0])
	if len(tc.h.opened) != 1 {
		t.Error("a late packet of the old phase was not read")
	}
	tc.write1RTT(wire.PingFrame{})
	tc.writeDatagram(sealed[1], late[1])
	if len(tc.h.opened) != 2 {
		t.Error("a second late packet of the old phase was not read")
	}
	// "…for no more than three times the PTO".
	p := tc.conn.path0
	tc.advance(3*p.RTT.PTO(p.MaxAckDelay) + time.Millisecond)
	tc.writeDatagram(sealed[2], late[2])
	if len(tc.h.opened) != 2 {
		t.Error("the old keys are kept for too long")
	}
	tc.wantOpen("old packets")
}

// A packet number above those of the new phase does not open with old keys.
func TestKeyUpdateOldKeysLater(t *testing.T) {
	tc := newTestConn(t, serverSide)
	old := tc.updateKeys()
	tc.write1RTT(wire.PingFrame{})
	n := tc.conn.v.PacketsReceived
	tc.phase = !tc.phase
	tc.write(&scriptPacket{level: level1RTT, frames: []any{wire.PingFrame{}}, seal: old})
	if tc.conn.v.PacketsReceived != n {
		t.Error("a packet with old keys and a new number was accepted")
	}
}

// "An endpoint that receives a second update before it has sent any packets
// with updated keys containing an acknowledgment for the packet that initiated
// the key update … MAY treat such consecutive key updates as a connection error
// of type KEY_UPDATE_ERROR."
// https://www.rfc-editor.org/rfc/rfc9001#section-6.2
func TestKeyUpdateConsecutive(t *testing.T) {
	tc := newTestConn(t, serverSide)
	tc.updateKeys()
	tc.write1RTT(wire.PaddingFrame{Length: 10}) // nothing to acknowledge
	tc.updateKeys()
	tc.write1RTT(wire.PingFrame{})
	tc.wantClose("updated twice", KeyUpdateError)

	// An acknowledgment alone is enough to allow the next, though the peer never
	// acknowledges it.
	tc = newTestConn(t, serverSide)
	tc.updateKeys()
	tc.write1RTT(wire.PingFrame{})
	tc.write1RTT(wire.PingFrame{})
	tc.wantAck("update confirmed")
	tc.updateKeys()
	tc.write1RTT(wire.PingFrame{})
	tc.wantOpen("an update after confirmation")
}

// A forged packet with the other key phase changes nothing.
func TestKeyUpdateForged(t *testing.T) {
	tc := newTestConn(t, serverSide)
	tc.phase = !tc.phase
	tc.write1RTT(wire.PingFrame{}) // old keys, new phase bit
	tc.phase = !tc.phase
	if tc.conn.v.KeyUpdates != 0 {
		t.Error("keys updated by a forged packet")
	}
	tc.write1RTT(wire.PingFrame{})
	tc.write1RTT(wire.PingFrame{})
	tc.wantAck("connection goes on")
}

// The engine updates on request, once the handshake is confirmed and the last
// update acknowledged, and reads what the peer sends in either phase meanwhile.
// https://www.rfc-editor.org/rfc/rfc9001#section-6.1
func TestKeyUpdateRequested(t *testing.T) {
	bothSides(t, func(t *testing.T, side scriptSide) {
		tc := newTestConn(t, side)
		tc.conn.UpdateKeys(tc.now)
		tc.flush()
		for i := 0; i < 3 && tc.conn.v.KeyUpdates == 0; i++ {
			tc.ackAll(level1RTT)
			tc.conn.Ping(tc.now)
			tc.flush()
		}
		if tc.conn.v.KeyUpdates != 1 {
			t.Fatal("no update")
		}
		tc.conn.Ping(tc.now)
		tc.flush()
		if !tc.queue[len(tc.queue)-1].phase {
			t.Error("next packet is not in the new phase")
		}
		// The peer has not followed yet.
		id := tc.peerStream(0, false)
		tc.write1RTT(streamF(id, 0, "a", false))
		// "An endpoint MUST NOT initiate a subsequent key update unless it has
		// received an acknowledgment for a packet that was sent protected with
		// keys from the current key phase."
		tc.conn.UpdateKeys(tc.now)
		tc.advance(time.Millisecond)
		tc.conn.Ping(tc.now)
		tc.flush()
		if tc.conn.v.KeyUpdates != 1 {
			t.Error("updated again without an acknowledgment")
		}
		tc.updateKeys()
		tc.write1RTT(streamF(id, 1, "b", false))
		tc.ackAll(level1RTT)
		if got := tc.readStream(tc.stream(id)); got != "ab" {
			t.Errorf("read %q", got)
		}
		tc.wantOpen("update followed")
	})
}

// Before the handshake is confirmed a request waits.
func TestKeyUpdateNotConfirmed(t *testing.T) {
	tc := newTestConn(t, clientSide, takeOver(stageHandshake))
	tc.finishHandshake()
	if tc.conn.v.HandshakeComplete == 0 || tc.conn.v.HandshakeConfirmed != 0 {
		t.Fatal("handshake is not where it should be")
	}
	tc.conn.UpdateKeys(tc.now)
	tc.flush()
	tc.ackAll(level1RTT)
	tc.conn.Ping(tc.now)
	tc.flush()
	if tc.conn.v.KeyUpdates != 0 {
		t.Error("keys updated before the handshake is confirmed")
	}
}

// "Endpoints MUST initiate a key update before sending more protected packets
// than the confidentiality limit for the selected AEAD permits."
// https://www.rfc-editor.org/rfc/rfc9001#section-6.6
func TestKeyUpdateByLimit(t *testing.T) {
	tc := newTestConn(t, clientSide, engineConfig(func(c *Config) { c.KeyUpdateAfter = 10 }))
	for range 60 {
		tc.conn.Ping(tc.now)
		tc.flush()
		tc.ackAll(level1RTT)
		if tc.conn.v.KeyPhase != 0 != tc.phase {
			tc.updateKeys()
			tc.write1RTT(wire.PingFrame{})
			// The next update waits until the old keys are gone.
			p := tc.conn.path0
			tc.advance(3*p.RTT.PTO(p.MaxAckDelay) + time.Millisecond)
		}
	}
	if n := tc.conn.v.KeyUpdates; n < 3 || n > 12 {
		t.Errorf("%d updates after about 100 packets, one is due after 10", n)
	}
	tc.wantOpen("updates by count")

	// A peer that never confirms: the connection ends before the AEAD is used
	// too often.
	tc = newTestConn(t, clientSide)
	k := &tc.conn.keyUpdate
	k.limit, k.phaseAcked = 20, false
	tc.conn.path0.space.phaseStart = 1 << 40
	for range 60 {
		if tc.conn.v.State >= StateClosing {
			break
		}
		tc.conn.Ping(tc.now)
		tc.flush()
	}
	tc.wantClose("limit reached without a confirmed update", AEADLimitReached)
}

// ---- spin bit ----

// https://www.rfc-editor.org/rfc/rfc9000#section-17.4
func TestSpinBit(t *testing.T) {
	on := engineConfig(func(c *Config) { c.DisableSpinBit = false })
	force := onEngine(func(c *Conn) { c.v.SpinEnabled, c.v.Spin = 1, 0 })
	sends := func(tc *testConn) bool {
		tc.queue = nil
		tc.conn.Ping(tc.now)
		tc.flush()
		return tc.queue[0].spin
	}
	bothSides(t, func(t *testing.T, side scriptSide) {
		tc := newTestConn(t, side, on, force)
		for _, bit := range []bool{true, false, false, true, true} {
			tc.write(&scriptPacket{level: level1RTT, frames: []any{wire.PingFrame{}}, spin: bit})
			if got, want := sends(tc), bit != (side == clientSide); got != want {
				t.Errorf("received %v: sends %v, want %v", bit, got, want)
			}
		}
		// Packets out of order do not count.
		before := sends(tc)
		high := tc.next[appSpace]
		tc.next[appSpace] = high + 1
		tc.write(&scriptPacket{level: level1RTT, frames: []any{wire.PingFrame{}}, spin: before == (side == serverSide)})
		tc.next[appSpace] = high
		tc.write(&scriptPacket{level: level1RTT, frames: []any{wire.PingFrame{}}, spin: before != (side == serverSide)})
		if got := sends(tc); got != before {
			t.Error("a packet out of order moved the spin bit")
		}
	})
	// "An endpoint resets the spin value for a network path to 0 when changing
	// the connection ID used on that network path."
	tc := newTestConn(t, serverSide, on, force)
	tc.write(&scriptPacket{level: level1RTT, frames: []any{wire.PingFrame{}}, spin: true})
	if !sends(tc) {
		t.Fatal("bit is not reflected")
	}
	if !tc.conn.RotateConnID(tc.conn.path0) {
		t.Fatal("no spare connection ID")
	}
	if sends(tc) {
		t.Error("spin bit was not reset with the connection ID")
	}
	// Where it is disabled, what arrives is ignored.
	tc = newTestConn(t, serverSide)
	was := sends(tc)
	tc.write(&scriptPacket{level: level1RTT, frames: []any{wire.PingFrame{}}, spin: !was})
	if sends(tc) != was {
		t.Error("a disabled spin bit follows the peer")
	}
}
