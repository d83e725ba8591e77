package protoops

import (
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"
)

// A Kind is the machine type of an argument, a result or a field.
type Kind uint8

const (
	// Bool is one byte holding 0 or 1.
	Bool Kind = iota + 1
	U8
	U16
	U32
	U64
	I8
	I16
	I32
	I64
	// Bytes is a slice or an array of bytes.
	Bytes
	// Handle is a pointer or an interface value: opaque outside Go.
	Handle
	// Ref is any other Go value, handed to Go code as a pointer to it.
	Ref

	numKinds
)

var kindNames = [numKinds]string{
	"invalid", "bool", "u8", "u16", "u32", "u64", "i8", "i16", "i32", "i64", "bytes", "handle", "ref",
}

// String returns the kind's name as generated references spell it.
func (k Kind) String() string {
	if k < numKinds {
		return kindNames[k]
	}
	return kindNames[0]
}

// Scalar reports whether a value of this kind is one word, widened to 64 bits.
func (k Kind) Scalar() bool { return k >= Bool && k <= I64 }

// Signed reports whether the word is a two's complement number.
func (k Kind) Signed() bool { return k >= I8 && k <= I64 }

// Size returns a scalar's size in bytes, zero for the other kinds.
func (k Kind) Size() uint8 {
	switch k {
	case Bool, U8, I8:
		return 1
	case U16, I16:
		return 2
	case U32, I32:
		return 4
	case U64, I64:
		return 8
	}
	return 0
}

// limits returns the least and greatest word of k, sign-extended if k is signed.
func (k Kind) limits() (lo, hi uint64) {
	bits := 8 * uint(k.Size())
	switch {
	case k == Bool:
		return 0, 1
	case k.Signed():
		half := int64(math.MaxInt64) >> (64 - bits)
		return uint64(-half - 1), uint64(half)
	}
	return 0, math.MaxUint64 >> (64 - bits)
}

// within reports whether lo <= v <= hi in k's arithmetic.
func (k Kind) within(v, lo, hi uint64) bool {
	if k.Signed() {
		return int64(v) >= int64(lo) && int64(v) <= int64(hi)
	}
	return v >= lo && v <= hi
}

// kindOf returns the scalar kind of t, or zero. int, uint and uintptr have the
// width of the platform.
func kindOf(t reflect.Type) Kind {
	switch t.Kind() {
	case reflect.Bool:
		return Bool
	case reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uint, reflect.Uintptr:
		return bySize(t.Size(), U8)
	case reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64, reflect.Int:
		return bySize(t.Size(), I8)
	}
	return 0
}

// bySize counts up from the one-byte kind of a family.
func bySize(size uintptr, k Kind) Kind {
	for ; size > 1; size /= 2 {
		k++
	}
	return k
}

// parseRange reads the tag range:"min:max", either side of which may be empty.
func parseRange(s string, k Kind) (lo, hi uint64, err error) {
	lo, hi = k.limits()
	a, b, ok := strings.Cut(s, ":")
	if !ok {
		return 0, 0, fmt.Errorf("range %q is not min:max", s)
	}
	least, greatest := lo, hi
	if lo, err = parseBound(a, k, lo); err != nil {
		return 0, 0, fmt.Errorf("range %q: %w", s, err)
	}
	if hi, err = parseBound(b, k, hi); err != nil {
		return 0, 0, fmt.Errorf("range %q: %w", s, err)
	}
	if !k.within(lo, least, greatest) || !k.within(hi, lo, greatest) {
		return 0, 0, fmt.Errorf("range %q does not fit %s", s, k)
	}
	return lo, hi, nil
}

func parseBound(s string, k Kind, absent uint64) (uint64, error) {
	if s == "" {
		return absent, nil
	}
	if k.Signed() {
		v, err := strconv.ParseInt(s, 0, 64)
		return uint64(v), err
	}
	return strconv.ParseUint(s, 0, 64)
}

// tagName returns the name a struct field goes by: that of its op tag, else its
// Go name in snake case. An explicitly empty tag says to inline a nested struct.
func tagName(f *reflect.StructField) string {
	if name, ok := f.Tag.Lookup("op"); ok {
		return name
	}
	if f.Anonymous {
		return ""
	}
	return snake(f.Name)
}

// visible reports whether f is there for plugins. The exported fields of an
// embedded struct are, even if its type is not exported.
func visible(f *reflect.StructField) bool {
	return f.IsExported() || f.Anonymous && f.Type.Kind() == reflect.Struct
}

// snake turns "MaxAckDelay" into "max_ack_delay" and "RTTVar" into "rtt_var".
func snake(s string) string {
	upper := func(i int) bool { return i < len(s) && 'A' <= s[i] && s[i] <= 'Z' }
	lower := func(i int) bool { return i < len(s) && 'a' <= s[i] && s[i] <= 'z' }
	var b strings.Builder
	for i := range len(s) {
		if i > 0 && upper(i) && s[i-1] != '_' && (!upper(i-1) || lower(i+1)) {
			b.WriteByte('_')
		}
		if upper(i) {
			b.WriteByte(s[i] + 'a' - 'A')
		} else {
			b.WriteByte(s[i])
		}
	}
	return b.String()
}

// joinName prefixes name with that of the struct it is nested in.
func joinName(prefix, name string) string {
	if prefix == "" {
		return name
	}
	if name == "" {
		return prefix
	}
	return prefix + "_" + name
}
