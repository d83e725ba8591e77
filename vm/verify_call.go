package vm

import (
	"fmt"
	"math"
)

// callLocal passes the arguments to another function of the program.
func (a *analysis) callLocal(s *absState, slot int, i Instruction) error {
	g := a.v.funcs[a.v.object.FunctionAt(slot+1+int(i.Imm))]
	var args [numRegisters]value
	for r := R1; r <= R5; r++ {
		args[r] = s.regs[r]
		if args[r].t == scalar {
			if args[r].isFrame() {
				args[r] = a.v.frameAddress(&args[r])
			}
			args[r].dropSym()
		} else {
			args[r].sym = 0
		}
		if args[r].t == handle && args[r].off != 0 && args[r].nullable {
			args[r] = value{t: conflict}
		}
	}
	if a.sure {
		a.v.enter(g, &args)
	}
	if !a.f.frame.private {
		a.clobber(s, &place{})
	}
	if g.mayFree {
		a.kill(s)
	}
	for r := R1; r <= R5; r++ {
		s.regs[r] = value{}
	}
	r0 := value{}
	switch {
	case !a.v.outs: // the first round does not know results yet
		r0 = anyScalar()
	case g.out.t == scalar:
		r0 = g.out
		r0.dropSym()
	}
	a.define(s, slot, R0, r0)
	if a.v.outs && !g.exits {
		return errDeadEnd
	}
	return nil
}

// frameAddress is what a callee knows of an address in the stack frame of its caller.
func (v *verifier) frameAddress(x *value) value {
	if x.dlo < -FrameSize || x.dhi > 0 {
		return anyScalar()
	}
	return scalarRange(uint64(v.layout.stackTop)-privateSize, uint64(v.layout.stackTop))
}

// kill marks the handles dead that a host function may have freed.
func (a *analysis) kill(s *absState) {
	doom := func(v *value) {
		if v.t == handle && !v.ctx && !a.v.env.Kinds[v.kind].Stable {
			*v = value{t: dead, kind: v.kind}
		}
	}
	for r := range s.regs {
		doom(&s.regs[r])
	}
	for c := range s.cells {
		doom(&s.cells[c].value)
	}
}

// callHost checks the arguments of a host function and knows its result.
func (a *analysis) callHost(s *absState, slot int, i Instruction) error {
	if i.Imm < 0 || int(i.Imm) >= len(a.v.hosts) {
		return a.err(slot, "host function %d does not exist", i.Imm)
	}
	h := a.v.hosts[i.Imm]
	if h == nil {
		return a.err(slot, "the host has no function %s; test for it before the call", a.v.object.Imports[i.Imm].Name)
	}
	for n := range h.Params {
		if err := a.argument(s, slot, h.HostFunc, n); err != nil {
			return err
		}
	}
	for n := range h.Params {
		a.written(s, h.HostFunc, n)
	}
	if h.MayFree {
		a.kill(s)
	}
	for r := R1; r <= R5; r++ {
		s.regs[r] = value{}
	}
	a.define(s, slot, R0, h.result)
	if a.final {
		a.v.useHost(a.f, int(i.Imm), slot)
	}
	return nil
}

// argument checks one argument of a host function.
func (a *analysis) argument(s *absState, slot int, h *HostFunc, n int) error {
	p := &h.Params[n]
	r := uint8(R1 + n)
	x := &s.regs[r]
	name := func() string { return fmt.Sprintf("argument %d of %s", n+1, h.Name) }
	switch p.Type {
	case HandleParam, NullableHandleParam:
		null := p.Type == NullableHandleParam
		if null && x.isConst() && x.umin == 0 {
			return nil
		}
		if x.t == handle && a.v.env.Kinds[x.kind].Name == p.Of && x.off == 0 {
			if x.nullable && !null {
				return a.err(slot, "%s may be null; compare it with 0 first", name())
			}
			return nil
		}
		if x.t == unknown || x.t == dead || x.t == conflict {
			if err := a.integer(slot, r, x); err != nil {
				return err
			}
		}
		return a.err(slot, "%s must be a pointer to struct %s as the host gave it; %s", name(), p.Of, a.isWhat(r, x))
	}
	if err := a.integer(slot, r, x); err != nil {
		return err
	}
	switch p.Type {
	case ScalarParam:
		if p.Max != 0 && (x.umin > p.Max || x.umax < p.Min) {
			return a.err(slot, "%s must be in %d to %d", name(), p.Min, p.Max)
		}
	case LenParam:
		if p.MaxLen != 0 && x.umin > uint64(p.MaxLen) {
			return a.err(slot, "%s must be at most %d bytes", name(), p.MaxLen)
		}
	case MemReadParam, MemWriteParam, MemReadFixedParam, MemWriteFixedParam:
		size := uint64(p.Size)
		if p.Type == MemReadParam || p.Type == MemWriteParam {
			size = s.regs[r+1].umin
			if s.regs[r+1].t != scalar {
				return a.integer(slot, r+1, &s.regs[r+1])
			}
		}
		if x.isFrame() && (x.dlo < -FrameSize || size > FrameSize || x.dhi > -int64(size)) && x.dlo == x.dhi {
			return a.err(slot, "%s: %d bytes at r10%+d are not inside the stack frame", name(), size, x.dlo)
		}
	}
	return nil
}

