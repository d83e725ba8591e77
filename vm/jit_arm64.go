//go:build linux && !nojit

package vm

// Compiled code on arm64. Registers:
//
//	X0 to X9  r0 to r9           X10  r10
//	X11  the state, biased       X12  host address of the arena, X13 of its first loadable byte, X14 of its first
//	                             writable byte, X15 of the stack frame (X12 + X10)
//	X16  fuel left of the slice  X17, X19 and X25  scratch
//	X20 to X24                   addresses of views
//
// X18 is the platform's; X28 (g), X29, X30 and SP are Go's: signal handlers use them at any moment.
const (
	stateReg     = x11
	arenaReg     = x12
	loadReg      = x13
	storeReg     = x14
	frameHostReg = x15
	fuelReg      = x16
	addrReg      = x17 // addresses being checked, resume addresses
	tempReg      = x19 // constants, values
	limitReg     = x25 // limits, results of atomics
)

var cacheRegs = [...]gpr{x20, x21, x22, x23, x24}

// A jitCompiler turns lowered code into machine code.
type jitCompiler struct {
	assembler
	ir      []Inst
	an      *irAnalysis
	params  []uint8 // per import, how many arguments it takes
	rwStart uint32
	caches  int

	fn     *irFunc    // being compiled
	prolog []asmLabel // per function: where calls lead
	cold   []coldExit
	exits  struct{ done, call, store, fuel, load, storeFault, align, trap asmLabel }

	known knowledge
}

// knowledge is what holds at the present instruction, whichever way control came to it.
type knowledge struct {
	zext   uint16               // bit per register: the upper half is zero
	cache  [len(cacheRegs)]int8 // the slots whose views the cache registers hold, or holdsNothing
	next   uint8                // cache to fill next
	ranges checkedRanges
}

const holdsNothing = -1

// A coldExit is where a check leads that hardly ever fails. They are emitted after all functions.
type coldExit struct {
	from  asmLabel
	to    asmLabel // shared exit
	inst  int32
	back  asmLabel             // fuel: after the check
	cache [len(cacheRegs)]int8 // fuel: the views to load again before going on
}

// compileCode compiles a unit.
func compileCode(u *unit, opt compileOptions) (*compiled, error) {
	code := u.ir
	an, err := analyze(u)
	if err != nil {
		return nil, err
	}
	c := &jitCompiler{ir: code, an: an, params: u.params, rwStart: u.rwStart, caches: len(cacheRegs)}
	if opt.noCaches {
		c.caches = 0
	}
	c.code = make([]byte, 0, 1024+40*len(code))
	c.fixups = make([]asmFixup, 0, 2*len(code))
	c.cold = make([]coldExit, 0, len(code)/2+8)
	// The first labels are the instructions, so that a jump's target is its label.
	c.labels = make([]int, len(code), 3*len(code)+64)
	for i := range c.labels {
		c.labels[i] = -1
	}
	out := &compiled{entry: make([]uint32, len(code))}
	c.sharedExits(out)
	c.prolog = make([]asmLabel, len(an.funcs))
	for i := range c.prolog {
		c.prolog[i] = c.newLabel()
	}
	for i := range an.funcs {
		c.function(i, out)
	}
	c.coldExits()
	if err := c.link(); err != nil {
		return nil, err
	}
	out.code = c.code
	return out, nil
}

func stateAt(off int32) memOperand { return memAt(stateReg, off) }

func regAt(r int) memOperand { return stateAt(offRegs + 8*int32(r)) }

func viewAt(slot int32) memOperand { return stateAt(offViews + 8*slot) }

// saveRegisters stores r(from) to r10 as far as the module uses them.
func (c *jitCompiler) saveRegisters(from int) {
	for r := from; r <= RegFrame; r++ {
		if c.an.uses[r] > 0 {
			c.store(regAt(r), gpr(r))
		}
	}
}

// loadRegisters loads those of r(from) to r(to) that the module uses, r10 and what serves the compiled code itself.
func (c *jitCompiler) loadRegisters(from, to int) {
	c.load(arenaReg, stateAt(offArena))
	c.load(fuelReg, stateAt(offJITFuel))
	for r := from; r <= to; r++ {
		if c.an.uses[r] > 0 {
			c.load(gpr(r), regAt(r))
		}
	}
	c.addImm(loadReg, arenaReg, NullGuard)
	c.addImm(storeReg, arenaReg, int64(c.rwStart))
	if c.an.uses[RegFrame] > 0 {
		c.load(RegFrame, regAt(RegFrame))
		c.rrr(true, opADD, frameHostReg, arenaReg, RegFrame)
	}
}

