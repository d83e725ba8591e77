package cmdtest

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// Every test case that needs no special network, both ends ours.
func TestInteropCases(t *testing.T) {
	for _, c := range []struct {
		name, server, client string
		files                int
		handshakes           int
	}{
		{"handshake", "handshake", "handshake", 1, 1},
		{"transfer", "transfer", "transfer", 3, 1},
		{"multiplexing", "transfer", "transfer", 300, 1},
		{"retry", "retry", "retry", 1, 1},
		{"resumption", "resumption", "resumption", 2, 2},
		{"zerortt", "zerortt", "zerortt", 5, 2},
		{"http3", "http3", "http3", 3, 1},
		{"multiconnect", "multiconnect", "multiconnect", 4, 4},
		{"keyupdate", "transfer", "keyupdate", 1, 1},
		{"chacha20", "chacha20", "chacha20", 1, 1},
		{"v2", "v2", "v2", 1, 1},
		{"ecn", "ecn", "ecn", 1, 1},
		{"connectionmigration", "connectionmigration", "transfer", 1, 1},
		{"migration", "transfer", "migration", 1, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			certs, www, downloads, logs := filepath.Join(dir, "certs"), filepath.Join(dir, "www"), filepath.Join(dir, "dl"), filepath.Join(dir, "logs")
			for _, d := range []string{certs, www, downloads, logs} {
				if err := os.Mkdir(d, 0o755); err != nil {
					t.Fatal(err)
				}
			}
			writeCert(t, filepath.Join(certs, "cert.pem"), filepath.Join(certs, "priv.key"))
			env := func(role, test string) []string {
				return []string{"ROLE=" + role, "TESTCASE=" + test, "PQUIC_CERTS=" + certs, "PQUIC_WWW=" + www, "PQUIC_DOWNLOADS=" + downloads, "PQUIC_LOGS=" + logs}
			}
			server := start(t, "pquic-interop", append(env("server", c.server), "PQUIC_LISTEN=127.0.0.1:0", "PQUIC_PREFERRED="+freeAddress(t))...)
			addr := server.find(`^listening on (\S+)$`)
			var urls []string
			for i := range c.files {
				name := fmt.Sprintf("file%d", i)
				if err := os.WriteFile(filepath.Join(www, name), randomBytes(1000*(i+1)), 0o644); err != nil {
					t.Fatal(err)
				}
				urls = append(urls, "https://"+addr+"/"+name)
			}
			client := run(t, "pquic-interop", append(env("client", c.client), "REQUESTS="+strings.Join(urls, " "))...)
			client.wantSuccess(t)
			for i := range c.files {
				wantContent(t, filepath.Join(downloads, fmt.Sprintf("file%d", i)), randomBytes(1000*(i+1)))
			}
			server.end()
			log, err := os.ReadFile(filepath.Join(logs, "pquic-server.log"))
			if n := strings.Count(string(log), "msg=connection remote"); err != nil || n != c.handshakes {
				t.Errorf("%d connections, want %d: %v", n, c.handshakes, err)
			}
		})
	}
}

// freeAddress is a UDP address that nobody uses now.
func freeAddress(t *testing.T) string {
	t.Helper()
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return c.LocalAddr().String()
}

func TestInteropParams(t *testing.T) {
	run(t, "pquic-interop", "ROLE=client", "TESTCASE=transfer", "CLIENT_PARAMS=--cc vegas").wantFailure(t, 1, `--cc "vegas": want bbr, cubic or newreno`)
}

func TestInteropMissingFile(t *testing.T) {
	s := serve(t, "--alpn", "hq-interop")
	dir := t.TempDir()
	r := run(t, "pquic-interop", "ROLE=client", "TESTCASE=transfer", "PQUIC_CERTS="+dir, "PQUIC_DOWNLOADS="+dir, "PQUIC_LOGS="+dir+"/none", "REQUESTS="+s.url("missing"))
	r.wantFailure(t, 1, s.url("missing")+": ")
	wantFiles(t, dir)
	s.end()
}

// The runner's variables for logs are obeyed, and its authority is believed
// alone.
func TestInteropLogsAndTrust(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	writeCert(t, filepath.Join(dir, "cert.pem"), filepath.Join(dir, "priv.key"))
	www, qlog, keys := t.TempDir(), filepath.Join(dir, "qlog"), filepath.Join(dir, "keys.log")
	if err := os.WriteFile(filepath.Join(www, "file"), []byte("hello"), 0o644); err != nil {
		t.Fatal(err)
	}
	server := start(t, "pquic-interop", "ROLE=server", "TESTCASE=http3", "PQUIC_CERTS="+dir, "PQUIC_WWW="+www, "PQUIC_LOGS="+dir+"/none", "PQUIC_LISTEN=127.0.0.1:0", "QLOGDIR="+qlog)
	url := "https://" + server.find(`^listening on (\S+)$`) + "/file"
	env := []string{"ROLE=client", "TESTCASE=http3", "PQUIC_CERTS=" + dir, "PQUIC_DOWNLOADS=" + dir, "PQUIC_LOGS=" + dir + "/none", "QLOGDIR=" + qlog, "SSLKEYLOGFILE=" + keys, "REQUESTS=" + url}
	authority, err := os.ReadFile(filepath.Join(dir, "cert.pem"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "ca.pem"), authority, 0o644); err != nil {
		t.Fatal(err)
	}
	run(t, "pquic-interop", env...).wantSuccess(t)
	wantContent(t, filepath.Join(dir, "file"), []byte("hello"))
	if log, err := os.ReadFile(keys); err != nil || !strings.Contains(string(log), "CLIENT_TRAFFIC_SECRET_0 ") {
		t.Errorf("key log: %v: %s", err, log)
	}
	writeCert(t, filepath.Join(dir, "ca.pem"), filepath.Join(dir, "other.key"))
	run(t, "pquic-interop", env...).wantFailure(t, 1, "the server's certificate is signed by nobody we trust")
	server.end()
	if traces, err := filepath.Glob(filepath.Join(qlog, "*.sqlog")); err != nil || len(traces) < 3 {
		t.Errorf("traces %q, %v", traces, err)
	}
}

// A client that is told to end leaves nothing under a file's name.
func TestInteropInterrupted(t *testing.T) {
	t.Parallel()
	s := slowServe(t, "", true, false)
	dir := t.TempDir()
	p := start(t, "pquic-interop", "ROLE=client", "TESTCASE=http3", "PQUIC_CERTS="+dir, "PQUIC_DOWNLOADS="+dir, "PQUIC_LOGS="+dir+"/none", "REQUESTS="+s.url())
	<-s.held
	p.signal(syscall.SIGTERM)
	if code := p.wait(); code != 1 || strings.Count(p.stderr.String(), "\n") != 1 {
		t.Errorf("exit code %d, stderr %q", code, p.stderr.String())
	}
	wantFiles(t, dir)
}
