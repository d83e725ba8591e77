package core

import (
	"github.com/pquic-go/pquic/core/mono"
	"github.com/pquic-go/pquic/core/recovery"
	"github.com/pquic-go/pquic/core/wire"
)

// A spaceID names a packet number space.
// https://www.rfc-editor.org/rfc/rfc9000#section-12.3
type spaceID uint8

const (
	initialSpace spaceID = iota
	handshakeSpace
	appSpace
	numSpaces
)

func (id spaceID) String() string {
	return [...]string{"Initial", "Handshake", "Application Data"}[id]
}

// A numberSpace is one packet number space: what was sent and is not yet
// settled, what was received, and whether an acknowledgment is owed. The
// Application Data space belongs to a path; the other two are accounted to
// path 0.
type numberSpace struct {
	id       spaceID
	v        *SpaceView
	path     *Path
	sent     recovery.Sent[sentFrames]
	received recovery.Received
	injected *recovery.Received // packets whose payload a plugin recovered; nil before the first

	// largestEliciting is the highest ack-eliciting packet number received,
	// lastCE whether the packet received last was marked as congested.
	largestEliciting uint64
	lastCE           bool

	// newElicited says that the datagrams handled since the last endBatch
	// brought ack-eliciting packets.
	newElicited bool
	// skipAt is the packet number that will be skipped next, so that a peer
	// acknowledging packets it never saw is caught.
	skipAt uint64
	// probeFrom is the packet number at which the last probe timeout stopped
	// to send data again.
	probeFrom uint64

	// Of the current key phase: the first packet number sent in it, and the
	// lowest received in it. Packets below the latter are of the phase before.
	phaseStart, phaseFirst uint64
}

func (s *numberSpace) init(id spaceID, v *SpaceView, p *Path) {
	s.id, s.v, s.path = id, v, p
}

// discard forgets the space when its keys are discarded.
//
// "When Initial or Handshake keys are discarded, the PTO and loss detection
// timers MUST be reset […] packets […] are removed from bytes in flight".
// https://www.rfc-editor.org/rfc/rfc9002#section-6.4
func (s *numberSpace) discard(c *Conn) {
	if s.v.Discarded != 0 {
		return
	}
	s.v.Discarded = 1
	if n := s.sent.BytesInFlight; n > 0 {
		s.path.Congestion.BytesInFlight -= min(n, s.path.Congestion.BytesInFlight)
		s.path.cc.OnDiscarded(&s.path.Congestion, n)
	}
	s.sent = recovery.Sent[sentFrames]{}
	s.received = recovery.Received{}
	s.v.AckDeadline, s.v.AckNow, s.v.AckElicitingPending, s.v.PTOProbes = 0, 0, 0, 0
	s.path.PTOCount = 0
}

// A frameRecord remembers one frame of a sent packet for the day its fate is
// known. The meaning of off and n depends on the type: a stream or crypto
// range, a sequence number, a plugin's own cookie.
type frameRecord struct {
	typ    wire.FrameType
	stream *Stream
	off    uint64
	n      uint32
	fin    bool
}

// sentFrames is what the engine keeps of a sent packet besides the visible
// PacketView: its frames, the first one in place because most packets carry
// one, and the route it took.
type sentFrames struct {
	first frameRecord
	rest  []frameRecord // storage is reused by the ring slot's next packet
	count uint16
	route *route
}

func (f *sentFrames) set(records []frameRecord) {
	f.count = uint16(len(records))
	f.rest = f.rest[:0]
	if len(records) == 0 {
		f.first = frameRecord{}
		return
	}
	f.first = records[0]
	if len(records) > 1 {
		f.rest = append(f.rest, records[1:]...)
	}
}

// release drops the references of a settled packet, keeping the storage.
func (f *sentFrames) release() {
	f.first.stream = nil
	clear(f.rest)
	f.rest = f.rest[:0]
	f.count = 0
	f.route = nil
}

// A SentPacket is a packet that may still be acknowledged.
type SentPacket = recovery.Packet[sentFrames]

// lastCrypto is when the newest packet with a CRYPTO frame left, of those still
// remembered; 0 if there is none.
func (s *numberSpace) lastCrypto() mono.Time {
	for pn := s.sent.Next(); pn > s.sent.First(); pn-- {
		if p := s.sent.Get(pn - 1); p.State != recovery.Skipped && p.Flags&recovery.Crypto != 0 {
			return p.SentTime
		}
	}
	return 0
}

// noteReceived records a received packet and whether the peer should hear of it
// at once.
func (s *numberSpace) noteReceived(now mono.Time, pn uint64, eliciting bool, mark ECN) {
	largest, any := s.received.Largest()
	s.received.Add(pn)
	congested := mark == CE && (s.path.AckThreshold <= 2 || !s.lastCE)
	s.lastCE = mark == CE
	if !any || pn > largest {
		s.v.LargestReceived = pn
		s.v.LargestReceivedTime = now
	}
	if !eliciting {
		return
	}
	s.newElicited = true
	s.v.AckElicitingPending++
	if any && pn < largest {
		s.path.MaxReorderGap = max(s.path.MaxReorderGap, largest-pn)
		s.path.MaxReorderDelay = max(s.path.MaxReorderDelay, now.Sub(s.v.LargestReceivedTime))
	}
	s.largestEliciting = max(s.largestEliciting, pn)
	if congested || any && s.reordered(pn, largest) {
		s.v.AckNow = 1
	}
}

// reordered reports whether ack-eliciting packet pn, received after largest,
// shows enough reordering for an immediate acknowledgment.
//
// "an endpoint SHOULD generate and send an ACK frame without delay when it
// receives an ack-eliciting packet" out of order, or behind a gap.
// https://www.rfc-editor.org/rfc/rfc9000#section-13.2.1
//
// A Reordering Threshold above 1 waits until the peer could declare a missing
// packet lost, or has declared this one lost.
// https://datatracker.ietf.org/doc/html/draft-ietf-quic-ack-frequency-14#section-6.2
func (s *numberSpace) reordered(pn, largest uint64) bool {
	threshold := s.path.ReorderThreshold
	if threshold <= 1 {
		return threshold == 1 && (pn < largest || pn > largest+1)
	}
	reported, told := uint64(0), false // "Largest Reported Missing"
	if s.v.AcksSent > 0 && s.v.LargestAckSent >= threshold {
		reported, told = s.v.LargestAckSent-threshold, true
		if pn <= reported {
			return true
		}
	}
	// The smallest missing packet the peer has not been told of.
	ranges := s.received.Ranges()
	for i := len(ranges) - 1; i > 0; i-- {
		missing, end := ranges[i].Hi+1, ranges[i-1].Lo-1
		if told && end <= reported {
			continue
		}
		if told {
			missing = max(missing, reported+1)
		}
		return s.largestEliciting >= missing && s.largestEliciting-missing >= threshold
	}
	return false
}
