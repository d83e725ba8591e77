package hoststack

import (
	"context"
	"errors"
	"io"
	"sync"
	"testing"

	"github.com/pquic-go/pquic/core"
)

// The requests of a client that fetches many small files.
const (
	heldStreams = 30
	heldBytes   = 257
)

// writeHeld opens streams and writes a request on each, from goroutines of
// their own.
func writeHeld(t *testing.T, c *Conn) []*Stream {
	t.Helper()
	all := make([]*Stream, heldStreams)
	var wg sync.WaitGroup
	for i := range all {
		wg.Go(func() {
			s, err := c.OpenStream(testContext(t))
			if err == nil {
				_, err = s.WriteFinal(randomBytes(heldBytes))
			}
			if err != nil {
				t.Error(err)
			}
			all[i] = s
		})
	}
	wg.Wait()
	if t.Failed() {
		t.FailNow()
	}
	return all
}

// packetsOf counts the packets that first carried something of the streams.
func packetsOf(t *testing.T, l *sentLog, all []*Stream, packetType string) int {
	t.Helper()
	packets := make(map[uint64]bool)
	for _, s := range all {
		f := l.of(t, s)
		if f.packetType != packetType {
			t.Errorf("stream %d left in a %s packet, want %s", s.ID(), f.packetType, packetType)
		}
		packets[f.packet] = true
	}
	return len(packets)
}

// fullPackets is how many packets what writeHeld writes has to fit.
const fullPackets = heldStreams*(heldBytes+6)/1100 + 1

// TestHold: what is written during a hold leaves at its end, in full packets.
func TestHold(t *testing.T) {
	l := listen(t, serverConfig(), echo)
	var log sentLog
	cfg := clientConfig()
	cfg.Core.Qlog = log.trace
	c := dial(t, l, cfg)
	roundTrip(t, c, []byte("before"))
	before := len(log.frames(t))
	outer, release := c.Hold(), c.Hold()
	all := writeHeld(t, c)
	outer()
	outer() // counts once
	c.Stats()
	if n := len(log.frames(t)) - before; n > 0 {
		t.Errorf("%d STREAM frames left during the hold", n)
	}
	release()
	for _, s := range all {
		if b, err := io.ReadAll(s); err != nil || len(b) != heldBytes {
			t.Fatalf("%d bytes, %v", len(b), err)
		}
	}
	if n := packetsOf(t, &log, all, "1RTT"); n > fullPackets {
		t.Errorf("%d requests left in %d packets, want at most %d", heldStreams, n, fullPackets)
	}
	roundTrip(t, c, []byte("after"))
}

// TestHoldEarly: requests written together leave in full 0-RTT packets.
func TestHoldEarly(t *testing.T) {
	e := newEarly(t, true)
	var log sentLog
	e.client.Core.Qlog = log.trace
	c, goOn := e.dial(t)
	release := c.Hold()
	all := writeHeld(t, c)
	release()
	// The server is not at work: nothing but the first flight can leave.
	waitFor(t, func() bool { return len(log.frames(t)) >= heldStreams })
	goOn()
	for _, s := range all {
		if b, err := io.ReadAll(s); err != nil || len(b) != heldBytes {
			t.Fatalf("%d bytes, %v", len(b), err)
		}
	}
	if n := packetsOf(t, &log, all, "0RTT"); n > fullPackets {
		t.Errorf("%d requests left in %d packets, want at most %d", heldStreams, n, fullPackets)
	}
}

// TestHoldEnds: a call that waits for the peer ends a hold, which would
// otherwise never be released.
func TestHoldEnds(t *testing.T) {
	t.Run("room", func(t *testing.T) {
		l := listen(t, serverConfig(), echo)
		c := dial(t, l, clientConfig())
		defer c.Hold()()
		roundTrip(t, c, randomBytes(4<<20))
	})
	t.Run("streams", func(t *testing.T) {
		server := serverConfig()
		server.Core.MaxBidiStreams = 1
		l := listen(t, server, echo)
		c := dial(t, l, clientConfig())
		defer c.Hold()()
		first, err := c.OpenStream(testContext(t))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := first.WriteFinal([]byte("x")); err != nil {
			t.Fatal(err)
		}
		done := async(func() error { _, err := io.ReadAll(first); return err })
		if _, err := c.TryOpenStream(); !errors.Is(err, core.ErrStreamLimit) {
			t.Fatalf("a second stream: %v, want the limit", err)
		}
		if _, err := c.OpenStream(testContext(t)); err != nil {
			t.Error(err)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	t.Run("drain", func(t *testing.T) {
		l := listen(t, serverConfig(), echo)
		c := dial(t, l, clientConfig())
		defer c.Hold()()
		s, err := c.OpenStream(testContext(t))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.WriteFinal([]byte("x")); err != nil {
			t.Fatal(err)
		}
		if err := c.Drain(testContext(t)); err != nil {
			t.Error(err)
		}
	})
}

// TestDrain: everything written is acknowledged when Drain returns.
func TestDrain(t *testing.T) {
	s, c := pair(t, serverConfig(), clientConfig())
	ss, cs := streams(t, s, c)
	if err := c.Drain(testContext(t)); err != nil {
		t.Errorf("with nothing written: %v", err)
	}
	// More than the peer's window: it has to read first.
	const size = 8 << 20
	go func() {
		_, _ = cs.WriteFinal(randomBytes(size))
	}()
	reading := async(func() error { _, err := io.CopyN(io.Discard, ss, size); return err })
	if err := <-reading; err != nil {
		t.Fatal(err)
	}
	if err := c.Drain(testContext(t)); err != nil {
		t.Error(err)
	}
	if err := c.Do(func(*core.Conn) {
		if v := cs.core.SendView(); v.AckedOffset != size+1 || v.FinAcked == 0 {
			t.Errorf("%d bytes acknowledged, FIN %d", v.AckedOffset, v.FinAcked)
		}
	}); err != nil {
		t.Error(err)
	}

	// What the peer does not take is waited for until the context ends, or the
	// connection.
	if _, err := ss.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	waiting, _ := c.OpenStream(testContext(t))
	go func() { _, _ = waiting.Write(randomBytes(16 << 20)) }()
	// Bytes beyond the peer's limit cannot be acknowledged.
	waitFor(t, func() bool {
		beyond := false
		_ = c.Do(func(*core.Conn) {
			v := waiting.core.SendView()
			beyond = v.AckedOffset+uint64(waiting.send.Len()) > v.MaxStreamData
		})
		return beyond
	})
	ctx, cancel := context.WithCancel(context.Background())
	drained := async(func() error { return c.Drain(ctx) })
	cancel()
	if err := <-drained; !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	drained = async(func() error { return c.Drain(testContext(t)) })
	c.CloseWithError(7, "")
	var ce *ConnError
	if err := <-drained; !errors.As(err, &ce) {
		t.Errorf("closed: %v, want a *ConnError", err)
	}
}

// TestDrainReset: a stream that was reset has nothing to wait for.
func TestDrainReset(t *testing.T) {
	s, c := pair(t, serverConfig(), clientConfig())
	_, cs := streams(t, s, c)
	go func() { _, _ = cs.Write(randomBytes(16 << 20)) }()
	waitFor(t, func() bool { return cs.send.Len() > 1<<10 })
	cs.Reset(1)
	if err := c.Drain(testContext(t)); err != nil {
		t.Error(err)
	}
}
