// Loops with and without a bound.
#include "vmtest.h"

SEC("test/bounded")
u64 bounded(struct pq_ctx *ctx)
{
	u64 s = 0;
#pragma clang loop unroll(disable)
	for (u32 i = 0; i < 100; i++)
		s += t_add(i, s);
	return s;
}

SEC("test/nested")
u64 nested(struct pq_ctx *ctx)
{
	u64 s = ctx->c;
#pragma clang loop unroll(disable)
	for (u32 i = 0; i < 20; i++)
#pragma clang loop unroll(disable)
		for (u32 j = i; j < 30; j++)
			s = s * 31 + (i ^ j);
	return s;
}

// Bounded by a value that is checked first.
SEC("test/limited")
u64 limited(struct pq_ctx *ctx)
{
	u32 n = ctx->a;
	u64 s = 1;
	if (n > 64)
		n = 64;
#pragma clang loop unroll(disable)
	for (u32 i = 0; i < n; i++)
		s = s * 3 + i;
	return s;
}

// Bounded by a value of the host's alone.
SEC("test/metered")
u64 metered(struct pq_ctx *ctx)
{
	u64 s = 1, n = ctx->c;
#pragma clang loop unroll(disable)
	while (n != 1) {
		n = n & 1 ? 3 * n + 1 : n >> 1;
		s++;
	}
	return s;
}

SEC("test/forever")
u64 forever(struct pq_ctx *ctx)
{
	volatile u64 spin = 1;
	while (spin)
		;
	return 0;
}
