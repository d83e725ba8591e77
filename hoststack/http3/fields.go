package http3

import (
	"io"
	"net/http"
	"strings"
	"sync"

	"github.com/quic-go/qpack"
)

// fieldOverhead is what each field counts beyond its name and value.
//
// "The size of a field list is calculated based on the uncompressed size of
// fields, including the length of the name and value in bytes plus an overhead
// of 32 bytes for each field."
// https://www.rfc-editor.org/rfc/rfc9114#section-4.2.2
const fieldOverhead = 32

// A fieldsTooLargeError is a field section beyond this end's limit.
type fieldsTooLargeError struct{ limit uint64 }

func (e *fieldsTooLargeError) Error() string {
	return malformed("a field section exceeds %d bytes", e.limit).Error()
}

// A fieldReceiver takes the field lines of a section, in order.
type fieldReceiver interface {
	field(name, value string) error
}

// decodeFields hands the field lines of an encoded field section to f, and
// stops at f's error. It never holds more than one field beyond
// limit, however far the section would expand.
func decodeFields(section []byte, limit uint64, f fieldReceiver) error {
	var d qpack.Decoder
	next := d.Decode(section)
	size := uint64(0)
	for {
		hf, err := next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			// "If the decoder encounters a reference in a field line
			// representation to a dynamic table entry that has already been
			// evicted […] it MUST treat this as a connection error of type
			// QPACK_DECOMPRESSION_FAILED." A capacity of 0 evicts every entry.
			// https://www.rfc-editor.org/rfc/rfc9204#section-2.2.3
			return connErrorf(CodeQPACKDecompressionFailed, "%v", err)
		}
		size += uint64(len(hf.Name)+len(hf.Value)) + fieldOverhead
		if size > limit {
			return &fieldsTooLargeError{limit}
		}
		if err := f.field(hf.Name, hf.Value); err != nil {
			return err
		}
	}
}

// A fieldEncoder builds encoded field sections.
type fieldEncoder struct {
	buf  []byte // the section so far
	size uint64 // the size of the section as peers' limits count it
	enc  *qpack.Encoder
}

var fieldEncoders = sync.Pool{New: func() any {
	e := new(fieldEncoder)
	e.enc = qpack.NewEncoder(e)
	return e
}}

// maxKeptEncoder bounds the memory an idle fieldEncoder holds on to.
const maxKeptEncoder = 16 << 10

func newFieldEncoder() *fieldEncoder { return fieldEncoders.Get().(*fieldEncoder) }

// free gives the encoder and buf back.
func (e *fieldEncoder) free() {
	if cap(e.buf) > maxKeptEncoder {
		return
	}
	e.reset()
	fieldEncoders.Put(e)
}

func (e *fieldEncoder) reset() {
	e.buf = e.buf[:0]
	e.size = 0
	_ = e.enc.Close()
}

// Write appends p; it is how the QPACK encoder hands over its output.
func (e *fieldEncoder) Write(p []byte) (int, error) {
	e.buf = append(e.buf, p...)
	return len(p), nil
}

// add appends one field line. name is lowercase.
func (e *fieldEncoder) add(name, value string) {
	e.size += uint64(len(name)+len(value)) + fieldOverhead
	_ = e.enc.WriteField(qpack.HeaderField{Name: name, Value: value}) // Write above never fails
}

// appendFrame appends the section as a HEADERS frame.
func (e *fieldEncoder) appendFrame(b []byte) []byte {
	b = appendFrameHeader(b, FrameHeaders, uint64(len(e.buf)))
	return append(b, e.buf...)
}

// tokenByte holds the bytes of a token, RFC 9110 section 5.6.2.
var tokenByte = func() (t [256]bool) {
	for _, c := range []byte("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") {
		t[c] = true
	}
	return t
}()

func isToken(s string) bool {
	for i := range len(s) {
		if !tokenByte[s[i]] {
			return false
		}
	}
	return s != ""
}

// checkFieldName refuses names no HTTP message may carry.
//
// "A request or response containing uppercase characters in field names MUST
// be treated as malformed." / "Requests or responses containing invalid field
// names MUST be treated as malformed."
// https://www.rfc-editor.org/rfc/rfc9114#section-4.2
// https://www.rfc-editor.org/rfc/rfc9114#section-10.3
func checkFieldName(name string) error {
	for i := range len(name) {
		c := name[i]
		if 'A' <= c && c <= 'Z' {
			return malformed("uppercase field name %.64q", name)
		}
		if !tokenByte[c] {
			return malformed("invalid field name %.64q", name)
		}
	}
	if name == "" {
		return malformed("empty field name")
	}
	return nil
}

