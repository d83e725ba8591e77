package http3

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"sort"
	"strconv"
	"strings"
	"time"
)

// userAgent is sent by requests that name none.
const userAgent = "pquic-http3"

// contentLength returns the length of the request's content, or -1 if it is
// unknown.
func contentLength(req *http.Request) int64 {
	switch {
	case req.Body == nil || req.Body == http.NoBody:
		return 0
	case req.Method == http.MethodConnect:
		return -1
	case req.ContentLength > 0:
		return req.ContentLength
	}
	return -1
}

// wantsGzip reports whether the request leaves the choice of a content coding
// to the Transport.
func wantsGzip(req *http.Request) bool {
	return req.Header.Get("Accept-Encoding") == "" && req.Header.Get("Range") == "" &&
		req.Method != http.MethodHead && req.Method != http.MethodConnect
}

// addRequest appends the header section of a request.
func (e *fieldEncoder) addRequest(req *http.Request, length int64, gzip bool) error {
	authority := or(req.Host, req.URL.Host)
	if !validAuthority(authority) {
		return fmt.Errorf("http3: invalid host %q", authority)
	}
	method := or(req.Method, http.MethodGet)
	protocol := ""
	if v := req.Header[":protocol"]; len(v) > 0 {
		protocol = v[0]
	}
	e.add(":method", method)
	if method == http.MethodConnect && protocol == "" {
		e.add(":authority", authority)
	} else {
		path := req.URL.RequestURI()
		if !strings.HasPrefix(path, "/") && (path != "*" || method != http.MethodOptions) {
			return fmt.Errorf("http3: invalid request path %q", path)
		}
		e.add(":scheme", "https")
		e.add(":authority", authority)
		e.add(":path", path)
		if protocol != "" {
			if method != http.MethodConnect {
				return errors.New(`http3: ":protocol" belongs to the CONNECT method`)
			}
			e.add(":protocol", protocol)
		}
	}
	e.addRequestFields(req.Header)
	if names := trailerNames(req.Trailer); names != "" {
		e.add("trailer", names)
	}
	if length > 0 || length == 0 && impliesContent(method) {
		e.add("content-length", strconv.FormatInt(length, 10))
	}
	if gzip {
		e.add("accept-encoding", "gzip")
	}
	if _, ok := req.Header["User-Agent"]; !ok {
		e.add("user-agent", userAgent)
	}
	return nil
}

// addRequestFields appends the caller's header fields.
func (e *fieldEncoder) addRequestFields(header http.Header) {
	for key, values := range header {
		switch key {
		case "Host", "Content-Length", "Trailer":
			continue // said by other means
		case "User-Agent":
			if len(values) > 0 && values[0] != "" {
				e.add("user-agent", cleanValue(values[0]))
			}
			continue
		}
		e.addValues(key, values)
	}
}

// impliesContent reports whether a request of this method usually has content,
// so that its absence is worth saying.
func impliesContent(method string) bool {
	return method == http.MethodPost || method == http.MethodPut || method == http.MethodPatch
}

// trailerNames returns the Trailer field that announces trailer.
func trailerNames(trailer http.Header) string {
	names := make([]string, 0, len(trailer))
	for key := range trailer {
		if isToken(key) && !forbiddenTrailer(key) {
			names = append(names, key)
		}
	}
	sort.Strings(names)
	return strings.Join(names, ",")
}

// sendContent writes the request's body and trailers.
func (cs *clientStream) sendContent(length int64, trace *httptrace.ClientTrace) {
	defer cs.uploaded()
	err := cs.awaitContinue(trace)
	if !cs.bodyState.CompareAndSwap(bodyFree, bodyBegun) {
		return // another attempt has it
	}
	if err == nil {
		err = cs.copyContent(length)
	}
	_ = cs.req.Body.Close()
	if trace != nil && trace.WroteRequest != nil {
		trace.WroteRequest(httptrace.WroteRequestInfo{Err: err})
	}
	var werr *contentWriteError
	switch {
	case err == nil:
		cs.limitWait()
	case errors.As(err, &werr):
		// The server wants no more of it, or the connection is gone. What is read
		// of the response, which may be complete, decides about the request.
		//
		// "Clients MUST NOT discard complete responses as a result of having
		// their request terminated abruptly"
		// https://www.rfc-editor.org/rfc/rfc9114#section-4.1
	case err == errNoConsent:
		cs.str.Reset(uint64(CodeNoError))
	default:
		cs.giveUp(err)
	}
}

