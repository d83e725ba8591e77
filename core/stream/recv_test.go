package stream

import (
	"errors"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/pquic-go/pquic/core/mono"
)

type recvTest struct {
	*testing.T
	r *Recv
	f *FIFO
}

func newRecvTest(t *testing.T, window uint64) *recvTest {
	f := NewFIFO(0, 0)
	r := new(Recv)
	r.Init(8, f, NewWindow(window, window))
	return &recvTest{t, r, f}
}

func (t *recvTest) receive(what string, off uint64, n int, fin bool, advance uint64, readable bool) {
	t.Helper()
	gotAdvance, gotReadable, err := t.r.Receive(off, patterned(n, off), fin)
	if err != nil || gotAdvance != advance || gotReadable != readable {
		t.Fatalf("%s: Receive(%d+%d, %v) = %d, %v, %v, want %d, %v", what, off, n, fin, gotAdvance, gotReadable, err, advance, readable)
	}
}

func (t *recvTest) refuse(what string, off uint64, n int, fin bool, want error) {
	t.Helper()
	before := t.r.RecvView
	if advance, _, err := t.r.Receive(off, make([]byte, n), fin); !errors.Is(err, want) || advance != 0 {
		t.Fatalf("%s: Receive(%d+%d, %v) = %d, %v, want %v", what, off, n, fin, advance, err, want)
	}
	if t.r.RecvView != before {
		t.Fatalf("%s: a refused frame changed the state", what)
	}
}

func (t *recvTest) read(what string, n int) {
	t.Helper()
	head := t.f.Head()
	p := make([]byte, n+1)
	if got := t.f.Read(p[:n]); got != n {
		t.Fatalf("%s: read %d bytes, want %d", what, got, n)
	}
	wantPattern(t.T, what, p[:n], head)
}

func (t *recvTest) wantState(what string, want RecvState) {
	t.Helper()
	if got := t.r.State(); got != want {
		t.Fatalf("%s: state %v, want %v", what, got, want)
	}
}

func TestReceiveInAnyOrder(t *testing.T) {
	x := newRecvTest(t, 1000)
	x.receive("in order", 0, 100, false, 100, true)
	x.receive("gap", 200, 100, false, 200, false)
	x.receive("empty", 250, 0, false, 0, false)
	x.receive("duplicate", 50, 50, false, 0, false)
	x.receive("FIN beyond a gap", 400, 0, true, 100, false)
	x.wantState("size known", RecvSizeKnown)
	x.receive("second gap", 350, 50, false, 0, false)
	if x.r.HeldRanges != 2 || x.r.HeldBytes != 150 {
		t.Errorf("%d ranges of %d bytes held, want 2 of 150", x.r.HeldRanges, x.r.HeldBytes)
	}
	x.receive("fills the first gap and overlaps", 90, 120, false, 0, true)
	x.read("so far", 300)
	x.receive("fills the second", 300, 50, false, 0, true)
	x.wantState("all received", RecvDataRecvd)
	if size, ok := x.f.Final(); !ok || size != 400 {
		t.Errorf("Final() = %d, %v", size, ok)
	}
	x.receive("again with FIN", 300, 100, true, 0, false)
	x.read("the rest", 100)
	x.wantState("all read", RecvDataRead)
	if !x.r.Done() || x.r.DuplicateBytes != 50+10+100 {
		t.Errorf("done %v, %d duplicate bytes", x.r.Done(), x.r.DuplicateBytes)
	}
}

func TestFinAlone(t *testing.T) {
	x := newRecvTest(t, 1000)
	x.receive("FIN of an empty stream", 0, 0, true, 0, true)
	x.wantState("empty", RecvDataRead)
	x.receive("FIN again", 0, 0, true, 0, false)

	x = newRecvTest(t, 1000)
	x.receive("data", 0, 10, false, 10, true)
	x.receive("FIN after the data", 10, 0, true, 0, true)
	x.wantState("FIN", RecvDataRecvd)
}

