package core

import (
	"bytes"
	"encoding/binary"
	"testing"
	"time"

	"github.com/pquic-go/pquic/core/stream"
	"github.com/pquic-go/pquic/core/wire"
	"github.com/pquic-go/pquic/protoops"
)

// pipeFrame carries the plugin streams of these tests.
const pipeFrame wire.FrameType = 0x2d00

// A pipe is a plugin that talks to its peer over plugin streams.
type pipe struct {
	c      *Conn
	opened []uint64
}

func attachPipe(t testing.TB, c *Conn) *pipe {
	p := &pipe{c: c}
	if err := c.DeclareFrame(FrameDecl{Type: pipeFrame, Packets: 1 << wire.OneRTT, AckEliciting: true, CongestionControlled: true}); err != nil {
		t.Fatal(err)
	}
	attach(t, c, &protoops.Plugin{Name: "org.example.pipe", Owned: true, Bindings: []protoops.Binding{
		onFrame(protoops.Replace, "parse_frame", pipeFrame, func(call *protoops.Call) error {
			return call.SetResult(0, uint64(ParsePluginStreamFrame(call.ArgBytes(0))))
		}),
		onFrame(protoops.Replace, "process_frame", pipeFrame, func(call *protoops.Call) error {
			_, err := c.ProcessPluginStreamFrame(protoops.ArgsOf[Received[PluginFrame]](call).Frame().Bytes)
			return err
		}),
		post("plugin_stream_opened", func(call *protoops.Call) error {
			p.opened = append(p.opened, call.Arg(1))
			return nil
		}),
	}})
	return p
}

// pumpPipe moves bytes through a plugin stream and reports whether total arrived.
func pumpPipe(t testing.TB, from, to *PluginStream, written, read *int, total int) bool {
	t.Helper()
	var b [8192]byte
	for *written < total {
		n := min(len(b), total-*written)
		for i := range b[:n] {
			b[i] = flowByte(from.ID, *written+i)
		}
		k := from.SendFIFO().Write(b[:n])
		if *written += k; *written == total {
			from.SendFIFO().CloseWrite()
		}
		if k < n {
			break
		}
	}
	from.Written()
	if to == nil {
		return false
	}
	for {
		n := to.RecvFIFO().Read(b[:])
		if n == 0 {
			break
		}
		for i, x := range b[:n] {
			if x != flowByte(from.ID, *read+i) {
				t.Fatalf("plugin stream %d: byte %d is wrong", from.ID, *read+i)
			}
		}
		*read += n
	}
	to.Read()
	return *read == total
}

// A plugin stream carries more than its window both ways under loss, with credit
// of its own: the application's flow control does not notice.
func TestSeamPluginStream(t *testing.T) {
	var pipes []*pipe
	l := connected(t, onBoth(func(c *Conn) { pipes = append(pipes, attachPipe(t, c)) }))
	n := 0
	l.lost = func(*labDatagram) bool { n++; return n%20 == 7 }
	up, err := l.c.OpenPluginStream(pipeFrame, 5)
	if err != nil {
		t.Fatal(err)
	}
	sent, received := l.c.v.DataSent, l.s.v.DataReceived
	const total = 900_000
	var w, r [2]int
	l.until("both directions", func() bool {
		down := l.s.pluginStream(pipeFrame, 5)
		a := pumpPipe(t, up, down, &w[0], &r[0], total)
		b := down != nil && pumpPipe(t, down, up, &w[1], &r[1], total)
		return a && b
	})
	down := l.s.pluginStream(pipeFrame, 5)
	l.until("settled", func() bool { return up.Done() && down.Done() })
	if l.c.v.DataSent != sent || l.s.v.DataReceived != received || l.c.v.StreamsOpen != 0 {
		t.Errorf("the application was charged: %d sent, %d received, %d streams", l.c.v.DataSent-sent, l.s.v.DataReceived-received, l.c.v.StreamsOpen)
	}
	if len(pipes[0].opened) != 1 || len(pipes[1].opened) != 1 {
		t.Errorf("opened %v and %v", pipes[0].opened, pipes[1].opened)
	}
	l.c.ReleasePluginStream(up)
	l.s.ReleasePluginStream(down)
	again, err := l.c.OpenPluginStream(pipeFrame, 5)
	if err != nil || again == up || len(l.c.plug.streams) != 1 {
		t.Errorf("opened again: %v, %d held", err, len(l.c.plug.streams))
	}
	l.noFault(l.c)
	l.noFault(l.s)
}

