//go:build ubpf && linux

package vm

import (
	"fmt"
	"math"
)

// What the translated program leaves in r0.
const (
	ubpfReturned    = 0 // r0 of the program is in regs[0]
	ubpfFaulted     = 1 // the fault is in the block
	ubpfHostFaulted = 2 // the fault is in the state
)

// Words below ubpf's own r10. The program's r10 is an arena address and lives here; so do registers that make room.
const (
	slotCtx int16 = -8 * (iota + 1)
	slotBase
	slotFP
	slotFuel
	slotLoadLimit
	slotStoreLimit
	slotFrame // address of the next free saved frame
	slotT
	slotU
	slotV
)

const ubpfFrameSize = 5 * 8 // return site, r6 to r9

// A ubpfEmitter translates lowered code to eBPF for a machine that knows neither arenas nor fuel.
type ubpfEmitter struct {
	m     *Module
	out   []Instruction
	at    []int32    // per lowered instruction: its first slot
	fix   []ubpfFix  // jumps to lowered instructions
	stubs []ubpfStub // jumps to faults
	sites []int32    // lowered calls, by their number
	exits []int32    // jumps to the common return
	host  []int32    // jumps to the end after a fault of the host's
	alu   map[IROp]Instruction
	jumps map[IROp]Instruction
}

type ubpfFix struct {
	slot   int32
	target int32
}

// A ubpfStub is a jump to a fault. reg, if not RegNone, holds the address minus bias.
type ubpfStub struct {
	slot int32
	kind FaultKind
	inst int32
	reg  uint8
	bias int32
}

// emitUBPF translates a module; entries are its programs' first instructions by number.
func emitUBPF(m *Module, entries []int32) ([]Instruction, error) {
	e := &ubpfEmitter{m: m, at: make([]int32, len(m.code)), alu: make(map[IROp]Instruction), jumps: make(map[IROp]Instruction)}
	e.invert()
	e.prologue(entries)
	for k := range m.code {
		e.at[k] = int32(len(e.out))
		if err := e.instruction(int32(k)); err != nil {
			return nil, err
		}
	}
	e.common()
	for _, f := range e.fix {
		e.link(f.slot, e.at[f.target])
	}
	if len(e.out) > math.MaxInt16 {
		return nil, fmt.Errorf("the program has %d instructions after translation, more than %d", len(e.out), math.MaxInt16)
	}
	return e.out, nil
}

// invert finds the eBPF instruction of each lowered arithmetic operation and jump.
func (e *ubpfEmitter) invert() {
	for _, class := range []uint8{ClassALU64, ClassALU} {
		for code := 0; code <= ALUArsh; code += 0x10 {
			for _, source := range []uint8{SrcK, SrcX} {
				i := Instruction{Op: class | uint8(code) | source}
				e.alu[aluOp(i)] = i
				if code == ALUDiv || code == ALUMod {
					i.Off = 1
					e.alu[aluOp(i)] = i
				}
			}
		}
		for _, width := range []int16{8, 16, 32} {
			if i := (Instruction{Op: class | ALUMov | SrcX, Off: width}); class == ClassALU64 || width != 32 {
				e.alu[aluOp(i)] = i
			}
		}
		e.alu[aluOp(Instruction{Op: class | ALUNeg})] = Instruction{Op: class | ALUNeg}
	}
	for _, order := range []uint8{EndLE, EndBE} {
		for _, width := range []int32{16, 32, 64} {
			if i := (Instruction{Op: ClassALU | ALUEnd | order, Imm: width}); aluOp(i) != IRFall {
				e.alu[aluOp(i)] = i
			}
		}
	}
	for _, class := range []uint8{ClassJMP, ClassJMP32} {
		for code := JmpEQ; code <= JmpSLE; code += 0x10 {
			if code == JmpCall || code == JmpExit {
				continue
			}
			for _, source := range []uint8{SrcK, SrcX} {
				i := Instruction{Op: class | uint8(code) | source}
				e.jumps[jumpOp(i)] = i
			}
		}
	}
}

