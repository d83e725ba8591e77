package http3

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// A serverStream is one request at the server: the stream, the reader of the
// request, the writer of the response.
type serverStream struct {
	sc     *serverConn
	str    Stream
	id     uint64
	reader messageReader
	buf    *[]byte // the reader's, pooled
	head   requestHead
	w      responseWriter
	body   requestBody
	url    url.URL
	ctx    context.Context // the request's
	cancel context.CancelCauseFunc
	tunnel *Tunnel     // extended CONNECT only
	plain  atomic.Bool // the request is known not to be one

	due     time.Time   // when the header section must be there
	hasHead atomic.Bool // it is
	aborted atomic.Bool // the client gave up; counted once
	over    atomic.Bool // the response is complete

	prio struct {
		mu     sync.Mutex
		now    Priority
		framed bool // a PRIORITY_UPDATE came: it overrides the header field
	}
}

func newServerStream(sc *serverConn, str Stream) *serverStream {
	rs := &serverStream{sc: sc, str: str, id: str.ID()}
	rs.ctx, rs.cancel = context.WithCancelCause(sc.ctx)
	rs.buf = readBuffers.Get().(*[]byte)
	rs.reader = messageReader{
		frameReader:   frameReader{src: str, buf: *rs.buf},
		limit:         sc.limit,
		contentLength: -1,
	}
	rs.reader.trailers = rs
	rs.w.rs = rs
	rs.w.contentLength = -1
	rs.body.rs = rs
	rs.prio.now = DefaultPriority
	return rs
}

// run is the request's goroutine.
func (rs *serverStream) run() {
	defer rs.sc.handlers.Done()
	rs.serve()
	<-rs.sc.slots
}

// serve reads the request, has it handled and finishes the response.
func (rs *serverStream) serve() {
	defer rs.release()
	if n, ok := rs.str.(AbortNotifier); ok {
		n.NotifyAbort(func(err error) { go rs.peerAborted(err) })
	}
	req, err := rs.readRequest()
	if err != nil {
		rs.refuse(err)
		return
	}
	rs.handle(req)
}

// release ends everything that hangs on the request.
func (rs *serverStream) release() {
	rs.over.Store(true)
	rs.cancel(context.Canceled)
	rs.tunnel.close()
	rs.body.release()
	rs.sc.done(rs)
}

// readRequest reads the header section and turns it into a request.
func (rs *serverStream) readRequest() (*http.Request, error) {
	srv := rs.sc.srv
	section, err := rs.reader.headers()
	if err != nil {
		return nil, err
	}
	head := &rs.head
	if err := head.decode(section, rs.sc.limit); err != nil {
		return nil, err
	}
	if head.protocol != "" && !srv.EnableConnectProtocol {
		return nil, malformed("extended CONNECT, which was not announced")
	}
	rs.hasHead.Store(true)
	if srv.ReadTimeout > 0 {
		_ = rs.str.SetReadDeadline(time.Now().Add(srv.ReadTimeout))
	}
	if srv.WriteTimeout > 0 {
		_ = rs.str.SetWriteDeadline(time.Now().Add(srv.WriteTimeout))
	}
	// Early data may be a replay: only what is safe is processed before the
	// handshake is complete.
	// https://www.rfc-editor.org/rfc/rfc8470#section-3
	if rs.sc.earlyData() && !isSafe(head.method) {
		if err := rs.sc.awaitHandshake(); err != nil {
			return nil, err
		}
	}
	return rs.buildRequest()
}

// isSafe reports whether a method asks for no change.
// https://www.rfc-editor.org/rfc/rfc9110#section-9.2.1
func isSafe(method string) bool {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace:
		return true
	}
	return false
}

