package protoops

import (
	"fmt"
	"reflect"
	"unsafe"
)

// A Field describes one piece of state that plugins may see. It lies at Offset
// in a pointer-free struct that the engine itself reads and writes.
type Field struct {
	Object   string // what the struct stands for: "path"
	Name     string
	Doc      string
	Unit     string
	Offset   uintptr
	Size     uint8 // bytes
	Kind     Kind  // a scalar, or Bytes for an array of bytes
	Writable bool  // by plugins, within Min and Max
	Min, Max uint64
}

// Bounds of a field table, so that an array does not become a flood of fields.
const (
	maxFieldBytes    = 255
	maxArrayElements = 64
)

// A FieldID is the index of a field in its FieldSet.
type FieldID int

// A FieldTable is a FieldSet whose struct type is not known to the caller.
type FieldTable interface {
	Object() string
	Size() uintptr
	Fields() []Field
	ID(name string) (FieldID, bool)
	// GetAny and SetAny are Get and Set on a pointer to the struct; they fail
	// with ErrType if obj is another type, ErrIndex if f is not a scalar field.
	GetAny(obj any, f FieldID) (uint64, error)
	SetAny(c *Call, obj any, f FieldID, v uint64) error
}

// A FieldSet is the table of the fields of V that plugins may see.
type FieldSet[V any] struct {
	object string
	fields []Field
	ids    map[string]FieldID
}

var _ FieldTable = (*FieldSet[struct{}])(nil)

// FieldsOf builds the table of V from its exported fields and their tags:
//
//	type pathView struct {
//		CongestionWindow uint64        `unit:"bytes" doc:"…" rights:"rw" range:"2400:"`
//		SmoothedRTT      time.Duration `op:"smoothed_rtt" doc:"…"`
//	}
//
// A field's name is that of its op tag, else its Go name in snake case; op:"-"
// hides it. rights is "r", the default, or "rw". range bounds what plugins may
// write, by default the width of the field. Fields of nested structs are
// prefixed with the name of theirs, unless it is embedded or tagged op:"";
// elements of arrays are suffixed with their index; an array of bytes is one
// read-only field.
//
// It panics, when the program starts, if V holds a pointer, slice, map, string,
// interface or any other type without a fixed width, if two fields share a name,
// or if a tag makes no sense.
func FieldsOf[V any](object string) *FieldSet[V] {
	s := &FieldSet[V]{object: object, ids: make(map[string]FieldID)}
	if err := s.build(); err != nil {
		panic(fmt.Sprintf("protoops: fields of %q: %v", object, err))
	}
	return s
}

func (s *FieldSet[V]) build() error {
	if !validName(s.object) {
		return fmt.Errorf("%w %q", ErrName, s.object)
	}
	t := reflect.TypeFor[V]()
	if t.Kind() != reflect.Struct {
		return fmt.Errorf("%w: %s is not a struct", ErrType, t)
	}
	if err := fixedWidth(t, t.String()); err != nil {
		return err
	}
	b := fieldBuilder{object: s.object}
	if err := b.addStruct(t, 0, "", false); err != nil {
		return err
	}
	s.fields = b.fields
	for i, f := range s.fields {
		if _, dup := s.ids[f.Name]; dup {
			return fmt.Errorf("two fields named %q", f.Name)
		}
		s.ids[f.Name] = FieldID(i)
	}
	return nil
}

// fixedWidth refuses any type that holds memory elsewhere or whose width depends
// on the platform, in hidden fields too: the whole struct must be safe to expose.
func fixedWidth(t reflect.Type, where string) error {
	switch t.Kind() {
	case reflect.Bool, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64,
		reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return nil
	case reflect.Array:
		return fixedWidth(t.Elem(), where+"[]")
	case reflect.Struct:
		for i := range t.NumField() {
			f := t.Field(i)
			if err := fixedWidth(f.Type, where+"."+f.Name); err != nil {
				return err
			}
		}
		return nil
	}
	return fmt.Errorf("%w: %s is a %s, neither an integer of fixed width nor made of them", ErrType, where, t)
}

