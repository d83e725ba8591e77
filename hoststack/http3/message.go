package http3

import (
	"io"
)

// A messageReader reads one HTTP message, or interim responses and then one,
// from a request stream.
//
// "An HTTP message (request or response) consists of: 1. the header section
// […] sent as a single HEADERS frame, 2. optionally, the content, if present,
// sent as a series of DATA frames, and 3. optionally, the trailer section, if
// present, sent as a single HEADERS frame."
// https://www.rfc-editor.org/rfc/rfc9114#section-4.1
type messageReader struct {
	frameReader
	isClient bool
	limit    uint64 // largest field section accepted, bytes

	// Set once the header section was understood.
	contentLength int64 // what it promised, or -1
	noContent     bool  // the message never has content
	tunnel        bool  // CONNECT: DATA frames only
	trailers      trailerReceiver

	left         uint64 // unread bytes of the current DATA frame
	received     int64  // sum of the DATA frame lengths so far
	trailersSeen bool
	err          error // sticky result of readContent
}

// A trailerReceiver takes the trailer section of a message.
type trailerReceiver interface {
	trailersReceived(section []byte) error
}

// headers returns the encoded header section, valid until the next call. It
// returns io.EOF if the stream ended before it.
func (m *messageReader) headers() ([]byte, error) {
	for {
		t, n, err := m.next()
		if err != nil {
			return nil, err
		}
		switch t {
		case FrameHeaders:
			return m.section(n)
		case FrameData:
			// "In particular, a DATA frame before any HEADERS frame […] is
			// considered invalid."
			// https://www.rfc-editor.org/rfc/rfc9114#section-4.1
			return nil, connErrorf(CodeFrameUnexpected, "DATA before HEADERS")
		}
		if err := m.other(t, n); err != nil {
			return nil, err
		}
	}
}

// section reads a HEADERS payload of n bytes. A section that is longer even
// encoded than what may come out of it is not read at all.
func (m *messageReader) section(n uint64) ([]byte, error) {
	if n > m.limit {
		return nil, &fieldsTooLargeError{m.limit}
	}
	return m.payload(int(n))
}

// other handles a frame that is part of no message.
func (m *messageReader) other(t FrameType, n uint64) error {
	switch {
	case t == FramePushPromise && m.isClient:
		// "A client MUST treat receipt of a PUSH_PROMISE frame that contains a
		// larger push ID than the client has advertised as a connection error of
		// H3_ID_ERROR." None was advertised.
		// https://www.rfc-editor.org/rfc/rfc9114#section-7.2.5
		return connErrorf(CodeIDError, "PUSH_PROMISE, but no push was allowed")
	case t.known() || t.reservedHTTP2():
		return connErrorf(CodeFrameUnexpected, "%v on a request stream", t)
	}
	return m.skip(n)
}

// readContent reads content of the message: io.EOF is the end of the whole
// message, with trailers delivered and lengths checked. Errors stay.
func (m *messageReader) readContent(p []byte) (int, error) {
	if m.err != nil {
		return 0, m.err
	}
	if len(p) == 0 {
		return 0, nil
	}
	if err := m.seekContent(); err != nil {
		return 0, err
	}
	n, err := m.read(p[:min(uint64(len(p)), m.left)])
	m.left -= uint64(n)
	m.err = err
	if err == nil && m.left == 0 && m.finished() {
		m.err = m.end()
		return n, m.err
	}
	return n, err
}

// copyContent writes the rest of the content to w, with buf for what cannot go
// straight. werr is w's error, after which reading may go on; err is the
// message's and stays, but for io.EOF, which is success.
func (m *messageReader) copyContent(w io.Writer, buf []byte) (total int64, werr, err error) {
	for m.seekContent() == nil {
		n, ok, werr, err := m.writeTo(w, m.left)
		total += int64(n)
		m.left -= n
		m.err = err
		if !ok {
			var k int
			k, _ = m.readContent(buf)
			n, werr := w.Write(buf[:k])
			total += int64(n)
			if werr != nil {
				return total, werr, nil
			}
		}
		if werr != nil {
			return total, werr, nil
		}
	}
	if m.err == io.EOF {
		return total, nil, nil
	}
	return total, nil, m.err
}

// seekContent reads up to the next byte of content.
func (m *messageReader) seekContent() error {
	for m.left == 0 && m.err == nil {
		m.err = m.nextContent()
	}
	return m.err
}

// nextContent reads up to the payload of the next DATA frame. It returns io.EOF
// at the end of the message.
func (m *messageReader) nextContent() error {
	t, n, err := m.next()
	if err == io.EOF {
		return m.end()
	}
	if err != nil {
		return err
	}
	switch t {
	case FrameData:
		return m.data(n)
	case FrameHeaders:
		return m.trailer(n)
	}
	return m.other(t, n)
}

// data accounts for the header of a DATA frame.
func (m *messageReader) data(n uint64) error {
	if m.trailersSeen {
		return connErrorf(CodeFrameUnexpected, "DATA after the trailer section")
	}
	if n == 0 {
		return m.skip(0)
	}
	if m.noContent {
		return malformed("content in a message that never has any")
	}
	// "A request or response […] is malformed if the value of the Content-Length
	// header field does not equal the sum of the DATA frame lengths received."
	// https://www.rfc-editor.org/rfc/rfc9114#section-4.1.2
	if m.contentLength >= 0 && n > uint64(m.contentLength-m.received) {
		return malformed("more content than the content-length of %d", m.contentLength)
	}
	m.received += int64(n)
	m.left = n
	return nil
}

// trailer reads a trailer section.
func (m *messageReader) trailer(n uint64) error {
	if m.trailersSeen || m.tunnel {
		// "[…] or a HEADERS or DATA frame after the trailing HEADERS frame, is
		// considered invalid." / "Once the CONNECT method has completed, only DATA
		// frames are permitted to be sent on the stream. […] Receipt of any other
		// known frame type MUST be treated as a connection error of type
		// H3_FRAME_UNEXPECTED."
		// https://www.rfc-editor.org/rfc/rfc9114#section-4.1
		// https://www.rfc-editor.org/rfc/rfc9114#section-4.4
		return connErrorf(CodeFrameUnexpected, "HEADERS after the message")
	}
	m.trailersSeen = true
	section, err := m.section(n)
	if err != nil {
		return err
	}
	return m.trailers.trailersReceived(section)
}

// end checks a message whose stream has ended.
func (m *messageReader) end() error {
	if m.left > 0 {
		return errTruncatedFrame
	}
	if m.contentLength >= 0 && m.received != m.contentLength && !m.noContent {
		return malformed("%d bytes of content, but a content-length of %d", m.received, m.contentLength)
	}
	return io.EOF
}
