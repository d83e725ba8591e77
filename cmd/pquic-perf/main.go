// Command pquic-perf measures QUIC by the perf protocol of
// draft-banks-quic-performance, which other implementations speak as well.
package main

import (
	"github.com/urfave/cli/v2"

	"github.com/pquic-go/pquic/cmd/internal/cliutil"
)

func main() { cliutil.Main(app()) }

func app() *cli.App {
	return cliutil.Commands("pquic-perf", "measure QUIC by the perf protocol", "pquic-perf server|client [flags]",
		`The server answers, the client measures. The protocol is the one of
draft-banks-quic-performance (ALPN "perf"): either may be another implementation's.`,
		[]*cli.Command{serverCommand(), clientCommand()},
		&cliutil.Help{
			Examples: []cliutil.Example{
				{Does: "serve", Line: "pquic-perf server --listen 127.0.0.1:4433"},
				{Does: "measure how fast data comes down", Line: "pquic-perf client --target 127.0.0.1:4433 --insecure --scenario download"},
			},
			ExitCodes: exitCodes,
		})
}

var exitCodes = []cliutil.ExitCode{
	{Code: 0, Meaning: "measured; for the server: ended by SIGTERM or SIGINT"},
	{Code: 1, Meaning: "failed; the reason is on standard error"},
	{Code: 2, Meaning: "bad flag, argument or environment variable"},
	{Code: exitNoConnection, Meaning: "no connection could be made"},
	{Code: cliutil.ExitInterrupted, Meaning: "interrupted; what was measured until then is printed"},
}

const exitNoConnection = 3
