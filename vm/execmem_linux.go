//go:build linux && (amd64 || arm64) && !nojit

package vm

import (
	"fmt"
	"runtime"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

// An execMemory is a mapping that holds machine code. It is never writable and
// executable at the same time: code is written while the pages are readable
// and writable only, then they become readable and executable for good.
type execMemory struct {
	pages   []byte
	cleanup runtime.Cleanup
}

// newExecMemory maps a copy of code. The error is that of the system, which may
// forbid executable pages (SELinux execmem, seccomp, a hardened kernel).
func newExecMemory(code []byte) (*execMemory, error) {
	page := unix.Getpagesize()
	size := (len(code) + page - 1) &^ (page - 1)
	pages, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		return nil, fmt.Errorf("vm: mapping %d bytes for code: %w", size, err)
	}
	copy(pages, code)
	fillTraps(pages[len(code):])
	if err := unix.Mprotect(pages, unix.PROT_READ|unix.PROT_EXEC); err != nil {
		_ = unix.Munmap(pages)
		return nil, fmt.Errorf("vm: making code executable: %w", err)
	}
	syncInstructionCache(unsafe.Pointer(&pages[0]), uintptr(len(code)))
	m := &execMemory{pages: pages}
	// Whoever forgets to release a module leaks no mapping.
	m.cleanup = runtime.AddCleanup(m, func(pages []byte) { _ = unix.Munmap(pages) }, pages)
	return m, nil
}

// base returns the address of the first instruction.
func (m *execMemory) base() uintptr { return uintptr(unsafe.Pointer(&m.pages[0])) }

// free unmaps the code, which nothing may be running or enter later.
func (m *execMemory) free() {
	if m.pages == nil {
		return
	}
	m.cleanup.Stop()
	_ = unix.Munmap(m.pages)
	m.pages = nil
}

// jitAvailable returns nil if this process may map executable pages, else why
// not. The answer is found once.
var jitAvailable = sync.OnceValue(func() error {
	m, err := newExecMemory(make([]byte, 16))
	if err != nil {
		return err
	}
	m.free()
	return nil
})
