package core

import (
	"testing"
	"time"

	"github.com/pquic-go/pquic/core/wire"
)

// Connection IDs: those the engine issues, and those it gets.
// https://www.rfc-editor.org/rfc/rfc9000#section-5.1

// nextRemote is the sequence number of the peer's next connection ID.
func (tc *testConn) nextRemote() uint64 { return tc.peer.path0.local.next }

// "An endpoint SHOULD ensure that its peer has a sufficient number of available
// and unused connection IDs. … MUST NOT provide more connection IDs than the
// peer's limit."
func TestConnIDsIssued(t *testing.T) {
	for _, limit := range []uint64{2, 3, 100} {
		tc := newTestConn(t, serverSide, takeOver(stageHandshake), peerParams(func(tp *wire.TransportParameters) { tp.ActiveConnectionIDLimit = limit }))
		tc.ignore(wire.HandshakeDone, wire.NewToken, wire.Crypto)
		tc.finishHandshake()
		seen := map[wire.ConnID]bool{tc.conn.handshake.localSrc: true}
		var seqs []uint64
		for f, _ := tc.nextFrame(); f != nil; f, _ = tc.nextFrame() {
			n, ok := f.(wire.NewConnectionIDFrame)
			if !ok {
				continue
			}
			if seen[n.ConnID] || n.ConnID.Len() == 0 || n.RetirePriorTo != 0 {
				t.Errorf("issued %+v", n)
			}
			seen[n.ConnID] = true
			seqs = append(seqs, n.Sequence)
		}
		if want := min(limit, maxLocalIDs) - 1; uint64(len(seqs)) != want {
			t.Errorf("limit %d: %d issued, want %d", limit, len(seqs), want)
		}
		for i, s := range seqs {
			if s != uint64(i+1) {
				t.Errorf("sequence numbers %v", seqs)
			}
		}
	}
}

// A retired connection ID is replaced, and routes nowhere any more.
func TestConnIDRetiredByPeer(t *testing.T) {
	bothSides(t, func(t *testing.T, side scriptSide) {
		tc := newTestConn(t, side)
		ids := tc.conn.path0.local.ids
		old, next := ids[0].id, ids[1].id
		tc.write(&scriptPacket{level: level1RTT, dst: next, frames: []any{wire.RetireConnectionIDFrame{Sequence: ids[0].seq}}})
		f := wantType[wire.NewConnectionIDFrame](tc, "a new one in its place")
		if f.Sequence != maxLocalIDs {
			t.Errorf("sequence number %d", f.Sequence)
		}
		n := tc.conn.v.DatagramsReceived
		tc.write(&scriptPacket{level: level1RTT, dst: old, frames: []any{wire.PingFrame{}}})
		if tc.conn.v.DatagramsReceived != n {
			t.Error("a retired connection ID still routes")
		}
		tc.queue = nil
		tc.write(&scriptPacket{level: level1RTT, dst: f.ConnID, frames: []any{wire.PingFrame{}, wire.RetireConnectionIDFrame{Sequence: 0}}})
		if tc.conn.v.DatagramsReceived == n {
			t.Error("the new connection ID does not route")
		}
		tc.wantOpen("retired twice")
		tc.wantIdle("no second replacement")
	})
}

// https://www.rfc-editor.org/rfc/rfc9000#section-19.16
func TestConnIDRetireErrors(t *testing.T) {
	tc := newTestConn(t, serverSide)
	tc.write1RTT(wire.RetireConnectionIDFrame{Sequence: tc.conn.path0.local.next})
	tc.wantClose("sequence number never issued", ProtocolViolation)
	tc = newTestConn(t, serverSide)
	var seq uint64
	for _, l := range tc.conn.path0.local.ids {
		if l.id == tc.dst {
			seq = l.seq
		}
	}
	tc.write1RTT(wire.RetireConnectionIDFrame{Sequence: seq})
	tc.wantClose("retires the ID of its own packet", ProtocolViolation)
}

// https://www.rfc-editor.org/rfc/rfc9000#section-19.15
func TestConnIDRetirePriorTo(t *testing.T) {
	bothSides(t, func(t *testing.T, side scriptSide) {
		tc := newTestConn(t, side)
		next := tc.nextRemote()
		tc.write1RTT(newConnID(next, next))
		var retired []uint64
		for range next {
			retired = append(retired, wantType[wire.RetireConnectionIDFrame](tc, "asked to retire all").Sequence)
		}
		for i, s := range retired {
			if s != uint64(i) {
				t.Errorf("retired %v", retired)
			}
		}
		if tc.current.dst != newConnID(next, 0).ConnID {
			t.Errorf("packets go to %v, which was retired", tc.current.dst)
		}
		// A late frame below the bound is retired at once.
		tc.write1RTT(newConnID(next+2, next+2))
		tc.wantFrame("the last one too", wire.RetireConnectionIDFrame{Sequence: next})
		tc.write1RTT(newConnID(next+1, 0))
		tc.wantFrame("came too late", wire.RetireConnectionIDFrame{Sequence: next + 1})
		tc.wantOpen("retirement")
	})
}

