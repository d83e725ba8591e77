package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/pquic-go/pquic/cmd/internal/netaddr"
	"github.com/pquic-go/pquic/cmd/internal/quicflags"
	"github.com/pquic-go/pquic/cmd/internal/webroot"
	"github.com/pquic-go/pquic/hoststack"
	"github.com/pquic-go/pquic/hoststack/hq"
	"github.com/pquic-go/pquic/hoststack/http3"
)

// drainTime is what a server that was told to end gives its connections.
const drainTime = time.Second

func runServer(ctx context.Context, o *options, tc *testCase, setup *quicflags.Setup, log *slog.Logger, stdout io.Writer) error {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	cert, key := filepath.Join(o.certs, "cert.pem"), filepath.Join(o.certs, "priv.key")
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		return fmt.Errorf("certificate %s with key %s: %w", cert, key, err)
	}
	root, err := webroot.Open(o.www)
	if err != nil {
		return fmt.Errorf("--www: %w", err)
	}
	defer root.Close()
	cfg := setup.Config
	cfg.TLS = &tls.Config{
		Certificates: []tls.Certificate{pair}, NextProtos: []string{o.alpn}, MinVersion: tls.VersionTLS13, KeyLogWriter: setup.KeyLog,
	}
	if tc.preferred {
		if err := o.preferAddress(ctx, cfg); err != nil {
			return err
		}
	}
	l, err := netaddr.Listen(ctx, "--listen", o.listen, cfg)
	if err != nil {
		return err
	}
	defer l.Close()
	fmt.Fprintf(stdout, "listening on %s\n", l.Addr())

	h3 := &http3.Server{Handler: root, Logger: log, ReadHeaderTimeout: patience} // under loss, requests take their time
	h09 := &hq.Server{FS: root.FS(func(name string, err error) { log.Debug("request", "path", name, "error", err) })}
	var conns sync.WaitGroup
	go func() {
		for {
			c, err := l.Accept(ctx)
			if err != nil {
				return // the listener or ctx has ended
			}
			conns.Go(func() {
				log.Debug("connection", "remote", c.RemoteAddr())
				serve := h09.ServeConn
				if o.alpn == alpnH3 {
					serve = h3.ServeConn
				}
				err := serve(http3.NewConn(c))
				log.Debug("connection ended", "remote", c.RemoteAddr(), "why", err)
			})
		}
	}()
	<-ctx.Done()
	end, cancel := context.WithTimeout(context.Background(), drainTime)
	defer cancel()
	// What is not done by then does not matter any more.
	_ = h09.Shutdown(end)
	_ = h3.Shutdown(end)
	_ = l.Shutdown(end)
	conns.Wait()
	return nil
}

// preferAddress makes a server that also listens on another address and
// invites clients there.
func (o *options) preferAddress(ctx context.Context, cfg *hoststack.Config) error {
	main, err := net.ResolveUDPAddr("udp", o.listen)
	if err != nil {
		return fmt.Errorf("--listen %s: %w", o.listen, err)
	}
	preferred, err := o.preferredAddress(main)
	if err != nil {
		return err
	}
	if preferred.Addr().Is4() {
		cfg.Core.PreferredAddress4 = preferred
	} else {
		cfg.Core.PreferredAddress6 = preferred
	}
	if int(preferred.Port()) == main.Port && main.IP.IsUnspecified() {
		return nil // one socket has both
	}
	cfg.Workers = 1
	cfg.Datapaths = func(int) ([]hoststack.Datapath, error) {
		d, err := listenOnBoth(ctx, o.listen, preferred.String(), &cfg.UDP)
		if err != nil {
			return nil, err
		}
		return []hoststack.Datapath{d}, nil
	}
	return nil
}

// preferredAddress is the one the user named, or another port of an address of
// this machine.
func (o *options) preferredAddress(main *net.UDPAddr) (netip.AddrPort, error) {
	if o.preferred != "" {
		a, err := netip.ParseAddrPort(o.preferred)
		if err != nil || a.Port() == 0 {
			return a, fmt.Errorf("--preferred %s: want an IP address and a port, such as 192.0.2.1:8443", o.preferred)
		}
		return a, nil
	}
	if main.Port == 0 {
		return netip.AddrPort{}, errors.New("the port is not known yet that clients could move to: want --preferred ADDR:PORT")
	}
	port := uint16(main.Port) + 1
	if ip, ok := netip.AddrFromSlice(main.IP); ok && !ip.IsUnspecified() {
		return netip.AddrPortFrom(ip.Unmap(), port), nil
	}
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return netip.AddrPort{}, err
	}
	for _, a := range addrs {
		p, err := netip.ParsePrefix(a.String())
		if err == nil && p.Addr().Is4() && p.Addr().IsGlobalUnicast() {
			return netip.AddrPortFrom(p.Addr(), port), nil
		}
	}
	return netip.AddrPort{}, fmt.Errorf("no address of this machine is known that clients could move to: want --preferred ADDR:PORT")
}
