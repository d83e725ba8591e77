package runner

import (
	_ "embed"
	"os"
	"path/filepath"
	"strings"
)

// quinnScript makes Deno, whose QUIC is Quinn, an endpoint.
//
//go:embed quinn.js
var quinnScript []byte

// quinn is Quinn as Deno ships it: what Deno does not offer, such as Retry, is not among its cases.
func quinn() *Endpoint {
	path := installed("deno")
	command := func(s *Setup, role string) *Command {
		script := filepath.Join(s.Scratch, "quinn.js")
		c := &Command{
			Path: path, Args: []string{"run", "--quiet", "--no-config", "--no-lock", "--unstable-net", "--allow-all", script},
			Env: []string{
				"ROLE=" + role, "TESTCASE=" + s.Test, "SSLKEYLOGFILE=" + s.KeyLog, "CERTS=" + s.CertDir, "WWW=" + s.WWW, "DOWNLOADS=" + s.Downloads,
				"LISTEN=" + s.Listen.String(), "REQUESTS=" + strings.Join(s.URLs(), " "), "NO_COLOR=1", "DENO_NO_UPDATE_CHECK=1", "DENO_DIR=" + filepath.Join(s.Scratch, "deno"),
			},
		}
		if err := os.WriteFile(script, quinnScript, 0o644); err != nil {
			c.Args = []string{"eval", "throw new Error(" + "'" + err.Error() + "')"}
		}
		return c
	}
	e := &Endpoint{
		Name: "quinn",
		Server: func(s *Setup) *Command {
			c := command(s, "server")
			c.Ready = "listening on"
			return c
		},
		Client: func(s *Setup) []*Command { return []*Command{command(s, "client")} },
		Only: []string{
			"handshake", "transfer", "longrtt", "multiplexing", "blackhole", "keyupdate", "ecn", "amplificationlimit", "handshakeloss", "transferloss",
			"handshakecorruption", "transfercorruption", "ipv6", "rebind-port", "rebind-addr", "goodput", "crosstraffic", "clientmigration",
		},
		Cannot: map[string]string{
			"client/keyupdate":          "does not update keys when asked",
			"client/clientmigration":    "does not move when asked",
			"client/amplificationlimit": "refuses a chain of eight certificates",
		},
	}
	if path == "" {
		e.Missing = "needs deno: npm install --global deno"
	}
	return e
}
