package download

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A site serves one file, whose content and behaviour tests change.
type site struct {
	content []byte
	etag    string
	date    time.Time // Last-Modified; zero: none
	cut     int       // bytes of the body after which the connection breaks; 0: never
	handler http.HandlerFunc
	ranges  []string // Range headers seen
}

func (s *site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.ranges = append(s.ranges, r.Header.Get("Range"))
	if s.handler != nil {
		s.handler(w, r)
		return
	}
	if s.etag != "" {
		w.Header().Set("ETag", s.etag)
	}
	if s.cut > 0 {
		w = &cutWriter{w, s.cut}
	}
	http.ServeContent(w, r, "", s.date, bytes.NewReader(s.content))
}

// A cutWriter breaks the connection.
type cutWriter struct {
	http.ResponseWriter
	left int
}

func (w *cutWriter) Write(b []byte) (int, error) {
	if len(b) < w.left {
		w.left -= len(b)
		return w.ResponseWriter.Write(b)
	}
	_, _ = w.ResponseWriter.Write(b[:w.left])
	w.ResponseWriter.(http.Flusher).Flush()
	panic(http.ErrAbortHandler)
}

type fixture struct {
	*testing.T
	site *site
	req  Request
}

func newFixture(t *testing.T) *fixture {
	content := make([]byte, 300_000)
	r := rand.New(rand.NewPCG(1, 2))
	for i := range content {
		content[i] = byte(r.Uint32())
	}
	s := &site{content: content, etag: `"v1"`}
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	return &fixture{t, s, Request{Client: server.Client(), URL: server.URL + "/file", File: filepath.Join(t.TempDir(), "file")}}
}

func (f *fixture) do() (Result, error) {
	f.Helper()
	return f.req.Do(f.Context())
}

// wantFiles checks what is in the directory.
func (f *fixture) wantFiles(names ...string) {
	f.Helper()
	entries, err := os.ReadDir(filepath.Dir(f.req.File))
	if err != nil {
		f.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		got = append(got, e.Name())
	}
	if fmt.Sprint(got) != fmt.Sprint(names) {
		f.Errorf("files %q, want %q", got, names)
	}
}

func (f *fixture) wantContent() {
	f.Helper()
	got, err := os.ReadFile(f.req.File)
	if err != nil {
		f.Fatal(err)
	}
	if !bytes.Equal(got, f.site.content) {
		f.Errorf("the file has %d bytes, not the %d of the server's", len(got), len(f.site.content))
	}
}

// interrupt downloads until the connection breaks.
func (f *fixture) interrupt(after int) Result {
	f.Helper()
	f.site.cut = after
	res, err := f.do()
	f.site.cut = 0
	var length *LengthError
	if !errors.As(err, &length) {
		f.Fatalf("the connection broke: got error %v", err)
	}
	return res
}

func TestWhole(t *testing.T) {
	f := newFixture(t)
	var begun, progressed int64
	f.req.Begin = func(have, total int64) { begun = total - have }
	f.req.Progress = func(n int) { progressed += int64(n) }
	res, err := f.do()
	if err != nil {
		t.Fatal(err)
	}
	if n := int64(len(f.site.content)); res.Bytes != n || res.Resumed != 0 || begun != n || progressed != n {
		t.Errorf("result %+v, begun with %d, progressed %d, want %d", res, begun, progressed, n)
	}
	f.wantContent()
	f.wantFiles("file")
}

func TestResume(t *testing.T) {
	for _, c := range []struct {
		name string
		set  func(*site)
	}{
		{"by ETag", func(*site) {}},
		{"by date", func(s *site) { s.etag, s.date = "", time.Now().Add(-time.Hour) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFixture(t)
			c.set(f.site)
			res := f.interrupt(100_000)
			if res.Part != f.req.File+".part" || res.Bytes != 100_000 {
				t.Errorf("interrupted: %+v", res)
			}
			f.wantFiles("file.part", "file.part.json")
			var begun int64
			f.req.Begin = func(have, total int64) { begun = have }
			res, err := f.do()
			if err != nil {
				t.Fatal(err)
			}
			if res.Resumed != 100_000 || res.Bytes != int64(len(f.site.content)-100_000) || begun != 100_000 {
				t.Errorf("resumed: %+v, begun with %d", res, begun)
			}
			f.wantContent()
			f.wantFiles("file")
			if got := fmt.Sprint(f.site.ranges); got != "[ bytes=100000-]" {
				t.Errorf("ranges asked for: %s", got)
			}
		})
	}
}

