package core

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/pquic-go/pquic/core/wire"
)

// When acknowledgments are sent and what they say.
// https://www.rfc-editor.org/rfc/rfc9000#section-13.2

func pnRange(lo, hi uint64) wire.PNRange { return wire.PNRange{Lo: lo, Hi: hi} }

func TestAckEverySecond(t *testing.T) {
	bothSides(t, func(t *testing.T, side scriptSide) {
		tc := newTestConn(t, side)
		tc.write1RTT(wire.PingFrame{})
		tc.wantNothing("one packet may wait")
		pn := tc.write1RTT(wire.PingFrame{})
		if a := tc.wantAck("second ack-eliciting packet"); a.Ranges[0].Hi != pn || a.Delay != 0 {
			t.Errorf("ACK %+v of packet %d", a, pn)
		}
		tc.wantNothing("one ACK is enough")
		tc.advance(time.Second)
		tc.wantNothing("nothing is owed")
	})
}

func TestAckDelayed(t *testing.T) {
	tc := newTestConn(t, serverSide, engineConfig(func(c *Config) { c.MaxAckDelay = 40 * time.Millisecond; c.AckDelayExponent = 5 }))
	pn := tc.write1RTT(wire.PingFrame{})
	tc.advance(40*time.Millisecond - time.Microsecond)
	tc.wantNothing("max_ack_delay has not passed")
	tc.advance(time.Microsecond)
	a := tc.wantAck("max_ack_delay has passed")
	if a.Ranges[0].Hi != pn || a.Delay != 40_000>>5 {
		t.Errorf("ACK %+v of packet %d, want a delay of %d", a, pn, 40_000>>5)
	}
}

// "An endpoint MUST NOT send a non-ack-eliciting packet in response to a
// non-ack-eliciting packet, even if there are packet gaps that precede the
// received packet." Not even if it is marked as congested.
// https://www.rfc-editor.org/rfc/rfc9000#section-13.2.1
func TestAckNothingForAcks(t *testing.T) {
	for _, mark := range []ECN{NotECT, ECT0, CE} {
		tc := newTestConn(t, serverSide)
		for range 20 {
			r := []wire.PNRange{pnRange(tc.largest[appSpace], tc.largest[appSpace])}
			tc.write(&scriptPacket{level: level1RTT, frames: []any{ackFrame{Ranges: r}, wire.PaddingFrame{Length: 10}}, ecn: mark, skip: 1})
		}
		tc.advance(time.Second)
		tc.wantNothing(fmt.Sprintf("mark %d", mark))
		tc.write(&scriptPacket{level: level1RTT, frames: []any{wire.ConnectionCloseFrame{}}})
		tc.wantNothing("CONNECTION_CLOSE elicits nothing")
	}
}

// Non-ack-eliciting packets are acknowledged with the next ACK.
func TestAckCoversAll(t *testing.T) {
	tc := newTestConn(t, serverSide)
	first := tc.write1RTT(wire.PaddingFrame{Length: 10})
	tc.write1RTT(wire.PingFrame{})
	last := tc.write1RTT(wire.PingFrame{})
	a := tc.wantAck("ack-eliciting packets")
	if a.Ranges[0].Hi != last || a.Ranges[0].Lo > first {
		t.Errorf("ACK %v, want %d to %d", a.Ranges, first, last)
	}
}

func TestAckRidesAlong(t *testing.T) {
	tc := newTestConn(t, serverSide)
	pn := tc.write1RTT(streamF(0, 0, "question", true))
	tc.wantNothing("the acknowledgment may wait")
	tc.writeStream(tc.stream(0), "answer", true)
	tc.flush()
	if n := len(tc.queue); n != 1 {
		t.Fatalf("%d packets, want the acknowledgment in that of the answer", n)
	}
	if a := tc.wantAck("with the answer"); a.Ranges[0].Hi != pn {
		t.Errorf("ACK %v", a.Ranges)
	}
	tc.wantFrame("answer", streamF(0, 0, "answer", true))
	tc.advance(100 * time.Millisecond)
	tc.wantNoAck("nothing is owed any more")
}

