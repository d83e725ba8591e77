//go:build unix

package vm

import (
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

// An arena is a piece of address space without Go pointers, zeroed, whose pages the system provides when touched.
// Arenas of one size are cut from slabs, since a process may have tens of thousands of connections but not as many
// mappings; slabs are never unmapped, only their memory is given back.
type arena struct {
	mem  unsafe.Pointer
	size uintptr // of its class
}

const (
	smallestArena = 64 << 10
	slabSize      = 64 << 20 // of small arenas; large ones have slabs of their own size
)

var arenas struct {
	sync.Mutex
	free map[uintptr][]unsafe.Pointer // clean arenas by size
}

// newArena returns at least size bytes of zeros, aligned to a page.
func newArena(size uint32) (arena, error) {
	class := uintptr(smallestArena)
	for class < uintptr(size) {
		class += class / 2 &^ (pageSize - 1)
	}
	arenas.Lock()
	defer arenas.Unlock()
	if arenas.free == nil {
		arenas.free = make(map[uintptr][]unsafe.Pointer)
	}
	list := arenas.free[class]
	if len(list) == 0 {
		var err error
		if list, err = newSlab(class, list); err != nil {
			return arena{}, err
		}
	}
	p := list[len(list)-1]
	arenas.free[class] = list[:len(list)-1]
	return arena{p, class}, nil
}

// newSlab maps memory for several arenas and adds them to the list, the lowest last.
func newSlab(class uintptr, list []unsafe.Pointer) ([]unsafe.Pointer, error) {
	n := max(slabSize/class, 1)
	b, err := unix.Mmap(-1, 0, int(n*class), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON|mapNoReserve)
	if err != nil {
		return list, err
	}
	adviseSlab(b)
	for i := n; i > 0; i-- {
		list = append(list, unsafe.Pointer(&b[(i-1)*class]))
	}
	return list, nil
}

// free makes the arena's bytes zero and keeps its address space for the next.
func (a arena) free() {
	b := unsafe.Slice((*byte)(a.mem), a.size)
	if !cleanArena(b) {
		clear(b)
	}
	arenas.Lock()
	arenas.free[a.size] = append(arenas.free[a.size], a.mem)
	arenas.Unlock()
}
