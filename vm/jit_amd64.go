//go:build linux && !nojit

package vm

import "golang.org/x/sys/cpu"

// Compiled code on amd64. Registers:
//
//	RAX RDI RSI RDX R9 R8 RBX R13 R14 R15   r0 to r9
//	R11  the state, biased                  R12  host address of the arena
//	R10  fuel left of the slice             RCX  scratch
//
// r10, which changes at calls only, takes the place of a register that the module does not use, or else stays in
// memory. RSP and RBP are Go's: signal handlers and profilers walk the stack from them at any moment.
const (
	stateReg   = r11
	arenaReg   = r12
	fuelReg    = r10
	scratchReg = rcx
)

var registerMap = [RegFrame]gpr{rax, rdi, rsi, rdx, r9, r8, rbx, r13, r14, r15}

// A jitCompiler turns lowered code into machine code.
type jitCompiler struct {
	assembler
	ir      []Inst
	an      *irAnalysis
	params  []uint8 // per import, how many arguments it takes
	rwStart int32
	bmi2    bool

	reg    [RegFrame + 1]gpr // where r0 to r10 are; noReg: in the state (r10 only)
	caches []gpr             // registers left over: they hold the addresses of views
	fn     *irFunc           // being compiled
	prolog []asmLabel        // per function: where calls lead
	body   []asmLabel        // per instruction that a jump back leads to: after its charge
	cold   []coldExit
	exits  struct{ done, call, store, fuel, load, storeFault, align, trap asmLabel }

	known knowledge
}

// knowledge is what holds at the present instruction, whichever way control came to it.
type knowledge struct {
	zext    uint16         // bit per register: the upper half is zero
	scratch int8           // what the scratch register holds: a view (its slot), holdsFrame or holdsNothing
	cache   [RegFrame]int8 // the same for the caches
	next    uint8          // cache to fill next
	ranges  checkedRanges
}

const (
	holdsNothing = -1
	holdsFrame   = NumSlots // r10
)

// A coldExit is where a check leads that hardly ever fails. They are emitted after all functions.
type coldExit struct {
	from  asmLabel
	to    asmLabel // shared exit
	inst  int32
	back  int            // fuel: position after the check
	cache [RegFrame]int8 // fuel: the views to load again before going on
}

// compileCode compiles a unit.
func compileCode(u *unit, opt compileOptions) (*compiled, error) {
	code := u.ir
	an, err := analyze(u)
	if err != nil {
		return nil, err
	}
	c := &jitCompiler{ir: code, an: an, params: u.params, rwStart: int32(u.rwStart), bmi2: cpu.X86.HasBMI2 && !opt.noBMI2}
	c.code = make([]byte, 0, 1024+40*len(code))
	c.fixups = make([]asmFixup, 0, 2*len(code))
	c.cold = make([]coldExit, 0, len(code)/2+8)
	// The first labels are the instructions, so that a jump's target is its label.
	c.labels = make([]int, len(code), 3*len(code)+64)
	for i := range c.labels {
		c.labels[i] = -1
	}
	c.allocate(opt)
	out := &compiled{entry: make([]uint32, len(code))}
	c.sharedExits(out)
	c.prolog = make([]asmLabel, len(an.funcs))
	for i := range c.prolog {
		c.prolog[i] = c.newLabel()
	}
	c.body = make([]asmLabel, len(code))
	for i := range code {
		if t := code[i].Target; code[i].Op == IRJump && int(t) <= i && code[t].Op != IRJump && code[t].Cost != 0 && c.body[t] == 0 {
			c.body[t] = c.newLabel()
		}
	}
	for i := range an.funcs {
		c.function(i, out)
	}
	c.coldExits()
	c.link()
	out.code = c.code
	return out, nil
}

// allocate decides which machine register serves what.
func (c *jitCompiler) allocate(opt compileOptions) {
	copy(c.reg[:], registerMap[:])
	c.reg[RegFrame] = noReg
	for r := R9; r >= R1; r-- {
		switch {
		case c.an.uses[r] > 0:
		case c.an.uses[RegFrame] > 0 && c.reg[RegFrame] == noReg:
			if opt.frameInMemory {
				return // as if there were no registers to spare
			}
			c.reg[RegFrame] = c.reg[r]
		case !opt.noCaches:
			c.caches = append(c.caches, c.reg[r])
		}
	}
}

func stateAt(off int32) memOperand { return memAt(stateReg, off) }

func regAt(r int) memOperand { return stateAt(offRegs + 8*int32(r)) }

func viewAt(slot int32) memOperand { return stateAt(offViews + 8*slot) }

