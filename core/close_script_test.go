package core

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/pquic-go/pquic/core/mono"
	"github.com/pquic-go/pquic/core/wire"
)

// The ends of a connection.
// https://www.rfc-editor.org/rfc/rfc9000#section-10

func TestCloseByUs(t *testing.T) {
	bothSides(t, func(t *testing.T, side scriptSide) {
		tc := newTestConn(t, side)
		s := tc.openStream(true)
		tc.conn.Close(tc.now, 7, "done")
		want := wire.ConnectionCloseFrame{Application: true, ErrorCode: 7, Reason: []byte("done")}
		f := wantType[wire.ConnectionCloseFrame](tc, "closed")
		if f.ErrorCode != want.ErrorCode || !f.Application || string(f.Reason) != "done" {
			t.Errorf("sent %+v", f)
		}
		if tc.conn.v.State != StateClosing || !tc.h.ended || tc.h.gone {
			t.Errorf("state %s", stateNames[tc.conn.v.State])
		}
		var ae *ApplicationError
		if !errors.As(tc.conn.Err(), &ae) || ae.Code != 7 || ae.Remote {
			t.Errorf("error %v", tc.conn.Err())
		}
		// Nothing works any more, nothing crashes.
		if _, err := tc.conn.OpenStream(true); err != ErrClosed {
			t.Errorf("OpenStream: %v", err)
		}
		s.SendFIFO().Write([]byte("x"))
		tc.conn.StreamWritten(tc.now, s)
		tc.conn.StreamRead(tc.now, s)
		tc.conn.ResetStream(tc.now, s, 1, 0)
		tc.conn.StopSending(tc.now, s, 1)
		tc.conn.Close(tc.now, 8, "again")
		tc.conn.Ping(tc.now)
		tc.conn.UpdateKeys(tc.now)
		_ = tc.conn.Migrate(tc.now, otherPort, 0)
		tc.wantNothing("after the close")

		// "An endpoint in the closing state sends a packet containing a
		// CONNECTION_CLOSE frame in response to any incoming packet that it
		// attributes to the connection. An endpoint SHOULD limit the rate".
		answers := 0
		for range 100 {
			tc.write1RTT(wire.PingFrame{})
			for f, _ := tc.nextFrame(); f != nil; f, _ = tc.nextFrame() {
				if c, ok := f.(wire.ConnectionCloseFrame); !ok || c.ErrorCode != 7 {
					t.Fatalf("sent %s while closing", frameString(f))
				}
				answers++
			}
		}
		if answers < 3 || answers > 10 {
			t.Errorf("%d answers to 100 packets", answers)
		}
		// Forged packets are answered at the same rate at most, and "the closing
		// and draining connection states … SHOULD persist for at least three
		// times the current PTO interval".
		p := tc.conn.path0
		period := 3 * p.RTT.PTO(p.MaxAckDelay)
		tc.advance(period - time.Millisecond)
		if tc.end.Len() != 1 {
			t.Error("state was dropped early")
		}
		tc.advance(time.Millisecond)
		if tc.end.Len() != 0 || !tc.h.gone || len(tc.end.ids) != 0 || len(tc.end.resetTokens) != 0 || tc.end.Deadline() != mono.Never {
			t.Errorf("%d connections, %d connection IDs, %d tokens are still held", tc.end.Len(), len(tc.end.ids), len(tc.end.resetTokens))
		}
	})
}

