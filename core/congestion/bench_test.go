package congestion

import (
	"testing"
	"time"

	"github.com/pquic-go/pquic/core/recovery"
)

// steady prepares a controller in its long-term state and returns one round of
// its work: a packet sent, an ACK frame processed.
func steady(name string) func() {
	cc, err := New(name, 0)
	if err != nil {
		panic(err)
	}
	v := &View{MaxDatagramSize: testMSS}
	now := testStart
	cc.Init(v, now)
	rtt := recovery.RTT{LatestRTT: 30 * ms, SmoothedRTT: 30 * ms, MinRTT: 30 * ms, RTTVar: ms, Samples: 100}
	a := &Ack{Bytes: 2 * testMSS, RTT: rtt, LatestRTT: 30 * ms, HasRTT: true}
	pn := uint64(0)
	step := func() {
		now = now.Add(2 * time.Millisecond)
		pn += 2
		v.BytesInFlight = v.CongestionWindow
		cc.OnSent(v, now, testMSS, pn)
		cc.OnSent(v, now, testMSS, pn+1)
		v.DeliveredBytes += 2 * testMSS
		a.Now, a.LargestSentTime, a.LargestAcked, a.NextPN = now, now.Add(-30*ms), pn, pn+30
		a.Rate = RateSample{
			DeliveryRate: 1_250_000, Delivered: 37_500, PriorDelivered: v.DeliveredBytes - min(37_500, v.DeliveredBytes),
			TxInFlight: 37_500, NewlyAcked: 2 * testMSS, Interval: 30 * ms, HasPacket: 1, Valid: 1,
		}
		cc.OnAck(v, a)
	}
	for range 50 {
		step()
	}
	v.LostBytes += testMSS
	cc.OnLoss(v, &Loss{Now: now, Bytes: testMSS, Packets: 1, LargestLostSent: now.Add(-ms), TxInFlight: 37_500})
	for range 5000 {
		step()
	}
	return step
}

// BenchmarkPerAck is the cost of two packets sent and one ACK frame for both.
func BenchmarkPerAck(b *testing.B) {
	for _, name := range Names() {
		b.Run(name, func(b *testing.B) {
			step := steady(name)
			b.ReportAllocs()
			for b.Loop() {
				step()
			}
		})
	}
}

func TestNothingAllocatesPerAck(t *testing.T) {
	for _, name := range Names() {
		if n := testing.AllocsPerRun(1000, steady(name)); n != 0 {
			t.Errorf("%s: %v allocations per ACK frame", name, n)
		}
	}
}
