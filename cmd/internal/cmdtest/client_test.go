package cmdtest

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/pquic-go/pquic/hoststack"
	"github.com/pquic-go/pquic/hoststack/http3"
)

// outcome is a line of pquic-client --json.
type outcome struct {
	URL            string
	File           string
	Status         int
	Bytes          int64
	ResumedFrom    int64 `json:"resumed_from"`
	Seconds        float64
	GoodputMbps    float64 `json:"goodput_mbps"`
	SHA256         string
	Part           string
	Error          string
	Protocol       string
	QUICVersion    string `json:"quic_version"`
	TLSCipher      string `json:"tls_cipher"`
	SessionResumed bool   `json:"session_resumed"`
	EarlyData      string `json:"early_data"`
}

func (r result) outcomes(t *testing.T) []outcome {
	t.Helper()
	var all []outcome
	for line := range strings.Lines(r.stdout) {
		var o outcome
		if err := json.Unmarshal([]byte(line), &o); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		all = append(all, o)
	}
	return all
}

func (r result) outcome(t *testing.T) outcome {
	t.Helper()
	all := r.outcomes(t)
	if len(all) != 1 {
		t.Fatalf("%d JSON objects, want 1: %q, stderr %q", len(all), r.stdout, r.stderr)
	}
	return all[0]
}

// wantFiles checks what is in a directory.
func wantFiles(t *testing.T, dir string, names ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		got = append(got, e.Name())
	}
	if !slices.Equal(got, names) {
		t.Errorf("files %q, want %q", got, names)
	}
}

func wantContent(t *testing.T, file string, want []byte) {
	t.Helper()
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s has %d bytes, not the %d that were served", file, len(got), len(want))
	}
}

func TestFetch100MB(t *testing.T) {
	size := 100_000_000
	if testing.Short() || raceEnabled {
		size = 10_000_000
	}
	s := serve(t)
	content := randomBytes(size)
	s.put("big.bin", content)
	out := t.TempDir()
	r := run(t, "pquic-client", "--pin", s.pin, "--output", out, "--json", "--sha256", s.url("big.bin"))
	r.wantSuccess(t)
	sum := sha256.Sum256(content)
	o := r.outcome(t)
	if o.SHA256 != hex.EncodeToString(sum[:]) || o.Bytes != int64(size) || o.Status != 200 || o.Protocol != "HTTP/3.0" || o.QUICVersion != "1" ||
		o.File != filepath.Join(out, "big.bin") || o.GoodputMbps <= 0 || o.TLSCipher == "" || o.EarlyData != "none" {
		t.Errorf("reported %+v", o)
	}
	wantContent(t, o.File, content)
	wantFiles(t, out, "big.bin")
	s.end()
}

func TestFetch1000SmallFiles(t *testing.T) {
	s := serve(t)
	var args []string
	for i := range 1000 {
		name := fmt.Sprintf("f%04d", i)
		s.put(name, bytes.Repeat([]byte(name), i%50))
		args = append(args, s.url(name))
	}
	for _, alpn := range []string{"h3", "hq-interop"} {
		out := t.TempDir()
		r := run(t, "pquic-client", append([]string{"--pin", s.pin, "--output", out, "--parallel", "64", "--alpn", alpn}, args...)...)
		r.wantSuccess(t)
		if n := strings.Count(r.stdout, "\n"); n != len(args) {
			t.Errorf("%s: %d lines, want one for each of %d URLs", alpn, n, len(args))
		}
		for i := range 1000 {
			name := fmt.Sprintf("f%04d", i)
			wantContent(t, filepath.Join(out, name), bytes.Repeat([]byte(name), i%50))
		}
	}
	// All over one connection.
	if n := strings.Count(s.stderr.String(), "msg=connection remote"); n != 2 {
		t.Errorf("%d connections, want 2", n)
	}
	s.end()
}

