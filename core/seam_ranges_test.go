package core

import (
	"testing"

	"github.com/pquic-go/pquic/core/wire"
	"github.com/pquic-go/pquic/protoops"
)

// watchRanges counts, per byte of a stream in units of 1000, how often the
// packets of each path carried it.
func watchRanges(t testing.TB, c *Conn, copies map[uint64]map[uint64]int) {
	attach(t, c, plugin("org.example.ranges", onFrame(protoops.Post, "notify_frame", wire.Stream, func(call *protoops.Call) error {
		a := protoops.ArgsOf[FrameFate](call)
		if copies[a.Path.ID] == nil {
			copies[a.Path.ID] = map[uint64]int{}
		}
		copies[a.Path.ID][a.Cookie] += int(a.Length)
		return nil
	})))
}

// A range in flight twice: the copy repairs the loss of the first, nothing waits
// for loss detection, and nothing is sent a third time.
func TestSeamRangeCopySettles(t *testing.T) {
	for _, lose := range []string{"first", "copy", "none", "both"} {
		l := connected(t)
		l.transfer(l.c, l.s, 100_000) // settle RTT and MTU
		drop := 0
		n := 0
		l.lost = func(d *labDatagram) bool {
			if !d.toServer || len(d.Payload) < 600 {
				return false
			}
			n++
			return n == 1 && drop&1 != 0 || n == 2 && drop&2 != 0
		}
		drop = map[string]int{"first": 1, "copy": 2, "none": 0, "both": 3}[lose]
		f := l.open(l.c, l.s, 1000)
		f.pump()
		l.flush()
		if !l.c.RequeueRange(f.st, 0, 1000, nil) {
			t.Error("refused")
		}
		l.flush()
		if n != 2 {
			t.Fatalf("%s lost: %d datagrams", lose, n)
		}
		start := l.now
		l.until("delivery", f.pump)
		arrived := l.now.Sub(start)
		l.until("settled", func() bool { return f.st.sendDone })
		if lose != "both" && (arrived > l.delay || f.st.SendView().RetransmittedBytes != 1000 || n > 2) {
			t.Errorf("%s lost: arrived after %v, %d bytes sent again, %d datagrams", lose, arrived, f.st.SendView().RetransmittedBytes, n)
		}
		if lose == "both" && f.st.SendView().RetransmittedBytes < 2000 {
			t.Errorf("both lost: %d bytes sent again", f.st.SendView().RetransmittedBytes)
		}
	}
}

// A range is lost only with its last copy.
func TestSeamRangeLostWithLastCopy(t *testing.T) {
	l := connected(t)
	l.transfer(l.c, l.s, 100_000)
	f := l.open(l.c, l.s, 1000)
	first := true
	l.lost = func(d *labDatagram) bool {
		lose := first && d.toServer
		first = false
		return lose
	}
	f.pump()
	l.flush()
	l.c.RequeueRange(f.st, 0, 1000, nil)
	l.flush()
	// Packets after them make loss detection declare the first one lost while
	// the second is still unacknowledged.
	send := f.st.sendHalf
	pn := l.c.path0.space.sent.Next() - 2
	s := &l.c.path0.space
	l.c.losePacket(s, l.c.path0, s.sent.Get(pn), lossByAck)
	if send.LostBytes != 0 {
		t.Errorf("%d bytes wait to be sent again while a copy is in flight", send.LostBytes)
	}
	l.c.losePacket(s, l.c.path0, s.sent.Get(pn+1), lossByAck)
	if send.LostBytes != 1000 {
		t.Errorf("%d bytes wait to be sent again after both copies were lost", send.LostBytes)
	}
	l.until("delivery", f.pump)
}

// A copy may be asked for on a particular path.
func TestSeamRangeOnPath(t *testing.T) {
	l := twoPaths(t)
	l.transfer(l.c, l.s, 300_000)
	l.wait(1e9)
	copies := map[uint64]map[uint64]int{}
	watchRanges(t, l.c, copies)
	f := l.open(l.c, l.s, 5000)
	f.pump()
	l.flush()
	for _, p := range l.c.Paths() {
		if !l.c.RequeueRange(f.st, 1000, 2000, p) {
			t.Errorf("path %d refused", p.ID)
		}
	}
	l.until("delivery", f.pump)
	l.until("settled", func() bool { return f.st.sendDone })
	l.wait(1e9)
	for id := range uint64(2) {
		carried := 0
		for off, n := range copies[id] {
			lo, hi := max(off, 1000), min(off+uint64(n), 3000)
			if lo < hi {
				carried += int(hi - lo)
			}
		}
		if carried < 2000 {
			t.Errorf("path %d carried %d bytes of the range: %v", id, carried, copies[id])
		}
	}
	// What is acknowledged meanwhile, or was never sent, is left out.
	g := l.open(l.c, l.s, 3000)
	g.pump()
	l.until("settled", func() bool { g.pump(); return g.st.sendDone })
	before := l.c.v.PacketsSent
	l.c.RequeueRange(g.st, 0, 3000, l.c.Path(1))
	h := l.open(l.c, l.s, 10)
	l.c.RequeueRange(h.st, 0, 1<<30, l.c.Path(1))
	l.flush()
	if l.c.v.PacketsSent != before {
		t.Errorf("%d packets were sent", l.c.v.PacketsSent-before)
	}
	for range maxCopies {
		l.c.RequeueRange(h.st, 0, 1, l.c.Path(1))
	}
	if l.c.RequeueRange(h.st, 0, 1, l.c.Path(1)) {
		t.Error("copies without end")
	}
	l.until("rest", h.pump)
}

// A plugin that sends everything on both paths survives the loss of either
// without waiting for anything.
func TestSeamRangeRedundant(t *testing.T) {
	l := twoPaths(t)
	l.transfer(l.c, l.s, 300_000)
	attach(t, l.c, plugin("org.example.redundant", onFrame(protoops.Post, "write_frame", wire.Stream, func(call *protoops.Call) error {
		b := protoops.ArgsOf[WriteArg](call).Builder
		r := b.records[len(b.records)-1]
		for _, p := range l.c.Paths() {
			if p != b.Path() && r.n > 0 {
				l.c.RequeueRange(r.stream, r.off, int(r.n), p)
			}
		}
		return nil
	})))
	for id := range uint64(2) {
		l.lost = func(d *labDatagram) bool { return d.toServer && d.path == id }
		start := l.now
		l.transfer(l.c, l.s, 8000)
		if took := l.now.Sub(start); took > 2*l.delay {
			t.Errorf("path %d lost everything: 8000 bytes took %v", id, took)
		}
		l.lost = nil
		l.wait(2e9)
	}
}
