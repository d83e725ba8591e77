package http3

import (
	"bufio"
	"errors"
	"io"

	"github.com/pquic-go/pquic/core/wire"
)

// A CapsuleType is the type of a capsule.
// https://www.rfc-editor.org/rfc/rfc9297#section-3.2
type CapsuleType uint64

// CapsuleDatagram carries one HTTP datagram reliably.
// https://www.rfc-editor.org/rfc/rfc9297#section-3.5
const CapsuleDatagram CapsuleType = 0x00

// errTruncatedCapsule is a stream that ended inside a capsule.
//
// "If the receive side of a stream carrying capsules is terminated cleanly […]
// and the last capsule on the stream was truncated, this MUST be treated as if
// it were a malformed or incomplete message."
// https://www.rfc-editor.org/rfc/rfc9297#section-3.3
var errTruncatedCapsule = malformed("the data stream ended inside a capsule")

// AppendCapsule appends a whole capsule.
func AppendCapsule(b []byte, t CapsuleType, value []byte) []byte {
	b = AppendCapsuleHeader(b, t, uint64(len(value)))
	return append(b, value...)
}

// AppendCapsuleHeader appends what precedes a capsule value of n bytes, at most
// 2^62-1.
func AppendCapsuleHeader(b []byte, t CapsuleType, n uint64) []byte {
	return wire.AppendVarint(wire.AppendVarint(b, uint64(t)), n)
}

// A CapsuleReader cuts the data stream of a request into capsules.
type CapsuleReader struct {
	r    *bufio.Reader
	left uint64 // unread bytes of the current capsule
	err  error
}

// NewCapsuleReader reads capsules from r, the content of a request or response
// that uses the Capsule Protocol.
func NewCapsuleReader(r io.Reader) *CapsuleReader {
	br, ok := r.(*bufio.Reader)
	if !ok {
		br = bufio.NewReader(r)
	}
	return &CapsuleReader{r: br}
}

// Next skips the rest of the current capsule and returns the type and length
// in bytes of the next one, whose value is then available from Read. It returns
// io.EOF at the end of the data stream, and a *StreamError with
// H3_MESSAGE_ERROR if that is inside a capsule.
//
// "Endpoints which receive a Capsule with an unknown Capsule Type MUST silently
// drop that Capsule and skip over it to parse the next Capsule": call Next.
// https://www.rfc-editor.org/rfc/rfc9297#section-3.2
func (c *CapsuleReader) Next() (t CapsuleType, n uint64, err error) {
	if c.err == nil && c.left > 0 {
		if _, err := io.Copy(io.Discard, c); err != nil {
			return 0, 0, err
		}
	}
	if c.err != nil {
		return 0, 0, c.err
	}
	typ, err := readVarint(c.r)
	if err == nil {
		c.left, err = readVarint(c.r)
		if err == io.EOF {
			err = errTruncatedCapsule
		}
	}
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = errTruncatedCapsule
	}
	c.err = err
	return CapsuleType(typ), c.left, err
}

// Read reads from the current capsule's value and returns io.EOF at its end.
// It never accumulates a value: the caller decides how much to hold.
func (c *CapsuleReader) Read(p []byte) (int, error) {
	if c.left == 0 {
		return 0, io.EOF
	}
	if c.err != nil {
		return 0, c.err
	}
	n, err := c.r.Read(p[:min(uint64(len(p)), c.left)])
	c.left -= uint64(n)
	if err == io.EOF {
		err = nil
		if c.left > 0 {
			err = errTruncatedCapsule
		}
	}
	c.err = err
	return n, err
}

// readVarint reads a variable-length integer: io.EOF means r ended before it,
// io.ErrUnexpectedEOF inside it.
func readVarint(r io.ByteReader) (uint64, error) {
	first, err := r.ReadByte()
	if err != nil {
		return 0, err
	}
	v := uint64(first & 0x3f)
	for range 1<<(first>>6) - 1 {
		b, err := r.ReadByte()
		if err != nil {
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return 0, err
		}
		v = v<<8 | uint64(b)
	}
	return v, nil
}
