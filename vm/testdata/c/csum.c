// The internet checksum of 1024 bytes, ten times: loads.
#include "vmtest.h"

static u16 words[512];

SEC("test/csum")
u64 csum(struct pq_ctx *ctx)
{
	u64 s = 0;
	for (u32 i = 0; i < 512; i++)
		words[i] = i * 40503;
#pragma clang loop unroll(disable)
	for (u32 i = 0; i < 5120; i++)
		s += words[i & 511];
	s = (s & 0xffff) + (s >> 16);
	s = (s & 0xffff) + (s >> 16);
	return ~s & 0xffff;
}