// saveRegisters stores those of r(from) to r9 that the module uses; r10 in memory is always current.
func (c *jitCompiler) saveRegisters(from int) {
	for r := from; r <= R9; r++ {
		if c.an.uses[r] > 0 {
			c.store(regAt(r), c.reg[r])
		}
	}
	if c.reg[RegFrame] != noReg {
		c.store(regAt(RegFrame), c.reg[RegFrame])
	}
}

// loadRegisters loads those of r(from) to r(to) that the module uses, r10 and what serves the compiled code itself.
func (c *jitCompiler) loadRegisters(from, to int) {
	c.load(arenaReg, stateAt(offArena))
	c.load(fuelReg, stateAt(offJITFuel))
	for r := from; r <= to; r++ {
		if c.an.uses[r] > 0 {
			c.load(c.reg[r], regAt(r))
		}
	}
	if c.reg[RegFrame] != noReg {
		c.load(c.reg[RegFrame], regAt(RegFrame))
	}
}

// clearRegisters zeroes those of r(from) to r(to) that the module uses. The verifier lets no program read them before
// it writes them; should it err, they hold nothing of the host's.
func (c *jitCompiler) clearRegisters(from, to int) {
	for r := from; r <= to; r++ {
		if c.an.uses[r] > 0 {
			c.zero(c.reg[r])
		}
	}
}

// leave emits the return to Go.
func (c *jitCompiler) leave(why jitExit) {
	c.store(stateAt(offJITFuel), fuelReg)
	c.storeImm32(false, stateAt(offExit), int32(why))
	c.ret()
}

// finish ends the program.
func (c *jitCompiler) finish() {
	c.store(regAt(R0), rax)
	c.leave(jitDone)
}

func (c *jitCompiler) bound() asmLabel {
	l := c.newLabel()
	c.bind(l)
	return l
}

// sharedExits emits the ways out of compiled code and back in. Resumable exits find the address to go on at in the
// scratch register, bad accesses the address minus the start of the valid range.
func (c *jitCompiler) sharedExits(out *compiled) {
	c.exits.done = c.bound()
	c.finish()

	c.exits.call = c.bound()
	c.store(stateAt(offResume), scratchReg)
	c.saveRegisters(R6)
	c.leave(jitCall)

	c.exits.store = c.bound()
	c.store(stateAt(offResume), scratchReg)
	c.saveRegisters(R0)
	c.leave(jitStore)

	c.exits.fuel = c.bound()
	c.store(stateAt(offResume), scratchReg)
	c.saveRegisters(R0)
	c.leave(jitFuel)

	fault := func(kind FaultKind, start int32) asmLabel {
		l := c.bound()
		c.group1(true, extAdd, scratchReg, start)
		c.store(stateAt(offFaultAddr), scratchReg)
		c.storeImm8(stateAt(offFaultKind), int8(kind))
		c.leave(jitFault)
		return l
	}
	c.exits.load = fault(FaultLoad, NullGuard)
	c.exits.storeFault = fault(FaultStore, c.rwStart)
	c.exits.align = fault(FaultAlign, c.rwStart)

	c.exits.trap = c.bound()
	c.storeImm32(true, stateAt(offFaultAddr), 0)
	c.storeImm8(stateAt(offFaultKind), int8(FaultUnreachable))
	c.leave(jitFault)

	out.resumeCall = uint32(c.pos())
	c.load(rax, regAt(R0))
	c.clearRegisters(R1, R5)
	c.loadRegisters(R6, R9)
	c.jmpMem(stateAt(offResume))

	out.resumeAll = uint32(c.pos())
	c.loadRegisters(R0, R9)
	c.jmpMem(stateAt(offResume))
}

// function compiles one function: the way in from Go if it is a program, the way in from calls if it is called, the
// body.
func (c *jitCompiler) function(i int, out *compiled) {
	f := &c.an.funcs[i]
	c.fn = f
	if f.entry {
		c.align(16)
		out.entry[f.start] = uint32(c.pos())
		c.clearRegisters(R0, R0)
		c.loadRegisters(R1, int(f.args))
		c.clearRegisters(int(f.args)+1, R9)
		if f.called {
			// The last exit returns as from a call, to Go.
			c.leaLabel(scratchReg, c.exits.done)
			c.store(stateAt(offSavedRet), scratchReg)
			c.movImm(scratchReg, uint64(savedFrameSize))
			c.store(stateAt(offFrame), scratchReg)
		}
	}
	if f.called {
		c.bind(c.prolog[i])
		c.saveCallee(f, opMovStore)
		c.zero(rax)
	}
	c.forget()
	for k := f.start; k < f.end; k++ {
		in := &c.ir[k]
		if t := c.an.isTarget[k]; t != 0 {
			c.forget()
			if t&targetBackward != 0 {
				c.align(16)
			}
			c.bind(asmLabel(k))
		}
		if in.Op == IRJump {
			c.jump(k, in)
			continue
		}
		if in.Cost != 0 {
			c.charge(k, in.Cost)
			if c.body[k] != 0 {
				c.bind(c.body[k])
			}
		}
		if c.fuse(k) {
			k++
			continue
		}
		c.inst(k, in)
	}
}

