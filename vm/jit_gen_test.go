//go:build linux && (amd64 || arm64) && !nojit

package vm

import "math/rand/v2"

// Random lowered code for comparing engines. It is what the verifier would let through: registers are written before
// they are read, r1 to r5 are set again after calls, calls go to later functions only, unchecked accesses stay inside
// the frame. Addresses, jumps and loops are wild, so checks and fuel have work to do.
type irGenerator struct {
	rand *rand.Rand
	code []Inst
	// frame is set for code that names r10, so that programs without it and with all other registers exist too.
	frame bool
	used  []uint8 // registers the program works with
}

// Memory and views as the generator assumes them; the test sets them up.
const (
	genRWStart  = 2 * NullGuard
	genArena    = 6 * NullGuard
	genStackTop = 4 * NullGuard
	genParams   = 3 // arguments of import 0; import 1 takes none
	genViewSize = 64
)

// genViews are slots with views; handles to the first are in registers at times. genNull has none.
var genViews = [...]uint8{1, 2, 7, 20, 63}

const genNull = 5

// genHandle is a register that is given to handles, in programs that have any.
const genHandle = R6 + 1

// generate returns a program with its entries.
func generate(r *rand.Rand) ([]Inst, []int32) {
	g := &irGenerator{rand: r, frame: r.IntN(4) > 0}
	for i := range uint8(R9 + 1) {
		if i == R0 || r.IntN(4) > 0 {
			g.used = append(g.used, i)
		}
	}
	funcs := 1 + r.IntN(4)
	starts := make([]int32, funcs)
	var calls []int // to patch
	for f := range funcs {
		starts[f] = int32(len(g.code))
		calls = append(calls, g.function(f, funcs)...)
	}
	for _, k := range calls {
		g.code[k].Target = starts[g.code[k].Target]
	}
	for i := range g.code {
		g.code[i].Slot = int32(i)
	}
	entries := starts[:1]
	if funcs > 1 && r.IntN(3) == 0 {
		entries = starts[:2] // one that is called, too
	}
	return g.code, entries
}

// function generates function number f and returns where its calls are; their targets are function numbers.
func (g *irGenerator) function(f, funcs int) (calls []int) {
	first := len(g.code)
	for i := range uint8(R9 + 1) {
		if g.uses(i) && (i == R0 || i > R5 || f > 0) {
			g.emit(Inst{Op: IRMov64I, Dst: i, Imm: g.constant()})
		}
	}
	g.clearArguments(f == 0)
	g.emit(Inst{Op: IRFall}) // jumps may lead to what follows
	blocks := 1 + g.rand.IntN(8)
	blockAt := make([]int32, blocks)
	var jumps []int
	for b := range blocks {
		blockAt[b] = int32(len(g.code))
		for range g.rand.IntN(12) {
			if g.rand.IntN(20) == 0 && f+1 < funcs {
				calls = append(calls, len(g.code))
				g.emit(Inst{Op: IRCall, Target: int32(f + 1 + g.rand.IntN(funcs-f-1))})
				g.clearArguments(false)
				continue
			}
			g.inst()
		}
		switch n := g.rand.IntN(8); {
		case b == blocks-1 || n == 0:
			g.emit(Inst{Op: IRExit})
		case n == 1:
			jumps = append(jumps, len(g.code))
			g.emit(Inst{Op: IRJump})
		case n == 2:
			g.emit(Inst{Op: IRFall})
		default:
			jumps = append(jumps, len(g.code))
			g.branch()
		}
	}
	for _, k := range jumps {
		// Mostly forward, or hardly a program would end.
		to := g.rand.IntN(blocks)
		if g.rand.IntN(3) > 0 {
			to = min(to+g.rand.IntN(blocks), blocks-1)
		}
		g.code[k].Target = blockAt[to]
	}
	g.charge(first)
	return calls
}

// charge sets the costs of the blocks since first.
func (g *irGenerator) charge(first int) {
	start := make(map[int]bool)
	start[first] = true
	for k := first; k < len(g.code); k++ {
		switch in := &g.code[k]; irOps[in.Op].kind {
		case kindJump, kindBranch:
			start[int(in.Target)], start[k+1] = true, true
		case kindExit, kindFall:
			start[k+1] = true
		}
	}
	cost := 0
	for k := len(g.code) - 1; k >= first; k-- {
		cost++
		if start[k] {
			g.code[k].Cost = uint32(cost)
			cost = 0
		}
	}
}