// clearRegisters zeroes r(from) to r(to). The verifier lets no program read them before it writes them; should it err,
// they hold nothing of the host's.
func (c *jitCompiler) clearRegisters(from, to int) {
	for r := from; r <= to; r++ {
		if c.an.uses[r] > 0 {
			c.clear(gpr(r))
		}
	}
}

// storeWord stores a small constant in a field of 4 bytes or, with size 1, of one.
func (c *jitCompiler) storeWord(size uint8, off int32, v uint32) {
	c.movImm(tempReg, uint64(v))
	c.access(accessStore, size, tempReg, stateAt(off))
}

// leave emits the return to Go.
func (c *jitCompiler) leave(why jitExit) {
	c.store(stateAt(offJITFuel), fuelReg)
	c.storeWord(4, offExit, uint32(why))
	c.ret()
}

// resumeAt emits the jump to where the code left.
func (c *jitCompiler) resumeAt() {
	c.load(addrReg, stateAt(offResume))
	c.br(addrReg)
}

// sharedExits emits the ways out of compiled code and back in. Resumable exits find the address to go on at in the
// address register, bad accesses the address minus the start of the valid range.
func (c *jitCompiler) sharedExits(out *compiled) {
	c.exits.done = c.bound()
	c.store(regAt(R0), x0)
	c.leave(jitDone)

	suspended := func(why jitExit, from int) asmLabel {
		l := c.bound()
		c.store(stateAt(offResume), addrReg)
		c.saveRegisters(from)
		c.leave(why)
		return l
	}
	c.exits.call = suspended(jitCall, R6)
	c.exits.store = suspended(jitStore, R0)
	c.exits.fuel = suspended(jitFuel, R0)

	fault := func(kind FaultKind, start uint32) asmLabel {
		l := c.bound()
		c.movImm(tempReg, uint64(start))
		c.rrr(true, opADD, addrReg, addrReg, tempReg)
		c.store(stateAt(offFaultAddr), addrReg)
		c.storeWord(1, offFaultKind, uint32(kind))
		c.leave(jitFault)
		return l
	}
	c.exits.load = fault(FaultLoad, NullGuard)
	c.exits.storeFault = fault(FaultStore, c.rwStart)
	c.exits.align = fault(FaultAlign, c.rwStart)

	c.exits.trap = c.bound()
	c.store(stateAt(offFaultAddr), xzr)
	c.storeWord(1, offFaultKind, uint32(FaultUnreachable))
	c.leave(jitFault)

	out.resumeCall = uint32(c.pos())
	c.load(x0, regAt(R0))
	c.clearRegisters(R1, R5)
	c.loadRegisters(R6, R9)
	c.resumeAt()

	out.resumeAll = uint32(c.pos())
	c.loadRegisters(R0, R9)
	c.resumeAt()
}

// function compiles one function: the way in from Go if it is a program, the way in from calls if it is called, the
// body.
func (c *jitCompiler) function(i int, out *compiled) {
	f := &c.an.funcs[i]
	c.fn = f
	if f.entry {
		out.entry[f.start] = uint32(c.pos())
		c.clear(x0)
		c.loadRegisters(R1, int(f.args))
		c.clearRegisters(int(f.args)+1, R9)
		if f.called {
			// The last exit returns as from a call, to Go.
			c.adr(tempReg, c.exits.done)
			c.store(stateAt(offSavedRet), tempReg)
			c.movImm(addrReg, uint64(savedFrameSize))
			c.store(stateAt(offFrame), addrReg)
			c.rrr(true, opADD, addrReg, addrReg, stateReg)
		}
	}
	if f.called {
		c.bind(c.prolog[i])
		c.saveCallee(f, accessStore)
		c.clear(x0)
	}
	c.forget()
	for k := f.start; k < f.end; k++ {
		in := &c.ir[k]
		if c.an.isTarget[k] != 0 {
			c.forget()
			c.bind(asmLabel(k))
		}
		if in.Cost != 0 {
			c.charge(k, in.Cost)
		}
		if c.fuse(k) {
			k++
			continue
		}
		c.inst(k, in)
	}
}

// saveCallee stores (or with accessLoad loads) what a called function keeps of its caller. The address register holds
// the biased address of the state plus the offset of the frame; calls come with the next frame's.
func (c *jitCompiler) saveCallee(f *irFunc, kind uint32) {
	off := offSavedR6
	if kind == accessStore {
		off -= savedFrameSize
	}
	for r := range int32(4) {
		if f.saves>>r&1 != 0 {
			c.access(kind, 8, gpr(R6+r), memAt(addrReg, off+8*r))
		}
	}
}

