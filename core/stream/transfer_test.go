package stream

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"
	"time"

	"github.com/pquic-go/pquic/core/mono"
)

// TestTransfer joins a Send and a Recv by a network that loses, duplicates and
// reorders packets and acknowledgements, with both flow controls at work. Every
// byte must come out once, in order, and both halves must reach the end.
func TestTransfer(t *testing.T) {
	for seed := range uint64(150) {
		newTransfer(t, seed).run()
	}
}

type transfer struct {
	*testing.T
	seed uint64
	rnd  *rand.Rand
	now  mono.Time

	total, written, read uint64

	out, in *FIFO
	send    Send
	recv    Recv
	conn    Window // the receiver's for the connection
	charged uint64 // what the sender has charged against connMax
	connMax uint64 // the connection limit the sender knows

	packets []transferPacket // on their way, delivered in any order
	acks    []transferPacket
	done    bool
}

type transferPacket struct {
	off  uint64
	data []byte
	fin  bool
}

func newTransfer(t *testing.T, seed uint64) *transfer {
	rnd := rand.New(rand.NewPCG(seed, 4))
	x := &transfer{T: t, seed: seed, rnd: rnd, total: rnd.Uint64N(20000)}
	window := 200 + rnd.Uint64N(3000)
	x.out, x.in = NewFIFO(0, 256<<rnd.IntN(5)), NewFIFO(0, 0)
	x.conn = NewWindow(window*2/3+1, 8*window)
	x.connMax = x.conn.Max
	x.send.Init(0, x.out, window)
	x.recv.Init(0, x.in, NewWindow(window, 8*window))
	return x
}

func (x *transfer) run() {
	for step := 0; !x.done || !x.recv.Done(); step++ {
		if step > 1_000_000 {
			x.Fatalf("seed %d: stuck: sent %d acked %d read %d of %d, %d in flight", x.seed, x.send.NextOffset, x.send.AckedOffset, x.read, x.total, len(x.packets))
		}
		x.now += mono.Time(time.Millisecond)
		switch x.rnd.IntN(5) {
		case 0:
			x.writeSome()
		case 1, 2:
			x.sendOne()
		case 3:
			x.deliverOne()
			x.ackOne()
		case 4:
			x.readSome()
		}
	}
	if x.read != x.total || x.recv.FinalSize != x.total || x.send.State() != SendDataRecvd {
		x.Fatalf("seed %d: read %d, final size %d of %d, %v", x.seed, x.read, x.recv.FinalSize, x.total, x.send.State())
	}
	if x.charged != x.total || x.conn.Received != x.total || x.recv.Consumed() != x.total {
		x.Fatalf("seed %d: charged %d, counted %d, consumed %d of %d", x.seed, x.charged, x.conn.Received, x.recv.Consumed(), x.total)
	}
}

func (x *transfer) writeSome() {
	n := min(x.rnd.Uint64N(900), x.total-x.written)
	x.written += uint64(x.out.Write(patterned(int(n), x.written)))
	if x.written == x.total {
		x.out.CloseWrite()
	}
}

func (x *transfer) sendOne() {
	credit := x.connMax - x.charged
	off, n, fin, _, ok := x.send.Next(x.rnd.IntN(300), credit)
	if !ok {
		return
	}
	p := transferPacket{off, make([]byte, n), fin}
	x.send.CopyTo(p.data, off)
	x.charged += x.send.CommitSent(off, n, fin)
	if x.charged > x.connMax || x.send.NextOffset > x.send.MaxStreamData {
		x.Fatalf("seed %d: sent beyond a limit", x.seed)
	}
	x.packets = append(x.packets, p)
	if x.rnd.IntN(10) == 0 {
		x.send.Requeue(x.rnd.Uint64N(x.send.NextOffset+1), x.rnd.IntN(500))
	}
}

// take removes a random packet: the network reorders.
func (x *transfer) take(from *[]transferPacket) (p transferPacket, ok bool) {
	n := len(*from)
	if n == 0 {
		return p, false
	}
	i := x.rnd.IntN(n)
	p = (*from)[i]
	(*from)[i] = (*from)[n-1]
	*from = (*from)[:n-1]
	return p, true
}

func (x *transfer) deliverOne() {
	p, ok := x.take(&x.packets)
	if !ok {
		return
	}
	switch x.rnd.IntN(6) {
	case 0: // lost
		x.send.Lost(p.off, len(p.data), p.fin)
		return
	case 1: // declared lost, yet it arrives: the acknowledgement is a late one
		x.send.Lost(p.off, len(p.data), p.fin)
	}
	for range 1 + x.rnd.IntN(5)/4 { // now and then twice
		advance, _, err := x.recv.Receive(p.off, p.data, p.fin)
		if err == nil {
			err = x.conn.Charge(advance)
		}
		if err != nil {
			x.Fatalf("seed %d: %d+%d: %v", x.seed, p.off, len(p.data), err)
		}
	}
	x.acks = append(x.acks, p)
}

func (x *transfer) ackOne() {
	if p, ok := x.take(&x.acks); ok {
		_, done := x.send.Acked(p.off, len(p.data), p.fin)
		x.done = x.done || done
	}
}

