/* Counts packets and reports through the log. */
#include "pquic.h"

PQ_PLUGIN("org.pquic.test.count", "0.1");
PQ_SUMMARY("counts packets");
PQ_USES(pq_log, pq_message);
PQ_HEAP(0);

static u64 sent, received, bytes;

SEC("post/packet_sealed")
int on_sent(struct pq_packet_sealed_ctx *ctx)
{
	sent++;
	bytes += ctx->packet->size;
	return PQ_OK;
}

SEC("post/packet_received")
int on_received(struct pq_packet_received_ctx *ctx)
{
	received++;
	return PQ_OK;
}

SEC("post/connection_closed")
int on_closed(struct pq_connection_closed_ctx *ctx)
{
	u64 report[3] = {sent, received, bytes};
	struct pq_path *path = pq_path_at(0);
	pq_log(PQ_INFO, "%u packets sent, %u received, %u bytes, smoothed rtt %t", sent, received, bytes,
	       path ? path->smoothed_rtt : 0);
	pq_message(report, sizeof(report));
	return PQ_OK;
}
