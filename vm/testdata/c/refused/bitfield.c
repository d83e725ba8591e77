// refused: field "mss" is a bit-field in the program
#include "../vmtest.h"

struct pq_path___bits {
	u32 mss : 12;
} CORE;

SEC("test/refused")
u64 bitfield(struct pq_ctx *ctx)
{
	struct pq_path___bits *p = (void *)ctx->path;
	return __builtin_preserve_field_info(p->mss, 0);
}
