package coretest

import (
	"bytes"
	"net/netip"
	"time"

	"github.com/pquic-go/pquic/core"
	"github.com/pquic-go/pquic/core/mono"
)

// Addr is an IP address.
type Addr = netip.Addr

// AddrPort is a UDP address.
type AddrPort = netip.AddrPort

// LinkStats count packets by their fate.
type LinkStats struct {
	Sent, Delivered           uint64
	Lost, Queue, TooBig, Down uint64 // dropped by chance (or script), full queue, MTU, outage
	Duplicated, Corrupted     uint64
	Reordered, Marked         uint64
	Bytes                     uint64 // of IP packets delivered
	MaxDelay                  time.Duration
}

// A Link carries packets one way.
type Link struct {
	Conditions
	Name  string
	Stats LinkStats

	sim     *Sim
	bad     bool        // Burst is in its bad state
	last    mono.Time   // when Burst last judged a packet
	busy    mono.Time   // when the last packet in the queue is sent
	leaving []mono.Time // when each packet in the queue is sent
}

// NewLink returns a link under the given conditions.
func (s *Sim) NewLink(name string, c Conditions) *Link {
	l := &Link{Conditions: c, Name: name, sim: s}
	s.links = append(s.links, l)
	return l
}

func (l *Link) chance(p float64) bool { return p > 0 && l.sim.Rand.Float64() < p }

// send puts a packet on the link; it goes on at next. tooBig tells the sender
// of a packet that exceeds the MTU.
func (l *Link) send(p *Packet, next func(*Packet), tooBig func(mtu int)) {
	s := l.sim
	l.Stats.Sent++
	p.Number = l.Stats.Sent
	if l.Drop != nil && l.Drop(p) || l.lose() {
		l.Stats.Lost++
		s.note('-', p)
		return
	}
	if l.Down {
		l.Stats.Down++
		s.note('-', p)
		return
	}
	if l.MTU > 0 && p.Size() > l.MTU {
		l.Stats.TooBig++
		s.note('^', p)
		if l.TooBig && tooBig != nil {
			tooBig(l.MTU)
		}
		return
	}
	if l.ECN.DropECT && p.ECN != core.NotECT {
		l.Stats.Lost++
		s.note('-', p)
		return
	}
	waiting, ok := l.enqueue(p.Size())
	if !ok {
		l.Stats.Queue++
		s.note('=', p)
		return
	}
	l.mark(p, waiting)
	if l.chance(l.Corrupt) {
		l.corrupt(p)
	}
	l.deliver(p, next)
	if l.chance(l.Duplicate) {
		l.Stats.Duplicated++
		twin := *p
		twin.Payload = bytes.Clone(p.Payload)
		l.deliver(&twin, next)
	}
}

// lose decides about random and burst loss.
func (l *Link) lose() bool {
	if b := &l.Burst; b.Enter > 0 {
		if l.sim.now.Sub(l.last) > time.Second {
			l.bad = false // bursts are of the network's time, not of the sender's
		}
		l.last = l.sim.now
		if l.bad {
			l.bad = !l.chance(b.Leave)
		} else {
			l.bad = l.chance(b.Enter)
		}
		if l.bad && l.chance(b.BadLoss) || !l.bad && l.chance(b.GoodLoss) {
			return true
		}
	}
	return l.chance(l.Loss)
}

// enqueue waits for the rate: busy becomes when the packet has left. It returns
// how many bytes waited before it, and false if there is no room.
func (l *Link) enqueue(size int) (waiting int, ok bool) {
	now := l.sim.now
	if l.Rate <= 0 {
		l.busy = now
		return 0, true
	}
	if l.busy < now {
		l.busy = now
	}
	for len(l.leaving) > 0 && l.leaving[0] <= now {
		l.leaving = l.leaving[1:]
	}
	waiting = int(l.busy.Sub(now).Seconds() * l.Rate / 8)
	if l.QueuePackets > 0 && len(l.leaving) > l.QueuePackets {
		return waiting, false // one is being sent, the others wait
	}
	if l.Queue > 0 && waiting+size > l.Queue {
		return waiting, false
	}
	l.busy = l.busy.Add(time.Duration(float64(size) * 8 / l.Rate * 1e9))
	l.leaving = append(l.leaving, l.busy)
	return waiting, true
}

func (l *Link) mark(p *Packet, waiting int) {
	e := &l.ECN
	ect := p.ECN == core.ECT0 || p.ECN == core.ECT1
	switch {
	case e.MarkAll, ect && e.MarkQueue > 0 && waiting > e.MarkQueue, ect && l.chance(e.Mark):
		p.ECN = core.CE
		l.Stats.Marked++
	case e.Bleach:
		p.ECN = core.NotECT
	case e.Remark && p.ECN == core.ECT0:
		p.ECN = core.ECT1
	}
}

func (l *Link) corrupt(p *Packet) {
	l.Stats.Corrupted++
	for range 1 + l.sim.Rand.IntN(4) {
		i := l.sim.Rand.IntN(len(p.Payload))
		p.Payload[i] ^= byte(1 + l.sim.Rand.IntN(255))
	}
}

func (l *Link) deliver(p *Packet, next func(*Packet)) {
	d := l.Delay
	if l.Jitter > 0 {
		d += time.Duration(l.sim.Rand.Int64N(int64(l.Jitter)))
	}
	if l.chance(l.Reorder) {
		l.Stats.Reordered++
		if l.ReorderDelay > 0 {
			d += l.ReorderDelay
		} else {
			d += l.Delay/4 + time.Millisecond
		}
	}
	at := l.busy.Add(d)
	l.Stats.Delivered++
	l.Stats.Bytes += uint64(p.Size())
	l.Stats.MaxDelay = max(l.Stats.MaxDelay, at.Sub(l.sim.now))
	l.sim.at(at, func() { next(p) })
}
