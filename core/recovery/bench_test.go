package recovery

import (
	"testing"
	"time"

	"github.com/pquic-go/pquic/core/mono"
)

// content is about what a connection remembers of a packet's frames.
type content struct {
	_ [3][4]uint64
	_ []byte
}

// BenchmarkSentPerPacket sends and acknowledges with so many packets in flight;
// one packet out of a hundred is lost. ns/op is per packet.
func BenchmarkSentPerPacket(b *testing.B) {
	for _, inFlight := range []uint64{32, 4096} {
		b.Run(map[uint64]string{32: "inflight=32", 4096: "inflight=4096"}[inFlight], func(b *testing.B) {
			var s Sent[content]
			now := mono.Time(time.Hour)
			lost := make([]uint64, 0, 64)
			acked := uint64(108) // as if the first hundred were settled
			for range 108 {
				s.Settle(s.Add(), Acked)
			}
			s.Forget()
			b.ReportAllocs()
			for b.Loop() {
				p := s.Add()
				p.SentTime, p.Size, p.Flags = now, 1200, eliciting
				s.Commit(p)
				now += 1000
				if s.Next() < acked+inFlight {
					continue
				}
				// An ACK frame for ten packets, repeating up to 32 old ranges
				// with the lost packets as gaps between them.
				hi := acked + 9
				acked = hi + 1
				for range 32 {
					lo := hi - (hi-8)%100
					for pn, ok := s.NextUnacked(lo, hi); ok; pn, ok = s.NextUnacked(pn+1, hi) {
						s.Settle(s.Get(pn), Acked)
					}
					if hi = lo - 2; lo < s.First()+2 {
						break
					}
				}
				lost = s.DetectLost(now, LossParams{TimeThreshold: time.Second}, lost[:0])
				for _, pn := range lost {
					s.Settle(s.Get(pn), Lost)
				}
				s.ForgetLostBefore(now.Add(-time.Duration(3 * 1000 * inFlight)))
			}
		})
	}
}

func BenchmarkReceivedInOrder(b *testing.B) {
	var r Received
	var pn uint64
	for b.Loop() {
		r.Add(pn)
		pn++
	}
}

func BenchmarkPacer(b *testing.B) {
	p := Pacer{Rate: 1_250_000_000, Burst: 65536}
	now := mono.Time(time.Hour)
	for b.Loop() {
		now += 960
		if p.Budget(now) >= 1200 {
			p.Consume(now, 1200)
		}
	}
}
