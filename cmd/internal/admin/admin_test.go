package admin_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pquic-go/pquic/cmd/internal/admin"
	"github.com/pquic-go/pquic/cmd/internal/pluginflag"
	"github.com/pquic-go/pquic/hoststack"
	"github.com/pquic-go/pquic/plugins"
	"github.com/pquic-go/pquic/protoops"
)

const engine = "interp"

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

// socketPath returns a short path that is free.
func socketPath(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "adm")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return filepath.Join(dir, "s.sock")
}

// A world is a server with an admin socket that answers every stream with what
// it got, and connections to it.
type world struct {
	t      *testing.T
	ctx    context.Context
	path   string
	admin  *admin.Server
	addr   string
	conns  chan *hoststack.Conn // the server's, once their handshake is complete
	client *admin.Client
}

// newWorld makes a world with plugins on every connection, at both ends.
func newWorld(t *testing.T, specs ...string) *world {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	w := &world{t: t, ctx: ctx, path: socketPath(t), conns: make(chan *hoststack.Conn, 100)}
	var err error
	if w.admin, err = admin.Listen(w.path, engine, quiet); err != nil {
		t.Fatal(err)
	}
	set, err := (&pluginflag.Options{Engine: engine, Specs: specs}).Load(quiet)
	if err != nil {
		t.Fatal(err)
	}
	set.Watch(w.admin.Attached, w.admin.Detached)
	cert, err := hoststack.SelfSigned([]string{"localhost"}, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	l, err := hoststack.Listen(ctx, "udp", "127.0.0.1:0", &hoststack.Config{
		TLS:     &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{"test"}},
		OnConn:  w.admin.OnConn(set.OnConn(nil)),
		Workers: 2,
	})
	if err != nil {
		t.Fatal(err)
	}
	w.addr = l.Addr().String()
	var running sync.WaitGroup
	running.Go(func() {
		for {
			c, err := l.Accept(ctx)
			if err != nil {
				return
			}
			running.Go(func() { echo(ctx, c) })
			w.conns <- c
		}
	})
	if w.client, err = admin.Dial(w.path); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = w.client.Close()
		_ = l.Close()
		running.Wait()
		if err := w.admin.Close(); err != nil {
			t.Error(err)
		}
		if _, err := os.Lstat(w.path); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("the socket is still there: %v", err)
		}
	})
	return w
}

func echo(ctx context.Context, c *hoststack.Conn) {
	for {
		s, err := c.AcceptStream(ctx)
		if err != nil {
			return
		}
		_, _ = io.Copy(s, s) // the client sees what is missing
		_ = s.CloseWrite()
	}
}

// dial connects, with plugins on this end, and returns both ends.
func (w *world) dial(specs ...string) (client, server *hoststack.Conn) {
	w.t.Helper()
	set, err := (&pluginflag.Options{Engine: engine, Specs: specs}).Load(quiet)
	if err != nil {
		w.t.Fatal(err)
	}
	client, err = hoststack.Dial(w.ctx, "udp", w.addr, &hoststack.Config{OnConn: set.OnConn(nil),
		TLS: &tls.Config{InsecureSkipVerify: true, ServerName: "localhost", NextProtos: []string{"test"}}})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = client.CloseWithError(0, "") })
	select {
	case server = <-w.conns:
	case <-w.ctx.Done():
		w.t.Fatal("no connection arrives")
	}
	return client, server
}

// exchange sends bytes over a stream of its own and compares what comes back.
func (w *world) exchange(c *hoststack.Conn, b []byte) {
	w.t.Helper()
	s, err := c.OpenStream(w.ctx)
	if err != nil {
		w.t.Fatal(err)
	}
	go func() {
		_, _ = s.Write(b) // an error shows when reading
		_ = s.CloseWrite()
	}()
	if got, err := io.ReadAll(s); err != nil || !bytes.Equal(got, b) {
		w.t.Fatalf("%d of %d bytes, %v", len(got), len(b), err)
	}
}

// do asks and returns everything that comes.
func (w *world) do(r admin.Request) ([]admin.Connection, []admin.Pluglet, *admin.End, error) {
	var conns []admin.Connection
	var pluglets []admin.Pluglet
	end, err := w.client.Do(&r, func(p *admin.Reply) {
		if p.Connection != nil {
			conns = append(conns, *p.Connection)
		}
		if p.Pluglet != nil {
			pluglets = append(pluglets, *p.Pluglet)
		}
	})
	return conns, pluglets, end, err
}

