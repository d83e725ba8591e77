package cmdtest

import (
	"bufio"
	"bytes"
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/pquic-go/pquic/hoststack"
	"github.com/pquic-go/pquic/hoststack/http3"
)

// randomBytes returns n bytes, always the same.
func randomBytes(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(b) // never fails
	return b
}

func TestServerAnnounces(t *testing.T) {
	s := start(t, "pquic-server", "--listen", "127.0.0.1:0", "--www", t.TempDir())
	addr := s.line()
	if !strings.HasPrefix(addr, "listening on 127.0.0.1:") || strings.HasSuffix(addr, ":0") {
		t.Errorf("the first line is %q", addr)
	}
	addr = strings.TrimPrefix(addr, "listening on ")
	hash := s.find(`self-signed certificate.*SPKI hash (\S{44})$`)
	if line := s.line(); line != "fetch:   pquic-client --pin "+hash+" https://"+addr+"/" {
		t.Errorf("how to fetch: %q", line)
	}
	line := s.line()
	for _, part := range []string{"chromium ", "--ignore-certificate-errors-spki-list=" + hash, "--origin-to-force-quic-on=" + addr, " https://" + addr + "/"} {
		if !strings.Contains(line, part) {
			t.Errorf("how to browse: %q lacks %q", line, part)
		}
	}
	s.end()
	if s.stderr.String() == "" || !strings.Contains(s.stderr.String(), "draining") {
		t.Errorf("stderr: %q", s.stderr.String())
	}
}

func TestServerPortFlag(t *testing.T) {
	s := start(t, "pquic-server", "--port", "0", "--www", t.TempDir())
	if line := s.line(); !strings.HasPrefix(line, "listening on [::]:") && !strings.HasPrefix(line, "listening on 0.0.0.0:") {
		t.Errorf("--port alone means all addresses, got %q", line)
	}
	s.end()
	s = start(t, "pquic-server", "--port", "0", "--listen", "127.0.0.1:0", "--www", t.TempDir())
	if line := s.line(); !strings.HasPrefix(line, "listening on 127.0.0.1:") {
		t.Errorf("--port with --listen means that address, got %q", line)
	}
	s.end()
}

// pinned returns an HTTP/3 client that trusts a server.
func pinned(t *testing.T, s *site) *http3.Transport {
	t.Helper()
	tr := &http3.Transport{TLSClientConfig: pinnedTLS(t, s.pin)}
	t.Cleanup(func() { tr.Close() })
	return tr
}

func pinnedTLS(t *testing.T, pin string) *tls.Config {
	t.Helper()
	cfg := new(tls.Config)
	if err := hoststack.PinSPKI(cfg, pin); err != nil {
		t.Fatal(err)
	}
	return cfg
}

// A response that is under way when SIGTERM comes arrives as a whole.
func TestServerDrains(t *testing.T) {
	s := serve(t)
	content := randomBytes(20 << 20)
	s.put("big", content)
	tr := pinned(t, s)
	resp, err := (&http.Client{Transport: tr}).Get(s.url("big"))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	head := make([]byte, 1000)
	if _, err := io.ReadFull(resp.Body, head); err != nil {
		t.Fatal(err)
	}
	s.signal(syscall.SIGTERM)
	s.waitLog("msg=draining")
	rest, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("after %d bytes: %v", len(head)+len(rest), err)
	}
	if !bytes.Equal(append(head, rest...), content) {
		t.Error("the content is wrong")
	}
	if code := s.wait(); code != 0 {
		t.Errorf("the server exits with %d: %s", code, s.stderr.String())
	}
}

// A second signal does not wait for a client that reads nothing.
func TestServerSecondSignal(t *testing.T) {
	s := serve(t)
	s.put("big", randomBytes(50<<20))
	resp, err := (&http.Client{Transport: pinned(t, s)}).Get(s.url("big"))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	s.signal(syscall.SIGTERM)
	s.waitLog("msg=draining")
	s.signal(syscall.SIGINT)
	if code := s.wait(); code != 0 {
		t.Errorf("the server exits with %d: %s", code, s.stderr.String())
	}
}

func get(t *testing.T, c *http.Client, url string) (*http.Response, string) {
	t.Helper()
	resp, err := c.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(body)
}

func TestServerMetrics(t *testing.T) {
	s := serve(t, "--metrics", "127.0.0.1:0")
	m := regexp.MustCompile(`(?m)^metrics on http://(\S+)/metrics, status page on http://(\S+)/$`).FindStringSubmatch(s.output())
	if m == nil {
		t.Fatalf("where are the metrics? %s", s.output())
	}
	base := m[1]
	s.put("file", []byte("hello"))
	get(t, &http.Client{Transport: pinned(t, s)}, s.url("file"))
	s.waitLog("path=/file")
	_, text := get(t, http.DefaultClient, "http://"+base+"/metrics")
	for _, want := range []string{
		"# TYPE pquic_handshakes_total counter\npquic_handshakes_total 1\n",
		`pquic_server_requests_total{proto="HTTP/3.0",status="200"} 1`,
		"pquic_server_response_bytes_total 5\n",
		`pquic_server_connections_total{alpn="h3"} 1`,
		"process_cpu_seconds_total ",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the metrics lack %q:\n%s", want, text)
		}
	}
	checkPrometheus(t, text)
	if resp, text := get(t, http.DefaultClient, "http://"+base+"/"); resp.StatusCode != 200 || !strings.Contains(text, "<td>HTTP/3.0, status 200</td><td>1</td>") || !strings.Contains(text, `<span class="state serving">`) {
		t.Errorf("status page: %s\n%s", resp.Status, text)
	}
	if resp, text := get(t, http.DefaultClient, "http://"+base+"/healthz"); resp.StatusCode != 200 || text != "ok\n" {
		t.Errorf("health: %s %q", resp.Status, text)
	}
	s.end()
}