// "…an endpoint SHOULD generate and send an ACK frame without delay when it
// receives an ack-eliciting packet either: when the received packet has a
// packet number less than another ack-eliciting packet that has been received,
// or when the packet has a packet number larger than the highest-numbered
// ack-eliciting packet that has been received and there are missing packets
// between".
func TestAckOutOfOrder(t *testing.T) {
	tc := newTestConn(t, serverSide)
	base := tc.next[appSpace]
	tc.write(&scriptPacket{level: level1RTT, frames: []any{wire.PingFrame{}}, skip: 2})
	a := tc.wantAck("a gap")
	if want := []wire.PNRange{pnRange(base+2, base+2)}; a.Ranges[0] != want[0] {
		t.Errorf("ACK %v", a.Ranges)
	}
	tc.next[appSpace] = base
	tc.write1RTT(wire.PingFrame{})
	a = tc.wantAck("a late packet")
	if a.Ranges[0] != pnRange(base+2, base+2) || a.Ranges[1].Hi != base {
		t.Errorf("ACK %v", a.Ranges)
	}
	tc.write1RTT(wire.PingFrame{})
	a = tc.wantAck("the gap is filled")
	if a.Ranges[0].Hi != base+2 || a.Ranges[0].Lo > base {
		t.Errorf("ACK %v", a.Ranges)
	}
	tc.next[appSpace] = base + 3
	tc.write1RTT(wire.PingFrame{})
	tc.wantNothing("in order again")
}

// Packets that arrive together are acknowledged together.
func TestAckOncePerBatch(t *testing.T) {
	tc := newTestConn(t, serverSide)
	for i := range 10 {
		tc.write(&scriptPacket{level: level1RTT, frames: []any{wire.PingFrame{}}, noBatch: i < 9})
	}
	tc.wantAck("ten packets")
	tc.wantNothing("one acknowledgment for all")
}

// "An endpoint MUST acknowledge all ack-eliciting Initial and Handshake packets
// immediately".
func TestAckImmediatelyInHandshake(t *testing.T) {
	for _, l := range []encryptionLevel{levelInitial, levelHandshake} {
		bothSides(t, func(t *testing.T, side scriptSide) {
			tc := newTestConn(t, side, takeOver(stageHandshake))
			tc.ignore(wire.Crypto, wire.Ping)
			tc.dropIf(func(any) bool { return true })
			pn := tc.writeFrames(l, wire.PingFrame{})
			if l == levelInitial && side == serverSide {
				// A Handshake packet of the client would end the Initial space.
				tc.flush()
			}
			a := tc.wantAck("at once")
			for tc.current.level != l && l == levelHandshake {
				a = tc.wantAck("at once")
			}
			if tc.current.level != l || a.Ranges[0].Hi != pn || a.Delay != 0 {
				t.Errorf("ACK %+v at level %d, want packet %d at level %d", a, tc.current.level, pn, l)
			}
		})
	}
}

func TestAckECNCounts(t *testing.T) {
	tc := newTestConn(t, serverSide)
	for _, m := range []ECN{ECT0, ECT0, ECT0, ECT1, CE, CE, NotECT, NotECT} {
		tc.write(&scriptPacket{level: level1RTT, frames: []any{wire.PingFrame{}}, ecn: m, noBatch: m != NotECT})
	}
	var a ackFrame
	for i := 0; i < 2 && a.Counts == (wire.ECNCounts{}); i++ {
		a = tc.wantAck("counts")
	}
	if want := (wire.ECNCounts{ECT0: 3, ECT1: 1, CE: 2}); !a.ECN || a.Counts != want {
		t.Errorf("ACK %+v, want counts %+v", a, want)
	}
	// "If the same packet is received multiple times it counts once": a
	// duplicate changes nothing.
	p := &scriptPacket{level: level1RTT, frames: []any{wire.PingFrame{}}, ecn: CE}
	b := tc.encode(p, true, 0)
	tc.writeDatagram(append([]byte(nil), b...), p)
	tc.writeDatagram(b, p)
	if a := tc.wantAck("CE"); a.Counts.CE != 3 {
		t.Errorf("%d CE marks counted, want 3", a.Counts.CE)
	}
	tc.wantNoAck("a duplicate")
}

