/* Owns a frame type and fails where its option says. */
#include "pquic.h"

#define FRAME 0x31515160
#define PARAMETER 0x31515161

PQ_PLUGIN("org.pquic.test.owner", "0.1");
PQ_FRAME(FRAME, "1rtt ack_eliciting congestion_controlled");
PQ_PARAMETER(PARAMETER);
PQ_NEGOTIATE(PARAMETER);
PQ_USES(pq_reserve_frame, pq_append_frame);
PQ_HEAP(0);

PQ_OPTION_U64(fault, 0, "1 write, 2 parse, 3 process, 4 notify");

static u64 calls;

static PQ_ALWAYS_INLINE u64 fail_at(u64 place)
{
	calls++;
	return place == PQ_OPTION(fault) ? *(volatile u64 *)(calls + (1ULL << 40)) : 0;
}

SEC("on/handshake_complete")
int book(struct pq_handshake_complete_ctx *ctx)
{
	pq_reserve_frame(FRAME, 4, 0, NULL, 0);
	return PQ_OK;
}

SEC("replace/write_frame/0x31515160")
int write_it(struct pq_write_frame_ctx *ctx)
{
	u8 frame[8];
	if (fail_at(1))
		return PQ_FAIL;
	u64 n = pq_varint_write(frame, FRAME);
	if (pq_append_frame(ctx->builder, FRAME, frame, n, 0) == 0)
		ctx->result_frames = 1;
	return PQ_OK;
}

SEC("replace/parse_frame/0x31515160")
int parse_it(struct pq_parse_frame_ctx *ctx)
{
	if (fail_at(2))
		return PQ_FAIL;
	ctx->result_length = 4;
	return PQ_OK;
}

SEC("replace/process_frame/0x31515160")
int process_it(struct pq_process_frame_ctx *ctx)
{
	return fail_at(3);
}

SEC("replace/notify_frame/0x31515160")
int notify_it(struct pq_notify_frame_ctx *ctx)
{
	return fail_at(4);
}
