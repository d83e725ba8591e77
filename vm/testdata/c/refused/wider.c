// refused: field "cwnd" has 8 bytes here, 4 in the program
#include "../vmtest.h"

struct pq_path___old {
	u32 cwnd;
} CORE;

SEC("test/refused")
u64 wider(struct pq_ctx *ctx)
{
	struct pq_path___old *p = (void *)ctx->path;
	return p->cwnd;
}
