package http3

import (
	"net/http"
	"net/url"
	"strings"
)

// A requestHead is the header section of a request, checked.
type requestHead struct {
	method, scheme, authority, path, protocol string
	present                                   pseudoSet
	host                                      string // the Host field
	hasHost                                   bool
	contentLength                             int64 // -1 if not stated
	cookies                                   int   // cookie lines so far
	regular                                   bool  // a regular field was seen
	fields                                    headerBuilder
}

// A pseudoSet tells which pseudo-header fields occurred: an absent one and an
// empty one are different mistakes.
type pseudoSet uint8

const (
	pseudoMethod pseudoSet = 1 << iota
	pseudoScheme
	pseudoAuthority
	pseudoPath
	pseudoProtocol
)

// decode reads and checks the header section of a request. h is zero before.
func (h *requestHead) decode(section []byte, limit uint64) error {
	h.contentLength = -1
	if err := decodeFields(section, limit, h); err != nil {
		return err
	}
	return h.check()
}

func (h *requestHead) field(name, value string) error {
	if strings.HasPrefix(name, ":") {
		return h.pseudo(name, value)
	}
	h.regular = true
	if err := checkField(name, value); err != nil {
		return err
	}
	switch name {
	case "host":
		if h.hasHost && h.host != value {
			return malformed("two different Host fields")
		}
		h.host, h.hasHost = value, true
		return nil
	case "content-length":
		n, ok := parseContentLength(value)
		if !ok || h.contentLength >= 0 && h.contentLength != n {
			return malformed("invalid or contradicting content-length %.64q", value)
		}
		if h.contentLength >= 0 {
			return nil
		}
		h.contentLength = n
	case "cookie":
		// "If a decompressed field section contains multiple cookie field
		// lines, these MUST be concatenated into a single byte string using the
		// two-byte delimiter of "; " […] before being passed into […] a generic
		// HTTP server application."
		// https://www.rfc-editor.org/rfc/rfc9114#section-4.2.1
		h.cookies++
	}
	h.fields.add(canonicalName(name), value)
	return nil
}

func (h *requestHead) pseudo(name, value string) error {
	// "All pseudo-header fields MUST appear in the header section before
	// regular header fields."
	// https://www.rfc-editor.org/rfc/rfc9114#section-4.3
	if h.regular {
		return malformed("pseudo-header field %q after a regular field", name)
	}
	var bit pseudoSet
	var dst *string
	switch name {
	case ":method":
		bit, dst = pseudoMethod, &h.method
	case ":scheme":
		bit, dst = pseudoScheme, &h.scheme
	case ":authority":
		bit, dst = pseudoAuthority, &h.authority
	case ":path":
		bit, dst = pseudoPath, &h.path
	case ":protocol":
		bit, dst = pseudoProtocol, &h.protocol
	default:
		// "Endpoints MUST treat a request or response that contains undefined or
		// invalid pseudo-header fields as malformed."
		// https://www.rfc-editor.org/rfc/rfc9114#section-4.3
		return malformed("undefined pseudo-header field %.64q", name)
	}
	if h.present&bit != 0 {
		return malformed("pseudo-header field %q occurs twice", name)
	}
	if !validFieldValue(value) {
		return malformed("invalid value of %q", name)
	}
	h.present |= bit
	*dst = value
	return nil
}

// check applies the rules that need the whole section.
func (h *requestHead) check() error {
	if !isToken(h.method) {
		return malformed("invalid or missing :method %.64q", h.method)
	}
	if h.method == http.MethodConnect && h.present&pseudoProtocol == 0 {
		return h.checkConnect()
	}
	// "All HTTP/3 requests MUST include exactly one value for the :method,
	// :scheme, and :path pseudo-header fields, unless the request is a CONNECT
	// request"
	// https://www.rfc-editor.org/rfc/rfc9114#section-4.3.1
	if h.present&(pseudoScheme|pseudoPath) != pseudoScheme|pseudoPath {
		return malformed("a %s request lacks :scheme or :path", h.method)
	}
	if !validScheme(h.scheme) {
		return malformed("invalid :scheme %.64q", h.scheme)
	}
	if h.present&pseudoProtocol != 0 {
		// Extended CONNECT: the pseudo-header field belongs to that method only.
		// https://www.rfc-editor.org/rfc/rfc8441#section-4
		if h.method != http.MethodConnect || h.protocol == "" || h.present&pseudoAuthority == 0 {
			return malformed(":protocol in a %s request, or empty, or without :authority", h.method)
		}
	}
	if err := h.checkAuthority(); err != nil {
		return err
	}
	return h.checkPath()
}

