package runner

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/pquic-go/pquic/bench/testcert"
)

// A Setup is what an endpoint needs to know to take part in a case.
type Setup struct {
	Case      *Case
	Test      string // TESTCASE
	H3        bool   // the other end speaks only HTTP/3
	Listen    netip.AddrPort
	Preferred netip.AddrPort // for connectionmigration
	Target    netip.AddrPort // where a client is to send
	Names     []string       // files to fetch
	Certs     testcert.Files
	CertDir   string
	WWW       string
	Downloads string
	KeyLog    string
	QLog      string
	Scratch   string // directory of this endpoint alone
}

// URLs are those of the files.
func (s *Setup) URLs() []string {
	var out []string
	for _, n := range s.Names {
		out = append(out, fmt.Sprintf("https://%s/%s", s.Target, n))
	}
	return out
}

// A Command is a program to run.
type Command struct {
	Path  string
	Args  []string
	Env   []string
	Ready string // text in a line of a server's output that says that it serves
	// Check, if set, judges a client by its output, for one that does not store files.
	Check func(output string) error
	// Note says in the table what Check has proved.
	Note string
}

// An Endpoint is a QUIC implementation as client, server or both.
type Endpoint struct {
	Name string
	// OnlyH3 endpoints cannot speak HTTP/0.9.
	OnlyH3 bool
	// Server returns a server's command, Client the commands that one after the other make up a
	// client. Either is nil if the endpoint does not have that side.
	Server func(*Setup) *Command
	Client func(*Setup) []*Command
	// Cannot says why a side cannot do a case, by "client/case" or "server/case", or by "client" for
	// all cases not in Only.
	Cannot map[string]string
	// Only, if set, is the list of the cases that the endpoint takes part in.
	Only []string
	// Faults say what is wrong with a side in a case, so that failing there is its own doing.
	Faults map[string]Fault
	// Missing says why the endpoint cannot run on this machine, "" if it can.
	Missing string
}

// A Fault explains a failure whose reason has one of the texts in it, and no other failure.
type Fault struct {
	Why   string
	Texts []string
}

func (f Fault) explains(reason string) bool {
	for _, t := range f.Texts {
		if strings.Contains(reason, t) {
			return true
		}
	}
	return false
}

// Programs are the paths of the programs that had to be built.
type Programs struct {
	Pquic, QuicGo, XNet string
	DoqPquic, DoqQuicGo string
	PquicError          string // why Pquic could not be built
}

// Endpoints returns all endpoints, ours first.
func Endpoints(p *Programs) []*Endpoint {
	return []*Endpoint{pquic(p), quicGo(p), xnet(p), ngtcp2(), quinn(), chromium(), kdig()}
}

func serverKey(s *Setup) []string { return []string{"-cert", s.Certs.Cert, "-key", s.Certs.Key} }

func alpn(s *Setup) string {
	if s.H3 || s.Case.OnlyH3 {
		return "h3"
	}
	return "hq-interop"
}

// pquic is this repository's endpoint.
func pquic(p *Programs) *Endpoint {
	env := func(s *Setup, role string) []string {
		e := []string{
			"ROLE=" + role, "TESTCASE=" + s.Test, "SSLKEYLOGFILE=" + s.KeyLog, "QLOGDIR=" + s.QLog,
			"PQUIC_CERTS=" + s.CertDir, "PQUIC_WWW=" + s.WWW, "PQUIC_DOWNLOADS=" + s.Downloads, "PQUIC_ALPN=" + alpn(s),
		}
		if role == "client" {
			return append(e, "REQUESTS="+strings.Join(s.URLs(), " "))
		}
		if s.Preferred.IsValid() {
			e = append(e, "PQUIC_PREFERRED="+s.Preferred.String())
		}
		return append(e, "PQUIC_LISTEN="+s.Listen.String())
	}
	return &Endpoint{
		Name: "pquic",
		Server: func(s *Setup) *Command {
			if s.Case.DNS {
				return &Command{Path: p.DoqPquic, Args: append(serverKey(s), "-listen", s.Listen.String()), Ready: "listening on"}
			}
			return &Command{Path: p.Pquic, Env: env(s, "server"), Ready: "listening on"}
		},
		Client: func(s *Setup) []*Command { return []*Command{{Path: p.Pquic, Env: env(s, "client")}} },
		Cannot: map[string]string{"client/doq": "no DNS client"},
	}
}

