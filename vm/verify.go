package vm

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Options are limits and choices for Compile. The zero value means the defaults.
type Options struct {
	// Engine is "auto" (the default: jit where it exists, else interp), "interp", "jit" or "ubpf".
	Engine string
	// Fuel is how many instructions one call may execute, 1 << 20 by default.
	Fuel uint64
	// MaxArena bounds an instance's memory in bytes, 32 MiB by default.
	MaxArena uint32
	// MaxInsts bounds the instruction slots of an object, 65536 by default.
	MaxInsts int
	// CallBuffer is the size of the buffer that a call can pass bytes in, 16384 by default; one per nesting level.
	CallBuffer uint32
}

// Defaults of Options.
const (
	DefaultFuel       = 1 << 20
	DefaultMaxArena   = 32 << 20
	DefaultMaxInsts   = 1 << 16
	DefaultCallBuffer = 16 << 10
)

func (o Options) withDefaults() Options {
	if o.Engine == "" {
		o.Engine = "auto"
	}
	if o.Fuel == 0 {
		o.Fuel = DefaultFuel
	}
	if o.MaxArena == 0 {
		o.MaxArena = DefaultMaxArena
	}
	if o.MaxInsts == 0 {
		o.MaxInsts = DefaultMaxInsts
	}
	if o.CallBuffer == 0 {
		o.CallBuffer = DefaultCallBuffer
	}
	return o
}

// A VerifyError says why a program was refused, and where.
type VerifyError struct {
	Object   string
	Section  string
	Function string
	Slot     int // within the function, as the disassembly counts; -1 if the error concerns no instruction
	File     string
	Line     int // 0 without line information
	Disasm   string
	Msg      string
}

// Error gives one line.
func (e *VerifyError) Error() string {
	var b strings.Builder
	b.WriteString("vm: ")
	if e.Object != "" {
		fmt.Fprintf(&b, "%s: ", e.Object)
	}
	if e.Section != "" {
		fmt.Fprintf(&b, "section %q: ", e.Section)
	}
	if e.Function != "" {
		fmt.Fprintf(&b, "function %q: ", e.Function)
	}
	if e.Slot >= 0 {
		fmt.Fprintf(&b, "instruction %d", e.Slot)
		if e.Disasm != "" {
			fmt.Fprintf(&b, " (%s)", e.Disasm)
		}
		if e.Line > 0 {
			fmt.Fprintf(&b, " at %s:%d", e.File, e.Line)
		}
		b.WriteString(": ")
	}
	b.WriteString(e.Msg)
	return b.String()
}

var (
	errNotYet  = errors.New("vm: not settled")
	errDeadEnd = errors.New("vm: the callee does not return")
)

// Bounds of the verifier's own work.
const (
	maxLoopBlocks = 1 << 24 // loops times blocks of one function
	stepsPerSlot  = 128     // analysed instructions per instruction, on average
	stepsAtLeast  = 1 << 16
)

// verifier works on one object.
type verifier struct {
	object *Object
	env    *Env
	opt    Options
	layout layout

	kinds map[string]uint16
	hosts []*hostFunc // by import; nil if a weak one is missing
	specs []ContextSpec
	funcs []*function // by function; nil in calls to functions that no program reaches
	calls []int       // functions that programs reach, callers first
	facts []fact      // by slot
	left  int         // steps of analysis that may still be made
	outs  bool        // results of functions are known
}

// errAt makes a VerifyError for the instruction at slot of f.
func (v *verifier) errAt(f *function, slot int, format string, args ...any) error {
	o := v.object
	e := &VerifyError{
		Object:   o.Name,
		Section:  o.Functions[f.index].Section,
		Function: f.name,
		Slot:     slot - f.start,
		Msg:      fmt.Sprintf(format, args...),
	}
	if slot < len(o.Code) {
		e.Disasm = o.InstructionText(slot)
	}
	if l := o.lineOf(slot); l != nil {
		e.File, e.Line = l.File, l.Line
	}
	return e
}

func (v *verifier) errObject(format string, args ...any) error {
	return &VerifyError{Object: v.object.Name, Slot: -1, Msg: fmt.Sprintf(format, args...)}
}

