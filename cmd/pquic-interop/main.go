// Command pquic-interop is an endpoint of the QUIC interop runner, as server
// and as client. What to do is in the environment.
// https://github.com/quic-interop/quic-interop-runner
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/pquic-go/pquic/cmd/internal/cliutil"
	"github.com/pquic-go/pquic/cmd/internal/quicflags"
)

// exitUnsupported tells the runner that a test case is none of ours.
const exitUnsupported = 127

func main() {
	// The runner's own way of passing flags.
	args := append(os.Args, strings.Fields(os.Getenv(strings.ToUpper(os.Getenv("ROLE"))+"_PARAMS"))...)
	code := cliutil.Run(app(), args, os.Stdout, os.Stderr)
	if code != cliutil.ExitOK && code != exitUnsupported {
		code = cliutil.ExitFailure // the runner knows no other
	}
	os.Exit(code)
}

// options are the flags' values.
type options struct {
	role, testcase string
	requests       string
	certs          string
	www            string
	downloads      string
	logs           string
	listen         string
	preferred      string
	alpn           string
	quic           quicflags.Options
}

func app() *cli.App {
	o := &options{
		certs: "/certs", www: "/www", downloads: "/downloads", logs: "/logs", listen: ":443", quic: quicflags.Defaults(),
	}
	const task, places = "TASK", "PLACES"
	flags := []cli.Flag{
		cliutil.Flag{Name: "role", Category: task, Env: []string{"ROLE"}, Usage: "be `ROLE`: server or client"}.Choice(&o.role, "server", "client"),
		cliutil.Flag{Name: "testcase", Category: task, Env: []string{"TESTCASE"}, Usage: "`NAME` of the test case: " + strings.Join(caseNames(), ", ")}.String(&o.testcase),
		cliutil.Flag{Name: "requests", Category: task, Env: []string{"REQUESTS"}, Usage: "`URLS` to fetch, separated by spaces (client)"}.String(&o.requests),
		cliutil.Flag{Name: "listen", Category: task, Usage: "serve on this `ADDR:PORT`"}.Address(&o.listen),
		cliutil.Flag{Name: "preferred", Category: task, Usage: "invite clients to move to this `ADDR:PORT` in the test case connectionmigration"}.Address(&o.preferred),
		cliutil.Flag{Name: "alpn", Category: task, Usage: "speak `PROTOCOL`: h3 or hq-interop; by default what the test case asks for"}.Choice(&o.alpn, alpnH3, alpnHQ),
		cliutil.Flag{Name: "certs", Category: places, Usage: "`DIR` with cert.pem and priv.key (server), and ca.pem (client, which trusts any server without)"}.String(&o.certs),
		cliutil.Flag{Name: "www", Category: places, Usage: "serve the files in `DIR`"}.String(&o.www),
		cliutil.Flag{Name: "downloads", Category: places, Usage: "put files into `DIR`"}.String(&o.downloads),
		cliutil.Flag{Name: "logs", Category: places, Usage: "write a log into `DIR`, if it exists"}.String(&o.logs),
	}
	flags = append(flags, o.quic.Flags()...)
	return cliutil.App("pquic-interop", "be an endpoint of the QUIC interop runner", "ROLE=server|client TESTCASE=NAME [REQUESTS=URLS] pquic-interop [flags]",
		`The runner says what to do by the environment: ROLE, TESTCASE, REQUESTS, SSLKEYLOGFILE and
QLOGDIR; flags may also stand in SERVER_PARAMS and CLIENT_PARAMS. The first line of a
server, once it is ready, is "listening on ADDR:PORT".`,
		flags, &help, func(c *cli.Context) error {
			if err := cliutil.NoArguments(c); err != nil {
				return err
			}
			return run(c.Context, o, c.App.Writer, c.App.ErrWriter)
		})
}

var help = cliutil.Help{
	Examples: []cliutil.Example{
		{Does: "serve a test case without the runner", Line: "ROLE=server TESTCASE=transfer pquic-interop --certs certs --www www --listen 127.0.0.1:4433"},
		{Does: "fetch a file in another", Line: "ROLE=client TESTCASE=retry REQUESTS=https://127.0.0.1:4433/file pquic-interop --certs certs --downloads dl"},
	},
	ExitCodes: []cliutil.ExitCode{
		{Code: 0, Meaning: "all files are there; the server was ended by SIGTERM or SIGINT"},
		{Code: 1, Meaning: "failed; the reason is on standard error"},
		{Code: exitUnsupported, Meaning: "the test case is not supported"},
	},
}

// run does what the environment asks for.
func run(ctx context.Context, o *options, stdout, stderr io.Writer) error {
	if o.role == "" {
		return cliutil.Usagef("ROLE is not set: want server or client")
	}
	if o.testcase == "" {
		return cliutil.Usagef("TESTCASE is not set: want %s", cliutil.OneOf(caseNames()))
	}
	tc, ok := findCase(o.testcase, o.role)
	if !ok {
		return cliutil.Exit(exitUnsupported, fmt.Errorf("test case %q is not supported as %s", o.testcase, o.role))
	}
	if o.alpn == "" {
		o.alpn = tc.alpn
	}
	log, toFile, closeLog := o.logger(stderr)
	defer closeLog()
	setup, err := o.quic.Setup("pquic-interop", log)
	if err != nil {
		return err
	}
	defer setup.Close()
	tc.configure(setup.Config)
	if o.role == "server" {
		err = runServer(ctx, o, tc, setup, log, stdout)
	} else {
		err = runClient(ctx, o, tc, setup, log)
	}
	if err != nil && toFile { // standard error gets it anyway
		log.Error("failed", "role", o.role, "testcase", o.testcase, "error", err)
	}
	return err
}

// logger logs to a file in the directory of logs, if there is one, else to
// stderr.
func (o *options) logger(stderr io.Writer) (log *slog.Logger, toFile bool, closeFile func()) {
	info, err := os.Stat(o.logs)
	if err != nil || !info.IsDir() {
		return o.quic.Logger(stderr), false, func() {}
	}
	f, err := os.OpenFile(filepath.Join(o.logs, "pquic-"+o.role+".log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return o.quic.Logger(stderr), false, func() {}
	}
	verbose := o.quic
	verbose.Verbose = true
	return verbose.Logger(f), true, func() { _ = f.Close() }
}

var errNoRequests = errors.New("REQUESTS is empty: want URLs, separated by spaces")
