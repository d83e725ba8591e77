package plugins

import (
	"github.com/pquic-go/pquic/core"
	"github.com/pquic-go/pquic/vm"
)

var streamFunctions = []Function{
	{
		Name: "pq_stream_by_id", Group: "streams", C: "struct pq_stream *pq_stream_by_id(u64 id)", Effect: vm.Pure, params: []vm.Param{scalar}, result: gives(kindStream), cost: 8,
		Doc: "The stream of that ID, or NULL if there is none or its state is gone.",
		run: func(h *frame, a *[5]uint64) (uint64, error) { return handle(h, kindStream, h.conn().Stream(a[0])) },
	},
	{
		Name: "pq_stream_ready_after", Group: "streams", C: "struct pq_stream *pq_stream_ready_after(u64 id)", Effect: vm.Pure, params: []vm.Param{scalar}, result: gives(kindStream), cost: 16,
		Doc: "Of the streams that have something to send now, the one with the smallest ID greater than id, or else the one with the smallest ID; NULL if there is none. ~0 asks for the smallest.",
		run: func(h *frame, a *[5]uint64) (uint64, error) {
			s, looked := readyAfter(h.conn(), a[0])
			if err := h.m.Charge(uint64(looked)); err != nil {
				return 0, err
			}
			return handle(h, kindStream, s)
		},
	},
	{
		Name: "pq_stream_is_ready", Group: "streams", C: "u64 pq_stream_is_ready(struct pq_stream *stream)", Effect: vm.Pure, params: []vm.Param{of(kindStream)}, result: truth, cost: 4,
		Doc: "1 if the stream has something to send now: data that flow control allows, or its end.",
		run: func(h *frame, a *[5]uint64) (uint64, error) {
			return truthOf(object[core.Stream](h, a[0]).Pending()), nil
		},
	},
	{
		Name: "pq_stream_send", Group: "streams", C: "struct pq_stream_send *pq_stream_send(struct pq_stream *stream)", Effect: vm.Pure, params: []vm.Param{of(kindStream)}, result: gives(kindSend), cost: 4,
		Doc: "The sending half of a stream, NULL if only the peer sends on it.",
		run: func(h *frame, a *[5]uint64) (uint64, error) {
			return handle(h, kindSend, object[core.Stream](h, a[0]).SendView())
		},
	},
	{
		Name: "pq_stream_recv", Group: "streams", C: "struct pq_stream_recv *pq_stream_recv(struct pq_stream *stream)", Effect: vm.Pure, params: []vm.Param{of(kindStream)}, result: gives(kindRecv), cost: 4,
		Doc: "The receiving half of a stream, NULL if only we send on it.",
		run: func(h *frame, a *[5]uint64) (uint64, error) {
			return handle(h, kindRecv, object[core.Stream](h, a[0]).RecvView())
		},
	},
	{
		Name: "pq_stream_window", Group: "streams", C: "struct pq_window *pq_stream_window(struct pq_stream *stream)", Effect: vm.Pure, params: []vm.Param{of(kindStream)}, result: gives(kindWindow), cost: 4,
		Doc: "The receive window of a stream, NULL if only we send on it.",
		run: func(h *frame, a *[5]uint64) (uint64, error) {
			return handle(h, kindWindow, object[core.Stream](h, a[0]).WindowView())
		},
	},
	{
		Name: "pq_conn_window", Group: "streams", C: "struct pq_window *pq_conn_window(void)", Effect: vm.Pure, result: givesSure(kindWindow), cost: 4,
		Doc: "The receive window of the connection.",
		run: func(h *frame, _ *[5]uint64) (uint64, error) { return handle(h, kindWindow, h.conn().WindowView()) },
	},
	{
		Name: "pq_requeue", Group: "streams", C: "i64 pq_requeue(struct pq_stream *stream, u64 offset, u64 size, struct pq_path *path)", Effect: vm.Mutate,
		params: []vm.Param{of(kindStream), scalar, {Type: vm.ScalarParam, Max: 1 << 30}, orNull(kindPath)}, result: value, cost: 32,
		Doc: "Asks for another copy of stream data that was sent before, on a path or, if that is NULL, on any. What is acknowledged meanwhile is left out. 0, or -1 if too many copies wait.",
		run: func(h *frame, a *[5]uint64) (uint64, error) {
			s := object[core.Stream](h, a[0])
			v := s.SendView()
			if v == nil || a[1] >= v.NextOffset {
				return done, nil
			}
			n := min(a[2], v.NextOffset-a[1]) // what was never sent has no copy
			return result(h.conn().RequeueRange(s, a[1], int(n), object[core.Path](h, a[3])))
		},
	},
}

// readyAfter finds the stream that pq_stream_ready_after answers with and how
// many it looked at.
func readyAfter(c *core.Conn, id uint64) (best *core.Stream, looked int) {
	var first *core.Stream
	for _, s := range c.Streams() {
		looked++
		if !s.Pending() {
			continue
		}
		if first == nil {
			first = s
		}
		if s.ID > id {
			return s, looked
		}
	}
	return first, looked
}
