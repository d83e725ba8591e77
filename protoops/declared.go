package protoops

import "fmt"

// maxWords bounds the argument and the result words of a declared operation.
const maxWords = 16

// words are the scalar arguments or results of a declared operation.
type words struct {
	w [maxWords]uint64
	n int
}

// set stores word i; words skipped over are zero.
func (w *words) set(i int, v uint64) error {
	if uint(i) >= maxWords {
		return fmt.Errorf("%w: %d", ErrIndex, i)
	}
	for ; w.n <= i; w.n++ {
		w.w[w.n] = 0
	}
	w.w[i] = v
	return nil
}

// Input is what a declared operation is called with. Each list has a numbering
// of its own: Call.Arg, Call.ArgHandle, Call.ArgBytes.
type Input struct {
	Words   []uint64 // at most 16
	Handles []any
	Bytes   [][]byte // the caller's, neither changed nor kept
}

// declared is an operation that a plugin brought along. Its body is the replace
// hook; when its plugin is detached the observers of others stay until theirs is.
type declared struct {
	ch      chain
	args    words
	results words
	handles []any
	bytes   [][]byte
}

func (t *Table) declare(b *Binding) {
	if t.declared[b.Key] != nil {
		return
	}
	d := new(declared)
	d.ch.key, d.ch.table = b.Key, t
	d.ch.call.ch, d.ch.call.decl = &d.ch, d
	if t.declared == nil {
		t.declared = make(map[Key]*declared)
	}
	t.declared[b.Key] = d
}

// declarer returns the name of the plugin that declares k, or "".
func (t *Table) declarer(k Key) string {
	if d := t.declared[k]; d != nil && d.ch.replace != nil {
		return d.ch.replace.owner.plugin.Name
	}
	return ""
}

// CallExtern runs, for the application, an operation that a plugin brought: an
// extern one or one it declared. It returns the result words, valid until the
// operation runs again, or ErrUnknownOp, ErrLoop, ErrTooMany or the
// *PlugletError of the body, for which there is no native one to answer.
func CallExtern(t *Table, s any, k Key, args []uint64, bytes ...[]byte) ([]uint64, error) {
	return t.callDeclared(s, k, &Input{Words: args, Bytes: bytes}, true)
}

// RunDeclared is CallExtern for pluglets. It refuses extern operations with
// ErrExternOnly. Run by a pluglet that only observes, the operation may only
// observe too.
func RunDeclared(t *Table, s any, k Key, args []uint64, bytes ...[]byte) ([]uint64, error) {
	return t.callDeclared(s, k, &Input{Words: args, Bytes: bytes}, false)
}

// RunDeclaredWith is RunDeclared with handles among the arguments.
func RunDeclaredWith(t *Table, s any, k Key, in Input) ([]uint64, error) {
	return t.callDeclared(s, k, &in, false)
}

func (t *Table) callDeclared(s any, k Key, in *Input, application bool) ([]uint64, error) {
	d := t.declared[k]
	switch {
	case d == nil || d.ch.replace == nil:
		return nil, fmt.Errorf("%w: %s", ErrUnknownOp, k)
	case d.ch.replace.anchor == Extern && !application:
		return nil, fmt.Errorf("%w: %s", ErrExternOnly, k)
	case len(in.Words) > maxWords:
		return nil, fmt.Errorf("%w: %s takes %d words", ErrTooMany, k, maxWords)
	case d.ch.running:
		t.loop(&d.ch)
		return nil, fmt.Errorf("%w: %s", ErrLoop, k)
	}
	return d.run(s, in, !application && t.observing())
}

// observing reports whether the innermost running pluglet may not write state.
func (t *Table) observing() bool {
	return t.top != nil && t.top.active != nil && t.top.call.observes
}

func (d *declared) run(s any, in *Input, inherited bool) ([]uint64, error) {
	d.ch.enter()
	d.ch.call.subject = s
	d.args.n = copy(d.args.w[:], in.Words)
	d.results.n = 0
	d.handles = append(d.handles[:0], in.Handles...)
	d.bytes = append(d.bytes[:0], in.Bytes...)
	d.ch.observe(d.ch.pre, Pre, inherited)
	err := d.ch.run(d.ch.replace, inherited)
	if err != nil {
		d.results.n = 0
	}
	d.ch.observe(d.ch.post, Post, inherited)
	clear(d.handles)
	clear(d.bytes)
	results := d.results.w[:d.results.n:d.results.n]
	d.ch.leave()
	if err != nil {
		return nil, err
	}
	return results, nil
}
