// Package qlogdir writes the qlog of every connection to a file of its own.
package qlogdir

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/pquic-go/pquic/core/mono"
	"github.com/pquic-go/pquic/core/qlog"
	"github.com/pquic-go/pquic/core/wire"
)

// A Dir is a directory of traces.
type Dir struct {
	path    string
	title   string
	dialect qlog.Dialect
	onError func(error)

	mu   sync.Mutex
	open map[*file]struct{}
}

// New makes sure that traces can be written to a directory, which it creates if
// need be. qvis asks for the names of events that the diagrams of qvis read;
// otherwise they are those of the drafts. onError is told of traces that could not be written; it must not
// block.
func New(path, title string, qvis bool, onError func(error)) (*Dir, error) {
	if err := os.MkdirAll(path, 0o755); err != nil {
		return nil, fmt.Errorf("qlog directory: %w", err)
	}
	// A trial file tells now what would otherwise be told at the first connection.
	trial, err := os.CreateTemp(path, ".trial")
	if err != nil {
		return nil, fmt.Errorf("qlog directory: %w", err)
	}
	_ = trial.Close()
	if err := os.Remove(trial.Name()); err != nil {
		return nil, fmt.Errorf("qlog directory: %w", err)
	}
	d := &Dir{path: path, title: title, onError: onError, open: make(map[*file]struct{})}
	if qvis {
		d.dialect = qlog.Qvis
	}
	return d, nil
}

// Trace begins the trace of a connection, in the file
// ODCID_server.sqlog or ODCID_client.sqlog. It is a core.Config.Qlog. If the
// file cannot be created it returns nil.
func (d *Dir) Trace(odcid wire.ConnID, server bool) *qlog.Trace {
	side := "client"
	if server {
		side = "server"
	}
	f, err := os.OpenFile(filepath.Join(d.path, odcid.String()+"_"+side+".sqlog"), os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o644)
	if err != nil {
		d.onError(fmt.Errorf("qlog: %w", err))
		return nil
	}
	w := &file{dir: d, f: f, w: bufio.NewWriterSize(f, 64<<10)}
	d.mu.Lock()
	d.open[w] = struct{}{}
	d.mu.Unlock()
	return qlog.New(w, qlog.Info{
		ODCID: odcid, Server: server, Start: mono.FromTime(time.Now()), Title: d.title, Name: d.title, Dialect: d.dialect,
	})
}

// Close writes out and closes what is still open, for a process that is about
// to end.
func (d *Dir) Close() {
	if d == nil {
		return
	}
	d.mu.Lock()
	var all []*file
	for f := range d.open {
		all = append(all, f)
	}
	d.mu.Unlock()
	for _, f := range all {
		_ = f.Close() // it reports errors itself
	}
}

// A file is one trace's writer.
type file struct {
	dir *Dir

	mu     sync.Mutex
	f      *os.File
	w      *bufio.Writer
	closed bool
	failed bool
}

func (f *file) Write(b []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return 0, os.ErrClosed
	}
	n, err := f.w.Write(b)
	f.report(err)
	return n, err
}

// Close writes out what is buffered.
func (f *file) Close() error {
	f.dir.mu.Lock()
	delete(f.dir.open, f)
	f.dir.mu.Unlock()
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return nil
	}
	f.closed = true
	err := f.w.Flush()
	if cerr := f.f.Close(); err == nil {
		err = cerr
	}
	f.report(err)
	return err
}

func (f *file) report(err error) {
	if err != nil && !f.failed {
		f.failed = true
		f.dir.onError(fmt.Errorf("qlog: %w", err))
	}
}
