package recovery

import (
	"math/bits"

	"github.com/pquic-go/pquic/core/mono"
)

const (
	minRing = 4 // Initial and Handshake spaces hold no more

	// quietDrains is how many times in a row the ring must drain without
	// having been a quarter full before it is halved: bursts of one size never
	// reallocate, a connection whose bursts got smaller gives memory back.
	quietDrains = 16
)

// Sent remembers the packets sent in one packet number space, in a ring
// indexed by packet number. Its zero value is ready and holds no memory.
//
// A pointer to a packet stays good until the next Add, Skip, Forget or Trim.
//
// Two bitmaps over the ring let an ACK frame that repeats old ranges, and loss
// detection behind a long gap, step over settled packets 64 at a time. They
// are hints: State decides, and a bit found stale is cleared. So callers may
// set State as they like.
type Sent[T any] struct {
	LargestAcked         uint64    // largest number acknowledged, if HasAcked
	HasAcked             bool      //
	LossTime             mono.Time // when the next packet passes the time threshold; 0 if none
	LastAckEliciting     mono.Time // when the newest ack-eliciting packet left; 0 if none
	AckElicitingInFlight int       // outstanding packets that are AckEliciting and InFlight
	BytesInFlight        uint64    // bytes of outstanding packets that are InFlight

	ring        []Packet[T]
	unacked     []uint64 // an acknowledgment of this number would be news
	outstanding []uint64
	first, next uint64
	peak        uint64 // most packets held since the ring last drained
	quiet       uint32
}

// Next is the number the next Add will use.
func (s *Sent[T]) Next() uint64 { return s.next }

// First is the lowest number still held; First to Next()-1 can be looked up.
func (s *Sent[T]) First() uint64 { return s.first }

// Len is how many numbers are held, skipped ones included.
func (s *Sent[T]) Len() int { return int(s.next - s.first) }

// Add makes a new Outstanding packet numbered Next. Its view is cleared except
// for Number and State; Data is whatever the slot held last, for the caller to
// reuse. Once the view is filled in, Commit accounts for it.
func (s *Sent[T]) Add() *Packet[T] {
	p := s.push()
	p.PacketView = PacketView{Number: s.next, State: Outstanding}
	i := s.next & uint64(len(s.ring)-1)
	s.unacked[i>>6] |= 1 << (i & 63)
	s.outstanding[i>>6] |= 1 << (i & 63)
	s.next++
	return p
}

// Skip burns one number, so that a peer acknowledging what it never received
// gives itself away.
// https://www.rfc-editor.org/rfc/rfc9000#section-21.4
func (s *Sent[T]) Skip() {
	p := s.push()
	p.PacketView = PacketView{Number: s.next, State: Skipped}
	i := s.next & uint64(len(s.ring)-1)
	s.unacked[i>>6] |= 1 << (i & 63)
	s.outstanding[i>>6] &^= 1 << (i & 63)
	s.next++
}

func (s *Sent[T]) push() *Packet[T] {
	held := s.next - s.first
	if held == uint64(len(s.ring)) {
		s.resize(max(2*len(s.ring), minRing))
	}
	s.peak = max(s.peak, held+1)
	return &s.ring[s.next&uint64(len(s.ring)-1)]
}

// Get returns the packet numbered pn, or nil if it was not sent yet or is
// forgotten. The packet may be in any State.
func (s *Sent[T]) Get(pn uint64) *Packet[T] {
	if pn-s.first >= s.next-s.first {
		return nil
	}
	return &s.ring[pn&uint64(len(s.ring)-1)]
}

// Commit accounts for a packet just sent, whose SentTime, Size and Flags are
// filled in.
func (s *Sent[T]) Commit(p *Packet[T]) {
	if p.Flags&AckEliciting != 0 {
		s.LastAckEliciting = p.SentTime
	}
	if p.Flags&InFlight == 0 {
		return
	}
	s.BytesInFlight += uint64(p.Size)
	if p.Flags&AckEliciting != 0 {
		s.AckElicitingInFlight++
	}
}

// Settle gives packet p its fate: Acked or Lost. A Lost packet that is Acked
// becomes Recovered. It takes an outstanding packet out of flight, keeps
// LargestAcked, and returns the state that the packet had.
func (s *Sent[T]) Settle(p *Packet[T], fate uint32) (was uint32) {
	was = p.State
	if was == Outstanding && p.Flags&InFlight != 0 {
		s.BytesInFlight -= uint64(p.Size)
		if p.Flags&AckEliciting != 0 {
			s.AckElicitingInFlight--
		}
	}
	if fate == Acked && was == Lost {
		fate = Recovered
	}
	p.State = fate
	if fate == Acked || fate == Recovered {
		if !s.HasAcked || p.Number > s.LargestAcked {
			s.LargestAcked, s.HasAcked = p.Number, true
		}
	}
	return was
}

