package plugins

import (
	"github.com/pquic-go/pquic/core"
	"github.com/pquic-go/pquic/core/wire"
	"github.com/pquic-go/pquic/vm"
)

// maxReason bounds the reason a plugin gives for closing.
const maxReason = 128

var connFunctions = []Function{
	{
		Name: "pq_close", Group: "connection", C: "void pq_close(u64 error_code, u64 frame_type, const char *reason)", Effect: vm.Mutate, mayFree: true,
		params: []vm.Param{scalar, scalar, {Type: vm.CStringParam, MaxLen: maxReason}}, result: nothing, cost: 64,
		Doc: "Closes the connection with a transport error.",
		run: func(h *frame, a *[5]uint64) (uint64, error) {
			reason, err := h.m.CString(a[2], maxReason)
			if err != nil {
				return 0, err
			}
			h.conn().CloseWithTransportError(&core.TransportError{Code: core.TransportErrorCode(a[0] & wire.MaxVarint),
				FrameType: wire.FrameType(a[1] & wire.MaxVarint), Reason: string(appendPrintable(nil, reason))})
			return 0, nil
		},
	},
	{
		Name: "pq_ping", Group: "connection", C: "void pq_ping(void)", Effect: vm.Reserve, result: nothing, cost: 16,
		Doc: "Makes the connection send a PING, which provokes an acknowledgment.",
		run: func(h *frame, _ *[5]uint64) (uint64, error) {
			h.conn().Ping(h.conn().Now())
			return 0, nil
		},
	},
	{
		Name: "pq_request_ack", Group: "connection", C: "u64 pq_request_ack(void)", Effect: vm.Reserve, result: truth, cost: 16,
		Doc: "Asks the peer for an acknowledgment now; 1 if it understands IMMEDIATE_ACK.",
		run: func(h *frame, _ *[5]uint64) (uint64, error) { return truthOf(h.conn().RequestAck()), nil },
	},
	{
		Name: "pq_wake", Group: "connection", C: "void pq_wake(void)", Effect: vm.Reserve, result: nothing, cost: 8,
		Doc: "Makes the engine look again whether the connection has something to send.",
		run: func(h *frame, _ *[5]uint64) (uint64, error) {
			h.conn().Wake()
			return 0, nil
		},
	},
}
