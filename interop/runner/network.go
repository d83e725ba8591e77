package runner

import (
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os/exec"
	"sync/atomic"

	"github.com/pquic-go/pquic/bench/linkemu"
	"github.com/pquic-go/pquic/interop/capture"
	"github.com/pquic-go/pquic/interop/relay"
)

// The server's addresses in a namespace.
const (
	serverV4      = "10.88.0.2"
	serverV6      = "fd88::2"
	serverPort    = 443
	preferredPort = 8443
)

// A network is what lies between the two ends of one run. It records what passes.
type network interface {
	// listen is where the server listens, target where the client sends.
	listen() netip.AddrPort
	target() netip.AddrPort
	preferred() netip.AddrPort
	// start starts a command at an end and returns a function that waits for it.
	start(side capture.Side, cmd *exec.Cmd) (wait func() error, err error)
	log() []capture.Datagram
	close() error
}

func newNetwork(c *Case, full bool, seed uint64) (network, error) {
	if c.Namespaces {
		return newNamespaces(c, full, seed)
	}
	return newLoopback(c, full, seed)
}

func (c *Case) script(full bool) []linkemu.Step {
	if c.Script == nil {
		return nil
	}
	return c.Script(full)
}

// A loopback is a relay in front of a server on loopback.
type loopback struct {
	server netip.AddrPort
	relay  *relay.Relay
	record capture.Log
}

func newLoopback(c *Case, full bool, seed uint64) (network, error) {
	host := "127.0.0.1"
	if c.IPv6 {
		host = "::1"
	}
	server, err := freePort(host)
	if err != nil {
		return nil, err
	}
	n := &loopback{server: server}
	n.relay, err = relay.New(relay.Config{
		Listen: net.JoinHostPort(host, "0"), Server: server, ToServer: c.ToServer, ToClient: c.ToClient,
		Script: c.script(full), Seed: seed,
		Observe: func(o relay.Observation) {
			from := capture.Server
			if o.FromClient {
				from = capture.Client
			}
			n.record.Add(capture.Datagram{
				At: o.At, From: from, Client: o.Client, Server: server, ECN: o.ECN,
				Lost: o.Fate.Cause != linkemu.Delivered, Payload: o.Payload,
			})
		},
	})
	if err != nil {
		return nil, err
	}
	return n, nil
}

// ports are those below the ones that systems give to sockets that do not ask for any.
const firstPort, lastPort = 20000, 32000

var nextPort atomic.Uint32

func init() { nextPort.Store(firstPort + rand.Uint32N(lastPort-firstPort)) }

// freePort finds a UDP port that nobody else will take before the server does: each is given out once.
func freePort(host string) (netip.AddrPort, error) {
	var err error
	for range 100 {
		port := firstPort + nextPort.Add(1)%(lastPort-firstPort)
		var c net.PacketConn
		if c, err = net.ListenPacket("udp", net.JoinHostPort(host, fmt.Sprint(port))); err == nil {
			return netip.AddrPortFrom(netip.MustParseAddr(host), uint16(port)), c.Close()
		}
	}
	return netip.AddrPort{}, err
}

func (n *loopback) listen() netip.AddrPort    { return n.server }
func (n *loopback) target() netip.AddrPort    { return n.relay.Addr() }
func (n *loopback) preferred() netip.AddrPort { return netip.AddrPort{} }
func (n *loopback) log() []capture.Datagram   { return n.record.Datagrams() }
func (n *loopback) close() error              { return n.relay.Close() }

func (n *loopback) start(_ capture.Side, cmd *exec.Cmd) (func() error, error) {
	return cmd.Wait, cmd.Start()
}

// namespaces are two hosts on an emulated link.
type namespaces struct {
	c      *Case
	net    *linkemu.Network
	record capture.Log
}

func newNamespaces(c *Case, full bool, seed uint64) (network, error) {
	n := &namespaces{c: c}
	var err error
	n.net, err = linkemu.New(linkemu.Config{Seed: seed, Links: []linkemu.LinkConfig{{
		AToB: c.ToServer, BToA: c.ToClient, NAT: c.NAT, Script: c.script(full), Observe: n.observe,
	}}})
	if err != nil {
		return nil, err
	}
	if c.CrossTraffic {
		if err := n.crossTraffic(); err != nil {
			_ = n.net.Close()
			return nil, err
		}
	}
	return n, nil
}

func (n *namespaces) observe(o linkemu.Observation) {
	from, to, ecn, payload, ok := o.UDP()
	if !ok {
		return
	}
	d := capture.Datagram{At: o.At, From: capture.Client, Client: from, Server: to, ECN: ecn, Payload: payload}
	if o.Direction == linkemu.BToA {
		d.From, d.Client, d.Server = capture.Server, to, from
	}
	d.Lost = o.Fate.Cause != linkemu.Delivered
	n.record.Add(d)
}

func (n *namespaces) addr(port uint16) netip.AddrPort {
	host := serverV4
	if n.c.IPv6 {
		host = serverV6
	}
	return netip.AddrPortFrom(netip.MustParseAddr(host), port)
}

func (n *namespaces) listen() netip.AddrPort { return n.addr(serverPort) }
func (n *namespaces) target() netip.AddrPort { return n.addr(serverPort) }

func (n *namespaces) preferred() netip.AddrPort {
	if n.c.Name == "connectionmigration" {
		return n.addr(preferredPort)
	}
	return netip.AddrPort{}
}

func (n *namespaces) log() []capture.Datagram { return n.record.Datagrams() }
func (n *namespaces) close() error            { return n.net.Close() }

func (n *namespaces) start(side capture.Side, cmd *exec.Cmd) (func() error, error) {
	host := "client"
	if side == capture.Server {
		host = "server"
	}
	p, err := n.net.Host(host).Start(cmd)
	if err != nil {
		return nil, err
	}
	return p.Wait, nil
}

// crossTraffic lets a TCP connection fill the link towards the client until the network closes.
func (n *namespaces) crossTraffic() error {
	const port = "9"
	var l net.Listener
	if err := n.net.Host("server").Do(func() (err error) {
		l, err = net.Listen("tcp", net.JoinHostPort(serverV4, port))
		return err
	}); err != nil {
		return err
	}
	var c net.Conn
	err := n.net.Host("client").Do(func() error {
		var fd net.Conn
		fd, err := net.Dial("tcp", l.Addr().String())
		c = fd
		return err
	})
	if err != nil {
		return fmt.Errorf("the TCP connection: %w", err)
	}
	s, err := l.Accept()
	_ = l.Close()
	if err != nil {
		return err
	}
	go func() { // ends with the namespaces: their devices go, and with them the connection
		b := make([]byte, 64<<10)
		for {
			if _, err := s.Write(b); err != nil {
				return
			}
		}
	}()
	go func() {
		b := make([]byte, 64<<10)
		for {
			if _, err := c.Read(b); err != nil {
				return
			}
		}
	}()
	return nil
}
