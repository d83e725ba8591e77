package core

import (
	"strings"
	"testing"
	"time"

	"github.com/pquic-go/pquic/core/wire"
)

// What becomes of each kind of frame when its packet is lost.
// https://www.rfc-editor.org/rfc/rfc9000#section-13.3

func TestLostStream(t *testing.T) {
	lostFrameTest(t, func(t *testing.T, pto bool) {
		tc := newTestConn(t, clientSide)
		s := tc.openStream(true)
		tc.writeStream(s, "hello", true)
		tc.wantFrame("stream data", streamF(0, 0, "hello", true))
		tc.lose(level1RTT, pto)
		tc.wantFrame("resent stream data and its end", streamF(0, 0, "hello", true))
		tc.ackAll(level1RTT)
		tc.wantIdle("all acknowledged")
		if got := s.sendHalf.State().String(); got != "Data Recvd" {
			t.Errorf("sending part is in state %s", got)
		}
	})
}

func TestLostStreamFin(t *testing.T) {
	lostFrameTest(t, func(t *testing.T, pto bool) {
		tc := newTestConn(t, serverSide)
		s := tc.openStream(false)
		tc.writeStream(s, "hello", false)
		tc.wantFrame("stream data", streamF(s.ID, 0, "hello", false))
		tc.ackAll(level1RTT)
		tc.writeStream(s, "", true)
		tc.wantFrame("end of stream", streamF(s.ID, 5, "", true))
		tc.lose(level1RTT, pto)
		tc.wantFrame("resent end of stream", streamF(s.ID, 5, "", true))
		tc.ackAll(level1RTT)
		tc.wantIdle("all acknowledged")
		if len(tc.h.closed) != 1 {
			t.Error("stream not closed")
		}
	})
}

func TestLostStreamPartly(t *testing.T) {
	lostFrameTest(t, func(t *testing.T, pto bool) {
		tc := newTestConn(t, clientSide)
		s := tc.openStream(true)
		for i, d := range []string{"aa", "bb", "cc"} {
			tc.writeStream(s, d, false)
			tc.wantFrame("stream data", streamF(0, uint64(2*i), d, false))
		}
		tc.ack(level1RTT, wire.PNRange{Lo: tc.largest[appSpace] - 1, Hi: tc.largest[appSpace] - 1})
		tc.lose(level1RTT, pto)
		got := map[uint64]string{}
		for f, _ := tc.nextFrame(); f != nil; f, _ = tc.nextFrame() {
			if d, ok := f.(wire.StreamFrame); ok {
				got[d.Offset] = string(d.Data)
			}
		}
		if len(got) != 2 || got[0] != "aa" || got[4] != "cc" {
			t.Errorf("resent %v, want the two ranges lost", got)
		}
		tc.ackAll(level1RTT)
		tc.wantIdle("all acknowledged")
		if s.sendHalf.AckedOffset != 6 {
			t.Errorf("acknowledged up to %d", s.sendHalf.AckedOffset)
		}
	})
}

// Data whose packet is declared lost and acknowledged afterwards is not sent
// again.
func TestLostStreamSpuriously(t *testing.T) {
	tc := newTestConn(t, clientSide, peerConfig(func(c *Config) { c.StreamWindow = 3000 }))
	s := tc.openStream(true)
	tc.writeStream(s, strings.Repeat("x", 3000), false)
	tc.flush()
	sent := len(tc.queue)
	tc.queue = nil
	lost := tc.largest[appSpace]
	for range 3 {
		tc.conn.Ping(tc.now)
		tc.flush()
	}
	tc.queue = nil
	// Both acknowledgments arrive before the engine gets to send.
	newest := tc.largest[appSpace]
	tc.write(&scriptPacket{level: level1RTT, noBatch: true, frames: []any{ackFrame{Ranges: []wire.PNRange{{Lo: newest, Hi: newest}}}}})
	if tc.conn.v.PacketsLost == 0 {
		t.Fatal("nothing was declared lost")
	}
	tc.ack(level1RTT, wire.PNRange{Lo: lost - uint64(sent) + 1, Hi: newest})
	if tc.conn.v.PacketsSpurious == 0 {
		t.Error("no loss was recognised as spurious")
	}
	tc.wantIdle("data was acknowledged")
}

