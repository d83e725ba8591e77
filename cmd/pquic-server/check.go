package main

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"slices"
	"strconv"

	"github.com/urfave/cli/v2"

	"github.com/pquic-go/pquic/cmd/internal/cliutil"
	"github.com/pquic-go/pquic/hoststack/http3"
	"github.com/pquic-go/pquic/hoststack/perf"
)

// The protocols, by their names in the handshake.
const (
	alpnH3   = http3.NextProtoH3
	alpnHQ   = "hq-interop"
	alpnPerf = perf.ALPN
)

var protocols = []string{alpnH3, alpnHQ, alpnPerf}

// check looks at what flags cannot check by themselves, and settles the
// address.
func (o *options) check(c *cli.Context) error {
	if o.port >= 0 {
		host, port, err := net.SplitHostPort(o.listen)
		if err != nil {
			return err
		}
		switch {
		case !c.IsSet("listen"):
			host = ""
		case port != "0" && port != strconv.Itoa(o.port):
			return cliutil.Usagef("--listen %s and --port %d name different ports: give one of them", o.listen, o.port)
		}
		o.listen = net.JoinHostPort(host, strconv.Itoa(o.port))
	}
	if o.tcp && !slices.Contains(o.alpn, alpnH3) {
		return cliutil.Usagef("--tcp points browsers to HTTP/3, but --alpn lacks h3")
	}
	if err := o.quic.Plugins.CheckPolicy(o.alpn); err != nil {
		return err
	}
	return checkFolder(o.www)
}

func checkFolder(dir string) error {
	info, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("--www %s: no such directory", dir)
	case err != nil:
		return fmt.Errorf("--www: %w", err)
	case !info.IsDir():
		return fmt.Errorf("--www %s: is a file, want the directory to serve", dir)
	}
	if _, err := os.ReadDir(dir); err != nil {
		return fmt.Errorf("--www: %w", err)
	}
	return nil
}
