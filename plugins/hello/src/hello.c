/* hello: a frame that greets. Each end sends one HELLO frame when the handshake
 * is complete and logs the one it receives. The tutorial in
 * docs/writing-plugins.md builds it step by step. */
#include "pquic.h"

#define HELLO_FRAME 0x31515140
#define HELLO_PARAMETER 0x31515141

PQ_PLUGIN("org.pquic.hello", "1.0.0");
PQ_LICENSE("Apache-2.0");
PQ_SUMMARY("greets the peer with a frame of its own");
PQ_FRAME(HELLO_FRAME, "1rtt ack_eliciting congestion_controlled");
PQ_PARAMETER(HELLO_PARAMETER);
PQ_NEGOTIATE(HELLO_PARAMETER);
PQ_USES(pq_log, pq_message, pq_reserve_frame, pq_append_frame);
PQ_HEAP(4096);

PQ_OPTION_STRING(greeting, 64, "hello", "what to say, at most 63 bytes");

/* The frame: type, length, text. */
static PQ_ALWAYS_INLINE u64 greeting_length(void)
{
	u64 n = 0;
	while (n < 63 && PQ_OPTION(greeting)[n])
		n++;
	return n;
}

SEC("on/handshake_complete")
int book(struct pq_handshake_complete_ctx *ctx)
{
	pq_reserve_frame(HELLO_FRAME, 4 + 1 + greeting_length(), 0, NULL, 0);
	return PQ_OK;
}

SEC("replace/write_frame/0x31515140")
int write_hello(struct pq_write_frame_ctx *ctx)
{
	u8 frame[4 + 1 + 64];
	u64 n = greeting_length();
	u64 at = pq_varint_write(frame, HELLO_FRAME);
	frame[at++] = n;
	pq_memcpy(frame + at, PQ_OPTION(greeting), n);
	if (pq_append_frame(ctx->builder, HELLO_FRAME, frame, at + n, 0) == 0)
		ctx->result_frames = 1;
	return PQ_OK;
}

SEC("replace/parse_frame/0x31515140")
int parse_hello(struct pq_parse_frame_ctx *ctx)
{
	const u8 *b = ctx->bytes;
	u64 size = ctx->bytes_length;
	if (size < 5 || b[4] > 63 || size < 5 + (u64)b[4])
		return PQ_OK; /* length 0 says that the frame is malformed */
	ctx->result_length = 5 + b[4];
	return PQ_OK;
}

SEC("replace/process_frame/0x31515140")
int process_hello(struct pq_process_frame_ctx *ctx)
{
	char text[64] = {};
	u64 n = ctx->frame_length - 5;
	if (n > 63)
		return PQ_FAIL;
	pq_memcpy(text, ctx->frame + 5, n);
	pq_log(PQ_INFO, "the peer says: %s", PQ_STRING(text));
	pq_message(text, n);
	return PQ_OK;
}

SEC("replace/notify_frame/0x31515140")
int notify_hello(struct pq_notify_frame_ctx *ctx)
{
	if (ctx->fate == PQ_ACKED)
		pq_log(PQ_DEBUG, "the greeting arrived");
	else
		pq_reserve_frame(HELLO_FRAME, 4 + 1 + greeting_length(), 0, NULL, 0);
	return PQ_OK;
}
