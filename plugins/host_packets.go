package plugins

import (
	"github.com/pquic-go/pquic/core"
	"github.com/pquic-go/pquic/core/wire"
	"github.com/pquic-go/pquic/vm"
)

var packetFunctions = []Function{
	{
		Name: "pq_received_payload", Group: "packets", C: "u64 pq_received_payload(struct pq_received_packet *packet, u64 offset, void *to, u64 size)", Effect: vm.OwnHeap,
		params: []vm.Param{of(kindReceived), scalar, memWrite, lengthTo(1 << 16)}, result: value, cost: 16,
		Doc: "Copies the frames of the packet being processed, from offset on; returns how many bytes there were, at most size.",
		run: func(h *frame, a *[5]uint64) (uint64, error) {
			return h.copyOut(object[core.ReceivedPacket](h, a[0]).Payload, a)
		},
	},
	{
		Name: "pq_builder_payload", Group: "packets", C: "u64 pq_builder_payload(struct pq_builder *builder, u64 offset, void *to, u64 size)", Effect: vm.OwnHeap,
		params: []vm.Param{of(kindBuilder), scalar, memWrite, lengthTo(1 << 16)}, result: value, cost: 16,
		Doc: "Copies the frames written so far into the packet being built, from offset on; returns how many bytes there were, at most size.",
		run: func(h *frame, a *[5]uint64) (uint64, error) {
			return h.copyOut(object[core.PacketBuilder](h, a[0]).Payload(), a)
		},
	},
	{
		Name: "pq_hold_room", Group: "packets", C: "i64 pq_hold_room(struct pq_builder *builder, u64 size)", Effect: vm.Mutate, params: []vm.Param{of(kindBuilder), {Type: vm.ScalarParam, Max: 1 << 16}}, result: value, cost: 8,
		Doc: "Holds bytes of the packet being built back, from the engine's own frames and from other plugins, until payload_built; pq_append_frame takes from them. 0, or -1 if fewer are left or the plugins would hold more than half of the packet.",
		run: func(h *frame, a *[5]uint64) (uint64, error) {
			return result(object[core.PacketBuilder](h, a[0]).Reserve(int(a[1])))
		},
	},
	{
		Name: "pq_inject_payload", Group: "packets", C: "void pq_inject_payload(struct pq_path *path, u64 number, const void *payload, u64 size)", Effect: vm.Mutate,
		params: []vm.Param{of(kindPath), {Type: vm.ScalarParam, Max: wire.MaxVarint}, memRead, lengthTo(1 << 16)}, result: nothing, cost: 64,
		Doc: "Processes the frames of a packet that never arrived and that the plugin has recovered, once the current packet is done. It is not acknowledged.",
		run: func(h *frame, a *[5]uint64) (uint64, error) {
			b, err := h.bytes(a[2], a[3])
			if err != nil {
				return 0, err
			}
			h.conn().InjectPayload(object[core.Path](h, a[0]), a[1], append([]byte(nil), b...))
			return 0, nil
		},
	},
	{
		Name: "pq_mark_recovered", Group: "packets", C: "u64 pq_mark_recovered(struct pq_path *path, u64 number)", Effect: vm.Mutate, mayFree: true,
		params: []vm.Param{of(kindPath), scalar}, result: truth, cost: 64,
		Doc: "Tells that the peer has recovered a packet by other means: nothing of it is retransmitted, its loss stays a signal of congestion. 1, or 0 if the packet was acknowledged or is forgotten.",
		run: func(h *frame, a *[5]uint64) (uint64, error) {
			return truthOf(h.conn().MarkRecovered(object[core.Path](h, a[0]), a[1])), nil
		},
	},
}

// copyOut copies from offset a[1] of b to the pluglet's memory at a[2], at most
// a[3] bytes.
func (h *frame) copyOut(b []byte, a *[5]uint64) (uint64, error) {
	to, err := h.writable(a[2], a[3])
	if err != nil || a[1] >= uint64(len(b)) {
		return 0, err
	}
	return uint64(copy(to, b[a[1]:])), nil
}
