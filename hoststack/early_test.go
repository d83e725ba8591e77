package hoststack

import (
	"context"
	"io"
	"net/netip"
	"sync"
	"testing"

	"github.com/pquic-go/pquic/core"
)

// TestEarlyData: with a ticket, Dial returns before the handshake is complete
// and the server reads what is sent then.
func TestEarlyData(t *testing.T) {
	for _, v := range []struct {
		name   string
		accept bool
	}{{"accepted", true}, {"rejected", false}} {
		t.Run(v.name, func(t *testing.T) {
			cfg := serverConfig()
			cfg.Core.Allow0RTT = true
			cfg.Early = true
			l, err := Listen(context.Background(), "udp", "127.0.0.1:0", cfg)
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			go func() {
				for {
					c, err := l.Accept(context.Background())
					if err != nil {
						return
					}
					go echo(c)
				}
			}()
			client := clientConfig()
			cache := newSessionCache()
			client.TLS.ClientSessionCache = cache
			roundTrip(t, dial(t, l, client), []byte("first"))
			cache.wait(t)
			if !v.accept {
				// Other limits than the ticket promises make it worthless.
				for _, w := range l.workers {
					w.do(func() {
						changed := l.cfg.Core
						changed.MaxBidiStreams = 7
						changed.TLS = l.cfg.TLS
						if err := w.ep.SetConfig(&changed); err != nil {
							t.Error(err)
						}
					})
				}
			}
			// The handshake cannot go on while the workers are held.
			release := make(chan struct{})
			var held, ended sync.WaitGroup
			for _, w := range l.workers {
				held.Add(1)
				ended.Go(func() { w.do(func() { held.Done(); <-release }) })
			}
			held.Wait()
			c, err := DialEarly(testContext(t), "udp", l.Addr().String(), client)
			if err != nil {
				t.Fatal(err)
			}
			defer c.CloseWithError(0, "")
			s, err := c.OpenStream(testContext(t))
			if err != nil {
				t.Fatal(err)
			}
			sent := c.Stats().ZeroRTTSent
			if _, err := s.Write([]byte("early")); err != nil {
				t.Fatal(err)
			}
			s.CloseWrite()
			c.Stats() // what is written before has been sent by the next call
			if c.Stats().ZeroRTTSent == sent {
				t.Error("nothing was sent in 0-RTT")
			}
			close(release)
			ended.Wait()
			if b, err := io.ReadAll(s); err != nil || string(b) != "early" {
				t.Errorf("%q, %v", b, err)
			}
			if err := c.WaitHandshake(testContext(t)); err != nil {
				t.Fatal(err)
			}
			state := c.Stats().EarlyDataState
			if want := map[bool]uint32{true: 2, false: 3}[v.accept]; state != want {
				t.Errorf("early data state %d, want %d", state, want)
			}
		})
	}
}

// TestLocalAddressChange: a client whose socket says that its source address
// is gone goes on from the one the route has now.
func TestLocalAddressChange(t *testing.T) {
	l := listen(t, serverConfig(), echo)
	tr, err := NewTransport("udp4", "0.0.0.0:0", &Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer tr.Close()
	if !tr.Features().PktInfo {
		t.Skip("this datapath does not choose sources")
	}
	cfg := clientConfig()
	cfg.Transport = tr
	c := dial(t, l, cfg)
	roundTrip(t, c, []byte("before"))
	if err := c.Do(func(cc *core.Conn) {
		if cc.LocalAddr().Addr().IsUnspecified() {
			t.Error("the source address is not known")
		}
		gone := cc.LocalAddr()
		cc.LocalAddressesChanged(c.w.now, mustReplaceAddr(gone, "203.0.113.9"), 0)
	}); err != nil {
		t.Fatal(err)
	}
	roundTrip(t, c, []byte("after"))
	if n := tr.Stats().SendErrors; n == 0 {
		t.Error("no send failed")
	}
}

func mustReplaceAddr(a netip.AddrPort, addr string) netip.AddrPort {
	return netip.AddrPortFrom(netip.MustParseAddr(addr), a.Port())
}
