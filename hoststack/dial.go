package hoststack

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/pquic-go/pquic/core"
)

// Dial connects to a server, "host:port", and returns once the handshake is
// complete. The network is "udp", "udp4" or "udp6". If the host has several
// addresses, the next is tried when one does not answer for a moment; the first
// complete handshake wins. With Config.Early, and a session ticket that allows
// 0-RTT, Dial returns at once.
func Dial(ctx context.Context, network, addr string, cfg *Config) (*Conn, error) {
	if cfg == nil || cfg.TLS == nil && cfg.Core.TLS == nil {
		return nil, errNoTLS
	}
	c, err := cfg.prepare(false)
	if err != nil {
		return nil, err
	}
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, fmt.Errorf("hoststack: address %q: want HOST:PORT: %w", addr, err)
	}
	remotes, err := resolve(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	c.serverName = cmp.Or(c.TLS.ServerName, host)
	return dialAny(ctx, remotes, c)
}

// DialEarly is Dial with Config.Early set.
func DialEarly(ctx context.Context, network, addr string, cfg *Config) (*Conn, error) {
	if cfg == nil {
		return nil, errNoTLS
	}
	c := *cfg
	c.Early = true
	return Dial(ctx, network, addr, &c)
}

// resolve returns the addresses of "host:port", in the system's order of
// preference.
func resolve(ctx context.Context, network, addr string) ([]netip.AddrPort, error) {
	host, service, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	ipNetwork := map[string]string{"udp": "ip", "udp4": "ip4", "udp6": "ip6"}[network]
	if ipNetwork == "" {
		return nil, fmt.Errorf("hoststack: unknown network %q: want udp, udp4 or udp6", network)
	}
	port, err := net.DefaultResolver.LookupPort(ctx, network, service)
	if err != nil {
		return nil, err
	}
	if host == "" {
		host = "localhost"
	}
	ips, err := net.DefaultResolver.LookupNetIP(ctx, ipNetwork, host)
	if err != nil {
		return nil, err
	}
	list := make([]netip.AddrPort, len(ips))
	for i, ip := range ips {
		list[i] = netip.AddrPortFrom(ip.Unmap(), uint16(port))
	}
	return list, nil
}

// dialStagger is how long one address has before the next is tried as well.
// https://www.rfc-editor.org/rfc/rfc8305#section-5
const dialStagger = 250 * time.Millisecond

// dialAny connects to the first of several addresses that completes a
// handshake.
func dialAny(ctx context.Context, remotes []netip.AddrPort, cfg *Config) (*Conn, error) {
	if len(remotes) == 1 {
		return dialOne(ctx, remotes[0], cfg)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type result struct {
		conn *Conn
		err  error
	}
	results := make(chan result, len(remotes))
	next, pending := 0, 0
	start := func() {
		remote := remotes[next]
		next++
		pending++
		go func() {
			c, err := dialOne(ctx, remote, cfg)
			results <- result{c, err}
		}()
	}
	start()
	timer := time.NewTimer(dialStagger)
	defer timer.Stop()
	var errs []error
	for {
		select {
		case r := <-results:
			pending--
			if r.err == nil {
				cancel()
				go func() { // the losers' attempts end by cancel
					for ; pending > 0; pending-- {
						if late := <-results; late.conn != nil {
							late.conn.CloseWithError(0, "")
						}
					}
				}()
				return r.conn, nil
			}
			errs = append(errs, r.err)
			if next < len(remotes) {
				start()
			} else if pending == 0 {
				return nil, errors.Join(errs...)
			}
		case <-timer.C:
			if next < len(remotes) {
				start()
				timer.Reset(dialStagger)
			}
		}
	}
}

// dialOne connects to one address.
func dialOne(ctx context.Context, remote netip.AddrPort, cfg *Config) (*Conn, error) {
	t, release, err := cfg.dialTransport()
	if err != nil {
		return nil, err
	}
	c, err := t.dial(remote, cfg, release)
	if err != nil {
		release()
		return nil, err
	}
	if cfg.Early && c.Stats().EarlyDataState == earlyOffered {
		return c, nil
	}
	if err := c.WaitHandshake(ctx); err != nil {
		c.CloseWithError(0, "dial was given up")
		return nil, err
	}
	return c, nil
}

// earlyOffered is the value of EarlyDataState while the server's answer to
// early data is awaited.
const earlyOffered = 1

// dial begins a connection; release is called when it is gone.
func (t *Transport) dial(remote netip.AddrPort, cfg *Config, release func()) (*Conn, error) {
	if t.refusing() {
		return nil, ErrShutdown
	}
	w := t.workers[int(t.turn.Add(1)-1)%len(t.workers)]
	local := t.sourceFor(remote)
	var c *Conn
	var err error
	w.do(func() {
		if w.closed || w.stopping {
			err = ErrShutdown
			return
		}
		if _, err = w.ep.Dial(w.now, &core.DialConfig{
			Config:     &cfg.Core,
			ServerName: cfg.serverName,
			Local:      local,
			Remote:     remote,
			Setup: func(cc *core.Conn) error {
				c = newConn(w, cc)
				c.release = release
				cc.SetHandler((*connEvents)(c))
				w.begin()
				if cfg.OnConn != nil {
					cfg.OnConn(cc)
				}
				return nil
			},
		}); err != nil {
			if c != nil {
				w.end()
			}
			return
		}
		w.stats.dialled.Add(1)
	})
	return c, err
}

// sourceFor returns the address a datagram to remote leaves from. Knowing it
// lets path MTU discovery ask for the interface's MTU.
func (t *Transport) sourceFor(remote netip.AddrPort) netip.AddrPort {
	local := t.localAddr()
	if !local.Addr().IsUnspecified() {
		return local
	}
	// Connecting a UDP socket sends nothing; it looks up the route.
	c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(remote))
	if err != nil {
		return local
	}
	defer c.Close()
	return netip.AddrPortFrom(localAddrPort(c).Addr().WithZone(""), local.Port())
}

// The transport that Dial shares among all connections of the process. It
// exists while there are any.
var shared struct {
	mu    sync.Mutex
	t     *Transport
	conns int
}

// dialTransport returns the transport to dial with and a function that gives it
// back.
func (c *Config) dialTransport() (*Transport, func(), error) {
	if c.Transport != nil {
		return c.Transport, func() {}, nil
	}
	shared.mu.Lock()
	defer shared.mu.Unlock()
	if shared.t == nil {
		t, err := openTransport(context.Background(), "udp", ":0", &Config{UDP: c.UDP, Workers: 1, Layout: c.Layout}, false)
		if err != nil {
			return nil, nil, err
		}
		shared.t = t
	}
	shared.conns++
	return shared.t, sync.OnceFunc(releaseShared), nil
}

// releaseShared ends the shared transport with its last connection. A worker
// calls it.
func releaseShared() {
	shared.mu.Lock()
	defer shared.mu.Unlock()
	if shared.conns--; shared.conns == 0 {
		shared.t.refuse()
		shared.t.stop()
		shared.t = nil
	}
}
