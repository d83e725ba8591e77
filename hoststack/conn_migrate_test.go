package hoststack

import (
	"context"
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/pquic-go/pquic/core"
	"github.com/pquic-go/pquic/protoops"
)

// anyAddress returns a transport that can send from every address of the host.
func anyAddress(t *testing.T) *Transport {
	t.Helper()
	tr, err := NewTransport("udp4", "0.0.0.0:0", &Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tr.Close() })
	if !tr.Features().PktInfo {
		t.Skip("this datapath does not choose sources")
	}
	return tr
}

// dialConfirmed connects and waits until the handshake is confirmed.
func dialConfirmed(t *testing.T, l *Listener, cfg *Config) *Conn {
	t.Helper()
	c := dial(t, l, cfg)
	waitFor(t, func() bool { return c.Stats().HandshakeConfirmed != 0 })
	return c
}

func loopback(last byte) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, last}), 0)
}

// TestMigrate: each connection of one socket moves to an address of its own,
// and on, while it is in use.
func TestMigrate(t *testing.T) {
	conns := make(chan *Conn, 2)
	l := listen(t, serverConfig(), func(c *Conn) { conns <- c; echo(c) })
	cfg := clientConfig()
	cfg.Transport = anyAddress(t)
	var ends [2]struct{ client, server *Conn }
	for i := range ends {
		ends[i].client = dialConfirmed(t, l, cfg)
		ends[i].server = <-conns
	}
	port := cfg.Transport.localAddr().Port()
	for step := range 3 {
		for i, e := range ends {
			to := loopback(byte(2 + 2*step + i))
			if err := e.client.Migrate(testContext(t), to); err != nil {
				t.Fatalf("connection %d to %v: %v", i, to.Addr(), err)
			}
			want := netip.AddrPortFrom(to.Addr(), port).String()
			if got := e.client.LocalAddr().String(); got != want {
				t.Errorf("the client is at %s, want %s", got, want)
			}
			roundTrip(t, e.client, randomBytes(100_000))
			waitFor(t, func() bool { return e.server.RemoteAddr().String() == want })
		}
	}
}

// TestMigrateFails: the connection stays where it was.
func TestMigrateFails(t *testing.T) {
	l := listen(t, serverConfig(), echo)
	cfg := clientConfig()
	cfg.Transport = anyAddress(t)
	c := dialConfirmed(t, l, cfg)
	soon := protoops.PlugletFunc(func(call *protoops.Call) error {
		return call.SetResult(0, uint64(time.Millisecond))
	})
	if err := c.Do(func(cc *core.Conn) {
		_, err := core.Operations.Attach(cc, &protoops.Plugin{
			Name:     "org.example.impatient",
			Bindings: []protoops.Binding{{Key: protoops.Plain("validation_timeout"), Anchor: protoops.Replace, Pluglet: soon}},
		})
		if err != nil {
			t.Error(err)
		}
	}); err != nil {
		t.Fatal(err)
	}
	nobody := netip.MustParseAddrPort("203.0.113.9:0") // not an address of this host
	for range 2 {
		if err := c.Migrate(testContext(t), nobody); !errors.Is(err, ErrNotMigrated) {
			t.Errorf("to an address of nobody: %v, want ErrNotMigrated", err)
		}
	}
	roundTrip(t, c, []byte("still here"))

	c.migrating.Store(true)
	if err := c.Migrate(testContext(t), loopback(2)); !errors.Is(err, ErrMigrating) {
		t.Errorf("a second one at the same time: %v, want ErrMigrating", err)
	}
	c.migrating.Store(false)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := c.Migrate(ctx, nobody); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	c.CloseWithError(0, "")
	var ce *ConnError
	if err := c.Migrate(testContext(t), loopback(2)); !errors.As(err, &ce) {
		t.Errorf("after the end: %v, want a *ConnError", err)
	}
}

// TestMigrationDisabled: the server's wish counts.
func TestMigrationDisabled(t *testing.T) {
	server := serverConfig()
	server.Core.DisableMigration = true
	l := listen(t, server, echo)
	cfg := clientConfig()
	cfg.Transport = anyAddress(t)
	c := dialConfirmed(t, l, cfg)
	if err := c.Migrate(testContext(t), loopback(2)); !errors.Is(err, core.ErrMigrationDisabled) {
		t.Errorf("%v, want ErrMigrationDisabled", err)
	}
}