func TestLostStreamAfterReset(t *testing.T) {
	lostFrameTest(t, func(t *testing.T, pto bool) {
		// "An endpoint … can stop retransmitting … once an endpoint sends a
		// RESET_STREAM frame, no further STREAM frames are needed."
		tc := newTestConn(t, clientSide)
		s := tc.openStream(true)
		tc.writeStream(s, "hello", false)
		tc.wantFrame("stream data", streamF(0, 0, "hello", false))
		tc.conn.ResetStream(tc.now, s, 42, 0)
		reset := wire.ResetStreamFrame{ID: 0, ErrorCode: 42, FinalSize: 5}
		tc.wantFrame("stream is reset", reset)
		tc.lose(level1RTT, pto)
		tc.wantFrame("reset resent", reset)
		tc.dropPings()
		tc.wantIdle("data of a reset stream is not resent")
	})
}

func TestLostResetStream(t *testing.T) {
	lostFrameTest(t, func(t *testing.T, pto bool) {
		tc := newTestConn(t, clientSide)
		s := tc.openStream(false)
		tc.writeStream(s, "hello", false)
		tc.wantFrame("stream data", streamF(s.ID, 0, "hello", false))
		tc.ackAll(level1RTT)
		tc.conn.ResetStream(tc.now, s, 7, 0)
		want := wire.ResetStreamFrame{ID: s.ID, ErrorCode: 7, FinalSize: 5}
		tc.wantFrame("stream is reset", want)
		tc.lose(level1RTT, pto)
		tc.wantFrame("resent RESET_STREAM", want)
		tc.ackAll(level1RTT)
		tc.wantIdle("reset acknowledged")
		if len(tc.h.closed) != 1 {
			t.Error("stream not closed")
		}
	})
}

func TestLostResetStreamAt(t *testing.T) {
	lostFrameTest(t, func(t *testing.T, pto bool) {
		tc := newTestConn(t, clientSide)
		s := tc.openStream(false)
		tc.writeStream(s, "header|body", false)
		tc.wantFrame("stream data", streamF(s.ID, 0, "header|body", false))
		tc.conn.ResetStream(tc.now, s, 7, 6)
		want := wire.ResetStreamAtFrame{ID: s.ID, ErrorCode: 7, FinalSize: 11, ReliableSize: 6}
		tc.wantFrame("stream is reset", want)
		tc.lose(level1RTT, pto)
		var data, reset bool
		for f, _ := tc.nextFrame(); f != nil; f, _ = tc.nextFrame() {
			data = data || sameFrame(f, streamF(s.ID, 0, "header", false))
			reset = reset || sameFrame(f, want)
		}
		if !reset || !data {
			t.Errorf("resent: data %v, reset %v", data, reset)
		}
		tc.ackAll(level1RTT)
		tc.wantIdle("all acknowledged")
		if len(tc.h.closed) != 1 {
			t.Error("stream not closed")
		}
	})
}

func TestLostStopSending(t *testing.T) {
	lostFrameTest(t, func(t *testing.T, pto bool) {
		tc := newTestConn(t, clientSide)
		s := tc.openStream(true)
		tc.conn.StopSending(tc.now, s, 9)
		want := wire.StopSendingFrame{ID: 0, ErrorCode: 9}
		tc.wantFrame("sending is to stop", want)
		tc.lose(level1RTT, pto)
		tc.wantFrame("resent STOP_SENDING", want)
	})
}