// Single instructions.

func (e *ubpfEmitter) emit(op, dst, src uint8, off int16, imm int32) int32 {
	e.out = append(e.out, Instruction{Op: op, Dst: dst, Src: src, Off: off, Imm: imm})
	return int32(len(e.out) - 1)
}

func (e *ubpfEmitter) get(dst uint8, slot int16) {
	e.emit(ClassLDX|ModeMEM|SizeDW, dst, R10, slot, 0)
}
func (e *ubpfEmitter) put(slot int16, src uint8) {
	e.emit(ClassSTX|ModeMEM|SizeDW, R10, src, slot, 0)
}
func (e *ubpfEmitter) ldx(dst, src uint8, off int16) {
	e.emit(ClassLDX|ModeMEM|SizeDW, dst, src, off, 0)
}
func (e *ubpfEmitter) stx(dst uint8, off int16, src uint8) {
	e.emit(ClassSTX|ModeMEM|SizeDW, dst, src, off, 0)
}
func (e *ubpfEmitter) mov(dst, src uint8)          { e.emit(OpMov64Reg, dst, src, 0, 0) }
func (e *ubpfEmitter) movImm(dst uint8, imm int32) { e.emit(OpMov64Imm, dst, 0, 0, imm) }
func (e *ubpfEmitter) addReg(dst, src uint8)       { e.emit(ClassALU64|ALUAdd|SrcX, dst, src, 0, 0) }
func (e *ubpfEmitter) jumpTo(slot int32) int32 {
	at := e.emit(OpJA, 0, 0, 0, 0)
	e.link(at, slot)
	return at
}
func (e *ubpfEmitter) link(at int32, target int32)   { e.out[at].Off = int16(target - at - 1) }
func (e *ubpfEmitter) here(at int32)                 { e.link(at, int32(len(e.out))) }
func (e *ubpfEmitter) jumpIR(at int32, target int32) { e.fix = append(e.fix, ubpfFix{at, target}) }

func (e *ubpfEmitter) add(dst uint8, imm int32) {
	if imm != 0 {
		e.emit(OpAdd64Imm, dst, 0, 0, imm)
	}
}

// fault makes the jump at slot lead to a fault of instruction k.
func (e *ubpfEmitter) fault(slot int32, kind FaultKind, k int32, reg uint8, bias int32) {
	e.stubs = append(e.stubs, ubpfStub{slot, kind, k, reg, bias})
}

// other returns a register that is none of those given.
func other(used ...uint8) uint8 {
	for r := uint8(R9); ; r-- {
		free := true
		for _, u := range used {
			free = free && u != r
		}
		if free {
			return r
		}
	}
}

// base puts the arena address in register from, plus off, into t.
func (e *ubpfEmitter) base(t, from uint8, off int32) {
	switch {
	case from == RegNone:
		e.movImm(t, 0)
	case from == R10:
		e.get(t, slotFP)
	case from != t:
		e.mov(t, from)
	}
	e.add(t, off)
}

// prologue takes the machine's words out of the block and jumps to the program asked for.
func (e *ubpfEmitter) prologue(entries []int32) {
	e.put(slotCtx, R1)
	for _, w := range []struct{ slot, off int16 }{
		{slotBase, ubpfBase}, {slotFP, ubpfFP}, {slotFuel, ubpfFuel}, {slotLoadLimit, ubpfLoadLimit}, {slotStoreLimit, ubpfStoreLimit},
	} {
		e.ldx(R0, R1, w.off)
		e.put(w.slot, R0)
	}
	e.mov(R0, R1)
	e.add(R0, ubpfFrames)
	e.put(slotFrame, R0)
	e.ldx(R9, R1, ubpfEntry)
	e.ldx(R0, R1, ubpfRegs)
	for r := uint8(R5); r >= R1; r-- {
		e.ldx(r, R1, ubpfRegs+8*int16(r))
	}
	for n, at := range entries {
		e.jumpIR(e.emit(ClassJMP|JmpEQ, R9, 0, 0, int32(n)), at)
	}
	e.movImm(R0, -1)
	e.emit(OpExit, 0, 0, 0, 0)
}