func TestResumeTwice(t *testing.T) {
	f := newFixture(t)
	f.interrupt(100_000)
	f.interrupt(50_000)
	if res, err := f.do(); err != nil || res.Resumed != 150_000 {
		t.Fatalf("%+v, %v", res, err)
	}
	f.wantContent()
}

func TestChangedFileComesAnew(t *testing.T) {
	f := newFixture(t)
	f.interrupt(100_000)
	f.site.etag = `"v2"`
	f.site.content = f.site.content[1000:]
	res, err := f.do()
	if err != nil || res.Resumed != 0 {
		t.Fatalf("%+v, %v", res, err)
	}
	f.wantContent()
	f.wantFiles("file")
}

func TestOtherURLComesAnew(t *testing.T) {
	f := newFixture(t)
	f.interrupt(100_000)
	f.req.URL += "?other"
	if res, err := f.do(); err != nil || res.Resumed != 0 {
		t.Fatalf("%+v, %v", res, err)
	}
	f.wantContent()
}

func TestFreshComesAnew(t *testing.T) {
	f := newFixture(t)
	f.interrupt(100_000)
	f.req.Fresh = true
	if res, err := f.do(); err != nil || res.Resumed != 0 {
		t.Fatalf("%+v, %v", res, err)
	}
	f.wantContent()
}

func TestWithoutValidatorNothingIsKept(t *testing.T) {
	for _, c := range []struct {
		name string
		set  func(*site)
	}{
		{"none", func(s *site) { s.etag = "" }},
		{"weak", func(s *site) { s.etag = `W/"v1"` }},
		{"changed just now", func(s *site) { s.etag, s.date = "", time.Now().Add(time.Hour) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFixture(t)
			c.set(f.site)
			if res := f.interrupt(100_000); res.Part != "" {
				t.Errorf("a part is said to be kept: %+v", res)
			}
			f.wantFiles()
		})
	}
}

func TestCompletePartNeedsOnlyItsName(t *testing.T) {
	f := newFixture(t)
	f.interrupt(100_000)
	if err := os.WriteFile(f.req.File+".part", f.site.content, 0o644); err != nil {
		t.Fatal(err)
	}
	res, err := f.do()
	if err != nil || res.Bytes != 0 || res.Resumed != int64(len(f.site.content)) {
		t.Fatalf("%+v, %v", res, err)
	}
	f.wantContent()
	f.wantFiles("file")
}

func TestOversizedPartComesAnew(t *testing.T) {
	f := newFixture(t)
	f.interrupt(100_000)
	if err := os.WriteFile(f.req.File+".part", make([]byte, len(f.site.content)+1), 0o644); err != nil {
		t.Fatal(err)
	}
	if res, err := f.do(); err != nil || res.Resumed != 0 {
		t.Fatalf("%+v, %v", res, err)
	}
	f.wantContent()
}

func TestWrongRangeComesAnew(t *testing.T) {
	f := newFixture(t)
	f.interrupt(100_000)
	f.site.handler = func(w http.ResponseWriter, r *http.Request) {
		f.site.handler = nil
		w.Header().Set("Content-Range", fmt.Sprintf("bytes 0-9/%d", len(f.site.content)))
		w.WriteHeader(http.StatusPartialContent)
		_, _ = w.Write(f.site.content[:10])
	}
	if res, err := f.do(); err != nil || res.Resumed != 0 {
		t.Fatalf("%+v, %v", res, err)
	}
	f.wantContent()
}

func TestDamagedNoteComesAnew(t *testing.T) {
	f := newFixture(t)
	f.interrupt(100_000)
	if err := os.WriteFile(f.req.File+".part.json", []byte("{"), 0o644); err != nil {
		t.Fatal(err)
	}
	if res, err := f.do(); err != nil || res.Resumed != 0 {
		t.Fatalf("%+v, %v", res, err)
	}
	f.wantContent()
}

func TestErrorStatusTouchesNothing(t *testing.T) {
	f := newFixture(t)
	if err := os.WriteFile(f.req.File, []byte("old"), 0o644); err != nil {
		t.Fatal(err)
	}
	f.site.handler = http.NotFound
	_, err := f.do()
	var status *StatusError
	if !errors.As(err, &status) || err.Error() != "the server answered 404 Not Found" {
		t.Errorf("got error %v", err)
	}
	f.wantFiles("file")
	if got, _ := os.ReadFile(f.req.File); string(got) != "old" {
		t.Errorf("the old file is now %q", got)
	}
}

