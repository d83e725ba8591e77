package core

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/pquic-go/pquic/core/wire"
	"github.com/pquic-go/pquic/protoops"
)

// A stamper is a plugin that writes a frame of fixed size into every packet, in
// the room it has booked.
type stamper struct {
	typ                     wire.FrameType
	size                    int
	asked, written, arrived int
	write                   func(a *WriteArg)
}

func attachStamper(t testing.TB, c *Conn, i int, d FrameDecl) *stamper {
	s := &stamper{typ: wire.FrameType(0x2d00 + i), size: 16}
	d.Type, d.Packets, d.Owner = s.typ, 1<<wire.OneRTT, fmt.Sprint("org.example.stamp", i)
	if err := c.DeclareFrame(d); err != nil {
		t.Fatal(err)
	}
	attach(t, c, &protoops.Plugin{Name: d.Owner, Owned: true, Bindings: []protoops.Binding{
		onFrame(protoops.Replace, "parse_frame", s.typ, func(call *protoops.Call) error {
			_, _, n := parseNote(call.ArgBytes(0))
			return call.SetResult(0, uint64(n))
		}),
		onFrame(protoops.Replace, "process_frame", s.typ, func(*protoops.Call) error { s.arrived++; return nil }),
		onFrame(protoops.Replace, "write_frame", s.typ, func(call *protoops.Call) error {
			a := protoops.ArgsOf[WriteArg](call)
			s.asked++
			if s.write != nil {
				s.write(a)
			} else if a.Builder.AppendFrame(s.typ, note(s.typ, 1, int(a.Room)), 0) {
				s.written++
			}
			return nil
		}),
	}})
	return s
}

func attachStampers(t testing.TB, n int, d FrameDecl) (l *lab, client, server []*stamper) {
	l = connected(t, onClient(func(c *Conn) {
		for i := range n {
			client = append(client, attachStamper(t, c, i, d))
		}
	}), onServer(func(c *Conn) {
		for i := range n {
			server = append(server, attachStamper(t, c, i, d))
		}
	}))
	return l, client, server
}

// Several plugins have a frame in every packet, and packets stay full: runs of
// equal size go on.
func TestSeamRoomsOfSeveralPlugins(t *testing.T) {
	l, client, server := attachStampers(t, 3, FrameDecl{AckEliciting: true, CongestionControlled: true})
	for i, s := range client {
		if err := l.c.BookRoom(s.typ, 16+8*i); err != nil {
			t.Fatal(err)
		}
	}
	full, packets := 0, 0
	attach(t, l.c, plugin("org.example.sizes", post("packet_sealed", func(call *protoops.Call) error {
		if a := protoops.ArgsOf[PacketArg](call); a.Packet.Size > 200 {
			packets++
			if uint64(a.Packet.Size) == a.Path.MTU {
				full++
			}
		}
		return nil
	})))
	l.transfer(l.c, l.s, 300_000)
	l.wait(time.Second)
	for i, s := range client {
		if s.written < 200 || server[i].arrived != s.written {
			t.Errorf("plugin %d: %d written, %d arrived", i, s.written, server[i].arrived)
		}
	}
	if full < packets-3 {
		t.Errorf("%d of %d packets are full", full, packets)
	}
	// Given up, it is over.
	if err := l.c.BookRoom(client[1].typ, 0); err != nil {
		t.Fatal(err)
	}
	asked := client[1].asked
	others := client[2].asked
	l.transfer(l.c, l.s, 10_000)
	if client[1].asked != asked || client[2].asked == others {
		t.Error("asked after giving up, or the others were not")
	}
	l.noFault(l.c)
}

// Room that no plugin fills is the stream's; a frame longer than booked is
// erased and takes nothing from the next plugin.
func TestSeamRoomsUnused(t *testing.T) {
	l, client, server := attachStampers(t, 2, FrameDecl{AckEliciting: true, CongestionControlled: true})
	client[0].write = func(*WriteArg) {}
	client[1].write = client[0].write
	for _, s := range client {
		if err := l.c.BookRoom(s.typ, 100); err != nil {
			t.Fatal(err)
		}
	}
	l.transfer(l.c, l.s, 200_000)
	if sent, least := l.c.path0.PacketsSent, uint64(200_000/l.c.path0.MTU); sent > least*12/10+10 {
		t.Errorf("%d packets, %d would do", sent, least)
	}
	client[0].write = func(a *WriteArg) {
		if a.Builder.AppendFrame(client[0].typ, note(client[0].typ, 1, 101), 0) {
			client[0].written++
		}
	}
	client[1].write = nil
	l.transfer(l.c, l.s, 50_000)
	if client[0].written != 0 && server[0].arrived != 0 {
		t.Errorf("a frame longer than booked was written %d times and arrived %d times", client[0].written, server[0].arrived)
	}
	if client[1].written < 30 {
		t.Errorf("the other plugin wrote %d frames", client[1].written)
	}
	l.noFault(l.c)
}

