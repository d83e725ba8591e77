package core

import (
	"bytes"
	"crypto/tls"
	"errors"
	"testing"
	"time"

	"github.com/pquic-go/pquic/core/connid"
	"github.com/pquic-go/pquic/core/token"
)

// Datagrams are written into frames of a shared area, one each, behind headroom
// for the headers below UDP; received ones are the caller's again at once.
func TestSeamBuffers(t *testing.T) {
	const headroom, frame = 64, 2048
	for _, room := range []int{1200, 1252, frame - headroom} {
		l := connected(t)
		l.segs = 1
		area := bytes.Repeat([]byte{0xaa}, 4*frame)
		at := 0
		flush := func() {
			for i, e := range []*Endpoint{l.client, l.server} {
				for {
					f := area[at*frame : (at+1)*frame]
					tr, ok := e.Transmit(l.now, f[headroom:headroom+room:headroom+room], 1)
					if !ok {
						break
					}
					if tr.Len != tr.SegmentSize || tr.Len > room {
						t.Fatalf("%d bytes in segments of %d for a frame of %d", tr.Len, tr.SegmentSize, room)
					}
					for j, x := range f {
						if (j < headroom || j >= headroom+room) && x != 0xaa {
							t.Fatalf("byte %d outside the frame's room was written", j)
						}
					}
					l.post(&labDatagram{toServer: i == 0, path: tr.Path, Datagram: Datagram{
						Payload: bytes.Clone(f[headroom : headroom+tr.Len]), Local: tr.Remote, Remote: tr.Local, ECN: tr.ECN}})
					at = (at + 1) % 4
				}
			}
		}
		l.flushWith = flush
		l.poison = true
		l.transfer(l.c, l.s, 500_000)
		l.transfer(l.s, l.c, 500_000)
		if m := l.c.path0.MTU; int(m) > max(room, minUDPPayload) {
			t.Errorf("room for %d bytes, datagrams of %d", room, m)
		}
	}
}

// Connection IDs carry what the layout says, so that a balancer finds the
// machine and the kernel the worker.
func TestSeamConnectionIDLayout(t *testing.T) {
	layout := connid.Layout{Prefix: []byte{0xc0}, ServerID: []byte{7, 9}, Workers: 4, Mask: 0x5a, Length: 12}
	l := newLab(t, endpoints(func(_, s *EndpointConfig) { s.Layout, s.Worker = layout, 3 }))
	seen, wrong := 0, 0
	l.seen = func(d *labDatagram) {
		if !d.toServer || l.c.v.HandshakeComplete == 0 {
			return
		}
		seen++
		if w, ok := WorkerOf(&layout, d.Payload); !ok || w != 3 {
			wrong++
		}
	}
	l.until("handshake confirmed", func() bool { return l.c.v.HandshakeConfirmed != 0 })
	l.transfer(l.c, l.s, 200_000)
	l.until("several IDs", func() bool { return len(l.c.path0.remote.ids) > 2 || !l.step() })
	for range 2 {
		if !l.c.RotateConnID(l.c.path0) {
			t.Fatal("no spare connection ID")
		}
		l.transfer(l.c, l.s, 20_000)
	}
	if seen == 0 || wrong > 0 {
		t.Errorf("%d of %d datagrams name another worker", wrong, seen)
	}
	for _, id := range l.c.path0.remote.ids {
		if b := id.id.AppendTo(nil); len(b) != 12 || !bytes.HasPrefix(b, []byte{0xc0, 7, 9}) {
			t.Errorf("connection ID %v", id.id)
		}
	}
}

// Two machines share one address and the keys of tokens, resets and tickets:
// what one began the other understands.
func TestSeamSharedKeys(t *testing.T) {
	key, reset := token.Key{1, 2, 3}, token.Key{4, 5, 6}
	guard := token.NewReplayGuard(time.Hour, 100)
	_, base := testConfigs(t)
	var ticket [32]byte
	machine := func(retry bool) labOption {
		return func(s *labSetup) {
			tlsConfig := base.TLS.Clone()
			tlsConfig.SetSessionTicketKeys([][32]byte{ticket})
			s.server.TLS = tlsConfig
			random := s.serverEnd.Random
			ring, err := token.NewKeyring(token.Config{Keys: []token.Key{key}, Random: random, Replay: guard})
			if err != nil {
				t.Fatal(err)
			}
			s.serverEnd.Tokens, s.serverEnd.ResetKey = ring, reset
			if retry {
				s.serverEnd.RetryAbove = -1
			}
		}
	}
	store := &tokenShelf{}
	cache := tls.NewLRUClientSessionCache(4)
	client := configs(func(c, _ *Config) { c.Tokens, c.TLS.ClientSessionCache = store, cache })

	// The Retry of one machine leads to a handshake with the other.
	a := newLab(t, machine(true), client)
	b := newLab(t, machine(false))
	first := a.server
	handed := false
	a.seen = func(d *labDatagram) {
		if !handed && !d.toServer {
			handed = true
			a.server = b.server
			b.server.cfg.Accept = first.cfg.Accept
		}
	}
	a.until("handshake with the second machine", func() bool { return a.c.v.HandshakeConfirmed != 0 })
	if first.Stats().Retries == 0 || first.Stats().Accepted != 0 || b.server.Stats().Accepted != 1 || a.s.path0.route.validated == false {
		t.Errorf("first machine: %+v, second: %+v", first.Stats(), b.server.Stats())
	}
	a.transfer(a.c, a.s, 20_000)
	a.wait(time.Second)

	// The token and the ticket it gave are good for a third.
	c := connected(t, machine(true), client)
	if s := c.server.Stats(); s.Retries != 0 || s.InvalidTokens != 0 || c.s.v.RetryTokenLength == 0 {
		t.Errorf("second visit: %+v", s)
	}
	if !c.c.ConnectionState().DidResume {
		t.Error("the ticket was not accepted")
	}

	// A machine that took over answers for connections it does not know.
	c.transfer(c.c, c.s, 20_000)
	d := newLab(t, machine(false))
	c.server = d.server
	c.c.Ping(c.now)
	c.until("stateless reset", func() bool { return c.c.Err() != nil })
	if !errors.Is(c.c.Err(), ErrStatelessReset) {
		t.Errorf("ended with %v", c.c.Err())
	}
}

// A tokenShelf is a client's TokenStore.
type tokenShelf struct{ tokens [][]byte }

func (s *tokenShelf) Put(_ string, t []byte) { s.tokens = append(s.tokens, t) }

func (s *tokenShelf) Take(string) []byte {
	if len(s.tokens) == 0 {
		return nil
	}
	t := s.tokens[0]
	s.tokens = s.tokens[1:]
	return t
}
