package vm

import (
	"errors"
	"fmt"
	"unsafe"
)

// A Call is what a host passes to a program. It may be reused; Run does not keep it.
type Call struct {
	// Views are the host's objects: Views[i] is what view slot i+1 names, nil for none. At most FirstDynamicSlot-1.
	// Each must be at least as large as the environment says. They do not change while the program runs.
	Views []unsafe.Pointer
	// Args are integer arguments, as many as the section's context takes.
	Args [5]uint64
	// User is for host functions: Machine.User returns it.
	User any
}

// zeroView is what the null handle names.
var zeroView [MaxKindSize]byte

// Run runs a program of the instance's module and returns its result. c may be nil. The error is a *Fault if the
// program was stopped; others are mistakes of the host. Run does not allocate unless it fails. A host function may
// call Run, on the same instance or another: up to MaxNesting programs are active at once in an instance, and a
// nested program draws on the fuel of the one that caused it.
func (in *Instance) Run(p *Prog, c *Call) (uint64, error) {
	// Entering costs less than what most programs do, so this is one function: what the level has from the call
	// before is not stored again.
	m := &in.machine
	outer, lv := m.lv, m.first
	if outer != nil {
		lv = outer.inner
	}
	if lv == nil || p.module != in.module {
		var err error
		if lv, err = in.descend(p, outer); err != nil {
			return 0, err
		}
	}
	if c == nil {
		c = &noCall
	}
	if lv.next != FirstDynamicSlot {
		lv.dropHandles()
	}
	if lv.prog != p {
		lv.prog = p
	}
	lv.user = c.User
	lv.depth = 0
	lv.regs[R10] = lv.top
	lv.regs[R1] = uint64(p.slot)
	for i := uint8(0); i < p.scalars; i++ {
		lv.regs[(p.first+i)&15] = c.Args[i]
	}
	views := c.Views
	if len(views) >= FirstDynamicSlot {
		return 0, errViews
	}
	set := uint64(0)
	for i, v := range views {
		if w := &lv.views[(i+1)&(NumSlots-1)]; *w != v {
			*w = v
		}
		if v != nil {
			set |= 2 << (i & 63)
		}
	}
	if n := uint8(len(views)); n != lv.used {
		lv.dropViews(n)
	}
	if p.need&^set != 0 {
		return 0, errViews
	}
	// A branch that is nearly always foreseen: were the fuel computed from the budget, each call would have to wait
	// for what the one before it spent.
	fuel := lv.limit
	if outer != nil || in.budget != nil && *in.budget < fuel {
		fuel = in.allowance(fuel, outer)
	}
	lv.fuel, lv.granted = fuel, fuel
	m.lv = lv
	ok := in.module.engine.run(m, &lv.state, p.entry)
	m.lv = outer
	in.settle(lv, outer, fuel)
	if ok {
		return lv.regs[R0], nil
	}
	in.stats.Faults++
	return 0, in.fault(lv)
}

// allowance returns how much of fuel a call may spend that outer caused, if that is not nil.
//
//go:noinline
func (in *Instance) allowance(fuel int64, outer *level) int64 {
	if outer != nil {
		fuel = min(fuel, max(outer.fuel, 0))
	}
	if in.budget != nil {
		fuel = min(fuel, max(*in.budget, 0))
	}
	return fuel
}

// noCall stands for a nil Call.
var noCall Call

// descend returns the level on which a call of p within outer runs, made if this is the first call there. It fails
// if the call is not allowed.
func (in *Instance) descend(p *Prog, outer *level) (*level, error) {
	if in.base == nil {
		return nil, errClosed
	}
	if p.module != in.module {
		return nil, errForeign
	}
	place, n := &in.machine.first, 0
	if outer != nil {
		place, n = &outer.inner, outer.n+1
	}
	if n >= MaxNesting {
		return nil, errNesting
	}
	if *place == nil {
		*place = in.newLevel(n)
	}
	return *place, nil
}

// newLevel makes the state of a nesting level.
func (in *Instance) newLevel(n int) *level {
	lv := new(level)
	l := &in.module.layout
	lv.n = n
	lv.limit = int64(min(in.module.opt.Fuel, 1<<62))
	lv.arena = in.base
	lv.loadLimit = uint64(in.end) - NullGuard
	lv.storeLimit = uint64(in.end - l.rwStart)
	lv.rwStart = uint64(l.rwStart)
	lv.views[0] = unsafe.Pointer(&zeroView)
	lv.next = FirstDynamicSlot
	lv.top = uint64(l.stackTop) - uint64(n)*stackSize
	return lv
}

// dropHandles forgets the handles that the call before got from host functions.
func (lv *level) dropHandles() {
	clear(lv.views[FirstDynamicSlot:lv.next])
	lv.next = FirstDynamicSlot
}

// dropViews forgets the views that the call before had beyond the first n.
func (lv *level) dropViews(n uint8) {
	if n < lv.used {
		clear(lv.views[n+1 : lv.used+1])
	}
	lv.used = n
}

// settle takes what a call that began with fuel spent from the connection's budget and from the call that caused it.
func (in *Instance) settle(lv, outer *level, fuel int64) {
	in.pay(lv)
	spent := fuel - max(lv.fuel, 0)
	in.stats.Calls++
	in.stats.Fuel += uint64(spent)
	if outer != nil {
		outer.fuel -= spent
		outer.granted -= spent
	}
}

// pay takes from the connection's budget what was spent since the last payment.
func (in *Instance) pay(lv *level) {
	if in.budget != nil {
		left := max(lv.fuel, 0)
		*in.budget -= lv.granted - left
		lv.granted = left
	}
}