func TestLostStopSendingObeyed(t *testing.T) {
	lostFrameTest(t, func(t *testing.T, pto bool) {
		// "…STOP_SENDING frames are sent until the receiving part of the stream
		// enters either a 'Data Recvd' or 'Reset Recvd' state."
		tc := newTestConn(t, clientSide)
		s := tc.openStream(true)
		tc.conn.StopSending(tc.now, s, 9)
		tc.wantFrame("sending is to stop", wire.StopSendingFrame{ID: 0, ErrorCode: 9})
		tc.write1RTT(wire.ResetStreamFrame{ID: 0, ErrorCode: 9, FinalSize: 0})
		tc.lose(level1RTT, pto)
		tc.dropPings()
		tc.wantIdle("peer has stopped")
	})
}

func TestLostCryptoInitial(t *testing.T) {
	lostFrameTest(t, func(t *testing.T, pto bool) {
		bothSides(t, func(t *testing.T, side scriptSide) {
			if side == clientSide && !pto {
				t.Skip("a client's Initial packets are acknowledged with the ServerHello")
			}
			stage := stageHandshake
			if side == clientSide {
				stage = stageInitial
			}
			tc := newTestConn(t, side, takeOver(stage))
			if side == clientSide {
				tc.flush()
				first := wantType[wire.CryptoFrame](tc, "ClientHello")
				tc.advanceToPTO("no answer")
				tc.wantFrame("resent ClientHello", first)
				return
			}
			hello := tc.conn.crypto[initialSpace].sendFIFO
			want := make([]byte, hello.Len())
			hello.ReadAt(want, 0)
			for range 4 {
				// Every datagram lets the server send three times its size.
				tc.writeFrames(levelInitial, wire.PaddingFrame{})
			}
			tc.lose(levelInitial, pto)
			p := tc.wantFrame("resent ServerHello", wire.CryptoFrame{Data: want})
			if p.level != levelInitial {
				t.Errorf("at level %d", p.level)
			}
		})
	})
}

func TestLostCryptoHandshake(t *testing.T) {
	lostFrameTest(t, func(t *testing.T, pto bool) {
		tc := newTestConn(t, serverSide, takeOver(stageHandshake))
		tc.ackAll(levelInitial)
		f := tc.conn.crypto[handshakeSpace].sendFIFO
		want := make([]byte, f.Len())
		f.ReadAt(want, 0)
		tc.lose(levelHandshake, pto)
		got := make([]byte, len(want))
		for n := 0; n < len(want); {
			c := wantType[wire.CryptoFrame](tc, "resent Handshake CRYPTO data")
			if tc.current.level != levelHandshake {
				t.Fatalf("at level %d", tc.current.level)
			}
			n += copy(got[c.Offset:], c.Data)
		}
		if string(got) != string(want) {
			t.Error("other bytes than first sent")
		}
	})
}

func TestLostCrypto1RTT(t *testing.T) {
	lostFrameTest(t, func(t *testing.T, pto bool) {
		tc := newTestConn(t, serverSide, takeOver(stageHandshake))
		tc.ignore(wire.HandshakeDone, wire.NewToken, wire.NewConnectionID)
		tc.finishHandshake()
		ticket := wantType[wire.CryptoFrame](tc, "session ticket")
		for tc.current.level != level1RTT {
			ticket = wantType[wire.CryptoFrame](tc, "session ticket")
		}
		tc.lose(level1RTT, pto)
		tc.wantFrame("resent session ticket", ticket)
	})
}

func TestLostHandshakeDoneAndOthers(t *testing.T) {
	for _, typ := range []wire.FrameType{wire.HandshakeDone, wire.NewToken, wire.NewConnectionID} {
		t.Run(typ.String(), func(t *testing.T) {
			lostFrameTest(t, func(t *testing.T, pto bool) {
				tc := newTestConn(t, serverSide, takeOver(stageHandshake))
				tc.ignore(wire.HandshakeDone, wire.NewToken, wire.NewConnectionID, wire.Crypto)
				tc.watch(typ)
				tc.finishHandshake()
				var first []any
				for f, _ := tc.nextFrame(); f != nil; f, _ = tc.nextFrame() {
					first = append(first, f)
				}
				if len(first) == 0 {
					t.Fatal("never sent")
				}
				tc.lose(level1RTT, pto)
				tc.wantFrames("resent", first...)
				tc.ackAll(level1RTT)
				tc.wantIdle("acknowledged")
			})
		})
	}
}

