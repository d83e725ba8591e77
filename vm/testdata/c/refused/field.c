// refused: struct pq_path has no field "foo" here
#include "../vmtest.h"

struct pq_path___new {
	u64 srtt;
	u64 foo;
} CORE;

SEC("test/refused")
u64 field(struct pq_ctx *ctx)
{
	struct pq_path___new *p = (void *)ctx->path;
	return p->srtt + p->foo;
}
