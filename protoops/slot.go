package protoops

import (
	"slices"
	"unsafe"
)

// None is the argument or result of an operation that has none.
type None struct{}

// A Slot is one operation's attachment point on one connection. Its zero value
// has nothing attached. It is one pointer and needs no lock: attaching happens
// between events of its connection, never while the operation runs.
type Slot[A, R any] struct{ site }

// A site is a slot whose argument and result types are not known.
type site struct{ chain *chain }

// Attached reports whether any pluglet is attached. It inlines to a nil check.
func (s *Slot[A, R]) Attached() bool { return s.chain != nil }

// Replaced reports whether a pluglet stands in for the native body.
func (s *Slot[A, R]) Replaced() bool { return s.chain != nil && s.chain.replace != nil }

// An operation is all that is attached to one slot, with its scratch. Only what
// has to know the types is here: the compiler makes it anew for each pair of
// them. The chain comes first, so that a pointer to it is one to the whole.
type operation[A, R any] struct {
	ch   chain     // not embedded: its methods would be made anew as well
	body func(A) R // nil for an event
	in   A
	out  R
	// answer is the native body's, once it has answered; seen are the copies
	// that observers look at.
	answer  R
	seenIn  A
	seenOut R
}

// Run runs all pre, then replace or else native, then all post, and returns the
// body's answer. Call it only when Attached.
func (s *Slot[A, R]) Run(a A) (r R) {
	o := (*operation[A, R])(unsafe.Pointer(s.chain))
	ch := &o.ch
	if ch.running {
		ch.table.loop(ch)
		if o.body != nil {
			r = o.body(a)
		}
		return r
	}
	ch.enter()
	o.in = a
	if len(ch.pre) != 0 {
		ch.observe(ch.pre, Pre, false)
	}
	switch {
	case ch.replace != nil:
		var zero R
		o.out, ch.answered = zero, false // a panic may have left them
		failed := ch.run(ch.replace, false) != nil
		// Observers see what the engine asked, not what a pluglet made of it.
		o.in = a
		if failed {
			ch.native()
		}
	case o.body != nil:
		o.out = o.body(a)
	}
	if len(ch.post) != 0 {
		ch.observe(ch.post, Post, false)
	}
	r = o.out
	if ch.soiled {
		o.clear()
	}
	ch.leave()
	return r
}

// clear forgets a call: packets and paths must not outlive it by being
// remembered here, and the next one finds results of zero.
func (o *operation[A, R]) clear() {
	var a A
	var r R
	o.in, o.out = a, r
	if ch := &o.ch; ch.call.in.shown || ch.call.out.shown || ch.answered {
		ch.call.in.shown, ch.call.out.shown, ch.answered = false, false, false
		o.seenIn, o.seenOut, o.answer = a, r, r
	}
}

// runNative runs the native body for Call.Native and for a pluglet that failed.
func (o *operation[A, R]) runNative() {
	if !o.ch.answered {
		if o.body != nil {
			o.answer = o.body(o.in)
		}
		o.ch.answered = true
	}
	o.out = o.answer
}

// newOperation makes the chain of a slot.
func newOperation[A, R any](k Key, t *Table, subject any, in, out *layout, body func(A) R) *chain {
	o := &operation[A, R]{body: body}
	ch := &o.ch
	ch.key, ch.table, ch.native = k, t, o.runNative
	ch.soiled = in.pointers || out.pointers || len(out.items) > 0
	ch.call = Call{ch: ch, subject: subject,
		in:  typed{layout: in, live: unsafe.Pointer(&o.in), seen: unsafe.Pointer(&o.seenIn)},
		out: typed{layout: out, live: unsafe.Pointer(&o.out), seen: unsafe.Pointer(&o.seenOut)}}
	return ch
}

// Dynamic holds the slots of a family's parameters that the engine does not
// know itself. Attaching to such a parameter makes its slot, the last detach
// removes it. Its zero value is empty.
type Dynamic[A, R any] map[uint64]*Slot[A, R]

// Slot returns the slot of param, or nil if no pluglet is attached to it.
func (d Dynamic[A, R]) Slot(param uint64) *Slot[A, R] { return d[param] }

// Params returns the parameters with a pluglet attached, in ascending order.
func (d Dynamic[A, R]) Params() []uint64 {
	params := make([]uint64, 0, len(d))
	for p := range d {
		params = append(params, p)
	}
	slices.Sort(params)
	return params
}