func TestAckECNCountsPerSpace(t *testing.T) {
	tc := newTestConn(t, serverSide, takeOver(stageHandshake))
	tc.write(&scriptPacket{level: levelInitial, frames: []any{wire.PingFrame{}}, ecn: ECT0})
	if a := tc.wantAck("Initial"); !a.ECN || a.Counts.ECT0 != 1 {
		t.Errorf("ACK %+v", a)
	}
	tc.write(&scriptPacket{level: levelHandshake, frames: []any{wire.PingFrame{}}, ecn: CE})
	for {
		a := tc.wantAck("Handshake")
		if tc.current.level != levelHandshake {
			continue
		}
		if !a.ECN || a.Counts != (wire.ECNCounts{CE: 1}) {
			t.Errorf("ACK %+v", a)
		}
		break
	}
}

// A congestion mark is reported at once.
func TestAckCEImmediately(t *testing.T) {
	tc := newTestConn(t, serverSide)
	tc.write(&scriptPacket{level: level1RTT, frames: []any{wire.PingFrame{}}, ecn: ECT0})
	tc.wantNoAck("a capable packet may wait")
	tc.advance(time.Second)
	tc.wantAck("delayed")
	for range 3 {
		tc.write(&scriptPacket{level: level1RTT, frames: []any{wire.PingFrame{}}, ecn: CE})
		tc.wantAck("congestion")
	}
	// "Therefore, CE-marking only triggers an immediate acknowledgement when
	// there is a transition from non-CE-marked to CE-marked" once
	// ACK_FREQUENCY asks for fewer.
	tc.write1RTT(wire.AckFrequencyFrame{Sequence: 1, AckElicitingThreshold: 50, RequestedMaxAckDelay: 500_000, ReorderingThreshold: 1})
	tc.advance(time.Second)
	tc.wantAck("delayed")
	for i, m := range []ECN{CE, CE, CE, ECT0, CE} {
		tc.write(&scriptPacket{level: level1RTT, frames: []any{wire.PingFrame{}}, ecn: m})
		if i == 0 || i == 4 {
			tc.wantAck("congestion begins")
		} else {
			tc.wantNoAck("congestion goes on")
		}
	}
}

// Ranges the peer knows we have acknowledged are dropped.
// https://www.rfc-editor.org/rfc/rfc9000#section-13.2.4
func TestAckOfAck(t *testing.T) {
	tc := newTestConn(t, serverSide)
	for range 3 {
		tc.write(&scriptPacket{level: level1RTT, frames: []any{wire.PingFrame{}}, skip: 1})
	}
	a := tc.wantAck("gaps")
	for len(tc.queue) > 0 {
		a = tc.wantAck("gaps")
	}
	if len(a.Ranges) < 3 {
		t.Fatalf("ACK %v", a.Ranges)
	}
	// The engine's ACK rides on an ack-eliciting packet, which is acknowledged.
	tc.write1RTT(wire.PingFrame{})
	tc.conn.Ping(tc.now)
	a = tc.wantAck("with the PING")
	tc.ackAll(level1RTT)
	tc.queue = nil
	tc.write1RTT(wire.PingFrame{})
	tc.write1RTT(wire.PingFrame{})
	b := tc.wantAck("later")
	if low := b.Ranges[len(b.Ranges)-1].Lo; low < a.Ranges[0].Hi {
		t.Errorf("ACK %v goes on to report what the peer knows: it has %v", b.Ranges, a.Ranges)
	}
}

