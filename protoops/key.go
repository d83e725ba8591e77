package protoops

import (
	"cmp"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// NoParam is the Param of an operation that takes none.
const NoParam = math.MaxUint64

// maxNameLen bounds operation names, which may come from a stranger's plugin.
const maxNameLen = 64

// A Key names one operation: "update_rtt", or "parse_frame" for frame type 0x30.
// Param is NoParam for a plain operation; zero is a parameter like any other.
type Key struct {
	Name  string
	Param uint64
}

// Plain returns the Key of an operation without parameter.
func Plain(name string) Key { return Key{name, NoParam} }

// String writes the key as section names spell it: "update_rtt" or
// "parse_frame/0x30".
func (k Key) String() string {
	if k.Param == NoParam {
		return k.Name
	}
	return k.Name + "/0x" + strconv.FormatUint(k.Param, 16)
}

// Compare orders keys by name, then plain before parametrized, then by parameter.
func (k Key) Compare(l Key) int {
	// NoParam is the greatest value; adding one wraps it to the front.
	return cmp.Or(strings.Compare(k.Name, l.Name), cmp.Compare(k.Param+1, l.Param+1))
}

// ParseSection reads a section name such as "replace/process_frame/0x42",
// "post/update_rtt" or "extern/send_datagram". The parameter may be written in
// decimal or, after 0x, in hexadecimal. Its errors are ErrAnchor or ErrName.
func ParseSection(s string) (Anchor, Key, error) {
	first, rest, _ := strings.Cut(s, "/")
	at, ok := parseAnchor(first)
	if !ok {
		return 0, Key{}, fmt.Errorf("%w %q in section %q", ErrAnchor, clip(first), clip(s))
	}
	name, param, hasParam := strings.Cut(rest, "/")
	k := Plain(name)
	if !validName(name) {
		return 0, Key{}, fmt.Errorf("%w %q in section %q", ErrName, clip(name), clip(s))
	}
	if hasParam {
		v, err := parseUint(param)
		if err != nil || v == NoParam {
			return 0, Key{}, fmt.Errorf("%w: parameter %q in section %q", ErrName, clip(param), clip(s))
		}
		k.Param = v
	}
	return at, k, nil
}

// parseUint reads decimal or 0x hexadecimal, nothing else: no sign, underscore
// or octal, so that each number has few spellings.
func parseUint(s string) (uint64, error) {
	if hex, ok := strings.CutPrefix(s, "0x"); ok {
		return strconv.ParseUint(hex, 16, 64)
	}
	return strconv.ParseUint(s, 10, 64)
}

// validName accepts lower-case letters, digits, '_' and '.', a letter first.
func validName(s string) bool {
	if s == "" || len(s) > maxNameLen || s[0] < 'a' || s[0] > 'z' {
		return false
	}
	for i := 1; i < len(s); i++ {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9', c == '_', c == '.':
		default:
			return false
		}
	}
	return true
}

// clip shortens hostile text before it enters an error message.
func clip(s string) string {
	if len(s) <= 2*maxNameLen {
		return s
	}
	return s[:2*maxNameLen] + "…"
}