func TestCloseByPeer(t *testing.T) {
	bothSides(t, func(t *testing.T, side scriptSide) {
		for _, app := range []bool{true, false} {
			tc := newTestConn(t, side)
			tc.write1RTT(wire.ConnectionCloseFrame{Application: app, ErrorCode: 3, Reason: []byte(strings.Repeat("why ", 250))})
			if tc.conn.v.State != StateDraining || !tc.h.ended {
				t.Fatalf("state %s", stateNames[tc.conn.v.State])
			}
			if app && !errors.Is(tc.conn.Err(), &ApplicationError{Code: 3}) || !app && !errors.Is(tc.conn.Err(), &TransportError{Code: FlowControlError}) {
				t.Errorf("error %v", tc.conn.Err())
			}
			// "An endpoint MUST NOT send … in the draining state."
			tc.write1RTT(wire.PingFrame{})
			tc.conn.Ping(tc.now)
			tc.advance(100 * time.Millisecond)
			tc.wantNothing("draining")
			tc.advance(10 * time.Second)
			if tc.end.Len() != 0 || !tc.h.gone || len(tc.end.ids) != 0 {
				t.Error("state is still held")
			}
		}
	})
}

// Frames after a CONNECTION_CLOSE are not processed.
func TestNothingAfterClose(t *testing.T) {
	tc := newTestConn(t, serverSide)
	tc.write1RTT(wire.ConnectionCloseFrame{}, streamF(0, 0, "x", true), []byte{0x21})
	if len(tc.h.opened) != 0 {
		t.Error("a frame behind CONNECTION_CLOSE was processed")
	}
	tc.wantNothing("draining")
}

// Both close at once.
func TestCloseCrossing(t *testing.T) {
	tc := newTestConn(t, clientSide)
	tc.conn.Close(tc.now, 1, "")
	tc.wantFrame("closed", wire.ConnectionCloseFrame{Application: true, ErrorCode: 1, Reason: []byte{}})
	tc.write1RTT(wire.ConnectionCloseFrame{Application: true, ErrorCode: 2})
	tc.advance(10 * time.Second)
	if tc.end.Len() != 0 || !errors.Is(tc.conn.Err(), &ApplicationError{Code: 1}) {
		t.Errorf("%d connections, %v", tc.end.Len(), tc.conn.Err())
	}
}

// "A CONNECTION_CLOSE of type 0x1d MUST be replaced by a CONNECTION_CLOSE of
// type 0x1c when sending the frame in Initial or Handshake packets. Otherwise,
// information about the application state might be revealed. Endpoints MUST
// clear the value of the Reason Phrase field and SHOULD use the
// APPLICATION_ERROR code".
// https://www.rfc-editor.org/rfc/rfc9000#section-10.2.3
func TestCloseInHandshake(t *testing.T) {
	bothSides(t, func(t *testing.T, side scriptSide) {
		tc := newTestConn(t, side, takeOver(stageHandshake))
		tc.flush()
		tc.queue = nil
		tc.conn.Close(tc.now, 77, "secret")
		tc.flush()
		levels := map[encryptionLevel]bool{}
		for _, p := range tc.queue {
			for _, f := range p.frames {
				c, ok := f.(wire.ConnectionCloseFrame)
				if !ok {
					continue
				}
				levels[p.level] = true
				if p.level != level1RTT && (c.Application || len(c.Reason) > 0 || TransportErrorCode(c.ErrorCode) != ApplicationErrorCode) {
					t.Errorf("at level %d: %+v", p.level, c)
				}
			}
			if side == clientSide && p.level == levelInitial && p.size < minUDPPayload {
				t.Errorf("Initial in a datagram of %d bytes", p.size)
			}
		}
		if !levels[levelHandshake] || !levels[levelInitial] {
			t.Errorf("closed at levels %v", levels)
		}
	})
	// A client that has only Initial keys.
	tc := newTestConn(t, clientSide, takeOver(stageInitial))
	tc.flush()
	tc.queue = nil
	tc.conn.Close(tc.now, 77, "secret")
	tc.wantFrame("closed", wire.ConnectionCloseFrame{ErrorCode: uint64(ApplicationErrorCode), Reason: []byte{}})
	if tc.current.size < minUDPPayload {
		t.Errorf("Initial in a datagram of %d bytes", tc.current.size)
	}
}

