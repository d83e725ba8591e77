package qlog

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"
)

// A schema validates JSON against the keywords of JSON Schema 2020-12 that
// testdata/qlog.schema.json uses. A keyword it does not know is an error, not
// ignored.
type schema struct {
	defs     map[string]any
	patterns map[string]*regexp.Regexp
}

func loadSchema(t testing.TB) *schema {
	t.Helper()
	b, err := os.ReadFile("testdata/qlog.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	root, err := decodeJSON(b)
	if err != nil {
		t.Fatal(err)
	}
	s := &schema{defs: root.(map[string]any)["$defs"].(map[string]any), patterns: map[string]*regexp.Regexp{}}
	for name, def := range s.defs {
		if err := s.prepare(def); err != nil {
			t.Fatalf("$defs/%s: %v", name, err)
		}
	}
	return s
}

// prepare checks all keywords of a schema and below, and compiles its patterns.
func (s *schema) prepare(def any) error {
	m, ok := def.(map[string]any)
	if !ok {
		if _, ok := def.(bool); ok {
			return nil
		}
		return fmt.Errorf("%v is no schema", def)
	}
	for k, v := range m {
		var below []any
		switch k {
		case "$comment", "type", "required", "const", "enum", "minimum", "maximum", "minItems", "maxItems", "minProperties":
		case "$ref":
			if s.deref(v.(string)) == nil {
				return fmt.Errorf("no %v", v)
			}
		case "pattern":
			re, err := regexp.Compile(v.(string))
			if err != nil {
				return err
			}
			s.patterns[v.(string)] = re
		case "properties":
			for _, p := range v.(map[string]any) {
				below = append(below, p)
			}
		case "additionalProperties", "items", "if", "then":
			below = []any{v}
		case "anyOf", "allOf":
			below = v.([]any)
		default:
			return fmt.Errorf("keyword %q is not known", k)
		}
		for _, b := range below {
			if err := s.prepare(b); err != nil {
				return fmt.Errorf("%s: %w", k, err)
			}
		}
	}
	return nil
}

func (s *schema) deref(ref string) any { return s.defs[strings.TrimPrefix(ref, "#/$defs/")] }

// validate returns the first violation, with the path to it.
func (s *schema) validate(def, v any, path string) error {
	m, ok := def.(map[string]any)
	if !ok {
		if def.(bool) {
			return nil
		}
		return fmt.Errorf("%s: not allowed", path)
	}
	if ref, ok := m["$ref"]; ok {
		if err := s.validate(s.deref(ref.(string)), v, path); err != nil {
			return err
		}
	}
	for _, check := range []func(map[string]any, any, string) error{s.checkValue, s.checkObject, s.checkArray, s.checkCombined} {
		if err := check(m, v, path); err != nil {
			return err
		}
	}
	return nil
}

func (s *schema) checkValue(m map[string]any, v any, path string) error {
	if typ, ok := m["type"]; ok && !isType(typ.(string), v) {
		return fmt.Errorf("%s: %v is no %s", path, v, typ)
	}
	if want, ok := m["const"]; ok && !reflect.DeepEqual(v, want) {
		return fmt.Errorf("%s: %v, not %v", path, v, want)
	}
	if list, ok := m["enum"]; ok {
		found := false
		for _, want := range list.([]any) {
			found = found || reflect.DeepEqual(v, want)
		}
		if !found {
			return fmt.Errorf("%s: %v is none of %v", path, v, list)
		}
	}
	if p, ok := m["pattern"]; ok {
		if str, ok := v.(string); ok && !s.patterns[p.(string)].MatchString(str) {
			return fmt.Errorf("%s: %q does not match %s", path, str, p)
		}
	}
	if n, ok := v.(json.Number); ok {
		if lo, ok := m["minimum"]; ok && float(n) < float(lo) || m["maximum"] != nil && float(n) > float(m["maximum"]) {
			return fmt.Errorf("%s: %v is out of range", path, n)
		}
	}
	return nil
}

func float(v any) float64 {
	f, err := v.(json.Number).Float64()
	if err != nil {
		panic(err)
	}
	return f
}

func isType(typ string, v any) bool {
	switch v := v.(type) {
	case map[string]any:
		return typ == "object"
	case []any:
		return typ == "array"
	case string:
		return typ == "string"
	case bool:
		return typ == "boolean"
	case json.Number:
		return typ == "number" || typ == "integer" && !strings.ContainsAny(v.String(), ".eE")
	}
	return false
}

func (s *schema) checkObject(m map[string]any, v any, path string) error {
	obj, ok := v.(map[string]any)
	if !ok {
		return nil
	}
	if list, ok := m["required"]; ok {
		for _, k := range list.([]any) {
			if _, ok := obj[k.(string)]; !ok {
				return fmt.Errorf("%s: no %v", path, k)
			}
		}
	}
	if n, ok := m["minProperties"]; ok && float64(len(obj)) < float(n) {
		return fmt.Errorf("%s: fewer than %v properties", path, n)
	}
	props, _ := m["properties"].(map[string]any)
	for k, value := range obj {
		def, ok := props[k]
		if !ok {
			if def, ok = m["additionalProperties"]; !ok {
				continue
			}
		}
		if err := s.validate(def, value, path+"."+k); err != nil {
			return err
		}
	}
	return nil
}

func (s *schema) checkArray(m map[string]any, v any, path string) error {
	list, ok := v.([]any)
	if !ok {
		return nil
	}
	if n, ok := m["minItems"]; ok && float64(len(list)) < float(n) {
		return fmt.Errorf("%s: fewer than %v items", path, n)
	}
	if n, ok := m["maxItems"]; ok && float64(len(list)) > float(n) {
		return fmt.Errorf("%s: more than %v items", path, n)
	}
	if def, ok := m["items"]; ok {
		for i, item := range list {
			if err := s.validate(def, item, fmt.Sprintf("%s[%d]", path, i)); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *schema) checkCombined(m map[string]any, v any, path string) error {
	if list, ok := m["allOf"]; ok {
		for _, def := range list.([]any) {
			if err := s.validate(def, v, path); err != nil {
				return err
			}
		}
	}
	if list, ok := m["anyOf"]; ok {
		var last error
		for _, def := range list.([]any) {
			if last = s.validate(def, v, path); last == nil {
				break
			}
		}
		if last != nil {
			return last
		}
	}
	if cond, ok := m["if"]; ok && s.validate(cond, v, path) == nil {
		return s.validate(m["then"], v, path)
	}
	return nil
}

// checkRecords validates a whole trace.
func (s *schema) checkRecords(t testing.TB, records []any) {
	t.Helper()
	for i, r := range records {
		def := "event"
		if i == 0 {
			def = "header"
		}
		if err := s.validate(s.defs[def], r, def); err != nil {
			b, _ := json.Marshal(r)
			t.Errorf("record %d: %v\n%s", i, err, b)
		}
	}
}

func decodeJSON(b []byte) (any, error) {
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, err
	}
	if d.More() {
		return nil, fmt.Errorf("more than one value")
	}
	return v, nil
}

// records splits a JSON text sequence and parses its texts.
//
// "JSON-sequence = *(RS JSON-text LF)"
// https://www.rfc-editor.org/rfc/rfc7464#section-2.2
func records(t testing.TB, b []byte) []any {
	t.Helper()
	if !utf8.Valid(b) {
		t.Fatal("the trace is not UTF-8")
	}
	var list []any
	for len(b) > 0 {
		end := bytes.IndexByte(b, '\n')
		if b[0] != 0x1e || end < 0 {
			t.Fatalf("no record: %q", b)
		}
		v, err := decodeJSON(b[1:end])
		if err != nil {
			t.Fatalf("%v in %s", err, b[1:end])
		}
		if dup := duplicateKey(b[1:end]); dup != "" {
			t.Fatalf("key %q twice in %s", dup, b[1:end])
		}
		list = append(list, v)
		b = b[end+1:]
	}
	return list
}

// duplicateKey returns a key that one of the objects in b holds twice, which
// I-JSON forbids and encoding/json does not notice.
// https://www.rfc-editor.org/rfc/rfc7493#section-2.3
func duplicateKey(b []byte) string {
	type level struct {
		seen map[string]bool // nil in arrays
		key  bool            // a key comes next
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	var stack []level
	for {
		tok, err := d.Token()
		if err != nil {
			return ""
		}
		switch tok {
		case json.Delim('{'):
			stack = append(stack, level{map[string]bool{}, true})
			continue
		case json.Delim('['):
			stack = append(stack, level{})
			continue
		case json.Delim('}'), json.Delim(']'):
			stack = stack[:len(stack)-1]
			if len(stack) > 0 {
				stack[len(stack)-1].key = true
			}
			continue
		}
		if len(stack) == 0 || stack[len(stack)-1].seen == nil {
			continue
		}
		top := &stack[len(stack)-1]
		if top.key {
			if top.seen[tok.(string)] {
				return tok.(string)
			}
			top.seen[tok.(string)] = true
		}
		top.key = !top.key
	}
}
