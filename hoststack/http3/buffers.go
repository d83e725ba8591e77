package http3

import (
	"io"
	"sync"
)

const (
	// headroom is the space before a write buffer's payload: a HEADERS frame
	// and a DATA frame's header go there, so that head and content leave in one
	// write.
	headroom = 1024
	// smallPayload collects a handler's short writes.
	smallPayload = 4 << 10
	// bigPayload is one DATA frame's worth of a copied body.
	bigPayload = 64 << 10
	// readAhead is what a request stream buffers of its peer: usually the whole
	// header section.
	readAhead = 4 << 10
)

// A writeBuffer is headroom followed by n bytes of payload and free space.
type writeBuffer struct {
	b []byte
	n int
}

var (
	smallBuffers = sync.Pool{New: func() any { return &writeBuffer{b: make([]byte, headroom+smallPayload)} }}
	bigBuffers   = sync.Pool{New: func() any { return &writeBuffer{b: make([]byte, headroom+bigPayload)} }}
	readBuffers  = sync.Pool{New: func() any { b := make([]byte, readAhead); return &b }}
)

func newSmallBuffer() *writeBuffer { return smallBuffers.Get().(*writeBuffer) }
func newBigBuffer() *writeBuffer   { return bigBuffers.Get().(*writeBuffer) }

func (w *writeBuffer) free() {
	if w == nil {
		return
	}
	w.n = 0
	if len(w.b) > headroom+smallPayload {
		bigBuffers.Put(w)
	} else {
		smallBuffers.Put(w)
	}
}

// space is where the next payload bytes go.
func (w *writeBuffer) space() []byte { return w.b[headroom+w.n:] }

// frame returns the payload with prefix lying directly before it, as one
// slice. The prefix must fit the headroom.
func (w *writeBuffer) frame(prefixLen int, prefix func(b []byte) []byte) []byte {
	start := headroom - prefixLen
	prefix(w.b[start:start:headroom])
	return w.b[start : headroom+w.n]
}

// pour has dst read up to n bytes from src, and tells an error of src (rerr)
// from one of dst.
func pour(dst io.ReaderFrom, src io.Reader, n int64) (poured int64, rerr, err error) {
	r := pourReader{r: src, left: n}
	poured, err = dst.ReadFrom(&r)
	if r.err != nil {
		return poured, r.err, nil
	}
	return poured, nil, err
}

// A pourReader is an io.LimitedReader that remembers the error of its reader.
type pourReader struct {
	r    io.Reader
	left int64
	err  error
}

func (p *pourReader) Read(b []byte) (int, error) {
	if p.left == 0 {
		return 0, io.EOF
	}
	n, err := p.r.Read(b[:min(int64(len(b)), p.left)])
	p.left -= int64(n)
	p.err = err
	return n, err
}
