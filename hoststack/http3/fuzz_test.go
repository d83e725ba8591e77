package http3

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/quic-go/qpack"

	"github.com/pquic-go/pquic/core/wire"
)

// typed fails the test unless err is one a peer can cause.
func typed(t *testing.T, err error) {
	t.Helper()
	var tooLarge *fieldsTooLargeError
	if _, ok := CodeOf(err); err != nil && err != io.EOF && !ok && !errors.As(err, &tooLarge) {
		t.Errorf("untyped error %v", err)
	}
}

func encode(lines ...string) []byte {
	var b bytes.Buffer
	e := qpack.NewEncoder(&b)
	for _, l := range lines {
		name, value, _ := strings.Cut(l, "=")
		_ = e.WriteField(qpack.HeaderField{Name: name, Value: value})
	}
	return b.Bytes()
}

func seedFrame(t FrameType, payload []byte) []byte {
	return append(appendFrameHeader(nil, t, uint64(len(payload))), payload...)
}

// FuzzMessage reads arbitrary bytes as a request, and as responses.
func FuzzMessage(f *testing.F) {
	request := seedFrame(FrameHeaders, encode(":method=POST", ":scheme=https", ":authority=a", ":path=/", "content-length=5"))
	response := seedFrame(FrameHeaders, encode(":status=200", "content-length=5"))
	data := seedFrame(FrameData, []byte("hello"))
	trailer := seedFrame(FrameHeaders, encode("sum=1"))
	f.Add(bytes.Join([][]byte{request, data, trailer}, nil), byte(0))
	f.Add(bytes.Join([][]byte{seedFrame(0x21, []byte("x")), response, data, trailer}, nil), byte(1))
	f.Add(bytes.Join([][]byte{request, seedFrame(FrameData, nil), data, data}, nil), byte(2))
	f.Add(bytes.Join([][]byte{response, trailer, trailer}, nil), byte(3))
	f.Add(request[:7], byte(0))
	f.Fuzz(func(t *testing.T, b []byte, mode byte) {
		m := messageReader{
			frameReader:   frameReader{src: bytes.NewReader(b), buf: make([]byte, 64)},
			isClient:      mode&1 != 0,
			limit:         2000,
			contentLength: -1,
			tunnel:        mode&2 != 0,
			noContent:     mode&4 != 0,
		}
		m.trailers = decodingTrailers{m.limit}
		section, err := m.headers()
		if err != nil {
			typed(t, err)
			return
		}
		if m.isClient {
			var h responseHead
			if err = h.decode(section, m.limit); err == nil {
				m.contentLength = h.contentLength
			}
		} else {
			var h requestHead
			if err = h.decode(section, m.limit); err == nil {
				m.contentLength = h.contentLength
				_, _ = http.NewRequest(h.method, "https://"+h.authority+h.path, nil)
				_ = h.header()
			}
		}
		if err != nil {
			typed(t, err)
			return
		}
		var n int64
		if mode&8 != 0 {
			var werr error
			n, werr, err = m.copyContent(io.Discard, make([]byte, 100))
			if werr != nil {
				t.Errorf("writing to io.Discard: %v", werr)
			}
		} else {
			n, err = io.Copy(io.Discard, readerOf(m.readContent))
		}
		typed(t, err)
		if n > int64(len(b)) {
			t.Errorf("%d bytes of content out of %d", n, len(b))
		}
		if err == nil && !m.noContent && m.contentLength >= 0 && n != m.contentLength {
			t.Errorf("%d bytes of content, declared %d", n, m.contentLength)
		}
	})
}

type decodingTrailers struct{ limit uint64 }

func (d decodingTrailers) trailersReceived(section []byte) error {
	_, err := decodeTrailers(section, d.limit)
	return err
}

type readerOf func([]byte) (int, error)

func (f readerOf) Read(p []byte) (int, error) { return f(p) }

// FuzzFields decodes arbitrary field sections; what is accepted must obey the
// rules and survive being sent again.
func FuzzFields(f *testing.F) {
	f.Add(encode(":method=GET", ":scheme=https", ":authority=a", ":path=/x?y", "cookie=a", "cookie=b", "te=trailers"))
	f.Add(encode(":method=CONNECT", ":authority=a:1"))
	f.Add(encode(":status=404", "content-type=text/html", "x-long="+strings.Repeat("y", 300)))
	f.Add([]byte{0, 0, 0xc0, 0xff, 0x80, 0x80, 0x80, 0x01})
	f.Add([]byte{0, 0, 0x27, 0xff, 0xff, 0x7f, 'x'})
	f.Fuzz(func(t *testing.T, section []byte) {
		const limit = 3000
		var request requestHead
		if err := request.decode(section, limit); err != nil {
			typed(t, err)
		} else {
			h := &request
			checkHeader(t, h.fields.get())
			if h.authority == "" && h.isHTTP() || strings.Contains(h.authority, "@") {
				t.Errorf("authority %q", h.authority)
			}
		}
		var h responseHead
		if err := h.decode(section, limit); err != nil {
			typed(t, err)
		} else if checkHeader(t, h.fields.get()); h.status < 100 || h.status > 999 || h.status == 101 {
			t.Errorf("status %d", h.status)
		}
		if h, err := decodeTrailers(section, limit); err != nil {
			typed(t, err)
		} else {
			checkHeader(t, h)
			e := newFieldEncoder()
			defer e.free()
			for key, values := range h {
				e.addValues(key, values)
			}
			if len(e.buf) == 0 {
				return
			}
			if again, err := decodeTrailers(e.buf, 2*limit); err != nil || len(again) != len(h) {
				t.Errorf("%v becomes %v, %v", h, again, err)
			}
		}
	})
}

