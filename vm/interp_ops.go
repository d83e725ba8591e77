package vm

import "unsafe"

func div64(a, b uint64) uint64 {
	if b == 0 {
		return 0
	}
	return a / b
}

func mod64(a, b uint64) uint64 {
	if b == 0 {
		return a
	}
	return a % b
}

func sDiv64(a, b uint64) uint64 {
	switch int64(b) {
	case 0:
		return 0
	case -1:
		return -a
	}
	return uint64(int64(a) / int64(b))
}

func sMod64(a, b uint64) uint64 {
	switch int64(b) {
	case 0:
		return a
	case -1:
		return 0
	}
	return uint64(int64(a) % int64(b))
}

func div32(a, b uint32) uint32 {
	if b == 0 {
		return 0
	}
	return a / b
}

func mod32(a, b uint32) uint32 {
	if b == 0 {
		return a
	}
	return a % b
}

func sDiv32(a, b uint32) uint32 {
	switch int32(b) {
	case 0:
		return 0
	case -1:
		return -a
	}
	return uint32(int32(a) / int32(b))
}

func sMod32(a, b uint32) uint32 {
	switch int32(b) {
	case 0:
		return a
	case -1:
		return 0
	}
	return uint32(int32(a) % int32(b))
}

// atomicUpdate performs an atomic operation on aligned memory inside the arena. The arena has one user at a time, so
// it need not be atomic.
func atomicUpdate(i *Inst, r *[16]uint64, p unsafe.Pointer) {
	var old, operand uint64
	operand = r[i.Src]
	if i.Size == 4 {
		old = uint64(*(*uint32)(p))
	} else {
		old = *(*uint64)(p)
	}
	result := operand
	switch i.Op {
	case IRAtomicAdd:
		result = old + operand
	case IRAtomicOr:
		result = old | operand
	case IRAtomicAnd:
		result = old & operand
	case IRAtomicXor:
		result = old ^ operand
	case IRAtomicCmpXchg:
		expected := r[R0]
		if i.Size == 4 {
			expected = uint64(uint32(expected))
		}
		if old != expected {
			result = old
		}
	}
	if i.Size == 4 {
		*(*uint32)(p) = uint32(result)
	} else {
		*(*uint64)(p) = result
	}
	switch {
	case i.Op == IRAtomicCmpXchg:
		r[R0] = old
	case i.Flags&FlagFetch != 0:
		r[i.Src] = old
	}
}

func load[T uint8 | uint16 | uint32 | uint64 | int8 | int16 | int32](base unsafe.Pointer, off uint64) T {
	return *(*T)(unsafe.Add(base, off))
}

func store[T uint8 | uint16 | uint32 | uint64](base unsafe.Pointer, off uint64, v T) {
	*(*T)(unsafe.Add(base, off)) = v
}

// view returns the view that a field access goes to.
func (s *state) view(i *Inst, handle uint64) unsafe.Pointer {
	if i.Flags&FlagStatic != 0 {
		handle = uint64(i.Target)
	}
	return s.views[handle&(NumSlots-1)]
}

// fault notes why the program is stopped.
func (s *state) fault(k FaultKind, pc int, addr uint64, fuel int64) bool {
	s.faultKind, s.faultInst, s.faultAddr, s.fuel = k, int32(pc), addr, fuel
	return false
}