// "After processing a NEW_CONNECTION_ID frame and adding and retiring active
// connection IDs, if the number of active connection IDs exceeds the value
// advertised in its active_connection_id_limit transport parameter, an endpoint
// MUST close the connection with an error of type CONNECTION_ID_LIMIT_ERROR."
// https://www.rfc-editor.org/rfc/rfc9000#section-5.1.1
func TestConnIDLimit(t *testing.T) {
	tc := newTestConn(t, serverSide, engineConfig(func(c *Config) { c.ActiveConnIDLimit = 6 }))
	next := tc.nextRemote()
	tc.write1RTT(newConnIDs(next, int(6-next))...)
	tc.wantOpen("up to the limit")
	tc.write1RTT(newConnID(6, 1)) // one comes, one goes
	tc.wantOpen("up to the limit")
	tc.write1RTT(newConnID(7, 1))
	tc.wantClose("one too many", ConnectionIDLimitError)
}

// "If an endpoint receives a NEW_CONNECTION_ID frame that repeats a previously
// issued connection ID with a different Stateless Reset Token field value or a
// different Sequence Number field value, or if a sequence number is used for
// different connection IDs, the endpoint MAY treat that receipt as a connection
// error of type PROTOCOL_VIOLATION." A true copy is no error.
func TestConnIDRepeated(t *testing.T) {
	frame := func(tc *testConn) wire.NewConnectionIDFrame { return newConnID(tc.nextRemote(), 0) }
	for why, change := range map[string]func(*wire.NewConnectionIDFrame){
		"another connection ID":   func(f *wire.NewConnectionIDFrame) { f.ConnID = connIDOf("another1") },
		"another token":           func(f *wire.NewConnectionIDFrame) { f.ResetToken[0] ^= 1 },
		"another sequence number": func(f *wire.NewConnectionIDFrame) { f.Sequence++ },
	} {
		tc := newTestConn(t, serverSide)
		f := frame(tc)
		tc.write1RTT(f, f)
		tc.write1RTT(f)
		tc.wantOpen("copies")
		change(&f)
		tc.write1RTT(f)
		tc.wantClose(why, ProtocolViolation)
	}
}

// A copy of a frame whose connection ID was retired meanwhile does not bring it
// back.
func TestConnIDRepeatedAfterRetirement(t *testing.T) {
	tc := newTestConn(t, serverSide)
	next := tc.nextRemote()
	tc.write1RTT(newConnIDs(next, 2)...)
	var known []wire.NewConnectionIDFrame
	for range 3 {
		before := tc.conn.path0.route.idSeq
		if !tc.conn.RotateConnID(tc.conn.path0) {
			t.Fatal("no spare connection ID")
		}
		tc.wantFrame("old one retired", wire.RetireConnectionIDFrame{Sequence: before})
		tc.ackAll(level1RTT)
	}
	for seq := next; seq < next+2; seq++ {
		known = append(known, newConnID(seq, 0))
	}
	for range 3 {
		if !tc.conn.RotateConnID(tc.conn.path0) {
			break
		}
		tc.flush()
		tc.ackAll(level1RTT)
	}
	held := len(tc.conn.path0.remote.ids)
	tc.queue = nil
	for _, f := range known {
		tc.write1RTT(f)
	}
	tc.wantOpen("copies")
	if n := len(tc.conn.path0.remote.ids); n != held {
		t.Errorf("%d connection IDs held after copies of retired ones, before %d", n, held)
	}
}

// Rotation makes later packets carry a connection ID not seen before.
func TestConnIDRotation(t *testing.T) {
	tc := newTestConn(t, clientSide)
	seen := map[wire.ConnID]bool{}
	for range 3 {
		tc.conn.Ping(tc.now)
		tc.wantFrame("a packet", wire.PingFrame{})
		if seen[tc.current.dst] {
			t.Fatalf("%v used again", tc.current.dst)
		}
		seen[tc.current.dst] = true
		if !tc.conn.RotateConnID(tc.conn.path0) {
			t.Fatal("no spare connection ID")
		}
		wantType[wire.RetireConnectionIDFrame](tc, "old one retired")
		if seen[tc.current.dst] {
			t.Error("RETIRE_CONNECTION_ID came with the ID it retires")
		}
	}
	for tc.conn.RotateConnID(tc.conn.path0) {
		tc.flush()
	}
	tc.wantOpen("no spare is left")
}

