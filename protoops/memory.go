package protoops

import "unsafe"

// This file and layout.go are the only ones that turn an offset into memory. An
// offset always comes from reflection over the very type it is applied to.

func load(p unsafe.Pointer, k Kind) uint64 {
	switch k {
	case U64:
		return *(*uint64)(p)
	case U32:
		return uint64(*(*uint32)(p))
	case U16:
		return uint64(*(*uint16)(p))
	case U8:
		return uint64(*(*uint8)(p))
	case Bool:
		if *(*bool)(p) {
			return 1
		}
		return 0
	case I64:
		return uint64(*(*int64)(p))
	case I32:
		return uint64(int64(*(*int32)(p)))
	case I16:
		return uint64(int64(*(*int16)(p)))
	case I8:
		return uint64(int64(*(*int8)(p)))
	}
	return 0
}

// store writes v, which the caller has checked to fit k.
func store(p unsafe.Pointer, k Kind, v uint64) {
	switch k {
	case U64, I64:
		*(*uint64)(p) = v
	case U32, I32:
		*(*uint32)(p) = uint32(v)
	case U16, I16:
		*(*uint16)(p) = uint16(v)
	case U8, I8:
		*(*uint8)(p) = uint8(v)
	case Bool:
		*(*bool)(p) = v != 0
	}
}
