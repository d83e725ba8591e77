package stream

import (
	"math/bits"
	"sync/atomic"
	"unsafe"
)

// A Side is one of the two ends of a FIFO.
type Side uint8

const (
	bothSides Side = iota // ordinary memory: both ends use the same FIFO

	// Producer is the end that writes.
	Producer
	// Consumer is the end that reads.
	Consumer
)

// sharedMagic marks initialised memory and the layout's version.
const sharedMagic = 0x7071_6669_666f_0001

// sharedWords is the head of shared memory; the ring follows. Each word is
// written by one process, save the wait flags, which the other clears.
type sharedWords struct {
	magic atomic.Uint64
	size  atomic.Uint64 // of the ring, in bytes
	_     [cacheLine - 16]byte
	tail  atomic.Uint64 // written by the producer
	_     [cacheLine - 8]byte
	head  atomic.Uint64 // written by the consumer
	_     [cacheLine - 8]byte
	words sideWords
	_     [cacheLine - unsafe.Sizeof(sideWords{})]byte
}

// SharedHeader is how many bytes of NewFIFOOn's memory hold indices.
const SharedHeader = int(unsafe.Sizeof(sharedWords{}))

// NewFIFOOn returns this process's end of a FIFO that lives in mem, which
// another process maps too: a header of SharedHeader bytes and a ring as large
// as the greatest power of two that fits in the rest. It cannot grow. The
// process that creates the FIFO passes create, and mem must then be zero; the
// other one opens what the first has made.
//
// The other process is not trusted. It can spoil the bytes it exchanges, and
// those already written may change under the reader, but nothing else: this
// end keeps its own index in private memory and never reads it back; the
// other's index must not go back, must stay within the ring and, once the
// producer has ended, must not move. The first violation is final: Err returns
// ErrShared, a producer can write no more, and a consumer sees nothing beyond
// the last index that was right.
//
// The error is ErrShared if mem is too small, not aligned to 8 bytes, in use
// already (create) or not a FIFO of this size (open).
func NewFIFOOn(mem []byte, side Side, create bool) (*FIFO, error) {
	if side != Producer && side != Consumer || len(mem) < SharedHeader+minRing {
		return nil, ErrShared
	}
	if uintptr(unsafe.Pointer(unsafe.SliceData(mem)))%unsafe.Alignof(sharedWords{}) != 0 {
		return nil, ErrShared
	}
	log := min(bits.Len(uint(len(mem)-SharedHeader))-1, maxRingLog)
	w := (*sharedWords)(unsafe.Pointer(unsafe.SliceData(mem)))
	c := new(control)
	switch {
	case create:
		if w.magic.Load() != 0 {
			return nil, ErrShared
		}
		w.size.Store(1 << log)
		w.magic.Store(sharedMagic)
	case w.magic.Load() != sharedMagic || w.size.Load() != 1<<log:
		return nil, ErrShared
	}
	f := &FIFO{shared: w, side: side, initialLog: uint8(log), maxLog: uint8(log)}
	c.first.buf = mem[SharedHeader : SharedHeader+1<<log : SharedHeader+1<<log]
	f.ctl.Store(c)
	f.ring.Store(&c.first)
	return f, nil
}

// Shared reports whether the FIFO lies in memory handed to NewFIFOOn, which
// cannot grow.
func (f *FIFO) Shared() bool { return f.shared != nil }

// Err returns ErrShared once the other process has broken its index in shared
// memory, nil otherwise. Only this end's goroutine may call it.
func (f *FIFO) Err() error {
	if f.shared == nil || !f.ctl.Load().corrupt {
		return nil
	}
	return ErrShared
}

// sharedHead returns the consumer's index as far as it can be believed.
func (f *FIFO) sharedHead(c *control) uint64 {
	if c.corrupt {
		return c.headSeen
	}
	head := f.shared.head.Load()
	// It must lie between what was seen before and this end's own tail.
	if tail := c.tail.Load(); head-c.headSeen > tail-c.headSeen {
		c.corrupt = true
		return c.headSeen
	}
	c.headSeen = head
	return head
}

// sharedTail returns the producer's index as far as it can be believed.
func (f *FIFO) sharedTail(c *control) uint64 {
	if c.corrupt {
		return c.tailSeen
	}
	// The end first, as in Final: a tail that moves after it is a violation.
	ended := f.shared.words.writeEnd.Load() != endOpen
	tail := f.shared.tail.Load()
	head := c.head.Load()
	switch {
	case tail < c.tailSeen, tail-head > uint64(1)<<f.maxLog, c.ended && tail != c.final:
		c.corrupt = true
		return c.tailSeen
	case ended && !c.ended:
		c.ended, c.final = true, tail
	}
	c.tailSeen = tail
	return tail
}
