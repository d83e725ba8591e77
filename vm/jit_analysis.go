//go:build linux && (amd64 || arm64) && !nojit

package vm

import (
	"fmt"
	"slices"
)

// irAnalysis is what the compiler wants to know of the lowered code before it emits the first instruction.
type irAnalysis struct {
	uses     [numRegisters]int // how often the code names each register
	isTarget []uint8           // per instruction: targetForward, targetBackward
	funcs    []irFunc          // ascending start
}

// Values in irAnalysis.isTarget.
const (
	targetForward  = 1 << iota // a jump before it leads here
	targetBackward             // a jump after it, or itself, leads here
)

// irFunc is one function of the lowered code: all instructions up to the next function's start.
type irFunc struct {
	start, end int32
	entry      bool  // a program starts here
	args       uint8 // of an entry: r1 to r(args) are set
	called     bool  // by IRCall
	saves      uint8 // bit i: it writes r(6+i), which it has to restore
	height     int8  // active functions at most while it runs, itself included
}

// analyze looks at the whole code once. An error means that something the verifier has to rule out is there.
func analyze(u *unit) (*irAnalysis, error) {
	code := u.ir
	a := &irAnalysis{isTarget: make([]uint8, len(code))}
	a.uses[R0] = 1 // every program has a result
	starts := slices.Clone(u.entries)
	for i := range code {
		in := &code[i]
		op := &irOps[in.Op]
		if op.dst || op.writes {
			a.use(in.Dst)
		}
		if op.src {
			a.use(in.Src)
		}
		switch {
		case in.Op == IRHost:
			for r := range u.params[in.Imm] {
				a.use(R1 + r)
			}
		case in.Op == IRCall:
			starts = append(starts, in.Target)
		case op.jump:
			if in.Target < 0 || int(in.Target) >= len(code) {
				return nil, fmt.Errorf("vm: instruction %d jumps to %d of %d", i, in.Target, len(code))
			}
			if int(in.Target) <= i {
				a.isTarget[in.Target] |= targetBackward
			} else {
				a.isTarget[in.Target] |= targetForward
			}
		}
	}
	slices.Sort(starts)
	starts = slices.Compact(starts)
	a.funcs = make([]irFunc, len(starts))
	for i, s := range starts {
		f := &a.funcs[i]
		f.start, f.end = s, int32(len(code))
		if i+1 < len(starts) {
			f.end = starts[i+1]
		}
	}
	for i := range a.funcs {
		f := &a.funcs[i]
		for n, e := range u.entries {
			if e == f.start {
				f.entry, f.args = true, max(f.args, u.args[n])
			}
		}
		for k := f.start; k < f.end; k++ {
			if d := code[k].written(); d >= R6 && d <= R9 {
				f.saves |= 1 << (d - R6)
			}
			if code[k].Op == IRCall {
				a.funcs[a.function(code[k].Target)].called = true
			}
		}
	}
	for i := range a.funcs {
		if err := a.measure(code, i); err != nil {
			return nil, err
		}
	}
	return a, nil
}

func (a *irAnalysis) use(r uint8) {
	if r < numRegisters {
		a.uses[r]++
	}
}

// function returns the index of the function that starts at the instruction.
func (a *irAnalysis) function(start int32) int {
	i, _ := slices.BinarySearchFunc(a.funcs, start, func(f irFunc, s int32) int { return int(f.start - s) })
	return i
}

// measuring marks a function whose callees are being looked at.
const measuring = -1

// measure computes the height of a function. The verifier bounds it too; compiled code has no check of its own at
// calls and would write past the saved frames, so here it is made sure of.
func (a *irAnalysis) measure(code []Inst, i int) error {
	f := &a.funcs[i]
	switch {
	case f.height == measuring:
		return fmt.Errorf("vm: recursion in the function at instruction %d", f.start)
	case f.height > 0:
		return nil
	}
	f.height = measuring
	height := int8(1)
	for k := f.start; k < f.end; k++ {
		if code[k].Op != IRCall {
			continue
		}
		callee := a.function(code[k].Target)
		if err := a.measure(code, callee); err != nil {
			return err
		}
		height = max(height, a.funcs[callee].height+1)
	}
	if height > MaxCallDepth {
		return fmt.Errorf("vm: %d functions deep at instruction %d", height, f.start)
	}
	a.funcs[i].height = height
	return nil
}

// written returns the register among r0 to r9 that the instruction writes besides what calls clobber, or RegNone.
func (in *Inst) written() uint8 {
	switch op := &irOps[in.Op]; {
	case op.writes:
		return in.Dst
	case in.Op >= IRAtomicAdd && in.Op <= IRAtomicXchg && (in.Flags&FlagFetch != 0 || in.Op == IRAtomicXchg):
		return in.Src
	case in.Op == IRAtomicCmpXchg:
		return R0
	}
	return RegNone
}
