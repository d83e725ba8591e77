package hoststack

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pquic-go/pquic/core"
)

// streams opens a stream on c and accepts it on s. Its first byte is "!".
func streams(t testing.TB, s, c *Conn) (ss, cs *Stream) {
	t.Helper()
	cs, err := c.OpenStream(testContext(t))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := cs.Write([]byte("!")); err != nil {
		t.Fatal(err)
	}
	if ss, err = s.AcceptStream(testContext(t)); err != nil {
		t.Fatal(err)
	}
	if b := make([]byte, 1); read(ss, b) != nil || b[0] != '!' {
		t.Fatalf("first byte %q", b)
	}
	return ss, cs
}

func read(s *Stream, b []byte) error {
	_, err := io.ReadFull(s, b)
	return err
}

// async runs f in a goroutine and returns the channel of its error.
func async(f func() error) <-chan error {
	ch := make(chan error, 1)
	go func() { ch <- f() }()
	return ch
}

func TestUniStreams(t *testing.T) {
	s, c := pair(t, serverConfig(), clientConfig())
	for _, v := range []struct{ from, to *Conn }{{c, s}, {s, c}} {
		out, err := v.from.OpenUniStream(testContext(t))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := out.Read(make([]byte, 1)); err == nil {
			t.Error("read from a stream this side sends on")
		}
		sent := async(func() error {
			_, err := out.Write([]byte("one way"))
			return errors.Join(err, out.Close())
		})
		in, err := v.to.AcceptUniStream(testContext(t))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := in.Write([]byte("x")); err == nil {
			t.Error("write to a stream this side receives on")
		}
		if b, err := io.ReadAll(in); err != nil || string(b) != "one way" {
			t.Errorf("%q, %v", b, err)
		}
		if err := <-sent; err != nil {
			t.Error(err)
		}
		if in.ID() != out.ID() || in.Conn() != v.to {
			t.Errorf("stream %d arrived as %d", out.ID(), in.ID())
		}
	}
}

// TestBackPressure: a writer is held up by a reader that does not read, and
// goes on once it does.
func TestBackPressure(t *testing.T) {
	cfg := clientConfig()
	cfg.Core.SendBuffer = 64 << 10
	s, c := pair(t, serverConfig(), cfg)
	ss, cs := streams(t, s, c)
	data := randomBytes(4 << 20)
	var accepted atomic.Int64
	written := async(func() error {
		for rest := data; len(rest) > 0; {
			n, err := cs.Write(rest[:min(len(rest), 10_000)])
			accepted.Add(int64(n))
			rest = rest[n:]
			if err != nil {
				return err
			}
		}
		return cs.CloseWrite()
	})
	// What fits is the peer's window and the send buffer; the deadline is how
	// this test waits for the writer to be stuck.
	window := int64(512<<10 + 64<<10)
	for accepted.Load() < window-20_000 {
		runtime.Gosched()
	}
	select {
	case err := <-written:
		t.Fatalf("the writer was not held up: %v after %d bytes", err, accepted.Load())
	default:
	}
	got, err := io.ReadAll(ss)
	if err != nil || !bytes.Equal(got, data) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	if err := <-written; err != nil {
		t.Error(err)
	}
	if n := accepted.Load(); n != int64(len(data)) {
		t.Errorf("%d bytes accepted, want %d", n, len(data))
	}
}

