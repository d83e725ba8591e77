package hq

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"

	"github.com/pquic-go/pquic/hoststack/http3"
)

// ErrClosed is returned by a body that is read after Close.
var ErrClosed = errors.New("hq: read of a closed body")

// Get asks for a path, "/…", and returns the file's bytes as they come. The
// context holds for the whole body. Reading fails with an *[http3.StreamError]
// if the server refuses, which only the first Read can tell; io.EOF comes only
// after the whole file.
func Get(ctx context.Context, conn http3.Conn, path string) (io.ReadCloser, error) {
	if !strings.HasPrefix(path, "/") || strings.ContainsAny(path, " \r\n\x00") {
		return nil, fmt.Errorf("hq: invalid path %q, want one that begins with a slash and has no white space", path)
	}
	str, err := conn.OpenStream(ctx)
	if err != nil {
		return nil, err
	}
	b := &body{ctx: ctx, str: str}
	b.stop = context.AfterFunc(ctx, b.cancel)
	request := []byte("GET " + path + "\r\n")
	if fw, ok := str.(http3.FinalWriter); ok {
		_, err = fw.WriteFinal(request)
	} else if _, err = str.Write(request); err == nil {
		err = str.CloseWrite()
	}
	if err != nil {
		b.stop()
		b.cancel()
		return nil, err
	}
	return b, nil
}

// A body is a response being read.
type body struct {
	ctx  context.Context
	str  http3.Stream
	stop func() bool // ends the watch on ctx

	mu  sync.Mutex
	err error // sticky
}

// cancel ends the stream at both ends.
func (b *body) cancel() {
	b.str.CancelRead(CodeCancelled)
	b.str.Reset(CodeCancelled)
}

func (b *body) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err != nil {
		return 0, b.err
	}
	n, err := b.str.Read(p)
	b.note(err)
	return n, b.err
}

// WriteTo copies the rest, straight from the stream's buffer if it can.
func (b *body) WriteTo(w io.Writer) (n int64, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err != nil {
		if b.err == io.EOF {
			return 0, nil
		}
		return 0, b.err
	}
	guard := writeGuard{w: w}
	// io.Copy uses the stream's WriteTo if there is one.
	n, err = io.Copy(&guard, b.str)
	if guard.err != nil {
		return n, guard.err // w's, not the stream's
	}
	if err == nil {
		b.note(io.EOF)
		return n, nil
	}
	b.note(err)
	return n, b.err
}

// A writeGuard remembers the error of its writer.
type writeGuard struct {
	w   io.Writer
	err error
}

func (g *writeGuard) Write(p []byte) (n int, err error) {
	n, g.err = g.w.Write(p)
	return n, g.err
}

// note keeps an error and what it means.
func (b *body) note(err error) {
	if err == nil {
		return
	}
	b.stop()
	if err != io.EOF && b.ctx.Err() != nil {
		err = context.Cause(b.ctx)
	}
	b.err = err
}

// Close ends the request if its response was not read to the end.
func (b *body) Close() error {
	b.stop()
	b.str.CancelRead(CodeCancelled) // lets a Read in progress go
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err == nil {
		b.err = ErrClosed
	}
	return nil
}
