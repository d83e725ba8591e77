package stream

import (
	"bytes"
	"math/rand/v2"
	"runtime"
	"testing"
	"unsafe"
)

// pattern fills p with what the test streams carry at offset off: every byte
// tells its own offset well enough to notice a misplaced one.
func pattern(p []byte, off uint64) {
	for i := range p {
		o := off + uint64(i)
		p[i] = byte(o ^ o>>8*7 ^ o>>16*13)
	}
}

func patterned(n int, off uint64) []byte {
	p := make([]byte, n)
	pattern(p, off)
	return p
}

func wantPattern(t *testing.T, what string, p []byte, off uint64) {
	t.Helper()
	if !bytes.Equal(p, patterned(len(p), off)) {
		t.Fatalf("%s: wrong bytes in [%d, %d)", what, off, off+uint64(len(p)))
	}
}

func TestUntouchedFIFOIsSmall(t *testing.T) {
	if size := unsafe.Sizeof(FIFO{}); size > 64 {
		t.Errorf("a FIFO takes %d bytes, want at most 64", size)
	}
	if size := unsafe.Sizeof(control{}); size > 160 {
		t.Errorf("a FIFO's indices take %d bytes, want at most 160", size)
	}
	f := NewFIFO(4096, 1<<20)
	if f.Cap() != 0 || f.Len() != 0 || f.Head() != 0 || f.Tail() != 0 || f.Free() != 1<<20 {
		t.Errorf("an untouched FIFO is not empty: %d %d %d %d %d", f.Cap(), f.Len(), f.Head(), f.Tail(), f.Free())
	}
	if f.Read(make([]byte, 10)) != 0 || f.PeekContiguous(0) != nil || f.ReadAt(make([]byte, 1), 0) != 0 {
		t.Error("an untouched FIFO has bytes to read")
	}
	f.Advance(10)
	f.PublishTail(10)
	if f.Cap() != 0 || f.Trim() {
		t.Error("asking an untouched FIFO allocated memory")
	}
}

func TestIndicesAreOnLinesOfTheirOwn(t *testing.T) {
	var c control
	if d := unsafe.Offsetof(c.head) - unsafe.Offsetof(c.tail); d < cacheLine {
		t.Errorf("head and tail are %d bytes apart", d)
	}
	var w sharedWords
	if unsafe.Offsetof(w.head)-unsafe.Offsetof(w.tail) < cacheLine || unsafe.Offsetof(w.words)-unsafe.Offsetof(w.head) < cacheLine {
		t.Error("words of different writers share a cache line")
	}
	if SharedHeader%cacheLine != 0 {
		t.Errorf("the shared header takes %d bytes", SharedHeader)
	}
}

func TestRingSizes(t *testing.T) {
	for _, test := range []struct{ initial, max, write, wantCap, wantMax int }{
		{0, 0, 1, 256, 256},
		{0, 1 << 20, 1, 256, 1 << 20},
		{0, 1 << 20, 257, 512, 1 << 20},
		{4096, 1 << 20, 1, 4096, 1 << 20},
		{4096, 1 << 20, 5000, 8192, 1 << 20},
		{1 << 20, 4096, 1, 4096, 4096},
		{0, 1000, 5000, 1024, 1024},
	} {
		f := NewFIFO(test.initial, test.max)
		if f.Max() != test.wantMax {
			t.Errorf("NewFIFO(%d, %d): Max %d, want %d", test.initial, test.max, f.Max(), test.wantMax)
		}
		want := min(test.write, test.wantMax)
		if n := f.Write(make([]byte, test.write)); n != want {
			t.Errorf("NewFIFO(%d, %d): wrote %d of %d, want %d", test.initial, test.max, n, test.write, want)
		}
		if f.Cap() != test.wantCap {
			t.Errorf("NewFIFO(%d, %d) after %d bytes: ring of %d, want %d", test.initial, test.max, test.write, f.Cap(), test.wantCap)
		}
	}
}

