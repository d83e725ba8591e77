package core

import (
	"github.com/pquic-go/pquic/core/wire"
	"github.com/pquic-go/pquic/protoops"
)

// What becomes of the frames of a packet that was acknowledged or lost.

// settleLate settles a packet that was declared lost and has arrived after all.
func (c *Conn) settleLate(s *numberSpace, sent *SentPacket) {
	d := &sent.Data
	if d.count > 0 {
		c.frameArrived(s, &d.first)
		for i := range d.rest {
			c.frameArrived(s, &d.rest[i])
		}
	}
	d.release()
}

// frameArrived settles a frame of a packet that was declared lost and then
// acknowledged. Its owner was told of the loss already; only bytes that may
// still wait to be sent again gain from the news.
func (c *Conn) frameArrived(s *numberSpace, r *frameRecord) {
	switch r.typ {
	case wire.Stream:
		c.streamFate(r, true)
	case wire.Crypto:
		if cs := c.crypto[s.id]; cs != nil {
			cs.send.Acked(r.off, int(r.n), false)
		}
	case pluginStreamRecord:
		c.pluginStreamFate(r, true)
	}
}

// frameFate tells the owner of a frame that it was acknowledged or lost.
func (c *Conn) frameFate(p *Path, s *numberSpace, sent *SentPacket, r *frameRecord, acked bool) {
	if r.typ == wire.Stream && !c.ops.frames.notify[wire.Stream].Attached() && (acked || !c.ops.isRetransmissionNeeded.Attached()) {
		c.streamFate(r, acked)
		return
	}
	if r.stream != nil && r.stream.plugin != nil {
		c.pluginStreamFate(r, acked)
		return
	}
	i, native := frameIndex(r.typ)
	fate := FateLost
	if acked {
		fate = FateAcked
	}
	if !native {
		if r.fin && acked {
			// An acknowledgment of a plugin's own kind, see AppendAck.
			if q := c.Path(uint64(r.n)); q != nil {
				c.ackOfAck(AckOfAckArg{Path: q, Space: uint64(appSpace), Largest: r.off})
			}
		}
		if slot := c.ops.frames.plugin.notify.Slot(uint64(r.typ)); slot != nil {
			slot.Run(FrameFate{Path: p, Packet: sent, Type: uint64(r.typ), Cookie: r.off, Length: uint64(r.n), Fate: fate})
		}
		return
	}
	if c.ops.frames.notify[i].Attached() {
		c.ops.frames.notify[i].Run(FrameFate{Path: p, Packet: sent, Type: uint64(r.typ), Cookie: r.off, Length: uint64(r.n), Fate: fate})
	}
	if acked {
		c.frameAcked(p, s, r)
	} else {
		c.frameLost(p, s, r)
	}
}

// streamFate settles a range of stream data.
func (c *Conn) streamFate(r *frameRecord, acked bool) {
	s := r.stream
	if s == nil || s.sendDone {
		return
	}
	if !acked {
		s.sendHalf.Lost(r.off, int(r.n), r.fin)
		c.streams.markReady(s)
		return
	}
	released, done := s.sendHalf.Acked(r.off, int(r.n), r.fin)
	if (released || done) && c.handler != nil {
		c.handler.StreamWritable(c, s)
	}
	if done {
		c.streams.maybeClose(s)
	}
}

// frameAcked settles an acknowledged frame other than STREAM.
func (c *Conn) frameAcked(p *Path, s *numberSpace, r *frameRecord) {
	switch r.typ {
	case wire.Stream:
		c.streamFate(r, true)
	case wire.Crypto:
		if cs := c.crypto[s.id]; cs != nil {
			cs.send.Acked(r.off, int(r.n), false)
		}
	case wire.Ack, wire.AckECN:
		if s.id == appSpace {
			p = c.pathZero() // whichever path carried it
		}
		if p != nil {
			c.ackOfAck(AckOfAckArg{Path: p, Space: uint64(s.id), Largest: r.off})
		}
	case wire.ResetStream, wire.ResetStreamAt:
		if st := r.stream; !st.sendDone && st.sendHalf.ResetFrameAcked(r.off) {
			c.streams.maybeClose(st)
		}
	case wire.RetireConnectionID:
		if z := c.pathZero(); z != nil && z.remote.unacked > 0 {
			z.remote.unacked--
		}
	case wire.NewToken:
		c.handshake.newToken = nil
	case wire.HandshakeDone:
		c.v.HandshakeDoneAcked = 1
	case wire.AckFrequency:
		c.ackFrequencyAcked(r.off)
	}
}

// AckOfAckArg is the argument of operation "process_ack_of_ack".
type AckOfAckArg struct {
	Path    *Path  `op:"path" doc:"the path"`
	Space   uint64 `op:"space" doc:"0 Initial, 1 Handshake, 2 Application Data"`
	Largest uint64 `op:"largest" doc:"Largest Acknowledged of our ACK frame the peer has received"`
}

// ackOfAck forgets received packet numbers the peer knows we have acknowledged. Operation "process_ack_of_ack".
func (c *Conn) ackOfAck(a AckOfAckArg) protoops.None {
	if c.ops.ackOfAck.Attached() {
		return c.ops.ackOfAck.Run(a)
	}
	return c.ackOfAckNative(a)
}

