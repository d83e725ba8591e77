package core

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/pquic-go/pquic/core/wire"
	"github.com/pquic-go/pquic/protoops"
)

// noteFrame is a frame of a plugin: its type, the sender's counter as a varint,
// one byte of length and that many bytes of text.
const noteFrame wire.FrameType = 0x2f00

// A notebook is a plugin that sends notes and remembers what became of them. It
// sends again what was lost.
type notebook struct {
	c        *Conn
	size     int
	sent     map[uint64]int // times written
	acked    []uint64
	lost     []uint64
	unsent   []uint64
	received []uint64
	resend   bool
	skip     bool // write nothing when asked
	onWrite  func(b *PacketBuilder)
}

func attachNotebook(t testing.TB, c *Conn, decl FrameDecl) *notebook {
	n := &notebook{c: c, sent: make(map[uint64]int), size: 20, resend: true}
	decl.Packets = 1 << wire.OneRTT
	if decl.Type == 0 {
		decl.Type = noteFrame
	}
	if err := c.DeclareFrame(decl); err != nil {
		t.Fatal(err)
	}
	attach(t, c, &protoops.Plugin{Name: fmt.Sprintf("org.example.notes%x", uint64(decl.Type)), Owned: true, Bindings: []protoops.Binding{
		onFrame(protoops.Replace, "parse_frame", decl.Type, func(call *protoops.Call) error {
			_, _, n := parseNote(call.ArgBytes(0))
			return call.SetResult(0, uint64(n))
		}),
		onFrame(protoops.Replace, "process_frame", decl.Type, func(call *protoops.Call) error {
			f := protoops.ArgsOf[Received[PluginFrame]](call).Frame()
			id, text, _ := parseNote(f.Bytes)
			for _, x := range text {
				if x != byte(id) {
					return call.SetResult(0, uint64(ProtocolViolation))
				}
			}
			n.received = append(n.received, id)
			return nil
		}),
		onFrame(protoops.Replace, "write_frame", decl.Type, func(call *protoops.Call) error {
			a := protoops.ArgsOf[WriteArg](call)
			if n.onWrite != nil {
				n.onWrite(a.Builder)
			}
			if !n.skip && a.Builder.AppendFrame(decl.Type, note(decl.Type, a.Cookie, n.size), a.Cookie) {
				n.sent[a.Cookie]++
			}
			return nil
		}),
		onFrame(protoops.Replace, "notify_frame", decl.Type, func(call *protoops.Call) error {
			a := protoops.ArgsOf[FrameFate](call)
			switch a.Fate {
			case FateAcked:
				n.acked = append(n.acked, a.Cookie)
			case FateLost:
				n.lost = append(n.lost, a.Cookie)
				if n.resend {
					return c.ReserveFrame(decl.Type, n.size, a.Cookie, nil)
				}
			case FateUnsent:
				n.unsent = append(n.unsent, a.Cookie)
			}
			return nil
		}),
	}})
	return n
}

// note is a frame of size bytes.
func note(t wire.FrameType, id uint64, size int) []byte {
	b := wire.AppendVarint(nil, uint64(t))
	b = wire.AppendVarintN(b, id, 4)
	n := size - len(b) - 2
	b = wire.AppendVarintN(b, uint64(n), 2)
	return append(b, slices.Repeat([]byte{byte(id)}, n)...)
}

func parseNote(b []byte) (id uint64, text []byte, n int) {
	_, n = wire.ParseVarint(b)
	id, k := wire.ParseVarint(b[n:])
	l, m := wire.ParseVarint(b[n+k:])
	if k == 0 || m == 0 || l > uint64(len(b)-n-k-m) {
		return 0, nil, 0
	}
	n += k + m
	return id, b[n : n+int(l)], n + int(l)
}

func (n *notebook) reserve(t testing.TB, typ wire.FrameType, ids ...uint64) {
	t.Helper()
	for _, id := range ids {
		if err := n.c.ReserveFrame(typ, n.size, id, nil); err != nil {
			t.Fatal(err)
		}
	}
}

// controlled is a frame that waits for the congestion window and elicits an
// acknowledgment.
var controlled = FrameDecl{AckEliciting: true, CongestionControlled: true}