// TestFIFOAgainstModel runs random calls of one producer and one consumer
// against the plainest model: a tail, a head and the pattern.
func TestFIFOAgainstModel(t *testing.T) {
	for seed := range uint64(200) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		f := NewFIFO(0, 256<<rnd.IntN(6))
		var head, tail uint64
		for range 300 {
			switch n := rnd.IntN(f.Max() + 10); rnd.IntN(7) {
			case 0:
				want := min(n, f.Max()-int(tail-head))
				if got := f.Write(patterned(n, tail)); got != want {
					t.Fatalf("seed %d: Write(%d bytes) = %d, want %d", seed, n, got, want)
				}
				tail += uint64(want)
			case 1:
				p := f.Space(n)
				if len(p) > n || (len(p) == 0) != (n == 0 || int(tail-head) == f.Max()) {
					t.Fatalf("seed %d: Space(%d) = %d bytes with %d of %d in use", seed, n, len(p), tail-head, f.Max())
				}
				pattern(p, tail)
				tail += uint64(len(p))
				f.PublishTail(tail)
			case 2:
				// Out of order, the second half first.
				n = min(n, f.Max()-int(tail-head))
				p := patterned(n, tail)
				if !f.WriteAt(p[n/2:], tail+uint64(n/2)) || !f.WriteAt(p[:n/2], tail) {
					t.Fatalf("seed %d: WriteAt refused %d bytes with %d of %d in use", seed, n, tail-head, f.Max())
				}
				if f.Tail() != tail {
					t.Fatalf("seed %d: WriteAt moved Tail", seed)
				}
				tail += uint64(n)
				f.PublishTail(tail)
			case 3:
				p := make([]byte, n)
				want := min(n, int(tail-head))
				if got := f.Read(p); got != want {
					t.Fatalf("seed %d: Read(%d) = %d, want %d", seed, n, got, want)
				}
				wantPattern(t, "Read", p[:want], head)
				head += uint64(want)
			case 4:
				off := head + rnd.Uint64N(tail-head+1)
				p := make([]byte, n)
				got := f.ReadAt(p, off)
				if want := min(n, int(tail-off)); got != want {
					t.Fatalf("seed %d: ReadAt(%d, %d) = %d, want %d", seed, n, off, got, want)
				}
				wantPattern(t, "ReadAt", p[:got], off)
				peek := f.PeekContiguous(off)
				if (len(peek) == 0) != (off == tail) || uint64(len(peek)) > tail-off {
					t.Fatalf("seed %d: PeekContiguous(%d) = %d bytes in [%d, %d)", seed, off, len(peek), head, tail)
				}
				wantPattern(t, "PeekContiguous", peek, off)
			case 5:
				head += rnd.Uint64N(tail - head + 1)
				f.Advance(head)
			case 6:
				if trimmed := f.Trim(); trimmed && head != tail {
					t.Fatalf("seed %d: Trim with %d bytes unread", seed, tail-head)
				}
			}
			if f.Head() != head || f.Tail() != tail || f.Len() != int(tail-head) || f.Free() != f.Max()-int(tail-head) {
				t.Fatalf("seed %d: [%d, %d) Len %d Free %d, want [%d, %d)", seed, f.Head(), f.Tail(), f.Len(), f.Free(), head, tail)
			}
		}
	}
}

func TestFIFORefusesWhatIsOutOfBounds(t *testing.T) {
	f := NewFIFO(0, 256)
	f.Write(patterned(100, 0))
	for _, test := range []struct {
		off uint64
		n   int
		ok  bool
	}{
		{99, 1, false},
		{100, 0, true},
		{100, 156, true},
		{100, 157, false},
		{255, 1, true},
		{256, 1, false},
		{1 << 62, 1, false},
		{1<<64 - 1, 2, false},
	} {
		if ok := f.WriteAt(make([]byte, test.n), test.off); ok != test.ok {
			t.Errorf("WriteAt(%d bytes, %d) = %v, want %v", test.n, test.off, ok, test.ok)
		}
	}
	f.PublishTail(1 << 40)
	f.PublishTail(50)
	if f.Tail() != 100 {
		t.Errorf("PublishTail out of bounds moved Tail to %d", f.Tail())
	}
	f.Advance(1 << 40)
	if f.Head() != 100 {
		t.Errorf("Advance beyond Tail moved Head to %d, want 100", f.Head())
	}
	f.Advance(10)
	if f.Head() != 100 {
		t.Errorf("Advance backwards moved Head to %d", f.Head())
	}
	if f.ReadAt(make([]byte, 1), 99) != 0 || f.PeekContiguous(99) != nil {
		t.Error("bytes below Head can be read")
	}
}

func TestTrimKeepsWhatIsOutOfOrder(t *testing.T) {
	f := NewFIFO(0, 1024)
	f.WriteAt(patterned(50, 50), 50)
	if f.Trim() {
		t.Fatal("released memory that holds bytes beyond a gap")
	}
	f.WriteAt(patterned(50, 0), 0)
	f.PublishTail(100)
	p := make([]byte, 100)
	f.Read(p)
	wantPattern(t, "Read", p, 0)
	if !f.Trim() || f.Cap() != 0 {
		t.Error("an empty ring is not released")
	}
	f.Write(patterned(10, 100))
	f.Read(p[:10])
	wantPattern(t, "Read after Trim", p[:10], 100)
}

func TestFIFOEnds(t *testing.T) {
	f := NewFIFO(0, 1024)
	if _, ok := f.Final(); ok || f.Closed() {
		t.Error("a new FIFO has ended")
	}
	f.Write([]byte("hello"))
	f.CloseWrite()
	if f.Write([]byte("x")) != 0 || f.Space(1) != nil || f.Free() != 0 {
		t.Error("written after CloseWrite")
	}
	if size, ok := f.Final(); !ok || size != 5 || !f.Closed() {
		t.Errorf("Final() = %d, %v, want 5, true", size, ok)
	}
	f.SetReset(9)
	if _, ok := f.ResetCode(); ok {
		t.Error("SetReset after CloseWrite had an effect")
	}

	f.Init(0, 1024)
	f.SetReset(7)
	f.SetFinal()
	if code, ok := f.ResetCode(); !ok || code != 7 {
		t.Errorf("ResetCode() = %d, %v, want 7, true", code, ok)
	}
	if _, ok := f.Final(); ok {
		t.Error("a reset FIFO has a final size")
	}

	f.Init(0, 1024)
	f.CloseRead(3)
	f.CloseRead(4)
	if code, ok := f.ReadClosed(); !ok || code != 3 {
		t.Errorf("ReadClosed() = %d, %v, want 3, true", code, ok)
	}
	if f.Write([]byte("x")) != 0 {
		t.Error("written after CloseRead")
	}
}

