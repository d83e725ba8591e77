// refused: the host has no struct pq_stranger
#include "../vmtest.h"

struct pq_stranger {
	u64 foo;
} CORE;

SEC("test/refused")
u64 type(struct pq_ctx *ctx)
{
	struct pq_stranger *p = (void *)ctx->path;
	return p->foo;
}
