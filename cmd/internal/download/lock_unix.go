//go:build unix

package download

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

const renamesOpenFiles = true

// lock keeps other processes from writing the same part, until the file is
// closed; it reports whether it could. A file system without locks is trusted.
func lock(f *os.File) bool {
	err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	return !errors.Is(err, unix.EWOULDBLOCK)
}
