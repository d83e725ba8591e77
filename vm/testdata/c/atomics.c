// Atomic operations that return the old value; they need -mcpu=v3.
#include "vmtest.h"

static u64 wide = 1;
static u32 half = 1;

SEC("test/atomic")
u64 atomic(struct pq_ctx *ctx)
{
	u64 c = ctx->c;
	u64 r = __sync_fetch_and_add(&wide, c);
	r = r * 3 + __sync_fetch_and_or(&wide, 0xf0);
	r = r * 3 + __sync_fetch_and_and(&wide, ~2ull);
	r = r * 3 + __sync_fetch_and_xor(&wide, c);
	r = r * 3 + __sync_lock_test_and_set(&wide, 99);
	r = r * 3 + __sync_val_compare_and_swap(&wide, 99, 100);
	r = r * 3 + __sync_val_compare_and_swap(&wide, 99, 101);
	r = r * 3 + __sync_fetch_and_add(&half, ctx->a);
	r = r * 3 + __sync_val_compare_and_swap(&half, 1, 2);
	return r + wide + half;
}
