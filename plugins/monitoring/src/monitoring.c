/* monitoring: flow records of a connection and its paths.
 *
 * The engine itself counts packets, bytes, losses and timeouts in fields that
 * plugins may read, so almost nothing happens per packet: what it does not count
 * (packets out of order, the distribution of the round-trip time, life times of
 * streams) is gathered here, and everything is put together in a record when the
 * connection starts, is established, every so often, and when it ends. */
#include "pquic.h"

PQ_PLUGIN("org.pquic.monitoring", "1.0.0");
PQ_LICENSE("Apache-2.0");
PQ_SUMMARY("flow records: packets, bytes, losses, round-trip times, handshake timings");
PQ_USES(pq_log, pq_message);
PQ_HEAP(4096);

PQ_OPTION_DURATION(interval, 0, "between two updates of an established flow; 0 none");
PQ_OPTION_BOOL(summary, true, "log a line when a connection ends");

/* States of a flow. */
#define FLOW_NEW 1
#define FLOW_ESTABLISHED 2
#define FLOW_UPDATE 3
#define FLOW_FINISHED 4
#define FLOW_BROKEN 5

#define RTT_BUCKETS 24 /* bucket i counts round-trip times below 2^i times 16.384 us */
#define MAX_PATHS 8

/* A record: little-endian, decoded by package monitoring. Times in ns. */
struct path_record {
	u64 id, state;
	u64 packets_sent, packets_received, packets_lost, packets_spurious;
	u64 bytes_sent, bytes_received, bytes_lost;
	u64 min_rtt, smoothed_rtt, rttvar, latest_rtt;
	u64 congestion_window, bytes_in_flight, mtu, ptos, ecn_ce, bandwidth;
};

struct flow_record {
	u32 version, state, is_server, quic_version;
	u64 now, start, handshake_complete, handshake_confirmed;
	u64 packets_sent, packets_received, packets_lost, packets_spurious;
	u64 packets_duplicate, packets_undecryptable, packets_retransmitted, packets_out_of_order;
	u64 bytes_sent, bytes_received, data_sent, data_received;
	u64 ptos, fast_retransmits, loss_timeouts;
	u64 streams_opened, streams_closed, stream_time_sum, stream_time_max;
	u64 unknown_parameters, error, error_is_application, error_is_remote;
	u64 rtt[RTT_BUCKETS];
	u64 rtt_sum; /* of all samples */
	u64 paths;
};

static struct {
	struct flow_record flow;
	struct path_record path[MAX_PATHS];
} record;

static u64 largest, out_of_order;
static u64 streams_opened, streams_closed, stream_time_sum, stream_time_max;
static u64 unknown_parameters;
static u64 rtt[RTT_BUCKETS], rtt_sum;
static u64 ended, error, error_is_application, error_is_remote;

static PQ_ALWAYS_INLINE void describe_path(struct path_record *r, struct pq_path *p)
{
	r->id = p->id;
	r->state = p->state;
	r->packets_sent = p->packets_sent;
	r->packets_received = p->packets_received;
	r->packets_lost = p->packets_lost;
	r->packets_spurious = p->packets_spurious;
	r->bytes_sent = p->bytes_sent;
	r->bytes_received = p->bytes_received;
	r->bytes_lost = p->bytes_lost;
	r->min_rtt = p->min_rtt;
	r->smoothed_rtt = p->smoothed_rtt;
	r->rttvar = p->rttvar;
	r->latest_rtt = p->latest_rtt;
	r->congestion_window = p->congestion_window;
	r->bytes_in_flight = p->bytes_in_flight;
	r->mtu = p->mtu;
	r->ptos = p->pto_count;
	r->ecn_ce = p->ecn_ce;
	r->bandwidth = p->bandwidth_estimate;
}

