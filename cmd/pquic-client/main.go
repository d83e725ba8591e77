// Command pquic-client fetches URLs over HTTP/3, or over HTTP/0.9 on QUIC.
package main

import (
	"time"

	"github.com/urfave/cli/v2"

	"github.com/pquic-go/pquic/cmd/internal/cliutil"
	"github.com/pquic-go/pquic/cmd/internal/quicflags"
	"github.com/pquic-go/pquic/cmd/internal/trust"
	"github.com/pquic-go/pquic/hoststack/hq"
	"github.com/pquic-go/pquic/hoststack/http3"
)

func main() { cliutil.Main(app()) }

// Exit codes of this program alone.
const (
	exitNetwork = 3
	exitTrust   = 4
	exitStatus  = 5
	exitFile    = 6
)

// options are the flags' values.
type options struct {
	output   string
	fresh    bool
	hash     bool
	parallel int
	delay    time.Duration
	headers  []string

	alpn           string
	resume         string
	earlyData      bool
	ipv4, ipv6     bool
	cert, key      string
	connectTimeout time.Duration
	maxTime        time.Duration

	json  bool
	quiet bool

	trust trust.Options
	quic  quicflags.Options
}

func app() *cli.App {
	o := &options{output: ".", parallel: 6, alpn: http3.NextProtoH3, connectTimeout: 10 * time.Second, quic: quicflags.Defaults()}
	flags := append(o.flags(), o.trust.Flags()...)
	flags = append(flags, o.quic.Flags()...)
	return cliutil.App("pquic-client", "fetch files over HTTP/3", "pquic-client [flags] URL…",
		`Files get the last part of the URL's path as their name, or index.html, and have it only
once they are complete. Until then they are called NAME.part; if the server allows it, the
same command goes on where an earlier one was interrupted. All URLs of one server are
fetched over one connection. Standard output has one line per URL, standard error a
progress bar, if it is a terminal, and one line per failure.`,
		flags, &help, func(c *cli.Context) error {
			targets, err := o.targets(c.Args().Slice())
			if err != nil {
				return err
			}
			return run(c.Context, o, targets, c.App.Writer, c.App.ErrWriter)
		})
}

func (o *options) flags() []cli.Flag {
	const files, connection, reports = "FILES", "CONNECTION", "REPORTS"
	return []cli.Flag{
		cliutil.Flag{Name: "output", Aliases: []string{"o"}, Category: files, Usage: "put the files into `DIR`, which is made if need be; - writes them to standard output, one after the other"}.String(&o.output),
		cliutil.Flag{Name: "fresh", Category: files, Usage: "do not go on with parts, begin anew"}.Bool(&o.fresh),
		cliutil.Flag{Name: "parallel", Category: files, Usage: "fetch `N` files at once"}.Int(&o.parallel, 1, 10000),
		cliutil.Flag{Name: "delay-request", Aliases: []string{"d"}, Category: files, Usage: "begin each request `TIME` after the one before"}.Duration(&o.delay, 0, time.Hour),
		cliutil.Flag{Name: "header", Aliases: []string{"H"}, Category: files, Usage: "send this `\"NAME: VALUE\"` with each request; may be repeated"}.Strings(&o.headers, checkHeader),
		cliutil.Flag{Name: "alpn", Category: connection, Usage: "speak `PROTOCOL`: h3 (HTTP/3) or hq-interop (HTTP/0.9)"}.Choice(&o.alpn, http3.NextProtoH3, hq.NextProto),
		cliutil.Flag{Name: "resume", Category: connection, Usage: "keep TLS sessions and address tokens in `FILE`, and use what is there; it holds secrets"}.String(&o.resume),
		cliutil.Flag{Name: "0rtt", Category: connection, Usage: "send the requests with the first packets, in 0-RTT, if --resume has a session; an attacker could replay them"}.Bool(&o.earlyData),
		cliutil.Flag{Name: "ipv4", Aliases: []string{"4"}, Category: connection, Usage: "use IPv4 only"}.Bool(&o.ipv4),
		cliutil.Flag{Name: "ipv6", Aliases: []string{"6"}, Category: connection, Usage: "use IPv6 only"}.Bool(&o.ipv6),
		cliutil.Flag{Name: "cert", Category: connection, Usage: "show the server this certificate chain, a PEM `FILE`"}.String(&o.cert),
		cliutil.Flag{Name: "key", Category: connection, Usage: "its private key, a PEM `FILE`"}.String(&o.key),
		cliutil.Flag{Name: "connect-timeout", Category: connection, Usage: "give a server `TIME` to complete the handshake"}.Duration(&o.connectTimeout, time.Millisecond, time.Hour),
		cliutil.Flag{Name: "max-time", Category: connection, Usage: "end after `TIME`, whatever is missing"}.Duration(&o.maxTime, time.Millisecond, 1000*time.Hour),
		cliutil.Flag{Name: "json", Category: reports, Usage: "report each URL as a JSON object on a line of its own"}.Bool(&o.json),
		cliutil.Flag{Name: "sha256", Category: reports, Usage: "report each file's SHA-256 hash"}.Bool(&o.hash),
		cliutil.Flag{Name: "quiet", Aliases: []string{"q"}, Category: reports, Usage: "no progress bar and no line for what succeeded"}.Bool(&o.quiet),
	}
}

var help = cliutil.Help{
	Examples: []cliutil.Example{
		{Does: "fetch a file from a server with a self-signed certificate, whose hash it prints", Line: "pquic-client --pin HASH https://127.0.0.1:6121/file.bin"},
		{Does: "fetch two files into a folder, the second a while after the first, and report in JSON", Line: "pquic-client --output dl --delay-request 100ms --json https://example.org/a https://example.org/b"},
		{Does: "visit a server, and again with the request in the first packet", Line: "pquic-client --resume sessions https://example.org/ && pquic-client --resume sessions --0rtt https://example.org/"},
		{Does: "look at a page", Line: "pquic-client --output - https://example.org/"},
	},
	ExitCodes: []cliutil.ExitCode{
		{Code: 0, Meaning: "all files are there"},
		{Code: 1, Meaning: "failed for another reason than those below"},
		{Code: 2, Meaning: "bad flag, argument or environment variable"},
		{Code: exitNetwork, Meaning: "no connection, or it broke"},
		{Code: exitTrust, Meaning: "the server's certificate is not trusted"},
		{Code: exitStatus, Meaning: "the server answered with something else than the file"},
		{Code: exitFile, Meaning: "a file could not be written or read"},
		{Code: cliutil.ExitInterrupted, Meaning: "interrupted"},
	},
}
