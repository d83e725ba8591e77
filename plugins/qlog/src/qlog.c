/* qlog: a trace of the connection in JSON text sequences, written by bytecode. */
#include "pquic.h"

PQ_PLUGIN("org.pquic.qlog", "1.0.0");
PQ_LICENSE("Apache-2.0");
PQ_SUMMARY("traces packets, recovery and streams as qlog events");
PQ_USES(pq_message, pq_log);
PQ_HEAP(0);

PQ_OPTION_BOOL(packets, 1, "trace every packet too");
PQ_OPTION_BOOL(log, 0, "write each event to the log, none to the application");

#define MESSAGE 4096
#define RECORD 512 /* more than the longest record */

static u8 text[MESSAGE + RECORD];
static u32 size;
static bool started;

static __attribute__((noinline)) int put(const char *s, u64 n)
{
	pq_memcpy(text + size, s, n);
	size += n;
	return 0;
}
#define PUT(s) put(s, sizeof(s) - 1)

static __attribute__((noinline)) int number(u64 v)
{
	char digits[20];
	u32 at = 20;
	for (u32 i = 0; i < 20; i++) {
		digits[--at] = '0' + v % 10;
		v /= 10;
		if (v == 0)
			break;
	}
	put(digits + at, 20 - at);
	return 0;
}
#define NUMBER(name, v) (PUT("\"" name "\":"), number(v))

/* Milliseconds with three digits after the point, of a time in ns. */
static __attribute__((noinline)) int milliseconds(u64 ns)
{
	u64 us = ns / 1000;
	u64 part = us % 1000;
	char fraction[4] = {'.', '0' + part / 100, '0' + part / 10 % 10, '0' + part % 10};
	number(us / 1000);
	put(fraction, 4);
	return 0;
}
#define MILLISECONDS(name, ns) (PUT("\"" name "\":"), milliseconds(ns))

/* Hands what is written to the application. */
static __attribute__((noinline)) int flush(void)
{
	if (size)
		pq_message(text, size);
	size = 0;
	return 0;
}

/* Ends a record, of which the leading separator belongs to files alone. */
static __attribute__((noinline)) int finish(void)
{
	if (PQ_OPTION(log)) {
		text[size] = 0;
		pq_log(PQ_INFO, "%s", PQ_STRING(text + 1));
		size = 0;
		return 0;
	}
	PUT("\n");
	if (size > MESSAGE)
		flush();
	return 0;
}

static __attribute__((noinline)) int hex(u64 byte)
{
	const char *digits = "0123456789abcdef";
	char pair[2] = {digits[byte >> 4 & 15], digits[byte & 15]};
	put(pair, 2);
	return 0;
}

static PQ_ALWAYS_INLINE void header(struct pq_conn *c)
{
	PUT("\x1e{\"file_schema\":\"urn:ietf:params:qlog:file:sequential\","
	    "\"serialization_format\":\"application/qlog+json-seq\",\"trace\":{\"vantage_point\":{\"type\":\"");
	if (c->is_server)
		PUT("server");
	else
		PUT("client");
	PUT("\"},\"common_fields\":{\"group_id\":\"");
#pragma unroll
	for (u32 i = 0; i < 20; i++)
		if (i < c->original_connection_id_length)
			hex(c->original_connection_id[i]);
	PUT("\",\"time_format\":\"relative_to_epoch\",\"reference_time\":"
	    "{\"clock_type\":\"monotonic\",\"epoch\":\"unknown\"}},"
	    "\"event_schemas\":[\"urn:ietf:params:qlog:events:quic-13\"]}}");
	finish();
}

/* Begins an event, with its time in ms since the connection was created. */
static __attribute__((noinline)) int begin(struct pq_conn *c)
{
	if (!started) {
		started = true;
		header(c);
	}
	PUT("\x1e{\"time\":");
	milliseconds(c->now - c->start_time);
	return 0;
}
#define BEGIN(c, event) (begin(c), PUT(",\"name\":\"quic:" event "\",\"data\":{"))
#define END() (PUT("}}"), finish())

/* The header of a packet, by its encryption level. */
static __attribute__((noinline)) int packet(u64 level, u64 pn)
{
	PUT("\"header\":{\"packet_type\":\"");
	if (level == 0)
		PUT("initial");
	else if (level == 1)
		PUT("0RTT");
	else if (level == 2)
		PUT("handshake");
	else
		PUT("1RTT");
	PUT("\",");
	NUMBER("packet_number", pn);
	PUT("}");
	return 0;
}

SEC("post/packet_sealed")
int sent(struct pq_packet_sealed_ctx *ctx)
{
	if (!PQ_OPTION(packets))
		return PQ_OK;
	BEGIN(ctx->conn, "packet_sent");
	packet(ctx->level, ctx->packet->number);
	PUT(",\"raw\":{");
	NUMBER("length", ctx->packet->size);
	PUT("}");
	return END();
}

