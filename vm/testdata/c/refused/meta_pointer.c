// refused: metadata holds a pointer
#include "../vmtest.h"

static const char *const names[] SEC(".pquic.names") = {"one", "two"};

SEC("test/refused")
u64 meta_pointer(struct pq_ctx *ctx)
{
	return 0;
}
