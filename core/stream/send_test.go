package stream

import (
	"math/rand/v2"
	"testing"
)

// sendTest drives a Send as an engine would.
type sendTest struct {
	*testing.T
	s *Send
	f *FIFO
}

func newSendTest(t *testing.T, maxStreamData uint64) *sendTest {
	f := NewFIFO(0, 1<<20)
	s := new(Send)
	s.Init(4, f, maxStreamData)
	return &sendTest{t, s, f}
}

func (t *sendTest) write(n int) { t.f.Write(patterned(n, t.f.Tail())) }

// wantNext checks the next frame and commits it.
func (t *sendTest) wantNext(what string, room int, credit uint64, off uint64, n int, fin, retransmit bool) {
	t.Helper()
	if !t.s.Pending(credit) {
		t.Fatalf("%s: Pending(%d) = false", what, credit)
	}
	gotOff, gotN, gotFin, gotRe, ok := t.s.Next(room, credit)
	if !ok || gotOff != off || gotN != n || gotFin != fin || gotRe != retransmit {
		t.Fatalf("%s: Next(%d, %d) = %d+%d fin %v retransmit %v ok %v, want %d+%d fin %v retransmit %v",
			what, room, credit, gotOff, gotN, gotFin, gotRe, ok, off, n, fin, retransmit)
	}
	p := make([]byte, n)
	t.s.CopyTo(p, off)
	wantPattern(t.T, what, p, off)
	t.s.CommitSent(off, n, fin)
}

func (t *sendTest) wantNothing(what string, room int, credit uint64) {
	t.Helper()
	if off, n, fin, _, ok := t.s.Next(room, credit); ok {
		t.Fatalf("%s: Next(%d, %d) = %d+%d fin %v, want nothing", what, room, credit, off, n, fin)
	}
}

func (t *sendTest) wantState(what string, want SendState) {
	t.Helper()
	if got := t.s.State(); got != want {
		t.Fatalf("%s: state %v, want %v", what, got, want)
	}
}

const plenty = 1 << 40

func TestSendInOrder(t *testing.T) {
	x := newSendTest(t, 1000)
	x.wantState("new", SendReady)
	x.wantNothing("nothing written", 100, plenty)
	x.write(250)
	x.wantNext("first", 100, plenty, 0, 100, false, false)
	x.wantState("sent", SendSend)
	x.wantNext("second", 100, plenty, 100, 100, false, false)
	x.f.CloseWrite()
	x.wantNext("last with FIN", 100, plenty, 200, 50, true, false)
	x.wantState("all sent", SendDataSent)
	x.wantNothing("all sent", 100, plenty)
	if released, done := x.s.Acked(0, 100, false); !released || done || x.f.Head() != 100 {
		t.Fatalf("first ACK: released %v, done %v, head %d", released, done, x.f.Head())
	}
	if released, done := x.s.Acked(200, 50, true); released || done {
		t.Fatalf("ACK behind a gap: released %v, done %v", released, done)
	}
	if released, done := x.s.Acked(100, 100, false); !released || !done || x.f.Head() != 250 {
		t.Fatalf("last ACK: released %v, done %v, head %d", released, done, x.f.Head())
	}
	x.wantState("all acknowledged", SendDataRecvd)
}

func TestSendFlowControl(t *testing.T) {
	x := newSendTest(t, 100)
	x.write(300)
	if limit, blocked := x.s.Blocked(); blocked || limit != 100 {
		t.Errorf("blocked at %d before anything was sent", limit)
	}
	x.wantNext("connection limit", 1000, 60, 0, 60, false, false)
	x.wantNothing("no connection credit", 1000, 0)
	x.wantNext("stream limit", 1000, plenty, 60, 40, false, false)
	x.wantNothing("stream blocked", 1000, plenty)
	if limit, blocked := x.s.Blocked(); !blocked || limit != 100 {
		t.Errorf("Blocked() = %d, %v, want 100, true", limit, blocked)
	}
	if x.s.SetMaxStreamData(90) || x.s.MaxStreamData != 100 {
		t.Error("a lower limit took effect")
	}
	if !x.s.SetMaxStreamData(300) || x.s.SetMaxStreamData(301) {
		t.Error("unblocking is not reported once")
	}
	x.s.Lost(0, 60, false)
	x.wantNext("loss needs no credit", 1000, 0, 0, 60, false, true)
	x.f.CloseWrite()
	x.wantNext("the rest", 1000, 200, 100, 200, true, false)
	if x.s.RetransmittedBytes != 60 {
		t.Errorf("%d bytes retransmitted, want 60", x.s.RetransmittedBytes)
	}
}

