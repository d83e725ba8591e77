package plugins

import (
	"github.com/pquic-go/pquic/core"
	"github.com/pquic-go/pquic/vm"
)

var objectFunctions = []Function{
	{
		Name: "pq_path_at", Group: "objects", C: "struct pq_path *pq_path_at(u64 i)", Effect: vm.Pure, params: []vm.Param{scalar}, result: gives(kindPath), cost: 4,
		Doc: "The i-th open path, counted from 0, or NULL.",
		run: func(h *frame, a *[5]uint64) (uint64, error) {
			paths := h.conn().Paths()
			if a[0] >= uint64(len(paths)) {
				return 0, nil
			}
			return handle(h, kindPath, paths[a[0]])
		},
	},
	{
		Name: "pq_path_by_id", Group: "objects", C: "struct pq_path *pq_path_by_id(u64 id)", Effect: vm.Pure, params: []vm.Param{scalar}, result: gives(kindPath), cost: 4,
		Doc: "The open path of that ID, or NULL.",
		run: func(h *frame, a *[5]uint64) (uint64, error) { return handle(h, kindPath, h.conn().Path(a[0])) },
	},
	{
		Name: "pq_space", Group: "objects", C: "struct pq_space *pq_space(struct pq_path *path, u64 space)", Effect: vm.Pure, params: []vm.Param{orNull(kindPath), scalar}, result: gives(kindSpace), cost: 4,
		Doc: "A packet number space: 0 Initial, 1 Handshake, 2 Application Data of the path, which only that one needs. Its fields are also those of the path whose names begin with space_.",
		run: func(h *frame, a *[5]uint64) (uint64, error) {
			return handle(h, kindSpace, h.conn().SpaceViewOf(object[core.Path](h, a[0]), a[1]))
		},
	},
	{
		Name: "pq_sent_packet", Group: "objects", C: "struct pq_packet *pq_sent_packet(struct pq_path *path, u64 number)", Effect: vm.Pure, params: []vm.Param{of(kindPath), scalar}, result: gives(kindPacket), cost: 4,
		Doc: "A packet sent on the path that is still remembered, or NULL.",
		run: func(h *frame, a *[5]uint64) (uint64, error) {
			return handle(h, kindPacket, object[core.Path](h, a[0]).SentPacket(a[1]))
		},
	},
	{
		Name: "pq_path_data", Group: "objects", C: "void *pq_path_data(struct pq_path *path, u64 size)", Effect: vm.OwnHeap, params: []vm.Param{of(kindPath), scalar}, result: address, cost: 8,
		Doc: "The plugin's own memory for a path: size bytes, zeros when first asked for, freed when the path closes. NULL if the heap is full. Always ask for the same size.",
		run: func(h *frame, a *[5]uint64) (uint64, error) {
			return h.in.dataOf(&h.in.pathData, object[core.Path](h, a[0]).ID, a[1])
		},
	},
	{
		Name: "pq_stream_data", Group: "objects", C: "void *pq_stream_data(struct pq_stream *stream, u64 size)", Effect: vm.OwnHeap, params: []vm.Param{of(kindStream), scalar}, result: address, cost: 8,
		Doc: "The plugin's own memory for a stream: size bytes, zeros when first asked for, freed when the stream closes. NULL if the heap is full. Always ask for the same size.",
		run: func(h *frame, a *[5]uint64) (uint64, error) {
			return h.in.dataOf(&h.in.streamData, object[core.Stream](h, a[0]).ID, a[1])
		},
	},
}

// dataOf returns the plugin's memory for the object of that ID.
func (in *Instance) dataOf(m *map[uint64]uint32, id, size uint64) (uint64, error) {
	if addr, ok := (*m)[id]; ok {
		return uint64(addr), nil
	}
	addr := in.alloc(size)
	if addr == 0 {
		return 0, nil
	}
	if *m == nil {
		*m = make(map[uint64]uint32)
	}
	(*m)[id] = addr
	return uint64(addr), nil
}

// forget frees the plugin's memory for an object that is no more.
func (in *Instance) forget(m map[uint64]uint32, id uint64) {
	if addr, ok := m[id]; ok {
		delete(m, id)
		_ = in.heap.free(uint64(addr)) // fails if the plugin has freed it itself
	}
}
