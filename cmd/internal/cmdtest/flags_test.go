package cmdtest

import (
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// Whatever is wrong on the command line, there is one line about it.
func TestBadCommandLines(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("no certificate"), 0o644); err != nil {
		t.Fatal(err)
	}
	const server, client, perf, interop = "pquic-server", "pquic-client", "pquic-perf", "pquic-interop"
	const u = "https://127.0.0.1:1/x"
	for _, c := range []struct {
		program, args string
		code          int
		want          string
	}{
		{server, "--nonsense", 2, "unknown flag --nonsense"},
		{server, "--worker 2", 2, "did you mean --workers?"},
		{server, "extra", 2, `unexpected argument "extra"`},
		{server, "--cc vegas", 2, `--cc "vegas": want bbr, cubic or newreno`},
		{server, "--stream-scheduler fifo", 2, `want rr, prio or sprio`},
		{server, "--alpn h2", 2, `want h3, hq-interop or perf`},
		{server, "--initial-window 1", 2, "want a whole number from 2 to 10000"},
		{server, "--flow-control 32", 2, "a number without a unit counts bytes"},
		{server, "--max-udp-payload 1000", 2, "want 1200B to 65527B"},
		{server, "--listen nowhere", 2, "want HOST:PORT"},
		{server, "--port 70000", 2, "want a whole number from 0 to 65535"},
		{server, "--listen 127.0.0.1:1 --port 2", 2, "name different ports"},
		{server, "--tcp --alpn perf", 2, "--alpn lacks h3"},
		{server, "--drain soon", 2, "want a number with a unit"},
		{server, "--www " + dir + "/missing", 1, "no such directory"},
		{server, "--www " + file, 1, "is a file, want the directory to serve"},
		{server, "--cert " + file, 2, "--cert needs --key FILE"},
		{server, "--key " + file, 2, "--key needs --cert FILE"},
		{server, "--cert " + file + " --key " + file, 1, "PEM"},
		{server, "--cert " + dir + "/missing --key " + file, 1, "--cert: open"},
		{server, "--cert " + file + " --key " + dir + "/missing", 1, "--key: open"},
		{server, "--certpath " + dir + "/missing", 1, "--certpath: stat"},
		{server, "--certpath " + file, 1, "want the directory that holds fullchain.pem and privkey.pem"},
		{server, "--certpath " + t.TempDir(), 1, "no certificate in"},
		{server, "--certpath " + dir + " --cert a --key b", 2, "exclude each other"},
		{server, "--client-ca " + file, 1, "holds no certificate in PEM form"},
		{server, "--qlog " + file, 1, "--qlog: mkdir"},
		{server, "--keylog " + dir + "/missing/keys", 1, "--keylog:"},
		{server, "--listen 192.0.2.1:0", 1, "no interface of this machine has that address"},
		{server, "PQUIC_CC=vegas", 2, `environment variable PQUIC_CC="vegas"`},

		{client, "", 2, "the URL is missing"},
		{client, "127.0.0.1/x", 2, "lacks https:// in front"},
		{client, "http://127.0.0.1/x", 2, "QUIC has only https, not http"},
		{client, "https:///x", 2, "lacks a host"},
		{client, "https://127.0.0.1:99999/x", 2, `port "99999"`},
		{client, "https://127.0.0.1:0/x", 2, `port "0"`},
		{client, "https://%zz/", 2, "is no URL"},
		{client, "https://a/..", 2, "cannot be a file's name"},
		{client, u + " " + u, 2, "is there twice"},
		{client, u + " https://127.0.0.1:2/x", 2, "would both become"},
		{client, "--output " + file + " " + u, 6, "is a file, want a folder"},
		{client, "--output " + filepath.Dir(dir) + " https://127.0.0.1:1/" + filepath.Base(dir), 6, "is a directory"},
		{client, "--0rtt " + u, 2, "--0rtt needs --resume FILE"},
		{client, "--resume " + file + " " + u, 6, "is no file of sessions, and is left alone"},
		{client, "--resume " + dir + "/missing/s " + u, 6, "there is no directory"},
		{client, "--ca " + file + " " + u, 1, "holds no certificate in PEM form"},
		{client, "--ca " + dir + "/missing " + u, 1, "--ca: open"},
		{client, "--pin short " + u, 2, "want the base64 SHA-256 hash of a public key"},
		{client, "--pin " + pinExample + " --insecure " + u, 2, "give one or the other"},
		{client, "--pin " + pinExample + " --ca " + file + " " + u, 2, "give one or the other"},
		{client, "--ipv4 --ipv6 " + u, 2, "exclude each other"},
		{client, "--cert x " + u, 2, "--cert and --key belong together"},
		{client, "--cert " + file + " --key " + file + " " + u, 1, "PEM"},
		{client, "--header nonsense " + u, 2, "want \"NAME: VALUE\""},
		{client, "--header Range:x " + u, 2, "Range is set by the program itself"},
		{client, "--alpn h2 " + u, 2, "want h3 or hq-interop"},
		{client, "--parallel 0 " + u, 2, "want a whole number from 1"},

		{perf, "", 2, "the command is missing: want pquic-perf server or client"},
		{perf, "measure", 2, `unknown command "measure": want server or client`},
		{perf, "client", 2, "--target is missing"},
		{perf, "client --target 127.0.0.1:1 --scenario fast", 2, "want upload, download, hps, rps, rps-multi or latency"},
		{perf, "client --target 127.0.0.1:1 --scenario hps --streams 3", 2, "--streams means nothing in the scenario hps"},
		{perf, "client --target 127.0.0.1:1 --scenario rps --bytes 3", 2, "want --up and --down"},
		{perf, "client --target 127.0.0.1:1 --scenario upload --up 3", 2, "want --bytes"},
		{perf, "client --target 127.0.0.1:1 --json --histogram -", 2, "name a file for the histogram"},
		{perf, "client extra", 2, `unexpected argument "extra"`},
		{perf, "server --listen nowhere", 2, "want HOST:PORT"},

		{interop, "", 1, "ROLE is not set: want server or client"},
		{interop, "ROLE=proxy", 1, `want server or client`},
		{interop, "ROLE=client", 1, "TESTCASE is not set: want handshake,"},
		{interop, "ROLE=client TESTCASE=teleport", 127, `test case "teleport" is not supported as client`},
		{interop, "ROLE=server TESTCASE=migration", 127, `test case "migration" is not supported as server`},
		{interop, "ROLE=client TESTCASE=transfer --certs " + dir, 1, "REQUESTS is empty"},
		{interop, "ROLE=client TESTCASE=transfer REQUESTS=ftp://x/y --certs " + dir, 1, "want https://HOST[:PORT]/FILE"},
		{interop, "ROLE=server TESTCASE=transfer --certs " + dir, 1, "cert.pem with key"},
	} {
		t.Run(c.program+" "+c.args, func(t *testing.T) {
			r := run(t, c.program, strings.Fields(c.args)...)
			r.wantFailure(t, c.code, c.want)
			if r.stdout != "" {
				t.Errorf("stdout: %q", r.stdout)
			}
		})
	}
}