// lineOf returns the source line of the slot, or nil.
func (o *Object) lineOf(slot int) *Line {
	i, ok := slices.BinarySearchFunc(o.Lines, slot, func(l Line, s int) int { return l.Slot - s })
	if !ok {
		i--
	}
	if i < 0 {
		return nil
	}
	if f := o.FunctionAt(slot); f < 0 || o.Lines[i].Slot < o.Functions[f].Start {
		return nil
	}
	return &o.Lines[i]
}

// verify checks the object and finds out what lowering needs.
func (v *verifier) verify() error {
	if len(v.object.Code) > v.opt.MaxInsts {
		return v.errObject("%d instructions are more than the %d allowed", len(v.object.Code), v.opt.MaxInsts)
	}
	if len(v.object.Programs) == 0 {
		return v.errObject("no program: a program is a global function in a section other than .text")
	}
	if err := v.bind(); err != nil {
		return err
	}
	if err := v.graph(); err != nil {
		return err
	}
	v.left = max(stepsAtLeast, stepsPerSlot*len(v.object.Code))
	v.facts = make([]fact, len(v.object.Code))
	nested := false
	for _, k := range v.calls {
		nested = nested || len(v.funcs[k].calls) > 0
	}
	if nested {
		if err := v.analyse(false); err != nil {
			return err
		}
	}
	v.outs = true
	if err := v.analyse(true); err != nil {
		return err
	}
	return v.effects()
}

// bind finds kinds, host functions and contexts by name.
func (v *verifier) bind() error {
	if err := v.bindKinds(); err != nil {
		return err
	}
	byName := make(map[string]*HostFunc, len(v.env.Funcs))
	for i := range v.env.Funcs {
		byName[v.env.Funcs[i].Name] = &v.env.Funcs[i]
	}
	for _, im := range v.object.Imports {
		h := byName[im.Name]
		switch {
		case h != nil:
			v.hosts = append(v.hosts, v.newHostFunc(h))
		case im.Weak:
			v.hosts = append(v.hosts, nil)
		default:
			return v.errObject("the host has no function %s", im.Name)
		}
	}
	for _, p := range v.object.Programs {
		if v.env.Context == nil {
			v.specs = append(v.specs, ContextSpec{Slot: 1})
			continue
		}
		spec, err := v.env.Context(p.Section)
		if err != nil {
			return &VerifyError{Object: v.object.Name, Section: p.Section, Function: p.Name, Slot: -1, Msg: err.Error()}
		}
		if spec.Slot == 0 {
			spec.Slot = 1
		}
		if _, ok := v.kinds[spec.Kind]; spec.Kind != "" && !ok || spec.Slot >= FirstDynamicSlot {
			return v.errObject("the host's context for section %q is not sound", p.Section)
		}
		v.specs = append(v.specs, spec)
	}
	return nil
}

// bindKinds checks that the host's types are as the documentation of Env asks, since safety rests on them.
func (v *verifier) bindKinds() error {
	v.kinds = make(map[string]uint16, len(v.env.Kinds))
	for i := range v.env.Kinds {
		v.kinds[v.env.Kinds[i].Name] = uint16(i)
	}
	for i := range v.env.Kinds {
		k := &v.env.Kinds[i]
		end := uint32(0)
		for j := range k.Fields {
			f := &k.Fields[j]
			_, known := v.kinds[f.Of]
			if f.Offset < end || f.Offset+f.length() > MaxKindSize || f.ViewOffset+f.length() > MaxKindSize ||
				f.View == 0 && f.Type != HandleField && f.Offset+f.length() > k.Size || f.View >= FirstDynamicSlot ||
				f.Type == HandleField && (!known || f.Slot == 0 || f.Slot >= FirstDynamicSlot || f.Size != 8) ||
				f.Type != BytesField && f.Size != 1 && f.Size != 2 && f.Size != 4 && f.Size != 8 {
				return v.errObject("the host's field %s of struct %s is not sound", f.Name, k.Name)
			}
			end = f.Offset + f.length()
		}
	}
	for i := range v.env.Funcs {
		h := &v.env.Funcs[i]
		if !v.soundFunc(h) {
			return v.errObject("the host's function %s is not sound", h.Name)
		}
	}
	return nil
}

