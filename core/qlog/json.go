package qlog

import (
	"strconv"
	"time"
	"unicode/utf8"
)

// maxSafeInteger is the largest integer that every JSON parser represents.
// https://www.rfc-editor.org/rfc/rfc7493#section-2.2
const maxSafeInteger = 1<<53 - 1

// An encoder appends JSON to b. Every value is followed by a comma; closing an
// object or array turns the last one into the bracket. Keys are constants of
// this package and need no escaping.
type encoder struct{ b []byte }

func (e *encoder) key(k string) {
	e.b = append(e.b, '"')
	e.b = append(e.b, k...)
	e.b = append(e.b, '"', ':')
}

// object opens an object under k, or as an array's element if k is empty.
func (e *encoder) object(k string) { e.open(k, '{') }

// array opens an array, as object does.
func (e *encoder) array(k string) { e.open(k, '[') }

func (e *encoder) open(k string, bracket byte) {
	if k != "" {
		e.key(k)
	}
	e.b = append(e.b, bracket)
}

func (e *encoder) endObject() { e.close('}') }
func (e *encoder) endArray()  { e.close(']') }

func (e *encoder) close(bracket byte) {
	if last := len(e.b) - 1; e.b[last] == ',' {
		e.b[last] = bracket
	} else {
		e.b = append(e.b, bracket)
	}
	e.comma()
}

func (e *encoder) comma() { e.b = append(e.b, ',') }

// trimComma removes the comma behind the outermost value.
func (e *encoder) trimComma() {
	if last := len(e.b) - 1; last >= 0 && e.b[last] == ',' {
		e.b = e.b[:last]
	}
}

func (e *encoder) uint(k string, v uint64) {
	e.key(k)
	e.uintValue(v)
}

// "to support situations where I-JSON is in use, serializers MAY encode uint64
// values using JSON strings."
// https://datatracker.ietf.org/doc/html/draft-ietf-quic-qlog-main-schema-14#section-11.3
func (e *encoder) uintValue(v uint64) {
	if v > maxSafeInteger {
		e.b = append(e.b, '"')
		e.b = strconv.AppendUint(e.b, v, 10)
		e.b = append(e.b, '"', ',')
		return
	}
	e.b = strconv.AppendUint(e.b, v, 10)
	e.comma()
}

func (e *encoder) intValue(v int64) {
	if v >= 0 {
		e.uintValue(uint64(v))
		return
	}
	quote := v < -maxSafeInteger
	if quote {
		e.b = append(e.b, '"')
	}
	e.b = strconv.AppendInt(e.b, v, 10)
	if quote {
		e.b = append(e.b, '"')
	}
	e.comma()
}

func (e *encoder) bool(k string, v bool) {
	e.key(k)
	e.b = strconv.AppendBool(e.b, v)
	e.comma()
}

// milliseconds writes d as a number of milliseconds.
func (e *encoder) milliseconds(k string, d time.Duration) {
	e.key(k)
	e.millisecondsValue(d)
}

func (e *encoder) millisecondsValue(d time.Duration) {
	e.b = appendMilliseconds(e.b, d)
	e.comma()
}

// appendMilliseconds appends d in milliseconds, exact to the nanosecond.
func appendMilliseconds(b []byte, d time.Duration) []byte {
	n := uint64(d)
	if d < 0 {
		b = append(b, '-')
		n = -n
	}
	b = strconv.AppendUint(b, n/1e6, 10)
	frac := n % 1e6
	if frac == 0 {
		return b
	}
	b = append(b, '.')
	for unit := uint64(1e5); frac != 0; unit /= 10 {
		b = append(b, '0'+byte(frac/unit))
		frac %= unit
	}
	return b
}

func (e *encoder) string(k, v string) {
	e.key(k)
	e.stringValue(v)
}

func (e *encoder) stringValue(v string) {
	e.b = appendString(e.b, v)
	e.comma()
}

// hex writes v as a hexstring.
func (e *encoder) hex(k string, v []byte) {
	e.key(k)
	e.b = append(e.b, '"')
	e.b = appendHex(e.b, v)
	e.b = append(e.b, '"', ',')
}

const hexDigits = "0123456789abcdef"

func appendHex(b, v []byte) []byte {
	for _, c := range v {
		b = append(b, hexDigits[c>>4], hexDigits[c&15])
	}
	return b
}

// appendString appends s as a JSON string. Invalid UTF-8 becomes U+FFFD.
// https://www.rfc-editor.org/rfc/rfc8259#section-7
func appendString[T string | []byte](b []byte, s T) []byte {
	b = append(b, '"')
	b = appendEscaped(b, s)
	return append(b, '"')
}

func appendEscaped[T string | []byte](b []byte, s T) []byte {
	for i := 0; i < len(s); {
		c := s[i]
		if c >= utf8.RuneSelf {
			var tmp [utf8.UTFMax]byte
			r, n := utf8.DecodeRune(tmp[:copy(tmp[:], s[i:])])
			b = utf8.AppendRune(b, r)
			i += n
			continue
		}
		i++
		switch {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case c < 0x20 || c == 0x7f:
			b = append(b, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		default:
			b = append(b, c)
		}
	}
	return b
}