func (rs *serverStream) buildRequest() (*http.Request, error) {
	head := &rs.head
	u, err := head.url(&rs.url)
	if err != nil {
		return nil, err
	}
	header := head.header()
	req := (&http.Request{
		Method:        head.method,
		URL:           u,
		Proto:         "HTTP/3.0",
		ProtoMajor:    3,
		Header:        header,
		Host:          head.authority,
		ContentLength: head.contentLength,
		Trailer:       announcedTrailers(header),
		RemoteAddr:    rs.sc.remoteAddr(),
		RequestURI:    head.path,
		TLS:           rs.sc.tlsState(),
		Body:          &rs.body,
	}).WithContext(rs.ctx)
	rs.reader.contentLength = head.contentLength
	rs.body.req = req
	rs.w.isHead = head.method == http.MethodHead
	rs.plain.Store(head.protocol == "")
	if head.method == http.MethodConnect {
		rs.reader.tunnel = true
		rs.w.isConnect = true
		req.ContentLength = -1
		if head.protocol == "" {
			req.RequestURI = head.authority
		} else {
			rs.tunnel = rs.sc.addTunnel(rs.id)
		}
	} else if err := rs.detectNoBody(req); err != nil {
		return nil, err
	}
	if v := header["Expect"]; len(v) > 0 && strings.EqualFold(v[0], "100-continue") {
		rs.body.expect.Store(true)
	}
	if v, ok := header["Priority"]; ok {
		if p, err := ParsePriority(strings.Join(v, ", "), DefaultPriority); err == nil {
			rs.setPriority(p, false)
		}
	}
	return req, nil
}

// detectNoBody gives the request no body if its stream is known to have ended
// already, as that of a GET usually is.
func (rs *serverStream) detectNoBody(req *http.Request) error {
	if rs.reader.finished() {
		if err := rs.reader.end(); err != io.EOF {
			return err
		}
		req.ContentLength = 0
	}
	if req.ContentLength == 0 {
		// Its frames are still checked, by nobody's reading them: what would come
		// is malformed and refused with the stream.
		req.Body = http.NoBody
	}
	return nil
}

// setPriority applies a priority stated by a frame or by the header field.
func (rs *serverStream) setPriority(p Priority, framed bool) {
	rs.prio.mu.Lock()
	defer rs.prio.mu.Unlock()
	if rs.prio.framed && !framed {
		return
	}
	rs.prio.framed = rs.prio.framed || framed
	rs.prio.now = p
	rs.str.SetPriority(p.Urgency, p.Incremental)
}

// mergePriority applies what the handler says in the response's Priority
// field: it may know better than the client.
// https://www.rfc-editor.org/rfc/rfc9218#section-8
func (rs *serverStream) mergePriority(field []string) {
	rs.prio.mu.Lock()
	defer rs.prio.mu.Unlock()
	p, err := ParsePriority(strings.Join(field, ", "), rs.prio.now)
	if err != nil {
		return
	}
	rs.prio.now = p
	rs.str.SetPriority(p.Urgency, p.Incremental)
}

// refuse ends a request that no handler saw.
func (rs *serverStream) refuse(err error) {
	var tooLarge *fieldsTooLargeError
	switch {
	case errors.As(err, &tooLarge):
		// "A server that receives a larger header section than it is willing to
		// handle can send an HTTP 431 (Request Header Fields Too Large) status
		// code"
		// https://www.rfc-editor.org/rfc/rfc9114#section-4.2.2
		rs.w.WriteHeader(http.StatusRequestHeaderFieldsTooLarge)
		rs.w.finish()
		rs.str.CancelRead(uint64(CodeNoError))
	case err == io.EOF:
		// "If a client-initiated stream terminates without enough of the HTTP
		// message to provide a complete response, the server SHOULD abort its
		// response stream with the error code H3_REQUEST_INCOMPLETE."
		// https://www.rfc-editor.org/rfc/rfc9114#section-4.1
		rs.abort(streamErrorf(CodeRequestIncomplete, "the stream ended before a request"))
	default:
		rs.failed(err)
	}
}

// failed acts on an error met while reading the request.
func (rs *serverStream) failed(err error) {
	var se *StreamError
	var ce *ConnError
	switch {
	case errors.As(err, &se) && se.Remote:
		rs.peerAborted(err)
		// "If the stream is cancelled […]": nobody waits for the response.
		rs.str.Reset(uint64(CodeRequestCancelled))
	case errors.As(err, &se):
		rs.abort(se)
	case errors.As(err, &ce):
		rs.sc.fail(ce)
	}
}

// abort ends both directions of the stream.
func (rs *serverStream) abort(err *StreamError) {
	rs.cancel(err)
	rs.str.CancelRead(uint64(err.Code))
	rs.str.Reset(uint64(err.Code))
}

