package http3

import (
	"compress/gzip"
	"errors"
	"io"
	"net/http"
	"net/textproto"
	"sync"
)

// errBodyClosed is returned when a response's body is read after Close.
var errBodyClosed = errors.New("http3: read of a closed response body")

// A responseBody is http.Response.Body at the client.
type responseBody struct {
	cs *clientStream

	mu  sync.Mutex
	err error // sticky result of Read
}

func (b *responseBody) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err != nil {
		return 0, b.err
	}
	n, err := b.cs.reader.readContent(p)
	b.end(err)
	return n, b.err
}

// WriteTo copies the rest of the body, straight from the stream's buffer if
// the transport can.
func (b *responseBody) WriteTo(w io.Writer) (int64, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err == io.EOF {
		return 0, nil
	}
	if b.err != nil {
		return 0, b.err
	}
	buf := newBigBuffer()
	defer buf.free()
	n, werr, err := b.cs.reader.copyContent(w, buf.b)
	if werr != nil {
		return n, werr
	}
	if err != nil {
		b.end(err)
		return n, b.err
	}
	b.end(io.EOF)
	return n, nil
}

// end finishes the request if err ended its response. b.mu is held.
func (b *responseBody) end(err error) {
	if err == nil {
		return
	}
	if err != io.EOF {
		err = b.cs.failed(err)
	}
	b.err = err
	b.cs.finish()
}

// Close ends the request if its response was not read to the end.
func (b *responseBody) Close() error {
	// Before the lock, so that a Read in progress ends.
	b.cs.giveUp(errBodyClosed)
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err == nil {
		b.err = errBodyClosed
	}
	b.cs.finish()
	return nil
}

// UpdatePriority changes the priority of a request whose response is still
// coming, by a PRIORITY_UPDATE frame.
// https://www.rfc-editor.org/rfc/rfc9218#section-7.2
func UpdatePriority(resp *http.Response, p Priority) error {
	var body *responseBody
	switch b := resp.Body.(type) {
	case *responseBody:
		body = b
	case *gzipBody:
		body = b.body
	default:
		return errors.New("http3: the response is complete, or not of HTTP/3")
	}
	cs := body.cs
	cs.str.SetPriority(p.Urgency, p.Incremental)
	return cs.cc.sendControl(appendPriorityUpdate(nil, cs.id, p))
}

// A gzipBody undoes the coding the Transport asked for.
type gzipBody struct {
	body *responseBody
	zr   *gzip.Reader
	err  error
}

func (g *gzipBody) Read(p []byte) (int, error) {
	if g.err != nil {
		return 0, g.err
	}
	if g.zr == nil {
		if g.zr, g.err = gzip.NewReader(g.body); g.err != nil {
			return 0, g.err
		}
	}
	n, err := g.zr.Read(p)
	g.err = err
	return n, err
}

func (g *gzipBody) Close() error { return g.body.Close() }

func headerOf(h http.Header) textproto.MIMEHeader { return textproto.MIMEHeader(h) }