// TestCloseWithPendingCalls: everything that waits on a connection learns why
// it has ended, on both sides.
func TestCloseWithPendingCalls(t *testing.T) {
	s, c := pair(t, serverConfig(), clientConfig())
	ss, cs := streams(t, s, c)
	stuck, err := c.OpenStream(testContext(t))
	if err != nil {
		t.Fatal(err)
	}
	calls := func(conn *Conn, st *Stream) []<-chan error {
		return []<-chan error{
			async(func() error { _, err := st.Read(make([]byte, 1)); return err }),
			async(func() error { _, err := conn.AcceptStream(context.Background()); return err }),
			async(func() error { _, err := conn.AcceptUniStream(context.Background()); return err }),
			async(func() error { <-conn.Context().Done(); return context.Cause(conn.Context()) }),
		}
	}
	local, remote := calls(c, cs), calls(s, ss)
	local = append(local, async(func() error {
		_, err := stuck.Write(make([]byte, 64<<20))
		return err
	}))
	c.CloseWithError(7, "enough")
	want := &core.ApplicationError{Code: 7}
	for i, ch := range local {
		if err := <-ch; !errors.Is(err, want) || !errors.Is(err, net.ErrClosed) {
			t.Errorf("local call %d: %v, want code 7 and net.ErrClosed", i, err)
		}
	}
	for i, ch := range remote {
		err := <-ch
		var ce *ConnError
		var ae *core.ApplicationError
		if !errors.As(err, &ce) || ce.Local || !errors.As(err, &ae) || ae.Code != 7 || ae.Reason != "enough" || !ae.Remote {
			t.Errorf("remote call %d: %v, want the peer's code 7", i, err)
		}
		if errors.Is(err, net.ErrClosed) {
			t.Errorf("remote call %d: %v is net.ErrClosed, though the peer closed", i, err)
		}
	}
	for _, conn := range []*Conn{s, c} {
		if _, err := conn.OpenStream(testContext(t)); !errors.Is(err, want) {
			t.Errorf("OpenStream after the end: %v", err)
		}
		if err := conn.Do(func(*core.Conn) { t.Error("Do ran after the end") }); !errors.Is(err, want) {
			t.Errorf("Do after the end: %v", err)
		}
		if conn.Err() == nil {
			t.Error("Err is nil after the end")
		}
	}
	if _, err := cs.Write([]byte("x")); !errors.Is(err, want) {
		t.Errorf("Write after the end: %v", err)
	}
}

func TestDeadlines(t *testing.T) {
	s, c := pair(t, serverConfig(), clientConfig())
	ss, cs := streams(t, s, c)
	past, soon := time.Now().Add(-time.Hour), func() time.Time { return time.Now().Add(time.Millisecond) }
	b := make([]byte, 1)

	cs.SetReadDeadline(past)
	if _, err := cs.Read(b); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("deadline in the past: %v", err)
	}
	cs.SetReadDeadline(soon())
	if _, err := cs.Read(b); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("deadline while waiting: %v", err)
	}
	cs.SetReadDeadline(time.Time{})
	pending := async(func() error { _, err := cs.Read(b); return err })
	cs.SetReadDeadline(past)
	if err := <-pending; !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("deadline set during Read: %v", err)
	}
	cs.SetReadDeadline(time.Time{})

	var n int
	pending = async(func() (err error) { n, err = cs.Write(make([]byte, 64<<20)); return err })
	if err := read(ss, make([]byte, 1000)); err != nil {
		t.Error(err)
	}
	cs.SetWriteDeadline(soon())
	err := <-pending
	if !errors.Is(err, os.ErrDeadlineExceeded) || n == 0 {
		t.Errorf("Write: %d, %v; want what fits and a deadline", n, err)
	}
	// The stream lives on.
	cs.SetDeadline(time.Time{})
	if got, err := io.CopyN(io.Discard, ss, int64(n-1000)); err != nil {
		t.Errorf("peer got %d of %d bytes, %v", got, n, err)
	}
	if _, err := ss.Write([]byte("y")); err != nil {
		t.Error(err)
	}
	if err := read(cs, b); err != nil || b[0] != 'y' {
		t.Errorf("%q, %v", b, err)
	}
}

