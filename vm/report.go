package vm

import (
	"fmt"
	"slices"
	"strings"
)

// A Verdict is what the verifier found out about one program.
type Verdict struct {
	Section string
	Name    string
	// Proved says that every call ends after at most Bound instructions of RFC 9669, those of functions it calls
	// included and host functions not. Otherwise Reason says why that is not known; fuel ends the program then.
	Proved bool
	Bound  uint64
	Reason string
	// Functions is how many functions are active at once at most; each has FrameSize bytes of stack.
	Functions    int
	StackDepth   int // bytes
	Instructions int // of the program and the functions it may call
	UsesFields   []FieldAccess
	UsesFuncs    []string // names of host functions, sorted
	Effects      EffectSet
}

// A FieldAccess is a field of a host's struct that a program reads or writes.
type FieldAccess struct {
	Kind  string
	Field string
	Read  bool
	Write bool
}

// String gives the verdict as pquic-plugin prints it: "proved <= 120" or "metered (reason)".
func (v Verdict) String() string {
	if v.Proved {
		return fmt.Sprintf("proved <= %d", v.Bound)
	}
	return "metered (" + v.Reason + ")"
}

// Report returns a verdict for every program, in the order of the object.
func (m *Module) Report() []Verdict { return slices.Clone(m.report) }

// uses is what a function uses of the host, with the slot where it first does.
type uses struct {
	fields map[uint32]fieldUse // kind<<16 | field
	hosts  map[int]int         // import to slot
	stores [3]int              // slot+1 of the first store, by Access
}

type fieldUse struct{ read, write bool }

func (v *verifier) useHost(f *function, im, slot int) {
	if f.uses.hosts == nil {
		f.uses.hosts = make(map[int]int)
	}
	if _, ok := f.uses.hosts[im]; !ok {
		f.uses.hosts[im] = slot
	}
}

func (v *verifier) useField(f *function, kind uint16, field int, write bool) {
	if f.uses.fields == nil {
		f.uses.fields = make(map[uint32]fieldUse)
	}
	key := uint32(kind)<<16 | uint32(field)
	u := f.uses.fields[key]
	u.read, u.write = u.read || !write, u.write || write
	f.uses.fields[key] = u
}

func (v *verifier) useStore(f *function, access Access, slot int) {
	if f.uses.stores[access] == 0 {
		f.uses.stores[access] = slot + 1
	}
}

// reach returns the functions that program k may run.
func (v *verifier) reach(k int) []*function {
	seen := make([]bool, len(v.funcs))
	var list []*function
	work := []int{k}
	for len(work) > 0 {
		g := work[len(work)-1]
		work = work[:len(work)-1]
		if seen[g] || v.funcs[g] == nil || v.funcs[g].entry == nil {
			continue
		}
		seen[g] = true
		list = append(list, v.funcs[g])
		work = append(work, v.funcs[g].calls...)
	}
	return list
}

// effects refuses programs that use what their section does not allow, and computes the bounds.
func (v *verifier) effects() error {
	for i, p := range v.object.Programs {
		spec := &v.specs[i]
		for _, f := range v.reach(p.Function) {
			for im, slot := range f.uses.hosts {
				if h := v.hosts[im]; !spec.Effects.Has(h.Effect) {
					return v.errAt(f, slot, "section %q allows no function with effect %q: %s", p.Section, h.Effect, h.Name)
				}
			}
			if s := f.uses.stores[AccessHost]; s > 0 && !spec.Effects.Has(Mutate) {
				return v.errAt(f, s-1, "section %q allows no changes of the host's fields", p.Section)
			}
			if s := f.uses.stores[AccessDirect]; s > 0 && spec.ReadOnly {
				return v.errAt(f, s-1, "section %q allows no changes of the host's fields", p.Section)
			}
		}
	}
	v.costs()
	return nil
}

// verdicts makes the report.
func (v *verifier) verdicts() []Verdict {
	var list []Verdict
	for _, p := range v.object.Programs {
		f := v.funcs[p.Function]
		d := Verdict{Section: p.Section, Name: p.Name, Proved: f.bound.known, Bound: f.bound.n, Reason: f.bound.reason,
			Functions: f.height, StackDepth: f.height * FrameSize}
		if d.Proved && d.Bound > v.opt.Fuel {
			d.Proved, d.Bound = false, 0
			d.Reason = fmt.Sprintf("it may take %d instructions, more than the %d that a call may execute", f.bound.n, v.opt.Fuel)
		}
		fields := make(map[uint32]fieldUse)
		for _, g := range v.reach(p.Function) {
			for _, k := range g.order {
				d.Instructions += int(g.blocks[k].cost)
			}
			for key, u := range g.uses.fields {
				w := fields[key]
				fields[key] = fieldUse{w.read || u.read, w.write || u.write}
			}
			for im := range g.uses.hosts {
				d.Effects |= 1 << v.hosts[im].Effect
				if n := v.hosts[im].Name; !slices.Contains(d.UsesFuncs, n) {
					d.UsesFuncs = append(d.UsesFuncs, n)
				}
			}
			if g.uses.stores[AccessHost] > 0 {
				d.Effects |= 1 << Mutate
			}
		}
		for key, u := range fields {
			k := &v.env.Kinds[key>>16]
			d.UsesFields = append(d.UsesFields, FieldAccess{k.Name, k.Fields[key&0xffff].Name, u.read, u.write})
		}
		slices.SortFunc(d.UsesFields, func(a, b FieldAccess) int {
			if c := strings.Compare(a.Kind, b.Kind); c != 0 {
				return c
			}
			return strings.Compare(a.Field, b.Field)
		})
		slices.Sort(d.UsesFuncs)
		list = append(list, d)
	}
	return list
}
