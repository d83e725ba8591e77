package protoops

import "runtime/debug"

// A chain is what is attached to one operation of one connection, and what of
// it runs. It does not know the types of arguments and results: see operation.
type chain struct {
	key     Key
	table   *Table
	replace *hook
	pre     []*hook
	post    []*hook

	// Scratch, safe to keep here because an operation does not re-enter itself.
	call     Call
	running  bool
	soiled   bool   // a call leaves something behind that has to be cleared
	answered bool   // the native body has
	outer    *chain // the chain during which this one was started
	active   *hook  // the pluglet running right now, nil while a body runs
	native   func() // runs the native body for Call.Native; nil if there is none
}

// A hook is one attached pluglet.
type hook struct {
	pluglet Pluglet
	owner   *Attachment
	site    *chain
	release func() // empties the slot if nothing is attached to it any more
	anchor  Anchor
	trusted bool // see ReadsOnly
	// express counts down the calls of a trusted observer until the next one goes
	// the long way. stats has them already.
	express uint32
	stats   PlugletStats
}

// expressCalls is how many calls of a trusted observer lie between two that are
// eligible to be timed.
const expressCalls = sampleEvery - 1

func (ch *chain) empty() bool {
	return ch.replace == nil && len(ch.pre) == 0 && len(ch.post) == 0
}

func (ch *chain) add(k *hook) {
	switch k.anchor {
	case Pre:
		ch.pre = append(ch.pre, k)
	case Post:
		ch.post = append(ch.post, k)
	default:
		ch.replace = k
	}
}

func (ch *chain) remove(k *hook) {
	switch k.anchor {
	case Pre:
		ch.pre = without(ch.pre, k)
	case Post:
		ch.post = without(ch.post, k)
	default:
		ch.replace = nil
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

func (ch *chain) enter() {
	ch.running = true
	ch.outer = ch.table.top
	ch.table.top = ch
}

func (ch *chain) leave() {
	t := ch.table
	ch.running, t.top, ch.outer = false, ch.outer, nil
	if t.unsettled {
		t.unwound()
	}
}

// observe runs the pluglets of a list, which are all at anchor. inherited is
// whether the operation was started by a pluglet that only observes.
func (ch *chain) observe(list []*hook, anchor Anchor, inherited bool) {
	t, c := ch.table, &ch.call
	c.anchor, c.observes = anchor, true
	t.pluglets++
	for _, k := range list {
		// The fault rule does all there is to do: an observer has no answer.
		if k.express == 0 {
			_ = ch.invoke(k)
			continue
		}
		k.express--
		c.mark = len(t.journal)
		ch.active = k
		if err := k.pluglet.Run(c); err != nil || c.err != nil {
			_ = ch.done(k, err)
		}
	}
	ch.active = nil
	t.ended()
}

// run runs the body that a pluglet stands for.
func (ch *chain) run(k *hook, inherited bool) error {
	ch.call.anchor, ch.call.observes = k.anchor, inherited
	ch.table.pluglets++
	err := ch.invoke(k)
	ch.table.ended()
	return err
}

// ended notes that a pluglet, or a list of them, has ended.
func (t *Table) ended() {
	t.pluglets--
	if len(t.journal) > 0 && t.pluglets == 0 {
		t.commit()
	}
}

// invoke runs one pluglet, guarded and now and then timed, and applies the fault
// rule if it fails.
func (ch *chain) invoke(k *hook) error {
	if k.owner.fault != nil {
		return ErrFailed
	}
	t, c := ch.table, &ch.call
	c.mark = len(t.journal)
	ch.active = k
	k.stats.Calls++
	timed := k.stats.Calls%sampleEvery == 1
	if k.trusted {
		k.stats.Calls += expressCalls
		k.express = expressCalls
	}
	var err error
	if timed && t.Clock != nil {
		start := t.Clock()
		err = protect(k.pluglet, c)
		k.stats.sample(t.Clock() - start)
	} else {
		err = protect(k.pluglet, c)
	}
	ch.active = nil
	return ch.done(k, err)
}

// done judges what a pluglet made of its call and applies the fault rule if it
// failed.
func (ch *chain) done(k *hook, err error) error {
	c := &ch.call
	if c.err != nil {
		if err == nil {
			err = c.err
		}
		c.err = nil
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
		return ch.table.failed(ch, k, err)
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