// A contentWriteError is a failure of the stream, not of the request's body.
type contentWriteError struct{ error }

func (e *contentWriteError) Unwrap() error { return e.error }

const defaultContinueTimeout = time.Second

// errNoConsent: the server answered without asking for the content.
var errNoConsent = errors.New("http3: the server does not want the request's content")

// awaitContinue waits for the server's consent if the request asks for it.
func (cs *clientStream) awaitContinue(trace *httptrace.ClientTrace) error {
	if !strings.EqualFold(cs.req.Header.Get("Expect"), "100-continue") {
		return nil
	}
	if trace != nil && trace.Wait100Continue != nil {
		trace.Wait100Continue()
	}
	t := time.NewTimer(or(cs.cc.t.ExpectContinueTimeout, defaultContinueTimeout))
	defer t.Stop()
	select {
	case <-cs.continued:
		if cs.answered.Load() {
			return errNoConsent
		}
	case <-t.C:
	case <-cs.req.Context().Done():
		return cs.req.Context().Err()
	}
	return nil
}

// copyContent sends the body as one DATA frame if its length is known, and as
// one per read otherwise.
func (cs *clientStream) copyContent(length int64) error {
	buf := newBigBuffer()
	defer buf.free()
	var sent int64
	for {
		n, err := cs.req.Body.Read(buf.b[headroom:])
		buf.n = n
		if length >= 0 && int64(n) > length-sent {
			return fmt.Errorf("http3: a request's body is longer than its ContentLength of %d", length)
		}
		if err != nil && err != io.EOF {
			return err
		}
		// Trailers may be set as late as the body's io.EOF.
		end := err == io.EOF || length >= 0 && sent+int64(n) == length && len(cs.req.Trailer) == 0
		if end && sent+int64(n) < length {
			return fmt.Errorf("http3: a request's body ended after %d of %d bytes: %w", sent+int64(n), length, io.ErrUnexpectedEOF)
		}
		if werr := cs.writeContent(buf, length, sent == 0, end); werr != nil {
			return &contentWriteError{werr}
		}
		if end {
			return nil
		}
		sent += int64(n)
		if rf, ok := cs.str.(io.ReaderFrom); ok && length-sent > bigPayload {
			// The last part is left: it can leave together with the stream's end.
			n, rerr, werr := pour(rf, cs.req.Body, length-sent-bigPayload)
			sent += n
			if werr != nil {
				return &contentWriteError{werr}
			}
			if rerr != nil && rerr != io.EOF {
				return rerr
			}
		}
	}
}

// writeContent writes one piece of content, and after the last the trailers
// and the stream's end.
func (cs *clientStream) writeContent(buf *writeBuffer, length int64, first, last bool) error {
	var header [maxFrameHeader]byte
	prefix := header[:0]
	switch {
	case buf.n == 0:
	case length < 0:
		prefix = appendFrameHeader(prefix, FrameData, uint64(buf.n))
	case first:
		prefix = appendFrameHeader(prefix, FrameData, uint64(length))
	}
	out := buf.frame(len(prefix), func(b []byte) []byte { return append(b, prefix...) })
	if !last {
		if len(out) == 0 {
			return nil
		}
		_, err := cs.str.Write(out)
		return err
	}
	return writeFinal(cs.str, cs.appendTrailers(out))
}

// appendTrailers appends the request's trailer section, if it has one now.
func (cs *clientStream) appendTrailers(b []byte) []byte {
	e := newFieldEncoder()
	defer e.free()
	for key, values := range cs.req.Trailer {
		if isToken(key) && !forbiddenTrailer(key) {
			e.addValues(key, values)
		}
	}
	if len(e.buf) == 0 {
		return b
	}
	return e.appendFrame(b)
}