func TestReceiveErrors(t *testing.T) {
	x := newRecvTest(t, 1000)
	x.refuse("beyond the window", 990, 11, false, ErrFlowControl)
	x.refuse("FIN beyond the window", 1001, 0, true, ErrFlowControl)
	x.refuse("offset overflow", 1<<64-1, 2, false, ErrFlowControl)
	x.refuse("largest offset", 1<<62-1, 1, false, ErrFlowControl)
	x.receive("up to the window", 990, 10, false, 1000, false)
	x.refuse("FIN below received data", 500, 0, true, ErrFinalSize)
	x.receive("FIN", 1000, 0, true, 0, false)
	x.refuse("another final size", 900, 50, true, ErrFinalSize)

	x = newRecvTest(t, 1000)
	x.receive("FIN", 500, 0, true, 500, false)
	x.refuse("data beyond the final size", 500, 1, false, ErrFinalSize)
	x.refuse("larger final size", 500, 1, true, ErrFinalSize)
	if _, err := x.r.Reset(499, 0, 0); !errors.Is(err, ErrFinalSize) {
		t.Errorf("reset to a lower size: %v", err)
	}
	if _, err := x.r.Reset(501, 0, 0); !errors.Is(err, ErrFinalSize) {
		t.Errorf("reset to a larger size: %v", err)
	}

	x = newRecvTest(t, 1000)
	x.receive("data", 0, 100, false, 100, true)
	if _, err := x.r.Reset(99, 0, 0); !errors.Is(err, ErrFinalSize) {
		t.Errorf("reset below received data: %v", err)
	}
	if _, err := x.r.Reset(1001, 0, 0); !errors.Is(err, ErrFlowControl) {
		t.Errorf("reset beyond the window: %v", err)
	}
	if _, err := x.r.Reset(200, 201, 0); !errors.Is(err, ErrFrameEncoding) {
		t.Errorf("reliable size beyond the final size: %v", err)
	}
}

func TestErrorCodes(t *testing.T) {
	for err, code := range map[Error]uint64{
		ErrFlowControl: 3, ErrStreamState: 5, ErrFinalSize: 6, ErrFrameEncoding: 7,
		ErrTooManyGaps: 1, ErrBuffer: 1, ErrShared: 1,
	} {
		if err.TransportCode() != code || err.Error() == Error(0).Error() {
			t.Errorf("%v has code %#x, want %#x", err, err.TransportCode(), code)
		}
	}
}

func TestReceiveReset(t *testing.T) {
	x := newRecvTest(t, 1000)
	x.receive("data", 0, 100, false, 100, true)
	x.receive("gap", 200, 100, false, 200, false)
	if advance, err := x.r.Reset(600, 0, 42); err != nil || advance != 300 {
		t.Fatalf("Reset = %d, %v, want 300", advance, err)
	}
	x.wantState("reset", RecvResetRecvd)
	if code, ok := x.f.ResetCode(); !ok || code != 42 {
		t.Errorf("the reader sees reset %d, %v", code, ok)
	}
	if x.r.Consumed() != 600 || x.r.HeldBytes != 0 {
		t.Errorf("%d bytes consumed, %d held, want 600, 0", x.r.Consumed(), x.r.HeldBytes)
	}
	x.receive("data after the reset", 100, 100, false, 0, false)
	x.refuse("data beyond the final size", 600, 1, false, ErrFinalSize)
	if advance, err := x.r.Reset(600, 0, 42); err != nil || advance != 0 {
		t.Errorf("repeated: %d, %v", advance, err)
	}
	if _, err := x.r.Reset(600, 0, 43); !errors.Is(err, ErrStreamState) {
		t.Errorf("another code: %v", err)
	}
	x.r.SetResetRead()
	x.wantState("told", RecvResetRead)
	if !x.r.Done() {
		t.Error("not done")
	}
}

func TestResetAfterAllData(t *testing.T) {
	x := newRecvTest(t, 1000)
	x.receive("all", 0, 100, true, 100, true)
	if advance, err := x.r.Reset(100, 0, 1); err != nil || advance != 0 {
		t.Fatalf("Reset = %d, %v", advance, err)
	}
	x.wantState("the reset is suppressed", RecvDataRecvd)
	if _, ok := x.f.ResetCode(); ok {
		t.Error("the reader sees a reset")
	}
}

