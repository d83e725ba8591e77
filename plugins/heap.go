package plugins

import (
	"fmt"
	"math/bits"
)

// Heap sizes a plugin may ask for. What it does not touch costs nothing.
const (
	defaultHeap = 1 << 20
	maxHeap     = 16 << 20
)

// A heap hands out pieces of the part of an arena that a plugin allocates from.
// Its bookkeeping is Go memory, out of the plugin's reach. Pieces have sizes of
// powers of two, so that any freed piece serves any later request of its class.
type heap struct {
	next, end uint32
	pieces    map[uint32]uint8 // class of each piece in use
	unused    [heapClasses][]uint32
	used      uint32 // bytes in use
}

const (
	minClass    = 4  // 16 bytes
	maxClass    = 24 // 16 MiB
	heapClasses = maxClass + 1
)

// alloc returns the address of a piece of at least n bytes, 0 if there is none.
// fresh says that nobody has used it before.
func (p *heap) alloc(n uint64) (addr uint32, fresh bool) {
	if n == 0 || n > maxHeap {
		return 0, false
	}
	class := max(bits.Len64(n-1), minClass)
	if free := p.unused[class]; len(free) > 0 {
		addr = free[len(free)-1]
		p.unused[class] = free[:len(free)-1]
	} else {
		at := (p.next + 15) &^ 15
		if uint64(at)+1<<class > uint64(p.end) {
			return 0, false
		}
		addr, fresh = at, true
		p.next = at + 1<<class
	}
	if p.pieces == nil {
		p.pieces = make(map[uint32]uint8)
	}
	p.pieces[addr] = uint8(class)
	p.used += 1 << class
	return addr, fresh
}

// free takes a piece back.
func (p *heap) free(addr uint64) error {
	class, ok := p.pieces[uint32(addr)]
	if !ok || addr>>32 != 0 {
		return fmt.Errorf("%#x is no allocated piece of the heap", addr)
	}
	delete(p.pieces, uint32(addr))
	p.unused[class] = append(p.unused[class], uint32(addr))
	p.used -= 1 << class
	return nil
}

// alloc returns the address of n bytes of zeros in the instance's heap, 0 if
// there is no room.
func (in *Instance) alloc(n uint64) uint32 {
	addr, fresh := in.heap.alloc(n)
	if addr != 0 && !fresh {
		clear(in.vm.Writable(uint64(addr), n))
	}
	return addr
}

func (in *Instance) free(addr uint64) error {
	if addr == 0 {
		return nil
	}
	return in.heap.free(addr)
}