// Even the answer to a refused Initial obeys the anti-amplification limit.
func TestCloseAmplification(t *testing.T) {
	tc := newTestConn(t, serverSide, takeOver(stageInitial))
	tc.writeFrames(levelInitial, wire.CryptoFrame{Data: []byte{1, 0, 0, 4, 1, 2, 3, 4}})
	sent := 0
	for _, p := range tc.queue {
		sent += p.length
	}
	for range 50 {
		tc.writeDatagram(tc.encode(&scriptPacket{level: levelInitial, frames: []any{wire.PingFrame{}}, padded: true}, false, 0), nil)
	}
	if tc.bytes > 3*(1200+50*60) {
		t.Errorf("%d bytes sent", tc.bytes)
	}
}

// ---- idle timeout ----

// https://www.rfc-editor.org/rfc/rfc9000#section-10.1
func TestIdleTimeout(t *testing.T) {
	bothSides(t, func(t *testing.T, side scriptSide) {
		for _, x := range []struct{ ours, theirs, want time.Duration }{
			{5 * time.Second, 20 * time.Second, 5 * time.Second},
			{20 * time.Second, 5 * time.Second, 5 * time.Second},
			{-1, 5 * time.Second, 5 * time.Second},
			{5 * time.Second, -1, 5 * time.Second},
			{-1, -1, 0},
		} {
			tc := newTestConn(t, side, engineConfig(func(c *Config) { c.MaxIdleTimeout = x.ours }), peerConfig(func(c *Config) { c.MaxIdleTimeout = x.theirs }))
			tc.write1RTT(wire.PaddingFrame{Length: 9})
			if x.want == 0 {
				tc.advance(24 * time.Hour)
				tc.wantOpen("no idle timeout")
				continue
			}
			tc.advance(x.want - time.Millisecond)
			tc.wantOpen("idle timeout has not passed")
			tc.advance(time.Millisecond)
			if tc.conn.Err() != ErrIdleTimeout || tc.end.Len() != 0 || !tc.h.gone {
				t.Errorf("%v after %v of silence", tc.conn.Err(), x.want)
			}
			tc.wantNothing("silently closed")
		}
	})
}

// Receiving restarts the timer; sending does so once until something arrives.
func TestIdleTimeoutRestart(t *testing.T) {
	const idle = 10 * time.Second
	tc := newTestConn(t, clientSide, engineConfig(func(c *Config) { c.MaxIdleTimeout = idle }))
	tc.write1RTT(wire.PaddingFrame{Length: 9})
	tc.advance(8 * time.Second)
	tc.write1RTT(wire.PaddingFrame{Length: 9})
	tc.advance(8 * time.Second)
	tc.wantOpen("received meanwhile")
	tc.conn.Ping(tc.now)
	tc.flush()
	tc.advance(8 * time.Second)
	tc.wantOpen("sent meanwhile")
	tc.conn.Ping(tc.now)
	tc.advance(4 * time.Second)
	if tc.conn.Err() != ErrIdleTimeout {
		t.Errorf("probes of a dead connection keep it alive: %v", tc.conn.Err())
	}
	// A forged packet is no sign of life.
	tc = newTestConn(t, clientSide, engineConfig(func(c *Config) { c.MaxIdleTimeout = idle }))
	tc.write1RTT(wire.PaddingFrame{Length: 9})
	for range 20 {
		tc.advance(idle / 20)
		p := &scriptPacket{level: level1RTT, frames: []any{wire.PingFrame{}}}
		b := tc.encode(p, true, 0)
		b[len(b)-1] ^= 1
		tc.writeDatagram(b, p)
	}
	if tc.conn.Err() != ErrIdleTimeout {
		t.Errorf("forged packets keep the connection alive: %v", tc.conn.Err())
	}
}

