package http3

import (
	"net/http"
	"strings"
)

// A responseHead is the header section of a response, checked.
type responseHead struct {
	status        int
	contentLength int64 // -1 if not stated
	regular       bool
	fields        headerBuilder
}

// decode reads and checks the header section of a response. h is zero before.
func (h *responseHead) decode(section []byte, limit uint64) error {
	h.contentLength = -1
	if err := decodeFields(section, limit, h); err != nil {
		return err
	}
	// "For responses, a single ":status" pseudo-header field is defined […] This
	// pseudo-header field MUST be included in all responses; otherwise, the
	// response is malformed"
	// https://www.rfc-editor.org/rfc/rfc9114#section-4.3.2
	if h.status == 0 {
		return malformed("a response without :status")
	}
	return nil
}

func (h *responseHead) field(name, value string) error {
	if strings.HasPrefix(name, ":") {
		return h.pseudo(name, value)
	}
	h.regular = true
	if err := checkField(name, value); err != nil {
		return err
	}
	if name == "content-length" {
		n, ok := parseContentLength(value)
		if !ok || h.contentLength >= 0 && h.contentLength != n {
			return malformed("invalid or contradicting content-length %.64q", value)
		}
		if h.contentLength >= 0 {
			return nil
		}
		h.contentLength = n
	}
	h.fields.add(canonicalName(name), value)
	return nil
}

func (h *responseHead) pseudo(name, value string) error {
	switch {
	case name != ":status":
		return malformed("pseudo-header field %.64q in a response", name)
	case h.regular:
		return malformed(":status after a regular field")
	case h.status != 0:
		return malformed(":status occurs twice")
	case len(value) != 3 || !isDigit(value[0]) || !isDigit(value[1]) || !isDigit(value[2]) || value[0] == '0':
		return malformed("invalid :status %.64q", value)
	}
	h.status = int(value[0]-'0')*100 + int(value[1]-'0')*10 + int(value[2]-'0')
	// "HTTP/3 does not support […] the 101 (Switching Protocols) informational
	// status code"
	// https://www.rfc-editor.org/rfc/rfc9114#section-4.5
	if h.status == http.StatusSwitchingProtocols {
		return malformed("status 101 does not exist in HTTP/3")
	}
	return nil
}

// bodyAllowed reports whether a response of this status has content.
// https://www.rfc-editor.org/rfc/rfc9110#section-6.4.1
func bodyAllowed(status int) bool {
	return status >= 200 && status != http.StatusNoContent && status != http.StatusNotModified
}

// addValues appends the field lines of one http.Header entry, unless HTTP/3
// forbids it or it is no field (net/http's ":protocol" and trailer-prefixed
// keys).
func (e *fieldEncoder) addValues(key string, values []string) {
	name := lowerName(key)
	if connectionSpecific(name) || !isToken(name) {
		return
	}
	for _, v := range values {
		if name == "te" && v != "trailers" {
			continue
		}
		e.add(name, cleanValue(v))
	}
}

// cleanValue replaces what no field value may hold by spaces, as net/http does
// with line breaks, and trims white space at the ends.
func cleanValue(v string) string {
	if !validFieldValue(v) {
		b := []byte(v)
		for i, c := range b {
			if c < 0x20 && c != '\t' || c == 0x7f {
				b[i] = ' '
			}
		}
		v = string(b)
	}
	return strings.Trim(v, " \t")
}
