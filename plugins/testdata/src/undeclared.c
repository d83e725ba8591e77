/* Does three things that its manifest does not declare. */
#include "pquic.h"

PQ_PLUGIN("org.pquic.test.undeclared", "0.1");

SEC("replace/update_ack_delay")
int delay(struct pq_update_ack_delay_ctx *ctx)
{
	ctx->path->ack_delay = PQ_MS;
	pq_message(NULL, 0);
	return PQ_OK;
}

SEC("replace/process_frame/0x31515150")
int process(struct pq_process_frame_ctx *ctx)
{
	return PQ_OK;
}
