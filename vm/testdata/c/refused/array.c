// refused: field "id" has 20 bytes here, too few for "id[20]"
#include "../vmtest.h"

struct pq_ctx___long {
	u8 id[24];
} CORE;

SEC("test/refused")
u64 array(struct pq_ctx___long *ctx)
{
	return ctx->id[19] + ctx->id[20];
}
