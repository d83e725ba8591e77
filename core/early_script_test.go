package core

import (
	"testing"
	"time"

	"github.com/pquic-go/pquic/core/wire"
)

// 0-RTT. https://www.rfc-editor.org/rfc/rfc9001#section-4.6

// earlyClient is a client on its second visit, whose Initial flight the second
// engine has seen.
func earlyClient(t *testing.T, opts ...scriptOption) *testConn {
	tc := newTestConn(t, clientSide, append([]scriptOption{secondVisit(), takeOver(stageInitial)}, opts...)...)
	if tc.conn.v.EarlyDataState != 1 {
		t.Fatal("client offers no early data")
	}
	return tc
}

func TestEarlyDataSent(t *testing.T) {
	tc := earlyClient(t, peerConfig(func(c *Config) { c.StreamWindow, c.MaxBidiStreams = 1000, 2 }))
	s := tc.openStream(true)
	s.SendFIFO().Write(make([]byte, 3000))
	tc.conn.StreamWritten(tc.now, s)
	tc.openStream(true)
	if _, err := tc.conn.OpenStream(true); err != ErrStreamLimit {
		t.Errorf("third stream: %v, the remembered limit is 2", err)
	}
	// The peer reads it with keys it has from the ClientHello.
	flight := tc.raw()
	for _, b := range flight {
		tc.deliver(append([]byte(nil), b...), false, NotECT)
		tc.grab()
	}
	if tc.open[levelEarly] == nil {
		t.Fatal("no 0-RTT keys")
	}
	var sent uint64
	for _, b := range flight {
		tc.read(b, &Transmit{})
	}
	for len(tc.queue) > 0 {
		p := tc.queue[0]
		tc.queue = tc.queue[1:]
		if p.level != levelEarly {
			continue
		}
		for _, f := range p.frames {
			switch f := f.(type) {
			case wire.StreamFrame:
				sent = max(sent, f.Offset+uint64(len(f.Data)))
			case ackFrame, wire.CryptoFrame, wire.NewConnectionIDFrame:
				t.Errorf("0-RTT packet has %s", frameString(f))
			}
		}
	}
	if sent != 1000 {
		t.Errorf("%d bytes sent in 0-RTT, remembered limit 1000", sent)
	}
	if tc.conn.v.ZeroRTTSent == 0 {
		t.Error("no 0-RTT packet was counted")
	}
	// The server accepts; nothing is sent twice, and no 0-RTT packet follows.
	tc.other.EndBatch(tc.now)
	tc.relay(10*time.Millisecond, func() bool { return tc.conn.v.HandshakeConfirmed != 0 })
	if tc.conn.v.EarlyDataState != 2 || tc.conn.keys[levelEarly].seal != nil {
		t.Errorf("early data state %d", tc.conn.v.EarlyDataState)
	}
	if s.sendHalf.RetransmittedBytes != 0 {
		t.Errorf("%d bytes were sent again", s.sendHalf.RetransmittedBytes)
	}
	if in := tc.peer.streams.byID[0]; in == nil || in.RecvFIFO().Len() < 1000 {
		t.Error("the server did not get the data")
	}
}

// Rejected early data starts over, in 1-RTT.
func TestEarlyDataRejected(t *testing.T) {
	refuse := false
	tc := earlyClient(t, peerEndpoint(func(c *EndpointConfig) {
		prev := c.Accept
		c.Accept = func(x *Conn) error {
			if refuse {
				cfg := *x.config
				cfg.Allow0RTT = false
				x.config = &cfg
			}
			if prev != nil {
				return prev(x)
			}
			return nil
		}
	}))
	refuse = true
	s := tc.openStream(true)
	tc.writeStream(s, "early bird", true)
	tc.other.cfg.Accept = func(x *Conn) error {
		cfg := *x.config
		cfg.Allow0RTT = false
		x.config = &cfg
		tc.peer = x
		return nil
	}
	tc.relay(10*time.Millisecond, func() bool { return tc.conn.v.HandshakeConfirmed != 0 && tc.peer.v.StreamsOpen > 0 })
	if tc.conn.v.EarlyDataState != 3 || !tc.h.rejected {
		t.Errorf("early data state %d, application told: %v", tc.conn.v.EarlyDataState, tc.h.rejected)
	}
	in := tc.peer.streams.byID[0]
	if in == nil {
		t.Fatal("the stream did not arrive")
	}
	b := make([]byte, 20)
	if n := in.RecvFIFO().Read(b); string(b[:n]) != "early bird" {
		t.Errorf("read %q", b[:n])
	}
	if in.Early != 0 {
		t.Error("1-RTT data is marked as early")
	}
}