func TestReceiveResetAt(t *testing.T) {
	x := newRecvTest(t, 1000)
	x.receive("data", 0, 50, false, 50, true)
	x.receive("gap", 90, 30, false, 70, false)
	if advance, err := x.r.Reset(500, 200, 9); err != nil || advance != 380 {
		t.Fatalf("Reset = %d, %v", advance, err)
	}
	x.wantState("reset at", RecvSizeKnown)
	if got := x.r.Consumed(); got != 300 {
		t.Errorf("%d bytes consumed, want the 300 beyond the reliable size", got)
	}
	// A lower reliable size counts, a higher one does not.
	for _, reliable := range []uint64{100, 150} {
		if _, err := x.r.Reset(500, reliable, 9); err != nil {
			t.Fatal(err)
		}
	}
	if x.r.ReliableSize != 100 {
		t.Fatalf("reliable size %d, want 100", x.r.ReliableSize)
	}
	x.receive("beyond the reliable size", 120, 300, false, 0, false)
	if _, ok := x.f.ResetCode(); ok {
		t.Error("the reader sees the reset before the reliable data")
	}
	x.receive("fills the gap", 50, 40, false, 0, true)
	if code, ok := x.f.ResetCode(); !ok || code != 9 {
		t.Error("the reader does not see the reset")
	}
	x.wantState("reliable data received", RecvDataRecvd)
	x.read("reliable data", 100)
	x.wantState("reliable data read", RecvDataRead)
	if x.r.Consumed() != 500 || !x.r.Done() {
		t.Errorf("%d bytes consumed, done %v", x.r.Consumed(), x.r.Done())
	}
}

func TestStop(t *testing.T) {
	x := newRecvTest(t, 1000)
	x.receive("data", 0, 100, false, 100, true)
	x.receive("gap", 200, 100, false, 200, false)
	x.r.Stop()
	if x.r.Consumed() != 300 {
		t.Errorf("%d bytes consumed, want all 300", x.r.Consumed())
	}
	x.receive("discarded", 100, 500, false, 300, false)
	if x.r.Consumed() != 600 || x.r.Done() {
		t.Errorf("%d bytes consumed, done %v", x.r.Consumed(), x.r.Done())
	}
	if _, update := x.r.MaxData(1, time.Second); update {
		t.Error("a stopped stream gets credit")
	}
	x.refuse("flow control still counts", 1000, 1, false, ErrFlowControl)
	x.receive("FIN", 700, 0, true, 100, false)
	if !x.r.Done() {
		t.Error("not done")
	}
}

// TestTooManyGaps sends bytes with gaps between until the bound is reached, and
// checks what the bound promises.
func TestTooManyGaps(t *testing.T) {
	for _, test := range []struct{ segment, want int }{
		{1, 516}, // 512, and a few for the bytes held
		{64, 1024},
		{1200, hardRanges},
	} {
		x := newRecvTest(t, 1<<30)
		data := make([]byte, test.segment)
		n := 0
		for ; n <= hardRanges; n++ {
			_, _, err := x.r.Receive(uint64(n*(test.segment+1)+1), data, false)
			if errors.Is(err, ErrTooManyGaps) {
				break
			} else if err != nil {
				t.Fatal(err)
			}
		}
		if n != test.want {
			t.Errorf("%d ranges of %d bytes accepted, want %d", n, test.segment, test.want)
		}
		// What closes gaps is still accepted.
		if _, _, err := x.r.Receive(0, make([]byte, 2), false); err != nil {
			t.Errorf("in-order data at the bound: %v", err)
		}
		if _, _, err := x.r.Receive(uint64(test.segment)+1, data, false); err != nil {
			t.Errorf("data joining ranges at the bound: %v", err)
		}
	}
}

