/* An observer that wants to act: refused. */
#include "pquic.h"

PQ_PLUGIN("org.pquic.test.observer", "0.1");
PQ_USES(pq_ping);

SEC("post/packet_received")
int act(struct pq_packet_received_ctx *ctx)
{
	pq_ping();
	return PQ_OK;
}