// Both ends speak a frame type the engine does not know; its plugin learns of
// every loss and repairs it.
func TestFrameOfAPlugin(t *testing.T) {
	var books []*notebook
	l := connected(t, onBoth(func(c *Conn) { books = append(books, attachNotebook(t, c, controlled)) }))
	client, server := books[0], books[1]
	client.size, server.size = 200, 200
	n := 0
	l.lost = func(d *labDatagram) bool { n++; return n%4 == 3 }
	f := l.open(l.c, l.s, 300_000)
	for i := range uint64(50) {
		client.reserve(t, noteFrame, i)
		server.reserve(t, noteFrame, 1000+i)
	}
	l.until("stream and notes", func() bool {
		return f.pump() && len(client.acked) == 50 && len(server.acked) == 50
	})
	for _, x := range []struct {
		name     string
		from, to *notebook
		base     uint64
	}{{"client to server", client, server, 0}, {"server to client", server, client, 1000}} {
		slices.Sort(x.to.received)
		want := make([]uint64, 50)
		for i := range want {
			want[i] = x.base + uint64(i)
		}
		if got := slices.Compact(x.to.received); !slices.Equal(got, want) {
			t.Errorf("%s: received %v", x.name, got)
		}
		times := 0
		for _, k := range x.from.sent {
			times += k
		}
		if len(x.from.lost) == 0 || times != 50+len(x.from.lost) {
			t.Errorf("%s: %d lost, written %d times", x.name, len(x.from.lost), times)
		}
	}
	l.noFault(l.c)
	l.noFault(l.s)
}

// Observers see the frames of the engine's own types too.
func TestFrameOperationsOfNativeTypes(t *testing.T) {
	count := map[string]int{}
	see := func(name string) func(*protoops.Call) error {
		return func(*protoops.Call) error { count[name]++; return nil }
	}
	l := connected(t)
	attach(t, l.s, plugin("org.example.see",
		onFrame(protoops.Pre, "parse_frame", wire.Stream, see("parse")),
		onFrame(protoops.Post, "process_frame", wire.Stream, func(call *protoops.Call) error {
			count["bytes"] += len(protoops.ArgsOf[Received[wire.StreamFrame]](call).Frame().Data)
			return nil
		})))
	attach(t, l.c, plugin("org.example.see",
		onFrame(protoops.Post, "write_frame", wire.MaxData, see("write MAX_DATA")),
		onFrame(protoops.Post, "notify_frame", wire.Stream, func(call *protoops.Call) error {
			if a := protoops.ArgsOf[FrameFate](call); a.Fate == FateAcked {
				count["acked"] += int(a.Length)
			}
			return nil
		})))
	l.transfer(l.c, l.s, 100_000)
	l.transfer(l.s, l.c, 2_000_000)
	l.wait(time.Second)
	if count["parse"] < 60 || count["bytes"] != 100_000 || count["acked"] != 100_000 || count["write MAX_DATA"] == 0 {
		t.Error(count)
	}
}

// A pluglet replaces the parser of a native frame: it sees MAX_DATA with another
// limit.
func TestReplaceNativeFrame(t *testing.T) {
	l := connected(t)
	attach(t, l.c, plugin("org.example.generous", onFrame(protoops.Replace, "parse_frame", wire.MaxData, func(call *protoops.Call) error {
		call.Native()
		protoops.ResultOf[Parsed[wire.MaxDataFrame]](call).Frame().Max += 1 << 40
		return nil
	})))
	f := l.open(l.c, l.s, 2_000_000)
	l.until("MAX_DATA", func() bool { f.pump(); return l.c.v.MaxDataRemote > 1<<40 })
	l.noFault(l.c)
}

