package plugins

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"time"

	"github.com/pquic-go/pquic/core"
	"github.com/pquic-go/pquic/core/wire"
	"github.com/pquic-go/pquic/vm"
)

// Sizes of the structs in the header: struct pq_address, pq_connection_id,
// pq_range.
const (
	addressSize = 32
	connIDSize  = 56
	rangeSize   = 16
	maxRanges   = 256
	maxIssued   = 32 // connection IDs of a path that the peer holds
)

var pathFunctions = []Function{
	{
		Name: "pq_local_address", Group: "paths", C: "u64 pq_local_address(u64 i, struct pq_address *to)", Effect: vm.OwnHeap, params: []vm.Param{scalar, writeFixed(addressSize)}, result: truth, cost: 8,
		Doc: "The i-th address on which the host can send and receive for the connection; 1 if there is one.",
		run: func(h *frame, a *[5]uint64) (uint64, error) {
			list := h.conn().LocalAddresses()
			if a[0] >= uint64(len(list)) {
				return 0, nil
			}
			b, err := h.writable(a[1], addressSize)
			if err == nil {
				putAddress(b, list[a[0]].Addr, list[a[0]].IfIndex)
			}
			return 1, err
		},
	},
	{
		Name: "pq_open_path", Group: "paths", C: "i64 pq_open_path(u64 id, const struct pq_address *local, const struct pq_address *remote, u64 validate)", Effect: vm.Mutate,
		params: []vm.Param{scalar, readFixed(addressSize), readFixed(addressSize), {Type: vm.ScalarParam, Max: 1}}, result: value, cost: 256,
		Doc: "Opens a path between two addresses; validate 1 starts path validation. 0, or -1 if the handshake is not complete, the ID is in use or out of range.",
		run: func(h *frame, a *[5]uint64) (uint64, error) {
			local, ifIndex, err := h.address(a[1])
			if err != nil {
				return 0, err
			}
			remote, _, err := h.address(a[2])
			if err != nil {
				return 0, err
			}
			if !remote.IsValid() || remote.Port() == 0 {
				return refused, nil
			}
			_, err = h.conn().OpenPath(h.conn().Now(), a[0], local, remote, ifIndex, a[3] == 1)
			return result(err == nil)
		},
	},
	{
		Name: "pq_close_path", Group: "paths", C: "void pq_close_path(struct pq_path *path)", Effect: vm.Mutate, mayFree: true, params: []vm.Param{of(kindPath)}, result: nothing, cost: 256,
		Doc: "Closes a path once the running operations have ended; what it had in flight goes to the others.",
		run: func(h *frame, a *[5]uint64) (uint64, error) {
			h.conn().ClosePath(object[core.Path](h, a[0]))
			return 0, nil
		},
	},
	{
		Name: "pq_set_path_state", Group: "paths", C: "void pq_set_path_state(struct pq_path *path, u64 state)", Effect: vm.Mutate, params: []vm.Param{of(kindPath), {Type: vm.ScalarParam, Max: 4}}, result: nothing, cost: 64,
		Doc: "Moves a path that is validated between active (2), standby (3) and suspended (4).",
		run: func(h *frame, a *[5]uint64) (uint64, error) {
			p := object[core.Path](h, a[0])
			if p.Validated == 0 || a[1] < uint64(core.PathActive) {
				return 0, fmt.Errorf("path %d cannot be moved to state %d", p.ID, a[1])
			}
			h.conn().SetPathState(p, uint32(a[1]))
			return 0, nil
		},
	},
	{
		Name: "pq_issue_connection_id", Group: "paths", C: "void pq_issue_connection_id(struct pq_path *path, struct pq_connection_id *to)", Effect: vm.Mutate, params: []vm.Param{of(kindPath), writeFixed(connIDSize)}, result: nothing, cost: 128,
		Doc: "Makes a connection ID for a path; the plugin tells the peer. The peer may hold 32 of a path.",
		run: func(h *frame, a *[5]uint64) (uint64, error) {
			b, err := h.writable(a[1], connIDSize)
			if err != nil {
				return 0, err
			}
			p := object[core.Path](h, a[0])
			if p.LocalIDs >= maxIssued {
				return 0, fmt.Errorf("path %d has %d connection IDs that the peer has not retired", p.ID, p.LocalIDs)
			}
			id, seq, token := h.conn().IssuePathConnID(p)
			putConnID(b, id, seq, token)
			return 0, nil
		},
	},
	{
		Name: "pq_add_connection_id", Group: "paths", C: "i64 pq_add_connection_id(struct pq_path *path, const struct pq_connection_id *id)", Effect: vm.Mutate, params: []vm.Param{of(kindPath), readFixed(connIDSize)}, result: value, cost: 128,
		Doc: "Stores a connection ID that the peer issued for a path. 0, or -1 if it breaks the rules of RFC 9000.",
		run: func(h *frame, a *[5]uint64) (uint64, error) {
			b, err := h.bytes(a[1], connIDSize)
			if err != nil {
				return 0, err
			}
			f, ok := connIDFrame(b)
			return result(ok && h.conn().AddPathConnID(object[core.Path](h, a[0]), f) == nil)
		},
	},
	{
		Name: "pq_retire_connection_id", Group: "paths", C: "i64 pq_retire_connection_id(struct pq_path *path, u64 sequence)", Effect: vm.Mutate, params: []vm.Param{of(kindPath), scalar}, result: value, cost: 64,
		Doc: "Handles the peer's retirement of one of our connection IDs. 0, or -1 if it breaks the rules of RFC 9000.",
		run: func(h *frame, a *[5]uint64) (uint64, error) {
			return result(h.conn().RetirePathConnID(object[core.Path](h, a[0]), a[1]) == nil)
		},
	},
	{
		Name: "pq_received_ranges", Group: "paths", C: "u64 pq_received_ranges(struct pq_path *path, struct pq_range *to, u64 size)", Effect: vm.OwnHeap, params: []vm.Param{of(kindPath), memWrite, lengthTo(maxRanges * rangeSize)}, result: vm.Result{Type: vm.ScalarResult, Max: maxRanges}, cost: 16,
		Doc: "The ranges of packet numbers received on a path, highest first; size is that of the array in bytes. Returns how many there are in it.",
		run: func(h *frame, a *[5]uint64) (uint64, error) {
			b, err := h.writable(a[1], a[2])
			if err != nil {
				return 0, err
			}
			list, n := object[core.Path](h, a[0]).Received(), uint64(0)
			for i := len(list) - 1; i >= 0 && len(b) >= rangeSize; i-- {
				binary.LittleEndian.PutUint64(b, list[i].Lo)
				binary.LittleEndian.PutUint64(b[8:], list[i].Hi)
				b = b[rangeSize:]
				n++
			}
			return n, nil
		},
	},
	{
		Name: "pq_process_ack", Group: "paths", C: "i64 pq_process_ack(struct pq_path *path, const struct pq_range *ranges, u64 size, i64 delay)", Effect: vm.Mutate, mayFree: true,
		params: []vm.Param{of(kindPath), memRead, lengthTo(maxRanges * rangeSize), scalar}, result: value, cost: 256,
		Doc: "Handles an acknowledgment of a path's packets: ranges highest first, delay in ns. 0, or -1 if it acknowledges what was never sent; then the plugin should answer with an error.",
		run: func(h *frame, a *[5]uint64) (uint64, error) {
			b, err := h.bytes(a[1], a[2])
			if err != nil {
				return 0, err
			}
			var ranges []core.PNRange
			for ; len(b) >= rangeSize; b = b[rangeSize:] {
				r := core.PNRange{Lo: binary.LittleEndian.Uint64(b), Hi: binary.LittleEndian.Uint64(b[8:])}
				if r.Lo > r.Hi || len(ranges) > 0 && r.Hi >= ranges[len(ranges)-1].Lo {
					return refused, nil
				}
				ranges = append(ranges, r)
			}
			delay := time.Duration(max(int64(a[3]), 0))
			return result(h.conn().ProcessAck(object[core.Path](h, a[0]), ranges, delay, nil) == nil)
		},
	},
}

