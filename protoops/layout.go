package protoops

import (
	"fmt"
	"reflect"
	"slices"
	"sync"
	"time"
	"unsafe"
)

// A Param describes one argument or result of an operation.
type Param struct {
	Name string
	Kind string // the name of a Kind: "u64", "bool", "bytes", "handle"…
	Unit string
	Doc  string
	Type string // the Go type, for instance "*core.Path"
	// Offset and Size, in bytes, say where it lies in the struct that
	// Call.ArgsPointer or Call.ResultsPointer returns. A handle is a Go pointer
	// there, two words if its Type is an interface.
	Offset, Size uintptr
	// Min and Max bound a scalar, both sign-extended if its kind is signed.
	Min, Max uint64
}

// An item is one argument or result inside its struct.
type item struct {
	Param
	kind   Kind
	typ    reflect.Type
	off    uintptr
	ranged bool // the legal range is narrower than the kind's
}

// A layout is the shape of an argument or result struct as pluglets see it.
type layout struct {
	typ       reflect.Type
	items     []item
	described []Param // what the items tell of themselves
	ranged    bool    // some item is
	pointers  bool    // the struct keeps other memory alive
}

var durationType = reflect.TypeFor[time.Duration]()

// layouts are those made so far: many operations share their types, and every
// garbage collection of the program walks what this package keeps.
var layouts struct {
	sync.Mutex
	of map[reflect.Type]*layout
}

// layoutOf returns the layout of t, which nobody may change.
func layoutOf(t reflect.Type) (*layout, error) {
	layouts.Lock()
	defer layouts.Unlock()
	if l := layouts.of[t]; l != nil {
		return l, nil
	}
	l, err := newLayout(t)
	if err != nil {
		return nil, err
	}
	if layouts.of == nil {
		layouts.of = make(map[reflect.Type]*layout)
	}
	layouts.of[t] = l
	return l, nil
}

// newLayout describes t: the exported fields of a struct in declaration order,
// those of a nested struct in its place, or t itself as a sole item "value".
func newLayout(t reflect.Type) (*layout, error) {
	l := &layout{typ: t, pointers: hasPointers(t)}
	var err error
	if t.Kind() == reflect.Struct {
		err = l.addStruct(t, 0, "")
	} else {
		err = l.add(t, 0, "value", "")
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", t, err)
	}
	seen := make(map[string]bool)
	for _, it := range l.items {
		if seen[it.Name] {
			return nil, fmt.Errorf("%s: two fields named %q", t, it.Name)
		}
		seen[it.Name] = true
		l.described = append(l.described, it.Param)
	}
	l.described = slices.Clip(l.described)
	return l, nil
}

// hasPointers reports whether a t keeps other memory alive, in hidden fields too.
func hasPointers(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Struct:
		for i := range t.NumField() {
			if hasPointers(t.Field(i).Type) {
				return true
			}
		}
		return false
	case reflect.Array:
		return t.Len() > 0 && hasPointers(t.Elem())
	}
	return kindOf(t) == 0
}

func (l *layout) addStruct(t reflect.Type, base uintptr, prefix string) error {
	for i := range t.NumField() {
		f := t.Field(i)
		name := tagName(&f)
		if name == "-" || !visible(&f) {
			continue
		}
		name = joinName(prefix, name)
		if transparent(f.Type) || !f.IsExported() {
			if err := l.addStruct(f.Type, base+f.Offset, name); err != nil {
				return err
			}
			continue
		}
		if name == "" {
			name = snake(f.Name)
		}
		if err := l.add(f.Type, base+f.Offset, name, f.Tag); err != nil {
			return fmt.Errorf("field %s: %w", f.Name, err)
		}
	}
	return nil
}

// transparent reports whether t is a struct whose every field is exported, so
// that its fields stand for it. Other structs keep their secrets and are a Ref.
func transparent(t reflect.Type) bool {
	if t.Kind() != reflect.Struct {
		return false
	}
	for i := range t.NumField() {
		if f := t.Field(i); !f.IsExported() && !(f.Anonymous && transparent(f.Type)) {
			return false
		}
	}
	return true
}

