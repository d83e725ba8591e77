/* Nothing, before and after eight operations that run for each packet: what it
 * costs to be there at all. Three are of received packets, five of sent ones. */
#include "pquic.h"

PQ_PLUGIN("org.pquic.test.observers", "0.1");
PQ_SUMMARY("does nothing, sixteen times per packet");
PQ_HEAP(0);

#define NOTHING(operation)                                        \
	SEC("pre/" #operation)                                    \
	int pre_##operation(struct pq_##operation##_ctx *ctx)     \
	{                                                         \
		return PQ_OK;                                     \
	}                                                         \
	SEC("post/" #operation)                                   \
	int post_##operation(struct pq_##operation##_ctx *ctx)    \
	{                                                         \
		return PQ_OK;                                     \
	}

NOTHING(header_parsed)
NOTHING(payload_received)
NOTHING(packet_received)
NOTHING(schedule_frames)
NOTHING(payload_built)
NOTHING(packet_sealed)
NOTHING(congestion_on_sent)
NOTHING(packet_acked)