// checkConnect checks a CONNECT request of RFC 9114 section 4.4.
//
// "The :scheme and :path pseudo-header fields are omitted. The :authority
// pseudo-header field contains the host and port to connect to […] A CONNECT
// request that does not conform to these restrictions is malformed."
// https://www.rfc-editor.org/rfc/rfc9114#section-4.4
func (h *requestHead) checkConnect() error {
	if h.present&(pseudoScheme|pseudoPath) != 0 {
		return malformed("CONNECT with :scheme or :path")
	}
	if h.authority == "" || !validAuthority(h.authority) {
		return malformed("CONNECT with invalid or missing :authority %.64q", h.authority)
	}
	if h.hasHost && h.host != h.authority {
		return malformed(":authority and Host differ")
	}
	return nil
}

func (h *requestHead) isHTTP() bool { return h.scheme == "https" || h.scheme == "http" }

func (h *requestHead) checkAuthority() error {
	// "If the :scheme pseudo-header field identifies a scheme that has a
	// mandatory authority component (including "http" and "https"), the request
	// MUST contain either an :authority pseudo-header field or a Host header
	// field. If these fields are present, they MUST NOT be empty. If both fields
	// are present, they MUST contain the same value."
	// https://www.rfc-editor.org/rfc/rfc9114#section-4.3.1
	hasAuthority := h.present&pseudoAuthority != 0
	if hasAuthority && h.hasHost && h.authority != h.host {
		return malformed(":authority and Host differ")
	}
	if !hasAuthority {
		h.authority = h.host
	}
	if h.isHTTP() && h.authority == "" {
		return malformed("neither :authority nor Host, or empty")
	}
	// "The authority MUST NOT include the deprecated userinfo subcomponent for
	// URIs of scheme "http" or "https"."
	// https://www.rfc-editor.org/rfc/rfc9114#section-4.3.1
	if !validAuthority(h.authority) {
		return malformed("invalid authority %.64q", h.authority)
	}
	return nil
}

func (h *requestHead) checkPath() error {
	// "This pseudo-header field MUST NOT be empty for "http" or "https" URIs;
	// […] An OPTIONS request that does not include a path component includes the
	// value "*""
	// https://www.rfc-editor.org/rfc/rfc9114#section-4.3.1
	//
	// Other schemes could have other paths, but no http.Handler expects them.
	if strings.HasPrefix(h.path, "/") || h.path == "*" && h.method == http.MethodOptions {
		return nil
	}
	return malformed("invalid :path %.64q", h.path)
}

func validScheme(s string) bool {
	if s == "" || !isAlpha(s[0]) {
		return false
	}
	for i := range len(s) {
		if c := s[i]; !isAlpha(c) && !isDigit(c) && c != '+' && c != '-' && c != '.' {
			return false
		}
	}
	return true
}

// validAuthority reports whether every byte may stand in host and port. The
// at sign of userinfo may not.
func validAuthority(s string) bool {
	for i := range len(s) {
		c := s[i]
		if !isAlpha(c) && !isDigit(c) && strings.IndexByte("-._~!$&'()*+,;=:[]%", c) < 0 {
			return false
		}
	}
	return true
}

// url returns the request's target as net/http presents it to handlers.
func (h *requestHead) url(dst *url.URL) (*url.URL, error) {
	if h.method == http.MethodConnect && h.protocol == "" {
		dst.Host = h.authority
		return dst, nil
	}
	if plainPath(h.path) {
		dst.Path = h.path
		return dst, nil
	}
	u, err := url.ParseRequestURI(h.path)
	if err != nil {
		return nil, malformed("invalid :path: %v", err)
	}
	return u, nil
}

// plainPath reports whether a path is its own parsed form, which spares the
// parser.
func plainPath(p string) bool {
	if p == "" || p[0] != '/' || len(p) > 1 && p[1] == '/' {
		return false
	}
	for i := range len(p) {
		if c := p[i]; !isAlpha(c) && !isDigit(c) && strings.IndexByte("/-._~", c) < 0 {
			return false
		}
	}
	return true
}

// header returns the regular fields; cookie lines are joined.
func (h *requestHead) header() http.Header {
	header := h.fields.get()
	if h.cookies > 1 {
		header["Cookie"] = []string{strings.Join(header["Cookie"], "; ")}
	}
	if h.protocol != "" {
		// Where net/http's HTTP/2 puts it, too: no field can have this name.
		header[":protocol"] = []string{h.protocol}
	}
	return header
}

// announcedTrailers moves the names in the Trailer fields into a map of empty
// values, as net/http presents trailers before they arrive.
func announcedTrailers(header http.Header) http.Header {
	lines, ok := header["Trailer"]
	if !ok {
		return nil
	}
	delete(header, "Trailer")
	var trailer http.Header
	for _, line := range lines {
		for name := range strings.SplitSeq(line, ",") {
			key := http.CanonicalHeaderKey(strings.TrimSpace(name))
			if !isToken(key) || forbiddenTrailer(key) {
				continue
			}
			if trailer == nil {
				trailer = make(http.Header)
			}
			trailer[key] = nil
		}
	}
	return trailer
}
