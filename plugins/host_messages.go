package plugins

import "github.com/pquic-go/pquic/vm"

var messageFunctions = []Function{
	{
		Name: "pq_message", Group: "messages", C: "i64 pq_message(const void *data, u64 size)", Effect: vm.Sink,
		params: []vm.Param{memRead, lengthTo(maxMessage)}, result: value, cost: 32,
		Doc: "Gives bytes, at most 65536, to the application's queue of messages from this plugin. 0, or -1 if it is full.",
		run: func(h *frame, a *[5]uint64) (uint64, error) {
			b, err := h.bytes(a[0], a[1])
			if err != nil {
				return 0, err
			}
			return result(h.in.messages.put(b))
		},
	},
}
