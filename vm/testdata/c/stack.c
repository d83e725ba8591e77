// The whole frame of 512 bytes, in two functions, and the frame of a caller.
#include "vmtest.h"

static NOINLINE u64 fill(u8 *p, u32 n)
{
	volatile u64 own[62];
	own[0] = n;
	own[61] = 5;
#pragma clang loop unroll(disable)
	for (u32 i = 0; i < 504; i++)
		p[i] = i * n;
	return own[0] + own[61];
}

SEC("test/stack")
u64 stack(struct pq_ctx *ctx)
{
	u8 frame[504];
	u64 r = fill(frame, 3);
	return r + t_sum(frame, sizeof frame);
}