// Gaps without end must not make ACK frames or state grow without end.
func TestAckRangesBounded(t *testing.T) {
	tc := newTestConn(t, serverSide)
	first := tc.next[appSpace]
	for range 1000 {
		tc.write(&scriptPacket{level: level1RTT, frames: []any{wire.PingFrame{}}, skip: 1, noBatch: true})
	}
	tc.write1RTT(wire.PingFrame{})
	a := tc.wantAck("many gaps")
	if n := len(a.Ranges); n > 64 || n < 10 {
		t.Errorf("%d ranges", n)
	}
	if n := len(tc.conn.path0.space.received.Ranges()); n > 64 {
		t.Errorf("%d ranges are remembered", n)
	}
	// What was forgotten counts as received: replaying it does nothing.
	tc.next[appSpace] = first
	before := tc.conn.v.PacketsDuplicate
	tc.write1RTT(wire.ResetStreamFrame{ID: 1 << 40})
	tc.wantOpen("an old packet")
	if tc.conn.v.PacketsDuplicate != before+1 {
		t.Error("an old packet was processed")
	}
}

// https://datatracker.ietf.org/doc/html/draft-ietf-quic-ack-frequency-14#section-4
func TestAckFrequency(t *testing.T) {
	tc := newTestConn(t, serverSide)
	tc.write1RTT(wire.AckFrequencyFrame{Sequence: 3, AckElicitingThreshold: 4, RequestedMaxAckDelay: 100_000, ReorderingThreshold: 1})
	tc.wantNoAck("nothing special")
	for range 3 {
		tc.write1RTT(wire.PingFrame{})
		tc.wantNoAck("four may come without an answer")
	}
	tc.write1RTT(wire.PingFrame{})
	tc.wantAck("the fifth")
	tc.write1RTT(wire.PingFrame{})
	tc.advance(100*time.Millisecond - 1)
	tc.wantNoAck("the requested delay")
	tc.advance(1)
	tc.wantAck("the requested delay has passed")
	// An older frame that arrives later counts no more.
	tc.write1RTT(wire.AckFrequencyFrame{Sequence: 2, AckElicitingThreshold: 0, RequestedMaxAckDelay: 1000, ReorderingThreshold: 1})
	tc.write1RTT(wire.AckFrequencyFrame{Sequence: 3, AckElicitingThreshold: 0, RequestedMaxAckDelay: 1000, ReorderingThreshold: 1})
	tc.wantNoAck("obsolete frames")
	tc.write1RTT(wire.AckFrequencyFrame{Sequence: 4, AckElicitingThreshold: 0, RequestedMaxAckDelay: 1000, ReorderingThreshold: 1})
	tc.wantAck("every packet is acknowledged at once")
	tc.write1RTT(wire.PingFrame{})
	tc.wantAck("every packet is acknowledged at once")
	tc.write1RTT(wire.AckFrequencyFrame{Sequence: 5, AckElicitingThreshold: 1<<62 - 1, RequestedMaxAckDelay: 1_000_000, ReorderingThreshold: 0})
	for range 100 {
		tc.write(&scriptPacket{level: level1RTT, frames: []any{wire.PingFrame{}}, skip: 1})
	}
	tc.wantNoAck("the largest threshold, reordering ignored")
	tc.write1RTT(wire.ImmediateAckFrame{})
	tc.wantAck("IMMEDIATE_ACK")
}

func TestAckFrequencyInvalid(t *testing.T) {
	for _, d := range []uint64{999, 0, 1 << 14 * 1000, 1<<62 - 1} {
		tc := newTestConn(t, serverSide)
		tc.write1RTT(wire.AckFrequencyFrame{Sequence: 1, AckElicitingThreshold: 1, RequestedMaxAckDelay: d})
		tc.wantClose(fmt.Sprintf("requested max_ack_delay of %d µs", d), ProtocolViolation)
	}
}

