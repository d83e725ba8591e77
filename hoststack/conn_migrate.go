package hoststack

import (
	"context"
	"errors"
	"net/netip"

	"github.com/pquic-go/pquic/core"
	"github.com/pquic-go/pquic/core/mono"
	"github.com/pquic-go/pquic/protoops"
)

// Errors of Migrate.
var (
	// ErrMigrating is returned while another Migrate is under way.
	ErrMigrating = errors.New("hoststack: the connection is being migrated already")
	// ErrNotMigrated is returned if the server did not answer on the new address.
	// The connection stays where it was.
	ErrNotMigrated = errors.New("hoststack: no answer came on the new address; the connection stays on its old one")
)

// Migrate moves a client's connection to another local address of this host,
// once the server has answered there, and returns then. The socket has to be
// able to send from it: one that is bound to the unspecified address can use
// every address of the host, each connection its own. A zero port means the
// socket's; a Datapath over several sockets chooses among them by the port.
//
// Besides ErrMigrating and ErrNotMigrated it returns core.ErrMigrationDisabled
// if the server forbids it, core.ErrNotReady before the handshake is confirmed,
// core.ErrNoConnID if the server has issued too few connection IDs, a *ConnError
// if the connection ends, and the context's cause, after which the migration may
// still happen.
// https://www.rfc-editor.org/rfc/rfc9000#section-9
func (c *Conn) Migrate(ctx context.Context, local netip.AddrPort) error {
	if !c.migrating.CompareAndSwap(false, true) {
		return ErrMigrating
	}
	defer c.migrating.Store(false)
	if local.Port() == 0 {
		local = netip.AddrPortFrom(local.Addr(), c.w.dp.LocalAddr().Port())
	}
	m := migration{failed: make(chan struct{}, 1), passed: make(chan struct{}, 1)}
	var err error
	if derr := c.Do(func(cc *core.Conn) { err = m.begin(cc, c.w.now, local) }); derr != nil || err != nil {
		return errors.Join(derr, err)
	}
	defer func() { _ = c.Do(m.end) }()
	for {
		arrived := false
		if err := c.Do(func(cc *core.Conn) {
			if arrived = cc.LocalAddr() == local; arrived {
				c.noteAddresses()
			}
		}); err != nil {
			return err
		}
		if arrived {
			return nil
		}
		select {
		case <-m.passed:
		case <-m.failed:
			return ErrNotMigrated
		case <-c.ended:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// A migration watches the engine validate an address.
type migration struct {
	passed, failed chan struct{} // hold one
	watch          *protoops.Attachment
}

// begin starts the validation. It runs as the worker's owner, as does end.
func (m *migration) begin(cc *core.Conn, now mono.Time, local netip.AddrPort) (err error) {
	tell := func(ch chan struct{}) protoops.PlugletFunc {
		return func(*protoops.Call) error {
			select {
			case ch <- struct{}{}:
			default:
			}
			return nil
		}
	}
	m.watch, err = core.Operations.Attach(cc, &protoops.Plugin{
		Name: "hoststack.migrate",
		Bindings: []protoops.Binding{
			{Key: protoops.Plain("path_validated"), Anchor: protoops.Post, Pluglet: tell(m.passed)},
			{Key: protoops.Plain("path_validation_failed"), Anchor: protoops.Post, Pluglet: tell(m.failed)},
		},
	})
	if err != nil {
		return err
	}
	if err = cc.Migrate(now, local, 0); err != nil {
		m.end(cc)
	}
	return err
}

func (m *migration) end(cc *core.Conn) { core.Operations.Detach(cc, m.watch) }
