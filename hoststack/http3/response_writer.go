package http3

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// errResponseOver is what a handler gets that writes after it returned.
var errResponseOver = errors.New("http3: write to a response whose handler has returned")

// A responseWriter is the http.ResponseWriter of one request. It also is an
// http.Flusher, io.ReaderFrom, io.StringWriter, and takes what
// http.ResponseController offers.
//
// The head is encoded when the handler sets the status, and sent with the
// first content, or with the end of the response if that comes first. If the
// content's length is known then, one DATA frame holds all of it and later
// writes pass straight through to the stream; otherwise each write of the
// stream is one DATA frame.
type responseWriter struct {
	rs        *serverStream
	header    http.Header
	isHead    bool // HEAD: content is counted, not sent
	isConnect bool // CONNECT: content is a tunnel

	mu            sync.Mutex
	wroteHeader   atomic.Bool // the handler chose the status
	status        int
	head          *fieldEncoder // the encoded head until it is sent
	headSent      bool
	sniff         bool // the head lacks a Content-Type, which the content may tell
	needsDate     bool
	sized         bool  // within one DATA frame that holds all content
	contentLength int64 // declared by the handler, or -1
	written       int64 // content bytes the handler wrote
	trailers      []string
	buf           *writeBuffer // content not sent yet; nil if none
	over          bool
	err           error // of the stream, sticky
}

func (w *responseWriter) Header() http.Header {
	if w.header == nil {
		w.header = make(http.Header)
	}
	return w.header
}

