package congestion

import (
	"testing"
	"time"

	"github.com/pquic-go/pquic/core/mono"
	"github.com/pquic-go/pquic/core/recovery"
)

// A rateTest sends and acknowledges packets of 1000 bytes by hand.
type rateTest struct {
	t    *testing.T
	v    View
	r    RateSampler
	pkts []recovery.PacketView
}

func (x *rateTest) send(at time.Duration) {
	p := recovery.PacketView{Number: uint64(len(x.pkts)), SentTime: testStart.Add(at), Size: 1000, State: recovery.Outstanding}
	x.r.OnSent(&x.v, &p)
	x.v.BytesInFlight += 1000
	x.pkts = append(x.pkts, p)
}

func (x *rateTest) ack(at time.Duration, numbers ...int) RateSample {
	for _, n := range numbers {
		if x.pkts[n].State == recovery.Outstanding {
			x.v.BytesInFlight -= 1000
		}
		x.r.OnAcked(&x.v, &x.pkts[n], testStart.Add(at))
		x.pkts[n].State = recovery.Acked
	}
	return x.r.Sample(&x.v, 5*ms)
}

func (x *rateTest) lose(n int) {
	x.v.BytesInFlight -= 1000
	x.r.OnLost(&x.v, &x.pkts[n])
	x.pkts[n].State = recovery.Lost
}

func (x *rateTest) want(what string, got, want uint64) {
	x.t.Helper()
	if got != want {
		x.t.Errorf("%s: got %d, want %d", what, got, want)
	}
}

func TestRateOfSteadyFlow(t *testing.T) {
	x := rateTest{t: t}
	for i := range 10 {
		x.send(time.Duration(i) * ms)
	}
	for i := range 10 {
		s := x.ack(time.Duration(10+i)*ms, i)
		x.send(time.Duration(10+i) * ms)
		x.want("bytes acknowledged", s.NewlyAcked, 1000)
	}
	for i := range 10 {
		s := x.ack(time.Duration(20+i)*ms, 10+i)
		// A packet sent with the acknowledgment of i measures the ten since.
		x.want("rate", s.DeliveryRate, 1_000_000)
		x.want("delivered over the flight", s.Delivered, 10_000)
		x.want("in flight at sending", s.TxInFlight, 10_000)
	}
}

// TestRateIgnoresCompressedAcks: acknowledgments that were held back arrive at
// once; packets were not sent that fast, so the path did not deliver that fast.
func TestRateIgnoresCompressedAcks(t *testing.T) {
	x := rateTest{t: t}
	for i := range 20 {
		x.send(time.Duration(i) * ms)
	}
	var last RateSample
	for i := range 20 {
		last = x.ack(25*ms+time.Duration(i)*time.Microsecond, i)
	}
	if last.Valid == 0 || last.DeliveryRate > 1_053_000 {
		t.Errorf("rate %d from compressed acknowledgments of a flow of 1 MB/s", last.DeliveryRate)
	}
}

func TestRateAfterIdle(t *testing.T) {
	x := rateTest{t: t}
	x.send(0)
	x.ack(10*ms, 0)
	x.send(time.Second)
	s := x.ack(time.Second+10*ms, 1)
	x.want("rate of one packet after a pause", s.DeliveryRate, 100_000)
}

func TestRateTooShortToBelieve(t *testing.T) {
	x := rateTest{t: t}
	x.send(0)
	s := x.ack(4*ms, 0)
	x.want("rate over less than min_rtt", s.DeliveryRate, 0)
	x.want("Valid", uint64(s.Valid), 0)
	x.want("HasPacket", uint64(s.HasPacket), 1)
}

func TestRateAppLimited(t *testing.T) {
	x := rateTest{t: t}
	x.send(0)
	x.send(0)
	x.r.OnAppLimited(&x.v)
	x.send(ms)
	s := x.ack(10*ms, 0)
	x.want("packet sent before the application ran dry", uint64(s.AppLimited), 0)
	s = x.ack(11*ms, 1, 2)
	x.want("packet sent after it", uint64(s.AppLimited), 1)
	x.send(12 * ms)
	s = x.ack(22*ms, 3)
	x.want("packet sent after the gap was acknowledged", uint64(s.AppLimited), 0)
	x.v.SamplesLimited = 1
	x.send(23 * ms)
	s = x.ack(33*ms, 4)
	x.want("packet sent while the controller held back", uint64(s.AppLimited), 1)
}

func TestRateLossesAndSpuriousLosses(t *testing.T) {
	x := rateTest{t: t}
	for range 5 {
		x.send(0)
	}
	x.lose(0)
	x.lose(1)
	s := x.ack(10*ms, 4)
	x.want("lost since the packet left", s.Lost, 2000)
	x.want("newly lost", s.NewlyLost, 2000)
	s = x.ack(11*ms, 0)
	x.want("spurious bytes", x.v.SpuriousBytes, 1000)
	x.want("delivered in all", x.v.DeliveredBytes, 2000)
	x.want("newly lost", s.NewlyLost, 0)
	s = x.r.Sample(&x.v, 0)
	x.want("sample without acknowledgments", uint64(s.HasPacket), 0)
}

func TestRateUsesNewestPacket(t *testing.T) {
	for _, order := range [][]int{{0, 1, 2}, {2, 1, 0}, {1, 2, 0}} {
		x := rateTest{t: t}
		x.send(0)
		x.send(1 * ms)
		x.send(1 * ms)
		s := x.ack(11*ms, order...)
		x.want("in flight when the newest packet left", s.TxInFlight, 3000)
	}
}

var benchSample RateSample

func BenchmarkRateSampler(b *testing.B) {
	var v View
	var r RateSampler
	now := mono.Time(testStart)
	p := recovery.PacketView{Size: 1200}
	b.ReportAllocs()
	for b.Loop() {
		now += 1000
		p.Number++
		p.SentTime = now
		r.OnSent(&v, &p)
		r.OnAcked(&v, &p, now+50_000)
		benchSample = r.Sample(&v, 10)
	}
}
