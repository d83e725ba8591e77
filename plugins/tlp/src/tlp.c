/* tlp: the first probe of a tail goes after two round trips, before the probe
 * timeout proper. */
#include "pquic.h"

PQ_PLUGIN("org.pquic.tlp", "1.0.0");
PQ_LICENSE("Apache-2.0");
PQ_SUMMARY("probes the tail of a flight after two round trips");
PQ_HEAP(0);

PQ_OPTION_DURATION(floor, 10 * PQ_MS, "least time to the first probe");

#define APPLICATION_DATA 2

SEC("replace/pto_period")
int period(struct pq_pto_period_ctx *ctx)
{
	struct pq_path *path = ctx->path;
	bool measured = path->first_rtt_sample != 0;
	bool fired = path->pto_count > 0;
	i64 probe = 2 * path->smoothed_rtt;
	if (path->bytes_in_flight <= path->mtu)
		probe += path->max_ack_delay; /* a lone packet may be acknowledged late */
	probe = pq_max(probe, PQ_OPTION(floor));
	pq_native();
	if (ctx->space != APPLICATION_DATA || !measured)
		return PQ_OK;
	if (fired) {
		/* The engine doubles the period per timeout that fired. The probe was
		 * none: the first timeout proper comes after one period. */
		ctx->result_duration = (u64)ctx->result_duration / 2;
		return PQ_OK;
	}
	ctx->result_duration = pq_min(probe, ctx->result_duration);
	return PQ_OK;
}

SEC("replace/pto_probes")
int probes(struct pq_pto_probes_ctx *ctx)
{
	bool first = ctx->path->pto_count <= 1;
	pq_native();
	if (ctx->space == APPLICATION_DATA && first)
		ctx->result_count = 1;
	return PQ_OK;
}
