package vm

import (
	"bytes"
	"errors"
	"fmt"
	"unsafe"
)

// A Machine is what host functions see of the program that called them: its memory, its handles, its fuel.
// It is valid during the call only and belongs to the goroutine that runs the program.
type Machine struct {
	in    *Instance
	lv    *level // the running program's; nil when none runs
	first *level // of programs that no host function started; made by the first call
}

// level is one active program: the engine's state and what only Go code needs. Entering touches the first of these.
type level struct {
	state
	user    any
	prog    *Prog
	inner   *level           // of programs that host functions of this one start; made by the first call
	limit   int64            // fuel of a call at most
	granted int64            // fuel as of the last settlement with the connection's budget
	top     uint64           // r10 of the entry function
	next    uint8            // first free dynamic slot
	used    uint8            // static slots the previous call may have set: 1 to used
	n       int              // how many levels are outside of this one
	err     error            // what a host function returned
	kinds   [NumSlots]uint16 // kind index of the dynamic handles
}

var (
	errFuel    = errors.New("out of fuel")
	errHandles = errors.New("too many handles in one call")
)

// Instance returns the instance whose program is running.
func (m *Machine) Instance() *Instance { return m.in }

// User returns Call.User of the running call.
func (m *Machine) User() any { return m.lv.user }

// Program returns the running program.
func (m *Machine) Program() *Prog { return m.lv.prog }

// Depth returns how many programs of the instance are active: 1 for one that no host function started.
func (m *Machine) Depth() int {
	if m.lv == nil {
		return 0
	}
	return m.lv.n + 1
}

// View returns the host object that a handle names, nil for the null handle and for slots without a view.
func (m *Machine) View(slot uint64) unsafe.Pointer {
	if slot == 0 || slot >= NumSlots {
		return nil
	}
	return m.lv.views[slot]
}

// NewHandle returns a handle of the kind with the given index in Env.Kinds for the object p, which must be Go
// memory of at least the kind's size, or nil for the null handle. The same kind and object give the same handle
// within a call. It fails when the call has used up its NumSlots - FirstDynamicSlot handles.
func (m *Machine) NewHandle(kind int, p unsafe.Pointer) (uint64, error) {
	if p == nil {
		return 0, nil
	}
	lv := m.lv
	for s := uint8(FirstDynamicSlot); s < lv.next; s++ {
		if lv.views[s] == p && lv.kinds[s] == uint16(kind) {
			return uint64(s), nil
		}
	}
	s := lv.next
	if s >= NumSlots {
		return 0, errHandles
	}
	lv.next++
	lv.views[s] = p
	lv.kinds[s] = uint16(kind)
	return uint64(s), nil
}

// Bytes returns the n bytes at arena address addr, or nil if they are not all inside the arena. Read-only data
// counts as inside: use Writable for memory to change. The slice aliases the arena and dies with the call.
func (m *Machine) Bytes(addr uint64, n uint64) []byte { return m.in.Bytes(addr, n) }

// Writable is Bytes for memory that the caller will change: nil if any of it is read-only.
func (m *Machine) Writable(addr uint64, n uint64) []byte { return m.in.Writable(addr, n) }

// CString returns the bytes before the NUL of the string at addr. It fails if there is none among the first max
// bytes or before the end of the arena.
func (m *Machine) CString(addr uint64, max uint32) ([]byte, error) {
	end := uint64(m.in.end)
	if addr < NullGuard || addr >= end {
		return nil, fmt.Errorf("string at %#x is outside memory", addr)
	}
	n := min(uint64(max), end-addr)
	b := m.in.Bytes(addr, n)
	i := bytes.IndexByte(b, 0)
	if i < 0 {
		return nil, fmt.Errorf("string at %#x has no end within %d bytes", addr, n)
	}
	return b[:i:i], nil
}

// Charge takes n more units of fuel from the running program, for work that depends on its arguments. If it fails,
// the host function must return the error.
func (m *Machine) Charge(n uint64) error {
	lv := m.lv
	if n > uint64(max(lv.fuel, 0)) {
		lv.fuel = -1
		return errFuel
	}
	lv.fuel -= int64(n)
	return nil
}

// Fuel returns how much the running program may still spend.
func (m *Machine) Fuel() int64 { return max(m.lv.fuel, 0) }
