package congestion

import (
	"container/heap"
	"fmt"
	"testing"
	"time"

	"github.com/pquic-go/pquic/core/mono"
	"github.com/pquic-go/pquic/core/recovery"
)

// A path is a model of one bottleneck: packets are lost at random, wait in a
// drop-tail queue, leave at the rate, and arrive after the delay. ACK frames
// come back after the same delay. It runs on virtual time and replays alike.
type path struct {
	rate    uint64        // bits per second
	delay   time.Duration // one way
	queue   int           // packets that may wait
	loss    float64       // probability of random loss, before the queue
	jitter  time.Duration // added to each delay, uniformly, without reordering
	reorder float64       // probability of one packet being late by reorderBy
	late    time.Duration // how late
	ackEach int           // packets per ACK frame; 2 if 0
	aggr    time.Duration // ACK frames arrive only at multiples of this
	policer *policer
}

type policer struct {
	rate, burst, tokens float64 // bytes per second, bytes
	last                mono.Time
}

const (
	testMSS      = 1200
	testStart    = mono.Time(1_000_000_000_000)
	testAckDelay = 25 * time.Millisecond
)

type event struct {
	at   mono.Time
	seq  int
	fire func()
}

type events []event

func (e events) Len() int { return len(e) }
func (e events) Less(i, j int) bool {
	return e[i].at < e[j].at || e[i].at == e[j].at && e[i].seq < e[j].seq
}
func (e events) Swap(i, j int) { e[i], e[j] = e[j], e[i] }
func (e *events) Push(x any)   { *e = append(*e, x.(event)) }
func (e *events) Pop() any {
	last := (*e)[len(*e)-1]
	*e = (*e)[:len(*e)-1]
	return last
}

// A flow is one sender, its receiver and the path between them.
type flow struct {
	t    *testing.T
	path path
	now  mono.Time
	evs  events
	seq  int
	rng  prng

	// Sender.
	cc         Controller
	v          View
	rs         RateSampler
	rtt        recovery.RTT
	sent       recovery.Sent[struct{}]
	pacer      recovery.Pacer
	ptoCount   uint32
	supply     uint64 // bytes the application still has; unlimited if 1<<63
	wake       mono.Time
	lossTimer  mono.Time
	lostBuf    []uint64
	limited    bool // the window or the pacer stopped the sender last
	lastSample RateSample
	onAck      func(a *Ack)
	states     []uint32 // every View.State seen, without repetition

	// Bottleneck.
	busy      mono.Time // when the link is done with all that waits
	lastOut   mono.Time
	delivered uint64
	drops     int
	randoms   int
	maxDelay  time.Duration // spent waiting
	sumDelay  time.Duration
	passed    int

	// Receiver.
	received recovery.Received
	unacked  int
	ackAt    mono.Time
}

func newFlow(t *testing.T, name string, p path) *flow {
	t.Helper()
	cc, err := New(name, 10)
	if err != nil {
		t.Fatal(err)
	}
	if p.ackEach == 0 {
		p.ackEach = 2
	}
	f := &flow{t: t, path: p, now: testStart, cc: cc, supply: 1 << 63, rng: prng{state: 42}}
	f.v.MaxDatagramSize = testMSS
	f.v.Seed = 7
	f.rtt.Init(0)
	cc.Init(&f.v, f.now)
	return f
}

func (f *flow) at(t mono.Time, fire func()) {
	f.seq++
	heap.Push(&f.evs, event{max(t, f.now), f.seq, fire})
}

// run lets d of virtual time pass.
func (f *flow) run(d time.Duration) {
	end := f.now.Add(d)
	f.trySend()
	for len(f.evs) > 0 && f.evs[0].at <= end {
		e := heap.Pop(&f.evs).(event)
		f.now = e.at
		e.fire()
	}
	f.now = end
}

// feed gives the application n more packets every interval, for d.
func (f *flow) feed(n int, interval, d time.Duration) {
	f.supply = 0
	for t := time.Duration(0); t < d; t += interval {
		f.at(f.now.Add(t), func() {
			f.supply += uint64(n) * testMSS
			f.trySend()
		})
	}
	f.run(d)
}

// measure is what the bottleneck delivers over d from now, in bits per second.
func (f *flow) measure(d time.Duration) (bitsPerSecond float64) {
	before := f.delivered
	f.maxDelay, f.sumDelay, f.passed = 0, 0, 0
	f.run(d)
	return float64(f.delivered-before) * 8 / d.Seconds()
}

