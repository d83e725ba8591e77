package protoops

import (
	"fmt"
	"reflect"
	"unsafe"
)

// A Call is what a pluglet sees of one invocation. It belongs to the operation
// and is over when the pluglet returns.
//
// Arguments and results of an engine's operation share one numbering per
// direction, that of OpInfo.Args and OpInfo.Results. For an operation that a
// plugin declared, words, handles and byte slices are numbered separately, in
// the order the caller passed them.
//
// Reading an index that does not exist, or one of another kind, returns zero
// and makes the pluglet fail.
type Call struct {
	ch      *chain
	subject any
	err     error // makes the pluglet fail whatever it returns
	mark    int   // length of the journal when the pluglet started

	anchor   Anchor
	observes bool // state must not be written

	in, out typed     // empty for a declared operation
	decl    *declared // nil for an engine's operation
}

// typed is one of the two structs of an operation: arguments or results.
type typed struct {
	layout *layout
	live   unsafe.Pointer
	seen   unsafe.Pointer // room for a copy that observers may scribble on
	shown  bool           // there is a copy
}

// show copies the live struct for an observer to look at.
func (s *typed) show() unsafe.Pointer {
	s.shown = true
	reflect.NewAt(s.layout.typ, s.seen).Elem().Set(reflect.NewAt(s.layout.typ, s.live).Elem())
	return s.seen
}

// Key returns the operation being run.
func (c *Call) Key() Key { return c.ch.key }

// Anchor returns where the running pluglet is attached.
func (c *Call) Anchor() Anchor { return c.anchor }

// ReadOnly reports whether the pluglet may not change state: under Pre and Post,
// and in the body of a declared operation run by such a pluglet.
func (c *Call) ReadOnly() bool { return c.observes }

// Subject returns the connection the operation runs on.
func (c *Call) Subject() any { return c.subject }

// NumArgs returns the number of arguments, for a declared operation that of its
// words.
func (c *Call) NumArgs() int {
	if c.decl != nil {
		return c.decl.args.n
	}
	return len(c.in.layout.items)
}

// NumResults returns the number of results, for a declared operation that of
// the words set so far.
func (c *Call) NumResults() int {
	if c.decl != nil {
		return c.decl.results.n
	}
	return len(c.out.layout.items)
}

// Arg returns scalar argument i, sign-extended to 64 bits if it is signed.
func (c *Call) Arg(i int) uint64 {
	if l := c.in.layout; l != nil && uint(i) < uint(len(l.items)) {
		if it := &l.items[i]; it.kind.Scalar() {
			return load(unsafe.Add(c.in.live, it.off), it.kind)
		}
	}
	if c.decl != nil && uint(i) < uint(c.decl.args.n) {
		return c.decl.args.w[i]
	}
	c.fail(wordError(c.in.layout, i))
	return 0
}

// Result returns scalar result i: under Post what the body answered, under
// Replace what has been set so far, under Pre zero.
func (c *Call) Result(i int) uint64 {
	if l := c.out.layout; l != nil && uint(i) < uint(len(l.items)) {
		if it := &l.items[i]; it.kind.Scalar() {
			return load(unsafe.Add(c.out.live, it.off), it.kind)
		}
	}
	if c.decl != nil && uint(i) < uint(c.decl.results.n) {
		return c.decl.results.w[i]
	}
	c.fail(wordError(c.out.layout, i))
	return 0
}

func wordError(l *layout, i int) error {
	if l != nil && uint(i) < uint(len(l.items)) {
		return fmt.Errorf("%w: %q is %s, not a scalar", ErrType, l.items[i].Name, l.items[i].kind)
	}
	return fmt.Errorf("%w: %d", ErrIndex, i)
}

// ArgHandle returns argument i if it is a pointer, an interface or a value
// handed over by reference, then as a pointer to it.
func (c *Call) ArgHandle(i int) any {
	if c.decl != nil {
		if uint(i) < uint(len(c.decl.handles)) {
			return c.decl.handles[i]
		}
		c.fail(fmt.Errorf("%w: handle %d", ErrIndex, i))
		return nil
	}
	return c.handle(&c.in, i)
}

// ResultHandle returns result i as ArgHandle does argument i.
func (c *Call) ResultHandle(i int) any { return c.handle(&c.out, i) }

func (c *Call) handle(s *typed, i int) any {
	if s.layout != nil && uint(i) < uint(len(s.layout.items)) && s.layout.items[i].kind == Ref {
		base := s.live
		if c.anchor.ReadOnly() {
			base = s.show()
		}
		it := &s.layout.items[i]
		return it.handle(unsafe.Add(base, it.off))
	}
	it, p, err := s.layout.at(s.live, i, Handle)
	if err != nil {
		c.fail(err)
		return nil
	}
	return it.handle(p)
}