// WriteHeader sends an interim response at once, and begins the final one.
func (w *responseWriter) WriteHeader(status int) {
	if status < 100 || status > 999 {
		panic(fmt.Sprintf("http3: invalid status code %d", status))
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.over {
		return
	}
	if w.wroteHeader.Load() {
		w.rs.sc.log.Warn("http3: superfluous WriteHeader call", "status", status)
		return
	}
	if status == http.StatusSwitchingProtocols {
		w.rs.sc.log.Warn("http3: status 101 does not exist in HTTP/3; extended CONNECT replaces it")
		return
	}
	if status < 200 {
		if status == http.StatusContinue {
			w.rs.body.expect.Store(false)
		}
		w.sendInterim(status, w.header)
		return
	}
	w.begin(status)
}

// writeContinue tells a waiting client to send its content, unless it has its
// answer already.
func (w *responseWriter) writeContinue() {
	if w.wroteHeader.Load() {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.wroteHeader.Load() && !w.over {
		w.sendInterim(http.StatusContinue, nil)
	}
}

func (w *responseWriter) sendInterim(status int, header http.Header) {
	e := newFieldEncoder()
	defer e.free()
	e.add(":status", statusText(status))
	for key, values := range header {
		if key == "Content-Length" {
			continue
		}
		e.addValues(key, values)
	}
	w.write(e.appendFrame(nil))
}

// statusText is strconv.Itoa for status codes.
func statusText(status int) string {
	if status == http.StatusOK {
		return "200"
	}
	return strconv.Itoa(status)
}

// begin fixes status and header of the final response. w.mu is held.
func (w *responseWriter) begin(status int) {
	w.wroteHeader.Store(true)
	w.status = status
	w.head = newFieldEncoder()
	w.head.add(":status", statusText(status))
	w.declareTrailers()
	w.declareLength()
	for key, values := range w.header {
		if key == "Content-Length" || w.isTrailer(key) {
			continue
		}
		w.head.addValues(key, values)
	}
	if w.contentLength >= 0 {
		w.head.add("content-length", strconv.FormatInt(w.contentLength, 10))
	}
	_, hasType := w.header["Content-Type"]
	w.sniff = !hasType && w.hasContent() && len(w.header["Content-Encoding"]) == 0
	_, hasDate := w.header["Date"]
	w.needsDate = !hasDate
	if p, ok := w.header["Priority"]; ok {
		w.rs.mergePriority(p)
	}
}

// hasContent reports whether the response may have content at all.
func (w *responseWriter) hasContent() bool {
	return bodyAllowed(w.status) && !w.tunnels()
}

// tunnels reports whether the content is the data stream of a CONNECT request
// that succeeded.
func (w *responseWriter) tunnels() bool {
	return w.isConnect && w.status/100 == 2
}

func (w *responseWriter) declareTrailers() {
	for _, line := range w.header["Trailer"] {
		for name := range strings.SplitSeq(line, ",") {
			key := http.CanonicalHeaderKey(strings.TrimSpace(name))
			if isToken(key) && !forbiddenTrailer(key) {
				w.trailers = append(w.trailers, key)
			}
		}
	}
}

func (w *responseWriter) isTrailer(key string) bool {
	for _, t := range w.trailers {
		if t == key {
			return true
		}
	}
	return false
}

// declareLength takes over the handler's Content-Length if it makes sense.
func (w *responseWriter) declareLength() {
	values := w.header["Content-Length"]
	if len(values) == 0 {
		return
	}
	n, ok := parseContentLength(values[0])
	if !ok {
		w.rs.sc.log.Warn("http3: invalid Content-Length set by a handler", "value", values[0])
		return
	}
	// "A server MUST NOT send a Content-Length header field in any response with
	// a status code of 1xx (Informational) or 204 (No Content) [, nor] in any 2xx
	// (Successful) response to a CONNECT request"
	// https://www.rfc-editor.org/rfc/rfc9110#section-8.6
	if w.status == http.StatusNoContent || w.tunnels() {
		return
	}
	w.contentLength = n
}

// Write implements http.ResponseWriter.
func (w *responseWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.admit(len(p)); err != nil {
		return 0, err
	}
	if w.isHead {
		w.sniffHead(p)
		return len(p), nil
	}
	if w.buf == nil {
		w.buf = newSmallBuffer()
	}
	if space := w.buf.space(); len(p) < len(space) {
		w.buf.n += copy(space, p)
		return len(p), w.err
	}
	return w.send(p, false)
}

// WriteString implements io.StringWriter.
func (w *responseWriter) WriteString(s string) (int, error) {
	return w.Write([]byte(s))
}

// admit checks whether n more bytes of content may be written. w.mu is held.
func (w *responseWriter) admit(n int) error {
	if w.over {
		return errResponseOver
	}
	if !w.wroteHeader.Load() {
		w.begin(http.StatusOK)
	}
	if n == 0 {
		return w.err
	}
	if !bodyAllowed(w.status) {
		return http.ErrBodyNotAllowed
	}
	if w.contentLength >= 0 && int64(n) > w.contentLength-w.written {
		return http.ErrContentLength
	}
	w.written += int64(n)
	return w.err
}

// sniffHead guesses the type of content that a HEAD request does not get.
func (w *responseWriter) sniffHead(p []byte) {
	if w.sniff && len(p) > 0 && w.head != nil {
		w.sniff = false
		w.head.add("content-type", http.DetectContentType(p))
	}
}

// Flush implements http.Flusher.
func (w *responseWriter) Flush() { _ = w.FlushError() }

// FlushError sends what is buffered and reports whether the stream took it.
func (w *responseWriter) FlushError() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.admit(0); err != nil {
		return err
	}
	if w.headSent && (w.buf == nil || w.buf.n == 0) {
		return w.err
	}
	_, err := w.send(nil, false)
	w.buf.free()
	w.buf = nil
	return err
}

// SetReadDeadline serves http.ResponseController.
func (w *responseWriter) SetReadDeadline(t time.Time) error { return w.rs.str.SetReadDeadline(t) }

// SetWriteDeadline serves http.ResponseController.
func (w *responseWriter) SetWriteDeadline(t time.Time) error { return w.rs.str.SetWriteDeadline(t) }

// EnableFullDuplex serves http.ResponseController: HTTP/3 always is.
func (w *responseWriter) EnableFullDuplex() error { return nil }

// finish completes the response once the handler has returned.
func (w *responseWriter) finish() {
	w.mu.Lock()
	defer w.mu.Unlock()
	defer w.close()
	if !w.wroteHeader.Load() {
		w.begin(http.StatusOK)
	}
	if w.err != nil {
		w.rs.str.Reset(uint64(CodeRequestCancelled))
		return
	}
	if w.contentLength > w.written && !w.isHead && w.hasContent() {
		w.rs.sc.log.Warn("http3: a handler wrote less than its Content-Length",
			"length", w.contentLength, "written", w.written)
		w.rs.str.Reset(uint64(CodeInternalError))
		return
	}
	_, _ = w.send(nil, true)
}

// discard drops what was not sent, after a handler panicked.
func (w *responseWriter) discard() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.close()
}

// close gives the buffers back. w.mu is held.
func (w *responseWriter) close() {
	w.over = true
	w.buf.free()
	w.buf = nil
	if w.head != nil {
		w.head.free()
		w.head = nil
	}
}