func (f *flow) meanDelay() time.Duration {
	if f.passed == 0 {
		return 0
	}
	return f.sumDelay / time.Duration(f.passed)
}

func (f *flow) trySend() {
	for {
		if f.supply < testMSS {
			f.limited = false
			if f.v.BytesInFlight < f.v.CongestionWindow {
				f.rs.OnAppLimited(&f.v)
			}
			return
		}
		f.limited = true
		if f.v.BytesInFlight+testMSS > f.v.CongestionWindow {
			return
		}
		rate := f.v.PacingRateFor(f.rtt.SmoothedRTT)
		burst := f.v.BurstFor(rate)
		f.pacer.Set(f.now, rate, burst)
		if f.pacer.Budget(f.now) < testMSS {
			at := f.pacer.NextTime(f.now, max(f.v.SendQuantum, testMSS))
			if f.wake <= f.now || at < f.wake {
				f.wake = at
				f.at(at, f.trySend)
			}
			return
		}
		f.send()
	}
}

func (f *flow) send() {
	f.supply -= testMSS
	if f.v.BytesInFlight == 0 && f.rs.AppLimited != 0 {
		f.cc.OnIdleRestart(&f.v, f.now)
	}
	p := f.sent.Add()
	p.SentTime, p.Size, p.Flags = f.now, testMSS, recovery.AckEliciting|recovery.InFlight
	f.rs.OnSent(&f.v, &p.PacketView)
	f.sent.Commit(p)
	f.v.BytesInFlight = f.sent.BytesInFlight
	f.pacer.Consume(f.now, testMSS)
	f.cc.OnSent(&f.v, f.now, testMSS, p.Number)
	f.enqueue(p.Number)
	f.armTimer()
}

func (f *flow) enqueue(pn uint64) {
	if f.rng.chance(f.path.loss) {
		f.randoms++
		return
	}
	if pol := f.path.policer; pol != nil {
		pol.tokens = min(pol.burst, pol.tokens+pol.rate*f.now.Sub(pol.last).Seconds())
		pol.last = f.now
		if pol.tokens < testMSS {
			f.drops++
			return
		}
		pol.tokens -= testMSS
	}
	service := time.Duration(testMSS * 8 * 1_000_000_000 / f.path.rate)
	wait := max(f.busy.Sub(f.now), 0)
	if wait > service*time.Duration(f.path.queue) {
		f.drops++
		return
	}
	f.maxDelay = max(f.maxDelay, wait)
	f.sumDelay += wait
	f.passed++
	f.busy = max(f.busy, f.now).Add(service)
	out := f.busy.Add(f.path.delay)
	if f.path.jitter > 0 {
		out = out.Add(time.Duration(f.rng.next() % uint64(f.path.jitter)))
	}
	out = max(out, f.lastOut)
	f.lastOut = out
	if f.path.reorder > 0 && f.rng.chance(f.path.reorder) {
		out = out.Add(f.path.late)
	}
	f.at(out, func() { f.receive(pn) })
}

func (f *flow) receive(pn uint64) {
	f.delivered += testMSS
	largest, any := f.received.Largest()
	if f.received.Add(pn) {
		return
	}
	f.unacked++
	// RFC 9000, Section 13.2.1: at once if out of order, else every so many
	// packets or after max_ack_delay.
	if f.unacked >= f.path.ackEach || any && pn != largest+1 {
		f.sendAck()
		return
	}
	if f.ackAt == 0 {
		f.ackAt = f.now.Add(testAckDelay)
		f.at(f.ackAt, func() {
			if f.ackAt != 0 && f.now >= f.ackAt {
				f.sendAck()
			}
		})
	}
}

func (f *flow) sendAck() {
	f.unacked, f.ackAt = 0, 0
	ranges := append([]recovery.Range(nil), f.received.Ranges()...)
	arrival := f.now.Add(f.path.delay)
	if f.path.aggr > 0 {
		arrival = (arrival/mono.Time(f.path.aggr) + 1) * mono.Time(f.path.aggr)
	}
	f.at(arrival, func() { f.processAck(ranges); f.trySend() })
}