func quicGo(p *Programs) *Endpoint {
	env := func(s *Setup, role string) []string {
		return []string{
			"ROLE=" + role, "TESTCASE=" + s.Test, "SSLKEYLOGFILE=" + s.KeyLog, "QLOGDIR=" + s.QLog, "CERTS=" + s.CertDir, "WWW=" + s.WWW,
			"DOWNLOADS=" + s.Downloads, "LISTEN=" + s.Listen.String(), "ALPN=" + alpn(s), "REQUESTS=" + strings.Join(s.URLs(), " "),
		}
	}
	return &Endpoint{
		Name: "quic-go",
		Server: func(s *Setup) *Command {
			if s.Case.DNS {
				return &Command{Path: p.DoqQuicGo, Args: append(serverKey(s), "-listen", s.Listen.String()), Ready: "listening on"}
			}
			return &Command{Path: p.QuicGo, Env: env(s, "server"), Ready: "listening on"}
		},
		Client: func(s *Setup) []*Command { return []*Command{{Path: p.QuicGo, Env: env(s, "client")}} },
		Cannot: map[string]string{
			"server/connectionmigration": "offers no preferred address",
			"client/connectionmigration": "does not move to a preferred address",
			"server/v2":                  "does not change to version 2 in a handshake that began with 1",
			"client/doq":                 "no DNS client",
		},
		Faults: map[string]Fault{
			"server/amplificationlimit": {
				"looks at the limit only before a packet and so may exceed it by part of one",
				[]string{"times what it had received"},
			},
		},
	}
}

func xnet(p *Programs) *Endpoint {
	return &Endpoint{
		Name: "x/net",
		Server: func(s *Setup) *Command {
			return &Command{
				Path: p.XNet, Args: append(serverKey(s), "-root", s.WWW, "-listen", s.Listen.String()),
				Env: []string{"TESTCASE=" + s.Test, "SSLKEYLOGFILE=" + s.KeyLog}, Ready: "listening on",
			}
		},
		Client: func(s *Setup) []*Command {
			return []*Command{{
				Path: p.XNet, Args: append([]string{"-output", s.Downloads}, s.URLs()...),
				Env: []string{"TESTCASE=" + s.Test, "SSLKEYLOGFILE=" + s.KeyLog},
			}}
		},
		Only: []string{
			"handshake", "transfer", "longrtt", "chacha20", "multiplexing", "retry", "blackhole", "keyupdate", "amplificationlimit",
			"transferloss", "transfercorruption", "ipv6", "goodput", "crosstraffic", "rebind-port", "rebind-addr",
		},
		Cannot: map[string]string{
			"server/rebind-port": "does not follow a client to another address",
			"server/rebind-addr": "does not follow a client to another address",
		},
	}
}

func ngtcp2() *Endpoint {
	client, server := installed("gtlsclient"), installed("gtlsserver")
	e := &Endpoint{
		Name: "ngtcp2", OnlyH3: true,
		Server: func(s *Setup) *Command {
			args := []string{"-q", "-d", s.WWW}
			if s.Test == "retry" {
				args = append(args, "-V")
			}
			if s.Preferred.IsValid() {
				args = append(args, "--preferred-ipv4-addr="+s.Preferred.String())
			}
			args = append(args, s.Listen.Addr().String(), fmt.Sprint(s.Listen.Port()), s.Certs.Key, s.Certs.Cert)
			return &Command{Path: server, Args: args, Env: []string{"SSLKEYLOGFILE=" + s.KeyLog}, Ready: "document root"}
		},
		Client: func(s *Setup) []*Command { return gtlsclient(client, s) },
		Cannot: map[string]string{
			"server/v2": "knows only a draft of version 2", "client/v2": "knows only a draft of version 2",
			"client/doq": "no DNS client", "server/doq": "no DNS server",
		},
		Faults: map[string]Fault{
			"server/rebind-port": {"sends data to a new port before its PATH_CHALLENGE", []string{"had no PATH_CHALLENGE"}},
			"server/zerortt": {
				"wants the age of a ticket more precisely than crypto/tls, which counts it in seconds, tells it",
				[]string{"0-RTT rejected", "did not resume the session", "did not accept 0-RTT"},
			},
		},
	}
	if client == "" || server == "" {
		e.Missing = "needs the packages ngtcp2-client and ngtcp2-server"
	}
	return e
}