func (v *verifier) soundFunc(h *HostFunc) bool {
	if len(h.Params) > 5 || h.Fn == nil {
		return false
	}
	for i := range h.Params {
		p := &h.Params[i]
		switch p.Type {
		case HandleParam, NullableHandleParam:
			if _, ok := v.kinds[p.Of]; !ok {
				return false
			}
		case MemReadParam, MemWriteParam:
			if i+1 >= len(h.Params) || h.Params[i+1].Type != LenParam {
				return false
			}
		case LenParam:
			if i == 0 || h.Params[i-1].Type != MemReadParam && h.Params[i-1].Type != MemWriteParam {
				return false
			}
		}
	}
	_, ok := v.kinds[h.Result.Of]
	return ok || h.Result.Type != HandleResult
}

// graph builds the functions that programs reach, checks them one by one, refuses recursion and deep calls, and puts
// callers before callees.
func (v *verifier) graph() error {
	v.funcs = make([]*function, len(v.object.Functions))
	done := make([]bool, len(v.funcs))
	for _, p := range v.object.Programs {
		if err := v.visit(p.Function, done, 1); err != nil {
			return err
		}
	}
	slices.Reverse(v.calls)
	return nil
}

func (v *verifier) visit(k int, done []bool, depth int) error {
	if done[k] {
		return nil
	}
	f, err := v.newFunction(k)
	if err != nil {
		return err
	}
	f.height = 1
	for _, c := range f.calls {
		slot := f.callSlot(v.object, c)
		g := v.funcs[c]
		if g != nil && !done[c] {
			return v.errAt(f, slot, "the call to %s is recursive; recursion is not supported", g.name)
		}
		if g == nil && depth >= MaxCallDepth {
			return v.errAt(f, slot, "calls are nested more than %d deep", MaxCallDepth)
		}
		if err := v.visit(c, done, depth+1); err != nil {
			return err
		}
		g = v.funcs[c]
		f.height = max(f.height, g.height+1)
		f.mayFree = f.mayFree || g.mayFree
		if f.height > MaxCallDepth {
			return v.errAt(f, slot, "calls are nested more than %d deep", MaxCallDepth)
		}
	}
	done[k] = true
	v.calls = append(v.calls, k)
	return nil
}

// newFunction checks the structure of function k.
func (v *verifier) newFunction(k int) (*function, error) {
	of := &v.object.Functions[k]
	f := &function{index: k, name: of.Name, start: of.Start, end: of.End}
	v.funcs[k] = f
	if of.Start < 0 || of.End > len(v.object.Code) {
		return nil, v.errObject("function %q lies outside the code", of.Name)
	}
	if err := v.structure(f); err != nil {
		return nil, err
	}
	f.scanFrame(v.object.Code)
	for _, b := range f.order {
		for s := f.blocks[b].start; s < f.blocks[b].end; s += v.object.Code[s].Slots() {
			i := v.object.Code[s]
			if i.Op != OpCall {
				continue
			}
			if i.Src == CallLocal {
				if g := v.object.FunctionAt(s + 1 + int(i.Imm)); !slices.Contains(f.calls, g) {
					f.calls = append(f.calls, g)
				}
			} else if i.Imm >= 0 && int(i.Imm) < len(v.hosts) && v.hosts[i.Imm] != nil {
				f.mayFree = f.mayFree || v.hosts[i.Imm].MayFree
			}
		}
	}
	return f, nil
}

// callSlot returns the first slot where f calls function g.
func (f *function) callSlot(o *Object, g int) int {
	for s := f.start; s < f.end; s += o.Code[s].Slots() {
		if i := o.Code[s]; i.Op == OpCall && i.Src == CallLocal && o.FunctionAt(s+1+int(i.Imm)) == g {
			return s
		}
	}
	return f.start
}

// steps is how much work the structural checks may spend on f.
func (v *verifier) steps(f *function) int {
	return max(stepsAtLeast, stepsPerSlot*(f.end-f.start))
}
