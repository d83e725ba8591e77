package coretest

import (
	"time"

	"github.com/pquic-go/pquic/core"
)

// Conditions are what a Link does to the packets that pass it. The zero value
// is a perfect link. They may be changed while the simulation runs.
type Conditions struct {
	Rate  float64       // bits of IP packets per second; 0 infinite
	Delay time.Duration // one way
	// Jitter adds a random delay of up to this to each packet; packets overtake
	// one another.
	Jitter time.Duration
	// Queue bounds what waits for the rate, in bytes; QueuePackets in packets.
	// With both 0 the queue has no end.
	Queue, QueuePackets int

	Loss  float64 // probability that a packet is lost
	Burst Burst   // burst loss, besides
	// Reorder is the probability that a packet is held back by ReorderDelay
	// (default: a quarter of Delay and 1 ms).
	Reorder      float64
	ReorderDelay time.Duration
	Duplicate    float64 // probability that a packet arrives twice
	Corrupt      float64 // probability that some bytes of a packet change

	// MTU bounds the IP packet, bytes; 0 means 65,535. What is larger is
	// dropped, and the sender told if TooBig is set.
	MTU    int
	TooBig bool

	ECN ECNTreatment

	// Down drops everything.
	Down bool
	// Drop, if set, may drop a packet; it is asked first.
	Drop func(p *Packet) bool
}

// Burst is Gilbert-Elliott loss: a good and a bad state with their own loss. A
// second without packets ends the bad state.
// https://www.rfc-editor.org/rfc/rfc6534 calls its results loss episodes.
type Burst struct {
	Enter, Leave      float64 // probabilities of a change of state, per packet
	GoodLoss, BadLoss float64 // probabilities of loss in either state
}

// ECNTreatment is what a link does to the ECN field.
type ECNTreatment struct {
	Bleach bool // ECT becomes Not-ECT
	// Mark sets CE on packets that are ECT with this probability.
	Mark float64
	// MarkQueue sets CE on packets that are ECT and find more than this many
	// bytes waiting; 0 never.
	MarkQueue int
	MarkAll   bool // CE on every packet, ECT or not: a broken router
	DropECT   bool // ECT packets are lost
	Remark    bool // ECT(0) becomes ECT(1)
}

// A Packet is one UDP datagram on its way.
type Packet struct {
	Number   uint64 // of its link, counted from 1
	Payload  []byte
	From, To AddrPort
	ECN      core.ECN
	// DontFragment is always set by the engine.
	DontFragment bool
}

// Size is the length of the IP packet.
func (p *Packet) Size() int { return len(p.Payload) + headerSize(p.To) }

// headerSize is the length of the IP and UDP headers.
func headerSize(to AddrPort) int {
	if a := to.Addr(); a.Is6() && !a.Is4In6() {
		return 48
	}
	return 28
}

// Mbps returns a rate in bits per second.
func Mbps(n float64) float64 { return n * 1e6 }