func (x *transfer) readSome() {
	p := make([]byte, x.rnd.IntN(1000))
	n := x.in.Read(p)
	wantPattern(x.T, "Read", p[:n], x.read)
	x.read += uint64(n)
	const rtt = 20 * time.Millisecond
	if v, update := x.recv.MaxData(x.now, rtt); update {
		x.send.SetMaxStreamData(v)
		x.conn.Widen(x.recv.Window.Size)
	}
	if v, update := x.conn.Update(x.now, rtt, x.recv.Consumed()); update {
		x.connMax = max(x.connMax, v)
	}
}

// TestEngineHammer runs an application goroutine at each end of a stream and an
// engine between them that loses every eighth packet. The applications sleep by
// the wait flags alone.
func TestEngineHammer(t *testing.T) {
	const total = 1 << 20
	out, in := NewFIFO(0, 32<<10), NewFIFO(0, 0)
	wakeWriter, wakeReader := make(chan struct{}, 1), make(chan struct{}, 1)
	failed := make(chan string, 1)
	go hammerWriter(out, total, wakeWriter)
	go func() { failed <- hammerReader(in, total, wakeReader) }()

	var send Send
	var recv Recv
	send.Init(0, out, 4096)
	recv.Init(0, in, NewWindow(4096, 64<<10))
	rnd := rand.New(rand.NewPCG(7, 7))
	buf := make([]byte, 1200)
	for now := mono.Time(1); !send.Done() || !recv.Done(); now++ {
		if off, n, fin, _, ok := send.Next(len(buf), 1<<40); ok {
			send.CopyTo(buf[:n], off)
			send.CommitSent(off, n, fin)
			if rnd.IntN(8) == 0 {
				send.Lost(off, n, fin)
			} else if _, _, err := recv.Receive(off, buf[:n], fin); err != nil {
				t.Fatal(err)
			} else {
				send.Acked(off, n, fin)
			}
		} else {
			runtime.Gosched()
		}
		if in.TakeReader() {
			wake(wakeReader)
		}
		if out.TakeWriter() {
			wake(wakeWriter)
		}
		if v, update := recv.MaxData(now, time.Hour); update {
			send.SetMaxStreamData(v)
		}
	}
	if err := <-failed; err != "" {
		t.Fatal(err)
	}
}

func wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

func hammerWriter(f *FIFO, total uint64, wakeup chan struct{}) {
	rnd := rand.New(rand.NewPCG(8, 8))
	for tail := uint64(0); tail < total; {
		n := f.Write(patterned(int(min(total-tail, 1+rnd.Uint64N(5000))), tail))
		tail += uint64(n)
		if n == 0 && f.ArmWriter(f.Max()/2) {
			<-wakeup
		}
	}
	f.CloseWrite()
}

func hammerReader(f *FIFO, total uint64, wakeup chan struct{}) string {
	p := make([]byte, 5000)
	for head := uint64(0); ; {
		n := f.Read(p)
		if !bytes.Equal(p[:n], patterned(n, head)) {
			return fmt.Sprintf("wrong bytes in [%d, %d)", head, head+uint64(n))
		}
		head += uint64(n)
		if size, ok := f.Final(); ok && size == head {
			if head != total {
				return fmt.Sprintf("the stream ends at %d, want %d", head, total)
			}
			return ""
		}
		if n == 0 && f.ArmReader() {
			<-wakeup
		}
	}
}

// TestNoAllocations is the steady state of a transfer with loss, in one FIFO
// each way.
func TestNoAllocations(t *testing.T) {
	const size = 1200
	out, in := NewFIFO(1<<16, 1<<16), NewFIFO(1<<16, 1<<16)
	var send Send
	var recv Recv
	send.Init(0, out, 1<<40)
	recv.Init(0, in, NewWindow(1<<16, 1<<16))
	data, buf := make([]byte, 8*size), make([]byte, 8*size)
	sched, err := NewScheduler("rr")
	if err != nil {
		t.Fatal(err)
	}
	var e, other Entry
	e.Init(0, nil)
	other.Init(4, nil)
	other.SetPriority(3, false)
	now := mono.Time(1)
	transmit := func(drop bool) {
		off, n, fin, _, _ := send.Next(size, 1<<40)
		send.CopyTo(buf[:n], off)
		send.CommitSent(off, n, fin)
		sched.Sent(sched.Next(), n)
		if drop {
			send.Lost(off, n, fin)
			return
		}
		recv.Receive(off, buf[:n], fin)
		send.Acked(off, n, fin)
	}
	round := func() {
		now += 1000
		out.Write(data)
		sched.Ready(&e)
		sched.Ready(&other)
		for i := range 8 {
			transmit(i == 1 || i == 4 || i == 5)
		}
		for range 3 {
			transmit(false)
		}
		sched.Idle(&e)
		sched.Idle(&other)
		in.Read(buf)
		recv.MaxData(now, time.Millisecond)
		out.TakeWriter()
		in.TakeReader()
	}
	round()
	if n := testing.AllocsPerRun(100, round); n != 0 {
		t.Errorf("%v allocations per round", n)
	}
	if in.Head() != send.AckedOffset || in.Len() != 0 {
		t.Errorf("read %d bytes, %d acknowledged", in.Head(), send.AckedOffset)
	}
}