// checkPrometheus checks the text format: every line is a comment or a name,
// perhaps labels, and a number, and every name was declared.
func checkPrometheus(t *testing.T, text string) {
	t.Helper()
	declared := make(map[string]bool)
	in := bufio.NewScanner(strings.NewReader(text))
	for in.Scan() {
		line := in.Text()
		if rest, ok := strings.CutPrefix(line, "# TYPE "); ok {
			name, _, _ := strings.Cut(rest, " ")
			if declared[name] {
				t.Errorf("%s is declared twice", name)
			}
			declared[name] = true
			continue
		}
		if strings.HasPrefix(line, "# HELP ") {
			continue
		}
		name, rest, _ := strings.Cut(line, " ")
		name, _, labelled := strings.Cut(name, "{")
		for _, part := range []string{"_bucket", "_sum", "_count"} { // of a histogram or summary
			if whole, ok := strings.CutSuffix(name, part); ok && declared[whole] {
				name = whole
			}
		}
		if labelled {
			rest = line[strings.LastIndex(line, " ")+1:]
		}
		var v float64
		if _, err := fmt.Sscanf(rest, "%g", &v); err != nil || !declared[name] {
			t.Errorf("bad line %q", line)
		}
	}
}

// Over TCP there are the same files and a hint to HTTP/3.
func TestServerTCP(t *testing.T) {
	s := serve(t, "--tcp")
	s.put("file", []byte("hello"))
	_, port, _ := strings.Cut(s.addr, ":")
	for _, http2 := range []bool{false, true} {
		tr := &http.Transport{TLSClientConfig: pinnedTLS(t, s.pin), ForceAttemptHTTP2: http2}
		defer tr.CloseIdleConnections()
		resp, body := get(t, &http.Client{Transport: tr}, s.url("file"))
		if body != "hello" || resp.ProtoMajor == 2 != http2 {
			t.Errorf("HTTP/2 %v: %s %q", http2, resp.Proto, body)
		}
		if got, want := resp.Header.Get("Alt-Svc"), `h3=":`+port+`"`; !strings.HasPrefix(got, want) {
			t.Errorf("Alt-Svc: %q, want %s", got, want)
		}
	}
	s.end()
}

