package plugins

import (
	"encoding/binary"
	"fmt"

	"github.com/pquic-go/pquic/core"
	"github.com/pquic-go/pquic/core/wire"
	"github.com/pquic-go/pquic/vm"
)

// Flags of a reservation.
const reserveRider = 1

// reservationSize is the size of struct pq_reservation, maxBlock how many of
// them one block may have.
const (
	reservationSize = 32
	maxBlock        = 32
)

var frameFunctions = []Function{
	{
		Name: "pq_reserve_frame", Group: "frames", C: "i64 pq_reserve_frame(u64 type, u64 size, u64 cookie, struct pq_path *path, u64 flags)", Effect: vm.Reserve,
		params: []vm.Param{scalar, {Type: vm.ScalarParam, Max: 1 << 16}, scalar, orNull(kindPath), {Type: vm.ScalarParam, Max: reserveRider}}, result: value, cost: 32,
		Doc: "Books room for one frame of a type the plugin owns, of at most size bytes, type included, in a coming packet: on a path, or on any if that is NULL. Its pluglet at write_frame gets the cookie. PQ_RIDER: only in a packet that is sent anyway. 0, or -1 if too many frames wait or the path is closed.",
		run: func(h *frame, a *[5]uint64) (uint64, error) {
			if err := h.owns(a[0]); err != nil {
				return 0, err
			}
			err := h.conn().ReserveFrames(core.Reservation{Type: wire.FrameType(a[0]), Size: int(a[1]), Cookie: a[2],
				Path: object[core.Path](h, a[3]), Rider: a[4]&reserveRider != 0})
			return result(err == nil)
		},
	},
	{
		Name: "pq_reserve_block", Group: "frames", C: "i64 pq_reserve_block(const struct pq_reservation *frames, u64 size, struct pq_path *path)", Effect: vm.Reserve,
		params: []vm.Param{memRead, lengthTo(maxBlock * reservationSize), orNull(kindPath)}, result: value, cost: 64,
		Doc: "Books room for up to 32 frames that have to travel in one packet, in this order. size is that of the array in bytes. 0, or -1 as pq_reserve_frame.",
		run: func(h *frame, a *[5]uint64) (uint64, error) {
			b, err := h.bytes(a[0], a[1])
			if err != nil {
				return 0, err
			}
			if len(b)%reservationSize != 0 {
				return 0, fmt.Errorf("%d bytes are no whole number of reservations", len(b))
			}
			block := make([]core.Reservation, 0, maxBlock)
			for ; len(b) > 0; b = b[reservationSize:] {
				le := binary.LittleEndian
				r := core.Reservation{Type: wire.FrameType(le.Uint64(b)), Size: int(le.Uint32(b[24:])), Cookie: le.Uint64(b[8:]),
					Path: object[core.Path](h, a[2]), Rider: le.Uint64(b[16:])&reserveRider != 0}
				if err := h.owns(uint64(r.Type)); err != nil {
					return 0, err
				}
				block = append(block, r)
			}
			return result(h.conn().ReserveFrames(block...) == nil)
		},
	},
	{
		Name: "pq_cancel_frames", Group: "frames", C: "u64 pq_cancel_frames(u64 type)", Effect: vm.Reserve, params: []vm.Param{scalar}, result: value, cost: 32,
		Doc: "Drops the frames of a type that wait, with the blocks they are part of; returns how many.",
		run: func(h *frame, a *[5]uint64) (uint64, error) {
			if err := h.owns(a[0]); err != nil {
				return 0, err
			}
			return uint64(h.conn().CancelReserved(wire.FrameType(a[0]))), nil
		},
	},
	{
		Name: "pq_book_room", Group: "frames", C: "i64 pq_book_room(u64 type, u64 size)", Effect: vm.Reserve, params: []vm.Param{scalar, {Type: vm.ScalarParam, Max: 1 << 16}}, result: value, cost: 32,
		Doc: "Books size bytes in every packet for a frame of a type the plugin owns: its pluglet at write_frame runs in each, with cookie 0, and may write nothing. 0 bytes give the booking up. 0, or -1 if too much of each packet would be booked.",
		run: func(h *frame, a *[5]uint64) (uint64, error) {
			if err := h.owns(a[0]); err != nil {
				return 0, err
			}
			return result(h.conn().BookRoom(wire.FrameType(a[0]), int(a[1])) == nil)
		},
	},
	{
		Name: "pq_append_frame", Group: "frames", C: "i64 pq_append_frame(struct pq_builder *builder, u64 type, const void *frame, u64 size, u64 cookie)", Effect: vm.Mutate,
		params: []vm.Param{of(kindBuilder), scalar, memRead, lengthTo(1 << 16), scalar}, result: value, cost: 32,
		Doc: "Writes a frame of a type the plugin owns, type included, into the packet being built. notify_frame gets the cookie. 0, or -1 if there is no room.",
		run: func(h *frame, a *[5]uint64) (uint64, error) {
			b, err := h.frameBytes(a[1], a[2], a[3])
			if err != nil {
				return 0, err
			}
			return result(object[core.PacketBuilder](h, a[0]).AppendFrame(wire.FrameType(a[1]), b, a[4]))
		},
	},
	{
		Name: "pq_append_ack", Group: "frames", C: "i64 pq_append_ack(struct pq_builder *builder, u64 type, const void *frame, u64 size, struct pq_path *path)", Effect: vm.Mutate,
		params: []vm.Param{of(kindBuilder), scalar, memRead, lengthTo(1 << 16), of(kindPath)}, result: value, cost: 32,
		Doc: "Writes an acknowledgment of what the path has received so far, in a frame of a type the plugin owns. The acknowledgment that the path owes is then settled. 0, or -1 if there is no room or nothing to acknowledge.",
		run: func(h *frame, a *[5]uint64) (uint64, error) {
			b, err := h.frameBytes(a[1], a[2], a[3])
			if err != nil {
				return 0, err
			}
			return result(object[core.PacketBuilder](h, a[0]).AppendAck(wire.FrameType(a[1]), b, object[core.Path](h, a[4])))
		},
	},
	{
		Name: "pq_builder_room", Group: "frames", C: "u64 pq_builder_room(struct pq_builder *builder)", Effect: vm.Pure, params: []vm.Param{of(kindBuilder)}, result: value, cost: 4,
		Doc: "How many bytes of frames still fit into the packet being built.",
		run: func(h *frame, a *[5]uint64) (uint64, error) {
			return uint64(max(object[core.PacketBuilder](h, a[0]).Room(), 0)), nil
		},
	},
}

// owns fails unless the plugin declared the frame type.
func (h *frame) owns(t uint64) error {
	for i := range h.in.plugin.manifest.Frames {
		if h.in.plugin.manifest.Frames[i].Type == t {
			return nil
		}
	}
	return fmt.Errorf("frame type 0x%x is not the plugin's", t)
}

// frameBytes returns the bytes of a frame that the plugin writes, which must
// begin with its type.
func (h *frame) frameBytes(t, addr, n uint64) ([]byte, error) {
	if err := h.owns(t); err != nil {
		return nil, err
	}
	b, err := h.bytes(addr, n)
	if err != nil {
		return nil, err
	}
	if got, k := wire.NextFrameType(b); k == 0 || uint64(got) != t {
		return nil, fmt.Errorf("the frame's bytes do not begin with its type 0x%x", t)
	}
	return b, nil
}
