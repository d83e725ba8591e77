package linkemu

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// A Shape says what one direction of a link does to packets. The zero value passes every packet
// at once. Sizes are those of IP packets: an Ethernet header costs nothing.
type Shape struct {
	// Rate is the link's speed in bits per second; 0 means unlimited.
	Rate uint64
	// Burst is the depth of the token bucket in bytes: what an idle link may send at once.
	Burst int
	// Queue and QueuePackets limit what waits for the link, in bytes and in packets; a packet that
	// does not fit is dropped. 0 means no such limit, but with a Rate and neither limit the queue
	// holds the larger of 100 ms of the link and 64 KiB.
	Queue        int
	QueuePackets int
	// Delay is the time from the last bit leaving the queue to the arrival of the packet.
	Delay time.Duration
	// Jitter adds a uniformly distributed delay in [0, Jitter) without changing the packets' order.
	Jitter time.Duration
	// Reorder is the probability, in [0, 1], that a packet is held back by ReorderDelay more, so
	// that later ones overtake it.
	Reorder      float64
	ReorderDelay time.Duration
	// Loss is the probability that a packet is lost, each packet for itself.
	Loss float64
	// LossBurst loses packets in bursts, in addition to Loss.
	LossBurst GilbertElliott
	// MaxLossRun limits how many packets in a row Loss may take; 0 means no limit.
	MaxLossRun int
	// Drop lists packets to lose by their position in this direction, the first one being 1.
	Drop []uint64
	// Corrupt is the probability that one bit of the transport payload is flipped. The UDP checksum
	// is put right, so that the packet reaches the application.
	Corrupt float64
	// MarkCE is the probability that an ECN-capable packet is marked congestion experienced, and
	// MarkQueue the bytes waiting in the queue from which all of them are (0: never).
	MarkCE    float64
	MarkQueue int
	// BleachECN clears the ECN field.
	BleachECN bool
	// Down drops every packet that arrives: a blackhole.
	Down bool
}

// GilbertElliott is a two-state loss model: in each state packets are lost with its probability,
// and before each packet the state changes with the probability of leaving it.
type GilbertElliott struct {
	GoodToBad, BadToGood float64
	LossGood, LossBad    float64
}

// BurstLoss returns the model that loses the fraction rate of the packets in bursts of length
// packets on average, losing everything in the bad state and nothing in the good one.
func BurstLoss(rate, length float64) GilbertElliott {
	if rate <= 0 || length < 1 {
		return GilbertElliott{}
	}
	// The stationary share of the bad state is GoodToBad / (GoodToBad + BadToGood) = rate.
	return GilbertElliott{GoodToBad: rate / (1 - rate) / length, BadToGood: 1 / length, LossBad: 1}
}

func (g GilbertElliott) active() bool { return g.GoodToBad > 0 || g.LossGood > 0 }

// Validate returns an error that names the first field that has no meaning.
func (s *Shape) Validate() error {
	for _, p := range []struct {
		name string
		v    float64
	}{
		{"Loss", s.Loss}, {"Corrupt", s.Corrupt}, {"Reorder", s.Reorder}, {"MarkCE", s.MarkCE},
		{"LossBurst.GoodToBad", s.LossBurst.GoodToBad}, {"LossBurst.BadToGood", s.LossBurst.BadToGood},
		{"LossBurst.LossGood", s.LossBurst.LossGood}, {"LossBurst.LossBad", s.LossBurst.LossBad},
	} {
		if !(p.v >= 0 && p.v <= 1) {
			return fmt.Errorf("linkemu: %s is %v, want a probability in [0, 1]", p.name, p.v)
		}
	}
	for _, p := range []struct {
		name string
		v    int64
	}{
		{"Burst", int64(s.Burst)}, {"Queue", int64(s.Queue)}, {"QueuePackets", int64(s.QueuePackets)},
		{"Delay", int64(s.Delay)}, {"Jitter", int64(s.Jitter)}, {"ReorderDelay", int64(s.ReorderDelay)},
		{"MaxLossRun", int64(s.MaxLossRun)}, {"MarkQueue", int64(s.MarkQueue)},
	} {
		if p.v < 0 {
			return fmt.Errorf("linkemu: %s is %d, want 0 or more", p.name, p.v)
		}
	}
	return nil
}