// ArgBytes returns the bytes of argument i. They are the caller's: a pluglet
// neither changes nor keeps them.
func (c *Call) ArgBytes(i int) []byte {
	if c.decl != nil {
		if uint(i) < uint(len(c.decl.bytes)) {
			b := c.decl.bytes[i]
			return b[:len(b):len(b)]
		}
		c.fail(fmt.Errorf("%w: bytes %d", ErrIndex, i))
		return nil
	}
	return c.bytes(&c.in, i)
}

// ResultBytes returns the bytes of result i, not to be changed.
func (c *Call) ResultBytes(i int) []byte { return c.bytes(&c.out, i) }

func (c *Call) bytes(s *typed, i int) []byte {
	it, p, err := s.layout.at(s.live, i, Bytes)
	if err != nil {
		c.fail(err)
		return nil
	}
	return it.bytes(p)
}

// SetResult answers scalar result i. It fails with ErrReadOnly under Pre and
// Post, ErrRange if v is outside the result's width or legal range, ErrIndex
// or ErrType if there is no such scalar. A result that is never set is zero.
func (c *Call) SetResult(i int, v uint64) error {
	if c.anchor.ReadOnly() {
		return ErrReadOnly
	}
	l := c.out.layout
	if c.decl != nil {
		return c.decl.results.set(i, v)
	}
	if uint(i) >= uint(len(l.items)) || !l.items[i].kind.Scalar() {
		return wordError(l, i)
	}
	it := &l.items[i]
	if !it.kind.within(v, it.Min, it.Max) {
		return it.rangeError(v)
	}
	store(unsafe.Add(c.out.live, it.off), it.kind, v)
	return nil
}

// SetResultHandle answers result i with a pointer or interface value of its
// type, nil for none. A result handed over by reference is copied from where h
// points.
func (c *Call) SetResultHandle(i int, h any) error {
	if c.anchor.ReadOnly() {
		return ErrReadOnly
	}
	want := Handle
	if l := c.out.layout; l != nil && uint(i) < uint(len(l.items)) && l.items[i].kind == Ref {
		want = Ref
	}
	it, p, err := c.out.layout.at(c.out.live, i, want)
	if err != nil {
		return err
	}
	return it.setHandle(p, h)
}

// SetResultBytes answers result i with b, which the caller of the operation may
// keep. An array is copied and b must have its length.
func (c *Call) SetResultBytes(i int, b []byte) error {
	if c.anchor.ReadOnly() {
		return ErrReadOnly
	}
	it, p, err := c.out.layout.at(c.out.live, i, Bytes)
	if err != nil {
		return err
	}
	return it.setBytes(p, b)
}

// Native runs the native body now and makes its answer the results, so that a
// pluglet at Replace can adjust them. The body sees the arguments as they are
// now. It runs once per call: asking again restores its answer. Where there is
// no native body to run the pluglet fails.
func (c *Call) Native() {
	switch {
	case c.anchor.ReadOnly():
		c.fail(ErrReadOnly)
	case c.ch.native == nil:
		c.fail(ErrNoNative)
	case c.ch.active == nil:
		c.fail(ErrNotRunning)
	default:
		// What the engine does in there is not the pluglet's doing.
		k := c.ch.active
		c.ch.active = nil
		c.ch.native()
		c.ch.active = k
	}
}

// fail makes the pluglet fail once it returns. The first reason stays. A Call
// kept beyond its pluglet's end makes nobody fail.
func (c *Call) fail(err error) {
	if c.err == nil && c.ch.active != nil {
		c.err = err
	}
}

// ArgsOf returns the argument struct of c, or nil if it is not an A. Under
// Replace a change reaches what Native sees; under Pre and Post the pluglet gets
// a fresh copy each time.
func ArgsOf[A any](c *Call) *A { return structOf[A](c, &c.in) }

// ResultOf returns the result struct of c, or nil if it is not an R. Under
// Replace the pluglet answers by filling it; under Pre and Post the pluglet gets
// a fresh copy each time.
func ResultOf[R any](c *Call) *R { return structOf[R](c, &c.out) }

func structOf[T any](c *Call, s *typed) *T {
	if s.layout == nil || s.layout.typ != reflect.TypeFor[T]() {
		return nil
	}
	live := (*T)(s.live)
	if !c.anchor.ReadOnly() {
		return live
	}
	s.shown = true
	seen := (*T)(s.seen)
	*seen = *live
	return seen
}

// ArgsPointer returns where the argument struct of the operation lies, nil for
// one that a plugin declared. Param.Offset is an offset into it.
//
// It is for hosts that hold their programs to the anchor's rights themselves:
// under Pre and Post nothing may be written there, under Replace what is written
// must be a legal value of its field. The memory is the operation's until the
// pluglet returns.
func (c *Call) ArgsPointer() unsafe.Pointer { return c.in.live }

// ResultsPointer is ArgsPointer for the result struct: under Post what the body
// answered, under Replace zeros to be filled in, under Pre zeros.
func (c *Call) ResultsPointer() unsafe.Pointer { return c.out.live }