// charge takes the cost of a block from the fuel.
func (e *ubpfEmitter) charge(k int32, cost uint32) {
	e.put(slotT, R9)
	e.get(R9, slotFuel)
	e.add(R9, -int32(cost))
	e.put(slotFuel, R9)
	e.fault(e.emit(ClassJMP|JmpSLT, R9, 0, 0, 0), FaultFuel, k, RegNone, 0)
	e.get(R9, slotT)
}

// instruction translates lowered instruction k.
func (e *ubpfEmitter) instruction(k int32) error {
	i := &e.m.code[k]
	if i.Cost > math.MaxInt32 {
		return fmt.Errorf("a block of %d instructions", i.Cost)
	}
	if i.Cost > 0 {
		e.charge(k, i.Cost)
	}
	if alu, ok := e.alu[i.Op]; ok && i.Op != IRMov64I {
		e.arithmetic(i, alu)
		return nil
	}
	if jump, ok := e.jumps[i.Op]; ok {
		e.jump(i, jump)
		return nil
	}
	switch i.Op {
	case IRFall:
	case IRTrap:
		e.fault(e.emit(OpJA, 0, 0, 0, 0), FaultUnreachable, k, RegNone, 0)
	case IRMov64I:
		e.imm64(i.Dst, i.Imm)
	case IRLoad8, IRLoad16, IRLoad32, IRLoad64, IRLoadS8, IRLoadS16, IRLoadS32:
		e.load(i, k, true)
	case IRRawLoad8, IRRawLoad16, IRRawLoad32, IRRawLoad64, IRRawLoadS8, IRRawLoadS16, IRRawLoadS32:
		e.load(i, k, false)
	case IRStore8, IRStore16, IRStore32, IRStore64, IRStore8I, IRStore16I, IRStore32I, IRStore64I,
		IRAtomicAdd, IRAtomicOr, IRAtomicAnd, IRAtomicXor, IRAtomicXchg, IRAtomicCmpXchg:
		e.store(i, k, true)
	case IRRawStore8, IRRawStore16, IRRawStore32, IRRawStore64, IRRawStore8I, IRRawStore16I, IRRawStore32I, IRRawStore64I:
		e.store(i, k, false)
	case IRJump:
		e.jumpIR(e.emit(OpJA, 0, 0, 0, 0), i.Target)
	case IRCall:
		e.call(i)
	case IRExit:
		e.exits = append(e.exits, e.emit(OpJA, 0, 0, 0, 0))
	case IRHost, IRStoreFieldHost, IRLoadHandle,
		IRLoadField8, IRLoadField16, IRLoadField32, IRLoadField64, IRLoadFieldS8, IRLoadFieldS16, IRLoadFieldS32,
		IRStoreField8, IRStoreField16, IRStoreField32, IRStoreField64:
		e.leave(i, k)
	default:
		return fmt.Errorf("lowered operation %d has no counterpart", i.Op)
	}
	return nil
}

