// A field of the host's by an index that is not constant.
#include "vmtest.h"

SEC("test/core_index")
u64 core_index(struct pq_ctx *ctx)
{
	u64 s = 0;
#pragma clang loop unroll(disable)
	for (u32 i = 0; i < sizeof ctx->id; i++)
		s = s * 2 + ctx->id[i];
	return s;
}
