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

	// peek returns what is attached for param, nil if nothing is.
	peek func(s S, param uint64) (*hooks, error)
	// open makes the chain if there is none.
	open func(s S, param uint64) *hooks
	// release empties the slot.
	release func(s S, param uint64)
	// slot returns the address of the slot, to tell slots apart; nil for a family.
	slot func(s S) any
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
	op, in, out := define[S, A, R](k, d, native)
	if slot == nil {
		op.err = errors.Join(op.err, errors.New("no slot"))
		return op
	}
	op.slot = func(s S) any { return slot(s) }
	op.peek = func(s S, _ uint64) (*hooks, error) {
		sl := slot(s)
		if sl == nil {
			return nil, errNilSlot
		}
		if sl.chain == nil {
			return nil, nil
		}
		return &sl.chain.hooks, nil
	}
	op.open = func(s S, _ uint64) *hooks {
		return openSlot(slot(s), k, s, in, out, native)
	}
	op.release = func(s S, _ uint64) { slot(s).chain = nil }
	return op
}

// DefineFamily declares the operations of one name whose parameters the engine
// does not know: those of plugins. dynamic says where their slots are kept;
// native answers a parameter on which a plugin only observes, or whose plugin
// failed. Parameters the engine does know have their own Define beside it.
func DefineFamily[S Subject, A, R any](name string, d Doc, dynamic func(S) *Dynamic[A, R], native func(S, A) R) Op[S] {
	op, in, out := define[S, A, R](Plain(name), d, native)
	op.info.Family = true
	if dynamic == nil {
		op.err = errors.Join(op.err, errors.New("no slots"))
		return op
	}
	op.peek = func(s S, param uint64) (*hooks, error) {
		dyn := dynamic(s)
		if dyn == nil {
			return nil, errNilSlot
		}
		if sl := dyn.Slot(param); sl != nil && sl.chain != nil {
			return &sl.chain.hooks, nil
		}
		return nil, nil
	}
	op.open = func(s S, param uint64) *hooks {
		dyn := dynamic(s)
		if *dyn == nil {
			*dyn = make(Dynamic[A, R])
		}
		sl := dyn.Slot(param)
		if sl == nil {
			sl = new(Slot[A, R])
			(*dyn)[param] = sl
		}
		return openSlot(sl, Key{name, param}, s, in, out, native)
	}
	op.release = func(s S, param uint64) {
		dyn := dynamic(s)
		if sl := dyn.Slot(param); sl != nil {
			sl.chain = nil
			delete(*dyn, param)
		}
	}
	return op
}

var errNilSlot = errors.New("slot function returned nil")

func define[S Subject, A, R any](k Key, d Doc, native func(S, A) R) (op Op[S], in, out *layout) {
	op.info = OpInfo{Key: k, Doc: d, Event: native == nil}
	if !validName(k.Name) {
		op.err = fmt.Errorf("%w %q", ErrName, k.Name)
	}
	if native == nil && reflect.TypeFor[R]() != reflect.TypeFor[None]() {
		op.err = errors.Join(op.err, fmt.Errorf("%w, but results", ErrNoNative))
	}
	in, err := layoutOf(reflect.TypeFor[A]())
	if err != nil {
		op.err = errors.Join(op.err, fmt.Errorf("arguments: %w", err))
		return op, nil, nil
	}
	out, err = layoutOf(reflect.TypeFor[R]())
	if err != nil {
		op.err = errors.Join(op.err, fmt.Errorf("results: %w", err))
		return op, nil, nil
	}
	op.info.Args, op.info.Results = in.params(), out.params()
	return op, in, out
}

func openSlot[S Subject, A, R any](sl *Slot[A, R], k Key, s S, in, out *layout, native func(S, A) R) *hooks {
	if sl.chain == nil {
		body := func(A) (r R) { return r }
		if native != nil {
			body = func(a A) R { return native(s, a) }
		}
		sl.chain = newChain(k, s.Operations(), s, in, out, body)
	}
	return &sl.chain.hooks
}