func TestWaitFlags(t *testing.T) {
	f := NewFIFO(0, 1024)
	if f.TakeReader() || f.TakeWriter() {
		t.Error("somebody sleeps on a new FIFO")
	}
	if !f.ArmReader() {
		t.Fatal("a reader of an empty FIFO may not sleep")
	}
	f.Write([]byte("x"))
	if !f.TakeReader() || f.TakeReader() {
		t.Error("a sleeping reader is not taken exactly once")
	}
	if f.ArmReader() || f.TakeReader() {
		t.Error("a reader may sleep with a byte to read")
	}
	f.Read(make([]byte, 1))
	f.CloseWrite()
	if f.ArmReader() {
		t.Error("a reader may sleep on an ended FIFO")
	}

	f.Init(0, 1024)
	if f.ArmWriter(1024) {
		t.Error("a writer may sleep on an empty FIFO")
	}
	f.Write(make([]byte, 1000))
	if f.ArmWriter(24) || !f.ArmWriter(100) {
		t.Error("a writer sleeps with room, or not without")
	}
	f.Advance(70)
	if f.TakeWriter() {
		t.Error("a writer is woken with 94 bytes free, wanting 100")
	}
	f.Advance(76)
	if !f.TakeWriter() || f.TakeWriter() {
		t.Error("a sleeping writer is not taken exactly once")
	}
	if !f.ArmWriter(1 << 30) {
		t.Error("a writer that wants more than Max may not sleep")
	}
	f.CloseRead(0)
	if !f.TakeWriter() {
		t.Error("closing the read side does not wake the writer")
	}
	f.DisarmReader()
	f.DisarmWriter()
}

// hammer moves total bytes from one goroutine to another by the wait flags
// alone, so that a lost wake-up would hang.
func hammer(t *testing.T, in, out *FIFO, total uint64, outOfOrder bool) {
	wakeReader, wakeWriter := make(chan struct{}, 1), make(chan struct{}, 1)
	signal := func(c chan struct{}) {
		select {
		case c <- struct{}{}:
		default:
		}
	}
	go func() {
		rnd := rand.New(rand.NewPCG(1, total))
		buf := make([]byte, 3000)
		for tail := uint64(0); tail < total; {
			n := int(min(uint64(1+rnd.IntN(len(buf))), total-tail, uint64(in.Free())))
			if n == 0 {
				if in.ArmWriter(1 + rnd.IntN(in.Max())) {
					<-wakeWriter
				}
				continue
			}
			pattern(buf[:n], tail)
			if outOfOrder {
				in.WriteAt(buf[n/3:n], tail+uint64(n/3))
				in.WriteAt(buf[:n/3], tail)
				in.PublishTail(tail + uint64(n))
			} else if in.Write(buf[:n]) != n {
				panic("short write in spite of Free")
			}
			tail += uint64(n)
			if in.TakeReader() {
				signal(wakeReader)
			}
			if rnd.IntN(50) == 0 {
				runtime.Gosched()
				in.Trim()
			}
		}
		in.CloseWrite()
		if in.TakeReader() {
			signal(wakeReader)
		}
	}()
	rnd := rand.New(rand.NewPCG(2, total))
	buf, want := make([]byte, 5000), make([]byte, 5000)
	head := uint64(0)
	for {
		n := out.Read(buf[:1+rnd.IntN(len(buf))])
		if n == 0 {
			if size, ok := out.Final(); ok && size == head {
				break
			}
			if out.Cap() > out.Max() {
				t.Fatalf("a ring of %d bytes, at most %d allowed", out.Cap(), out.Max())
			}
			if out.ArmReader() {
				<-wakeReader
			}
			continue
		}
		pattern(want[:n], head)
		if !bytes.Equal(buf[:n], want[:n]) {
			t.Fatalf("wrong bytes in [%d, %d)", head, head+uint64(n))
		}
		head += uint64(n)
		if out.TakeWriter() {
			signal(wakeWriter)
		}
	}
	if head != total {
		t.Fatalf("read %d bytes of %d", head, total)
	}
}

func TestHammer(t *testing.T) {
	const total = 1 << 20
	t.Run("growing", func(t *testing.T) {
		f := NewFIFO(0, 64<<10)
		hammer(t, f, f, total, false)
	})
	t.Run("out of order", func(t *testing.T) {
		f := NewFIFO(0, 16<<10)
		hammer(t, f, f, total, true)
	})
	t.Run("shared", func(t *testing.T) {
		in, out := sharedPair(t, 8192)
		hammer(t, in, out, total, false)
	})
}
