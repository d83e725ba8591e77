package http3

import (
	"errors"
	"io"

	"github.com/pquic-go/pquic/core/wire"
)

// maxIdleFrames is how many frames in a row may bring nothing (unknown types,
// empty DATA) before the peer counts as abusive: each costs it two bytes and
// this end a turn of the loop.
const maxIdleFrames = 2000

// A frameReader cuts a stream into frames. It reads ahead into buf, whose
// capacity bounds what is copied twice: large payloads bypass it.
type frameReader struct {
	src  io.Reader
	buf  []byte // read-ahead space, owned by the caller
	r, w int    // unread bytes are buf[r:w]
	eof  bool   // src returned io.EOF
	idle int    // consecutive frames without content
}

var errTruncatedFrame = connErrorf(CodeFrameError, "the stream ended inside a frame")

// fill reads more bytes behind buf[r:w], moving them to the front if the end
// is reached. There must be room.
func (f *frameReader) fill() error {
	if f.eof {
		return io.EOF
	}
	if f.r == f.w {
		f.r, f.w = 0, 0
	} else if f.w == len(f.buf) {
		f.w = copy(f.buf, f.buf[f.r:f.w])
		f.r = 0
	}
	n, err := f.src.Read(f.buf[f.w:])
	f.w += n
	if err == io.EOF {
		f.eof = true
		if n > 0 {
			return nil
		}
	}
	return err
}

// finished reports whether everything was read and the stream is known to have
// ended. It may be false although nothing follows.
func (f *frameReader) finished() bool {
	if f.r < f.w {
		return false
	}
	if t, ok := f.src.(EndTeller); ok && !f.eof {
		f.eof = t.ReadEnded()
	}
	return f.eof
}

// varint reads one variable-length integer. It returns io.EOF only if the
// stream ended before its first byte.
func (f *frameReader) varint() (uint64, error) {
	for {
		if v, n := wire.ParseVarint(f.buf[f.r:f.w]); n > 0 {
			f.r += n
			return v, nil
		}
		had := f.w - f.r
		if err := f.fill(); err != nil {
			if err == io.EOF && had > 0 {
				return 0, io.ErrUnexpectedEOF
			}
			return 0, err
		}
	}
}

// next reads the header of the next frame. io.EOF means that the stream ended
// between two frames.
//
// "When a stream terminates cleanly, if the last frame on the stream was
// truncated, this MUST be treated as a connection error of type
// H3_FRAME_ERROR."
// https://www.rfc-editor.org/rfc/rfc9114#section-7.1
func (f *frameReader) next() (FrameType, uint64, error) {
	t, err := f.varint()
	if err != nil {
		if errors.Is(err, io.ErrUnexpectedEOF) {
			err = errTruncatedFrame
		}
		return 0, 0, err
	}
	n, err := f.varint()
	if err != nil {
		if err == io.EOF || errors.Is(err, io.ErrUnexpectedEOF) {
			err = errTruncatedFrame
		}
		return 0, 0, err
	}
	return FrameType(t), n, nil
}

// skip reads over n bytes of a frame that has no meaning here.
func (f *frameReader) skip(n uint64) error {
	f.idle++
	if f.idle > maxIdleFrames {
		return connErrorf(CodeExcessiveLoad, "%d frames in a row without content", f.idle)
	}
	for n > 0 {
		if f.r == f.w {
			if err := f.fill(); err != nil {
				return truncated(err)
			}
		}
		k := int(min(uint64(f.w-f.r), n))
		f.r += k
		n -= uint64(k)
	}
	return nil
}

// payload returns the next n bytes, valid until the next call. The caller has
// bounded n. Memory beyond buf is taken only as bytes arrive, so a length
// alone costs nothing.
func (f *frameReader) payload(n int) ([]byte, error) {
	f.idle = 0
	if n <= len(f.buf) {
		if len(f.buf)-f.r < n {
			f.w = copy(f.buf, f.buf[f.r:f.w])
			f.r = 0
		}
		for f.w-f.r < n {
			if err := f.fill(); err != nil {
				return nil, truncated(err)
			}
		}
		p := f.buf[f.r : f.r+n]
		f.r += n
		return p, nil
	}
	p := append(make([]byte, 0, 2*len(f.buf)), f.buf[f.r:f.w]...)
	f.r, f.w = 0, 0
	for len(p) < n {
		if len(p) == cap(p) {
			p = append(p, 0)[:len(p)]
		}
		k, err := f.src.Read(p[len(p):min(cap(p), n)])
		p = p[:len(p)+k]
		if err == io.EOF {
			f.eof = true
		}
		if err != nil && len(p) < n {
			return nil, truncated(err)
		}
	}
	return p, nil
}

// read reads up to len(p) bytes of the current frame, which has at least that
// many left. Without read-ahead it reads straight into p.
func (f *frameReader) read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	f.idle = 0
	if f.r < f.w {
		n := copy(p, f.buf[f.r:f.w])
		f.r += n
		return n, nil
	}
	if f.eof {
		return 0, errTruncatedFrame
	}
	n, err := f.src.Read(p)
	if err == io.EOF {
		f.eof = true
		if n > 0 {
			return n, nil
		}
		return 0, errTruncatedFrame
	}
	return n, err
}

// writeTo writes up to n bytes of the current frame, which has at least that
// many left, to w. Beyond the read-ahead they go straight from src to w if src
// is an io.WriterTo; if it is not, ok is false and bytes are left. werr is w's
// error, err the stream's.
func (f *frameReader) writeTo(w io.Writer, n uint64) (written uint64, ok bool, werr, err error) {
	f.idle = 0
	if f.r < f.w {
		m, werr := w.Write(f.buf[f.r : f.r+int(min(uint64(f.w-f.r), n))])
		f.r += m
		return uint64(m), true, werr, nil
	}
	src, ok := f.src.(io.WriterTo)
	if !ok || f.eof {
		return 0, false, nil, nil
	}
	limited := frameWriter{w: w, left: n}
	_, err = src.WriteTo(&limited)
	written = n - limited.left
	switch {
	case limited.err != nil:
		return written, true, limited.err, nil
	case limited.left == 0:
		return written, true, nil, nil // err is errFrameEnd
	case err == nil:
		f.eof = true
		err = errTruncatedFrame
	}
	return written, true, nil, err
}

// A frameWriter stops an io.WriterTo at the end of a frame.
type frameWriter struct {
	w    io.Writer
	left uint64
	err  error // of w
}

var errFrameEnd = errors.New("http3: end of frame")

func (l *frameWriter) Write(p []byte) (n int, err error) {
	n, l.err = l.w.Write(p[:min(uint64(len(p)), l.left)])
	l.left -= uint64(n)
	switch {
	case l.err != nil:
		return n, l.err
	case l.left == 0:
		return n, errFrameEnd
	case n < len(p):
		l.err = io.ErrShortWrite
		return n, l.err
	}
	return n, nil
}

// truncated turns the end of a stream inside a frame into its error.
func truncated(err error) error {
	if err == io.EOF {
		return errTruncatedFrame
	}
	return err
}
