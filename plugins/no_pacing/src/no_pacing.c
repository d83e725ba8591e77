/* no_pacing: packets leave as soon as the congestion window allows. */
#include "pquic.h"

PQ_PLUGIN("org.pquic.no_pacing", "1.0.0");
PQ_LICENSE("Apache-2.0");
PQ_SUMMARY("sends as soon as the congestion window allows");
PQ_HEAP(0);

SEC("replace/pacing_deadline")
int now(struct pq_pacing_deadline_ctx *ctx)
{
	ctx->result_time = 0;
	return PQ_OK;
}