// forget drops what is known: control may come from elsewhere.
func (c *jitCompiler) forget() {
	c.known = knowledge{}
	for i := range c.known.cache {
		c.known.cache[i] = holdsNothing
	}
}

// charge takes a block's cost from the fuel. The subtraction borrows if and only if less than the cost was left,
// since compiled code runs only with fuel at or above 0.
func (c *jitCompiler) charge(k int32, cost uint32) {
	if !c.arithImm(true, opSUBS, fuelReg, fuelReg, uint64(cost)) {
		c.movImm(tempReg, uint64(cost))
		c.rrr(true, opSUBS, fuelReg, fuelReg, tempReg)
	}
	l := c.newLabel()
	c.jcc(condLO, l)
	c.cold = append(c.cold, coldExit{from: l, to: c.exits.fuel, inst: k, back: c.bound(), cache: c.known.cache})
}

// check branches to a shared exit if the condition holds.
func (c *jitCompiler) check(cc condCode, k int32, to asmLabel) {
	l := c.newLabel()
	c.jcc(cc, l)
	c.cold = append(c.cold, coldExit{from: l, to: to, inst: k})
}

func (c *jitCompiler) coldExits() {
	for i := range c.cold {
		e := &c.cold[i]
		c.bind(e.from)
		c.storeWord(4, offFaultInst, uint32(e.inst))
		if e.to != c.exits.fuel {
			c.jmp(e.to)
			continue
		}
		again := c.newLabel()
		c.adr(addrReg, again)
		c.jmp(e.to)
		c.bind(again)
		for n, r := range cacheRegs[:c.caches] {
			if e.cache[n] != holdsNothing {
				c.load(r, viewAt(int32(e.cache[n])))
			}
		}
		c.jmp(e.back)
	}
}

// moveFrames enters (opADD) or leaves (opSUB) a frame: r10 and the next free frame move, and the address register is
// the biased address of the state plus the offset of the frame entered or left.
func (c *jitCompiler) moveFrames(op uint32) {
	c.load(tempReg, stateAt(offFrame))
	if op == opADD {
		c.rrr(true, opADD, addrReg, stateReg, tempReg)
	}
	c.arithImm(true, op, tempReg, tempReg, uint64(savedFrameSize))
	c.store(stateAt(offFrame), tempReg)
	if op == opSUB {
		c.rrr(true, opADD, addrReg, stateReg, tempReg)
	}
	if c.an.uses[RegFrame] > 0 {
		down := opSUB
		if op == opSUB {
			down = opADD
		}
		c.arithImm(true, down, RegFrame, RegFrame, FrameSize)
		c.arithImm(true, down, frameHostReg, frameHostReg, FrameSize)
	}
}

// callLocal emits a call of another function of the module. r0 holds nothing across it.
func (c *jitCompiler) callLocal(in *Inst) {
	ret := c.newLabel()
	c.moveFrames(opADD)
	c.adr(x0, ret)
	c.store(memAt(addrReg, offSavedRet), x0)
	c.arithImm(true, opADD, addrReg, addrReg, uint64(savedFrameSize))
	c.jmp(c.prolog[c.an.function(in.Target)])
	c.bind(ret)
	c.forget()
}

func (c *jitCompiler) exit() {
	if !c.fn.called {
		c.jmp(c.exits.done)
		return
	}
	c.moveFrames(opSUB)
	c.saveCallee(c.fn, accessLoad)
	c.load(addrReg, memAt(addrReg, offSavedRet))
	c.br(addrReg)
}

// callHost emits a call of a host function: its arguments go to the state here, the rest in the shared exit.
func (c *jitCompiler) callHost(k int32) {
	for r := range int(c.params[c.ir[k].Imm]) {
		c.store(regAt(R1+r), gpr(R1+r))
	}
	c.suspend(k, c.exits.call)
}

// suspend leaves by a shared exit and goes on behind it. Go code may change views and memory.
func (c *jitCompiler) suspend(k int32, to asmLabel) {
	again := c.newLabel()
	c.storeWord(4, offFaultInst, uint32(k))
	c.adr(addrReg, again)
	c.jmp(to)
	c.bind(again)
	// Registers that keep their value keep what is known of it: the arena's bounds do not change.
	ranges, zext := c.known.ranges, c.known.zext
	c.forget()
	if to == c.exits.call {
		ranges.called()
		zext &^= 1<<R6 - 1
	}
	c.known.ranges, c.known.zext = ranges, zext
}