// A fieldBuilder collects fields in the order of their offsets.
type fieldBuilder struct {
	object string
	fields []Field
}

// addStruct adds the fields of a struct at base. writable is whether the struct
// itself was tagged rights:"rw", which covers what lies inside it.
func (b *fieldBuilder) addStruct(t reflect.Type, base uintptr, prefix string, writable bool) error {
	for i := range t.NumField() {
		f := t.Field(i)
		name := tagName(&f)
		if name == "-" || !visible(&f) {
			continue
		}
		rw, err := rights(f.Tag, writable)
		if err == nil {
			err = b.add(f.Type, base+f.Offset, joinName(prefix, name), f.Tag, rw)
		}
		if err != nil {
			return fmt.Errorf("%s.%s: %w", t, f.Name, err)
		}
	}
	return nil
}

// rights reads the tag of that name; a field without one has its struct's.
func rights(tag reflect.StructTag, inherited bool) (writable bool, err error) {
	switch r := tag.Get("rights"); r {
	case "":
		return inherited, nil
	case "r":
		return false, nil
	case "rw":
		return true, nil
	default:
		return false, fmt.Errorf("rights %q are neither r nor rw", r)
	}
}

func (b *fieldBuilder) add(t reflect.Type, off uintptr, name string, tag reflect.StructTag, writable bool) error {
	switch {
	case t.Kind() == reflect.Struct:
		return b.addStruct(t, off, name, writable)
	case t.Kind() == reflect.Array && t.Elem().Kind() == reflect.Uint8:
		return b.addBytes(t, off, name, tag, writable)
	case t.Kind() == reflect.Array:
		return b.addArray(t, off, name, tag, writable)
	}
	return b.addScalar(t, off, name, tag, writable)
}

func (b *fieldBuilder) addScalar(t reflect.Type, off uintptr, name string, tag reflect.StructTag, writable bool) error {
	k := kindOf(t)
	lo, hi := k.limits()
	if r, ok := tag.Lookup("range"); ok {
		var err error
		if lo, hi, err = parseRange(r, k); err != nil {
			return err
		}
	}
	unit := tag.Get("unit")
	if unit == "" && t == durationType {
		unit = "ns"
	}
	return b.append(Field{Name: name, Doc: tag.Get("doc"), Unit: unit, Offset: off,
		Size: k.Size(), Kind: k, Writable: writable, Min: lo, Max: hi})
}

func (b *fieldBuilder) addBytes(t reflect.Type, off uintptr, name string, tag reflect.StructTag, writable bool) error {
	switch _, ranged := tag.Lookup("range"); {
	case writable:
		return fmt.Errorf("%w: an array of bytes is not writable", ErrType)
	case ranged:
		return fmt.Errorf("%w: an array of bytes has no range", ErrType)
	case t.Len() == 0 || t.Len() > maxFieldBytes:
		return fmt.Errorf("%w: %d bytes, not 1 to %d", ErrRange, t.Len(), maxFieldBytes)
	}
	return b.append(Field{Name: name, Doc: tag.Get("doc"), Unit: tag.Get("unit"), Offset: off,
		Size: uint8(t.Len()), Kind: Bytes})
}

func (b *fieldBuilder) addArray(t reflect.Type, off uintptr, name string, tag reflect.StructTag, writable bool) error {
	if t.Len() > maxArrayElements {
		return fmt.Errorf("%w: %d elements, at most %d", ErrRange, t.Len(), maxArrayElements)
	}
	for i := range t.Len() {
		at := off + uintptr(i)*t.Elem().Size()
		if err := b.add(t.Elem(), at, joinName(name, fmt.Sprint(i)), tag, writable); err != nil {
			return err
		}
	}
	return nil
}

