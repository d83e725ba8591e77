package plugins

import (
	"encoding/binary"
	"errors"

	"github.com/pquic-go/pquic/core"
	"github.com/pquic-go/pquic/protoops"
	"github.com/pquic-go/pquic/vm"
)

var operationFunctions = []Function{
	{
		Name: "pq_run", Group: "operations", C: "i64 pq_run(const char *name, const u64 *args, u64 size, u64 *results, u64 results_size)", Effect: vm.OwnHeap, mayFree: true,
		params: []vm.Param{textParam, memRead, lengthTo(8 * callWords), memWrite, lengthTo(8 * callWords)}, result: value, cost: 128,
		Doc: "Runs an operation that a plugin declared, with up to 8 words as arguments, and copies its results. Returns how many results it gave, or -1 if nobody declares it or it failed. Run by a pluglet that only observes, it may only observe too.",
		run: func(h *frame, a *[5]uint64) (uint64, error) {
			name, err := h.m.CString(a[0], textParam.MaxLen)
			if err != nil {
				return 0, err
			}
			raw, err := h.bytes(a[1], a[2])
			if err != nil {
				return 0, err
			}
			out, err := h.writable(a[3], a[4])
			if err != nil {
				return 0, err
			}
			in := protoops.Input{Words: make([]uint64, len(raw)/8), Handles: h.objects()}
			for i := range in.Words {
				in.Words[i] = binary.LittleEndian.Uint64(raw[8*i:])
			}
			results, err := protoops.RunDeclaredWith(h.conn().Operations(), h.conn(), protoops.Plain(string(name)), in)
			if errors.Is(err, protoops.ErrLoop) {
				return 0, err
			}
			if err != nil {
				return refused, nil
			}
			for i := range min(len(results), len(out)/8) {
				binary.LittleEndian.PutUint64(out[8*i:], results[i])
			}
			return uint64(len(results)), nil
		},
	},
}

// objects are the objects that the running pluglet was given: an operation it
// runs gets them too.
func (h *frame) objects() []any {
	var list []any
	for _, v := range h.p.handles {
		p := h.m.View(uint64(v.slot))
		if p == nil {
			continue
		}
		switch v.kind {
		case kindPath:
			list = append(list, (*core.Path)(p))
		case kindStream:
			list = append(list, (*core.Stream)(p))
		case kindPacket:
			list = append(list, (*core.SentPacket)(p))
		case kindReceived:
			list = append(list, (*core.ReceivedPacket)(p))
		case kindBuilder:
			list = append(list, (*core.PacketBuilder)(p))
		}
	}
	return list
}
