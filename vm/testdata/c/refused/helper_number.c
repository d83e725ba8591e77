// refused: call of helper number 5: host functions are bound by name
#include "../vmtest.h"

static u64 (*const helper)(void) = (void *)5;

SEC("test/refused")
u64 helper_number(struct pq_ctx *ctx)
{
	return helper();
}