// validFieldValue reports whether every byte of v may stand in a field value.
//
// "Any request or response that contains a character not permitted in a field
// value MUST be treated as malformed."
// https://www.rfc-editor.org/rfc/rfc9114#section-10.3
func validFieldValue(v string) bool {
	for i := range len(v) {
		if c := v[i]; c < 0x20 && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}

// connectionSpecific holds the fields that describe one HTTP/1 connection.
//
// "An endpoint MUST NOT generate an HTTP/3 field section containing
// connection-specific fields; any message containing connection-specific
// fields MUST be treated as malformed."
// https://www.rfc-editor.org/rfc/rfc9114#section-4.2
func connectionSpecific(name string) bool {
	switch name {
	case "connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade":
		return true
	}
	return false
}

// checkField applies the rules common to all regular fields of requests and
// responses.
func checkField(name, value string) error {
	if err := checkFieldName(name); err != nil {
		return err
	}
	if !validFieldValue(value) {
		return malformed("invalid value of field %q", name)
	}
	if connectionSpecific(name) {
		return malformed("connection-specific field %q", name)
	}
	// "The only exception to this is the TE header field, which MAY be present
	// in an HTTP/3 request header; when it is, it MUST NOT contain any value
	// other than "trailers"."
	// https://www.rfc-editor.org/rfc/rfc9114#section-4.2
	if name == "te" && value != "trailers" {
		return malformed("te is %.64q, want trailers", value)
	}
	return nil
}

// parseContentLength reads a Content-Length value; ok is false unless it is a
// plain decimal number.
func parseContentLength(v string) (n int64, ok bool) {
	if v == "" || len(v) > 18 {
		return 0, false
	}
	for i := range len(v) {
		if !isDigit(v[i]) {
			return 0, false
		}
		n = n*10 + int64(v[i]-'0')
	}
	return n, true
}

// commonFields pairs the wire's lowercase names with net/http's, so that
// neither direction allocates for a usual name.
var commonFields = strings.Fields(`
	Accept Accept-Charset Accept-Encoding Accept-Language Accept-Ranges
	Access-Control-Allow-Credentials Access-Control-Allow-Headers
	Access-Control-Allow-Methods Access-Control-Allow-Origin
	Access-Control-Expose-Headers Access-Control-Max-Age
	Access-Control-Request-Headers Access-Control-Request-Method Age Allow
	Alt-Svc Authorization Cache-Control Capsule-Protocol Content-Disposition
	Content-Encoding Content-Language Content-Length Content-Location
	Content-Range Content-Security-Policy Content-Type Cookie Date Early-Data Etag
	Expect Expires Forwarded From Host If-Match If-Modified-Since If-None-Match
	If-Range If-Unmodified-Since Last-Modified Link Location Max-Forwards Origin
	Priority Proxy-Authenticate Proxy-Authorization Purpose Range Referer
	Referrer-Policy Refresh Retry-After Sec-Ch-Ua Sec-Ch-Ua-Mobile
	Sec-Ch-Ua-Platform Sec-Fetch-Dest Sec-Fetch-Mode Sec-Fetch-Site
	Sec-Fetch-User Server Set-Cookie Strict-Transport-Security Te
	Timing-Allow-Origin Trailer Upgrade-Insecure-Requests User-Agent Vary Via
	Www-Authenticate X-Content-Type-Options X-Forwarded-For X-Forwarded-Host
	X-Forwarded-Proto X-Frame-Options X-Requested-With X-Xss-Protection`)

var canonicalNames, lowerNames = func() (canonical, lower map[string]string) {
	canonical, lower = make(map[string]string, len(commonFields)), make(map[string]string, len(commonFields))
	for _, name := range commonFields {
		l := strings.ToLower(name)
		canonical[l], lower[name] = name, l
	}
	return canonical, lower
}()

// canonicalName returns the http.Header key of a lowercase field name.
func canonicalName(name string) string {
	if c, ok := canonicalNames[name]; ok {
		return c
	}
	return http.CanonicalHeaderKey(name)
}

// lowerName returns the wire name of an http.Header key.
func lowerName(key string) string {
	if l, ok := lowerNames[key]; ok {
		return l
	}
	return strings.ToLower(key)
}

// A headerBuilder collects decoded fields into an http.Header. The values'
// slices share one array, so that a header costs one allocation, not one per
// field.
type headerBuilder struct {
	header http.Header
	values []string
	space  [16]string // the first values
}

func (h *headerBuilder) add(key, value string) {
	if h.header == nil {
		h.header = make(http.Header, 8)
	}
	if old, ok := h.header[key]; ok {
		h.header[key] = append(old, value)
		return
	}
	if h.values == nil {
		h.values = h.space[:0]
	} else if len(h.values) == cap(h.values) {
		h.values = make([]string, 0, 2*cap(h.values))
	}
	h.values = append(h.values, value)
	n := len(h.values)
	// The capacity ends with the value, so that appending copies.
	h.header[key] = h.values[n-1 : n : n]
}

// get returns the header, never nil.
func (h *headerBuilder) get() http.Header {
	if h.header == nil {
		return make(http.Header)
	}
	return h.header
}

// decodeTrailers reads a trailer section.
//
// "Pseudo-header fields MUST NOT appear in trailer sections."
// https://www.rfc-editor.org/rfc/rfc9114#section-4.3
func decodeTrailers(section []byte, limit uint64) (http.Header, error) {
	var d trailerDecoder
	err := decodeFields(section, limit, &d)
	return d.fields.header, err
}

type trailerDecoder struct{ fields headerBuilder }

func (d *trailerDecoder) field(name, value string) error {
	if strings.HasPrefix(name, ":") {
		return malformed("pseudo-header field %.64q in a trailer section", name)
	}
	if err := checkField(name, value); err != nil {
		return err
	}
	if key := canonicalName(name); !forbiddenTrailer(key) {
		d.fields.add(key, value)
	}
	return nil
}

// forbiddenTrailer reports whether a field must be known before the content
// and therefore means nothing in a trailer section.
// https://www.rfc-editor.org/rfc/rfc9110#section-6.5.1
func forbiddenTrailer(key string) bool {
	switch key {
	case "Authorization", "Cache-Control", "Content-Encoding", "Content-Length",
		"Content-Range", "Content-Type", "Expect", "Host", "Max-Forwards", "Pragma",
		"Proxy-Authenticate", "Proxy-Authorization", "Range", "Te", "Trailer",
		"Transfer-Encoding", "Www-Authenticate":
		return true
	}
	return strings.HasPrefix(key, "If-")
}