func TestErrorStatusKeepsThePart(t *testing.T) {
	f := newFixture(t)
	f.interrupt(100_000)
	f.site.handler = func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) }
	if _, err := f.do(); err == nil {
		t.Fatal("no error")
	}
	f.site.handler = nil
	if res, err := f.do(); err != nil || res.Resumed != 100_000 {
		t.Fatalf("%+v, %v", res, err)
	}
	f.wantContent()
}

func TestTwoWritersDoNotMix(t *testing.T) {
	f := newFixture(t)
	p, err := openPart(f.req.File, f.req.URL)
	if err != nil {
		t.Fatal(err)
	}
	if !renamesOpenFiles {
		t.Skip("this system's files are not locked")
	}
	_, err = f.do()
	if err == nil || !strings.Contains(err.Error(), "another program is writing it") {
		t.Errorf("got error %v", err)
	}
	if err := p.close(false); err != nil {
		t.Fatal(err)
	}
	if _, err := f.do(); err != nil {
		t.Fatal(err)
	}
	f.wantContent()
}

func TestCancelKeepsThePart(t *testing.T) {
	f := newFixture(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	f.site.handler = func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", `"v1"`)
		w.Header().Set("Content-Length", fmt.Sprint(len(f.site.content)))
		_, _ = w.Write(f.site.content[:1000])
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	}
	f.req.Progress = func(int) { cancel() }
	res, err := f.req.Do(ctx)
	if !errors.Is(err, context.Canceled) || res.Part == "" {
		t.Fatalf("%+v, %v", res, err)
	}
	f.wantFiles("file.part", "file.part.json")
}

func TestLongName(t *testing.T) {
	f := newFixture(t)
	f.req.File = filepath.Join(filepath.Dir(f.req.File), strings.Repeat("n", 255))
	if res := f.interrupt(100_000); !strings.HasSuffix(res.Part, ".part") {
		t.Errorf("interrupted: %+v", res)
	}
	if res, err := f.do(); err != nil || res.Resumed != 100_000 {
		t.Fatalf("%+v, %v", res, err)
	}
	f.wantContent()
	f.wantFiles(strings.Repeat("n", 255))
}

func TestUnwritableTarget(t *testing.T) {
	f := newFixture(t)
	f.req.File = filepath.Join(f.req.File, "missing", "file")
	_, err := f.do()
	var file *FileError
	if !errors.As(err, &file) || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got error %v", err)
	}
}

func TestTo(t *testing.T) {
	f := newFixture(t)
	var b bytes.Buffer
	res, err := To(t.Context(), &b, &f.req)
	if err != nil || !bytes.Equal(b.Bytes(), f.site.content) || res.Bytes != int64(b.Len()) {
		t.Errorf("%+v, %v", res, err)
	}
	r, w := io.Pipe()
	r.Close()
	_, err = To(t.Context(), w, &f.req)
	var file *FileError
	if !errors.As(err, &file) {
		t.Errorf("a broken output: got error %v", err)
	}
	f.site.cut = 10
	_, err = To(t.Context(), io.Discard, &f.req)
	var length *LengthError
	if !errors.As(err, &length) {
		t.Errorf("a broken input: got error %v", err)
	}
}

func TestContentRange(t *testing.T) {
	for s, want := range map[string]string{
		"bytes 0-9/10": "0 10 true", "bytes 5-9/*": "5 -1 true", "bytes */10": "-1 10 true",
		"": "-1 -1 false", "bytes": "-1 -1 false", "bytes 0-9": "-1 -1 false", "bytes 9-5/10": "-1 -1 false", "bytes 0-10/10": "-1 -1 false",
		"bytes -1-5/10": "-1 -1 false", "bytes */*": "-1 -1 false", "items 0-9/10": "-1 -1 false", "bytes a-b/c": "-1 -1 false",
	} {
		first, total, ok := parseContentRange(s)
		if got := fmt.Sprint(first, total, ok); got != want {
			t.Errorf("%q: got %s, want %s", s, got, want)
		}
	}
}

func FuzzContentRange(f *testing.F) {
	f.Add("bytes 0-9/10")
	f.Add("bytes */10")
	f.Fuzz(func(t *testing.T, s string) {
		first, total, ok := parseContentRange(s)
		if ok && (first < -1 || total < -1 || first < 0 && total < 0 || total >= 0 && first >= total && first > 0) {
			t.Errorf("%q: %d of %d", s, first, total)
		}
	})
}