// The examples of the draft: which of the packets received provoke an
// acknowledgment because of reordering.
// https://datatracker.ietf.org/doc/html/draft-ietf-quic-ack-frequency-14#section-6.2.1
func TestAckFrequencyReordering(t *testing.T) {
	for _, x := range []struct {
		threshold uint64
		received  []uint64
		acked     []uint64
	}{
		{3, []uint64{0, 1, 3, 4, 5, 8, 9, 10}, []uint64{5, 9, 10}},
		{5, []uint64{0, 1, 3, 5, 6, 7, 8, 9}, []uint64{7, 9}},
		{1, []uint64{0, 1, 3, 4, 6, 5, 2, 7}, []uint64{3, 6, 5, 2}},
		{0, []uint64{0, 1, 3, 4, 6, 5, 2, 9}, nil},
		// A packet that the sender has declared lost is reported at once.
		{3, []uint64{0, 1, 3, 4, 5, 2}, []uint64{5, 2}},
		{3, []uint64{0, 1, 3, 2, 4, 5, 6}, nil},
	} {
		tc := newTestConn(t, serverSide)
		tc.write1RTT(wire.AckFrequencyFrame{Sequence: 1, AckElicitingThreshold: 1000, RequestedMaxAckDelay: 10_000_000, ReorderingThreshold: x.threshold})
		tc.advance(20 * time.Second)
		tc.wantAck("ACK_FREQUENCY itself")
		base := tc.next[appSpace]
		var acked []uint64
		for _, pn := range x.received {
			tc.next[appSpace] = base + pn
			before := tc.conn.path0.Space.AcksSent
			tc.write1RTT(wire.PingFrame{})
			if tc.conn.path0.Space.AcksSent > before {
				acked = append(acked, pn)
			}
		}
		if !reflect.DeepEqual(acked, x.acked) {
			t.Errorf("threshold %d, received %v: packets %v were acknowledged at once, want %v", x.threshold, x.received, acked, x.acked)
		}
	}
}

// The probe timeout allows for the delay asked for, before and after the peer
// has agreed.
func TestAckFrequencyProbeTimeout(t *testing.T) {
	tc := newTestConn(t, clientSide)
	before := tc.conn.path0.MaxAckDelay
	ask := func(d time.Duration) {
		tc.conn.ackFreq.threshold, tc.conn.ackFreq.maxDelay = 10, d
		tc.conn.pend |= pendAckFrequency
		tc.conn.wake()
		wantType[wire.AckFrequencyFrame](tc, "asked")
	}
	ask(200 * time.Millisecond)
	if d := tc.conn.path0.MaxAckDelay; d != 200*time.Millisecond {
		t.Errorf("%v allowed for while a longer delay is in flight", d)
	}
	tc.ackAll(level1RTT)
	ask(5 * time.Millisecond)
	if d := tc.conn.path0.MaxAckDelay; d != 200*time.Millisecond {
		t.Errorf("%v allowed for while a shorter delay is in flight", d)
	}
	tc.ackAll(level1RTT)
	if d := tc.conn.path0.MaxAckDelay; d != 5*time.Millisecond {
		t.Errorf("%v allowed for once agreed, was %v", d, before)
	}
}

// ---- acknowledgments received ----

// "An endpoint SHOULD treat receipt of an acknowledgment for a packet it did
// not send as a connection error of type PROTOCOL_VIOLATION, if it is able to
// detect the condition."
// https://www.rfc-editor.org/rfc/rfc9000#section-13.1
func TestAckOfUnsent(t *testing.T) {
	bothSides(t, func(t *testing.T, side scriptSide) {
		for _, stage := range []scriptStage{stageConfirmed, stageHandshake} {
			l := level1RTT
			if stage == stageHandshake {
				l = levelHandshake
			}
			for _, more := range []uint64{0, 1, 1 << 40, wire.MaxVarint >> 1} {
				tc := newTestConn(t, side, takeOver(stage))
				pn := tc.conn.space(l, tc.conn.path0).sent.Next() + more
				tc.ack(l, pnRange(pn, pn))
				tc.wantClose("acknowledgment of a packet not sent", ProtocolViolation)
			}
		}
	})
}

func TestAckMalformed(t *testing.T) {
	for why, raw := range map[string][]byte{
		"first range reaches below 0": append([]byte{0x02}, varints(0, 0, 0, 1)...),
		"gap reaches below 0":         append([]byte{0x02}, varints(3, 0, 1, 0, 2, 0)...),
		"range reaches below 0":       append([]byte{0x02}, varints(5, 0, 1, 0, 2, 2)...),
		"ranges are cut off":          append([]byte{0x02}, varints(5, 0, 3, 0, 1, 0)...),
		"counts are cut off":          append([]byte{0x03}, varints(0, 0, 0, 0, 1)...),
		"range count without end":     append([]byte{0x02}, varints(5, 0, 1<<62-1, 0)...),
	} {
		tc := newTestConn(t, serverSide)
		tc.write1RTT(raw)
		tc.wantClose(why, FrameEncodingError)
	}
}

