package http3

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/url"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

func TestParsePriority(t *testing.T) {
	def := Priority{Urgency: 5, Incremental: true}
	for _, c := range []struct {
		in   string
		want Priority
		ok   bool
	}{
		{"", def, true},
		{"u=0", Priority{0, true}, true},
		{"u=7, i=?0", Priority{7, false}, true},
		{"i", Priority{5, true}, true},
		{"i=?1;x=1;y=\"z\", u=2", Priority{2, true}, true},
		{"u=1,u=2", Priority{2, true}, true},
		{"  u=1  ", Priority{1, true}, true},
		{"u=1 ,\ti", Priority{1, true}, true},
		{"u=8", def, true},
		{"u=-1", def, true},
		{"u=1.5", def, true},
		{"u=\"1\"", def, true},
		{"u", def, true}, // a Boolean where an Integer is due
		{"i=1", def, true},
		{"a=(1 2;p \"x\" t);q, *b-c.d_=tok/en:*, e=:AAA=:, f=?0, g=-12.345, u=4", Priority{4, true}, true},

		{"u=", def, false},
		{"u=1,", def, false},
		{",u=1", def, false},
		{"u=1 u=2", def, false},
		{"U=1", def, false},
		{"1=u", def, false},
		{"a=(1 2", def, false},
		{"a=(1,2)", def, false},
		{"a=\"x", def, false},
		{"a=\"\\x\"", def, false},
		{"a=\"\x01\"", def, false},
		{"a=:AAA", def, false},
		{"a=?2", def, false},
		{"a=1.", def, false},
		{"a=1.2345", def, false},
		{"a=1234567890123456", def, false},
		{"a=-", def, false},
		{"a;=1", def, false},
		{"a;b=", def, false},
		{"a=@1", def, false},
	} {
		got, err := ParsePriority(c.in, def)
		if got != c.want || (err == nil) != c.ok {
			t.Errorf("ParsePriority(%q) = %v, %v; want %v, ok %v", c.in, got, err, c.want, c.ok)
		}
	}
	for _, p := range []Priority{{0, false}, {7, true}, DefaultPriority} {
		if got, err := ParsePriority(p.String(), def); err != nil || got.Urgency != p.Urgency {
			t.Errorf("%q does not survive: %v, %v", p, got, err)
		}
	}
}

func TestSettings(t *testing.T) {
	in := Settings{MaxFieldSectionSize: 12345, EnableConnectProtocol: true, H3Datagram: true}
	r := &frameReader{src: bytes.NewReader(appendSettings(nil, &in, 1<<31)), buf: make([]byte, 100)}
	typ, n, err := r.next()
	if typ != FrameSettings || err != nil {
		t.Fatalf("frame %v, %v", typ, err)
	}
	payload, err := r.payload(int(n))
	if err != nil {
		t.Fatal(err)
	}
	if out, err := parseSettings(payload); out != in || err != nil {
		t.Errorf("got %+v, %v; want %+v", out, err, in)
	}
	if out, err := parseSettings(nil); out != initialSettings || err != nil {
		t.Errorf("no settings give %+v, %v", out, err)
	}
}

// TestFrameReader reads the same frames however they arrive.
func TestFrameReader(t *testing.T) {
	long := bytes.Repeat([]byte("0123456789"), 1000)
	var in []byte
	in = append(appendFrameHeader(in, 0x21, 3), "abc"...)
	in = append(appendFrameHeader(in, FrameHeaders, 5), "small"...)
	in = append(appendFrameHeader(in, FrameHeaders, uint64(len(long))), long...)
	in = append(appendFrameHeader(in, FrameData, uint64(len(long))), long...)
	for name, src := range map[string]io.Reader{
		"at once":      bytes.NewReader(in),
		"with EOF":     iotest.DataErrReader(bytes.NewReader(in)),
		"bytewise":     iotest.OneByteReader(bytes.NewReader(in)),
		"half by half": iotest.HalfReader(bytes.NewReader(in)),
	} {
		r := &frameReader{src: src, buf: make([]byte, 64)}
		check := func(what string, ok bool, err error) {
			t.Helper()
			if !ok || err != nil {
				t.Errorf("%s, %s: %v", name, what, err)
			}
		}
		typ, n, err := r.next()
		check("reserved frame", typ == 0x21 && n == 3, err)
		check("skip", true, r.skip(n))
		_, n, err = r.next()
		check("small frame", n == 5, err)
		p, err := r.payload(int(n))
		check("small payload", string(p) == "small", err)
		_, n, err = r.next()
		check("long frame", int(n) == len(long), err)
		p, err = r.payload(int(n))
		check("long payload", bytes.Equal(p, long), err)
		_, n, err = r.next()
		check("data frame", int(n) == len(long), err)
		got := make([]byte, 0, n)
		for len(got) < int(n) {
			k, err := r.read(got[len(got):cap(got)])
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			got = got[:len(got)+k]
		}
		check("data", bytes.Equal(got, long), nil)
		if _, _, err := r.next(); err != io.EOF {
			t.Errorf("%s: end is %v", name, err)
		}
	}
}