func TestLostMaxData(t *testing.T) {
	lostFrameTest(t, func(t *testing.T, pto bool) {
		// "An updated value is sent … when the packet containing the most
		// recently sent MAX_DATA frame is declared lost".
		tc := newTestConn(t, serverSide, engineConfig(func(c *Config) { c.ConnWindow, c.MaxConnWindow = 100, 100 }))
		tc.ignore(wire.MaxStreamData)
		id := tc.peerStream(0, false)
		tc.write1RTT(streamF(id, 0, strings.Repeat("x", 60), false))
		tc.readStream(tc.stream(id))
		tc.wantFrame("credit renewed", wire.MaxDataFrame{Max: 160})
		tc.write1RTT(streamF(id, 60, strings.Repeat("x", 20), false))
		tc.readStream(tc.stream(id))
		tc.wantIdle("little was consumed")
		tc.lose(level1RTT, pto)
		tc.wantFrame("resent MAX_DATA", wire.MaxDataFrame{Max: 160})
	})
}

func TestLostMaxDataLatest(t *testing.T) {
	tc := newTestConn(t, serverSide, engineConfig(func(c *Config) { c.ConnWindow, c.MaxConnWindow = 100, 100 }))
	tc.ignore(wire.MaxStreamData)
	id := tc.peerStream(0, false)
	tc.write1RTT(streamF(id, 0, strings.Repeat("x", 60), false))
	tc.readStream(tc.stream(id))
	tc.wantFrame("credit renewed", wire.MaxDataFrame{Max: 160})
	tc.write1RTT(streamF(id, 60, strings.Repeat("x", 60), false))
	tc.readStream(tc.stream(id))
	tc.wantFrame("credit renewed again", wire.MaxDataFrame{Max: 220})
	newest := tc.largest[appSpace]
	tc.ack(level1RTT, wire.PNRange{Lo: newest, Hi: newest})
	tc.advance(time.Second)
	tc.dropPings()
	for f, _ := tc.nextFrame(); f != nil; f, _ = tc.nextFrame() {
		if m, ok := f.(wire.MaxDataFrame); ok && m.Max != 220 {
			t.Errorf("an outdated limit was sent again: %+v", m)
		}
	}
}

func TestLostMaxStreamData(t *testing.T) {
	lostFrameTest(t, func(t *testing.T, pto bool) {
		tc := newTestConn(t, serverSide, engineConfig(func(c *Config) { c.StreamWindow, c.MaxStreamWindow = 100, 100 }))
		id := tc.peerStream(0, false)
		tc.write1RTT(streamF(id, 0, strings.Repeat("x", 60), false))
		tc.readStream(tc.stream(id))
		want := wire.MaxStreamDataFrame{ID: id, Max: 160}
		tc.wantFrame("credit renewed", want)
		tc.lose(level1RTT, pto)
		tc.wantFrame("resent MAX_STREAM_DATA", want)
	})
}

func TestLostMaxStreamDataSizeKnown(t *testing.T) {
	lostFrameTest(t, func(t *testing.T, pto bool) {
		// "An endpoint SHOULD stop sending MAX_STREAM_DATA frames when the
		// receiving part of the stream enters a 'Size Known' or 'Reset Recvd'
		// state."
		tc := newTestConn(t, serverSide, engineConfig(func(c *Config) { c.StreamWindow, c.MaxStreamWindow = 100, 100 }))
		id := tc.peerStream(0, false)
		tc.write1RTT(streamF(id, 0, strings.Repeat("x", 60), false))
		tc.readStream(tc.stream(id))
		tc.wantFrame("credit renewed", wire.MaxStreamDataFrame{ID: id, Max: 160})
		tc.write1RTT(streamF(id, 100, "", true))
		tc.lose(level1RTT, pto)
		tc.dropPings()
		tc.wantIdle("size is known")
	})
}