func TestResetAndCancel(t *testing.T) {
	s, c := pair(t, serverConfig(), clientConfig())
	ss, cs := streams(t, s, c)

	pending := async(func() error { _, err := ss.Read(make([]byte, 1)); return err })
	cs.Reset(11)
	if err := <-pending; !isStreamError(err, 11, true) {
		t.Errorf("peer's Read: %v, want the peer's code 11", err)
	}
	if _, err := cs.Write([]byte("x")); !isStreamError(err, 11, false) || !errors.Is(err, net.ErrClosed) {
		t.Errorf("own Write: %v, want own code 11", err)
	}

	pending = async(func() error { _, err := cs.Read(make([]byte, 1)); return err })
	cs.CancelRead(12)
	if err := <-pending; !isStreamError(err, 12, false) {
		t.Errorf("own Read: %v, want own code 12", err)
	}
	err := error(nil)
	for err == nil { // until STOP_SENDING has arrived
		_, err = ss.Write(make([]byte, 1000))
	}
	if !isStreamError(err, 12, true) {
		t.Errorf("peer's Write: %v, want the peer's code 12", err)
	}
	roundTripBetween(t, s, c) // the connection is none the worse
}

func isStreamError(err error, code uint64, remote bool) bool {
	var se *StreamError
	return errors.As(err, &se) && se.Code == code && se.Remote == remote && errors.Is(err, &StreamError{Code: code})
}

// roundTripBetween sends a byte there and back on a new stream.
func roundTripBetween(t testing.TB, s, c *Conn) {
	t.Helper()
	ss, cs := streams(t, s, c)
	if _, err := ss.Write([]byte("?")); err != nil {
		t.Error(err)
	}
	b := make([]byte, 1)
	if err := read(cs, b); err != nil || b[0] != '?' {
		t.Errorf("%q, %v", b, err)
	}
	ss.Close()
	cs.Close()
}

func TestHalfClose(t *testing.T) {
	s, c := pair(t, serverConfig(), clientConfig())
	ss, cs := streams(t, s, c)
	if err := cs.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if _, err := cs.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Write after CloseWrite: %v", err)
	}
	for range 2 {
		if n, err := ss.Read(make([]byte, 1)); n != 0 || err != io.EOF {
			t.Errorf("peer's Read: %d, %v; want EOF", n, err)
		}
	}
	if _, err := ss.Write([]byte("late")); err != nil {
		t.Error(err)
	}
	ss.Close()
	if b, err := io.ReadAll(cs); err != nil || string(b) != "late" {
		t.Errorf("%q, %v", b, err)
	}
	if err := cs.Close(); err != nil {
		t.Error(err)
	}
}

