// refused: field "narrow" has 4 bytes here, 8 in the program
#include "../vmtest.h"

struct pq_path___old {
	u64 narrow;
} CORE;

SEC("test/refused")
u64 narrow_store(struct pq_ctx *ctx)
{
	struct pq_path___old *p = (void *)ctx->path;
	p->narrow = 1;
	return 0;
}