func (f *flow) processAck(ranges []recovery.Range) {
	prior := f.v.BytesInFlight
	ack := Ack{Now: f.now, PriorInFlight: prior, NextPN: f.sent.Next(), Underutilized: !f.limited && prior < f.v.CongestionWindow}
	var newly, spurious bool
	var largest *recovery.Packet[struct{}]
	for i := len(ranges) - 1; i >= 0; i-- {
		r := ranges[i]
		for pn, ok := f.sent.NextUnacked(r.Lo, r.Hi); ok; pn, ok = f.sent.NextUnacked(pn+1, r.Hi) {
			p := f.sent.Get(pn)
			was := f.sent.Settle(p, recovery.Acked)
			if was == recovery.Lost {
				spurious = true
			} else {
				ack.Bytes += uint64(p.Size)
			}
			f.rs.OnAcked(&f.v, &p.PacketView, f.now)
			newly, largest = true, p
		}
	}
	if !newly {
		return
	}
	f.v.BytesInFlight = f.sent.BytesInFlight
	f.ptoCount = 0
	ack.LargestAcked, ack.LargestSentTime = largest.Number, largest.SentTime
	if largest.Number == ranges[0].Hi {
		ack.LatestRTT, ack.HasRTT = f.now.Sub(largest.SentTime), true
		f.rtt.Update(f.now, ack.LatestRTT, 0)
	}
	if spurious {
		f.cc.OnSpuriousLoss(&f.v, f.now)
	}
	f.detectLost()
	ack.RTT = f.rtt
	ack.Rate = f.rs.Sample(&f.v, f.rtt.MinRTT)
	f.lastSample = ack.Rate
	f.cc.OnAck(&f.v, &ack)
	if n := len(f.states); n == 0 || f.states[n-1] != f.v.State {
		f.states = append(f.states, f.v.State)
	}
	if f.onAck != nil {
		f.onAck(&ack)
	}
	f.sent.ForgetLostBefore(f.now.Add(-3 * f.rtt.PTO(testAckDelay)))
	f.armTimer()
}

func (f *flow) detectLost() {
	prior := f.v.BytesInFlight
	f.lostBuf = f.sent.DetectLost(f.now, recovery.LossParams{TimeThreshold: f.rtt.LossDelay()}, f.lostBuf[:0])
	if len(f.lostBuf) == 0 {
		return
	}
	l := Loss{Now: f.now, PriorInFlight: prior, NextPN: f.sent.Next()}
	for _, pn := range f.lostBuf {
		p := f.sent.Get(pn)
		f.sent.Settle(p, recovery.Lost)
		f.rs.OnLost(&f.v, &p.PacketView)
		l.Add(&p.PacketView)
	}
	f.v.BytesInFlight = f.sent.BytesInFlight
	l.Persistent = f.sent.PersistentCongestion(f.lostBuf, f.rtt.FirstSampleTime, f.rtt.PersistentCongestionDuration(testAckDelay))
	f.cc.OnLoss(&f.v, &l)
}

func (f *flow) armTimer() {
	at := f.sent.LossTime
	if at == 0 && f.sent.AckElicitingInFlight > 0 {
		at = f.rtt.PTODeadline(f.sent.LastAckEliciting, testAckDelay, f.ptoCount)
	}
	if at == f.lossTimer {
		return
	}
	f.lossTimer = at
	if at == 0 {
		return
	}
	f.at(at, func() {
		if f.lossTimer != at {
			return
		}
		f.lossTimer = 0
		if f.sent.LossTime != 0 {
			f.detectLost()
		} else if f.sent.AckElicitingInFlight > 0 {
			f.ptoCount++
			f.send() // a probe may exceed the window
		}
		f.trySend()
		f.armTimer()
	})
}

func (f *flow) String() string {
	return fmt.Sprintf("cwnd %.1f packets, ssthresh %.1f, pacing %.2f Mbps, srtt %v, min_rtt %v, events %d (%d undone), drops %d, random losses %d, queue mean %v max %v, state %d",
		float64(f.v.CongestionWindow)/testMSS, float64(f.v.Ssthresh)/testMSS, float64(f.v.PacingRate)*8/1e6, f.rtt.SmoothedRTT, f.rtt.MinRTT,
		f.v.CongestionEvents, f.v.SpuriousEvents, f.drops, f.randoms, f.meanDelay(), f.maxDelay, f.v.State)
}

// wantUtilization runs for d and expects at least the given share of the rate.
func (f *flow) wantUtilization(what string, share float64, d time.Duration) {
	f.t.Helper()
	got := f.measure(d) / float64(f.path.rate)
	if got < share {
		f.t.Errorf("%s: %.1f %% of the link used over %v, want at least %.1f %%\n%v", what, got*100, d, share*100, f)
	} else {
		f.t.Logf("%s: %.1f %% of the link used over %v\n%v", what, got*100, d, f)
	}
}

// chance is true with probability p.
func (r *prng) chance(p float64) bool { return float64(r.next()>>11)/(1<<53) < p }