func TestBufferSmallerThanPromise(t *testing.T) {
	producer, _ := sharedPair(t, 512)
	var r Recv
	r.Init(0, producer, Window{Max: 2000, Size: 2000, Limit: 2000})
	if r.Window.Size != 512 || r.Window.Limit != 512 {
		t.Errorf("window of %d up to %d on a ring of 512", r.Window.Size, r.Window.Limit)
	}
	if _, _, err := r.Receive(0, make([]byte, 513), false); !errors.Is(err, ErrBuffer) {
		t.Errorf("more than the ring holds: %v", err)
	}
	if r.ReceivedOffset != 0 || r.HighestOffset != 513 {
		t.Errorf("received %d, highest %d; the bytes count but are not there", r.ReceivedOffset, r.HighestOffset)
	}
}

// TestReceiveAgainstModel delivers a stream in random overlapping pieces, in
// random order, with duplicates, through a sliding window.
func TestReceiveAgainstModel(t *testing.T) {
	for seed := range uint64(300) {
		rnd := rand.New(rand.NewPCG(seed, 3))
		size := uint64(1 + rnd.IntN(5000))
		window := uint64(100 + rnd.IntN(1500))
		x := newRecvTest(t, window)
		have := make([]bool, size)
		var contiguous, highest, head, sum uint64
		for step := 0; head < size; step++ {
			if step > 100000 {
				t.Fatalf("seed %d: no progress at %d of %d", seed, head, size)
			}
			if rnd.IntN(4) == 0 {
				p := make([]byte, 1+rnd.IntN(400))
				n := x.f.Read(p)
				if want := min(len(p), int(contiguous-head)); n != want {
					t.Fatalf("seed %d: read %d bytes, want %d", seed, n, want)
				}
				wantPattern(t, "Read", p[:n], head)
				head += uint64(n)
				x.r.MaxData(mono.Time(step+1), 0)
				continue
			}
			limit := min(size, x.r.Window.Max)
			off := rnd.Uint64N(limit + 1)
			if rnd.IntN(3) == 0 {
				off = min(contiguous, limit)
			}
			n := int(min(uint64(rnd.IntN(300)), limit-off))
			end := off + uint64(n)
			before := contiguous
			for i := off; i < end; i++ {
				have[i] = true
			}
			for contiguous < size && have[contiguous] {
				contiguous++
			}
			finished := x.r.SizeKnown != 0 && x.f.Closed()
			fin := end == size
			advance, readable, err := x.r.Receive(off, patterned(n, off), fin)
			if err != nil {
				t.Fatalf("seed %d: Receive(%d+%d): %v", seed, off, n, err)
			}
			sum += advance
			highest = max(highest, end)
			if want := contiguous > before || !finished && x.f.Closed(); readable != want {
				t.Fatalf("seed %d: Receive(%d+%d): readable %v, want %v", seed, off, n, readable, want)
			}
			checkHeld(t, seed, x.r, have)
			if x.r.ReceivedOffset != contiguous || x.f.Tail() != contiguous || x.r.HighestOffset != highest || sum != highest {
				t.Fatalf("seed %d: received %d (tail %d) highest %d sum %d, want %d, %d", seed, x.r.ReceivedOffset, x.f.Tail(), x.r.HighestOffset, sum, contiguous, highest)
			}
			if size > 0 && contiguous == size && x.r.SizeKnown == 0 {
				x.r.Receive(size, nil, true)
			}
		}
		x.wantState("all read", RecvDataRead)
	}
}

// checkHeld compares the ranges with what the model has beyond its first gap.
func checkHeld(t *testing.T, seed uint64, r *Recv, have []bool) {
	t.Helper()
	var held uint64
	i := 0
	for at := r.ReceivedOffset; at < uint64(len(have)); {
		if !have[at] {
			at++
			continue
		}
		lo := at
		for at < uint64(len(have)) && have[at] {
			at++
		}
		if i >= r.ranges.len() || *r.ranges.at(i) != (byteRange{lo, at}) {
			t.Fatalf("seed %d: range %d is not [%d, %d)", seed, i, lo, at)
		}
		held += at - lo
		i++
	}
	if i != r.ranges.len() || r.HeldRanges != uint32(i) || r.HeldBytes != held {
		t.Fatalf("seed %d: %d ranges (%d) of %d bytes, want %d of %d", seed, r.ranges.len(), r.HeldRanges, r.HeldBytes, i, held)
	}
}
