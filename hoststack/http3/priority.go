package http3

import (
	"errors"
	"strconv"
	"strings"

	"github.com/pquic-go/pquic/core/wire"
)

// A Priority is a request's rank among the requests of its connection.
// https://www.rfc-editor.org/rfc/rfc9218#section-4
type Priority struct {
	Urgency     uint8 // 0 (first) to 7 (background)
	Incremental bool  // the response is of use in parts
}

// DefaultPriority is the priority of a request that states none.
var DefaultPriority = Priority{Urgency: 3}

// String returns the Priority header field's value.
func (p Priority) String() string {
	s := "u=" + strconv.Itoa(int(p.Urgency))
	if p.Incremental {
		s += ", i"
	}
	return s
}

// ParsePriority reads the value of a Priority header field or PRIORITY_UPDATE
// frame. What it does not state is taken from def.
//
// "[…] unknown priority parameters, priority parameters with out-of-range
// values, or values of unexpected types MUST be ignored."
// https://www.rfc-editor.org/rfc/rfc9218#section-4
func ParsePriority(s string, def Priority) (Priority, error) {
	p := def
	err := parseDictionary(s, func(key string, v sfValue) {
		switch {
		case key == "u" && v.kind == sfInteger && v.integer >= 0 && v.integer <= 7:
			p.Urgency = uint8(v.integer)
		case key == "i" && v.kind == sfBoolean:
			p.Incremental = v.integer != 0
		}
	})
	if err != nil {
		return def, err
	}
	return p, nil
}

// appendPriorityUpdate appends the PRIORITY_UPDATE frame of a request stream.
// https://www.rfc-editor.org/rfc/rfc9218#section-7.2
func appendPriorityUpdate(b []byte, streamID uint64, p Priority) []byte {
	v := p.String()
	b = appendFrameHeader(b, FramePriorityUpdateRequest, uint64(wire.VarintLen(streamID)+len(v)))
	return append(wire.AppendVarint(b, streamID), v...)
}

// parsePriorityUpdate reads the payload of a PRIORITY_UPDATE frame. ok is false
// if its Priority Field Value is not understood: structured fields gain new
// types over time (RFC 9651), so that is no reason to end a connection.
//
// "Omitting a priority parameter is a signal to use its default value. Failure
// to parse the Priority Field Value MAY be treated as a connection error."
// https://www.rfc-editor.org/rfc/rfc9218#section-7
func parsePriorityUpdate(payload []byte) (id uint64, p Priority, ok bool, err error) {
	id, n := wire.ParseVarint(payload)
	if n == 0 {
		return 0, p, false, connErrorf(CodeFrameError, "PRIORITY_UPDATE without an element ID")
	}
	p, err = ParsePriority(string(payload[n:]), DefaultPriority)
	return id, p, err == nil, nil
}

// Structured fields, as far as a dictionary of priority parameters needs them:
// everything is parsed, integers and booleans are kept.
// https://www.rfc-editor.org/rfc/rfc8941#section-4.2

type sfKind uint8

const (
	sfOther sfKind = iota
	sfInteger
	sfBoolean
)

type sfValue struct {
	kind    sfKind
	integer int64 // an Integer's value; 1 or 0 for a Boolean
}

var errStructuredField = errors.New("not a structured field dictionary")

// An sfParser consumes the string it holds.
type sfParser struct{ s string }

// parseDictionary calls member for each member of the dictionary in s, in
// order. The last of several members of one key counts.
func parseDictionary(s string, member func(key string, v sfValue)) error {
	p := sfParser{strings.Trim(s, " ")}
	for p.s != "" {
		key, ok := p.key()
		if !ok {
			return errStructuredField
		}
		v := sfValue{sfBoolean, 1}
		if p.take('=') {
			if v, ok = p.itemOrInnerList(); !ok {
				return errStructuredField
			}
		}
		if !p.parameters() {
			return errStructuredField
		}
		member(key, v)
		p.s = strings.TrimLeft(p.s, " \t")
		if p.s == "" {
			return nil
		}
		if !p.take(',') {
			return errStructuredField
		}
		p.s = strings.TrimLeft(p.s, " \t")
		if p.s == "" {
			return errStructuredField // trailing comma
		}
	}
	return nil
}

