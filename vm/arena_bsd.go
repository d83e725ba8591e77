//go:build unix && !linux

package vm

// mapNoReserve: these systems reserve nothing for private mappings.
const mapNoReserve = 0

func adviseSlab([]byte) {}

// cleanArena cannot rely on MADV_DONTNEED to zero pages here: the caller clears them.
func cleanArena([]byte) bool { return false }
