// Functions: static and global, in .text and in the program's own section,
// eight deep.
#include "vmtest.h"

static u64 count;

static NOINLINE u64 twice(u64 x)
{
	count++;
	return x * 2;
}

NOINLINE u64 shared(u64 x, u64 y)
{
	count++;
	return twice(x) + y;
}

static NOINLINE __attribute__((section("test/calls"))) u64 beside(u64 *x)
{
	count++;
	return *x * *x;
}

SEC("test/calls")
u64 calls(struct pq_ctx *ctx)
{
	u64 local[2] = {ctx->a, ctx->c};
	count = 0;
	u64 r = beside(&local[0]) + beside(&local[1]);
	return r + shared(r, 5) + twice(3) + count;
}

#define LEVEL(n, next) static NOINLINE u64 level##n(u64 x) { volatile u64 keep = x; return next(x + n) + keep; }

static NOINLINE u64 level8(u64 x) { return x * 3; }
LEVEL(7, level8)
LEVEL(6, level7)
LEVEL(5, level6)
LEVEL(4, level5)
LEVEL(3, level4)
LEVEL(2, level3)

// The program is the first of eight frames.
SEC("test/deep8")
u64 deep8(struct pq_ctx *ctx)
{
	return level2(ctx->a) + 1;
}
