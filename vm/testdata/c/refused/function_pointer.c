// refused: variable "table": pointer to ".text": the address of function "one"
#include "../vmtest.h"

static u64 one(u64 x) { return x + 1; }
static u64 two(u64 x) { return x + 2; }
static u64 (*const table[])(u64) = {one, two};

SEC("test/refused")
u64 function_pointer(struct pq_ctx *ctx)
{
	return table[ctx->a & 1](5);
}