func (g *irGenerator) emit(in Inst) { g.code = append(g.code, in) }

func (g *irGenerator) uses(r uint8) bool {
	for _, u := range g.used {
		if u == r {
			return true
		}
	}
	return false
}

// clearArguments writes r1 to r5, which calls leave undefined.
func (g *irGenerator) clearArguments(atEntry bool) {
	for i := uint8(R1); i <= R5; i++ {
		if g.uses(i) && !atEntry {
			g.emit(Inst{Op: IRMov64I, Dst: i, Imm: g.constant()})
		}
	}
}

// reg returns a register to write, source one to read.
func (g *irGenerator) reg() uint8 { return g.used[g.rand.IntN(len(g.used))] }

func (g *irGenerator) source() uint8 {
	if g.frame && g.rand.IntN(8) == 0 {
		return RegFrame
	}
	return g.reg()
}

var genConstants = [...]int64{0, 1, -1, 2, 7, 8, 31, 32, 63, 64, 127, 128, -128, 255, 256, 4095, 4096, 65535, 65536,
	1<<31 - 1, 1 << 31, -1 << 31, 1<<32 - 1, 1 << 32, -1 << 63, 1<<63 - 1, 0x1122334455667788, 3, 10, 1000, -7}

func (g *irGenerator) constant() int64 {
	switch g.rand.IntN(4) {
	case 0:
		return genConstants[g.rand.IntN(len(genConstants))]
	case 1:
		return int64(g.address())
	case 2:
		return int64(int32(g.rand.Uint32()))
	}
	return int64(g.rand.Uint64())
}

// address returns an arena address, near a boundary at times.
func (g *irGenerator) address() uint64 {
	switch g.rand.IntN(8) {
	case 0:
		return NullGuard + uint64(g.rand.IntN(24)) - 12
	case 1:
		return genRWStart + uint64(g.rand.IntN(24)) - 12
	case 2:
		return genArena + uint64(g.rand.IntN(24)) - 16
	case 3:
		return NullGuard + uint64(g.rand.IntN(genArena-NullGuard))
	}
	return genRWStart + uint64(g.rand.IntN(genArena-genRWStart-16))&^7
}

func (g *irGenerator) offset() int32 {
	switch g.rand.IntN(60) {
	case 0:
		return int32(g.rand.Uint32())
	case 1:
		return -1 << 31
	}
	return int32(g.rand.IntN(64)) - 16
}

func (g *irGenerator) branch() {
	g.emit(Inst{Op: pick(g.rand, IRJeq64I, IRJsle32), Dst: g.source(), Src: g.source(), Imm: g.constant()})
	in := &g.code[len(g.code)-1]
	if !irOps[in.Op].wide {
		in.Imm = int64(int32(in.Imm))
	}
}

func pick(r *rand.Rand, first, last IROp) IROp { return first + IROp(r.IntN(int(last-first)+1)) }

// inst generates one instruction, or a few that belong together.
func (g *irGenerator) inst() {
	switch n := g.rand.IntN(100); {
	case n == 0 && g.rand.IntN(4) == 0:
		g.emit(Inst{Op: IRTrap})
	case n < 36:
		in := Inst{Op: pick(g.rand, IRMov64I, IRNeg32), Dst: g.reg(), Src: g.source(), Imm: g.constant()}
		if !irOps[in.Op].wide {
			in.Imm = int64(int32(in.Imm))
		}
		g.emit(in)
	case n < 40:
		g.emit(Inst{Op: pick(g.rand, IRMovSX8to64, IRMovSX16to32), Dst: g.reg(), Src: g.source()})
	case n < 45:
		g.emit(Inst{Op: pick(g.rand, IRZext16, IRSwap64), Dst: g.reg()})
	case n < 50:
		g.pair()
	case n < 62:
		base := g.base()
		for range 1 + g.rand.IntN(4) {
			g.emit(Inst{Op: pick(g.rand, IRLoad8, IRLoadS32), Dst: g.reg(), Src: base, Off: g.offset()})
		}
	case n < 74:
		base := g.base()
		for range 1 + g.rand.IntN(4) {
			g.emit(Inst{Op: pick(g.rand, IRStore8, IRStore64I), Dst: base, Src: g.source(), Off: g.offset(), Imm: g.constant()})
		}
	case n < 82:
		g.raw()
	case n < 87:
		in := Inst{Op: pick(g.rand, IRAtomicAdd, IRAtomicCmpXchg), Dst: g.base(), Src: g.reg(), Size: 4 << g.rand.IntN(2),
			Off: g.offset() &^ 7, Flags: FlagFetch}
		if in.Op < IRAtomicXchg && g.rand.IntN(2) == 0 {
			in.Flags = 0
		}
		g.emit(in)
	case n < 96:
		g.field()
	default:
		if !g.uses(R1) || !g.uses(R1+1) || !g.uses(R1+2) {
			return
		}
		g.emit(Inst{Op: IRHost, Imm: int64(g.rand.IntN(2))})
		g.clearArguments(false)
	}
}

