package http3

import "io"

// ReadFrom copies content from r, reading straight behind the frame headers, or
// straight into the stream's buffer if the transport can and the content's
// length is known.
func (w *responseWriter) ReadFrom(r io.Reader) (n int64, err error) {
	buf := newBigBuffer()
	defer func() { w.keep(buf) }()
	w.takeBuffered(buf)
	var probe [1]byte
	for err == nil {
		space := buf.space()
		if len(space) == 0 {
			space = probe[:] // all declared content is here: r must end now
		}
		var k int
		k, err = r.Read(space)
		n += int64(k)
		if werr := w.readFrom(buf, k, len(space)); werr != nil {
			return n, werr
		}
		if err == nil {
			var poured int64
			poured, err = w.passThrough(r)
			n += poured
		}
	}
	if err == io.EOF {
		err = nil
	}
	return n, err
}

// takeBuffered moves content that waits to be sent to the front of buf.
func (w *responseWriter) takeBuffered(buf *writeBuffer) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.buf != nil {
		buf.n = copy(buf.space(), w.buf.b[headroom:headroom+w.buf.n])
		w.buf.free()
		w.buf = nil
	}
}

// readFrom takes over k bytes read into buf's space, of size bytes. Content of
// a source that is slower than this end does not wait for a full buffer.
func (w *responseWriter) readFrom(buf *writeBuffer, k, size int) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if k == 0 {
		return nil
	}
	if err := w.admit(k); err != nil {
		return err
	}
	if w.isHead {
		w.sniffHead(buf.space()[:k])
		return nil
	}
	buf.n += k
	if w.written == w.contentLength {
		return nil // it goes out with the end of the response
	}
	if k == size || buf.n >= smallPayload {
		w.buf = buf
		_, err := w.send(nil, false)
		w.buf = nil
		return err
	}
	return nil
}

// passThrough lets the stream read most of what is left of content within one
// DATA frame. The last part is not worth it: it can leave together with the
// stream's end.
func (w *responseWriter) passThrough(r io.Reader) (int64, error) {
	rf, ok := w.rs.str.(io.ReaderFrom)
	if !ok {
		return 0, nil
	}
	w.mu.Lock()
	left := w.contentLength - w.written - bigPayload
	ok = w.sized && left > 0 && w.err == nil && !w.over
	w.mu.Unlock()
	if !ok {
		return 0, nil
	}
	n, rerr, err := pour(rf, r, left)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.written += n
	if w.failed(err) {
		return n, err
	}
	return n, rerr
}

// keep makes buf, with what ReadFrom left in it, the response's buffer: the end
// of the response goes out together with it.
func (w *responseWriter) keep(buf *writeBuffer) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if buf.n == 0 || w.over || w.buf != nil {
		buf.free()
		return
	}
	w.buf = buf
}