// shapeKeys is the text form of a Shape, in the order in which errors list the keys.
var shapeKeys = []struct {
	name, form string
	set        func(s *Shape, v string) error
}{
	{"rate", "BITS/s such as 10mbit, 0 for unlimited", func(s *Shape, v string) (err error) { s.Rate, err = parseRate(v); return }},
	{"burst", "BYTES such as 4k", func(s *Shape, v string) (err error) { s.Burst, err = parseBytes(v); return }},
	{"queue", "BYTES such as 64k, or packets such as 25p", func(s *Shape, v string) (err error) {
		if n, ok := strings.CutSuffix(v, "p"); ok {
			s.Queue = 0
			s.QueuePackets, err = parseBytes(n)
			return err
		}
		s.QueuePackets = 0
		s.Queue, err = parseBytes(v)
		return err
	}},
	{"delay", "DURATION such as 15ms", func(s *Shape, v string) (err error) { s.Delay, err = time.ParseDuration(v); return }},
	{"jitter", "DURATION", func(s *Shape, v string) (err error) { s.Jitter, err = time.ParseDuration(v); return }},
	{"reorder", "PROBABILITY/DURATION such as 1%/5ms", func(s *Shape, v string) error {
		p, d, _ := strings.Cut(v, "/")
		var err1, err2 error
		s.Reorder, err1 = parseProbability(p)
		s.ReorderDelay, err2 = time.ParseDuration(d)
		return errors.Join(err1, err2)
	}},
	{"loss", "PROBABILITY such as 2% or 0.02", func(s *Shape, v string) (err error) { s.Loss, err = parseProbability(v); return }},
	{"loss-run", "packets that loss may take in a row", func(s *Shape, v string) (err error) { s.MaxLossRun, err = strconv.Atoi(v); return }},
	{"burst-loss", "PROBABILITY/MEAN-LENGTH such as 2%/5", func(s *Shape, v string) error {
		p, l, _ := strings.Cut(v, "/")
		rate, err1 := parseProbability(p)
		length, err2 := strconv.ParseFloat(l, 64)
		if err2 == nil && length < 1 {
			err2 = errors.New("mean length below 1")
		}
		if err1 == nil && rate >= 1 {
			err1 = errors.New("probability must be below 1")
		}
		s.LossBurst = BurstLoss(rate, length)
		return errors.Join(err1, err2)
	}},
	{"corrupt", "PROBABILITY", func(s *Shape, v string) (err error) { s.Corrupt, err = parseProbability(v); return }},
	{"drop", "packet positions such as 2-7 or 1+5", func(s *Shape, v string) (err error) { s.Drop, err = parsePositions(v); return }},
	{"mark", "PROBABILITY of a CE mark", func(s *Shape, v string) (err error) { s.MarkCE, err = parseProbability(v); return }},
	{"mark-queue", "BYTES of queue from which packets are marked CE", func(s *Shape, v string) (err error) { s.MarkQueue, err = parseBytes(v); return }},
	{"bleach", "on or off", func(s *Shape, v string) (err error) { s.BleachECN, err = parseSwitch(v); return }},
	{"down", "on or off", func(s *Shape, v string) (err error) { s.Down, err = parseSwitch(v); return }},
}

// ParseShape reads a shape such as "rate=10mbit,delay=15ms,queue=25p,loss=2%". The empty string
// is the zero Shape.
func ParseShape(text string) (Shape, error) {
	var s Shape
	return s, s.apply(text)
}

// apply changes what text names and leaves the rest.
func (s *Shape) apply(text string) error {
	for _, item := range strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' }) {
		name, value, _ := strings.Cut(item, "=")
		if err := s.applyOne(name, value); err != nil {
			return err
		}
	}
	return s.Validate()
}

func (s *Shape) applyOne(name, value string) error {
	names := make([]string, 0, len(shapeKeys))
	for _, k := range shapeKeys {
		if k.name == name {
			if err := k.set(s, value); err != nil {
				return fmt.Errorf("linkemu: %s=%s: want %s", name, value, k.form)
			}
			return nil
		}
		names = append(names, k.name)
	}
	return fmt.Errorf("linkemu: unknown %q in a link's shape, want one of %s", name, strings.Join(names, ", "))
}

func parseRate(v string) (uint64, error) {
	v = strings.ToLower(v)
	mult := 1.0
	for _, u := range []struct {
		suffix string
		mult   float64
	}{{"gbit", 1e9}, {"mbit", 1e6}, {"kbit", 1e3}, {"bit", 1}} {
		if rest, ok := strings.CutSuffix(v, u.suffix); ok {
			v, mult = rest, u.mult
			break
		}
	}
	f, err := strconv.ParseFloat(v, 64)
	if err != nil || !(f >= 0) || f*mult > math.MaxInt64/2 {
		return 0, errors.New("not a rate")
	}
	return uint64(f * mult), nil
}

func parseBytes(v string) (int, error) {
	mult := 1
	switch {
	case strings.HasSuffix(v, "k"):
		v, mult = v[:len(v)-1], 1<<10
	case strings.HasSuffix(v, "m"):
		v, mult = v[:len(v)-1], 1<<20
	}
	n, err := strconv.Atoi(v)
	if err != nil || n < 0 || n > math.MaxInt32 {
		return 0, errors.New("not a size")
	}
	return n * mult, nil
}

func parseProbability(v string) (float64, error) {
	div := 1.0
	if rest, ok := strings.CutSuffix(v, "%"); ok {
		v, div = rest, 100
	}
	f, err := strconv.ParseFloat(v, 64)
	return f / div, err
}

// parsePositions reads packet positions: "2-7" or "1+5+9-12".
func parsePositions(v string) ([]uint64, error) {
	const most = 1 << 16
	var out []uint64
	for _, part := range strings.Split(v, "+") {
		lo, hi, isRange := strings.Cut(part, "-")
		a, err := strconv.ParseUint(lo, 10, 32)
		if err != nil {
			return nil, err
		}
		b := a
		if isRange {
			if b, err = strconv.ParseUint(hi, 10, 32); err != nil {
				return nil, err
			}
		}
		if b < a || b-a > most || len(out) > most {
			return nil, errors.New("not a range of packets")
		}
		for ; a <= b; a++ {
			out = append(out, a)
		}
	}
	return out, nil
}

func parseSwitch(v string) (bool, error) {
	switch v {
	case "", "on":
		return true, nil
	case "off":
		return false, nil
	}
	return false, errors.New("not a switch")
}
