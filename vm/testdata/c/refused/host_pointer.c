// refused: the address of host function "t_add"
#include "../vmtest.h"

static u64 (*const table[])(u64, u64) = {t_add, t_add};

SEC("test/refused")
u64 host_pointer(struct pq_ctx *ctx)
{
	return (u64)table[ctx->a & 1];
}
