package http3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// maxInterim bounds the interim responses before a final one.
const maxInterim = 64

// A clientStream is one request at the client: the stream, the writer of the
// request's content and the reader of the response.
type clientStream struct {
	cc     *ClientConn
	str    Stream
	id     uint64
	req    *http.Request
	early  bool // sent before the handshake was complete
	tunnel *Tunnel
	reader messageReader
	buf    *[]byte // the reader's, pooled
	body   responseBody
	resp   *http.Response

	bodyState   atomic.Uint32 // who has the request's body
	answered    atomic.Bool   // the final response began
	continued   chan struct{} // closed by 100 (Continue) or a final response
	continuable sync.Once
	stopCancel  func() bool // ends the watch on the request's context

	mu        sync.Mutex
	failure   error // why this end gave the request up
	over      bool  // the response is complete, or nobody wants it
	uploading bool  // the request's content is being sent
}

// The request's body belongs to nobody, until the stream begins to read it or
// the Transport takes it back to send the request again.
const (
	bodyFree uint32 = iota
	bodyBegun
	bodyTaken
)

// takeBody keeps the stream from reading the request's body, and reports
// whether it has not.
func (cs *clientStream) takeBody() bool { return cs.bodyState.CompareAndSwap(bodyFree, bodyTaken) }

func newClientStream(cc *ClientConn, str Stream, req *http.Request) *clientStream {
	cs := &clientStream{cc: cc, str: str, id: str.ID(), req: req}
	cs.buf = readBuffers.Get().(*[]byte)
	cs.reader = messageReader{
		frameReader:   frameReader{src: str, buf: *cs.buf},
		isClient:      true,
		limit:         cc.limit,
		contentLength: -1,
	}
	cs.reader.trailers = cs
	cs.body.cs = cs
	select {
	case <-cc.conn.HandshakeComplete():
	default:
		cs.early = true
	}
	return cs
}

// roundTrip sends one request and returns its response with the body unread. It
// calls sent, perhaps more than once, when the request is written or has to wait.
func (cc *ClientConn) roundTrip(req *http.Request, sent func()) (*http.Response, error) {
	defer sent()
	ctx := req.Context()
	protocol := req.Header[":protocol"]
	if len(protocol) > 0 && req.Method == http.MethodConnect {
		sent()
		settings, err := cc.PeerSettings(ctx)
		if err != nil {
			return nil, cc.notSent(ctx, err)
		}
		if !settings.EnableConnectProtocol {
			return nil, errors.New("http3: the server does not accept extended CONNECT")
		}
	}
	cs, err := cc.open(ctx, req, sent)
	if err != nil {
		return nil, err
	}
	cs.stopCancel = context.AfterFunc(ctx, func() { cs.giveUp(context.Cause(ctx)) })
	gzip := !cc.t.DisableCompression && wantsGzip(req)
	resp, err := cs.exchange(protocol, gzip, sent)
	if err != nil {
		cs.finish()
		return nil, cs.explain(err)
	}
	return resp, nil
}

// exchange writes the request and reads the header of its response.
func (cs *clientStream) exchange(protocol []string, gzip bool, sent func()) (*http.Response, error) {
	if len(protocol) > 0 && cs.req.Method == http.MethodConnect {
		cs.tunnel = cs.cc.addTunnel(cs.id)
	}
	err := cs.sendRequest(gzip)
	sent()
	if err != nil {
		// A server may answer, and then want no more: look for the response.
		if !isStreamAbort(err) || cs.failureOf() != nil {
			return nil, err
		}
	}
	head, err := cs.awaitResponse()
	if err != nil {
		return nil, err
	}
	if cs.early && head.status == http.StatusTooEarly {
		return nil, &retryError{err: errTooEarly, unprocessed: true}
	}
	return cs.response(head, gzip)
}

// sendRequest writes the header section, and the content of requests that have
// some on a goroutine of its own.
func (cs *clientStream) sendRequest(gzip bool) error {
	e := newFieldEncoder()
	defer e.free()
	length := contentLength(cs.req)
	if err := e.addRequest(cs.req, length, gzip); err != nil {
		return err
	}
	if limit := cs.cc.peerSettings().MaxFieldSectionSize; e.size > limit {
		// "An implementation that has received this parameter SHOULD NOT send an
		// HTTP message header that exceeds the indicated size, as the peer will
		// likely refuse to process it."
		// https://www.rfc-editor.org/rfc/rfc9114#section-4.2.2
		return fmt.Errorf("http3: the request's header takes %d bytes, the server accepts %d", e.size, limit)
	}
	if v, ok := cs.req.Header["Priority"]; ok {
		if p, err := ParsePriority(strings.Join(v, ", "), DefaultPriority); err == nil {
			cs.str.SetPriority(p.Urgency, p.Incremental)
		}
	}
	buf := newSmallBuffer()
	defer buf.free()
	frame := e.appendFrame(buf.b[:0])
	trace := httptrace.ContextClientTrace(cs.req.Context())
	if length == 0 {
		err := writeFinal(cs.str, frame)
		cs.traceWrote(trace, err)
		if err == nil {
			cs.limitWait()
		}
		return err
	}
	if _, err := cs.str.Write(frame); err != nil {
		return err
	}
	if trace != nil && trace.WroteHeaders != nil {
		trace.WroteHeaders()
	}
	cs.continued = make(chan struct{})
	cs.mu.Lock()
	cs.uploading = true
	cs.mu.Unlock()
	go cs.sendContent(length, trace)
	return nil
}

