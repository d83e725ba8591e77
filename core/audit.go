package core

import (
	"fmt"

	"github.com/pquic-go/pquic/core/recovery"
)

// Audit checks the endpoint's tables against one another and against its
// connections, and returns the first contradiction. It is slow: for tests and
// for looking into a process that misbehaves.
func (e *Endpoint) Audit() error {
	for id, x := range e.ids {
		if _, held := e.conns[x.conn]; !held {
			return fmt.Errorf("connection ID %v belongs to a connection that is gone (state %d)", id, x.conn.v.State)
		}
	}
	for t, c := range e.resetTokens {
		if _, held := e.conns[c]; !held {
			return fmt.Errorf("stateless reset token %x belongs to a connection that is gone", t)
		}
	}
	for i, c := range e.timers.a {
		if _, held := e.conns[c]; !held || c.heapIndex != i {
			return fmt.Errorf("timer %d belongs to a connection that is gone or filed under %d", i, c.heapIndex)
		}
	}
	handshakes := 0
	for c := range e.conns {
		if !c.counted {
			handshakes++
		}
		if err := c.audit(); err != nil {
			return err
		}
	}
	if e.stats.Handshakes != handshakes {
		return fmt.Errorf("%d handshakes counted, %d in progress", e.stats.Handshakes, handshakes)
	}
	if len(e.conns) == 0 {
		if n := len(e.ids) + len(e.resetTokens) + len(e.timers.a) + len(e.touched); n > 0 {
			return fmt.Errorf("without connections there are %d connection IDs, %d reset tokens, %d timers, %d touched",
				len(e.ids), len(e.resetTokens), len(e.timers.a), len(e.touched))
		}
	}
	return nil
}

// audit checks what one connection counts twice.
func (c *Conn) audit() error {
	if c.v.State >= StateClosing {
		return nil
	}
	for _, p := range c.paths {
		spaces := []*numberSpace{&p.space}
		if p == c.path0 {
			spaces = append(spaces, c.initial, c.hs)
		}
		var flying uint64
		for _, s := range spaces {
			n, err := s.audit(p)
			if err != nil {
				return fmt.Errorf("path %d: %w", p.ID, err)
			}
			flying += n
		}
		if flying != p.Congestion.BytesInFlight {
			return fmt.Errorf("path %d: %d bytes of packets in flight, congestion control counts %d", p.ID, flying, p.Congestion.BytesInFlight)
		}
		for _, l := range p.local.ids {
			if x := c.endpoint.ids[l.id]; x.conn != c || x.path != p.ID || x.seq != l.seq {
				return fmt.Errorf("path %d: connection ID %v is not routed to it", p.ID, l.id)
			}
		}
	}
	if n := uint64(len(c.streams.byID)); n != c.v.StreamsOpen {
		return fmt.Errorf("%d streams held, %d counted", n, c.v.StreamsOpen)
	}
	if c.flow.consumed > c.flow.recv.Received {
		return fmt.Errorf("%d stream bytes consumed, %d received", c.flow.consumed, c.flow.recv.Received)
	}
	if c.v.DataSent > c.v.MaxDataRemote {
		return fmt.Errorf("%d stream bytes sent, the peer allows %d", c.v.DataSent, c.v.MaxDataRemote)
	}
	return nil
}

// audit recounts what is in flight, and returns what of it counts for congestion
// control.
func (s *numberSpace) audit(on *Path) (flying uint64, err error) {
	eliciting, all := 0, uint64(0)
	for pn := s.sent.First(); pn < s.sent.Next(); pn++ {
		p := s.sent.Get(pn)
		if p.State != recovery.Outstanding || p.Flags&recovery.InFlight == 0 {
			continue
		}
		all += uint64(p.Size)
		if on.measures(p) {
			flying += uint64(p.Size)
		}
		if p.Flags&recovery.AckEliciting != 0 {
			eliciting++
		}
	}
	if all != s.sent.BytesInFlight || eliciting != s.sent.AckElicitingInFlight {
		return 0, fmt.Errorf("%v space: %d bytes and %d ack-eliciting packets in flight, counted %d and %d",
			s.id, all, eliciting, s.sent.BytesInFlight, s.sent.AckElicitingInFlight)
	}
	return flying, nil
}
