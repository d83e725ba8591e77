//go:build ubpf && linux

package ubpf

// #include <stdint.h>
import "C"

import "runtime/cgo"

//export pqUbpfLeave
func pqUbpfLeave(handle C.uintptr_t, inst C.uint64_t) C.uint64_t {
	if cgo.Handle(handle).Value().(func(int) bool)(int(inst)) {
		return 1
	}
	return 0
}
