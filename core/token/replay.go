package token

import (
	"encoding/binary"
	"math/bits"
	"sync/atomic"
	"time"

	"github.com/pquic-go/pquic/core/mono"
)

// DefaultReplayCapacity is how many uses a ReplayGuard is made for by default.
const DefaultReplayCapacity = 1 << 16

// Shape of a ReplayGuard.
const (
	// slicesPerLifetime is into how many slices of issue time a lifetime is
	// cut; a whole slice is forgotten at once.
	slicesPerLifetime = 4
	// sliceCount covers a lifetime that begins within a slice, and a clock
	// that runs ahead into the next.
	sliceCount = slicesPerLifetime + 2
	// bitsPerUse is how many bits of a slice there are for each use when uses
	// spread evenly over the slices.
	bitsPerUse = 16
	// marksPerUse is how many bits a use sets, all in one word.
	marksPerUse = 4
	// maxReplayCapacity keeps a slice within 32 MiB.
	maxReplayCapacity = 1 << 26
)

// A ReplayGuard remembers which NEW_TOKEN tokens were used, so that each is
// accepted once.
//
// "Tokens that are provided in NEW_TOKEN frames (Section 19.7) need to be valid
// for longer but SHOULD NOT be accepted multiple times."
// https://www.rfc-editor.org/rfc/rfc9000#section-8.1.4
//
// Its memory is bounded: one Bloom filter per slice of issue time, made when
// the first token of the slice is used and dropped when its last has expired.
// It never accepts a token twice. It may refuse one that is new, which costs
// that client its head start: one in about 200 at capacity, more beyond it, so
// a flood of valid tokens can do no more than make tokens useless.
//
// What it knows is lost with the process and not shared between machines; a
// token can be used once on each.
//
// A ReplayGuard is safe for concurrent use, without locks: all workers of a
// process share one.
type ReplayGuard struct {
	sliceLen time.Duration
	words    uint64 // per slice, a power of two
	slices   [sliceCount]atomic.Pointer[replaySlice]
}

// replaySlice is the filter for tokens issued in one slice of time. A token is
// marked within one word, so that one atomic operation both asks and marks.
type replaySlice struct {
	epoch int64
	words []atomic.Uint64
}

// NewReplayGuard returns a ReplayGuard for tokens of the given lifetime, of
// which capacity are expected to be used within one lifetime. Zero or less
// means [DefaultNewLifetime] and [DefaultReplayCapacity]. It takes at most 3
// bytes per use, 192 KiB by default.
func NewReplayGuard(lifetime time.Duration, capacity int) *ReplayGuard {
	if lifetime <= 0 {
		lifetime = DefaultNewLifetime
	}
	if capacity <= 0 {
		capacity = DefaultReplayCapacity
	}
	perSlice := uint64(min(capacity, maxReplayCapacity)) * bitsPerUse / slicesPerLifetime
	words := max(perSlice/64, 1)
	return &ReplayGuard{
		sliceLen: max(lifetime/slicesPerLifetime, 1),
		words:    1 << bits.Len64(words-1),
	}
}

// use marks a token as used and reports whether it was not before. The nonce is
// random and authentic, so it serves as its own hash: clients cannot choose
// which bits they set.
func (g *ReplayGuard) use(issued mono.Time, nonce [nonceLen]byte) bool {
	s := g.slice(int64(issued) / int64(g.sliceLen))
	if s == nil {
		return false
	}
	word := binary.LittleEndian.Uint64(nonce[:]) & (g.words - 1)
	var mark uint64
	for i := range marksPerUse {
		mark |= 1 << (nonce[8+i] & 63)
	}
	return s.words[word].Or(mark)&mark != mark
}

// slice returns the filter of an epoch; nil if it has made room for a later
// one.
func (g *ReplayGuard) slice(epoch int64) *replaySlice {
	if epoch < 0 {
		return nil
	}
	at := &g.slices[epoch%sliceCount]
	for {
		s := at.Load()
		switch {
		case s != nil && s.epoch == epoch:
			return s
		case s != nil && s.epoch > epoch:
			return nil
		}
		fresh := &replaySlice{epoch: epoch, words: make([]atomic.Uint64, g.words)}
		if at.CompareAndSwap(s, fresh) {
			return fresh
		}
	}
}
