/* stream_rr: streams take turns, packet by packet, in the order of their IDs. */
#include "pquic.h"

PQ_PLUGIN("org.pquic.stream_rr", "1.0.0");
PQ_LICENSE("Apache-2.0");
PQ_SUMMARY("lets streams share a connection in turn, in the order of their IDs");
PQ_HEAP(0);

static u64 last = ~0ULL; /* the stream that was served last */

SEC("replace/schedule_next_stream")
int next_stream(struct pq_schedule_next_stream_ctx *ctx)
{
	struct pq_stream *stream = pq_stream_ready_after(last);
	if (stream)
		last = stream->id;
	pq_answer_stream(stream);
	return PQ_OK;
}
