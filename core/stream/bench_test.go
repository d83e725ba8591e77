package stream

import (
	"testing"
)

const benchPacket = 1200

// BenchmarkSend is one packet of a bulk transfer: what to send, record it, copy
// it out of the FIFO. The copy is reported by BenchmarkCopy.
func BenchmarkSend(b *testing.B) {
	f := NewFIFO(1<<20, 1<<20)
	var s Send
	s.Init(0, f, 1<<62)
	data := make([]byte, 1<<20)
	f.Write(data)
	dst := make([]byte, benchPacket)
	b.ReportAllocs()
	for b.Loop() {
		off, n, fin, _, ok := s.Next(benchPacket, 1<<40)
		if !ok || n < benchPacket {
			b.StopTimer()
			s.Acked(s.AckedOffset, int(s.NextOffset-s.AckedOffset), false)
			f.Write(data)
			b.StartTimer()
			continue
		}
		s.CopyTo(dst[:n], off)
		s.CommitSent(off, n, fin)
	}
}

func BenchmarkCopy(b *testing.B) {
	data := make([]byte, 1<<20)
	dst := make([]byte, benchPacket)
	off := 0
	for b.Loop() {
		copy(dst, data[off:])
		if off += benchPacket; off > len(data)-benchPacket {
			off = 0
		}
	}
}

func BenchmarkAckedInOrder(b *testing.B) {
	f := NewFIFO(1<<20, 1<<20)
	var s Send
	s.Init(0, f, 1<<62)
	data := make([]byte, 1<<20)
	b.ReportAllocs()
	left := 0
	for b.Loop() {
		if left == 0 {
			b.StopTimer()
			f.Write(data)
			for range 800 {
				off, n, fin, _, _ := s.Next(benchPacket, 1<<40)
				s.CommitSent(off, n, fin)
			}
			left = 800
			b.StartTimer()
		}
		s.Acked(s.AckedOffset, benchPacket, false)
		left--
	}
}

// BenchmarkLossAndRepair is a packet's share when every eleventh is lost: sending
// it, its fate, and sending the lost ones again.
func BenchmarkLossAndRepair(b *testing.B) {
	f := NewFIFO(1<<22, 1<<22)
	var s Send
	s.Init(0, f, 1<<62)
	data := make([]byte, 1<<20)
	const window = 500
	ring := make([]uint64, window)
	sent := 0
	b.ReportAllocs()
	for b.Loop() {
		if sent >= window {
			off := ring[sent%window]
			if sent%11 == 0 {
				s.Lost(off, benchPacket, false)
			} else {
				s.Acked(off, benchPacket, false)
			}
		}
		if f.Free() >= 1<<20 {
			f.Write(data)
		}
		off, n, _, _, ok := s.Next(benchPacket, 1<<40)
		if !ok {
			b.Fatal("nothing to send")
		}
		s.CommitSent(off, n, false)
		ring[sent%window] = off
		sent++
	}
}

func BenchmarkReceiveInOrder(b *testing.B) {
	f := NewFIFO(1<<20, 1<<20)
	var r Recv
	r.Init(0, f, Window{Max: 1 << 62, Size: 1 << 20, Limit: 1 << 20})
	data := make([]byte, benchPacket)
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := r.Receive(r.ReceivedOffset, data, false); err != nil {
			b.Fatal(err)
		}
		if f.Len() > 1<<19 {
			f.Advance(f.Tail())
		}
	}
}

// BenchmarkReceiveReordered delivers pairs of packets in the wrong order.
func BenchmarkReceiveReordered(b *testing.B) {
	f := NewFIFO(1<<20, 1<<20)
	var r Recv
	r.Init(0, f, Window{Max: 1 << 62, Size: 1 << 20, Limit: 1 << 20})
	data := make([]byte, benchPacket)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		off := r.ReceivedOffset
		if i&1 == 0 {
			off += benchPacket
		}
		if _, _, err := r.Receive(off, data, false); err != nil {
			b.Fatal(err)
		}
		if f.Len() > 1<<19 {
			f.Advance(f.Tail())
		}
	}
}

// BenchmarkReceiveHostile is one byte put amidst as many ranges as are held
// whatever they contain: the costliest insertion per byte received.
func BenchmarkReceiveHostile(b *testing.B) {
	f := NewFIFO(1<<20, 1<<20)
	var r Recv
	r.Init(0, f, NewWindow(1<<20, 1<<20))
	one := make([]byte, 1)
	for i := range uint64(freeRanges) {
		r.Receive(1+4*i, one, false)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := r.Receive(4*freeRanges/2+3, one, false); err != nil {
			b.Fatal(err)
		}
		r.ranges.remove(freeRanges/2+1, freeRanges/2+2)
		r.HeldBytes--
	}
}

func BenchmarkFIFOWriteRead(b *testing.B) {
	f := NewFIFO(1<<16, 1<<16)
	p := make([]byte, 4096)
	b.SetBytes(int64(len(p)))
	b.ReportAllocs()
	for b.Loop() {
		f.Write(p)
		f.Read(p)
	}
}

func BenchmarkSchedulerTurn(b *testing.B) {
	for _, name := range SchedulerNames() {
		b.Run(name, func(b *testing.B) {
			s := newScheduler(b, name)
			for i := range uint64(100) {
				s.Ready(entry(4 * i))
			}
			b.ReportAllocs()
			for b.Loop() {
				s.Sent(s.Next(), benchPacket)
			}
		})
	}
}

// BenchmarkUntouchedStream is the memory of a stream's two FIFOs before the
// first byte.
func BenchmarkUntouchedStream(b *testing.B) {
	b.ReportAllocs()
	var keep [2]*FIFO
	for b.Loop() {
		keep[0], keep[1] = NewFIFO(4096, 1<<20), NewFIFO(0, 1<<20)
	}
	_ = keep
}