// isWhat says what a register is, for messages.
func (a *analysis) isWhat(r uint8, x *value) string {
	if x.t == handle {
		if x.off != 0 {
			return fmt.Sprintf("%s plus %d", a.what(r, x), x.off)
		}
		return a.what(r, x)
	}
	return fmt.Sprintf("r%d is an integer", r)
}

// written forgets what the stack held where a host function may write.
func (a *analysis) written(s *absState, h *HostFunc, n int) {
	p := &h.Params[n]
	x := &s.regs[R1+n]
	var size uint64
	switch p.Type {
	case MemWriteFixedParam:
		size = uint64(p.Size)
	case MemWriteParam:
		size = s.regs[R1+n+1].umax
	default:
		return
	}
	at := place{}
	if x.isFrame() && size <= FrameSize {
		lo, hi := x.dlo+FrameSize, x.dhi+FrameSize+int64(size)
		if lo >= 0 && hi <= FrameSize {
			at = place{frame: true, lo: int(lo), hi: int(hi)}
		}
	}
	if at.frame {
		for k := range s.cells {
			r := a.f.frame.regions[k]
			if int(r.lo) >= at.lo && int(r.hi) <= at.hi {
				s.cells[k] = cell{value: anyScalar(), init: true}
			}
		}
	}
	a.clobber(s, &at)
}