func (w *world) list() []admin.Connection {
	w.t.Helper()
	list, _, end, err := w.do(admin.Request{Op: admin.OpList})
	if err != nil || end.Connections != len(list) {
		w.t.Fatalf("%+v, %v", end, err)
	}
	return list
}

// must does what has to succeed on n connections.
func (w *world) must(n int, r admin.Request) []admin.Pluglet {
	w.t.Helper()
	conns, pluglets, end, err := w.do(r)
	if err != nil || end.Connections != n || end.Refused != 0 {
		w.t.Fatalf("%+v: %+v %+v, %v", r, end, conns, err)
	}
	return pluglets
}

func names(c admin.Connection) []string {
	var list []string
	for _, p := range c.Plugins {
		list = append(list, p.Name)
	}
	return list
}

func TestLive(t *testing.T) {
	w := newWorld(t)
	one, _ := w.dial()
	_, gone := w.dial()
	list := w.list()
	if len(list) != 2 || list[0].ALPN != "test" || list[0].SNI != "localhost" || len(list[0].ID) < 16 || list[0].Remote == "" || list[0].Plugins != nil {
		t.Fatalf("%+v", list)
	}
	first := strconv.FormatUint(list[0].Number, 10)
	w.must(1, admin.Request{Op: admin.OpAttach, Connection: first, Plugin: "monitoring"})
	w.exchange(one, make([]byte, 100_000))
	list = w.list()
	if got := names(list[0]); !slices.Equal(got, []string{"org.pquic.monitoring"}) || list[0].Plugins[0].Calls == 0 || list[0].Plugins[0].Engine != engine || list[1].Plugins != nil {
		t.Errorf("%+v", list)
	}

	// What has it already refuses it, the other takes it.
	conns, _, end, err := w.do(admin.Request{Op: admin.OpAttach, Plugin: "org.pquic.monitoring", Options: map[string]string{"interval": "1s"}})
	if err != nil || end.Connections != 1 || end.Refused != 1 || !errors.Is(conns[0].Error, protoops.ErrAttached) || conns[1].Error != nil {
		t.Errorf("%+v %+v %v", conns, end, err)
	}
	var received uint64
	for _, p := range w.must(2, admin.Request{Op: admin.OpStats}) {
		if p.Plugin != "org.pquic.monitoring" || p.Connections != 2 || p.Faults != 0 {
			t.Errorf("%+v", p)
		}
		if p.Section == "post/packet_received" {
			if received = p.Calls; p.Sampled == 0 || p.SampledTime < 0 {
				t.Errorf("no call was timed: %+v", p)
			}
		}
	}
	if received == 0 {
		t.Error("no packet was counted")
	}

	w.must(1, admin.Request{Op: admin.OpDetach, Connection: list[0].ID, Plugin: "monitoring"})
	if list := w.list(); list[0].Plugins != nil || len(list[1].Plugins) != 1 {
		t.Errorf("%+v", list)
	}
	w.exchange(one, make([]byte, 100_000))

	_ = gone.CloseWithError(0, "")
	<-gone.Context().Done()
	if list := w.list(); len(list) != 1 {
		t.Errorf("a connection that has ended is listed: %+v", list)
	}
}

// TestNegotiated: what both ends agree on in the handshake neither comes nor
// goes after it.
func TestNegotiated(t *testing.T) {
	w := newWorld(t, "hello")
	client, _ := w.dial("hello")
	w.exchange(client, []byte("x"))
	conns, _, end, err := w.do(admin.Request{Op: admin.OpDetach, Plugin: "hello"})
	if err != nil || end.Refused != 1 || conns[0].Error.Code != admin.CodeOwned {
		t.Errorf("%+v %+v %v", conns, end, err)
	}
	plain := newWorld(t)
	plain.dial()
	conns, _, end, err = plain.do(admin.Request{Op: admin.OpAttach, Plugin: "hello"})
	if err != nil || end.Refused != 1 || !errors.Is(conns[0].Error, plugins.ErrTooLate) {
		t.Errorf("%+v %+v %v", conns, end, err)
	}
	if list := plain.list(); list[0].Plugins != nil {
		t.Errorf("something of it was attached: %+v", list)
	}
}

