package cmdtest

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptrace"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// events returns the data of a trace's events of a name.
func events(t *testing.T, trace, name string) []map[string]any {
	t.Helper()
	var all []map[string]any
	for record := range strings.SplitSeq(strings.TrimPrefix(trace, "\x1e"), "\x1e") {
		var e struct {
			Name string
			Data map[string]any
		}
		if err := json.Unmarshal([]byte(record), &e); err != nil {
			t.Fatalf("%v in %q", err, record)
		}
		if e.Name == name {
			all = append(all, e.Data)
		}
	}
	return all
}

// parameters returns the transport parameters that a trace's endpoint sent.
func parameters(t *testing.T, trace string) map[string]any {
	t.Helper()
	for _, p := range events(t, trace, "quic:parameters_set") {
		if p["initiator"] == "local" {
			return p
		}
	}
	t.Fatal("no transport parameters in the trace")
	return nil
}

// The flags about QUIC show in what the programs send.
func TestFlagsReachTheWire(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	serverLogs, clientLogs := filepath.Join(dir, "server"), filepath.Join(dir, "client")
	s := serve(t, "--qlog", serverLogs, "--cc", "newreno", "--initial-window", "32", "--flow-control", "32KiB", "--max-udp-payload", "1300",
		"--idle-timeout", "7s", "--max-streams", "17", "--workers", "3")
	s.put("file", randomBytes(100_000))
	run(t, "pquic-client", "--pin", s.pin, "--output", dir, "--qlog", clientLogs, "--flow-control", "64KiB", "--idle-timeout", "9s", s.url("file")).wantSuccess(t)
	s.end()
	trace := readOnly(t, serverLogs, "*_server.sqlog")
	want := map[string]float64{
		"initial_max_stream_data_bidi_remote": 32 << 10, "initial_max_data": 48 << 10, "max_udp_payload_size": 1300, "max_idle_timeout": 7000, "initial_max_streams_bidi": 17,
	}
	for name, v := range want {
		if got := parameters(t, trace)[name]; got != v {
			t.Errorf("server: %s is %v, want %v", name, got, v)
		}
	}
	metrics := events(t, trace, "quic:recovery_metrics_updated")
	if len(metrics) == 0 || metrics[0]["congestion_window"] != 32*1200. {
		t.Errorf("the first congestion window is %v, want 32 packets of 1200 bytes", metrics[:min(len(metrics), 1)])
	}
	for _, p := range events(t, trace, "quic:packet_sent") {
		raw, _ := p["raw"].(map[string]any)
		if n, _ := raw["length"].(float64); n > 1300 {
			t.Errorf("a packet of %v bytes", n)
		}
	}
	if !strings.Contains(s.stderr.String(), "workers=3") {
		t.Error("there are not 3 workers")
	}
	trace = readOnly(t, clientLogs, "*_client.sqlog")
	for name, v := range map[string]float64{"initial_max_stream_data_bidi_local": 64 << 10, "max_idle_timeout": 9000} {
		if got := parameters(t, trace)[name]; got != v {
			t.Errorf("client: %s is %v, want %v", name, got, v)
		}
	}
}

// What qvis reads is the older names.
func TestQlogNames(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := serve(t)
	s.put("file", []byte("hello"))
	run(t, "pquic-client", "--pin", s.pin, "--output", dir, "--qlog", dir, "--qlog-names", "qvis", s.url("file")).wantSuccess(t)
	if trace := readOnly(t, dir, "*_client.sqlog"); len(events(t, trace, "transport:packet_sent")) == 0 {
		t.Errorf("no event has a name that qvis knows: %.500s", trace)
	}
	s.end()
}

