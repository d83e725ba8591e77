// Arithmetic without memory.
#include "vmtest.h"

// xorshift64, 10,000 rounds.
SEC("test/alu")
u64 alu(struct pq_ctx *ctx)
{
	u64 x = 88172645463325252ULL;
#pragma clang loop unroll(disable)
	for (u32 i = 0; i < 10000; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
	}
	return x;
}

// Widths, signs, division and byte order, on two numbers of the host's.
SEC("test/alu_mix")
u64 alu_mix(struct pq_ctx *ctx)
{
	u32 a = ctx->a;
	s32 b = ctx->b;
	u64 c = ctx->c;
	u64 r = a * 7u + (a >> 3) - (a << 5);
	r ^= (u64)(s64)(b >> 4) + (u64)(s64)(s8)b + (u64)(s64)(s16)b;
	r += c / (a | 1) + c % (a | 1);
	r ^= __builtin_bswap64(c) + __builtin_bswap32(a) + __builtin_bswap16((u16)a);
	r += (s64)c < 0 ? (u64)b : ~(u64)b;
	r -= (s64)c >> 9;
	return r ^ -c;
}
