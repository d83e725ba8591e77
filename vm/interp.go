package vm

import (
	"math/bits"
	"unsafe"
)

// interp is the engine that runs lowered code without compiling it: one switch per instruction. It exists everywhere
// and defines what the others must do.
type interp struct{ code []Inst }

func (e interp) close() {}

// run relies on the verifier as every engine does: registers are below 16, targets lie in the code,
// unchecked accesses in the arena, views are there. Everything else is checked here.
//
// The fuel of a block is charged when it is entered: by the jump that leads to it, by IRFall before it, or by the call.
func (e interp) run(m *Machine, s *state, entry int32) bool {
	code := e.code
	r := &s.regs
	arena := s.arena
	pc := int(entry)
	fuel := s.fuel - int64(code[pc].Cost)
	if fuel < 0 {
		return s.fault(FaultFuel, pc, 0, fuel)
	}
	for {
		i := &code[pc]
		d := &r[i.Dst&15]
		v := r[i.Src&15]
		switch i.Op {
		case IRFall:
			goto next
		case IRMov64I:
			*d = uint64(i.Imm)
		case IRMov64:
			*d = v
		case IRAdd64I:
			*d += uint64(i.Imm)
		case IRAdd64:
			*d += v
		case IRSub64I:
			*d -= uint64(i.Imm)
		case IRSub64:
			*d -= v
		case IRMul64I:
			*d *= uint64(i.Imm)
		case IRMul64:
			*d *= v
		case IROr64I:
			*d |= uint64(i.Imm)
		case IROr64:
			*d |= v
		case IRAnd64I:
			*d &= uint64(i.Imm)
		case IRAnd64:
			*d &= v
		case IRXor64I:
			*d ^= uint64(i.Imm)
		case IRXor64:
			*d ^= v
		case IRLsh64I:
			*d <<= uint64(i.Imm) & 63
		case IRLsh64:
			*d <<= v & 63
		case IRRsh64I:
			*d >>= uint64(i.Imm) & 63
		case IRRsh64:
			*d >>= v & 63
		case IRArsh64I:
			*d = uint64(int64(*d) >> (uint64(i.Imm) & 63))
		case IRArsh64:
			*d = uint64(int64(*d) >> (v & 63))
		case IRNeg64:
			*d = -*d
		case IRDiv64I:
			*d = div64(*d, uint64(i.Imm))
		case IRDiv64:
			*d = div64(*d, v)
		case IRSDiv64I:
			*d = sDiv64(*d, uint64(i.Imm))
		case IRSDiv64:
			*d = sDiv64(*d, v)
		case IRMod64I:
			*d = mod64(*d, uint64(i.Imm))
		case IRMod64:
			*d = mod64(*d, v)
		case IRSMod64I:
			*d = sMod64(*d, uint64(i.Imm))
		case IRSMod64:
			*d = sMod64(*d, v)
		case IRMov32I:
			*d = uint64(uint32(uint64(i.Imm)))
		case IRMov32:
			*d = uint64(uint32(v))
		case IRAdd32I:
			*d = uint64(uint32(*d) + uint32(uint64(i.Imm)))
		case IRAdd32:
			*d = uint64(uint32(*d) + uint32(v))
		case IRSub32I:
			*d = uint64(uint32(*d) - uint32(uint64(i.Imm)))
		case IRSub32:
			*d = uint64(uint32(*d) - uint32(v))
		case IRMul32I:
			*d = uint64(uint32(*d) * uint32(uint64(i.Imm)))
		case IRMul32:
			*d = uint64(uint32(*d) * uint32(v))
		case IROr32I:
			*d = uint64(uint32(*d) | uint32(uint64(i.Imm)))
		case IROr32:
			*d = uint64(uint32(*d) | uint32(v))
		case IRAnd32I:
			*d = uint64(uint32(*d) & uint32(uint64(i.Imm)))
		case IRAnd32:
			*d = uint64(uint32(*d) & uint32(v))
		case IRXor32I:
			*d = uint64(uint32(*d) ^ uint32(uint64(i.Imm)))
		case IRXor32:
			*d = uint64(uint32(*d) ^ uint32(v))
		case IRLsh32I:
			*d = uint64(uint32(*d) << (uint64(i.Imm) & 31))
		case IRLsh32:
			*d = uint64(uint32(*d) << (v & 31))
		case IRRsh32I:
			*d = uint64(uint32(*d) >> (uint64(i.Imm) & 31))
		case IRRsh32:
			*d = uint64(uint32(*d) >> (v & 31))
		case IRArsh32I:
			*d = uint64(uint32(int32(*d) >> (uint64(i.Imm) & 31)))
		case IRArsh32:
			*d = uint64(uint32(int32(*d) >> (v & 31)))
		case IRNeg32:
			*d = uint64(-uint32(*d))
		case IRDiv32I:
			*d = uint64(div32(uint32(*d), uint32(uint64(i.Imm))))
		case IRDiv32:
			*d = uint64(div32(uint32(*d), uint32(v)))
		case IRSDiv32I:
			*d = uint64(sDiv32(uint32(*d), uint32(uint64(i.Imm))))
		case IRSDiv32:
			*d = uint64(sDiv32(uint32(*d), uint32(v)))
		case IRMod32I:
			*d = uint64(mod32(uint32(*d), uint32(uint64(i.Imm))))
		case IRMod32:
			*d = uint64(mod32(uint32(*d), uint32(v)))
		case IRSMod32I:
			*d = uint64(sMod32(uint32(*d), uint32(uint64(i.Imm))))
		case IRSMod32:
			*d = uint64(sMod32(uint32(*d), uint32(v)))
		case IRMovSX8to64:
			*d = uint64(int64(int8(v)))
		case IRMovSX16to64:
			*d = uint64(int64(int16(v)))
		case IRMovSX32to64:
			*d = uint64(int64(int32(v)))
		case IRMovSX8to32:
			*d = uint64(uint32(int32(int8(v))))
		case IRMovSX16to32:
			*d = uint64(uint32(int32(int16(v))))
		case IRZext16:
			*d = uint64(uint16(*d))
		case IRZext32:
			*d = uint64(uint32(*d))
		case IRSwap16:
			*d = uint64(bits.ReverseBytes16(uint16(*d)))
		case IRSwap32:
			*d = uint64(bits.ReverseBytes32(uint32(*d)))
		case IRSwap64:
			*d = bits.ReverseBytes64(*d)
		case IRLoad8:
			a := v + uint64(int64(i.Off))
			if a-NullGuard > s.loadLimit-1 {
				return s.fault(FaultLoad, pc, a, fuel)
			}
			*d = uint64(load[uint8](arena, a))
		case IRLoad16:
			a := v + uint64(int64(i.Off))
			if a-NullGuard > s.loadLimit-2 {
				return s.fault(FaultLoad, pc, a, fuel)
			}
			*d = uint64(load[uint16](arena, a))
		case IRLoad32:
			a := v + uint64(int64(i.Off))
			if a-NullGuard > s.loadLimit-4 {
				return s.fault(FaultLoad, pc, a, fuel)
			}
			*d = uint64(load[uint32](arena, a))
		case IRLoad64:
			a := v + uint64(int64(i.Off))
			if a-NullGuard > s.loadLimit-8 {
				return s.fault(FaultLoad, pc, a, fuel)
			}
			*d = load[uint64](arena, a)
		case IRLoadS8:
			a := v + uint64(int64(i.Off))
			if a-NullGuard > s.loadLimit-1 {
				return s.fault(FaultLoad, pc, a, fuel)
			}
			*d = uint64(int64(load[int8](arena, a)))
		case IRLoadS16:
			a := v + uint64(int64(i.Off))
			if a-NullGuard > s.loadLimit-2 {
				return s.fault(FaultLoad, pc, a, fuel)
			}
			*d = uint64(int64(load[int16](arena, a)))
		case IRLoadS32:
			a := v + uint64(int64(i.Off))
			if a-NullGuard > s.loadLimit-4 {
				return s.fault(FaultLoad, pc, a, fuel)
			}
			*d = uint64(int64(load[int32](arena, a)))
		case IRRawLoad8:
			*d = uint64(load[uint8](arena, v+uint64(int64(i.Off))))
		case IRRawLoad16:
			*d = uint64(load[uint16](arena, v+uint64(int64(i.Off))))
		case IRRawLoad32:
			*d = uint64(load[uint32](arena, v+uint64(int64(i.Off))))
		case IRRawLoad64:
			*d = load[uint64](arena, v+uint64(int64(i.Off)))
		case IRRawLoadS8:
			*d = uint64(int64(load[int8](arena, v+uint64(int64(i.Off)))))
		case IRRawLoadS16:
			*d = uint64(int64(load[int16](arena, v+uint64(int64(i.Off)))))
		case IRRawLoadS32:
			*d = uint64(int64(load[int32](arena, v+uint64(int64(i.Off)))))
		case IRStore8:
			a := *d + uint64(int64(i.Off))
			if a-s.rwStart > s.storeLimit-1 {
				return s.fault(FaultStore, pc, a, fuel)
			}
			store(arena, a, uint8(v))
		case IRStore16:
			a := *d + uint64(int64(i.Off))
			if a-s.rwStart > s.storeLimit-2 {
				return s.fault(FaultStore, pc, a, fuel)
			}
			store(arena, a, uint16(v))
		case IRStore32:
			a := *d + uint64(int64(i.Off))
			if a-s.rwStart > s.storeLimit-4 {
				return s.fault(FaultStore, pc, a, fuel)
			}
			store(arena, a, uint32(v))
		case IRStore64:
			a := *d + uint64(int64(i.Off))
			if a-s.rwStart > s.storeLimit-8 {
				return s.fault(FaultStore, pc, a, fuel)
			}
			store(arena, a, v)
		case IRStore8I:
			a := *d + uint64(int64(i.Off))
			if a-s.rwStart > s.storeLimit-1 {
				return s.fault(FaultStore, pc, a, fuel)
			}
			store(arena, a, uint8(i.Imm))
		case IRStore16I:
			a := *d + uint64(int64(i.Off))
			if a-s.rwStart > s.storeLimit-2 {
				return s.fault(FaultStore, pc, a, fuel)
			}
			store(arena, a, uint16(i.Imm))
		case IRStore32I:
			a := *d + uint64(int64(i.Off))
			if a-s.rwStart > s.storeLimit-4 {
				return s.fault(FaultStore, pc, a, fuel)
			}
			store(arena, a, uint32(i.Imm))
		case IRStore64I:
			a := *d + uint64(int64(i.Off))
			if a-s.rwStart > s.storeLimit-8 {
				return s.fault(FaultStore, pc, a, fuel)
			}
			store(arena, a, uint64(i.Imm))
		case IRRawStore8:
			store(arena, *d+uint64(int64(i.Off)), uint8(v))
		case IRRawStore16:
			store(arena, *d+uint64(int64(i.Off)), uint16(v))
		case IRRawStore32:
			store(arena, *d+uint64(int64(i.Off)), uint32(v))
		case IRRawStore64:
			store(arena, *d+uint64(int64(i.Off)), v)
		case IRRawStore8I:
			store(arena, *d+uint64(int64(i.Off)), uint8(i.Imm))
		case IRRawStore16I:
			store(arena, *d+uint64(int64(i.Off)), uint16(i.Imm))
		case IRRawStore32I:
			store(arena, *d+uint64(int64(i.Off)), uint32(i.Imm))
		case IRRawStore64I:
			store(arena, *d+uint64(int64(i.Off)), uint64(i.Imm))
		case IRAtomicAdd, IRAtomicOr, IRAtomicAnd, IRAtomicXor, IRAtomicXchg, IRAtomicCmpXchg:
			a := *d + uint64(int64(i.Off))
			if a-s.rwStart > s.storeLimit-uint64(i.Size) {
				return s.fault(FaultStore, pc, a, fuel)
			}
			if a&uint64(i.Size-1) != 0 {
				return s.fault(FaultAlign, pc, a, fuel)
			}
			atomicUpdate(i, r, unsafe.Add(arena, a))
		case IRJump:
			goto taken
		case IRJeq64I:
			if *d == uint64(i.Imm) {
				goto taken
			}
			goto next
		case IRJeq64:
			if *d == v {
				goto taken
			}
			goto next
		case IRJne64I:
			if *d != uint64(i.Imm) {
				goto taken
			}
			goto next
		case IRJne64:
			if *d != v {
				goto taken
			}
			goto next
		case IRJgt64I:
			if *d > uint64(i.Imm) {
				goto taken
			}
			goto next
		case IRJgt64:
			if *d > v {
				goto taken
			}
			goto next
		case IRJge64I:
			if *d >= uint64(i.Imm) {
				goto taken
			}
			goto next
		case IRJge64:
			if *d >= v {
				goto taken
			}
			goto next
		case IRJlt64I:
			if *d < uint64(i.Imm) {
				goto taken
			}
			goto next
		case IRJlt64:
			if *d < v {
				goto taken
			}
			goto next
		case IRJle64I:
			if *d <= uint64(i.Imm) {
				goto taken
			}
			goto next
		case IRJle64:
			if *d <= v {
				goto taken
			}
			goto next
		case IRJset64I:
			if *d&uint64(i.Imm) != 0 {
				goto taken
			}
			goto next
		case IRJset64:
			if *d&v != 0 {
				goto taken
			}
			goto next
		case IRJsgt64I:
			if int64(*d) > i.Imm {
				goto taken
			}
			goto next
		case IRJsgt64:
			if int64(*d) > int64(v) {
				goto taken
			}
			goto next
		case IRJsge64I:
			if int64(*d) >= i.Imm {
				goto taken
			}
			goto next
		case IRJsge64:
			if int64(*d) >= int64(v) {
				goto taken
			}
			goto next
		case IRJslt64I:
			if int64(*d) < i.Imm {
				goto taken
			}
			goto next
		case IRJslt64:
			if int64(*d) < int64(v) {
				goto taken
			}
			goto next
		case IRJsle64I:
			if int64(*d) <= i.Imm {
				goto taken
			}
			goto next
		case IRJsle64:
			if int64(*d) <= int64(v) {
				goto taken
			}
			goto next
		case IRJeq32I:
			if uint32(*d) == uint32(i.Imm) {
				goto taken
			}
			goto next
		case IRJeq32:
			if uint32(*d) == uint32(v) {
				goto taken
			}
			goto next
		case IRJne32I:
			if uint32(*d) != uint32(i.Imm) {
				goto taken
			}
			goto next
		case IRJne32:
			if uint32(*d) != uint32(v) {
				goto taken
			}
			goto next
		case IRJgt32I:
			if uint32(*d) > uint32(i.Imm) {
				goto taken
			}
			goto next
		case IRJgt32:
			if uint32(*d) > uint32(v) {
				goto taken
			}
			goto next
		case IRJge32I:
			if uint32(*d) >= uint32(i.Imm) {
				goto taken
			}
			goto next
		case IRJge32:
			if uint32(*d) >= uint32(v) {
				goto taken
			}
			goto next
		case IRJlt32I:
			if uint32(*d) < uint32(i.Imm) {
				goto taken
			}
			goto next
		case IRJlt32:
			if uint32(*d) < uint32(v) {
				goto taken
			}
			goto next
		case IRJle32I:
			if uint32(*d) <= uint32(i.Imm) {
				goto taken
			}
			goto next
		case IRJle32:
			if uint32(*d) <= uint32(v) {
				goto taken
			}
			goto next
		case IRJset32I:
			if uint32(*d)&uint32(i.Imm) != 0 {
				goto taken
			}
			goto next
		case IRJset32:
			if uint32(*d)&uint32(v) != 0 {
				goto taken
			}
			goto next
		case IRJsgt32I:
			if int32(*d) > int32(i.Imm) {
				goto taken
			}
			goto next
		case IRJsgt32:
			if int32(*d) > int32(v) {
				goto taken
			}
			goto next
		case IRJsge32I:
			if int32(*d) >= int32(i.Imm) {
				goto taken
			}
			goto next
		case IRJsge32:
			if int32(*d) >= int32(v) {
				goto taken
			}
			goto next
		case IRJslt32I:
			if int32(*d) < int32(i.Imm) {
				goto taken
			}
			goto next
		case IRJslt32:
			if int32(*d) < int32(v) {
				goto taken
			}
			goto next
		case IRJsle32I:
			if int32(*d) <= int32(i.Imm) {
				goto taken
			}
			goto next
		case IRJsle32:
			if int32(*d) <= int32(v) {
				goto taken
			}
			goto next
		case IRCall:
			f := &s.frames[s.depth&(MaxCallDepth-1)]
			f.ret, f.r6, f.r7, f.r8, f.r9 = uint64(pc), r[6], r[7], r[8], r[9]
			s.depth++
			r[R10] -= FrameSize
			goto taken
		case IRExit:
			if s.depth == 0 {
				s.fuel = fuel
				return true
			}
			s.depth--
			f := &s.frames[s.depth&(MaxCallDepth-1)]
			pc = int(f.ret)
			r[6], r[7], r[8], r[9] = f.r6, f.r7, f.r8, f.r9
			r[R10] += FrameSize
		case IRHost, IRStoreFieldHost:
			s.fuel = fuel
			if !m.host(i) {
				return false
			}
			fuel = s.fuel
		case IRLoadField8:
			*d = uint64(load[uint8](s.view(i, v), uint64(i.Off)))
		case IRLoadField16:
			*d = uint64(load[uint16](s.view(i, v), uint64(i.Off)))
		case IRLoadField32:
			*d = uint64(load[uint32](s.view(i, v), uint64(i.Off)))
		case IRLoadField64:
			*d = load[uint64](s.view(i, v), uint64(i.Off))
		case IRLoadFieldS8:
			*d = uint64(int64(load[int8](s.view(i, v), uint64(i.Off))))
		case IRLoadFieldS16:
			*d = uint64(int64(load[int16](s.view(i, v), uint64(i.Off))))
		case IRLoadFieldS32:
			*d = uint64(int64(load[int32](s.view(i, v), uint64(i.Off))))
		case IRStoreField8:
			if i.Flags&FlagImm != 0 {
				v = uint64(i.Imm)
			}
			store(s.view(i, *d), uint64(i.Off), uint8(v))
		case IRStoreField16:
			if i.Flags&FlagImm != 0 {
				v = uint64(i.Imm)
			}
			store(s.view(i, *d), uint64(i.Off), uint16(v))
		case IRStoreField32:
			if i.Flags&FlagImm != 0 {
				v = uint64(i.Imm)
			}
			store(s.view(i, *d), uint64(i.Off), uint32(v))
		case IRStoreField64:
			if i.Flags&FlagImm != 0 {
				v = uint64(i.Imm)
			}
			store(s.view(i, *d), uint64(i.Off), v)
		case IRLoadHandle:
			*d = 0
			if s.views[i.Target&(NumSlots-1)] != nil {
				*d = uint64(i.Target)
			}
		default:
			return s.fault(FaultUnreachable, pc, 0, fuel)
		}
		pc++
		continue
	taken:
		pc = int(i.Target)
		fuel -= int64(code[pc].Cost)
		if fuel < 0 {
			return s.fault(FaultFuel, pc, 0, fuel)
		}
		continue
	next:
		pc++
		fuel -= int64(code[pc].Cost)
		if fuel < 0 {
			return s.fault(FaultFuel, pc, 0, fuel)
		}
	}
}