func TestFinIsNotStarved(t *testing.T) {
	x := newSendTest(t, 100)
	x.write(100)
	x.wantNext("data", 100, 100, 0, 100, false, false)
	x.f.CloseWrite()
	x.wantNext("FIN without room or credit", 0, 0, 100, 0, true, false)
	x.wantNothing("FIN once", 100, plenty)
	x.s.Lost(0, 100, false)
	x.s.Lost(100, 0, true)
	x.wantNext("lost FIN while there is no room for lost data", 0, 0, 100, 0, true, true)
	x.s.Lost(100, 0, true)
	x.wantNext("lost data carries the FIN", 100, 0, 0, 100, true, true)
	x.wantNothing("nothing left", 100, plenty)
	if _, done := x.s.Acked(0, 100, true); !done {
		t.Error("not done")
	}

	x = newSendTest(t, 0)
	x.f.CloseWrite()
	x.wantNext("empty stream", 0, 0, 0, 0, true, false)
	if _, done := x.s.Acked(0, 0, true); !done {
		t.Error("empty stream not done")
	}
	x.wantState("empty stream", SendDataRecvd)
}

func TestFinAckedByAnyCopy(t *testing.T) {
	x := newSendTest(t, 100)
	x.write(10)
	x.f.CloseWrite()
	x.wantNext("first copy", 100, plenty, 0, 10, true, false)
	x.s.Requeue(0, 10)
	x.wantNext("second copy", 100, plenty, 0, 10, true, true)
	x.s.Lost(0, 10, true)
	x.wantNothing("one copy left", 100, plenty)
	x.s.Lost(0, 10, true)
	x.wantNext("both lost", 100, plenty, 0, 10, true, true)
	// A copy declared lost arrives after all.
	if _, done := x.s.Acked(0, 10, true); !done {
		t.Error("late acknowledgement of a lost packet does not count")
	}
	x.s.Lost(0, 10, true)
	x.wantNothing("loss after acknowledgement", 100, plenty)
}

func TestRetransmitOrder(t *testing.T) {
	x := newSendTest(t, plenty)
	x.write(1000)
	for off := uint64(0); off < 500; off += 100 {
		x.wantNext("fresh", 100, plenty, off, 100, false, false)
	}
	x.s.Requeue(100, 50)
	x.s.Lost(400, 100, false)
	x.s.Lost(200, 100, false)
	x.wantNext("lowest loss first", 60, plenty, 200, 60, false, true)
	x.wantNext("its rest", 60, plenty, 260, 40, false, true)
	x.wantNext("next loss", 1000, plenty, 400, 100, false, true)
	x.wantNext("then requeued", 1000, plenty, 100, 50, false, true)
	x.wantNext("then new data", 1000, plenty, 500, 500, false, false)
	x.s.Requeue(0, 1000)
	x.s.Acked(0, 1000, false)
	x.wantNothing("acknowledged bytes are not sent again", 1000, plenty)
	if x.s.RequeuedBytes != 0 || x.s.LostBytes != 0 || x.s.spans.len() != 0 {
		t.Errorf("left over: %d requeued, %d lost, %d spans", x.s.RequeuedBytes, x.s.LostBytes, x.s.spans.len())
	}
}

func TestReset(t *testing.T) {
	x := newSendTest(t, 500)
	x.write(1000)
	x.wantNext("data", 300, plenty, 0, 300, false, false)
	x.s.Reset(0)
	if _, ok := x.f.ReadClosed(); !ok {
		t.Error("the application may go on writing")
	}
	x.wantNothing("reset", 1000, plenty)
	size, reliable, ready := x.s.ResetFrame()
	if size != 300 || reliable != 0 || !ready {
		t.Errorf("ResetFrame() = %d, %d, %v", size, reliable, ready)
	}
	if x.f.Len() != 0 {
		t.Errorf("%d bytes kept", x.f.Len())
	}
	x.s.CommitReset()
	x.wantState("reset", SendResetSent)
	x.s.Lost(0, 300, false)
	x.wantNothing("loss after reset", 1000, plenty)
	if !x.s.ResetFrameAcked(0) {
		t.Error("not done")
	}
	x.wantState("reset acknowledged", SendResetRecvd)
}

