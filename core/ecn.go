package core

import (
	"github.com/pquic-go/pquic/core/congestion"
	"github.com/pquic-go/pquic/protoops"
)

// ECN states, PathView.ECNState.
const (
	ECNOff uint32 = iota
	ECNTesting
	ECNUnknown
	ECNCapable
	ECNFailed
)

// ecnTestPackets are marked while testing; then marking stops until the peer's
// counts prove that the path keeps the marks.
// https://www.rfc-editor.org/rfc/rfc9000#appendix-A.4
const ecnTestPackets = 10

// ecnTestPTOs is how many probe timeouts in a row end the marking until marked
// packets are acknowledged: the path may drop them, and the handshake must not
// wait for ten of them.
//
// "the endpoint could set an ECT codepoint for only the first ten outgoing
// packets on a path, or for a period of three PTOs".
// https://www.rfc-editor.org/rfc/rfc9000#section-13.4.2
const ecnTestPTOs = 2

// ecnValidation is ECN validation on one path.
// https://www.rfc-editor.org/rfc/rfc9000#section-13.4.2
type ecnValidation struct {
	mark       ECN
	sentMarked uint64    // packets sent with ECT(0)
	lostMarked uint64    // of the tested ones, lost
	base       [3]uint64 // counts when the path started
}

func (e *ecnValidation) start(p *Path) {
	failed := p.ECNState == ECNFailed
	*e = ecnValidation{base: [3]uint64{p.Space.ECT0Reported, p.Space.ECT1Reported, p.Space.CEReported}}
	p.ECNState = ECNOff
	if failed {
		// The peer's access network is likely the same after it has moved, and
		// marks are worth less than the packets a broken one drops.
		p.ECNState = ECNFailed
		return
	}
	if p.conn.config.DisableECN {
		return
	}
	p.ECNState = ECNTesting
	e.mark = ECT0
}

func (e *ecnValidation) active() bool { return e.sentMarked > 0 }

// update chooses the mark of the next packets.
func (e *ecnValidation) update(c *Conn, p *Path) {
	if p.ECNState == ECNTesting && e.sentMarked >= ecnTestPackets || p.ECNState <= ECNCapable && e.mark != NotECT && p.PTOCount >= ecnTestPTOs {
		c.setECN(p, ECNUnknown)
	}
	switch p.ECNState {
	case ECNTesting, ECNCapable:
		e.mark = ECT0
	default:
		e.mark = NotECT
	}
	e.mark = ECN(c.ecnMark(PathArg{p}).Count & 3)
}

// ecnMark chooses the ECN codepoint of outgoing datagrams: 0 none, 2 ECT(0), 1 ECT(1). Operation "ecn_mark".
func (c *Conn) ecnMark(a PathArg) Count {
	if c.ops.ecnMark.Attached() {
		return c.ops.ecnMark.Run(a)
	}
	return c.ecnMarkNative(a)
}

var opEcnMark = protoops.Define(protoops.Key{Name: "ecn_mark", Param: protoops.NoParam},
	protoops.Doc{
		Summary: "Chooses the ECN codepoint of outgoing datagrams: 0 none, 2 ECT(0), 1 ECT(1)",
		Fires:   "per run of datagrams",
		Native:  "ECT(0) while testing or capable",
		Section: "https://www.rfc-editor.org/rfc/rfc9000#section-13.4",
	},
	func(c *Conn) *protoops.Slot[PathArg, Count] { return &c.ops.ecnMark },
	(*Conn).ecnMarkNative)

func (c *Conn) ecnMarkNative(a PathArg) Count { return Count{uint64(a.Path.ecn.mark)} }

// lost counts the loss of tested packets: "if all packets that were sent with
// ECT(0) … are eventually deemed lost, validation … fails".
func (e *ecnValidation) lost(c *Conn, p *Path, sent *SentPacket) {
	if sent.ECN == 0 || p.ECNState == ECNCapable || p.ECNState == ECNFailed {
		return
	}
	if e.lostMarked++; e.lostMarked >= ecnTestPackets || e.lostMarked >= e.sentMarked && e.sentMarked > 3 {
		c.setECN(p, ECNFailed)
	}
}

// ECNArg is the argument of operation "process_ecn_counts".
type ECNArg struct {
	Path  *Path  `op:"path" doc:"the path"`
	Has   bool   `op:"present" doc:"the ACK frame carried counts"`
	ECT0  uint64 `op:"ect0" doc:"ECT(0) count the peer reports"`
	ECT1  uint64 `op:"ect1" doc:"ECT(1) count"`
	CE    uint64 `op:"ce" doc:"CE count"`
	Acked uint64 `op:"acked_marked" doc:"packets sent with ECT(0) that this ACK newly acknowledges"`
	Space uint64 `op:"space" doc:"0 Initial, 1 Handshake, 2 Application Data"`
}

// ECNVerdict is its result.
type ECNVerdict struct {
	Valid bool   `op:"valid" doc:"the counts are plausible"`
	CE    uint64 `op:"new_ce" doc:"CE marks not reported before"`
}