// TestStreamLimit: opening waits until the peer allows one more.
func TestStreamLimit(t *testing.T) {
	cfg := serverConfig()
	cfg.Core.MaxBidiStreams = 2
	s, c := pair(t, cfg, clientConfig())
	ss, cs := streams(t, s, c)
	if _, err := c.TryOpenStream(); err != nil {
		t.Fatal(err)
	}
	if _, err := c.TryOpenStream(); !errors.Is(err, core.ErrStreamLimit) {
		t.Errorf("third stream: %v, want ErrStreamLimit", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	waiting := async(func() error { _, err := c.OpenStream(ctx); return err })
	cancel()
	if err := <-waiting; !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	waiting = async(func() error { _, err := c.OpenStream(testContext(t)); return err })
	cs.Close()
	io.Copy(io.Discard, ss)
	ss.Close()
	if err := <-waiting; err != nil {
		t.Errorf("after a stream ended: %v", err)
	}
}

func TestReaderFromWriterTo(t *testing.T) {
	s, c := pair(t, serverConfig(), clientConfig())
	ss, cs := streams(t, s, c)
	data := randomBytes(3 << 20)
	sent := async(func() error {
		n, err := cs.ReadFrom(bytes.NewReader(data))
		if n != int64(len(data)) {
			t.Errorf("ReadFrom: %d bytes", n)
		}
		return errors.Join(err, cs.CloseWrite())
	})
	var got bytes.Buffer
	if n, err := ss.WriteTo(&got); n != int64(len(data)) || err != nil {
		t.Errorf("WriteTo: %d, %v", n, err)
	}
	if err := <-sent; err != nil {
		t.Error(err)
	}
	if !bytes.Equal(got.Bytes(), data) {
		t.Error("bytes differ")
	}
}

func TestConnectionState(t *testing.T) {
	s, c := pair(t, serverConfig(), clientConfig())
	for _, conn := range []*Conn{s, c} {
		cs := conn.ConnectionState()
		if !cs.HandshakeComplete || cs.NegotiatedProtocol != "test" || cs.Version != tls.VersionTLS13 {
			t.Errorf("state %+v", cs)
		}
		select {
		case <-conn.HandshakeComplete():
		default:
			t.Error("handshake is not complete")
		}
		if conn.Stats().PacketsSent == 0 {
			t.Error("no packets counted")
		}
	}
	if c.RemoteAddr().String() != s.w.group.Addr().String() {
		t.Errorf("remote %v, want %v", c.RemoteAddr(), s.w.group.Addr())
	}
	if s.RemoteAddr().(*net.UDPAddr).Port != c.LocalAddr().(*net.UDPAddr).Port {
		t.Errorf("server's peer is %v, client is at %v", s.RemoteAddr(), c.LocalAddr())
	}
}

// TestOnConn: the hook sees every engine before its handshake.
func TestOnConn(t *testing.T) {
	var seen sync.Map
	hook := func(c *core.Conn) {
		if c.View().HandshakeComplete != 0 {
			t.Error("handshake is complete already")
		}
		seen.Store(c, c.IsServer())
	}
	server, client := serverConfig(), clientConfig()
	server.OnConn, client.OnConn = hook, hook
	s, c := pair(t, server, client)
	for _, conn := range []*Conn{s, c} {
		if err := conn.Do(func(cc *core.Conn) {
			if isServer, ok := seen.Load(cc); !ok || isServer != (conn == s) {
				t.Errorf("engine seen %v, as server %v", ok, isServer)
			}
		}); err != nil {
			t.Error(err)
		}
	}
}

func TestDialErrors(t *testing.T) {
	ctx := testContext(t)
	for _, v := range []struct{ network, addr, want string }{
		{"udp", "nowhere", "HOST:PORT"},
		{"tcp", "127.0.0.1:1", "udp4"},
		{"udp4", "[::1]:1", ""},
	} {
		if _, err := Dial(ctx, v.network, v.addr, clientConfig()); err == nil || !strings.Contains(err.Error(), v.want) {
			t.Errorf("Dial(%s, %s): %v, want %q", v.network, v.addr, err, v.want)
		}
	}
	if _, err := Dial(ctx, "udp", "127.0.0.1:1", &Config{}); err == nil {
		t.Error("Dial without TLS")
	}
	if _, err := Listen(ctx, "udp", "127.0.0.1:0", nil); err == nil {
		t.Error("Listen without TLS")
	}
	bad := clientConfig()
	bad.Core.CongestionControl = "nonsense"
	if _, err := Dial(ctx, "udp", "127.0.0.1:1", bad); err == nil || !strings.Contains(err.Error(), "nonsense") {
		t.Errorf("bad congestion control: %v", err)
	}
	bad = serverConfig()
	bad.Core.StreamScheduler = "nonsense"
	if _, err := Listen(ctx, "udp", "127.0.0.1:0", bad); err == nil || !strings.Contains(err.Error(), "nonsense") {
		t.Errorf("bad scheduler: %v", err)
	}
	short, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	silent := listenOne(t, "udp4", "127.0.0.1:0", nil) // reads nothing
	if _, err := Dial(short, "udp", silent.LocalAddr().String(), clientConfig()); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("silent server: %v", err)
	}
}

func TestHandshakeFailures(t *testing.T) {
	l := listen(t, serverConfig(), echo)
	for _, v := range []struct {
		name   string
		change func(*tls.Config)
	}{
		{"no common ALPN", func(c *tls.Config) { c.NextProtos = []string{"other"} }},
		{"unknown authority", func(c *tls.Config) { c.RootCAs = nil }},
		{"wrong name", func(c *tls.Config) { c.ServerName = "other.example" }},
	} {
		cfg := clientConfig()
		v.change(cfg.TLS)
		_, err := Dial(testContext(t), "udp", l.Addr().String(), cfg)
		var te *core.TransportError
		if !errors.As(err, &te) {
			t.Errorf("%s: %v, want a transport error", v.name, err)
		}
	}
	roundTrip(t, dial(t, l, clientConfig()), []byte("still alive"))
}
