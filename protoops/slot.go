package protoops

import "slices"

// None is the argument or result of an operation that has none.
type None struct{}

// A Slot is one operation's attachment point on one connection. Its zero value
// has nothing attached. It is one pointer and needs no lock: attaching happens
// between events of its connection, never while the operation runs.
type Slot[A, R any] struct{ chain *chain[A, R] }

// Attached reports whether any pluglet is attached. It inlines to a nil check.
func (s *Slot[A, R]) Attached() bool { return s.chain != nil }

// Replaced reports whether a pluglet stands in for the native body.
func (s *Slot[A, R]) Replaced() bool { return s.chain != nil && s.chain.replace != nil }

// Run runs all pre, then replace or else native, then all post, and returns the
// body's answer. Call it only when Attached.
func (s *Slot[A, R]) Run(a A) R { return s.chain.run(a) }

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
