package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pquic-go/pquic/cmd/internal/admin"
	"github.com/pquic-go/pquic/cmd/internal/cmdtest"
	"github.com/pquic-go/pquic/hoststack"
	"github.com/pquic-go/pquic/plugins/standard"
)

func TestCtlHelp(t *testing.T) { cmdtest.Help(t, app(), "help-ctl.txt", "ctl", "--help") }

// program stands for one with --admin and one connection.
func program(t *testing.T) (socket string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "ctl")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	socket = filepath.Join(dir, "s")
	a, err := admin.Listen(socket, "interp", slog.New(slog.NewTextHandler(io.Discard, nil)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.Close() })
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	cert, err := hoststack.SelfSigned([]string{"localhost"}, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	l, err := hoststack.Listen(ctx, "udp", "127.0.0.1:0", &hoststack.Config{OnConn: a.OnConn(nil),
		TLS: &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{"test"}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	c, err := hoststack.Dial(ctx, "udp", l.Addr().String(), &hoststack.Config{
		TLS: &tls.Config{InsecureSkipVerify: true, ServerName: "localhost", NextProtos: []string{"test"}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.CloseWithError(0, "") })
	if _, err := l.Accept(ctx); err != nil {
		t.Fatal(err)
	}
	return socket
}

func TestCtl(t *testing.T) {
	socket := program(t)
	b, _ := standard.Object("monitoring")
	file := filepath.Join(t.TempDir(), "watch.o")
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args string
		code int
		want string // in what it prints, or says if it fails
	}{
		{"list", 0, "localhost  -"},
		{"stats", 0, "no plugins on 1 connection"},
		{"attach " + file + ",interval=1s 1", 0, "attached org.pquic.monitoring 1."},
		{"attach monitoring all", 1, "already attached"},
		{"list", 0, "org.pquic.monitoring 1."},
		{"stats 1", 0, "post/packet_received"},
		{"detach monitoring all", 0, "detached org.pquic.monitoring 1."},
		{"detach monitoring all", 1, "not attached there: nothing is"},
		{"attach hello 1", 1, "too late: the plugin has to be attached before the handshake, by --plugin or --plugin-for"},
		{"attach monitoring,speed=9 1", 2, "there is no such option: it has interval"},
		{"attach monitoring 9", 1, "there is no connection 9"},
		{"attach ./missing.o 1", 1, "no such file"},
		{"attach nonsense 1", 1, "is not compiled in"},
	} {
		out, errs := run(t, c.code, append(strings.Fields("ctl --socket "+socket), strings.Fields(c.args)...)...)
		if c.code != 0 {
			if out = errs; strings.Count(out, "\n") != 1 {
				t.Errorf("%s: %q is not one line", c.args, out)
			}
		}
		if !strings.Contains(out, c.want) {
			t.Errorf("%s: %q, want %q", c.args, out, c.want)
		}
	}
	out, _ := run(t, 0, "ctl", "list", "--json", "--socket", socket)
	lines := json.NewDecoder(strings.NewReader(out))
	var first, last admin.Reply
	if err := lines.Decode(&first); err != nil || first.Connection == nil || first.Connection.Number != 1 {
		t.Errorf("%s: %v", out, err)
	}
	if err := lines.Decode(&last); err != nil || last.End == nil || last.End.Connections != 1 {
		t.Errorf("%s: %v", out, err)
	}
}

func TestCtlMistakes(t *testing.T) {
	for _, c := range []struct {
		args string
		code int
		want string
	}{
		{"", 2, "the command is missing: want list, attach, detach or stats"},
		{"reboot", 2, `unknown command "reboot": want list`},
		{"list all", 2, `unexpected argument "all" after list`},
		{"attach monitoring", 2, "attach: want a plugin and a connection, or all"},
		{"attach x,=1 all", 2, "want OPTION=VALUE"},
		{"list --socket /nowhere/s", 1, "there is no admin socket /nowhere/s: want the path that the program was given by --admin"},
	} {
		if _, errs := run(t, c.code, append([]string{"ctl"}, strings.Fields(c.args)...)...); !strings.Contains(errs, c.want) {
			t.Errorf("%s: %q, want %q", c.args, errs, c.want)
		}
	}
}

func TestPrintable(t *testing.T) {
	if got := cell("a\x1b[2J\nb\u202e"); got != "a?[2J?b?" {
		t.Errorf("%q", got)
	}
}
