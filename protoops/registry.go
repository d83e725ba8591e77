package protoops

import (
	"errors"
	"fmt"
	"slices"
)

// A Registry is the set of operations an S offers. It does not change once made,
// so all connections on all goroutines share it.
type Registry[S Subject] struct {
	ops      map[Key]*Op[S]
	families map[string]*Op[S]
	names    map[string]int // how many ops of a name, families not counted
	infos    []OpInfo
}

// NewRegistry gathers ops and checks them. It panics, when the program starts,
// with every mistake it finds: an empty or invalid name, a key defined twice, a
// missing slot, an argument or result that pluglets cannot be given.
func NewRegistry[S Subject](ops ...Op[S]) *Registry[S] {
	r := &Registry[S]{ops: make(map[Key]*Op[S]), families: make(map[string]*Op[S]), names: make(map[string]int)}
	var errs []error
	for i := range ops {
		op := &ops[i]
		if err := r.add(op); err != nil {
			errs = append(errs, fmt.Errorf("operation %q: %w", op.info.Key, err))
		}
	}
	for k := range r.ops {
		// Parameter zero alone is a Key whose Param was forgotten.
		if k.Param == 0 && r.names[k.Name] == 1 && r.families[k.Name] == nil {
			errs = append(errs, fmt.Errorf("operation %q: its only parameter is 0; a plain operation has NoParam", k))
		}
	}
	if err := errors.Join(errs...); err != nil {
		panic("protoops: " + err.Error())
	}
	slices.SortFunc(r.infos, func(a, b OpInfo) int { return a.Key.Compare(b.Key) })
	return r
}

func (r *Registry[S]) add(op *Op[S]) error {
	if op.err != nil {
		return op.err
	}
	k := op.info.Key
	if op.site == nil {
		return errors.New("not made by Define")
	}
	// A plain operation and a family of its name would share one Key.
	if r.ops[k] != nil || k.Param == NoParam && r.families[k.Name] != nil {
		return errors.New("defined twice")
	}
	if op.info.Family {
		r.families[k.Name] = op
	} else {
		r.ops[k] = op
		r.names[k.Name]++
	}
	r.infos = append(r.infos, op.info)
	return nil
}

// Ops returns the description of every operation, sorted by key.
func (r *Registry[S]) Ops() []OpInfo { return slices.Clone(r.infos) }

// Lookup returns the description of what a binding to k would attach to. For a
// parameter the engine does not know that is its family's, with k as its Key.
func (r *Registry[S]) Lookup(k Key) (OpInfo, bool) {
	op := r.find(k)
	if op == nil {
		return OpInfo{}, false
	}
	info := op.info
	info.Key = k
	return info, true
}

func (r *Registry[S]) find(k Key) *Op[S] {
	if op := r.ops[k]; op != nil {
		return op
	}
	if k.Param == NoParam {
		return nil
	}
	f := r.families[k.Name]
	if f != nil && f.excluded != nil && f.excluded(k.Param) {
		return nil
	}
	return f
}

// has reports whether any operation of the engine bears the name.
func (r *Registry[S]) has(name string) bool {
	return r.names[name] > 0 || r.families[name] != nil
}

// Check returns an error if two operations share a slot of s, or one has none:
// a mistake in a slot function that NewRegistry cannot see.
func (r *Registry[S]) Check(s S) error {
	var errs []error
	seen := make(map[*site]Key)
	for _, info := range r.infos {
		if info.Family {
			op := r.families[info.Key.Name]
			if _, err := op.peek(s, 0); err != nil {
				errs = append(errs, fmt.Errorf("operation %q: %w", info.Key, err))
			}
			continue
		}
		op := r.ops[info.Key]
		if _, err := op.peek(s, info.Key.Param); err != nil {
			errs = append(errs, fmt.Errorf("operation %q: %w", info.Key, err))
			continue
		}
		slot, _ := op.site(s, info.Key.Param)
		if other, dup := seen[slot]; dup {
			errs = append(errs, fmt.Errorf("operations %q and %q share a slot", other, info.Key))
		}
		seen[slot] = info.Key
	}
	return errors.Join(errs...)
}