// TestPayloadMemory: a length alone makes nobody allocate.
func TestPayloadMemory(t *testing.T) {
	r := &frameReader{src: strings.NewReader("only this"), buf: make([]byte, 64)}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range 100 {
		r.src, r.eof = strings.NewReader("only this"), false
		if _, err := r.payload(200 << 10); err == nil {
			t.Fatal("no error")
		}
	}
	runtime.ReadMemStats(&after)
	allocated := (after.TotalAlloc - before.TotalAlloc) / 100
	if allocated > 1000 {
		t.Errorf("a truncated frame of 200 kB cost %d bytes of memory", allocated)
	}
}

func TestCapsules(t *testing.T) {
	var b []byte
	b = AppendCapsule(b, CapsuleDatagram, []byte("hello"))
	b = AppendCapsule(b, 0x1234, bytes.Repeat([]byte("x"), 10_000))
	b = AppendCapsule(b, CapsuleDatagram, nil)
	b = AppendCapsule(b, CapsuleDatagram, []byte("bye"))
	r := NewCapsuleReader(iotest.OneByteReader(bytes.NewReader(b)))
	var got []string
	for {
		typ, n, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if typ != CapsuleDatagram {
			continue
		}
		v, err := io.ReadAll(r)
		if err != nil || uint64(len(v)) != n {
			t.Errorf("value %q of length %d: %v", v, n, err)
		}
		got = append(got, string(v))
	}
	if want := []string{"hello", "", "bye"}; !reflect.DeepEqual(got, want) {
		t.Errorf("datagrams %q, want %q", got, want)
	}
	for _, n := range []int{1, 3, 6} { // inside type-length, value
		r := NewCapsuleReader(bytes.NewReader(AppendCapsule(nil, 0x4000, []byte("hello"))[:n]))
		_, _, err := r.Next()
		if err == nil {
			_, err = io.ReadAll(r)
		}
		if !errors.Is(err, &StreamError{Code: CodeMessageError}) {
			t.Errorf("a capsule cut after %d bytes: %v", n, err)
		}
		if _, _, again := r.Next(); !errors.Is(again, &StreamError{Code: CodeMessageError}) {
			t.Errorf("and then: %v", again)
		}
	}
	broken := NewCapsuleReader(io.MultiReader(strings.NewReader("\x00\x09"), iotest.ErrReader(errors.New("broken"))))
	_, _, err := broken.Next()
	if _, err2 := io.ReadAll(broken); err != nil || err2 == nil || err2.Error() != "broken" {
		t.Errorf("a broken stream: %v, %v", err, err2)
	}
}

func TestLimiter(t *testing.T) {
	l := newLimiter(10, 3)
	now := time.Unix(1000, 0)
	take := func(want ...bool) {
		t.Helper()
		for i, w := range want {
			if got := l.take(now); got != w {
				t.Errorf("take %d at %v: %v", i, now, got)
			}
		}
	}
	take(true, true, true, false)
	now = now.Add(100 * time.Millisecond)
	take(true, false)
	now = now.Add(-time.Hour) // a clock that goes back gives nothing
	take(false)
	now = now.Add(2 * time.Hour)
	take(true, true, true, false)
}

func TestAnnouncedTrailers(t *testing.T) {
	h := http.Header{"Trailer": {"a, B-c", "content-length", ", bad name"}}
	if got, want := announcedTrailers(h), (http.Header{"A": nil, "B-C": nil}); !reflect.DeepEqual(got, want) || len(h) != 0 {
		t.Errorf("got %v, header %v", got, h)
	}
}

func TestCleanValue(t *testing.T) {
	for in, want := range map[string]string{
		"plain": "plain", " both ends\t": "both ends", "a\r\nb\x00c": "a  b c", "caf\xe9\n": "caf\xe9",
	} {
		if got := cleanValue(in); got != want {
			t.Errorf("cleanValue(%q) = %q, want %q", in, got, want)
		}
	}
}

// TestNames: the shortcut for usual names agrees with net/http.
func TestNames(t *testing.T) {
	for _, name := range append([]string{"X-Unusual"}, commonFields...) {
		if got := http.CanonicalHeaderKey(strings.ToLower(name)); got != name || canonicalName(strings.ToLower(name)) != name {
			t.Errorf("%s: net/http says %s", name, got)
		}
		if got := lowerName(name); got != strings.ToLower(name) {
			t.Errorf("lowerName(%s) = %s", name, got)
		}
	}
}

func TestPlainPath(t *testing.T) {
	for _, p := range []string{"/", "/a/b.c", "/a-b_c~d/"} {
		h := requestHead{method: "GET", path: p}
		if !plainPath(p) {
			t.Errorf("%s is not taken as it is", p)
		}
		want := *must(http.NewRequest("GET", "https://h"+p, nil)).URL
		want.Scheme, want.Host = "", ""
		if u, err := h.url(new(url.URL)); err != nil || *u != want {
			t.Errorf("%s becomes %+v, want %+v", p, u, want)
		}
	}
	for _, p := range []string{"", "*", "//x", "/a?b", "/%41", "/a b", "/a#b", "/a;b", "/ä"} {
		if plainPath(p) {
			t.Errorf("%q is taken as it is", p)
		}
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
