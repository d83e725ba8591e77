// The smallest program.
#include "vmtest.h"

SEC("test/empty")
u64 empty(struct pq_ctx *ctx)
{
	return 0;
}
