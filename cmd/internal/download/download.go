// Package download fetches a URL into a file that has its name only once it is
// complete.
//
// Until then the bytes are in NAME.part. If the server told how to recognize
// this version of the file, NAME.part.json says so, and the next attempt asks
// only for what is missing.
package download

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"strconv"
	"strings"
)

// A Request says what to fetch.
type Request struct {
	Client *http.Client
	URL    string
	Header http.Header
	File   string // where it goes
	Fresh  bool   // begin anew even if a part is there

	// Progress, if set, is told of the content's length, -1 if unknown, and how
	// much of it is there already, and later of every piece.
	Begin    func(have, total int64)
	Progress func(n int)
}

// A Result is what came of it, as far as it came.
type Result struct {
	Response *http.Response // nil if none came; its body is closed
	Bytes    int64          // fetched now
	Resumed  int64          // there before
	Part     string         // the file that holds them if it did not come to an end and can be gone on with
}

// A StatusError is a response that is no file.
type StatusError struct{ Response *http.Response }

func (e *StatusError) Error() string { return "the server answered " + statusText(e.Response) }

func statusText(r *http.Response) string {
	text := http.StatusText(r.StatusCode)
	if text == "" {
		return strconv.Itoa(r.StatusCode)
	}
	return strconv.Itoa(r.StatusCode) + " " + text
}

// A LengthError is a body of another length than the server announced.
type LengthError struct{ Got, Want int64 }

func (e *LengthError) Error() string {
	return fmt.Sprintf("the response ended after %d of %d bytes", e.Got, e.Want)
}

// A FileError is a failure of this machine's, not of the server.
type FileError struct{ Err error }

func (e *FileError) Error() string { return e.Err.Error() }

// Unwrap returns the system's error.
func (e *FileError) Unwrap() error { return e.Err }

func fileError(err error) error {
	if err == nil {
		return nil
	}
	return &FileError{err}
}

// errStale asks for another attempt: the part at hand is of no use.
var errStale = errors.New("the part that is there does not fit the file any more")

// Do fetches. On an error, what came is kept if it is of use, and otherwise
// removed.
func (r *Request) Do(ctx context.Context) (Result, error) {
	p, err := openPart(r.File, r.URL)
	if err != nil {
		return Result{}, fileError(err)
	}
	if r.Fresh {
		if err := p.restart(); err != nil {
			return Result{}, errors.Join(fileError(err), p.close(false))
		}
	}
	res, err := r.attempt(ctx, p)
	if errors.Is(err, errStale) {
		if err = p.restart(); err == nil {
			res, err = r.attempt(ctx, p)
		} else {
			err = fileError(err)
		}
	}
	if err == nil {
		return res, fileError(p.finish())
	}
	kept := p.worthKeeping()
	if kept {
		res.Part = p.name
	}
	return res, errors.Join(err, fileError(p.close(kept)))
}

// attempt makes one request and writes what comes to the part.
func (r *Request) attempt(ctx context.Context, p *part) (res Result, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.URL, nil)
	if err != nil {
		return res, err
	}
	for name, values := range r.Header {
		req.Header[name] = values
	}
	if p.size > 0 {
		// "A client can use the If-Range header field to "short-circuit" the second
		// request": if the file has changed, all of it comes.
		// https://www.rfc-editor.org/rfc/rfc9110#section-13.1.5
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", p.size))
		req.Header.Set("If-Range", p.meta.validator())
	}
	resp, err := r.Client.Do(req)
	if err != nil {
		return res, err
	}
	defer resp.Body.Close()
	res.Response = resp
	want, err := p.begin(resp)
	if errors.Is(err, errComplete) {
		res.Resumed = p.size
		return res, nil
	}
	if err != nil {
		return res, err
	}
	res.Resumed = p.size
	if r.Begin != nil {
		r.Begin(p.size, want)
	}
	res.Bytes, err = r.copy(p, resp.Body)
	if err == nil && want >= 0 && p.size != want {
		err = &LengthError{p.size, want}
	}
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = &LengthError{p.size, want}
	}
	return res, err
}

// copy appends a body to the part.
func (r *Request) copy(p *part, body io.Reader) (int64, error) {
	w := &partWriter{p: p, progress: r.Progress}
	n, err := io.CopyBuffer(w, body, make([]byte, 256<<10))
	if w.err != nil {
		return n, fileError(w.err)
	}
	return n, err
}

// A partWriter writes to a part and remembers errors of its own.
type partWriter struct {
	p        *part
	progress func(int)
	err      error
}

func (w *partWriter) Write(b []byte) (int, error) {
	n, err := w.p.f.Write(b)
	w.p.size += int64(n)
	if w.progress != nil && n > 0 {
		w.progress(n)
	}
	if err != nil {
		w.err = err
	}
	return n, err
}

// To writes the content of a URL to w as it comes.
func To(ctx context.Context, w io.Writer, r *Request) (res Result, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.URL, nil)
	if err != nil {
		return res, err
	}
	for name, values := range r.Header {
		req.Header[name] = values
	}
	resp, err := r.Client.Do(req)
	if err != nil {
		return res, err
	}
	defer resp.Body.Close()
	res.Response = resp
	if resp.StatusCode != http.StatusOK {
		return res, &StatusError{resp}
	}
	if r.Begin != nil {
		r.Begin(0, resp.ContentLength)
	}
	own := &ownWriter{w: w, progress: r.Progress}
	res.Bytes, err = io.CopyBuffer(own, resp.Body, make([]byte, 64<<10))
	switch {
	case own.err != nil:
		err = fileError(own.err)
	case errors.Is(err, io.ErrUnexpectedEOF) || err == nil && resp.ContentLength >= 0 && res.Bytes != resp.ContentLength:
		err = &LengthError{res.Bytes, resp.ContentLength}
	}
	return res, err
}

// An ownWriter remembers errors of its own.
type ownWriter struct {
	w        io.Writer
	progress func(int)
	err      error
}

func (w *ownWriter) Write(b []byte) (int, error) {
	n, err := w.w.Write(b)
	if w.progress != nil && n > 0 {
		w.progress(n)
	}
	if err != nil {
		w.err = err
	}
	return n, err
}

// CheckTarget tells early that a file cannot be written.
func CheckTarget(file string) error {
	info, err := os.Stat(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.IsDir() {
		return fmt.Errorf("%s: is a directory", file)
	}
	return nil
}

// parseContentRange reads "bytes 200-999/1000" and "bytes */1000". What is
// unknown is -1.
// https://www.rfc-editor.org/rfc/rfc9110#section-14.4
func parseContentRange(s string) (first, total int64, ok bool) {
	rest, ok := strings.CutPrefix(s, "bytes ")
	if !ok {
		return -1, -1, false
	}
	span, size, ok := strings.Cut(rest, "/")
	if !ok {
		return -1, -1, false
	}
	total = -1
	if size != "*" {
		n, err := strconv.ParseInt(size, 10, 64)
		if err != nil || n < 0 {
			return -1, -1, false
		}
		total = n
	}
	if span == "*" {
		return -1, total, total >= 0
	}
	from, to, ok := strings.Cut(span, "-")
	if !ok {
		return -1, -1, false
	}
	a, err1 := strconv.ParseInt(from, 10, 64)
	b, err2 := strconv.ParseInt(to, 10, 64)
	if err1 != nil || err2 != nil || a < 0 || b < a || total >= 0 && b >= total {
		return -1, -1, false
	}
	return a, total, true
}
