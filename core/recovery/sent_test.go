package recovery

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/pquic-go/pquic/core/mono"
)

// A sentTest is a script over one packet number space: one packet per
// millisecond unless told otherwise.
type sentTest struct {
	t   *testing.T
	now mono.Time
	s   Sent[int]
}

func newSentTest(t *testing.T) *sentTest {
	return &sentTest{t: t, now: mono.Time(time.Hour)}
}

func (x *sentTest) send(n int, flags uint32) {
	for range n {
		p := x.s.Add()
		p.SentTime, p.Size, p.Flags = x.now, 1200, flags
		x.s.Commit(p)
		x.now = x.now.Add(ms)
	}
}

func (x *sentTest) ack(lo, hi uint64) (news []uint64) {
	for pn, ok := x.s.NextUnacked(lo, hi); ok; pn, ok = x.s.NextUnacked(pn+1, hi) {
		news = append(news, pn)
		x.s.Settle(x.s.Get(pn), Acked)
	}
	return news
}

func (x *sentTest) detect(delay time.Duration) []uint64 {
	lost := x.s.DetectLost(x.now, LossParams{TimeThreshold: delay}, nil)
	for _, pn := range lost {
		x.s.Settle(x.s.Get(pn), Lost)
	}
	return lost
}

func (x *sentTest) want(what string, got, want any) {
	x.t.Helper()
	if g, ok := got.([]uint64); ok {
		if w, ok := want.([]uint64); ok && slices.Equal(g, w) {
			return
		}
	} else if got == want {
		return
	}
	x.t.Errorf("%s: got %v, want %v", what, got, want)
}

const eliciting = AckEliciting | InFlight

func TestSentCounters(t *testing.T) {
	x := newSentTest(t)
	x.send(3, eliciting)
	x.send(1, PureAck)
	x.want("bytes in flight", x.s.BytesInFlight, uint64(3600))
	x.want("ack-eliciting packets in flight", x.s.AckElicitingInFlight, 3)
	x.want("last ack-eliciting packet", x.s.LastAckEliciting, x.now.Add(-2*ms))
	x.want("newly acknowledged", x.ack(1, 3), []uint64{1, 2, 3})
	x.want("acknowledged again", x.ack(0, 3), []uint64{0})
	x.want("bytes in flight", x.s.BytesInFlight, uint64(0))
	x.want("ack-eliciting packets in flight", x.s.AckElicitingInFlight, 0)
	x.want("largest acknowledged", x.s.LargestAcked, uint64(3))
	x.s.Forget()
	x.want("held after all is settled", x.s.Len(), 0)
	x.want("next number", x.s.Next(), uint64(4))
}

func TestSentGet(t *testing.T) {
	x := newSentTest(t)
	x.want("unsent packet", x.s.Get(0) == nil, true)
	x.send(40, eliciting)
	x.ack(0, 9)
	x.s.Forget()
	x.want("first held", x.s.First(), uint64(10))
	x.want("forgotten packet", x.s.Get(9) == nil, true)
	x.want("oldest held packet", x.s.Get(10).Number, uint64(10))
	x.want("newest packet", x.s.Get(39).Number, uint64(39))
	x.want("packet not sent yet", x.s.Get(40) == nil, true)
	x.want("far beyond", x.s.Get(1<<62-1) == nil, true)
	x.want("an ACK range beyond what was sent", x.ack(35, 1<<62-1), []uint64{35, 36, 37, 38, 39})
}

func TestSentKeepsDataForReuse(t *testing.T) {
	x := newSentTest(t)
	for i := range minRing {
		x.s.Add().Data = i
	}
	x.ack(0, minRing-1)
	x.s.Forget()
	for i := range minRing {
		x.want("data of the slot's last user", x.s.Add().Data, i)
	}
}

func TestSentSkippedNumber(t *testing.T) {
	x := newSentTest(t)
	x.send(2, eliciting)
	x.s.Skip()
	x.send(2, eliciting)
	x.want("state of a skipped number", x.s.Get(2).State, Skipped)
	x.ack(0, 1)
	x.s.Forget()
	x.want("skipped number is kept until passed over", x.s.First(), uint64(2))
	pn, ok := x.s.NextUnacked(2, 4)
	x.want("a forged acknowledgment shows", pn == 2 && ok, true)
	x.want("real ones still count", x.ack(3, 4), []uint64{3, 4})
	x.want("nothing is lost", len(x.detect(ms)), 0)
	x.s.Forget()
	x.want("held after all is settled", x.s.Len(), 0)
}

func TestSentLateAckRecoversLostPacket(t *testing.T) {
	x := newSentTest(t)
	x.send(5, eliciting)
	x.ack(4, 4)
	x.want("lost by packet threshold", x.detect(time.Second), []uint64{0, 1})
	x.want("bytes in flight", x.s.BytesInFlight, uint64(2400))
	x.s.Forget()
	x.want("lost packets are kept", x.s.First(), uint64(0))
	x.want("late acknowledgment is news", x.ack(0, 0), []uint64{0})
	x.want("spurious loss", x.s.Get(0).State, Recovered)
	x.want("bytes in flight do not change twice", x.s.BytesInFlight, uint64(2400))
	x.s.ForgetLostBefore(x.s.Get(1).SentTime)
	x.want("not yet old enough", x.s.First(), uint64(1))
	x.s.ForgetLostBefore(x.s.Get(1).SentTime + 1)
	x.want("lost packet forgotten", x.s.First(), uint64(2))
}

func TestSentForgetsPureAcks(t *testing.T) {
	x := newSentTest(t)
	x.send(100, PureAck)
	x.s.ForgetLostBefore(x.now.Add(-10 * ms))
	x.want("held", x.s.Len(), 10)
}

