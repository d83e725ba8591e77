// memcpy, memset and structure assignment, which the compiler expands.
#include "vmtest.h"

struct record {
	u64 key;
	u32 values[6];
	u8 tag[9];
};

static struct record saved;
static u8 bytes[64];

SEC("test/copy")
u64 copy(struct pq_ctx *ctx)
{
	struct record r;
	__builtin_memset(&r, 0, sizeof r);
	r.key = ctx->c;
	r.values[3] = ctx->a;
	r.tag[8] = 77;
	saved = r;
	__builtin_memcpy(bytes + 5, &saved, sizeof saved);
	return t_sum(bytes, sizeof bytes) + (saved.key == ctx->c);
}

SEC("test/atomics")
u64 atomics(struct pq_ctx *ctx)
{
	static u64 total;
	__sync_fetch_and_add(&total, ctx->c);
	__sync_fetch_and_add(&total, 3);
	return total;
}
