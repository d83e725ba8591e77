package admin

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
)

// A socket is a listening unix socket in the file system.
type socket struct {
	*net.UnixListener
	path string
	info fs.FileInfo // which file is ours
}

// Addresses of sockets have room for paths of about this length, everywhere; the
// folder that a socket is bound in adds to its own.
const (
	maxPath   = 100
	maxFolder = 80
)

// listenUnix opens a unix socket that only this user may connect to. It replaces
// one that nobody listens on, and refuses everything else that is there.
func listenUnix(path string) (*socket, error) {
	if runtime.GOOS == "windows" {
		return nil, errors.New("needs a system on which permissions protect a unix socket")
	}
	if len(filepath.Dir(path)) > maxFolder || len(path) > maxPath {
		return nil, fmt.Errorf("is too long for a socket: want at most %d bytes, %d of them for the folder", maxPath, maxFolder)
	}
	if err := makeWay(path); err != nil {
		return nil, err
	}
	// A socket gets its permissions when it is bound, by a mask that the whole
	// process shares. So it is bound in a folder that nobody else may enter, and
	// moved once it has its own. Moving replaces a stale one in one step.
	private, err := os.MkdirTemp(filepath.Dir(path), ".admin")
	if err != nil {
		return nil, pathError(err)
	}
	defer os.RemoveAll(private)
	bound := filepath.Join(private, "s")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: bound, Net: "unix"})
	if err != nil {
		return nil, pathError(err)
	}
	l.SetUnlinkOnClose(false) // it will be elsewhere
	s := &socket{UnixListener: l, path: path}
	if err = os.Chmod(bound, 0o600); err == nil {
		if s.info, err = os.Lstat(bound); err == nil {
			err = os.Rename(bound, path)
		}
	}
	if err != nil {
		_ = l.Close()
		return nil, pathError(err)
	}
	return s, nil
}

// makeWay reports whether a socket may be put at path.
func makeWay(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return pathError(err)
	}
	if info.Mode().Type() != fs.ModeSocket {
		return errors.New("is there already and no socket: want a path that is free")
	}
	c, err := net.Dial("unix", path)
	switch {
	case err == nil:
		_ = c.Close()
		return errors.New("another program listens there: want a path of its own for each")
	case errors.Is(err, syscall.ECONNREFUSED): // whoever made it has ended
		return nil
	}
	return pathError(err)
}

// pathError leaves out what of an error names files the user does not know of.
func pathError(err error) error {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return errno
	}
	return err
}

// Close removes the socket, unless somebody has put something else in its
// place, and stops listening.
func (s *socket) Close() error {
	var err error
	// As long as the socket is open no other file can have its number.
	if info, e := os.Lstat(s.path); e == nil && os.SameFile(info, s.info) {
		err = os.Remove(s.path)
	}
	return errors.Join(err, s.UnixListener.Close())
}