func (e *ubpfEmitter) arithmetic(i *Inst, alu Instruction) {
	alu.Dst = i.Dst
	code, wide := alu.Code(), alu.Class() == ClassALU64
	if code == ALUEnd || code == ALUNeg {
		e.out = append(e.out, alu)
		return
	}
	if alu.Source() == SrcX {
		alu.Src = i.Src
		e.withFP(&alu.Src, i.Dst, func() { e.out = append(e.out, alu) })
		return
	}
	alu.Imm = int32(i.Imm)
	switch {
	case (code == ALUDiv || code == ALUMod) && (i.Imm == 0 || !wide && alu.Imm == 0):
		// The library refuses a constant divisor of zero.
		switch {
		case code == ALUDiv:
			e.movImm(i.Dst, 0)
		case !wide:
			e.emit(OpMov32Reg, i.Dst, i.Dst, 0, 0)
		}
		return
	case (code == ALULsh || code == ALURsh || code == ALUArsh) && wide:
		alu.Imm &= 63
	case code == ALULsh || code == ALURsh || code == ALUArsh:
		alu.Imm &= 31
	}
	if t := other(i.Dst); wide && !fits(i.Imm) {
		e.put(slotV, t)
		e.imm64(t, i.Imm)
		alu.Op, alu.Src, alu.Imm = alu.Op|SrcX, t, 0
		e.out = append(e.out, alu)
		e.get(t, slotV)
		return
	}
	e.out = append(e.out, alu)
}

// fits reports whether an immediate is one of eBPF's.
func fits(imm int64) bool { return imm == int64(int32(imm)) }

func (e *ubpfEmitter) imm64(dst uint8, imm int64) {
	pair := LoadImm64(dst, uint64(imm))
	e.out = append(e.out, pair[:]...)
}

// withFP makes *r another register that holds the program's r10, if *r is r10.
func (e *ubpfEmitter) withFP(r *uint8, used uint8, body func()) {
	if *r != R10 {
		body()
		return
	}
	*r = other(used)
	e.put(slotV, *r)
	e.get(*r, slotFP)
	body()
	e.get(*r, slotV)
}

// jump translates a conditional jump. An operand that needs a register of its own has to be restored on both ways.
func (e *ubpfEmitter) jump(i *Inst, jump Instruction) {
	jump.Dst = i.Dst
	constant := jump.Source() == SrcK
	large := constant && jump.Class() == ClassJMP && !fits(i.Imm)
	switch {
	case large:
		jump.Op |= SrcX
	case constant:
		jump.Imm = int32(i.Imm)
	default:
		jump.Src = i.Src
	}
	if jump.Dst != R10 && jump.Src != R10 && !large {
		e.out = append(e.out, jump)
		e.jumpIR(int32(len(e.out)-1), i.Target)
		return
	}
	t := other(jump.Dst, jump.Src)
	u := other(jump.Dst, jump.Src, t)
	e.put(slotT, t)
	e.put(slotU, u)
	e.get(t, slotFP)
	if jump.Dst == R10 {
		jump.Dst = t
	}
	if jump.Src == R10 {
		jump.Src = t
	}
	if large {
		e.imm64(u, i.Imm)
		jump.Src = u
	}
	e.out = append(e.out, jump)
	taken := int32(len(e.out) - 1)
	e.get(t, slotT)
	e.get(u, slotU)
	past := e.emit(OpJA, 0, 0, 0, 0)
	e.here(taken)
	e.get(t, slotT)
	e.get(u, slotU)
	e.jumpIR(e.emit(OpJA, 0, 0, 0, 0), i.Target)
	e.here(past)
}

// width returns how many bytes a load or store moves; of atomic operations only the Inst knows.
func width(i *Inst) uint8 {
	switch i.Op {
	case IRLoad8, IRLoadS8, IRRawLoad8, IRRawLoadS8, IRStore8, IRStore8I, IRRawStore8, IRRawStore8I:
		return 1
	case IRLoad16, IRLoadS16, IRRawLoad16, IRRawLoadS16, IRStore16, IRStore16I, IRRawStore16, IRRawStore16I:
		return 2
	case IRLoad32, IRLoadS32, IRRawLoad32, IRRawLoadS32, IRStore32, IRStore32I, IRRawStore32, IRRawStore32I:
		return 4
	case IRLoad64, IRRawLoad64, IRStore64, IRStore64I, IRRawStore64, IRRawStore64I:
		return 8
	}
	return i.Size
}