// The largest newly acknowledged packet gives the round-trip sample, corrected
// by the peer's delay as far as that is plausible.
// https://www.rfc-editor.org/rfc/rfc9002#section-5.3
func TestAckRTTSample(t *testing.T) {
	const exp = 4
	tc := newTestConn(t, clientSide, peerConfig(func(c *Config) { c.AckDelayExponent = exp; c.MaxAckDelay = 100 * time.Millisecond }))
	rtt := &tc.conn.path0.RTT
	sample := func(after time.Duration, delayField uint64) {
		tc.conn.Ping(tc.now)
		tc.flush()
		pn := tc.largest[appSpace]
		tc.advance(after)
		tc.write1RTT(ackFrame{Ranges: []wire.PNRange{pnRange(pn, pn)}, Delay: delayField})
	}
	smoothed, variance := rtt.SmoothedRTT, rtt.RTTVar
	check := func(why string, adjusted, latest time.Duration) {
		t.Helper()
		dev := smoothed - adjusted
		if dev < 0 {
			dev = -dev
		}
		variance += (dev - variance) / 4
		smoothed += (adjusted - smoothed) / 8
		if rtt.LatestRTT != latest || rtt.SmoothedRTT != smoothed || rtt.RTTVar != variance {
			t.Errorf("%s: latest %v smoothed %v variance %v, want %v %v %v", why, rtt.LatestRTT, rtt.SmoothedRTT, rtt.RTTVar, latest, smoothed, variance)
		}
	}
	const ms = time.Millisecond
	sample(60*ms, 20_000>>exp)
	check("delay of 20 ms", 40*ms, 60*ms)
	sample(60*ms, 59_000>>exp)
	// 59 ms less would be below min_rtt.
	check("implausible delay", 60*ms, 60*ms)
	sample(400*ms, 200_000>>exp)
	check("delay above max_ack_delay", 300*ms, 400*ms)
	sample(400*ms, 1<<62-1)
	check("absurd delay", 300*ms, 400*ms)

	// Not the largest: no sample.
	n := rtt.Samples
	tc.conn.Ping(tc.now)
	tc.flush()
	low := tc.largest[appSpace]
	tc.conn.Ping(tc.now)
	tc.flush()
	high := tc.largest[appSpace]
	tc.advance(ms)
	tc.ack(level1RTT, pnRange(high, high))
	if rtt.Samples != n+1 {
		t.Errorf("%d samples, want %d", rtt.Samples, n+1)
	}
	tc.ack(level1RTT, pnRange(low, high))
	tc.ack(level1RTT, pnRange(low, high))
	if rtt.Samples != n+1 {
		t.Errorf("%d samples after older and repeated acknowledgments, want %d", rtt.Samples, n+1)
	}
}

