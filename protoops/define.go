package protoops

import (
	"errors"
	"fmt"
	"reflect"
)

// A Doc describes an operation to people.
type Doc struct {
	Summary string // what it decides or does, one sentence
	Fires   string // when the engine runs it
	Native  string // what the native body does
	Section string // URL of the RFC section it implements
}

// An OpInfo describes an operation as generators and loaders need it.
type OpInfo struct {
	Key     Key
	Doc     Doc
	Args    []Param
	Results []Param
	// Event: there is no native body, the operation only tells.
	Event bool
	// Family: any Param may be attached to, beside those with an OpInfo of their
	// own. Key.Param is NoParam.
	Family bool
}

// An Op is one operation, or family of operations, that an S offers.
type Op[S Subject] struct {
	info OpInfo
	err  error // a mistake in the definition, told by NewRegistry

	// site returns the slot of param, nil if a family has none for it now; the
	// error is a mistake in the slot function.
	site func(s S, param uint64) (*site, error)
	// add makes the slot of a family's parameter, drop forgets it; nil for the
	// others, whose slots are there for good.
	add  func(s S, param uint64) *site
	drop func(s S, param uint64)
	// fresh makes an empty chain.
	fresh func(s S, k Key) *chain
	// excluded says which parameters a family does not take; nil: none.
	excluded func(param uint64) bool
}

// Except makes a family refuse the parameters for which excluded reports true:
// those the engine handles without asking it. A binding to one is an
// ErrUnknownOp, instead of a pluglet that never runs.
func (op Op[S]) Except(excluded func(param uint64) bool) Op[S] {
	op.excluded = excluded
	return op
}

// Info returns the operation's description.
func (op Op[S]) Info() OpInfo { return op.info }

// Define declares operation k of S: where its slot is and what its native body
// is. The exported fields of A and R are its arguments and results, described by
// tags:
//
//	type rttSample struct {
//		LatestRTT time.Duration `op:"latest_rtt" unit:"ns" doc:"…" range:"0:"`
//		Path      *Path         `doc:"the path that was measured"`
//		Payload   []byte        `doc:"…"`
//	}
//
// Integers and bools are scalars. Pointers and interfaces are handles. Slices
// and arrays of bytes are bytes. The fields of a nested struct stand in its
// place, prefixed with its name unless it is embedded or its tag is op:"", if
// all of them are exported. Every other slice, array or struct is a handle by
// reference. Unexported fields and those tagged op:"-" are the engine's own. An
// A or R that is not a struct is a sole item named "value".
//
// native may be nil if R is None: the operation then is a pure event.
func Define[S Subject, A, R any](k Key, d Doc, slot func(S) *Slot[A, R], native func(S, A) R) Op[S] {
	op, in, out := describe[S](k, d, reflect.TypeFor[A](), reflect.TypeFor[R](), native == nil)
	if slot == nil {
		op.err = errors.Join(op.err, errors.New("no slot"))
		return op
	}
	op.site = func(s S, _ uint64) (*site, error) {
		if sl := slot(s); sl != nil {
			return &sl.site, nil
		}
		return nil, errNilSlot
	}
	op.fresh = maker(in, out, native)
	return op
}

// DefineFamily declares the operations of one name whose parameters the engine
// does not know: those of plugins. dynamic says where their slots are kept;
// native answers a parameter on which a plugin only observes, or whose plugin
// failed. Parameters the engine does know have their own Define beside it.
func DefineFamily[S Subject, A, R any](name string, d Doc, dynamic func(S) *Dynamic[A, R], native func(S, A) R) Op[S] {
	op, in, out := describe[S](Plain(name), d, reflect.TypeFor[A](), reflect.TypeFor[R](), native == nil)
	op.info.Family = true
	if dynamic == nil {
		op.err = errors.Join(op.err, errors.New("no slots"))
		return op
	}
	op.site = func(s S, param uint64) (*site, error) {
		dyn := dynamic(s)
		if dyn == nil {
			return nil, errNilSlot
		}
		if sl := dyn.Slot(param); sl != nil {
			return &sl.site, nil
		}
		return nil, nil
	}
	op.add = func(s S, param uint64) *site {
		dyn := dynamic(s)
		if *dyn == nil {
			*dyn = make(Dynamic[A, R])
		}
		sl := new(Slot[A, R])
		(*dyn)[param] = sl
		return &sl.site
	}
	op.drop = func(s S, param uint64) { delete(*dynamic(s), param) }
	op.fresh = maker(in, out, native)
	return op
}

var errNilSlot = errors.New("slot function returned nil")

// describe is the part of Define that does not depend on the types.
func describe[S Subject](k Key, d Doc, args, results reflect.Type, event bool) (op Op[S], in, out *layout) {
	op.info = OpInfo{Key: k, Doc: d, Event: event}
	if !validName(k.Name) {
		op.err = fmt.Errorf("%w %q", ErrName, k.Name)
	}
	if event && results != reflect.TypeFor[None]() {
		op.err = errors.Join(op.err, fmt.Errorf("%w, but results", ErrNoNative))
	}
	in, err := layoutOf(args)
	if err != nil {
		op.err = errors.Join(op.err, fmt.Errorf("arguments: %w", err))
		return op, nil, nil
	}
	out, err = layoutOf(results)
	if err != nil {
		op.err = errors.Join(op.err, fmt.Errorf("results: %w", err))
		return op, nil, nil
	}
	op.info.Args, op.info.Results = in.described, out.described
	return op, in, out
}

// maker returns what makes the chains of an operation.
func maker[S Subject, A, R any](in, out *layout, native func(S, A) R) func(S, Key) *chain {
	return func(s S, k Key) *chain {
		var body func(A) R
		if native != nil {
			body = func(a A) R { return native(s, a) }
		}
		return newOperation(k, s.Operations(), s, in, out, body)
	}
}

// peek returns what is attached for param, nil if nothing is.
func (op *Op[S]) peek(s S, param uint64) (*chain, error) {
	sl, err := op.site(s, param)
	if sl == nil {
		return nil, err
	}
	return sl.chain, nil
}

// open returns the chain of k, made if there is none.
func (op *Op[S]) open(s S, k Key) *chain {
	// The table comes first: asking for it may give the subject other slots.
	s.Operations()
	sl, _ := op.site(s, k.Param)
	if sl == nil {
		sl = op.add(s, k.Param)
	}
	if sl.chain == nil {
		sl.chain = op.fresh(s, k)
	}
	return sl.chain
}

// release empties the slot of param.
func (op *Op[S]) release(s S, param uint64) {
	if sl, _ := op.site(s, param); sl != nil {
		sl.chain = nil
	}
	if op.drop != nil {
		op.drop(s, param)
	}
}