// A server marks what came early, until 1-RTT data shows that it was no replay.
func TestEarlyDataReceived(t *testing.T) {
	tc := newTestConn(t, serverSide, secondVisit(), takeOver(stageInitial))
	tc.write(
		&scriptPacket{level: levelInitial, frames: []any{wire.CryptoFrame{Data: tc.peerCrypto(levelInitial)}}, pad: 600},
		&scriptPacket{level: levelEarly, frames: []any{streamF(0, 0, "early", false)}, pad: 1200},
	)
	if tc.conn == nil || len(tc.h.opened) != 1 {
		t.Fatal("early data did not arrive")
	}
	s := tc.stream(0)
	if got := tc.readStream(s); got != "early" || s.Early == 0 {
		t.Errorf("read %q, marked %d", got, s.Early)
	}
	// The answer may go out at once, in 1-RTT.
	tc.queue = nil
	tc.writeFrames(levelInitial, wire.PaddingFrame{}) // credit
	tc.writeStream(s, "answer", true)
	tc.ignore(wire.Crypto, wire.Ping, wire.NewConnectionID, wire.HandshakeDone, wire.NewToken)
	for f, _ := tc.nextFrame(); f != nil; f, _ = tc.nextFrame() {
		if sameFrame(f, streamF(0, 0, "answer", true)) && tc.current.level != level1RTT {
			t.Errorf("answer at level %d", tc.current.level)
		}
	}
	// More early data after the handshake: "Once all 0-RTT keys are discarded"
	// it counts no more.
	tc.finishHandshake()
	tc.writeFrames(levelEarly, streamF(4, 0, "late but early", true))
	if tc.conn.streams.byID[4] == nil {
		t.Error("0-RTT data that was overtaken by the handshake is lost")
	}
	tc.ackAll(level1RTT)
	tc.advance(5 * time.Second)
	n := tc.conn.v.PacketsReceived
	tc.writeFrames(levelEarly, streamF(8, 0, "too late", true))
	if tc.conn.v.PacketsReceived != n {
		t.Error("0-RTT keys are kept for ever")
	}
	tc.wantOpen("early data")
}

// A server that does not accept early data drops it without a word.
func TestEarlyDataIgnored(t *testing.T) {
	tc := newTestConn(t, serverSide, secondVisit(), takeOver(stageInitial))
	tc.end.config.Allow0RTT = false
	tc.write(
		&scriptPacket{level: levelInitial, frames: []any{wire.CryptoFrame{Data: tc.peerCrypto(levelInitial)}}, pad: 600},
		&scriptPacket{level: levelEarly, frames: []any{streamF(0, 0, "early", false)}, pad: 1200},
	)
	if tc.conn == nil || len(tc.h.opened) != 0 {
		t.Fatal("early data was taken")
	}
	tc.wantOpen("early data refused")
}

// "A client MUST NOT reset the packet number for any packet number space after
// processing a Retry packet": 0-RTT packets are sent again with new numbers.
// https://www.rfc-editor.org/rfc/rfc9000#section-17.2.5.3
func TestEarlyDataRetry(t *testing.T) {
	tc := earlyClient(t, peerEndpoint(func(*EndpointConfig) {}))
	s := tc.openStream(true)
	tc.writeStream(s, "early bird", true)
	tc.raw()
	before := tc.conn.path0.space.sent.Next()
	if before == 0 {
		t.Fatal("no 0-RTT packet was sent")
	}
	tc.other.cfg.Retry = retryConfig().Retry
	tc.end.Receive(tc.now, &Datagram{Payload: tc.retryPacket(connIDOf("retry-source"), []byte("token")), Local: tc.local, Remote: tc.remote})
	tc.end.EndBatch(tc.now)
	if len(tc.raw()) == 0 {
		t.Fatal("nothing is sent after Retry")
	}
	if next := tc.conn.path0.space.sent.Next(); next <= before {
		t.Errorf("next number %d after %d", next, before)
	}
	if s.sendHalf.RetransmittedBytes == 0 {
		t.Error("early data was not sent again")
	}
}

func retryConfig() (c EndpointConfig) {
	retryAlways(&c)
	return c
}