// ECN counts that cannot be end the use of ECN.
// https://www.rfc-editor.org/rfc/rfc9000#section-13.4.2.1
func TestECNValidation(t *testing.T) {
	type counts = wire.ECNCounts
	for _, x := range []struct {
		why    string
		send   int      // marked packets in flight
		acks   []counts // counts in successive ACK frames of all of them
		noECN  bool
		want   uint32
		reduce bool // congestion window reduced
	}{
		{why: "all arrived marked", send: 3, acks: []counts{{ECT0: 3}}, want: ECNCapable},
		{why: "some congested", send: 3, acks: []counts{{ECT0: 2, CE: 1}}, want: ECNCapable, reduce: true},
		{why: "all congested", send: 3, acks: []counts{{CE: 3}}, want: ECNCapable, reduce: true},
		{why: "no counts", send: 3, acks: []counts{{}}, noECN: true, want: ECNFailed},
		{why: "marks removed", send: 3, acks: []counts{{}}, want: ECNFailed},
		{why: "one mark removed", send: 3, acks: []counts{{ECT0: 2}}, want: ECNFailed},
		{why: "more than sent", send: 3, acks: []counts{{ECT0: 4}}, want: ECNFailed},
		{why: "more than sent, congested", send: 3, acks: []counts{{ECT0: 2, CE: 2}}, want: ECNFailed},
		{why: "the wrong mark", send: 3, acks: []counts{{ECT1: 3}}, want: ECNFailed},
		{why: "a wrong mark", send: 3, acks: []counts{{ECT0: 3, ECT1: 1}}, want: ECNFailed},
	} {
		t.Run(x.why, func(t *testing.T) {
			tc := newTestConn(t, clientSide)
			p := tc.conn.path0
			// Start afresh, as on a new path.
			tc.conn.config.DisableECN = false
			p.ecn.start(p)
			window := p.Congestion.CongestionWindow
			for range x.send {
				tc.conn.Ping(tc.now)
				tc.flush()
			}
			for _, q := range tc.queue {
				if q.ecn != ECT0 {
					t.Fatalf("packet sent with codepoint %d", q.ecn)
				}
			}
			base := p.Space
			for _, c := range x.acks {
				c.ECT0 += base.ECT0Reported
				tc.write1RTT(ackFrame{Ranges: tc.gotRanges(appSpace), ECN: !x.noECN, Counts: c})
			}
			if p.ECNState != x.want {
				t.Errorf("state %s, want %s", ecnNames[p.ECNState], ecnNames[x.want])
			}
			if reduced := p.Congestion.CongestionWindow < window; reduced != x.reduce {
				t.Errorf("window %d after %d", p.Congestion.CongestionWindow, window)
			}
			tc.queue = nil
			tc.conn.Ping(tc.now)
			tc.flush()
			if marked := tc.queue[0].ecn == ECT0; marked != (x.want == ECNCapable) {
				t.Errorf("next packet has codepoint %d", tc.queue[0].ecn)
			}
		})
	}
}

// "An endpoint MUST NOT fail ECN validation as a result of processing an ACK
// frame that does not increase the largest acknowledged packet number."
func TestECNReorderedAck(t *testing.T) {
	tc := newTestConn(t, clientSide, engineConfig(func(c *Config) { c.DisableECN = false }))
	p := tc.conn.path0
	for range 4 {
		tc.conn.Ping(tc.now)
		tc.flush()
	}
	r, sent := tc.gotRanges(appSpace)[0], p.Space.ECT0Sent
	tc.write1RTT(ackFrame{Ranges: []wire.PNRange{r}, ECN: true, Counts: wire.ECNCounts{ECT0: sent}})
	if p.ECNState != ECNCapable {
		t.Fatalf("state %s", ecnNames[p.ECNState])
	}
	tc.write1RTT(ackFrame{Ranges: []wire.PNRange{pnRange(r.Lo, r.Hi-1)}, ECN: true, Counts: wire.ECNCounts{ECT0: sent - 1}})
	if p.ECNState != ECNCapable {
		t.Errorf("state %s after an older ACK", ecnNames[p.ECNState])
	}
}

// After ten packets that no one has acknowledged marking stops until the peer's
// counts are known.
func TestECNTesting(t *testing.T) {
	tc := newTestConn(t, clientSide)
	tc.conn.config.DisableECN = false
	p := tc.conn.path0
	p.ecn.start(p)
	for range 15 {
		tc.conn.Ping(tc.now)
		tc.flush()
	}
	for i, q := range tc.queue {
		if want := i < ecnTestPackets; (q.ecn == ECT0) != want {
			t.Errorf("packet %d marked: %v", i, !want)
		}
	}
	tc.write1RTT(ackFrame{Ranges: tc.gotRanges(appSpace), ECN: true, Counts: wire.ECNCounts{ECT0: p.Space.ECT0Sent}})
	if p.ECNState != ECNCapable {
		t.Errorf("state %s", ecnNames[p.ECNState])
	}
}

// ---- probe timeouts ----

