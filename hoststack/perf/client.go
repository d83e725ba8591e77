package perf

import (
	"context"
	"encoding/binary"
	"errors"
	"os"
	"sync/atomic"
	"time"

	"github.com/pquic-go/pquic/hoststack"
)

// A Request is one exchange on a stream of its own.
type Request struct {
	Upload   uint64 // bytes to send after the header, or Endless
	Download uint64 // bytes of the answer, or Endless

	// Until, if set, is when to stop sending, and reading. What has been
	// exchanged by then is a success. Required with Endless.
	Until time.Time

	// Sent and Received, if set, are added to while the exchange goes on.
	Sent, Received *atomic.Uint64
}

// A Result is what an exchange came to.
type Result struct {
	Sent, Received uint64 // bytes, without the header
	// Elapsed is the time from opening the stream to the end of the answer, or
	// to Until.
	Elapsed time.Duration
	// Stopped tells that Until came before the end of the answer.
	Stopped bool
}

// Do makes a request on a connection and waits for its answer. ctx bounds the
// wait for a stream; to end an exchange early, close the connection.
func Do(ctx context.Context, c *hoststack.Conn, r Request) (Result, error) {
	start := time.Now()
	st, err := c.OpenStream(ctx)
	if err != nil {
		return Result{}, err
	}
	res, err := r.exchange(st)
	res.Elapsed = time.Since(start)
	if err != nil {
		st.Reset(codeDone)
		st.CancelRead(codeDone)
	}
	return res, err
}

func (r *Request) exchange(st *hoststack.Stream) (res Result, err error) {
	var sent, received atomic.Uint64
	defer func() { res.Sent, res.Received = sent.Load(), received.Load() }()
	if err := r.send(st, pick(r.Sent, &sent), &sent); err != nil {
		return res, err
	}
	// What an endless upload has sent counts once the server has it all: its end
	// of the stream is awaited.
	if !r.Until.IsZero() && r.Upload != Endless {
		if err := st.SetReadDeadline(r.Until); err != nil {
			return res, err
		}
	}
	_, err = st.WriteTo(both{counter{&received}, counter{pick(r.Received, new(atomic.Uint64))}})
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		st.CancelRead(codeDone)
		res.Stopped = true
		return res, nil
	case err != nil:
		return res, err
	case r.Download != Endless && received.Load() != r.Download:
		return res, errShort(received.Load(), r.Download)
	}
	return res, nil
}

// send sends the request. What was sent is counted twice: for whoever watches,
// and for the result.
func (r *Request) send(st *hoststack.Stream, watched, own *atomic.Uint64) error {
	// The header and what follows leave in one packet if they fit into one.
	first := make([]byte, headerSize, headerSize+min(r.Upload, 1024))
	binary.BigEndian.PutUint64(first, r.Download)
	first = first[:cap(first)]
	if _, err := st.Write(first); err != nil {
		return err
	}
	n := uint64(len(first) - headerSize)
	add := func(n uint64) {
		own.Add(n)
		if watched != own {
			watched.Add(n)
		}
	}
	add(n)
	for n < r.Upload {
		if !r.Until.IsZero() && !time.Now().Before(r.Until) {
			break
		}
		w, err := st.Write(chunk[:min(r.Upload-n, uint64(len(chunk)))])
		add(uint64(w))
		n += uint64(w)
		if err != nil {
			return err
		}
	}
	return st.CloseWrite()
}

func pick(given, otherwise *atomic.Uint64) *atomic.Uint64 {
	if given != nil {
		return given
	}
	return otherwise
}

// both counts in two places.
type both [2]counter

func (b both) Write(p []byte) (int, error) {
	_, _ = b[0].Write(p)
	return b[1].Write(p)
}
