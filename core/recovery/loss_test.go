package recovery

import (
	"testing"
	"time"
)

func TestLossByPacketThreshold(t *testing.T) {
	x := newSentTest(t)
	x.send(4, eliciting)
	x.ack(2, 2)
	x.want("two later packets acknowledged", len(x.detect(time.Second)), 0)
	x.want("loss timer waits for the oldest", x.s.LossTime, x.s.Get(0).SentTime.Add(time.Second))
	x.ack(3, 3)
	x.want("three later packets acknowledged", x.detect(time.Second), []uint64{0})
	x.want("loss timer moves on", x.s.LossTime, x.s.Get(1).SentTime.Add(time.Second))
}

func TestLossByTimeThreshold(t *testing.T) {
	x := newSentTest(t)
	x.send(2, eliciting)
	x.ack(1, 1)
	x.now = x.s.Get(0).SentTime.Add(9*ms - 1)
	x.want("a moment before the threshold", len(x.detect(9*ms)), 0)
	x.now = x.s.LossTime
	x.want("when the loss timer fires", x.detect(9*ms), []uint64{0})
	x.want("loss timer is unset", x.s.LossTime.IsZero(), true)
}

func TestNoLossWithoutLaterAck(t *testing.T) {
	x := newSentTest(t)
	x.send(5, eliciting)
	x.now = x.now.Add(time.Hour)
	x.want("nothing acknowledged", len(x.detect(ms)), 0)
	x.ack(0, 0)
	x.want("only the first acknowledged", len(x.detect(ms)), 0)
	x.want("loss timer", x.s.LossTime.IsZero(), true)
}

func TestLossTimerIgnoresPacketsNotInFlight(t *testing.T) {
	x := newSentTest(t)
	x.send(1, PureAck)
	x.send(2, eliciting)
	x.ack(2, 2)
	x.want("lost", len(x.detect(time.Second)), 0)
	x.want("loss timer", x.s.LossTime, x.s.Get(1).SentTime.Add(time.Second))
}

func TestLossWithLargerPacketThreshold(t *testing.T) {
	x := newSentTest(t)
	x.send(8, eliciting)
	x.ack(7, 7)
	got := x.s.DetectLost(x.now, LossParams{PacketThreshold: 6, TimeThreshold: time.Second}, nil)
	x.want("threshold of six", got, []uint64{0, 1})
	got = x.s.DetectLost(x.now, LossParams{PacketThreshold: 1, TimeThreshold: time.Second}, nil)
	x.want("threshold below three counts as three", got, []uint64{0, 1, 2, 3, 4})
}

// TestPersistentCongestionExample is the example of RFC 9002, Section 7.6.3.
// https://www.rfc-editor.org/rfc/rfc9002#section-7.6.3
func TestPersistentCongestionExample(t *testing.T) {
	x := newSentTest(t)
	start := x.now
	at := func(seconds int) {
		x.now = start.Add(time.Duration(seconds) * time.Second)
		p := x.s.Add()
		p.SentTime, p.Size, p.Flags = x.now, 1200, eliciting
		x.s.Commit(p)
	}
	for _, s := range []int{0, 1, 2, 3, 4, 5, 6, 8, 12} {
		at(s)
	}
	x.ack(0, 0)
	firstSample := start // taken before packet 1 was sent
	x.now = start.Add(12200 * ms)
	x.ack(8, 8)
	lost := x.detect(2 * time.Second)
	x.want("lost when packet 9 is acknowledged", lost, []uint64{1, 2, 3, 4, 5, 6, 7})
	x.want("8-1 seconds of losses against 6", x.s.PersistentCongestion(lost, firstSample, 6*time.Second), true)
	x.want("against 7", x.s.PersistentCongestion(lost, firstSample, 7*time.Second), false)
	x.want("without a prior RTT sample", x.s.PersistentCongestion(lost, 0, 6*time.Second), false)
	x.want("sample taken in between", x.s.PersistentCongestion(lost, start.Add(1500*ms), 6*time.Second), false)
}

func TestPersistentCongestionNeedsUnbrokenLosses(t *testing.T) {
	for _, test := range []struct {
		name  string
		acked []uint64
		flags func(i int) uint32
		want  bool
	}{
		{name: "all lost", want: true},
		{name: "one in the middle acknowledged", acked: []uint64{50}},
		{name: "one early acknowledged leaves enough", acked: []uint64{5}, want: true},
		{name: "one late acknowledged leaves enough", acked: []uint64{93}, want: true},
		{name: "ends not ack-eliciting", flags: func(i int) uint32 {
			if i < 20 || i > 80 {
				return InFlight
			}
			return eliciting
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			x := newSentTest(t)
			for i := range 100 {
				flags := eliciting
				if test.flags != nil {
					flags = test.flags(i)
				}
				x.send(1, flags)
			}
			for _, pn := range test.acked {
				x.ack(pn, pn)
			}
			x.send(3, eliciting)
			x.ack(102, 102)
			lost := x.detect(time.Second)
			x.want("established", x.s.PersistentCongestion(lost, 1, 70*ms), test.want)
		})
	}
}

func TestPersistentCongestionAcrossBatches(t *testing.T) {
	x := newSentTest(t)
	x.send(10, eliciting)
	x.ack(9, 9)
	x.detect(time.Second) // 0-6
	x.s.Skip()
	x.now = x.now.Add(time.Second)
	x.send(4, eliciting)
	x.ack(14, 14)
	lost := x.detect(2 * time.Second)
	x.want("second batch", lost, []uint64{7, 8, 11})
	x.want("packet 9 was acknowledged in between", x.s.PersistentCongestion(lost, 1, 500*ms), false)

	x = newSentTest(t)
	x.send(4, eliciting)
	x.now = x.now.Add(time.Second)
	x.send(6, eliciting)
	x.ack(4, 4)
	x.detect(time.Hour) // 0, 1
	x.ack(9, 9)
	lost = x.detect(time.Hour)
	x.want("second batch", lost, []uint64{2, 3, 5, 6})
	x.want("packet 4 was acknowledged in between", x.s.PersistentCongestion(lost, 1, 500*ms), false)
}