// A plugin stream that nobody reads stops at its window, and the application's
// streams go on.
func TestSeamPluginStreamCredit(t *testing.T) {
	l := connected(t, onBoth(func(c *Conn) { attachPipe(t, c) }))
	s, _ := l.c.OpenPluginStream(pipeFrame, 1)
	b := make([]byte, pluginStreamWindow+1000)
	if n := s.SendFIFO().Write(b); n != pluginStreamWindow {
		t.Fatalf("wrote %d bytes", n)
	}
	s.Written()
	l.wait(5 * time.Second)
	s.SendFIFO().Write(b[:1000])
	s.Written()
	l.transfer(l.c, l.s, 300_000)
	l.wait(time.Second)
	peer := l.s.pluginStream(pipeFrame, 1)
	if got := peer.RecvFIFO().Len(); got != pluginStreamWindow {
		t.Errorf("%d bytes arrived, the window is %d", got, pluginStreamWindow)
	}
	for range maxPluginStreams - 1 {
		if _, err := l.c.OpenPluginStream(pipeFrame, uint64(100+len(l.c.plug.streams))); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := l.c.OpenPluginStream(pipeFrame, 9999); err == nil {
		t.Error("plugin streams without end")
	}
}

// The application's data goes first.
func TestSeamPluginStreamYields(t *testing.T) {
	l := connected(t, onBoth(func(c *Conn) { attachPipe(t, c) }))
	l.rate = 1_000_000
	s, _ := l.c.OpenPluginStream(pipeFrame, 1)
	f := l.open(l.c, l.s, 1_000_000)
	f.pump()
	s.SendFIFO().Write(make([]byte, 200_000))
	s.Written()
	l.until("application's data", f.pump)
	got := 0
	if peer := l.s.pluginStream(pipeFrame, 1); peer != nil {
		got = peer.RecvFIFO().Len()
	}
	if got > 20_000 {
		t.Errorf("%d bytes of the plugin came before the application's last", got)
	}
	l.until("plugin's data", func() bool {
		peer := l.s.pluginStream(pipeFrame, 1)
		return peer != nil && peer.RecvFIFO().Len() == 200_000
	})
}

func TestSeamPluginStreamMalformed(t *testing.T) {
	good := []byte{0x6d, 0x00, 5, 0, 0, 3, 'a', 'b', 'c'}
	if n := ParsePluginStreamFrame(good); n != len(good) {
		t.Errorf("parsed %d bytes of %d", n, len(good))
	}
	for n := range len(good) {
		if got := ParsePluginStreamFrame(good[:n]); got != 0 {
			t.Errorf("%d bytes parsed as %d", n, got)
		}
	}
	if n := ParsePluginStreamFrame([]byte{0x6d, 0x00, 5, 3, 0, 0}); n != 0 {
		t.Error("an unknown kind parsed")
	}
}

// sharedFIFO returns both ends of a FIFO in memory: the engine's and that of an
// external application.
func sharedFIFO(t testing.TB, size int, engine stream.Side) (mem []byte, ours, theirs *stream.FIFO) {
	t.Helper()
	mem = make([]byte, stream.SharedHeader+size)
	ours, err := stream.NewFIFOOn(mem, engine, true)
	if err != nil {
		t.Fatal(err)
	}
	other := stream.Producer
	if engine == stream.Producer {
		other = stream.Consumer
	}
	if theirs, err = stream.NewFIFOOn(mem, other, false); err != nil {
		t.Fatal(err)
	}
	return mem, ours, theirs
}

// A stream whose bytes cross in memory shared with another process, on both
// sides: offsets only, no pointer, and it wraps many times.
func TestSeamSharedFIFOs(t *testing.T) {
	const size = 1 << 17
	_, sendOurs, app := sharedFIFO(t, size, stream.Consumer)
	_, recvOurs, reader := sharedFIFO(t, size, stream.Producer)
	l := connected(t, configs(func(c, s *Config) {
		c.StreamFIFOs = func(_ *Conn, id uint64) (send, recv *stream.FIFO) { return sendOurs, nil }
		s.StreamWindow, s.MaxStreamWindow = 1<<16, 1<<20
		s.StreamFIFOs = func(_ *Conn, id uint64) (send, recv *stream.FIFO) { return nil, recvOurs }
	}))
	n := 0
	l.lost = func(*labDatagram) bool { n++; return n%30 == 3 }
	st, err := l.c.OpenStream(false)
	if err != nil {
		t.Fatal(err)
	}
	const total = 2 << 20
	written, read := 0, 0
	var b [4096]byte
	l.until("transfer", func() bool {
		for written < total {
			k := min(len(b), total-written)
			for i := range b[:k] {
				b[i] = flowByte(st.ID, written+i)
			}
			m := app.Write(b[:k])
			if written += m; written == total {
				app.CloseWrite()
			}
			if m < k {
				break
			}
		}
		l.c.StreamWritten(l.now, st)
		for m := reader.Read(b[:]); m > 0; m = reader.Read(b[:]) {
			for i, x := range b[:m] {
				if x != flowByte(st.ID, read+i) {
					t.Fatalf("byte %d is wrong", read+i)
				}
			}
			read += m
		}
		if s := l.s.Stream(st.ID); s != nil {
			l.s.StreamRead(l.now, s)
		}
		return read == total
	})
	if end, ok := reader.Final(); !ok || end != total {
		t.Errorf("the reader sees end %d, %v", end, ok)
	}
	l.until("settled", func() bool { return l.c.OpenStreams() == 0 && l.s.OpenStreams() == 0 })
}

// Whoever shares the memory may write anything there: the stream ends with the
// configured code, the connection and its other streams do not.
func TestSeamSharedFIFOsBroken(t *testing.T) {
	const head, tail = 128, 64 // where the consumer's and the producer's index lie
	for _, side := range []string{"sender's application", "receiver's application"} {
		sendMem, sendOurs, app := sharedFIFO(t, 1<<17, stream.Consumer)
		recvMem, recvOurs, _ := sharedFIFO(t, 1<<17, stream.Producer)
		l := connected(t, configs(func(c, s *Config) {
			c.BrokenFIFOCode, s.BrokenFIFOCode = 77, 78
			s.StreamWindow = 1 << 16
			only := func(f *stream.FIFO, id uint64) *stream.FIFO {
				if id == 2 {
					return f
				}
				return nil
			}
			c.StreamFIFOs = func(_ *Conn, id uint64) (send, recv *stream.FIFO) { return only(sendOurs, id), nil }
			s.StreamFIFOs = func(_ *Conn, id uint64) (send, recv *stream.FIFO) { return nil, only(recvOurs, id) }
		}))
		st, err := l.c.OpenStream(false)
		if err != nil {
			t.Fatal(err)
		}
		app.Write(bytes.Repeat([]byte{1}, 50_000))
		l.c.StreamWritten(l.now, st)
		l.wait(time.Second)
		peer := l.s.Stream(st.ID)
		if side == "sender's application" {
			binary.LittleEndian.PutUint64(sendMem[tail:], 1<<50)
			l.c.StreamWritten(l.now, st)
		} else {
			binary.LittleEndian.PutUint64(recvMem[head:], 1<<50)
			l.s.StreamRead(l.now, peer)
		}
		l.wait(time.Second)
		if side == "sender's application" && peer.PeerResetCode != 77 {
			t.Errorf("%s: reset with %d", side, peer.PeerResetCode)
		}
		if side == "receiver's application" && st.PeerStopCode != 78 {
			t.Errorf("%s: stopped with %d", side, st.PeerStopCode)
		}
		l.transfer(l.c, l.s, 300_000)
		l.transfer(l.s, l.c, 300_000)
	}
}

// Memory that cannot hold what the peer has been promised is refused at once.
func TestSeamSharedFIFOTooSmall(t *testing.T) {
	_, small, _ := sharedFIFO(t, 1<<12, stream.Producer)
	l := connected(t, configs(func(_, s *Config) {
		s.StreamFIFOs = func(*Conn, uint64) (send, recv *stream.FIFO) { return nil, small }
	}))
	f := l.open(l.c, l.s, 100)
	f.pump()
	l.until("closed", func() bool { return l.s.Err() != nil })
	if te, ok := l.s.Err().(*TransportError); !ok || te.Code != InternalError {
		t.Errorf("closed with %v", l.s.Err())
	}
}