// Beyond its limits a server refuses, and says so to operators.
func TestServerLimits(t *testing.T) {
	t.Parallel()
	s := serve(t, "--max-connections", "1", "--metrics", "127.0.0.1:0")
	s.put("file", []byte("hello"))
	resp, _ := get(t, &http.Client{Transport: pinned(t, s)}, s.url("file")) // keeps its connection
	if resp.StatusCode != http.StatusOK {
		t.Fatal(resp.Status)
	}
	run(t, "pquic-client", "--pin", s.pin, "--output", t.TempDir(), s.url("file")).wantFailure(t, 3, "the server refuses connections")
	s.signal(syscall.SIGTERM)
	if code := s.wait(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	s = serve(t, "--handshakes-per-address", "1")
	s.put("file", []byte("hello"))
	refused := 0
	for range 6 {
		if r := run(t, "pquic-client", "--pin", s.pin, "--output", t.TempDir(), s.url("file")); r.code == 3 && strings.Contains(r.stderr, "the server refuses connections") {
			refused++
		} else if r.code != 0 {
			t.Errorf("exit code %d: %s", r.code, r.stderr)
		}
	}
	if refused == 0 || refused == 6 {
		t.Errorf("%d of 6 handshakes were refused, want some", refused)
	}
}

func TestServerWithoutEarlyData(t *testing.T) {
	t.Parallel()
	s := serve(t, "--no-0rtt")
	s.put("file", []byte("hello"))
	dir := t.TempDir()
	for visit := range 2 {
		r := run(t, "pquic-client", "--pin", s.pin, "--output", dir, "--json", "--0rtt", "--resume", filepath.Join(dir, "sessions"), s.url("file"))
		r.wantSuccess(t)
		if o := r.outcome(t); o.SessionResumed != (visit == 1) || o.EarlyData != "none" {
			t.Errorf("visit %d: %+v", visit+1, o)
		}
	}
	s.end()
}

// A request that does not end is given --drain, and the exit code is still 0.
func TestServerDrainEnds(t *testing.T) {
	t.Parallel()
	s := serve(t, "--drain", "300ms")
	s.put("big", randomBytes(50<<20))
	resp, err := (&http.Client{Transport: pinned(t, s)}).Get(s.url("big"))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	s.signal(syscall.SIGTERM)
	if code := s.wait(); code != 0 || !strings.Contains(s.stderr.String(), "some requests were not answered to their end") {
		t.Errorf("exit code %d: %s", code, s.stderr.String())
	}
}

// While it drains, a server tells load balancers, takes nobody new, and those
// it has by GOAWAY.
func TestServerTellsItDrains(t *testing.T) {
	t.Parallel()
	s := serve(t, "--metrics", "127.0.0.1:0")
	base := "http://" + strings.TrimSuffix(strings.Fields(s.output()[strings.Index(s.output(), "metrics on http://")+len("metrics on http://"):])[0], "/metrics,")
	s.put("big", randomBytes(50<<20))
	resp, err := (&http.Client{Transport: pinned(t, s)}).Get(s.url("big"))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	s.signal(syscall.SIGTERM)
	s.waitLog("msg=draining")
	r := run(t, "pquic-client", "--pin", s.pin, "--output", t.TempDir(), s.url("big"))
	r.wantFailure(t, 3, "the server refuses connections")
	if resp, text := get(t, http.DefaultClient, base+"/healthz"); resp.StatusCode != http.StatusServiceUnavailable || text != "draining\n" {
		t.Errorf("health: %s %q", resp.Status, text)
	}
	if n, err := io.Copy(io.Discard, resp.Body); n != 50<<20 || err != nil {
		t.Errorf("the response under way: %d bytes, %v", n, err)
	}
	if code := s.wait(); code != 0 {
		t.Errorf("exit code %d: %s", code, s.stderr.String())
	}
}

// Over --tcp the browser is told of HTTP/3 on a connection it may keep.
func TestServerTCPKeepsConnections(t *testing.T) {
	t.Parallel()
	s := serve(t, "--tcp")
	s.put("file", []byte("hello"))
	tr := &http.Transport{TLSClientConfig: pinnedTLS(t, s.pin)}
	defer tr.CloseIdleConnections()
	c := &http.Client{Transport: tr}
	for i := range 2 {
		reused := false
		ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{GotConn: func(g httptrace.GotConnInfo) { reused = g.Reused }})
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url("file"), nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := c.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || !bytes.Equal(body, []byte("hello")) || reused != (i == 1) {
			t.Errorf("request %d: %q, %v, connection used again: %v", i+1, body, err, reused)
		}
	}
	s.end()
}

