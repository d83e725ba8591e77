package cmdtest

import (
	"errors"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pquic-go/pquic/cmd/internal/admin"
)

// TestAdmin: plugins come by policy and through the admin socket, whose file
// goes with the program.
func TestAdmin(t *testing.T) {
	dir, err := os.MkdirTemp("", "adm") // paths of sockets are short
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	socket := filepath.Join(dir, "s")
	s := serve(t, "--admin", socket, "--plugin-for", "alpn=h3:monitoring", "--plugin-for", "alpn=hq-interop:no_pacing")
	s.put("file", []byte("content"))
	client := &http.Client{Transport: pinned(t, s)}
	get(t, client, s.url("file"))

	ctl, err := admin.Dial(socket)
	if err != nil {
		t.Fatal(err)
	}
	defer ctl.Close()
	if end, err := ctl.Do(&admin.Request{Op: admin.OpAttach, Plugin: "stream_rr"}, nil); err != nil || end.Connections != 1 {
		t.Fatalf("%+v, %v", end, err)
	}
	var names []string
	if _, err := ctl.Do(&admin.Request{Op: admin.OpList}, func(r *admin.Reply) {
		for _, p := range r.Connection.Plugins {
			names = append(names, p.Name)
		}
	}); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(names, " "); got != "org.pquic.monitoring org.pquic.stream_rr" {
		t.Errorf("attached are %s", got)
	}
	if _, body := get(t, client, s.url("file")); body != "content" {
		t.Errorf("body %q", body)
	}
	s.end()
	if _, err := os.Lstat(socket); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the socket is still there: %v", err)
	}

	if err := os.WriteFile(socket, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args string
		code int
		want string
	}{
		{"--admin " + socket, 1, "--admin " + socket + ": is there already and no socket"},
		{"--plugin-for alpn=h9:monitoring", 2, `"h9" is not spoken here: want h3 or hq-interop`},
		{"--plugin-for monitoring", 2, "want alpn=PROTOCOL:NAME"},
		{"--plugin-for alpn=h3:nonsense", 1, "is not compiled in"},
	} {
		r := run(t, "pquic-server", append([]string{"--listen", "127.0.0.1:0", "--www", t.TempDir()}, strings.Fields(c.args)...)...)
		if r.code != c.code || !strings.Contains(r.stderr, c.want) || strings.Count(r.stderr, "\n") != 1 {
			t.Errorf("%s: code %d, %q, want %d and %q", c.args, r.code, r.stderr, c.code, c.want)
		}
	}
}