func (b *fieldBuilder) append(f Field) error {
	if !validName(f.Name) {
		return fmt.Errorf("%w %q", ErrName, f.Name)
	}
	f.Object = b.object
	b.fields = append(b.fields, f)
	return nil
}

// Object returns what the struct stands for.
func (s *FieldSet[V]) Object() string { return s.object }

// Size returns the size of the struct in bytes.
func (s *FieldSet[V]) Size() uintptr {
	var v V
	return unsafe.Sizeof(v)
}

// Fields returns the fields in order of their offsets; a FieldID is an index
// into it.
func (s *FieldSet[V]) Fields() []Field { return append([]Field(nil), s.fields...) }

// ID returns the field of that name.
func (s *FieldSet[V]) ID(name string) (FieldID, bool) {
	id, ok := s.ids[name]
	return id, ok
}

// Get returns scalar field f of v, sign-extended to 64 bits if it is signed. It
// panics if f is not an ID of this set; a field of bytes reads as zero.
func (s *FieldSet[V]) Get(v *V, f FieldID) uint64 {
	_ = *v // a nil v faults here, whatever the offset
	fd := &s.fields[f]
	return load(unsafe.Add(unsafe.Pointer(v), fd.Offset), fd.Kind)
}

// AppendBytes appends the bytes of field f of v to b; of a scalar, nothing.
func (s *FieldSet[V]) AppendBytes(b []byte, v *V, f FieldID) []byte {
	_ = *v
	fd := &s.fields[f]
	if fd.Kind != Bytes {
		return b
	}
	return append(b, unsafe.Slice((*byte)(unsafe.Add(unsafe.Pointer(v), fd.Offset)), int(fd.Size))...)
}

// Set lets the pluglet running in c write value to field f of v; the write is
// undone if the pluglet fails. It fails with ErrReadOnly under Pre and Post,
// ErrNotWritable, or ErrRange. It panics if f is not an ID of this set.
func (s *FieldSet[V]) Set(c *Call, v *V, f FieldID, value uint64) error {
	_ = *v
	fd := &s.fields[f]
	switch {
	case c.ReadOnly():
		return ErrReadOnly
	case !fd.Writable:
		return fmt.Errorf("%w: %s.%s", ErrNotWritable, fd.Object, fd.Name)
	case !fd.Kind.within(value, fd.Min, fd.Max):
		return fd.rangeError(value)
	}
	return c.write(unsafe.Add(unsafe.Pointer(v), fd.Offset), fd.Kind, value)
}

// GetAny is Get on any pointer to a V.
func (s *FieldSet[V]) GetAny(obj any, f FieldID) (uint64, error) {
	v, err := s.scalarOf(obj, f)
	if err != nil {
		return 0, err
	}
	return s.Get(v, f), nil
}

// SetAny is Set on any pointer to a V.
func (s *FieldSet[V]) SetAny(c *Call, obj any, f FieldID, value uint64) error {
	v, err := s.scalarOf(obj, f)
	if err != nil {
		return err
	}
	return s.Set(c, v, f, value)
}

func (s *FieldSet[V]) scalarOf(obj any, f FieldID) (*V, error) {
	v, ok := obj.(*V)
	switch {
	case !ok || v == nil:
		return nil, fmt.Errorf("%w: a %s is not %T", ErrType, s.object, obj)
	case uint(f) >= uint(len(s.fields)) || !s.fields[f].Kind.Scalar():
		return nil, fmt.Errorf("%w: %s has no scalar field %d", ErrIndex, s.object, f)
	}
	return v, nil
}

func (f *Field) rangeError(v uint64) error {
	if f.Kind.Signed() {
		return fmt.Errorf("%w: %s.%s = %d, not %d to %d", ErrRange, f.Object, f.Name, int64(v), int64(f.Min), int64(f.Max))
	}
	return fmt.Errorf("%w: %s.%s = %d, not %d to %d", ErrRange, f.Object, f.Name, v, f.Min, f.Max)
}
