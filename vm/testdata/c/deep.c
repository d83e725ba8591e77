// A chain of nine functions: one frame too many.
#include "vmtest.h"

#define LEVEL(n, next) static NOINLINE u64 level##n(u64 x) { volatile u64 keep = x; return next(x + n) + keep; }

static NOINLINE u64 level8(u64 x) { return x * 3; }
LEVEL(7, level8)
LEVEL(6, level7)
LEVEL(5, level6)
LEVEL(4, level5)
LEVEL(3, level4)
LEVEL(2, level3)
LEVEL(1, level2)

SEC("test/deep9")
u64 deep9(struct pq_ctx *ctx)
{
	return level1(ctx->a) + 1;
}
