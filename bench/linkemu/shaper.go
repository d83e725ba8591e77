package linkemu

import (
	"math/rand/v2"
	"slices"
	"time"
)

// A Cause says why a packet did not arrive.
type Cause uint8

const (
	Delivered   Cause = iota // it did
	QueueFull                // no room in the queue
	RandomLoss               // Shape.Loss
	BurstLosses              // Shape.LossBurst
	Listed                   // Shape.Drop
	LinkDown                 // Shape.Down
	NoBinding                // the NAT has no binding for it
	causes
)

var causeNames = [causes]string{"delivered", "queue", "loss", "burst-loss", "listed", "down", "nat"}

func (c Cause) String() string {
	if c < causes {
		return causeNames[c]
	}
	return "unknown"
}

// A Fate is what the link does to one packet.
type Fate struct {
	At       time.Duration // when it arrives, on the clock passed to Admit
	Cause    Cause         // Delivered, or why it is lost
	Corrupt  bool          // one bit of its payload is to be flipped
	MarkCE   bool          // it is to be marked congestion experienced, if it is ECN-capable
	Bleach   bool          // its ECN field is to be cleared
	HeldBack bool          // later packets may arrive before it
}

// A Shaper is one direction of a link: it decides the fate of packets in the order in which they
// arrive. It holds no packets, reads no clock and is not safe for concurrent use.
type Shaper struct {
	shape Shape
	rng   *rand.Rand

	arrived uint64 // packets seen
	lossRun int
	bad     bool // state of the Gilbert–Elliott model

	// free is when the link has sent all that was admitted; tokens of the bucket are time that free
	// lies in the past.
	free time.Duration
	last time.Duration // latest arrival promised so far

	waiting      []departure // admitted packets that have not left the queue, oldest first
	head         int
	waitingBytes int
}

type departure struct {
	at   time.Duration
	size int
}

// NewShaper returns a shaper whose random choices follow from seed.
func NewShaper(s Shape, seed uint64) *Shaper {
	// free starts far in the past: the bucket is full.
	return &Shaper{shape: s, rng: rand.New(rand.NewPCG(seed, 0x6c696e6b656d75)), free: -time.Hour}
}

// Shape returns the shape in force.
func (s *Shaper) Shape() Shape { return s.shape }

// SetShape changes the shape for the packets that arrive from now on.
func (s *Shaper) SetShape(shape Shape) { s.shape = shape }

// Backlog returns the bytes that wait in the queue at the time now.
func (s *Shaper) Backlog(now time.Duration) int {
	s.depart(now)
	return s.waitingBytes
}

// Admit decides the fate of a packet of size bytes that arrives now. The times passed must not
// decrease.
func (s *Shaper) Admit(now time.Duration, size int) Fate {
	s.arrived++
	sh := &s.shape
	if sh.Down {
		return Fate{Cause: LinkDown}
	}
	if len(sh.Drop) > 0 && slices.Contains(sh.Drop, s.arrived) {
		return Fate{Cause: Listed}
	}
	s.depart(now)
	if s.full(size) {
		return Fate{Cause: QueueFull}
	}
	f := Fate{Bleach: sh.BleachECN, MarkCE: sh.MarkQueue > 0 && s.waitingBytes >= sh.MarkQueue}
	out := s.send(now, size)
	// A packet is lost behind the queue: it has used the link.
	if f.Cause = s.lose(); f.Cause != Delivered {
		return f
	}
	f.Corrupt = sh.Corrupt > 0 && s.rng.Float64() < sh.Corrupt
	f.MarkCE = f.MarkCE || sh.MarkCE > 0 && s.rng.Float64() < sh.MarkCE
	f.At = s.arrival(out, &f)
	return f
}

// depart forgets the packets that have left the queue.
func (s *Shaper) depart(now time.Duration) {
	for s.head < len(s.waiting) && s.waiting[s.head].at <= now {
		s.waitingBytes -= s.waiting[s.head].size
		s.head++
	}
	if s.head == len(s.waiting) {
		s.waiting, s.head = s.waiting[:0], 0
	} else if s.head > 1024 && s.head > len(s.waiting)/2 {
		s.waiting = s.waiting[:copy(s.waiting, s.waiting[s.head:])]
		s.head = 0
	}
}

func (s *Shaper) full(size int) bool {
	sh := &s.shape
	if sh.QueuePackets > 0 && len(s.waiting)-s.head >= sh.QueuePackets {
		return true
	}
	limit := sh.Queue
	if limit == 0 {
		if sh.QueuePackets > 0 || sh.Rate == 0 {
			return false
		}
		limit = max(int(sh.Rate/80), 64<<10)
	}
	return s.waitingBytes+size > limit
}

// send returns when the last bit of the packet leaves the queue.
func (s *Shaper) send(now time.Duration, size int) time.Duration {
	if s.shape.Rate == 0 {
		// The packet may follow ones that a slower shape is still sending.
		return max(now, s.free)
	}
	depth := s.sendTime(s.shape.Burst)
	s.free = max(s.free, now-depth) + s.sendTime(size)
	out := max(now, s.free)
	s.waiting = append(s.waiting, departure{out, size})
	s.waitingBytes += size
	return out
}

// sendTime is how long the link needs for n bytes.
func (s *Shaper) sendTime(n int) time.Duration {
	return time.Duration(float64(n) * 8e9 / float64(s.shape.Rate))
}

func (s *Shaper) lose() Cause {
	sh := &s.shape
	if sh.LossBurst.active() {
		g := &sh.LossBurst
		leave, p := g.GoodToBad, g.LossGood
		if s.bad {
			leave = g.BadToGood
		}
		if s.rng.Float64() < leave {
			s.bad = !s.bad
		}
		if s.bad {
			p = g.LossBad
		}
		if p > 0 && s.rng.Float64() < p {
			return BurstLosses
		}
	}
	if sh.Loss > 0 && s.rng.Float64() < sh.Loss && (sh.MaxLossRun == 0 || s.lossRun < sh.MaxLossRun) {
		s.lossRun++
		return RandomLoss
	}
	s.lossRun = 0
	return Delivered
}

func (s *Shaper) arrival(out time.Duration, f *Fate) time.Duration {
	sh := &s.shape
	at := out + sh.Delay
	if sh.Jitter > 0 {
		at += time.Duration(s.rng.Int64N(int64(sh.Jitter)))
	}
	if sh.Reorder > 0 && s.rng.Float64() < sh.Reorder {
		f.HeldBack = true
		return max(at, s.last) + sh.ReorderDelay
	}
	// A shorter delay or less jitter does not let a packet overtake.
	s.last = max(s.last, at)
	return s.last
}
