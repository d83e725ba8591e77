package core

import (
	"testing"
	"time"

	"github.com/pquic-go/pquic/core/wire"
)

// A client that has lost the ServerHello keeps Handshake packets until it comes
// once more, and acknowledges them then. That says how long ServerHello took,
// not the path.
func TestHandshakeAckHeldBackForKeys(t *testing.T) {
	const rtt = 30 * time.Millisecond
	begin := func(t *testing.T) (tc *testConn, held uint64) {
		t.Helper()
		tc = newTestConn(t, serverSide, takeOver(stageHandshake))
		tc.flush()
		held = tc.largest[handshakeSpace]
		tc.conn.path0.RTT.Init(0)
		tc.conn.path0.RTT.Update(tc.now, rtt, 0)
		tc.queue = nil
		for again := false; !again; {
			tc.advanceToPTO("the client is silent")
			for _, p := range tc.queue {
				_, hello := p.frames[0].(wire.CryptoFrame)
				again = again || p.level == levelInitial && hello
			}
		}
		tc.advance(rtt)
		return tc, held
	}
	t.Run("untold", func(t *testing.T) {
		tc, held := begin(t)
		tc.ack(levelHandshake, wire.PNRange{Lo: held, Hi: held})
		if r := tc.conn.path0.RTT; r.SmoothedRTT != rtt || r.Samples != 1 {
			t.Errorf("smoothed RTT %v after %d samples, want %v after 1", r.SmoothedRTT, r.Samples, rtt)
		}
	})
	t.Run("newer packet", func(t *testing.T) {
		tc, _ := begin(t)
		sent := tc.conn.hs.sent.Get(tc.largest[handshakeSpace]).SentTime
		tc.ackLatest(levelHandshake)
		if r := tc.conn.path0.RTT; r.LatestRTT != tc.now.Sub(sent) || r.Samples != 2 {
			t.Errorf("latest RTT %v after %d samples, want %v after 2", r.LatestRTT, r.Samples, tc.now.Sub(sent))
		}
	})
	t.Run("first sample", func(t *testing.T) {
		// A path longer than the first probe timeout looks the same, and any
		// sample is better than none.
		tc, held := begin(t)
		tc.conn.path0.RTT.Init(0)
		tc.ack(levelHandshake, wire.PNRange{Lo: held, Hi: held})
		if r := tc.conn.path0.RTT; r.Samples != 1 {
			t.Errorf("%d samples, want 1", r.Samples)
		}
	})
}

// "MAY ignore the acknowledgment delay for Initial packets", not for Handshake
// packets.
// https://www.rfc-editor.org/rfc/rfc9002#section-5.3
func TestHandshakeAckDelayCounts(t *testing.T) {
	const rtt, held = 30 * time.Millisecond, 200 * time.Millisecond
	for _, v := range []struct {
		level encryptionLevel
		want  time.Duration // of the second sample, adjusted
	}{{levelInitial, rtt + held}, {levelHandshake, rtt}} {
		tc := newTestConn(t, serverSide, takeOver(stageHandshake))
		tc.flush()
		pn := tc.largest[v.level.space()]
		tc.conn.path0.RTT.Init(0)
		tc.conn.path0.RTT.Update(tc.now, rtt, 0)
		sent := tc.conn.space(v.level, tc.conn.path0).sent.Get(pn).SentTime
		tc.now = sent.Add(rtt + held) // timers fire late: no probe is sent
		f := ackFrame{Ranges: []wire.PNRange{{Lo: pn, Hi: pn}}, Delay: uint64(held/time.Microsecond) >> tc.conn.v.RemoteParams.AckDelayExponent}
		tc.writeFrames(v.level, f)
		if r, want := tc.conn.path0.RTT, rtt+(v.want-rtt)/8; r.Samples != 2 || r.SmoothedRTT != want {
			t.Errorf("level %d: smoothed RTT %v after %d samples, want %v after 2", v.level, r.SmoothedRTT, r.Samples, want)
		}
	}
}

// "endpoints SHOULD include buffering delays caused by unavailability of
// decryption keys, since these delays can be large and are likely to be
// non-repeating."
// https://www.rfc-editor.org/rfc/rfc9000#section-13.2.5
func TestAckDelayOfEarlyPackets(t *testing.T) {
	const wait = 64 * time.Millisecond
	bothSides(t, func(t *testing.T, side scriptSide) {
		tc := newTestConn(t, side, takeOver(stageHandshake))
		fin := tc.peerCrypto(levelHandshake)
		pn := tc.write1RTT(wire.PingFrame{})
		tc.advance(wait)
		tc.queue = nil
		tc.writeFrames(levelHandshake, wire.CryptoFrame{Data: fin})
		for {
			a := tc.wantAck("a packet that waited for its keys")
			if tc.current.level != level1RTT {
				continue
			}
			if a.Ranges[0].Hi != pn {
				t.Errorf("packet %d acknowledged, want %d", a.Ranges[0].Hi, pn)
			}
			want := uint64(wait/time.Microsecond) >> tc.conn.config.AckDelayExponent
			if a.Delay < want {
				t.Errorf("acknowledgment delay %d, want %d at least", a.Delay, want)
			}
			return
		}
	})
}
