package protoops

import (
	"runtime/debug"
	"unsafe"
)

// hooks is the untyped part of an operation's chain on one connection: what is
// attached and what runs.
type hooks struct {
	key     Key
	table   *Table
	replace *hook
	pre     []*hook
	post    []*hook

	// Scratch, safe to keep here because an operation does not re-enter itself.
	call    Call
	running bool
	outer   *hooks // the chain during which this one was started
	active  *hook  // the pluglet running right now, nil while a body runs
	native  func() // runs the native body for Call.Native
}

// A hook is one attached pluglet.
type hook struct {
	pluglet Pluglet
	owner   *Attachment
	site    *hooks
	release func() // empties the slot if nothing is attached to it any more
	anchor  Anchor
	stats   PlugletStats
}

func (h *hooks) empty() bool { return h.replace == nil && len(h.pre) == 0 && len(h.post) == 0 }

func (h *hooks) add(k *hook) {
	switch k.anchor {
	case Pre:
		h.pre = append(h.pre, k)
	case Post:
		h.post = append(h.post, k)
	default:
		h.replace = k
	}
}

func (h *hooks) remove(k *hook) {
	switch k.anchor {
	case Pre:
		h.pre = without(h.pre, k)
	case Post:
		h.post = without(h.post, k)
	default:
		h.replace = nil
	}
}

func without(list []*hook, k *hook) []*hook {
	for i := range list {
		if list[i] == k {
			return append(list[:i:i], list[i+1:]...)
		}
	}
	return list
}

func (h *hooks) enter() {
	h.running = true
	h.outer = h.table.top
	h.table.top = h
}

func (h *hooks) leave() {
	t := h.table
	h.running = false
	t.top = h.outer
	h.outer = nil
	if t.top == nil && t.unsettled {
		t.settle()
	}
}

// invoke runs one pluglet and applies the fault rule if it fails. inherited is
// whether it was started by a pluglet that only observes.
func (h *hooks) invoke(k *hook, inherited bool) error {
	if k.owner.fault != nil {
		return ErrFailed
	}
	t, c := h.table, &h.call
	c.anchor = k.anchor
	c.observes = inherited || k.anchor.ReadOnly()
	c.err = nil
	c.mark = len(t.journal)
	h.active = k
	t.pluglets++
	k.stats.Calls++
	var err error
	if k.stats.Calls%sampleEvery == 1 && t.Clock != nil {
		start := t.Clock()
		err = protect(k.pluglet, c)
		k.stats.sample(t.Clock() - start)
	} else {
		err = protect(k.pluglet, c)
	}
	h.active = nil
	t.pluglets--
	if err == nil {
		err = c.err
	}
	if err == nil && k.anchor == Replace {
		err = c.out.layout.check(c.out.live)
	}
	if err == nil && k.owner.fault != nil {
		// Another pluglet of the plugin failed while this one ran it. What a
		// plugin does in one call stands or falls as a whole.
		err = ErrFailed
	}
	if err != nil {
		return t.failed(h, k, err)
	}
	if t.pluglets == 0 && len(t.journal) > 0 {
		t.commit()
	}
	return nil
}

// protect runs p and turns a panic into an error.
func protect(p Pluglet, c *Call) (err error) {
	returned := false
	defer func() {
		if returned {
			return
		}
		// A nil value means the goroutine is exiting (runtime.Goexit), not a panic.
		if v := recover(); v != nil {
			err = &PanicError{Value: v, Stack: debug.Stack()}
		}
	}()
	err = p.Run(c)
	returned = true
	return err
}

func (h *hooks) observe(list []*hook, inherited bool) {
	for _, k := range list {
		// The fault rule has done all there is to do: an observer has no answer.
		_ = h.invoke(k, inherited)
	}
}

// A box keeps one argument or result struct beside the copy observers get.
type box[T any] struct{ live, copy T }

func (b *box[T]) shown() unsafe.Pointer {
	b.copy = b.live
	return unsafe.Pointer(&b.copy)
}

func (b *box[T]) clear() {
	var zero T
	b.live, b.copy = zero, zero
}

func (b *box[T]) typed(l *layout) typed {
	return typed{layout: l, live: unsafe.Pointer(&b.live), box: b}
}

// A chain is all that is attached to one slot.
type chain[A, R any] struct {
	hooks
	body     func(A) R
	in       box[A]
	out      box[R]
	answer   R // the native body's, if answered
	answered bool
}

func newChain[A, R any](k Key, t *Table, subject any, in, out *layout, body func(A) R) *chain[A, R] {
	ch := &chain[A, R]{body: body}
	ch.key, ch.table = k, t
	ch.native = ch.runNative
	ch.call = Call{h: &ch.hooks, subject: subject, in: ch.in.typed(in), out: ch.out.typed(out)}
	return ch
}

func (ch *chain[A, R]) run(a A) R {
	if ch.running {
		ch.table.loop(&ch.hooks)
		return ch.body(a)
	}
	ch.enter()
	ch.answered = false
	ch.in.live = a
	ch.observe(ch.pre, false)
	if ch.replace == nil {
		ch.out.live = ch.body(a)
	} else {
		ch.runReplace(a)
	}
	ch.observe(ch.post, false)
	r := ch.out.live
	// Packets and paths must not outlive the call by being remembered here.
	ch.in.clear()
	ch.out.clear()
	ch.leave()
	return r
}

func (ch *chain[A, R]) runReplace(a A) {
	if err := ch.invoke(ch.replace, false); err != nil {
		if !ch.answered {
			ch.answer = ch.body(a)
		}
		ch.out.live = ch.answer
	}
	// Observers see what the engine asked, not what a pluglet made of it.
	ch.in.live = a
}

func (ch *chain[A, R]) runNative() {
	if !ch.answered {
		ch.answer = ch.body(ch.in.live)
		ch.answered = true
	}
	ch.out.live = ch.answer
}
