package hoststack

import (
	"io"
	"net/netip"
	"runtime"
	"sync"
	"testing"

	"github.com/pquic-go/pquic/core"
)

// waitFor waits until f holds.
func waitFor(t testing.TB, f func() bool) {
	t.Helper()
	for ctx := testContext(t); !f(); runtime.Gosched() {
		if ctx.Err() != nil {
			t.Fatal("what the test waits for did not happen")
		}
	}
}

// earlyEnds are a server and a client that has a ticket of it, good for 0-RTT.
type earlyEnds struct {
	l      *Listener
	client *Config
}

// newEarly makes them; unless accept is set, the server will reject early data.
func newEarly(t *testing.T, accept bool) *earlyEnds {
	t.Helper()
	cfg := serverConfig()
	cfg.Core.Allow0RTT = true
	cfg.Early = true
	e := &earlyEnds{l: listen(t, cfg, echo), client: clientConfig()}
	cache := newSessionCache()
	e.client.TLS.ClientSessionCache = cache
	roundTrip(t, dial(t, e.l, e.client), []byte("first"))
	cache.wait(t)
	if !accept {
		// Other limits than the ticket promises make it worthless.
		for _, w := range e.l.workers {
			w.do(func() {
				changed := e.l.cfg.Core
				changed.MaxBidiStreams = 7
				changed.TLS = e.l.cfg.TLS
				if err := w.ep.SetConfig(&changed); err != nil {
					t.Error(err)
				}
			})
		}
	}
	return e
}

// dial begins a connection whose handshake cannot go on before goOn is called:
// the server's workers are held.
func (e *earlyEnds) dial(t *testing.T) (c *Conn, goOn func()) {
	t.Helper()
	released := make(chan struct{})
	var held, ended sync.WaitGroup
	for _, w := range e.l.workers {
		held.Add(1)
		ended.Go(func() { w.do(func() { held.Done(); <-released }) })
	}
	held.Wait()
	goOn = sync.OnceFunc(func() {
		close(released)
		ended.Wait()
	})
	t.Cleanup(goOn)
	c, err := DialEarly(testContext(t), "udp", e.l.Addr().String(), e.client)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.CloseWithError(0, "") })
	return c, goOn
}

// TestEarlyData: with a ticket, Dial returns before the handshake is complete
// and the server reads what is sent then.
func TestEarlyData(t *testing.T) {
	for _, v := range []struct {
		name   string
		accept bool
		state  uint32
	}{{"accepted", true, 2}, {"rejected", false, 3}} {
		t.Run(v.name, func(t *testing.T) {
			c, goOn := newEarly(t, v.accept).dial(t)
			s, err := c.OpenStream(testContext(t))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := s.WriteFinal([]byte("early")); err != nil {
				t.Fatal(err)
			}
			waitFor(t, func() bool { return c.Stats().ZeroRTTSent > 0 })
			goOn()
			if b, err := io.ReadAll(s); err != nil || string(b) != "early" {
				t.Errorf("%q, %v", b, err)
			}
			if err := c.WaitHandshake(testContext(t)); err != nil {
				t.Fatal(err)
			}
			if state := c.Stats().EarlyDataState; state != v.state {
				t.Errorf("early data state %d, want %d", state, v.state)
			}
		})
	}
}

// TestLocalAddressChange: a client whose socket says that its source address
// is gone goes on from the one the route has now.
func TestLocalAddressChange(t *testing.T) {
	l := listen(t, serverConfig(), echo)
	tr := anyAddress(t)
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
