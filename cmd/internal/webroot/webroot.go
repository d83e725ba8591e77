// Package webroot serves the files of a folder and nothing else.
package webroot

import (
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path"
	"strings"
)

// A Root is a folder being served.
type Root struct {
	root  *os.Root
	files http.Handler
}

// Open opens a folder.
func Open(dir string) (*Root, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	return &Root{root, http.FileServerFS(root.FS())}, nil
}

// Close closes the folder; later requests fail.
func (r *Root) Close() error { return r.root.Close() }

// ServeHTTP answers GET and HEAD with a file, a part of it, or a listing of a
// directory that has no index.html.
func (r *Root) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	if req.Method != http.MethodGet && req.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "this server only has files: use GET or HEAD", http.StatusMethodNotAllowed)
		return
	}
	if info, err := r.stat(req.URL.Path); err == nil && info.Mode().IsRegular() {
		w.Header().Set("ETag", etag(info))
	}
	r.files.ServeHTTP(w, req)
}

// stat looks at the file a path of a URL names.
func (r *Root) stat(urlPath string) (fs.FileInfo, error) {
	name := strings.TrimPrefix(path.Clean("/"+urlPath), "/")
	if name == "" || strings.HasSuffix(urlPath, "/") {
		name = path.Join(name, "index.html")
	}
	return r.root.Stat(name)
}

// etag tells one version of a file from another as well as its modification
// time does, so that downloads can be resumed.
// https://www.rfc-editor.org/rfc/rfc9110#section-8.8.3
func etag(info fs.FileInfo) string {
	return fmt.Sprintf(`"%x-%x"`, info.ModTime().UnixNano(), info.Size())
}

// FS returns the folder for HTTP/0.9. opened, if not nil, is told of every
// attempt to open a file.
func (r *Root) FS(opened func(name string, err error)) fs.FS {
	if opened == nil {
		return r.root.FS()
	}
	return watchedFS{r.root.FS(), opened}
}

// A watchedFS tells what is opened.
type watchedFS struct {
	fs.FS
	opened func(name string, err error)
}

func (w watchedFS) Open(name string) (fs.File, error) {
	f, err := w.FS.Open(name)
	w.opened(name, err)
	return f, err
}