func TestLostMaxStreams(t *testing.T) {
	for _, bidi := range []bool{true, false} {
		lostFrameTest(t, func(t *testing.T, pto bool) {
			tc := newTestConn(t, serverSide, engineConfig(func(c *Config) { c.MaxBidiStreams, c.MaxUniStreams = 1, 1 }))
			id := tc.peerStream(0, bidi)
			tc.write1RTT(streamF(id, 0, "x", true))
			s := tc.stream(id)
			tc.readStream(s)
			if bidi {
				tc.writeStream(s, "", true)
				tc.wantFrame("answer", streamF(id, 0, "", true))
				tc.ackAll(level1RTT)
			}
			want := wire.MaxStreamsFrame{Max: 2, Uni: !bidi}
			tc.wantFrame("a stream has ended", want)
			tc.lose(level1RTT, pto)
			tc.wantFrame("resent MAX_STREAMS", want)
		})
	}
}

func TestLostDataBlocked(t *testing.T) {
	lostFrameTest(t, func(t *testing.T, pto bool) {
		tc := newTestConn(t, clientSide, peerConfig(func(c *Config) { c.ConnWindow = 4 }))
		s := tc.openStream(true)
		tc.writeStream(s, "hello", false)
		tc.wantFrame("what credit allows", streamF(0, 0, "hell", false))
		tc.wantFrame("blocked", wire.DataBlockedFrame{Limit: 4})
		tc.lose(level1RTT, pto)
		var blocked bool
		for f, _ := tc.nextFrame(); f != nil; f, _ = tc.nextFrame() {
			blocked = blocked || sameFrame(f, wire.DataBlockedFrame{Limit: 4})
		}
		if !blocked && pto {
			t.Error("DATA_BLOCKED was not resent")
		}
	})
}

func TestLostDataBlockedLifted(t *testing.T) {
	tc := newTestConn(t, clientSide, peerConfig(func(c *Config) { c.ConnWindow = 4 }))
	s := tc.openStream(true)
	tc.writeStream(s, "hello", false)
	tc.wantFrame("what credit allows", streamF(0, 0, "hell", false))
	tc.wantFrame("blocked", wire.DataBlockedFrame{Limit: 4})
	tc.write1RTT(wire.MaxDataFrame{Max: 100})
	tc.wantFrame("the rest", streamF(0, 4, "o", false))
	tc.advanceToPTO("DATA_BLOCKED lost")
	for f, _ := tc.nextFrame(); f != nil; f, _ = tc.nextFrame() {
		if b, ok := f.(wire.DataBlockedFrame); ok {
			t.Errorf("sent %+v though the limit was raised", b)
		}
	}
}

func TestLostStreamDataBlocked(t *testing.T) {
	lostFrameTest(t, func(t *testing.T, pto bool) {
		tc := newTestConn(t, clientSide, peerConfig(func(c *Config) { c.StreamWindow = 4 }))
		s := tc.openStream(true)
		tc.writeStream(s, "hell", false)
		tc.wantFrame("what credit allows", streamF(0, 0, "hell", false))
		tc.ackAll(level1RTT)
		tc.writeStream(s, "o", false)
		want := wire.StreamDataBlockedFrame{ID: 0, Limit: 4}
		tc.wantFrame("blocked", want)
		tc.lose(level1RTT, pto)
		tc.wantFrame("resent STREAM_DATA_BLOCKED", want)
	})
}

func TestLostStreamsBlocked(t *testing.T) {
	for _, bidi := range []bool{true, false} {
		lostFrameTest(t, func(t *testing.T, pto bool) {
			tc := newTestConn(t, clientSide, peerConfig(func(c *Config) { c.MaxBidiStreams, c.MaxUniStreams = -1, -1 }))
			if _, err := tc.conn.OpenStream(bidi); err != ErrStreamLimit {
				t.Fatal(err)
			}
			want := wire.StreamsBlockedFrame{Limit: 0, Uni: !bidi}
			tc.wantFrame("no stream allowed", want)
			tc.lose(level1RTT, pto)
			tc.wantFrame("resent STREAMS_BLOCKED", want)
			tc.write1RTT(wire.MaxStreamsFrame{Max: 1, Uni: !bidi})
			tc.lose(level1RTT, pto)
			tc.dropPings()
			tc.wantIdle("limit was raised")
		})
	}
}

