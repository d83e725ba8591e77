package core

import (
	"crypto/tls"
	"testing"
	"time"

	"github.com/pquic-go/pquic/core/wire"
)

// sendOnce moves n bytes from c to its peer on a new stream and waits until
// both have forgotten it.
func sendOnce(t *testing.T, p *pair, c, peer *Conn, n int) {
	t.Helper()
	s, err := c.OpenStream(false)
	if err != nil {
		t.Fatal(err)
	}
	s.SendFIFO().Write(make([]byte, n))
	s.SendFIFO().CloseWrite()
	c.StreamWritten(p.now, s)
	p.until("stream done", func() bool {
		if in := peer.streams.byID[s.ID]; in != nil {
			in.RecvFIFO().Advance(in.RecvFIFO().Tail())
			peer.StreamRead(p.now, in)
		}
		return c.v.StreamsOpen+peer.v.StreamsOpen == 0
	})
}

// sleep lets time pass.
func (p *pair) sleep(d time.Duration) {
	end := p.now.Add(d)
	for p.flush(); len(p.flights) > 0 || min(p.client.Deadline(), p.server.Deadline()).Before(end); p.flush() {
		if !p.step() {
			break
		}
	}
	p.now = max(p.now, end)
}

func (c *Conn) resting() bool {
	k := &c.keys[level1RTT]
	return k.open.Resting() && c.keyUpdate.next.Resting() && c.tls.conn == nil && c.crypto[appSpace] == nil &&
		c.path0.space.sent.Len() == 0 && c.streams.byID == nil
}

func TestRest(t *testing.T) {
	for _, tc := range []struct {
		name  string
		cache tls.ClientSessionCache
	}{{"no cache", nil}, {"cache", tls.NewLRUClientSessionCache(1)}} {
		t.Run(tc.name, func(t *testing.T) {
			cc, sc := testConfigs(t)
			cc.TLS.ClientSessionCache = tc.cache
			p := newPair(t, cc, sc)
			c, err := p.client.Dial(p.now, &DialConfig{Config: cc, ServerName: "server", Local: clientAddr, Remote: serverAddr})
			if err != nil {
				t.Fatal(err)
			}
			p.until("handshake confirmed", func() bool { return c.v.HandshakeConfirmed != 0 })
			s := p.accepted[0]
			for round := range 6 {
				from, to := c, s
				if round%2 != 0 {
					from, to = s, c
				}
				updates := to.v.KeyUpdates
				sendOnce(t, p, from, to, 5000)
				if from.resting() || to.resting() {
					t.Fatalf("round %d: at rest while it talks", round)
				}
				if round == 3 {
					if to.v.KeyUpdates == updates {
						t.Errorf("round %d: the key update was not followed: %d, %d", round, from.v.KeyUpdates, to.v.KeyUpdates)
					}
				}
				p.sleep(2 * restAfter)
				if !from.resting() || !to.resting() {
					t.Fatalf("round %d: not at rest: %v, %v", round, from.resting(), to.resting())
				}
				if round == 2 || round == 3 {
					// The next packet of to, which is from of the next round, is the
					// first of its phase and finds the other side at rest.
					to.UpdateKeys(p.now)
				}
				for _, e := range []*Endpoint{p.client, p.server} {
					if err := e.Audit(); err != nil {
						t.Fatal(err)
					}
				}
			}
			// The second update waited for an acknowledgment in the first one's
			// phase.
			if c.v.KeyUpdates != 2 || s.v.KeyUpdates != 2 {
				t.Errorf("%d and %d key updates, want 2 on both sides", c.v.KeyUpdates, s.v.KeyUpdates)
			}
			if c.v.PacketsUndecryptable+s.v.PacketsUndecryptable > 0 {
				t.Errorf("%d and %d packets could not be opened", c.v.PacketsUndecryptable, s.v.PacketsUndecryptable)
			}
			if tc.cache != nil && !c.tls.stored {
				t.Error("no ticket was stored")
			}
			c.Close(p.now, 0, "")
			p.until("closed", func() bool { return p.client.Len() == 0 && p.server.Len() == 0 })
		})
	}
}

// TestCryptoAfterRest: what TLS may still say is skipped, what it must not say
// closes the connection, at any offset.
func TestCryptoAfterRest(t *testing.T) {
	ticket := append([]byte{4, 0, 0, 20}, make([]byte, 20)...)
	keyUpdate := []byte{24, 0, 0, 1, 0}
	cc, sc := testConfigs(t)
	p := newPair(t, cc, sc)
	c, err := p.client.Dial(p.now, &DialConfig{Config: cc, ServerName: "server", Local: clientAddr, Remote: serverAddr})
	if err != nil {
		t.Fatal(err)
	}
	p.until("handshake confirmed", func() bool { return c.v.HandshakeConfirmed != 0 })
	p.sleep(2 * restAfter)
	s := p.accepted[0]
	if !c.resting() || !s.resting() || c.tls.read == 0 {
		t.Fatal("not at rest, or no ticket came")
	}
	crypto := func(c *Conn, off uint64, data []byte) *TransportError {
		c.begin(p.now)
		return c.processCrypto(&ReceivedPacket{conn: c, path: c.path0, level: level1RTT}, wire.CryptoFrame{Offset: off, Data: data})
	}
	old := make([]byte, c.tls.read)
	at := c.tls.read
	for i, f := range []struct {
		off  uint64
		data []byte
	}{
		{0, old}, {at - 1, nil}, // again, after the stream was dropped
		{at - 3, append([]byte{1, 2, 3}, ticket[:2]...)}, // partly new
		{at + 5, ticket[5:]},                             // out of order
		{at + 2, ticket[2:5]},
	} {
		if te := crypto(c, f.off, f.data); te != nil {
			t.Fatalf("frame %d: %v", i, te)
		}
	}
	if at += uint64(len(ticket)); c.tls.read != at {
		t.Fatalf("read to %d, want %d", c.tls.read, at)
	}
	p.sleep(2 * restAfter) // nothing arrived by packet: still the same stream
	if te := crypto(c, at, keyUpdate); te == nil || te.Code != 0x10a {
		t.Errorf("KeyUpdate: %v, want CRYPTO_ERROR 0x10a", te)
	}
	if te := crypto(s, 0, ticket[:1]); te == nil || te.Code != 0x10a {
		t.Errorf("ticket from a client: %v, want CRYPTO_ERROR 0x10a", te)
	}
	if te := crypto(c, at+maxCryptoBuffer+100, ticket); te == nil || te.Code != CryptoBufferExceeded {
		t.Errorf("far ahead: %v, want CRYPTO_BUFFER_EXCEEDED", te)
	}
}