// findField returns the field of the kind that holds the n bytes at off, or -1.
func findField(k *Kind, off int64, n uint8) int {
	lo, hi := 0, len(k.Fields)
	for lo < hi {
		mid := int(uint(lo+hi) >> 1)
		if int64(k.Fields[mid].Offset) <= off {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	if lo == 0 {
		return -1
	}
	f := &k.Fields[lo-1]
	if off+int64(n) > int64(f.Offset)+int64(f.length()) {
		return -1
	}
	return lo - 1
}

// length returns the bytes of the field.
func (f *Field) length() uint32 {
	if f.Type == BytesField {
		return f.Length
	}
	return uint32(f.Size)
}

// field finds the field that an access goes to.
func (a *analysis) field(slot int, r uint8, b *value, off int16, n uint8) (int, error) {
	k := &a.v.env.Kinds[b.kind]
	if b.nullable {
		return 0, a.err(slot, "%s or is null; compare it with 0 first", a.what(r, b))
	}
	at := int64(b.off) + int64(off)
	f := findField(k, at, n)
	if f < 0 {
		return 0, a.err(slot, "struct %s has no field that holds the %d bytes at offset %d", k.Name, n, at)
	}
	return f, nil
}

func (a *analysis) loadField(s *absState, slot int, i Instruction, b *value) error {
	n := i.Size()
	fi, err := a.field(slot, i.Src, b, i.Off, n)
	if err != nil {
		return err
	}
	k := &a.v.env.Kinds[b.kind]
	fl := &k.Fields[fi]
	inner := int64(b.off) + int64(i.Off) - int64(fl.Offset)
	if a.final {
		a.v.useField(a.f, b.kind, fi, false)
	}
	fact := a.fact(slot)
	switch fl.Type {
	case HandleField:
		if inner != 0 || n != 8 || i.Mode() == ModeMEMSX {
			return a.err(slot, "field %s of struct %s is a typed pointer; only all 8 bytes of it can be read", fl.Name, k.Name)
		}
		h := value{t: handle, kind: a.v.kinds[fl.Of], slot: fl.Slot, nullable: fl.Nullable}
		fact.mode, fact.slot, fact.nullable = factHandle, fl.Slot, fl.Nullable
		a.need(fl.Slot, fl.Nullable)
		a.define(s, slot, i.Dst, h)
		return nil
	case AddressField:
		if inner != 0 || n != fl.Size {
			return a.err(slot, "field %s of struct %s is an address; only all of it can be read", fl.Name, k.Name)
		}
	}
	fact.mode = factField
	a.place(fact, b, fl, inner)
	v := rangeOf(n, i.Mode() == ModeMEMSX)
	a.define(s, slot, i.Dst, v)
	return nil
}

// place says where in which view the field's byte inner lies.
func (a *analysis) place(fact *fact, b *value, fl *Field, inner int64) {
	fact.slot, fact.off = b.slot, int32(int64(fl.Offset)+inner)
	if fl.View != 0 {
		fact.slot, fact.off = fl.View, int32(int64(fl.ViewOffset)+inner)
	}
	if fl.View != 0 || b.ctx {
		a.need(fact.slot, false)
	}
}

// need notes that a call must set the view, unless the verifier has seen that the program tests for it.
func (a *analysis) need(slot uint8, tested bool) {
	if a.final && !tested {
		a.f.need |= 1 << slot
	}
}

func (a *analysis) storeField(s *absState, slot int, i Instruction, b, v *value) error {
	n := i.Size()
	fi, err := a.field(slot, i.Dst, b, i.Off, n)
	if err != nil {
		return err
	}
	k := &a.v.env.Kinds[b.kind]
	fl := &k.Fields[fi]
	if v.t != scalar {
		return a.err(slot, "%s; such a pointer cannot be stored in field %s of struct %s", a.what(i.Src, v), fl.Name, k.Name)
	}
	if fl.Access == ReadOnly || fl.Type == HandleField {
		return a.err(slot, "field %s of struct %s is read-only", fl.Name, k.Name)
	}
	inner := int64(b.off) + int64(i.Off) - int64(fl.Offset)
	if fl.Type != BytesField && (inner != 0 || n != fl.Size) {
		return a.err(slot, "field %s of struct %s has %d bytes; it must be stored whole", fl.Name, k.Name, fl.Size)
	}
	if fl.Type == BytesField && fl.Access == AccessHost {
		return a.err(slot, "field %s of struct %s is read-only", fl.Name, k.Name)
	}
	if a.final {
		a.v.useField(a.f, b.kind, fi, true)
		a.v.useStore(a.f, fl.Access, slot)
	}
	fact := a.fact(slot)
	a.place(fact, b, fl, inner)
	fact.mode = factField
	if fl.Access == AccessHost {
		fact.mode = factHost
		fact.slot = b.slot
		fact.field = int32(b.kind)<<16 | int32(fi)
	}
	return nil
}

// hostFunc is a host function with what every call needs.
type hostFunc struct {
	*HostFunc
	checks bool  // some argument must be looked at before the call
	judge  bool  // and the result after it
	result value // what r0 is afterwards
}

func (v *verifier) newHostFunc(h *HostFunc) *hostFunc {
	f := &hostFunc{HostFunc: h}
	f.judge = h.Result.Type == HandleResult || h.Result.Type == AddressResult || h.Result.Type == ScalarResult && h.Result.Max != 0
	for i := range h.Params {
		switch p := &h.Params[i]; p.Type {
		case HandleParam, NullableHandleParam:
		case ScalarParam:
			f.checks = f.checks || p.Max != 0
		default:
			f.checks = true
		}
	}
	switch h.Result.Type {
	case ScalarResult:
		f.result = anyScalar()
		if h.Result.Max != 0 {
			f.result = scalarRange(0, h.Result.Max)
		}
	case HandleResult:
		f.result = value{t: handle, kind: v.kinds[h.Result.Of], nullable: h.Result.Nullable}
	case AddressResult:
		f.result = scalarRange(0, math.MaxUint32)
	}
	return f
}