// peerAborted notes that the client gave up on the request.
func (rs *serverStream) peerAborted(err error) {
	if isStreamAbort(err) && !rs.over.Load() && rs.aborted.CompareAndSwap(false, true) {
		rs.sc.countReset()
	}
	rs.cancel(err)
}

// handle runs the handler and completes the response.
func (rs *serverStream) handle(req *http.Request) {
	handler := rs.sc.srv.Handler
	if handler == nil {
		handler = http.DefaultServeMux
	}
	if !rs.runHandler(handler, req) {
		rs.abort(streamErrorf(CodeInternalError, "the handler panicked"))
		rs.w.discard()
		return
	}
	rs.w.finish()
	// "When the server does not need to receive the remainder of the request, it
	// MAY abort reading the request stream, send a complete response, and cleanly
	// close the sending part of the stream. The error code H3_NO_ERROR SHOULD be
	// used when requesting that the client stop sending on the request stream."
	// https://www.rfc-editor.org/rfc/rfc9114#section-4.1
	rs.over.Store(true)
	if !rs.body.complete() {
		rs.str.CancelRead(uint64(CodeNoError))
	}
}

// runHandler reports whether the handler returned rather than panicked.
func (rs *serverStream) runHandler(h http.Handler, req *http.Request) (ok bool) {
	defer func() {
		if ok {
			return
		}
		if v := recover(); v != http.ErrAbortHandler {
			rs.sc.log.Error("http3: a handler panicked", "remote", req.RemoteAddr,
				"method", req.Method, "uri", req.RequestURI, "panic", v, "stack", string(debug.Stack()))
		}
	}()
	h.ServeHTTP(&rs.w, req)
	return true
}

func (rs *serverStream) trailersReceived(section []byte) error {
	trailer, err := decodeTrailers(section, rs.sc.limit)
	if err != nil {
		return err
	}
	req := rs.body.req
	if req.Trailer == nil {
		req.Trailer = trailer
		return nil
	}
	for key, values := range trailer {
		req.Trailer[key] = values
	}
	return nil
}

// A requestBody is http.Request.Body at the server.
type requestBody struct {
	rs     *serverStream
	req    *http.Request
	expect atomic.Bool // the client waits for 100 (Continue)

	mu     sync.Mutex
	closed bool
	failed bool // the request's error was acted on
}

func (b *requestBody) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.begin(); err != nil {
		return 0, err
	}
	n, err := b.rs.reader.readContent(p)
	b.check(err)
	return n, err
}

// WriteTo copies the rest of the body, straight from the stream's buffer if
// the transport can.
func (b *requestBody) WriteTo(w io.Writer) (int64, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.begin(); err != nil {
		return 0, err
	}
	buf := newBigBuffer()
	defer buf.free()
	n, werr, err := b.rs.reader.copyContent(w, buf.b)
	b.check(err)
	if werr != nil {
		err = werr
	}
	return n, err
}

// begin precedes reading. b.mu is held.
func (b *requestBody) begin() error {
	if b.closed {
		return http.ErrBodyReadAfterClose
	}
	if b.expect.Load() && b.expect.CompareAndSwap(true, false) {
		b.rs.w.writeContinue()
	}
	return nil
}

// check acts once on an error of the request.
func (b *requestBody) check(err error) {
	if err != nil && err != io.EOF && !b.failed {
		b.failed = true
		b.rs.failed(err)
	}
}

// Close ends reading: the client is asked to stop sending.
func (b *requestBody) Close() error {
	b.rs.str.CancelRead(uint64(CodeNoError))
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	return nil
}

// complete reports whether the whole request was read. It does not wait for a
// reader the handler left behind.
func (b *requestBody) complete() bool {
	if !b.mu.TryLock() {
		return false
	}
	defer b.mu.Unlock()
	m := &b.rs.reader
	return m.err == io.EOF || m.err == nil && m.left == 0 && m.finished()
}

// release takes the read buffer away; the stream was cancelled before, so that
// a reader the handler left behind gets out of the way.
func (b *requestBody) release() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	b.rs.reader.frameReader = frameReader{}
	readBuffers.Put(b.rs.buf)
	b.rs.buf = nil
}