func TestSentStateMayBeSetDirectly(t *testing.T) {
	x := newSentTest(t)
	x.send(4, eliciting)
	x.s.Get(1).State = Acked
	x.want("newly acknowledged", x.ack(0, 3), []uint64{0, 2, 3})
}

func TestSentShrinksAndTrims(t *testing.T) {
	x := newSentTest(t)
	x.send(5000, eliciting)
	x.want("ring after a burst", len(x.s.ring), 8192)
	x.ack(0, 4999)
	x.s.Forget()
	for range 12 * quietDrains {
		x.send(1, eliciting)
		x.ack(0, x.s.Next())
		x.s.Forget()
	}
	x.want("ring after a long time of single packets", len(x.s.ring) <= 64, true)
	x.send(3, eliciting)
	x.send(500, eliciting)
	x.ack(x.s.First()+3, x.s.Next()-2)
	x.s.Trim()
	x.want("trim keeps what is held", len(x.s.ring), 512)
	x.want("after trim", x.ack(x.s.First(), x.s.Next()), []uint64{x.s.First(), x.s.First() + 1, x.s.First() + 2, x.s.Next() - 1})
	x.s.Forget()
	x.s.Trim()
	x.want("trim of an idle connection frees the ring", x.s.ring == nil, true)
	x.send(1, eliciting)
	x.want("sending goes on", x.s.Get(x.s.Next()-1).State, Outstanding)
}

func TestSentDiscard(t *testing.T) {
	x := newSentTest(t)
	x.send(7, eliciting)
	x.ack(3, 3)
	x.s.Discard()
	x.want("next number", x.s.Next(), uint64(7))
	x.want("held", x.s.Len(), 0)
	x.want("bytes in flight", x.s.BytesInFlight, uint64(0))
	x.want("has acked", x.s.HasAcked, false)
	x.want("ring", x.s.ring == nil, true)
}

// TestSentAgainstModel drives the ring at random and compares with a plain map.
func TestSentAgainstModel(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	x := newSentTest(t)
	model := map[uint64]uint32{}
	for step := range 20000 {
		switch rng.IntN(10) {
		case 0, 1, 2, 3:
			burst := 1 + rng.IntN(8)
			if rng.IntN(50) == 0 {
				burst = 300
			}
			for range burst {
				model[x.s.Next()] = Outstanding
				x.send(1, eliciting)
			}
		case 4:
			model[x.s.Next()] = Skipped
			x.s.Skip()
		case 5, 6, 7:
			if x.s.Len() == 0 {
				continue
			}
			lo := x.s.First() + rng.Uint64N(uint64(x.s.Len()))
			hi := lo + rng.Uint64N(100)
			var want []uint64
			for pn := lo; pn <= hi && pn < x.s.Next(); pn++ {
				if st := model[pn]; st == Outstanding || st == Lost || st == Skipped {
					want = append(want, pn)
				}
			}
			var got []uint64
			for pn, ok := x.s.NextUnacked(lo, hi); ok; pn, ok = x.s.NextUnacked(pn+1, hi) {
				got = append(got, pn)
				if model[pn] == Skipped {
					continue
				}
				x.s.Settle(x.s.Get(pn), Acked)
				model[pn] = x.s.Get(pn).State
			}
			if !slices.Equal(got, want) {
				t.Fatalf("step %d: NextUnacked over %d-%d gave %v, want %v", step, lo, hi, got, want)
			}
		case 8:
			var want []uint64
			for pn := x.s.First(); pn < x.s.Next(); pn++ {
				if model[pn] == Outstanding && x.s.HasAcked && pn+PacketThreshold <= x.s.LargestAcked {
					want = append(want, pn)
				}
			}
			got := x.detect(time.Hour)
			if !slices.Equal(got, want) {
				t.Fatalf("step %d: DetectLost gave %v, want %v", step, got, want)
			}
			for _, pn := range got {
				model[pn] = Lost
			}
		case 9:
			x.s.ForgetLostBefore(x.now.Add(-time.Duration(rng.IntN(500)) * ms))
			if rng.IntN(20) == 0 {
				x.s.Trim()
			}
		}
		var inFlight uint64
		for pn := x.s.First(); pn < x.s.Next(); pn++ {
			if got := x.s.Get(pn); got.Number != pn || got.State != model[pn] {
				t.Fatalf("step %d: packet %d is number %d in state %d, want state %d", step, pn, got.Number, got.State, model[pn])
			}
			if model[pn] == Outstanding {
				inFlight += 1200
			}
		}
		if inFlight != x.s.BytesInFlight {
			t.Fatalf("step %d: BytesInFlight %d, want %d", step, x.s.BytesInFlight, inFlight)
		}
	}
}

func TestSentAllocatesNothingInSteadyState(t *testing.T) {
	x := newSentTest(t)
	lost := make([]uint64, 0, 16)
	round := func() {
		x.send(100, eliciting)
		hi := x.s.Next() - 1
		for pn, ok := x.s.NextUnacked(hi-98, hi); ok; pn, ok = x.s.NextUnacked(pn+1, hi) {
			x.s.Settle(x.s.Get(pn), Acked)
		}
		lost = x.s.DetectLost(x.now, LossParams{TimeThreshold: ms}, lost[:0])
		for _, pn := range lost {
			x.s.Settle(x.s.Get(pn), Lost)
		}
		x.s.ForgetLostBefore(x.now)
	}
	round()
	if n := testing.AllocsPerRun(100, round); n != 0 {
		t.Errorf("%v allocations per round", n)
	}
}
