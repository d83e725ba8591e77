package plugins

import (
	"bytes"

	"github.com/pquic-go/pquic/vm"
)

var memoryFunctions = []Function{
	{
		Name: "pq_malloc", Group: "memory", C: "void *pq_malloc(u64 size)", Effect: vm.OwnHeap, params: []vm.Param{scalar}, result: address, cost: 16,
		Doc: "A piece of the plugin's heap, filled with zeros, aligned to 16 bytes; NULL if there is none. The heap is the connection's own and as large as PQ_HEAP says.",
		run: func(h *frame, a *[5]uint64) (uint64, error) {
			if err := h.m.Charge(min(a[0], maxHeap) / 8); err != nil {
				return 0, err
			}
			return uint64(h.in.alloc(a[0])), nil
		},
	},
	{
		Name: "pq_free", Group: "memory", C: "void pq_free(void *p)", Effect: vm.OwnHeap, params: []vm.Param{scalar}, result: nothing, cost: 16,
		Doc: "Gives a piece of the heap back. NULL is allowed; anything else that pq_malloc did not return is a fault.",
		run: func(h *frame, a *[5]uint64) (uint64, error) { return 0, h.in.free(a[0]) },
	},
	{
		Name: "pq_memcpy", Group: "memory", C: "void pq_memcpy(void *to, const void *from, u64 n)", Effect: vm.OwnHeap, params: []vm.Param{scalar, scalar, scalar}, result: nothing,
		Doc: "Copies n bytes; the two pieces may overlap.",
		run: func(h *frame, a *[5]uint64) (uint64, error) {
			to, err := h.writable(a[0], a[2])
			if err != nil {
				return 0, err
			}
			from, err := h.bytes(a[1], a[2])
			if err != nil {
				return 0, err
			}
			copy(to, from)
			return 0, h.m.Charge(a[2] / 8)
		},
	},
	{
		Name: "pq_memset", Group: "memory", C: "void pq_memset(void *to, u64 byte, u64 n)", Effect: vm.OwnHeap, params: []vm.Param{scalar, scalar, scalar}, result: nothing,
		Doc: "Fills n bytes with one value.",
		run: func(h *frame, a *[5]uint64) (uint64, error) {
			to, err := h.writable(a[0], a[2])
			if err != nil {
				return 0, err
			}
			for i := range to {
				to[i] = byte(a[1])
			}
			return 0, h.m.Charge(a[2] / 8)
		},
	},
	{
		Name: "pq_memcmp", Group: "memory", C: "i64 pq_memcmp(const void *a, const void *b, u64 n)", Effect: vm.Pure, params: []vm.Param{scalar, scalar, scalar}, result: value,
		Doc: "Compares n bytes: -1, 0 or 1.",
		run: func(h *frame, a *[5]uint64) (uint64, error) {
			x, err := h.bytes(a[0], a[2])
			if err != nil {
				return 0, err
			}
			y, err := h.bytes(a[1], a[2])
			if err != nil {
				return 0, err
			}
			return uint64(int64(bytes.Compare(x, y))), h.m.Charge(a[2] / 8)
		},
	},
}
