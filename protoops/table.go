package protoops

import "fmt"

// A Subject is what operations run on: a connection.
type Subject interface {
	comparable
	// Operations returns the subject's table, the same at every call.
	Operations() *Table
	// PlugletFault tells of a pluglet that failed. Its plugin has been detached
	// and no operation is running, but the engine is still inside the call that
	// ran the operation: record the error, act on it after the event. If
	// err.Owned the connection must be closed.
	PlugletFault(err *PlugletError)
}

// A Table is one connection's bookkeeping of what is attached and what runs. Its
// zero value is ready; it must not be copied once used.
type Table struct {
	// Clock returns nanoseconds on a clock that never goes back, to time one
	// pluglet call in 1,024. Nil means never.
	Clock func() int64

	top         *chain // the innermost running chain
	pluglets    int    // how many pluglets run inside one another
	journal     []entry
	attachments []*Attachment
	declared    map[Key]*declared
	faults      []*PlugletError
	detaching   []*Attachment
	joining     []*hook // attached while their chain was running
	report      func(*PlugletError)
	unsettled   bool // settle has something to do
}

// Caller returns the name of the plugin whose pluglet runs right now, "" if none
// does: the engine is at work, though perhaps on behalf of a pluglet.
func (t *Table) Caller() string {
	if t.top != nil && t.top.active != nil {
		return t.top.active.owner.plugin.Name
	}
	return ""
}

// Running reports whether an operation with something attached is running.
func (t *Table) Running() bool { return t.top != nil }

// Depth returns how many operations with something attached are running inside
// one another.
func (t *Table) Depth() int {
	n := 0
	for h := t.top; h != nil; h = h.outer {
		n++
	}
	return n
}

// Attachments returns what is attached, in the order it was.
func (t *Table) Attachments() []*Attachment { return append([]*Attachment(nil), t.attachments...) }

// failed applies the fault rule to k, which ran in h, up to the point where the
// chain has to unwind first.
func (t *Table) failed(ch *chain, k *hook, err error) *PlugletError {
	// A panic that came through nested chains left them marked as running.
	for t.top != ch {
		n := t.top
		t.top = n.outer
		n.running, n.active, n.outer, n.call.err = false, nil, nil, nil
	}
	a := k.owner
	t.undo(ch.call.mark, a)
	e := &PlugletError{Plugin: a.plugin.Name, Key: ch.key, Anchor: k.anchor, Err: err, Owned: a.plugin.Owned}
	if a.fault == nil {
		a.fault = e
		t.faults = append(t.faults, e)
		t.detaching = append(t.detaching, a)
		t.unsettled = true
		for _, k := range a.hooks {
			k.stats = k.counted() // none of them runs again
			k.express, k.trusted = 0, false
		}
	}
	return e
}

// loop blames the pluglet that made ch run again while it was running. If no
// pluglet runs inside ch the engine itself recursed, which is nobody's fault here.
func (t *Table) loop(ch *chain) {
	for n := t.top; n != nil; n = n.outer {
		if n.active != nil {
			n.call.fail(fmt.Errorf("%w: %s", ErrLoop, ch.key))
			return
		}
		if n == ch {
			return
		}
	}
}

// unwound settles what was left for the end of the outermost chain.
//
//go:noinline
func (t *Table) unwound() {
	if t.top == nil {
		t.settle()
	}
}

// settle does what had to wait until the outermost chain had unwound.
func (t *Table) settle() {
	t.unsettled = false
	detaching, faults, joining := t.detaching, t.faults, t.joining
	t.detaching, t.faults, t.joining = nil, nil, nil
	for _, k := range joining {
		k.site.add(k)
	}
	for _, a := range detaching {
		a.detach()
	}
	for _, e := range faults {
		t.report(e)
	}
}

func (t *Table) attached(name string) bool {
	for _, a := range t.attachments {
		if a.plugin.Name == name {
			return true
		}
	}
	return false
}