// ecnCounts validates the ECN counts of an ACK frame. Operation "process_ecn_counts".
func (c *Conn) ecnCounts(a ECNArg) ECNVerdict {
	if c.ops.ecnCounts.Attached() {
		return c.ops.ecnCounts.Run(a)
	}
	return c.ecnCountsNative(a)
}

var opEcnCounts = protoops.Define(protoops.Key{Name: "process_ecn_counts", Param: protoops.NoParam},
	protoops.Doc{
		Summary: "Validates the ECN counts of an ACK frame",
		Fires:   "per ACK frame with counts, or that should have had some",
		Native:  "the checks of RFC 9000",
		Section: "https://www.rfc-editor.org/rfc/rfc9000#section-13.4.2.1",
	},
	func(c *Conn) *protoops.Slot[ECNArg, ECNVerdict] { return &c.ops.ecnCounts },
	(*Conn).ecnCountsNative)

func (c *Conn) ecnCountsNative(a ECNArg) ECNVerdict {
	s := c.spaceOf(a.Path, a.Space)
	v := s.v
	if !a.Has {
		// "…if an ACK frame … does not contain … ECN counts and newly
		// acknowledges a packet sent with ECT(0), validation fails".
		return ECNVerdict{Valid: a.Acked == 0}
	}
	if a.ECT0 < v.ECT0Reported || a.ECT1 < v.ECT1Reported || a.CE < v.CEReported {
		return ECNVerdict{}
	}
	d0, d1, dce := a.ECT0-v.ECT0Reported, a.ECT1-v.ECT1Reported, a.CE-v.CEReported
	v.ECT0Reported, v.ECT1Reported, v.CEReported = a.ECT0, a.ECT1, a.CE
	if d0+dce < a.Acked || d1 > 0 || a.ECT0+a.CE > v.ECT0Sent {
		// "ECN validation … fails if the sum of the increase in ECT(0) and
		// ECN-CE counts is less than the number of newly acknowledged packets
		// that were originally sent with an ECT(0) marking", or if more marks
		// are reported than were sent.
		return ECNVerdict{}
	}
	return ECNVerdict{Valid: true, CE: dce}
}

func (c *Conn) spaceOf(p *Path, id uint64) *numberSpace {
	switch spaceID(id) {
	case initialSpace:
		return c.initial
	case handshakeSpace:
		return c.hs
	}
	return &p.space
}

// processECN validates an ACK's counts and reports new CE marks as congestion.
func (c *Conn) processECN(s *numberSpace, p *Path, ack *ackEvent, a *AckArg) {
	if p.ECNState == ECNFailed || p.ECNState == ECNOff {
		return
	}
	if ack.largest != s.sent.LargestAcked {
		return // reordered ACK: "MUST NOT … process … if it does not increase the largest"
	}
	r := c.ecnCounts(ECNArg{Path: p, Has: a.ECN, ECT0: a.ECT0, ECT1: a.ECT1, CE: a.CE, Acked: ack.ect0, Space: uint64(s.id)})
	if !r.Valid {
		c.setECN(p, ECNFailed)
		return
	}
	if p.ECNState == ECNUnknown || p.ECNState == ECNTesting {
		if ack.ect0Here {
			c.setECN(p, ECNCapable)
		}
	}
	if r.CE > 0 {
		p.ECNCE += r.CE
		p.Congestion.ECNCEBytes += ack.bytes
		l := congestion.Loss{Now: c.now, ECN: true, CEBytes: ack.bytes, LargestLost: ack.largest, LargestLostSent: ack.largestSent, NextPN: s.sent.Next(), PriorInFlight: ack.priorInFlight}
		c.congestionLost(p, &l)
	}
}

var ecnNames = [...]string{"off", "testing", "unknown", "capable", "failed"}

func (c *Conn) setECN(p *Path, state uint32) {
	if p.ECNState == state {
		return
	}
	old := p.ECNState
	p.ECNState = state
	if state == ECNFailed || state == ECNUnknown {
		p.ecn.mark = NotECT
	}
	if state == ECNCapable {
		p.ecn.mark = ECT0
	}
	c.ecnStateChanged(PathArg{p})
	if c.log != nil {
		c.log.ECNStateUpdated(c.now, ecnNames[old], ecnNames[state])
	}
}

// ecnStateChanged tells that eCN validation of a path moved to another state. Event "ecn_state_changed".
func (c *Conn) ecnStateChanged(a PathArg) {
	if c.ops.ecnStateChanged.Attached() {
		c.ops.ecnStateChanged.Run(a)
	}
}

var opEcnStateChanged = protoops.Define(protoops.Key{Name: "ecn_state_changed", Param: protoops.NoParam},
	protoops.Doc{
		Summary: "ECN validation of a path moved to another state",
		Fires:   "per change",
		Section: "https://www.rfc-editor.org/rfc/rfc9000#section-13.4.2",
	},
	func(c *Conn) *protoops.Slot[PathArg, protoops.None] { return &c.ops.ecnStateChanged },
	nil)