func TestLostRetireConnectionID(t *testing.T) {
	lostFrameTest(t, func(t *testing.T, pto bool) {
		tc := newTestConn(t, clientSide)
		next := tc.peer.path0.local.next
		tc.write1RTT(newConnID(next, 1))
		want := wire.RetireConnectionIDFrame{Sequence: 0}
		tc.wantFrame("asked to retire", want)
		tc.lose(level1RTT, pto)
		if pto {
			// The probe need not repeat it; the loss will.
			f, _ := tc.nextFrame()
			if !sameFrame(f, wire.PingFrame{}) && !sameFrame(f, want) {
				t.Fatalf("probe is %s", frameString(f))
			}
			tc.ackLatest(level1RTT)
			tc.advance(time.Second)
		}
		tc.dropPings()
		tc.wantFrame("resent RETIRE_CONNECTION_ID", want)
		tc.ackAll(level1RTT)
		tc.wantIdle("acknowledged")
	})
}

func TestLostPathResponse(t *testing.T) {
	lostFrameTest(t, func(t *testing.T, pto bool) {
		// "Responses to path validation using PATH_RESPONSE frames are sent just
		// once."
		tc := newTestConn(t, serverSide)
		data := [8]byte{1, 2, 3}
		tc.write1RTT(wire.PathChallengeFrame{Data: data})
		tc.wantFrame("answer", wire.PathResponseFrame{Data: data})
		tc.lose(level1RTT, pto)
		tc.dropPings()
		tc.wantIdle("PATH_RESPONSE is not resent")
	})
}

func TestLostPing(t *testing.T) {
	tc := newTestConn(t, serverSide)
	tc.conn.Ping(tc.now)
	tc.wantFrame("asked for", wire.PingFrame{})
	tc.lose(level1RTT, false)
	tc.wantIdle("PING carries nothing to resend")
}

// "ACK frames carry the most recent set of acknowledgments …; delaying the
// transmission of packets containing ACK frames or resending old ACK frames can
// cause the peer to generate an inflated RTT sample".
func TestLostAck(t *testing.T) {
	tc := newTestConn(t, serverSide)
	tc.write1RTT(wire.PingFrame{})
	tc.write1RTT(wire.PingFrame{})
	first := tc.wantAck("second ack-eliciting packet")
	tc.wantNothing("acknowledged once")
	tc.lose(level1RTT, false)
	tc.dropPings()
	tc.wantNoAck("a lost ACK is not resent by itself")
	tc.write1RTT(wire.PingFrame{})
	tc.write1RTT(wire.PingFrame{})
	second := tc.wantAck("more packets")
	if second.Ranges[0].Lo > first.Ranges[0].Lo {
		t.Errorf("ACK of %v forgets %v, which the peer has not seen", second.Ranges, first.Ranges)
	}
}

func TestLostAckFrequency(t *testing.T) {
	lostFrameTest(t, func(t *testing.T, pto bool) {
		tc := newTestConn(t, serverSide)
		tc.conn.ackFreq.threshold, tc.conn.ackFreq.maxDelay = 10, 30*time.Millisecond
		tc.conn.pend |= pendAckFrequency
		tc.conn.wake()
		first := wantType[wire.AckFrequencyFrame](tc, "fewer acknowledgments wanted")
		tc.lose(level1RTT, pto)
		again := wantType[wire.AckFrequencyFrame](tc, "resent")
		// "…a sender MUST … with a larger sequence number" for each frame sent.
		if again.Sequence <= first.Sequence || again.AckElicitingThreshold != 10 {
			t.Errorf("sent %+v after %+v", again, first)
		}
	})
}