func TestResetAt(t *testing.T) {
	x := newSendTest(t, 500)
	x.write(1000)
	x.wantNext("data", 100, plenty, 0, 100, false, false)
	x.s.Reset(300)
	if size, reliable, ready := x.s.ResetFrame(); size != 300 || reliable != 300 || ready {
		t.Errorf("ResetFrame() = %d, %d, %v", size, reliable, ready)
	}
	x.wantNext("reliable data", 1000, plenty, 100, 200, false, false)
	x.wantNothing("beyond the reliable size", 1000, plenty)
	if _, _, ready := x.s.ResetFrame(); !ready {
		t.Error("not ready")
	}
	x.s.CommitReset()
	x.wantState("reset at", SendDataSent)
	x.s.Lost(0, 300, false)
	x.s.Reset(400) // cannot rise
	x.s.Reset(150)
	if size, reliable, _ := x.s.ResetFrame(); size != 300 || reliable != 150 {
		t.Errorf("lowered: ResetFrame() = %d, %d, want 300, 150", size, reliable)
	}
	x.wantNext("lost reliable data", 1000, 0, 0, 150, false, true)
	x.wantNothing("lost beyond it", 1000, plenty)
	if x.s.ResetFrameAcked(300) {
		t.Error("the acknowledgement of the larger reliable size counts")
	}
	if released, done := x.s.Acked(0, 150, false); !released || done {
		t.Errorf("data acknowledged: released %v, done %v", released, done)
	}
	if x.f.Len() != 0 {
		t.Errorf("%d bytes kept", x.f.Len())
	}
	if !x.s.ResetFrameAcked(150) {
		t.Error("not done")
	}
	x.wantState("all acknowledged", SendDataRecvd)
}

func TestResetAfterFin(t *testing.T) {
	x := newSendTest(t, 500)
	x.write(100)
	x.f.CloseWrite()
	x.wantNext("all", 1000, plenty, 0, 100, true, false)
	x.s.Reset(1000)
	if size, reliable, ready := x.s.ResetFrame(); size != 100 || reliable != 100 || !ready {
		t.Errorf("ResetFrame() = %d, %d, %v, want 100, 100, true", size, reliable, ready)
	}
	x.s.Reset(0)
	x.s.ResetFrameAcked(0)
	x.s.Reset(0)
	x.wantState("reset acknowledged", SendResetRecvd)

	x = newSendTest(t, 500)
	x.f.CloseWrite()
	x.wantNext("FIN", 0, 0, 0, 0, true, false)
	x.s.Acked(0, 0, true)
	x.s.Reset(0)
	x.wantState("reset in a terminal state", SendDataRecvd)
}

// TestCloseAfterReset: what the application does to its end later changes
// neither the final size nor what is sent.
func TestCloseAfterReset(t *testing.T) {
	for _, closeFirst := range []bool{true, false} {
		x := newSendTest(t, 50)
		x.write(100)
		x.wantNext("data", 50, plenty, 0, 50, false, false)
		if closeFirst {
			x.f.CloseWrite()
		}
		x.s.Reset(20)
		if !closeFirst {
			x.f.CloseWrite()
		}
		x.s.SetMaxStreamData(plenty)
		x.wantNothing("reset", 100, plenty)
		if _, blocked := x.s.Blocked(); blocked || x.s.Pending(plenty) {
			t.Error("a reset stream waits for something")
		}
		if size, reliable, _ := x.s.ResetFrame(); size != 50 || reliable != 20 {
			t.Errorf("ResetFrame() = %d, %d, want 50, 20", size, reliable)
		}
	}
}

// TestFinRidesOnTheLastBytes, even if they exactly fill the frame and the
// application closed the stream after the engine last looked.
func TestFinRidesOnTheLastBytes(t *testing.T) {
	x := newSendTest(t, plenty)
	x.write(200)
	x.wantNext("first half", 100, plenty, 0, 100, false, false)
	x.f.CloseWrite()
	x.wantNext("second half", 100, plenty, 100, 100, true, false)
}

func TestRewind(t *testing.T) {
	x := newSendTest(t, 1000)
	x.write(300)
	x.f.CloseWrite()
	x.wantNext("0-RTT", 1000, plenty, 0, 300, true, false)
	x.s.Lost(100, 50, false)
	x.s.Rewind(200)
	x.wantState("rewound", SendReady)
	x.wantNext("again", 1000, plenty, 0, 200, false, false)
	x.s.SetMaxStreamData(300)
	x.wantNext("with FIN", 1000, plenty, 200, 100, true, false)
	if _, done := x.s.Acked(0, 300, true); !done {
		t.Error("not done")
	}
}

// sendModel is the naive counterpart of Send: one record per byte.
type sendModel struct {
	bytes []modelByte
	next  uint64
}

type modelByte struct {
	copies               int
	acked, lost, requeue bool
}

func (m *sendModel) each(off uint64, n int, f func(b *modelByte)) {
	for i := off; i < off+uint64(n); i++ {
		if b := &m.bytes[i]; !b.acked {
			f(b)
		}
	}
}

func (m *sendModel) sent(off uint64, n int) {
	m.each(off, n, func(b *modelByte) { b.copies++; b.lost, b.requeue = false, false })
	m.next = max(m.next, off+uint64(n))
}