const pinExample = "AyNTTEVMqqadCRFkotswE5AZmVn5jjvNdrLUlm6TSck="

func TestVersion(t *testing.T) {
	for _, program := range []string{"pquic-server", "pquic-client", "pquic-perf", "pquic-interop"} {
		r := run(t, program, "--version")
		r.wantSuccess(t)
		if !strings.HasPrefix(r.stdout, program+" version ") || strings.Count(r.stdout, "\n") != 1 {
			t.Errorf("%s --version: %q", program, r.stdout)
		}
	}
}

func TestPortsInUse(t *testing.T) {
	udp, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer udp.Close()
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer tcp.Close()
	udpAddr, tcpAddr := udp.LocalAddr().String(), tcp.Addr().String()
	www := t.TempDir()
	run(t, "pquic-server", "--www", www, "--listen", udpAddr).wantFailure(t, 1, "UDP port "+port(udpAddr)+" is in use")
	run(t, "pquic-server", "--www", www, "--listen", tcpAddr, "--tcp").wantFailure(t, 1, "TCP port "+port(tcpAddr)+" is in use")
	run(t, "pquic-server", "--www", www, "--listen", "127.0.0.1:0", "--metrics", tcpAddr).wantFailure(t, 1, "--metrics "+tcpAddr+": TCP port "+port(tcpAddr)+" is in use")
	run(t, "pquic-perf", "server", "--listen", udpAddr).wantFailure(t, 1, "UDP port "+port(udpAddr)+" is in use")
}

func port(addr string) string {
	_, p, _ := net.SplitHostPort(addr)
	return p
}

// Ports below 1024 need a privilege, unless the system says otherwise.
func TestPrivilegedPort(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("root may open any port")
	}
	limit, err := os.ReadFile("/proc/sys/net/ipv4/ip_unprivileged_port_start")
	if n, cerr := strconv.Atoi(strings.TrimSpace(string(limit))); err != nil || cerr != nil || n <= 443 {
		t.Skip("this system lets anybody open port 443")
	}
	run(t, "pquic-server", "--www", t.TempDir(), "--listen", "127.0.0.1:443").wantFailure(t, 1, "CAP_NET_BIND_SERVICE")
}