// load translates a load; Dst serves as the address.
func (e *ubpfEmitter) load(i *Inst, k int32, checked bool) {
	t := i.Dst
	u := other(t)
	mode := uint8(ModeMEM)
	switch i.Op {
	case IRLoadS8, IRLoadS16, IRLoadS32, IRRawLoadS8, IRRawLoadS16, IRRawLoadS32:
		mode = ModeMEMSX
	}
	e.base(t, i.Src, i.Off)
	e.put(slotT, u)
	off := int16(0)
	if checked {
		e.add(t, -NullGuard)
		e.get(u, slotLoadLimit)
		e.add(u, -int32(width(i)))
		e.fault(e.emit(ClassJMP|JmpGT|SrcX, t, u, 0, 0), FaultLoad, k, t, NullGuard)
		off = NullGuard
	}
	e.get(u, slotBase)
	e.addReg(t, u)
	e.get(u, slotT)
	e.emit(ClassLDX|mode|sizeCode(width(i)), t, t, off, 0)
}

// store translates a store or an atomic operation.
func (e *ubpfEmitter) store(i *Inst, k int32, checked bool) {
	imm, atomic := false, int32(-1)
	switch i.Op {
	case IRStore8I, IRStore16I, IRStore32I, IRStore64I, IRRawStore8I, IRRawStore16I, IRRawStore32I, IRRawStore64I:
		imm = true
	case IRAtomicAdd:
		atomic = AtomicAdd
	case IRAtomicOr:
		atomic = AtomicOr
	case IRAtomicAnd:
		atomic = AtomicAnd
	case IRAtomicXor:
		atomic = AtomicXor
	case IRAtomicXchg:
		atomic = AtomicXchg
	case IRAtomicCmpXchg:
		atomic = AtomicCmpXchg
	}
	if atomic >= 0 && i.Flags&FlagFetch != 0 {
		atomic |= AtomicFetch
	}
	src := i.Src
	if imm {
		src = RegNone
	}
	t := other(R0, i.Dst, src)
	u := other(R0, i.Dst, src, t)
	e.put(slotT, t)
	e.put(slotU, u)
	e.base(t, i.Dst, i.Off)
	if checked {
		rw := int32(e.m.layout.rwStart)
		e.add(t, -rw)
		e.get(u, slotStoreLimit)
		e.add(u, -int32(width(i)))
		e.fault(e.emit(ClassJMP|JmpGT|SrcX, t, u, 0, 0), FaultStore, k, t, rw)
		if atomic >= 0 {
			// The start of writable memory is aligned.
			e.fault(e.emit(ClassJMP|JmpSET, t, 0, 0, int32(i.Size)-1), FaultAlign, k, t, rw)
		}
		e.add(t, rw)
	}
	e.get(u, slotBase)
	e.addReg(t, u)
	if src == R10 {
		src = u
		e.get(u, slotFP)
	}
	switch {
	case atomic >= 0:
		e.emit(ClassSTX|ModeATOMIC|sizeCode(width(i)), t, src, 0, atomic)
	case imm && width(i) == 8 && !fits(i.Imm):
		e.imm64(u, i.Imm)
		e.stx(t, 0, u)
	case imm:
		e.emit(ClassST|ModeMEM|sizeCode(width(i)), t, 0, 0, int32(i.Imm))
	default:
		e.emit(ClassSTX|ModeMEM|sizeCode(width(i)), t, src, 0, 0)
	}
	e.get(t, slotT)
	e.get(u, slotU)
}

// call saves the caller's frame and goes to the callee. r0 means nothing here.
func (e *ubpfEmitter) call(i *Inst) {
	e.get(R0, slotFrame)
	e.emit(ClassST|ModeMEM|SizeDW, R0, 0, 0, int32(len(e.sites)))
	for r := uint8(R6); r <= R9; r++ {
		e.stx(R0, 8*int16(r-R6+1), r)
	}
	e.add(R0, ubpfFrameSize)
	e.put(slotFrame, R0)
	e.get(R0, slotFP)
	e.add(R0, -FrameSize)
	e.put(slotFP, R0)
	e.jumpIR(e.emit(OpJA, 0, 0, 0, 0), i.Target)
	e.sites = append(e.sites, int32(len(e.out)))
}