func (m *sendModel) lose(off uint64, n int) {
	m.each(off, n, func(b *modelByte) {
		if b.copies > 0 {
			b.copies--
		}
		if b.copies == 0 {
			b.lost, b.requeue = true, false
		}
	})
}

func (m *sendModel) ack(off uint64, n int) {
	m.each(off, n, func(b *modelByte) { *b = modelByte{acked: true} })
}

func (m *sendModel) queue(off uint64, n int) {
	for i := off; i < min(off+uint64(n), m.next); i++ {
		if b := &m.bytes[i]; !b.acked && !b.lost {
			b.requeue = true
		}
	}
}

// check compares every byte's situation.
func (m *sendModel) check(t *testing.T, seed uint64, s *Send) {
	t.Helper()
	var lost, requeued, acked uint64
	for acked < m.next && m.bytes[acked].acked {
		acked++
	}
	if s.AckedOffset != acked || s.NextOffset != m.next || s.fifo.Head() != acked {
		t.Fatalf("seed %d: [%d, %d) head %d, want [%d, %d)", seed, s.AckedOffset, s.NextOffset, s.fifo.Head(), acked, m.next)
	}
	at := acked
	for i := range s.spans.len() {
		sp := s.spans.at(i)
		if sp.lo != at || sp.hi <= sp.lo {
			t.Fatalf("seed %d: span %d is [%d, %d), want it to begin at %d", seed, i, sp.lo, sp.hi, at)
		}
		if i > 0 && s.spans.at(i-1).same(sp) {
			t.Fatalf("seed %d: spans %d and %d are alike", seed, i-1, i)
		}
		for ; at < sp.hi; at++ {
			b := m.bytes[at]
			want := sendSpan{copies: uint32(b.copies)}
			switch {
			case b.acked:
				want.mark = markSettled
			case b.lost:
				want.mark = markLost
				lost++
			case b.requeue:
				want.mark = markRequeue
				requeued++
			}
			if !sp.same(&want) {
				t.Fatalf("seed %d: byte %d is in %+v, want %+v", seed, at, *sp, want)
			}
		}
	}
	if at != m.next {
		t.Fatalf("seed %d: spans end at %d, want %d", seed, at, m.next)
	}
	if s.LostBytes != lost || s.RequeuedBytes != requeued {
		t.Fatalf("seed %d: %d lost, %d requeued, want %d, %d", seed, s.LostBytes, s.RequeuedBytes, lost, requeued)
	}
}

// TestSendAgainstModel runs random sends, losses, acknowledgements (late ones
// too) and requeues in any order.
func TestSendAgainstModel(t *testing.T) {
	type frame struct {
		off uint64
		n   int
	}
	const size = 600
	for seed := range uint64(400) {
		rnd := rand.New(rand.NewPCG(seed, 2))
		x := newSendTest(t, plenty)
		x.write(size)
		m := &sendModel{bytes: make([]modelByte, size)}
		var flight, gone []frame
		for range 300 {
			switch rnd.IntN(6) {
			case 0, 1:
				off, n, _, retransmit, ok := x.s.Next(1+rnd.IntN(60), plenty)
				if !ok {
					break
				}
				if b := m.bytes[off]; retransmit != (off < m.next) || retransmit && !b.lost && !b.requeue {
					t.Fatalf("seed %d: Next proposes %d+%d, a byte in %+v", seed, off, n, b)
				}
				if retransmit && x.s.LostBytes > 0 {
					for i := range off {
						if m.bytes[i].lost {
							t.Fatalf("seed %d: Next proposes %d while %d is lost", seed, off, i)
						}
					}
				}
				x.s.CommitSent(off, n, false)
				m.sent(off, n)
				flight = append(flight, frame{off, n})
			case 2:
				if i := len(flight); i > 0 {
					i = rnd.IntN(i)
					f := flight[i]
					flight = append(flight[:i], flight[i+1:]...)
					x.s.Lost(f.off, f.n, false)
					m.lose(f.off, f.n)
					gone = append(gone, f)
				}
			case 3, 4:
				from := &flight
				if rnd.IntN(4) == 0 {
					from = &gone // a late acknowledgement
				}
				if i := len(*from); i > 0 {
					i = rnd.IntN(i)
					f := (*from)[i]
					*from = append((*from)[:i], (*from)[i+1:]...)
					x.s.Acked(f.off, f.n, false)
					m.ack(f.off, f.n)
				}
			case 5:
				if rnd.IntN(3) == 0 {
					off, n := rnd.Uint64N(size), rnd.IntN(100)
					x.s.Requeue(off, n)
					m.queue(off, n)
				}
			}
			m.check(t, seed, x.s)
		}
	}
}