// The probe timeout doubles with each expiry and resets with an
// acknowledgment.
// https://www.rfc-editor.org/rfc/rfc9002#section-6.2.1
func TestPTOBackoff(t *testing.T) {
	bothSides(t, func(t *testing.T, side scriptSide) {
		tc := newTestConn(t, side, engineConfig(func(c *Config) { c.MaxIdleTimeout = -1 }), peerConfig(func(c *Config) { c.MaxIdleTimeout = -1 }))
		p := tc.conn.path0
		base := p.RTT.PTO(p.MaxAckDelay)
		s := tc.openStream(true)
		tc.writeStream(s, "x", false)
		tc.wantFrame("data", streamF(s.ID, 0, "x", false))
		for i := range 6 {
			d := tc.advanceToPTO("no acknowledgment")
			if want := base << i; d != want {
				t.Errorf("probe timeout %d after %v, want %v", i, d, want)
			}
			tc.wantFrame("probe repeats the data", streamF(s.ID, 0, "x", false))
			tc.queue = nil
		}
		tc.ackLatest(level1RTT)
		if p.PTOCount != 0 {
			t.Errorf("count %d after an acknowledgment", p.PTOCount)
		}
	})
}

// A probe carries new data if there is any room for it, and goes out although
// the congestion window is full.
func TestPTOIgnoresWindow(t *testing.T) {
	tc := newTestConn(t, clientSide)
	s := tc.openStream(true)
	tc.writeStream(s, strings.Repeat("x", 100_000), false)
	tc.flush()
	tc.queue = nil
	before := tc.conn.v.PacketsSent
	tc.advanceToPTO("window is full")
	if n := tc.conn.v.PacketsSent - before; n < 1 || n > 2 {
		t.Errorf("%d probes, want one or two", n)
	}
	// "A PTO timer expiration event does not indicate packet loss and MUST NOT
	// cause prior unacknowledged packets to be marked as lost."
	// https://www.rfc-editor.org/rfc/rfc9002#section-6.2
	if tc.conn.v.PacketsLost != 0 {
		t.Errorf("%d packets marked as lost", tc.conn.v.PacketsLost)
	}
}

// A long stretch without any acknowledgment resets the window to its minimum.
// https://www.rfc-editor.org/rfc/rfc9002#section-7.6
func TestPersistentCongestion(t *testing.T) {
	for _, name := range []string{"newreno", "cubic"} {
		tc := newTestConn(t, clientSide, engineConfig(func(c *Config) { c.CongestionControl = name }))
		p := tc.conn.path0
		s := tc.openStream(true)
		tc.writeStream(s, "x", false)
		tc.flush()
		duration := 3 * p.RTT.PTO(p.MaxAckDelay)
		start := tc.now
		for tc.now.Sub(start) <= duration {
			tc.advanceToPTO("nothing is acknowledged")
		}
		tc.queue = nil
		tc.advance(time.Millisecond)
		for range 3 {
			tc.conn.Ping(tc.now)
			tc.flush()
		}
		tc.ackLatest(level1RTT)
		// The acknowledgment itself may let it grow by the bytes of its PING.
		if want := 2*p.Congestion.MaxDatagramSize + 100; p.Congestion.CongestionWindow > want {
			t.Errorf("%s: window %d, want about the minimum", name, p.Congestion.CongestionWindow)
		}
	}
}

// A shorter stretch is an ordinary loss.
func TestNoPersistentCongestion(t *testing.T) {
	tc := newTestConn(t, clientSide, engineConfig(func(c *Config) { c.CongestionControl = "newreno" }))
	p := tc.conn.path0
	window := p.Congestion.CongestionWindow
	tc.conn.Ping(tc.now)
	tc.flush()
	tc.advance(p.RTT.PTO(p.MaxAckDelay) / 2)
	for range 4 {
		tc.conn.Ping(tc.now)
		tc.flush()
	}
	tc.ackLatest(level1RTT)
	if got := p.Congestion.CongestionWindow; got != window/2 {
		t.Errorf("window %d after %d", got, window)
	}
}
