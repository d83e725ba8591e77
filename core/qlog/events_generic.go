package qlog

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/pquic-go/pquic/core/mono"
	"github.com/pquic-go/pquic/core/wire"
)

// Plugin logs an event of the plugin called name: a fault, an attachment, or
// whatever the plugin reports. Its type is "pquic:" followed by event, its data
// the given values and, under "plugin", the name. Values are written as by
// Generic, keys in lower case and sorted.
func (t *Trace) Plugin(now mono.Time, name, event string, data map[string]any) {
	if t == nil || t.w == nil {
		return
	}
	t.beginRecord(now)
	t.enc.b = append(t.enc.b, "pquic:"...)
	t.enc.b = appendEscaped(t.enc.b, event)
	t.beginData()
	t.enc.string("plugin", name)
	t.enc.members(data, 0, "plugin")
	t.end()
}

// Generic logs an event of any namespace, such as loglevel:info. fields are keys
// and values in turn; a key that is repeated counts once. Booleans, integers,
// floats, strings, byte slices (as hexadecimal), durations (as milliseconds),
// times (as milliseconds since the trace's start), connection IDs, slices of
// strings, integers or any, and maps of such are written as what they are,
// other values as fmt prints them.
func (t *Trace) Generic(now mono.Time, category, event string, fields ...any) {
	if t == nil || t.w == nil {
		return
	}
	t.beginRecord(now)
	t.enc.b = appendEscaped(t.enc.b, category)
	t.enc.b = append(t.enc.b, ':')
	t.enc.b = appendEscaped(t.enc.b, event)
	t.beginData()
	for i := 0; i < len(fields); i += 2 {
		if repeated(fields, i) {
			continue
		}
		t.enc.anyKey(fieldName(fields[i]))
		if i+1 == len(fields) {
			t.enc.null()
			break
		}
		if at, ok := fields[i+1].(mono.Time); ok {
			t.enc.millisecondsValue(at.Sub(t.start))
			continue
		}
		t.enc.any(fields[i+1], 0)
	}
	t.end()
}

// repeated reports whether the name at i occurred before it.
func repeated(fields []any, i int) bool {
	name := fieldName(fields[i])
	for j := 0; j < i; j += 2 {
		if fieldName(fields[j]) == name {
			return true
		}
	}
	return false
}

// fieldName returns the name that a key has in the log: valid UTF-8, and in
// lower case as far as it is ASCII.
//
// "all qlog field names MUST be lowercase when serialized to JSON-SEQ."
// https://datatracker.ietf.org/doc/html/draft-ietf-quic-qlog-main-schema-14#section-11.2
func fieldName(key any) string {
	s, ok := key.(string)
	if !ok {
		s = fmt.Sprint(key)
	}
	plain := true
	for i := range len(s) {
		plain = plain && s[i] < utf8.RuneSelf && (s[i] < 'A' || 'Z' < s[i])
	}
	if plain {
		return s
	}
	runes := []rune(s)
	for i, r := range runes {
		if 'A' <= r && r <= 'Z' {
			runes[i] = r + 'a' - 'A'
		}
	}
	return string(runes)
}

func (e *encoder) anyKey(name string) {
	e.b = appendString(e.b, name)
	e.b = append(e.b, ':')
}

func (e *encoder) null() { e.b = append(e.b, "null,"...) }

// maxDepth bounds the nesting of values; deeper ones are left out.
const maxDepth = 8

// members writes the entries of a map, except the one named skip. Of keys that
// have the same name, the first in order counts.
func (e *encoder) members(m map[string]any, depth int, skip string) {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b string) int {
		return cmp.Or(strings.Compare(fieldName(a), fieldName(b)), strings.Compare(a, b))
	})
	for i, k := range keys {
		name := fieldName(k)
		if depth == 0 && name == skip || i > 0 && name == fieldName(keys[i-1]) {
			continue
		}
		e.anyKey(name)
		e.any(m[k], depth)
	}
}

// any writes a value that a plugin or an application gave.
func (e *encoder) any(v any, depth int) {
	if depth > maxDepth {
		e.null()
		return
	}
	switch v := v.(type) {
	case nil:
		e.null()
	case bool:
		e.b = strconv.AppendBool(e.b, v)
		e.comma()
	case string:
		e.stringValue(v)
	case []byte:
		e.b = append(e.b, '"')
		e.b = appendHex(e.b, v)
		e.b = append(e.b, '"', ',')
	case time.Duration:
		e.millisecondsValue(v)
	case wire.ConnID:
		e.connIDValue(v)
	case float32:
		e.float(float64(v))
	case float64:
		e.float(v)
	case map[string]any:
		e.object("")
		e.members(v, depth+1, "")
		e.endObject()
	case []any:
		array(e, v, func(x any) { e.any(x, depth+1) })
	case []string:
		array(e, v, e.stringValue)
	case []uint64:
		array(e, v, e.uintValue)
	case []int:
		array(e, v, func(x int) { e.intValue(int64(x)) })
	default:
		if i, ok := integer(v); ok {
			e.intValue(i)
		} else if u, ok := unsigned(v); ok {
			e.uintValue(u)
		} else {
			e.stringValue(fmt.Sprint(v))
		}
	}
}

func array[T any](e *encoder, list []T, write func(T)) {
	e.array("")
	for _, v := range list {
		write(v)
	}
	e.endArray()
}

func integer(v any) (int64, bool) {
	switch v := v.(type) {
	case int:
		return int64(v), true
	case int8:
		return int64(v), true
	case int16:
		return int64(v), true
	case int32:
		return int64(v), true
	case int64:
		return v, true
	}
	return 0, false
}

func unsigned(v any) (uint64, bool) {
	switch v := v.(type) {
	case uint:
		return uint64(v), true
	case uint8:
		return uint64(v), true
	case uint16:
		return uint64(v), true
	case uint32:
		return uint64(v), true
	case uint64:
		return v, true
	}
	return 0, false
}

// float writes a number; JSON has none for infinity and NaN.
func (e *encoder) float(v float64) {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		e.null()
		return
	}
	e.b = strconv.AppendFloat(e.b, v, 'g', -1, 64)
	e.comma()
}