// "When an endpoint issues a connection ID, it MUST accept packets that carry
// this connection ID for the duration of the connection or until its peer
// invalidates the connection ID via a RETIRE_CONNECTION_ID frame".
func TestConnIDAllRoute(t *testing.T) {
	tc := newTestConn(t, serverSide)
	for _, l := range tc.conn.path0.local.ids {
		n := tc.conn.v.PacketsReceived
		tc.write(&scriptPacket{level: level1RTT, dst: l.id, frames: []any{wire.PingFrame{}}})
		if tc.conn.v.PacketsReceived != n+1 {
			t.Errorf("connection ID %d does not route", l.seq)
		}
	}
}

// NEW_CONNECTION_ID with a growing Retire Prior To must not make us hold state
// without end, nor answer for ever.
func TestNewConnectionIDFlood(t *testing.T) {
	tc := newTestConn(t, serverSide)
	next := tc.nextRemote()
	for i := range uint64(10_000) {
		if tc.conn.v.State >= StateClosing {
			break
		}
		tc.write(&scriptPacket{level: level1RTT, frames: []any{newConnID(next+i, next+i)}, noBatch: i%50 != 0})
		if n := len(tc.conn.path0.remote.retire) + tc.conn.path0.remote.unacked; n > maxPendingRetire+1 {
			t.Fatalf("%d retirements are owed", n)
		}
		if n := len(tc.conn.path0.remote.ids); n > int(tc.conn.config.ActiveConnIDLimit)+1 {
			t.Fatalf("%d connection IDs are held", n)
		}
	}
	tc.end.EndBatch(tc.now)
	tc.wantClose("thousands of retirements never acknowledged", ConnectionIDLimitError)
}

// RETIRE_CONNECTION_ID floods cost one new ID each, never more than the limit
// at a time.
func TestRetireConnectionIDFlood(t *testing.T) {
	tc := newTestConn(t, serverSide)
	for i := range 3000 {
		ids := tc.conn.path0.local.ids
		last := ids[len(ids)-1]
		var f []any
		for _, l := range ids[:len(ids)-1] {
			f = append(f, wire.RetireConnectionIDFrame{Sequence: l.seq})
		}
		tc.write(&scriptPacket{level: level1RTT, dst: last.id, frames: f})
		if n := len(tc.conn.path0.local.ids); n > maxLocalIDs {
			t.Fatalf("%d connection IDs are issued", n)
		}
		if n := len(tc.end.ids); n > maxLocalIDs+2 {
			t.Fatalf("%d connection IDs are routed", n)
		}
		tc.queue = nil
		if i%20 == 0 {
			tc.ackAll(level1RTT)
		}
	}
	tc.wantOpen("all is legal")
}

// ---- stateless reset ----

// A datagram that ends with a token of the peer's ends the connection, however
// it is routed. https://www.rfc-editor.org/rfc/rfc9000#section-10.3.1
func TestStatelessResetReceived(t *testing.T) {
	bothSides(t, func(t *testing.T, side scriptSide) {
		for _, routed := range []bool{false, true} {
			tc := newTestConn(t, side)
			f := newConnID(tc.nextRemote(), tc.nextRemote())
			tc.write1RTT(f) // its ID, and its token, are in use now
			reset := make([]byte, 60)
			seededRandom(5)(reset)
			reset[0] = 0x40 | reset[0]&0x3f
			if routed {
				tc.dst.AppendTo(reset[:1])
			}
			copy(reset[len(reset)-16:], f.ResetToken[:])
			tc.queue = nil
			tc.writeDatagram(reset, nil)
			if tc.conn.Err() != ErrStatelessReset {
				t.Errorf("routed %v: %v", routed, tc.conn.Err())
			}
			tc.wantNothing("no answer to a stateless reset")
		}
	})
}

// Tokens of connection IDs that are not in use, or were retired, mean nothing.
func TestStatelessResetUnused(t *testing.T) {
	tc := newTestConn(t, serverSide)
	next := tc.nextRemote()
	unused := newConnID(next, 0)
	tc.write1RTT(unused)
	send := func(token [16]byte) {
		b := make([]byte, 60)
		b[0] = 0x40
		copy(b[44:], token[:])
		tc.writeDatagram(b, nil)
	}
	send(unused.ResetToken)
	tc.wantOpen("token of an unused connection ID")
	used := newConnID(next+1, next+1)
	tc.write1RTT(used)
	tc.write1RTT(newConnID(next+2, next+2))
	send(used.ResetToken)
	tc.wantOpen("token of a retired connection ID")
	b := make([]byte, 20)
	b[0] = 0x40
	tok := newConnID(next+2, 0).ResetToken
	copy(b[4:], tok[:])
	tc.writeDatagram(b, nil)
	tc.wantOpen("a datagram below 21 bytes")
	tc.advance(time.Millisecond)
}
