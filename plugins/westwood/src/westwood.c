/* westwood: after a loss the window becomes what the path was seen to deliver in
 * its smallest round-trip time, not half of what it was (TCP Westwood+). */
#include "pquic.h"

PQ_PLUGIN("org.pquic.westwood", "1.0.0");
PQ_LICENSE("Apache-2.0");
PQ_SUMMARY("replaces the congestion controller by Westwood+");
PQ_WRITES(path.congestion_window, path.ssthresh, path.pacing_rate, path.send_quantum, path.in_slow_start,
	  path.in_recovery, path.recovery_start, path.congestion_events, path.congestion_state);
PQ_HEAP(4096);

PQ_OPTION_U64(gain, 8, "of a new bandwidth sample one part in this many counts, 1 to 64");

/* Limits of the engine's fields, and of the products below. */
#define MAX_WINDOW (1ULL << 32)
#define MAX_BANDWIDTH 100000000000ULL /* bytes/s */

/* Values of congestion_state, as of the engine's loss-based controllers. */
enum { SLOW_START = 0, AVOIDANCE = 2, RECOVERY = 3 };

struct model {
	u64 bandwidth; /* bytes/s, filtered */
	u64 bytes;     /* acknowledged since the sample began */
	i64 begin;     /* of the sample, 0 none */
	u64 credit;    /* bytes acknowledged since the window last grew by a datagram */
	u64 window;    /* before the newest reduction, 0 if it stays */
	u64 ssthresh;
	u64 lost;      /* bytes declared lost, not counting spurious losses, at that time */
};

static PQ_ALWAYS_INLINE u64 clamp(struct pq_path *path, u64 window)
{
	u64 least = 2 * path->max_datagram_size;
	if (window < least)
		return least;
	return window > MAX_WINDOW ? MAX_WINDOW : window;
}

/* One sample per round trip, so that acknowledgments that arrive together do not
 * look like a fast path. */
static PQ_ALWAYS_INLINE void sample(struct model *m, struct pq_path *path, i64 now, u64 bytes)
{
	if (m->begin == 0) {
		m->begin = now;
		return;
	}
	m->bytes += bytes;
	i64 span = now - m->begin;
	if (span < path->smoothed_rtt || span < PQ_MS)
		return;
	u64 rate = m->bytes < MAX_WINDOW ? m->bytes * PQ_SECOND / (u64)span : MAX_BANDWIDTH;
	if (rate > MAX_BANDWIDTH)
		rate = MAX_BANDWIDTH;
	u64 gain = PQ_OPTION(gain);
	if (gain < 1 || gain > 64)
		gain = 8;
	if (m->bandwidth == 0 || (path->in_slow_start && rate > m->bandwidth))
		m->bandwidth = rate; /* the filter would lag behind a rate that doubles */
	else
		m->bandwidth = (m->bandwidth * (gain - 1) + rate) / gain;
	m->bytes = 0;
	m->begin = now;
}

static PQ_ALWAYS_INLINE void describe(struct pq_path *path)
{
	u32 slow = path->congestion_window < path->ssthresh;
	path->in_slow_start = slow;
	path->congestion_state = path->in_recovery ? RECOVERY : slow ? SLOW_START : AVOIDANCE;
}

SEC("replace/congestion_on_ack")
int on_ack(struct pq_congestion_on_ack_ctx *ctx)
{
	struct pq_path *path = ctx->path;
	struct model *m = pq_path_data(path, sizeof(struct model));
	if (!m)
		return PQ_FAIL;
	path->pacing_rate = 0; /* the engine derives both from the window */
	path->send_quantum = 0;
	sample(m, path, ctx->conn->now, ctx->bytes);
	if (path->in_recovery && ctx->largest_sent_time > path->recovery_start)
		path->in_recovery = 0;
	u64 window = path->congestion_window;
	if (!path->in_recovery && !ctx->underutilized) {
		if (window < path->ssthresh) {
			window += ctx->bytes;
		} else if ((m->credit += ctx->bytes) >= window) {
			m->credit -= window;
			window += path->max_datagram_size;
		}
		path->congestion_window = clamp(path, window);
	}
	describe(path);
	return PQ_OK;
}

SEC("replace/congestion_on_loss")
int on_loss(struct pq_congestion_on_loss_ctx *ctx)
{
	struct pq_path *path = ctx->path;
	struct model *m = pq_path_data(path, sizeof(struct model));
	if (!m)
		return PQ_FAIL;
	if (path->recovery_start == 0 || ctx->largest_lost_sent > path->recovery_start) {
		m->window = ctx->ecn ? 0 : path->congestion_window; /* marks are never spurious */
		m->ssthresh = path->ssthresh;
		m->lost = path->lost - path->spurious - ctx->bytes;
		m->credit = 0;
		u64 pipe = m->bandwidth * ((u64)path->min_rtt / 1000) / 1000000;
		if (m->bandwidth == 0)
			pipe = path->congestion_window / 2; /* nothing was measured yet */
		path->ssthresh = clamp(path, pipe);
		if (path->congestion_window > path->ssthresh)
			path->congestion_window = path->ssthresh;
		path->congestion_events++;
		path->recovery_start = ctx->conn->now;
		path->in_recovery = 1;
	}
	if (ctx->persistent) {
		path->congestion_window = clamp(path, 0);
		path->recovery_start = 0;
		path->in_recovery = 0;
		m->window = 0;
	}
	describe(path);
	return PQ_OK;
}

/* All that seemed lost at the newest reduction has arrived: it is undone. */
SEC("replace/congestion_on_spurious")
int on_spurious(struct pq_congestion_on_spurious_ctx *ctx)
{
	struct pq_path *path = ctx->path;
	struct model *m = pq_path_data(path, sizeof(struct model));
	if (!m)
		return PQ_FAIL;
	if (m->window && path->lost - path->spurious <= m->lost) {
		if (path->congestion_window < m->window)
			path->congestion_window = m->window;
		path->ssthresh = m->ssthresh;
		path->in_recovery = 0;
		m->window = 0;
	}
	describe(path);
	return PQ_OK;
}