// putAddress writes a struct pq_address: the two halves of the address in IPv6
// form, port, interface.
func putAddress(b []byte, ap netip.AddrPort, ifIndex uint32) {
	ip := ap.Addr().As16()
	le := binary.LittleEndian
	le.PutUint64(b, binary.BigEndian.Uint64(ip[:8]))
	le.PutUint64(b[8:], binary.BigEndian.Uint64(ip[8:]))
	le.PutUint32(b[16:], uint32(ap.Port()))
	le.PutUint32(b[20:], ifIndex)
	le.PutUint64(b[24:], 0)
}

func (h *frame) address(addr uint64) (netip.AddrPort, uint32, error) {
	b, err := h.bytes(addr, addressSize)
	if err != nil {
		return netip.AddrPort{}, 0, err
	}
	var ip [16]byte
	le := binary.LittleEndian
	binary.BigEndian.PutUint64(ip[:8], le.Uint64(b))
	binary.BigEndian.PutUint64(ip[8:], le.Uint64(b[8:]))
	return netip.AddrPortFrom(netip.AddrFrom16(ip).Unmap(), uint16(le.Uint32(b[16:]))), le.Uint32(b[20:]), nil
}

// putConnID writes a struct pq_connection_id: sequence number, retire-prior-to,
// length, bytes, stateless reset token.
func putConnID(b []byte, id wire.ConnID, seq uint64, token [16]byte) {
	clear(b)
	binary.LittleEndian.PutUint64(b, seq)
	b[16] = byte(id.Len())
	id.AppendTo(b[20:20])
	copy(b[40:], token[:])
}

func connIDFrame(b []byte) (f wire.NewConnectionIDFrame, ok bool) {
	f.Sequence, f.RetirePriorTo = binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(b[8:])
	n := int(b[16])
	if n < 1 || n > 20 || f.RetirePriorTo > f.Sequence || f.Sequence > wire.MaxVarint {
		return f, false
	}
	f.ConnID, ok = wire.MakeConnID(b[20 : 20+n])
	copy(f.ResetToken[:], b[40:])
	return f, ok
}
