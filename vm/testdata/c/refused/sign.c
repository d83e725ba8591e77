// refused: field "b" is signed here, not in the program
#include "../vmtest.h"

struct pq_ctx___unsigned {
	u32 b;
} CORE;

SEC("test/refused")
u64 sign(struct pq_ctx___unsigned *ctx)
{
	return ctx->b;
}
