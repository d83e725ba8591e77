/* @SHORT@: counts the packets of a connection and logs them when it ends. */
#include "pquic.h"

PQ_PLUGIN("@NAME@", "0.1.0");
PQ_LICENSE("Apache-2.0");
PQ_SUMMARY("counts packets");
PQ_USES(pq_log);

PQ_OPTION_BOOL(bytes, true, "count bytes too");

/* Globals are the connection's own. */
static u64 sent, received, bytes;

SEC("post/packet_sealed")
int count_sent(struct pq_packet_sealed_ctx *ctx)
{
	sent++;
	if (PQ_OPTION(bytes))
		bytes += ctx->packet->size;
	return PQ_OK;
}

SEC("post/packet_received")
int count_received(struct pq_packet_received_ctx *ctx)
{
	received++;
	return PQ_OK;
}

SEC("post/connection_closed")
int report(struct pq_connection_closed_ctx *ctx)
{
	pq_log(PQ_INFO, "%u packets sent, %u received, %u bytes", sent, received, bytes);
	return PQ_OK;
}
