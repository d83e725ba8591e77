/* Fifty pluglets that each keep a distribution and sums, for measuring what it
 * takes to load and to attach a large plugin. */
#include "pquic.h"

PQ_PLUGIN("org.pquic.test.fifty", "0.1");
PQ_SUMMARY("fifty pluglets");
PQ_HEAP(4096);

#define BUCKETS 16

struct series {
	u64 calls, sum, sum_of_squares, least, most, last;
	u64 buckets[BUCKETS];
};

static PQ_ALWAYS_INLINE void add(struct series *s, u64 v)
{
	u32 i = 0;
	u64 w = v >> 10;
	if (w >> 8) {
		i += 8;
		w >>= 8;
	}
	if (w >> 4) {
		i += 4;
		w >>= 4;
	}
	if (w >> 2) {
		i += 2;
		w >>= 2;
	}
	s->buckets[(i + (w > 1)) & (BUCKETS - 1)]++;
	if (s->calls == 0 || v < s->least)
		s->least = v;
	if (v > s->most)
		s->most = v;
	s->calls++;
	s->sum += v;
	s->sum_of_squares += v * v;
	s->last = v;
}

static PQ_ALWAYS_INLINE void observe(struct series *s, struct pq_conn *c)
{
	add(s, c->now - c->last_progress_time);
	if (s->calls % 64 == 0) {
		u64 all = 0;
		for (u32 i = 0; i < BUCKETS; i++)
			all += s->buckets[i];
		s->sum_of_squares ^= all + c->packets_lost + c->packets_spurious;
	}
}

#define OBSERVE(operation)                                        \
	static struct series before_##operation, after_##operation; \
	SEC("pre/" #operation)                                    \
	int pre_##operation(struct pq_##operation##_ctx *ctx)     \
	{                                                         \
		observe(&before_##operation, ctx->conn);          \
		return PQ_OK;                                     \
	}                                                         \
	SEC("post/" #operation)                                   \
	int post_##operation(struct pq_##operation##_ctx *ctx)    \
	{                                                         \
		observe(&after_##operation, ctx->conn);           \
		return PQ_OK;                                     \
	}

OBSERVE(congestion_on_ack)
OBSERVE(congestion_on_loss)
OBSERVE(congestion_on_sent)
OBSERVE(congestion_window)
OBSERVE(datagram_received)
OBSERVE(header_parsed)
OBSERVE(is_ack_needed)
OBSERVE(key_updated)
OBSERVE(loss_timeout)
OBSERVE(mtu_updated)
OBSERVE(pacing_deadline)
OBSERVE(packet_acked)
OBSERVE(packet_lost)
OBSERVE(packet_received)
OBSERVE(packet_sealed)
OBSERVE(path_created)
OBSERVE(payload_built)
OBSERVE(payload_received)
OBSERVE(process_ack)
OBSERVE(pto_fired)
OBSERVE(schedule_frames)
OBSERVE(schedule_next_stream)
OBSERVE(stream_closed)
OBSERVE(stream_opened)
OBSERVE(update_rtt)