func TestSummaryLine(t *testing.T) {
	t.Parallel()
	s := serve(t)
	s.put("file", []byte("hello"))
	out := t.TempDir()
	// Flags may follow the URL, and come from the environment.
	r := run(t, "pquic-client", s.url("file"), "--output", out, "PQUIC_PIN="+s.pin, "PQUIC_SHA256=true")
	r.wantSuccess(t)
	want := regexp.MustCompile(`^https://\S+/file -> \S+/file: 5 B in \d+\.\d{3} s, \S+ \S*bit/s; HTTP/3\.0, QUIC v1, TLS_\S+, \S+, RTT \d+\.\d\d ms; ` +
		`sha256 2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824\n$`)
	if !want.MatchString(r.stdout) {
		t.Errorf("summary %q, want %s", r.stdout, want)
	}
	if r := run(t, "pquic-client", "--quiet", "--pin", s.pin, "--output", out, s.url("file")); r.stdout != "" || r.code != 0 {
		t.Errorf("--quiet: %+v", r)
	}
	if r := run(t, "pquic-client", "--pin", s.pin, "--output", "-", s.url("file")); r.stdout != "hello" || r.code != 0 {
		t.Errorf("--output -: %+v", r)
	}
	if r := run(t, "pquic-client", "--insecure", "--alpn", "hq-interop", "--output", "-", s.url("file"), s.url("file?again")); r.stdout != "hellohello" || r.code != 0 {
		t.Errorf("--output - by HTTP/0.9: %+v", r)
	}
	s.end()
}

func TestDelayBetweenRequests(t *testing.T) {
	t.Parallel()
	s := serve(t)
	s.put("a", []byte("a"))
	s.put("b", []byte("b"))
	begin := time.Now()
	run(t, "pquic-client", "--pin", s.pin, "--output", t.TempDir(), "--delay-request", "150ms", s.url("a"), s.url("b")).wantSuccess(t)
	if took := time.Since(begin); took < 150*time.Millisecond {
		t.Errorf("took %v", took)
	}
	s.end()
}

func TestUntrustedServers(t *testing.T) {
	t.Parallel()
	s := serve(t)
	s.put("file", []byte("hello"))
	out := t.TempDir()
	run(t, "pquic-client", "--output", out, s.url("file")).wantFailure(t, 4, "trust it by --pin ")
	run(t, "pquic-client", "--pin", pinExample, "--output", out, s.url("file")).wantFailure(t, 4, ": it is "+s.pin)
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	writeCert(t, cert, key)
	run(t, "pquic-client", "--ca", cert, "--output", out, s.url("file")).wantFailure(t, 4, "if it is the right ")
	wantFiles(t, out)
	run(t, "pquic-client", "--insecure", "--output", out, s.url("file")).wantSuccess(t)
	wantFiles(t, out, "file")
	s.end()
}

func TestDeadServer(t *testing.T) {
	t.Parallel()
	silent, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	out := t.TempDir()
	u := "https://" + silent.LocalAddr().String()
	r := run(t, "pquic-client", "--connect-timeout", "300ms", "--output", out, u+"/file")
	r.wantFailure(t, 3, "no answer from UDP "+silent.LocalAddr().String()+" within 300ms")
	// Many URLs of a dead server are told once.
	r = run(t, "pquic-client", "--connect-timeout", "300ms", "--output", out, u+"/a", u+"/b", u+"/c", u+"/d")
	if r.code != 3 || strings.Count(r.stderr, "no answer") != 1 || !strings.Contains(r.stderr, "4 of 4 URLs failed") {
		t.Errorf("code %d, stderr %q", r.code, r.stderr)
	}
	run(t, "pquic-client", "--max-time", "200ms", "--output", out, u+"/file").wantFailure(t, 3, "not complete within --max-time 200ms")
	wantFiles(t, out)
}

func TestWrongProtocol(t *testing.T) {
	t.Parallel()
	s := serve(t, "--alpn", "perf")
	run(t, "pquic-client", "--pin", s.pin, "--output", t.TempDir(), s.url("file")).wantFailure(t, 3, "the server does not speak h3: try another --alpn")
	s.end()
}