func (l *layout) add(t reflect.Type, off uintptr, name string, tag reflect.StructTag) error {
	if !validName(name) {
		return fmt.Errorf("%w %q", ErrName, name)
	}
	it := item{off: off, typ: t}
	it.kind = itemKind(t)
	if it.kind == 0 {
		return fmt.Errorf("%w: pluglets cannot be given a %s", ErrType, t)
	}
	it.Param = Param{Name: name, Kind: it.kind.String(), Unit: tag.Get("unit"), Doc: tag.Get("doc"), Type: t.String(), Offset: off, Size: t.Size()}
	if it.Unit == "" && t == durationType {
		it.Unit = "ns"
	}
	if it.kind.Scalar() {
		it.Min, it.Max = it.kind.limits()
	}
	if r, ok := tag.Lookup("range"); ok {
		if !it.kind.Scalar() {
			return fmt.Errorf("%w: a %s has no range", ErrType, it.kind)
		}
		var err error
		if it.Min, it.Max, err = parseRange(r, it.kind); err != nil {
			return err
		}
		it.ranged, l.ranged = true, true
	}
	l.items = append(l.items, it)
	return nil
}

func itemKind(t reflect.Type) Kind {
	if k := kindOf(t); k != 0 {
		return k
	}
	switch t.Kind() {
	case reflect.Pointer, reflect.Interface:
		return Handle
	case reflect.Slice, reflect.Array:
		if t.Elem().Kind() == reflect.Uint8 {
			return Bytes
		}
		return Ref
	case reflect.Struct:
		return Ref
	}
	// Strings are immutable bytes, floats do not exist in bytecode, maps,
	// channels and functions mean nothing to it.
	return 0
}

// at returns item i if it is of kind k, and where it lies in the struct at base.
func (l *layout) at(base unsafe.Pointer, i int, k Kind) (*item, unsafe.Pointer, error) {
	if l == nil || uint(i) >= uint(len(l.items)) {
		return nil, nil, fmt.Errorf("%w: %s %d", ErrIndex, k, i)
	}
	it := &l.items[i]
	if it.kind != k {
		return nil, nil, fmt.Errorf("%w: %q is %s, not %s", ErrType, it.Name, it.kind, k)
	}
	return it, unsafe.Add(base, it.off), nil
}

// handle returns the pointer, the interface's content or, for a Ref, a pointer
// to the value at p.
func (it *item) handle(p unsafe.Pointer) any {
	switch {
	case it.kind == Ref:
		return reflect.NewAt(it.typ, p).Interface()
	case it.typ.Kind() == reflect.Pointer:
		// Not through Elem: a pointer becomes an interface without allocating.
		return reflect.NewAt(it.typ.Elem(), *(*unsafe.Pointer)(p)).Interface()
	}
	return reflect.NewAt(it.typ, p).Elem().Interface()
}

// setHandle stores h, nil meaning the zero value, or for a Ref what h points to.
func (it *item) setHandle(p unsafe.Pointer, h any) error {
	dst := reflect.NewAt(it.typ, p).Elem()
	if h == nil {
		dst.SetZero()
		return nil
	}
	src := reflect.ValueOf(h)
	if it.kind == Ref && src.Kind() == reflect.Pointer && !src.IsNil() && src.Type().Elem() == it.typ {
		src = src.Elem()
	}
	if !src.Type().AssignableTo(it.typ) {
		return fmt.Errorf("%w: %q is %s, not %T", ErrType, it.Name, it.typ, h)
	}
	dst.Set(src)
	return nil
}

// bytes returns the bytes at p, cut off at their length so that appending to
// them does not write behind them.
func (it *item) bytes(p unsafe.Pointer) []byte {
	if it.typ.Kind() == reflect.Array {
		return unsafe.Slice((*byte)(p), it.typ.Len())
	}
	b := *(*[]byte)(p)
	return b[:len(b):len(b)]
}

func (it *item) setBytes(p unsafe.Pointer, b []byte) error {
	if it.typ.Kind() != reflect.Array {
		*(*[]byte)(p) = b
		return nil
	}
	if len(b) != it.typ.Len() {
		return fmt.Errorf("%w: %q is %d bytes, not %d", ErrRange, it.Name, it.typ.Len(), len(b))
	}
	copy(unsafe.Slice((*byte)(p), len(b)), b)
	return nil
}

// check returns an error if a result at base lies outside its legal range.
func (l *layout) check(base unsafe.Pointer) error {
	if l == nil || !l.ranged {
		return nil
	}
	for i := range l.items {
		it := &l.items[i]
		if !it.ranged {
			continue
		}
		if v := load(unsafe.Add(base, it.off), it.kind); !it.kind.within(v, it.Min, it.Max) {
			return it.rangeError(v)
		}
	}
	return nil
}

func (it *item) rangeError(v uint64) error {
	if it.kind.Signed() {
		return fmt.Errorf("%w: %q = %d", ErrRange, it.Name, int64(v))
	}
	return fmt.Errorf("%w: %q = %d", ErrRange, it.Name, v)
}