// leave calls Go with all registers in the block, and takes back those that may have changed.
func (e *ubpfEmitter) leave(i *Inst, k int32) {
	e.put(slotT, R0)
	e.get(R0, slotCtx)
	for r := uint8(R1); r <= R9; r++ {
		e.stx(R0, ubpfRegs+8*int16(r), r)
	}
	e.get(R1, slotT)
	e.stx(R0, ubpfRegs, R1)
	e.get(R1, slotFuel)
	e.stx(R0, ubpfFuel, R1)
	e.get(R1, slotFP)
	e.stx(R0, ubpfFP, R1)
	e.mov(R1, R0)
	e.movImm(R2, k)
	e.emit(OpCall, 0, CallHelper, 0, 0)
	e.host = append(e.host, e.emit(ClassJMP|JmpEQ, R0, 0, 0, 0))
	e.get(R0, slotCtx)
	e.ldx(R1, R0, ubpfFuel)
	e.put(slotFuel, R1)
	for r := uint8(R1); r <= R5; r++ {
		e.ldx(r, R0, ubpfRegs+8*int16(r))
	}
	if i.Dst >= R6 && i.Dst <= R9 {
		e.ldx(i.Dst, R0, ubpfRegs+8*int16(i.Dst))
	}
	e.ldx(R0, R0, ubpfRegs)
}

// common emits what all returns, faults and ends share.
func (e *ubpfEmitter) common() {
	for _, at := range e.exits {
		e.here(at)
	}
	// A return: r1 to r5 mean nothing.
	e.get(R1, slotFrame)
	e.get(R2, slotCtx)
	e.mov(R3, R2)
	e.add(R3, ubpfFrames)
	done := e.emit(ClassJMP|JmpEQ|SrcX, R1, R3, 0, 0)
	e.add(R1, -ubpfFrameSize)
	e.put(slotFrame, R1)
	for r := uint8(R6); r <= R9; r++ {
		e.ldx(r, R1, 8*int16(r-R6+1))
	}
	e.get(R2, slotFP)
	e.add(R2, FrameSize)
	e.put(slotFP, R2)
	e.ldx(R2, R1, 0)
	for n, at := range e.sites {
		e.link(e.emit(ClassJMP|JmpEQ, R2, 0, 0, int32(n)), at)
	}
	e.movImm(R0, -1)
	e.emit(OpExit, 0, 0, 0, 0)

	e.here(done)
	e.stx(R2, ubpfRegs, R0)
	e.get(R1, slotFuel)
	e.stx(R2, ubpfFuel, R1)
	e.movImm(R0, ubpfReturned)
	e.emit(OpExit, 0, 0, 0, 0)

	for _, at := range e.host {
		e.here(at)
	}
	e.movImm(R0, ubpfHostFaulted)
	e.emit(OpExit, 0, 0, 0, 0)

	e.faults()
}

func (e *ubpfEmitter) faults() {
	common := int32(len(e.out))
	e.get(R4, slotCtx)
	e.stx(R4, ubpfFaultKind, R1)
	e.stx(R4, ubpfFaultInst, R2)
	e.stx(R4, ubpfFaultAddr, R3)
	e.get(R1, slotFuel)
	e.stx(R4, ubpfFuel, R1)
	e.movImm(R0, ubpfFaulted)
	e.emit(OpExit, 0, 0, 0, 0)
	for _, s := range e.stubs {
		e.here(s.slot)
		if s.reg == RegNone {
			e.movImm(R3, 0)
		} else {
			if s.reg != R3 {
				e.mov(R3, s.reg)
			}
			e.add(R3, s.bias)
		}
		e.movImm(R1, int32(s.kind))
		e.movImm(R2, s.inst)
		e.jumpTo(common)
	}
}