// TestFault: a plugin that fails is detached, its fault counted, the connection
// goes on.
func TestFault(t *testing.T) {
	object, err := os.ReadFile("../../../plugins/testdata/faulty.o")
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t)
	client, _ := w.dial()
	w.must(1, admin.Request{Op: admin.OpAttach, Plugin: "faulty.o", Object: object, Options: map[string]string{"fault": "2", "after": "0"}})
	for w.ctx.Err() == nil {
		w.exchange(client, make([]byte, 10_000))
		if l := w.must(1, admin.Request{Op: admin.OpStats}); len(l) == 1 && l[0].Faults > 0 {
			if want := (admin.Pluglet{Plugin: "org.pquic.test.faulty", Section: "replace/update_ack_delay", Faults: 1}); l[0] != want {
				t.Errorf("%+v, want %+v", l[0], want)
			}
			break
		}
	}
	if l := w.must(1, admin.Request{Op: admin.OpStats, Connection: "1"}); len(l) != 1 || l[0].Faults != 1 {
		t.Errorf("of the connection: %+v", l)
	}
	if list := w.list(); list[0].Plugins != nil {
		t.Errorf("it is still attached: %+v", list)
	}
}

// TestConcurrent: plugins come and go under a transfer.
func TestConcurrent(t *testing.T) {
	w := newWorld(t, "ack_delay")
	content := make([]byte, 2<<20)
	for i := range content {
		content[i] = byte(i * i >> 7)
	}
	done := make(chan struct{})
	var clients sync.WaitGroup
	for _, name := range []string{"monitoring", "no_pacing", "stream_rr"} {
		clients.Go(func() {
			c, err := admin.Dial(w.path)
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			for {
				select {
				case <-done:
					return
				default:
				}
				for _, op := range []string{admin.OpAttach, admin.OpDetach} {
					_, err := c.Do(&admin.Request{Op: op, Plugin: name}, func(r *admin.Reply) {
						if e := r.Connection.Error; e != nil {
							t.Errorf("%s %s: %v", op, name, e)
						}
					})
					var e *admin.Error
					if err != nil && (!errors.As(err, &e) || e.Code != admin.CodeNotAttached) { // before the first connection
						t.Error(err)
					}
				}
				if _, err := c.Do(&admin.Request{Op: admin.OpStats}, nil); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for range 3 {
		client, _ := w.dial()
		for range 3 {
			w.exchange(client, content)
		}
	}
	close(done)
	clients.Wait()
	for _, c := range w.list() {
		if got := names(c); !slices.Equal(got, []string{"org.pquic.ack_delay"}) {
			t.Errorf("left are %q", got)
		}
	}
}

func TestRefusals(t *testing.T) {
	w := newWorld(t, "ack_delay")
	w.dial()
	for _, c := range []struct {
		r    admin.Request
		code string
		want string
	}{
		{admin.Request{Op: "reboot"}, admin.CodeRequest, "want list, attach, detach or stats"},
		{admin.Request{Op: admin.OpAttach}, admin.CodeRequest, "the plugin is missing"},
		{admin.Request{Op: admin.OpList, Plugin: "x"}, admin.CodeRequest, "takes no plugin"},
		{admin.Request{Op: admin.OpStats, Object: []byte("x")}, admin.CodeRequest, "takes no object"},
		{admin.Request{Op: admin.OpStats, Connection: "77"}, admin.CodeConnection, "no connection 77"},
		{admin.Request{Op: admin.OpStats, Connection: "some"}, admin.CodeConnection, "want a number or an ID"},
		{admin.Request{Op: admin.OpStats, Connection: "00112233445566778899"}, admin.CodeConnection, "no connection 00112233445566778899"},
		{admin.Request{Op: admin.OpAttach, Plugin: "nonsense"}, admin.CodePlugin, "is not compiled in: there are ack_delay"},
		{admin.Request{Op: admin.OpAttach, Plugin: "x.o", Object: []byte("no ELF")}, admin.CodePlugin, "plugin x.o"},
		{admin.Request{Op: admin.OpAttach, Plugin: "monitoring", Options: map[string]string{"speed": "9"}}, admin.CodeOption, "it has interval, summary"},
		{admin.Request{Op: admin.OpDetach, Plugin: "monitoring"}, admin.CodeNotAttached, "attached are org.pquic.ack_delay"},
	} {
		_, _, _, err := w.do(c.r)
		var e *admin.Error
		if !errors.As(err, &e) || e.Code != c.code || !strings.Contains(e.Text, c.want) || strings.Contains(e.Text, "\n") {
			t.Errorf("%+v: %v, want %s: %q", c.r, err, c.code, c.want)
		}
	}
	// One operation is replaced once.
	object, err := os.ReadFile("../../../plugins/testdata/faulty.o")
	if err != nil {
		t.Fatal(err)
	}
	conns, _, _, err := w.do(admin.Request{Op: admin.OpAttach, Plugin: "faulty.o", Object: object})
	if err != nil || !errors.Is(conns[0].Error, protoops.ErrReplaced) || !strings.Contains(conns[0].Error.Text, "org.pquic.ack_delay") {
		t.Errorf("%+v, %v", conns, err)
	}
}

// TestHostileLines: lines that are no requests are answered and survived.
func TestHostileLines(t *testing.T) {
	w := newWorld(t)
	c, err := net.Dial("unix", w.path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	in := bufio.NewReader(c)
	for _, line := range []string{"", "hello", "[]", `{"op":"list"} {}`, `{"op":"list","and":1}`, `{"op":7}`, "\x00\xff"} {
		if _, err := io.WriteString(c, line+"\n"); err != nil {
			t.Fatal(err)
		}
		if got, err := in.ReadString('\n'); err != nil || !strings.Contains(got, `"code":"request"`) {
			t.Errorf("%q: %q, %v", line, got, err)
		}
	}
	// A line without end is answered once it is too long, and the client dropped.
	go func() {
		_, _ = c.Write(bytes.Repeat([]byte("x"), 16<<20)) // the server stops reading
	}()
	if got, err := in.ReadString('\n'); err == nil && !strings.Contains(got, "request of more than") {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := in.ReadByte(); err == nil {
		t.Error("the server goes on with it")
	}
	w.list()
}

func TestSocket(t *testing.T) {
	path := socketPath(t)
	dir := filepath.Dir(path)
	s, err := admin.Listen(path, engine, quiet)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Lstat(path)
	if err != nil || info.Mode() != fs.ModeSocket|0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if _, err := admin.Listen(path, engine, quiet); err == nil || !strings.Contains(err.Error(), "another program listens") {
		t.Errorf("a second one: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("left are %v, %v", left, err)
	}

	// A stale one is replaced.
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	_ = l.Close()
	if _, err := admin.Dial(path); err == nil || !strings.Contains(err.Error(), "nobody listens") {
		t.Error(err)
	}
	if s, err = admin.Listen(path, engine, quiet); err != nil {
		t.Fatal(err)
	}
	// What somebody has put in its place stays.
	_ = os.Remove(path)
	if err := os.WriteFile(path, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if b, err := os.ReadFile(path); string(b) != "mine" {
		t.Errorf("%q, %v", b, err)
	}

	link := filepath.Join(dir, "link")
	if err := os.Symlink(filepath.Join(dir, "nowhere"), link); err != nil {
		t.Fatal(err)
	}
	for p, want := range map[string]string{
		path:                           "no socket",
		link:                           "no socket",
		dir:                            "no socket",
		filepath.Join(dir, "no", "s"):  "no such file or directory",
		path + strings.Repeat("x", 90): "too long",
	} {
		if _, err := admin.Listen(p, engine, quiet); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", p, err, want)
		}
	}
	for p, want := range map[string]string{path: "no", filepath.Join(dir, "none"): "there is no admin socket"} {
		if _, err := admin.Dial(p); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", p, err, want)
		}
	}
}

// TestCloseEndsClients: a client that waits does not keep the program.
func TestCloseEndsClients(t *testing.T) {
	path := socketPath(t)
	s, err := admin.Listen(path, engine, quiet)
	if err != nil {
		t.Fatal(err)
	}
	var idle []*admin.Client
	for range 20 { // more than are served at once
		c, err := admin.Dial(path)
		if err != nil {
			t.Fatal(err)
		}
		idle = append(idle, c)
	}
	if _, err := idle[0].Do(&admin.Request{Op: admin.OpList}, nil); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	for _, c := range idle {
		if _, err := c.Do(&admin.Request{Op: admin.OpList}, nil); err == nil {
			t.Error("a closed server answers")
		}
		_ = c.Close()
	}
}
