// refused: the address of function "one": calls through pointers
#include "../vmtest.h"

static NOINLINE u64 one(u64 x) { return x + 1; }

SEC("test/refused")
u64 function_address(struct pq_ctx *ctx)
{
	return (u64)one + ctx->a;
}
