package hoststack

import (
	"crypto/tls"
	"errors"
	"fmt"
	"runtime"

	"github.com/pquic-go/pquic/core"
	"github.com/pquic-go/pquic/core/connid"
)

// A Config says how to listen or dial. Zero fields mean defaults. It may be
// used for any number of calls and must not be modified meanwhile.
type Config struct {
	// TLS configures the handshake: certificates, ALPN, client authentication,
	// session cache, key log. Required, unless Core.TLS is set.
	TLS *tls.Config

	// Core configures the engine of each connection. See the defaults there;
	// if InterfaceMTU is nil, path MTU discovery goes up to what the system's
	// interfaces tell.
	Core core.Config

	// OnConn is called with each connection's engine when it is accepted or
	// dialled, before its handshake goes on: the place to attach plugins. It
	// runs as the worker's owner and must not block.
	OnConn func(*core.Conn)

	// Early makes Accept return a connection as soon as a stream arrives in
	// 0-RTT, and Dial return at once if a ticket allows 0-RTT. What arrives
	// early may be a replay. What is sent early and rejected is sent again
	// once the handshake is complete.
	// https://www.rfc-editor.org/rfc/rfc9001#section-9.2
	Early bool

	// Workers is the number of workers of a Listener or Transport. 0 means one
	// per CPU for Listen and one for a Transport.
	Workers int

	// Transport is used by Dial. Nil means one that all of the process's
	// connections share, so that they have one port and one worker.
	Transport *Transport

	// UDP says how sockets are opened.
	UDP UDPConfig

	// Datapaths opens the datapaths instead of ListenUDP, one per worker.
	Datapaths func(workers int) ([]Datapath, error)

	// Limits bound what peers can make a Listener hold.
	Limits Limits

	serverName string // Dial's: TLS.ServerName, or the host dialled

	// Layout says what connection IDs look like; Listen sets its Workers.
	Layout connid.Layout

	// Keys are shared by servers that take turns at one address. Nil means
	// random ones, forgotten with the process. They replace session ticket keys
	// set on TLS.
	Keys *Keys

	// BindToInterface makes datagrams leave by the interface that the engine
	// names for a path: that of the path's last received datagram, or the one a
	// path was opened on. Without it the routing table chooses, which hosts
	// with asymmetric routes depend on; link-local addresses always name one.
	BindToInterface bool
}

var errNoTLS = errors.New("hoststack: Config.TLS is required")

// prepare returns a copy with defaults, for a server or a client.
func (c *Config) prepare(server bool) (*Config, error) {
	if c == nil {
		return nil, errNoTLS
	}
	d := *c
	if d.TLS == nil {
		d.TLS = d.Core.TLS
	}
	if d.TLS == nil && server {
		return nil, errNoTLS
	}
	if server {
		if d.Keys == nil {
			d.Keys = randomKeys()
		}
		d.TLS = d.TLS.Clone()
		if err := d.Keys.setTickets(d.TLS); err != nil {
			return nil, err
		}
	}
	d.Core.TLS = d.TLS
	if d.Core.InterfaceMTU == nil {
		d.Core.InterfaceMTU = interfaceMTU
	}
	if d.Workers < 0 || d.Workers > connid.MaxWorkers {
		return nil, fmt.Errorf("hoststack: Config.Workers is %d, must be 1 to %d", d.Workers, connid.MaxWorkers)
	}
	if d.Workers == 0 {
		d.Workers = 1
		if server {
			d.Workers = min(runtime.GOMAXPROCS(0), connid.MaxWorkers)
		}
	}
	return &d, d.Limits.prepare()
}