var opAckOfAck = protoops.Define(protoops.Key{Name: "process_ack_of_ack", Param: protoops.NoParam},
	protoops.Doc{
		Summary: "Forgets received packet numbers the peer knows we have acknowledged",
		Fires:   "when a packet with our ACK frame is acknowledged",
		Native:  "ranges at or below the frame's Largest Acknowledged are dropped",
		Section: "https://www.rfc-editor.org/rfc/rfc9000#section-13.2.4",
	},
	func(c *Conn) *protoops.Slot[AckOfAckArg, protoops.None] { return &c.ops.ackOfAck },
	(*Conn).ackOfAckNative)

func (c *Conn) ackOfAckNative(a AckOfAckArg) protoops.None {
	s := &a.Path.space
	switch spaceID(a.Space) {
	case initialSpace:
		s = c.initial
	case handshakeSpace:
		s = c.hs
	}
	s.received.ForgetBelow(a.Largest)
	return protoops.None{}
}

// frameLost queues again what a lost packet carried, as far as it still
// matters.
// https://www.rfc-editor.org/rfc/rfc9000#section-13.3
func (c *Conn) frameLost(p *Path, s *numberSpace, r *frameRecord) {
	if !c.isRetransmissionNeeded(LostFrameArg{Path: p, Stream: r.stream, Type: uint64(r.typ), Cookie: r.off, Length: uint64(r.n)}).Yes {
		return
	}
	switch r.typ {
	case wire.Stream:
		c.streamFate(r, false)
	case wire.Crypto:
		if cs := c.crypto[s.id]; cs != nil {
			cs.send.Lost(r.off, int(r.n), false)
		}
	case wire.ResetStream, wire.ResetStreamAt:
		if st := r.stream; !st.sendDone && st.sendHalf.ResetAcked == 0 {
			c.streams.queueControl(st, pendReset)
		}
	case wire.StopSending:
		if st := r.stream; !st.recvDone && st.recvHalf.SizeKnown == 0 {
			c.streams.queueControl(st, pendStop)
		}
	case wire.MaxStreamData:
		if st := r.stream; !st.recvDone && st.recvHalf.SizeKnown == 0 {
			c.streams.queueControl(st, pendMaxStreamData)
		}
	case wire.StreamDataBlocked:
		if st := r.stream; !st.sendDone {
			if limit, blocked := st.sendHalf.Blocked(); blocked && limit == r.off {
				c.streams.queueControl(st, pendStreamBlocked)
			}
		}
	case wire.MaxData:
		c.pend |= pendMaxData
	case wire.MaxStreamsBidi:
		c.pend |= pendMaxStreamsBidi
	case wire.MaxStreamsUni:
		c.pend |= pendMaxStreamsUni
	case wire.DataBlocked:
		if r.off == c.v.MaxDataRemote {
			c.pend |= pendDataBlocked
		}
	case wire.StreamsBlockedBidi:
		if r.off == c.v.MaxStreamsBidiRemote {
			c.pend |= pendStreamsBlockedBidi
		}
	case wire.StreamsBlockedUni:
		if r.off == c.v.MaxStreamsUniRemote {
			c.pend |= pendStreamsBlockedUni
		}
	case wire.HandshakeDone:
		c.pend |= pendHandshakeDone
	case wire.NewToken:
		c.pend |= pendNewToken
	case wire.NewConnectionID:
		z := c.pathZero()
		for i := 0; z != nil && i < len(z.local.ids); i++ {
			if z.local.ids[i].seq == r.off {
				z.local.ids[i].send = true
				c.pend |= pendNewConnID
			}
		}
	case wire.RetireConnectionID:
		if z := c.pathZero(); z != nil {
			z.remote.unacked -= min(z.remote.unacked, 1)
			z.remote.retire = append(z.remote.retire, r.off)
			c.pend |= pendRetireConnID
		}
	case wire.AckFrequency:
		if r.off == c.ackFreq.sentSeq {
			c.pend |= pendAckFrequency
		}
	}
}

// LostFrameArg is the argument of operation "is_retransmission_needed".
type LostFrameArg struct {
	Path   *Path   `op:"path" doc:"path of the lost packet"`
	Stream *Stream `op:"stream" doc:"the stream the frame is about, 0 none"`
	Type   uint64  `op:"type" doc:"frame type"`
	Cookie uint64  `op:"cookie" doc:"stream offset, sequence number or limit"`
	Length uint64  `op:"length" unit:"bytes" doc:"bytes of the range"`
}

// isRetransmissionNeeded decides whether a lost frame's information is sent again. Operation "is_retransmission_needed".
func (c *Conn) isRetransmissionNeeded(a LostFrameArg) Decision {
	if c.ops.isRetransmissionNeeded.Attached() {
		return c.ops.isRetransmissionNeeded.Run(a)
	}
	return c.isRetransmissionNeededNative(a)
}

var opIsRetransmissionNeeded = protoops.Define(protoops.Key{Name: "is_retransmission_needed", Param: protoops.NoParam},
	protoops.Doc{
		Summary: "Decides whether a lost frame's information is sent again",
		Fires:   "per frame of a lost packet, except frames of plugins",
		Native:  "yes; what is outdated meanwhile is left out",
		Section: "https://www.rfc-editor.org/rfc/rfc9000#section-13.3",
	},
	func(c *Conn) *protoops.Slot[LostFrameArg, Decision] { return &c.ops.isRetransmissionNeeded },
	(*Conn).isRetransmissionNeededNative)

func (c *Conn) isRetransmissionNeededNative(LostFrameArg) Decision { return Decision{true} }
