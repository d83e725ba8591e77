// What a congestion controller does on an acknowledgment: field accesses.
#include "vmtest.h"

SEC("test/ack_direct")
u64 ack_direct(struct pq_ctx *ctx)
{
	struct pq_path *p = ctx->path;
	u64 latest = p->latest, min = p->minrtt;
	u64 delay = ctx->sample.ack_delay, max = ctx->sample.max_ack_delay;
	if (latest < min) {
		min = latest;
		p->minrtt = min;
	}
	if (delay > max)
		delay = max;
	u64 adjusted = latest;
	if (latest >= min + delay)
		adjusted = latest - delay;
	u64 srtt = p->srtt, d = srtt > adjusted ? srtt - adjusted : adjusted - srtt;
	p->rttvar = (3 * p->rttvar + d) >> 2;
	p->srtt = (7 * srtt + adjusted) >> 3;
	u64 acked = ctx->sample.acked, inflight = p->inflight;
	p->inflight = inflight > acked ? inflight - acked : 0;
	u64 cwnd = p->cwnd;
	if (cwnd < p->ssthresh)
		cwnd += acked;
	else
		cwnd += p->mss * acked / cwnd;
	p->cwnd = cwnd;
	p->pto_count = 0;
	return cwnd;
}