// send writes the head if it was not sent, the buffered content and then
// direct, and after the last the trailers and the stream's end. It returns the
// bytes of direct that were written. w.mu is held.
func (w *responseWriter) send(direct []byte, last bool) (int, error) {
	if w.err != nil {
		return 0, w.err
	}
	if w.buf == nil {
		w.buf = newSmallBuffer()
	}
	content := w.buf.n + len(direct)
	if !w.headSent {
		w.completeHead(direct, last)
	}
	var dataHeader [maxFrameHeader]byte
	prefix := w.dataHeader(dataHeader[:0], content)
	headLen := 0
	if w.head != nil {
		headLen = len(w.head.buf) + frameHeaderLen(FrameHeaders, len(w.head.buf))
		if headLen+len(prefix) > headroom {
			w.write(w.head.appendFrame(make([]byte, 0, headLen)))
			w.dropHead()
			headLen = 0
		}
	}
	out := w.buf.frame(headLen+len(prefix), func(b []byte) []byte {
		if w.head != nil {
			b = w.head.appendFrame(b)
		}
		return append(b, prefix...)
	})
	w.dropHead()
	defer func() { w.buf.n = 0 }()
	switch {
	case len(direct) > 0:
		return w.writeBoth(out, direct)
	case last:
		w.writeEnd(out)
	case len(out) > 0:
		w.write(out)
	}
	return 0, w.err
}

// dataHeader appends the DATA frame header that n bytes of content need: one
// for all of it if the length is known, one for this write otherwise.
func (w *responseWriter) dataHeader(b []byte, n int) []byte {
	switch {
	case n == 0 || w.sized:
		return b
	case w.contentLength >= 0:
		w.sized = true
		return appendFrameHeader(b, FrameData, uint64(w.contentLength))
	}
	return appendFrameHeader(b, FrameData, uint64(n))
}

// completeHead adds what only the first content, or its absence, tells.
func (w *responseWriter) completeHead(direct []byte, last bool) {
	w.headSent = true
	sample := w.buf.b[headroom : headroom+w.buf.n]
	if len(sample) == 0 {
		sample = direct
	}
	if w.sniff && len(sample) > 0 {
		w.head.add("content-type", http.DetectContentType(sample))
	}
	if last && w.contentLength < 0 && w.hasContent() && (!w.isHead || w.written > 0) {
		w.contentLength = w.written
		w.head.add("content-length", strconv.FormatInt(w.written, 10))
	}
	if w.needsDate {
		w.head.add("date", httpDate(time.Now()))
	}
	if limit := w.rs.sc.peerSettings().MaxFieldSectionSize; w.head.size > limit {
		// "An implementation that has received this parameter SHOULD NOT send an
		// HTTP message header that exceeds the indicated size, as the peer will
		// likely refuse to process it."
		// https://www.rfc-editor.org/rfc/rfc9114#section-4.2.2
		w.rs.sc.log.Warn("http3: a response's header exceeds what the client accepts",
			"size", w.head.size, "limit", limit)
	}
}

func (w *responseWriter) dropHead() {
	if w.head != nil {
		w.head.free()
		w.head = nil
	}
}

// failed remembers the failure of a write, which tells that nobody waits for
// the response any more.
func (w *responseWriter) failed(err error) bool {
	if err == nil {
		return false
	}
	w.err = err
	var se *StreamError
	if errors.As(err, &se) && se.Remote {
		w.rs.peerAborted(err)
	}
	return true
}

// write writes b to the stream.
func (w *responseWriter) write(b []byte) {
	if w.err == nil {
		_, err := w.rs.str.Write(b)
		w.failed(err)
	}
}

func (w *responseWriter) writeBoth(out, direct []byte) (n int, err error) {
	if w.err != nil {
		return 0, w.err
	}
	n, err = writeGather(w.rs.str, out, direct)
	w.failed(err)
	return n, err
}

// writeEnd writes b, the trailers and the stream's end.
func (w *responseWriter) writeEnd(b []byte) {
	if e := w.trailerSection(); e != nil {
		b = e.appendFrame(b)
		e.free()
	}
	if w.err == nil {
		w.failed(writeFinal(w.rs.str, b))
	}
}

// trailerSection returns the trailers the handler set: those it announced and
// those with http.TrailerPrefix. It returns nil if there are none.
func (w *responseWriter) trailerSection() *fieldEncoder {
	var e *fieldEncoder
	add := func(key string, values []string) {
		if len(values) == 0 || forbiddenTrailer(key) {
			return
		}
		if e == nil {
			e = newFieldEncoder()
		}
		e.addValues(key, values)
	}
	for _, key := range w.trailers {
		add(key, w.header[key])
	}
	for key, values := range w.header {
		if name, ok := strings.CutPrefix(key, http.TrailerPrefix); ok {
			add(http.CanonicalHeaderKey(name), values)
		}
	}
	if e != nil && len(e.buf) == 0 {
		e.free()
		return nil
	}
	return e
}

// A dateValue is the Date field of one second.
type dateValue struct {
	second int64
	text   string
}

var lastDate atomic.Pointer[dateValue]

// httpDate formats now as a Date field, once per second.
func httpDate(now time.Time) string {
	second := now.Unix()
	if d := lastDate.Load(); d != nil && d.second == second {
		return d.text
	}
	d := &dateValue{second, now.UTC().Format(http.TimeFormat)}
	lastDate.Store(d)
	return d.text
}