SEC("post/packet_received")
int received(struct pq_packet_received_ctx *ctx)
{
	if (!PQ_OPTION(packets))
		return PQ_OK;
	BEGIN(ctx->conn, "packet_received");
	packet(ctx->packet->level, ctx->packet->number);
	PUT(",\"raw\":{");
	NUMBER("length", ctx->packet->size);
	PUT("}");
	return END();
}

SEC("post/packet_lost")
int lost(struct pq_packet_lost_ctx *ctx)
{
	BEGIN(ctx->conn, "packet_lost");
	packet(ctx->level, ctx->packet->number);
	return END();
}

SEC("post/packet_dropped")
int dropped(struct pq_packet_dropped_ctx *ctx)
{
	BEGIN(ctx->conn, "packet_dropped");
	PUT("\"raw\":{");
	NUMBER("length", ctx->bytes);
	PUT("}");
	return END();
}

static PQ_ALWAYS_INLINE int metrics(struct pq_conn *c, struct pq_path *path)
{
	BEGIN(c, "recovery_metrics_updated");
	MILLISECONDS("latest_rtt", path->latest_rtt);
	PUT(",");
	MILLISECONDS("smoothed_rtt", path->smoothed_rtt);
	PUT(",");
	MILLISECONDS("min_rtt", path->min_rtt);
	PUT(",");
	MILLISECONDS("rtt_variance", path->rttvar);
	PUT(",");
	NUMBER("congestion_window", path->congestion_window);
	PUT(",");
	NUMBER("bytes_in_flight", path->bytes_in_flight);
	return END();
}

SEC("post/congestion_on_ack")
int on_ack(struct pq_congestion_on_ack_ctx *ctx)
{
	return metrics(ctx->conn, ctx->path);
}

SEC("post/congestion_on_loss")
int on_loss(struct pq_congestion_on_loss_ctx *ctx)
{
	return metrics(ctx->conn, ctx->path);
}

SEC("post/pto_fired")
int pto(struct pq_pto_fired_ctx *ctx)
{
	BEGIN(ctx->conn, "timer_updated");
	PUT("\"timer_type\":\"pto\",\"event_type\":\"expired\"");
	return END();
}

SEC("post/mtu_updated")
int mtu(struct pq_mtu_updated_ctx *ctx)
{
	BEGIN(ctx->conn, "mtu_updated");
	NUMBER("old", ctx->old);
	PUT(",");
	NUMBER("new", ctx->new);
	return END();
}

SEC("post/handshake_complete")
int complete(struct pq_handshake_complete_ctx *ctx)
{
	BEGIN(ctx->conn, "connection_state_updated");
	PUT("\"new\":\"handshake_complete\"");
	return END();
}

SEC("post/handshake_confirmed")
int confirmed(struct pq_handshake_confirmed_ctx *ctx)
{
	BEGIN(ctx->conn, "connection_state_updated");
	PUT("\"new\":\"handshake_confirmed\"");
	return END();
}

/* One event for each half of the stream that there is. */
static PQ_ALWAYS_INLINE int stream_state(struct pq_conn *c, struct pq_stream *stream, u64 over)
{
	for (u32 side = 0; side < 2; side++) {
		if (side == 0 ? !pq_stream_send(stream) : !pq_stream_recv(stream))
			continue;
		BEGIN(c, "stream_state_updated");
		NUMBER("stream_id", stream->id);
		if (side == 0)
			PUT(",\"stream_side\":\"sending\",\"new\":");
		else
			PUT(",\"stream_side\":\"receiving\",\"new\":");
		if (over)
			PUT("\"closed\"");
		else
			PUT("\"open\"");
		END();
	}
	return PQ_OK;
}

SEC("post/stream_opened")
int opened(struct pq_stream_opened_ctx *ctx)
{
	return stream_state(ctx->conn, ctx->stream, false);
}

SEC("post/stream_closed")
int stream_over(struct pq_stream_closed_ctx *ctx)
{
	return stream_state(ctx->conn, ctx->stream, true);
}

SEC("post/connection_closed")
int closed(struct pq_connection_closed_ctx *ctx)
{
	BEGIN(ctx->conn, "connection_closed");
	if (ctx->remote)
		PUT("\"initiator\":\"remote\",");
	else
		PUT("\"initiator\":\"local\",");
	if (ctx->application)
		PUT("\"application_error\":\"unknown\",");
	else
		PUT("\"connection_error\":\"unknown\",");
	NUMBER("error_code", ctx->code);
	END();
	flush();
	return PQ_OK;
}
