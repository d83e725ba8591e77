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
	if in.base == nil {
		return 0, errClosed
	}
	if p.module != in.module {
		return 0, errForeign
	}
	m := &in.machine
	if m.top >= MaxNesting {
		return 0, errNesting
	}
	lv := m.levels[m.top]
	if lv == nil {
		lv = in.newLevel(m.top)
		m.levels[m.top] = lv
	}
	if err := lv.prepare(p, c); err != nil {
		return 0, err
	}
	outer := m.lv
	fuel := int64(min(in.module.opt.Fuel, 1<<62))
	if outer != nil {
		fuel = min(fuel, max(outer.fuel, 0))
	}
	if in.budget != nil {
		fuel = min(fuel, max(*in.budget, 0))
	}
	lv.fuel, lv.granted, lv.initial = fuel, fuel, fuel
	m.lv = lv
	m.top++
	ok := in.module.engine.run(m, &lv.state, p.entry)
	m.top--
	m.lv = outer
	in.settle(lv, outer)
	if ok {
		return lv.regs[0], nil
	}
	in.stats.Faults++
	return 0, in.fault(lv)
}

// newLevel makes the state of a nesting level.
func (in *Instance) newLevel(n int) *level {
	lv := new(level)
	l := &in.module.layout
	lv.arena = in.base
	lv.loadLimit = uint64(in.end) - NullGuard
	lv.storeLimit = uint64(in.end - l.rwStart)
	lv.rwStart = uint64(l.rwStart)
	lv.views[0] = unsafe.Pointer(&zeroView)
	lv.next = FirstDynamicSlot
	lv.top = uint64(l.stackTop) - uint64(n)*stackSize
	return lv
}

// prepare sets registers and views for a call.
func (lv *level) prepare(p *Prog, c *Call) error {
	for s := lv.next; s > FirstDynamicSlot; s-- {
		lv.views[s-1] = nil
	}
	lv.next = FirstDynamicSlot
	lv.depth = 0
	lv.prog = p
	lv.regs[R10] = lv.top
	lv.regs[1] = uint64(p.slot)
	set := uint64(0)
	n := uint8(0)
	if c != nil {
		if len(c.Views) >= FirstDynamicSlot {
			return errViews
		}
		for i, v := range c.Views {
			lv.views[i+1] = v
			if v != nil {
				set |= 2 << i
			}
		}
		n = uint8(len(c.Views))
		for i := uint8(0); i < p.scalars; i++ {
			lv.regs[p.first+i] = c.Args[i]
		}
		lv.user = c.User
	} else {
		lv.user = nil
		for i := uint8(0); i < p.scalars; i++ {
			lv.regs[p.first+i] = 0
		}
	}
	for s := n + 1; s <= lv.used; s++ {
		lv.views[s] = nil
	}
	lv.used = n
	if p.need&^set != 0 {
		return errViews
	}
	return nil
}

// settle takes what a call spent from the connection's budget and from the call that caused it.
func (in *Instance) settle(lv, outer *level) {
	in.pay(lv)
	spent := lv.initial - max(lv.fuel, 0)
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