// host performs an instruction that leaves the program: a call of a host function or a store to a host's field. The
// engine has put the registers and the fuel into the state; it takes r0 and the fuel back. On a fault, which host
// notes in the state, it returns false.
func (m *Machine) host(i *Inst) bool {
	lv := m.lv
	if i.Op == IRStoreFieldHost {
		return m.storeField(lv, i)
	}
	h := m.in.module.hosts[i.Imm]
	cost := int64(h.Cost)
	if h.checks {
		n, ok := m.checkArguments(lv, h)
		if !ok {
			return lv.stop(FaultArgument, i)
		}
		cost += n >> 3
	}
	lv.fuel -= cost
	if lv.fuel < 0 {
		return lv.stop(FaultFuel, i)
	}
	if m.in.budget != nil {
		m.in.pay(lv)
	}
	r0, err := h.Fn(m, (*[5]uint64)(lv.regs[1:6]))
	if b := m.in.budget; b != nil && lv.fuel > *b {
		lv.fuel = max(*b, 0)
		lv.granted = lv.fuel
	}
	if err == nil && h.judge {
		err = h.checkResult(lv, r0)
	}
	if err != nil {
		lv.err = err
		if errors.Is(err, errFuel) {
			return lv.stop(FaultFuel, i)
		}
		return lv.stop(FaultHost, i)
	}
	lv.regs[0] = r0
	return true
}

// stop notes a fault.
func (lv *level) stop(k FaultKind, i *Inst) bool {
	lv.faultKind = k
	code := lv.prog.module.code
	lv.faultInst = int32((uintptr(unsafe.Pointer(i)) - uintptr(unsafe.Pointer(&code[0]))) / unsafe.Sizeof(Inst{}))
	if k != FaultArgument {
		lv.faultAddr = 0
	}
	return false
}

// checkResult holds host functions to what the verifier relies on.
func (h *hostFunc) checkResult(lv *level, r uint64) error {
	switch h.Result.Type {
	case ScalarResult:
		if h.Result.Max != 0 && r > h.Result.Max {
			return fmt.Errorf("%s returned %d, more than its largest result", h.Name, r)
		}
	case HandleResult:
		if r >= NumSlots || lv.views[r] == nil || r == 0 && !h.Result.Nullable {
			return fmt.Errorf("%s returned no valid handle", h.Name)
		}
		if r >= FirstDynamicSlot && lv.kinds[r] != h.result.kind {
			return fmt.Errorf("%s returned a handle of another kind", h.Name)
		}
	case AddressResult:
		if r > maxAddress {
			return fmt.Errorf("%s returned no valid address", h.Name)
		}
	}
	return nil
}

// checkArguments checks the arguments that the verifier could not vouch for and returns how many bytes of memory
// they name.
func (m *Machine) checkArguments(lv *level, h *hostFunc) (int64, bool) {
	total := int64(0)
	lv.faultAddr = 0
	for n := range h.Params {
		p := &h.Params[n]
		x := lv.regs[R1+n]
		size := uint64(p.Size)
		switch p.Type {
		case ScalarParam:
			if p.Max != 0 && (x < p.Min || x > p.Max) {
				return 0, lv.refuse("argument %d of %s is %d, outside %d to %d", n+1, h.Name, x, p.Min, p.Max)
			}
			continue
		case CStringParam:
			most := p.MaxLen
			if most == 0 {
				most = m.in.end
			}
			s, err := m.CString(x, most)
			if err != nil {
				lv.err = fmt.Errorf("argument %d of %s: %w", n+1, h.Name, err)
				return 0, false
			}
			total += int64(len(s))
			continue
		case MemReadParam, MemWriteParam:
			size = lv.regs[R1+n+1]
			if most := h.Params[n+1].MaxLen; most != 0 && size > uint64(most) {
				return 0, lv.refuse("argument %d of %s is %d bytes, more than %d", n+2, h.Name, size, most)
			}
		case MemReadFixedParam, MemWriteFixedParam:
		default:
			continue
		}
		if size == 0 {
			continue
		}
		inside := m.in.Bytes(x, size) != nil
		if p.Type == MemWriteParam || p.Type == MemWriteFixedParam {
			inside = m.in.Writable(x, size) != nil
		}
		if !inside {
			lv.faultAddr = x
			return 0, lv.refuse("argument %d of %s: %d bytes at %#x are not inside memory", n+1, h.Name, size, x)
		}
		total += int64(size)
	}
	return total, true
}

// refuse notes why an argument was refused.
func (lv *level) refuse(format string, args ...any) bool {
	lv.err = fmt.Errorf(format, args...)
	return false
}

// storeField hands a store to the host.
func (m *Machine) storeField(lv *level, i *Inst) bool {
	slot := uint8(i.Target)
	if i.Flags&FlagStatic == 0 {
		slot = uint8(lv.regs[i.Dst])
	}
	v := uint64(i.Imm)
	if i.Flags&FlagImm == 0 {
		v = lv.regs[i.Src]
	}
	kind, field := int(i.Off>>16), int(i.Off&0xffff)
	shift := 64 - 8*uint(i.Size)
	if m.in.module.env.Kinds[kind].Fields[field].Signed {
		v = uint64(int64(v<<shift) >> shift)
	} else {
		v = v << shift >> shift
	}
	err := errNoStore
	if store := m.in.module.env.StoreField; store != nil {
		err = store(m, kind, slot, field, v)
	}
	if err != nil {
		lv.err = err
		return lv.stop(FaultHost, i)
	}
	return true
}

var errNoStore = errors.New("the host takes no stores to this field")