func checkHeader(t *testing.T, h http.Header) {
	t.Helper()
	size := 0
	for key, values := range h {
		if !isToken(key) || connectionSpecific(strings.ToLower(key)) || key != http.CanonicalHeaderKey(key) {
			t.Errorf("field name %q", key)
		}
		for _, v := range values {
			size += len(key) + len(v) + fieldOverhead
			if !validFieldValue(v) {
				t.Errorf("field value %q", v)
			}
		}
	}
	if size > 3000 {
		t.Errorf("a section of %d bytes within a limit of 3000", size)
	}
}

func FuzzSettings(f *testing.F) {
	f.Add(appendSettings(nil, &Settings{MaxFieldSectionSize: 100, EnableConnectProtocol: true, H3Datagram: true}, 7)[2:])
	f.Add([]byte{0x01, 0x00, 0x33, 0x02})
	f.Add([]byte{0x40, 0x06, 0x80, 0, 0, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := parseSettings(b)
		typed(t, err)
		if err != nil {
			return
		}
		s.QPACKMaxTableCapacity, s.QPACKBlockedStreams = 0, 0
		frame := appendSettings(nil, &s, 1)
		_, n := wire.ParseVarint(frame)
		_, m := wire.ParseVarint(frame[n:])
		want := s
		if want.MaxFieldSectionSize == 0 || want.MaxFieldSectionSize > wire.MaxVarint {
			want.MaxFieldSectionSize = 0 // sent as no setting at all, or as the largest number
		}
		got, err := parseSettings(frame[n+m:])
		if got.MaxFieldSectionSize >= wire.MaxVarint {
			got.MaxFieldSectionSize = 0
		}
		if want.MaxFieldSectionSize == wire.MaxVarint {
			want.MaxFieldSectionSize = 0
		}
		if err != nil || got != want {
			t.Errorf("%+v becomes %+v, %v", want, got, err)
		}
	})
}

func FuzzPriority(f *testing.F) {
	for _, s := range []string{"u=1, i", "u=7;x=\"a\\\"\", i=?0", "a=(1 2.5 :QQ==:);b, *c=tok/en", "u=,", "i=?1;;"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, err := ParsePriority(s, DefaultPriority)
		if p.Urgency > 7 || err != nil && p != DefaultPriority {
			t.Errorf("ParsePriority(%q) = %v, %v", s, p, err)
		}
		if again, err := ParsePriority(p.String(), DefaultPriority); err != nil || again != p {
			t.Errorf("%v becomes %v, %v", p, again, err)
		}
	})
}

func FuzzCapsules(f *testing.F) {
	f.Add(AppendCapsule(AppendCapsule(nil, CapsuleDatagram, []byte("hello")), 0x1234, nil), true)
	f.Add([]byte{0x00, 0xc0, 0, 0, 0, 0xff, 0, 0, 0, 'x'}, false)
	f.Add([]byte{0x40}, true)
	f.Fuzz(func(t *testing.T, b []byte, read bool) {
		r := NewCapsuleReader(bytes.NewReader(b))
		var out []byte
		for {
			typ, n, err := r.Next()
			if err != nil {
				typed(t, err)
				if err == io.EOF && read && len(out) > len(b) {
					t.Errorf("%d bytes were written shorter in %d", len(out), len(b))
				}
				return
			}
			if !read {
				continue
			}
			v, err := io.ReadAll(r)
			typed(t, err)
			if err == nil && uint64(len(v)) != n {
				t.Errorf("a value of %d bytes, declared %d", len(v), n)
			}
			out = AppendCapsule(out, typ, v)
		}
	})
}

// FuzzQPACKStreams reads arbitrary bytes as the peer's encoder and decoder
// instructions.
func FuzzQPACKStreams(f *testing.F) {
	f.Add([]byte{0x20, 0x20}, true)
	f.Add([]byte{0x3f, 0x80, 0x00}, true)
	f.Add([]byte{0x44, 0x7f, 0xff, 0x01, 0x84}, false)
	f.Fuzz(func(t *testing.T, b []byte, encoder bool) {
		r := &frameReader{src: bytes.NewReader(b), buf: make([]byte, 16)}
		read := readQPACKDecoder
		if encoder {
			read = readQPACKEncoder
		}
		err := read(r)
		typed(t, err)
		if err == nil {
			t.Error("a QPACK stream was read to no end")
		}
	})
}