func TestServerServesFilesOnly(t *testing.T) {
	s := serve(t)
	s.put("file", []byte("0123456789"))
	outside := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(outside, []byte("secret"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, filepath.Join(s.dir, "link")); err != nil {
		t.Fatal(err)
	}
	c := &http.Client{Transport: pinned(t, s)}
	for _, x := range []struct {
		method, path, header string
		status               int
		body                 string
	}{
		{"GET", "file", "", 200, "0123456789"},
		{"GET", "file", "bytes=3-4", 206, "34"},
		{"HEAD", "file", "", 200, ""},
		{"GET", "missing", "", 404, ""},
		{"GET", "link", "", 404, ""},
		{"GET", "../../etc/passwd", "", 404, ""},
		{"POST", "file", "", 405, ""},
		{"GET", "", "", 200, ""},
	} {
		req, err := http.NewRequestWithContext(t.Context(), x.method, s.url(x.path), nil)
		if err != nil {
			t.Fatal(err)
		}
		if x.header != "" {
			req.Header.Set("Range", x.header)
		}
		resp, err := c.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(body, []byte("secret")) {
			t.Errorf("%s %s: got outside", x.method, x.path)
		}
		if resp.StatusCode != x.status && !(x.path == "link" && resp.StatusCode >= 400) || x.body != "" && string(body) != x.body {
			t.Errorf("%s %s: %s %q, want %d %q", x.method, x.path, resp.Status, body, x.status, x.body)
		}
		if x.status == 200 && x.path == "file" && resp.Header.Get("ETag") == "" {
			t.Errorf("%s %s: no ETag", x.method, x.path)
		}
	}
	s.end()
}

// writeCert writes a certificate and its key and returns the key's hash.
func writeCert(t *testing.T, certFile, keyFile string) string {
	t.Helper()
	c, err := hoststack.SelfSigned(nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	key, err := x509.MarshalECPrivateKey(c.PrivateKey.(*ecdsa.PrivateKey))
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{certFile: {Type: "CERTIFICATE", Bytes: c.Certificate[0]}, keyFile: {Type: "EC PRIVATE KEY", Bytes: key}} {
		if err := os.WriteFile(name, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return hoststack.SPKIHash(c.Leaf)
}

func TestServerRereadsCertificates(t *testing.T) {
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "fullchain.pem"), filepath.Join(dir, "privkey.pem")
	pin := writeCert(t, cert, key)
	for _, flags := range [][]string{{"--cert", cert, "--key", key}, {"--certpath", dir}} {
		s := serve(t, flags...)
		s.put("file", []byte("hello"))
		out := t.TempDir()
		run(t, "pquic-client", "--pin", pin, "--output", out, s.url("file")).wantSuccess(t)
		run(t, "pquic-client", "--ca", cert, "--output", out, s.url("file")).wantSuccess(t)
		pin = writeCert(t, cert, key)
		s.signal(syscall.SIGHUP)
		s.waitLog("certificates reread")
		run(t, "pquic-client", "--pin", pin, "--output", out, s.url("file")).wantSuccess(t)
		s.end()
	}
}

func TestServerWantsClientCertificate(t *testing.T) {
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	writeClientCert(t, cert, key)
	s := serve(t, "--client-ca", cert)
	s.put("file", []byte("hello"))
	out := t.TempDir()
	run(t, "pquic-client", "--pin", s.pin, "--output", out, "--cert", cert, "--key", key, s.url("file")).wantSuccess(t)
	r := run(t, "pquic-client", "--pin", s.pin, "--output", out, s.url("file"))
	r.wantFailure(t, 4, "the server wants a client certificate: give --cert and --key")
	s.end()
}

func TestServerRetries(t *testing.T) {
	qlog := t.TempDir()
	s := serve(t, "--retry")
	s.put("file", []byte("hello"))
	run(t, "pquic-client", "--pin", s.pin, "--output", t.TempDir(), "--qlog", qlog, s.url("file")).wantSuccess(t)
	if !strings.Contains(readOnly(t, qlog, "*_client.sqlog"), `"packet_type":"retry"`) {
		t.Error("the client's trace has no Retry packet")
	}
	s.end()
}

// readOnly reads the only file that matches a pattern.
func readOnly(t *testing.T, dir, pattern string) string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, pattern))
	if err != nil || len(names) != 1 {
		t.Fatalf("%s in %s: %q, %v", pattern, dir, names, err)
	}
	data, err := os.ReadFile(names[0])
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestLogs(t *testing.T) {
	dir := t.TempDir()
	qlog, keys := filepath.Join(dir, "new", "qlog"), filepath.Join(dir, "keys")
	s := serve(t, "--qlog", qlog, "SSLKEYLOGFILE="+keys)
	s.put("file", []byte("hello"))
	run(t, "pquic-client", "--pin", s.pin, "--output", dir, "QLOGDIR="+qlog, "--keylog", keys, s.url("file")).wantSuccess(t)
	s.end()
	for _, side := range []string{"server", "client"} {
		text := readOnly(t, qlog, "*_"+side+".sqlog")
		records := 0
		for record := range strings.SplitSeq(strings.TrimPrefix(text, "\x1e"), "\x1e") {
			if records++; !json.Valid([]byte(record)) {
				t.Errorf("%s: record %d is no JSON: %q", side, records, record)
			}
		}
		if records < 10 || !strings.Contains(text, "connection_closed") {
			t.Errorf("%s: %d records, and was the end logged?", side, records)
		}
	}
	data, err := os.ReadFile(keys)
	if err != nil || strings.Count(string(data), "CLIENT_TRAFFIC_SECRET_0 ") != 2 {
		t.Errorf("key log: %v\n%s", err, data)
	}
	info, err := os.Stat(keys)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode of the key log: %v, %v", info.Mode(), err)
	}
}

// A server that cannot write its traces goes on serving.
func TestQlogDiskGone(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "qlog")
	s := serve(t, "--qlog", dir)
	s.put("file", []byte("hello"))
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	run(t, "pquic-client", "--pin", s.pin, "--output", t.TempDir(), s.url("file")).wantSuccess(t)
	s.waitLog("a trace is incomplete")
	s.end()
}

func TestServerSettings(t *testing.T) {
	for _, flags := range [][]string{
		{"--cc", "newreno", "--stream-scheduler", "prio", "--initial-window", "32", "--flow-control", "32KiB"},
		{"--cc", "bbr", "--stream-scheduler", "sprio", "--max-udp-payload", "1200", "--workers", "1"},
		{"PQUIC_CC=bbr", "-c", "4", "-f", "4KiB", "-ssc", "rr", "--workers", "3"},
	} {
		s := serve(t, flags...)
		content := randomBytes(3 << 20)
		s.put("file", content)
		out := t.TempDir()
		run(t, "pquic-client", "--pin", s.pin, "--output", out, "--flow-control", "64KiB", "--cc", "newreno", s.url("file")).wantSuccess(t)
		if got, _ := os.ReadFile(filepath.Join(out, "file")); !bytes.Equal(got, content) {
			t.Errorf("%q: wrong content", flags)
		}
		s.end()
	}
}
