package stream

import (
	"bytes"
	"errors"
	"testing"
	"unsafe"
)

// sharedMemory returns zeroed memory aligned as a mapping would be.
func sharedMemory(ring int) []byte {
	mem := make([]uint64, (SharedHeader+ring)/8)
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(mem))), SharedHeader+ring)
}

func sharedPair(t testing.TB, ring int) (producer, consumer *FIFO) {
	mem := sharedMemory(ring)
	producer, err := NewFIFOOn(mem, Producer, true)
	if err != nil {
		t.Fatal(err)
	}
	consumer, err = NewFIFOOn(mem, Consumer, false)
	if err != nil {
		t.Fatal(err)
	}
	return producer, consumer
}

func TestSharedMemoryIsChecked(t *testing.T) {
	if _, err := NewFIFOOn(nil, Producer, true); !errors.Is(err, ErrShared) {
		t.Errorf("no memory: %v", err)
	}
	if _, err := NewFIFOOn(sharedMemory(128), Producer, true); !errors.Is(err, ErrShared) {
		t.Errorf("too little memory: %v", err)
	}
	if _, err := NewFIFOOn(sharedMemory(1024)[1:], Producer, true); !errors.Is(err, ErrShared) {
		t.Errorf("unaligned memory: %v", err)
	}
	if _, err := NewFIFOOn(sharedMemory(1024), Consumer, false); !errors.Is(err, ErrShared) {
		t.Errorf("opening what nobody created: %v", err)
	}
	if _, err := NewFIFOOn(sharedMemory(1024), bothSides, true); !errors.Is(err, ErrShared) {
		t.Errorf("no side: %v", err)
	}
	mem := sharedMemory(2048)
	if _, err := NewFIFOOn(mem, Consumer, true); err != nil {
		t.Fatal(err)
	}
	if _, err := NewFIFOOn(mem, Producer, true); !errors.Is(err, ErrShared) {
		t.Errorf("creating twice: %v", err)
	}
	if _, err := NewFIFOOn(mem[:SharedHeader+1024], Producer, false); !errors.Is(err, ErrShared) {
		t.Errorf("opening another size: %v", err)
	}
}

func TestSharedFIFOCarriesBytes(t *testing.T) {
	in, out := sharedPair(t, 1000) // a ring of 512
	if in.Max() != 512 || in.Cap() != 512 {
		t.Fatalf("ring of %d, want 512", in.Max())
	}
	for i := range 10 {
		p := bytes.Repeat([]byte{byte(i)}, 300)
		if n := in.Write(p); n != 300 {
			t.Fatalf("round %d: wrote %d", i, n)
		}
		got := make([]byte, 400)
		if n := out.Read(got); n != 300 || !bytes.Equal(got[:n], p) {
			t.Fatalf("round %d: read %d", i, n)
		}
	}
	if in.Write(make([]byte, 600)) != 512 || in.Free() != 0 {
		t.Error("a shared ring grew")
	}
	if in.Trim() {
		t.Error("a shared ring was released")
	}
	in.SetReset(77)
	if code, ok := out.ResetCode(); !ok || code != 77 {
		t.Errorf("ResetCode() = %d, %v across processes, want 77", code, ok)
	}
	out.CloseRead(78)
	if code, ok := in.ReadClosed(); !ok || code != 78 {
		t.Errorf("ReadClosed() = %d, %v across processes, want 78", code, ok)
	}
	if in.Err() != nil || out.Err() != nil {
		t.Errorf("errors without a violation: %v, %v", in.Err(), out.Err())
	}
}

func TestHostileConsumerIndex(t *testing.T) {
	for _, head := range []uint64{0, 99, 601, 1 << 40, 1<<64 - 1} {
		in, out := sharedPair(t, 512)
		in.Write(make([]byte, 400))
		out.Advance(100)
		in.Write(make([]byte, 200)) // the producer has seen head 100, tail is 600
		in.shared.head.Store(head)
		if n := in.Write(make([]byte, 512)); n > 12 {
			t.Errorf("head %d: wrote %d bytes with at most 12 free", head, n)
		}
		if !errors.Is(in.Err(), ErrShared) {
			t.Errorf("head %d: not noticed", head)
		}
		if in.Write([]byte("x")) != 0 || in.WriteAt(make([]byte, 400), in.Tail()) || in.Free() != 0 {
			t.Errorf("head %d: still writing", head)
		}
	}
}

func TestHostileProducerIndex(t *testing.T) {
	for _, tail := range []uint64{0, 399, 613, 1 << 40, 1<<64 - 1} {
		in, out := sharedPair(t, 512)
		in.Write(patterned(400, 0))
		got := make([]byte, 100)
		out.Read(got)
		in.shared.tail.Store(tail)
		if n := out.Read(make([]byte, 512)); n > 300 {
			t.Errorf("tail %d: read %d bytes of 300", tail, n)
		}
		if out.Len(); !errors.Is(out.Err(), ErrShared) {
			t.Errorf("tail %d: not noticed", tail)
		}
		if out.Tail() != 400 {
			t.Errorf("tail %d: Tail moved to %d", tail, out.Tail())
		}
	}
}

// TestOwnIndexIsNotReadBack lets the other process overwrite the word that this
// end publishes: that must not matter.
func TestOwnIndexIsNotReadBack(t *testing.T) {
	in, out := sharedPair(t, 512)
	in.Write(patterned(100, 0))
	in.shared.tail.Store(1 << 50)
	if n := in.Write(patterned(100, 100)); n != 100 || in.Tail() != 200 || in.Err() != nil {
		t.Errorf("the producer believed its own word: wrote %d, tail %d, %v", n, in.Tail(), in.Err())
	}
	got := make([]byte, 150)
	out.Read(got)
	wantPattern(t, "Read", got, 0)
	out.shared.head.Store(1 << 50)
	if n := out.Read(got); n != 50 || out.Err() != nil {
		t.Errorf("the consumer believed its own word: read %d, %v", n, out.Err())
	}
	wantPattern(t, "Read", got[:50], 150)
}

func TestFinalSizeIsLatched(t *testing.T) {
	in, out := sharedPair(t, 512)
	in.Write(patterned(100, 0))
	in.CloseWrite()
	if size, ok := out.Final(); !ok || size != 100 {
		t.Fatalf("Final() = %d, %v", size, ok)
	}
	out.shared.tail.Store(120)
	if size, _ := out.Final(); size != 100 || out.Tail() != 100 {
		t.Errorf("the final size moved to %d", size)
	}
	if !errors.Is(out.Err(), ErrShared) {
		t.Error("a moving final size was not noticed")
	}
}
