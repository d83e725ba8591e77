/* Each pluglet fails in its own way when its option says so. */
#include "pquic.h"

PQ_PLUGIN("org.pquic.test.faulty", "0.1");
PQ_USES(pq_log);
PQ_WRITES(path.ack_delay, path.congestion_window);
PQ_HEAP(4096);

PQ_OPTION_U64(fault, 0, "which fault");
PQ_OPTION_U64(after, 20, "calls that go well before");

static u64 calls;

SEC("replace/update_ack_delay")
int delay(struct pq_update_ack_delay_ctx *ctx)
{
	pq_native();
	struct pq_path *path = ctx->path;
	if (calls++ < PQ_OPTION(after))
		return PQ_OK;
	path->ack_delay = 1 * PQ_MS; /* undone by what follows */
	switch (PQ_OPTION(fault)) {
	case 1:
		return 7;
	case 2:
		return *(volatile u64 *)(calls + (1ULL << 40));
	case 3:
		*(volatile u8 *)(calls & 0xff) = 1;
		break;
	case 4:
		for (volatile u64 i = 0;; i++)
			;
	case 5:
		path->congestion_window = 1;
		break;
	case 6:
		ctx->result_duration = -(1LL << 62);
		path->ack_delay = -5;
		break;
	case 7:
		pq_free((void *)12345);
		break;
	case 8:
		pq_memcpy((void *)(calls << 32), (void *)8192, 1 << 20);
		break;
	case 9:
		pq_map_set(calls + 100, 1, 1);
		break;
	}
	return PQ_OK;
}
