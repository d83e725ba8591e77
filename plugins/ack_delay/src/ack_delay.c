/* ack_delay: acknowledgments wait for a part of the round-trip time, so that
 * fast paths are told early and slow ones are not flooded. */
#include "pquic.h"

PQ_PLUGIN("org.pquic.ack_delay", "1.0.0");
PQ_LICENSE("Apache-2.0");
PQ_SUMMARY("delays acknowledgments by a part of the round-trip time");
PQ_HEAP(0);

PQ_OPTION_U64(percent, 25, "of the smallest round-trip time that acknowledgments wait, 0 to 100");
PQ_OPTION_DURATION(floor, PQ_MS, "least delay");

SEC("replace/update_ack_delay")
int delay(struct pq_update_ack_delay_ctx *ctx)
{
	i64 rtt = ctx->path->min_rtt;
	pq_native();
	if (rtt > 0) {
		u64 percent = PQ_OPTION(percent) > 100 ? 100 : PQ_OPTION(percent);
		i64 d = pq_max((u64)rtt * percent / 100, PQ_OPTION(floor));
		ctx->result_duration = pq_min(d, ctx->result_duration);
	}
	return PQ_OK;
}