// gtlsclient makes one connection per run: several runs make up some cases.
func gtlsclient(path string, s *Setup) []*Command {
	command := func(urls []string, more ...string) *Command {
		args := append([]string{"-q", "--exit-on-all-streams-close", "--download=" + s.Downloads}, more...)
		args = append(args, s.Target.Addr().String(), fmt.Sprint(s.Target.Port()))
		return &Command{Path: path, Args: append(args, urls...), Env: []string{"SSLKEYLOGFILE=" + s.KeyLog}}
	}
	urls := s.URLs()
	switch s.Test {
	case "multiconnect":
		var all []*Command
		for _, u := range urls {
			all = append(all, command([]string{u}))
		}
		return all
	case "resumption", "zerortt":
		session, parameters := filepath.Join(s.Scratch, "session"), filepath.Join(s.Scratch, "parameters")
		more := []string{"--session-file=" + session, "--tp-file=" + parameters}
		if s.Test == "resumption" {
			more = append(more, "--disable-early-data")
		}
		return []*Command{command(urls[:1], more...), command(urls[1:], more...)}
	case "chacha20":
		return []*Command{command(urls, "--ciphers=NORMAL:-VERS-ALL:+VERS-TLS1.3:-CIPHER-ALL:+CHACHA20-POLY1305")}
	case "keyupdate":
		return []*Command{command(urls, "--key-update=1ms")}
	case "migration":
		return []*Command{command(urls, "--change-local-addr=1ms")}
	}
	return []*Command{command(urls)}
}

func chromium() *Endpoint {
	path := installed("chromium", "chromium-browser", "google-chrome")
	e := &Endpoint{Name: "chromium", OnlyH3: true, Only: []string{"http3"}, Client: func(s *Setup) []*Command {
		return []*Command{browse(path, s)}
	}}
	if path == "" {
		e.Missing = "needs the package chromium"
	}
	return e
}

func kdig() *Endpoint {
	path := installed("kdig")
	e := &Endpoint{Name: "kdig", Only: []string{"doq"}, Client: func(s *Setup) []*Command {
		return []*Command{{
			Path: path,
			Args: []string{"@" + s.Target.Addr().String(), "-p", fmt.Sprint(s.Target.Port()), "+quic", "+short", "example.com", "A"},
			Check: func(output string) error {
				if !strings.Contains(output, "192.0.2.53") {
					return fmt.Errorf("kdig said %q, want the address 192.0.2.53", strings.TrimSpace(output))
				}
				return nil
			},
		}}
	}}
	if path == "" {
		e.Missing = "needs the package knot-dnsutils"
	}
	return e
}

// installed returns the path of the first program that is there, "" if none is.
func installed(names ...string) string {
	for _, n := range names {
		if p, err := exec.LookPath(n); err == nil {
			return p
		}
		// Debian has servers where only root looks.
		if p := filepath.Join("/usr/sbin", n); isFile(p) {
			return p
		}
	}
	return ""
}

func isFile(p string) bool {
	info, err := os.Stat(p)
	return err == nil && info.Mode().IsRegular()
}

// certificates are made for all addresses that a case may use.
func certificates(dir string, c *Case) (testcert.Files, error) {
	o := testcert.Options{DNSNames: []string{"localhost", "server", "server4", "server6", "server46"}, Intermediates: c.Chain}
	if c.Chain > 0 {
		o.Padding = 500 // the chain must exceed what the anti-amplification limit allows at once
	}
	for _, ip := range []string{"127.0.0.1", "::1", serverV4, serverV6} {
		o.IPs = append(o.IPs, net.ParseIP(ip))
	}
	return testcert.Write(dir, o)
}