func (cs *clientStream) traceWrote(trace *httptrace.ClientTrace, err error) {
	if trace == nil {
		return
	}
	if trace.WroteHeaders != nil {
		trace.WroteHeaders()
	}
	if trace.WroteRequest != nil {
		trace.WroteRequest(httptrace.WroteRequestInfo{Err: err})
	}
}

// limitWait starts ResponseHeaderTimeout.
func (cs *clientStream) limitWait() {
	if d := cs.cc.t.ResponseHeaderTimeout; d > 0 {
		_ = cs.str.SetReadDeadline(time.Now().Add(d))
	}
}

// awaitResponse reads up to the header section of the final response.
func (cs *clientStream) awaitResponse() (*responseHead, error) {
	trace := httptrace.ContextClientTrace(cs.req.Context())
	for range maxInterim {
		section, err := cs.reader.headers()
		if err == io.EOF {
			return nil, malformed("the stream ended before a response")
		}
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return nil, fmt.Errorf("http3: no response header within %v: %w", cs.cc.t.ResponseHeaderTimeout, os.ErrDeadlineExceeded)
		}
		if err != nil {
			return nil, err
		}
		if trace != nil && trace.GotFirstResponseByte != nil {
			trace.GotFirstResponseByte()
		}
		head := new(responseHead)
		if err := head.decode(section, cs.cc.limit); err != nil {
			return nil, err
		}
		if head.status >= 200 {
			cs.answered.Store(true)
			cs.allowContent()
			if cs.cc.t.ResponseHeaderTimeout > 0 {
				_ = cs.str.SetReadDeadline(time.Time{})
			}
			return head, nil
		}
		if err := cs.interim(trace, head); err != nil {
			return nil, err
		}
	}
	return nil, malformed("more than %d interim responses", maxInterim)
}

func (cs *clientStream) interim(trace *httptrace.ClientTrace, head *responseHead) error {
	if head.status == http.StatusContinue {
		cs.allowContent()
		if trace != nil && trace.Got100Continue != nil {
			trace.Got100Continue()
		}
	}
	if trace != nil && trace.Got1xxResponse != nil {
		return trace.Got1xxResponse(head.status, headerOf(head.fields.get()))
	}
	return nil
}

// allowContent lets content that waits for 100 (Continue) go.
func (cs *clientStream) allowContent() {
	if cs.continued != nil {
		cs.continuable.Do(func() { close(cs.continued) })
	}
}

// response turns a checked head into what net/http callers get.
func (cs *clientStream) response(head *responseHead, gzip bool) (*http.Response, error) {
	header := head.fields.get()
	resp := &http.Response{
		Status:        statusLine(head.status),
		StatusCode:    head.status,
		Proto:         "HTTP/3.0",
		ProtoMajor:    3,
		Header:        header,
		ContentLength: head.contentLength,
		Trailer:       announcedTrailers(header),
		Request:       cs.req,
		TLS:           cs.cc.tlsState(),
		Body:          &cs.body,
	}
	cs.resp = resp
	cs.reader.contentLength = head.contentLength
	switch {
	case cs.req.Method == http.MethodConnect && head.status/100 == 2:
		cs.reader.tunnel = true
		cs.reader.contentLength = -1
		resp.ContentLength = -1
	case cs.req.Method == http.MethodHead || !bodyAllowed(head.status):
		cs.reader.noContent = true
	}
	if cs.reader.finished() {
		if err := cs.reader.end(); err != io.EOF {
			return nil, err
		}
		if !cs.reader.noContent {
			resp.ContentLength = 0
		}
		cs.body.err = io.EOF
		if uploading := cs.finish(); !uploading {
			resp.Body = http.NoBody
		}
		return resp, nil
	}
	if gzip && strings.EqualFold(header.Get("Content-Encoding"), "gzip") && !cs.reader.noContent {
		resp.Header.Del("Content-Encoding")
		resp.Header.Del("Content-Length")
		resp.ContentLength = -1
		resp.Uncompressed = true
		resp.Body = &gzipBody{body: &cs.body}
	}
	return resp, nil
}

