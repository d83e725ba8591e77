package core

import (
	"time"

	"github.com/pquic-go/pquic/core/wire"
	"github.com/pquic-go/pquic/protoops"
)

// ackFrequencyState is the acknowledgment frequency extension.
// https://datatracker.ietf.org/doc/html/draft-ietf-quic-ack-frequency-14
type ackFrequencyState struct {
	recvSeq   uint64 // next Sequence Number that counts
	sentSeq   uint64
	threshold uint64
	maxDelay  time.Duration
	reorder   uint64
}

// processAckFrequency obeys the peer's wish.
func (c *Conn) processAckFrequency(_ *ReceivedPacket, f wire.AckFrequencyFrame) *TransportError {
	if c.localParams == nil || !c.localParams.HasMinAckDelay {
		return violation(FrameEncodingError, wire.AckFrequency, "extension not negotiated")
	}
	d, ok := f.MaxAckDelay()
	if !ok || d < c.localParams.MinAckDelay {
		// "…a value smaller than … min_ack_delay … MUST be treated as a
		// connection error of type PROTOCOL_VIOLATION".
		return violation(ProtocolViolation, wire.AckFrequency, "requested max_ack_delay %v is out of range", d)
	}
	if f.Sequence < c.ackFreq.recvSeq {
		return nil // an older frame, reordered
	}
	c.ackFreq.recvSeq = f.Sequence + 1
	for _, p := range c.paths {
		p.AckThreshold = f.AckElicitingThreshold + 1
		p.AckDelay = d
		p.ReorderThreshold = f.ReorderingThreshold
	}
	return nil
}

// processImmediateAck: the peer wants to know now.
func (c *Conn) processImmediateAck(in *ReceivedPacket, _ wire.ImmediateAckFrame) *TransportError {
	if c.localParams == nil || !c.localParams.HasMinAckDelay {
		return violation(FrameEncodingError, wire.ImmediateAck, "extension not negotiated")
	}
	in.path.Space.AckNow = 1
	return nil
}

// startAckFrequency asks the peer for fewer acknowledgments, if operation
// "ack_frequency" wants that and the peer understands.
func (c *Conn) startAckFrequency() {
	if c.peerParams == nil || !c.peerParams.HasMinAckDelay {
		return
	}
	w := c.ackFrequencyWanted(PathArg{c.path0})
	if w.Threshold == 0 {
		return
	}
	c.ackFreq.threshold, c.ackFreq.maxDelay, c.ackFreq.reorder = w.Threshold, max(w.MaxDelay, c.peerParams.MinAckDelay), w.Reordering
	c.pend |= pendAckFrequency
	c.wake()
}

// AckFrequencyWish is the result of operation "ack_frequency".
type AckFrequencyWish struct {
	Threshold  uint64        `op:"threshold" doc:"ack-eliciting packets the peer may receive without acknowledging; 0 leaves the peer alone"`
	MaxDelay   time.Duration `op:"max_ack_delay" unit:"ns" doc:"how long it may delay"`
	Reordering uint64        `op:"reordering_threshold" doc:"gap that provokes an acknowledgment, 0 none"`
}

// ackFrequencyWanted chooses how often the peer is asked to acknowledge. Operation "ack_frequency".
func (c *Conn) ackFrequencyWanted(a PathArg) AckFrequencyWish {
	if c.ops.ackFrequencyWanted.Attached() {
		return c.ops.ackFrequencyWanted.Run(a)
	}
	return c.ackFrequencyWantedNative(a)
}

var opAckFrequencyWanted = protoops.Define(protoops.Key{Name: "ack_frequency", Param: protoops.NoParam},
	protoops.Doc{
		Summary: "Chooses how often the peer is asked to acknowledge",
		Fires:   "when the handshake completes",
		Native:  "the peer is left alone: it acknowledges once per receive batch",
		Section: "https://datatracker.ietf.org/doc/html/draft-ietf-quic-ack-frequency-14#section-4",
	},
	func(c *Conn) *protoops.Slot[PathArg, AckFrequencyWish] { return &c.ops.ackFrequencyWanted },
	(*Conn).ackFrequencyWantedNative)

func (c *Conn) ackFrequencyWantedNative(PathArg) AckFrequencyWish { return AckFrequencyWish{} }

func writeAckFrequency(c *Conn, b *PacketBuilder) {
	a := &c.ackFreq
	a.sentSeq++
	// "Until the packet carrying the ACK_FREQUENCY frame is acknowledged, the
	// endpoint MUST use the greater of the current max_ack_delay and the value
	// that is in flight when computing the PTO period."
	// https://datatracker.ietf.org/doc/html/draft-ietf-quic-ack-frequency-14#section-7
	for _, p := range c.paths {
		p.MaxAckDelay = max(p.MaxAckDelay, a.maxDelay)
	}
	b.b = wire.AppendAckFrequency(b.b, wire.AckFrequencyFrame{Sequence: a.sentSeq, AckElicitingThreshold: a.threshold, RequestedMaxAckDelay: uint64(a.maxDelay / time.Microsecond), ReorderingThreshold: a.reorder})
	b.record(frameRecord{typ: wire.AckFrequency, off: a.sentSeq})
}

// ackFrequencyAcked: the peer has taken over the delay of the newest frame.
func (c *Conn) ackFrequencyAcked(seq uint64) {
	if seq != c.ackFreq.sentSeq {
		return
	}
	for _, p := range c.paths {
		p.MaxAckDelay = c.ackFreq.maxDelay
	}
}

func writeImmediateAck(c *Conn, b *PacketBuilder) {
	b.b = wire.AppendImmediateAck(b.b)
	b.record(frameRecord{typ: wire.ImmediateAck})
}

// RequestAck asks the peer for an acknowledgment now, where it understands
// IMMEDIATE_ACK; it reports whether it does.
func (c *Conn) RequestAck() bool {
	if c.peerParams == nil || !c.peerParams.HasMinAckDelay {
		return false
	}
	c.pend |= pendImmediateAck
	c.wake()
	return true
}
