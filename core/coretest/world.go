package coretest

import (
	"crypto/tls"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/pquic-go/pquic/core"
	"github.com/pquic-go/pquic/core/qlog"
	"github.com/pquic-go/pquic/core/wire"
)

// Addresses of a World.
var (
	ClientAddr  = netip.MustParseAddr("192.0.2.1")
	ClientAddr2 = netip.MustParseAddr("198.51.100.1") // of a second interface
	NATAddr     = netip.MustParseAddr("203.0.113.1")
	ServerAddr  = netip.MustParseAddr("192.0.2.99")
	Client6     = netip.MustParseAddr("2001:db8::1")
	Server6     = netip.MustParseAddr("2001:db8::99")
)

// A Scenario describes a World.
type Scenario struct {
	Seed     uint64     // 0: DefaultSeed
	Up, Down Conditions // from and to the client
	IPv6     bool
	NAT      bool // the client is behind Client.NAT

	// Client, Server and Endpoint adjust the configurations.
	Client, Server func(*core.Config)
	Endpoint       func(*core.EndpointConfig)

	CertPadding int  // makes the server's certificate longer
	ClientCert  bool // the server asks for a certificate, the client has one
}

// A World is a client and a server, joined by a link each way.
type World struct {
	*Sim
	Scenario       Scenario
	Client, Server *Host
	Up, Down       *Link
	NAT            *NAT
	CA             *CA

	ClientConfig, ServerConfig *core.Config
	ServerAddr                 AddrPort
}

// NewWorld builds the world of a scenario.
func NewWorld(tb testing.TB, sc Scenario) *World {
	w := &World{Sim: New(tb, sc.Seed), Scenario: sc, CA: NewCA(tb)}
	w.configs()
	ec := &core.EndpointConfig{Server: true, Config: w.ServerConfig}
	if sc.Endpoint != nil {
		sc.Endpoint(ec)
	}
	w.Client = w.NewHost("client", &core.EndpointConfig{})
	w.Server = w.NewHost("server", ec)
	w.Up, w.Down = w.NewLink("up", sc.Up), w.NewLink("down", sc.Down)
	ca, sa := ClientAddr, ServerAddr
	if sc.IPv6 {
		ca, sa = Client6, Server6
	}
	i := w.Client.AddInterface(ca, w.Up, w.Down)
	if sc.NAT {
		w.NAT = i.NewNAT(NATAddr)
	}
	w.Server.AddInterface(sa, nil, nil)
	w.ServerAddr = netip.AddrPortFrom(sa, 443)
	return w
}

func (w *World) configs() {
	sc := &w.Scenario
	now := func() time.Time { return w.Now().Time() }
	server := &tls.Config{Certificates: []tls.Certificate{w.CA.Issue(sc.CertPadding, ServerName)}, NextProtos: []string{Protocol}, Time: now, MinVersion: tls.VersionTLS13}
	client := &tls.Config{RootCAs: w.CA.Pool, NextProtos: []string{Protocol}, Time: now, MinVersion: tls.VersionTLS13}
	if sc.ClientCert {
		server.ClientAuth, server.ClientCAs = tls.RequireAndVerifyClientCert, w.CA.Pool
		client.Certificates = []tls.Certificate{w.CA.Issue(0, "client.example")}
	}
	w.ClientConfig, w.ServerConfig = &core.Config{TLS: client}, &core.Config{TLS: server}
	w.openQlogs()
	if sc.Client != nil {
		sc.Client(w.ClientConfig)
	}
	if sc.Server != nil {
		sc.Server(w.ServerConfig)
	}
}

// openQlogs logs every connection if PQUIC_QLOG names a directory.
func (w *World) openQlogs() {
	dir := os.Getenv("PQUIC_QLOG")
	if dir == "" {
		return
	}
	log := func(odcid wire.ConnID, server bool) *qlog.Trace {
		side := "client"
		if server {
			side = "server"
		}
		f, err := os.Create(filepath.Join(dir, odcid.String()+"_"+side+".sqlog"))
		if err != nil {
			w.TB.Fatal(err)
		}
		w.TB.Cleanup(func() { f.Close() })
		return qlog.New(f, qlog.Info{ODCID: odcid, Server: server, Start: w.Now(), Title: w.TB.Name(), Dialect: qlog.Qvis})
	}
	w.ClientConfig.Qlog, w.ServerConfig.Qlog = log, log
}

// Dial starts a connection to the server.
func (w *World) Dial() *App {
	w.TB.Helper()
	a, err := w.Client.Dial(core.DialConfig{Config: w.ClientConfig, ServerName: ServerName, Remote: w.ServerAddr})
	if err != nil {
		w.TB.Fatalf("Dial: %v", err)
	}
	return a
}

// Wait runs until all requests of all connections of the client are complete,
// and fails if that takes longer than limit or a connection ends before.
func (w *World) Wait(limit time.Duration) {
	w.TB.Helper()
	done := func() bool {
		for _, a := range w.Client.Apps {
			if a.given {
				continue
			}
			if a.Ended && !a.Done() {
				w.Fatalf("connection ended early: %v", a.Err)
			}
			if !a.Done() || !a.Ended && a.Confirmed == 0 {
				return false
			}
		}
		return true
	}
	w.Until("requests complete", limit, done)
}

// Transfer runs requests on one new connection to the end and returns it.
func (w *World) Transfer(limit time.Duration, rs ...Request) *App {
	w.TB.Helper()
	a := w.Dial()
	a.Request(rs...)
	w.Wait(limit)
	return a
}

// ServerApp returns the server's side of a client's connection, nil if there is
// none.
func (w *World) ServerApp(a *App) *App {
	var last *App // earlier ones began with a damaged packet
	for _, s := range w.Server.Apps {
		if s.Conn.ODCID() == a.Conn.ODCID() {
			last = s
		}
	}
	return last
}