// saveCallee stores (or with opMovLoad loads) what a called function keeps of its caller, in the frame that the
// scratch register is just past.
func (c *jitCompiler) saveCallee(f *irFunc, op opcode) {
	off := offSavedR6
	if op == opMovStore {
		off -= savedFrameSize
	}
	for r := range int32(4) {
		if f.saves>>r&1 != 0 {
			c.rm(true, op, c.reg[R6+r], memAtIndex(stateReg, scratchReg, off+8*r))
		}
	}
}

// forget drops what is known: control may come from elsewhere.
func (c *jitCompiler) forget() {
	c.known = knowledge{scratch: holdsNothing}
	for i := range c.known.cache {
		c.known.cache[i] = holdsNothing
	}
}

// charge takes a block's cost from the fuel. The subtraction borrows if and only if less than the cost was left,
// since compiled code runs only with fuel at or above 0.
func (c *jitCompiler) charge(k int32, cost uint32) {
	c.known.scratch = holdsNothing // the exit does not come back with it
	l := c.newLabel()
	c.group1(true, extSub, fuelReg, int32(cost))
	c.jcc(condB, l)
	c.cold = append(c.cold, coldExit{from: l, to: c.exits.fuel, inst: k, back: c.pos(), cache: c.known.cache})
}

// jump compiles a jump. As long as the fuel suffices it takes what the jump and its target cost at once and goes to
// where the target has been charged already, so a loop pays once per round. Else it gives the fuel back and lets the
// two charges find out which of them fails.
func (c *jitCompiler) jump(k int32, in *Inst) {
	t := in.Target
	both := int64(in.Cost) + int64(c.ir[t].Cost)
	if t <= k && c.body[t] != 0 && fitsInt32(both) {
		c.group1(true, extSub, fuelReg, int32(both))
		c.jcc(condAE, c.body[t])
		c.group1(true, extAdd, fuelReg, int32(both))
	}
	if in.Cost != 0 {
		c.charge(k, in.Cost)
	}
	c.jmp(asmLabel(t))
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
		c.storeImm32(false, stateAt(offFaultInst), e.inst)
		if e.to != c.exits.fuel {
			c.jmp(e.to)
			continue
		}
		again := c.newLabel()
		c.leaLabel(scratchReg, again)
		c.jmp(e.to)
		c.bind(again)
		for n, r := range c.caches {
			if e.cache[n] != holdsNothing {
				c.load(r, viewAt(int32(e.cache[n])))
			}
		}
		c.jmpTo(e.back)
	}
}

// callLocal emits a call of another function of the module. r0 holds nothing across it.
func (c *jitCompiler) callLocal(in *Inst) {
	ret := c.newLabel()
	c.leaLabel(rax, ret)
	c.load(scratchReg, stateAt(offFrame))
	c.rm(true, opMovStore, rax, memAtIndex(stateReg, scratchReg, offSavedRet))
	c.group1(true, extAdd, scratchReg, savedFrameSize)
	c.store(stateAt(offFrame), scratchReg)
	c.moveFrame(extSub)
	c.jmp(c.prolog[c.an.function(in.Target)])
	c.bind(ret)
	c.forget()
}

// moveFrame adds FrameSize to r10 or subtracts it.
func (c *jitCompiler) moveFrame(ext uint8) {
	if r := c.reg[RegFrame]; r != noReg {
		c.group1(true, ext, r, FrameSize)
	} else if c.an.uses[RegFrame] > 0 {
		c.group1Mem(true, ext, regAt(RegFrame), FrameSize)
	}
}

func (c *jitCompiler) exit() {
	if !c.fn.called {
		c.finish()
		return
	}
	c.load(scratchReg, stateAt(offFrame))
	c.group1(true, extSub, scratchReg, savedFrameSize)
	c.store(stateAt(offFrame), scratchReg)
	c.saveCallee(c.fn, opMovLoad)
	c.moveFrame(extAdd)
	c.jmpMem(memAtIndex(stateReg, scratchReg, offSavedRet))
}

// callHost emits a call of a host function: its arguments go to the state here, the rest in the shared exit.
func (c *jitCompiler) callHost(k int32) {
	for r := range int(c.params[c.ir[k].Imm]) {
		c.store(regAt(R1+r), c.reg[R1+r])
	}
	c.suspend(k, c.exits.call)
}

// suspend leaves by a shared exit and goes on behind it. Go code may change views and memory.
func (c *jitCompiler) suspend(k int32, to asmLabel) {
	again := c.newLabel()
	c.storeImm32(false, stateAt(offFaultInst), k)
	c.leaLabel(scratchReg, again)
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
