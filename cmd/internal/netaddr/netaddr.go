// Package netaddr listens, and says in words why it cannot.
package netaddr

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"syscall"

	"github.com/pquic-go/pquic/hoststack"
)

// Listen opens a QUIC server on a UDP address. flag is what the user set the
// address by.
func Listen(ctx context.Context, flag, addr string, cfg *hoststack.Config) (*hoststack.Listener, error) {
	l, err := hoststack.Listen(ctx, "udp", addr, cfg)
	return l, Explain(flag, "UDP", addr, err)
}

// Explain says what an error of listening means, and what would help.
func Explain(flag, protocol, addr string, err error) error {
	_, port, _ := net.SplitHostPort(addr)
	var dns *net.DNSError
	switch {
	case err == nil:
		return nil
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("%s %s: %s port %s is in use: choose another one, or 0 for any free one", flag, addr, protocol, port)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%s %s: not allowed: ports below 1024 need root or the capability CAP_NET_BIND_SERVICE", flag, addr)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return fmt.Errorf("%s %s: no interface of this machine has that address: try 127.0.0.1:%s, or :%s for all", flag, addr, port, port)
	case errors.As(err, &dns):
		return fmt.Errorf("%s %s: the name %q is unknown: want an address of this machine", flag, addr, dns.Name)
	}
	return fmt.Errorf("%s %s: %w", flag, addr, err)
}
