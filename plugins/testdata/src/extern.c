/* Operations of a plugin's own, data per path and stream, maps, the heap, a timer,
 * an event that two plugins act on. */
#include "pquic.h"

PQ_PLUGIN("org.pquic.test.extern", "0.1");
PQ_USES(pq_message, pq_ping);
PQ_HEAP(65536);

static u64 timers, acked, streams;

SEC("extern/sum")
int sum(struct pq_call_ctx *ctx)
{
	u64 s = ctx->arg0 + ctx->arg1;
	for (u64 i = 0; i < 64 && i < ctx->bytes0_length; i++)
		s += ctx->bytes0[i];
	u64 in[2] = {s, 2}, out[1] = {};
	if (pq_run("times", in, sizeof(in), out, sizeof(out)) != 1)
		return PQ_FAIL;
	ctx->result0 = out[0];
	ctx->result1 = ctx->args;
	return PQ_OK;
}

SEC("declare/times")
int times(struct pq_call_ctx *ctx)
{
	ctx->result0 = ctx->arg0 * ctx->arg1;
	return PQ_OK;
}

SEC("extern/counts")
int counts(struct pq_call_ctx *ctx)
{
	ctx->result0 = timers;
	ctx->result1 = acked;
	ctx->result2 = streams;
	ctx->result3 = pq_map_size(2);
	return PQ_OK;
}

SEC("on/handshake_complete")
int start(struct pq_handshake_complete_ctx *ctx)
{
	pq_set_timer(ctx->conn->now + 5 * PQ_MS);
	return PQ_OK;
}

SEC("on/plugin_timer")
int tick(struct pq_plugin_timer_ctx *ctx)
{
	if (++timers < 10) {
		pq_set_timer(ctx->conn->now + 5 * PQ_MS);
		pq_ping();
	}
	return PQ_OK;
}

SEC("on/packet_acked")
int on_acked(struct pq_packet_acked_ctx *ctx)
{
	u64 *n = pq_path_data(ctx->path, sizeof(*n));
	if (!n)
		return PQ_FAIL;
	acked = ++*n;
	u64 key, value;
	pq_map_set(2, ctx->packet->number, ctx->packet->size);
	if (pq_map_size(2) > 8 && pq_map_ceiling(2, 0, &key, &value))
		pq_map_delete(2, key);
	return PQ_OK;
}

SEC("post/stream_opened")
int opened(struct pq_stream_opened_ctx *ctx)
{
	u64 *n = pq_stream_data(ctx->stream, 16);
	if (!n || *n != 0)
		return PQ_FAIL;
	*n = ctx->stream->id + 1;
	streams++;
	return PQ_OK;
}

SEC("pre/stream_closed")
int closed(struct pq_stream_closed_ctx *ctx)
{
	u64 *n = pq_stream_data(ctx->stream, 16);
	u8 *p = pq_malloc(100);
	if (!n || *n != ctx->stream->id + 1 || !p)
		return PQ_FAIL;
	pq_memset(p, 7, 100);
	i64 differs = pq_memcmp(p, p + 1, 99);
	pq_free(p);
	return differs ? PQ_FAIL : PQ_OK;
}
