package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pquic-go/pquic/cmd/internal/cliutil"
	"github.com/pquic-go/pquic/cmd/internal/cmdtest"
	"github.com/pquic-go/pquic/plugins/standard"
)

func TestHelp(t *testing.T) {
	cmdtest.Help(t, app(), "help.txt", "--help")
	for _, c := range []string{"new", "build", "inspect", "verify", "disasm", "run", "bench", "sign"} {
		cmdtest.Help(t, app(), "help-"+c+".txt", c, "--help")
	}
}

// run runs the program and returns what it printed.
func run(t *testing.T, code int, args ...string) (stdout, stderr string) {
	t.Helper()
	var o, e strings.Builder
	if got := cliutil.Run(app(), append([]string{"pquic-plugin"}, args...), &o, &e); got != code {
		t.Fatalf("%q: exit code %d, want %d; stderr %s", args, got, code, e.String())
	}
	return o.String(), e.String()
}

func TestInspect(t *testing.T) {
	out, _ := run(t, 0, "inspect", "hello", "--json")
	var d description
	if err := json.Unmarshal([]byte(out), &d); err != nil {
		t.Fatal(err)
	}
	if d.Name != "org.pquic.hello" || len(d.Pluglets) != 5 || len(d.Options) != 1 || d.Options[0].Default != "hello" || d.Negotiate == "" {
		t.Errorf("%+v", d)
	}
	out, _ = run(t, 0, "inspect", "monitoring")
	for _, want := range []string{"org.pquic.monitoring 1.0.0", "post/packet_received", "proved <= ", "interval=0s (duration)"} {
		if !strings.Contains(out, want) {
			t.Errorf("inspect lacks %q:\n%s", want, out)
		}
	}
}

func TestVerify(t *testing.T) {
	for _, name := range standard.Names() {
		run(t, 0, "verify", "--proved", name)
	}
}

func TestDisasm(t *testing.T) {
	out, _ := run(t, 0, "disasm", "stream_rr", "replace/schedule_next_stream")
	for _, want := range []string{"next_stream", "pq_answer_stream", "exit"} {
		if !strings.Contains(out, want) {
			t.Errorf("the listing lacks %q:\n%s", want, out)
		}
	}
	run(t, 2, "disasm", "stream_rr", "nonsense")
}

func TestRun(t *testing.T) {
	out, _ := run(t, 0, "run", "ack_delay", "replace/update_ack_delay", "--json", "path.min_rtt=40ms", "result_duration=25ms")
	var o outcome
	if err := json.Unmarshal([]byte(out), &o); err != nil || o.Fault != "" || o.Results["result_duration"] != 10_000_000 {
		t.Errorf("%s: %v", out, err)
	}
	out, _ = run(t, 0, "run", "monitoring", "post/connection_closed", "conn.packets_sent=7", "code=3")
	if !strings.Contains(out, "log info: flow: 7 packets sent") || !strings.Contains(out, "message 01000000") {
		t.Errorf("run printed\n%s", out)
	}
	_, errs := run(t, 2, "run", "monitoring", "post/connection_closed", "nonsense=7")
	if !strings.Contains(errs, "has no such member") {
		t.Errorf("stderr %q", errs)
	}
	run(t, 0, "bench", "monitoring", "post/packet_received", "--calls", "1000", "packet.level=3")
}

func TestSign(t *testing.T) {
	dir := t.TempDir()
	b, _ := standard.Object("hello")
	file, key := filepath.Join(dir, "hello.o"), filepath.Join(dir, "key.pem")
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, 0, "sign", "--key", key, file)
	run(t, 0, "sign", "--check", key+".pub", file)
	b = append([]byte(nil), b...)
	b[len(b)/2] ^= 1
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, 1, "sign", "--check", key+".pub", file)
}

func TestMistakes(t *testing.T) {
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{nil, 2, "the command is missing"},
		{[]string{"inspect"}, 2, "the plugin is missing"},
		{[]string{"inspect", "nonsense"}, 1, "is not compiled in"},
		{[]string{"inspect", "./missing.o"}, 1, "no such file"},
		{[]string{"new", "Bad Name"}, 2, "want reverse DNS"},
		{[]string{"build"}, 2, "the source is missing"},
		{[]string{"run", "hello"}, 2, "the pluglet is missing"},
		{[]string{"sign", "x"}, 2, "either --key or --check"},
	} {
		if _, errs := run(t, c.code, c.args...); !strings.Contains(errs, c.want) {
			t.Errorf("%q: stderr %q, want %q", c.args, errs, c.want)
		}
	}
}