// Nothing of a download that is killed stands under the final name, and the
// same command goes on where it was.
func TestKilledDownload(t *testing.T) {
	t.Parallel()
	s := slowServe(t, `"v1"`, true, false)
	out := t.TempDir()
	args := []string{"--pin", s.pin, "--output", out, "--json", s.url()}
	p := start(t, "pquic-client", args...)
	<-s.held
	p.signal(syscall.SIGKILL)
	p.wait()
	if _, err := os.Stat(filepath.Join(out, "file")); err == nil {
		t.Fatal("there is a file under the final name")
	}
	run(t, "pquic-client", args...).wantSuccess(t)
	wantContent(t, filepath.Join(out, "file"), s.content)
	wantFiles(t, out, "file")
}

// --fresh begins anew, and so does a file that has changed on the server.
func TestPartsThatDoNotFit(t *testing.T) {
	t.Parallel()
	for _, flags := range [][]string{{"--fresh"}, nil} {
		s := slowServe(t, `"v1"`, true, true)
		out := t.TempDir()
		args := append([]string{"--pin", s.pin, "--output", out, "--json", s.url()}, flags...)
		if r := run(t, "pquic-client", args...); r.code != 3 {
			t.Fatalf("exit code %d: %s", r.code, r.stderr)
		}
		wantFiles(t, out, "file.part", "file.part.json")
		if flags == nil {
			s.change(`"v2"`)
		}
		r := run(t, "pquic-client", args...)
		r.wantSuccess(t)
		if o := r.outcome(t); o.ResumedFrom != 0 || o.Bytes != int64(len(s.content)) || o.Status != 200 {
			t.Errorf("%q: %+v", flags, o)
		}
		wantContent(t, filepath.Join(out, "file"), s.content)
		wantFiles(t, out, "file")
	}
}

// Fields of --header arrive; passwords in URLs are sent and not printed.
func TestRequestHeader(t *testing.T) {
	t.Parallel()
	s := slowServe(t, "", false, false)
	r := run(t, "pquic-client", "--pin", s.pin, "--output", t.TempDir(), "--header", "X-One: 1", "-H", "X-Two:2", strings.Replace(s.url(), "https://", "https://me:secret@", 1))
	r.wantSuccess(t)
	h := s.header()
	if user, password, ok := (&http.Request{Header: h}).BasicAuth(); h.Get("X-One") != "1" || h.Get("X-Two") != "2" || !ok || user != "me" || password != "secret" {
		t.Errorf("the server got %v", h)
	}
	if strings.Contains(r.stdout, "secret") {
		t.Errorf("the password is printed: %s", r.stdout)
	}
}

func TestAddressFamilies(t *testing.T) {
	t.Parallel()
	s := start(t, "pquic-server", "--listen", "[::1]:0", "--www", t.TempDir())
	addr := s.find(`^listening on (\[::1\]:\d+)$`)
	pin := s.find(`SPKI hash (\S+)$`)
	run(t, "pquic-client", "--pin", pin, "--output", "-", "--ipv6", "https://"+addr+"/").wantSuccess(t)
	run(t, "pquic-client", "--pin", pin, "--output", "-", "--ipv4", "https://"+addr+"/").wantFailure(t, 3, "no address of "+addr)
	s.end()
}

// A client is patient for --connect-timeout and --max-time, and no longer.
func TestPatience(t *testing.T) {
	t.Parallel()
	s := slowServe(t, `"v1"`, true, false)
	out := t.TempDir()
	r := run(t, "pquic-client", "--pin", s.pin, "--output", out, "--max-time", "700ms", s.url())
	if r.code != 3 || !strings.Contains(r.stderr, "not complete within --max-time "+(700*time.Millisecond).String()) {
		t.Errorf("exit code %d: %s", r.code, r.stderr)
	}
	if _, err := os.Stat(filepath.Join(out, "file")); err == nil {
		t.Error("there is a file under the final name")
	}
}
