package core

import (
	"fmt"
	"math"
	mrand "math/rand/v2"
	"testing"

	"github.com/pquic-go/pquic/core/wire"
	"github.com/pquic-go/pquic/protoops"
)

// A talker always has frames waiting, of any size.
type talker struct {
	c       *Conn
	typ     wire.FrameType
	r       *mrand.Rand
	wrote   int
	last    int // packets sealed when it last wrote
	gap     int // longest it waited, packets
	packets *int
}

func attachTalker(t testing.TB, c *Conn, i int, weight uint32, packets *int) *talker {
	k := &talker{c: c, typ: wire.FrameType(0x2c00 + i), r: mrand.New(mrand.NewPCG(uint64(i), 3)), packets: packets}
	owner := fmt.Sprint("org.example.talker", i)
	if err := c.DeclareFrame(FrameDecl{Type: k.typ, Packets: 1 << wire.OneRTT, AckEliciting: true, CongestionControlled: true, Owner: owner, Weight: weight}); err != nil {
		t.Fatal(err)
	}
	attach(t, c, &protoops.Plugin{Name: owner, Bindings: []protoops.Binding{
		onFrame(protoops.Replace, "write_frame", k.typ, func(call *protoops.Call) error {
			a := protoops.ArgsOf[WriteArg](call)
			// It fills what it booked.
			if a.Room != a.Cookie || !a.Builder.AppendFrame(k.typ, note(k.typ, 1, int(a.Room)), 0) {
				t.Errorf("no room for %d booked bytes", a.Cookie)
			}
			k.wrote += int(a.Room)
			k.gap = max(k.gap, *packets-k.last)
			k.last = *packets
			return k.book()
		}),
	}})
	return k
}

func (k *talker) book() error {
	n := 20 + k.r.IntN(500)
	return k.c.ReserveFrame(k.typ, n, uint64(n), nil)
}

// listen lets c take the frames of n talkers.
func listen(t testing.TB, c *Conn, n int) {
	p := plugin("org.example.listener")
	for i := range n {
		typ := wire.FrameType(0x2c00 + i)
		if err := c.DeclareFrame(FrameDecl{Type: typ, Packets: 1 << wire.OneRTT, AckEliciting: true}); err != nil {
			t.Fatal(err)
		}
		p.Bindings = append(p.Bindings, onFrame(protoops.Replace, "parse_frame", typ, func(call *protoops.Call) error {
			_, _, n := parseNote(call.ArgBytes(0))
			return call.SetResult(0, uint64(n))
		}))
	}
	attach(t, c, p)
}

// Over ten thousand packets each plugin's share of what is left to plugins is its
// weight's, within one percent, and so is the engine's share of it all; no one
// waits long.
func TestFrameSharesProperty(t *testing.T) {
	for _, x := range []struct {
		core    uint64
		weights []uint32
	}{
		{50, []uint32{16}},
		{50, []uint32{10, 30}},
		{80, []uint32{1, 1, 1}},
		{20, []uint32{5, 100, 40, 16}},
	} {
		t.Run(fmt.Sprint(x.core, x.weights), func(t *testing.T) {
			packets, bytes := 0, 0
			l := connected(t)
			l.rate = 10_000_000 // so that stream data always waits
			attach(t, l.c, plugin("org.example.share",
				replace("core_share", func(call *protoops.Call) error { return call.SetResult(0, x.core) }),
				post("packet_sealed", func(call *protoops.Call) error {
					packets++
					bytes += int(protoops.ArgsOf[PacketArg](call).Packet.Size)
					return nil
				})))
			listen(t, l.s, len(x.weights))
			var talkers []*talker
			sum := uint32(0)
			for i, w := range x.weights {
				talkers = append(talkers, attachTalker(t, l.c, i, w, &packets))
				sum += w
			}
			f := l.open(l.c, l.s, 64<<20)
			packets, bytes = 0, 0
			for _, k := range talkers {
				for range 3 {
					if err := k.book(); err != nil {
						t.Fatal(err)
					}
				}
			}
			l.until("packets", func() bool { f.pump(); return packets >= 10_000 })
			plugins := 0
			for _, k := range talkers {
				plugins += k.wrote
			}
			within := func(what string, got, of int, want float64) {
				if share := float64(got) / float64(of); math.Abs(share-want) > 0.01 {
					t.Errorf("%s: %.4f of the bytes, not %.4f", what, share, want)
				}
			}
			within("plugins together", plugins, bytes, float64(100-x.core)/100)
			for i, k := range talkers {
				within(fmt.Sprint("weight ", x.weights[i]), k.wrote, plugins, float64(x.weights[i])/float64(sum))
				if most := 40 * int(sum) / int(x.weights[i]); k.gap > most {
					t.Errorf("weight %d waited %d packets", x.weights[i], k.gap)
				}
			}
			l.noFault(l.c)
		})
	}
}

// A frame that fits into no packet is given back instead of waiting for ever.
func TestFrameTooLongForAnyPacket(t *testing.T) {
	l := connected(t)
	books := attachNotebook(t, l.c, controlled)
	books.resend = false
	if err := l.c.ReserveFrames(Reservation{Type: noteFrame, Size: 20, Cookie: 1}, Reservation{Type: noteFrame, Size: maxBuiltPayload - 100, Cookie: 2}); err != nil {
		t.Fatal(err)
	}
	l.until("told", func() bool { return len(books.unsent) == 2 })
	if l.c.HasReserved() {
		t.Error("it still waits")
	}
}

// Reserving a frame and writing it, and writing into booked room, allocate
// nothing.
func TestReservedFramesDoNotAllocate(t *testing.T) {
	l := connected(t)
	frame := note(noteFrame, 1, 30)
	if err := l.c.DeclareFrame(FrameDecl{Type: noteFrame, Packets: 1 << wire.OneRTT, AckEliciting: true, CongestionControlled: true, Owner: "org.example.notes"}); err != nil {
		t.Fatal(err)
	}
	attach(t, l.c, plugin("org.example.notes", onFrame(protoops.Replace, "write_frame", noteFrame, func(call *protoops.Call) error {
		call.ArgHandle(0).(*PacketBuilder).AppendFrame(noteFrame, frame, 1)
		return nil
	})))
	if err := l.c.BookRoom(noteFrame, 40); err != nil {
		t.Fatal(err)
	}
	b, p := l.c.builder(), l.c.path0
	buf := make([]byte, 1200)
	written := 0
	if n := testing.AllocsPerRun(1000, func() {
		for range 3 {
			if err := l.c.ReserveFrame(noteFrame, 40, 7, nil); err != nil {
				t.Fatal(err)
			}
		}
		b.start(buf, 0, p, p.route, level1RTT)
		l.c.holdRooms(b)
		l.c.writeReserved(b, false)
		l.c.fillRooms(b)
		written += len(b.records)
	}); n != 0 {
		t.Errorf("%v allocations per packet", n)
	}
	if written != 4*1001 {
		t.Errorf("%d frames written", written)
	}
}
