package cmdtest

import (
	"encoding/json"
	"encoding/xml"
	"io"
	"maps"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// perfServe starts pquic-perf server.
func perfServe(t *testing.T, args ...string) (p *process, addr, pin string) {
	t.Helper()
	p = start(t, "pquic-perf", append([]string{"server", "--listen", "127.0.0.1:0"}, args...)...)
	addr = p.find(`^listening on (127\.0\.0\.1:\d+)$`)
	return p, addr, p.find(`SPKI hash (\S{44})$`)
}

// The lines are those of secnetperf.
func TestPerfResultLines(t *testing.T) {
	t.Parallel()
	_, addr, pin := perfServe(t)
	rps := `(?m)^Result: \d+ RPS, Latency,us 0th: \d+, 50th: \d+, 90th: \d+, 99th: \d+, 99\.9th: \d+, 99\.99th: \d+, 99\.999th: \d+, 99\.9999th: \d+, Max: \d+$`
	for scenario, want := range map[string]string{
		"upload": `(?m)^Result: Upload \d+ kbps\.$`, "download": `(?m)^Result: Download \d+ kbps\.$`, "hps": `(?m)^Result: \d+ HPS$`,
		"rps": rps, "rps-multi": rps, "latency": rps,
	} {
		r := run(t, "pquic-perf", "client", "--target", addr, "--pin", pin, "--scenario", scenario, "--runtime", "200ms")
		r.wantSuccess(t)
		for _, pattern := range []string{want, `(?m)^Completed \d+ connections and \d+ streams!$`, `(?m)^cpu_seconds: \d+\.\d+$`} {
			if !regexp.MustCompile(pattern).MatchString(r.stdout) {
				t.Errorf("%s: no line %s in\n%s", scenario, pattern, r.stdout)
			}
		}
	}
	r := run(t, "pquic-perf", "client", "--target", addr, "--pin", pin, "--bytes", "1MB", "--streams", "3", "--per-stream")
	r.wantSuccess(t)
	if n := len(regexp.MustCompile(`(?m)^Result: Download 1000000 bytes @ \d+ kbps \(\d+\.\d{3} ms\)\.$`).FindAllString(r.stdout, -1)); n != 3 {
		t.Errorf("%d lines about streams, want 3:\n%s", n, r.stdout)
	}
}

func TestPerfJSON(t *testing.T) {
	t.Parallel()
	p, addr, pin := perfServe(t)
	for scenario, more := range map[string][]string{
		"download": {"--bytes", "5MB", "--streams", "2"}, "upload": {"--bytes", "5MB", "--streams", "2"}, "hps": {"--runtime", "200ms", "--conns", "4"},
		"rps": {"--runtime", "200ms"}, "latency": {"--runtime", "200ms", "--up", "1", "--down", "1"},
	} {
		r := run(t, "pquic-perf", append([]string{"client", "--target", addr, "--pin", pin, "--scenario", scenario, "--json"}, more...)...)
		r.wantSuccess(t)
		var got map[string]any
		if err := json.Unmarshal([]byte(r.stdout), &got); err != nil {
			t.Fatalf("%s: %v: %q", scenario, err, r.stdout)
		}
		want := []string{"bytes", "cpu_seconds", "goodput_mbps", "handshakes_per_second", "latency_us", "requests", "requests_per_second", "scenario", "seconds"}
		if keys := slices.Sorted(maps.Keys(got)); !slices.Equal(keys, want) {
			t.Errorf("%s: keys %q, want %q", scenario, keys, want)
		}
		latency, _ := got["latency_us"].(map[string]any)
		if keys := slices.Sorted(maps.Keys(latency)); !slices.Equal(keys, []string{"max", "p50", "p90", "p99", "p999"}) {
			t.Errorf("%s: keys of latency_us %q", scenario, keys)
		}
		positive := []string{"seconds", "cpu_seconds"}
		switch scenario {
		case "hps":
			positive = append(positive, "handshakes_per_second")
		default:
			positive = append(positive, "bytes", "goodput_mbps", "requests", "requests_per_second")
		}
		for _, key := range positive {
			if v, _ := got[key].(float64); v <= 0 {
				t.Errorf("%s: %s is %v", scenario, key, got[key])
			}
		}
		if scenario == "download" && got["bytes"] != 10e6 {
			t.Errorf("download: %v bytes, want 10 MB", got["bytes"])
		}
	}
	p.signal(syscall.SIGTERM)
	if code := p.wait(); code != 0 || !regexp.MustCompile(`(?m)^cpu_seconds: \d+\.\d+$`).MatchString(p.output()) {
		t.Errorf("the server exits with %d and said\n%s", code, p.output())
	}
}

func TestPerfFiles(t *testing.T) {
	t.Parallel()
	_, addr, pin := perfServe(t)
	dir := t.TempDir()
	hgrm, svg := filepath.Join(dir, "l.hgrm"), filepath.Join(dir, "l.svg")
	run(t, "pquic-perf", "client", "--target", addr, "--pin", pin, "--scenario", "latency", "--runtime", "200ms", "--histogram", hgrm, "--plot", svg).wantSuccess(t)
	text, err := os.ReadFile(hgrm)
	if err != nil || !strings.HasPrefix(string(text), "       Value     Percentile TotalCount 1/(1-Percentile)\n") || !strings.Contains(string(text), "#[Max ") {
		t.Errorf("histogram: %v\n%s", err, text)
	}
	f, err := os.Open(svg)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for d := xml.NewDecoder(f); ; {
		if _, err := d.Token(); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	run(t, "pquic-perf", "client", "--target", addr, "--pin", pin, "--scenario", "latency", "--runtime", "50ms", "--plot", dir+"/missing/x").
		wantFailure(t, 1, "--plot: open")
}

func TestPerfFailures(t *testing.T) {
	t.Parallel()
	_, addr, _ := perfServe(t)
	run(t, "pquic-perf", "client", "--target", addr, "--pin", pinExample, "--json").wantFailure(t, 3, "no successful connections: the server's key is not the pinned one: it is ")
	s := serve(t)
	run(t, "pquic-perf", "client", "--target", s.addr, "--insecure", "--json").wantFailure(t, 3, "the server does not speak perf")
}

func TestPerfInterrupted(t *testing.T) {
	t.Parallel()
	_, addr, pin := perfServe(t)
	p := start(t, "pquic-perf", "client", "--target", addr, "--pin", pin, "--scenario", "rps", "--runtime", "1h")
	p.find(`^rps to (.*): `)
	p.signal(syscall.SIGINT)
	if code := p.wait(); code != 130 || !strings.Contains(p.stderr.String(), "interrupted") {
		t.Errorf("exit code %d, stderr %q", code, p.stderr.String())
	}
}

// The server's pieces do not depend on the client being ours: a bare socket
// that sends rubbish harms nobody.
func TestPerfServerIgnoresRubbish(t *testing.T) {
	t.Parallel()
	_, addr, pin := perfServe(t)
	c, err := net.Dial("udp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for n := range 100 {
		if _, err := c.Write(randomBytes(n * 14)); err != nil {
			t.Fatal(err)
		}
	}
	run(t, "pquic-perf", "client", "--target", addr, "--pin", pin, "--bytes", "1MB").wantSuccess(t)
}

// A server that ends, ends its clients' measurements with a reason; it exits
// with 0 and tells what it has used.
func TestPerfServerEnds(t *testing.T) {
	t.Parallel()
	for _, json := range []bool{false, true} {
		flags := []string{"--verbose"}
		want := `(?m)^cpu_seconds: \d+\.\d+$`
		if json {
			flags, want = append(flags, "--json"), `(?m)^\{"cpu_seconds":\d[^{}]*,"connections":1,"requests":\d+,"bytes_received":\d+,"bytes_sent":\d+\}$`
		}
		server, addr, pin := perfServe(t, flags...)
		client := start(t, "pquic-perf", "client", "--target", addr, "--pin", pin, "--scenario", "download", "--runtime", "1h")
		client.find(`^download to (.*): `)
		server.waitLog("msg=connection remote")
		server.signal(syscall.SIGTERM)
		if code := server.wait(); code != 0 || !regexp.MustCompile(want).MatchString(server.output()) {
			t.Errorf("the server exits with %d and said\n%s", code, server.output())
		}
		if code := client.wait(); code != 1 || !strings.Contains(client.stderr.String(), "pquic-perf: the server closed the connection with code 0x0: the server ends\n") {
			t.Errorf("the client exits with %d: %s", code, client.stderr.String())
		}
	}
}

// Many connections share the workers, and all of them count.
func TestPerfConnections(t *testing.T) {
	t.Parallel()
	_, addr, pin := perfServe(t, "--workers", "2", "--retry")
	r := run(t, "pquic-perf", "client", "--target", addr, "--pin", pin, "--bytes", "200kB", "--conns", "5", "--streams", "2", "--workers", "2", "--per-stream")
	r.wantSuccess(t)
	if n := strings.Count(r.stdout, "Result: Download 200000 bytes @ "); n != 10 || !strings.Contains(r.stdout, "\nCompleted 5 connections and 10 streams!\n") {
		t.Errorf("%d streams:\n%s", n, r.stdout)
	}
}
