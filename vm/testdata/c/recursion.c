// A function that calls itself, directly and through another.
#include "vmtest.h"

static NOINLINE u64 fibonacci(u64 n)
{
	return n < 2 ? n : fibonacci(n - 1) + fibonacci(n - 2);
}

SEC("test/recursion")
u64 recursion(struct pq_ctx *ctx)
{
	return fibonacci(ctx->a);
}

static NOINLINE u64 odd(u64 n);

static NOINLINE u64 even(u64 n)
{
	return n == 0 ? 1 : odd(n - 1) + 1;
}

static NOINLINE u64 odd(u64 n)
{
	return n == 0 ? 0 : even(n - 1) + 2;
}

SEC("test/mutual")
u64 mutual(struct pq_ctx *ctx)
{
	return even(ctx->a);
}