// A packet that elicits no acknowledgment does not begin to because of a plugin.
func TestSeamRoomsInAcks(t *testing.T) {
	l, _, server := attachStampers(t, 1, FrameDecl{AckEliciting: true, CongestionControlled: true})
	if err := l.s.BookRoom(server[0].typ, 16); err != nil {
		t.Fatal(err)
	}
	l.transfer(l.c, l.s, 100_000)
	acks := l.s.path0.Space.AcksSent
	if server[0].asked > 5 || acks < 10 {
		t.Errorf("asked %d times in %d acknowledgments", server[0].asked, acks)
	}

	l, _, server = attachStampers(t, 1, FrameDecl{})
	if err := l.s.BookRoom(server[0].typ, 16); err != nil {
		t.Fatal(err)
	}
	l.transfer(l.c, l.s, 100_000)
	if server[0].written < 10 {
		t.Errorf("a frame of the ACK class was written %d times", server[0].written)
	}
}

func TestBookRoomRefused(t *testing.T) {
	c := idleConn(t)
	if err := c.BookRoom(0x2d00, 1); !errors.Is(err, ErrFrameType) {
		t.Errorf("undeclared: %v", err)
	}
	for i := range maxBookings + 1 {
		attachStamper(t, c, i, FrameDecl{})
		err := c.BookRoom(wire.FrameType(0x2d00+i), 20)
		if ok := i < maxBookings; ok != (err == nil) || err != nil && !errors.Is(err, ErrRoom) {
			t.Errorf("booking %d: %v", i, err)
		}
	}
	if err := c.BookRoom(0x2d00, maxBooked); !errors.Is(err, ErrRoom) {
		t.Errorf("too much in all: %v", err)
	}
	if err := c.BookRoom(0x2d00, -1); !errors.Is(err, ErrFrameType) {
		t.Errorf("negative: %v", err)
	}
	if err := c.BookRoom(0x2d00, 30); err != nil {
		t.Errorf("another size: %v", err)
	}
	c.WithdrawFrame(0x2d00)
	if len(c.plug.rooms) != maxBookings-1 {
		t.Errorf("%d bookings are left", len(c.plug.rooms))
	}
}

// Room reserved in the packet being built belongs to the plugin that asked.
func TestReserveBelongsToThePlugin(t *testing.T) {
	l := connected(t)
	ran := 0
	reserve := func(name string, n int, check func(b *PacketBuilder)) {
		if err := l.c.DeclareFrame(FrameDecl{Type: wire.FrameType(0x2d00 + ran), Packets: 1 << wire.OneRTT, Owner: name}); err != nil {
			t.Fatal(err)
		}
		attach(t, l.c, plugin(name, pre("schedule_frames", func(call *protoops.Call) error {
			b := protoops.ArgsOf[BuilderArg](call).Builder
			if b.level != level1RTT {
				return nil
			}
			ran++
			room := b.Room()
			if !b.Reserve(n) || b.Held() != n || b.Room() != room-n {
				t.Errorf("%s: room %d, then %d, held %d", name, room, b.Room(), b.Held())
			}
			if b.Reserve(len(b.buf)) || b.Reserve(-1) || b.Reserve(len(b.buf)/2) {
				t.Errorf("%s: reserved more than half the packet", name)
			}
			check(b)
			return nil
		})))
		ran++
	}
	frame := func(n int) []byte { return note(0x2d00, 1, n) }
	reserve("org.example.a", 50, func(b *PacketBuilder) {})
	reserve("org.example.b", 30, func(b *PacketBuilder) {
		at, left := len(b.b), b.Room()
		if b.AppendFrame(0x2d00, frame(left+31), 0) {
			t.Error("took what another plugin holds")
		}
		if !b.AppendFrame(0x2d00, frame(20), 0) || b.Held() != 10 || b.Room() != left {
			t.Errorf("held %d, room %d instead of %d", b.Held(), b.Room(), left)
		}
		b.b, b.records = b.b[:at], b.records[:len(b.records)-1]
		b.Release()
		if b.Held() != 0 || b.reserve != 50 {
			t.Errorf("released: held %d, all plugins %d", b.Held(), b.reserve)
		}
	})
	ran = 0
	l.transfer(l.c, l.s, 5000)
	if ran < 8 {
		t.Errorf("ran %d times", ran)
	}
	l.noFault(l.c)
}