func TestErrorStatus(t *testing.T) {
	t.Parallel()
	s := serve(t)
	s.put("there", []byte("hello"))
	out := t.TempDir()
	run(t, "pquic-client", "--pin", s.pin, "--output", out, s.url("missing")).wantFailure(t, 5, "/missing: the server answered 404 Not Found")
	run(t, "pquic-client", "--pin", s.pin, "--output", out, "--alpn", "hq-interop", s.url("missing")).wantFailure(t, 5, "the server has no such file")
	wantFiles(t, out)
	r := run(t, "pquic-client", "--pin", s.pin, "--output", out, "--json", s.url("missing"), s.url("there"))
	if r.code != 5 || !strings.Contains(r.stderr, "1 of 2 URLs failed") {
		t.Errorf("code %d, stderr %q", r.code, r.stderr)
	}
	for _, o := range r.outcomes(t) {
		if failed := strings.HasSuffix(o.URL, "missing"); failed != (o.Error != "") || failed != (o.Status == 404) {
			t.Errorf("reported %+v", o)
		}
	}
	wantFiles(t, out, "there")
	s.end()
}

// A slowSite is a server in the test, which holds a response back.
type slowSite struct {
	addr, pin string
	content   []byte
	etag      string
	hold      bool          // the first response stops in the middle
	held      chan struct{} // closed when it does
	abort     bool          // and breaks instead

	mu     sync.Mutex
	ranges []string
	fields http.Header // of the last request
}

// change makes it another file.
func (s *slowSite) change(etag string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.etag = etag
}

// header returns the fields of the last request.
func (s *slowSite) header() http.Header {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.fields
}

func slowServe(t *testing.T, etag string, hold, abort bool) *slowSite {
	t.Helper()
	cert, err := hoststack.SelfSigned(nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	s := &slowSite{content: randomBytes(4 << 20), etag: etag, hold: hold, abort: abort, held: make(chan struct{}), pin: hoststack.SPKIHash(cert.Leaf)}
	l, err := hoststack.Listen(t.Context(), "udp", "127.0.0.1:0", &hoststack.Config{
		TLS: &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{http3.NextProtoH3}}, Workers: 1,
	})
	if err != nil {
		t.Fatal(err)
	}
	s.addr = l.Addr().String()
	server := &http3.Server{Handler: s, Logger: slog.New(slog.DiscardHandler)}
	go func() { _ = server.Serve(http3.NewListener(l)) }()
	t.Cleanup(func() {
		server.Close()
		l.Close()
	})
	return s
}

func (s *slowSite) url() string { return "https://" + s.addr + "/file" }

func (s *slowSite) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.ranges = append(s.ranges, r.Header.Get("Range"))
	s.fields = r.Header.Clone()
	hold, etag := s.hold, s.etag
	s.hold = false
	s.mu.Unlock()
	if etag != "" {
		w.Header().Set("ETag", etag)
	}
	if !hold {
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(s.content))
		return
	}
	w.Header().Set("Content-Length", fmt.Sprint(len(s.content)))
	// More than the client's window: when it is written, the client has read some.
	_, _ = w.Write(s.content[:2<<20])
	_ = http.NewResponseController(w).Flush()
	if s.abort {
		panic(http.ErrAbortHandler)
	}
	close(s.held)
	<-r.Context().Done()
}

