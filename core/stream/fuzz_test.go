package stream

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"
	"time"

	"github.com/pquic-go/pquic/core/mono"
)

// script reads numbers from fuzzed bytes.
type script struct{ b []byte }

func (s *script) more() bool { return len(s.b) > 0 }

func (s *script) byte() byte {
	if len(s.b) == 0 {
		return 0
	}
	c := s.b[0]
	s.b = s.b[1:]
	return c
}

// small returns a number of two bytes.
func (s *script) small() uint64 { return uint64(s.byte())<<8 | uint64(s.byte()) }

// any returns a number of eight bytes.
func (s *script) any() uint64 {
	var p [8]byte
	s.b = s.b[copy(p[:], s.b):]
	return binary.BigEndian.Uint64(p[:])
}

// FuzzReceive feeds a receiving half with frames, resets, reads and stops. What
// it accepts must add up, and what is read must be what was sent.
func FuzzReceive(f *testing.F) {
	f.Add([]byte("\x00\x00\x00\x00\x40\x00\x00\x40\x00\x40\x05\x00\x20"))
	f.Add([]byte("\x01\x00\x10\x00\x10\x00\x00\x00\x00\x20\x03\x00\x20\x00\x20\x00\x08"))
	f.Add([]byte("\x00\x00\x00\x00\x01\x00\x00\x02\x00\x01\x00\x00\x04\x00\x01\x02\xff\xff\xff\xff\xff\xff\xff\xff\x00\x05"))
	f.Add([]byte("\x00\x00\x00\x01\x00\x04\x05\x01\x00\x00\x00\x01\x01\x00\x00\x02\x00\x06"))
	f.Fuzz(func(t *testing.T, b []byte) {
		s := script{b}
		fifo := NewFIFO(0, 0)
		var r Recv
		r.Init(0, fifo, NewWindow(4000, 16000))
		var sum, consumed, read uint64
		for now := mono.Time(1); s.more(); now += mono.Time(time.Millisecond) {
			before := r.RecvView
			var advance uint64
			var err error
			switch s.byte() % 8 {
			case 0, 1:
				off, n := s.small(), int(s.small()%2000)
				advance, _, err = r.Receive(off, patterned(n, off), false)
			case 2:
				off := s.any()
				advance, _, err = r.Receive(off, patterned(int(s.byte()), off), false)
			case 3:
				off, n := s.small(), int(s.small()%2000)
				advance, _, err = r.Receive(off, patterned(n, off), true)
			case 4:
				advance, err = r.Reset(s.small(), s.small(), uint64(s.byte()%2))
			case 5:
				p := make([]byte, s.small())
				n := fifo.Read(p)
				if !bytes.Equal(p[:n], patterned(n, read)) {
					t.Fatalf("wrong bytes in [%d, %d)", read, read+uint64(n))
				}
				read += uint64(n)
				r.MaxData(now, 50*time.Millisecond)
			case 6:
				r.Stop()
			case 7:
				r.SetResetRead()
			}
			if err != nil && !errors.Is(err, ErrStreamState) && r.HighestOffset != before.HighestOffset {
				t.Fatalf("%v, yet the highest offset went from %d to %d", err, before.HighestOffset, r.HighestOffset)
			}
			sum += advance
			checkRecv(t, &r, &before, sum, &consumed)
		}
	})
}

func checkRecv(t *testing.T, r *Recv, before *RecvView, sum uint64, consumed *uint64) {
	t.Helper()
	switch {
	case r.HighestOffset != sum:
		t.Fatalf("highest offset %d, advances add up to %d", r.HighestOffset, sum)
	case r.HighestOffset > r.Window.Max:
		t.Fatalf("accepted %d beyond the limit %d", r.HighestOffset, r.Window.Max)
	case r.ReceivedOffset < before.ReceivedOffset || r.ReceivedOffset > r.HighestOffset:
		t.Fatalf("received offset %d, was %d, highest %d", r.ReceivedOffset, before.ReceivedOffset, r.HighestOffset)
	case before.SizeKnown != 0 && (r.SizeKnown == 0 || r.FinalSize != before.FinalSize):
		t.Fatalf("final size changed from %d to %d", before.FinalSize, r.FinalSize)
	case r.SizeKnown != 0 && r.FinalSize != r.HighestOffset:
		t.Fatalf("final size %d, highest offset %d", r.FinalSize, r.HighestOffset)
	case r.ranges.len() > MaxHeldRanges(r.HeldBytes) || r.HeldBytes > r.HighestOffset-r.ReceivedOffset:
		t.Fatalf("%d ranges of %d bytes held", r.ranges.len(), r.HeldBytes)
	case r.Consumed() < *consumed || r.Consumed() > r.HighestOffset:
		t.Fatalf("consumed %d of %d, was %d", r.Consumed(), r.HighestOffset, *consumed)
	case uint64(r.fifo.Cap()) > 2*r.Window.Limit:
		t.Fatalf("a ring of %d bytes for a window of %d", r.fifo.Cap(), r.Window.Limit)
	}
	*consumed = r.Consumed()
	at := r.ReceivedOffset
	for i := range r.ranges.len() {
		g := r.ranges.at(i)
		if g.lo <= at || g.hi <= g.lo {
			t.Fatalf("range [%d, %d) after %d", g.lo, g.hi, at)
		}
		at = g.hi
	}
	if at > r.HighestOffset {
		t.Fatalf("ranges end at %d, highest offset %d", at, r.HighestOffset)
	}
}