// base loads an address into a register, or trusts what is there, at times.
func (g *irGenerator) base() uint8 {
	r := g.source()
	if r != RegFrame && g.rand.IntN(8) > 0 {
		g.emit(Inst{Op: IRMov64I, Dst: r, Imm: int64(g.address())})
	}
	return r
}

// pair generates what the compilers fuse.
func (g *irGenerator) pair() {
	d := g.reg()
	switch g.rand.IntN(5) {
	case 0:
		g.emit(Inst{Op: IRLsh64I, Dst: d, Imm: 32})
		g.emit(Inst{Op: IRRsh64I, Dst: d, Imm: 32})
	case 1:
		g.emit(Inst{Op: IRLsh64I, Dst: d, Imm: 32})
		g.emit(Inst{Op: IRArsh64I, Dst: d, Imm: 32})
	case 2:
		g.emit(Inst{Op: IRMov64, Dst: d, Src: g.source()})
		g.emit(Inst{Op: IRAdd64I, Dst: d, Imm: g.constant()})
	case 3:
		g.emit(Inst{Op: IRMov64, Dst: d, Src: g.source()})
		g.emit(Inst{Op: IRAdd64, Dst: d, Src: g.source()})
	case 4:
		g.emit(Inst{Op: IRMov32, Dst: d, Src: g.source()})
		g.emit(Inst{Op: IRMov32, Dst: d, Src: d})
	}
}

// raw generates unchecked accesses: in the frame, or at a constant address.
func (g *irGenerator) raw() {
	load := g.rand.IntN(2) == 0
	base, off := uint8(RegNone), int32(genRWStart)+int32(g.rand.IntN(4096))
	if g.frame && g.rand.IntN(3) > 0 {
		base, off = RegFrame, -8-int32(g.rand.IntN(FrameSize-8))
	}
	if load {
		g.emit(Inst{Op: pick(g.rand, IRRawLoad8, IRRawLoadS32), Dst: g.reg(), Src: base, Off: off})
	} else {
		g.emit(Inst{Op: pick(g.rand, IRRawStore8, IRRawStore64I), Dst: base, Src: g.source(), Off: off, Imm: g.constant()})
	}
}

// field generates accesses to fields.
func (g *irGenerator) field() {
	slot := int32(genViews[g.rand.IntN(len(genViews))])
	off := int32(g.rand.IntN(genViewSize - 7))
	if g.rand.IntN(6) == 0 {
		if g.rand.IntN(2) == 0 {
			slot = genNull
		}
		g.emit(Inst{Op: IRLoadHandle, Dst: g.reg(), Target: slot})
		return
	}
	flags, h := uint8(FlagStatic), uint8(0)
	if g.uses(genHandle) && g.rand.IntN(2) == 0 {
		flags, h = 0, genHandle
		g.emit(Inst{Op: IRLoadHandle, Dst: h, Target: slot})
		slot = 0
	}
	switch g.rand.IntN(5) {
	case 0:
		if g.rand.IntN(2) == 0 {
			flags |= FlagImm
		}
		g.emit(Inst{Op: pick(g.rand, IRStoreField8, IRStoreField64), Dst: h, Src: g.source(), Off: off, Imm: g.constant(),
			Flags: flags, Target: slot})
	case 1:
		g.emit(Inst{Op: IRStoreFieldHost, Dst: h, Src: g.source(), Off: off, Flags: flags, Target: slot})
	default:
		for range 1 + g.rand.IntN(3) {
			g.emit(Inst{Op: pick(g.rand, IRLoadField8, IRLoadFieldS32), Dst: g.dataReg(h), Src: h, Off: off, Flags: flags, Target: slot})
		}
	}
}

// dataReg returns a register other than the handle in use.
func (g *irGenerator) dataReg(h uint8) uint8 {
	if r := g.reg(); r != h {
		return r
	}
	return R0
}