func (p *sfParser) take(c byte) bool {
	if p.s == "" || p.s[0] != c {
		return false
	}
	p.s = p.s[1:]
	return true
}

// span takes the longest prefix whose bytes all satisfy is.
func (p *sfParser) span(is func(byte) bool) string {
	n := 0
	for n < len(p.s) && is(p.s[n]) {
		n++
	}
	head := p.s[:n]
	p.s = p.s[n:]
	return head
}

func isLower(c byte) bool { return 'a' <= c && c <= 'z' }
func isDigit(c byte) bool { return '0' <= c && c <= '9' }
func isAlpha(c byte) bool { return isLower(c | 0x20) }

func (p *sfParser) key() (string, bool) {
	if p.s == "" || !isLower(p.s[0]) && p.s[0] != '*' {
		return "", false
	}
	return p.span(func(c byte) bool {
		return isLower(c) || isDigit(c) || strings.IndexByte("_-.*", c) >= 0
	}), true
}

func (p *sfParser) itemOrInnerList() (sfValue, bool) {
	if !p.take('(') {
		return p.bareItem()
	}
	for {
		p.s = strings.TrimLeft(p.s, " ")
		if p.take(')') {
			return sfValue{}, true
		}
		if _, ok := p.bareItem(); !ok || !p.parameters() {
			return sfValue{}, false
		}
		if p.s == "" || p.s[0] != ' ' && p.s[0] != ')' {
			return sfValue{}, false
		}
	}
}

func (p *sfParser) parameters() bool {
	for p.take(';') {
		p.s = strings.TrimLeft(p.s, " ")
		if _, ok := p.key(); !ok {
			return false
		}
		if p.take('=') {
			if _, ok := p.bareItem(); !ok {
				return false
			}
		}
	}
	return true
}

func (p *sfParser) bareItem() (sfValue, bool) {
	if p.s == "" {
		return sfValue{}, false
	}
	switch c := p.s[0]; {
	case c == '-' || isDigit(c):
		return p.number()
	case c == '"':
		return sfValue{}, p.quoted()
	case c == '*' || isAlpha(c):
		p.span(func(c byte) bool { return tokenByte[c] || c == ':' || c == '/' })
		return sfValue{}, true
	case c == ':':
		p.s = p.s[1:]
		p.span(func(c byte) bool { return isAlpha(c) || isDigit(c) || c == '+' || c == '/' || c == '=' })
		return sfValue{}, p.take(':')
	case c == '?':
		p.s = p.s[1:]
		if p.take('1') {
			return sfValue{sfBoolean, 1}, true
		}
		return sfValue{sfBoolean, 0}, p.take('0')
	}
	return sfValue{}, false
}

// number reads an Integer of at most 15 digits or a Decimal.
func (p *sfParser) number() (sfValue, bool) {
	negative := p.take('-')
	digits := p.span(isDigit)
	if digits == "" || len(digits) > 15 {
		return sfValue{}, false
	}
	if p.take('.') {
		fraction := p.span(isDigit)
		return sfValue{}, len(digits) <= 12 && len(fraction) >= 1 && len(fraction) <= 3
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	if negative {
		n = -n
	}
	return sfValue{sfInteger, n}, err == nil
}

// quoted reads a String.
func (p *sfParser) quoted() bool {
	for i := 1; i < len(p.s); i++ {
		switch c := p.s[i]; {
		case c == '\\':
			i++
			if i >= len(p.s) || p.s[i] != '"' && p.s[i] != '\\' {
				return false
			}
		case c == '"':
			p.s = p.s[i+1:]
			return true
		case c < 0x20 || c > 0x7e:
			return false
		}
	}
	return false
}