// "To avoid excessively small idle timeout periods, endpoints MUST increase the
// idle timeout period to be at least three times the current Probe Timeout".
func TestIdleTimeoutThreePTO(t *testing.T) {
	tc := newTestConn(t, clientSide, peerConfig(func(c *Config) { c.MaxIdleTimeout = time.Millisecond }))
	p := tc.conn.path0
	tc.write1RTT(wire.PaddingFrame{Length: 9})
	pto := p.RTT.PTO(p.MaxAckDelay)
	tc.advance(3*pto - time.Millisecond)
	tc.wantOpen("less than three probe timeouts")
	tc.advance(2 * time.Millisecond)
	if tc.conn.Err() != ErrIdleTimeout {
		t.Error(tc.conn.Err())
	}
}

func TestKeepAlive(t *testing.T) {
	tc := newTestConn(t, clientSide, engineConfig(func(c *Config) { c.MaxIdleTimeout, c.KeepAlive = 10*time.Second, 3*time.Second }))
	for range 20 {
		tc.queue = nil
		tc.advance(3*time.Second + time.Millisecond)
		tc.wantFrame("keep-alive", wire.PingFrame{})
		tc.ackAll(level1RTT)
	}
	tc.wantOpen("a minute of keep-alive")
	// It cannot be slower than half the idle timeout.
	tc = newTestConn(t, clientSide, engineConfig(func(c *Config) { c.MaxIdleTimeout, c.KeepAlive = 10*time.Second, time.Minute }))
	tc.write1RTT(wire.PaddingFrame{Length: 9})
	tc.advance(5 * time.Second)
	tc.wantFrame("keep-alive", wire.PingFrame{})
	// Where the peer is dead it does not keep the connection.
	tc.advance(time.Minute)
	if tc.conn.Err() != ErrIdleTimeout {
		t.Error(tc.conn.Err())
	}
}

// ---- what belongs to no connection ----

// https://www.rfc-editor.org/rfc/rfc9000#section-10.3
func TestStatelessResetSent(t *testing.T) {
	tc := newTestConn(t, serverSide)
	id := tc.dst
	token := tc.end.resetToken(id)
	if token != tc.peer.path0.remote.get(tc.peer.path0.route.idSeq).token {
		t.Fatal("the client has another token")
	}
	tc.conn.closeSilently(ErrIdleTimeout) // state is lost
	for _, size := range []int{10, 21, 22, 30, 43, 44, 100, 1200} {
		b := wire.AppendShortHeader(nil, id, false, false, 4)
		if size > len(b) {
			b = append(b, make([]byte, size-len(b))...)
		}
		b = b[:size]
		tc.end.Receive(tc.now, &Datagram{Payload: b, Local: tc.local, Remote: tc.remote})
		out := tc.raw()
		if size <= 21 {
			if len(out) > 0 {
				t.Errorf("answer to a datagram of %d bytes", size)
			}
			continue
		}
		if len(out) != 1 {
			t.Fatalf("%d answers to a datagram of %d bytes", len(out), size)
		}
		// "An endpoint MUST ensure that every Stateless Reset that it sends is
		// smaller than the packet that triggered it": no loop.
		r := out[0]
		if len(r) >= size || len(r) < 21 || r[0]&0xc0 != 0x40 || string(r[len(r)-16:]) != string(token[:]) {
			t.Errorf("answer of %d bytes to %d", len(r), size)
		}
	}
	// Long headers of no connection get none.
	p := &scriptPacket{level: levelInitial}
	_ = p
	b := wire.AppendLongHeader(nil, wire.Handshake, wire.Version1, id, tc.src, nil, 1)
	off := len(b)
	b = append(b, make([]byte, 100)...)
	wire.SetLongLength(b, off, 100)
	tc.end.Receive(tc.now, &Datagram{Payload: b, Local: tc.local, Remote: tc.remote})
	if out := tc.raw(); len(out) != 0 {
		t.Errorf("%d answers to a Handshake packet of no connection", len(out))
	}
}