// Ctrl-C leaves what the same command goes on with, under another name.
func TestInterruptAndResume(t *testing.T) {
	t.Parallel()
	s := slowServe(t, `"v1"`, true, false)
	out := t.TempDir()
	args := []string{"--pin", s.pin, "--output", out, "--json", "--flow-control", "64KiB", s.url()}
	p := start(t, "pquic-client", args...)
	<-s.held
	p.signal(syscall.SIGINT)
	if code := p.wait(); code != 130 {
		t.Errorf("exit code %d, want 130", code)
	}
	if want := "pquic-client: interrupted; the same command goes on with what is in " + out + "/file.part\n"; p.stderr.String() != want {
		t.Errorf("stderr %q, want %q", p.stderr.String(), want)
	}
	wantFiles(t, out, "file.part", "file.part.json")
	info, err := os.Stat(filepath.Join(out, "file.part"))
	if err != nil || info.Size() == 0 {
		t.Fatalf("the part: %v, %v", info, err)
	}
	o := result{stdout: p.output()}.outcome(t)
	if o.Error != "interrupted" || o.Part != filepath.Join(out, "file.part") {
		t.Errorf("reported %+v", o)
	}
	r := run(t, "pquic-client", args...)
	r.wantSuccess(t)
	if o := r.outcome(t); o.ResumedFrom != info.Size() || o.Bytes != int64(len(s.content))-info.Size() || o.Status != 206 {
		t.Errorf("resumed: %+v, want from %d", o, info.Size())
	}
	wantContent(t, filepath.Join(out, "file"), s.content)
	wantFiles(t, out, "file")
	if want := []string{"", fmt.Sprintf("bytes=%d-", info.Size())}; !slices.Equal(s.ranges, want) {
		t.Errorf("ranges %q, want %q", s.ranges, want)
	}
}

// If the server does not tell versions apart, nothing is left behind.
func TestInterruptWithoutETag(t *testing.T) {
	t.Parallel()
	s := slowServe(t, "", true, false)
	out := t.TempDir()
	p := start(t, "pquic-client", "--pin", s.pin, "--output", out, s.url())
	<-s.held
	p.signal(syscall.SIGTERM)
	if code := p.wait(); code != 130 || p.stderr.String() != "pquic-client: interrupted\n" {
		t.Errorf("exit code %d, stderr %q", code, p.stderr.String())
	}
	wantFiles(t, out)
}

// A response that the server breaks off is a failure that can be gone on with.
func TestBrokenResponse(t *testing.T) {
	t.Parallel()
	s := slowServe(t, `"v1"`, true, true)
	out := t.TempDir()
	r := run(t, "pquic-client", "--pin", s.pin, "--output", out, s.url())
	if r.code != 3 || !strings.Contains(r.stderr, "the server aborted the response") {
		t.Errorf("exit code %d, stderr %q", r.code, r.stderr)
	}
	if _, err := os.Stat(filepath.Join(out, "file")); err == nil {
		t.Error("there is a file under the final name")
	}
	run(t, "pquic-client", "--pin", s.pin, "--output", out, s.url()).wantSuccess(t)
	wantContent(t, filepath.Join(out, "file"), s.content)
	wantFiles(t, out, "file")
}

// A server that dies without a word is noticed by the idle timeout.
func TestServerDies(t *testing.T) {
	t.Parallel()
	s := serve(t)
	s.put("file", randomBytes(40<<20)) // more than all windows and buffers hold
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	cmd := command(t.Context(), "pquic-client", []string{"--pin", s.pin, "--output", "-", "--idle-timeout", "1s", s.url("file")})
	var stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = w, &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	if _, err := io.ReadFull(r, make([]byte, 1000)); err != nil {
		t.Fatal(err)
	}
	s.signal(syscall.SIGKILL)
	s.wait()
	if _, err := io.Copy(io.Discard, r); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // the exit code is looked at
	if code := cmd.ProcessState.ExitCode(); code != 3 || !strings.Contains(stderr.String(), "the connection broke: nothing came from the server for 1s") {
		t.Errorf("exit code %d, stderr %q", code, stderr.String())
	}
}

