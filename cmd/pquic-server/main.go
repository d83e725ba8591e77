// Command pquic-server serves the files of a folder over HTTP/3 and, on
// request, HTTP/1.1 and HTTP/2, which point browsers to HTTP/3. It also speaks
// HTTP/0.9 over QUIC (hq-interop) and the perf protocol.
package main

import (
	"time"

	"github.com/urfave/cli/v2"

	"github.com/pquic-go/pquic/cmd/internal/certs"
	"github.com/pquic-go/pquic/cmd/internal/cliutil"
	"github.com/pquic-go/pquic/cmd/internal/quicflags"
)

func main() { cliutil.Main(app()) }

// options are the flags' values.
type options struct {
	listen   string
	port     int
	www      string
	alpn     []string
	tcp      bool
	retry    bool
	no0RTT   bool
	clientCA string
	workers  int
	metrics  string
	drain    time.Duration

	maxConns     int
	maxStreams   int
	perAddress   int
	memory       uint64
	certificates certs.Options
	quic         quicflags.Options
}

func app() *cli.App {
	o := &options{
		listen: "127.0.0.1:6121", port: -1, www: ".", alpn: []string{alpnH3, alpnHQ}, drain: 30 * time.Second,
		maxConns: 100_000, maxStreams: 100, quic: quicflags.Defaults(),
	}
	flags := append(o.flags(), o.certificates.Flags()...)
	flags = append(flags, o.quic.Flags()...)
	flags = append(flags, o.quic.Plugins.PolicyFlags()...)
	return cliutil.App("pquic-server", "serve a folder over HTTP/3",
		"pquic-server [--listen ADDR:PORT] [--www DIR] [flags]",
		`The first line on standard output, once the server is ready, is "listening on ADDR:PORT".
SIGTERM or SIGINT makes it drain: it takes no new connections, tells the clients by GOAWAY,
answers the requests it has, closes and exits with 0; a second one ends it at once.
SIGHUP makes it look for new certificates now instead of within a second.`,
		flags, &help, func(c *cli.Context) error {
			if err := cliutil.NoArguments(c); err != nil {
				return err
			}
			if err := o.check(c); err != nil {
				return err
			}
			return run(c.Context, o, c.App.Writer, c.App.ErrWriter)
		})
}

func (o *options) flags() []cli.Flag {
	const serve, limits = "SERVING", "LIMITS"
	return []cli.Flag{
		cliutil.Flag{Name: "listen", Category: serve, Usage: "serve on this `ADDR:PORT`; without ADDR on all addresses, with port 0 on a free one"}.Address(&o.listen),
		cliutil.Flag{Name: "port", Category: serve, Usage: "serve on port `N` of all addresses, or of the address of --listen"}.Int(&o.port, 0, 65535),
		cliutil.Flag{Name: "www", Category: serve, Usage: "serve the files in `DIR`; links that lead out of it are not followed"}.String(&o.www),
		cliutil.Flag{Name: "alpn", Category: serve, Usage: "speak these protocols, a `LIST` of h3, hq-interop and perf"}.Choices(&o.alpn, protocols...),
		cliutil.Flag{Name: "tcp", Category: serve, Usage: "also serve HTTP/1.1 and HTTP/2 on the TCP port of the same number, pointing browsers to HTTP/3"}.Bool(&o.tcp),
		cliutil.Flag{Name: "retry", Category: serve, Usage: "let every client prove its address by a Retry packet first"}.Bool(&o.retry),
		cliutil.Flag{Name: "no-0rtt", Category: serve, Usage: "refuse requests in 0-RTT packets, which an attacker could replay"}.Bool(&o.no0RTT),
		cliutil.Flag{Name: "client-ca", Category: serve, Usage: "serve only clients with a certificate of the authorities in this PEM `FILE`"}.String(&o.clientCA),
		cliutil.Flag{Name: "workers", Category: serve, Usage: "share the connections among `N` workers; by default one per processor"}.Int(&o.workers, 1, 256),
		cliutil.Flag{Name: "metrics", Category: serve, Usage: "serve figures for Prometheus (/metrics), a status page (/) and a health check (/healthz) over HTTP on `ADDR:PORT`"}.Address(&o.metrics),
		cliutil.Flag{Name: "drain", Category: serve, Usage: "after SIGTERM, let requests take `TIME` to end"}.Duration(&o.drain, 0, 24*time.Hour),
		cliutil.Flag{Name: "max-connections", Category: limits, Usage: "refuse connections beyond `N`"}.Int(&o.maxConns, 1, 100_000_000),
		cliutil.Flag{Name: "max-streams", Category: limits, Usage: "let a client have `N` requests open at once"}.Int(&o.maxStreams, 1, 1_000_000),
		cliutil.Flag{Name: "handshakes-per-address", Category: limits, Usage: "refuse more than `N` handshakes per second from one IPv4 address or IPv6 /64"}.Int(&o.perAddress, 1, 1_000_000),
		cliutil.Flag{Name: "memory", Category: limits, Usage: "refuse connections while the heap holds more than `SIZE`"}.Size(&o.memory, 1<<20, 1<<50),
	}
}

var help = cliutil.Help{
	Examples: []cliutil.Example{
		{Does: "serve the folder ./site; a self-signed certificate is made, and its hash printed", Line: "pquic-server --www ./site"},
		{Does: "fetch from it, trusting that certificate alone", Line: "pquic-client --pin HASH https://127.0.0.1:6121/index.html"},
		{Does: "serve the world, browsers included, with certificates from an ACME client", Line: "pquic-server --port 443 --tcp --www /srv/www --certpath /etc/letsencrypt/live/example.org"},
		{Does: "watch it", Line: "pquic-server --metrics 127.0.0.1:9090 --qlog traces -v"},
		{Does: "pace no HTTP/3 response, and let plugins change while it runs", Line: "pquic-server --plugin-for alpn=h3:no_pacing --admin /run/pquic/admin.sock"},
	},
	ExitCodes: []cliutil.ExitCode{
		{Code: 0, Meaning: "ended by SIGTERM or SIGINT"},
		{Code: 1, Meaning: "could not start or go on; the reason is on standard error"},
		{Code: 2, Meaning: "bad flag, argument or environment variable"},
	},
}
