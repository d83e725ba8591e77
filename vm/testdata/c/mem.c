// Loads and stores of all widths in globals and on the stack.
#include "vmtest.h"

static u64 table[128];

SEC("test/mem")
u64 mem(struct pq_ctx *ctx)
{
	u64 s = 0;
#pragma clang loop unroll(disable)
	for (u32 i = 0; i < 10000; i++) {
		u32 k = i & 127;
		u64 v = table[k];
		s += v;
		table[k] = v + i;
	}
	return s;
}

SEC("test/widths")
u64 widths(struct pq_ctx *ctx)
{
	volatile union {
		u8 b[16];
		u16 h[8];
		u32 w[4];
		u64 d[2];
		s8 sb[16];
		s16 sh[8];
		s32 sw[4];
	} m;
	m.d[0] = ctx->c;
	m.d[1] = ~ctx->c;
	m.h[1] = 0x8081;
	m.b[9] = 0xfe;
	m.w[3] = 0x80000001;
	return m.d[0] + m.d[1] + m.h[5] + m.b[3] + m.w[1] + (s64)m.sb[9] + (s64)m.sh[1] + (s64)m.sw[3];
}
