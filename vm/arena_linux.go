package vm

import "golang.org/x/sys/unix"

// mapNoReserve keeps address space from counting as memory in use.
const mapNoReserve = unix.MAP_NORESERVE

// adviseSlab keeps the kernel from backing a touched page with a huge one, which would cost 2 MiB for each arena.
// It is no matter if the kernel knows no huge pages.
func adviseSlab(b []byte) { _ = unix.Madvise(b, unix.MADV_NOHUGEPAGE) }

// cleanArena gives the arena's pages back: the next access finds zeros. Its cost grows with what was touched only.
func cleanArena(b []byte) bool { return unix.Madvise(b, unix.MADV_DONTNEED) == nil }