// FuzzSharedFIFO uses both ends of a FIFO, through the halves of a stream too,
// while every word of the shared header may change at any time.
func FuzzSharedFIFO(f *testing.F) {
	f.Add([]byte("\x00\x01\x00\x01\x01\x00\x02\x00\x00\x00\x00\x00\x00\x01\x00\x00\x02\x00"))
	f.Add([]byte("\x00\x00\x80\x03\xff\xff\xff\xff\xff\xff\xff\xff\x00\x00\x10\x01\x00\x10"))
	f.Add([]byte("\x04\x01\x00\x05\x02\x00\x06\x00\x80\x07\x00\x80\x02\x00\x00\x00\x00\x00\x00\x00\x01\x06\x00\x10"))
	f.Fuzz(func(t *testing.T, b []byte) {
		s := script{b}
		const ring = 512
		in, out := sharedPair(t, ring)
		words := in.shared
		var send Send
		var recv Recv
		send.Init(0, out, 1<<20)
		recv.Init(0, in, Window{Max: 1 << 20, Size: ring, Limit: ring})
		p := make([]byte, 1<<16)
		for s.more() {
			inTail, outHead := in.Tail(), out.Head()
			switch s.byte() % 11 {
			case 0:
				in.Write(p[:s.small()])
			case 1:
				out.Read(p[:s.small()])
			case 2:
				words.head.Store(s.any())
			case 3:
				words.tail.Store(s.any())
			case 4:
				words.words.writeEnd.Store(uint32(s.byte()) % 4)
				words.words.readEnd.Store(uint32(s.byte()) % 4)
			case 5:
				words.words.wantRead.Store(uint32(s.any()))
				words.words.wantWrite.Store(uint32(s.any()))
				words.magic.Store(s.any())
				words.size.Store(s.any())
			case 6:
				in.WriteAt(p[:s.small()], in.Tail()+s.small()%1024)
				in.PublishTail(s.any() % 4096)
				in.Space(int(s.small()))
			case 7:
				off, n, fin, _, ok := send.Next(int(s.small()), 1<<20)
				if ok {
					send.CopyTo(p[:n], off)
					send.CommitSent(off, n, fin)
				}
			case 8:
				send.Acked(s.small(), int(s.small()), s.byte()&1 != 0)
				send.Lost(s.small(), int(s.small()), s.byte()&1 != 0)
			case 9:
				recv.Receive(recv.ReceivedOffset+s.small()%1024, p[:s.small()%1024], s.byte()&3 == 0)
				recv.Consumed()
				recv.State()
			case 10:
				out.PeekContiguous(s.any())
				out.ReadAt(p[:s.small()], out.Head()+s.small()%1024)
				out.Advance(s.any())
				in.ArmWriter(int(s.small()))
				out.ArmReader()
				in.TakeReader()
				out.TakeWriter()
				in.Final()
				out.Final()
			}
			if in.Len() < 0 || in.Len() > ring || out.Len() < 0 || out.Len() > ring || in.Free() < 0 || in.Free() > ring {
				t.Fatalf("%d and %d bytes in a ring of %d, %d free", in.Len(), out.Len(), ring, in.Free())
			}
			if in.Tail() < inTail || out.Head() < outHead || send.NextOffset > out.Tail() {
				t.Fatalf("an end's own index went back: tail %d to %d, head %d to %d", inTail, in.Tail(), outHead, out.Head())
			}
		}
	})
}
