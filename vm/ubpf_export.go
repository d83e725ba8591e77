//go:build ubpf && linux

package vm

// #include <stdint.h>
import "C"

import "runtime/cgo"

//export pqUbpfLeave
func pqUbpfLeave(handle C.uintptr_t, inst C.uint64_t) C.uint64_t {
	call := cgo.Handle(handle).Value().(*ubpfCall)
	if call.leave(int(inst)) {
		return 1
	}
	return 0
}
