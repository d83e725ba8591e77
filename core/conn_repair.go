package core

import (
	"github.com/pquic-go/pquic/core/congestion"
	"github.com/pquic-go/pquic/core/recovery"
	"github.com/pquic-go/pquic/core/wire"
)

// What plugins may do about losses besides waiting for a retransmission: send
// ranges of streams more than once, recover packets at the receiver, and tell
// the sender of it.

// A streamCopy is a range of a stream that a path is to carry once more.
type streamCopy struct {
	stream *Stream
	off    uint64
	n      int
}

// maxCopies bounds the copies that wait on one path.
const maxCopies = 1024

// RequeueRange asks for another copy of a range of stream data that was sent
// before, on path p or, if that is nil, on any: redundant sending, re-injection
// after a path failed, forward error correction. Whatever of it is acknowledged
// until the copy goes out is left out. It reports false if too many copies wait.
func (c *Conn) RequeueRange(s *Stream, off uint64, n int, p *Path) bool {
	if s.sendHalf == nil || s.sendDone || n <= 0 {
		return true
	}
	if p != nil {
		if len(p.copies) >= maxCopies || p.State == PathClosed {
			return false
		}
		p.copies = append(p.copies, streamCopy{s, off, n})
	} else {
		s.sendHalf.Requeue(off, n)
		c.streams.markReady(s)
	}
	c.wake()
	return true
}

// writeCopies writes the copies that wait for the packet's path.
func (c *Conn) writeCopies(b *PacketBuilder) {
	p := b.path
	for len(p.copies) > 0 && b.level == level1RTT {
		x := &p.copies[0]
		send := x.stream.sendHalf
		n := 0
		if !x.stream.sendDone {
			x.off, n = send.Unsettled(x.off, x.n)
		}
		room := b.room() - wire.StreamHeaderLen(x.stream.ID, x.off, 1<<14, true)
		if n > 0 && room < min(n, 64) {
			b.full = true
			return
		}
		if n == 0 {
			if p.copies = p.copies[1:]; len(p.copies) == 0 {
				p.copies = nil
			}
			continue
		}
		end := x.off + uint64(x.n)
		off, n := x.off, min(n, room)
		fin := send.FinSent != 0 && off+uint64(n) == send.FinalSize && send.ResetRequested == 0
		b.b = wire.AppendStreamHeader(b.b, x.stream.ID, off, n, fin, true)
		at := len(b.b)
		b.b = b.b[:at+n]
		send.CopyTo(b.b[at:], off)
		send.CommitSent(off, n, fin)
		b.retransmit = true
		b.record(frameRecord{typ: wire.Stream, stream: x.stream, off: off, n: uint32(n), fin: fin})
		x.off += uint64(n)
		x.n = int(end - x.off)
		c.streams.markReady(x.stream)
	}
}

// MarkRecovered tells that the peer has recovered a packet by other means:
// nothing of it is retransmitted that is not on its way already, but its loss
// stays a congestion signal. It reports false for a packet that was acknowledged
// or is forgotten.
func (c *Conn) MarkRecovered(p *Path, pn uint64) bool {
	s := &p.space
	sent := s.sent.Get(pn)
	if sent != nil && sent.State == recovery.Lost {
		c.settleLate(s, sent)
		return true
	}
	if sent == nil || sent.State != recovery.Outstanding {
		return false
	}
	prior := p.Congestion.BytesInFlight
	d := &sent.Data
	if d.count > 0 {
		c.frameFate(p, s, sent, &d.first, true)
		for i := range d.rest {
			c.frameFate(p, s, sent, &d.rest[i], true)
		}
		d.release()
	}
	l := congestion.Loss{Now: c.now, Bytes: uint64(sent.Size), Packets: 1, LargestLost: pn, LargestLostSent: sent.SentTime,
		NextPN: s.sent.Next(), PriorInFlight: prior, TxInFlight: sent.TxInFlight, LostAtSend: sent.PacketView.LostBytes, SentAppLimited: sent.AppLimited != 0}
	c.losePacket(s, p, sent, lossByAck)
	c.congestionLost(p, &l)
	c.wake()
	return true
}

// An injectedPayload is a packet's plaintext that a plugin recovered.
type injectedPayload struct {
	path    *Path
	pn      uint64
	payload []byte
}

// InjectPayload processes the plaintext of a packet that never arrived, once
// the current packet is done. payload is kept until then. The packet is not
// acknowledged: its loss stays a congestion signal for the peer.
func (c *Conn) InjectPayload(p *Path, pn uint64, payload []byte) {
	if len(c.plug.injected) < maxReserved && len(payload) > 0 {
		c.plug.injected = append(c.plug.injected, injectedPayload{p, pn, payload})
	}
}

// runInjected processes payloads that a plugin recovered, after the packet that
// made the recovery possible is done.
func (c *Conn) runInjected() {
	for len(c.plug.injected) > 0 && c.v.State < StateClosing {
		j := c.plug.injected[0]
		c.plug.injected = c.plug.injected[1:]
		s := &j.path.space
		if j.path.State == PathClosed || s.received.Contains(j.pn) || s.injected != nil && s.injected.Contains(j.pn) {
			continue
		}
		in := &c.endpoint.scratch.in
		*in = ReceivedPacket{conn: c, path: j.path, route: j.path.route, level: level1RTT, ptype: wire.OneRTT}
		in.Number, in.Injected = j.pn, 1
		in.show(j.payload, j.payload)
		if s.injected == nil {
			s.injected = new(recovery.Received)
		}
		s.injected.Add(j.pn)
		if err := c.processFrames(in); err != nil {
			c.fail(err)
			return
		}
		// The packet itself never arrived: it is not acknowledged, the sender
		// must still see the congestion signal.
	}
	if len(c.plug.injected) == 0 {
		c.plug.injected = nil
	}
}