static PQ_ALWAYS_INLINE void report(struct pq_conn *c, u32 state)
{
	struct flow_record *f = &record.flow;
	f->version = 1;
	f->state = state;
	f->is_server = c->is_server;
	f->quic_version = c->version;
	f->now = c->now;
	f->start = c->start_time;
	f->handshake_complete = c->handshake_time;
	f->handshake_confirmed = c->confirmed_time;
	f->packets_sent = c->packets_sent;
	f->packets_received = c->packets_received;
	f->packets_lost = c->packets_lost;
	f->packets_spurious = c->packets_spurious;
	f->packets_duplicate = c->packets_duplicate;
	f->packets_undecryptable = c->packets_undecryptable;
	f->packets_retransmitted = c->packets_retransmitted;
	f->packets_out_of_order = out_of_order;
	f->bytes_sent = c->bytes_sent;
	f->bytes_received = c->bytes_received;
	f->data_sent = c->data_sent;
	f->data_received = c->data_received;
	f->ptos = c->ptos;
	f->fast_retransmits = c->fast_retransmits;
	f->loss_timeouts = c->loss_timeouts;
	f->streams_opened = streams_opened;
	f->streams_closed = streams_closed;
	f->stream_time_sum = stream_time_sum;
	f->stream_time_max = stream_time_max;
	f->unknown_parameters = unknown_parameters;
	f->error = error;
	f->error_is_application = error_is_application;
	f->error_is_remote = error_is_remote;
	for (u32 i = 0; i < RTT_BUCKETS; i++)
		f->rtt[i] = rtt[i];
	f->rtt_sum = rtt_sum;
	u64 n = 0;
	for (u32 i = 0; i < MAX_PATHS; i++) {
		struct pq_path *p = pq_path_at(i);
		if (!p)
			break;
		describe_path(&record.path[i], p);
		n++;
	}
	f->paths = n;
	pq_message(&record, sizeof(record.flow) + n * sizeof(struct path_record));
}

SEC("post/handshake_complete")
int established(struct pq_handshake_complete_ctx *ctx)
{
	report(ctx->conn, FLOW_ESTABLISHED);
	if (PQ_OPTION(interval) > 0)
		pq_set_timer(ctx->conn->now + PQ_OPTION(interval));
	return PQ_OK;
}

SEC("post/plugin_timer")
int update(struct pq_plugin_timer_ctx *ctx)
{
	if (ended)
		return PQ_OK;
	report(ctx->conn, FLOW_UPDATE);
	pq_set_timer(ctx->conn->now + PQ_OPTION(interval));
	return PQ_OK;
}

SEC("post/connection_closed")
int closed(struct pq_connection_closed_ctx *ctx)
{
	struct pq_conn *c = ctx->conn;
	ended = 1;
	error = ctx->code;
	error_is_application = ctx->application;
	error_is_remote = ctx->remote;
	report(c, ctx->application || ctx->code == 0 ? FLOW_FINISHED : FLOW_BROKEN);
	if (PQ_OPTION(summary)) {
		u64 smoothed = record.flow.paths ? record.path[0].smoothed_rtt : 0;
		pq_log(PQ_INFO, "flow: %u packets sent, %u received, %u lost; %u bytes sent, %u received; smoothed rtt %t, handshake %t",
		       c->packets_sent, c->packets_received, c->packets_lost, c->bytes_sent, c->bytes_received,
		       smoothed, c->handshake_time ? c->handshake_time - c->start_time : 0);
	}
	return PQ_OK;
}

SEC("post/packet_received")
int received(struct pq_packet_received_ctx *ctx)
{
	struct pq_received_packet *p = ctx->packet;
	u64 number = p->number;
	if (p->level != 3)
		return PQ_OK;
	if (number < largest)
		out_of_order++;
	else
		largest = number;
	return PQ_OK;
}

SEC("post/update_rtt")
int sample(struct pq_update_rtt_ctx *ctx)
{
	/* The position of the highest bit that is set, plus one, by halves. */
	u64 v = (u64)ctx->latest_rtt >> 14;
	u32 i = 0;
	if (v >> 23)
		v = 1 << 22;
	if (v >> 16) {
		i += 16;
		v >>= 16;
	}
	if (v >> 8) {
		i += 8;
		v >>= 8;
	}
	if (v >> 4) {
		i += 4;
		v >>= 4;
	}
	if (v >> 2) {
		i += 2;
		v >>= 2;
	}
	i += v > 1 ? 2 : v;
	rtt[i]++;
	rtt_sum += (u64)ctx->latest_rtt;
	return PQ_OK;
}

SEC("post/stream_opened")
int stream_opened(struct pq_stream_opened_ctx *ctx)
{
	streams_opened++;
	return PQ_OK;
}

SEC("post/stream_closed")
int stream_closed(struct pq_stream_closed_ctx *ctx)
{
	u64 life = ctx->conn->now - ctx->stream->open_time;
	streams_closed++;
	stream_time_sum += life;
	if (life > stream_time_max)
		stream_time_max = life;
	return PQ_OK;
}

SEC("post/unknown_transport_parameter")
int unknown(struct pq_unknown_transport_parameter_ctx *ctx)
{
	unknown_parameters++;
	return PQ_OK;
}

