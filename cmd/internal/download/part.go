package download

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// A part is a file on its way.
type part struct {
	final, name, metaName string
	url                   string
	f                     *os.File
	size                  int64 // bytes in it, all of them of use
	meta                  meta
}

// meta tells which version of which file a part belongs to.
type meta struct {
	URL          string `json:"url"`
	ETag         string `json:"etag,omitempty"`
	LastModified string `json:"last_modified,omitempty"`
	Size         int64  `json:"size"` // of the whole file, -1 if unknown
}

// validator is what If-Range takes.
func (m *meta) validator() string {
	if m.ETag != "" {
		return m.ETag
	}
	return m.LastModified
}

// metaOf returns what a response tells about its version.
func metaOf(url string, resp *http.Response, size int64) meta {
	m := meta{URL: url, Size: size}
	// "A client MUST NOT generate an If-Range header field containing an entity tag
	// that is marked as weak."
	// https://www.rfc-editor.org/rfc/rfc9110#section-13.1.5
	if e := resp.Header.Get("ETag"); strings.HasPrefix(e, `"`) {
		m.ETag = e
	}
	m.LastModified = strongDate(resp)
	return m
}

// strongDate returns the modification time if it identifies a version: if the
// file had not changed for a second when the response was made.
// https://www.rfc-editor.org/rfc/rfc9110#section-8.8.2.2
func strongDate(resp *http.Response) string {
	text := resp.Header.Get("Last-Modified")
	modified, err1 := http.ParseTime(text)
	date, err2 := http.ParseTime(resp.Header.Get("Date"))
	if err1 != nil || err2 != nil || date.Sub(modified) < time.Second {
		return ""
	}
	return text
}

// maxName is the longest name of a file on most systems, in bytes.
const maxName = 255

// partName is the name of a file's part: the file's own and ".part". One too
// long for that is cut and told from others by a hash.
func partName(final string) string {
	dir, name := filepath.Split(final)
	if len(name)+len(".part.json") > maxName {
		sum := sha256.Sum256([]byte(name))
		name = name[:200] + "~" + hex.EncodeToString(sum[:8])
	}
	return dir + name + ".part"
}

// openPart opens or creates the part of a file. A part of another URL, or one
// that nothing is known about, is emptied.
func openPart(final, url string) (*part, error) {
	name := partName(final)
	p := &part{final: final, name: name, metaName: name + ".json", url: url}
	var err error
	if p.f, err = os.OpenFile(p.name, os.O_RDWR|os.O_CREATE, 0o644); err != nil {
		return nil, err
	}
	if !lock(p.f) || !p.isThere() {
		return nil, errors.Join(fmt.Errorf("%s: another program is writing it: wait for it, or choose another --output", p.name), p.f.Close())
	}
	if p.size, err = p.f.Seek(0, io.SeekEnd); err != nil {
		return nil, errors.Join(err, p.f.Close())
	}
	if err := p.readMeta(); err != nil {
		return nil, errors.Join(err, p.f.Close())
	}
	if p.size > 0 && (p.meta.URL != url || p.meta.validator() == "") {
		if err := p.restart(); err != nil {
			return nil, errors.Join(err, p.f.Close())
		}
	}
	return p, nil
}

// isThere reports whether the open file still has the part's name.
func (p *part) isThere() bool {
	open, err1 := p.f.Stat()
	named, err2 := os.Stat(p.name)
	return err1 == nil && err2 == nil && os.SameFile(open, named)
}

func (p *part) readMeta() error {
	data, err := os.ReadFile(p.metaName)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if json.Unmarshal(data, &p.meta) != nil {
		p.meta = meta{} // a damaged note is none
	}
	return nil
}

// restart empties the part.
func (p *part) restart() error {
	p.size, p.meta = 0, meta{}
	if err := removeIfThere(p.metaName); err != nil {
		return err
	}
	if err := p.f.Truncate(0); err != nil {
		return err
	}
	_, err := p.f.Seek(0, io.SeekStart)
	return err
}

// errComplete tells that the part is the whole file already.
var errComplete = errors.New("nothing is missing")

// begin looks at the response's head, prepares the part for the body, and
// returns the length of the whole file, -1 if unknown.
func (p *part) begin(resp *http.Response) (int64, error) {
	switch resp.StatusCode {
	case http.StatusOK:
		if p.size > 0 {
			if err := p.restart(); err != nil {
				return 0, fileError(err)
			}
		}
		return resp.ContentLength, p.note(resp, resp.ContentLength)
	case http.StatusPartialContent:
		first, total, ok := parseContentRange(resp.Header.Get("Content-Range"))
		if p.size == 0 || !ok || first != p.size || p.meta.Size >= 0 && total >= 0 && total != p.meta.Size {
			return 0, stale(p, resp)
		}
		return total, nil
	case http.StatusRequestedRangeNotSatisfiable:
		if _, total, ok := parseContentRange(resp.Header.Get("Content-Range")); ok && p.size > 0 && total == p.size && p.meta.Size == total {
			return total, errComplete
		}
		return 0, stale(p, resp)
	}
	return 0, &StatusError{resp}
}

// stale asks for another attempt from the beginning, unless this was one.
func stale(p *part, resp *http.Response) error {
	if p.size > 0 {
		return errStale
	}
	return &StatusError{resp}
}

// note writes down which version is coming, if the server lets a download go
// on later.
func (p *part) note(resp *http.Response, size int64) error {
	p.meta = metaOf(p.url, resp, size)
	if p.meta.validator() == "" || resp.Header.Get("Accept-Ranges") == "none" {
		p.meta = meta{}
		return nil
	}
	data, err := json.Marshal(p.meta)
	if err != nil {
		return err
	}
	return fileError(os.WriteFile(p.metaName, append(data, '\n'), 0o644))
}

// worthKeeping reports whether the next attempt can go on from here.
func (p *part) worthKeeping() bool { return p.size > 0 && p.meta.validator() != "" }

// finish gives the file its name. Where possible that happens under the lock,
// lest another process take the finished file for a part.
func (p *part) finish() error {
	var err error
	if renamesOpenFiles {
		err = os.Rename(p.name, p.final)
		if cerr := p.f.Close(); err == nil && cerr != nil {
			// What was written may not be there: the name would promise too much.
			return errors.Join(cerr, os.Remove(p.final))
		}
	} else if err = p.f.Close(); err == nil {
		err = os.Rename(p.name, p.final)
	}
	if err != nil {
		return err
	}
	return removeIfThere(p.metaName)
}

// close closes the part, and removes it unless it is kept.
func (p *part) close(keep bool) error {
	err := p.f.Close()
	if keep {
		return err
	}
	return errors.Join(err, removeIfThere(p.name), removeIfThere(p.metaName))
}

func removeIfThere(name string) error {
	if err := os.Remove(name); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