func TestSessions(t *testing.T) {
	t.Parallel()
	s := serve(t)
	s.put("file", []byte("hello"))
	dir := t.TempDir()
	sessions, out := filepath.Join(dir, "sessions"), filepath.Join(dir, "dl")
	args := []string{"--pin", s.pin, "--output", out, "--json", "--resume", sessions, s.url("file")}
	for i, want := range []outcome{{EarlyData: "none"}, {SessionResumed: true, EarlyData: "none"}, {SessionResumed: true, EarlyData: "accepted"}} {
		more := args
		if want.EarlyData != "none" {
			more = append([]string{"--0rtt"}, args...)
		}
		r := run(t, "pquic-client", more...)
		r.wantSuccess(t)
		if o := r.outcome(t); o.SessionResumed != want.SessionResumed || o.EarlyData != want.EarlyData {
			t.Errorf("visit %d: %+v", i+1, o)
		}
		wantContent(t, filepath.Join(out, "file"), []byte("hello"))
	}
	info, err := os.Stat(sessions)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file of sessions: %v, %v", info, err)
	}
	// HTTP/0.9 has sessions of its own.
	for i, resumed := range []bool{false, true} {
		r := run(t, "pquic-client", append([]string{"--alpn", "hq-interop"}, args...)...)
		r.wantSuccess(t)
		if o := r.outcome(t); o.SessionResumed != resumed {
			t.Errorf("visit %d by HTTP/0.9: %+v", i+1, o)
		}
	}
	s.end()
}

// A server that refuses early data gets it again.
func TestRejectedEarlyData(t *testing.T) {
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	pin := writeCert(t, cert, key)
	s := serve(t, "--cert", cert, "--key", key)
	s.put("file", []byte("hello"))
	args := []string{"--pin", pin, "--output", filepath.Join(dir, "dl"), "--json", "--resume", filepath.Join(dir, "sessions"), "--0rtt", s.url("file")}
	run(t, "pquic-client", args...).wantSuccess(t)
	addr := s.addr
	s.end()
	// The same server without its memory: its ticket keys are others.
	again := start(t, "pquic-server", "--listen", addr, "--www", s.dir, "--cert", cert, "--key", key)
	again.find(`^listening on (.*)$`)
	r := run(t, "pquic-client", args...)
	r.wantSuccess(t)
	if o := r.outcome(t); o.SessionResumed || o.EarlyData != "rejected" {
		t.Errorf("reported %+v", o)
	}
	again.end()
}

func TestTwoClientsOneFile(t *testing.T) {
	t.Parallel()
	s := slowServe(t, `"v1"`, true, false)
	out := t.TempDir()
	first := start(t, "pquic-client", "--pin", s.pin, "--output", out, s.url())
	<-s.held
	run(t, "pquic-client", "--pin", s.pin, "--output", out, s.url()).wantFailure(t, 6, "another program is writing it")
	first.signal(syscall.SIGINT)
	first.wait()
	run(t, "pquic-client", "--pin", s.pin, "--output", out, s.url()).wantSuccess(t)
	wantContent(t, filepath.Join(out, "file"), s.content)
}

func TestUnwritableFolder(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("root may write anywhere")
	}
	s := serve(t)
	s.put("file", []byte("hello"))
	out := t.TempDir()
	if err := os.Chmod(out, 0o500); err != nil {
		t.Fatal(err)
	}
	run(t, "pquic-client", "--pin", s.pin, "--output", out, s.url("file")).wantFailure(t, 6, "no permission to write")
	s.end()
}

// The readers of standard output may leave early.
func TestOutputToClosedPipe(t *testing.T) {
	t.Parallel()
	s := serve(t)
	s.put("file", randomBytes(1<<20))
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd := command(t.Context(), "pquic-client", []string{"--pin", s.pin, "--output", "-", s.url("file")})
	var stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = w, &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	r.Close()
	_ = cmd.Wait() // the exit code is looked at
	if code := cmd.ProcessState.ExitCode(); code != 6 || !strings.Contains(stderr.String(), "whoever read standard output has gone") {
		t.Errorf("exit code %d, stderr %q", code, stderr.String())
	}
	s.end()
}