// NextUnacked returns the lowest number from lo to hi, both inclusive, whose
// acknowledgment is news: it is Outstanding, Lost or Skipped. Walking an ACK
// range is
//
//	for pn, ok := s.NextUnacked(lo, hi); ok; pn, ok = s.NextUnacked(pn+1, hi) {
func (s *Sent[T]) NextUnacked(lo, hi uint64) (pn uint64, ok bool) {
	for {
		pn, ok = s.scan(s.unacked, lo, hi)
		if !ok {
			return 0, false
		}
		switch s.Get(pn).State {
		case Acked, Recovered:
			s.clear(s.unacked, pn)
			lo = pn + 1
		default:
			return pn, true
		}
	}
}

// NextOutstanding returns the lowest outstanding number from lo to hi, both
// inclusive. It finds what to retransmit in a probe, and what to drop with a
// packet number space.
func (s *Sent[T]) NextOutstanding(lo, hi uint64) (pn uint64, ok bool) {
	for {
		pn, ok = s.scan(s.outstanding, lo, hi)
		if !ok || s.Get(pn).State == Outstanding {
			return pn, ok
		}
		s.clear(s.outstanding, pn)
		lo = pn + 1
	}
}

// scan finds the lowest set bit among the held numbers of lo to hi.
func (s *Sent[T]) scan(set []uint64, lo, hi uint64) (uint64, bool) {
	if s.first == s.next {
		return 0, false
	}
	lo = max(lo, s.first)
	hi = min(hi, s.next-1)
	size := uint64(len(s.ring))
	for lo <= hi {
		i := lo & (size - 1)
		n := min((i|63)+1, size) - i // numbers left in this word
		n = min(n, hi-lo+1)
		w := set[i>>6] >> (i & 63)
		if n < 64 {
			w &= 1<<n - 1
		}
		if w != 0 {
			return lo + uint64(bits.TrailingZeros64(w)), true
		}
		lo += n
	}
	return 0, false
}

func (s *Sent[T]) clear(set []uint64, pn uint64) {
	i := pn & uint64(len(s.ring)-1)
	set[i>>6] &^= 1 << (i & 63)
}

// Forget drops the settled prefix: numbers below which nothing can change.
// A Lost packet stops it; see ForgetLostBefore.
func (s *Sent[T]) Forget() { s.ForgetLostBefore(0) }

// ForgetLostBefore drops the settled prefix, in which Lost packets sent before
// t count as settled, and so do outstanding ones sent before t that are not in
// flight, because nobody waits for their fate. With t three probe timeouts in
// the past, a loss can be recognised as spurious for as long as that is likely.
func (s *Sent[T]) ForgetLostBefore(t mono.Time) {
	mask := uint64(len(s.ring) - 1)
	for s.first != s.next {
		i := s.first & mask
		p := &s.ring[i]
		switch p.State {
		case Acked, Recovered:
		case Skipped:
			// Kept until an acknowledgment has passed over it.
			if !s.HasAcked || s.first > s.LargestAcked {
				return
			}
		case Lost:
			if p.SentTime >= t {
				return
			}
		default:
			if p.Flags&InFlight != 0 || p.SentTime >= t {
				return
			}
		}
		s.unacked[i>>6] &^= 1 << (i & 63)
		s.outstanding[i>>6] &^= 1 << (i & 63)
		s.first++
	}
	s.drained()
}

// drained gives half the ring back once it has been too large for a while.
func (s *Sent[T]) drained() {
	if s.peak == 0 {
		return
	}
	if int(s.peak) >= len(s.ring)/4 {
		s.quiet = 0
	} else if s.quiet++; s.quiet >= quietDrains && len(s.ring) > minRing {
		s.quiet = 0
		s.resize(len(s.ring) / 2)
	}
	s.peak = 0
}

// Trim shrinks the ring to what it holds now, and frees it if that is nothing.
// What follows may grow it again.
// A connection calls it when it has gone idle.
func (s *Sent[T]) Trim() {
	held := s.next - s.first
	if held == 0 {
		s.ring, s.unacked, s.outstanding = nil, nil, nil
		return
	}
	size := 1
	for uint64(size) < held {
		size *= 2
	}
	if size < len(s.ring) {
		s.resize(size)
	}
}

// Discard drops every packet, whatever its state, and all counters: the keys
// of the space are gone. Numbering goes on.
// https://www.rfc-editor.org/rfc/rfc9002#section-6.4
func (s *Sent[T]) Discard() {
	*s = Sent[T]{first: s.next, next: s.next}
}

// resize moves the held packets to a ring of size slots, a power of two no
// smaller than Len. Slots beyond the held ones take along spare Data.
func (s *Sent[T]) resize(size int) {
	old := s.ring
	s.ring = make([]Packet[T], size)
	words := (size + 63) / 64
	set := make([]uint64, 2*words)
	unacked, outstanding := set[:words:words], set[words:]
	oldMask, mask := uint64(len(old)-1), uint64(size-1)
	moved := min(len(old), size)
	for n := range uint64(moved) {
		pn := s.first + n
		s.ring[pn&mask] = old[pn&oldMask]
		if pn >= s.next {
			continue
		}
		i := pn & mask
		switch s.ring[i].State {
		case Outstanding:
			outstanding[i>>6] |= 1 << (i & 63)
			unacked[i>>6] |= 1 << (i & 63)
		case Lost, Skipped:
			unacked[i>>6] |= 1 << (i & 63)
		}
	}
	s.unacked, s.outstanding = unacked, outstanding
}