func statusLine(status int) string {
	if status == http.StatusOK {
		return "200 OK"
	}
	if text := http.StatusText(status); text != "" {
		return statusText(status) + " " + text
	}
	return statusText(status)
}

func (cs *clientStream) trailersReceived(section []byte) error {
	trailer, err := decodeTrailers(section, cs.cc.limit)
	if err != nil {
		return err
	}
	if cs.resp.Trailer == nil {
		cs.resp.Trailer = trailer
		return nil
	}
	for key, values := range trailer {
		cs.resp.Trailer[key] = values
	}
	return nil
}

// giveUp ends the request because of something on this side. After the
// response, only content that is still being sent is left to end.
func (cs *clientStream) giveUp(err error) {
	cs.mu.Lock()
	over, uploading := cs.over, cs.uploading
	again := cs.failure != nil
	if !again {
		cs.failure = err
	}
	cs.mu.Unlock()
	if over && uploading {
		cs.str.Reset(uint64(CodeRequestCancelled))
	}
	if over || again {
		return
	}
	// "Client SHOULD use the error code H3_REQUEST_CANCELLED to cancel requests."
	// https://www.rfc-editor.org/rfc/rfc9114#section-4.1.1
	cs.cancelStream(CodeRequestCancelled)
}

// abort ends the request because of what the server sent.
func (cs *clientStream) abort(err *StreamError) {
	cs.mu.Lock()
	if cs.failure == nil {
		cs.failure = err
	}
	cs.mu.Unlock()
	cs.cancelStream(err.Code)
}

func (cs *clientStream) cancelStream(code ErrCode) {
	cs.str.CancelRead(uint64(code))
	cs.str.Reset(uint64(code))
}

func (cs *clientStream) failureOf() error {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	return cs.failure
}

// failed acts on an error met while reading the response and returns what the
// caller is told.
func (cs *clientStream) failed(err error) error {
	if failure := cs.failureOf(); failure != nil {
		return unwrapRetry(failure)
	}
	var tooLarge *fieldsTooLargeError
	var se *StreamError
	var ce *ConnError
	switch {
	case errors.As(err, &tooLarge):
		cs.cancelStream(CodeRequestCancelled)
		return fmt.Errorf("http3: the response's fields exceed %d bytes", tooLarge.limit)
	case errors.As(err, &se):
		if !se.Remote {
			cs.cancelStream(se.Code)
		}
	case errors.As(err, &ce):
		cs.cc.fail(ce)
	default:
		cs.cancelStream(CodeRequestCancelled)
		if ended := context.Cause(cs.cc.conn.Context()); ended != nil {
			return ended
		}
	}
	return err
}

// explain turns the error of a request without response into the one RoundTrip
// returns, with what it means for another attempt.
func (cs *clientStream) explain(err error) error {
	var re *retryError
	if errors.As(err, &re) || errors.As(cs.failureOf(), &re) {
		if !errors.As(err, &re) {
			cs.cancelStream(CodeRequestCancelled)
		}
		return &retryError{err: re.err, untouched: cs.takeBody(), unprocessed: re.unprocessed}
	}
	err = cs.failed(err)
	var se *StreamError
	unprocessed := errors.As(err, &se) && se.Remote && se.Code == CodeRequestRejected ||
		errors.Is(err, ErrEarlyDataRejected)
	dead := cs.cc.conn.Context().Err() != nil && cs.failureOf() == nil
	if unprocessed || dead {
		return &retryError{err: err, untouched: cs.takeBody(), unprocessed: unprocessed}
	}
	return err
}

// uploaded notes that the request's content is sent, or will not be.
func (cs *clientStream) uploaded() {
	cs.mu.Lock()
	cs.uploading = false
	over := cs.over
	cs.mu.Unlock()
	if over {
		cs.stopCancel()
	}
}

// finish ends the bookkeeping of the request. The read buffer is given back,
// so nobody reads the response any more. It reports whether the request's
// content is still being sent.
func (cs *clientStream) finish() (uploading bool) {
	cs.mu.Lock()
	again := cs.over
	cs.over = true
	uploading = cs.uploading
	cs.mu.Unlock()
	if again {
		return uploading
	}
	if !uploading {
		cs.stopCancel()
	}
	cs.answered.Store(true)
	cs.allowContent() // which is too late now
	cs.tunnel.close()
	cs.reader.frameReader = frameReader{}
	readBuffers.Put(cs.buf)
	cs.buf = nil
	cs.cc.done(cs)
	return uploading
}