func TestFrameDeclarations(t *testing.T) {
	c := idleConn(t)
	for _, d := range []FrameDecl{{Type: wire.Stream}, {Type: wire.AckFrequency}, {Type: 1 << 62}} {
		if err := c.DeclareFrame(d); !errors.Is(err, ErrFrameType) {
			t.Errorf("declared %v: %v", d.Type, err)
		}
	}
	attachNotebook(t, c, controlled)
	if err := c.DeclareFrame(FrameDecl{Type: noteFrame}); !errors.Is(err, ErrFrameType) {
		t.Errorf("declared twice: %v", err)
	}
	for _, r := range []Reservation{{Type: 0x7777, Size: 1}, {Type: noteFrame}, {Type: noteFrame, Size: 1 << 20}} {
		if err := c.ReserveFrames(r); !errors.Is(err, ErrFrameType) {
			t.Errorf("reserved %+v: %v", r, err)
		}
	}
	for range maxReserved {
		if err := c.ReserveFrame(noteFrame, 20, 0, nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.ReserveFrame(noteFrame, 20, 0, nil); !errors.Is(err, ErrReservations) {
		t.Errorf("one too many: %v", err)
	}
	c.WithdrawFrame(noteFrame)
	if c.HasReserved() || c.v.ReservedFrames != 0 {
		t.Error("frames of a withdrawn type still wait")
	}
}

// A frame no one declared ends the connection, and says so.
func TestUnknownFrame(t *testing.T) {
	var book *notebook
	var unknown uint64
	l := connected(t, onClient(func(c *Conn) { book = attachNotebook(t, c, controlled) }), onServer(func(c *Conn) {
		attach(t, c, plugin("org.example.unknown", pre("unknown_frame", func(call *protoops.Call) error { unknown = call.Arg(0); return nil })))
	}))
	book.reserve(t, noteFrame, 1)
	l.until("close", func() bool { return l.c.Err() != nil })
	var te *TransportError
	if !errors.As(l.c.Err(), &te) || te.Code != FrameEncodingError || te.FrameType != noteFrame || !te.Remote {
		t.Errorf("the client's connection ended with %v", l.c.Err())
	}
	if unknown != uint64(noteFrame) {
		t.Errorf("unknown_frame saw %#x", unknown)
	}
}

// What a plugin reserves and then does not write, or writes too long, is not
// sent, and the plugin is told.
func TestFrameNotWritten(t *testing.T) {
	var books []*notebook
	l := connected(t, onBoth(func(c *Conn) { books = append(books, attachNotebook(t, c, controlled)) }))
	client, server := books[0], books[1]
	client.skip = true
	client.reserve(t, noteFrame, 7)
	l.until("told", func() bool { return slices.Equal(client.unsent, []uint64{7}) })
	client.skip = false
	if err := l.c.ReserveFrame(noteFrame, client.size-1, 8, nil); err != nil {
		t.Fatal(err)
	}
	l.until("told", func() bool { return slices.Equal(client.unsent, []uint64{7, 8}) })
	client.reserve(t, noteFrame, 9)
	l.until("the next one", func() bool { return slices.Equal(server.received, []uint64{9}) })
	if l.c.HasReserved() {
		t.Error("frames still wait")
	}
}

// The frames of a block travel together, riders only with others.
func TestFrameBlocksAndRiders(t *testing.T) {
	var books []*notebook
	l := connected(t, onBoth(func(c *Conn) { books = append(books, attachNotebook(t, c, controlled)) }))
	client, server := books[0], books[1]
	client.size = 500
	packets := 0
	attach(t, l.c, plugin("org.example.count", post("packet_sealed", func(*protoops.Call) error { packets++; return nil })))
	at := map[uint64]int{}
	client.onWrite = func(b *PacketBuilder) { at[b.cookie] = packets }
	rider := func(id uint64, r bool) Reservation {
		return Reservation{Type: noteFrame, Size: client.size, Cookie: id, Rider: r}
	}
	// Three of 500 bytes do not fit into one packet of 1200, blocks of two do.
	if err := l.c.ReserveFrames(rider(0, false)); err != nil {
		t.Fatal(err)
	}
	for _, id := range []uint64{10, 20} {
		if err := l.c.ReserveFrames(rider(id, false), rider(id+1, false)); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.c.ReserveFrames(rider(30, true)); err != nil {
		t.Fatal(err)
	}
	l.until("blocks", func() bool { return len(server.received) >= 5 })
	if at[10] != at[11] || at[20] != at[21] || at[10] == at[20] {
		t.Errorf("blocks were written in packets %v", at)
	}
	if packets > 6 {
		t.Errorf("%d packets", packets)
	}
	l.wait(5 * time.Second)
	if _, went := at[30]; went && at[30] != at[0] {
		t.Errorf("a rider caused a packet: %v", at)
	}
	if err := l.c.ReserveFrames(rider(40, true)); err != nil {
		t.Fatal(err)
	}
	l.wait(5 * time.Second)
	if _, went := at[40]; went {
		t.Error("a rider caused a packet")
	}
	l.transfer(l.c, l.s, 10)
	l.until("rider", func() bool { return slices.Contains(server.received, 40) })
}

// Reservations made, and cancelled, while reservations are being served.
func TestFrameReservedWhileWriting(t *testing.T) {
	var books []*notebook
	l := connected(t, onBoth(func(c *Conn) { books = append(books, attachNotebook(t, c, controlled)) }))
	client, server := books[0], books[1]
	more := 100
	client.onWrite = func(b *PacketBuilder) {
		if more > 0 {
			more--
			client.reserve(t, noteFrame, uint64(1000+more))
		}
		if b.cookie == 3 {
			if n := l.c.CancelReserved(noteFrame); n == 0 {
				t.Error("nothing was cancelled")
			}
		}
	}
	for i := range uint64(10) {
		client.reserve(t, noteFrame, i)
	}
	l.until("what is left", func() bool { return !l.c.HasReserved() && len(server.received) > 3 })
	if slices.Contains(server.received, 5) {
		t.Error("a cancelled frame arrived")
	}
	l.noFault(l.c)
}

// The engine's data keeps its half, and plugins share the other by weight.
func TestFrameShares(t *testing.T) {
	const light, heavy = wire.FrameType(0x2f01), wire.FrameType(0x2f02)
	var books []*notebook
	l := connected(t, onBoth(func(c *Conn) {
		for i, typ := range []wire.FrameType{light, heavy} {
			d := controlled
			d.Type, d.Owner, d.Weight = typ, fmt.Sprint("plugin", i), uint32(10+20*i)
			n := attachNotebook(t, c, d)
			n.size, n.resend = 200, false
			books = append(books, n)
		}
	}))
	for i := range uint64(1500) {
		books[0].reserve(t, light, i)
		books[1].reserve(t, heavy, i)
	}
	f := l.open(l.c, l.s, 4<<20)
	l.until("part", func() bool { f.pump(); return f.read >= 200_000 })
	a, b := len(books[2].received)*200, len(books[3].received)*200
	if total := a + b + f.read; f.read < total*45/100 || f.read > total*60/100 {
		t.Errorf("the stream got %d of %d bytes", f.read, total)
	}
	if b < 2*a || b > 4*a {
		t.Errorf("weights 10 and 30 got %d and %d bytes", a, b)
	}
	// With no stream data the plugins have it all.
	l.until("rest", func() bool { f.pump(); return !l.c.HasReserved() })
}

// Frames outside congestion control and acknowledgment go out when the window is
// closed and take nothing from anyone's share.
func TestFrameExempt(t *testing.T) {
	var books []*notebook
	l := connected(t, onBoth(func(c *Conn) { books = append(books, attachNotebook(t, c, FrameDecl{})) }))
	l.c.path0.Congestion.CongestionWindow = 10 * l.c.path0.MTU // as much as leaves at once
	f := l.open(l.c, l.s, 1<<20)
	f.pump()
	l.flush()
	if l.c.path0.Congestion.BytesInFlight+l.c.path0.MTU <= l.c.path0.Congestion.CongestionWindow {
		t.Fatal("the window is not closed")
	}
	inFlight := l.c.path0.Congestion.BytesInFlight
	books[0].reserve(t, noteFrame, 1)
	l.flush()
	if books[0].sent[1] != 1 || l.c.path0.Congestion.BytesInFlight != inFlight || l.c.plug.credit < 0 {
		t.Errorf("sent %d times, %d bytes in flight instead of %d, credit %d", books[0].sent[1], l.c.path0.Congestion.BytesInFlight, inFlight, l.c.plug.credit)
	}
	l.until("rest", f.pump)
}
